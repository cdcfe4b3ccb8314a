/* tensor/kernels/kernels.h (internal): the table of loops.
 *
 * kernels.c is built once per instruction set. It includes each *.inc file twice, with `real` as float and as
 * double, and so fills two tarn__loops. dispatch.c chooses a table at the first call. Loops work on plain
 * arrays: shapes, strides, tiles and threads are their callers' business. */
#ifndef TARN__KERNELS_H
#define TARN__KERNELS_H

#include "tensor/elementwise.h"

typedef void tarn__unary_loop(size_t n, const void *x, void *y, double p, double q);
typedef void tarn__binary_loop(size_t n, const void *a, const void *b, void *y, double p, double q);
typedef void tarn__compare_loop(size_t n, const void *a, const void *b, uint8_t *y);
typedef void tarn__where_loop(size_t n, const uint8_t *condition, const void *a, const void *b, void *y);

typedef enum tarn__reduction { TARN__SUM, TARN__MAX, TARN__MIN, TARN__REDUCTION_COUNT } tarn__reduction;

/* One number from n neighbours. */
typedef double tarn__row_loop(size_t n, const void *x);
/* total[c] = total[c] (+) the reduction of x[0..rows)[c]; rows lie `stride` elements apart. */
typedef void tarn__column_loop(size_t rows, size_t columns, const void *x, size_t stride, double *total);

/* A window over one image [H,W,C] of a batch, and what it slides to: P x Q positions. */
typedef struct tarn__window {
    int64_t h, w, c, p, q;
    int64_t r, s; /* rows and columns of the window */
    int64_t stride, padding, dilation;
} tarn__window;

typedef struct tarn__adam_step {
    double lr, beta1, beta2, eps;
    double correction1, correction2; /* 1 - beta^t */
    double l2, decay;                /* added to the gradient; taken from the weight, times lr */
} tarn__adam_step;

typedef struct tarn__sgd_step {
    double lr, momentum, dampening, l2;
    bool nesterov, first;
} tarn__sgd_step;

typedef struct tarn__loops {
    tarn__unary_loop *unary[TARN__UNARY_COUNT];
    tarn__binary_loop *binary[TARN__BINARY_COUNT];
    tarn__row_loop *row[TARN__REDUCTION_COUNT];
    tarn__column_loop *column[TARN__REDUCTION_COUNT];

    /* The first largest of n values; a NaN counts as largest. */
    int32_t (*argmax)(size_t n, const void *x, size_t stride);

    /* A row of n: y = softmax(x), y = log_softmax(x), ln(sum of e^x). */
    void (*softmax)(size_t n, const void *x, void *y);
    void (*log_softmax)(size_t n, const void *x, void *y);
    double (*logsumexp)(size_t n, const void *x);

    /* Channel statistics of [rows, columns]: mean, and m2 = sum of (x - mean)^2, free of cancellation. */
    void (*moments)(size_t rows, size_t columns, const void *x, double *mean, double *m2);
    /* y = (x - mean) * scale + shift */
    void (*normalize)(size_t rows, size_t columns, const void *x, const void *mean, const void *scale,
                      const void *shift, void *y);
    /* sum_g += sum of g, sum_gx += sum of g * (x - mean) */
    void (*normalize_sums)(size_t rows, size_t columns, const void *g, const void *x, const void *mean, double *sum_g,
                           double *sum_gx);
    /* gx = scale * (g - mean_g - (x - mean) * slope) */
    void (*normalize_grad)(size_t rows, size_t columns, const void *g, const void *x, const void *mean,
                           const void *scale, const void *mean_g, const void *slope, void *gx);

    /* im2col: the patches of output positions first..first+count of one image as rows [R,S,C] of `columns`;
     * and back, adding into the image. `x_stride` is the distance between pixels (the channels of all
     * groups). */
    void (*im2col)(const tarn__window *w, int64_t x_stride, const void *x, int64_t first, int64_t count, void *columns);
    void (*col2im)(const tarn__window *w, int64_t x_stride, void *x, int64_t first, int64_t count, const void *columns);

    /* One output row (p) of an image: the largest and its position h*W+w; the mean. */
    void (*max_pool_row)(const tarn__window *w, const void *x, int64_t p, void *y, int32_t *at);
    void (*avg_pool_row)(const tarn__window *w, const void *x, int64_t p, void *y);
    /* x += the gradient of one output row's means */
    void (*avg_pool_grad_row)(const tarn__window *w, const void *g, int64_t p, void *x);

    /* `count` positions, each with its own source or target a channel: x[at] += g, and y = x[at] */
    void (*scatter_channels)(size_t count, size_t channels, const void *g, const int32_t *at, void *x);
    void (*gather_channels)(size_t count, size_t channels, const void *x, const int32_t *at, void *y);

    void (*adam)(size_t n, const tarn__adam_step *step, void *weight, const void *grad, void *m, void *v);
    void (*sgd)(size_t n, const tarn__sgd_step *step, void *weight, const void *grad, void *velocity);
} tarn__loops;

typedef struct tarn__kernels {
    const char *isa;
    const tarn__loops *f32, *f64;
    tarn__compare_loop *compare[TARN_DTYPE_COUNT][TARN__COMPARISON_COUNT];
    tarn__where_loop *where[TARN_DTYPE_COUNT];
} tarn__kernels;

/* The table for this processor. */
const tarn__kernels *tarn__kernels_chosen(void);

static inline const tarn__loops *tarn__loops_of(tarn_dtype dtype)
{
    const tarn__kernels *kernels = tarn__kernels_chosen();
    return dtype == TARN_F64 ? kernels->f64 : kernels->f32;
}

#endif
