/* The parameter store. */
#include "tensor/params.h"
#include "tests/tape_fixture.h"

#define REFUSED(call, ...)                                                                                             \
    do {                                                                                                               \
        assert_null(call);                                                                                             \
        expect_error(__VA_ARGS__);                                                                                     \
    } while (0)

static void store_keeps_what_is_added(void **state)
{
    (void)state;
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *p = tarn_params_new((tarn_dtype)dtype);
        assert_int_equal(tarn_params_dtype(p), dtype);
        assert_int_equal(tarn_params_count(p), 0);
        assert_true(tarn_params_grad_norm(p) == 0);
        tarn_tensor *added[100];
        for (int i = 0; i < 100; i++) { /* the store moves as it grows: its tensors do not */
            char name[20];
            snprintf(name, sizeof name, "%c%d", i % 3 ? 'w' : 'b', i);
            added[i] = i % 3 ? tarn_params_add(p, name, TARN_SHAPE(i, 2)) : tarn_params_add_buffer(p, name, 0, NULL);
            assert_non_null(added[i]);
        }
        int64_t trained = 0;
        for (int i = 0; i < 100; i++) {
            char name[20];
            snprintf(name, sizeof name, "%c%d", i % 3 ? 'w' : 'b', i);
            assert_ptr_equal(tarn_params_at(p, (size_t)i), added[i]);
            assert_ptr_equal(tarn_params_find(p, name), added[i]);
            assert_string_equal(tarn_param_name(added[i]), name);
            assert_int_equal(tarn_tensor_dtype(added[i]), dtype);
            tarn_tensor *grad = tarn_param_grad(added[i]);
            assert_int_equal(grad != NULL, i % 3 != 0);
            assert_false(tarn_param_has_grad(added[i]));
            if (grad) {
                assert_int_equal(tarn_ndim(grad), 2);
                assert_int_equal(tarn_dim(grad, 0), i);
                assert_int_equal(tarn_dim(grad, 1), 2);
                assert_int_equal(tarn_tensor_dtype(grad), dtype);
                trained += 2 * i;
            }
            tarn_tensor_free(added[i]);
            expect_error("tarn_tensor_free:", "belongs to a parameter store");
        }
        assert_int_equal(tarn_params_numel(p), trained);
        assert_int_equal(tarn_params_count(p), 100);
        assert_null(tarn_params_at(p, 100));
        assert_null(tarn_params_at(p, SIZE_MAX));
        assert_null(tarn_params_find(p, "w"));
        assert_null(tarn_params_find(p, NULL));
        expect_no_error();
        tarn_params_free(p);
    }
}

static void store_refuses(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    tarn_params *p = tarn_params_new(TARN_F32);
    assert_non_null(tarn_params_add(p, "w", TARN_SHAPE(2)));
    assert_non_null(tarn_params_add_buffer(p, "~ all printable!", TARN_SHAPE(2)));
    REFUSED(tarn_params_add(p, "w", TARN_SHAPE(2)), "tarn_params_add: \"w\" is already in the store");
    REFUSED(tarn_params_add_buffer(p, "w", TARN_SHAPE(2)), "tarn_params_add_buffer: \"w\" is already in the store");
    REFUSED(tarn_params_add(p, "", TARN_SHAPE(2)), "tarn_params_add: the name has 0 bytes");
    REFUSED(tarn_params_add(p, name, TARN_SHAPE(2)), "tarn_params_add: the name has 256 bytes");
    REFUSED(tarn_params_add(p, "a\nb", TARN_SHAPE(2)), "tarn_params_add: the name has a byte that is not printable");
    REFUSED(tarn_params_add(p, "\x7f", TARN_SHAPE(2)), "tarn_params_add: the name has a byte");
    REFUSED(tarn_params_add(p, "\xc3\xa9", TARN_SHAPE(2)), "tarn_params_add: the name has a byte");
    REFUSED(tarn_params_add(p, NULL, TARN_SHAPE(2)), "tarn_params_add: name is NULL");
    REFUSED(tarn_params_add(NULL, "x", TARN_SHAPE(2)), "tarn_params_add: params is NULL");
    REFUSED(tarn_params_add(p, "x", TARN_SHAPE(-2)), "tarn_params_add: shape [-2]");
    REFUSED(tarn_params_add(p, "x", TARN_SHAPE(INT64_MAX)), "tarn_params_add: shape", "too large");
    REFUSED(tarn_params_new(TARN_I32), "tarn_params_new: dtype i32, expected f32 or f64");
    REFUSED(tarn_params_new((tarn_dtype)77), "tarn_params_new: dtype ?");
    check_memory_refuse(1000, SIZE_MAX);
    REFUSED(tarn_params_add(p, "x", TARN_SHAPE(1000)), "tarn_params_add: no memory for \"x\" [1000]");
    check_memory_succeed();
    assert_int_equal(tarn_params_count(p), 2);
    name[255] = '\0';
    assert_non_null(tarn_params_add(p, name, TARN_SHAPE(2)));
    assert_non_null(tarn_params_add(p, "x", TARN_SHAPE(1000)));
    tarn_params_free(p);
    tarn_params_free(NULL);
    assert_int_equal(tarn_params_count(NULL) + (size_t)tarn_params_numel(NULL), 0);
    assert_int_equal(tarn_params_dtype(NULL), TARN_F32);
    assert_null(tarn_params_at(NULL, 0));
    assert_null(tarn_params_find(NULL, "w"));
    assert_null(tarn_param_name(NULL));
    assert_null(tarn_param_grad(NULL));
    assert_false(tarn_param_has_grad(NULL));
    expect_no_error();
    assert_true(isnan(tarn_params_grad_norm(NULL)));
    expect_error("tarn_params_grad_norm: params is NULL");
    assert_false(tarn_params_zero_grad(NULL));
    expect_error("tarn_params_zero_grad: params is NULL");
}

static void gradient_norm_counts_what_is_filled(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *a = tarn_params_add(p, "a", TARN_SHAPE(2)), *b = tarn_params_add(p, "b", TARN_SHAPE(50000));
    tarn_tensor *both = tarn_add(t, tarn_mul_scalar(t, tarn_sum(t, a, TARN_ALL_AXES, false), 3),
                                 tarn_mul_scalar(t, tarn_sum(t, b, TARN_ALL_AXES, false), 1e30));
    assert_true(tarn_backward(t, tarn_mul_scalar(t, tarn_sum(t, a, TARN_ALL_AXES, false), 4)));
    assert_true(fabs(tarn_params_grad_norm(p) - sqrt(32)) < 1e-12);
    assert_true(tarn_backward(t, both));
    double expected = sqrt(50000) * (double)1e30f; /* the squares do not overflow */
    assert_true(fabs(tarn_params_grad_norm(p) - expected) < 1e-9 * expected);
    assert_true(tarn_params_zero_grad(p) && tarn_params_grad_norm(p) == 0);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(store_keeps_what_is_added),
        TEST(store_refuses),
        TEST(gradient_norm_counts_what_is_filled),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
