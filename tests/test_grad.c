/* tarn_backward() and tarn_grad(): where gradients go. */
#include "tensor/params.h"
#include "tests/tape_fixture.h"

/* ---- tarn_backward ---- */

static void backward_adds_up(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2)), *v = tarn_params_add(p, "v", 0, NULL),
                *unused = tarn_params_add(p, "unused", TARN_SHAPE(3)),
                *buffer = tarn_params_add_buffer(p, "buffer", TARN_SHAPE(2));
    memcpy(tarn_mutable_data(w), (double[]){1, 2}, 2 * sizeof(double));
    assert_true(tarn_fill(v, 3) && tarn_fill(buffer, 10));
    tarn_tensor *loss = sum(tarn_add(t, tarn_mul(t, tarn_square(t, w), v), tarn_mul(t, w, buffer)));
    assert_true(tarn_backward(t, loss)); /* d/dw = 2wv + 10, d/dv = w.w */
    assert_true(tarn_item(loss) == 45);
    EXPECT_VALUES(tarn_param_grad(w), 16, 22);
    EXPECT_VALUES(tarn_param_grad(v), 5);
    assert_true(tarn_param_has_grad(w) && tarn_param_has_grad(v));
    assert_false(tarn_param_has_grad(unused));
    assert_null(tarn_param_grad(buffer));
    assert_true(tarn_backward(t, loss)); /* the same loss again */
    EXPECT_VALUES(tarn_param_grad(w), 32, 44);
    EXPECT_VALUES(tarn_param_grad(v), 10);
    tarn_tape_reset(t);
    assert_true(tarn_backward(t, sum(tarn_mul(t, w, w)))); /* another one, on a fresh tape */
    EXPECT_VALUES(tarn_param_grad(w), 34, 48);
    EXPECT_VALUES(tarn_param_grad(v), 10);
    assert_true(tarn_params_zero_grad(p));
    assert_false(tarn_param_has_grad(w));
    EXPECT_VALUES(tarn_param_grad(w), 0, 0);
    tarn_tape_reset(t);
    assert_true(tarn_backward(t, sum(w)));
    EXPECT_VALUES(tarn_param_grad(w), 1, 1);
    assert_false(tarn_param_has_grad(v));
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void backward_through_views_and_one_element_losses(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2, 2));
    memcpy(tarn_mutable_data(w), (double[]){1, 2, 3, 4}, 4 * sizeof(double));
    tarn_tensor *row = tarn_slice(t, tarn_transpose(t, w, 0, 1), 0, 1, 2, 1); /* [1,2]: 2 4 */
    tarn_tensor *loss = tarn_matmul(t, row, tarn_transpose(t, row, 0, 1));    /* [1,1] */
    assert_true(tarn_backward(t, loss));
    assert_true(tarn_item(loss) == 20);
    EXPECT_VALUES(tarn_param_grad(w), 0, 4, 0, 8);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void errors_leave_gradients_as_they_were(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2)), *v = tarn_params_add(p, "v", TARN_SHAPE(2));
    assert_true(tarn_fill(w, 2) && tarn_fill(v, 3));
    assert_true(tarn_backward(t, sum(tarn_square(t, w))));
    tarn_tensor *wrong = sum(tarn_mul(t, w, bomb(v))); /* fails when it runs */
    assert_false(tarn_backward(t, wrong));
    expect_error("tarn_index_select: index 1000");
    EXPECT_VALUES(tarn_param_grad(w), 4, 4);
    assert_true(tarn_param_has_grad(w));
    EXPECT_VALUES(tarn_param_grad(v), 0, 0);
    assert_false(tarn_param_has_grad(v));
    tarn_fail("pending");
    assert_false(tarn_backward(t, wrong));
    assert_false(tarn_params_zero_grad(p));
    expect_error("pending");
    EXPECT_VALUES(tarn_param_grad(w), 4, 4);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* ---- tarn_grad ---- */

