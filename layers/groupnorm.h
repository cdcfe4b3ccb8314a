/* layers/groupnorm.h: Group Normalization (1803.08494) with its scale and shift. */
#ifndef TARN_GROUPNORM_H
#define TARN_GROUPNORM_H

#include "autograd/ops.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_groupnorm_layer {
    tarn_tensor *gamma, *beta; /* [channels]; NULL without */
    int64_t groups, channels;
    double eps;
} tarn_groupnorm_layer;

typedef struct tarn_groupnorm_opts {
    double eps;     /* added to the variance; 0 means 1e-5 */
    bool no_affine; /* without gamma and beta */
} tarn_groupnorm_opts;

/* Adds the parameters NAME.gamma (ones) and NAME.beta (zeros), [channels]. channels is 1 or more, opts->eps 0 or
 * more. groups is 1 or more and divides channels. */
TARN_API bool tarn_groupnorm_init(tarn_groupnorm_layer *l, tarn_params *params, const char *name, int64_t groups,
                                  int64_t channels, const tarn_groupnorm_opts *opts);

/* x [N,...,channels] -> tarn_groupnorm(x), of its shape, in training and evaluation alike. */
TARN_API tarn_tensor *tarn_groupnorm_apply(tarn_tape *t, const tarn_groupnorm_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
