/* A NaN is not lost on the way back: the gradient of what is NaN is NaN, or the gradient that came, never a quiet 0. By
 * every op that holds gradients back, alone, in chains, and where BatchNorm does it. tests/test_isa.sh runs it by every
 * instruction set. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tests/tape_fixture.h"

#include <math.h>

/* What comes: no rule makes this number by itself. */
static const double CAME = 3.25;

static tarn_tensor *from(tarn_dtype dtype, int ndim, const int64_t *shape, const double *values)
{
    return tarn_contiguous(t, tarn_cast(t, tarn_constant(t, TARN_F64, ndim, shape, values), dtype));
}

static const double *values_of(tarn_tensor *x)
{
    const double *v = tarn_data(tarn_contiguous(t, tarn_cast(t, x, TARN_F64)));
    if (!v)
        fail_msg("%s", tarn_error());
    return v;
}

static tarn_tensor *gradient_of(tarn_tensor *y, tarn_tensor *x)
{
    tarn_tensor *g = NULL, *came = tarn_full(t, y->dtype, y->ndim, y->shape, CAME);
    if (!tarn_grad(t, 1, &y, &came, 1, &x, &g))
        fail_msg("%s", tarn_error());
    return g;
}

static bool passes(double g)
{
    return isnan(g) || g == CAME;
}

/* ---- one op ---- */

static tarn_tensor *other(tarn_tensor *x)
{
    return tarn_full(t, x->dtype, x->ndim, x->shape, 0.5);
}

#define OP(name, expression)                                                                                           \
    static tarn_tensor *name(tarn_tensor *x)                                                                           \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
OP(relu, tarn_relu(t, x))
OP(leaky_relu, tarn_leaky_relu(t, x, 0.25))
OP(leaky_relu_flat, tarn_leaky_relu(t, x, 0))
OP(leaky_relu_turned, tarn_leaky_relu(t, x, -0.5))
OP(elu, tarn_elu(t, x, 0.5))
OP(elu_flat, tarn_elu(t, x, 0))
OP(abs_op, tarn_abs(t, x))
OP(clamp, tarn_clamp(t, x, -1, 1))
OP(maximum, tarn_maximum(t, x, other(x)))
OP(maximum_second, tarn_maximum(t, other(x), x))
OP(maximum_itself, tarn_maximum(t, x, x))
OP(minimum, tarn_minimum(t, x, other(x)))
OP(minimum_second, tarn_minimum(t, other(x), x))
OP(max_all, tarn_max(t, x, TARN_ALL_AXES, false))
OP(max_rows, tarn_max(t, x, TARN_AXES(0), false))
OP(min_columns, tarn_min(t, x, TARN_AXES(1, 2, 3), true))
OP(max_nothing, tarn_max(t, x, TARN_AXES(3), true))
OP(max_pool, tarn_max_pool2d(t, x, 2, NULL))
OP(max_pool_overlapping, tarn_max_pool2d(t, x, 3, &(tarn_pool2d_opts){.stride = 1, .padding = 1}))
OP(global_max_pool, tarn_global_max_pool2d(t, x))
OP(softplus, tarn_softplus(t, x))
OP(gelu, tarn_gelu(t, x))
OP(silu, tarn_silu(t, x))
OP(relu_of_relu, tarn_relu(t, tarn_add_scalar(t, tarn_relu(t, x), 0.5)))
OP(max_of_clamp, tarn_max(t, tarn_clamp(t, x, -9, 9), TARN_ALL_AXES, false))

static const struct op {
    const char *name;
    tarn_tensor *(*f)(tarn_tensor *x);
} ops[] = {{"relu", relu},
           {"leaky_relu", leaky_relu},
           {"leaky_relu, slope 0", leaky_relu_flat},
           {"leaky_relu, slope below 0", leaky_relu_turned},
           {"elu", elu},
           {"elu, alpha 0", elu_flat},
           {"abs", abs_op},
           {"clamp", clamp},
           {"maximum", maximum},
           {"maximum, second", maximum_second},
           {"maximum with itself", maximum_itself},
           {"minimum", minimum},
           {"minimum, second", minimum_second},
           {"max of all", max_all},
           {"max of rows", max_rows},
           {"min of columns", min_columns},
           {"max of one each", max_nothing},
           {"max_pool2d", max_pool},
           {"max_pool2d, overlapping", max_pool_overlapping},
           {"global_max_pool2d", global_max_pool},
           {"softplus", softplus},
           {"gelu", gelu},
           {"silu", silu},
           {"relu of relu", relu_of_relu},
           {"max of clamp", max_of_clamp}};