static void grad_of_several_outputs_and_inputs(void **state)
{
    (void)state;
    tarn_tensor *a = VALUES(1, 2), *b = VALUES(3, 4), *unused = VALUES(5, 6, 7);
    tarn_tensor *middle = tarn_mul(t, a, b);
    tarn_tensor *outputs[] = {tarn_square(t, middle), tarn_add(t, a, middle)};
    tarn_tensor *cotangents[] = {tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){1, 10}),
                                 tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){100, 0})};
    tarn_tensor *inputs[] = {a, middle, unused, b, a}, *grads[5];
    size_t nodes = tarn_tape_nodes(t);
    assert_true(tarn_grad(t, 2, outputs, cotangents, 5, inputs, grads));
    assert_true(tarn_tape_nodes(t) > nodes); /* recorded */
    /* d middle = 2 m c0 + c1; da = b dm + c1; db = a dm */
    EXPECT_VALUES(grads[1], 2 * 3 + 100, 2 * 8 * 10);
    EXPECT_VALUES(grads[0], 3 * 106 + 100, 4 * 160);
    EXPECT_VALUES(grads[3], 106, 2 * 160);
    EXPECT_VALUES(grads[2], 0, 0, 0);
    EXPECT_VALUES(grads[4], 3 * 106 + 100, 4 * 160);
    tarn_tensor_free(a), tarn_tensor_free(b), tarn_tensor_free(unused);
}

static void grad_of_an_output_with_respect_to_itself(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *y = tarn_exp(t, x), *g;
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &y, &g));
    EXPECT_VALUES(g, 1, 1);
    assert_true(tarn_grad(t, 1, &x, NULL, 1, &x, &g)); /* a leaf */
    EXPECT_VALUES(g, 1, 1);
    tarn_tensor *both[] = {y, y};
    assert_true(tarn_grad(t, 2, both, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 2 * exp(1), 2 * exp(2));
    assert_true(tarn_grad(t, 1, &x, NULL, 1, &y, &g)); /* the wrong way round */
    EXPECT_VALUES(g, 0, 0);
    tarn_tensor_free(x);
}

static void grads_may_be_the_inputs_or_the_outputs(void **state)
{
    (void)state;
    tarn_tensor *a = VALUES(1, 2), *b = VALUES(3, 4), *y = tarn_mul(t, a, b), *z = tarn_neg(t, a);
    tarn_tensor *inputs[] = {a, b}, *outputs[] = {y, z};
    assert_true(tarn_grad(t, 2, outputs, NULL, 2, inputs, inputs));
    EXPECT_VALUES(inputs[0], 2, 3);
    EXPECT_VALUES(inputs[1], 1, 2);
    assert_true(tarn_grad(t, 2, outputs, NULL, 2, (tarn_tensor *[]){b, a}, outputs));
    EXPECT_VALUES(outputs[0], 1, 2);
    EXPECT_VALUES(outputs[1], 2, 3);
    tarn_tensor *x = a, *f = tarn_sin(t, a); /* sin, differentiated in place, four times over */
    for (int order = 1; order <= 4; order++)
        assert_true(tarn_grad(t, 1, &f, NULL, 1, &x, &f));
    EXPECT_VALUES(f, sin(1), sin(2));
    tarn_tensor_free(a), tarn_tensor_free(b);
}

