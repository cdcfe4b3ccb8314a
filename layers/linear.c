#include "layers/linear.h"
#include "layers/init_impl.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

static bool add_and_fill(tarn_linear_layer *l, tarn_params *params, const char *name, tarn_rng *rng, int64_t in,
                         int64_t out, const tarn_linear_opts *opts)
{
    static const char who[] = "tarn_linear_init";
    if (!tarn__usable(who, rng, "rng") || !tarn__is_count(who, "in", in, 1, INT64_MAX) ||
        !tarn__is_count(who, "out", out, 1, INT64_MAX) || !tarn__init_usable(who, &opts->init))
        return false;
    const tarn__part parts[] = {
        {"weight", true, 2, {in, out}, &l->weight},
        {"bias", true, 1, {out}, &l->bias},
    };
    return tarn__add_parts(who, params, name, opts->no_bias ? 1 : 2, parts) &&
           tarn__init_weight_and_bias(l->weight, l->bias, rng, &opts->init);
}

bool tarn_linear_init(tarn_linear_layer *l, tarn_params *params, const char *name, tarn_rng *rng, int64_t in,
                      int64_t out, const tarn_linear_opts *opts)
{
    if (!l)
        return tarn_fail("tarn_linear_init: layer is NULL");
    tarn_linear_opts chosen = opts ? *opts : (tarn_linear_opts){0};
    *l = (tarn_linear_layer){0};
    if (add_and_fill(l, params, name, rng, in, out, &chosen))
        return true;
    *l = (tarn_linear_layer){0};
    return false;
}

/* One matrix product over all rows, rather than one for each index of the leading axes. */
static tarn_tensor *rows_times(tarn_tape *t, tarn_tensor *x, tarn_tensor *weight)
{
    if (x->ndim == 2)
        return tarn_matmul(t, x, weight);
    int64_t in = weight->shape[0], shape[TARN_MAX_DIMS];
    for (int i = 0; i < x->ndim - 1; i++)
        shape[i] = x->shape[i];
    shape[x->ndim - 1] = weight->shape[1];
    tarn_tensor *rows = tarn_reshape(t, x, TARN_SHAPE(x->numel / in, in));
    return tarn_reshape(t, tarn_matmul(t, rows, weight), x->ndim, shape);
}

tarn_tensor *tarn_linear_apply(tarn_tape *t, const tarn_linear_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_linear_apply";
    if (!tarn__applicable(who, t, l, l && l->weight, x) || !tarn__takes(who, x, l->weight->shape[0], l->weight))
        return NULL;
    tarn_tensor *y = rows_times(t, x, l->weight);
    return l->bias ? tarn_add(t, y, l->bias) : y;
}
