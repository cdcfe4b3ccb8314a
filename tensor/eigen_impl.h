/* tensor/eigen_impl.h (internal): the spectrum of a symmetric matrix in plain memory. */
#ifndef TARN__EIGEN_IMPL_H
#define TARN__EIGEN_IMPL_H

#include "tensor/error.h"

/* The eigenvalues of the symmetric a [n,n], ascending, into values [n], and over a, if asked for, the eigenvectors:
 * row k belongs to value k, of length 1. a is finite; of each pair of mirrored elements, the lower is read. The same bits for
 * any number of threads. Errors, which begin with `who`: no memory, n too large, no convergence. */
bool tarn__symmetric_eigen(const char *who, int64_t n, double *a, double *values, bool vectors);

#endif
