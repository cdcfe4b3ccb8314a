/* critical_points.c: where the gradient is zero, and what the Hessian says there, for a network whose whole error
 * surface fits into a picture: y = w1 w2 x at x = 1, which should be 1. Its saddle, its minima, and the way out of the
 * saddle. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"

#include <math.h>
#include <stdio.h>

enum { GRID = 160, POINTS = 6, PATHS = 3, PATH_STEPS = 80, NOTES = 3 };

typedef struct two_weights {
    tarn_params *params;
    tarn_tensor *w1, *w2;
    tarn_tape *tape;
} two_weights;

static tarn_tensor *error_of(tarn_tape *t, tarn_tensor *w1, tarn_tensor *w2)
{
    return tarn_square(t, tarn_sub(t, tarn_ones(t, TARN_F64, 0, NULL), tarn_mul(t, w1, w2)));
}

static tarn_tensor *two_weights_loss(tarn_tape *t, void *context)
{
    const two_weights *m = context;
    return error_of(t, m->w1, m->w2);
}

static bool two_weights_init(two_weights *m)
{
    *m = (two_weights){.params = tarn_params_new(TARN_F64), .tape = tarn_tape_new()};
    m->w1 = tarn_params_add(m->params, "w1", 0, NULL);
    m->w2 = tarn_params_add(m->params, "w2", 0, NULL);
    return !tarn_error();
}

static bool move_to(two_weights *m, double w1, double w2)
{
    return tarn_fill(m->w1, w1) && tarn_fill(m->w2, w2);
}

/* What the Hessian says at some points. */
static bool tabulate(const study *s, two_weights *m)
{
    static const double at[POINTS][2] = {{0, 0}, {1, 1}, {2, 0.5}, {-1, -1}, {-0.5, -2}, {1, -1}};
    const tarn_objective f = {two_weights_loss, m, m->params, m->tape};
    double w1[POINTS], w2[POINTS], loss[POINTS], slope[POINTS], smallest[POINTS], largest[POINTS];
    const char *kinds[POINTS];
    for (int i = 0; i < POINTS; i++) {
        tarn_critical_point_report r;
        if (!move_to(m, at[i][0], at[i][1]) || !tarn_critical_point(&f, NULL, &r))
            return false;
        w1[i] = at[i][0], w2[i] = at[i][1];
        loss[i] = r.value, slope[i] = r.gradient_norm;
        smallest[i] = r.smallest, largest[i] = r.largest;
        kinds[i] = tarn_critical_kind_name(r.kind);
    }
    const table_column columns[] = {
        {.name = "w1", .numbers = w1, .decimals = 1},
        {.name = "w2", .numbers = w2, .decimals = 1},
        {.name = "loss", .numbers = loss, .decimals = 3},
        {.name = "gradient norm", .numbers = slope, .decimals = 3},
        {.name = "smallest eigenvalue", .numbers = smallest, .decimals = 3},
        {.name = "largest eigenvalue", .numbers = largest, .decimals = 3},
        {.name = "is a", .texts = kinds},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, POINTS) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, POINTS);
}

typedef struct path {
    double w1[PATH_STEPS + 1], w2[PATH_STEPS + 1], loss[PATH_STEPS + 1];
} path;

static void descend(two_weights *m, double w1, double w2, path *p)
{
    tarn_optim *sgd = tarn_sgd_new(m->params, &(tarn_sgd_opts){.lr = 0.05});
    move_to(m, w1, w2);
    for (int i = 0; i <= PATH_STEPS && !tarn_error(); i++) {
        tarn_tensor *loss = error_of(m->tape, m->w1, m->w2);
        p->w1[i] = tarn_item(m->w1);
        p->w2[i] = tarn_item(m->w2);
        p->loss[i] = tarn_item(loss);
        tarn_backward(m->tape, loss);
        tarn_optim_step(sgd);
        tarn_tape_reset(m->tape);
    }
    tarn_optim_free(sgd);
}

/* From the saddle itself, from 0.02 beside it along the escape direction, and from far away. */
static bool walk(two_weights *m, path paths[PATHS], double escape[2], double *curvature)
{
    const tarn_objective f = {two_weights_loss, m, m->params, m->tape};
    if (!move_to(m, 0, 0))
        return false;
    tarn_tensor *way = tarn_escape_direction_new(&f, NULL, curvature);
    for (int64_t i = 0; i < 2 && way; i++)
        escape[i] = tarn_at(way, &i);
    tarn_tensor_free(way);
    descend(m, 0, 0, &paths[0]);
    descend(m, 0.02 * escape[0], 0.02 * escape[1], &paths[1]);
    descend(m, -1, 1.1, &paths[2]);
    return !tarn_error();
}

/* What the Hessian says at the saddle and at two of the minima, beside them. */
static bool annotate(two_weights *m, plot_note notes[NOTES], char said[NOTES][64])
{
    static const double at[NOTES][2] = {{0, 0}, {1, 1}, {-1, -1}};
    const tarn_objective f = {two_weights_loss, m, m->params, m->tape};
    for (int i = 0; i < NOTES; i++) {
        tarn_critical_point_report r;
        if (!move_to(m, at[i][0], at[i][1]) || !tarn_critical_point(&f, NULL, &r))
            return false;
        snprintf(said[i], sizeof said[i], "eigenvalues %.0f, %.0f", r.smallest, r.largest);
        notes[i] = (plot_note){at[i][0] + 0.05, at[i][1] - (i == 0 ? 0.2 : 0), said[i]};
    }
    return true;
}

