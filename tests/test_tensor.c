/* Tensors: shapes, elements, views, broadcasting. */
#include "tensor/tensor_impl.h"
#include "tests/tape_fixture.h"

#include <float.h>
#include <inttypes.h>

static const tarn_dtype dtypes[] = {TARN_F32, TARN_F64, TARN_I32, TARN_U8};

/* ---- dtypes and shapes ---- */

static void dtype_names_and_sizes(void **state)
{
    (void)state;
    static const char *const names[] = {"f32", "f64", "i32", "u8"};
    static const size_t sizes[] = {4, 8, 4, 1};
    assert_int_equal(TARN_DTYPE_COUNT, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(tarn_dtype_name(dtypes[i]), names[i]);
        assert_int_equal(tarn_dtype_size(dtypes[i]), sizes[i]);
    }
    assert_string_equal(tarn_dtype_name((tarn_dtype)-1), "?");
    assert_string_equal(tarn_dtype_name(TARN_DTYPE_COUNT), "?");
    assert_int_equal(tarn_dtype_size((tarn_dtype)-1), 0);
    assert_int_equal(tarn_dtype_size((tarn_dtype)99), 0);
}

static void expect_geometry(const tarn_tensor *x, int ndim, const int64_t *shape, const int64_t *strides)
{
    assert_non_null(x);
    assert_int_equal(tarn_ndim(x), ndim);
    int64_t numel = 1;
    for (int i = 0; i < ndim; i++) {
        assert_int_equal(tarn_shape(x)[i], shape[i]);
        assert_int_equal(tarn_dim(x, i), shape[i]);
        assert_int_equal(tarn_dim(x, i - ndim), shape[i]);
        assert_int_equal(tarn_strides(x)[i], strides[i]);
        numel *= shape[i];
    }
    assert_int_equal(tarn_dim(x, ndim), 0);
    assert_int_equal(tarn_dim(x, -ndim - 1), 0);
    assert_int_equal(tarn_numel(x), numel);
}

static void new_tensors_are_row_major_zeros(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        tarn_tensor *x = tarn_tensor_new(dtypes[i], TARN_SHAPE(2, 3, 4));
        expect_geometry(x, 3, (int64_t[]){2, 3, 4}, (int64_t[]){12, 4, 1});
        assert_int_equal(tarn_tensor_dtype(x), dtypes[i]);
        assert_true(tarn_is_contiguous(x));
        const unsigned char *bytes = tarn_data(x);
        assert_int_equal((uintptr_t)bytes % 64, 0);
        for (size_t k = 0; k < 24 * tarn_dtype_size(dtypes[i]); k++)
            assert_int_equal(bytes[k], 0);
        tarn_tensor_free(x);
    }
}

static void no_dimensions_no_elements_and_eight_dimensions(void **state)
{
    (void)state;
    tarn_tensor *scalar = tarn_tensor_new(TARN_F64, 0, NULL);
    expect_geometry(scalar, 0, NULL, NULL);
    assert_true(tarn_is_contiguous(scalar) && tarn_item(scalar) == 0 && tarn_at(scalar, NULL) == 0);
    assert_true(tarn_fill(scalar, 2.5) && tarn_item(scalar) == 2.5);
    tarn_tensor_free(scalar);

    tarn_tensor *empty = tarn_tensor_new(TARN_I32, TARN_SHAPE(3, 0, 5));
    assert_int_equal(tarn_numel(empty), 0);
    assert_int_equal(tarn_dim(empty, 2), 5);
    assert_true(tarn_is_contiguous(empty));
    assert_non_null(tarn_data(empty));
    assert_non_null(tarn_mutable_data(empty));
    assert_true(tarn_fill(empty, 1) && tarn_copy(empty, empty));
    assert_true(isnan(tarn_item(empty)));
    expect_error("tarn_item: [3,0,5] has 0 elements, expected 1");
    tarn_tensor *copy = tarn_tensor_clone(empty);
    assert_int_equal(tarn_dim(copy, 2), 5);
    tarn_tensor_free(copy), tarn_tensor_free(empty);

    tarn_tensor *eight = tarn_tensor_new(TARN_U8, TARN_SHAPE(1, 2, 1, 3, 1, 2, 1, 2));
    expect_geometry(eight, 8, (int64_t[]){1, 2, 1, 3, 1, 2, 1, 2}, (int64_t[]){24, 12, 12, 4, 4, 2, 2, 1});
    assert_true(tarn_at(eight, (int64_t[]){0, 1, 0, 2, 0, 1, 0, 1}) == 0);
    tarn_tensor_free(eight);
}

