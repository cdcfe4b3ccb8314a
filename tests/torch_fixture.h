/* tests/torch_fixture.h: comparing tarn with PyTorch, for the test_torch*.c.
 *
 * A program computes a store of results from inputs that come out of tarn's own random stream, in f64 and in
 * f32. With --dump DIR it writes all of them, for tests/torch_reference.py, which computes the same in
 * PyTorch and compares every element. Otherwise it compares them with a digest of PyTorch's results that the
 * script recorded in tests/fixtures. Run it from the repository's root.
 *
 * Names: "in/..." are inputs; "steps/..." is what several optimiser steps lead to; the rest are values and
 * derivatives. All start with their section's name.
 *
 * The digest of a result with n elements is their sum, their norm, the largest magnitude, and every
 * stride-th element: all of them up to 128, every 7th up to 4096, else every 97th. An element may be off by
 * limit = tolerance * max(largest magnitude, floor). If all are, the norm is off by at most sqrt(n)*limit; so
 * is the sum when the signs are mixed. The floor is 1 for "steps/", since Adam makes steps of equal size of
 * large gradients and of small inexact ones; and 1e-2 elsewhere, so that zero may come out as rounding. */
#ifndef TARN_TESTS_TORCH_FIXTURE_H
#define TARN_TESTS_TORCH_FIXTURE_H

#include "autograd/ops.h"
#include "data/safetensors.h"
#include "layers/layers.h"
#include "optim/optim.h"
#include "tests/check.h"

#include <math.h>

enum { DIGEST = 3, MAX_SECTIONS = 64, NAME = 128 };

typedef struct torch_suite {
    const char *name;                /* of the files: NAME_f64.safetensors */
    void (*compute)(tarn_params *r); /* adds inputs and results to r, of r's dtype */
    size_t n_sections;
    const char *sections[MAX_SECTIONS]; /* how the results' names start; each is a test */
} torch_suite;

typedef struct torch_section {
    const char *prefix;
    tarn_params *const *results, *const *digests;
    double tolerance;
} torch_section;

static const tarn_dtype torch_dtypes[2] = {TARN_F64, TARN_F32};
static const double torch_tolerances[2] = {1e-10, 1e-4};
static const torch_suite *torch_running;
static tarn_params *torch_results[2], *torch_digests[2];

/* Adds a copy of x to the store; the name is printed. */
static void keep(tarn_params *r, tarn_tensor *x, const char *format, ...) TARN_PRINTF(3, 4);
static void keep(tarn_params *r, tarn_tensor *x, const char *format, ...)
{
    char name[NAME];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    tarn_copy(tarn_params_add_buffer(r, name, tarn_ndim(x), tarn_shape(x)), x);
}

/* Random values in the store, as an input. */
static tarn_tensor *add_input(tarn_params *r, tarn_rng *rng, double low, double high, int ndim, const int64_t *shape,
                              const char *name)
{
    tarn_tensor *x = tarn_params_add_buffer(r, name, ndim, shape);
    tarn_init_uniform(x, rng, low, high);
    return x;
}

/* n whole numbers in 0..bound-1, in the store's dtype. */
static inline tarn_tensor *add_labels(tarn_params *r, tarn_rng *rng, uint64_t bound, int64_t n, const char *name)
{
    tarn_tensor *x = tarn_params_add_buffer(r, name, TARN_SHAPE(n));
    double *labels = calloc((size_t)n, sizeof *labels);
    assert_non_null(labels);
    for (int64_t i = 0; i < n; i++)
        labels[i] = (double)tarn_rng_below(rng, bound);
    tarn_tensor *source = tarn_tensor_wrap(TARN_F64, TARN_SHAPE(n), labels);
    tarn_copy(x, source);
    tarn_tensor_free(source);
    free(labels);
    return x;
}

/* ---- digests */

static double element(tarn_tensor *x, int64_t i)
{
    const void *data = tarn_data(x);
    return tarn_tensor_dtype(x) == TARN_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static int64_t digest_stride(int64_t n)
{
    return n <= 128 ? 1 : n <= 4096 ? 7 : 97;
}

static int64_t digest_size(int64_t n)
{
    const int64_t stride = digest_stride(n);
    return DIGEST + (n + stride - 1) / stride;
}

static bool is_input(const char *name)
{
    return strncmp(name, "in/", 3) == 0;
}

static void expect_near(const char *name, const char *what, int64_t i, double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%s: %s %ld is %.17g, PyTorch has %.17g, and they may differ by %.3g", name, what, (long)i, got, want,
                 limit);
}

