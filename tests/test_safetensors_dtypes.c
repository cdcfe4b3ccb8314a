/* What the dtypes become that a weights file may have and tarn does not: every value as it was, or an error. */
#include "data/safetensors.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <inttypes.h>
#include <math.h>

/* A file of one tensor, "x", with n elements of that dtype. */
static const char *file_of(const char *dtype, size_t n, const void *elements, size_t bytes)
{
    char header[200];
    const char *path = file_at("x.safetensors");
    int length = snprintf(header, sizeof header, "{\"x\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}",
                          dtype, n, bytes);
    char *all = calloc(8 + (size_t)length + bytes, 1);
    all[0] = (char)length;
    memcpy(all + 8, header, (size_t)length);
    memcpy(all + 8 + length, elements, bytes);
    write_file(path, all, 8 + (size_t)length + bytes);
    free(all);
    return path;
}

static tarn_tensor *loaded(const char *dtype, size_t n, const void *elements, size_t bytes)
{
    tarn_safetensors *f = tarn_safetensors_open(file_of(dtype, n, elements, bytes));
    assert_non_null(f);
    tarn_tensor *x = tarn_safetensors_load(f, "x");
    tarn_safetensors_close(f);
    return x;
}

/* What the bits of a format of 1 sign, `exponent_bits` and `fraction_bits` stand for (IEEE 754, section 3.4). */
static double meaning(uint32_t bits, int exponent_bits, int fraction_bits)
{
    int largest = (1 << exponent_bits) - 1, bias = largest / 2;
    int exponent = (int)(bits >> fraction_bits) & largest, fraction = (int)(bits & ((1u << fraction_bits) - 1));
    double sign = bits >> (exponent_bits + fraction_bits) ? -1 : 1;
    if (exponent == largest)
        return fraction ? NAN : sign * INFINITY;
    int whole = exponent ? 1 << fraction_bits : 0;
    return sign * ldexp(whole + fraction, (exponent ? exponent : 1) - bias - fraction_bits);
}

static void expect_all_halves(const char *dtype, int exponent_bits, int fraction_bits)
{
    static uint16_t halves[1 << 16];
    for (int i = 0; i < 1 << 16; i++)
        halves[i] = (uint16_t)i;
    tarn_tensor *x = loaded(dtype, 1 << 16, halves, sizeof halves);
    assert_non_null(x);
    assert_int_equal(tarn_tensor_dtype(x), TARN_F32);
    const float *values = tarn_data(x);
    for (uint32_t i = 0; i < 1 << 16; i++) {
        double want = meaning(i, exponent_bits, fraction_bits);
        if (isnan(want) ? !isnan(values[i]) : (double)values[i] != want || !signbit(values[i]) != !signbit(want))
            fail_msg("%s %04x is %a, expected %a", dtype, i, (double)values[i], want);
    }
    tarn_tensor_free(x);
}

static void halves_are_exact(void **state)
{
    (void)state;
    expect_all_halves("F16", 5, 10);
    expect_all_halves("BF16", 8, 7);
}

static void expect_whole(tarn_tensor *x, tarn_dtype dtype, int n, const int64_t *want)
{
    assert_non_null(x);
    assert_int_equal(tarn_tensor_dtype(x), dtype);
    for (int64_t i = 0; i < n; i++)
        assert_true(tarn_at(x, &i) == (double)want[i]);
    tarn_tensor_free(x);
}

#define EXPECT_WHOLE(name, type, dtype, ...)                                                                           \
    do {                                                                                                               \
        const type in[] = {__VA_ARGS__};                                                                               \
        const int64_t want[] = {__VA_ARGS__};                                                                          \
        int n = sizeof in / sizeof in[0];                                                                              \
        expect_whole(loaded(name, (size_t)n, in, sizeof in), dtype, n, want);                                          \
    } while (0)

static void whole_numbers_are_kept(void **state)
{
    (void)state;
    EXPECT_WHOLE("I8", int8_t, TARN_I32, -128, -1, 0, 127);
    EXPECT_WHOLE("I16", int16_t, TARN_I32, -32768, -1, 0, 32767);
    EXPECT_WHOLE("U16", uint16_t, TARN_I32, 0, 32768, 65535);
    EXPECT_WHOLE("U32", uint32_t, TARN_I32, 0, INT32_MAX);
    EXPECT_WHOLE("I64", int64_t, TARN_I32, INT32_MIN, -1, 0, INT32_MAX);
    EXPECT_WHOLE("U64", uint64_t, TARN_I32, 0, INT32_MAX);
    EXPECT_WHOLE("BOOL", uint8_t, TARN_U8, 0, 1, 1, 0);
}

