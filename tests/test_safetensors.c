/* Weights files. tests/safetensors_reference.py holds the same files against the reference library, through
 *     test_safetensors --write FILE     the tensors of tensors_new()
 *     test_safetensors --copy IN OUT    everything in IN, read and written again */
#include "data/safetensors.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <math.h>
#include <stdarg.h>

#define REFERENCE "tests/fixtures/reference.safetensors"
#define FOREIGN   "tests/fixtures/foreign.safetensors"

/* ---- tensors of every dtype, of 0 to 4 axes, of no elements, under names that need escapes */

enum { COUNT = 8 };

static const struct {
    const char *name;
    tarn_dtype dtype;
    int ndim;
    int64_t shape[4];
} specs[COUNT] = {
    {"conv1.weight", TARN_F32, 4, {3, 3, 1, 2}},
    {"b\"quote\\slash", TARN_F32, 1, {5}},
    {"scalar", TARN_F64, 0, {0}},
    {"empty", TARN_F32, 2, {0, 3}},
    {"labels\n\t\x01", TARN_I32, 1, {4}},
    {"pixels \xc3\xa9\xf0\x9f\x8e\x89", TARN_U8, 2, {2, 3}},
    {"a.double", TARN_F64, 2, {2, 2}},
    {"", TARN_U8, 1, {1}},
};
static const char *const keys[] = {"step", "note \"x\""}, *const values[] = {"12", "caf\xc3\xa9\n"};

static double element(int k, int64_t i)
{
    return specs[k].dtype == TARN_U8    ? (double)((k * 40 + i * 7) % 256)
           : specs[k].dtype == TARN_I32 ? (double)((i - 1) * 100000007 + k)
                                        : (double)(i + 1) / (double)(k + 3) - 1;
}

static void tensors_new(tarn_tensor *x[COUNT], const char *names[COUNT])
{
    for (int k = 0; k < COUNT; k++) {
        names[k] = specs[k].name;
        x[k] = tarn_tensor_new(specs[k].dtype, specs[k].ndim, specs[k].shape);
        for (int64_t i = 0; i < tarn_numel(x[k]); i++)
            tarn__store(x[k], i, element(k, i));
    }
}

static void tensors_free(tarn_tensor *x[COUNT])
{
    for (int k = 0; k < COUNT; k++)
        tarn_tensor_free(x[k]);
}

static bool write_tensors(const char *path)
{
    tarn_tensor *x[COUNT];
    const char *names[COUNT];
    tensors_new(x, names);
    bool ok = tarn_safetensors_save_with(path, COUNT, names, x, 2, keys, values);
    tensors_free(x);
    return ok;
}

static void check_tensors(const char *path)
{
    tarn_safetensors *f = tarn_safetensors_open(path);
    assert_non_null(f);
    assert_int_equal(tarn_safetensors_count(f), COUNT);
    for (int k = 0; k < COUNT; k++) {
        tarn_tensor *x = tarn_safetensors_load(f, specs[k].name);
        assert_non_null(x);
        assert_int_equal(tarn_tensor_dtype(x), specs[k].dtype);
        assert_int_equal(tarn_ndim(x), specs[k].ndim);
        tarn_tensor *want = tarn_tensor_new(specs[k].dtype, specs[k].ndim, specs[k].shape);
        for (int64_t i = 0; i < tarn_numel(want); i++)
            tarn__store(want, i, element(k, i));
        assert_true(tarn__same_shape(x, want));
        assert_memory_equal(tarn_data(x), tarn_data(want), tarn__bytes(want));
        tarn_tensor_free(want);
        tarn_tensor_free(x);
    }
    assert_int_equal(tarn_safetensors_metadata_count(f), 2);
    for (int i = 0; i < 2; i++)
        assert_string_equal(tarn_safetensors_metadata(f, keys[i]), values[i]);
    assert_null(tarn_safetensors_metadata(f, "none"));
    tarn_safetensors_close(f);
}