static void shapes_that_cannot_be(void **state)
{
    (void)state;
    static const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_null(tarn_tensor_new(TARN_F32, 9, nine));
    expect_error("tarn_tensor_new: 9 dimensions, expected 0 to 8");
    assert_null(tarn_tensor_new(TARN_F32, -1, nine));
    expect_error("tarn_tensor_new: -1 dimensions");
    assert_null(tarn_tensor_new(TARN_F32, 1, NULL));
    expect_error("tarn_tensor_new: shape is NULL");
    assert_null(tarn_tensor_new(TARN_DTYPE_COUNT, 1, nine));
    expect_error("tarn_tensor_new: dtype 4");
    assert_null(tarn_tensor_new((tarn_dtype)-1, 1, nine));
    expect_error("tarn_tensor_new: dtype -1");
    assert_null(tarn_tensor_new(TARN_F32, TARN_SHAPE(2, -3)));
    expect_error("tarn_tensor_new: shape [2,-3] has a negative size");
    static const int64_t large[][3] = {{INT64_MAX, 1, 1},
                                       {INT64_MAX, INT64_MAX, INT64_MAX},
                                       {(int64_t)1 << 31, (int64_t)1 << 31, 4},
                                       {(int64_t)1 << 32, (int64_t)1 << 32, 1}, /* the product is 2^64: 0 */
                                       {(int64_t)1 << 62, 1, 1},
                                       {0, INT64_MAX, INT64_MAX}, /* empty, but a view may drop the 0 */
                                       {(int64_t)1 << 61, 0, 16}};
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        assert_null(tarn_tensor_new(TARN_F64, 3, large[i]));
        expect_error("tarn_tensor_new: shape [", "] is too large");
    }
    assert_null(tarn_tensor_new(TARN_U8, TARN_SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN,
                                                    INT64_MIN, INT64_MIN))); /* the longest text of a shape */
    expect_error("tarn_tensor_new: shape [-9223372036854775808,", ",-9223372036854775808] has a negative size");
}

static void more_than_there_is(void **state)
{
    (void)state;
    check_memory_refuse(1 << 20, SIZE_MAX);
    assert_null(tarn_tensor_new(TARN_F32, TARN_SHAPE(1 << 20)));
    expect_error("tarn_tensor_new: no memory for f32[1048576]");
    assert_null(tarn_zeros(t, TARN_F32, TARN_SHAPE(1 << 20)));
    expect_error("tarn_zeros: no memory for f32[1048576]");
    check_memory_succeed();
    tarn_tensor_free(tarn_tensor_new(TARN_F32, TARN_SHAPE(1 << 20)));
}

static void what_null_answers(void **state)
{
    (void)state;
    assert_int_equal(tarn_tensor_dtype(NULL), TARN_F32);
    assert_int_equal(tarn_ndim(NULL), 0);
    assert_int_equal(tarn_dim(NULL, 0), 0);
    assert_int_equal(tarn_numel(NULL), 0);
    assert_null(tarn_shape(NULL));
    assert_null(tarn_strides(NULL));
    assert_false(tarn_is_contiguous(NULL));
    tarn_tensor_free(NULL);
    expect_no_error();
}

/* ---- making ---- */

