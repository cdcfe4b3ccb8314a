/* why_batchnorm.c: how does BatchNorm help? The measurements of Santurkar et al. 2018 (1805.11604, figures 1, 2 and 4),
 * along the training of a network without BatchNorm, with it, and with noise behind it that moves every layer's
 * distributions from step to step: the loss and the gradient along the gradient's direction, the gradient of a layer
 * before and after the layers below have moved, and the distribution of what an activation gets. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { PLAIN, BATCHNORM, DISTURBED, RUNS };
enum { MAX_LOOKS = 400, LENGTHS = 8, QUANTILES = 3, PANELS = 6, SHOWN = 256 };

static const char *const run_names[RUNS] = {"no BatchNorm", "BatchNorm", "BatchNorm, disturbed"};
static const double quantiles[QUANTILES] = {0.15, 0.5, 0.85};

typedef struct settings {
    int64_t depth, width, steps, every, train, validation, batch;
    double lr;
} settings;

/* What is measured at each look. */
enum {
    LOSS,
    LOSS_LOW,
    LOSS_HIGH,
    LOSS_RANGE,
    CHANGE_LOW,
    CHANGE_HIGH,
    BETA,
    COSINE,
    SHIFT,
    INPUT_LOW,
    INPUT_MEDIAN,
    INPUT_HIGH,
    MEASURED
};

static const char *const measured_names[MEASURED] = {"loss",
                                                     "lowest loss",
                                                     "highest loss",
                                                     "loss range",
                                                     "least gradient change",
                                                     "largest gradient change",
                                                     "beta",
                                                     "cosine",
                                                     "relative shift",
                                                     "15 %",
                                                     "50 %",
                                                     "85 %"};

typedef struct series {
    int64_t n;
    double step[MAX_LOOKS], of[MEASURED][MAX_LOOKS];
    double train_accuracy, valid_accuracy;
} series;

typedef struct observer {
    const settings *o;
    series *seen;
    stack_problem problem;
    int layer; /* the one in the middle, from 0 */
    tarn_tape *tape;
    tarn_rng disturbance, fixed;  /* what training draws from; how every evaluation of one look begins */
    tarn_tensor *images, *labels; /* the same at every look */
    double *quantiles;
} observer;

/* The loss of one batch: the disturbance is drawn anew, but the same for each evaluation. */
static tarn_tensor *loss_of(tarn_tape *t, void *context)
{
    observer *w = context;
    w->disturbance = w->fixed;
    return stack_loss(t, &w->problem);
}

/* The same of the fixed examples, and what the layer's first channel gets meanwhile. */
static tarn_tensor *loss_and_inputs(tarn_tape *t, void *context)
{
    observer *w = context;
    tarn_tensor *inputs[STACK_MAX_DEPTH];
    w->disturbance = w->fixed;
    tarn_tensor *logits = stack_apply_and_show(t, w->problem.net, w->images, inputs, NULL);
    tarn_quantiles(tarn_slice(t, inputs[w->layer], -1, 0, 1, 1), QUANTILES, quantiles, w->quantiles);
    return tarn_cross_entropy(t, logits, w->labels);
}

static void look(observer *w, int64_t step)
{
    const settings *o = w->o;
    series *s = w->seen;
    const tarn_objective batch = {loss_of, w, w->problem.net->params, w->tape};
    const tarn_objective same = {loss_and_inputs, w, w->problem.net->params, w->tape};
    tarn_gradient_probe_report probe;
    tarn_gradient_shift_report shift;
    double input[QUANTILES];
    char layer[16];
    snprintf(layer, sizeof layer, "%d.", w->layer + 1);
    w->quantiles = input;
    w->fixed = w->disturbance;
    tarn_gradient_probe(&batch, &(tarn_gradient_probe_opts){0.5 * o->lr, 4 * o->lr, LENGTHS}, &probe);
    tarn_gradient_shift(&batch, layer, NULL, o->lr, &shift);
    tarn_objective_value(&same);
    w->disturbance = w->fixed;
    if (tarn_error())
        return;
    const double now[MEASURED] = {
        probe.loss,     probe.lowest_loss, probe.highest_loss, probe.highest_loss - probe.lowest_loss,
        probe.nearest,  probe.farthest,    probe.beta,         shift.cosine,
        shift.relative, input[0],          input[1],           input[2]};
    s->step[s->n] = (double)step;
    for (int i = 0; i < MEASURED; i++)
        s->of[i][s->n] = now[i];
    s->n++;
}

static void before_step(int64_t step, const stack *net, const tarn_batch *batch, void *context)
{
    observer *w = context;
    if (step % w->o->every != 0 || w->seen->n == MAX_LOOKS || tarn_error())
        return;
    w->problem = (stack_problem){net, tarn_tensor_clone(batch->x), tarn_tensor_clone(batch->labels)};
    look(w, step);
    tarn_tensor_free(w->problem.images);
    tarn_tensor_free(w->problem.labels);
}

