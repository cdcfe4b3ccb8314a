/* layers/linear.h: a fully connected layer. */
#ifndef TARN_LINEAR_H
#define TARN_LINEAR_H

#include "layers/init.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_linear_layer {
    tarn_tensor *weight; /* [in,out] */
    tarn_tensor *bias;   /* [out]; NULL without */
} tarn_linear_layer;

typedef struct tarn_linear_opts {
    bool no_bias;
    tarn_init init; /* of the weight; the bias: see below */
} tarn_linear_opts;

/* Adds NAME.weight and NAME.bias. in and out are 1 or more; rng moves on. The bias starts uniform in [-a, a),
 * a = 1/sqrt(in), or as zeros beside TARN_INIT_ZEROS. */
TARN_API bool tarn_linear_init(tarn_linear_layer *l, tarn_params *params, const char *name, tarn_rng *rng, int64_t in,
                               int64_t out, const tarn_linear_opts *opts);

/* x [...,in] -> x weight + bias, [...,out]. */
TARN_API tarn_tensor *tarn_linear_apply(tarn_tape *t, const tarn_linear_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
