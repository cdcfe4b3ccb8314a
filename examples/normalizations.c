/* normalizations.c: the normalizations that followed BatchNorm, in the same convolutional network, trained on the same
 * number of examples in batches of 2 to 128 (as figure 5 of Wu & He 2018, 1803.08494, has it for two of them); and
 * BatchNorm before the activation beside BatchNorm behind it, for ReLU and sigmoid. */
#include "examples/common/plot.h"
#include "examples/common/progress.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum {
    METHODS = 8,
    SIZES = 5,
    PLACINGS = 6,
    BEFORE_SIGMOID = 4,
    AFTER_SIGMOID = 5,
    MAX_REPEATS = 5,
    REFERENCE = 3,
    REFERENCE_BATCH = 32
};

static const stack_norm methods[METHODS] = {STACK_PLAIN,      STACK_BATCHNORM,    STACK_BATCH_RENORM,
                                            STACK_LAYERNORM,  STACK_INSTANCENORM, STACK_GROUPNORM,
                                            STACK_WEIGHTNORM, STACK_SPECTRALNORM};
static const int64_t sizes[SIZES] = {2, 4, 8, 32, 128};

typedef struct placing {
    const char *name;
    tarn_activation activation;
    stack_norm norm;
    bool after;
    int colour;
} placing;

static const placing placings[PLACINGS] = {
    {"ReLU alone", TARN_RELU, STACK_PLAIN, false, 1},
    {"BatchNorm before ReLU", TARN_RELU, STACK_BATCHNORM, false, 2},
    {"BatchNorm after ReLU", TARN_RELU, STACK_BATCHNORM, true, 3},
    {"sigmoid alone", TARN_SIGMOID, STACK_PLAIN, false, 1},
    {"BatchNorm before sigmoid", TARN_SIGMOID, STACK_BATCHNORM, false, 2},
    {"BatchNorm after sigmoid", TARN_SIGMOID, STACK_BATCHNORM, true, 3},
};

typedef struct settings {
    int64_t depth, width, examples, train, validation, repeats, looks;
    double lr; /* at REFERENCE_BATCH; in proportion to the batch size at others */
} settings;

/* Over the repeats, each with its own seed. */
typedef struct result {
    double mean, low, high;
} result;

static bool train_one(const study *s, const settings *o, stack_opts shape, int64_t batch, int64_t repeat, int64_t every,
                      training_log *log)
{
    stack net;
    const uint64_t seed = (uint64_t)(s->seed + repeat);
    const int64_t steps = o->examples / batch;
    shape.convolutions = true;
    shape.depth = (int)o->depth;
    shape.width = o->width;
    /* The paper's schedule is for 160k steps. At this run's length: BatchNorm for a tenth of it, the limits at their last
     * values after half, and moving averages that have forgotten where they began. */
    shape.renorm = (tarn_batch_renorm_opts){.start = 1 + steps / 10,
                                            .r_end = 1 + steps / 2,
                                            .d_end = 1 + steps / 2,
                                            .momentum = fmax(0.01, fmin(0.1, 10 / (double)steps))};
    const training_opts training = {.steps = steps,
                                    .batch_size = batch,
                                    .check_every = every,
                                    .seed = seed,
                                    .lr = o->lr * (double)batch / REFERENCE_BATCH};
    if (stack_init(&net, &shape, seed))
        training_run(log, &net, s->train, s->valid, &training);
    stack_free(&net);
    return !tarn_error();
}

static bool measure(const study *s, const settings *o, stack_norm method, int64_t batch, result *r)
{
    *r = (result){0, INFINITY, -INFINITY};
    for (int64_t i = 0; i < o->repeats; i++) {
        training_log log = {0};
        const stack_opts shape = {.activation = TARN_RELU, .norm = method};
        if (train_one(s, o, shape, batch, i, 0, &log)) {
            const double accuracy = training_last(&log);
            r->mean += accuracy / (double)o->repeats;
            r->low = fmin(r->low, accuracy);
            r->high = fmax(r->high, accuracy);
        }
        training_free(&log);
    }
    return !tarn_error();
}

