/* layers/conv2d.h: a two-dimensional convolution with weights and a bias. */
#ifndef TARN_CONV2D_H
#define TARN_CONV2D_H

#include "layers/init.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_conv2d_layer {
    tarn_tensor *weight; /* [kernel,kernel,in/groups,out] */
    tarn_tensor *bias;   /* [out]; NULL without */
    tarn_conv2d_opts conv;
} tarn_conv2d_layer;

typedef struct tarn_conv2d_layer_opts {
    int stride;     /* 0 means 1 */
    int padding;    /* zeros on each side */
    int dilation;   /* 0 means 1 */
    int groups;     /* 0 means 1; divides in and out */
    bool no_bias;   /* as before a BatchNorm, which takes the mean away again */
    bool exact;     /* see tarn_conv2d_opts */
    tarn_init init; /* of the weight; the bias: see below */
} tarn_conv2d_layer_opts;

/* Adds NAME.weight and NAME.bias. in, out and kernel are 1 or more; rng moves on. The bias starts uniform in [-a, a),
 * a = 1/sqrt(fan_in), or as zeros beside TARN_INIT_ZEROS. */
TARN_API bool tarn_conv2d_init(tarn_conv2d_layer *l, tarn_params *params, const char *name, tarn_rng *rng, int64_t in,
                               int64_t out, int kernel, const tarn_conv2d_layer_opts *opts);

/* x [N,H,W,in] -> tarn_conv2d(x, weight) + bias, [N,P,Q,out]: P and Q as there. */
TARN_API tarn_tensor *tarn_conv2d_apply(tarn_tape *t, const tarn_conv2d_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
