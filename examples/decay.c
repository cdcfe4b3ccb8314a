/* decay.c: why a learning rate should decay. RMSProp walks along a valley: where the gradients across it have become
 * small, so has sigma, and at a constant rate the steps burst sideways; a rate that decays holds them. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RATES = 3, ALONG = 0, ACROSS = 1, GRID = 41, DRAWN = 2, LATE = 100 };

#define ALPHA 0.99

typedef struct settings {
    int64_t steps;
    double lr;
} settings;

static const char *const names[RATES] = {"constant", "exponential decay", "cosine decay"};

typedef struct path {
    double *at[2], *memory; /* [steps + 1] each */
    double late;            /* the farthest from the valley's floor from step LATE on */
    double along, loss;     /* at the end */
} path;

/* (0.001 w1^2 + w2^2) / 2 */
static tarn_tensor *valley_loss(tarn_tape *t, void *context)
{
    const tarn_params *params = context;
    tarn_tensor *curvature = tarn_constant(t, TARN_F64, TARN_SHAPE(2), (const double[]){0.5e-3, 0.5});
    return tarn_sum(t, tarn_mul(t, curvature, tarn_square(t, tarn_params_at(params, 0))), TARN_ALL_AXES, false);
}

static void note_place(path *p, int64_t step, tarn_tensor *w)
{
    const double *at = tarn_data(w);
    for (int k = 0; at && k < 2; k++)
        p->at[k][step] = at[k];
    if (at && step >= LATE)
        p->late = fmax(p->late, fabs(at[ACROSS]));
}

/* Sigma falls by sqrt(alpha) a step where gradients vanish, and so does one of these rates. */
static double rate_at(const settings *o, int which, int64_t step)
{
    if (which == 1)
        return tarn_lr_exponential(4 * o->lr, step, sqrt(ALPHA));
    return which == 2 ? tarn_lr_cosine(2 * o->lr, step, o->steps, 0) : o->lr;
}

static bool walk(const tarn_objective *f, const settings *o, int which, path *p)
{
    *p = (path){.memory = malloc(2 * (size_t)(o->steps + 1) * sizeof(double))};
    if (!p->memory)
        return tarn_fail("decay: no memory for %lld steps", (long long)o->steps);
    p->at[ALONG] = p->memory, p->at[ACROSS] = p->memory + o->steps + 1;
    tarn_tensor *w = tarn_params_at(f->params, 0);
    tarn_tape_reset(f->tape);
    tarn_copy(w, tarn_constant(f->tape, TARN_F64, TARN_SHAPE(2), (const double[]){-90, 2}));
    tarn_optim *rmsprop = tarn_rmsprop_new(f->params, &(tarn_rmsprop_opts){.lr = o->lr, .alpha = ALPHA});
    note_place(p, 0, w);
    for (int64_t i = 0; i < o->steps && !tarn_error(); i++) {
        tarn_tape_reset(f->tape);
        tarn_optim_set_lr(rmsprop, rate_at(o, which, i));
        tarn_backward(f->tape, valley_loss(f->tape, f->context));
        tarn_optim_step(rmsprop);
        note_place(p, i + 1, w);
    }
    p->along = p->at[ALONG][o->steps];
    tarn_tape_reset(f->tape);
    p->loss = tarn_objective_value(f);
    tarn_optim_free(rmsprop);
    return !tarn_error();
}

static bool tabulate(const study *s, const path *paths)
{
    double along[RATES], late[RATES], loss[RATES];
    for (int i = 0; i < RATES; i++)
        along[i] = paths[i].along, late[i] = paths[i].late, loss[i] = paths[i].loss;
    const table_column columns[] = {{.name = "learning rate", .texts = names},
                                    {.name = "w1 at the end", .numbers = along, .decimals = 2},
                                    {.name = "largest |w2| from step 100 on", .numbers = late},
                                    {.name = "loss at the end", .numbers = loss}};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, RATES) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, RATES);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const path *paths)
{
    const double constant = paths[0].late, falling = paths[1].late, cosine = paths[2].late;
    if (falling < 0.01 && constant > 0.1)
        snprintf(title, size,
                 "At a constant rate RMSProp bursts sideways by up to %.2f once sigma is small; a rate that falls as "
                 "fast as "
                 "sigma stops that%s",
                 constant, cosine > 0.1 ? ", a slower decay does not" : "");
    else
        snprintf(title, size,
                 "RMSProp is late up to %.2g off the floor at a constant rate, up to %.2g at one that decays", constant,
                 falling);
}

