/* A tensor that a reset has let go: using it is an error that says so, whatever has been recorded since. And where else a
 * tensor may not live. */
#include "autograd/tape_impl.h"
#include "data/image.h"
#include "tensor/params.h"
#include "tensor/statistics.h"
#include "tests/tape_fixture.h"

static const char gone[] = "was let go by tarn_tape_reset";

/* Every public function of tensor/ that reads or writes a tensor's elements, and the tape's own. */
static void expect_gone(tarn_tensor *x)
{
    tarn_tensor *own = tarn_tensor_new(TARN_F64, 0, NULL);
    double out;
    int64_t count;
    assert_true(isnan(tarn_item(x)));
    expect_error("tarn_item: x ", gone);
    assert_true(isnan(tarn_at(x, (int64_t[TARN_MAX_DIMS]){0})));
    expect_error("tarn_at: x ", gone);
    assert_null(tarn_data(x));
    expect_error("tarn_data: x ", gone);
    assert_null(tarn_mutable_data(x));
    expect_error("tarn_mutable_data: x ", gone);
    assert_null(tarn_tensor_clone(x));
    expect_error("tarn_tensor_clone: x ", gone);
    assert_false(tarn_copy(own, x));
    expect_error("tarn_copy: src ", gone);
    assert_false(tarn_copy(x, own));
    expect_error("tarn_copy: x ", gone);
    assert_false(tarn_fill(x, 1));
    expect_error("tarn_fill: x ", gone);
    assert_false(tarn_print(stdout, x));
    expect_error("tarn_print: x ", gone);
    assert_false(tarn_quantiles(x, 1, &(double){0.5}, &out));
    expect_error("tarn_quantiles: x ", gone);
    assert_false(tarn_histogram(x, 1, 0, 1, &count));
    expect_error("tarn_histogram: x ", gone);
    assert_null(tarn_image_resize(x, 2, 2));
    expect_error("tarn_image_resize: image ", gone);
    assert_false(tarn_run(x));
    expect_error("tarn_run: x ", gone);
    assert_false(tarn_keep(x));
    expect_error("tarn_keep: x ", gone);
    assert_false(tarn_backward(t, x));
    expect_error("tarn_backward: loss ", gone);
    tarn_tensor_free(own);
}

