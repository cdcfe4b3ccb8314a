/* minimum_ratio.c: what kind of critical points a network has. From many places that training comes by, Newton's method
 * goes to a point without gradient nearby; there the whole spectrum of the Hessian says in how many directions the loss
 * rises: the minimum ratio. Then the way out of one of them. (After Dauphin et al. 2014, 1406.2572, figure 1.) */
#include "examples/common/plot.h"
#include "examples/common/progress.h"
#include "examples/common/study.h"
#include "examples/common/table.h"

#include <math.h>
#include <stdio.h>

enum { POOL = 7, INPUTS = 16, STARTS = 7, MAX_NETS = 8, POINTS = STARTS * MAX_NETS, SLICE = 61, DESCENT = 1000 };

#define DECAY 1e-3

typedef struct settings {
    int64_t images, hidden, nets, newton_steps, training_steps;
} settings;

/* 4x4 means of an image, one layer of tanh, the squared error against the one-hot label, and weight decay, without
 * which much of the surface is so flat that Newton's method gets lost. */
typedef struct small_net {
    tarn_params *params;
    tarn_linear_layer hidden, out;
    tarn_tensor *x, *y;
} small_net;

static tarn_tensor *loss_of(tarn_tape *t, void *context)
{
    const small_net *m = context;
    tarn_tensor *h = tarn_tanh(t, tarn_linear_apply(t, &m->hidden, m->x));
    tarn_tensor *loss = tarn_mse(t, tarn_linear_apply(t, &m->out, h), m->y);
    for (size_t i = 0; i < tarn_params_count(m->params); i++) {
        tarn_tensor *squares = tarn_sum(t, tarn_square(t, tarn_params_at(m->params, i)), TARN_ALL_AXES, false);
        loss = tarn_add(t, loss, tarn_mul_scalar(t, squares, DECAY / 2));
    }
    return loss;
}

static bool net_init(small_net *m, const study *s, const settings *o)
{
    tarn_tensor *images = NULL, *labels = NULL;
    tarn_tape *t = tarn_tape_new();
    *m = (small_net){0};
    if (study_examples(s->train, o->images, &images, &labels)) {
        tarn_tensor *means = tarn_reshape(t, tarn_avg_pool2d(t, images, POOL, NULL), TARN_SHAPE(o->images, INPUTS));
        m->x = tarn_tensor_clone(tarn_cast(t, means, TARN_F64));
        m->y = tarn_tensor_clone(tarn_one_hot(t, labels, STUDY_CLASSES, TARN_F64));
    }
    tarn_tape_free(t);
    tarn_tensor_free(images);
    tarn_tensor_free(labels);
    return !tarn_error();
}

static bool net_start(small_net *m, const settings *o, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    tarn_params_free(m->params);
    m->params = tarn_params_new(TARN_F64);
    return tarn_linear_init(&m->hidden, m->params, "hidden", &rng, INPUTS, o->hidden, NULL) &&
           tarn_linear_init(&m->out, m->params, "out", &rng, o->hidden, STUDY_CLASSES, NULL);
}

static void net_free(small_net *m)
{
    tarn_params_free(m->params);
    tarn_tensor_free(m->x);
    tarn_tensor_free(m->y);
}

/* ---- many of them ---- */

typedef struct point {
    int64_t step; /* of the training from which the search began */
    double start; /* loss there */
    tarn_critical_point_report found;
} point;

typedef struct collection {
    int n;
    point points[POINTS];
    tarn_tensor *saddle;               /* the one with the most negative eigenvalue */
    tarn_critical_point_report report; /* what it is */
    const point *highest, *lowest;     /* critical points, by loss */
} collection;

static void keep(collection *all, point *p, const tarn_objective *f)
{
    const tarn_critical_point_report *r = &p->found;
    if (r->kind == TARN_SADDLE && (!all->saddle || r->smallest < all->report.smallest)) {
        tarn_tensor_free(all->saddle);
        all->saddle = tarn_params_vector_new(f->params);
        all->report = *r;
    }
    if (r->kind == TARN_NOT_CRITICAL)
        return;
    if (!all->highest || r->value > all->highest->found.value)
        all->highest = p;
    if (!all->lowest || r->value < all->lowest->found.value)
        all->lowest = p;
}

