/* tensor/batchnorm.h (internal): normalization of [rows, columns] by column, with what comes before and after it in the
 * same passes over memory. */
#ifndef TARN__BATCHNORM_H
#define TARN__BATCHNORM_H

#include "tensor/bands.h"
#include "tensor/kernels/kernels.h"

typedef struct tarn__batchnorm {
    tarn_dtype dtype;
    int64_t rows, columns;
    double eps;
    tarn__bands bands; /* of images: how mean and variance are summed. count 0: not images */
} tarn__batchnorm;

/* From how many columns on that is so; narrower rows are folded. */
enum { TARN__BANDED_FROM = 16 };

/* mean[c] and var[c] of all bands, from each band's mean and m2, [bands, columns] (Chan, Golub and LeVeque 1979). */
void tarn__batchnorm_join(const tarn__bands *bands, int64_t columns, const double *means, const double *m2s,
                          double *mean, double *var);

/* Bytes of scratch memory for any of the functions below. */
size_t tarn__batchnorm_scratch(const tarn__batchnorm *b);

/* mean[c] and var[c] = m2/rows of each column of x. */
void tarn__batchnorm_moments(const tarn__batchnorm *b, const void *x, double *mean, double *var, void *scratch);

/* BN(x) = (x - mean) / sqrt(var + eps) * gamma + beta */
typedef struct tarn__normalized {
    const void *x, *gamma, *beta;
    const double *mean, *var;
    double eps;
} tarn__normalized;

/* y = relu(BN(a) + BN(b) + residual). Pooled, y is the largest of each window of 2x2 (stride 2, no padding), [N,P,Q,C] of
 * x [N,H,W,C], and `at` its position h*W+w, as tarn_max_pool2d says. Same bits as one op after the other. */
typedef struct tarn__batchnorm_y {
    tarn__normalized a, b;    /* b.x NULL: none */
    const void *residual;     /* NULL: none */
    bool relu;                /* else y is the sum itself */
    const tarn__window *pool; /* NULL: none; only without b and residual */
    void *y;
    int32_t *at; /* NULL: not needed */
} tarn__batchnorm_y;

void tarn__batchnorm_apply(const tarn__batchnorm *b, const tarn__batchnorm_y *y, void *scratch);

/* The gradients of BN(x). With xhat = (x - mean) / sqrt(var + eps):
 *   gbeta = sum of g,   ggamma = sum of g * xhat,
 *   gx = gamma / sqrt(var + eps) * (g - gbeta/rows - xhat * ggamma/rows)
 * where g is the given one after max pooling's gradient (pool, at) and relu's (relu). Same bits as one op after the
 * other, but behind a pool with less than 16 columns, where g is summed in another order. */
typedef struct tarn__batchnorm_gx {
    tarn__normalized x; /* beta only with TARN__MASK_OWN */
    const void *g;
    const tarn__window *pool; /* NULL: none */
    const int32_t *at;
    tarn__normal_mask relu; /* relu's mask: none; not y <= 0 of y = BN(x); or of the given y */
    const void *y;
    void *masked;              /* where g goes after both; NULL: nowhere */
    void *gx, *ggamma, *gbeta; /* NULL: not needed */
} tarn__batchnorm_gx;

void tarn__batchnorm_grad(const tarn__batchnorm *b, const tarn__batchnorm_gx *g, void *scratch);

#endif
