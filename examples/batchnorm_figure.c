/* batchnorm_figure.c: the figure of the BatchNorm paper (Ioffe & Szegedy 2015, 1502.03167, figure 2), redrawn on
 * Fashion-MNIST: validation accuracy against training steps for a deep convolutional network without BatchNorm, with it,
 * with it at 5 and 30 times the learning rate, and with sigmoids in place of ReLU. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { RUNS = 6, BASELINE = 0, BATCHNORM = 1, WITH_SIGMOID = 4, PLAIN_SIGMOID = 5, BATCH = 32 };

typedef struct variant {
    const char *name;
    stack_norm norm;
    tarn_activation activation;
    double rate; /* times the baseline's */
} variant;

static const variant variants[RUNS] = {
    {"ReLU, no BatchNorm", STACK_PLAIN, TARN_RELU, 1},
    {"ReLU, BatchNorm", STACK_BATCHNORM, TARN_RELU, 1},
    {"ReLU, BatchNorm x5", STACK_BATCHNORM, TARN_RELU, 5},
    {"ReLU, BatchNorm x30", STACK_BATCHNORM, TARN_RELU, 30},
    {"sigmoid, BatchNorm x5", STACK_BATCHNORM, TARN_SIGMOID, 5},
    {"sigmoid, no BatchNorm", STACK_PLAIN, TARN_SIGMOID, 1},
};

typedef struct settings {
    int64_t depth, width, steps, every, validation;
    double lr;
} settings;

static bool run_one(const study *s, const settings *o, const variant *v, training_log *log)
{
    stack net;
    const stack_opts shape = {
        .convolutions = true, .depth = (int)o->depth, .width = o->width, .activation = v->activation, .norm = v->norm};
    const training_opts training = {.steps = o->steps,
                                    .batch_size = BATCH,
                                    .check_every = o->every,
                                    .seed = (uint64_t)s->seed,
                                    .lr = v->rate * o->lr,
                                    .label = s->quiet ? NULL : v->name};
    if (stack_init(&net, &shape, (uint64_t)s->seed))
        training_run(log, &net, s->train, s->valid, &training);
    stack_free(&net);
    return !tarn_error();
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const double *best, const double *share)
{
    int fastest = BATCHNORM;
    for (int i = BATCHNORM + 1; i < RUNS; i++)
        if (share[i] < share[fastest] || isnan(share[fastest]))
            fastest = i;
    const double sigmoid_gain = best[WITH_SIGMOID] - best[PLAIN_SIGMOID];
    const char *sigmoids = sigmoid_gain > 0.2 ? "; sigmoids train only with it" : "";
    if (!isfinite(share[BATCHNORM]))
        snprintf(title, size, "BatchNorm does not reach the plain network's best accuracy in these few steps%s",
                 sigmoids);
    else
        snprintf(
            title, size,
            "BatchNorm reaches the plain network's best accuracy in %.0f %% of its steps, at %.0f times the learning "
            "rate in %.0f %%%s",
            100 * share[BATCHNORM], variants[fastest].rate, 100 * share[fastest], sigmoids);
}

static bool draw(const study *s, const settings *o, const training_log *logs, const double *best, const double *share)
{
    plot_series series[RUNS + 1];
    for (int i = 0; i < RUNS; i++)
        series[i] = (plot_series){.name = variants[i].name,
                                  .n = logs[i].checks,
                                  .x = logs[i].check_step,
                                  .y = logs[i].valid_accuracy,
                                  .colour = i + 1,
                                  .dashed = variants[i].activation == TARN_SIGMOID};
    const double across[] = {0, (double)o->steps}, level[] = {best[BASELINE], best[BASELINE]};
    series[RUNS] = (plot_series){
        .name = "the plain network's best", .n = 2, .x = across, .y = level, .colour = 1, .width = 1, .dashed = true};
    char title[256], note[512];
    write_title(title, sizeof title, best, share);
    snprintf(
        note, sizeof note,
        "Fashion-MNIST, %lld convolutions, batches of %d, plain gradient descent at %g (x1); accuracy on %lld images "
        "held out; seed %lld",
        (long long)o->depth, BATCH, o->lr, (long long)o->validation, (long long)s->seed);
    const plot_panel panel = {.x = {.label = "training steps"},
                              .y = {.label = "validation accuracy", .low = 0, .high = 1},
                              .n_series = RUNS + 1,
                              .series = series};
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 1, .panels = &panel, .width = 860, .height = 480});
}

static bool tabulate(const study *s, const settings *o, const training_log *logs, double *best, double *share)
{
    const char *names[RUNS];
    double lr[RUNS], last[RUNS], steps_to[RUNS], seconds[RUNS];
    for (int i = 0; i < RUNS; i++) {
        best[i] = training_best(&logs[i]);
        steps_to[i] = training_steps_to(&logs[i], best[BASELINE]);
        names[i] = variants[i].name;
        lr[i] = variants[i].rate * o->lr;
        last[i] = training_last(&logs[i]);
        share[i] = steps_to[BASELINE] > 0 ? steps_to[i] / steps_to[BASELINE] : NAN;
        seconds[i] = logs[i].seconds;
    }
    const table_column columns[] = {
        {.name = "network", .texts = names},
        {.name = "learning rate", .numbers = lr},
        {.name = "best accuracy", .numbers = best, .decimals = 4},
        {.name = "last accuracy", .numbers = last, .decimals = 4},
        {.name = "steps to the plain network's best", .numbers = steps_to, .decimals = TABLE_WHOLE},
        {.name = "share of its steps", .numbers = share, .decimals = 2},
        {.name = "time [s]", .numbers = seconds, .decimals = 1},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, RUNS) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, RUNS);
}

static void run(study *s, const settings *o)
{
    training_log logs[RUNS] = {0};
    double best[RUNS], share[RUNS];
    bool ok = study_load(s, s->quick ? 2000 : 50000, o->validation);
    for (int i = 0; i < RUNS && ok; i++)
        ok = run_one(s, o, &variants[i], &logs[i]);
    if (ok && tabulate(s, o, logs, best, share))
        draw(s, o, logs, best, share);
    for (int i = 0; i < RUNS; i++)
        training_free(&logs[i]);
}

int main(int argc, char **argv)
{
    study s = {.name = "batchnorm_figure",
               .about = "Trains a deep network with and without BatchNorm, and counts the steps to an accuracy."};
    settings o = {.depth = 14, .width = 16, .steps = 2500, .every = 50, .validation = 2000, .lr = 0.05};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 3, STACK_MAX_DEPTH, "convolutions"},
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "training steps of each network"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "the plain network's learning rate"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 4, .width = 4, .steps = 20, .every = 10, .validation = 200, .lr = o.lr};
    run(&s, &o);
    return study_end(&s);
}
