/* Gradients compared: along a step, before and after the layers below move, from batch to batch. */
#include "autograd/surface_impl.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static double smaller(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : b < a ? b : a;
}

static double larger(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : b > a ? b : a;
}

/* `count` vectors of P elements; NULL with an error. */
static double *vectors(const tarn__evaluation *e, size_t count)
{
    double *room = tarn__allocate(count * (size_t)e->numel * sizeof *room);
    if (!room)
        tarn_fail("%s: no memory", e->who);
    return room;
}

/* ---- along the gradient ---- */

/* What one step says. */
static void add_step(tarn_gradient_probe_report *r, bool first, double loss, double distance, double cosine,
                     double beta)
{
    r->lowest_loss = first ? loss : smaller(r->lowest_loss, loss);
    r->highest_loss = first ? loss : larger(r->highest_loss, loss);
    r->nearest = first ? distance : smaller(r->nearest, distance);
    r->farthest = first ? distance : larger(r->farthest, distance);
    r->lowest_cosine = first ? cosine : smaller(r->lowest_cosine, cosine);
    r->highest_cosine = first ? cosine : larger(r->highest_cosine, cosine);
    r->beta = first ? beta : larger(r->beta, beta);
}

static bool probe(tarn__evaluation *e, const tarn_gradient_probe_opts *o, double *room, tarn_gradient_probe_report *r)
{
    int64_t n = e->numel;
    double *theta = room, *g = room + n, *other = room + 2 * n, *point = room + 3 * n, loss;
    if (!tarn__gather_parts(e->count, e->params, theta) || !tarn__objective_gradient(e, g, &r->loss))
        return false;
    r->gradient_norm = tarn__norm(n, g);
    for (int64_t k = 0; k < o->count; k++) {
        double part = o->count > 1 ? (double)k / (double)(o->count - 1) : 0, eta = (1 - part) * o->low + part * o->high;
        tarn__along(n, theta, -eta, g, point);
        tarn__move_to(e, point);
        if (!tarn__objective_gradient(e, other, &loss))
            return false;
        double distance = tarn__distance(n, g, other);
        add_step(r, k == 0, loss, distance, tarn__cosine(n, g, other), distance / (eta * r->gradient_norm));
    }
    return true;
}

bool tarn_gradient_probe(const tarn_objective *f, const tarn_gradient_probe_opts *opts,
                         tarn_gradient_probe_report *report)
{
    static const char who[] = "tarn_gradient_probe";
    if (report)
        *report = (tarn_gradient_probe_report){0};
    if (!tarn__usable(who, report, "report"))
        return false;
    tarn_gradient_probe_opts o = opts ? *opts : (tarn_gradient_probe_opts){0};
    if (o.low == 0 && o.high == 0)
        o.low = 0.05, o.high = 0.4;
    if (o.count == 0)
        o.count = 8;
    if (!tarn__is_in(who, "low", o.low, TARN__POSITIVE) || !tarn__is_in(who, "high", o.high, TARN__POSITIVE) ||
        !tarn__are_in_order(who, o.low, o.high) || !tarn__is_count(who, "count", o.count, 0, INT64_MAX))
        return false;
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, who, f))
        return false;
    tarn_gradient_probe_report r = {0};
    double *room = vectors(&e, 4);
    bool ok = room && probe(&e, &o, room, &r);
    tarn__release(room);
    tarn__objective_end(&e);
    if (ok)
        *report = r;
    return ok;
}

/* ---- when the layers below move ---- */

static bool starts_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static bool is_below(const char *name, const char *const *below)
{
    for (; *below; below++)
        if (starts_with(name, *below))
            return true;
    return false;
}

/* For each parameter: whether it is the layer's, and whether it moves. False when the layer has none. */
static bool sort_out(const tarn__evaluation *e, const char *layer, const char *const *below, char *of_layer,
                     char *moves)
{
    bool found = false;
    for (int i = 0; i < e->count; i++) {
        const char *name = e->params[i]->name;
        of_layer[i] = starts_with(name, layer);
        found |= of_layer[i];
        moves[i] = !of_layer[i] && (below ? is_below(name, below) : !found);
    }
    return found;
}

/* The layer's elements of a gradient, packed into part: how many. */
static int64_t pack(const tarn__evaluation *e, const char *of_layer, const double *g, double *part)
{
    int64_t n = 0;
    for (int i = 0; i < e->count; i++) {
        int64_t numel = e->params[i]->numel;
        if (of_layer[i])
            memcpy(part + n, g, (size_t)numel * sizeof *g);
        n += of_layer[i] ? numel : 0;
        g += numel;
    }
    return n;
}

static void step_below(const tarn__evaluation *e, const char *moves, double lr, const double *g, double *theta)
{
    for (int i = 0; i < e->count; i++) {
        int64_t numel = e->params[i]->numel;
        if (moves[i])
            tarn__along(numel, theta, -lr, g, theta);
        theta += numel, g += numel;
    }
}

