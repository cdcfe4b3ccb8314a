/* tests/spectra.h: symmetric matrices whose eigenvalues are known. */
#ifndef TARN_TESTS_SPECTRA_H
#define TARN_TESTS_SPECTRA_H

#include "tensor/tensor.h"
#include "tests/check.h"

#include <math.h>

/* A = sum over k of value[k] q_k q_k^T for random orthonormal q. */
static inline tarn_tensor *matrix_with(int64_t n, const double *value, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    double *q = malloc((size_t)(n * n) * sizeof *q);
    assert_non_null(q);
    assert_true(tarn_rng_fill_normal_f64(&rng, (size_t)(n * n), q, 0, 1));
    for (int64_t k = 0; k < n; k++) {
        for (int64_t j = 0; j < 2 * k; j++) { /* twice: once leaves rounding */
            double dot = 0;
            for (int64_t i = 0; i < n; i++)
                dot += q[k * n + i] * q[j % k * n + i];
            for (int64_t i = 0; i < n; i++)
                q[k * n + i] -= dot * q[j % k * n + i];
        }
        double square = 0;
        for (int64_t i = 0; i < n; i++)
            square += q[k * n + i] * q[k * n + i];
        for (int64_t i = 0; i < n; i++)
            q[k * n + i] /= sqrt(square);
    }
    tarn_tensor *a = tarn_tensor_new(TARN_F64, TARN_SHAPE(n, n));
    double *data = tarn_mutable_data(a);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < n; k++)
                data[i * n + j] += value[k] * q[k * n + i] * q[k * n + j];
    free(q);
    return a;
}

#endif
