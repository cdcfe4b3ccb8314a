/* The Hessian times a vector, and Jacobians: on functions whose derivatives are known. */
#include "layers/layers.h"
#include "tests/tape_fixture.h"

/* loss = sum(x^3) + (a . x) s, with H = [diag(6x), a; a^T, 0] in (x, s). */
static tarn_tensor *cubic(tarn_tensor *x, tarn_tensor *a, tarn_tensor *s)
{
    return tarn_add(t, sum(tarn_mul(t, x, tarn_square(t, x))), tarn_mul(t, sum(tarn_mul(t, a, x)), s));
}

static void a_product_is_the_second_derivative(void **state)
{
    (void)state;
    for (int grad = 0; grad < 2; grad++) {
        tarn_tensor *x = VALUES(1, 2, -3), *a = VALUES(4, 5, 6), *s = VALUES(0.5), *v = VALUES(1, -1, 2),
                    *u = VALUES(3);
        tarn_tensor *loss = sum(cubic(x, a, s)), *hv[2] = {v, u}; /* the products in the vectors' place */
        tarn_tape_set_grad(t, grad);
        assert_true(tarn_hessian_vector(t, loss, 2, (tarn_tensor *[]){x, s}, hv, hv));
        assert_int_equal(tarn_tape_grad(t), grad);
        tarn_tape_set_grad(t, true);
        EXPECT_VALUES(hv[0], 6 + 12, -12 + 15, -36 + 18);
        EXPECT_VALUES(hv[1], 4 - 5 + 12);
        tarn_tensor *third; /* of <H v, 1> in x: 6 v */
        assert_int_equal(tarn_grad(t, 1, hv, NULL, 1, &x, &third), grad);
        if (grad)
            EXPECT_VALUES(third, 6, -6, 12);
        else
            expect_error("tarn_grad: input 0", "recorded with gradients off");
        tarn_tape_reset(t);
        tarn_tensor *all[] = {x, a, s, v, u};
        for (int i = 0; i < 5; i++)
            tarn_tensor_free(all[i]);
    }
}

/* v = x: the product is H v, and not the gradient of <gradient, x>, which has the gradient in it too. */
static void the_vector_is_a_constant(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, -3), *hv;
    tarn_tensor *loss = sum(tarn_mul(t, x, tarn_square(t, x))), *v = tarn_mul_scalar(t, x, 1);
    assert_true(tarn_hessian_vector(t, loss, 1, &x, &v, &hv));
    EXPECT_VALUES(hv, 6, 24, 54);
    assert_true(tarn_hessian_vector(t, loss, 1, &x, &x, &hv));
    EXPECT_VALUES(hv, 6, 24, 54);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void on_error_the_products_are_null(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *v = VALUES(1), *hv = x;
    assert_false(tarn_hessian_vector(t, sum(x), 1, &x, &v, &hv));
    expect_error("tarn_hessian_vector: vector 0 is f64[1], expected its input's f64[2]");
    assert_null(hv);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(v);
}

static void a_jacobian_has_a_row_for_each_output(void **state)
{
    (void)state;
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *x = VALUES(1, 2, 3), *y = VALUES(4, 5);
        tarn_tensor *wide = tarn_reshape(t, tarn_cast(t, y, (tarn_dtype)dtype), TARN_SHAPE(2, 1));
        tarn_tensor *z = tarn_mul(t, wide, tarn_square(t, tarn_cast(t, x, (tarn_dtype)dtype))); /* [2,3]: y_i x_j^2 */
        tarn_tensor *dx = tarn_jacobian_new(t, tarn_transpose(t, z, 0, 1), x), *dy = tarn_jacobian_new(t, z, y);
        assert_int_equal(tarn_dim(dx, 0), 6);
        EXPECT_VALUES(dx, 8, 0, 0, 10, 0, 0, 0, 16, 0, 0, 20, 0, 0, 0, 24, 0, 0, 30);
        EXPECT_VALUES(dy, 1, 0, 4, 0, 9, 0, 0, 1, 0, 4, 0, 9);
        tarn_tensor *none = tarn_jacobian_new(t, x, y), *self = tarn_jacobian_new(t, y, y);
        EXPECT_VALUES(none, 0, 0, 0, 0, 0, 0);
        EXPECT_VALUES(self, 1, 0, 0, 1);
        assert_true(tarn_tape_grad(t));
        tarn_tensor *all[] = {dx, dy, none, self, x, y};
        tarn_tape_reset(t);
        for (int i = 0; i < 6; i++)
            tarn_tensor_free(all[i]);
    }
}

/* The lecture's large network: in training the batch goes in as a whole, in evaluation each example by itself. */
static void batchnorm_couples_the_examples(void **state)
{
    (void)state;
    enum { BATCH = 4, WIDTH = 3 };
    tarn_rng rng = tarn_rng_seed(5);
    tarn_params *params = tarn_params_new(TARN_F64);
    tarn_batchnorm_layer norm;
    assert_true(tarn_batchnorm_init(&norm, params, "norm", WIDTH, NULL));
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(BATCH, WIDTH), &rng, -1, 1);
    for (int training = 0; training < 2; training++) {
        tarn_tape_set_training(t, training);
        tarn_tensor *j = tarn_jacobian_new(t, tarn_batchnorm_apply(t, &norm, x), x);
        const double *d = tarn_data(j);
        for (int out = 0; out < BATCH * WIDTH; out++) {
            double row = 0;
            for (int in = 0; in < BATCH * WIDTH; in++) {
                bool couples = out % WIDTH == in % WIDTH && (training || out == in);
                double slope = d[out * BATCH * WIDTH + in];
                assert_true(couples ? fabs(slope) > 1e-3 : slope == 0);
                row += slope;
            }
            assert_true(!training || fabs(row) < 1e-12); /* a shift of all examples changes nothing */
        }
        tarn_tape_reset(t);
        tarn_tensor_free(j);
    }
    tarn_tensor_free(x);
    tarn_params_free(params);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_product_is_the_second_derivative), TEST(the_vector_is_a_constant),
        TEST(on_error_the_products_are_null),     TEST(a_jacobian_has_a_row_for_each_output),
        TEST(batchnorm_couples_the_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
