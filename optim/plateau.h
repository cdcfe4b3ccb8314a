/* optim/plateau.h: a learning rate that falls when a measure of success stops getting better.
 *
 *     tarn_plateau *plateau = tarn_plateau_new(0.1, NULL);
 *     ...after each epoch...
 *     tarn_optim_set_lr(sgd, tarn_plateau_step(plateau, validation_loss));
 *
 * Unlike the schedules it remembers. What it remembers is a store, as an optimiser's state is: so a run that stops is
 * saved and resumed with tarn_params_save() and tarn_params_load(), and nothing else. */
#ifndef TARN_PLATEAU_H
#define TARN_PLATEAU_H

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_plateau tarn_plateau;

typedef struct tarn_plateau_opts {
    bool maximize;    /* the metric is better when it is larger, as accuracy is; else when it is smaller */
    bool absolute;    /* what `threshold` is: see tarn_plateau_step() */
    double factor;    /* in (0,1); 0 means 0.1 */
    double threshold; /* 0 or more; 0 means 1e-4 (for none: 1e-300) */
    int64_t patience; /* -1 or more; 0 means 10; -1: none */
    int64_t cooldown; /* 0 or more */
    double min_lr;    /* 0 or more */
    double eps;       /* 0 or more; 0 means 1e-8 (for none: 1e-300) */
} tarn_plateau_opts;

/* The rate is `lr` (finite, 0 or more) until it first falls. The caller frees it with tarn_plateau_free(). NULL with an
 * error for a rate or options out of range, or no memory. NULL opts: the defaults. */
TARN_API tarn_plateau *tarn_plateau_new(double lr, const tarn_plateau_opts *opts);

/* NULL is fine. */
TARN_API void tarn_plateau_free(tarn_plateau *plateau);

/* Takes the metric of one more epoch, and returns the rate for the next; the steps are those of torch's
 * ReduceLROnPlateau, but for the threshold of negative metrics:
 *   1. The metric is better than the best so far if it is below best - threshold*|best|, with `absolute` below
 *      best - threshold; with `maximize` above best + threshold*|best| or best + threshold. (torch has best*(1 - threshold),
 *      which for a negative best lies on the other side: there a loss that rises a little counts as better.) The first is
 *      better than none, unless it is the worst there is. NaN is never better.
 *   2. If it is better, it is the best so far, and the bad epochs are counted from 0; else there is one more.
 *   3. In the `cooldown` epochs after the rate has fallen, no epoch is bad.
 *   4. When there are more than `patience` bad epochs, the rate becomes max(lr*factor, min_lr), if that is less by
 *      more than `eps`; cooldown begins, and bad epochs are counted from 0.
 * NaN with an error, and nothing has changed, when one is pending, or when the state is not one. */
TARN_API double tarn_plateau_step(tarn_plateau *plateau, double metric);

/* The rate for the next steps. Of NULL: 0. */
TARN_API double tarn_plateau_lr(const tarn_plateau *plateau);

/* An f64 store with the buffer "plateau" [4]: the rate, the best metric, the bad epochs, and the epochs of cooldown
 * that are left. It can be saved and loaded, and belongs to the plateau. NULL of NULL. */
TARN_API tarn_params *tarn_plateau_state(const tarn_plateau *plateau);

#ifdef __cplusplus
}
#endif
#endif
