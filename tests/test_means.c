/* Means and sums of many, and of large numbers: by every way that tarn has to take them. tests/test_isa.sh runs it by every
 * instruction set. */
#include "tensor/tensor_impl.h"
#include "tests/tape_fixture.h"

#include <float.h>

static double first_of(tarn_tensor *x)
{
    const double *v = tarn_data(tarn_cast(t, x, TARN_F64));
    if (!v)
        fail_msg("%s", tarn_error());
    return v[0];
}

/* Half a rounding for each addition: up to 64 in a block, and, in f64, `joined` of the blocks themselves. */
static void near(const char *what, double found, double exact, tarn_dtype dtype, int64_t joined)
{
    double eps = dtype == TARN_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    double allowed = (64 + (dtype == TARN_F64 ? (double)joined : 0)) / 2 * eps * fabs(exact);
    if (!(fabs(found - exact) <= allowed))
        fail_msg("%s, %s: %.17g, expected %.17g", what, tarn_dtype_name(dtype), found, exact);
}

static void a_mean_of_many_is_near(void **state)
{
    (void)state;
    static const int64_t sizes[] = {8, 9, 33, 256, 1024}, channels[] = {1, 3, 40};
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < (i < 3 ? 3 : 1); k++) {
                double value = dtype == TARN_F64 ? 0.1 : (double)0.1f;
                tarn_tensor *x = tarn_full(t, dtype, TARN_SHAPE(1, sizes[i], sizes[i], channels[k]), value);
                near("avg_pool2d", first_of(tarn_avg_pool2d(t, x, (int)sizes[i], NULL)), value, dtype, sizes[i]);
                near("global_avg_pool2d", first_of(tarn_global_avg_pool2d(t, x)), value, dtype, sizes[i]);
                tarn_tape_reset(t);
            }
}

/* The middle pixel lies under WINDOW^2 windows. */
static void a_gradient_from_many_windows_is_near(void **state)
{
    (void)state;
    enum { N = 97, WINDOW = 49 };
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int64_t c = 1; c < 5; c += 2) {
            double value = dtype == TARN_F64 ? 0.1 : (double)0.1f;
            tarn_tensor *x = tarn_full(t, dtype, TARN_SHAPE(1, N, N, c), 1), *g = NULL;
            tarn_tensor *y = tarn_avg_pool2d(t, x, WINDOW, &(tarn_pool2d_opts){.stride = 1, .padding = WINDOW / 2});
            tarn_tensor *came = tarn_full(t, dtype, y->ndim, y->shape, value);
            assert_true(tarn_grad(t, 1, &y, &came, 1, &x, &g));
            tarn_tensor *middle = tarn_slice(t, tarn_slice(t, g, 1, N / 2, N / 2 + 1, 1), 2, N / 2, N / 2 + 1, 1);
            double exact = 0;
            for (int p = N / 2 - WINDOW / 2; p <= N / 2 + WINDOW / 2; p++)
                for (int q = N / 2 - WINDOW / 2; q <= N / 2 + WINDOW / 2; q++) {
                    double r = fmin(N, p + WINDOW / 2 + 1) - fmax(0, p - WINDOW / 2);
                    double s = fmin(N, q + WINDOW / 2 + 1) - fmax(0, q - WINDOW / 2);
                    exact += value / (r * s);
                }
            near("avg_pool2d's gradient", first_of(middle), exact, dtype, WINDOW);
            tarn_tape_reset(t);
        }
}

static void large_numbers_have_a_mean(void **state)
{
    (void)state;
    static const int64_t channels[] = {1, 2, 3, 8, 17, 64, 700};
    for (int k = 0; k < 7; k++)
        for (int64_t side = 2; side <= 18; side += 8) {
            tarn_tensor *x = tarn_full(t, TARN_F32, TARN_SHAPE(1, side, side, channels[k]), 3e38);
            near("avg_pool2d", first_of(tarn_avg_pool2d(t, x, (int)side, NULL)), (double)3e38f, TARN_F32, 0);
            near("global_avg_pool2d", first_of(tarn_global_avg_pool2d(t, x)), (double)3e38f, TARN_F32, 0);
            near("mean", first_of(tarn_mean(t, x, TARN_ALL_AXES, false)), (double)3e38f, TARN_F32, 0);
            near("mean of rows", first_of(tarn_mean(t, x, TARN_AXES(3), false)), (double)3e38f, TARN_F32, 0);
            tarn_tape_reset(t);
        }
}

static void infinities_and_nan_stay(void **state)
{
    (void)state;
    const float values[] = {INFINITY, -INFINITY, NAN};
    for (int i = 0; i < 3; i++)
        for (int64_t c = 1; c < 50; c += 39) {
            tarn_tensor *x = tarn_full(t, TARN_F32, TARN_SHAPE(1, 4, 4, c), (double)values[i]);
            const double found[] = {first_of(tarn_avg_pool2d(t, x, 2, NULL)), first_of(tarn_global_avg_pool2d(t, x)),
                                    first_of(tarn_sum(t, x, TARN_ALL_AXES, false))};
            for (int k = 0; k < 3; k++)
                assert_true(i == 2 ? isnan(found[k]) : found[k] == (double)values[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_mean_of_many_is_near, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gradient_from_many_windows_is_near, setup, teardown),
        cmocka_unit_test_setup_teardown(large_numbers_have_a_mean, setup, teardown),
        cmocka_unit_test_setup_teardown(infinities_and_nan_stay, setup, teardown),
    };
    return cmocka_run_group_tests_name("means", tests, NULL, NULL);
}
