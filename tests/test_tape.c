/* The tape: recording apart from running, errors, modes, reset, threads. */
#include "tensor/params.h"
#include "tensor/threads.h"
#include "tests/tape_fixture.h"

#include <pthread.h>

/* ---- recording and running ---- */

static void nothing_runs_before_it_is_read(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, 3), *doubled = tarn_mul_scalar(t, x, 2), *explodes = bomb(doubled);
    expect_no_error();
    assert_non_null(explodes);
    size_t nodes = tarn_tape_nodes(t);
    assert_int_equal(nodes, 2);
    EXPECT_VALUES(tarn_square(t, doubled), 4, 16, 36); /* does not need the other one */
    assert_int_equal(tarn_tape_nodes(t), nodes + 1);
    assert_null(tarn_data(explodes));
    expect_error("tarn_index_select: index 1000 is out of range");
    assert_false(tarn_run(explodes)); /* it stays as it was */
    expect_error("tarn_index_select: index 1000 is out of range");
    assert_true(isnan(tarn_item(tarn_add_scalar(t, explodes, 1)))); /* and so does what needs it */
    expect_error("tarn_index_select: index 1000 is out of range");
    EXPECT_VALUES(tarn_neg(t, doubled), -2, -4, -6);
    tarn_tensor_free(x);
}

/* Running statistics move when BatchNorm runs: once, however often its result is read. */
static void each_node_runs_once(void **state)
{
    (void)state;
    double mean = 0, var = 1, batches = 0;
    tarn_running_stats running = {tarn_tensor_wrap(TARN_F64, TARN_SHAPE(1), &mean),
                                  tarn_tensor_wrap(TARN_F64, TARN_SHAPE(1), &var),
                                  tarn_tensor_wrap(TARN_F64, 0, NULL, &batches)};
    tarn_tensor *x = tarn_constant(t, TARN_F64, TARN_SHAPE(4, 1), (double[]){1, 2, 3, 6});
    tarn_tensor *one = tarn_ones(t, TARN_F64, TARN_SHAPE(1));
    tarn_tensor *y = tarn_batchnorm(t, x, one, one, &running, NULL);
    tarn_tensor *z = tarn_add(t, y, tarn_square(t, y));
    assert_true(batches == 0);
    assert_true(tarn_run(z) && tarn_run(z) && tarn_run(y) && tarn_data(y));
    assert_true(batches == 1);
    assert_true(fabs(mean - 0.3) < 1e-15);
    tarn_tape_reset(t);
    tarn_tensor_free(running.mean), tarn_tensor_free(running.var), tarn_tensor_free(running.batches);
}

/* What is read first does not decide what runs first. */
static void nodes_run_in_the_order_of_recording(void **state)
{
    (void)state;
    double mean = 0, var = 1, batches = 0;
    tarn_running_stats running = {tarn_tensor_wrap(TARN_F64, TARN_SHAPE(1), &mean),
                                  tarn_tensor_wrap(TARN_F64, TARN_SHAPE(1), &var),
                                  tarn_tensor_wrap(TARN_F64, 0, NULL, &batches)};
    tarn_tensor *one = tarn_ones(t, TARN_F64, TARN_SHAPE(1));
    tarn_tensor *low = tarn_constant(t, TARN_F64, TARN_SHAPE(2, 1), (double[]){0, 2}),
                *high = tarn_constant(t, TARN_F64, TARN_SHAPE(2, 1), (double[]){10, 12});
    tarn_tensor *first = tarn_batchnorm(t, low, one, one, &running, NULL),
                *second = tarn_batchnorm(t, high, one, one, &running, NULL);
    assert_true(tarn_run(tarn_add(t, second, first)));
    assert_true(batches == 2);
    assert_true(fabs(mean - (0.9 * 0.1 * 1 + 0.1 * 11)) < 1e-14);
    tarn_tape_reset(t);
    tarn_tensor_free(running.mean), tarn_tensor_free(running.var), tarn_tensor_free(running.batches);
}

