/* tensor/lapack.h (internal): the one way to OpenBLAS's LAPACK. */
#ifndef TARN__LAPACK_H
#define TARN__LAPACK_H

#include "tensor/error.h"

/* The eigenvalues of the symmetric tridiagonal matrix with diagonal d [n] and e [n-1] beside it, ascending, into d; e is
 * overwritten. The eigenvectors, of length 1, into z [n,n], if that is not NULL: row k belongs to value k. Implicit QL and QR
 * (dsteqr), on the calling thread. False, without an error, when it does not converge.
 *
 * Of LAPACK's routines it is one that keeps to the memory it is given (work [2n]): OpenBLAS's own products take theirs from
 * the system, and wait for ever, or crash, where there is none. */
bool tarn__tridiagonal_eigen(int64_t n, double *d, double *e, double *z, double *work);

#endif
