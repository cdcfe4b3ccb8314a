/* landscape.c: the surface of the loss around what training has found, with and without BatchNorm: slices along two
 * random directions whose filters are as long as the network's own (Li et al. 2018, 1712.09913, section 4 and figure
 * 5). With BatchNorm twice: as it is trained, by the statistics of the images, and by its running statistics. */
#include "examples/common/plot.h"
#include "examples/common/progress.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { PLAIN, BY_IMAGES, BY_RUNNING, SURFACES, AXES = 2, MAX_GRID = 201 };

static const struct {
    const char *name;
    stack_norm norm;
    bool training;
} views[SURFACES] = {{"no normalization", STACK_PLAIN, true},
                     {"BatchNorm by the images", STACK_BATCHNORM, true},
                     {"BatchNorm by running statistics", STACK_BATCHNORM, false}};

typedef struct settings {
    int64_t depth, width, steps, images, grid;
    double lr, reach;
} settings;

typedef struct surface {
    tarn_tensor *values;       /* [grid, grid] */
    const double *along[AXES]; /* [grid]: the slices through the middle; on the tape */
    double accuracy, middle, below,
        highest; /* validation; loss at the minimum; share better than guessing; largest loss */
    double curvature[AXES];
} surface;

static bool train(const study *s, const settings *o, stack_norm norm, stack *net, double *accuracy)
{
    training_log log = {0};
    const stack_opts shape = {
        .convolutions = true, .depth = (int)o->depth, .width = o->width, .activation = TARN_RELU, .norm = norm};
    const training_opts training = {.steps = o->steps,
                                    .batch_size = 64,
                                    .seed = (uint64_t)s->seed,
                                    .lr = o->lr,
                                    .momentum = 0.9,
                                    .label = s->quiet ? NULL : stack_norm_name(norm)};
    if (stack_init(net, &shape, (uint64_t)s->seed) && training_run(&log, net, s->train, s->valid, &training))
        *accuracy = training_last(&log);
    training_free(&log);
    return !tarn_error();
}

static void show(void *bar, int64_t done, int64_t total)
{
    (void)total;
    progress_show(bar, done, NULL);
}

/* d.H d: the second derivative of the loss along d. */
static double curvature_along(const tarn_objective *f, tarn_tensor *d)
{
    tarn_tensor *product = tarn_hessian_times_new(f, d);
    const double curvature =
        product ? tarn_item(tarn_sum(f->tape, tarn_mul(f->tape, product, d), TARN_ALL_AXES, false)) : NAN;
    tarn_tape_reset(f->tape);
    tarn_tensor_free(product);
    return curvature;
}

/* The numbers of a surface, on a tape that is not reset before the picture is drawn. */
static bool measure(tarn_tape *t, const settings *o, surface *w)
{
    const int64_t n = o->grid;
    tarn_tensor *row = tarn_slice(t, w->values, 0, n / 2, n / 2 + 1, 1);
    tarn_tensor *column = tarn_slice(t, w->values, 1, n / 2, n / 2 + 1, 1);
    tarn_tensor *guess = tarn_scalar(t, TARN_F64, log(STUDY_CLASSES));
    tarn_tensor *better = tarn_cast(t, tarn_lt(t, w->values, guess), TARN_F64);
    w->along[0] = tarn_data(row);
    w->along[1] = tarn_data(column);
    w->middle = tarn_at(w->values, (int64_t[]){n / 2, n / 2});
    w->below = tarn_item(tarn_mean(t, better, TARN_ALL_AXES, false));
    w->highest = tarn_item(tarn_max(t, w->values, TARN_ALL_AXES, false));
    return !tarn_error();
}

static bool look_around(const study *s, const settings *o, const stack *net, bool training, surface *w)
{
    tarn_rng rng = tarn_rng_seed((uint64_t)s->seed + 1);
    stack_problem problem = {.net = net};
    const tarn_objective f = {stack_loss, &problem, net->params, tarn_tape_new()};
    tarn_tensor *d = tarn_direction_random_new(net->params, &rng, NULL);
    tarn_tensor *e = tarn_direction_random_new(net->params, &rng, &(tarn_direction_opts){.orthogonal_to = d});
    progress bar = progress_begin("slice", o->grid * o->grid, "losses", 1, s->quiet);
    const tarn_slice_axis columns = {.direction = d, .low = -o->reach, .high = o->reach, .count = o->grid};
    const tarn_slice_axis rows = {.direction = e, .low = -o->reach, .high = o->reach, .count = o->grid};
    tarn_tape_set_training(f.tape, training);
    if (study_examples(s->train, o->images, &problem.images, &problem.labels)) {
        w->values =
            tarn_slice2d_new(&f, &rows, &columns, &(tarn_slice_opts){.progress = show, .progress_context = &bar});
        w->curvature[0] = curvature_along(&f, d);
        w->curvature[1] = curvature_along(&f, e);
    }
    progress_end(&bar, NULL);
    tarn_tensor_free(d), tarn_tensor_free(e);
    tarn_tape_free(f.tape);
    tarn_tensor_free(problem.images), tarn_tensor_free(problem.labels);
    return !tarn_error();
}

