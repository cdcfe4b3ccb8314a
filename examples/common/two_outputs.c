#include "examples/common/two_outputs.h"
#include "examples/common/path.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { PATHS = 3, LINE = 161 };

#define CORNER    8.0 /* the paths start at (-CORNER, CORNER) */
#define REACH     10.0
#define EXCLUDED  (-1000.0) /* the third output */
#define PATH_RATE 0.1

static tarn_tensor *loss_of(tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels, bool entropy)
{
    return entropy ? tarn_cross_entropy(t, outputs, labels) : training_squared_error(t, outputs, labels, NULL);
}

typedef struct corner {
    tarn_tensor *y, *label; /* a parameter [1,2]; [1] */
    bool entropy;
} corner;

static tarn_tensor *corner_loss(tarn_tape *t, void *context)
{
    const corner *c = context;
    tarn_tensor *outputs = tarn_pad(t, c->y, (const int64_t[]){0, 0}, (const int64_t[]){0, 1}, EXCLUDED);
    return loss_of(t, outputs, c->label, c->entropy);
}

typedef struct surfaces {
    plot_field field[2]; /* squared error, cross-entropy */
    path paths[PATHS];
    double x[LINE], norms[2][LINE]; /* of the gradient, on the line from the upper left to the lower right corner */
} surfaces;

static const char *const path_names[PATHS] = {"squared error, gradient descent", "squared error, Adam",
                                              "cross-entropy, gradient descent"};

static bool walk(path *p, const tarn_objective *f, bool adam, int64_t steps)
{
    tarn_optim *optim = adam ? tarn_adam_new(f->params, &(tarn_adam_opts){.lr = PATH_RATE})
                             : tarn_sgd_new(f->params, &(tarn_sgd_opts){.lr = PATH_RATE});
    path_walk(p, f, optim, &(path_opts){.x = -CORNER, .y = CORNER, .steps = steps});
    tarn_optim_free(optim);
    return !tarn_error();
}

static bool compute_surfaces(surfaces *d, int64_t grid, int64_t steps)
{
    tarn_params *params = tarn_params_new(TARN_F64);
    const int32_t first = 0;
    corner c = {.y = tarn_params_add(params, "y", TARN_SHAPE(1, 2)),
                .label = tarn_tensor_from(TARN_I32, TARN_SHAPE(1), &first)};
    const tarn_objective f = {corner_loss, &c, params, tarn_tape_new()};
    for (int i = 0; i < 2 && !tarn_error(); i++) {
        c.entropy = i;
        d->field[i] = (plot_field){.x_low = -REACH,
                                   .x_high = REACH,
                                   .y_low = -REACH,
                                   .y_high = REACH,
                                   .label = i ? "cross-entropy" : "squared error",
                                   .contours = true};
        path_surface(&d->field[i], &f, grid);
        walk(&d->paths[2 * i], &f, false, steps);
    }
    c.entropy = false;
    walk(&d->paths[1], &f, true, steps);
    tarn_tape_free(f.tape);
    tarn_tensor_free(c.label);
    tarn_params_free(params);
    return !tarn_error();
}

static bool gradient_along_the_line(surfaces *d)
{
    tarn_tape *t = tarn_tape_new();
    for (int i = 0; i < 2; i++) {
        tarn_tensor *half = tarn_arange(t, TARN_F64, LINE, -REACH, 2 * REACH / (LINE - 1));
        half = tarn_reshape(t, half, TARN_SHAPE(LINE, 1));
        tarn_tensor *const y[] = {half, tarn_neg(t, half), tarn_full(t, TARN_F64, TARN_SHAPE(LINE, 1), EXCLUDED)};
        tarn_tensor *outputs = tarn_concat(t, 3, y, 1), *labels = tarn_zeros(t, TARN_I32, TARN_SHAPE(LINE)), *g;
        tarn_tensor *e = loss_of(t, outputs, labels, i);
        e = tarn_mul_scalar(t, e, LINE); /* the sum */
        tarn_grad(t, 1, &e, NULL, 1, &outputs, &g);
        tarn_tensor *norm = tarn_sqrt(t, tarn_sum(t, tarn_square(t, g), TARN_AXES(1), false));
        for (int64_t k = 0; k < LINE; k++) {
            d->x[k] = 2 * tarn_at(half, (const int64_t[]){k, 0});
            d->norms[i][k] = tarn_at(norm, &k);
        }
    }
    tarn_tape_free(t);
    return !tarn_error();
}

