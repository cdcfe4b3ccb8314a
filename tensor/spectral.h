/* tensor/spectral.h (internal): power iteration. */
#ifndef TARN__SPECTRAL_H
#define TARN__SPECTRAL_H

#include "tensor/tensor.h"

/* v = w u / |w u|, u = w^T v / |w^T v|, so many times (1 or more), for a row-major matrix w [rows, columns], u
 * [columns] and v [rows]; sums in f64; zeros stay zeros. scratch: [columns]. */
void tarn__spectral_iterate(tarn_dtype dtype, int64_t rows, int64_t columns, const void *w, int iterations, double *u,
                            double *v, double *scratch);

#endif