static bool observe(const study *s, const settings *o, int which, series *seen)
{
    observer w = {.o = o, .seen = seen, .layer = (int)o->depth / 2, .tape = tarn_tape_new()};
    stack net;
    w.disturbance = tarn_rng_seed((uint64_t)s->seed + 1);
    const stack_opts shape = {.convolutions = true,
                              .depth = (int)o->depth,
                              .width = o->width,
                              .activation = TARN_RELU,
                              .norm = which == PLAIN ? STACK_PLAIN : STACK_BATCHNORM,
                              .disturbance = which == DISTURBED ? &w.disturbance : NULL};
    const training_opts training = {.steps = o->steps,
                                    .batch_size = o->batch,
                                    .check_every = o->steps / 6,
                                    .seed = (uint64_t)s->seed,
                                    .lr = o->lr,
                                    .before_step = before_step,
                                    .context = &w,
                                    .label = s->quiet ? NULL : run_names[which]};
    training_log log = {0};
    if (stack_init(&net, &shape, (uint64_t)s->seed) && study_examples(s->valid, SHOWN, &w.images, &w.labels) &&
        training_run(&log, &net, s->train, s->valid, &training)) {
        seen->valid_accuracy = training_last(&log);
        seen->train_accuracy = log.train_accuracy[log.checks - 1];
    }
    training_free(&log);
    stack_free(&net);
    tarn_tensor_free(w.images);
    tarn_tensor_free(w.labels);
    tarn_tape_free(w.tape);
    return !tarn_error();
}

static double median(const double *x, int64_t n)
{
    const double half = 0.5;
    double result = NAN;
    tarn_tensor *values = tarn_tensor_from(TARN_F64, TARN_SHAPE(n), x);
    tarn_quantiles(values, 1, &half, &result);
    tarn_tensor_free(values);
    return result;
}

