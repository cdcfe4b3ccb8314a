/* layers/instancenorm.h: Instance Normalization (1607.08022) with its scale and shift. */
#ifndef TARN_INSTANCENORM_H
#define TARN_INSTANCENORM_H

#include "autograd/ops.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_instancenorm_layer {
    tarn_tensor *gamma, *beta; /* [channels]; NULL without */
    int64_t channels;
    double eps;
} tarn_instancenorm_layer;

typedef struct tarn_instancenorm_opts {
    double eps;     /* added to the variance; 0 means 1e-5 */
    bool no_affine; /* without gamma and beta */
} tarn_instancenorm_opts;

/* Adds the parameters NAME.gamma (ones) and NAME.beta (zeros), [channels]. channels is 1 or more, opts->eps 0 or
 * more. */
TARN_API bool tarn_instancenorm_init(tarn_instancenorm_layer *l, tarn_params *params, const char *name,
                                     int64_t channels, const tarn_instancenorm_opts *opts);

/* x [N,...,channels], such as images [N,H,W,channels] -> tarn_instancenorm(x), of its shape, in training and evaluation
 * alike (PyTorch's without running statistics). One position a channel is an error. */
TARN_API tarn_tensor *tarn_instancenorm_apply(tarn_tape *t, const tarn_instancenorm_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
