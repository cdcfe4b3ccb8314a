#include "layers/sequential.h"
#include "layers/layers_impl.h"
#include "tensor/tensor_impl.h"

bool tarn_sequential_init(tarn_sequential *s, size_t count, const tarn_layer *layers)
{
    static const char who[] = "tarn_sequential_init";
    if (!s)
        return tarn_fail("%s: layer is NULL", who);
    *s = (tarn_sequential){0};
    if (tarn_error() || (count > 0 && !tarn__usable(who, layers, "layers")))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!layers[i].apply)
            return tarn_fail("%s: layer %zu has no apply function", who, i);
    *s = (tarn_sequential){count, layers};
    return true;
}

tarn_tensor *tarn_sequential_apply(tarn_tape *t, const tarn_sequential *s, tarn_tensor *x)
{
    if (!tarn__applicable("tarn_sequential_apply", t, s, true, x))
        return NULL;
    for (size_t i = 0; i < s->count && x; i++)
        x = s->layers[i].apply(t, s->layers[i].self, x);
    return x;
}

/* A function of a `const void *` is not a function of a `const tarn_linear_layer *`: each layer needs a bridge. */
#define AS_LAYER(name, type)                                                                                           \
    static tarn_tensor *apply_##name(tarn_tape *t, const void *self, tarn_tensor *x)                                   \
    {                                                                                                                  \
        return tarn_##name##_apply(t, self, x);                                                                        \
    }                                                                                                                  \
                                                                                                                       \
    tarn_layer tarn_##name##_as_layer(const type *l)                                                                   \
    {                                                                                                                  \
        return (tarn_layer){apply_##name, l};                                                                          \
    }
AS_LAYER(linear, tarn_linear_layer)
AS_LAYER(conv2d, tarn_conv2d_layer)
AS_LAYER(batchnorm, tarn_batchnorm_layer)
AS_LAYER(batch_renorm, tarn_batch_renorm_layer)
AS_LAYER(layernorm, tarn_layernorm_layer)
AS_LAYER(rmsnorm, tarn_rmsnorm_layer)
AS_LAYER(groupnorm, tarn_groupnorm_layer)
AS_LAYER(instancenorm, tarn_instancenorm_layer)
AS_LAYER(weightnorm_linear, tarn_weightnorm_linear_layer)
AS_LAYER(weightnorm_conv2d, tarn_weightnorm_conv2d_layer)
AS_LAYER(spectralnorm_linear, tarn_spectralnorm_linear_layer)
AS_LAYER(spectralnorm_conv2d, tarn_spectralnorm_conv2d_layer)
AS_LAYER(dropout, tarn_dropout_layer)
AS_LAYER(activation, tarn_activation_layer)
AS_LAYER(max_pool2d, tarn_max_pool2d_layer)
AS_LAYER(avg_pool2d, tarn_avg_pool2d_layer)
AS_LAYER(flatten, tarn_flatten_layer)
AS_LAYER(sequential, tarn_sequential)