/* The search leaves the network where its training was. */
static void search_here(const tarn_objective *f, const settings *o, int64_t step, collection *all)
{
    point *p = &all->points[all->n];
    *p = (point){.step = step, .start = tarn_objective_value(f)};
    tarn_tensor *here = tarn_params_vector_new(f->params);
    tarn_tensor *found = tarn_critical_search_new(f, o->newton_steps, NULL);
    if (found && tarn_params_set_vector(f->params, found) && tarn_critical_point(f, NULL, &p->found)) {
        keep(all, p, f);
        all->n++;
    }
    tarn_params_set_vector(f->params, here);
    tarn_tensor_free(here), tarn_tensor_free(found);
}

static void train_and_search(const tarn_objective *f, const study *s, const settings *o, int net, collection *all)
{
    static const double shares[STARTS] = {0, 0.004, 0.01, 0.03, 0.1, 0.3, 1};
    tarn_optim *adam = tarn_adam_new(f->params, &(tarn_adam_opts){.lr = 0.01});
    char label[32];
    snprintf(label, sizeof label, "network %d", net + 1);
    progress bar = progress_begin(label, STARTS, "searches", 1, s->quiet);
    int64_t step = 0;
    for (int i = 0; i < STARTS && !tarn_error(); i++) {
        for (const int64_t until = (int64_t)(shares[i] * (double)o->training_steps); step < until; step++) {
            tarn_tensor *loss = f->loss(f->tape, f->context);
            tarn_backward(f->tape, loss);
            tarn_optim_step(adam);
            tarn_tape_reset(f->tape);
        }
        search_here(f, o, step, all);
        progress_show(&bar, i + 1, NULL);
    }
    progress_end(&bar, NULL);
    tarn_optim_free(adam);
}

static bool tabulate(const study *s, const collection *all)
{
    enum { NUMBERS = 8 };
    double numbers[NUMBERS][POINTS];
    const char *kinds[POINTS];
    for (int i = 0; i < all->n; i++) {
        const point *p = &all->points[i];
        const tarn_critical_point_report *r = &p->found;
        const double row[NUMBERS] = {
            (double)p->step,     p->start,        r->value, r->gradient_norm, (double)r->negative, (double)r->zero,
            (double)r->positive, r->minimum_ratio};
        kinds[i] = tarn_critical_kind_name(r->kind);
        for (int k = 0; k < NUMBERS; k++)
            numbers[k][i] = row[k];
    }
    const table_column columns[] = {
        {.name = "after training steps", .numbers = numbers[0], .decimals = TABLE_WHOLE},
        {.name = "loss there", .numbers = numbers[1], .decimals = 4},
        {.name = "loss at the point found", .numbers = numbers[2], .decimals = 4},
        {.name = "gradient norm", .numbers = numbers[3]},
        {.name = "negative eigenvalues", .numbers = numbers[4], .decimals = TABLE_WHOLE},
        {.name = "zero", .numbers = numbers[5], .decimals = TABLE_WHOLE},
        {.name = "positive", .numbers = numbers[6], .decimals = TABLE_WHOLE},
        {.name = "minimum ratio", .numbers = numbers[7], .decimals = 3},
        {.name = "is a", .texts = kinds},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, all->n) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, all->n);
}

/* ---- the way out ---- */

typedef struct way_out {
    double smallest, largest; /* eigenvalues at the saddle */
    double at[SLICE], down[SLICE], up[SLICE], loss[DESCENT + 1];
} way_out;

static bool slice(const tarn_objective *f, tarn_tensor *direction, double at[SLICE], double losses[SLICE])
{
    const tarn_slice_axis axis = {.direction = direction, .low = -1.2, .high = 1.2, .count = SLICE};
    tarn_tensor *values = tarn_slice1d_new(f, &axis, NULL);
    for (int64_t i = 0; i < SLICE && values; i++) {
        at[i] = tarn_slice_coordinate(&axis, i);
        losses[i] = tarn_at(values, &i);
    }
    tarn_tensor_free(values);
    return !tarn_error();
}