/* ---- whole files */

static void what_was_written_is_read(void **state)
{
    (void)state;
    assert_true(write_tensors(file_at("a")));
    check_tensors(file_at("a"));
    assert_int_equal(count_files(), 1);
    assert_true(write_tensors(file_at("a"))); /* over itself */
    check_tensors(file_at("a"));
    assert_int_equal(count_files(), 1);
}

static void the_reference_writes_the_same_bytes(void **state)
{
    (void)state;
    check_tensors(REFERENCE);
    assert_true(write_tensors(file_at("a")));
    assert_same_bytes(file_at("a"), REFERENCE);
}

static void special_values_keep_their_bits(void **state)
{
    (void)state;
    const uint32_t bits[] = {0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0x80000000, 1};
    tarn_tensor *x = tarn_tensor_from(TARN_F32, TARN_SHAPE(6), bits);
    const char *name = "x";
    assert_true(tarn_safetensors_save(file_at("a"), 1, &name, &x));
    tarn_safetensors *f = tarn_safetensors_open(file_at("a"));
    tarn_tensor *y = tarn_safetensors_load(f, "x");
    assert_memory_equal(tarn_data(y), bits, sizeof bits);
    tarn_safetensors_close(f);
    tarn_tensor_free(x);
    tarn_tensor_free(y);
}

/* Two by two ones in each of five dtypes, as the reference library writes them. */
static void other_dtypes_are_read(void **state)
{
    (void)state;
    tarn_safetensors *f = tarn_safetensors_open(FOREIGN);
    assert_non_null(f);
    assert_int_equal(tarn_safetensors_count(f), 5);
    for (size_t i = 0; i < 5; i++) {
        const char *dtype = tarn_safetensors_dtype(f, i);
        tarn_tensor *x = tarn_safetensors_load(f, tarn_safetensors_name(f, i));
        assert_non_null(x);
        assert_int_equal(tarn_tensor_dtype(x), dtype[0] == 'F' ? TARN_F32 : dtype[0] == 'I' ? TARN_I32 : TARN_U8);
        assert_true(tarn_ndim(x) == 2 && tarn_dim(x, 0) == 2 && tarn_dim(x, 1) == 2);
        for (int64_t k = 0; k < 4; k++)
            assert_true(tarn_at(x, (int64_t[]){k / 2, k % 2}) == 1);
        tarn_tensor_free(x);
    }
    assert_null(tarn_safetensors_load(f, "nothing"));
    expect_error("tarn_safetensors_load", "no tensor \"nothing\"");
    assert_null(tarn_safetensors_name(f, 5));
    tarn_safetensors_close(f);
}

static void no_tensors_are_a_file_too(void **state)
{
    (void)state;
    assert_true(tarn_safetensors_save(file_at("a"), 0, NULL, NULL));
    tarn_safetensors *f = tarn_safetensors_open(file_at("a"));
    assert_non_null(f);
    assert_int_equal(tarn_safetensors_count(f), 0);
    tarn_safetensors_close(f);
}

/* ---- damaged files */

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    file_bytes whole = read_file(REFERENCE);
    for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
        write_file(file_at("cut"), whole.data, bytes);
        assert_null(tarn_safetensors_open(file_at("cut")));
        expect_error("tarn_safetensors_open: ", file_at("cut"));
    }
    whole.data[whole.bytes] = 0;
    write_file(file_at("cut"), whole.data, whole.bytes + 1);
    assert_null(tarn_safetensors_open(file_at("cut")));
    expect_error("tarn_safetensors_open: ", "bytes of data, expected");
    free(whole.data);
}

