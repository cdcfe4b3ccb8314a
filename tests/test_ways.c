/* What stands between a result and what it is differentiated by: recording with gradients off, whole numbers, constants of
 * the library's own, or nothing at all. */
#include "tensor/params.h"
#include "tensor/tensor_impl.h"
#include "tests/tape_fixture.h"

static const char off[] = "recorded with gradients off (tarn_tape_set_grad)";

static void gradients_off(bool are_off)
{
    tarn_tape_set_grad(t, !are_off);
}

static void expect_cut(tarn_tensor *y, tarn_tensor *x, const char *first, const char *op)
{
    tarn_tensor *g = x;
    assert_false(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    assert_null(g);
    expect_error(first, op, off);
}

/* ---- tarn_grad ---- */

static void the_only_way_was_cut(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *w = VALUES(3, 4);
    gradients_off(true);
    tarn_tensor *y = tarn_mul(t, tarn_exp(t, x), w), *all_off = sum(y);
    gradients_off(false);
    tarn_tensor *behind = sum(tarn_square(t, y));
    expect_cut(all_off, x, "tarn_grad: input 0 (f64[2])", "tarn_sum");
    expect_cut(behind, x, "tarn_grad: input 0 (f64[2])", "tarn_mul");
    expect_cut(behind, w, "tarn_grad: input 0 (f64[2])", "tarn_mul");
    tarn_tensor *inputs[] = {y, w}, *grads[2] = {x, x};
    assert_false(tarn_grad(t, 1, &behind, NULL, 2, inputs, grads));
    assert_true(!grads[0] && !grads[1]);
    expect_error("tarn_grad: input 1 (f64[2])", "tarn_mul", off);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(w);
}

static void a_cut_way_beside_another_is_a_constant(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *g;
    gradients_off(true);
    tarn_tensor *target = tarn_square(t, x);
    gradients_off(false);
    tarn_tensor *y = tarn_mul(t, target, x), *stepped = tarn_mul(t, target, tarn_sign(t, x));
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 1, 4);
    assert_true(tarn_grad(t, 1, &stepped, NULL, 1, &x, &g)); /* there is a way, and its derivative is 0 */
    EXPECT_VALUES(g, 0, 0);
    tarn_tensor *outputs[] = {target, y}; /* the way of another output is enough */
    assert_true(tarn_grad(t, 2, outputs, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 1, 4);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void no_way_at_all_is_zero(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *other = VALUES(5, 6, 7), *g;
    gradients_off(true);
    tarn_tensor *cut = tarn_square(t, x), *later;
    tarn_tensor *y = tarn_exp(t, cut);
    gradients_off(false);
    later = tarn_exp(t, y);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &other, &g));
    EXPECT_VALUES(g, 0, 0, 0);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &later, &g)); /* computed from the output, not the other way round */
    EXPECT_VALUES(g, 0, 0);
    assert_true(tarn_grad(t, 1, &cut, NULL, 1, &cut, &g)); /* a constant by itself */
    EXPECT_VALUES(g, 1, 1);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(other);
}

static void a_gradient_recorded_with_gradients_off(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(3), *w = VALUES(2), *g, *v;
    tarn_tensor *y = tarn_mul(t, w, tarn_square(t, x)), *again = tarn_mul(t, w, x);
    gradients_off(true);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g)); /* what was recorded before has its gradient */
    EXPECT_VALUES(g, 12);
    gradients_off(false);
    expect_cut(g, w, "tarn_grad: input 0 (f64[1])", "tarn_");
    assert_true(tarn_grad(t, 1, &again, NULL, 1, &x, &g)); /* w itself: no op at all */
    assert_true(tarn_grad(t, 1, &g, NULL, 1, &w, &v));
    EXPECT_VALUES(v, 1);
    gradients_off(true);
    tarn_tensor *loss = sum(tarn_square(t, x)), *products;
    assert_false(tarn_hessian_vector(t, loss, 1, &x, &w, &products));
    assert_null(products);
    expect_error("tarn_grad: input 0", "tarn_sum", off);
    assert_null(tarn_jacobian_new(t, loss, x));
    expect_error("tarn_grad: input 0", "tarn_sum", off);
    gradients_off(false);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(w);
}

