#include "layers/layernorm.h"
#include "layers/layers_impl.h"

bool tarn_layernorm_init(tarn_layernorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                         const tarn_layernorm_opts *opts)
{
    static const char who[] = "tarn_layernorm_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    tarn_layernorm_opts chosen = opts ? *opts : (tarn_layernorm_opts){0};
    *l = (tarn_layernorm_layer){0};
    tarn_layernorm_layer made = {.channels = channels, .eps = chosen.eps};
    if (!tarn__add_affine(who, params, name, channels, chosen.eps, chosen.no_affine, &made.gamma, &made.beta))
        return false;
    *l = made;
    return true;
}

tarn_tensor *tarn_layernorm_apply(tarn_tape *t, const tarn_layernorm_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_layernorm_apply";
    if (!tarn__applicable(who, t, l, l && l->channels > 0, x) || !tarn__takes(who, x, l->channels, l->gamma))
        return NULL;
    return tarn_layernorm(t, x, l->gamma, l->beta, l->eps);
}
