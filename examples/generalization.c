/* generalization.c: do large batches generalise worse (Keskar et al. 2017, 1609.04836), or have they only trained
 * less? Three batch sizes on Fashion-MNIST, trained until their training accuracies are the same, and then compared. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { SIZES = 3, LEVELS = 3, MAX_LOOKS = 256 };

static const char *const names[SIZES] = {"batches of 16", "batches of 256", "batches of 1024"};
static const int64_t sizes[SIZES] = {16, 256, 1024};
static const double rates[SIZES] = {0.03, 0.15, 0.2}; /* calmer over many epochs than what is best for a few */
static const double levels[LEVELS] = {0.9, 0.92, 0.94};

typedef struct settings {
    int64_t depth, width, images, validation;
    int64_t epochs[SIZES];
} settings;

typedef struct curve {
    const study *s;
    int64_t every, n;
    double training[MAX_LOOKS], validation[MAX_LOOKS]; /* accuracy after each epoch */
} curve;

static void look(int64_t step, const stack *net, const tarn_batch *batch, void *context)
{
    (void)batch;
    curve *c = context;
    if (step == 0 || step % c->every != 0 || c->n == MAX_LOOKS)
        return;
    c->training[c->n] = training_evaluate(net, c->s->train).accuracy;
    c->validation[c->n++] = training_evaluate(net, c->s->valid).accuracy;
}

static bool train(const study *s, const settings *o, int which, curve *c)
{
    stack net;
    training_log log = {0};
    *c = (curve){.s = s, .every = o->images / sizes[which]};
    const stack_opts shape = {.depth = (int)o->depth, .width = o->width, .activation = TARN_RELU};
    const training_opts opts = {.steps = o->epochs[which] * c->every + 1, /* the last look comes before this step */
                                .batch_size = sizes[which],
                                .seed = (uint64_t)s->seed,
                                .lr = rates[which],
                                .before_step = look,
                                .context = c,
                                .label = s->quiet ? NULL : names[which]};
    if (stack_init(&net, &shape, (uint64_t)s->seed))
        training_run(&log, &net, s->train, s->valid, &opts);
    training_free(&log);
    stack_free(&net);
    return !tarn_error();
}

/* When the training accuracy first is at least this. */
static double validation_at(const curve *c, double level)
{
    for (int64_t i = 0; i < c->n; i++)
        if (c->training[i] >= level)
            return c->validation[i];
    return NAN;
}

static bool tabulate(const study *s, const curve *curves, double (*at)[LEVELS])
{
    table_column columns[1 + SIZES] = {{.name = "training accuracy", .numbers = levels, .decimals = 2}};
    for (int i = 0; i < SIZES; i++) {
        for (int k = 0; k < LEVELS; k++)
            at[i][k] = validation_at(&curves[i], levels[k]);
        columns[1 + i] = (table_column){.name = names[i], .numbers = at[i], .decimals = 4};
    }
    return table_print(stdout, 1 + SIZES, columns, LEVELS) &&
           table_write_csv(study_path(s, ".csv"), 1 + SIZES, columns, LEVELS);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, double (*at)[LEVELS])
{
    int k = LEVELS - 1;
    while (k >= 0 && !(isfinite(at[0][k]) && isfinite(at[1][k]) && isfinite(at[2][k])))
        k--;
    if (k < 0)
        snprintf(title, size, "No training accuracy that all batch sizes reach in these few steps");
    else
        snprintf(
            title, size,
            "Where each first fits %.0f %% of the training images, batches of 16, 256, 1024 are right on %.1f, %.1f, "
            "%.1f %% of new ones",
            100 * levels[k], 100 * at[0][k], 100 * at[1][k], 100 * at[2][k]);
}

static bool draw(const study *s, const settings *o, const curve *curves, double (*at)[LEVELS])
{
    plot_series series[SIZES];
    for (int i = 0; i < SIZES; i++)
        series[i] = (plot_series){.name = names[i],
                                  .n = curves[i].n,
                                  .x = curves[i].training,
                                  .y = curves[i].validation,
                                  .style = PLOT_POINTS};
    char title[256], note[512];
    write_title(title, sizeof title, at);
    snprintf(note, sizeof note,
             "Fashion-MNIST, %lld images; %lld ReLU layers of %lld; plain gradient descent at %g, %g, %g for %lld, "
             "%lld, %lld "
             "epochs, a point each; accuracy on %lld images held out; seed %lld",
             (long long)o->images, (long long)o->depth, (long long)o->width, rates[0], rates[1], rates[2],
             (long long)o->epochs[0], (long long)o->epochs[1], (long long)o->epochs[2], (long long)o->validation,
             (long long)s->seed);
    const double low = s->quick ? 0 : 0.8;
    const plot_panel panel = {.x = {.label = "training accuracy", .low = low, .high = 1},
                              .y = {.label = "validation accuracy", .low = low, .high = s->quick ? 1 : 0.9},
                              .n_series = SIZES,
                              .series = series};
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 1, .panels = &panel, .width = 900, .height = 480});
}

static void run(study *s, const settings *o)
{
    curve curves[SIZES] = {0};
    double at[SIZES][LEVELS];
    bool ok = study_load(s, o->images, o->validation);
    for (int i = 0; i < SIZES && ok; i++)
        ok = train(s, o, i, &curves[i]);
    if (ok && tabulate(s, curves, at))
        draw(s, o, curves, at);
}

int main(int argc, char **argv)
{
    study s = {.name = "generalization",
               .about = "Compares small and large batches on new images, at equal training accuracy."};
    settings o = {.depth = 2, .width = 128, .images = 16384, .validation = 10000, .epochs = {14, 45, 110}};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 1, STACK_MAX_DEPTH, "hidden layers"},
        {"--width", "N", CLI_INT, &o.width, 1, 4096, "units in each"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 1, .width = 8, .images = 1024, .validation = 100, .epochs = {2, 2, 2}};
    run(&s, &o);
    return study_end(&s);
}