static void eager_runs_at_once(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, 3);
    tarn_tensor *late = tarn_exp(t, x);
    assert_false(tarn_tape_eager(t));
    tarn_tape_set_eager(t, true);
    assert_true(tarn_tape_eager(t));
    tarn_tensor *y = tarn_square(t, x), *g;
    ((double *)tarn_mutable_data(x))[0] = 50; /* y has run already */
    EXPECT_VALUES(y, 1, 4, 9);
    assert_null(bomb(x));
    expect_error("tarn_index_select: index 1000");
    assert_false(tarn_run(late)); /* was recorded before eager, and is still pending */
    expect_error("tarn_exp: input 0 (a leaf [3]) changed");
    y = sum(tarn_square(t, x));
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 100, 4, 6);
    tarn_tape_set_eager(t, false);
    assert_non_null(bomb(x));
    expect_no_error();
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* ---- errors ---- */

static int hook_calls;
static char hook_text[200];

static void hook(const char *message, void *context)
{
    hook_calls++;
    assert_ptr_equal(context, &hook_calls);
    snprintf(hook_text, sizeof hook_text, "%s", message);
}

static void the_first_error_sticks(void **state)
{
    (void)state;
    tarn_set_error_hook(hook, &hook_calls);
    hook_calls = 0;
    tarn_tensor *a = VALUES(1, 2), *b = VALUES(1, 2, 3), *fine = tarn_exp(t, a);
    size_t nodes = tarn_tape_nodes(t), bytes = tarn_tape_bytes(t);
    tarn_tensor *bad = tarn_matmul(t, tarn_relu(t, tarn_add(t, a, b)), b);
    assert_null(bad);
    assert_int_equal(hook_calls, 1);
    assert_string_equal(hook_text, "tarn_add: [2] and [3] do not broadcast");
    assert_false(tarn_backward(t, bad));
    assert_false(tarn_run(fine));
    assert_null(tarn_data(fine));
    assert_null(tarn_mutable_data(a));
    assert_null(tarn_tape_new());
    assert_false(tarn_fail("second"));
    assert_int_equal(hook_calls, 1);
    assert_int_equal(tarn_tape_nodes(t), nodes);
    assert_int_equal(tarn_tape_bytes(t), bytes);
    tarn_tape_set_training(t, false); /* changes something, so it does nothing */
    assert_true(tarn_tape_training(t));
    assert_string_equal(tarn_error(), "tarn_add: [2] and [3] do not broadcast");
    tarn_error_clear();
    tarn_set_error_hook(NULL, NULL);
    assert_false(tarn_fail("third"));
    assert_int_equal(hook_calls, 1);
    expect_error("third");
    EXPECT_VALUES(fine, exp(1), exp(2));
    tarn_tensor_free(a), tarn_tensor_free(b);
}

static void reset_and_free_work_while_an_error_is_pending(void **state)
{
    (void)state;
    tarn_tensor *a = VALUES(1, 2);
    assert_non_null(tarn_exp(t, a));
    tarn_fail("pending");
    tarn_tape_reset(t);
    assert_int_equal(tarn_tape_nodes(t), 0);
    tarn_tensor_free(a);
    assert_string_equal(tarn_error(), "pending");
    tarn_error_clear();
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_false(tarn_fail("%s", text));
    assert_int_equal(strlen(tarn_error()), 1023);
    tarn_error_clear();
    assert_false(tarn_fail("%d%%", 5));
    assert_string_equal(tarn_error(), "5%");
    tarn_error_clear();
    assert_null(tarn_error());
}

static void *other_thread(void *context)
{
    *(bool *)context = tarn_error() == NULL;
    tarn_fail("of the other thread");
    return NULL;
}

static void errors_belong_to_their_thread(void **state)
{
    (void)state;
    pthread_t thread;
    bool clean = false;
    tarn_fail("of this one");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &clean), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(clean);
    expect_error("of this one");
}

