/* layers/layernorm.h: Layer Normalization (1607.06450) with its scale and shift. */
#ifndef TARN_LAYERNORM_H
#define TARN_LAYERNORM_H

#include "autograd/ops.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_layernorm_layer {
    tarn_tensor *gamma, *beta; /* [channels]; NULL without */
    int64_t channels;
    double eps;
} tarn_layernorm_layer;

typedef struct tarn_layernorm_opts {
    double eps;     /* added to the variance; 0 means 1e-5 */
    bool no_affine; /* without gamma and beta */
} tarn_layernorm_opts;

/* Adds the parameters NAME.gamma (ones) and NAME.beta (zeros), [channels]. channels is 1 or more, opts->eps 0 or
 * more. */
TARN_API bool tarn_layernorm_init(tarn_layernorm_layer *l, tarn_params *params, const char *name, int64_t channels,
                                  const tarn_layernorm_opts *opts);

/* x [...,channels] -> tarn_layernorm(x), of its shape, in training and evaluation alike. channels is 2 or more here. */
TARN_API tarn_tensor *tarn_layernorm_apply(tarn_tape *t, const tarn_layernorm_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