/* Slices along the first and the last eigenvector, then gradient descent from 0.1 beside the saddle. */
static bool leave(const tarn_objective *f, tarn_tensor *saddle, way_out *w)
{
    tarn_extremes ends = {0};
    if (!tarn_params_set_vector(f->params, saddle) || !tarn_hessian_extremes(f, 1, 1, NULL, &ends))
        return false;
    const int64_t n = tarn_dim(ends.vectors, 1);
    w->smallest = tarn_at(ends.values, (int64_t[]){0});
    w->largest = tarn_at(ends.values, (int64_t[]){1});
    tarn_tensor *last =
        tarn_tensor_clone(tarn_reshape(f->tape, tarn_slice(f->tape, ends.vectors, 0, 1, 2, 1), TARN_SHAPE(n)));
    tarn_tape_reset(f->tape);
    tarn_tensor *first = tarn_escape_direction_new(f, NULL, NULL);
    if (first && slice(f, first, w->at, w->down) && slice(f, last, w->at, w->up)) {
        tarn_optim *sgd = tarn_sgd_new(f->params, &(tarn_sgd_opts){.lr = 0.5});
        tarn_tensor *beside = tarn_tensor_clone(tarn_add(f->tape, saddle, tarn_mul_scalar(f->tape, first, 0.1)));
        tarn_tape_reset(f->tape);
        tarn_params_set_vector(f->params, beside);
        for (int i = 0; i <= DESCENT && !tarn_error(); i++) {
            tarn_tensor *loss = f->loss(f->tape, f->context);
            w->loss[i] = tarn_item(loss);
            tarn_backward(f->tape, loss);
            tarn_optim_step(sgd);
            tarn_tape_reset(f->tape);
        }
        tarn_tensor_free(beside);
        tarn_optim_free(sgd);
    }
    tarn_tensor_free(first), tarn_tensor_free(last);
    tarn_extremes_free(&ends);
    return !tarn_error();
}

/* ---- the picture ---- */

static const struct {
    tarn_critical_kind kind;
    const char *name;
    int colour;
} groups[] = {{TARN_SADDLE, "saddles", 2},
              {TARN_MINIMUM, "minima", 1},
              {TARN_DEGENERATE, "degenerate", 4},
              {TARN_NOT_CRITICAL, "gradient small, not 0", 8}};

enum { GROUPS = sizeof groups / sizeof *groups };

static void write_title(char *title, size_t size, const int counts[GROUPS], const collection *all, const way_out *w)
{
    const int critical = all->n - counts[GROUPS - 1];
    if (all->saddle)
        snprintf(
            title, size,
            "%d of %d critical points found are saddles; the share of directions that go up is %.2f at the highest "
            "loss, %.2f at the lowest; out of a saddle, descent goes from %.4f to %.4f",
            counts[0], critical, all->highest->found.minimum_ratio, all->lowest->found.minimum_ratio, all->report.value,
            w->loss[DESCENT]);
    else
        snprintf(title, size, "Of %d critical points found in so few steps, none is a saddle and %d are minima",
                 critical, counts[1]);
}

typedef struct spread {
    double loss[GROUPS][POINTS], ratio[GROUPS][POINTS], low, high;
    int counts[GROUPS];
    plot_series series[GROUPS];
} spread;

static void fill(spread *s, const collection *all)
{
    for (int g = 0; g < GROUPS; g++) {
        for (int i = 0; i < all->n; i++) {
            const tarn_critical_point_report *r = &all->points[i].found;
            if (r->kind != groups[g].kind)
                continue;
            s->low = fmin(s->low, r->value);
            s->high = fmax(s->high, r->value);
            s->loss[g][s->counts[g]] = r->value;
            s->ratio[g][s->counts[g]++] = r->minimum_ratio;
        }
        s->series[g] = (plot_series){.name = s->counts[g] ? groups[g].name : NULL,
                                     .n = s->counts[g],
                                     .x = s->loss[g],
                                     .y = s->ratio[g],
                                     .style = PLOT_POINTS,
                                     .colour = groups[g].colour,
                                     .faint = g == GROUPS - 1};
    }
}