static void expect_gone_on_the_tape(tarn_tensor *x)
{
    tarn_tensor *own = VALUES(1), *y = tarn_exp(t, own), *g;
    assert_null(tarn_exp(t, x));
    expect_error("tarn_exp: input 0 ", gone);
    assert_null(tarn_add(t, y, x));
    expect_error("tarn_add: input 1 ", gone);
    assert_null(tarn_reshape(t, x, TARN_SHAPE(1)));
    expect_error("tarn_reshape: input 0 ", gone);
    assert_null(tarn_contiguous(t, x));
    expect_error("tarn_contiguous: input 0 ", gone);
    assert_null(tarn_concat(t, 2, (tarn_tensor *[]){y, x}, 0));
    expect_error("tarn_concat: input 1 ", gone);
    assert_false(tarn_grad(t, 1, &x, NULL, 1, &own, &g));
    expect_error("tarn_grad: output 0 ", gone);
    assert_false(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    expect_error("tarn_grad: input 0 ", gone);
    assert_false(tarn_grad(t, 1, &y, &x, 1, &own, &g));
    expect_error("tarn_grad: cotangent 0 ", gone);
    assert_false(tarn_hessian_vector(t, x, 1, &own, &own, &g));
    expect_error("tarn_hessian_vector: loss ", gone);
    assert_null(tarn_jacobian_new(t, x, own));
    expect_error("tarn_jacobian_new: output ", gone);
    tarn_tape *other = tarn_tape_new();
    assert_null(tarn_exp(other, x));
    expect_error("tarn_exp: input 0 ", gone);
    tarn_tape_free(other);
    tarn_tensor_free(own);
}

static void right_after_the_reset(void **state)
{
    (void)state;
    tarn_tensor *own = VALUES(1), *leaf = tarn_scalar(t, TARN_F64, 3), *pending = tarn_exp(t, leaf),
                *ready = tarn_square(t, own), *view = tarn_reshape(t, ready, TARN_SHAPE(1, 1));
    assert_true(tarn_item(view) == 1);
    tarn_tape_reset(t);
    tarn_tensor *all[] = {leaf, pending, ready, view};
    for (int i = 0; i < 4; i++) {
        expect_gone(all[i]);
        expect_gone_on_the_tape(all[i]);
    }
    tarn_tensor_free(own);
}

/* A whole step is recorded between: in the place of any of the old tensors another could lie. */
static void in_the_middle_of_the_next_step(void **state)
{
    (void)state;
    enum { MOST = 3000 };
    static tarn_tensor *old[MOST];
    tarn_tensor *own = VALUES(1, 2);
    const int lengths[] = {3, 50, 50, 3000, 3000, 700, 1, 3000, 2, 2};
    int count = 0;
    for (size_t round = 0; round < sizeof lengths / sizeof lengths[0]; round++) {
        tarn_tensor *x = own;
        tarn_tensor *recorded[MOST];
        for (int i = 0; i < lengths[round]; i++) {
            recorded[i] = x = i % 3 ? tarn_add_scalar(t, x, 1) : tarn_mul(t, x, tarn_scalar(t, TARN_F64, 1));
            if (i < count) {
                assert_true(isnan(tarn_at(old[i], (int64_t[]){0})));
                expect_error("tarn_at: x ", gone);
            }
        }
        for (int i = 0; i < count; i++) {
            assert_null(tarn_add(t, x, old[i]));
            expect_error("tarn_add: input 1 ", gone);
        }
        EXPECT_VALUES(x, 1 + lengths[round] - (lengths[round] + 2) / 3, 2 + lengths[round] - (lengths[round] + 2) / 3);
        count = lengths[round];
        memcpy(old, recorded, sizeof old);
        tarn_tape_reset(t);
        for (int i = 0; i < count; i++) {
            assert_null(tarn_data(old[i]));
            expect_error("tarn_data: x ", gone);
        }
    }
    tarn_tensor_free(own);
}

/* Where ops keep a state: each part refused in each op, and the op accepted with the others. */
static void expect_refused(tarn_tensor *bad, const char *why)
{
    tarn_tensor *x = VALUES(1, 2, 3, 4), *one = VALUES(1, 1), *batches = VALUES(0);
    static const char *const parts[] = {"running mean ", "running var ", "running batches ",
                                        "running std ",  "u ",           "v "};
    tarn_tensor *rows = tarn_reshape(t, x, TARN_SHAPE(2, 2));
    for (int training = 0; training < 2; training++) {
        tarn_tape_set_training(t, training);
        for (int i = 0; i < 3; i++) {
            const tarn_running_stats r = {i == 0 ? bad : one, i == 1 ? bad : one, i == 2 ? bad : batches};
            assert_null(tarn_batchnorm(t, rows, one, one, &r, NULL));
            expect_error("tarn_batchnorm: ", parts[i], why);
            assert_null(tarn_batchnorm_composed(t, rows, one, one, &r, NULL));
            expect_error("tarn_batchnorm: ", parts[i], why);
            const tarn_renorm_stats n = {i == 0 ? bad : one, i == 1 ? bad : one, i == 2 ? bad : batches};
            assert_null(tarn_batch_renorm(t, rows, one, one, &n, NULL));
            expect_error("tarn_batch_renorm: ", parts[i == 1 ? 3 : i], why);
        }
        assert_null(tarn_spectralnorm(t, rows, bad, one, 1));
        expect_error("tarn_spectralnorm: ", parts[4], why);
        assert_null(tarn_spectralnorm(t, rows, one, bad, 1));
        expect_error("tarn_spectralnorm: ", parts[5], why);
        assert_non_null(tarn_batchnorm(t, rows, one, one, &(tarn_running_stats){one, one, batches}, NULL));
        assert_non_null(tarn_batch_renorm(t, rows, one, one, &(tarn_renorm_stats){one, one, batches}, NULL));
        assert_non_null(tarn_spectralnorm(t, rows, one, one, 1));
    }
    tarn_tape_set_training(t, true);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(one), tarn_tensor_free(batches);
}

static void states_that_an_op_cannot_keep(void **state)
{
    (void)state;
    tarn_tape *other = tarn_tape_new();
    expect_refused(tarn_ones(other, TARN_F64, TARN_SHAPE(2)), "lives on another tape");
    tarn_tensor *own = VALUES(1, 1), *old = tarn_ones(t, TARN_F64, TARN_SHAPE(2));
    expect_refused(tarn_exp(t, own), "was computed by an op, expected a leaf");
    expect_refused(tarn_reshape(t, own, TARN_SHAPE(2)), "was computed by an op, expected a leaf"); /* a view */
    tarn_tape_reset(t);
    expect_refused(old, gone);
    expect_refused(NULL, "is NULL");
    tarn_tape_free(other);
    tarn_tensor_free(own);
}

/* What a wrong call had begun to record is no tensor: its place is used again. */
static void wrong_calls_use_no_memory(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_full(t, TARN_I32, TARN_SHAPE(2, 3), 1);
    size_t bytes = tarn_tape_bytes(t);
    long calls = check_memory_calls();
    for (int i = 0; i < 10000; i++) {
        assert_null(tarn_matmul(t, x, x));
        tarn_error_clear();
        assert_null(tarn_index_select(t, x, 0, x));
        tarn_error_clear();
        assert_null(tarn_zeros(t, TARN_F64, TARN_SHAPE((int64_t)1 << 60)));
        tarn_error_clear();
    }
    assert_int_equal(tarn_tape_bytes(t), bytes);
    assert_true(check_memory_calls() - calls < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_after_the_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(in_the_middle_of_the_next_step, setup, teardown),
        cmocka_unit_test_setup_teardown(states_that_an_op_cannot_keep, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_calls_use_no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