#define EXPECT_REFUSED(name, type, ...)                                                                                \
    do {                                                                                                               \
        const type in[] = {__VA_ARGS__};                                                                               \
        assert_null(loaded(name, sizeof in / sizeof in[0], in, sizeof in));                                            \
        expect_error("tarn_safetensors_load: ", "\"x\": element 1 is out of range: " name " is read as ");             \
    } while (0)

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    EXPECT_REFUSED("I64", int64_t, 0, (int64_t)INT32_MAX + 1);
    EXPECT_REFUSED("I64", int64_t, 0, (int64_t)INT32_MIN - 1);
    EXPECT_REFUSED("I64", int64_t, 0, INT64_MIN);
    EXPECT_REFUSED("U64", uint64_t, 0, (uint64_t)INT32_MAX + 1);
    EXPECT_REFUSED("U64", uint64_t, 0, UINT64_MAX);
    EXPECT_REFUSED("U32", uint32_t, 0, (uint32_t)INT32_MAX + 1);
    EXPECT_REFUSED("BOOL", uint8_t, 0, 2);
    enum { MANY = 5000 }; /* more than are read at once */
    static int64_t many[MANY];
    many[MANY - 1] = -3000000000;
    assert_null(loaded("I64", MANY, many, sizeof many));
    expect_error("tarn_safetensors_load: ", "element 4999 is out of range");
    many[MANY - 1] = -3;
    tarn_tensor *x = loaded("I64", MANY, many, sizeof many);
    assert_true(tarn_at(x, (int64_t[]){MANY - 1}) == -3);
    tarn_tensor_free(x);
}

/* PyTorch's BatchNorm counts its batches in an I64 scalar. */
static void a_scalar_is_a_scalar(void **state)
{
    (void)state;
    static const char header[] = "{\"x\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}";
    char all[8 + sizeof header - 1 + 8] = {sizeof header - 1};
    memcpy(all + 8, header, sizeof header - 1);
    all[8 + sizeof header - 1] = 100;
    write_file(file_at("x.safetensors"), all, sizeof all);
    tarn_safetensors *f = tarn_safetensors_open(file_at("x.safetensors"));
    tarn_tensor *x = tarn_safetensors_load(f, "x");
    assert_non_null(x);
    assert_true(tarn_ndim(x) == 0 && tarn_item(x) == 100 && tarn_tensor_dtype(x) == TARN_I32);
    tarn_tensor_free(x);
    tarn_safetensors_close(f);
}

static void stores_take_what_becomes_theirs(void **state)
{
    (void)state;
    static const uint16_t halves[4] = {0x3c00, 0xc000, 0x7c00, 1};
    static const double values[4] = {1, -2, INFINITY, 0x1p-24};
    tarn_params *p = tarn_params_new(TARN_F32), *wide = tarn_params_new(TARN_F64);
    tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(4));
    tarn_params_add(wide, "x", TARN_SHAPE(4));
    uint64_t version = x->version;
    assert_true(tarn_params_load(p, file_of("F16", 4, halves, sizeof halves)));
    for (int64_t i = 0; i < 4; i++)
        assert_true(tarn_at(x, &i) == values[i]);
    assert_true(x->version > version);
    assert_false(tarn_params_load(wide, file_at("x.safetensors")));
    expect_error("tarn_params_load: ", "\"x\" is F16[4], expected F64[4]");
    static const int64_t counts[4] = {1, 2, 3, 4};
    assert_false(tarn_params_load(p, file_of("I64", 4, counts, sizeof counts)));
    expect_error("tarn_params_load: ", "\"x\" is I64[4], expected F32[4]");
    assert_true(tarn_at(x, (int64_t[]){1}) == -2);
    tarn_params_free(p);
    tarn_params_free(wide);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(halves_are_exact),     T(whole_numbers_are_kept),          T(what_does_not_fit_is_refused),
        T(a_scalar_is_a_scalar), T(stores_take_what_becomes_theirs),
    };
    return cmocka_run_group_tests_name("safetensors_dtypes", tests, folder_make, folder_remove);
}
