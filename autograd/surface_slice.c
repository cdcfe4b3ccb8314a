/* Slices through the surface of a loss. */
#include "autograd/surface_impl.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static double coordinate(const tarn_slice_axis *axis, int64_t i)
{
    if (i == 0 || axis->count == 1)
        return axis->low;
    if (i == axis->count - 1)
        return axis->high;
    double part = (double)i / (double)(axis->count - 1),
           rest = (double)(axis->count - 1 - i) / (double)(axis->count - 1);
    return rest * axis->low + part * axis->high;
}

static bool is_axis(const char *who, const char *what, const tarn_slice_axis *axis)
{
    if (!tarn__usable(who, axis, what))
        return false;
    if (!isfinite(axis->low) || !isfinite(axis->high))
        return tarn_fail("%s: %s goes from %g to %g, expected finite numbers", who, what, axis->low, axis->high);
    if (axis->count < 1)
        return tarn_fail("%s: %s has %" PRId64 " coordinates, expected 1 or more", who, what, axis->count);
    return true;
}

double tarn_slice_coordinate(const tarn_slice_axis *axis, int64_t i)
{
    static const char who[] = "tarn_slice_coordinate";
    if (!is_axis(who, "axis", axis))
        return NAN;
    if (i < 0 || i >= axis->count) {
        tarn_fail("%s: coordinate %" PRId64 " of %" PRId64, who, i, axis->count);
        return NAN;
    }
    return coordinate(axis, i);
}

/* The elements of an axis's direction, computed before the objective's tape is reset. */
static const double *direction_of(const char *who, const char *what, const tarn_slice_axis *axis,
                                  const tarn_objective *f)
{
    if (!is_axis(who, what, axis))
        return NULL;
    if (axis->direction && f->tape && axis->direction->tape == f->tape) {
        tarn_fail("%s: the direction of %s lies on the objective's tape, which is reset", who, what);
        return NULL;
    }
    int64_t numel = tarn_params_numel(f->params);
    const double *d = tarn__vector_of(who, "a direction", axis->direction, numel);
    for (int64_t i = 0; d && i < numel; i++)
        if (!isfinite(d[i])) {
            tarn_fail("%s: the direction of %s has an element %g, expected finite numbers", who, what, d[i]);
            return NULL;
        }
    return d;
}

typedef struct slice {
    const tarn_slice_axis *rows, *columns;
    const double *down, *across;
    const tarn_slice_opts *opts;
} slice;

static bool fill(tarn__evaluation *e, const slice *s, double *losses)
{
    size_t n = (size_t)e->numel;
    double *theta = tarn__allocate(4 * n * sizeof *theta);
    if (!theta)
        return tarn_fail("%s: no memory", e->who);
    double *point = theta + n, *down = point + n, *across = down + n;
    bool ok = tarn__gather_parts(e->count, e->params, theta);
    memcpy(down, s->down, n * sizeof *down); /* copies: a direction may be a parameter, which moves */
    if (s->across)
        memcpy(across, s->across, n * sizeof *across);
    int64_t total = s->rows->count * s->columns->count;
    for (int64_t k = 0; ok && k < total; k++) {
        tarn__along(e->numel, theta, coordinate(s->rows, k / s->columns->count), down, point);
        if (s->across)
            tarn__along(e->numel, point, coordinate(s->columns, k % s->columns->count), across, point);
        tarn__move_to(e, point);
        tarn_tensor *y = tarn__objective_record(e, false);
        losses[k] = y ? tarn_item(y) : NAN;
        ok = !tarn_error();
        if (ok && s->opts && s->opts->progress)
            s->opts->progress(s->opts->progress_context, k + 1, total);
    }
    tarn__release(theta);
    return ok;
}

static tarn_tensor *compute(const char *who, const tarn_objective *f, const slice *s, int ndim, const int64_t *shape)
{
    tarn_tensor *losses = tarn_tensor_new(TARN_F64, ndim, shape);
    tarn__evaluation e;
    if (!losses || !tarn__objective_begin(&e, who, f)) {
        tarn_tensor_free(losses);
        return NULL;
    }
    bool ok = fill(&e, s, losses->data);
    tarn__objective_end(&e);
    if (ok)
        return losses;
    tarn_tensor_free(losses);
    return NULL;
}