static bool draw(const study *s, const settings *o, int64_t parameters, const collection *all, const way_out *w)
{
    spread found = {.low = INFINITY, .high = -INFINITY};
    fill(&found, all);
    char title[320], note[512], down[64], up[64];
    write_title(title, sizeof title, found.counts, all, w);
    snprintf(note, sizeof note,
             "%lld Fashion-MNIST images as 4x4 means, %lld tanh units, %lld parameters, squared error and weight decay "
             "%g; damped Newton from %d places on the training of %lld networks; seed %lld",
             (long long)o->images, (long long)o->hidden, (long long)parameters, DECAY, STARTS, (long long)o->nets,
             (long long)s->seed);
    snprintf(down, sizeof down, "along the eigenvector of %.3f", w->smallest);
    snprintf(up, sizeof up, "along that of %.3f", w->largest);
    const double across[] = {0, DESCENT}, level[] = {all->report.value, all->report.value};
    const plot_series slices[] = {{.name = down, .n = SLICE, .x = w->at, .y = w->down, .colour = 2},
                                  {.name = up, .n = SLICE, .x = w->at, .y = w->up, .colour = 1}};
    const plot_series descent[] = {
        {.name = "0.1 beside it", .n = DESCENT + 1, .y = w->loss, .colour = 2},
        {.name = "the saddle", .n = 2, .x = across, .y = level, .colour = 8, .width = 1, .dashed = true}};
    const plot_panel panels[] = {
        {.title = "what was found",
         .x = {.label = "loss",
               .low = found.low - 0.05 * (found.high - found.low),
               .high = found.high + 0.05 * (found.high - found.low)},
         .y = {.label = "minimum ratio: share of eigenvalues above 0"},
         .n_series = GROUPS,
         .series = found.series},
        {.title = "a saddle, in slices",
         .x = {.label = "distance from the saddle"},
         .y = {.label = "loss", .log = true},
         .n_series = all->saddle ? 2 : 0,
         .series = slices},
        {.title = "gradient descent away from it",
         .x = {.label = "step"},
         .y = {.label = "loss"},
         .n_series = all->saddle ? 2 : 0,
         .series = descent},
    };
    return plot_write(study_path(s, ".svg"), &(plot_figure){.title = title,
                                                            .note = note,
                                                            .n_panels = all->saddle ? 3 : 1,
                                                            .panels = panels,
                                                            .width = 460,
                                                            .height = 400});
}

static void run(study *s, const settings *o)
{
    small_net m = {0};
    collection all = {0};
    way_out w = {0};
    tarn_objective f = {loss_of, &m, NULL, tarn_tape_new()};
    bool ok = study_load(s, o->images, 1) && net_init(&m, s, o);
    for (int i = 0; i < o->nets && ok; i++) {
        ok = net_start(&m, o, (uint64_t)s->seed + (uint64_t)i);
        f.params = m.params;
        if (ok)
            train_and_search(&f, s, o, i, &all);
        ok = !tarn_error();
    }
    if (ok && tabulate(s, &all) && (!all.saddle || leave(&f, all.saddle, &w)))
        draw(s, o, tarn_params_numel(m.params), &all, &w);
    tarn_tensor_free(all.saddle);
    tarn_tape_free(f.tape);
    net_free(&m);
}

int main(int argc, char **argv)
{
    study s = {.name = "minimum_ratio",
               .about = "Searches critical points of a small network, and asks what they are."};
    settings o = {.images = 200, .hidden = 3, .nets = 6, .newton_steps = 150, .training_steps = 3000};
    const cli_option more[] = {
        {"--hidden", "N", CLI_INT, &o.hidden, 1, 20, "units of the network"},
        {"--nets", "N", CLI_INT, &o.nets, 1, MAX_NETS, "networks that are trained"},
        {"--searches", "N", CLI_INT, &o.newton_steps, 1, 10000, "steps of Newton's method at most"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.images = 30, .hidden = 1, .nets = 1, .newton_steps = 10, .training_steps = 200};
    run(&s, &o);
    return study_end(&s);
}