static void tensors_of_another_tape(void **state)
{
    (void)state;
    tarn_tape *other = tarn_tape_new();
    tarn_tensor *x = tarn_ones(other, TARN_F64, TARN_SHAPE(2)), *y = tarn_exp(other, x), *g;
    tarn_tensor *own = tarn_exp(t, tarn_ones(t, TARN_F64, TARN_SHAPE(2)));
    assert_null(tarn_neg(t, x));
    expect_error("tarn_neg: input 0 lives on another tape");
    assert_null(tarn_add(t, own, y));
    expect_error("tarn_add: input 1 lives on another tape");
    assert_false(tarn_grad(t, 1, &own, NULL, 1, &x, &g));
    assert_null(g);
    expect_error("tarn_grad: input 0 lives on another tape");
    assert_false(tarn_grad(t, 1, &y, NULL, 1, &own, &g));
    expect_error("tarn_grad: output 0 lives on another tape");
    assert_false(tarn_backward(t, tarn_sum(other, y, TARN_ALL_AXES, false)));
    expect_error("tarn_backward: loss lives on another tape");
    tarn_tape_free(other);
}

static void bad_losses(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2)), *s = tarn_params_add(p, "s", 0, NULL);
    assert_false(tarn_backward(t, tarn_exp(t, w)));
    expect_error("tarn_backward: the loss is f64[2], expected one");
    assert_false(tarn_backward(t, tarn_cast(t, s, TARN_I32)));
    expect_error("tarn_backward: the loss is i32[]");
    assert_false(tarn_backward(t, NULL));
    expect_error("tarn_backward: loss is NULL");
    assert_false(tarn_backward(NULL, s));
    expect_error("tarn_backward: tape is NULL");
    assert_false(tarn_param_has_grad(w) || tarn_param_has_grad(s));
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* ---- leaves that change ---- */

static void a_leaf_that_changed(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "layer.w", TARN_SHAPE(2)), *before = tarn_exp(t, w);
    assert_true(tarn_fill(w, 1));
    assert_null(tarn_data(before));
    expect_error("tarn_exp: input 0 (layer.w [2]) changed between recording and running");
    EXPECT_VALUES(tarn_exp(t, w), exp(1), exp(1)); /* recorded after it */
    tarn_tensor *ran = tarn_neg(t, w);
    assert_true(tarn_run(ran));
    assert_true(tarn_fill(w, 2));
    EXPECT_VALUES(ran, -1, -1); /* ran before it */
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void a_leaf_that_changed_behind_views(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2, 3));
    tarn_tensor *view = tarn_slice(t, tarn_reshape(t, tarn_transpose(t, w, 0, 1), TARN_SHAPE(3, 2, 1)), 0, 1, 3, 1);
    tarn_tensor *late = tarn_exp(t, view);
    assert_true(tarn_run(view)); /* a view that has run still shows the leaf */
    assert_true(tarn_fill(w, 1));
    assert_false(tarn_run(late));
    expect_error("tarn_exp: input 0 (w [2,3]) changed");
    assert_true(tarn_at(view, (int64_t[]){1, 1, 0}) == 1);
    EXPECT_VALUES(tarn_neg(t, view), -1, -1, -1, -1);
    tarn_tensor *pending = tarn_slice(t, w, 0, 0, 1, 1); /* and one that has not cannot run any more */
    assert_true(tarn_fill(w, 2));
    assert_false(tarn_run(pending));
    expect_error("tarn_slice: input 0 (w [2,3]) changed");
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* A packed copy of a view must not outlive what it is a copy of. */
static void data_of_a_view_follows_its_leaf(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2, 2)), *view = tarn_transpose(t, w, 0, 1);
    EXPECT_VALUES(view, 0, 0, 0, 0);
    memcpy(tarn_mutable_data(w), (double[]){1, 2, 3, 4}, 4 * sizeof(double));
    assert_true(tarn_at(view, (int64_t[]){0, 1}) == 3);
    EXPECT_VALUES(view, 1, 3, 2, 4);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void backward_of_a_parameter_that_changed(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2)), *v = tarn_params_add(p, "v", TARN_SHAPE(2));
    tarn_tensor *loss = sum(tarn_mul(t, w, v));
    assert_true(tarn_fill(w, 1));
    assert_false(tarn_backward(t, loss));
    expect_error("tarn_", "(w [2]) changed");
    assert_false(tarn_param_has_grad(w) || tarn_param_has_grad(v));
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* ---- modes ---- */

