/* layers/flatten.h: many axes into one. */
#ifndef TARN_FLATTEN_H
#define TARN_FLATTEN_H

#include "autograd/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_flatten_layer {
    int kept; /* how many leading axes stay as they are */
} tarn_flatten_layer;

/* 1 <= kept < TARN_MAX_DIMS; 1 keeps the batch. */
TARN_API bool tarn_flatten_init(tarn_flatten_layer *l, int kept);

/* x with `kept` axes or more -> the first `kept` sizes, then the product of the rest (1 when there is no rest). */
TARN_API tarn_tensor *tarn_flatten_apply(tarn_tape *t, const tarn_flatten_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