/* Whatever the byte: an error, or a file whose tensors can be loaded or refused. */
static void every_changed_byte_is_survived(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0x01, 0x02, 0x10, 0x20, 0x80, 0xff, '"' ^ '}', '0' ^ '9'};
    file_bytes whole = read_file(REFERENCE);
    size_t header = 8 + (size_t)whole.data[0] + 256 * (size_t)whole.data[1];
    int refused = 0;
    for (size_t at = 0; at < header; at++)
        for (size_t c = 0; c < sizeof changes; c++) {
            whole.data[at] ^= changes[c];
            write_file(file_at("changed"), whole.data, whole.bytes);
            whole.data[at] ^= changes[c];
            tarn_safetensors *f = tarn_safetensors_open(file_at("changed"));
            refused += !f;
            tarn_error_clear();
            for (size_t i = 0; i < tarn_safetensors_count(f); i++) {
                tarn_tensor_free(tarn_safetensors_load(f, tarn_safetensors_name(f, i)));
                tarn_error_clear();
            }
            tarn_safetensors_close(f);
        }
    assert_true(refused > (int)header * 4);
    free(whole.data);
}

/* Writes header and `data_bytes` zeros. `length` 0: the header's own. */
static const char *file_of(const char *header, size_t data_bytes, uint64_t length)
{
    unsigned char bytes[4096] = {0};
    size_t n = strlen(header);
    length = length ? length : n;
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(bytes + 8, header, n);
    const char *path = file_at("made");
    write_file(path, bytes, 8 + n + data_bytes);
    return path;
}

#define X(shape, begin, end) "{\"dtype\":\"U8\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

