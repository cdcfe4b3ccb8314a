#include "layers/dropout.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

bool tarn_dropout_init(tarn_dropout_layer *l, double p, tarn_rng *rng)
{
    static const char who[] = "tarn_dropout_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_dropout_layer){0};
    if (!tarn__usable(who, rng, "rng"))
        return false;
    if (!tarn__is_in(who, "p", p, '[', 0, 1, ')'))
        return false;
    *l = (tarn_dropout_layer){.p = p, .rng = rng};
    return true;
}

tarn_tensor *tarn_dropout_apply(tarn_tape *t, const tarn_dropout_layer *l, tarn_tensor *x)
{
    return tarn__applicable("tarn_dropout_apply", t, l, l && l->rng, x) ? tarn_dropout(t, x, l->p, l->rng) : NULL;
}