static void from_copies_and_wrap_does_not(void **state)
{
    (void)state;
    double data[6] = {1, 2, 3, 4, 5, 6};
    tarn_tensor *copy = tarn_tensor_from(TARN_F64, TARN_SHAPE(2, 3), data);
    tarn_tensor *wrap = tarn_tensor_wrap(TARN_F64, TARN_SHAPE(3, 2), data);
    assert_ptr_equal(tarn_data(wrap), data);
    assert_ptr_equal(tarn_mutable_data(wrap), data);
    assert_ptr_not_equal(tarn_data(copy), data);
    data[4] = 50;
    assert_true(tarn_at(copy, (int64_t[]){1, 1}) == 5);
    assert_true(tarn_at(wrap, (int64_t[]){2, 0}) == 50);
    assert_true(tarn_fill(wrap, 7) && data[0] == 7 && data[5] == 7);
    tarn_tensor *clone = tarn_tensor_clone(wrap);
    data[0] = 8;
    assert_true(tarn_at(clone, (int64_t[]){0, 0}) == 7);
    tarn_tensor_free(copy), tarn_tensor_free(wrap), tarn_tensor_free(clone);
    assert_true(data[0] == 8);
}

static void wrap_needs_alignment(void **state)
{
    (void)state;
    static const size_t align[] = {4, 8, 4, 1};
    _Alignas(8) char memory[64];
    for (int i = 0; i < 4; i++)
        for (size_t offset = 0; offset < 9; offset++) {
            tarn_tensor *x = tarn_tensor_wrap(dtypes[i], TARN_SHAPE(2), memory + offset);
            assert_int_equal(x != NULL, offset % align[i] == 0);
            if (!x)
                expect_error("tarn_tensor_wrap: data is not aligned for", tarn_dtype_name(dtypes[i]));
            tarn_tensor_free(x);
        }
}

static void making_from_nothing(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(1);
    assert_null(tarn_tensor_from(TARN_F32, TARN_SHAPE(1), NULL));
    expect_error("tarn_tensor_from: data is NULL");
    assert_null(tarn_tensor_wrap(TARN_F32, TARN_SHAPE(1), NULL));
    expect_error("tarn_tensor_wrap: data is NULL");
    assert_null(tarn_tensor_clone(NULL));
    expect_error("tarn_tensor_clone: x is NULL");
    assert_null(tarn_tensor_uniform_new(TARN_F32, TARN_SHAPE(1), NULL, 0, 1));
    expect_error("tarn_tensor_uniform_new: rng is NULL");
    assert_null(tarn_tensor_uniform_new(TARN_I32, TARN_SHAPE(1), &rng, 0, 1));
    expect_error("tarn_tensor_uniform_new: dtype i32");
    assert_null(tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(1), &rng, 0, INFINITY));
    expect_error("tarn_");
    assert_int_equal(rng.counter, 0);
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(5, 2), &rng, 3, 4);
    for (int i = 0; i < 10; i++)
        assert_true(((const double *)tarn_data(x))[i] >= 3 && ((const double *)tarn_data(x))[i] < 4);
    assert_int_equal(rng.counter, 5);
    tarn_tensor_free(x);
}

/* ---- elements ---- */

