/* layers/activation.h: an elementwise non-linearity as a layer. */
#ifndef TARN_ACTIVATION_H
#define TARN_ACTIVATION_H

#include "autograd/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The ops of autograd/ops.h, where their formulae stand. */
typedef enum tarn_activation {
    TARN_IDENTITY, /* x */
    TARN_RELU,
    TARN_LEAKY_RELU, /* slope: 0 means 0.01 */
    TARN_ELU,        /* alpha: 0 means 1 */
    TARN_GELU,
    TARN_SILU,
    TARN_SIGMOID,
    TARN_SOFTPLUS,
    TARN_TANH,
    TARN_ACTIVATION_COUNT
} tarn_activation;

typedef struct tarn_activation_layer {
    tarn_activation kind;
    double p; /* slope or alpha */
} tarn_activation_layer;

/* p is the slope or the alpha, finite; the other kinds do not look at it. */
TARN_API bool tarn_activation_init(tarn_activation_layer *l, tarn_activation kind, double p);

/* y has x's shape. */
TARN_API tarn_tensor *tarn_activation_apply(tarn_tape *t, const tarn_activation_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
