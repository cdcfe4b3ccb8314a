#include "layers/rmsnorm.h"
#include "layers/layers_impl.h"

bool tarn_rmsnorm_init(tarn_rmsnorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                       const tarn_rmsnorm_opts *opts)
{
    static const char who[] = "tarn_rmsnorm_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    tarn_rmsnorm_opts chosen = opts ? *opts : (tarn_rmsnorm_opts){0};
    *l = (tarn_rmsnorm_layer){0};
    tarn_rmsnorm_layer made = {.channels = channels, .eps = chosen.eps};
    if (!tarn__add_affine(who, params, name, channels, chosen.eps, chosen.no_affine, &made.gamma, NULL))
        return false;
    *l = made;
    return true;
}

tarn_tensor *tarn_rmsnorm_apply(tarn_tape *t, const tarn_rmsnorm_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_rmsnorm_apply";
    if (!tarn__applicable(who, t, l, l && l->channels > 0, x) || !tarn__takes(who, x, l->channels, l->gamma))
        return NULL;
    return tarn_rmsnorm(t, x, l->gamma, l->eps);
}
