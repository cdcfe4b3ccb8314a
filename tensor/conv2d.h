/* tensor/conv2d.h (internal): the three products of a 2-d convolution, channels last. */
#ifndef TARN__CONV2D_H
#define TARN__CONV2D_H

#include "tensor/cuts.h"
#include "tensor/kernels/kernels.h"

/* x [N,H,W,C] * w [R,S,C/groups,K] -> y [N,P,Q,K] */
typedef struct tarn__conv2d {
    tarn_dtype dtype;
    int64_t n, h, w, c, r, s, k, p, q;
    int64_t stride, padding, dilation, groups;
    bool exact; /* no algorithm that rounds more than the plain sum of products */
} tarn__conv2d;

/* Forward: y from x and w. Input gradient: gx from g [N,P,Q,K] and w. Weight gradient: gw from g and x. */
typedef enum tarn__conv2d_product { TARN__FORWARD, TARN__INPUT_GRAD, TARN__WEIGHT_GRAD } tarn__conv2d_product;

/* Elements of w transformed, for the algorithms of forward and input gradient that want it so; 0 for those that read w. */
int64_t tarn__conv2d_transformed(const tarn__conv2d *v, tarn__conv2d_product product);

/* Bytes of scratch memory that the functions below cut, with the thread count as it is now. */
size_t tarn__conv2d_transform_scratch(const tarn__conv2d *v, tarn__conv2d_product product);
size_t tarn__conv2d_scratch(const tarn__conv2d *v, tarn__conv2d_product product);

/* w -> transformed, on all threads. */
void tarn__conv2d_transform(const tarn__conv2d *v, tarn__conv2d_product product, const void *w, void *transformed,
                            tarn__cuts *scratch);

/* What forward does besides, while y is in the cache. */
typedef struct tarn__conv2d_extra {
    const void *bias;   /* [K], added to every pixel of y; NULL: none */
    double *mean, *var; /* [K]: mean and variance of y's channels, over all pixels; NULL: not wanted */
} tarn__conv2d_extra;

/* Whether this shape's algorithm can do so. Mean and variance have the bits of tarn__batchnorm_moments. */
bool tarn__conv2d_has_extra(const tarn__conv2d *v);

/* All row-major; w as it is, or transformed. extra NULL: nothing. */
void tarn__conv2d_forward(const tarn__conv2d *v, const void *x, const void *w, const tarn__conv2d_extra *extra, void *y,
                          tarn__cuts *scratch);
void tarn__conv2d_input_grad(const tarn__conv2d *v, const void *g, const void *w, void *gx, tarn__cuts *scratch);
void tarn__conv2d_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, tarn__cuts *scratch);

#endif
