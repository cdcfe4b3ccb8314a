/* batch_size.c: small batches against large ones, the lecture's table with measured entries: time for an update and
 * for an epoch, noise of the gradient, what training achieves and how it generalises, on Fashion-MNIST. */
#include "examples/common/plot.h"
#include "examples/common/progress.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SIZES = 7, RATES = 3, COMMON_RATE = 0, ALONE = 0, ALL = 1, MAX_UPDATES = 256 };

static const int64_t sizes[SIZES] = {1, 4, 16, 64, 256, 1024, 4096};
static const char *const size_names[SIZES] = {"1", "4", "16", "64", "256", "1024", "4096"};
static const double rates[RATES] = {0.01, 0.1, 0.3};

typedef struct settings {
    int64_t depth, width, images, epochs, validation, noise_batches, n_sizes;
    double seconds; /* of timing, for each size and number of threads; at least three updates, at most MAX_UPDATES */
} settings;

/* [thread setting: ALONE or ALL][size], or [size]. */
typedef struct findings {
    double update[2][SIZES], usual[2][SIZES];                /* [ms]: the fastest, the median */
    double epoch[2][SIZES];                                  /* [s] */
    double noise[SIZES], expected_noise[SIZES], noise_scale; /* in gradients; in examples */
    double updates[SIZES], rate[SIZES], train[SIZES], valid[SIZES], gap[SIZES], common[SIZES];
    double few_updates, after_few[SIZES]; /* as many updates as the largest batches get in all */
} findings;

static bool net_init(const study *s, const settings *o, stack *net)
{
    const stack_opts shape = {.depth = (int)o->depth, .width = o->width, .activation = TARN_RELU};
    return stack_init(net, &shape, (uint64_t)s->seed);
}

static tarn_loader *loader_new(const study *s, int64_t batch_size)
{
    const tarn_loader_opts opts = {.batch_size = batch_size,
                                   .shuffle = true,
                                   .drop_last = true,
                                   .seed = (uint64_t)s->seed,
                                   .mean = STUDY_PIXEL_MEAN,
                                   .std = STUDY_PIXEL_STD,
                                   .ahead = -1};
    return tarn_loader_new(s->train, &opts);
}

/* ---- time ---- */

static void update(tarn_tape *t, const stack *net, tarn_loader *loader, tarn_optim *optim)
{
    tarn_batch batch;
    while (!tarn_loader_next(loader, t, &batch) && !tarn_error())
        continue; /* an epoch's end */
    tarn_backward(t, tarn_cross_entropy(t, stack_apply(t, net, batch.x), batch.labels));
    tarn_optim_step(optim);
    tarn_tape_reset(t);
}

/* Processor time for one thread, which does not count what other programs take of the machine; it would add up threads. */
static double now(bool alone)
{
    return alone ? (double)clock() / CLOCKS_PER_SEC : progress_now();
}

/* The fastest update and the median, batch included: the fastest is what other programs disturb least. */
static bool time_updates(const study *s, const settings *o, int64_t batch_size, bool alone, double times[2])
{
    stack net;
    double milliseconds[MAX_UPDATES];
    int64_t n = 0;
    net_init(s, o, &net);
    tarn_tape *t = tarn_tape_new();
    tarn_loader *loader = loader_new(s, batch_size);
    tarn_optim *optim = tarn_sgd_new(net.params, &(tarn_sgd_opts){.lr = rates[COMMON_RATE]});
    update(t, &net, loader, optim); /* takes the memory */
    const double start = now(alone);
    while (!tarn_error() && n < MAX_UPDATES && (n < 3 || now(alone) - start < o->seconds)) {
        const double before = now(alone);
        update(t, &net, loader, optim);
        milliseconds[n++] = 1e3 * (now(alone) - before);
    }
    tarn_quantiles(tarn_constant(t, TARN_F64, TARN_SHAPE(n), milliseconds), 2, (const double[]){0, 0.5}, times);
    tarn_optim_free(optim);
    tarn_loader_free(loader);
    tarn_tape_free(t);
    stack_free(&net);
    return !tarn_error();
}