static void headers_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *says;
    } cases[] = {
        {"", 0, "expected {"},
        {" {}", 0, "expected {"},
        {"{} x", 0, "follows"},
        {"{\"a\":" X("2", "0", "2") ",}", 2, "expected \""},
        {"{\"a\":" X("2", "0", "2") ",\"a\":" X("1", "2", "3") "}", 3, "\"a\" is given twice"},
        {"{\"a\":" X("2", "0", "2") ",\"\\u0061\":" X("1", "2", "3") "}", 3, "\"a\" is given twice"},
        {"{\"a\":" X("2", "0", "2") ",\"b\":" X("1", "3", "4") "}", 4, "without holes"},
        {"{\"a\":" X("2", "0", "2") ",\"b\":" X("1", "1", "2") "}", 2, "without holes"},
        {"{\"a\":" X("2", "1", "3") "}", 3, "without holes"},
        {"{\"a\":" X("2", "0", "2") "}", 3, "has 3 bytes of data, expected 2"},
        {"{\"a\":" X("3", "0", "2") "}", 2, "do not fit"},
        {"{\"a\":" X("2", "2", "0") "}", 2, "end before they begin"},
        {"{\"a\":" X("4294967296,4294967296", "0", "0") "}", 0, "overflows"},
        {"{\"a\":" X("9223372036854775808", "0", "0") "}", 0, "above 2^63-1"},
        {"{\"a\":" X("9223372036854775807", "0", "0") "}", 0, "do not fit"},
        {"{\"a\":" X("-1", "0", "0") "}", 0, "integer"},
        {"{\"a\":" X("1.0", "0", "1") "}", 1, "expected ]"},
        {"{\"a\":" X("01", "0", "1") "}", 1, "leading zero"},
        {"{\"a\":" X("1,", "0", "1") "}", 1, "integer"},
        {"{\"a\":{\"dtype\":\"U9\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "unknown dtype"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "do not fit"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 0, "each once"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "each once"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"more\":1}}", 1, "each once"},
        {"{\"a\":{}}", 0, "expected \""},
        {"{\"a\":[]}", 0, "expected {"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "expected \""},
        {"{\"__metadata__\":{\"k\":\"v\",\"k\":\"w\"}}", 0, "\"k\" is given twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "is given twice"},
        {"{\"__metadata__\":{\"k\":{\"deep\":\"v\"}}}", 0, "expected \""},
        {"{\"\\ud800\":" X("", "0", "1") "}", 1, "surrogate"},
        {"{\"\\udc00\":" X("", "0", "1") "}", 1, "surrogate"},
        {"{\"\\ud800\\u0041\":" X("", "0", "1") "}", 1, "surrogate"},
        {"{\"\\u0000\":" X("", "0", "1") "}", 1, "NUL"},
        {"{\"\\x\":" X("", "0", "1") "}", 1, "unknown escape"},
        {"{\"\\u12g4\":" X("", "0", "1") "}", 1, "hexadecimal"},
        {"{\"\xff\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"\xc0\xaf\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"\xed\xa0\x80\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"\xe0\x9f\xbf\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"\xf0\x8f\xbf\xbf\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"\xf4\x90\x80\x80\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"\xe2\x82\":" X("", "0", "1") "}", 1, "UTF-8"},
        {"{\"a\n\":" X("", "0", "1") "}", 1, "control character"},
        {"{\"a", 0, "string without its end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(tarn_safetensors_open(file_of(cases[i].header, cases[i].data_bytes, 0)));
        expect_error("tarn_safetensors_open: ", file_at("made"), cases[i].says);
    }
    static const uint64_t lengths[] = {3, 1000, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_null(tarn_safetensors_open(file_of("{}", 0, lengths[i])));
        expect_error("tarn_safetensors_open: ", "a header of");
    }
}

static void odd_but_legal_headers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *header, *name;
        size_t data_bytes;
    } cases[] = {
        {"{ \"a\" :\t{ \"data_offsets\" : [ 0 , 2 ] , \"shape\":[ 2 ]\n,\"dtype\":\"U8\" }\r}  ", "a", 2},
        {"{\"\\u00e9\\ud83c\\udf89\\/\\b\\f\":" X("", "0", "1") "}", "\xc3\xa9\xf0\x9f\x8e\x89/\b\f", 1},
        {"{\"b\":" X("1", "0", "1") ",\"z\":" X("0", "1", "1") ",\"a\":" X("0,9", "0", "0") "}", "z", 1},
        {"{\"__metadata__\":{},\"a\":" X("1,1,1,1,1,1,1,1", "0", "1") "}", "a", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tarn_safetensors *f = tarn_safetensors_open(file_of(cases[i].header, cases[i].data_bytes, 0));
        expect_no_error();
        tarn_tensor *x = tarn_safetensors_load(f, cases[i].name);
        assert_non_null(x);
        tarn_tensor_free(x);
        tarn_safetensors_close(f);
    }
    tarn_safetensors *f = tarn_safetensors_open(file_of("{\"a\":" X("1,1,1,1,1,1,1,1,1", "0", "1") "}", 1, 0));
    assert_non_null(f);
    assert_true(tarn_safetensors_ndim(f, 0) == 9 && !tarn_safetensors_shape(f, 0));
    assert_null(tarn_safetensors_load(f, "a"));
    expect_error("tarn_safetensors_load", "9 axes");
    tarn_safetensors_close(f);
}

/* ---- stores */

static tarn_params *store_new(double first)
{
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_params_add(p, "w", TARN_SHAPE(2, 3));
    tarn_params_add_buffer(p, "mean", TARN_SHAPE(4));
    tarn_params_add(p, "b", 0, NULL);
    for (size_t i = 0; i < tarn_params_count(p); i++)
        for (int64_t j = 0; j < tarn_numel(tarn_params_at(p, i)); j++)
            tarn__store(tarn_params_at(p, i), j, first + (double)i + (double)j / 7);
    return p;
}

static void assert_same_stores(const tarn_params *a, const tarn_params *b)
{
    for (size_t i = 0; i < tarn_params_count(a); i++) {
        tarn_tensor *x = tarn_params_at(a, i), *y = tarn_params_at(b, i);
        assert_memory_equal(x->data, y->data, tarn__bytes(x));
    }
}

