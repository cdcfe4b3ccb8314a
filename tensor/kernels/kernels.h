/* tensor/kernels/kernels.h (internal): the table of loops.
 *
 * kernels.c is built once per instruction set. It includes each *.inc file twice, with `real` as float and as
 * double, and so fills two tarn__loops. dispatch.c chooses a table at the first call. Loops work on plain
 * arrays: shapes, strides, tiles and threads are their callers' business. */
#ifndef TARN__KERNELS_H
#define TARN__KERNELS_H

#include "tensor/elementwise.h"

#include <math.h>

typedef void tarn__unary_loop(size_t n, const void *x, void *y, double p, double q);
typedef void tarn__binary_loop(size_t n, const void *a, const void *b, void *y, double p, double q);
typedef void tarn__compare_loop(size_t n, const void *a, const void *b, uint8_t *y);
typedef void tarn__where_loop(size_t n, const uint8_t *condition, const void *a, const void *b, void *y);

typedef enum tarn__reduction { TARN__SUM, TARN__MAX, TARN__MIN, TARN__REDUCTION_COUNT } tarn__reduction;

/* One number from n neighbours, 1 or more but for sums. */
typedef double tarn__row_loop(size_t n, const void *x);
/* total[c] = total[c] (+) the reduction of x[0..rows)[c]; rows lie `stride` elements apart. */
typedef void tarn__column_loop(size_t rows, size_t columns, const void *x, size_t stride, double *total);

/* Up to SHORT_ROWS rows that are not joined are reduced from the first to the last, in x's own precision, and what comes
 * out is joined with the total. The short loop does only that, for `groups` of rows one behind the other, each with
 * totals of its own. */
enum { TARN__COLUMNS = 1024, TARN__SHORT_ROWS = 64 };
typedef void tarn__short_column_loop(size_t groups, size_t rows, size_t columns, const void *x, size_t stride,
                                     double *total);

/* Whether the loop takes several rows of the whole width as one long row. */
static inline bool tarn__rows_are_joined(size_t rows, size_t columns)
{
    return columns <= TARN__COLUMNS / 2 && rows >= TARN__COLUMNS / columns;
}

/* A window over one image [H,W,C] of a batch, and what it slides to: P x Q positions. */
typedef struct tarn__window {
    int64_t h, w, c, p, q;
    int64_t r, s; /* rows and columns of the window */
    int64_t stride, padding, dilation;
} tarn__window;

/* C[i, 0..n) (+)= sum over k of A[i, k] * B[k, 0..n) for m rows. Everything is counted in elements. Row i of A starts
 * at a + a_row[i]; its elements come in segments: element k of segment s stands segment[s] + k * a_step further on. So
 * the rows may be the pixels under a convolution's taps, where they are. B has been packed by `pack`. */
typedef struct tarn__product {
    int64_t m, n;
    const void *a, *b;
    const int64_t *a_row, *segment;
    int64_t segments, depth, a_step;
    void *c;
    const int64_t *c_row; /* row i of C starts at c + c_row[i] */
    const void *bias;     /* [n], added to each row; NULL: none */
    bool accumulate;
} tarn__product;

/* Rows first..first+depth of a packed B that has panel_depth rows, from from[k * row_stride + n * column_stride]. */
typedef struct tarn__pack {
    int64_t first, depth, panel_depth, columns;
    const void *from;
    int64_t row_stride, column_stride;
    void *to; /* panel_depth * columns elements, columns rounded up to whole vectors */
} tarn__pack;

/* A rectangle of pixels of an image [h, w, channels], which may reach outside of it: zeros there. */
typedef struct tarn__gather {
    const void *from;
    int64_t h, w, channels;
    int64_t y, x, rows, columns;
    void *to;
} tarn__gather;

/* One tile of Winograd's algorithm, whose first pixel is (y, x) of an image [h, w] of `pixel` elements a pixel. */
typedef struct tarn__winograd {
    const void *image; /* read by winograd_input and winograd_output_grad */
    void *out;         /* written by winograd_output */
    int64_t h, w, pixel, y, x;
    int64_t channels; /* how many of the pixel's, from `image` or `out` on */
    void *transformed;
    int64_t plane;       /* elements from one of the 36 planes to the next */
    int64_t panel, tile; /* panel 0: a plane is a row of `channels`; else it is a packed B, of whose panels, `panel`
                            elements each, this is row `tile` */
    const void *bias;    /* winograd_output adds it to each pixel; NULL: none */
} tarn__winograd;

