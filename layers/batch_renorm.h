/* layers/batch_renorm.h: Batch Renormalization (1702.03275) with its scale, shift and moving averages. */
#ifndef TARN_BATCH_RENORM_H
#define TARN_BATCH_RENORM_H

#include "autograd/ops.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_batch_renorm_layer {
    tarn_tensor *gamma, *beta; /* [channels] */
    tarn_renorm_stats running; /* buffers of the store */
    tarn_batch_renorm_opts opts;
} tarn_batch_renorm_layer;

/* Adds the parameters NAME.gamma (ones) and NAME.beta (zeros), and the buffers NAME.running_mean (zeros),
 * NAME.running_std (ones), both [channels], and NAME.batches (0, a scalar), by which the schedule of the limits goes.
 * channels is 1 or more; the options are those of tarn_batch_renorm(). */
TARN_API bool tarn_batch_renorm_init(tarn_batch_renorm_layer *l, tarn_params *params, const char *name,
                                     int64_t channels, const tarn_batch_renorm_opts *opts);

/* x [...,channels] -> tarn_batch_renorm(x), of x's shape: by the batch's statistics, corrected, on a tape in training,
 * by the moving averages in evaluation. */
TARN_API tarn_tensor *tarn_batch_renorm_apply(tarn_tape *t, const tarn_batch_renorm_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