static bool write_figure(const study *s, const plot_panel panels[2], const path paths[PATHS], double curvature)
{
    char title[256];
    snprintf(title, sizeof title,
             "At the saddle the gradient is 0 and descent stays at loss %.0f; along the eigenvector of %.0f it reaches "
             "loss %.2g in %d steps",
             paths[0].loss[PATH_STEPS], curvature, paths[1].loss[PATH_STEPS], PATH_STEPS);
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title,
                       .note = "the network y = w1 w2 x at x = 1 with the target 1; gradient descent at rate 0.05, no "
                               "noise; every minimum has an eigenvalue 0, along the valley",
                       .n_panels = 2,
                       .panels = panels,
                       .width = 600,
                       .height = 480});
}

static bool draw(const study *s, two_weights *m, const path paths[PATHS], const double escape[2], double curvature)
{
    plot_note notes[NOTES];
    char said[NOTES][64];
    if (!annotate(m, notes, said)) /* while nothing lies on the tape */
        return false;
    tarn_tape *t = m->tape;
    const double low = -2, step = 4.0 / (GRID - 1);
    tarn_tensor *w = tarn_arange(t, TARN_F64, GRID, low, step);
    tarn_tensor *rows = tarn_reshape(t, w, TARN_SHAPE(GRID, 1));
    tarn_tensor *minima = tarn_arange(t, TARN_F64, GRID, 0.5, 1.5 / (GRID - 1));
    tarn_tensor *others = tarn_reciprocal(t, minima);
    const plot_field field = {.columns = GRID,
                              .rows = GRID,
                              .values = tarn_data(error_of(t, w, rows)),
                              .x_low = low,
                              .x_high = -low,
                              .y_low = low,
                              .y_high = -low,
                              .label = "loss (1 - w1 w2)^2",
                              .low = 0.01,
                              .high = 25,
                              .log = true,
                              .contours = true};
    const double *x = tarn_data(minima), *y = tarn_data(others);
    const double *x_below = tarn_data(tarn_neg(t, minima)), *y_below = tarn_data(tarn_neg(t, others));
    if (tarn_error())
        return false;
    const double arrow_x[] = {0, 0.5 * escape[0]}, arrow_y[] = {0, 0.5 * escape[1]}, zero[] = {0};
    const plot_series on_surface[] = {
        {.name = "minima: w1 w2 = 1", .n = GRID, .x = x, .y = y, .colour = 2, .width = 2, .dashed = true},
        {.n = GRID, .x = x_below, .y = y_below, .colour = 2, .width = 2, .dashed = true},
        {.name = "from (-1, 1.1)", .n = PATH_STEPS + 1, .x = paths[2].w1, .y = paths[2].w2, .colour = 4, .ends = true},
        {.name = "from beside the saddle",
         .n = PATH_STEPS + 1,
         .x = paths[1].w1,
         .y = paths[1].w2,
         .colour = 7,
         .ends = true},
        {.name = "escape direction", .n = 2, .x = arrow_x, .y = arrow_y, .colour = 5, .width = 5},
        {.name = "saddle", .n = 1, .x = zero, .y = zero, .style = PLOT_POINTS, .colour = 8},
    };
    const plot_series losses[] = {
        {.name = "from the saddle itself", .n = PATH_STEPS + 1, .y = paths[0].loss, .colour = 8},
        {.name = "0.02 beside it, along the escape direction", .n = PATH_STEPS + 1, .y = paths[1].loss, .colour = 7},
        {.name = "from (-1, 1.1), which passes by it", .n = PATH_STEPS + 1, .y = paths[2].loss, .colour = 4},
    };
    const plot_panel panels[] = {
        {.x = {.label = "w1", .low = low, .high = -low},
         .y = {.label = "w2", .low = low, .high = -low},
         .field = &field,
         .n_series = sizeof on_surface / sizeof *on_surface,
         .series = on_surface,
         .n_notes = NOTES,
         .notes = notes,
         .equal = true},
        {.x = {.label = "step"}, .y = {.label = "loss", .low = 0, .high = 5}, .n_series = PATHS, .series = losses},
    };
    const bool ok = write_figure(s, panels, paths, curvature);
    tarn_tape_reset(t);
    return ok;
}

static void run(const study *s)
{
    two_weights m;
    path paths[PATHS] = {0};
    double escape[2] = {0, 0}, curvature = NAN;
    if (two_weights_init(&m) && tabulate(s, &m) && walk(&m, paths, escape, &curvature))
        draw(s, &m, paths, escape, curvature);
    tarn_tape_free(m.tape);
    tarn_params_free(m.params);
}

int main(int argc, char **argv)
{
    study s = {.name = "critical_points", .about = "Shows a saddle, minima, and their Hessians, and the way out."};
    int status = study_begin(&s, NULL, 0, argc, argv);
    if (status >= 0)
        return status;
    run(&s);
    return study_end(&s);
}