static void grad_refuses(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *y = tarn_exp(t, x), *three = tarn_ones(t, TARN_F64, TARN_SHAPE(3)),
                *single = tarn_ones(t, TARN_F32, TARN_SHAPE(2)), *none = NULL, *g = x;
    tarn_tensor *whole = tarn_cast(t, x, TARN_I32);
#define REFUSED(message, ...)                                                                                          \
    do {                                                                                                               \
        g = x;                                                                                                         \
        assert_false(tarn_grad(__VA_ARGS__));                                                                          \
        assert_null(g);                                                                                                \
        expect_error("tarn_grad: " message);                                                                           \
    } while (0)
    REFUSED("tape is NULL", NULL, 1, &y, NULL, 1, &x, &g);
    REFUSED("outputs is NULL", t, 1, NULL, NULL, 1, &x, &g);
    REFUSED("inputs is NULL", t, 1, &y, NULL, 1, NULL, &g);
    REFUSED("0 outputs", t, 0, &y, NULL, 1, &x, &g);
    REFUSED("-1 outputs", t, -1, &y, NULL, 1, &x, &g);
    REFUSED("output 0 is NULL", t, 1, &none, NULL, 1, &x, &g);
    REFUSED("input 0 is NULL", t, 1, &y, NULL, 1, &none, &g);
    REFUSED("cotangent 0 is NULL", t, 1, &y, &none, 1, &x, &g);
    REFUSED("cotangent 0 is f64[3], expected its output's f64[2]", t, 1, &y, &three, 1, &x, &g);
    REFUSED("cotangent 0 is f32[2], expected its output's f64[2]", t, 1, &y, &single, 1, &x, &g);
    REFUSED("output 0 is i32", t, 1, &whole, NULL, 1, &x, &g);
    REFUSED("input 0 is i32", t, 1, &y, NULL, 1, &whole, &g);
    assert_false(tarn_grad(t, 1, &y, NULL, 1, &x, NULL));
    expect_error("tarn_grad: grads is NULL");
    assert_false(tarn_grad(t, 1, &y, NULL, 0, &x, &g));
    expect_error("tarn_grad: 1 outputs and 0 inputs");
    tarn_tensor_free(x);
}

static void no_gradient_flows_through_whole_numbers(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1.5, 2.5), *g;
    tarn_tensor *whole = tarn_cast(t, tarn_cast(t, x, TARN_I32), TARN_F64);
    tarn_tensor *above = tarn_cast(t, tarn_gt(t, x, tarn_scalar(t, TARN_F64, 2)), TARN_F64);
    tarn_tensor *y = tarn_mul(t, x, tarn_add(t, whole, above));
    EXPECT_VALUES(y, 1.5, 7.5);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 1, 3);
    tarn_tensor_free(x);
}

static void long_chains(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(0.25), *y = x, *g;
    for (int i = 0; i < 20000; i++) /* recursion over the nodes would overflow the stack here */
        y = tarn_add_scalar(t, y, 1);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(y, 20000.25);
    EXPECT_VALUES(g, 1);
    y = x;
    for (int i = 0; i < 60; i++) /* 2^60 paths */
        y = tarn_add(t, y, y);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 0x1p60);
    tarn_tensor_free(x);
}

/* The bytes that a call leaves on the tape, for one example more: forward, gradient, run. */
static size_t one_example_more(tarn_params *p, tarn_tensor *w, tarn_tensor *v, bool backward)
{
    size_t before = tarn_tape_bytes(t);
    tarn_tensor *x = tarn_scalar(t, TARN_F64, 3), *loss = sum(tarn_square(t, tarn_add(t, tarn_mul(t, w, x), v)));
    tarn_tensor *inputs[] = {w, v}, *grads[2];
    if (backward) {
        assert_true(tarn_backward(t, loss) && tarn_params_zero_grad(p));
    } else {
        assert_true(tarn_grad(t, 1, &loss, NULL, 2, inputs, grads));
        assert_true(tarn_item(grads[0]) == 6 * 13 && tarn_item(grads[1]) == 2 * 13);
    }
    return tarn_tape_bytes(t) - before;
}

/* Each example's own gradient: what a call leaves behind does not grow with what stands on the tape before it. */
static void a_call_keeps_what_it_records(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", 0, NULL), *v = tarn_params_add(p, "v", 0, NULL);
    assert_true(tarn_fill(w, 4) && tarn_fill(v, 1));
    for (int backward = 0; backward < 2; backward++) {
        size_t early = 0, late = 0;
        for (int i = 0; i < 4000; i++) {
            size_t bytes = one_example_more(p, w, v, backward);
            early = i < 100 && bytes > early ? bytes : early;
            late = i >= 3900 && bytes > late ? bytes : late;
        }
        assert_true(late <= early);
        tarn_tape_reset(t);
    }
    tarn_params_free(p);
}

