/* The spectrum of a symmetric matrix. */
#include "tensor/eigen.h"
#include "tensor/threads.h"
#include "tests/spectra.h"
#include "tests/tape_fixture.h"

/* Values as given, vectors orthonormal, A v = lambda v. */
static void expect_spectrum(tarn_tensor *a, int64_t n, const double *value, double scale)
{
    tarn_tensor *vectors, *values = tarn_symmetric_eigen_new(a, &vectors), *alone = tarn_symmetric_eigen_new(a, NULL);
    const double *l = tarn_data(values), *only = tarn_data(alone), *v = tarn_data(vectors), *m = tarn_data(a);
    expect_no_error();
    assert_int_equal(tarn_numel(values), n);
    for (int64_t k = 0; k < n; k++) {
        assert_true(fabs(l[k] - value[k]) <= 1e-13 * scale && fabs(only[k] - value[k]) <= 1e-13 * scale);
        for (int64_t i = 0; i < n; i++) {
            double product = 0, dot = 0;
            for (int64_t j = 0; j < n; j++) {
                product += m[i * n + j] * v[k * n + j];
                dot += v[i * n + j] * v[k * n + j];
            }
            assert_true(fabs(product - l[k] * v[k * n + i]) <= 1e-13 * scale);
            assert_true(fabs(dot - (i == k)) <= 1e-13);
        }
    }
    tarn_tensor_free(values), tarn_tensor_free(alone), tarn_tensor_free(vectors);
}

static void spectra_that_are_known(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        double value[8], scale;
    } cases[] = {
        {1, {-3}, 3},
        {2, {-2, 2}, 2},
        {5, {0, 0, 0, 0, 0}, 0},
        {6, {-1, -1, 0, 2, 2, 2}, 2},
        {8, {1e-9, 1e-3, 1, 2, 3, 4, 5, 1e3}, 1e3},
        {4, {-4e200, -3e200, 1e200, 2e200}, 4e200},
        {3, {1e-300, 2e-300, 3e-300}, 3e-300},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        tarn_tensor *a = matrix_with(cases[c].n, cases[c].value, c);
        expect_spectrum(a, cases[c].n, cases[c].value, cases[c].scale * 10);
        tarn_tensor_free(a);
    }
    enum { N = 150 };
    double value[N];
    for (int k = 0; k < N; k++)
        value[k] = k - 40;
    tarn_tensor *a = matrix_with(N, value, 9);
    expect_spectrum(a, N, value, 110 * 10);
    tarn_tensor_free(a);
}

/* Row k is vector k, whichever of the two triangles is read. */
static void rows_are_vectors(void **state)
{
    (void)state;
    tarn_tensor *a = tarn_tensor_from(TARN_F64, TARN_SHAPE(3, 3), (double[]){2, 1, 0, 1, 2, 0, 0, 0, 7}), *vectors;
    tarn_tensor *values = tarn_symmetric_eigen_new(a, &vectors);
    EXPECT_VALUES(values, 1, 3, 7);
    const double *v = tarn_data(vectors);
    assert_true(fabs(v[0] + v[1]) < 1e-15 && fabs(fabs(v[0]) - sqrt(0.5)) < 1e-15 && v[2] == 0);
    assert_true(fabs(v[3] - v[4]) < 1e-15 && fabs(fabs(v[8]) - 1) < 1e-15);
    tarn_tensor_free(a), tarn_tensor_free(values), tarn_tensor_free(vectors);
}

static void none_at_all(void **state)
{
    (void)state;
    tarn_tensor *a = tarn_tensor_new(TARN_F64, TARN_SHAPE(0, 0)), *vectors;
    tarn_tensor *values = tarn_symmetric_eigen_new(a, &vectors);
    assert_int_equal(tarn_numel(values), 0);
    assert_int_equal(tarn_ndim(vectors), 2);
    expect_no_error();
    tarn_tensor_free(a), tarn_tensor_free(values), tarn_tensor_free(vectors);
}

static void symmetric_to_rounding(void **state)
{
    (void)state;
    double m[] = {1, 1e3 + 1e-8, 1e3, 5};
    tarn_tensor *a = tarn_tensor_wrap(TARN_F64, TARN_SHAPE(2, 2), m), *vectors = a;
    tarn_tensor *values = tarn_symmetric_eigen_new(a, NULL);
    assert_non_null(values);
    tarn_tensor_free(values);
    m[1] = 1e3 + 1e-6;
    assert_null(tarn_symmetric_eigen_new(a, &vectors));
    assert_null(vectors);
    expect_error("tarn_symmetric_eigen_new: elements [1,0] and [0,1] are 1000 and 1000, expected a symmetric matrix");
    m[3] = NAN;
    assert_null(tarn_symmetric_eigen_new(a, &vectors));
    expect_error("tarn_symmetric_eigen_new: element [1,1] is ", "nan");
    tarn_tensor_free(a);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    enum { N = 120 };
    double value[N];
    for (int k = 0; k < N; k++)
        value[k] = sin(k);
    tarn_tensor *a = matrix_with(N, value, 4), *vectors[2], *values[2];
    for (int i = 0; i < 2; i++) {
        assert_true(tarn_set_threads(i ? 4 : 1));
        values[i] = tarn_symmetric_eigen_new(a, &vectors[i]);
    }
    assert_memory_equal(tarn_data(values[0]), tarn_data(values[1]), N * sizeof(double));
    assert_memory_equal(tarn_data(vectors[0]), tarn_data(vectors[1]), N * N * sizeof(double));
    for (int i = 0; i < 2; i++)
        tarn_tensor_free(values[i]), tarn_tensor_free(vectors[i]);
    tarn_tensor_free(a);
    assert_true(tarn_set_threads(0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(spectra_that_are_known), TEST(rows_are_vectors),      TEST(none_at_all),
        TEST(symmetric_to_rounding),  TEST(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
