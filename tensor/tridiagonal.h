/* tensor/tridiagonal.h (internal): Householder's reduction of a symmetric matrix (Golub & Van Loan, Matrix Computations, 4th
 * ed., 8.3.1), from the last row up. */
#ifndef TARN__TRIDIAGONAL_H
#define TARN__TRIDIAGONAL_H

#include <stdint.h>

/* a [n,n], of which the lower triangle is read, = Q T Q^T: T's diagonal into d [n], what stands beside it into e [n-1]. The
 * reflections that Q consists of, 1 - tau v v^T, go into a's lower triangle (row i: v's elements 0..i-2; element i-1 is 1, the
 * rest 0) and tau [n]. work [2n]. No element may be so large that its square is not finite. */
void tarn__tridiagonal_reduce(int64_t n, double *a, double *d, double *e, double *tau, double *work);

/* z = Q z for each of n rows z of `rows` [n,n], on all threads. */
void tarn__tridiagonal_back(int64_t n, const double *a, const double *tau, double *rows);

#endif