/* A gradient through a long tape borrows memory, and gives all of it back: what stays is the records. */
static void a_gradient_gives_back_what_it_borrowed(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1), *y = x, *unread, *g;
    for (int i = 0; i < 5000; i++)
        y = tarn_neg(t, y);
    assert_true(tarn_run(y));
    size_t before = tarn_tape_bytes(t), nodes = tarn_tape_nodes(t);
    unread = tarn_exp(t, y);
    size_t record = tarn_tape_bytes(t) - before;
    for (int i = 0; i < 100; i++)
        assert_true(tarn_grad(t, 1, &unread, NULL, 1, &y, &g)); /* one op away */
    assert_true(tarn_tape_nodes(t) - nodes < 400);
    assert_true(tarn_tape_bytes(t) - before < 800 * record);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void fused_rules_work_while_gradients_are_off(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, 3, 4), *one = VALUES(2, 2), *zero = VALUES(0, 0), *batches = VALUES(1), *g;
    tarn_running_stats running = {zero, one, batches};
    tarn_tape_set_training(t, false);
    tarn_tensor *y =
        tarn_batchnorm(t, tarn_reshape(t, x, TARN_SHAPE(2, 2)), one, zero, &running, &(tarn_batchnorm_opts){.eps = 2});
    tarn_tensor *loss = sum(y);
    tarn_tape_set_grad(t, false);
    assert_true(tarn_grad(t, 1, &loss, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 1, 1, 1, 1); /* gamma / sqrt(var + eps) = 2 / 2 */
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(one), tarn_tensor_free(zero), tarn_tensor_free(batches);
}

static void a_leaf_that_changed_before_backward(void **state)
{
    (void)state;
    tarn_tensor *w = VALUES(1), *g;
    tarn_tensor *loss = sum(tarn_mul(t, tarn_exp(t, w), w));
    assert_true(tarn_item(loss) > 2.7);
    ((double *)tarn_mutable_data(w))[0] = 2;
    assert_false(tarn_grad(t, 1, &loss, NULL, 1, &w, &g));
    expect_error("tarn_mul: input 1 (a leaf [1]) changed between recording and running");
    tarn_tape_reset(t);
    tarn_tensor_free(w);
}

static void where_a_formula_would_lose_its_digits(void **state)
{
    (void)state;
    tarn_tensor *a = VALUES(0, 2), *b = VALUES(0, 3), *g;
    tarn_tensor *power = sum(tarn_pow(t, a, b));
    assert_true(tarn_grad(t, 1, &power, NULL, 1, &a, &g));
    EXPECT_VALUES(g, 0, 12);

    tarn_tensor *sure = tarn_scalar(t, TARN_F32, 17), *truth = tarn_scalar(t, TARN_F32, 1);
    double exact = log1p(exp(-17.0));
    assert_true(fabs(tarn_item(tarn_bce_with_logits(t, sure, truth)) - exact) < 1e-6 * exact);

    tarn_tensor *large = tarn_full(t, TARN_F32, TARN_SHAPE(2, 2, 1000), 1e36);
    const float *mean = tarn_data(tarn_mean(t, large, TARN_AXES(0, 2), false));
    assert_true(fabsf(mean[0] - 1e36f) < 1e30f && fabsf(mean[1] - 1e36f) < 1e30f);

    assert_null(
        tarn_max_pool2d(t, tarn_zeros(t, TARN_F32, TARN_SHAPE(1, 0, 2, 3)), 2, &(tarn_pool2d_opts){.padding = 1}));
    expect_error("tarn_max_pool2d: a window of 2 does not fit");
    tarn_tape_reset(t);
    tarn_tensor_free(a), tarn_tensor_free(b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(backward_adds_up),
        TEST(backward_through_views_and_one_element_losses),
        TEST(errors_leave_gradients_as_they_were),
        TEST(grad_of_several_outputs_and_inputs),
        TEST(grad_of_an_output_with_respect_to_itself),
        TEST(grads_may_be_the_inputs_or_the_outputs),
        TEST(grad_refuses),
        TEST(no_gradient_flows_through_whole_numbers),
        TEST(long_chains),
        TEST(a_call_keeps_what_it_records),
        TEST(a_gradient_gives_back_what_it_borrowed),
        TEST(fused_rules_work_while_gradients_are_off),
        TEST(a_leaf_that_changed_before_backward),
        TEST(where_a_formula_would_lose_its_digits),
    };
    return cmocka_run_group_tests_name("grad", tests, NULL, NULL);
}