/* [rows, columns] to normalize: (x - mean) * scale + shift, by column. */
typedef struct tarn__affine {
    const void *x, *mean, *scale, *shift;
} tarn__affine;

/* y = relu(a + b + residual), of which all but a may be left out. Pooled by windows of 2x2, y is the largest of each,
 * and `at`, if not NULL, its position h*W+w. */
typedef struct tarn__normal {
    size_t columns;
    tarn__affine a, b;    /* b.x NULL: none */
    const void *residual; /* NULL: none */
    bool relu;
    void *y;
    int32_t *at;
} tarn__normal;

/* What a gradient g is multiplied by: 1; or 0 where a, or another y, is <= 0, else 1 (of a NaN too). */
typedef enum tarn__normal_mask { TARN__MASK_NONE, TARN__MASK_OWN, TARN__MASK_Y } tarn__normal_mask;

/* gx = gx_scale * (g - mean_g - (x - mean) * slope), where g has been masked. With a pool, g is the pooled y's
 * gradient, and goes to the positions `at`. */
typedef struct tarn__normal_grad {
    size_t columns;
    tarn__affine a;
    const void *g;
    const tarn__window *pool; /* NULL: none */
    const int32_t *at;
    tarn__normal_mask relu;
    const void *y; /* of TARN__MASK_Y */
    void *masked;  /* normalize_sums writes the masked g there; NULL: no */
    const void *gx_scale, *mean_g, *slope;
    void *gx;
} tarn__normal_grad;

typedef struct tarn__adam_step {
    double lr, beta1, beta2, eps;
    double correction1, correction2; /* 1 - beta^t */
    double l2, decay;                /* added to the gradient; taken from the weight, times lr */
} tarn__adam_step;

typedef struct tarn__sgd_step {
    double lr, momentum, dampening, l2;
    bool nesterov, first;
} tarn__sgd_step;

typedef struct tarn__adagrad_step {
    double lr, eps, l2;
    double scale; /* of the root of the sum */
} tarn__adagrad_step;

typedef struct tarn__rmsprop_step {
    double lr, alpha, eps, momentum, l2;
} tarn__rmsprop_step;

typedef struct tarn__radam_step {
    double rate, beta1, beta2, eps, l2;
    bool rectified; /* else the step is rate * m */
} tarn__radam_step;

typedef struct tarn__nadam_step {
    double grad_rate, mean_rate, beta1, beta2, eps, l2;
    double correction2; /* 1 - beta2^t */
} tarn__nadam_step;