static bool measure_time(const study *s, const settings *o, findings *f)
{
    const int threads = tarn_threads();
    progress bar = progress_begin("time", 2 * o->n_sizes, "sizes", 1, s->quiet);
    for (int who = ALONE; who <= ALL; who++) {
        tarn_set_threads(who == ALONE ? 1 : threads);
        for (int i = 0; i < o->n_sizes; i++) {
            double q[2] = {NAN, NAN};
            if (who == ALONE || threads > 1)
                time_updates(s, o, sizes[i], who == ALONE, q);
            f->update[who][i] = q[0], f->usual[who][i] = q[1];
            f->epoch[who][i] = 1e-3 * q[0] * (double)(o->images / sizes[i]);
            progress_show(&bar, who * o->n_sizes + i + 1, NULL);
        }
    }
    progress_end(&bar, NULL);
    return !tarn_error();
}

/* ---- noise ---- */

typedef struct drawing {
    const stack *net;
    tarn_loader *loader;
    int64_t epoch;
} drawing;

/* The first batch of an epoch of its own, so that batches are drawn independently. */
static bool draw_batch(void *context, int64_t batch)
{
    drawing *d = context;
    d->epoch = batch;
    return true;
}

static tarn_tensor *loss_of_batch(tarn_tape *t, void *context)
{
    const drawing *d = context;
    tarn_batch batch = {0};
    if (!tarn_loader_seek(d->loader, d->epoch, 0) || !tarn_loader_next(d->loader, t, &batch))
        return NULL;
    return tarn_cross_entropy(t, stack_apply(t, d->net, batch.x), batch.labels);
}

/* At the weights after half an epoch in batches of 64. */
static bool measure_noise(const study *s, const settings *o, findings *f)
{
    stack net;
    training_log log = {0};
    tarn_gradient_noise_report reports[SIZES] = {0};
    const training_opts opts = {
        .steps = (o->images / 64 + 1) / 2, .batch_size = 64, .seed = (uint64_t)s->seed, .lr = rates[1]};
    if (net_init(s, o, &net))
        training_run(&log, &net, s->train, s->valid, &opts);
    tarn_tape *t = tarn_tape_new();
    progress bar = progress_begin("noise", o->n_sizes, "sizes", 1, s->quiet);
    for (int i = 0; i < o->n_sizes; i++) {
        drawing d = {.net = &net, .loader = loader_new(s, sizes[i])};
        const tarn_objective objective = {loss_of_batch, &d, net.params, t};
        tarn_gradient_noise(&objective, o->noise_batches, sizes[i], draw_batch, &reports[i]);
        tarn_loader_free(d.loader);
        progress_show(&bar, i + 1, NULL);
    }
    progress_end(&bar, NULL);
    tarn_tape_free(t);
    training_free(&log);
    stack_free(&net);
    /* The largest batches know the gradient best. */
    const tarn_gradient_noise_report *best = &reports[o->n_sizes - 1];
    const double gradient = sqrt(best->gradient_squared);
    const int middle = (int)o->n_sizes / 2;
    for (int i = 0; i < o->n_sizes; i++)
        f->noise[i] = reports[i].noise_norm / gradient;
    for (int i = 0; i < o->n_sizes; i++)
        f->expected_noise[i] = f->noise[middle] * sqrt((double)sizes[middle] / (double)sizes[i]);
    f->noise_scale = (double)sizes[middle] * f->noise[middle] * f->noise[middle];
    return !tarn_error();
}

/* ---- training ---- */

static bool train(const study *s, const settings *o, int64_t batch_size, double rate, int64_t steps,
                  training_score *training, training_score *validation)
{
    stack net;
    training_log log = {0};
    char label[64];
    snprintf(label, sizeof label, "batches of %lld, rate %g", (long long)batch_size, rate);
    const training_opts opts = {.steps = steps,
                                .batch_size = batch_size,
                                .seed = (uint64_t)s->seed,
                                .lr = rate,
                                .label = s->quiet ? NULL : label};
    if (net_init(s, o, &net))
        training_run(&log, &net, s->train, s->valid, &opts);
    if (training)
        *training = training_evaluate(&net, s->train);
    *validation =
        (training_score){.loss = log.checks ? log.valid_loss[log.checks - 1] : NAN, .accuracy = training_last(&log)};
    training_free(&log);
    stack_free(&net);
    return !tarn_error();
}