static void expect_digest(tarn_tensor *x, tarn_tensor *digest, double tolerance)
{
    const char *name = tarn_param_name(x);
    const int64_t n = tarn_numel(x), stride = digest_stride(n);
    const double floor = strncmp(name, "steps/", 6) == 0 ? 1 : 1e-2;
    const double limit = tolerance * fmax(element(digest, 2), floor), root = sqrt((double)n);
    double sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double v = element(x, i);
        sum += v, squares += v * v, largest = fmax(largest, fabs(v));
        if (i % stride == 0)
            expect_near(name, "element", i, v, element(digest, DIGEST + i / stride), limit);
    }
    expect_near(name, "sum", 0, sum, element(digest, 0), limit * root);
    expect_near(name, "norm", 0, sqrt(squares), element(digest, 1), limit * root);
    expect_near(name, "largest magnitude", 0, largest, element(digest, 2), limit);
}

static void section_agrees(void **state)
{
    const torch_section *section = *state;
    tarn_params *results = *section->results, *digests = *section->digests;
    size_t compared = 0;
    for (size_t i = 0; i < tarn_params_count(results); i++) {
        tarn_tensor *x = tarn_params_at(results, i);
        const char *name = tarn_param_name(x);
        if (is_input(name) || strncmp(name, section->prefix, strlen(section->prefix)) != 0)
            continue;
        tarn_tensor *digest = tarn_params_find(digests, name);
        assert_non_null(digest);
        expect_digest(x, digest, section->tolerance);
        compared++;
    }
    assert_true(compared > 0);
    expect_no_error();
}

/* ---- running */

static void file_name(char path[512], const char *folder, const char *name, tarn_dtype dtype)
{
    snprintf(path, 512, "%s/%s_%s.safetensors", folder, name, tarn_dtype_name(dtype));
}

static tarn_params *compute(const torch_suite *s, tarn_dtype dtype)
{
    tarn_params *r = tarn_params_new(dtype);
    s->compute(r);
    return r;
}

/* The store into which the fixture is read: a vector for each result. */
static tarn_params *digests_for(const tarn_params *results)
{
    tarn_params *digests = tarn_params_new(tarn_params_dtype(results));
    for (size_t i = 0; i < tarn_params_count(results); i++) {
        const tarn_tensor *x = tarn_params_at(results, i);
        if (!is_input(tarn_param_name(x)))
            tarn_params_add_buffer(digests, tarn_param_name(x), TARN_SHAPE(digest_size(tarn_numel(x))));
    }
    return digests;
}

static int torch_set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char path[512];
        file_name(path, "tests/fixtures", torch_running->name, torch_dtypes[i]);
        torch_results[i] = compute(torch_running, torch_dtypes[i]);
        torch_digests[i] = digests_for(torch_results[i]);
        tarn_params_load(torch_digests[i], path);
    }
    if (tarn_error())
        print_error("%s\n", tarn_error());
    return tarn_error() ? -1 : 0;
}

static int torch_tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tarn_params_free(torch_results[i]);
        tarn_params_free(torch_digests[i]);
    }
    return 0;
}

static int torch_dump(const torch_suite *s, const char *folder)
{
    for (int i = 0; i < 2; i++) {
        char path[512];
        file_name(path, folder, s->name, torch_dtypes[i]);
        tarn_params *r = compute(s, torch_dtypes[i]);
        tarn_params_save(r, path);
        tarn_params_free(r);
    }
    if (tarn_error())
        fprintf(stderr, "%s\n", tarn_error());
    return tarn_error() ? 1 : 0;
}

static int torch_main(int argc, char **argv, const torch_suite *s)
{
    static struct CMUnitTest tests[2 * MAX_SECTIONS];
    static torch_section sections[2 * MAX_SECTIONS];
    static char names[2 * MAX_SECTIONS][NAME];
    if (argc == 3 && strcmp(argv[1], "--dump") == 0)
        return torch_dump(s, argv[2]);
    const size_t n = 2 * s->n_sections;
    for (size_t i = 0; i < n; i++) {
        const size_t d = i % 2;
        sections[i] = (torch_section){s->sections[i / 2], &torch_results[d], &torch_digests[d], torch_tolerances[d]};
        snprintf(names[i], NAME, "%s%s", sections[i].prefix, tarn_dtype_name(torch_dtypes[d]));
        tests[i] = (struct CMUnitTest){names[i], section_agrees, NULL, NULL, &sections[i]};
    }
    torch_running = s;
    return _cmocka_run_group_tests(s->name, tests, n, torch_set_up, torch_tear_down);
}

#endif
