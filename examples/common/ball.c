#include "examples/common/ball.h"
#include "examples/common/path.h"
#include "examples/common/table.h"

#include <math.h>
#include <stdio.h>

enum { PLACES = 2, METHODS = 2, STEPS = 600, DOTS = 150, CURVE = 241 };

#define MOMENTUM 0.9

static const char *const method_names[METHODS] = {"gradient descent", "Momentum 0.9"};

/* ---- the two losses ---- */

/* (1 - w1 w2)^2, what y = w1 w2 x loses where 1 should be mapped to 1: a saddle at (0,0). */
static tarn_tensor *saddle(tarn_tape *t, void *context)
{
    tarn_tensor *w = context, *a = tarn_slice(t, w, 0, 0, 1, 1), *b = tarn_slice(t, w, 0, 1, 2, 1);
    return tarn_square(t, tarn_add_scalar(t, tarn_mul(t, a, b), -1));
}

/* Its slope is (w+1)^2 (w-1) (w-1.8) (w-3): a plateau at -1, a hollow at 1, a hill at 1.8, and the bottom at 3. */
static tarn_tensor *slope(tarn_tape *t, tarn_tensor *w)
{
    static const double coefficients[] = {1 / 6.0, -0.76, -0.1, 9.2 / 3, -0.3, -5.4};
    tarn_tensor *y = tarn_mul_scalar(t, w, coefficients[0]);
    for (size_t i = 1; i < sizeof coefficients / sizeof *coefficients; i++)
        y = tarn_mul(t, tarn_add_scalar(t, y, coefficients[i]), w);
    return y;
}

/* The second parameter, which starts at its best, plays no part. */
static tarn_tensor *slope_loss(tarn_tape *t, void *context)
{
    tarn_tensor *w = context, *a = tarn_slice(t, w, 0, 0, 1, 1), *b = tarn_slice(t, w, 0, 1, 2, 1);
    return tarn_add(t, slope(t, a), tarn_square(t, b));
}

typedef struct place {
    const char *name;
    tarn_tensor *(*loss)(tarn_tape *, void *);
    double x, y, lr, level; /* start, learning rate, and the loss that shows that it got through */
} place;

static const place places[PLACES] = {
    {"saddle", saddle, -1.5, 1.5 + 1e-6, 0.02, 0.01},
    {"plateau and hollow", slope_loss, -2, 0, 0.004, -5},
};

typedef struct rolls {
    plot_field field;
    path paths[PLACES][METHODS];
    double curve_x[CURVE], curve_y[CURVE];
} rolls;

static bool roll(rolls *d, int64_t grid)
{
    for (int i = 0; i < PLACES && !tarn_error(); i++) {
        tarn_params *params = tarn_params_new(TARN_F64);
        const place *at = &places[i];
        tarn_objective f = {at->loss, tarn_params_add(params, "w", TARN_SHAPE(2)), params, tarn_tape_new()};
        for (int k = 0; k < METHODS; k++) {
            tarn_optim *sgd = tarn_sgd_new(params, &(tarn_sgd_opts){.lr = at->lr, .momentum = k ? MOMENTUM : 0});
            path_walk(&d->paths[i][k], &f, sgd,
                      &(path_opts){.x = at->x, .y = at->y, .enough = -INFINITY, .steps = STEPS});
            tarn_optim_free(sgd);
        }
        if (i == 0)
            path_surface(&d->field, &f, grid);
        tarn_tape_free(f.tape);
        tarn_params_free(params);
    }
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *w = tarn_arange(t, TARN_F64, CURVE, -2.1, 5.7 / (CURVE - 1)), *y = slope(t, w);
    for (int64_t i = 0; i < CURVE; i++) {
        d->curve_x[i] = tarn_at(w, &i);
        d->curve_y[i] = tarn_at(y, &i);
    }
    tarn_tape_free(t);
    return !tarn_error();
}

