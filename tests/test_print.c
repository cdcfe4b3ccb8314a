/* tarn_print(): the exact text. */
#include "tests/comma_locale.h"
#include "tests/tape_fixture.h"

static tarn_tensor *counted(int ndim, const int64_t *shape)
{
    tarn_tensor *x = tarn_tensor_new(TARN_I32, ndim, shape);
    for (int32_t i = 0; i < tarn_numel(x); i++)
        ((int32_t *)tarn_mutable_data(x))[i] = i;
    return x;
}

static void expect_printed(tarn_tensor *x, const char *expected)
{
    char text[4096] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(tarn_print(file, x));
    rewind(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static void printing_small_tensors(void **state)
{
    (void)state;
    expect_printed(tarn_scalar(t, TARN_F32, 1.5), "1.5  f32[]\n");
    expect_printed(tarn_scalar(t, TARN_I32, -7), "-7  i32[]\n");
    expect_printed(tarn_constant(t, TARN_F64, TARN_SHAPE(3), (double[]){1, -2.25, 1e-10}),
                   "[    1 -2.25 1e-10]  f64[3]\n");
    expect_printed(tarn_constant(t, TARN_U8, TARN_SHAPE(2, 3), (uint8_t[]){0, 255, 7, 10, 1, 99}),
                   "[[  0 255   7]\n [ 10   1  99]]  u8[2,3]\n");
    expect_printed(tarn_constant(t, TARN_I32, TARN_SHAPE(1, 2, 2), (int32_t[]){INT32_MIN, 1, INT32_MAX, 0}),
                   "[[[-2147483648           1]\n  [ 2147483647           0]]]  i32[1,2,2]\n");
    expect_printed(tarn_constant(t, TARN_F32, TARN_SHAPE(2, 2, 1), (float[]){1, 2, 3, 4}),
                   "[[[1]\n  [2]]\n\n [[3]\n  [4]]]  f32[2,2,1]\n");
    expect_printed(tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){1.0 / 3, 123456789}),
                   "[   0.333333 1.23457e+08]  f64[2]\n");
    expect_printed(tarn_constant(t, TARN_F64, TARN_SHAPE(1), (double[]){-0.5}), "[-0.5]  f64[1]\n");
}

static void printing_what_is_not_a_number(void **state)
{
    (void)state;
    double data[] = {NAN, INFINITY, -INFINITY, -NAN, -0.0};
    expect_printed(tarn_constant(t, TARN_F64, TARN_SHAPE(5), data), "[ nan  inf -inf  nan   -0]  f64[5]\n");
}

static void printing_nothing(void **state)
{
    (void)state;
    expect_printed(tarn_zeros(t, TARN_F32, TARN_SHAPE(0)), "[]  f32[0]\n");
    expect_printed(tarn_zeros(t, TARN_F32, TARN_SHAPE(0, 3)), "[]  f32[0,3]\n");
    expect_printed(tarn_zeros(t, TARN_U8, TARN_SHAPE(2, 0)), "[[]\n []]  u8[2,0]\n");
}

static void printing_computes_and_follows_strides(void **state)
{
    (void)state;
    tarn_tensor *x = counted(TARN_SHAPE(2, 3));
    expect_printed(tarn_transpose(t, x, 0, 1), "[[0 3]\n [1 4]\n [2 5]]  i32[3,2]\n");
    expect_printed(tarn_slice(t, x, 1, 2, 3, 1), "[[2]\n [5]]  i32[2,1]\n");
    expect_printed(tarn_neg(t, tarn_cast(t, x, TARN_F64)), "[[-0 -1 -2]\n [-3 -4 -5]]  f64[2,3]\n");
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void printing_large_tensors_in_summary(void **state)
{
    (void)state;
    tarn_tensor *x = counted(TARN_SHAPE(1001)), *y = counted(TARN_SHAPE(1000, 7)), *z = counted(TARN_SHAPE(6, 200)),
                *all = counted(TARN_SHAPE(10, 3));
    expect_printed(x, "[   0    1    2 ...  998  999 1000]  i32[1001]\n");
    expect_printed(y, "[[   0    1    2 ...    4    5    6]\n"
                      " [   7    8    9 ...   11   12   13]\n"
                      " [  14   15   16 ...   18   19   20]\n"
                      " ...\n"
                      " [6979 6980 6981 ... 6983 6984 6985]\n"
                      " [6986 6987 6988 ... 6990 6991 6992]\n"
                      " [6993 6994 6995 ... 6997 6998 6999]]  i32[1000,7]\n");
    expect_printed(z, "[[   0    1    2 ...  197  198  199]\n"
                      " [ 200  201  202 ...  397  398  399]\n"
                      " [ 400  401  402 ...  597  598  599]\n"
                      " [ 600  601  602 ...  797  798  799]\n"
                      " [ 800  801  802 ...  997  998  999]\n"
                      " [1000 1001 1002 ... 1197 1198 1199]]  i32[6,200]\n");
    expect_printed(all, "[[ 0  1  2]\n [ 3  4  5]\n [ 6  7  8]\n [ 9 10 11]\n [12 13 14]\n"
                        " [15 16 17]\n [18 19 20]\n [21 22 23]\n [24 25 26]\n [27 28 29]]  i32[10,3]\n");
    tarn_tensor_free(x), tarn_tensor_free(y), tarn_tensor_free(z), tarn_tensor_free(all);
}

static void printing_in_a_locale_with_a_comma(void **state)
{
    (void)state;
    if (!comma_locale_begin())
        skip();
    expect_printed(tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){1.25, 1e-10}), "[ 1.25 1e-10]  f64[2]\n");
    tarn_fail("%s: %g and %.3f", "test", 0.5, 2.0);
    expect_error("test: 0.5 and 2.000");
    char text[16];
    snprintf(text, sizeof text, "%.1f", 1.5);
    assert_string_equal(text, "1,5"); /* the program's own locale is as it was */
    comma_locale_end();
}

static void printing_that_fails(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_zeros(t, TARN_F32, TARN_SHAPE(2));
    assert_false(tarn_print(NULL, x));
    expect_error("tarn_print: file is NULL");
    assert_false(tarn_print(stderr, NULL));
    expect_error("tarn_print: x is NULL");
    tarn_tensor *bomb = tarn_index_select(t, x, 0, tarn_full(t, TARN_I32, TARN_SHAPE(1), 9));
    assert_false(tarn_print(stderr, bomb));
    expect_error("tarn_index_select:");
    FILE *full = fopen("/dev/full", "w");
    if (full) { /* Linux only; the text stays in the buffer until it is flushed */
        assert_false(tarn_print(full, x));
        expect_error("tarn_print: the file could not be written");
        fclose(full);
    }
    FILE *unwritable = fopen("/dev/null", "r");
    assert_non_null(unwritable);
    assert_false(tarn_print(unwritable, x));
    expect_error("tarn_print: the file could not be written");
    fclose(unwritable);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(printing_small_tensors),
        TEST(printing_what_is_not_a_number),
        TEST(printing_nothing),
        TEST(printing_computes_and_follows_strides),
        TEST(printing_large_tensors_in_summary),
        TEST(printing_in_a_locale_with_a_comma),
        TEST(printing_that_fails),
    };
    return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