static void item_and_at(void **state)
{
    (void)state;
    int32_t numbers[6] = {10, 11, 12, 13, 14, -15};
    tarn_tensor *x = tarn_tensor_from(TARN_I32, TARN_SHAPE(2, 3), numbers);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t k = 0; k < 3; k++)
            assert_true(tarn_at(x, (int64_t[]){i, k}) == numbers[3 * i + k]);
    static const int64_t outside[][2] = {{2, 0}, {0, 3}, {-1, 0}, {0, -1}, {INT64_MAX, 0}, {0, INT64_MIN}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_true(isnan(tarn_at(x, outside[i])));
        expect_error("tarn_at: index [", "] is out of range for [2,3]");
    }
    assert_true(isnan(tarn_at(x, NULL)));
    expect_error("tarn_at: index is NULL");
    assert_true(isnan(tarn_at(NULL, outside[0])));
    expect_error("tarn_at: x is NULL");
    assert_true(isnan(tarn_item(x)));
    expect_error("tarn_item: [2,3] has 6 elements, expected 1");
    tarn_tensor *one = tarn_slice(t, tarn_slice(t, x, 0, 1, 2, 1), 1, 2, 3, 1);
    assert_true(tarn_item(one) == -15); /* [1,1] */
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void copy_and_fill(void **state)
{
    (void)state;
    tarn_tensor *a = tarn_tensor_from(TARN_F64, TARN_SHAPE(2, 2), (double[]){1, 2, 3, 4});
    tarn_tensor *b = tarn_tensor_new(TARN_F32, TARN_SHAPE(2, 2)), *c = tarn_tensor_new(TARN_F32, TARN_SHAPE(4));
    assert_true(tarn_copy(b, a));
    assert_memory_equal(tarn_data(b), ((float[]){1, 2, 3, 4}), 16);
    assert_true(tarn_copy(b, tarn_transpose(t, b, 0, 1))); /* from a view of itself */
    assert_memory_equal(tarn_data(b), ((float[]){1, 3, 2, 4}), 16);
    assert_true(tarn_copy(b, tarn_expand(t, tarn_slice(t, a, 0, 1, 2, 1), TARN_SHAPE(2, 2))));
    assert_memory_equal(tarn_data(b), ((float[]){3, 4, 3, 4}), 16);
    assert_true(tarn_copy(a, tarn_exp(t, a))); /* a pending result */
    assert_true(((const double *)tarn_data(a))[3] == exp(4));
    assert_true(tarn_copy(a, a));
    assert_false(tarn_copy(c, a));
    expect_error("tarn_copy: [2,2] into [4]: the shapes differ");
    assert_false(tarn_copy(NULL, a));
    expect_error("tarn_copy: x is NULL");
    assert_false(tarn_copy(a, NULL));
    expect_error("tarn_copy: src is NULL");
    assert_false(tarn_fill(NULL, 1));
    expect_error("tarn_fill: x is NULL");
    assert_null(tarn_mutable_data(NULL));
    expect_error("tarn_mutable_data: x is NULL");
    assert_null(tarn_data(NULL));
    expect_error("tarn_data: x is NULL");
    tarn_tape_reset(t);
    tarn_tensor_free(a), tarn_tensor_free(b), tarn_tensor_free(c);
}

/* What fits is cut towards 0; what does not goes to the nearest end, and NaN to 0. */
static void converting(void **state)
{
    (void)state;
    static const double from[] = {0,        -0.0,      1.9,     -1.9,         255,           256,   -1,
                                  127.5,    1e10,      -1e10,   INT32_MAX,    INT32_MIN,     1e300, NAN,
                                  INFINITY, -INFINITY, 254.999, 2147483646.9, -2147483648.5, 1e-300};
    static const int32_t i32[] = {0,         0,         1,         -1,         255,       256,       -1,
                                  127,       INT32_MAX, INT32_MIN, INT32_MAX,  INT32_MIN, INT32_MAX, 0,
                                  INT32_MAX, INT32_MIN, 254,       2147483646, INT32_MIN, 0};
    static const uint8_t u8[] = {0, 0, 1, 0, 255, 255, 0, 127, 255, 0, 255, 0, 255, 0, 255, 0, 254, 255, 0, 0};
    enum { N = sizeof from / sizeof from[0] };
    tarn_tensor *x = tarn_tensor_from(TARN_F64, TARN_SHAPE(N), from);
    for (int via_op = 0; via_op < 2; via_op++) {
        tarn_tensor *made[4];
        for (int i = 0; i < 4; i++) {
            made[i] = tarn_tensor_new(dtypes[i], TARN_SHAPE(N));
            assert_true(tarn_copy(made[i], via_op ? tarn_cast(t, x, dtypes[i]) : x));
        }
        assert_memory_equal(tarn_data(made[2]), i32, sizeof i32);
        assert_memory_equal(tarn_data(made[3]), u8, sizeof u8);
        const float *f32 = tarn_data(made[0]);
        for (int i = 0; i < N; i++)
            assert_true(isnan(from[i]) ? isnan(f32[i]) : f32[i] == (float)from[i]);
        assert_memory_equal(tarn_data(made[1]), from, sizeof from);
        for (int i = 0; i < 4; i++)
            tarn_tensor_free(made[i]);
    }
    tarn_tensor *filled = tarn_tensor_new(TARN_U8, TARN_SHAPE(2));
    assert_true(tarn_fill(filled, 300) && tarn_at(filled, (int64_t[]){1}) == 255);
    assert_true(tarn_fill(filled, NAN) && tarn_at(filled, (int64_t[]){1}) == 0);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(filled);
}

