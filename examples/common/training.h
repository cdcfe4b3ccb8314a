/* training.h: one training run of an experiment, and what was seen on the way. */
#ifndef EXAMPLES_TRAINING_H
#define EXAMPLES_TRAINING_H

#include "examples/common/stack.h"

typedef struct training_log {
    int64_t steps; /* taken; fewer than asked for when the run diverged */
    bool diverged; /* the loss was not finite, or larger than `training_opts.hopeless` */
    double seconds;
    double *loss, *lr, *grad_norm; /* [steps]: of each step's batch, before the step */
    int64_t checks;
    double *check_step, *valid_loss, *valid_accuracy, *train_accuracy; /* [checks] */
    double *memory;
} training_log;

typedef struct training_opts {
    int64_t steps, batch_size;
    int64_t check_every; /* steps from one look at the validation images to the next; 0: only at the end */
    uint64_t seed;       /* of the batches' order */
    double lr;
    double momentum; /* of the gradient descent that is used unless optim_new is given */
    double hopeless; /* a loss above this ends the run; 0 means 1e4 */
    tarn_optim *(*optim_new)(tarn_params *params, double lr, void *context);
    tarn_tensor *(*loss_of)(tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels,
                            void *context); /* NULL: the cross-entropy of the outputs as logits */
    /* [N,10], the largest of a row being the answer that accuracy counts. NULL: the outputs */
    tarn_tensor *(*scores_of)(tarn_tape *t, tarn_tensor *outputs, void *context);
    double (*lr_at)(int64_t step, const training_log *log, void *context);                       /* NULL: lr */
    void (*before_step)(int64_t step, const stack *net, const tarn_batch *batch, void *context); /* NULL: nothing */
    void *context;                                                                               /* of the five */
    const char *label; /* of the progress bar; NULL: no bar */
} training_opts;

/* Trains net on `train`, and looks at `valid` (before the first step, every check_every steps, and after the last). A
 * run that diverges ends early, which is no error. False with tarn's error set; training_free() in any case. */
bool training_run(training_log *log, const stack *net, tarn_dataset *train, tarn_dataset *valid,
                  const training_opts *opts);
void training_free(training_log *log);

/* For training_opts.loss_of: e = sum over i of (target_i - softmax(outputs)_i)^2, target one-hot, the mean over the
 * batch. */
tarn_tensor *training_squared_error(tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels, void *context);

/* Mean loss (the cross-entropy) and accuracy over a dataset, in evaluation. */
typedef struct training_score {
    double loss, accuracy;
} training_score;
training_score training_evaluate(const stack *net, tarn_dataset *data);

/* The step of the first look that found this accuracy or a better one; NaN when none did. */
double training_steps_to(const training_log *log, double accuracy);

/* The highest validation accuracy seen, and the last. */
double training_best(const training_log *log);
double training_last(const training_log *log);

#endif
