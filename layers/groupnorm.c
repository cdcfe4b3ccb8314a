#include "layers/groupnorm.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"

#include <inttypes.h>

bool tarn_groupnorm_init(tarn_groupnorm_layer *l, tarn_params *params, const char *name, int64_t groups,
                         int64_t channels, const tarn_groupnorm_opts *opts)
{
    static const char who[] = "tarn_groupnorm_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    tarn_groupnorm_opts chosen = opts ? *opts : (tarn_groupnorm_opts){0};
    *l = (tarn_groupnorm_layer){0};
    if (!tarn__is_count(who, "groups", groups, 1, INT64_MAX))
        return false;
    if (channels % groups)
        return tarn_fail("%s: groups %" PRId64 ", expected a divisor of the %" PRId64 " channels", who, groups,
                         channels);
    tarn_groupnorm_layer made = {.groups = groups, .channels = channels, .eps = chosen.eps};
    if (!tarn__add_affine(who, params, name, channels, chosen.eps, chosen.no_affine, &made.gamma, &made.beta))
        return false;
    *l = made;
    return true;
}

tarn_tensor *tarn_groupnorm_apply(tarn_tape *t, const tarn_groupnorm_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_groupnorm_apply";
    if (!tarn__applicable(who, t, l, l && l->channels > 0, x) || !tarn__takes(who, x, l->channels, l->gamma))
        return NULL;
    return tarn_groupnorm(t, x, l->groups, l->gamma, l->beta, l->eps);
}