static void a_store_is_saved_and_loaded(void **state)
{
    (void)state;
    tarn_params *p = store_new(1), *q = store_new(50);
    assert_true(tarn_params_save(p, file_at("p")));
    uint64_t version = tarn_params_at(q, 0)->version;
    assert_true(tarn_params_load(q, file_at("p")));
    assert_same_stores(p, q);
    assert_true(tarn_params_at(q, 0)->version > version);
    tarn_params_free(p);
    tarn_params_free(q);
}

/* Loads into a store like store_new's: it must fail, say why, and change nothing. */
static void expect_refusal(tarn_params *other, const char *says)
{
    tarn_params *p = store_new(1), *same = store_new(1);
    assert_true(tarn_params_save(other, file_at("p")));
    assert_false(tarn_params_load(p, file_at("p")));
    expect_error("tarn_params_load: ", file_at("p"), says);
    assert_same_stores(p, same);
    assert_int_equal(tarn_params_at(p, 0)->version, tarn_params_at(same, 0)->version);
    tarn_params_free(p);
    tarn_params_free(same);
    tarn_params_free(other);
}

static void a_store_that_differs_is_refused(void **state)
{
    (void)state;
    tarn_params *p = store_new(2);
    tarn_params_add(p, "more", TARN_SHAPE(1));
    expect_refusal(p, "has \"more\", which the store does not");
    p = tarn_params_new(TARN_F32);
    tarn_params_add(p, "w", TARN_SHAPE(2, 3));
    tarn_params_add(p, "mean", TARN_SHAPE(4));
    expect_refusal(p, "no tensor \"b\"");
    p = tarn_params_new(TARN_F32);
    tarn_params_add(p, "w", TARN_SHAPE(3, 2));
    tarn_params_add(p, "mean", TARN_SHAPE(4));
    tarn_params_add(p, "b", 0, NULL);
    expect_refusal(p, "\"w\" is F32[3,2], expected F32[2,3]");
    p = tarn_params_new(TARN_F64);
    tarn_params_add(p, "w", TARN_SHAPE(2, 3));
    expect_refusal(p, "\"w\" is F64[2,3], expected F32[2,3]");
}

/* ---- wrong calls */

static void wrong_calls_are_errors(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_tensor_new(TARN_F32, TARN_SHAPE(2)), *pair[2] = {x, x}, *none[1] = {NULL};
    const char *twice[2] = {"a", "a"}, *bad[1] = {"\xff"}, *reserved[1] = {"__metadata__"}, *null[1] = {NULL};
    tarn_params *p = tarn_params_new(TARN_F32);
#define WRONG(call, ...)                                                                                               \
    do {                                                                                                               \
        assert_false(call);                                                                                            \
        expect_error(__VA_ARGS__);                                                                                     \
    } while (0)
    WRONG(tarn_safetensors_save(file_at("a"), 2, twice, pair), "tarn_safetensors_save: \"a\" is given twice");
    WRONG(tarn_safetensors_save(file_at("a"), 1, bad, pair), "tarn_safetensors_save: name 0 is not UTF-8");
    WRONG(tarn_safetensors_save(file_at("a"), 1, reserved, pair), "tarn_safetensors_save: \"__metadata__\"");
    WRONG(tarn_safetensors_save(file_at("a"), 1, null, pair), "tarn_safetensors_save: name 0 is NULL");
    WRONG(tarn_safetensors_save(file_at("a"), 1, twice, none), "tarn_safetensors_save: tensor 0");
    WRONG(tarn_safetensors_save(file_at("a"), 1, NULL, pair), "tarn_safetensors_save: names is NULL");
    WRONG(tarn_safetensors_save(NULL, 1, twice, pair), "tarn_safetensors_save: path is NULL");
    WRONG(tarn_safetensors_save_with(file_at("a"), 0, NULL, NULL, 2, twice, twice),
          "tarn_safetensors_save_with: key \"a\" is given twice");
    WRONG(tarn_params_save(NULL, file_at("a")), "tarn_params_save: params is NULL");
    WRONG(tarn_params_load(p, NULL), "tarn_params_load: path is NULL");
    WRONG(tarn_params_load(p, file_at("none")), "tarn_params_load: ", "No such file");
    WRONG(tarn_params_load(p, "/dev/zero"), "tarn_params_load: /dev/zero: not a regular file");
    WRONG(tarn_params_save(p, "/dev/null"), "tarn_params_save: /dev/null: exists, and is not a regular file");
    WRONG(tarn_params_save(p, test_folder), "tarn_params_save: ", "not a regular file");
    WRONG(tarn_params_save(p, file_at("none/file")), "tarn_params_save: ", "folder: No such file");
    WRONG(tarn_params_save(p, file_at("none/")), "tarn_params_save: ", "does not name a file");
    assert_int_equal(count_files(), 0);
    tarn_fail("pending");
    assert_false(tarn_params_save(p, file_at("a")));
    assert_null(tarn_safetensors_open(REFERENCE));
    expect_error("pending");
    assert_int_equal(count_files(), 0);
    tarn_safetensors_close(NULL);
    tarn_tensor_free(x);
    tarn_params_free(p);
}

