/* tensor/eigen.h: the spectrum of a symmetric matrix. */
#ifndef TARN_EIGEN_H
#define TARN_EIGEN_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The eigenvalues of a, f64 [n,n], ascending: f64 [n], the caller's. If `vectors` is not NULL, *vectors becomes the
 * eigenvectors, f64 [n,n], the caller's: row k belongs to the k-th value, has length 1, and is orthogonal to the
 * others; its sign says nothing, nor does the choice of vectors for equal values. a = vectors^T diag(values) vectors,
 * to a few roundings of the largest |value|. The same bits for any number of threads. (Householder's
 * reduction to a tridiagonal matrix, then LAPACK's implicit QL and QR, dsteqr.)
 *
 * Errors: a not f64, not square, with an element that is NaN or infinite, or not symmetric, where |a[i,j] - a[j,i]|
 * may be 1e-10 of the largest |element| (then their mean counts); more than 32000 rows; no convergence; no memory.
 * *vectors is NULL then. */
TARN_API tarn_tensor *tarn_symmetric_eigen_new(tarn_tensor *a, tarn_tensor **vectors);

#ifdef __cplusplus
}
#endif
#endif