static bool tabulate(const study *s, const surface surfaces[SURFACES])
{
    enum { NUMBERS = 6 };
    double numbers[NUMBERS][SURFACES];
    const char *names[SURFACES];
    for (int i = 0; i < SURFACES; i++) {
        const surface *w = &surfaces[i];
        const double row[NUMBERS] = {w->accuracy, w->middle, w->curvature[0], w->curvature[1], w->below, w->highest};
        names[i] = views[i].name;
        for (int k = 0; k < NUMBERS; k++)
            numbers[k][i] = row[k];
    }
    const table_column columns[] = {
        {.name = "network", .texts = names},
        {.name = "validation accuracy", .numbers = numbers[0], .decimals = 3},
        {.name = "loss in the middle", .numbers = numbers[1]},
        {.name = "curvature along the first direction", .numbers = numbers[2]},
        {.name = "along the second", .numbers = numbers[3]},
        {.name = "share of the slice below ln 10", .numbers = numbers[4], .decimals = 3},
        {.name = "largest loss", .numbers = numbers[5]},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, SURFACES) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, SURFACES);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const surface surfaces[SURFACES])
{
    const surface *plain = &surfaces[PLAIN], *trained = &surfaces[BY_IMAGES], *frozen = &surfaces[BY_RUNNING];
    const double wider = trained->below / plain->below;
    const char *finding = wider > 1.1   ? "BatchNorm widens the valley as it is trained"
                          : wider < 0.9 ? "BatchNorm narrows the valley"
                                        : "BatchNorm hardly changes the valley's width";
    snprintf(title, size,
             "%s: the loss is better than guessing on %.0f %% of the slice, without it on %.0f %%; by its running "
             "statistics on %.0f %%",
             finding, 100 * trained->below, 100 * plain->below, 100 * frozen->below);
}

static bool draw(const study *s, const settings *o, const surface surfaces[SURFACES])
{
    char title[320], note[512], names[SURFACES][96];
    double at[MAX_GRID];
    plot_field fields[SURFACES];
    plot_panel panels[SURFACES + AXES];
    plot_series slices[AXES][SURFACES];
    const tarn_slice_axis axis = {.low = -o->reach, .high = o->reach, .count = o->grid};
    for (int64_t i = 0; i < o->grid; i++)
        at[i] = tarn_slice_coordinate(&axis, i);
    for (int i = 0; i < SURFACES; i++) {
        const surface *w = &surfaces[i];
        snprintf(names[i], sizeof names[i], "%s: loss %.2f to %.*f", views[i].name, w->middle, w->highest < 100 ? 1 : 0,
                 w->highest);
        fields[i] = (plot_field){.columns = o->grid,
                                 .rows = o->grid,
                                 .values = tarn_data(w->values),
                                 .x_low = -o->reach,
                                 .x_high = o->reach,
                                 .y_low = -o->reach,
                                 .y_high = o->reach,
                                 .label = "loss (colours end at 300)",
                                 .low = 0.3,
                                 .high = 300,
                                 .log = true,
                                 .contours = true};
        panels[i] = (plot_panel){.title = names[i],
                                 .x = {.label = "along the first direction"},
                                 .y = {.label = "along the second"},
                                 .field = &fields[i],
                                 .equal = true};
    }
    for (int k = 0; k < AXES; k++) {
        for (int i = 0; i < SURFACES; i++)
            slices[k][i] =
                (plot_series){.name = views[i].name, .n = o->grid, .x = at, .y = surfaces[i].along[k], .colour = i + 1};
        panels[SURFACES + k] =
            (plot_panel){.x = {.label = k ? "along the second direction" : "along the first direction"},
                         .y = {.label = "loss", .log = true},
                         .n_series = SURFACES,
                         .series = slices[k]};
    }
    write_title(title, sizeof title, surfaces);
    snprintf(note, sizeof note,
             "Fashion-MNIST; %lld convolutions with ReLU, %lld steps of 64 images at rate %g, momentum 0.9; "
             "filter-normalised random directions (1: as long as the filters); loss of %lld training images; seed %lld",
             (long long)o->depth, (long long)o->steps, o->lr, (long long)o->images, (long long)s->seed);
    return plot_write(study_path(s, ".svg"), &(plot_figure){.title = title,
                                                            .note = note,
                                                            .n_panels = SURFACES + AXES,
                                                            .panels = panels,
                                                            .columns = SURFACES,
                                                            .width = 480,
                                                            .height = 390});
}

static void run(study *s, const settings *o)
{
    surface surfaces[SURFACES] = {0};
    stack net = {0};
    double accuracy = NAN;
    tarn_tape *t = tarn_tape_new();
    bool ok = study_load(s, s->quick ? 500 : 50000, s->quick ? 100 : 2000);
    for (int i = 0; i < SURFACES && ok; i++) {
        if (i == 0 || views[i].norm != views[i - 1].norm) {
            stack_free(&net);
            ok = train(s, o, views[i].norm, &net, &accuracy);
        }
        surfaces[i].accuracy = accuracy;
        ok = ok && look_around(s, o, &net, views[i].training, &surfaces[i]) && measure(t, o, &surfaces[i]);
    }
    stack_free(&net);
    if (ok && tabulate(s, surfaces))
        draw(s, o, surfaces);
    tarn_tape_free(t);
    for (int i = 0; i < SURFACES; i++)
        tarn_tensor_free(surfaces[i].values);
}

int main(int argc, char **argv)
{
    study s = {.name = "landscape",
               .about = "Draws the loss around a deep network's minimum, with and without BatchNorm."};
    settings o = {.depth = 14, .width = 8, .steps = 600, .images = 256, .grid = 25, .lr = 0.01, .reach = 1};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 3, STACK_MAX_DEPTH, "convolutions"},
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "training steps of each network"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "learning rate of both"},
        {"--grid", "N", CLI_INT, &o.grid, 3, MAX_GRID, "losses along each direction; an odd number"},
        {"--reach", "X", CLI_REAL, &o.reach, 0.01, 10, "how far the slices go"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 3, .width = 2, .steps = 4, .images = 8, .grid = 5, .lr = o.lr, .reach = o.reach};
    o.grid |= 1; /* the minimum is in the middle */
    run(&s, &o);
    return study_end(&s);
}