static bool draw_surfaces(const study *s, int64_t steps, const surfaces *d)
{
    const path *const p = d->paths;
    const plot_series squared[] = {
        {.name = "Adam", .n = p[1].n, .x = p[1].x, .y = p[1].y, .ends = true, .colour = 2},
        {.name = "gradient descent", .n = p[0].n, .x = p[0].x, .y = p[0].y, .ends = true, .colour = 1}};
    const plot_series entropy[] = {
        {.name = "gradient descent", .n = p[2].n, .x = p[2].x, .y = p[2].y, .ends = true, .colour = 1}};
    char end_text[64];
    snprintf(end_text, sizeof end_text, "gradient descent, %lld steps", (long long)steps);
    const plot_note end = {p[0].x[p[0].n - 1], p[0].y[p[0].n - 1], end_text};
    const plot_series norms[] = {{.name = "squared error", .n = LINE, .x = d->x, .y = d->norms[0], .colour = 2},
                                 {.name = "cross-entropy", .n = LINE, .x = d->x, .y = d->norms[1], .colour = 1}};
    const plot_axis y1 = {.label = "y1, the right class"}, y2 = {.label = "y2"};
    const plot_panel panels[] = {{.title = "squared error",
                                  .x = y1,
                                  .y = y2,
                                  .n_series = 2,
                                  .series = squared,
                                  .n_notes = 1,
                                  .notes = &end,
                                  .field = &d->field[0],
                                  .equal = true},
                                 {.title = "cross-entropy",
                                  .x = y1,
                                  .y = y2,
                                  .n_series = 1,
                                  .series = entropy,
                                  .field = &d->field[1],
                                  .equal = true},
                                 {.title = "on the line from corner to corner",
                                  .x = {.label = "y1 - y2"},
                                  .y = {.label = "norm of the gradient", .log = true},
                                  .n_series = 2,
                                  .series = norms}};
    char title[256], note[512];
    const double first = p[0].loss[0], last = p[0].loss[p[0].n - 1];
    char change[64];
    if (last > 0.99 * first)
        snprintf(change, sizeof change, "leave squared error at %.3g", last);
    else
        snprintf(change, sizeof change, "take squared error from %.3g to %.3g", first, last);
    snprintf(title, sizeof title,
             "Far from the answer %lld steps of gradient descent %s, and take cross-entropy from %.3g to %.3g",
             (long long)steps, change, p[2].loss[0], p[2].loss[p[2].n - 1]);
    snprintf(note, sizeof note,
             "Softmax of (y1, y2, %g) against class 1. Steps of %g from (%g, %g); the gradient's norm there is %.2g "
             "for squared error and %.2g for cross-entropy",
             EXCLUDED, PATH_RATE, -CORNER, CORNER, p[0].grad_norm[0], p[2].grad_norm[0]);
    return plot_write(
        study_path(s, "_surfaces.svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 3, .panels = panels, .width = 460, .height = 420});
}

static bool tabulate_paths(const study *s, const surfaces *d)
{
    double start[PATHS], norm[PATHS], end[PATHS], half[PATHS], y1[PATHS], y2[PATHS];
    for (int i = 0; i < PATHS; i++) {
        const path *p = &d->paths[i];
        start[i] = p->loss[0];
        norm[i] = p->grad_norm[0];
        end[i] = p->loss[p->n - 1];
        half[i] = path_steps_to(p, start[i] / 2);
        y1[i] = p->x[p->n - 1];
        y2[i] = p->y[p->n - 1];
    }
    const table_column columns[] = {
        {.name = "path", .texts = path_names},
        {.name = "loss at the start", .numbers = start},
        {.name = "gradient there", .numbers = norm},
        {.name = "loss at the end", .numbers = end},
        {.name = "steps to half the loss", .numbers = half, .decimals = TABLE_WHOLE},
        {.name = "y1 at the end", .numbers = y1},
        {.name = "y2 at the end", .numbers = y2},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, PATHS) &&
           table_write_csv(study_path(s, "_surfaces.csv"), COLUMNS, columns, PATHS);
}

bool two_outputs_show(const study *s, int64_t grid, int64_t steps)
{
    surfaces d = {0};
    if (compute_surfaces(&d, grid, steps) && gradient_along_the_line(&d) && tabulate_paths(s, &d))
        draw_surfaces(s, steps, &d);
    for (int i = 0; i < PATHS; i++)
        path_free(&d.paths[i]);
    path_surface_free(&d.field[0]);
    path_surface_free(&d.field[1]);
    return !tarn_error();
}