static bool draw(const study *s, const settings *o, const path *paths, tarn_tensor *losses)
{
    const plot_field field = {.columns = GRID,
                              .rows = GRID,
                              .values = tarn_data(losses),
                              .x_low = -100,
                              .x_high = 20,
                              .y_low = -2.5,
                              .y_high = 2.5,
                              .label = "loss",
                              .contours = true};
    char titles[DRAWN][64], title[256], note[256];
    snprintf(titles[0], sizeof titles[0], "Constant rate %g", o->lr);
    snprintf(titles[1], sizeof titles[1], "Exponential decay, %g x %.3f^t", 4 * o->lr, sqrt(ALPHA));
    static const int colours[RATES] = {2, 3, 4};
    plot_series series[RATES], across[RATES];
    plot_panel panels[DRAWN + 1];
    for (int i = 0; i < RATES; i++) {
        const int colour = colours[i];
        const double *const *at = (const double *const *)paths[i].at;
        series[i] = (plot_series){
            .n = o->steps + 1, .x = at[ALONG], .y = at[ACROSS], .colour = colour, .ends = true, .width = 1.5};
        across[i] = (plot_series){.name = names[i], .n = o->steps + 1, .y = at[ACROSS], .colour = colour, .width = 1.5};
        if (i < DRAWN)
            panels[i] = (plot_panel){.title = titles[i],
                                     .x = {.label = "w1, along the valley"},
                                     .y = {.label = "w2, across it"},
                                     .n_series = 1,
                                     .series = &series[i],
                                     .field = &field};
    }
    panels[DRAWN] = (plot_panel){.title = "The place across the valley",
                                 .x = {.label = "steps"},
                                 .y = {.label = "w2", .low = -1, .high = 1},
                                 .n_series = RATES,
                                 .series = across};
    write_title(title, sizeof title, paths);
    snprintf(note, sizeof note,
             "L = (0.001 w1^2 + w2^2)/2 from (-90, 2); RMSProp, alpha %g, %lld steps; the cosine falls from %g to 0",
             ALPHA, (long long)o->steps, 2 * o->lr);
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){
            .title = title, .note = note, .n_panels = DRAWN + 1, .panels = panels, .width = 480, .height = 400});
}

static void run(const study *s, const settings *o)
{
    path paths[RATES] = {0};
    tarn_params *params = tarn_params_new(TARN_F64);
    tarn_params_add(params, "w", TARN_SHAPE(2));
    tarn_tape *t = tarn_tape_new();
    const tarn_objective f = {valley_loss, params, params, t};
    const tarn_slice_axis along = {tarn_tensor_from(TARN_F64, TARN_SHAPE(2), (const double[]){1, 0}), -100, 20, GRID};
    const tarn_slice_axis across = {tarn_tensor_from(TARN_F64, TARN_SHAPE(2), (const double[]){0, 1}), -2.5, 2.5, GRID};
    tarn_tensor *losses = tarn_slice2d_new(&f, &across, &along, NULL);
    bool ok = !tarn_error();
    for (int i = 0; i < RATES && ok; i++)
        ok = walk(&f, o, i, &paths[i]);
    if (ok && tabulate(s, paths))
        draw(s, o, paths, losses);
    for (int i = 0; i < RATES; i++)
        free(paths[i].memory);
    tarn_tensor_free(along.direction), tarn_tensor_free(across.direction), tarn_tensor_free(losses);
    tarn_tape_free(t);
    tarn_params_free(params);
}

int main(int argc, char **argv)
{
    study s = {.name = "decay", .about = "Walks a valley at a constant learning rate, and at two that decay."};
    settings o = {.steps = 1000, .lr = 0.1};
    const cli_option more[] = {
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "of each walk"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "the constant rate"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    run(&s, &o);
    return study_end(&s);
}
