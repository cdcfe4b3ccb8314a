/* classification.c: the loss of a classifier. Softmax of large outputs; the error surfaces of squared error and of
 * cross-entropy over two of three outputs; a network that starts out certain of a wrong class, trained with each; and
 * class numbers as targets of a regression. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"
#include "examples/common/two_outputs.h"

#include <math.h>
#include <stdio.h>

enum { VALIDATION = 2000, BATCH = 64, DEPTH = 2, WIDTH = 64, WRONG = 9, RUNS = 6, USUAL = 2, CASES = 5, TARGETS = 4 };

typedef struct settings {
    int64_t steps, every, grid, path_steps, examples;
    double lr, adam_lr, offset;
} settings;

/* ---- softmax of large outputs ---- */

static bool show_softmax(const study *s)
{
    static const float outputs[CASES][3] = {
        {3, 1, -3}, {1000, 999, -1000}, {1000, 1000, 1000}, {-1000, -1001, -1002}, {1e30F, 0, -1e30F}};
    const char *const names[CASES] = {"(3, 1, -3)", "(1000, 999, -1000)", "(1000, 1000, 1000)", "(-1000, -1001, -1002)",
                                      "(1e30, 0, -1e30)"};
    double y[3][CASES], by_formula[CASES], loss[CASES];
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = tarn_constant(t, TARN_F32, TARN_SHAPE(CASES, 3), outputs), *e = tarn_exp(t, x);
    tarn_tensor *softmax = tarn_softmax(t, x), *plain = tarn_div(t, e, tarn_sum(t, e, TARN_AXES(-1), true));
    tarn_tensor *second = tarn_neg(t, tarn_slice(t, tarn_log_softmax(t, x), 1, 1, 2, 1));
    for (int i = 0; i < CASES; i++) {
        for (int k = 0; k < 3; k++)
            y[k][i] = tarn_at(softmax, (const int64_t[]){i, k});
        by_formula[i] = tarn_at(plain, (const int64_t[]){i, 0});
        loss[i] = tarn_at(second, (const int64_t[]){i, 0});
    }
    tarn_tape_free(t);
    const table_column columns[] = {
        {.name = "outputs (f32)", .texts = names},
        {.name = "softmax 1", .numbers = y[0], .decimals = 4},
        {.name = "softmax 2", .numbers = y[1], .decimals = 4},
        {.name = "softmax 3", .numbers = y[2], .decimals = 4},
        {.name = "softmax 1 by exp(y1)/sum", .numbers = by_formula, .decimals = 4},
        {.name = "cross-entropy if class 2", .numbers = loss},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, CASES) &&
           table_write_csv(study_path(s, "_softmax.csv"), COLUMNS, columns, CASES);
}

/* ---- a network that starts certain of a wrong class ---- */

typedef struct variant {
    const char *name;
    bool squared, bad, adam;
} variant;

static const variant variants[RUNS] = {
    {"cross-entropy, usual start", false, false, false},   {"squared error, usual start", true, false, false},
    {"cross-entropy, bad start", false, true, false},      {"squared error, bad start", true, true, false},
    {"cross-entropy, bad start, Adam", false, true, true}, {"squared error, bad start, Adam", true, true, true},
};

static tarn_optim *new_adam(tarn_params *params, double lr, void *context)
{
    (void)context;
    return tarn_adam_new(params, &(tarn_adam_opts){.lr = lr});
}

/* Raises the output of class WRONG by `offset`, whatever the image. */
static bool make_certain(stack *net, double offset)
{
    const int32_t wrong = WRONG;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *one = tarn_one_hot(t, tarn_constant(t, TARN_I32, 0, NULL, &wrong), STUDY_CLASSES, TARN_F32);
    tarn_tensor *bias = tarn_tensor_clone(tarn_add(t, net->out.bias, tarn_mul_scalar(t, one, offset)));
    tarn_copy(net->out.bias, bias);
    tarn_tensor_free(bias);
    tarn_tape_free(t);
    return !tarn_error();
}

static bool train(const study *s, const settings *o, const variant *v, training_log *log)
{
    stack net;
    const stack_opts shape = {.depth = DEPTH, .width = WIDTH, .activation = TARN_RELU};
    const training_opts training = {.steps = o->steps,
                                    .batch_size = BATCH,
                                    .check_every = o->every,
                                    .seed = (uint64_t)s->seed,
                                    .lr = v->adam ? o->adam_lr : o->lr,
                                    .optim_new = v->adam ? new_adam : NULL,
                                    .loss_of = v->squared ? training_squared_error : NULL,
                                    .label = s->quiet ? NULL : v->name};
    if (stack_init(&net, &shape, (uint64_t)s->seed) && (!v->bad || make_certain(&net, o->offset)))
        training_run(log, &net, s->train, s->valid, &training);
    stack_free(&net);
    return !tarn_error();
}

