/* Quantiles, histograms and moving averages, against NumPy's values and by counting. */
#include "tests/layers_cases.h"

#include "tensor/statistics.h"

static double quantile_of(int n, const double *values, double q)
{
    double out = -99;
    tarn_tensor *x = tarn_tensor_from(TARN_F64, TARN_SHAPE(n), values);
    assert_true(tarn_quantiles(x, 1, &q, &out));
    tarn_tensor_free(x);
    return out;
}

/* numpy.quantile(values, q) */
static void quantiles_are_those_of_numpy(void **state)
{
    (void)state;
    double values[] = {3.5, -1.25, 0, 7, 2.5, 2.5, -4, 1e-3, 9.75, 0.5};
    const double q[] = {0, 0.1, 0.25, 0.5, 1.0 / 3, 0.9, 1};
    const double want[] = {-4, -1.525, 0.00025, 1.5, 0.001, 7.275, 9.75};
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        double out[7];
        tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(5, 2), values);
        x = tarn_transpose(f.t, tarn_cast(f.t, x, (tarn_dtype)dtype), 0, 1); /* pending, and not contiguous */
        assert_true(tarn_quantiles(x, 7, q, out));
        for (int k = 0; k < 7; k++)
            assert_true(fabs(out[k] - want[k]) <= (dtype == TARN_F64 ? 4e-15 : 1e-6));
    }
}

static void every_order_and_length_sorts(void **state)
{
    (void)state;
    for (int n = 1; n <= 70; n++) {
        double values[70], q[70], out[70];
        int64_t order[70];
        assert_true(tarn_rng_permutation(&f.rng, (size_t)n, order));
        for (int i = 0; i < n; i++) {
            values[i] = (double)(order[i] / 2); /* most of them twice */
            q[i] = n > 1 ? (double)i / (n - 1) : 0.3;
        }
        tarn_tensor *x = tarn_tensor_from(TARN_F64, TARN_SHAPE(n), values);
        assert_true(tarn_quantiles(x, n, q, out));
        for (int i = 0; i < n; i++)
            assert_true(fabs(out[i] - i / 2) < 1e-12);
        expect_equal(x, tarn_constant(f.t, TARN_F64, TARN_SHAPE(n), values), 0); /* not sorted in place */
        tarn_tensor_free(x);
    }
}

static void nan_and_infinities(void **state)
{
    (void)state;
    assert_true(isnan(quantile_of(3, (double[]){1, NAN, 2}, 0)));
    const double ends[] = {INFINITY, 1, -INFINITY, INFINITY};
    assert_true(quantile_of(4, ends, 0) == -INFINITY);
    assert_true(quantile_of(4, ends, 1.0 / 3) == 1);
    assert_true(quantile_of(4, ends, 0.5) == INFINITY);
    assert_true(quantile_of(4, ends, 0.9) == INFINITY); /* between two of them */
    assert_true(quantile_of(4, ends, 1) == INFINITY);
    assert_true(quantile_of(2, (double[]){-1.7e308, 1.7e308}, 0.5) == 0);
    for (int i = 0; i <= 50; i++) /* between two that are equal nothing is rounded */
        assert_true(quantile_of(3, (double[]){0.1, 0.1, 0.1}, i / 50.0) == 0.1);
}

static void a_failure_leaves_the_results(void **state)
{
    (void)state;
    double out[2] = {5, 6}, x[2] = {0.5, 0.5};
    int64_t counts[2] = {7, 8};
    tarn_tensor *t = tarn_tensor_from(TARN_F64, TARN_SHAPE(2), x);
    assert_false(tarn_quantiles(t, 2, (double[]){0.5, 2}, out));
    expect_error("q[1] 2");
    assert_false(tarn_moving_average(2, x, 4, out));
    expect_error("the window is 4");
    assert_false(tarn_histogram(t, 2, 1, 0, counts));
    expect_error("low 1 is above high 0");
    assert_true(out[0] == 5 && out[1] == 6 && counts[0] == 7 && counts[1] == 8);
    tarn_tensor_free(t);
}

/* numpy.histogram(values, bins=10, range=(0, 1)): the edge 3 * 0.1 lies above 0.3, the edge 6 * 0.1 above 0.6. */
static void counts_are_those_of_numpy(void **state)
{
    (void)state;
    double values[] = {0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, -0.1, 1.1, NAN, INFINITY, -INFINITY};
    const int64_t want[2][10] = {{1, 1, 1, 1, 1, 1, 2, 0, 2, 1}, {1, 1, 2, 0, 1, 2, 1, 0, 1, 2}};
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(4, 4), values);
        x = tarn_transpose(f.t, tarn_cast(f.t, x, (tarn_dtype)dtype), 0, 1);
        int64_t counts[10];
        assert_true(tarn_histogram(x, 10, 0, 1, counts));
        for (int k = 0; k < 10; k++)
            assert_int_equal(counts[k], want[dtype == TARN_F64][k]);
    }
}

/* Bins and edges agree for awkward ranges too: each value is counted where a walk over the edges finds it. */
static void a_bin_is_from_its_edge_to_the_next(void **state)
{
    (void)state;
    enum { BINS = 37, N = 500 };
    const double low = -0.7, high = 1.9;
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(N), &f.rng, -1, 2);
    double *data = tarn_mutable_data(x);
    for (int k = 0; k <= BINS; k++)
        data[k] = low + k * ((high - low) / BINS);
    data[BINS] = high;
    int64_t counts[BINS], want[BINS] = {0};
    assert_true(tarn_histogram(x, BINS, low, high, counts));
    for (int i = 0; i < N; i++)
        for (int k = BINS - 1; k >= 0; k--)
            if (data[i] <= high && data[i] >= low + k * ((high - low) / BINS)) {
                want[k]++;
                break;
            }
    assert_memory_equal(counts, want, sizeof counts);
    tarn_tensor_free(x);
}

static void averages_are_means_of_what_is_there(void **state)
{
    (void)state;
    const double x[] = {1, 2, 6, -3, 4, NAN, 8, 1, 0};
    double out[9];
    assert_true(tarn_moving_average(5, x, 3, out));
    const double three[] = {1.5, 3, 5.0 / 3, 7.0 / 3, 0.5};
    for (int i = 0; i < 5; i++)
        assert_true(fabs(out[i] - three[i]) < 1e-15);
    assert_true(tarn_moving_average(5, x, 1, out));
    assert_memory_equal(out, x, 5 * sizeof *x);
    assert_true(tarn_moving_average(5, x, INT64_MAX, out));
    for (int i = 0; i < 5; i++)
        assert_true(out[i] == 2);
    assert_true(tarn_moving_average(9, x, 3, out));
    for (int i = 0; i < 9; i++)
        assert_int_equal(isnan(out[i]), i >= 4 && i <= 6);
    assert_true(tarn_moving_average(0, x, 3, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(quantiles_are_those_of_numpy),
        TEST(every_order_and_length_sorts),
        TEST(nan_and_infinities),
        TEST(a_failure_leaves_the_results),
        TEST(counts_are_those_of_numpy),
        TEST(a_bin_is_from_its_edge_to_the_next),
        TEST(averages_are_means_of_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
