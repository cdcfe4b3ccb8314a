/* tests/surface_cases.h: a quadratic loss, of which the tests of autograd/surface.h know every number. */
#ifndef TARN_TESTS_SURFACE_CASES_H
#define TARN_TESTS_SURFACE_CASES_H

#include "tests/layers_cases.h"

#include "autograd/surface.h"

enum { LOWER = 2, UPPER = 3, N = LOWER + UPPER };

/* L = 1/2 (x-c).H (x-c) over two layers' parameters, x = ("f1.w", "f2.w"). */
static const double H[N * N] = {4,   1, 0.5, -1, 0,   1, 3,  0, 2,    0.25, 0.5, 0, 5,
                                0.5, 1, -1,  2,  0.5, 6, -2, 0, 0.25, 1,    -2,  2};
static const double THETA[N] = {1, -2, 0.5, 3, -1};

typedef struct quadratic {
    tarn_tensor *lower, *upper;
    double center[N];
    double scale; /* of the loss; may be NaN */
} quadratic;

static inline tarn_tensor *quadratic_loss(tarn_tape *t, void *context)
{
    const quadratic *q = context;
    tarn_dtype dtype = tarn_tensor_dtype(q->lower);
    tarn_tensor *c = tarn_constant(t, TARN_F64, TARN_SHAPE(N), q->center);
    tarn_tensor *h = tarn_cast(t, tarn_constant(t, TARN_F64, TARN_SHAPE(N, N), H), dtype);
    tarn_tensor *x = tarn_concat(t, 2, (tarn_tensor *[]){q->lower, q->upper}, 0);
    x = tarn_reshape(t, tarn_sub(t, x, tarn_cast(t, c, dtype)), TARN_SHAPE(1, N));
    tarn_tensor *y = tarn_sum(t, tarn_mul(t, x, tarn_matmul(t, x, h)), TARN_ALL_AXES, false);
    return tarn_mul_scalar(t, y, 0.5 * q->scale);
}

static inline quadratic quadratic_new(tarn_params *params, const double *theta)
{
    quadratic q = {.scale = 1};
    q.lower = tarn_params_add(params, "f1.w", TARN_SHAPE(LOWER));
    q.upper = tarn_params_add(params, "f2.w", TARN_SHAPE(UPPER));
    tarn_tensor *point = tarn_tensor_from(TARN_F64, TARN_SHAPE(N), theta);
    assert_true(tarn_params_set_vector(params, point));
    tarn_tensor_free(point);
    return q;
}

static inline void times_h(const double *x, double *y)
{
    for (int i = 0; i < N; i++) {
        y[i] = 0;
        for (int j = 0; j < N; j++)
            y[i] += H[i * N + j] * x[j];
    }
}

static inline double dot(int n, const double *x, const double *y)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* L at theta + a d + b e. */
static inline double value_at(double a, const double *d, double b, const double *e)
{
    double x[N], hx[N];
    for (int i = 0; i < N; i++)
        x[i] = THETA[i] + a * d[i] + b * e[i];
    times_h(x, hx);
    return dot(N, x, hx) / 2;
}

static inline void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%.17g, expected %.17g", got, want);
}

#endif