typedef struct tarn__loops {
    tarn__unary_loop *unary[TARN__UNARY_COUNT];
    tarn__binary_loop *binary[TARN__BINARY_COUNT];
    tarn__row_loop *row[TARN__REDUCTION_COUNT];
    tarn__column_loop *column[TARN__REDUCTION_COUNT];
    tarn__short_column_loop *short_column[TARN__REDUCTION_COUNT];

    /* The first largest of n values; a NaN counts as largest. */
    int32_t (*argmax)(size_t n, const void *x);
    void (*column_argmax)(size_t rows, size_t columns, const void *x, size_t stride, int32_t *at);

    /* A row of n: y = softmax(x), y = log_softmax(x). */
    void (*softmax)(size_t n, const void *x, void *y);
    void (*log_softmax)(size_t n, const void *x, void *y);
    /* The largest, and the sum of e^(x - largest) over the others; 0 where the largest is not finite. So ln(sum of e^x)
     * is largest + tarn__log1p(rest). */
    double (*exp_rest)(size_t n, const void *x, double *largest);
    /* y = scale * softmax(x), given these two */
    void (*scaled_softmax)(size_t n, const void *x, double largest, double rest, double scale, void *y);

    /* Channel statistics of [rows, columns]: mean, and m2 = sum of (x - mean)^2, free of cancellation. */
    void (*moments)(size_t rows, size_t columns, const void *x, double *mean, double *m2);
    /* Rows row..row+rows of y; row `row` of the pooled y (all images' rows counted on). */
    void (*normalize)(const tarn__normal *y, size_t row, size_t rows);
    void (*normalize_pool)(const tarn__normal *y, const tarn__window *pool, int64_t row);
    /* sum_g += sum of g, sum_gx += sum of g * (x - mean), over rows row..row+rows; and gx there. */
    void (*normalize_sums)(const tarn__normal_grad *job, size_t row, size_t rows, double *sum_g, double *sum_gx);
    void (*normalize_grad)(const tarn__normal_grad *job, size_t row, size_t rows);

    /* Of a vector: B's panels are two wide; one that has at most one vector of columns left is one wide. */
    int64_t lanes;
    void (*product)(const tarn__product *p);
    void (*pack)(const tarn__pack *p);
    void (*gather)(const tarn__gather *g);

    /* y[0..n) (+)= sum over k of x[k * x_step] * B[k, 0..n); y[i * y_step] (+)= sum over k of x[k] * B[i, k]. B's rows
     * lie `stride` elements apart. */
    void (*combine_rows)(int64_t depth, int64_t n, const void *x, int64_t x_step, const void *b, int64_t stride,
                         void *y, bool accumulate);
    void (*row_dots)(int64_t rows, int64_t depth, const void *x, const void *b, int64_t stride, void *y, int64_t y_step,
                     bool accumulate);

    /* F(4x4,3x3): a tile of the input (6x6 pixels) or of the output's gradient (4x4) into 36 planes; 36 planes into a
     * tile of the output; packed weights; the weights' gradient. */
    void (*winograd_input)(const tarn__winograd *w);
    void (*winograd_output_grad)(const tarn__winograd *w);
    void (*winograd_output)(const tarn__winograd *w);
    void (*winograd_weight)(int64_t n, const void *weights, int64_t tap, void *transformed, int64_t plane);
    void (*winograd_weight_grad)(int64_t n, const void *transformed, int64_t plane, void *grad, int64_t tap);

    /* One tap over `count` pixels: out[i * out_step] += in[i * in_step] * w, and w += in[i * in_step] * g[i]. */
    void (*depthwise)(int64_t channels, int64_t count, const void *in, int64_t in_step, const void *w, void *out,
                      int64_t out_step);
    void (*depthwise_weight_grad)(int64_t channels, int64_t count, const void *in, int64_t in_step, const void *g,
                                  void *w);

    /* One output row (p) of an image: the largest and its position h*W+w; the mean. */
    void (*max_pool_row)(const tarn__window *w, const void *x, int64_t p, void *y, int32_t *at);
    void (*avg_pool_row)(const tarn__window *w, const void *x, int64_t p, void *y);
    /* x += the gradient of one output row's means */
    void (*avg_pool_grad_row)(const tarn__window *w, const void *g, int64_t p, void *x);
    /* The same for one input row, where many windows overlap; x is that row. */
    void (*avg_pool_grad_blocks)(const tarn__window *w, const void *g, int64_t row, void *x);

    /* `count` positions, each with its own source or target a channel: x[at] += g, and y = x[at] */
    void (*scatter_channels)(size_t count, size_t channels, const void *g, const int32_t *at, void *x);
    void (*gather_channels)(size_t count, size_t channels, const void *x, const int32_t *at, void *y);

    void (*adam)(size_t n, const tarn__adam_step *step, void *weight, const void *grad, void *m, void *v);
    void (*sgd)(size_t n, const tarn__sgd_step *step, void *weight, const void *grad, void *velocity);
    void (*adagrad)(size_t n, const tarn__adagrad_step *step, void *weight, const void *grad, void *sum);
    /* m NULL: not centred; velocity NULL: no momentum */
    void (*rmsprop)(size_t n, const tarn__rmsprop_step *step, void *weight, const void *grad, void *v, void *m,
                    void *velocity);
    void (*radam)(size_t n, const tarn__radam_step *step, void *weight, const void *grad, void *m, void *v);
    void (*nadam)(size_t n, const tarn__nadam_step *step, void *weight, const void *grad, void *m, void *v);
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

/* ln(1 + x) of a finite x, 0 or more, with what 1 + x loses put back. (libm's log1p takes as long as a fifth of a short
 * row.) */
static inline double tarn__log1p(double x)
{
    const double u = 1 + x;
    return log(u) + (x - (u - 1)) / u;
}

#endif
