/* tensor/gemm.h (internal): matrix products of plain arrays, on tarn's own loops (tensor/kernels/product.inc). */
#ifndef TARN__GEMM_H
#define TARN__GEMM_H

#include "tensor/tensor.h"

/* C[m,n] (+)= op(A)[m,k] op(B)[k,n], row-major, op a transposition or nothing; lda, ldb, ldc are row lengths
 * in memory. dtype f32 or f64. */
typedef struct tarn__gemm {
    tarn_dtype dtype;
    bool transpose_a, transpose_b, accumulate;
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
} tarn__gemm;

/* Bytes of scratch memory for `count` products of this shape, with the thread count as it is now. */
size_t tarn__gemm_scratch(const tarn__gemm *g, int64_t count);

/* `count` products, A, B and C of the i-th at the given byte offsets, each cut into tiles of C by shape
 * alone, over threads. NULL offsets: all zero. */
void tarn__gemm_batch(const tarn__gemm *g, int64_t count, const int64_t *a_offset, const int64_t *b_offset,
                      const int64_t *c_offset, void *scratch);

#endif