static void results_without_grad_are_constants(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, 3), *g;
    assert_true(tarn_tape_grad(t));
    tarn_tensor *with = tarn_square(t, x);
    tarn_tape_set_grad(t, false);
    assert_false(tarn_tape_grad(t));
    tarn_tensor *without = tarn_exp(t, x), *through = tarn_neg(t, with);
    tarn_tape_set_grad(t, true);
    tarn_tensor *y = sum(tarn_add(t, tarn_mul(t, with, without), through));
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 2 * exp(1), 4 * exp(2), 6 * exp(3)); /* d/dx of x^2 c: the others are constants */
    assert_false(tarn_grad(t, 1, &without, NULL, 1, &x, &g));
    expect_error("tarn_grad: input 0 (f64[3]) is reached only through tarn_exp, recorded with gradients off");
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &without, &g)); /* a constant is a fine input */
    EXPECT_VALUES(g, 1, 4, 9);
    tarn_tensor_free(x);
}

static void gradients_recorded_without_grad(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(3), *y = sum(tarn_mul(t, x, tarn_square(t, x))), *g, *gg;
    tarn_tape_set_grad(t, false);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, 27);
    tarn_tape_set_grad(t, true);
    assert_false(tarn_grad(t, 1, &g, NULL, 1, &x, &gg));
    expect_error("tarn_grad: input 0 (f64[1]) is reached only through tarn_", "recorded with gradients off");
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    assert_true(tarn_grad(t, 1, &g, NULL, 1, &x, &gg));
    EXPECT_VALUES(gg, 18);
    tarn_tensor_free(x);
}

static void training_is_what_it_is_when_recorded(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(1);
    tarn_tensor *x = tarn_ones(t, TARN_F64, TARN_SHAPE(1000));
    assert_true(tarn_tape_training(t));
    tarn_tensor *dropped = tarn_dropout(t, x, 0.5, &rng);
    tarn_tape_set_training(t, false);
    assert_false(tarn_tape_training(t));
    uint64_t counter = rng.counter;
    assert_ptr_equal(tarn_dropout(t, x, 0.5, &rng), x);
    assert_int_equal(rng.counter, counter);
    double kept = tarn_item(sum(dropped)) / 2; /* the mode has changed since: the op has not */
    assert_true(kept > 400 && kept < 600);
    tarn_tape_set_training(t, true);
    assert_ptr_equal(tarn_dropout(t, x, 0, &rng), x);
}

/* ---- reset ---- */

static void reset_lets_go(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2);
    tarn_tape_set_training(t, false);
    tarn_tape_set_grad(t, false);
    tarn_tape_set_eager(t, true);
    for (int round = 0; round < 3; round++) {
        tarn_tensor *y = x;
        for (int i = 0; i < 600; i++) /* more nodes than the first list has room for */
            y = tarn_add_scalar(t, y, 0.5);
        EXPECT_VALUES(y, 301, 302);
        assert_int_equal(tarn_tape_nodes(t), 600);
        assert_true(tarn_tape_bytes(t) > 600 * 16 && tarn_tape_peak_bytes(t) >= tarn_tape_bytes(t));
        tarn_tape_reset(t);
        assert_int_equal(tarn_tape_nodes(t), 0);
        assert_int_equal(tarn_tape_bytes(t), 0);
        assert_true(tarn_tape_peak_bytes(t) > 0);
    }
    assert_false(tarn_tape_training(t) || tarn_tape_grad(t)); /* modes stay */
    assert_true(tarn_tape_eager(t));
    tarn_tape_reset(t);
    tarn_tape_reset(NULL);
    tarn_tape_free(NULL);
    assert_int_equal(tarn_tape_nodes(NULL) + tarn_tape_bytes(NULL) + tarn_tape_peak_bytes(NULL), 0);
    assert_false(tarn_tape_training(NULL) || tarn_tape_grad(NULL) || tarn_tape_eager(NULL));
    expect_no_error();
    tarn_tensor_free(x);
}