/* Before anything else is read from f; the rest of its errors are the evaluation's. */
static bool has_params(const char *who, const tarn_objective *f)
{
    return tarn__usable(who, f, "objective") && tarn__usable(who, f->params, "objective's params");
}

tarn_tensor *tarn_slice1d_new(const tarn_objective *f, const tarn_slice_axis *axis, const tarn_slice_opts *opts)
{
    static const char who[] = "tarn_slice1d_new";
    static const tarn_slice_axis one = {.count = 1};
    slice s = {.rows = axis, .columns = &one, .opts = opts};
    if (!has_params(who, f) || !(s.down = direction_of(who, "the axis", axis, f)))
        return NULL;
    return compute(who, f, &s, TARN_SHAPE(axis->count));
}

tarn_tensor *tarn_slice2d_new(const tarn_objective *f, const tarn_slice_axis *rows, const tarn_slice_axis *columns,
                              const tarn_slice_opts *opts)
{
    static const char who[] = "tarn_slice2d_new";
    slice s = {.rows = rows, .columns = columns, .opts = opts};
    if (!has_params(who, f) || !(s.down = direction_of(who, "the rows", rows, f)) ||
        !(s.across = direction_of(who, "the columns", columns, f)))
        return NULL;
    return compute(who, f, &s, TARN_SHAPE(rows->count, columns->count));
}

/* ---- points on a slice ---- */

/* e without its part along d, in place: the coefficient. */
static double take_away(int64_t n, const double *d, double *e)
{
    double along = tarn__dot(n, d, e) / tarn__dot(n, d, d);
    tarn__along(n, e, -along, d, e);
    return along;
}

/* x / |x| into unit; returns |x|, or 0 with an error. */
static double unit_of(const char *who, int64_t n, const double *x, double *unit)
{
    double length = tarn__norm(n, x);
    if (!(length > 0 && length < INFINITY)) {
        tarn_fail("%s: a direction is zero or not finite", who);
        return 0;
    }
    for (int64_t i = 0; i < n; i++)
        unit[i] = x[i] / length;
    return length;
}

/* One direction after the other, from the point's difference to the origin; `room` has 3 n elements. */
static double project(const char *who, int64_t n, const double *const v[4], double *room, double coordinates[2])
{
    double *rest = room, *d = room + n, *e = room + 2 * n, ab[2] = {0}, lengths[2] = {unit_of(who, n, v[1], d), 1};
    if (lengths[0] == 0 || (v[2] && (lengths[1] = unit_of(who, n, v[2], e)) == 0))
        return NAN;
    tarn__along(n, v[3], -1, v[0], rest);
    ab[0] = take_away(n, d, rest);
    if (v[2]) {
        double shared = take_away(n, d, e);
        if (!(tarn__norm(n, e) > 1e-12)) {
            tarn_fail("%s: the directions lie along one line", who);
            return NAN;
        }
        ab[1] = take_away(n, e, rest);
        ab[0] -= ab[1] * shared;
    }
    coordinates[0] = ab[0] / lengths[0];
    coordinates[1] = ab[1] / lengths[1];
    return tarn__norm(n, rest);
}

double tarn_slice_project(tarn_tensor *origin, tarn_tensor *d, tarn_tensor *e, tarn_tensor *point,
                          double coordinates[2])
{
    static const char who[] = "tarn_slice_project";
    if (!tarn__tensor_usable(who, origin, "origin") || !tarn__usable(who, coordinates, "coordinates"))
        return NAN;
    int64_t n = origin->numel;
    const double *v[4] = {tarn__vector_of(who, "origin", origin, n)};
    if (!v[0] || !(v[1] = tarn__vector_of(who, "d", d, n)) || (e && !(v[2] = tarn__vector_of(who, "e", e, n))) ||
        !(v[3] = tarn__vector_of(who, "point", point, n)))
        return NAN;
    double *room = tarn__allocate(3 * (size_t)n * sizeof *room + 1);
    if (!room) {
        tarn_fail("%s: no memory", who);
        return NAN;
    }
    double distance = project(who, n, v, room, coordinates);
    tarn__release(room);
    return distance;
}
