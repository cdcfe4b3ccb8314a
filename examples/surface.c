/* surface.c: the error surface of a linear model whose inputs are of different scale, before and after they are
 * normalised, and the paths of six optimisers on it; and a plateau and a hollow that momentum gets through. */
#include "examples/common/ball.h"
#include "examples/common/path.h"
#include "examples/common/progress.h"
#include "examples/common/study.h"
#include "examples/common/table.h"

#include <math.h>
#include <stdio.h>

enum { EXAMPLES = 50, SIDES = 2, METHODS = 6, FIXED_RATE = 2, RATES = 17, DRAWN = 200 };

#define START  (-2.0) /* both weights, before and after */
#define SHARE  1e-3   /* of the targets' variance: the loss to be reached */
#define LOWEST 1e-7   /* of the learning rates: LOWEST * 10^(i/2) */

typedef struct settings {
    int64_t steps, grid;
} settings;

/* ---- the model y = w1 x1 + w2 x2 + b ---- */

typedef struct problem {
    const char *name;
    tarn_params *params;
    tarn_tensor *w, *x, *y; /* a parameter [2,1]; inputs [R,2]; targets less b [R,1] */
    tarn_objective f;
    double target, smallest, largest; /* the loss to be reached; eigenvalues of the Hessian */
    plot_field field;
} problem;

static tarn_tensor *mean_squared_error(tarn_tape *t, void *context)
{
    const problem *p = context;
    return tarn_mse(t, tarn_matmul(t, p->x, p->w), p->y);
}

/* For each feature, over all examples: (x - mean) / sigma. */
static tarn_tensor *standardize(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *mean = tarn_mean(t, x, TARN_AXES(0), true), *var = tarn_var(t, x, TARN_AXES(0), 0, true);
    return tarn_mul(t, tarn_sub(t, x, mean), tarn_rsqrt(t, var));
}

/* x1 from 1 to 9 and x2 from 100 to 900, in y = x1 + 0.01 x2 + b. After normalisation the best b is the mean of y. */
static bool problems_init(problem p[SIDES], uint64_t seed)
{
    const double low[] = {1, 100}, range[] = {8, 800}, weights[] = {1, 0.01};
    tarn_tape *t = tarn_tape_new();
    tarn_rng rng = tarn_rng_seed(seed);
    tarn_tensor *x = tarn_uniform(t, TARN_F64, TARN_SHAPE(EXAMPLES, 2), &rng, 0, 1);
    x = tarn_add(t, tarn_mul(t, x, tarn_constant(t, TARN_F64, TARN_SHAPE(2), range)),
                 tarn_constant(t, TARN_F64, TARN_SHAPE(2), low));
    tarn_tensor *y = tarn_matmul(t, x, tarn_constant(t, TARN_F64, TARN_SHAPE(2, 1), weights));
    const double variance = tarn_item(tarn_var(t, y, TARN_ALL_AXES, 0, false));
    for (int i = 0; i < SIDES; i++) {
        p[i].name = i ? "normalised" : "as they are";
        p[i].params = tarn_params_new(TARN_F64);
        p[i].w = tarn_params_add(p[i].params, "w", TARN_SHAPE(2, 1));
        p[i].x = tarn_tensor_clone(i ? standardize(t, x) : x);
        p[i].y = tarn_tensor_clone(i ? tarn_sub(t, y, tarn_mean(t, y, TARN_ALL_AXES, false)) : y);
        p[i].f = (tarn_objective){mean_squared_error, &p[i], p[i].params, tarn_tape_new()};
        p[i].target = SHARE * variance;
    }
    tarn_tape_free(t);
    return !tarn_error();
}

static void problems_free(problem p[SIDES])
{
    for (int i = 0; i < SIDES; i++) {
        tarn_tape_free(p[i].f.tape);
        tarn_tensor_free(p[i].x), tarn_tensor_free(p[i].y);
        tarn_params_free(p[i].params);
        path_surface_free(&p[i].field);
    }
}

static bool problem_look(problem *p, int64_t grid)
{
    tarn_tensor *hessian = tarn_hessian_new(&p->f), *values = tarn_symmetric_eigen_new(hessian, NULL);
    p->smallest = tarn_at(values, (const int64_t[]){0});
    p->largest = tarn_at(values, (const int64_t[]){1});
    tarn_tensor_free(hessian), tarn_tensor_free(values);
    p->field = (plot_field){.x_low = -4,
                            .x_high = 6,
                            .y_low = -4,
                            .y_high = 6,
                            .label = "mean squared error",
                            .log = true,
                            .contours = true};
    return path_surface(&p->field, &p->f, grid);
}

