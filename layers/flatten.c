#include "layers/flatten.h"
#include "layers/layers_impl.h"
#include "tensor/tensor_impl.h"

bool tarn_flatten_init(tarn_flatten_layer *l, int kept)
{
    static const char who[] = "tarn_flatten_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_flatten_layer){0};
    if (tarn_error())
        return false;
    if (kept < 1 || kept >= TARN_MAX_DIMS)
        return tarn_fail("%s: kept %d, expected 1 to %d", who, kept, TARN_MAX_DIMS - 1);
    l->kept = kept;
    return true;
}

tarn_tensor *tarn_flatten_apply(tarn_tape *t, const tarn_flatten_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_flatten_apply";
    if (!tarn__applicable(who, t, l, l && l->kept, x))
        return NULL;
    if (x->ndim < l->kept) {
        tarn_fail("%s: x %s, expected %d axes or more", who, TARN__SHAPE_TEXT(x), l->kept);
        return NULL;
    }
    int64_t shape[TARN_MAX_DIMS], rest = 1;
    for (int i = 0; i < x->ndim; i++)
        if (i < l->kept)
            shape[i] = x->shape[i];
        else
            rest *= x->shape[i];
    shape[l->kept] = rest;
    return tarn_reshape(t, x, l->kept + 1, shape);
}
