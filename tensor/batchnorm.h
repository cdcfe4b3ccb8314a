/* tensor/batchnorm.h (internal): normalization of [rows, columns] by column. */
#ifndef TARN__BATCHNORM_H
#define TARN__BATCHNORM_H

#include "tensor/kernels/kernels.h"

typedef struct tarn__batchnorm {
    tarn_dtype dtype;
    int64_t rows, columns;
    double eps;
} tarn__batchnorm;

/* Bytes of scratch memory for any of the functions below. */
size_t tarn__batchnorm_scratch(const tarn__batchnorm *b);

/* mean[c] and var[c] = m2/rows of each column of x. */
void tarn__batchnorm_moments(const tarn__batchnorm *b, const void *x, double *mean, double *var, void *scratch);

/* y = (x - mean) / sqrt(var + eps) * gamma + beta */
void tarn__batchnorm_apply(const tarn__batchnorm *b, const void *x, const double *mean, const double *var,
                           const void *gamma, const void *beta, void *y, void *scratch);

/* With xhat = (x - mean) / sqrt(var + eps):
 *   gbeta = sum of g,   ggamma = sum of g * xhat,
 *   gx = gamma / sqrt(var + eps) * (g - gbeta/rows - xhat * ggamma/rows) */
void tarn__batchnorm_grad(const tarn__batchnorm *b, const void *g, const void *x, const void *gamma, const double *mean,
                          const double *var, void *gx, void *ggamma, void *gbeta, void *scratch);

#endif