enum { OPS = sizeof ops / sizeof *ops, H = 4, W = 6, C = 17, NUMEL = 2 * H * W * C };

static void the_gradient_at_nan_is_no_quiet_zero(void **state)
{
    (void)state;
    static const int64_t at[] = {0, 5, 16, C * W, NUMEL - 1};
    static double v[NUMEL];
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int k = 0; k < OPS; k++)
            for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
                for (int j = 0; j < NUMEL; j++)
                    v[j] = (double)(j * 7 % 11) - 5.25;
                v[at[i]] = (double)NAN;
                tarn_tensor *x = from(dtype, TARN_SHAPE(2, H, W, C), v);
                double g = values_of(gradient_of(ops[k].f(x), x))[at[i]];
                if (!isnan(g) && !(fabs(g / CAME - round(g / CAME)) < 1e-6 && g != 0))
                    fail_msg("%s, %s, element %d: the gradient at NaN is %g", ops[k].name, tarn_dtype_name(dtype),
                             (int)at[i], g);
                tarn_tape_reset(t);
            }
}

static void a_scalar_is_its_own_extreme(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_scalar(t, TARN_F64, (double)NAN);
    assert_true(passes(tarn_item(gradient_of(tarn_max(t, x, TARN_ALL_AXES, false), x))));
    assert_true(passes(tarn_item(gradient_of(tarn_min(t, x, TARN_ALL_AXES, true), x))));
}

/* Both inputs of what is NaN get the gradient, whichever of them is. */
static void a_nan_reaches_both(void **state)
{
    (void)state;
    tarn_tensor *a = from(TARN_F64, TARN_SHAPE(3), (double[]){(double)NAN, 1, (double)NAN});
    tarn_tensor *b = from(TARN_F64, TARN_SHAPE(3), (double[]){1, (double)NAN, (double)NAN});
    for (int k = 0; k < 2; k++) {
        tarn_tensor *y = k ? tarn_maximum(t, a, b) : tarn_minimum(t, a, b);
        const double *ga = values_of(gradient_of(y, a)), *gb = values_of(gradient_of(y, b));
        for (int i = 0; i < 3; i++)
            assert_true(passes(ga[i]) && passes(gb[i]));
    }
}

/* ---- several ops as one run: as one after the other; every NaN is like every other ---- */

static void expect_alike(const char *what, tarn_tensor *a, int64_t n, const double *expected)
{
    const double *v = values_of(a);
    for (int64_t i = 0; i < n; i++)
        if (!(memcmp(&v[i], &expected[i], sizeof v[i]) == 0 || (isnan(v[i]) && isnan(expected[i]))))
            fail_msg("%s: element %d is %.17g together, %.17g apart", what, (int)i, v[i], expected[i]);
}

static void chains_are_as_one_op_after_the_other(void **state)
{
    (void)state;
    enum { N = 5003 };
    static double v[N], apart[N];
    for (int i = 0; i < N; i++)
        v[i] = i % 3 == 0 ? (double)NAN : (double)(i * 7 % 11) - 5.25;
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int k = 0; k < OPS && ops[k].f != max_all; k++) {
            for (int together = 0; together < 2; together++) {
                tarn_tape_set_fusion(t, together);
                tarn_tensor *x = from(dtype, TARN_SHAPE(N), v);
                tarn_tensor *y = ops[k].f(tarn_mul_scalar(t, ops[k].f(tarn_neg(t, x)), 1.5));
                tarn_tensor *g = gradient_of(tarn_exp(t, y), x);
                if (together)
                    expect_alike(ops[k].name, g, N, apart);
                else
                    memcpy(apart, values_of(g), sizeof apart);
                for (int i = 0; i < N && together; i += 3)
                    if (!isnan(values_of(g)[i]))
                        fail_msg("%s: the gradient at NaN is %g", ops[k].name, values_of(g)[i]);
                tarn_tape_reset(t);
            }
        }
}

/* ---- BatchNorm ---- */

typedef struct block {
    tarn_params *p;
    tarn_tensor *x, *r, *gamma, *beta;
} block;

static tarn_tensor *normal(const block *b, tarn_tensor *x)
{
    return tarn_batchnorm(t, x, b->gamma, b->beta, NULL, NULL);
}

static tarn_tensor *plain(const block *b)
{
    return tarn_relu(t, normal(b, tarn_mul_scalar(t, b->x, 2)));
}

