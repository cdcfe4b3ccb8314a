/* Clipping, and the norm of the gradients. */
#include "tests/optim_cases.h"

/* ---- clipping ---- */

static double naive_norm(tarn_params *p)
{
    long double sum = 0;
    for (int k = 0; k < N_PARAMS; k++)
        for (int64_t i = 0; param(p, k)->has_grad && i < param(p, k)->numel; i++) {
            double g = tarn__load(param(p, k)->grad, i);
            sum += (long double)g * (long double)g;
        }
    return (double)sqrtl(sum);
}

static void the_norm_is_clipped(void **state)
{
    (void)state;
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *p = store_new(dtype);
        fill_all(p, 1);
        param(p, 0)->has_grad = false;
        double norm = naive_norm(p), untouched = tarn__load(param(p, 0)->grad, 0);
        double before = tarn__load(param(p, 1)->grad, 39999);
        assert_near(tarn_params_grad_norm(p), norm, 1e-13 * norm);
        assert_near(tarn_clip_grad_norm(p, 2 * norm), norm, 1e-13 * norm);
        assert_near(tarn_clip_grad_norm(p, INFINITY), norm, 1e-13 * norm);
        assert_true(tarn__load(param(p, 1)->grad, 39999) == before);
        assert_near(tarn_clip_grad_norm(p, 0.25), norm, 1e-13 * norm);
        double scale = 0.25 / (norm + 1e-6), one = dtype == TARN_F32 ? 2e-7 : 1e-15;
        assert_near(tarn__load(param(p, 1)->grad, 39999), before * scale, one * fabs(before * scale));
        assert_near(tarn_params_grad_norm(p), norm * scale, 1e-7);
        assert_true(tarn__load(param(p, 0)->grad, 0) == untouched);
        assert_true(tarn_clip_grad_norm(p, 0) > 0);
        assert_true(tarn_params_grad_norm(p) == 0);
        assert_true(tarn_clip_grad_norm(p, 1) == 0);
        tarn_params_free(p);
    }
}

/* More tiles than the partial sums of one round: 16384 elements each, 256 of them. */
static void the_norm_of_a_large_parameter(void **state)
{
    (void)state;
    enum { N = 600 * 16384 + 5 };
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(N));
    float *g = x->grad->data;
    double sum = 0;
    for (int64_t i = 0; i < N; i++) {
        g[i] = (float)(1 + i % 7 + i / 1000000);
        sum += (double)g[i] * (double)g[i]; /* whole numbers: exact */
    }
    x->has_grad = true;
    assert_true(tarn_params_grad_norm(p) == sqrt(sum));
    tarn_params_free(p);
}

/* Where the squares of f64 gradients are no doubles any more, or have lost their digits. */
static void the_norm_is_right_at_any_scale(void **state)
{
    (void)state;
    static const double scales[] = {1e200, 1e300, 1e-150, 1e-160, 1e-200, 0x1p-1074};
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        tarn_params *p = tarn_params_new(TARN_F64);
        tarn_tensor *x[2] = {tarn_params_add(p, "x", TARN_SHAPE(2)), tarn_params_add(p, "y", TARN_SHAPE(1))};
        const double parts[] = {2, 3, 6}; /* 7 in all */
        for (int i = 0; i < 3; i++)
            tarn__store(x[i / 2]->grad, i % 2, parts[i] * scales[s]);
        x[0]->has_grad = x[1]->has_grad = true;
        assert_near(tarn_params_grad_norm(p), 7 * scales[s], 7 * scales[s] * 1e-15);
        assert_near(tarn_clip_grad_norm(p, 1), 7 * scales[s], 7 * scales[s] * 1e-15);
        double norm = 7 * scales[s], scale = norm > 1 ? 1 / (norm + 1e-6) : 1;
        assert_near(tarn__load(x[1]->grad, 0), 6 * scales[s] * scale, 1e-14 * 6 * scales[s] * scale);
        tarn_params_free(p);
    }
}

static void large_and_broken_gradients(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(2));
    float *g = x->grad->data;
    g[0] = 3e30f, g[1] = -4e30f, x->has_grad = true; /* their squares are beyond a float */
    assert_near(tarn_clip_grad_norm(p, 5) / 5e30, 1, 1e-6);
    assert_true(fabsf(g[0] - 3) < 1e-5f && fabsf(g[1] + 4) < 1e-5f);
    g[0] = INFINITY, g[1] = 7;
    assert_true(isinf(tarn_clip_grad_norm(p, 1)));
    assert_true(isinf(g[0]) && g[1] == 7);
    g[0] = NAN;
    assert_true(isnan(tarn_clip_grad_norm(p, 1)));
    assert_true(isnan(g[0]) && g[1] == 7);
    assert_null(tarn_error());
    tarn_params_free(p);
}

static void values_are_clipped(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F32);
    fill_all(p, 2);
    param(p, 2)->has_grad = false;
    tarn__store(param(p, 1)->grad, 17, NAN);
    assert_true(tarn_clip_grad_value(p, 1.5));
    int64_t at_limit = 0;
    for (int64_t i = 0; i < LARGEST; i++) {
        double got = tarn__load(param(p, 1)->grad, i), g = (double)(float)gradient(2, 1, i);
        at_limit += fabs(got) == 1.5;
        assert_true(i == 17 ? isnan(got) : got == fmin(fmax(g, -1.5), 1.5));
    }
    assert_true(at_limit > LARGEST / 10);
    assert_true(tarn__load(param(p, 2)->grad, 0) == (double)(float)gradient(2, 2, 0));
    tarn_params_free(p);
}

static void bad_limits_are_errors(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F32);
    fill_all(p, 0);
    assert_true(isnan(tarn_clip_grad_norm(NULL, 1)));
    expect_error("tarn_clip_grad_norm: params is NULL");
    assert_false(tarn_clip_grad_value(NULL, 1));
    expect_error("tarn_clip_grad_value: params is NULL");
    const double bad[] = {-1, NAN};
    for (int i = 0; i < 2; i++) {
        assert_true(isnan(tarn_clip_grad_norm(p, bad[i])));
        expect_error("tarn_clip_grad_norm: max_norm");
        assert_false(tarn_clip_grad_value(p, bad[i]));
        expect_error("tarn_clip_grad_value: limit");
    }
    assert_true(tarn__load(param(p, 1)->grad, 5) == (double)(float)gradient(0, 1, 5));
    tarn_params_free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nothing_pending, nothing_pending)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_norm_is_clipped),
        TEST(the_norm_of_a_large_parameter),
        TEST(the_norm_is_right_at_any_scale),
        TEST(large_and_broken_gradients),
        TEST(values_are_clipped),
        TEST(bad_limits_are_errors),
    };
    return cmocka_run_group_tests_name("clip", tests, NULL, NULL);
}