static bool tabulate(const study *s, const rolls *d)
{
    enum { ROWS = PLACES * METHODS };
    const char *where[ROWS], *names[ROWS];
    double lr[ROWS], steps[ROWS], loss[ROWS], norm[ROWS], w1[ROWS];
    for (int i = 0; i < ROWS; i++) {
        const path *p = &d->paths[i / METHODS][i % METHODS];
        where[i] = places[i / METHODS].name;
        names[i] = method_names[i % METHODS];
        lr[i] = places[i / METHODS].lr;
        steps[i] = path_steps_to(p, places[i / METHODS].level);
        loss[i] = p->loss[p->n - 1];
        norm[i] = p->grad_norm[p->n - 1];
        w1[i] = p->x[p->n - 1];
    }
    const table_column columns[] = {
        {.name = "place", .texts = where},
        {.name = "optimiser", .texts = names},
        {.name = "learning rate", .numbers = lr},
        {.name = "steps to get through", .numbers = steps, .decimals = TABLE_WHOLE},
        {.name = "loss at the end", .numbers = loss},
        {.name = "gradient there", .numbers = norm},
        {.name = "w1 there", .numbers = w1},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, ROWS) &&
           table_write_csv(study_path(s, "_momentum.csv"), COLUMNS, columns, ROWS);
}

static bool draw(const study *s, rolls *d)
{
    double steps[PLACES][METHODS];
    for (int i = 0; i < PLACES * METHODS; i++)
        steps[i / METHODS][i % METHODS] = path_steps_to(&d->paths[i / METHODS][i % METHODS], places[i / METHODS].level);
    plot_series on_saddle[METHODS], on_slope[METHODS + 1], losses[METHODS];
    on_slope[0] = (plot_series){.n = CURVE, .x = d->curve_x, .y = d->curve_y, .colour = 8, .width = 1.5};
    for (int k = 0; k < METHODS; k++) {
        const path *a = &d->paths[0][k], *b = &d->paths[1][k];
        path_thin(&d->paths[1][k], DOTS);
        on_saddle[k] =
            (plot_series){.name = method_names[k], .n = a->n, .x = a->x, .y = a->y, .colour = k + 1, .ends = true};
        losses[k] = (plot_series){.name = method_names[k], .n = a->n, .y = a->loss, .colour = k + 1};
        on_slope[k + 1] = (plot_series){.name = method_names[k],
                                        .n = b->n,
                                        .x = b->x,
                                        .y = b->loss,
                                        .colour = k + 1,
                                        .style = PLOT_POINTS,
                                        .ends = true};
    }
    const plot_panel panels[] = {{.title = "near a saddle, (1 - w1 w2)^2",
                                  .x = {.label = "w1"},
                                  .y = {.label = "w2"},
                                  .n_series = METHODS,
                                  .series = on_saddle,
                                  .field = &d->field,
                                  .equal = true},
                                 {.title = "the same, step by step",
                                  .x = {.label = "steps"},
                                  .y = {.label = "loss"},
                                  .n_series = METHODS,
                                  .series = losses},
                                 {.title = "plateau, hollow, and hill",
                                  .x = {.label = "w"},
                                  .y = {.label = "loss"},
                                  .n_series = METHODS + 1,
                                  .series = on_slope}};
    char title[256], note[512];
    const bool only = isnan(steps[1][0]) && !isnan(steps[1][1]);
    snprintf(title, sizeof title,
             "Momentum leaves a saddle after %.0f steps, gradient descent after %.0f; past plateau and hollow %s "
             "Momentum gets",
             steps[0][1], steps[0][0], only ? "only" : "not only");
    snprintf(note, sizeof note,
             "Left, from (%g, %g + 1e-6), nearly on the line that leads into the saddle, at a learning rate of %g, "
             "until the "
             "loss is below %g. Right, from w = %g at %g, %d steps, of which %d are dots",
             places[0].x, -places[0].x, places[0].lr, places[0].level, places[1].x, places[1].lr, STEPS, DOTS);
    return plot_write(
        study_path(s, "_momentum.svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 3, .panels = panels, .width = 460, .height = 420});
}

bool ball_show(const study *s, int64_t grid)
{
    rolls d = {.field = {.x_low = -2,
                         .x_high = 2,
                         .y_low = -2,
                         .y_high = 2,
                         .label = "loss",
                         .low = 0,
                         .high = 4,
                         .contours = true}};
    if (roll(&d, grid) && tabulate(s, &d))
        draw(s, &d);
    for (int i = 0; i < PLACES * METHODS; i++)
        path_free(&d.paths[i / METHODS][i % METHODS]);
    path_surface_free(&d.field);
    return !tarn_error();
}
