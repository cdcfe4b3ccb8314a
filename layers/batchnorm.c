#include "layers/batchnorm.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>

static bool add_and_fill(tarn_batchnorm_layer *l, tarn_params *params, const char *name, int64_t channels)
{
    static const char who[] = "tarn_batchnorm_init";
    if (!tarn__is_count(who, "channels", channels, 1, INT64_MAX) ||
        !tarn__is_in(who, "eps", l->opts.eps, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "momentum", l->opts.momentum, '[', 0, 1, ']'))
        return false;
    const tarn__part parts[] = {
        {"gamma", true, 1, {channels}, &l->gamma},
        {"beta", true, 1, {channels}, &l->beta},
        {"running_mean", false, 1, {channels}, &l->running.mean},
        {"running_var", false, 1, {channels}, &l->running.var},
        {"batches", false, 0, {0}, &l->running.batches},
    };
    return tarn__add_parts(who, params, name, 5, parts) && tarn_fill(l->gamma, 1) && tarn_fill(l->running.var, 1);
}

bool tarn_batchnorm_init(tarn_batchnorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                         const tarn_batchnorm_opts *opts)
{
    if (!l)
        return tarn_fail("tarn_batchnorm_init: layer is NULL");
    tarn_batchnorm_opts chosen = opts ? *opts : (tarn_batchnorm_opts){0};
    *l = (tarn_batchnorm_layer){.opts = chosen};
    if (add_and_fill(l, params, name, channels))
        return true;
    *l = (tarn_batchnorm_layer){0};
    return false;
}

tarn_tensor *tarn_batchnorm_apply(tarn_tape *t, const tarn_batchnorm_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_batchnorm_apply";
    if (!tarn__applicable(who, t, l, l && l->gamma, x) || !tarn__takes(who, x, l->gamma->shape[0], l->gamma))
        return NULL;
    return tarn_batchnorm(t, x, l->gamma, l->beta, &l->running, &l->opts);
}
