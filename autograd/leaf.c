/* Constants, and small helpers for rules. */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/range.h"

#include <string.h>

tarn_tensor *tarn_constant(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, const void *data)
{
    if (!tarn__usable("tarn_constant", data, "data"))
        return NULL;
    tarn_tensor *x = tarn__tape_leaf("tarn_constant", t, dtype, ndim, shape);
    if (x)
        memcpy(x->data, data, tarn__bytes(x));
    return x;
}

static tarn_tensor *full(const char *who, tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, double value)
{
    tarn_tensor *x = tarn__tape_leaf(who, t, dtype, ndim, shape);
    if (x && value == 0)
        memset(x->data, 0, tarn__bytes(x));
    else
        for (int64_t i = 0; x && i < x->numel; i++)
            tarn__store(x, i, value);
    return x;
}

tarn_tensor *tarn_full(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, double value)
{
    return full("tarn_full", t, dtype, ndim, shape, value);
}

tarn_tensor *tarn_zeros(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    return full("tarn_zeros", t, dtype, ndim, shape, 0);
}

tarn_tensor *tarn_ones(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    return full("tarn_ones", t, dtype, ndim, shape, 1);
}

tarn_tensor *tarn_scalar(tarn_tape *t, tarn_dtype dtype, double value)
{
    return full("tarn_scalar", t, dtype, 0, NULL, value);
}

tarn_tensor *tarn__scalar_like(tarn_tape *t, const tarn_tensor *x, double value)
{
    return x ? tarn_scalar(t, x->dtype, value) : NULL;
}

tarn_tensor *tarn_arange(tarn_tape *t, tarn_dtype dtype, int64_t n, double start, double step)
{
    tarn_tensor *x = tarn__tape_leaf("tarn_arange", t, dtype, 1, &n);
    for (int64_t i = 0; x && i < n; i++)
        tarn__store(x, i, start + (double)i * step);
    return x;
}

static tarn_tensor *random_leaf(const char *who, tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape,
                                const tarn_rng *rng)
{
    if (!tarn__usable(who, rng, "rng"))
        return NULL;
    if (!tarn__is_float(dtype)) {
        tarn_fail("%s: dtype %s, expected f32 or f64", who, tarn_dtype_name(dtype));
        return NULL;
    }
    return tarn__tape_leaf(who, t, dtype, ndim, shape);
}

tarn_tensor *tarn_uniform(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, tarn_rng *rng, double low,
                          double high)
{
    static const char who[] = "tarn_uniform";
    tarn_tensor *x =
        tarn__is_uniform(who, dtype == TARN_F64, low, high) ? random_leaf(who, t, dtype, ndim, shape, rng) : NULL;
    if (!x)
        return NULL;
    bool ok = dtype == TARN_F32 ? tarn_rng_fill_uniform_f32(rng, (size_t)x->numel, x->data, low, high)
                                : tarn_rng_fill_uniform_f64(rng, (size_t)x->numel, x->data, low, high);
    return ok ? x : NULL;
}

tarn_tensor *tarn_normal(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, tarn_rng *rng, double mean,
                         double std)
{
    static const char who[] = "tarn_normal";
    tarn_tensor *x =
        tarn__is_normal(who, dtype == TARN_F64, mean, std) ? random_leaf(who, t, dtype, ndim, shape, rng) : NULL;
    if (!x)
        return NULL;
    bool ok = dtype == TARN_F32 ? tarn_rng_fill_normal_f32(rng, (size_t)x->numel, x->data, mean, std)
                                : tarn_rng_fill_normal_f64(rng, (size_t)x->numel, x->data, mean, std);
    return ok ? x : NULL;
}

tarn_tensor *tarn__sum_to(tarn_tape *t, tarn_tensor *g, const tarn_tensor *like)
{
    if (!g || tarn__same_shape(g, like))
        return g;
    int axes[TARN_MAX_DIMS], count = 0, extra = g->ndim - like->ndim;
    for (int i = 0; i < g->ndim; i++)
        if (i < extra || (like->shape[i - extra] == 1 && g->shape[i] != 1))
            axes[count++] = i;
    return tarn_reshape(t, tarn_sum(t, g, count, axes, true), like->ndim, like->shape);
}