static bool tabulate(const study *s, const settings *o, const training_log *logs)
{
    const char *names[RUNS];
    double lr[RUNS], first[RUNS], norm[RUNS], last[RUNS], best[RUNS], accuracy[RUNS], to_half[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const training_log *log = &logs[i];
        names[i] = variants[i].name;
        lr[i] = variants[i].adam ? o->adam_lr : o->lr;
        first[i] = log->valid_loss[0];
        norm[i] = log->grad_norm[0];
        last[i] = log->valid_loss[log->checks - 1];
        best[i] = training_best(log);
        accuracy[i] = training_last(log);
        to_half[i] = training_steps_to(log, 0.5);
    }
    const table_column columns[] = {
        {.name = "loss, start, optimiser", .texts = names},
        {.name = "learning rate", .numbers = lr},
        {.name = "loss at the start", .numbers = first},
        {.name = "gradient there", .numbers = norm},
        {.name = "loss at the end", .numbers = last},
        {.name = "steps to 50 %", .numbers = to_half, .decimals = TABLE_WHOLE},
        {.name = "last accuracy", .numbers = accuracy, .decimals = 4},
        {.name = "best accuracy", .numbers = best, .decimals = 4},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, RUNS) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, RUNS);
}

static bool draw(const study *s, const settings *o, const training_log *logs)
{
    plot_series accuracy[RUNS], norm[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const plot_series look = {.name = variants[i].name,
                                  .colour = (variants[i].adam ? 3 : 1) + variants[i].squared,
                                  .dashed = !variants[i].bad};
        accuracy[i] = norm[i] = look;
        accuracy[i].n = logs[i].checks;
        accuracy[i].x = logs[i].check_step;
        accuracy[i].y = logs[i].valid_accuracy;
        norm[i].n = logs[i].steps;
        norm[i].y = logs[i].grad_norm;
        norm[i].width = 1;
    }
    char title[256], note[512];
    const double entropy = training_last(&logs[2]), squared = training_last(&logs[3]);
    snprintf(title, sizeof title,
             "From a start sure of a wrong class gradient descent reaches %.1f %% by cross-entropy, %s%.1f %% by "
             "squared error",
             100 * entropy, squared < entropy ? "only " : "", 100 * squared);
    snprintf(
        note, sizeof note,
        "Fashion-MNIST, %d layers of %d with ReLU, batches of %d, gradient descent at %g or Adam at %g; the bad start "
        "adds %g to the output of class %d; %d images held out; seed %lld",
        DEPTH, WIDTH, BATCH, o->lr, o->adam_lr, o->offset, WRONG, VALIDATION, (long long)s->seed);
    const plot_panel panels[] = {{.x = {.label = "training steps"},
                                  .y = {.label = "validation accuracy", .low = 0, .high = 1},
                                  .n_series = RUNS,
                                  .series = accuracy},
                                 {.x = {.label = "training steps"},
                                  .y = {.label = "norm of the batch's gradient", .log = true},
                                  .n_series = RUNS - USUAL,
                                  .series = norm + USUAL}};
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 2, .panels = panels, .width = 640, .height = 440});
}

static bool show_training(study *s, const settings *o)
{
    training_log logs[RUNS] = {0};
    bool ok = true;
    for (int i = 0; i < RUNS && ok; i++)
        ok = train(s, o, &variants[i], &logs[i]);
    if (ok && tabulate(s, o, logs))
        draw(s, o, logs);
    for (int i = 0; i < RUNS; i++)
        training_free(&logs[i]);
    return !tarn_error();
}

/* ---- class numbers as targets ---- */

typedef struct numbering {
    const char *name;
    float numbers
        [STUDY_CLASSES]; /* of the classes T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, boot */
} numbering;