static bool tabulate(const study *s, const series *seen, double medians[MEASURED][RUNS])
{
    double train[RUNS], valid[RUNS], spread[2][RUNS];
    for (int r = 0; r < RUNS; r++) {
        const series *v = &seen[r];
        const double *low = v->of[INPUT_LOW], *high = v->of[INPUT_HIGH];
        for (int i = 0; i < MEASURED; i++)
            medians[i][r] = median(v->of[i], v->n);
        train[r] = v->train_accuracy;
        valid[r] = v->valid_accuracy;
        spread[0][r] = high[0] - low[0];
        spread[1][r] = high[v->n - 1] - low[v->n - 1];
    }
    const table_column columns[] = {
        {.name = "medians over training", .texts = run_names},
        {.name = "loss range", .numbers = medians[LOSS_RANGE]},
        {.name = "gradient change", .numbers = medians[CHANGE_HIGH]},
        {.name = "beta", .numbers = medians[BETA]},
        {.name = "cosine, layers below moved", .numbers = medians[COSINE], .decimals = 3},
        {.name = "relative shift", .numbers = medians[SHIFT], .decimals = 3},
        {.name = "15 to 85 % of an input, first", .numbers = spread[0], .decimals = 2},
        {.name = "last", .numbers = spread[1], .decimals = 2},
        {.name = "training accuracy, last sixth", .numbers = train, .decimals = 4},
        {.name = "validation accuracy", .numbers = valid, .decimals = 4},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return !tarn_error() && table_print(stdout, COLUMNS, columns, RUNS) &&
           table_write_csv(study_path(s, "_medians.csv"), COLUMNS, columns, RUNS);
}

/* All that is drawn, a row a look, the runs side by side. */
static bool write_looks(const study *s, const series *seen)
{
    char names[RUNS * MEASURED][64];
    table_column columns[1 + RUNS * MEASURED] = {{.name = "step", .numbers = seen[PLAIN].step}};
    int64_t rows = seen[PLAIN].n;
    for (int r = 0; r < RUNS; r++) {
        for (int i = 0; i < MEASURED; i++) {
            char *name = names[r * MEASURED + i];
            snprintf(name, sizeof names[0], "%s: %s", run_names[r], measured_names[i]);
            columns[1 + r * MEASURED + i] = (table_column){.name = name, .numbers = seen[r].of[i]};
        }
        rows = seen[r].n < rows ? seen[r].n : rows; /* a run that diverges ends early */
    }
    return table_write_csv(study_path(s, ".csv"), 1 + RUNS * MEASURED, columns, rows);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, double medians[MEASURED][RUNS])
{
    const double range = medians[LOSS_RANGE][PLAIN] / medians[LOSS_RANGE][BATCHNORM];
    const double smoothness = medians[BETA][PLAIN] / medians[BETA][BATCHNORM];
    const double with = medians[COSINE][BATCHNORM], without = medians[COSINE][PLAIN];
    if (!isfinite(range * smoothness * with * without)) {
        snprintf(title, size, "A network that diverges, and what is measured until then");
        return;
    }
    snprintf(title, size,
             "With BatchNorm the loss along a step varies %.2g times %s, and the gradient changes %.2g times %s per "
             "distance; when the layers below move, a layer's gradient keeps its direction %s (cosine %.2f with, "
             "%.2f without)",
             range > 1 ? range : 1 / range, range > 1 ? "less" : "more", smoothness > 1 ? smoothness : 1 / smoothness,
             smoothness > 1 ? "less" : "more", with > without + 0.05 ? "better" : "no better", with, without);
}

/* One of the measured quantities, in a band from `low` to `high` unless they are the same. */
static plot_series line(const series *seen, int r, int middle, int low, int high)
{
    return (plot_series){.name = run_names[r],
                         .n = seen[r].n,
                         .x = seen[r].step,
                         .y = seen[r].of[middle],
                         .low = low == high ? NULL : seen[r].of[low],
                         .high = low == high ? NULL : seen[r].of[high],
                         .colour = r + 1,
                         .width = 1.5};
}

static bool draw(const study *s, const settings *o, const series *seen, double medians[MEASURED][RUNS])
{
    plot_series drawn[PANELS][RUNS];
    plot_panel panels[PANELS] = {
        {.title = "(a) loss over half a step to four steps", .y = {.label = "loss", .log = true}},
        {.title = "(b) change of the gradient over these", .y = {.label = "distance between gradients", .log = true}},
        {.title = "(c) largest change per distance", .y = {.label = "effective beta-smoothness", .log = true}},
        {.title = "(d) gradient, before and after layers below move", .y = {.label = "cosine"}},
        {.title = "(e) the same: internal covariate shift", .y = {.label = "relative distance", .log = true}},
        {.title = "(f) what an activation gets: 15, 50, 85 %", .y = {.label = "input of the activation"}},
    };
    static const int shown[PANELS][3] = {{LOSS, LOSS_LOW, LOSS_HIGH}, {CHANGE_HIGH, CHANGE_LOW, CHANGE_HIGH},
                                         {BETA, BETA, BETA},          {COSINE, COSINE, COSINE},
                                         {SHIFT, SHIFT, SHIFT},       {INPUT_MEDIAN, INPUT_LOW, INPUT_HIGH}};
    for (int i = 0; i < PANELS; i++) {
        for (int r = 0; r < RUNS; r++)
            drawn[i][r] = line(seen, r, shown[i][0], shown[i][1], shown[i][2]);
        panels[i].x.label = "training steps";
        panels[i].n_series = RUNS;
        panels[i].series = drawn[i];
    }
    char title[320], note[512];
    write_title(title, sizeof title, medians);
    snprintf(note, sizeof note,
             "Fashion-MNIST, %lld convolutions, ReLU, batches of %lld, gradient descent at %g; each batch before its "
             "step; (d) to (f): layer %lld; disturbed: noise of mean up to 0.5 and scale up to 1.25 behind each "
             "BatchNorm; medians in the title; seed %lld",
             (long long)o->depth, (long long)o->batch, o->lr, (long long)o->depth / 2 + 1, (long long)s->seed);
    return plot_write(study_path(s, ".svg"), &(plot_figure){.title = title,
                                                            .note = note,
                                                            .n_panels = PANELS,
                                                            .panels = panels,
                                                            .columns = 3,
                                                            .width = 460,
                                                            .height = 340});
}

static void run(study *s, const settings *o)
{
    static series seen[RUNS];
    double medians[MEASURED][RUNS];
    bool ok = study_load(s, o->train, o->validation);
    for (int r = 0; r < RUNS && ok; r++)
        ok = observe(s, o, r, &seen[r]);
    if (ok && tabulate(s, seen, medians) && write_looks(s, seen))
        draw(s, o, seen, medians);
}

int main(int argc, char **argv)
{
    study s = {.name = "why_batchnorm",
               .about = "Measures how smooth the loss is, and how layers shift, with and without BatchNorm."};
    settings o = {.depth = 14,
                  .width = 8,
                  .steps = 600,
                  .every = 10,
                  .train = 50000,
                  .validation = 2000,
                  .batch = 64,
                  .lr = 0.05};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 3, STACK_MAX_DEPTH, "convolutions"},
        {"--steps", "N", CLI_INT, &o.steps, 10, 100000, "training steps of each network"},
        {"--every", "N", CLI_INT, &o.every, 1, 10000, "steps from one measurement to the next"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "learning rate of all networks"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){
            .depth = 3, .width = 4, .steps = 12, .every = 4, .train = 500, .validation = 300, .batch = 16, .lr = o.lr};
    run(&s, &o);
    return study_end(&s);
}