/* The rate with the best training accuracy counts. */
static bool measure_training(const study *s, const settings *o, findings *f)
{
    const int64_t examples = o->epochs * o->images, few = examples / sizes[o->n_sizes - 1];
    f->few_updates = (double)few;
    for (int i = 0; i < o->n_sizes; i++) {
        f->updates[i] = (double)(examples / sizes[i]);
        f->train[i] = f->after_few[i] = -1;
        for (int k = 0; k < RATES; k++) {
            training_score training, validation;
            if (!train(s, o, sizes[i], rates[k], examples / sizes[i], &training, &validation))
                return false;
            if (k == COMMON_RATE)
                f->common[i] = validation.accuracy;
            if (training.accuracy > f->train[i]) {
                f->rate[i] = rates[k];
                f->train[i] = training.accuracy;
                f->valid[i] = validation.accuracy;
            }
            if (i + 1 < o->n_sizes && !train(s, o, sizes[i], rates[k], few, NULL, &validation))
                return false;
            f->after_few[i] = fmax(f->after_few[i], validation.accuracy);
        }
        f->gap[i] = f->train[i] - f->valid[i];
    }
    return true;
}

/* ---- what is shown ---- */

static bool tabulate(const study *s, const settings *o, const findings *f)
{
    enum { ROWS = 14 };
    static const char *const rows[ROWS] = {"time for an update, one thread [ms]",
                                           "time for an update, all threads [ms]",
                                           "time for an epoch, one thread [s]",
                                           "time for an epoch, all threads [s]",
                                           "gradient noise / gradient",
                                           "noise by 1/sqrt(batch size)",
                                           "updates in all",
                                           "best learning rate",
                                           "optimization: training accuracy",
                                           "generalization: validation accuracy",
                                           "training - validation accuracy",
                                           "validation accuracy at one rate for all",
                                           "updates, as few for all",
                                           "validation accuracy after these"};
    double values[SIZES][ROWS];
    table_column columns[SIZES + 1] = {{.name = "batch size", .texts = rows}};
    for (int i = 0; i < o->n_sizes; i++) {
        const double column[ROWS] = {f->update[ALONE][i], f->update[ALL][i],    f->epoch[ALONE][i], f->epoch[ALL][i],
                                     f->noise[i],         f->expected_noise[i], f->updates[i],      f->rate[i],
                                     f->train[i],         f->valid[i],          f->gap[i],          f->common[i],
                                     f->few_updates,      f->after_few[i]};
        memcpy(values[i], column, sizeof column);
        columns[i + 1] = (table_column){.name = size_names[i], .numbers = values[i]};
    }
    return table_print(stdout, (int)o->n_sizes + 1, columns, ROWS) &&
           table_write_csv(study_path(s, ".csv"), (int)o->n_sizes + 1, columns, ROWS);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const settings *o, const findings *f)
{
    int best = 0, fastest = 0;
    for (int i = 1; i < o->n_sizes; i++) {
        if (f->valid[i] > f->valid[best])
            best = i;
        if (f->epoch[ALONE][i] < f->epoch[ALONE][fastest])
            fastest = i;
    }
    const int64_t last = o->n_sizes - 1;
    snprintf(
        title, size,
        "Epochs are fastest with batches of %s (1/%.0f of the time at 1), the noise falls to 1/%.0f; %lld epochs reach "
        "%.2f at best (batches of %s), %.2f with batches of %s",
        size_names[fastest], f->epoch[ALONE][0] / f->epoch[ALONE][fastest], f->noise[0] / f->noise[last],
        (long long)o->epochs, f->valid[best], size_names[best], f->valid[last], size_names[last]);
}

