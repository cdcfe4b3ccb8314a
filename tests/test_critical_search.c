/* tarn_critical_search_new: to the critical point nearby, of whatever kind, held against points known in closed form. */
#include "tests/layers_cases.h"

#include "autograd/curvature.h"
#include "tensor/threads.h"

enum { N = 3 };

static const double curvatures[N] = {4, -0.5, 0.01};

/* 1/2 sum of curvature_i (x_i - i)^2: a saddle at (0, 1, 2). */
static tarn_tensor *quadratic(tarn_tape *t, void *context)
{
    tarn_params *p = context;
    tarn_tensor *x = tarn_cast(t, tarn_params_at(p, 0), TARN_F64);
    tarn_tensor *off = tarn_sub(t, x, tarn_arange(t, TARN_F64, N, 0, 1));
    tarn_tensor *curvature = tarn_constant(t, TARN_F64, TARN_SHAPE(N), curvatures);
    return tarn_mul_scalar(t, tarn_sum(t, tarn_mul(t, curvature, tarn_square(t, off)), TARN_ALL_AXES, false), 0.5);
}

static void a_quadratic_has_one(void **state)
{
    (void)state;
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *p = tarn_params_new((tarn_dtype)dtype);
        tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(N));
        tarn_fill(x, 7);
        double norm;
        tarn_tensor *found = tarn_critical_search_new(&(tarn_objective){quadratic, p, p, f.t}, 0, &norm);
        expect_shape(found, TARN_SHAPE(N));
        for (int64_t i = 0; i < N; i++)
            assert_true(fabs(tarn_at(found, &i) - (double)i) < (dtype == TARN_F32 ? 1e-3 : 1e-9));
        assert_true(norm <= 4 * (dtype == TARN_F32 ? 1e-6 : 1e-12));
        for (int64_t i = 0; i < N; i++)
            assert_true(tarn_at(x, &i) == 7); /* the store stays */
        tarn_tensor_free(found);
        tarn_params_free(p);
    }
}

/* (1 - x0 x1)^2: a saddle at the origin, minima where x0 x1 = 1. */
static tarn_tensor *two_weights(tarn_tape *t, void *context)
{
    (void)context;
    tarn_tensor *x = tarn_params_at(f.p, 0);
    tarn_tensor *product = tarn_mul(t, tarn_slice(t, x, 0, 0, 1, 1), tarn_slice(t, x, 0, 1, 2, 1));
    return tarn_square(t, tarn_add_scalar(t, product, -1));
}

static void the_nearby_one_is_found(void **state)
{
    (void)state;
    static const struct {
        double from[2];
        tarn_critical_kind kind;
        double value;
    } cases[] = {{{0.3, -0.1}, TARN_SADDLE, 1}, {{-0.2, -0.2}, TARN_SADDLE, 1}, {{1.3, 0.9}, TARN_DEGENERATE, 0}};
    assert_non_null(tarn_params_add(f.p, "x", TARN_SHAPE(2)));
    const tarn_objective o = {two_weights, NULL, f.p, f.t};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tarn_tensor *from = tarn_tensor_from(TARN_F64, TARN_SHAPE(2), cases[i].from);
        tarn_params_set_vector(f.p, from);
        double norm;
        tarn_tensor *found = tarn_critical_search_new(&o, 0, &norm);
        assert_true(norm < 1e-9);
        tarn_critical_point_report r;
        assert_true(tarn_params_set_vector(f.p, found) && tarn_critical_point(&o, NULL, &r));
        assert_int_equal(r.kind, cases[i].kind);
        assert_true(fabs(r.value - cases[i].value) < 1e-9 && r.gradient_norm == norm);
        tarn_tensor_free(from), tarn_tensor_free(found);
    }
}

/* x^3/3 + x, whose derivative x^2 + 1 is never 0, and least at 0. */
static tarn_tensor *cubic(tarn_tape *t, void *context)
{
    (void)context;
    tarn_tensor *x = tarn_params_at(f.p, 0);
    return tarn_add(t, tarn_mul_scalar(t, tarn_mul(t, x, tarn_square(t, x)), 1.0 / 3), x);
}

static void where_there_is_none_the_gradient_is_least(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_params_add(f.p, "x", 0, NULL);
    const tarn_objective o = {cubic, NULL, f.p, f.t};
    double norm;
    tarn_fill(x, 2);
    tarn_tensor *found = tarn_critical_search_new(&o, 0, &norm);
    assert_true(fabs(tarn_at(found, (int64_t[]){0})) < 1e-3 && fabs(norm - 1) < 1e-6);
    tarn_tensor_free(found);
    found = tarn_critical_search_new(&o, 1, &norm); /* one step is not the whole way */
    assert_true(norm > 1.01 && norm < 5);
    tarn_tensor_free(found);
}

static tarn_tensor *logarithm(tarn_tape *t, void *context)
{
    (void)context;
    return tarn_log(t, tarn_params_at(f.p, 0));
}

static void what_is_not_finite_is_an_error(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_params_add(f.p, "x", 0, NULL);
    double norm = 3;
    assert_true(tarn_fill(x, 0));
    assert_null(tarn_critical_search_new(&(tarn_objective){logarithm, NULL, f.p, f.t}, 0, &norm));
    expect_error("tarn_critical_search_new: the gradient is not finite");
    assert_true(isnan(norm) && tarn_item(x) == 0);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    assert_non_null(tarn_params_add(f.p, "x", TARN_SHAPE(2)));
    const tarn_objective o = {two_weights, NULL, f.p, f.t};
    tarn_tensor *from = tarn_tensor_from(TARN_F64, TARN_SHAPE(2), (double[]){0.4, -0.3}), *found[2];
    tarn_params_set_vector(f.p, from);
    for (int i = 0; i < 2; i++) {
        tarn_set_threads(i ? 3 : 1);
        found[i] = tarn_critical_search_new(&o, 3, NULL);
    }
    assert_memory_equal(found[0]->data, found[1]->data, 2 * sizeof(double));
    tarn_tensor_free(from), tarn_tensor_free(found[0]), tarn_tensor_free(found[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_quadratic_has_one),
        TEST(the_nearby_one_is_found),
        TEST(where_there_is_none_the_gradient_is_least),
        TEST(what_is_not_finite_is_an_error),
        TEST(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
