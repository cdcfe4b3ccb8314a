/* tensor/blas.h (internal): matrix products. blas.c is the only file that names OpenBLAS's own functions and CBLAS's,
 * lapack.c the only one that names LAPACK's. */
#ifndef TARN__BLAS_H
#define TARN__BLAS_H

#include "tensor/tensor.h"

/* C[m,n] (+)= op(A)[m,k] op(B)[k,n], row-major, op a transposition or nothing; lda, ldb, ldc are row lengths
 * in memory. */
typedef struct tarn__gemm {
    tarn_dtype dtype;
    bool transpose_a, transpose_b, accumulate;
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
} tarn__gemm;

/* Calls work(job), inside which OpenBLAS keeps to the calling thread. */
void tarn__blas_alone(void (*work)(const void *job), const void *job);

/* On the calling thread. For use within tiles. */
void tarn__gemm_serial(const tarn__gemm *g);

/* `count` products, A, B and C of the i-th at the given byte offsets, each cut into tiles of C by shape
 * alone, over threads. NULL offsets: all zero. */
void tarn__gemm_batch(const tarn__gemm *g, int64_t count, const int64_t *a_offset, const int64_t *b_offset,
                      const int64_t *c_offset);

#endif
