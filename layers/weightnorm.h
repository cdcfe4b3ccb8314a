/* layers/weightnorm.h: Linear and Conv2d with weight normalization (Salimans & Kingma 2016, 1602.07868): the length of
 * each output channel's weights is learnt apart from their direction. */
#ifndef TARN_WEIGHTNORM_H
#define TARN_WEIGHTNORM_H

#include "layers/conv2d.h"
#include "layers/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_weightnorm_linear_layer {
    tarn_linear_layer linear; /* its weight is v */
    tarn_tensor *g;           /* [out] */
} tarn_weightnorm_linear_layer;

typedef struct tarn_weightnorm_conv2d_layer {
    tarn_conv2d_layer conv; /* its weight is v */
    tarn_tensor *g;         /* [out] */
} tarn_weightnorm_conv2d_layer;

/* As tarn_linear_init(), plus the parameter NAME.g [out]. NAME.weight is v, which starts as the weight would, and g its
 * lengths: so the layer begins as the one without. Zeros (TARN_INIT_ZEROS) are refused: they have no direction. */
TARN_API bool tarn_weightnorm_linear_init(tarn_weightnorm_linear_layer *l, tarn_params *params, const char *name,
                                          tarn_rng *rng, int64_t in, int64_t out, const tarn_linear_opts *opts);

/* x [...,in] -> x w + bias, [...,out], w = tarn_weightnorm(v, g). */
TARN_API tarn_tensor *tarn_weightnorm_linear_apply(tarn_tape *t, const tarn_weightnorm_linear_layer *l, tarn_tensor *x);

/* As tarn_conv2d_init(), and otherwise as above. */
TARN_API bool tarn_weightnorm_conv2d_init(tarn_weightnorm_conv2d_layer *l, tarn_params *params, const char *name,
                                          tarn_rng *rng, int64_t in, int64_t out, int kernel,
                                          const tarn_conv2d_layer_opts *opts);

/* x [N,H,W,in] -> tarn_conv2d(x, w) + bias, w = tarn_weightnorm(v, g). */
TARN_API tarn_tensor *tarn_weightnorm_conv2d_apply(tarn_tape *t, const tarn_weightnorm_conv2d_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
