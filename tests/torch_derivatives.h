/* tests/torch_derivatives.h: the values and derivatives of one function, for the test_torch*.c that compare functions. */
#ifndef TARN_TESTS_TORCH_DERIVATIVES_H
#define TARN_TESTS_TORCH_DERIVATIVES_H

#include "tests/torch_fixture.h"

enum { MAX_INPUTS = 6 };

/* A stream that depends on the name alone (FNV-1a), so that a new row changes no other. */
static tarn_rng stream(const char *name)
{
    uint64_t hash = 14695981039346656037u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 1099511628211u;
    return tarn_rng_seed(hash);
}

static tarn_tensor *random_like(tarn_params *r, tarn_rng *rng, tarn_tensor *x, const char *format, const char *name,
                                int i)
{
    char full[NAME];
    snprintf(full, sizeof full, format, name, i);
    return add_input(r, rng, -1, 1, tarn_ndim(x), tarn_shape(x), full);
}

/* sum over j of sum(a[j] * b[j]) */
static tarn_tensor *dot(tarn_tape *t, int n, tarn_tensor *const *a, tarn_tensor *const *b)
{
    tarn_tensor *total = NULL;
    for (int j = 0; j < n; j++) {
        tarn_tensor *s = tarn_sum(t, tarn_mul(t, a[j], b[j]), TARN_ALL_AXES, false);
        total = j ? tarn_add(t, total, s) : s;
    }
    return total;
}

/* Keeps NAMEy, the gradients NAMEd of sum(y*c) with respect to the n tensors in `real`, and the gradients NAMEdd of sum
 * over j of sum(d_j*v_j) with respect to these and to c. c and v are random; real has room for one more. */
static void keep_derivatives(tarn_params *r, tarn_tape *t, tarn_rng *rng, const char *name, tarn_tensor *y, int n,
                             tarn_tensor **real)
{
    tarn_tensor *v[MAX_INPUTS], *d[MAX_INPUTS], *dd[MAX_INPUTS + 1];
    real[n] = random_like(r, rng, y, "in/%sc%d", name, 0);
    tarn_grad(t, 1, &y, &real[n], n, real, d);
    for (int j = 0; j < n; j++)
        v[j] = random_like(r, rng, real[j], "in/%sv%d", name, j);
    tarn_tensor *second = dot(t, n, d, v);
    tarn_grad(t, 1, &second, NULL, n + 1, real, dd);
    keep(r, y, "%sy", name);
    for (int j = 0; j <= n; j++) {
        if (j < n)
            keep(r, d[j], "%sd%d", name, j);
        keep(r, dd[j], "%sdd%d", name, j);
    }
}

#endif