static bool measure_all(const study *s, const settings *o, result results[METHODS][SIZES], training_log *logs)
{
    const int64_t total = METHODS * SIZES + PLACINGS;
    progress bar = progress_begin("normalizations", total, "runs", 1, s->quiet);
    int64_t done = 0;
    for (int m = 0; m < METHODS && !tarn_error(); m++)
        for (int b = 0; b < SIZES && measure(s, o, methods[m], sizes[b], &results[m][b]); b++)
            progress_show(&bar, ++done, stack_norm_name(methods[m]));
    for (int p = 0; p < PLACINGS && !tarn_error(); p++) {
        const placing *v = &placings[p];
        const stack_opts shape = {.activation = v->activation, .norm = v->norm, .norm_after = v->after};
        train_one(s, o, shape, REFERENCE_BATCH, 0, o->examples / REFERENCE_BATCH / o->looks, &logs[p]);
        progress_show(&bar, ++done, v->name);
    }
    progress_end(&bar, NULL);
    return !tarn_error();
}

static bool tabulate_sizes(const study *s, const settings *o, result results[METHODS][SIZES])
{
    const char *names[METHODS];
    char heads[2 * SIZES][32];
    double means[SIZES][METHODS], spreads[SIZES][METHODS];
    table_column columns[1 + 2 * SIZES] = {{.name = "accuracy of", .texts = names}};
    const int n = o->repeats > 1 ? 1 + 2 * SIZES : 1 + SIZES;
    for (int b = 0; b < SIZES; b++) {
        snprintf(heads[b], sizeof heads[b], "batch %lld", (long long)sizes[b]);
        snprintf(heads[SIZES + b], sizeof heads[b], "range at %lld", (long long)sizes[b]);
        columns[1 + b] = (table_column){.name = heads[b], .numbers = means[b], .decimals = 4};
        columns[1 + SIZES + b] = (table_column){.name = heads[SIZES + b], .numbers = spreads[b], .decimals = 4};
        for (int m = 0; m < METHODS; m++) {
            names[m] = stack_norm_name(methods[m]);
            means[b][m] = results[m][b].mean;
            spreads[b][m] = results[m][b].high - results[m][b].low;
        }
    }
    return table_print(stdout, n, columns, METHODS) && table_write_csv(study_path(s, ".csv"), n, columns, METHODS);
}

