/* layers/sequential.h: layers one after the other.
 *
 *     const tarn_layer parts[] = {tarn_linear_as_layer(&f1), tarn_activation_as_layer(&relu)};
 *     tarn_sequential net;
 *     tarn_sequential_init(&net, 2, parts);
 *     y = tarn_sequential_apply(t, &net, x);
 *
 * A plain C function that applies the layers does the same, and may branch and join. */
#ifndef TARN_SEQUENTIAL_H
#define TARN_SEQUENTIAL_H

#include "layers/activation.h"
#include "layers/batch_renorm.h"
#include "layers/batchnorm.h"
#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/groupnorm.h"
#include "layers/instancenorm.h"
#include "layers/layernorm.h"
#include "layers/linear.h"
#include "layers/pool2d.h"
#include "layers/rmsnorm.h"
#include "layers/spectralnorm.h"
#include "layers/weightnorm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Anything that makes one tensor of another: the library's layers by the functions below, the user's own by hand. */
typedef struct tarn_layer {
    tarn_tensor *(*apply)(tarn_tape *t, const void *self, tarn_tensor *x);
    const void *self; /* the layer, which must outlive this */
} tarn_layer;

typedef struct tarn_sequential {
    size_t count;
    const tarn_layer *layers;
} tarn_sequential;

/* The layers stay the caller's, and must outlive it. None at all is the identity. */
TARN_API bool tarn_sequential_init(tarn_sequential *s, size_t count, const tarn_layer *layers);

/* Applies the first layer to x, the next to its result, and so on. */
TARN_API tarn_tensor *tarn_sequential_apply(tarn_tape *t, const tarn_sequential *s, tarn_tensor *x);

/* The layer may be initialized later, but before it is applied. */
TARN_API tarn_layer tarn_linear_as_layer(const tarn_linear_layer *l);
TARN_API tarn_layer tarn_conv2d_as_layer(const tarn_conv2d_layer *l);
TARN_API tarn_layer tarn_batchnorm_as_layer(const tarn_batchnorm_layer *l);
TARN_API tarn_layer tarn_batch_renorm_as_layer(const tarn_batch_renorm_layer *l);
TARN_API tarn_layer tarn_layernorm_as_layer(const tarn_layernorm_layer *l);
TARN_API tarn_layer tarn_rmsnorm_as_layer(const tarn_rmsnorm_layer *l);
TARN_API tarn_layer tarn_groupnorm_as_layer(const tarn_groupnorm_layer *l);
TARN_API tarn_layer tarn_instancenorm_as_layer(const tarn_instancenorm_layer *l);
TARN_API tarn_layer tarn_weightnorm_linear_as_layer(const tarn_weightnorm_linear_layer *l);
TARN_API tarn_layer tarn_weightnorm_conv2d_as_layer(const tarn_weightnorm_conv2d_layer *l);
TARN_API tarn_layer tarn_spectralnorm_linear_as_layer(const tarn_spectralnorm_linear_layer *l);
TARN_API tarn_layer tarn_spectralnorm_conv2d_as_layer(const tarn_spectralnorm_conv2d_layer *l);
TARN_API tarn_layer tarn_dropout_as_layer(const tarn_dropout_layer *l);
TARN_API tarn_layer tarn_activation_as_layer(const tarn_activation_layer *l);
TARN_API tarn_layer tarn_max_pool2d_as_layer(const tarn_max_pool2d_layer *l);
TARN_API tarn_layer tarn_avg_pool2d_as_layer(const tarn_avg_pool2d_layer *l);
TARN_API tarn_layer tarn_flatten_as_layer(const tarn_flatten_layer *l);
TARN_API tarn_layer tarn_sequential_as_layer(const tarn_sequential *s);

#ifdef __cplusplus
}
#endif
#endif