static bool shift(tarn__evaluation *e, const char *of_layer, const char *moves, double lr, double *room,
                  tarn_gradient_shift_report *r)
{
    double *theta = room, *g = room + e->numel, *before = room + 2 * e->numel, *after = theta, loss;
    if (!tarn__gather_parts(e->count, e->params, theta) || !tarn__objective_gradient(e, g, &loss))
        return false;
    int64_t n = pack(e, of_layer, g, before);
    step_below(e, moves, lr, g, theta);
    tarn__move_to(e, theta);
    if (!tarn__objective_gradient(e, g, &loss))
        return false;
    pack(e, of_layer, g, after); /* theta has done its work */
    *r = (tarn_gradient_shift_report){.before = tarn__norm(n, before),
                                      .after = tarn__norm(n, after),
                                      .shift = tarn__distance(n, before, after),
                                      .cosine = tarn__cosine(n, before, after)};
    r->relative = r->shift / r->before;
    return true;
}

bool tarn_gradient_shift(const tarn_objective *f, const char *layer, const char *const *below, double lr,
                         tarn_gradient_shift_report *report)
{
    static const char who[] = "tarn_gradient_shift";
    if (report)
        *report = (tarn_gradient_shift_report){0};
    if (!tarn__usable(who, report, "report") || !tarn__usable(who, layer, "layer"))
        return false;
    if (!tarn__is_in(who, "lr", lr, TARN__FINITE))
        return false;
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, who, f))
        return false;
    tarn_gradient_shift_report r = {0};
    char *roles = tarn__allocate(2 * (size_t)e.count);
    double *room = roles ? vectors(&e, 3) : NULL;
    bool ok = roles ? room != NULL : tarn_fail("%s: no memory", who);
    if (ok && !sort_out(&e, layer, below, roles, roles + e.count))
        ok = tarn_fail("%s: no parameter's name starts with \"%s\"", who, layer);
    ok = ok && shift(&e, roles, roles + e.count, lr, room, &r);
    tarn__release(room);
    tarn__release(roles);
    tarn__objective_end(&e);
    if (ok)
        *report = r;
    return ok;
}

/* ---- from batch to batch ---- */

/* The mean of k gradients becomes that of k+1; returns what the sum of the squared distances from the mean grows by
 * (Welford 1962). */
static double add_gradient(int64_t n, double *mean, const double *g, int64_t k)
{
    double growth = tarn__distance(n, g, mean);
    for (int64_t i = 0; i < n; i++)
        mean[i] += (g[i] - mean[i]) / (double)(k + 1);
    return growth * growth * ((double)k / (double)(k + 1));
}

static bool noise(tarn__evaluation *e, int64_t batches, bool (*select)(void *, int64_t), double *room,
                  tarn_gradient_noise_report *r)
{
    int64_t n = e->numel;
    double *mean = room, *g = room + n, squares = 0, loss;
    memset(mean, 0, (size_t)n * sizeof *mean);
    for (int64_t k = 0; k < batches; k++) {
        if (!select(e->f->context, k))
            return tarn_fail("%s: batch %" PRId64 " of %" PRId64 " could not be selected", e->who, k, batches);
        if (!tarn__objective_gradient(e, g, &loss))
            return false;
        r->loss += loss;
        squares += add_gradient(n, mean, g, k);
    }
    r->loss /= (double)batches;
    r->mean_norm = tarn__norm(n, mean);
    r->noise_norm = sqrt(squares / (double)(batches - 1));
    r->gradient_squared = tarn__dot(n, mean, mean) - squares / (double)(batches - 1) / (double)batches;
    return true;
}

bool tarn_gradient_noise(const tarn_objective *f, int64_t batches, int64_t batch_size,
                         bool (*select)(void *context, int64_t batch), tarn_gradient_noise_report *report)
{
    static const char who[] = "tarn_gradient_noise";
    if (report)
        *report = (tarn_gradient_noise_report){0};
    if (!tarn__usable(who, report, "report"))
        return false;
    if (!select)
        return tarn_fail("%s: select is NULL", who);
    if (!tarn__is_count(who, "batches", batches, 2, INT64_MAX) ||
        !tarn__is_count(who, "batch_size", batch_size, 1, INT64_MAX))
        return false;
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, who, f))
        return false;
    tarn_gradient_noise_report r = {0};
    double *room = vectors(&e, 2);
    bool ok = room && noise(&e, batches, select, room, &r);
    tarn__release(room);
    tarn__objective_end(&e);
    if (!ok)
        return false;
    double squared = r.noise_norm * r.noise_norm;
    r.noise_scale = r.gradient_squared <= 0 ? INFINITY : (double)batch_size * squared / r.gradient_squared;
    *report = r;
    return true;
}
