/* layers/batchnorm.h: Batch Normalization with its scale, shift and running statistics. */
#ifndef TARN_BATCHNORM_H
#define TARN_BATCHNORM_H

#include "autograd/ops.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_batchnorm_layer {
    tarn_tensor *gamma, *beta;  /* [channels] */
    tarn_running_stats running; /* buffers of the store */
    tarn_batchnorm_opts opts;
} tarn_batchnorm_layer;

/* Adds the parameters NAME.gamma (ones) and NAME.beta (zeros), and the buffers NAME.running_mean (zeros),
 * NAME.running_var (ones), both [channels], and NAME.batches (0, a scalar). channels is 1 or more, opts->eps 0 or
 * more, opts->momentum from 0 to 1. */
TARN_API bool tarn_batchnorm_init(tarn_batchnorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                                  const tarn_batchnorm_opts *opts);

/* x [...,channels] -> tarn_batchnorm(x), of x's shape: by the batch's statistics on a tape in training, by the
 * running ones in evaluation. */
TARN_API tarn_tensor *tarn_batchnorm_apply(tarn_tape *t, const tarn_batchnorm_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