static bool draw(const study *s, const settings *o, const findings *f)
{
    const int64_t n = o->n_sizes;
    char alone[32] = "one thread", all[32];
    snprintf(all, sizeof all, "%d threads", tarn_threads());
    const int who = tarn_threads() > 1 ? 2 : 1;
    plot_series time[2], epoch[2];
    for (int k = 0; k < 2; k++) {
        const char *name = k == ALONE ? alone : all;
        time[k] = (plot_series){.name = name,
                                .n = n,
                                .y = f->update[k],
                                .low = f->update[k],
                                .high = f->usual[k],
                                .style = PLOT_LINE_AND_POINTS};
        epoch[k] = (plot_series){.name = name, .n = n, .y = f->epoch[k], .style = PLOT_LINE_AND_POINTS};
    }
    char expected[64], epochs[64], few[64], common[64];
    snprintf(expected, sizeof expected, "1/sqrt(batch size)");
    snprintf(epochs, sizeof epochs, "validation, %lld epochs", (long long)o->epochs);
    snprintf(common, sizeof common, "validation, rate %g for all", rates[COMMON_RATE]);
    snprintf(few, sizeof few, "validation, %.0f updates each", f->few_updates);
    const plot_series noise[] = {
        {.name = "measured", .n = n, .y = f->noise, .style = PLOT_LINE_AND_POINTS},
        {.name = expected, .n = n, .y = f->expected_noise, .dashed = true, .width = 1},
    };
    const plot_series accuracy[] = {
        {.name = "training", .n = n, .y = f->train, .style = PLOT_LINE_AND_POINTS},
        {.name = epochs, .n = n, .y = f->valid, .style = PLOT_LINE_AND_POINTS},
        {.name = common, .n = n, .y = f->common, .style = PLOT_LINE_AND_POINTS, .dashed = true, .colour = 3},
        {.name = few, .n = n, .y = f->after_few, .style = PLOT_LINE_AND_POINTS, .dashed = true, .colour = 4},
    };
    const plot_axis x = {.label = "batch size [examples]",
                         .n_ticks = (int)n,
                         .tick_names = size_names,
                         .low = -0.3,
                         .high = (double)n - 0.7};
    const plot_panel panels[] = {
        {.title = "Time for an update",
         .x = x,
         .y = {.label = "time [ms]", .log = true},
         .n_series = who,
         .series = time},
        {.title = "Time for an epoch",
         .x = x,
         .y = {.label = "time [s]", .log = true},
         .n_series = who,
         .series = epoch},
        {.title = "Noise of the gradient",
         .x = x,
         .y = {.label = "noise / gradient", .log = true},
         .n_series = 2,
         .series = noise},
        {.title = "What is reached", .x = x, .y = {.label = "accuracy"}, .n_series = 4, .series = accuracy},
    };
    char title[256], note[512];
    write_title(title, sizeof title, o, f);
    snprintf(
        note, sizeof note,
        "Fashion-MNIST, %lld images; %lld ReLU layers of %lld; plain gradient descent, the best of the rates %g, "
        "%g, %g; "
        "%ld processors; seed %lld; times: the fastest update, bands up to the median, of one thread in processor time",
        (long long)o->images, (long long)o->depth, (long long)o->width, rates[0], rates[1], rates[2],
        sysconf(_SC_NPROCESSORS_ONLN), (long long)s->seed);
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){
            .title = title, .note = note, .n_panels = 4, .panels = panels, .columns = 2, .width = 560, .height = 340});
}

static void run(study *s, const settings *o)
{
    findings f = {0};
    if (study_load(s, o->images, o->validation) && measure_time(s, o, &f) && measure_noise(s, o, &f) &&
        measure_training(s, o, &f) && tabulate(s, o, &f))
        draw(s, o, &f);
}

int main(int argc, char **argv)
{
    study s = {.name = "batch_size",
               .about = "Measures what the size of a batch changes: time, noise, what training reaches."};
    settings o = {.depth = 2,
                  .width = 128,
                  .images = 16384,
                  .epochs = 5,
                  .validation = 2000,
                  .noise_batches = 32,
                  .n_sizes = SIZES,
                  .seconds = 1.5};
    const cli_option more[] = {
        {"--epochs", "N", CLI_INT, &o.epochs, 1, 1000, "of each training run"},
        {"--images", "N", CLI_INT, &o.images, 4096, 50000, "to train on"},
        {"--depth", "N", CLI_INT, &o.depth, 1, STACK_MAX_DEPTH, "hidden layers"},
        {"--width", "N", CLI_INT, &o.width, 1, 4096, "units in each"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 1,
                       .width = 8,
                       .images = 256,
                       .epochs = 1,
                       .validation = 100,
                       .noise_batches = 4,
                       .n_sizes = 4,
                       .seconds = 0.02};
    run(&s, &o);
    return study_end(&s);
}
