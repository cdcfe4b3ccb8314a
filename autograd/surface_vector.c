/* Directions for the slices of a loss. */
#include "autograd/surface_impl.h"
#include "tensor/tensor_impl.h"

#include <math.h>
#include <string.h>

void tarn__move_to(tarn__evaluation *e, double *point)
{
    for (int i = 0; i < e->count; i++) {
        tarn_tensor *x = e->params[i], part = {.data = point};
        tarn__set_shape(&part, TARN_F64, x->ndim, x->shape);
        tarn__copy_elements(x, &part);
        x->version++;
        point += x->numel;
    }
}

/* ---- directions ---- */

/* One filter: n elements, `stride` apart. */
typedef struct filter {
    int64_t n, stride;
} filter;

static double dot_within(filter f, const double *x, const double *y)
{
    double total = 0;
    for (int64_t i = 0; i < f.n; i++)
        total += x[i * f.stride] * y[i * f.stride];
    return total;
}

static void orthogonalize(filter f, double *d, const double *other)
{
    double squares = dot_within(f, other, other);
    if (squares == 0)
        return;
    if (f.n == 1) {
        *d = 0;
        return;
    }
    for (int round = 0; round < 2; round++) { /* the second takes away what the first one's rounding left */
        double along = dot_within(f, d, other) / squares;
        for (int64_t i = 0; i < f.n; i++)
            d[i * f.stride] -= along * other[i * f.stride];
    }
}

static void scale_to(filter f, double *d, double length)
{
    double own = sqrt(dot_within(f, d, d)), factor = own == 0 ? 0 : length / own;
    for (int64_t i = 0; i < f.n; i++)
        d[i * f.stride] *= factor;
}

/* A parameter's part of the direction. */
static void normalize_part(const tarn_tensor *x, double *d, const double *other, bool vectors)
{
    if (x->ndim < 2 && !vectors) {
        memset(d, 0, (size_t)x->numel * sizeof *d);
        return;
    }
    int64_t filters = x->ndim < 2 ? 1 : x->shape[x->ndim - 1];
    for (int64_t k = 0; k < filters && x->numel > 0; k++) {
        filter f = {x->numel / filters, filters};
        double squares = 0;
        for (int64_t i = 0; i < f.n; i++) {
            double value = tarn__load(x, k + i * f.stride);
            squares += value * value;
        }
        if (other)
            orthogonalize(f, d + k, other + k);
        scale_to(f, d + k, sqrt(squares));
    }
}

static void normalize(const tarn_params *params, double *d, const double *other, const tarn_direction_opts *o)
{
    if (o->plain) {
        if (other)
            orthogonalize((filter){tarn_params_numel(params), 1}, d, other);
        return;
    }
    int64_t from = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        const tarn_tensor *x = tarn_params_at(params, i);
        if (!x->grad)
            continue;
        normalize_part(x, d + from, other ? other + from : NULL, o->vectors);
        from += x->numel;
    }
}

/* What both functions ask of params and opts; the elements of orthogonal_to, or NULL, into *other. */
static bool check(const char *who, const tarn_params *params, const tarn_direction_opts *o, const double **other)
{
    *other = NULL;
    if (!tarn__usable(who, params, "params"))
        return false;
    int64_t numel = tarn_params_numel(params);
    if (numel == 0)
        return tarn_fail("%s: the store has no trained elements", who);
    if (!o->orthogonal_to)
        return true;
    *other = tarn__vector_of(who, "orthogonal_to", o->orthogonal_to, numel);
    return *other != NULL;
}

static const tarn_direction_opts defaults;

tarn_tensor *tarn_direction_random_new(tarn_params *params, tarn_rng *rng, const tarn_direction_opts *opts)
{
    static const char who[] = "tarn_direction_random_new";
    const tarn_direction_opts *o = opts ? opts : &defaults;
    const double *other;
    if (!check(who, params, o, &other) || !tarn__usable(who, rng, "rng"))
        return NULL;
    tarn_tensor *d = tarn_tensor_new(TARN_F64, TARN_SHAPE(tarn_params_numel(params)));
    if (!d)
        return NULL;
    tarn_rng_fill_normal_f64(rng, (size_t)d->numel, d->data, 0, 1);
    normalize(params, d->data, other, o);
    return d;
}

bool tarn_direction_normalize(tarn_params *params, tarn_tensor *direction, const tarn_direction_opts *opts)
{
    static const char who[] = "tarn_direction_normalize";
    const tarn_direction_opts *o = opts ? opts : &defaults;
    const double *other;
    if (!check(who, params, o, &other) || !tarn__is_point(who, "direction", direction, tarn_params_numel(params)))
        return false;
    if (direction->node)
        return tarn_fail("%s: the direction was computed by an op, and cannot be written", who);
    normalize(params, tarn_mutable_data(direction), other, o);
    return true;
}

tarn_tensor *tarn_direction_between_new(tarn_tensor *from, tarn_tensor *to)
{
    static const char who[] = "tarn_direction_between_new";
    if (!tarn__tensor_usable(who, from, "from"))
        return NULL;
    const double *a = tarn__vector_of(who, "from", from, from->numel),
                 *b = a ? tarn__vector_of(who, "to", to, from->numel) : NULL;
    tarn_tensor *d = b ? tarn_tensor_new(TARN_F64, TARN_SHAPE(from->numel)) : NULL;
    if (d)
        tarn__along(d->numel, b, -1, a, d->data);
    return d;
}
