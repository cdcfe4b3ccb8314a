/* tensor/lapack.h (internal): the one way to OpenBLAS's LAPACK. */
#ifndef TARN__LAPACK_H
#define TARN__LAPACK_H

#include "tensor/error.h"

/* The eigenvalues of the symmetric a [n,n], ascending, into values [n], and over a, if asked for, the eigenvectors:
 * row k belongs to value k, of length 1. a is finite; of each pair of mirrored elements, one is read. Divide and
 * conquer (dsyevd). The same bits for any number of threads. Errors, which begin with `who`: no memory, n too large,
 * no convergence. */
bool tarn__symmetric_eigen(const char *who, int64_t n, double *a, double *values, bool vectors);

#endif