/* ---- optimisers ---- */

static tarn_optim *new_descent(tarn_params *p, double lr)
{
    return tarn_sgd_new(p, &(tarn_sgd_opts){.lr = lr});
}

static tarn_optim *new_momentum(tarn_params *p, double lr)
{
    return tarn_sgd_new(p, &(tarn_sgd_opts){.lr = lr, .momentum = 0.9});
}

static tarn_optim *new_adagrad(tarn_params *p, double lr)
{
    return tarn_adagrad_new(p, &(tarn_adagrad_opts){.lr = lr});
}

static tarn_optim *new_adagrad_mean(tarn_params *p, double lr)
{
    return tarn_adagrad_new(p, &(tarn_adagrad_opts){.lr = lr, .mean = true});
}

static tarn_optim *new_rmsprop(tarn_params *p, double lr)
{
    return tarn_rmsprop_new(p, &(tarn_rmsprop_opts){.lr = lr});
}

static tarn_optim *new_adam(tarn_params *p, double lr)
{
    return tarn_adam_new(p, &(tarn_adam_opts){.lr = lr});
}

typedef struct method {
    const char *name;
    tarn_optim *(*optim_new)(tarn_params *params, double lr);
} method;

static const method methods[METHODS] = {
    {"gradient descent", new_descent},          {"Momentum 0.9", new_momentum}, {"Adagrad", new_adagrad},
    {"Adagrad, mean square", new_adagrad_mean}, {"RMSProp", new_rmsprop},       {"Adam", new_adam},
};

typedef struct result {
    double lr, steps; /* of the rate that needs the fewest steps; NaN: none gets there */
    path path;        /* with that rate */
} result;

static bool walk(path *p, const problem *of, const method *m, double lr, int64_t steps)
{
    tarn_optim *optim = m->optim_new(of->params, lr);
    path_walk(p, &of->f, optim,
              &(path_opts){.x = START, .y = START, .steps = steps, .enough = of->target / 100, .hopeless = 1e9});
    tarn_optim_free(optim);
    return !tarn_error();
}

/* Which of two walks is better: sooner there, or nearer to it. */
static bool better(const path *a, const path *b, double target)
{
    const double sa = path_steps_to(a, target), sb = path_steps_to(b, target);
    if (!b->n || isnan(sa) != isnan(sb))
        return !b->n || isnan(sb);
    return isnan(sa) ? a->loss[a->n - 1] < b->loss[b->n - 1] : sa < sb;
}

static bool search(result *r, const problem *of, const method *m, int64_t steps)
{
    *r = (result){.steps = NAN};
    for (int i = 0; i < RATES; i++) {
        const double lr = LOWEST * pow(10, i / 2.0);
        path p;
        if (!walk(&p, of, m, lr, steps) || !better(&p, &r->path, of->target)) {
            path_free(&p);
            continue;
        }
        path_free(&r->path);
        *r = (result){lr, path_steps_to(&p, of->target), p};
    }
    return !tarn_error();
}

/* ---- what came out ---- */

static bool tabulate(const study *s, const problem p[SIDES], result r[SIDES][METHODS])
{
    enum { ROWS = SIDES * METHODS };
    const char *inputs[ROWS], *names[ROWS];
    double lr[ROWS], steps[ROWS], last[ROWS], condition[ROWS];
    for (int i = 0; i < ROWS; i++) {
        const problem *which = &p[i / METHODS];
        const result *one = &r[i / METHODS][i % METHODS];
        inputs[i] = which->name;
        names[i] = methods[i % METHODS].name;
        lr[i] = one->lr;
        steps[i] = one->steps;
        last[i] = one->path.loss[one->path.n - 1];
        condition[i] = which->largest / which->smallest;
    }
    const table_column columns[] = {
        {.name = "inputs", .texts = inputs},
        {.name = "condition number", .numbers = condition},
        {.name = "optimiser", .texts = names},
        {.name = "best learning rate", .numbers = lr},
        {.name = "steps to 0.1 % of the variance", .numbers = steps, .decimals = TABLE_WHOLE},
        {.name = "loss at the end", .numbers = last},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, ROWS) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, ROWS);
}

/* "1 step", "more than 20000 steps". */
static void put_steps(char *out, size_t size, const result *r, int64_t most)
{
    if (isnan(r->steps))
        snprintf(out, size, "more than %lld steps", (long long)most);
    else
        snprintf(out, size, "%.0f step%s", r->steps, r->steps > 1 ? "s" : "");
}

