/* layers/init.h: first values for weights.
 *
 * A layer keeps the size of its signals when the variance of a weight is right for its fan: how many inputs feed one
 * output (fan-in), or how many outputs one input feeds (fan-out). Of a weight [..., in, out]: fan_in is the product
 * of all sizes but the last, fan_out that of all but the last but one. So a Linear's [in,out] has in and out, and a
 * convolution's [R,S,C/groups,K] has R*S*C/groups and R*S*K.
 *
 * These functions write over x, an f32 or f64 tensor that no op computed, and move rng on. They return false, with x
 * and rng as they were, on NULL, another dtype, a weight with fewer than 2 axes, or numbers out of range. tarn_fill()
 * sets a constant. */
#ifndef TARN_INIT_H
#define TARN_INIT_H

#include "layers/activation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Uniform in [low, high), low <= high; normal of a mean and a standard deviation, std >= 0. */
TARN_API bool tarn_init_uniform(tarn_tensor *x, tarn_rng *rng, double low, double high);
TARN_API bool tarn_init_normal(tarn_tensor *x, tarn_rng *rng, double mean, double std);

/* By how much a layer's weights grow to make up for the activation after it: 1 for TARN_IDENTITY and TARN_SIGMOID,
 * sqrt(2) for TARN_RELU, sqrt(2/(1+slope^2)) for TARN_LEAKY_RELU (He, Zhang, Ren & Sun 2015, 1502.01852, equations 10
 * and 15; slope 0 means 0.01), 5/3 for TARN_TANH (torch's). NaN with an error for the other kinds. */
TARN_API double tarn_init_gain(tarn_activation kind, double slope);

/* Xavier (Glorot & Bengio 2010, equation 16), variance 2*gain^2 / (fan_in + fan_out): uniform in [-a, a) with
 * a = gain * sqrt(6 / (fan_in + fan_out)), or normal. gain is finite and above 0. */
TARN_API bool tarn_init_xavier_uniform(tarn_tensor *w, tarn_rng *rng, double gain);
TARN_API bool tarn_init_xavier_normal(tarn_tensor *w, tarn_rng *rng, double gain);

typedef enum tarn_fan {
    TARN_FAN_IN, /* keeps the size of values on the way forward */
    TARN_FAN_OUT /* keeps that of gradients on the way back */
} tarn_fan;

/* Kaiming (He et al. 2015, section 2.2), variance gain^2 / fan: uniform in [-a, a) with a = gain * sqrt(3 / fan), or
 * normal. */
TARN_API bool tarn_init_kaiming_uniform(tarn_tensor *w, tarn_rng *rng, tarn_fan fan, double gain);
TARN_API bool tarn_init_kaiming_normal(tarn_tensor *w, tarn_rng *rng, tarn_fan fan, double gain);

typedef enum tarn_init_kind {
    TARN_INIT_DEFAULT, /* uniform in [-a, a), a = 1/sqrt(fan_in): Kaiming for a leaky slope of sqrt(5) */
    TARN_INIT_KAIMING_UNIFORM,
    TARN_INIT_KAIMING_NORMAL,
    TARN_INIT_XAVIER_UNIFORM,
    TARN_INIT_XAVIER_NORMAL,
    TARN_INIT_ZEROS
} tarn_init_kind;

/* A choice, for a layer's options: .init = {.kind = TARN_INIT_KAIMING_NORMAL, .activation = TARN_RELU}. */
typedef struct tarn_init {
    tarn_init_kind kind;
    tarn_activation activation; /* what follows the layer, for the gain; TARN_INIT_DEFAULT does not look at it */
    double slope;               /* of a leaky ReLU */
    tarn_fan fan;               /* of Kaiming */
} tarn_init;

/* w by that choice; NULL: the default. */
TARN_API bool tarn_init_weight(tarn_tensor *w, tarn_rng *rng, const tarn_init *init);

#ifdef __cplusplus
}
#endif
#endif