static const numbering numberings[TARGETS] = {
    {"numbers 1 to 10, as the data has them", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
    {"like classes next to each other", {4, 1, 6, 3, 7, 8, 5, 9, 2, 10}},
    {"like classes far apart", {1, 4, 6, 10, 9, 2, 3, 7, 5, 8}},
    {"one-hot, softmax, cross-entropy", {0}},
};

static tarn_tensor *numbers_of(tarn_tape *t, void *context)
{
    const numbering *n = context;
    return tarn_constant(t, TARN_F32, TARN_SHAPE(STUDY_CLASSES), n->numbers);
}

/* The first output is the answer: a number. */
static tarn_tensor *distance(tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels, void *context)
{
    tarn_tensor *target = tarn_index_select(t, numbers_of(t, context), 0, labels);
    return tarn_mse(t, tarn_slice(t, outputs, 1, 0, 1, 1), tarn_reshape(t, target, TARN_SHAPE(-1, 1)));
}

/* The nearest class scores highest. */
static tarn_tensor *nearness(tarn_tape *t, tarn_tensor *outputs, void *context)
{
    return tarn_neg(t, tarn_abs(t, tarn_sub(t, tarn_slice(t, outputs, 1, 0, 1, 1), numbers_of(t, context))));
}

static bool regress(const study *s, const settings *o, int which, training_log *log)
{
    stack net;
    numbering n = numberings[which];
    const bool one_hot = which == TARGETS - 1;
    const stack_opts shape = {.depth = DEPTH, .width = WIDTH, .activation = TARN_RELU};
    const training_opts training = {.steps = o->steps,
                                    .batch_size = BATCH,
                                    .check_every = o->every,
                                    .seed = (uint64_t)s->seed,
                                    .lr = o->adam_lr,
                                    .optim_new = new_adam,
                                    .loss_of = one_hot ? NULL : distance,
                                    .scores_of = one_hot ? NULL : nearness,
                                    .context = &n,
                                    .label = s->quiet ? NULL : n.name};
    if (stack_init(&net, &shape, (uint64_t)s->seed))
        training_run(log, &net, s->train, s->valid, &training);
    stack_free(&net);
    return !tarn_error();
}

static bool draw_regression(const study *s, const settings *o, const training_log *logs)
{
    plot_series series[TARGETS];
    const char *names[TARGETS];
    double best[TARGETS], last[TARGETS];
    for (int i = 0; i < TARGETS; i++) {
        series[i] = (plot_series){
            .name = numberings[i].name, .n = logs[i].checks, .x = logs[i].check_step, .y = logs[i].valid_accuracy};
        names[i] = numberings[i].name;
        best[i] = training_best(&logs[i]);
        last[i] = training_last(&logs[i]);
    }
    const table_column columns[] = {{.name = "target", .texts = names},
                                    {.name = "best accuracy", .numbers = best, .decimals = 4},
                                    {.name = "last accuracy", .numbers = last, .decimals = 4}};
    char title[256], note[512];
    snprintf(
        title, sizeof title,
        "Class numbers as targets of a regression: %.1f to %.1f %% right at best, by the numbering; one-hot: %.1f %%",
        100 * fmin(best[0], fmin(best[1], best[2])), 100 * fmax(best[0], fmax(best[1], best[2])), 100 * best[3]);
    snprintf(note, sizeof note,
             "Fashion-MNIST, %d layers of %d with ReLU, batches of %d, Adam at %g; the nearest number is the answer; "
             "%d images held out; seed %lld",
             DEPTH, WIDTH, BATCH, o->adam_lr, VALIDATION, (long long)s->seed);
    const plot_panel panel = {.x = {.label = "training steps"},
                              .y = {.label = "validation accuracy", .low = 0, .high = 1},
                              .n_series = TARGETS,
                              .series = series};
    return table_print(stdout, 3, columns, TARGETS) &&
           table_write_csv(study_path(s, "_regression.csv"), 3, columns, TARGETS) &&
           plot_write(study_path(s, "_regression.svg"),
                      &(plot_figure){
                          .title = title, .note = note, .n_panels = 1, .panels = &panel, .width = 860, .height = 440});
}

static bool show_regression(const study *s, const settings *o)
{
    training_log logs[TARGETS] = {0};
    bool ok = true;
    for (int i = 0; i < TARGETS && ok; i++)
        ok = regress(s, o, i, &logs[i]);
    if (ok)
        draw_regression(s, o, logs);
    for (int i = 0; i < TARGETS; i++)
        training_free(&logs[i]);
    return !tarn_error();
}

int main(int argc, char **argv)
{
    study s = {.name = "classification",
               .about = "Compares squared error and cross-entropy as the loss of a classifier."};
    settings o = {.steps = 2000,
                  .every = 50,
                  .grid = 81,
                  .path_steps = 500,
                  .examples = 50000,
                  .lr = 0.1,
                  .adam_lr = 1e-3,
                  .offset = 16};
    const cli_option more[] = {
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "training steps of each network"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "learning rate of gradient descent"},
        {"--offset", "X", CLI_REAL, &o.offset, 0, 1000, "what the bad start adds to a wrong class"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick) {
        o.steps = o.path_steps = o.every = 20;
        o.grid = 21;
        o.examples = 2000;
    }
    if (show_softmax(&s) && two_outputs_show(&s, o.grid, o.path_steps) && study_load(&s, o.examples, VALIDATION) &&
        show_training(&s, &o))
        show_regression(&s, &o);
    return study_end(&s);
}