static void f64_and_i32_survive_as_they_are(void **state)
{
    (void)state;
    int32_t numbers[3] = {INT32_MAX, INT32_MIN, 16777217}; /* the last is no float */
    tarn_tensor *x = tarn_tensor_from(TARN_I32, TARN_SHAPE(3), numbers), *y = tarn_tensor_new(TARN_I32, TARN_SHAPE(3));
    assert_true(tarn_copy(y, tarn_cast(t, tarn_cast(t, x, TARN_F64), TARN_I32)));
    assert_memory_equal(tarn_data(y), numbers, sizeof numbers);
    tarn_tape_reset(t);
    tarn_tensor_free(x), tarn_tensor_free(y);
}

/* ---- views ---- */

static tarn_tensor *counted(int ndim, const int64_t *shape) /* a leaf with 0, 1, 2, ... */
{
    tarn_tensor *x = tarn_tensor_new(TARN_I32, ndim, shape);
    for (int32_t i = 0; i < tarn_numel(x); i++)
        ((int32_t *)tarn_mutable_data(x))[i] = i;
    return x;
}

/* The geometry, the memory, and every element: both one by one and packed. */
static void expect_view(tarn_tensor *view, const tarn_tensor *base, int64_t offset, int ndim, const int64_t *shape,
                        const int64_t *strides, bool contiguous)
{
    expect_geometry(view, ndim, shape, strides);
    assert_true(tarn_run(view));
    assert_ptr_equal(view->data, (int32_t *)base->data + offset); /* no copy */
    assert_int_equal(tarn_is_contiguous(view), contiguous);
    const int32_t *packed = tarn_data(view);
    assert_int_equal(packed == view->data, contiguous || tarn_numel(view) == 0);
    assert_ptr_equal(tarn_data(view), packed);
    int64_t index[8] = {0};
    for (int64_t i = 0; i < tarn_numel(view); i++) {
        int64_t at = offset;
        for (int k = 0; k < ndim; k++)
            at += index[k] * strides[k];
        assert_int_equal(packed[i], ((const int32_t *)base->data)[at]);
        assert_true(tarn_at(view, index) == packed[i]);
        for (int k = ndim - 1; k >= 0 && ++index[k] == shape[k]; k--)
            index[k] = 0;
    }
}
#define SIZES(...)                                                                                                     \
    (const int64_t[])                                                                                                  \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void views_share_memory(void **state)
{
    (void)state;
    tarn_tensor *x = counted(TARN_SHAPE(4, 5, 6));
    tarn_tensor *turned = tarn_permute(t, x, (const int[]){2, 0, 1});
    expect_view(turned, x, 0, 3, SIZES(6, 4, 5), SIZES(1, 30, 6), false);
    expect_view(tarn_permute(t, x, (const int[]){-1, -3, 1}), x, 0, 3, SIZES(6, 4, 5), SIZES(1, 30, 6), false);
    expect_view(tarn_transpose(t, x, 0, -1), x, 0, 3, SIZES(6, 5, 4), SIZES(1, 6, 30), false);
    expect_view(tarn_transpose(t, x, 1, 1), x, 0, 3, SIZES(4, 5, 6), SIZES(30, 6, 1), true);
    expect_view(tarn_slice(t, x, 0, 1, 3, 1), x, 30, 3, SIZES(2, 5, 6), SIZES(30, 6, 1), true);
    expect_view(tarn_slice(t, x, 1, 1, -1, 2), x, 6, 3, SIZES(4, 2, 6), SIZES(30, 12, 1), false);
    expect_view(tarn_slice(t, x, -1, -5, 6, 3), x, 1, 3, SIZES(4, 5, 2), SIZES(30, 6, 3), false);
    expect_view(tarn_slice(t, tarn_slice(t, x, 2, 0, 6, 2), 2, 1, 3, 1), x, 2, 3, SIZES(4, 5, 2), SIZES(30, 6, 2),
                false);
    expect_view(tarn_reshape(t, x, TARN_SHAPE(20, 6)), x, 0, 2, SIZES(20, 6), SIZES(6, 1), true);
    expect_view(tarn_reshape(t, x, TARN_SHAPE(2, -1, 3)), x, 0, 3, SIZES(2, 20, 3), SIZES(60, 3, 1), true);
    expect_view(tarn_reshape(t, turned, TARN_SHAPE(2, 3, 20)), x, 0, 3, SIZES(2, 3, 20), SIZES(3, 1, 6), false);
    expect_view(tarn_flatten(t, x), x, 0, 2, SIZES(4, 30), SIZES(30, 1), true);
    tarn_tensor *row = tarn_slice(t, x, 0, 3, 4, 1); /* [1,5,6] */
    expect_view(tarn_expand(t, row, TARN_SHAPE(2, 3, 5, 6)), x, 90, 4, SIZES(2, 3, 5, 6), SIZES(0, 0, 6, 1), false);
    expect_view(tarn_expand(t, tarn_slice(t, row, 1, 2, 3, 1), TARN_SHAPE(1, 4, 6)), x, 102, 3, SIZES(1, 4, 6),
                SIZES(30, 0, 1), false);
    tarn_tensor *repeated = tarn_expand(t, row, TARN_SHAPE(3, 5, 6));
    expect_view(tarn_reshape(t, repeated, TARN_SHAPE(3, 30)), x, 90, 2, SIZES(3, 30), SIZES(0, 1), false);
    assert_ptr_equal(tarn_contiguous(t, x), x);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void empty_views(void **state)
{
    (void)state;
    tarn_tensor *x = counted(TARN_SHAPE(4, 5)), *none = tarn_slice(t, x, 0, 4, 4, 1);
    assert_int_equal(tarn_dim(none, 0), 0);
    assert_non_null(tarn_data(none));
    assert_int_equal(tarn_dim(tarn_slice(t, x, 1, 3, 1, 1), 1), 0);
    tarn_tensor *y = tarn_reshape(t, none, TARN_SHAPE(7, 0, 2));
    assert_int_equal(tarn_numel(y), 0);
    assert_non_null(tarn_data(y));
    assert_int_equal(tarn_dim(tarn_reshape(t, none, TARN_SHAPE(5, -1)), 1), 0);
    assert_int_equal(tarn_numel(tarn_expand(t, tarn_slice(t, x, 0, 0, 1, 1), TARN_SHAPE(0, 5))), 0);
    tarn_tensor *whole = tarn_concat(t, 2, (tarn_tensor *[]){none, x}, 0);
    assert_memory_equal(tarn_data(whole), tarn_data(x), 20 * sizeof(int32_t));
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void reshape_copies_where_it_must(void **state)
{
    (void)state;
    tarn_tensor *x = counted(TARN_SHAPE(3, 4));
    tarn_tensor *flat = tarn_reshape(t, tarn_transpose(t, x, 0, 1), TARN_SHAPE(12));
    static const int32_t expected[] = {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11};
    assert_memory_equal(tarn_data(flat), expected, sizeof expected);
    assert_true(tarn_is_contiguous(flat));
    assert_ptr_not_equal(flat->data, x->data);
    tarn_tensor *packed = tarn_contiguous(t, tarn_transpose(t, x, 0, 1));
    expect_geometry(packed, 2, SIZES(4, 3), SIZES(3, 1));
    assert_memory_equal(tarn_data(packed), expected, sizeof expected);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void views_that_cannot_be(void **state)
{
    (void)state;
    tarn_tensor *x = counted(TARN_SHAPE(2, 3));
#define REFUSED(call, ...)                                                                                             \
    do {                                                                                                               \
        assert_null(call);                                                                                             \
        expect_error(__VA_ARGS__);                                                                                     \
    } while (0)
    REFUSED(tarn_reshape(t, x, TARN_SHAPE(5)), "tarn_reshape: [2,3] does not fit into [5]");
    REFUSED(tarn_reshape(t, x, TARN_SHAPE(-1, 4)), "tarn_reshape: [2,3] does not fit into [-1,4]");
    REFUSED(tarn_reshape(t, x, TARN_SHAPE(-1, -1)), "tarn_reshape: [-1,-1] has more than one -1");
    REFUSED(tarn_reshape(t, x, TARN_SHAPE(-2, 3)), "tarn_reshape:", "negative");
    REFUSED(tarn_reshape(t, x, TARN_SHAPE(0, -1)), "tarn_reshape:");
    REFUSED(tarn_reshape(t, x, TARN_SHAPE(INT64_MAX, INT64_MAX)), "tarn_reshape:", "too large");
    REFUSED(tarn_reshape(t, x, 9, tarn_shape(x)), "tarn_reshape: 9 dimensions");
    REFUSED(tarn_reshape(t, x, 1, NULL), "tarn_reshape:", "NULL");
    REFUSED(tarn_permute(t, x, (const int[]){0, 0}), "tarn_permute: axis 0 is given twice");
    REFUSED(tarn_permute(t, x, (const int[]){1, -1}), "tarn_permute: axis -1 is given twice");
    REFUSED(tarn_permute(t, x, (const int[]){0, 2}), "tarn_permute: axis 2 is out of range for 2 dimensions");
    REFUSED(tarn_permute(t, x, NULL), "tarn_permute: axes is NULL");
    REFUSED(tarn_transpose(t, x, 0, 2), "tarn_transpose: axis 2");
    REFUSED(tarn_transpose(t, x, -3, 0), "tarn_transpose: axis -3");
    REFUSED(tarn_slice(t, x, 2, 0, 1, 1), "tarn_slice: axis 2");
    REFUSED(tarn_slice(t, x, 0, 0, 3, 1), "tarn_slice: 0:3:1 of axis 0 of [2,3] is out of range");
    REFUSED(tarn_slice(t, x, 0, -3, 1, 1), "tarn_slice: -3:1:1");
    REFUSED(tarn_slice(t, x, 0, 0, 1, 0), "tarn_slice: 0:1:0");
    REFUSED(tarn_slice(t, x, 0, 0, 1, -1), "tarn_slice: 0:1:-1");
    REFUSED(tarn_slice(t, x, 0, INT64_MIN, INT64_MAX, INT64_MAX), "tarn_slice:");
    REFUSED(tarn_expand(t, x, TARN_SHAPE(4, 3)), "tarn_expand: [2,3] does not broadcast to [4,3]");
    REFUSED(tarn_expand(t, x, TARN_SHAPE(3)), "tarn_expand: [2,3] does not broadcast to [3]");
    REFUSED(tarn_expand(t, x, TARN_SHAPE(1, 3)), "tarn_expand:");
    REFUSED(tarn_expand(t, x, TARN_SHAPE(INT64_MAX / 2, 2, 3)), "tarn_expand:", "too large");
    REFUSED(tarn_flatten(t, tarn_scalar(t, TARN_F32, 1)), "tarn_flatten: a scalar");
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* ---- broadcasting ---- */

static void broadcasting_rules(void **state)
{
    (void)state;
    static const struct {
        int a_ndim, b_ndim, ndim;
        int64_t a[4], b[4], out[4];
    } rules[] = {
        {2, 2, 2, {2, 3}, {2, 3}, {2, 3}}, {2, 1, 2, {2, 3}, {3}, {2, 3}},
        {2, 0, 2, {2, 3}, {0}, {2, 3}},    {0, 0, 0, {0}, {0}, {0}},
        {2, 2, 2, {2, 1}, {1, 3}, {2, 3}}, {3, 2, 3, {4, 1, 3}, {2, 1}, {4, 2, 3}},
        {1, 1, 1, {1}, {0}, {0}},          {2, 1, 2, {0, 3}, {1}, {0, 3}},
        {2, 2, -1, {2, 3}, {3, 2}, {0}},   {1, 1, -1, {0}, {2}, {0}},
        {3, 1, -1, {3, 1, 2}, {3}, {0}},   {4, 2, 4, {5, 1, 1, 7}, {6, 1}, {5, 1, 6, 7}},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (int swapped = 0; swapped < 2; swapped++) {
            int64_t out[TARN_MAX_DIMS];
            int ndim = swapped ? tarn__broadcast(rules[i].b_ndim, rules[i].b, rules[i].a_ndim, rules[i].a, out)
                               : tarn__broadcast(rules[i].a_ndim, rules[i].a, rules[i].b_ndim, rules[i].b, out);
            assert_int_equal(ndim, rules[i].ndim);
            for (int k = 0; k < ndim; k++)
                assert_int_equal(out[k], rules[i].out[k]);
            tarn_tensor *a = tarn_ones(t, TARN_F32, rules[i].a_ndim, rules[i].a),
                        *b = tarn_ones(t, TARN_F32, rules[i].b_ndim, rules[i].b);
            tarn_tensor *sum = swapped ? tarn_add(t, b, a) : tarn_add(t, a, b);
            if (ndim < 0) {
                expect_error("tarn_add: [", "do not broadcast");
                continue;
            }
            assert_int_equal(tarn_ndim(sum), ndim);
            const float *data = tarn_data(sum);
            for (int64_t k = 0; k < tarn_numel(sum); k++)
                assert_true(data[k] == 2);
        }
}

static void a_broadcast_that_is_too_large(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_zeros(t, TARN_F32, TARN_SHAPE(1));
    tarn_tensor *row = tarn_expand(t, x, TARN_SHAPE(1, (int64_t)1 << 40)),
                *column = tarn_expand(t, x, TARN_SHAPE((int64_t)1 << 40, 1));
    assert_non_null(row);
    assert_non_null(column);
    assert_null(tarn_add(t, row, column));
    expect_error("tarn_add: shape [1099511627776,1099511627776] is too large");
    assert_null(tarn_data(tarn_neg(t, row))); /* its shape can be, but not its memory */
    expect_error("tarn_neg: no memory for f32[1,1099511627776]");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(dtype_names_and_sizes),
        TEST(new_tensors_are_row_major_zeros),
        TEST(no_dimensions_no_elements_and_eight_dimensions),
        TEST(shapes_that_cannot_be),
        TEST(more_than_there_is),
        TEST(what_null_answers),
        TEST(from_copies_and_wrap_does_not),
        TEST(wrap_needs_alignment),
        TEST(making_from_nothing),
        TEST(item_and_at),
        TEST(copy_and_fill),
        TEST(converting),
        TEST(f64_and_i32_survive_as_they_are),
        TEST(views_share_memory),
        TEST(empty_views),
        TEST(reshape_copies_where_it_must),
        TEST(views_that_cannot_be),
        TEST(broadcasting_rules),
        TEST(a_broadcast_that_is_too_large),
    };
    return cmocka_run_group_tests_name("tensor", tests, NULL, NULL);
}