typedef struct row {
    plot_series paths[METHODS], losses[METHODS];
    char titles[3][96];
} row;

static void fill_row(row *w, const problem *p, const result r[METHODS], plot_panel panels[3])
{
    for (int k = 0; k < METHODS; k++) {
        const path *way = &r[k].path;
        /* the smoother ones on top */
        w->paths[k < FIXED_RATE ? FIXED_RATE - 1 - k : FIXED_RATE + METHODS - 1 - k] =
            (plot_series){.name = methods[k].name,
                          .n = way->n,
                          .x = way->x,
                          .y = way->y,
                          .colour = k + 1,
                          .width = 1.3,
                          .ends = true};
        w->losses[k] =
            (plot_series){.name = methods[k].name, .n = way->n, .x = way->step, .y = way->loss, .colour = k + 1};
    }
    snprintf(w->titles[0], sizeof w->titles[0], "inputs %s, condition number %.3g", p->name, p->largest / p->smallest);
    snprintf(w->titles[1], sizeof w->titles[1], "%s, a rate for each weight", p->name);
    snprintf(w->titles[2], sizeof w->titles[2], "%s, the loss", p->name);
    for (int i = 0; i < 2; i++)
        panels[i] = (plot_panel){.title = w->titles[i],
                                 .x = {.label = "w1"},
                                 .y = {.label = "w2"},
                                 .n_series = i ? METHODS - FIXED_RATE : FIXED_RATE,
                                 .series = w->paths + (i ? FIXED_RATE : 0),
                                 .field = &p->field,
                                 .equal = true};
    panels[2] = (plot_panel){.title = w->titles[2],
                             .x = {.label = "step", .log = true},
                             .y = {.label = "mean squared error", .log = true},
                             .n_series = METHODS,
                             .series = w->losses};
}

static bool draw(const study *s, const settings *o, const problem p[SIDES], result r[SIDES][METHODS])
{
    row rows[SIDES];
    plot_panel panels[SIDES * 3];
    char title[256], note[512], steps[SIDES][64];
    for (int i = 0; i < SIDES; i++) {
        fill_row(&rows[i], &p[i], r[i], panels + 3 * i);
        put_steps(steps[i], sizeof steps[i], &r[i][0], o->steps);
    }
    snprintf(title, sizeof title, "Along the valley gradient descent takes %s; once the inputs are normalised, %s",
             steps[0], steps[1]);
    snprintf(
        note, sizeof note,
        "To a loss of 0.1 %% of the targets' variance, all from (%g, %g). y = w1 x1 + w2 x2 + b, %d examples, x1 from "
        "1 "
        "to 9, x2 from 100 to 900, b held at its best. Each optimiser at the best of %d learning rates, %g to %g; late "
        "steps are drawn in part; seed %lld",
        START, START, EXAMPLES, RATES, LOWEST, LOWEST * pow(10, (RATES - 1) / 2.0), (long long)s->seed);
    return plot_write(study_path(s, ".svg"), &(plot_figure){.title = title,
                                                            .note = note,
                                                            .n_panels = SIDES * 3,
                                                            .panels = panels,
                                                            .columns = 3,
                                                            .width = 450,
                                                            .height = 400});
}

static void run(const study *s, const settings *o)
{
    problem p[SIDES] = {0};
    result r[SIDES][METHODS] = {0};
    progress bar = progress_begin("learning rates", (int64_t)SIDES * METHODS, "optimisers", 1, s->quiet);
    bool ok = problems_init(p, (uint64_t)s->seed);
    for (int i = 0; i < SIDES && ok; i++) {
        ok = problem_look(&p[i], o->grid);
        for (int k = 0; k < METHODS && ok; k++) {
            ok = search(&r[i][k], &p[i], &methods[k], o->steps);
            path_thin(&r[i][k].path, DRAWN);
            progress_show(&bar, i * METHODS + k + 1, methods[k].name);
        }
    }
    progress_end(&bar, NULL);
    if (ok && tabulate(s, p, r) && draw(s, o, p, r))
        ball_show(s, o->grid);
    for (int i = 0; i < SIDES * METHODS; i++)
        path_free(&r[i / METHODS][i % METHODS].path);
    problems_free(p);
}

int main(int argc, char **argv)
{
    study s = {.name = "surface", .about = "Draws an error surface and the paths of optimisers on it."};
    settings o = {.steps = 100000, .grid = 61};
    const cli_option more[] = {
        {"--steps", "N", CLI_INT, &o.steps, 100, 10000000, "steps of each optimiser at most"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.steps = 300, .grid = 21};
    run(&s, &o);
    return study_end(&s);
}