static bool tabulate_placings(const study *s, const training_log *logs)
{
    const char *names[PLACINGS];
    double best[PLACINGS], last[PLACINGS], loss[PLACINGS];
    for (int p = 0; p < PLACINGS; p++) {
        names[p] = placings[p].name;
        best[p] = training_best(&logs[p]);
        last[p] = training_last(&logs[p]);
        loss[p] = logs[p].valid_loss[logs[p].checks - 1];
    }
    const table_column columns[] = {
        {.name = "network", .texts = names},
        {.name = "best accuracy", .numbers = best, .decimals = 4},
        {.name = "last accuracy", .numbers = last, .decimals = 4},
        {.name = "last validation loss", .numbers = loss, .decimals = 4},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return putchar('\n') != EOF && table_print(stdout, COLUMNS, columns, PLACINGS) &&
           table_write_csv(study_path(s, "_placing.csv"), COLUMNS, columns, PLACINGS);
}

/* The findings, as numbers. */
static void write_titles(char *title, char *placing_title, size_t size, result results[METHODS][SIZES],
                         const training_log *logs)
{
    static const int told[] = {1, 2, 3, 5};
    int at = snprintf(title, size, "From batches of %d to %lld,", REFERENCE_BATCH, (long long)sizes[0]);
    for (int i = 0; i < 4 && at > 0 && (size_t)at < size; i++) {
        const result *r = results[told[i]];
        const double gain = 100 * (r[0].mean - r[REFERENCE].mean);
        at +=
            snprintf(title + at, size - (size_t)at, "%s %s %s %.1f%s", i ? "," : "", stack_norm_name(methods[told[i]]),
                     gain < 0 ? "loses" : "gains", fabs(gain), i ? "" : " points of accuracy");
    }
    snprintf(placing_title, size, "BatchNorm after the sigmoid: %.0f %% right, before it: %.0f %%",
             100 * training_last(&logs[AFTER_SIGMOID]), 100 * training_last(&logs[BEFORE_SIGMOID]));
}

static bool draw(const study *s, const settings *o, result results[METHODS][SIZES], const training_log *logs)
{
    static const char *const ticks[] = {"1", "2", "4", "8", "16", "32", "64", "128", "256"};
    double at[SIZES], values[3][METHODS][SIZES];
    plot_series by_size[METHODS], by_step[PLACINGS];
    for (int b = 0; b < SIZES; b++)
        at[b] = log2((double)sizes[b]);
    for (int m = 0; m < METHODS; m++) {
        for (int b = 0; b < SIZES; b++) {
            values[0][m][b] = results[m][b].mean;
            values[1][m][b] = results[m][b].low;
            values[2][m][b] = results[m][b].high;
        }
        by_size[m] = (plot_series){.name = stack_norm_name(methods[m]),
                                   .n = SIZES,
                                   .x = at,
                                   .y = values[0][m],
                                   .low = o->repeats > 1 ? values[1][m] : NULL,
                                   .high = o->repeats > 1 ? values[2][m] : NULL,
                                   .style = PLOT_LINE_AND_POINTS,
                                   .dashed = methods[m] == STACK_PLAIN};
    }
    for (int p = 0; p < PLACINGS; p++)
        by_step[p] = (plot_series){.name = placings[p].name,
                                   .n = logs[p].checks,
                                   .x = logs[p].check_step,
                                   .y = logs[p].valid_accuracy,
                                   .colour = placings[p].colour,
                                   .dashed = placings[p].activation == TARN_SIGMOID};
    char title[256], placing_title[256], note[512], repeats[80] = "";
    write_titles(title, placing_title, sizeof title, results, logs);
    if (o->repeats > 1)
        snprintf(repeats, sizeof repeats, "left: mean and range of %lld seeds; ", (long long)o->repeats);
    snprintf(
        note, sizeof note,
        "Fashion-MNIST, %lld convolutions, %lld examples seen by each network, gradient descent at %g x batch / %d; "
        "accuracy on %lld images held out; %sright: batches of %d; seed %lld",
        (long long)o->depth, (long long)o->examples, o->lr, REFERENCE_BATCH, (long long)o->validation, repeats,
        REFERENCE_BATCH, (long long)s->seed);
    const plot_panel panels[] = {
        {.title = "Normalizations against batch size",
         .x = {.label = "batch size", .low = 0.5, .high = 7.5, .n_ticks = 9, .tick_names = ticks},
         .y = {.label = "validation accuracy", .low = 0, .high = 0.9},
         .n_series = METHODS,
         .series = by_size},
        {.title = placing_title,
         .x = {.label = "training steps"},
         .y = {.label = "validation accuracy", .low = 0, .high = 0.9},
         .n_series = PLACINGS,
         .series = by_step},
    };
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 2, .panels = panels, .width = 680, .height = 500});
}

static void run(study *s, const settings *o)
{
    static result results[METHODS][SIZES];
    training_log logs[PLACINGS] = {0};
    if (study_load(s, o->train, o->validation) && measure_all(s, o, results, logs) && tabulate_sizes(s, o, results) &&
        tabulate_placings(s, logs))
        draw(s, o, results, logs);
    for (int p = 0; p < PLACINGS; p++)
        training_free(&logs[p]);
}

int main(int argc, char **argv)
{
    study s = {.name = "normalizations",
               .about =
                   "Compares normalizations at batch sizes 2 to 128, and BatchNorm before and after the activation."};
    settings o = {.depth = 6,
                  .width = 8,
                  .examples = 16384,
                  .train = 16384,
                  .validation = 2000,
                  .repeats = 1,
                  .looks = 16,
                  .lr = 0.2};
    const cli_option more[] = {
        {"--examples", "N", CLI_INT, &o.examples, 128, 10000000, "seen in each run"},
        {"--repeats", "N", CLI_INT, &o.repeats, 1, MAX_REPEATS, "runs of each network, each with its own seed"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "learning rate for batches of 32"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 3,
                       .width = 4,
                       .examples = 128,
                       .train = 512,
                       .validation = 100,
                       .repeats = 1,
                       .looks = 2,
                       .lr = o.lr};
    run(&s, &o);
    return study_end(&s);
}
