#include "tensor/spectral.h"
#include "tensor/vector.h"

/* What x is divided by. Zeros stay zeros, and NaN stays. */
static double length(int64_t n, const double *x)
{
    double norm = tarn__norm(n, x);
    return norm == 0 ? 1 : norm;
}

static void divide(int64_t n, double *x, double by)
{
    for (int64_t i = 0; i < n; i++)
        x[i] /= by;
}

/* v = w u, and next = w^T v. A row of w is read once more while it is in the cache, so both are divided
 * afterwards. Four sums at a time hide the latency of an addition. */
#define POWER_STEP(suffix, type)                                                                                       \
    static void step_##suffix(int64_t rows, int64_t columns, const type *w, const double *u, double *v, double *next)  \
    {                                                                                                                  \
        for (int64_t c = 0; c < columns; c++)                                                                          \
            next[c] = 0;                                                                                               \
        for (int64_t r = 0; r < rows; r++, w += columns) {                                                             \
            double sums[4] = {0};                                                                                      \
            int64_t c = 0;                                                                                             \
            for (; c + 4 <= columns; c += 4)                                                                           \
                for (int i = 0; i < 4; i++)                                                                            \
                    sums[i] += (double)w[c + i] * u[c + i];                                                            \
            for (; c < columns; c++)                                                                                   \
                sums[0] += (double)w[c] * u[c];                                                                        \
            v[r] = (sums[0] + sums[1]) + (sums[2] + sums[3]);                                                          \
            for (c = 0; c < columns; c++)                                                                              \
                next[c] += (double)w[c] * v[r];                                                                        \
        }                                                                                                              \
    }
POWER_STEP(f32, float)
POWER_STEP(f64, double)

void tarn__spectral_iterate(tarn_dtype dtype, int64_t rows, int64_t columns, const void *w, int iterations, double *u,
                            double *v, double *scratch)
{
    for (int k = 0; k < iterations; k++) {
        if (dtype == TARN_F64)
            step_f64(rows, columns, w, u, v, scratch);
        else
            step_f32(rows, columns, w, u, v, scratch);
        double size = length(rows, v);
        divide(rows, v, size);
        divide(columns, scratch, size);
        size = length(columns, scratch);
        for (int64_t c = 0; c < columns; c++)
            u[c] = scratch[c] / size;
    }
}
