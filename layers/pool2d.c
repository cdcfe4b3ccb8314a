#include "layers/pool2d.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

static bool is_valid(const char *who, int window, const tarn_pool2d_opts *opts)
{
    return !tarn_error() && tarn__is_count(who, "window", window, 1, INT64_MAX) &&
           tarn__is_count(who, "stride", opts->stride, 0, INT64_MAX) &&
           tarn__is_count(who, "padding", opts->padding, 0, window / 2);
}

bool tarn_max_pool2d_init(tarn_max_pool2d_layer *l, int window, const tarn_pool2d_opts *opts)
{
    static const char who[] = "tarn_max_pool2d_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    tarn_pool2d_opts chosen = opts ? *opts : (tarn_pool2d_opts){0};
    bool valid = is_valid(who, window, &chosen);
    *l = valid ? (tarn_max_pool2d_layer){window, chosen} : (tarn_max_pool2d_layer){0};
    return valid;
}

bool tarn_avg_pool2d_init(tarn_avg_pool2d_layer *l, int window, const tarn_pool2d_opts *opts)
{
    static const char who[] = "tarn_avg_pool2d_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    tarn_pool2d_opts chosen = opts ? *opts : (tarn_pool2d_opts){0};
    bool valid = is_valid(who, window, &chosen);
    *l = valid ? (tarn_avg_pool2d_layer){window, chosen} : (tarn_avg_pool2d_layer){0};
    return valid;
}

tarn_tensor *tarn_max_pool2d_apply(tarn_tape *t, const tarn_max_pool2d_layer *l, tarn_tensor *x)
{
    if (!tarn__applicable("tarn_max_pool2d_apply", t, l, l && l->window, x))
        return NULL;
    return tarn_max_pool2d(t, x, l->window, &l->opts);
}

tarn_tensor *tarn_avg_pool2d_apply(tarn_tape *t, const tarn_avg_pool2d_layer *l, tarn_tensor *x)
{
    if (!tarn__applicable("tarn_avg_pool2d_apply", t, l, l && l->window, x))
        return NULL;
    return tarn_avg_pool2d(t, x, l->window, &l->opts);
}