static bool save_and_load(void)
{
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_params_add(p, "w", TARN_SHAPE(2, 3));
    tarn_params_save(p, file_at("p"));
    tarn_params_load(p, file_at("p"));
    tarn_safetensors *f = tarn_safetensors_open(REFERENCE);
    tarn_tensor *x = tarn_safetensors_load(f, "scalar");
    tarn_tensor_free(x);
    tarn_safetensors_close(f);
    tarn_params_free(p);
    return !tarn_error();
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    fail_each_allocation(save_and_load, false);
}

/* ---- for tests/safetensors_reference.py */

static bool copy(const char *from, const char *to)
{
    tarn_safetensors *f = tarn_safetensors_open(from);
    size_t n = tarn_safetensors_count(f), n_keys = tarn_safetensors_metadata_count(f);
    tarn_tensor **x = calloc(n + 1, sizeof *x);
    const char **text = calloc(n + 2 * n_keys + 1, sizeof *text);
    for (size_t i = 0; i < n; i++) {
        text[i] = tarn_safetensors_name(f, i);
        x[i] = tarn_safetensors_load(f, text[i]);
    }
    for (size_t i = 0; i < n_keys; i++) {
        text[n + i] = tarn_safetensors_metadata_key(f, i);
        text[n + n_keys + i] = tarn_safetensors_metadata(f, text[n + i]);
    }
    bool ok = tarn_safetensors_save_with(to, n, text, x, n_keys, text + n, text + n + n_keys);
    for (size_t i = 0; i < n; i++)
        tarn_tensor_free(x[i]);
    free(x);
    free(text);
    tarn_safetensors_close(f);
    return ok;
}

static int command(int count, char **words)
{
    bool ok = count == 3 && strcmp(words[1], "--write") == 0  ? write_tensors(words[2])
              : count == 4 && strcmp(words[1], "--copy") == 0 ? copy(words[2], words[3])
                                                              : tarn_fail("usage: --write FILE | --copy IN OUT");
    if (!ok)
        fprintf(stderr, "%s\n", tarn_error());
    return !ok;
}

int main(int count, char **words)
{
    if (count > 1)
        return command(count, words);
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(what_was_written_is_read),       T(the_reference_writes_the_same_bytes), T(special_values_keep_their_bits),
        T(other_dtypes_are_read),          T(no_tensors_are_a_file_too),           T(every_truncation_is_an_error),
        T(every_changed_byte_is_survived), T(headers_that_lie_are_refused),        T(odd_but_legal_headers_are_read),
        T(a_store_is_saved_and_loaded),    T(a_store_that_differs_is_refused),     T(wrong_calls_are_errors),
        T(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("safetensors", tests, folder_make, folder_remove);
}
