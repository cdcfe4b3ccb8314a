#include "layers/batch_renorm.h"
#include "autograd/normalize.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"

static bool add_and_fill(tarn_batch_renorm_layer *l, tarn_params *params, const char *name, int64_t channels)
{
    static const char who[] = "tarn_batch_renorm_init";
    const tarn_batch_renorm_opts opts = tarn__batch_renorm_opts(&l->opts);
    if (!tarn__is_count(who, "channels", channels, 1, INT64_MAX) || !tarn__batch_renorm_usable(who, &opts))
        return false;
    const tarn__part parts[] = {
        {"gamma", true, 1, {channels}, &l->gamma},
        {"beta", true, 1, {channels}, &l->beta},
        {"running_mean", false, 1, {channels}, &l->running.mean},
        {"running_std", false, 1, {channels}, &l->running.std},
        {"batches", false, 0, {0}, &l->running.batches},
    };
    return tarn__add_parts(who, params, name, 5, parts) && tarn_fill(l->gamma, 1) && tarn_fill(l->running.std, 1);
}

bool tarn_batch_renorm_init(tarn_batch_renorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                            const tarn_batch_renorm_opts *opts)
{
    if (!l)
        return tarn_fail("tarn_batch_renorm_init: layer is NULL");
    tarn_batch_renorm_opts chosen = opts ? *opts : (tarn_batch_renorm_opts){0};
    *l = (tarn_batch_renorm_layer){.opts = chosen};
    if (add_and_fill(l, params, name, channels))
        return true;
    *l = (tarn_batch_renorm_layer){0};
    return false;
}

tarn_tensor *tarn_batch_renorm_apply(tarn_tape *t, const tarn_batch_renorm_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_batch_renorm_apply";
    if (!tarn__applicable(who, t, l, l && l->gamma, x) || !tarn__takes(who, x, l->gamma->shape[0], l->gamma))
        return NULL;
    return tarn_batch_renorm(t, x, l->gamma, l->beta, &l->running, &l->opts);
}
