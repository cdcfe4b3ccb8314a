/* batchnorm_figure.c: the figure of the BatchNorm paper (Ioffe & Szegedy 2015, 1502.03167, figure 2), redrawn on
 * Fashion-MNIST: validation accuracy against training steps for a deep convolutional network without BatchNorm, with
 * it, with it at 5 and 30 times the learning rate, and with sigmoids in place of ReLU. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 6, BASELINE = 0, BATCHNORM = 1, WITH_SIGMOID = 4, PLAIN_SIGMOID = 5, BATCH = 32, LOOKS = 5 };

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

/* A run, and its accuracies: each look's, and the mean of the last LOOKS of them, which has less noise. */
typedef struct result {
    training_log log;
    double *smooth;              /* [log.checks]; NaN before there are LOOKS of them */
    double last, best, steps_to; /* of the means; steps to the plain network's last */
    double share;                /* of the plain network's steps */
} result;

static bool run_one(const study *s, const settings *o, const variant *v, result *r)
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
        training_run(&r->log, &net, s->train, s->valid, &training);
    stack_free(&net);
    r->smooth = calloc((size_t)r->log.checks + 1, sizeof *r->smooth);
    if (!r->smooth)
        return tarn_fail("no memory for %lld accuracies", (long long)r->log.checks);
    if (!tarn_moving_average(r->log.checks, r->log.valid_accuracy, LOOKS, r->smooth))
        return false;
    for (int64_t k = r->log.checks - 1; k >= 0;
         k--) /* it is centred: the mean up to a look stands LOOKS / 2 before it */
        r->smooth[k] = k >= LOOKS - 1 ? r->smooth[k - LOOKS / 2] : NAN;
    return true;
}

static void compare(result results[RUNS])
{
    for (int i = 0; i < RUNS; i++) {
        result *r = &results[i];
        r->last = r->smooth[r->log.checks - 1];
        r->best = r->steps_to = NAN;
        for (int64_t k = 0; k < r->log.checks; k++) {
            r->best = fmax(r->best, r->smooth[k]);
            if (isnan(r->steps_to) && r->smooth[k] >= results[BASELINE].last)
                r->steps_to = r->log.check_step[k];
        }
        r->share = results[BASELINE].steps_to > 0 ? r->steps_to / results[BASELINE].steps_to : NAN;
    }
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const result *results)
{
    int fastest = BATCHNORM;
    for (int i = BATCHNORM + 1; i < RUNS; i++)
        if (results[i].share < results[fastest].share || isnan(results[fastest].share))
            fastest = i;
    const double sigmoid_gain = results[WITH_SIGMOID].best - results[PLAIN_SIGMOID].best;
    const char *sigmoids = sigmoid_gain > 0.2 ? "; sigmoids train only with it" : "";
    if (!isfinite(results[BATCHNORM].share))
        snprintf(title, size, "BatchNorm does not reach the plain network's final accuracy in these few steps%s",
                 sigmoids);
    else
        snprintf(
            title, size,
            "BatchNorm reaches the plain network's final accuracy in %.0f %% of its steps, at %.0f times the learning "
            "rate in %.0f %%%s",
            100 * results[BATCHNORM].share, variants[fastest].rate, 100 * results[fastest].share, sigmoids);
}

static bool draw(const study *s, const settings *o, const result *results)
{
    plot_series series[2 * RUNS + 1];
    for (int i = 0; i < RUNS; i++) {
        const training_log *log = &results[i].log;
        const bool dashed = variants[i].activation == TARN_SIGMOID;
        series[i] = (plot_series){.n = log->checks,
                                  .x = log->check_step,
                                  .y = log->valid_accuracy,
                                  .colour = i + 1,
                                  .width = 1,
                                  .faint = true};
        series[RUNS + i] = (plot_series){.name = variants[i].name,
                                         .n = log->checks,
                                         .x = log->check_step,
                                         .y = results[i].smooth,
                                         .colour = i + 1,
                                         .dashed = dashed};
    }
    const double across[] = {0, (double)o->steps}, level[] = {results[BASELINE].last, results[BASELINE].last};
    series[2 * RUNS] = (plot_series){
        .name = "the plain network's final", .n = 2, .x = across, .y = level, .colour = 1, .width = 1, .dashed = true};
    char title[256], note[512];
    write_title(title, sizeof title, results);
    snprintf(
        note, sizeof note,
        "Fashion-MNIST, %lld convolutions, batches of %d, plain gradient descent at %g (x1); accuracy on %lld images "
        "held out, mean of the last %d looks (faint: each); seed %lld",
        (long long)o->depth, BATCH, o->lr, (long long)o->validation, LOOKS, (long long)s->seed);
    const plot_panel panel = {.x = {.label = "training steps"},
                              .y = {.label = "validation accuracy", .low = 0, .high = 1},
                              .n_series = 2 * RUNS + 1,
                              .series = series};
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 1, .panels = &panel, .width = 860, .height = 480});
}

static bool tabulate(const study *s, const settings *o, const result *results)
{
    const char *names[RUNS];
    double lr[RUNS], best[RUNS], last[RUNS], steps_to[RUNS], share[RUNS], seconds[RUNS];
    for (int i = 0; i < RUNS; i++) {
        names[i] = variants[i].name;
        lr[i] = variants[i].rate * o->lr;
        best[i] = results[i].best, last[i] = results[i].last;
        steps_to[i] = results[i].steps_to, share[i] = results[i].share;
        seconds[i] = results[i].log.seconds;
    }
    const table_column columns[] = {
        {.name = "network", .texts = names},
        {.name = "learning rate", .numbers = lr},
        {.name = "best accuracy", .numbers = best, .decimals = 4},
        {.name = "final accuracy", .numbers = last, .decimals = 4},
        {.name = "steps to the plain network's final", .numbers = steps_to, .decimals = TABLE_WHOLE},
        {.name = "share of its steps", .numbers = share, .decimals = 2},
        {.name = "time [s]", .numbers = seconds, .decimals = 1},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, RUNS) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, RUNS);
}

static void run(study *s, const settings *o)
{
    result results[RUNS] = {0};
    bool ok = study_load(s, s->quick ? 2000 : 50000, o->validation);
    for (int i = 0; i < RUNS && ok; i++)
        ok = run_one(s, o, &variants[i], &results[i]);
    if (ok) {
        compare(results);
        if (tabulate(s, o, results))
            draw(s, o, results);
    }
    for (int i = 0; i < RUNS; i++) {
        training_free(&results[i].log);
        free(results[i].smooth);
    }
}

int main(int argc, char **argv)
{
    study s = {.name = "batchnorm_figure",
               .about = "Trains a deep network with and without BatchNorm, and counts the steps to an accuracy."};
    settings o = {.depth = 14, .width = 16, .steps = 2500, .every = 50, .validation = 2000, .lr = 0.03};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 3, STACK_MAX_DEPTH, "convolutions"},
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "training steps of each network"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "the plain network's learning rate"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 4, .width = 4, .steps = 20, .every = 2, .validation = 200, .lr = o.lr};
    run(&s, &o);
    return study_end(&s);
}
