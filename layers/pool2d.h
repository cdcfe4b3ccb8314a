/* layers/pool2d.h: pooling over the windows of an image. */
#ifndef TARN_POOL2D_H
#define TARN_POOL2D_H

#include "autograd/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_max_pool2d_layer {
    int window;
    tarn_pool2d_opts opts;
} tarn_max_pool2d_layer;

typedef struct tarn_avg_pool2d_layer {
    int window;
    tarn_pool2d_opts opts;
} tarn_avg_pool2d_layer;

/* window is 1 or more, opts->stride 0 (the window's size) or more, opts->padding from 0 to window/2. */
TARN_API bool tarn_max_pool2d_init(tarn_max_pool2d_layer *l, int window, const tarn_pool2d_opts *opts);
TARN_API bool tarn_avg_pool2d_init(tarn_avg_pool2d_layer *l, int window, const tarn_pool2d_opts *opts);

/* x [N,H,W,C] -> tarn_max_pool2d(x) or tarn_avg_pool2d(x), [N,P,Q,C]: P and Q as there. */
TARN_API tarn_tensor *tarn_max_pool2d_apply(tarn_tape *t, const tarn_max_pool2d_layer *l, tarn_tensor *x);
TARN_API tarn_tensor *tarn_avg_pool2d_apply(tarn_tape *t, const tarn_avg_pool2d_layer *l, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
