/* layers/dropout.h: dropout with a probability and a stream of random numbers. */
#ifndef TARN_DROPOUT_H
#define TARN_DROPOUT_H

#include "autograd/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_dropout_layer {
    double p;
    tarn_rng *rng; /* the caller's */
} tarn_dropout_layer;

/* 0 <= p < 1. rng must outlive the layer; each apply in training moves it on. */
TARN_API bool tarn_dropout_init(tarn_dropout_layer *l, double p, tarn_rng *rng);

/* tarn_dropout(x): x itself on a tape in evaluation. */
TARN_API tarn_tensor *tarn_dropout_apply(tarn_tape *t, const tarn_dropout_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
