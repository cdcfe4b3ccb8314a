/* layers/rmsnorm.h: Root Mean Square Normalization (1910.07467) with its scale. */
#ifndef TARN_RMSNORM_H
#define TARN_RMSNORM_H

#include "autograd/ops.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_rmsnorm_layer {
    tarn_tensor *gamma; /* [channels]; NULL without */
    int64_t channels;
    double eps;
} tarn_rmsnorm_layer;

typedef struct tarn_rmsnorm_opts {
    double eps;     /* added to the mean square; 0 means 1e-5 */
    bool no_affine; /* without gamma */
} tarn_rmsnorm_opts;

/* Adds the parameter NAME.gamma (ones), [channels]. channels is 1 or more, opts->eps 0 or
 * more. */
TARN_API bool tarn_rmsnorm_init(tarn_rmsnorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                                const tarn_rmsnorm_opts *opts);

/* x [...,channels] -> tarn_rmsnorm(x), of its shape, in training and evaluation alike. */
TARN_API tarn_tensor *tarn_rmsnorm_apply(tarn_tape *t, const tarn_rmsnorm_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