static tarn_tensor *residual(const block *b)
{
    return tarn_relu(t, tarn_add(t, normal(b, tarn_mul_scalar(t, b->x, 2)), b->r));
}

static tarn_tensor *pooled(const block *b)
{
    return tarn_max_pool2d(t, plain(b), 2, NULL);
}

static tarn_tensor *pooled_residual(const block *b)
{
    return tarn_max_pool2d(t, residual(b), 2, NULL);
}

static const struct form {
    const char *name;
    tarn_tensor *(*f)(const block *b);
} forms[] = {{"relu(BN)", plain},
             {"relu(BN + r)", residual},
             {"max_pool2d(relu(BN))", pooled},
             {"max_pool2d(relu(BN + r))", pooled_residual}};
enum { FORMS = sizeof forms / sizeof *forms, LEAVES = 4 };

static tarn_tensor *leaf(block *b, const char *name, int ndim, const int64_t *shape, int seed)
{
    tarn_tensor *x = tarn_params_add(b->p, name, ndim, shape);
    for (int64_t i = 0; i < tarn_numel(x); i++)
        tarn__store(x, i, (double)((i * 7 + seed) % 11) / 4 - 1.25);
    return x;
}

/* A NaN in x makes all of its channel NaN, and so does one in beta; one in r makes one element so. */
static void check_form(tarn_dtype dtype, int64_t channels, const struct form *form, int where)
{
    static double apart[LEAVES][2 * H * W * 64];
    const int64_t shape[] = {2, H, W, channels};
    block b = {.p = tarn_params_new(dtype)};
    b.x = leaf(&b, "x", 4, shape, 0), b.r = leaf(&b, "r", 4, shape, 5);
    b.gamma = leaf(&b, "gamma", 1, &channels, 2), b.beta = leaf(&b, "beta", 1, &channels, 3);
    tarn_tensor *leaves[LEAVES] = {b.x, b.beta, b.gamma, b.r}, *nan = where == 2 ? b.r : leaves[where];
    tarn__store(nan, channels - 1, (double)NAN);
    for (int together = 0; together < 2; together++) {
        tarn_tape_set_fusion(t, together);
        t->keep_below = 0;
        tarn_tensor *y = form->f(&b);
        if (!tarn_backward(t, sum(tarn_mul_scalar(t, y, CAME))))
            fail_msg("%s: %s", form->name, tarn_error());
        for (int i = 0; i < LEAVES; i++) {
            tarn_tensor *g = tarn_param_grad(leaves[i]);
            if (together)
                expect_alike(form->name, g, tarn_numel(g), apart[i]);
            else
                memcpy(apart[i], values_of(g), (size_t)tarn_numel(g) * sizeof(double));
        }
        double g = values_of(tarn_param_grad(where == 2 ? b.r : b.beta))[channels - 1];
        bool read = where != 2 || form->f == residual || form->f == pooled_residual;
        if (read && g == 0)
            fail_msg("%s, %d %s channels, way %d: the gradient at NaN is %g", form->name, (int)channels,
                     tarn_dtype_name(dtype), where, g);
        tarn_params_zero_grad(b.p);
        tarn_tape_reset(t);
    }
    tarn_params_free(b.p);
}

static void relu_behind_batchnorm_does_not_lose_it(void **state)
{
    (void)state;
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int64_t channels = 1; channels <= 64; channels = channels == 1 ? 3 : channels == 3 ? 17 : channels + 47)
            for (int k = 0; k < FORMS; k++)
                for (int where = 0; where < 3; where++)
                    check_form(dtype, channels, &forms[k], where);
}

/* ---- and so whoever looks at the gradients sees it ---- */

static void clipping_sees_it(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2));
    tarn__store(w, 0, (double)NAN);
    tarn__store(w, 1, 1);
    assert_true(tarn_backward(t, sum(tarn_square(t, tarn_relu(t, w)))));
    assert_true(isnan(tarn_params_grad_norm(p)));
    tarn_params_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_gradient_at_nan_is_no_quiet_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scalar_is_its_own_extreme, setup, teardown),
        cmocka_unit_test_setup_teardown(a_nan_reaches_both, setup, teardown),
        cmocka_unit_test_setup_teardown(chains_are_as_one_op_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(relu_behind_batchnorm_does_not_lose_it, setup, teardown),
        cmocka_unit_test_setup_teardown(clipping_sees_it, setup, teardown),
    };
    return cmocka_run_group_tests_name("nan", tests, NULL, NULL);
}