static tarn_tensor *squared(tarn_tape *tape, void *context, tarn_tensor *x)
{
    if (context)
        tarn_tape_set_grad(tape, false);
    tarn_tensor *y = tarn_square(tape, tarn_mul_scalar(tape, x, 3));
    tarn_tape_set_grad(tape, true);
    return y;
}

static void a_cut_inside_a_checkpoint(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *g;
    tarn_tensor *y = sum(tarn_checkpoint(t, squared, &x, x)), *whole = sum(tarn_checkpoint(t, squared, NULL, x));
    expect_cut(y, x, "tarn_grad: input 0 (f64[2])", "tarn_square");
    assert_true(tarn_grad(t, 1, &whole, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 18, 36);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* ---- the library's own constants are no cuts of the program's ---- */

static void state_of_the_library_is_a_constant(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, 4, 7), *one = VALUES(1), *zero = VALUES(0), *mean = VALUES(0), *std = VALUES(1),
                *batches = VALUES(0), *g, *h;
    const tarn_renorm_stats running = {mean, std, batches};
    tarn_tensor *columns = tarn_reshape(t, x, TARN_SHAPE(4, 1));
    tarn_tensor *y = tarn_batch_renorm(t, columns, one, zero, &running, &(tarn_batch_renorm_opts){.unscheduled = true});
    tarn_tensor *loss = sum(y);
    assert_true(tarn_grad(t, 1, &loss, NULL, 1, &x, &g));
    assert_true(tarn_grad(t, 1, &g, NULL, 1, &x, &h));
    assert_true(tarn_run(h));

    tarn_tensor *w = tarn_reshape(t, x, TARN_SHAPE(2, 2)), *u = VALUES(1, 0), *v = VALUES(1, 0);
    tarn_tensor *of_u = sum(tarn_spectralnorm(t, w, u, v, 1));
    assert_true(tarn_grad(t, 1, &of_u, NULL, 1, &u, &g)); /* the u that there was has no way to what came out */
    EXPECT_VALUES(g, 0, 0);
    assert_true(tarn_grad(t, 1, &of_u, NULL, 1, &x, &g) && tarn_run(g));
    tarn_tape_reset(t);
    tarn_tensor *all[] = {x, one, zero, mean, std, batches, u, v};
    for (int i = 0; i < 8; i++)
        tarn_tensor_free(all[i]);
}

/* ---- whole numbers ---- */

static void whole_numbers_end_the_way(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 5, 2), *g;
    tarn_tensor *hot = tarn_one_hot(t, tarn_argmax(t, x, 0), 3, TARN_F64);
    tarn_tensor *cast = tarn_cast(t, tarn_cast(t, x, TARN_I32), TARN_F64);
    tarn_tensor *chosen = tarn_index_select(t, x, 0, tarn_reshape(t, tarn_argmax(t, x, 0), TARN_SHAPE(1)));
    tarn_tensor *larger = tarn_where(t, tarn_gt(t, x, tarn_full(t, TARN_F64, TARN_SHAPE(3), 1.5)), x, cast);
    const struct {
        tarn_tensor *y;
        double g[3];
    } cases[] = {
        {tarn_mul(t, x, hot), {0, 1, 0}},
        {hot, {0, 0, 0}},
        {cast, {0, 0, 0}},
        {tarn_mul(t, x, cast), {1, 5, 2}},
        {tarn_mul(t, x, tarn_cast(t, tarn_eq(t, x, cast), TARN_F64)), {1, 1, 1}},
        {chosen, {0, 1, 0}},
        {larger, {0, 1, 1}},
        {tarn_accuracy(t, tarn_reshape(t, x, TARN_SHAPE(1, 3)), tarn_full(t, TARN_I32, TARN_SHAPE(1), 1)), {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tarn_tensor *y = sum(cases[i].y), *gg;
        assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
        expect_values(g, 3, cases[i].g);
        assert_true(tarn_grad(t, 1, &g, NULL, 1, &x, &gg)); /* and again */
        EXPECT_VALUES(gg, 0, 0, 0);
    }
    gradients_off(true); /* a constant in any case: gradients off have not made it one */
    tarn_tensor *off_hot = tarn_one_hot(t, tarn_argmax(t, x, 0), 3, TARN_F64);
    gradients_off(false);
    assert_true(tarn_grad(t, 1, &off_hot, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 0, 0, 0);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* ---- tarn_backward ---- */

static void a_loss_that_reaches_no_parameter(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2)), *b = tarn_params_add_buffer(p, "b", TARN_SHAPE(2)),
                *x = VALUES(1, 2);
    static const char none[] = "tarn_backward: the loss depends on no parameter";
    assert_false(tarn_backward(t, sum(x)));
    expect_error(none);
    assert_false(tarn_backward(t, sum(tarn_mul(t, x, b)))); /* a buffer is none */
    expect_error(none);
    assert_false(tarn_backward(t, sum(tarn_cast(t, tarn_gt(t, w, x), TARN_F64))));
    expect_error(none, "whole numbers");
    gradients_off(true);
    tarn_tensor *features = tarn_exp(t, w);
    gradients_off(false);
    assert_false(tarn_backward(t, sum(tarn_square(t, features))));
    expect_error("tarn_backward: parameter w (f64[2])", "tarn_exp", off);
    assert_false(tarn_param_has_grad(w));
    assert_false(features->ready); /* nothing is computed in vain */

    /* the part that is not trained is a constant beside one that is */
    tarn_tensor *head = tarn_params_add(p, "head", TARN_SHAPE(2));
    assert_true(tarn_backward(t, sum(tarn_mul(t, head, features))));
    EXPECT_VALUES(tarn_param_grad(head), 1, 1);
    assert_false(tarn_param_has_grad(w));
    tarn_tape_reset(t);
    tarn_params_free(p);
    tarn_tensor_free(x);
}

static void a_loss_that_no_op_computed(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(1)), *b = tarn_params_add_buffer(p, "count", 0, NULL),
                *own = VALUES(1), *elsewhere;
    tarn_tape *u = tarn_tape_new();
    assert_false(tarn_backward(t, w));
    expect_error("tarn_backward: the loss is the parameter w", "expected the result of an op on this tape");
    assert_false(tarn_backward(t, b));
    expect_error("tarn_backward: the loss is the buffer count", "expected the result of an op on this tape");
    assert_false(tarn_backward(t, tarn_param_grad(w)));
    expect_error("tarn_backward: the loss is a parameter's gradient", "expected the result of an op on this tape");
    assert_false(tarn_backward(t, own));
    expect_error("tarn_backward: the loss is a tensor of the caller's own",
                 "expected the result of an op on this tape");
    assert_false(tarn_backward(t, tarn_scalar(t, TARN_F64, 1)));
    expect_error("tarn_backward: the loss is a constant", "expected the result of an op on this tape");
    elsewhere = tarn_square(u, own);
    assert_false(tarn_backward(t, elsewhere));
    expect_error("tarn_backward: loss lives on another tape");
    assert_false(tarn_backward(t, tarn_scalar(u, TARN_F64, 1)));
    expect_error("tarn_backward: loss lives on another tape");
    tarn_tape_free(u);
    tarn_params_free(p);
    tarn_tensor_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_only_way_was_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_way_beside_another_is_a_constant, setup, teardown),
        cmocka_unit_test_setup_teardown(no_way_at_all_is_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gradient_recorded_with_gradients_off, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_inside_a_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(state_of_the_library_is_a_constant, setup, teardown),
        cmocka_unit_test_setup_teardown(whole_numbers_end_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loss_that_reaches_no_parameter, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loss_that_no_op_computed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