static void tape_tensors_are_not_freed_by_hand(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_ones(t, TARN_F64, TARN_SHAPE(2)), *y = tarn_exp(t, x);
    tarn_tensor_free(x);
    expect_error("tarn_tensor_free: [2] belongs to a tape");
    tarn_tensor_free(y);
    expect_error("tarn_tensor_free: [2] belongs to a tape");
    EXPECT_VALUES(y, exp(1), exp(1));
    assert_null(tarn_mutable_data(y));
    expect_error("tarn_mutable_data: [2] was computed by an op");
    assert_false(tarn_fill(y, 0));
    expect_error("tarn_fill: [2] was computed by an op");
    assert_false(tarn_copy(y, x));
    expect_error("tarn_copy: [2] was computed by an op");
    assert_true(tarn_copy(x, y)); /* a leaf on the tape may be written */
    EXPECT_VALUES(x, exp(1), exp(1));
}

/* ---- threads ---- */

enum { WORKERS = 4, ROUNDS = 30 };

typedef struct worker {
    tarn_params *params;
    int number;
    double value, grad;
    bool ok;
} worker;

static void *work(void *context)
{
    worker *w = context;
    tarn_tape *own = tarn_tape_new();
    tarn_tensor *weight = tarn_params_find(w->params, "w"), *g;
    w->ok = own != NULL;
    for (int round = 0; round < ROUNDS && w->ok; round++) {
        tarn_tensor *x = tarn_full(own, TARN_F64, TARN_SHAPE(64, 128), w->number + 1);
        tarn_tensor *y = tarn_mean(own, tarn_square(own, tarn_matmul(own, x, weight)), TARN_ALL_AXES, false);
        w->ok = tarn_grad(own, 1, &y, NULL, 1, &weight, &g);
        w->value = tarn_item(y);
        w->grad = tarn_item(tarn_sum(own, g, TARN_ALL_AXES, false));
        if (round % 3 == 1) { /* each thread has an error of its own */
            w->ok = w->ok && !tarn_add(own, x, weight) && tarn_error();
            tarn_error_clear();
        }
        tarn_tape_reset(own);
    }
    w->ok = w->ok && !tarn_error();
    tarn_tape_free(own);
    return NULL;
}

static void tapes_of_several_threads_share_parameters(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(128, 300));
    assert_true(tarn_fill(w, 0.5));
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.params = p, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < WORKERS; i++) {
        double x = i + 1, y = 64 * x; /* each entry of the product; the mean of its square's derivative */
        assert_true(workers[i].ok);
        assert_true(fabs(workers[i].value - y * y) < 1e-9 * y * y);
        assert_true(fabs(workers[i].grad - 2 * y * x * 128) < 1e-9 * 2 * y * x * 128);
    }
    tarn_params_free(p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_runs_before_it_is_read),
        TEST(each_node_runs_once),
        TEST(nodes_run_in_the_order_of_recording),
        TEST(eager_runs_at_once),
        TEST(the_first_error_sticks),
        TEST(reset_and_free_work_while_an_error_is_pending),
        TEST(long_messages_are_cut),
        TEST(errors_belong_to_their_thread),
        TEST(tensors_of_another_tape),
        TEST(bad_losses),
        TEST(a_leaf_that_changed),
        TEST(a_leaf_that_changed_behind_views),
        TEST(data_of_a_view_follows_its_leaf),
        TEST(backward_of_a_parameter_that_changed),
        TEST(results_without_grad_are_constants),
        TEST(gradients_recorded_without_grad),
        TEST(training_is_what_it_is_when_recorded),
        TEST(reset_lets_go),
        TEST(tape_tensors_are_not_freed_by_hand),
        TEST(tapes_of_several_threads_share_parameters),
    };
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
