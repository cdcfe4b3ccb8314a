/* IDX files. */
#include "tests/data_examples.h"

enum { RECORDS = 1000 };

/* u8 [1000,2,3] */
static const char *write_bytes(const char *name, bool gzip)
{
    static uint8_t data[RECORDS * RECORD];
    for (int i = 0; i < RECORDS * RECORD; i++)
        data[i] = byte_at(i);
    return write_idx(name, 8, 3, (uint32_t[]){RECORDS, 2, 3}, data, sizeof data, gzip);
}

/* ---- whole files */

static void every_dtype_is_read(void **state)
{
    (void)state;
    static const struct {
        int code;
        tarn_dtype dtype;
        size_t bytes;
        unsigned char data[16];
        double values[2];
    } cases[] = {
        {0x08, TARN_U8, 2, {0, 255}, {0, 255}},
        {0x09, TARN_I32, 2, {0x80, 0x7f}, {-128, 127}},
        {0x0B, TARN_I32, 4, {0x80, 0x01, 0x01, 0x02}, {-32767, 258}},
        {0x0C, TARN_I32, 8, {0x80, 0, 0, 1, 1, 2, 3, 4}, {-2147483647, 16909060}},
        {0x0D, TARN_F32, 8, {0xbf, 0x80, 0, 0, 0x40, 0x49, 0x0f, 0xdb}, {-1, 3.14159274101257324}},
        {0x0E,
         TARN_F64,
         16,
         {0xbf, 0xf0, 0, 0, 0, 0, 0, 0, 0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18},
         {-1, 3.14159265358979312}},
    };
    for (int gzip = 0; gzip < 2; gzip++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const char *path =
                write_idx("x", cases[i].code, 2, (uint32_t[]){2, 1}, cases[i].data, cases[i].bytes, gzip);
            tarn_tensor *x = tarn_idx_load(path);
            assert_non_null(x);
            assert_int_equal(tarn_tensor_dtype(x), cases[i].dtype);
            assert_true(tarn_ndim(x) == 2 && tarn_dim(x, 0) == 2 && tarn_dim(x, 1) == 1);
            for (int64_t j = 0; j < 2; j++)
                assert_true(tarn_at(x, (int64_t[]){j, 0}) == cases[i].values[j]);
            tarn_tensor_free(x);
        }
}

static void shapes_may_be_empty_or_deep(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        tarn_tensor *none = tarn_idx_load(write_idx("x", 8, 2, (uint32_t[]){0, 5}, NULL, 0, gzip));
        tarn_tensor *deep = tarn_idx_load(write_idx("y", 8, 8, (uint32_t[]){1, 1, 1, 2, 1, 1, 1, 1}, "ab", 2, gzip));
        assert_true(none && tarn_numel(none) == 0 && tarn_dim(none, 1) == 5);
        assert_true(deep && tarn_ndim(deep) == 8 && tarn_dim(deep, 3) == 2);
        tarn_tensor_free(none);
        tarn_tensor_free(deep);
    }
}

/* ---- a few records at a time */

static void records_come_in_order(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        tarn_idx_reader *r = tarn_idx_open(write_bytes("x", gzip));
        assert_non_null(r);
        assert_true(tarn_idx_dtype(r) == TARN_U8 && tarn_idx_ndim(r) == 3 && tarn_idx_shape(r)[2] == 3);
        uint8_t data[RECORD * 300];
        for (int round = 0; round < 2; round++) {
            int64_t got, at = 0;
            assert_int_equal(tarn_idx_read(r, 0, data), 0);
            for (at = 0; (got = tarn_idx_read(r, 300, data)) > 0; at += got)
                for (int64_t i = 0; i < got * RECORD; i++)
                    assert_int_equal(data[i], byte_at(at * RECORD + i));
            assert_int_equal(at, RECORDS);
            assert_int_equal(tarn_idx_read(r, 1, data), 0);
            assert_true(tarn_idx_rewind(r));
        }
        tarn_idx_close(r);
    }
}

/* `padding` zeros behind a compressed file, and then `last` if it is not -1. */
static const char *write_padded(size_t padding, int last)
{
    file_bytes whole = read_file(write_bytes("x", true));
    unsigned char *longer = calloc(whole.bytes + padding + 1, 1);
    memcpy(longer, whole.data, whole.bytes);
    longer[whole.bytes + padding] = (unsigned char)last;
    write_file(file_at("x"), longer, whole.bytes + padding + (last >= 0));
    free(longer);
    free(whole.data);
    return file_at("x");
}

/* As gzip(1) has it: tapes and block devices pad with zeros. */
static void gzip_is_padded_with_zeros(void **state)
{
    (void)state;
    static const size_t paddings[] = {1, 2, 511, 4096, 4097, 65536, 200000};
    for (size_t i = 0; i < sizeof paddings / sizeof paddings[0]; i++) {
        tarn_tensor *x = tarn_idx_load(write_padded(paddings[i], -1));
        assert_non_null(x);
        assert_int_equal(tarn_numel(x), RECORDS * RECORD);
        tarn_tensor_free(x);
        tarn_idx_reader *r = tarn_idx_open(file_at("x"));
        uint8_t data[RECORD * RECORDS];
        for (int round = 0; round < 2; round++) {
            assert_int_equal(tarn_idx_read(r, RECORDS, data), RECORDS);
            assert_int_equal(tarn_idx_read(r, 1, data), 0);
            assert_true(tarn_idx_rewind(r));
        }
        tarn_idx_close(r);
        assert_null(tarn_idx_load(write_padded(paddings[i], 'x')));
        expect_error("tarn_idx_load: ", file_at("x"), "is neither more of them nor zeros");
    }
    assert_null(tarn_idx_load(write_padded(0, 'x')));
    expect_error("tarn_idx_load: ", "what follows the gzip data, at byte ", "is neither more of them nor zeros");
    assert_null(tarn_idx_load(write_padded(0, 0x1f)));
    expect_error("tarn_idx_load: ", "is neither more of them nor zeros");
}

static void gzip_members_are_joined(void **state)
{
    (void)state;
    file_bytes whole = read_file(write_bytes("plain", false));
    gzFile f = gzopen(file_at("two"), "wb");
    gzwrite(f, whole.data, 1001);
    gzclose(f);
    f = gzopen(file_at("two"), "ab");
    gzwrite(f, whole.data + 1001, (unsigned)whole.bytes - 1001);
    gzclose(f);
    tarn_tensor *x = tarn_idx_load(file_at("two"));
    assert_non_null(x);
    assert_memory_equal(x->data, whole.data + 16, whole.bytes - 16);
    tarn_tensor_free(x);
    free(whole.data);
}

/* ---- damaged files */

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        uint8_t data[40];
        for (int i = 0; i < 40; i++)
            data[i] = byte_at(i);
        file_bytes whole = read_file(write_idx("x", 8, 2, (uint32_t[]){8, 5}, data, 40, gzip));
        for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
            write_file(file_at("cut"), whole.data, bytes);
            assert_null(tarn_idx_load(file_at("cut")));
            expect_error("tarn_idx_load: ", file_at("cut"));
        }
        whole.data[whole.bytes] = 7;
        write_file(file_at("cut"), whole.data, whole.bytes + 1);
        assert_null(tarn_idx_load(file_at("cut")));
        expect_error("tarn_idx_load: ", file_at("cut"));
        free(whole.data);
    }
}

static void every_changed_byte_of_gzip_is_survived(void **state)
{
    (void)state;
    file_bytes whole = read_file(write_bytes("x", true));
    tarn_tensor *right = tarn_idx_load(file_at("x"));
    for (size_t at = 0; at < whole.bytes; at += at < 40 ? 1 : 37) {
        whole.data[at] ^= 0x55;
        write_file(file_at("changed"), whole.data, whole.bytes);
        whole.data[at] ^= 0x55;
        tarn_tensor *x = tarn_idx_load(file_at("changed"));
        if (x) /* a byte that means nothing, such as the time */
            assert_memory_equal(x->data, right->data, tarn__bytes(right));
        else
            expect_error("tarn_idx_load: ", file_at("changed"));
        tarn_tensor_free(x);
    }
    whole.data[whole.bytes - 8] ^= 1;
    write_file(file_at("changed"), whole.data, whole.bytes);
    assert_null(tarn_idx_load(file_at("changed")));
    expect_error("tarn_idx_load: ", "incorrect data check");
    tarn_tensor_free(right);
    free(whole.data);
}

static void a_reader_that_failed_must_be_rewound(void **state)
{
    (void)state;
    file_bytes whole = read_file(write_bytes("x", true));
    write_file(file_at("cut"), whole.data, whole.bytes / 2);
    free(whole.data);
    tarn_idx_reader *r = tarn_idx_open(file_at("cut"));
    assert_non_null(r);
    static uint8_t data[RECORDS * RECORD];
    for (int round = 0; round < 2; round++) {
        assert_int_equal(tarn_idx_read(r, 10, data), 10);
        assert_int_equal(tarn_idx_read(r, RECORDS, data), -1);
        expect_error("tarn_idx_read: ", "end too early");
        assert_int_equal(tarn_idx_read(r, 1, data), -1);
        expect_error("tarn_idx_read: ", "rewind");
        assert_true(tarn_idx_rewind(r));
    }
    assert_int_equal(tarn_idx_read(r, -1, data), -1);
    expect_error("tarn_idx_read: -1 records");
    tarn_idx_close(r);
}

static void headers_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint32_t most[9] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                     UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    for (int gzip = 0; gzip < 2; gzip++) {
        /* 4 GB, which a file of 20 bytes cannot hold: refused before memory is taken. */
        check_memory_install();
        check_memory_refuse((1 << 20) + 1, SIZE_MAX);
        assert_null(tarn_idx_load(write_idx("x", 8, 1, most, "abcd", 4, gzip)));
        check_memory_remove();
        expect_error("tarn_idx_load: ", file_at("x"), "declares 4294967295 bytes", gzip ? "cannot hold" : "has 4");
        assert_null(tarn_idx_load(write_idx("x", 0x0E, 8, most, "abcd", 4, gzip)));
        expect_error("tarn_idx_load: ", "is too large");
        assert_null(tarn_idx_load(write_idx("x", 8, 0, most, "a", 1, gzip)));
        expect_error("tarn_idx_load: ", "expected 00 00");
        assert_null(tarn_idx_load(write_idx("x", 8, 9, most, "a", 1, gzip)));
        expect_error("tarn_idx_load: ", "expected 00 00");
        assert_null(tarn_idx_load(write_idx("x", 10, 1, (uint32_t[]){1}, "a", 1, gzip)));
        expect_error("tarn_idx_load: ", "starts with 00 00 0a 01");
    }
}

/* Beyond 64 MiB a gzip file is counted before memory is taken for it. */
static void large_gzip_files_are_counted_first(void **state)
{
    (void)state;
    enum { LARGE = 65 << 20 };
    unsigned char *zeros = calloc(LARGE, 1);
    for (int i = 0; i < 1 << 20; i++)
        zeros[i] = byte_at(i);
    write_idx("x", 8, 2, (uint32_t[]){65, 1 << 20}, zeros, LARGE, true);
    tarn_tensor *x = tarn_idx_load(file_at("x"));
    assert_true(x && tarn_numel(x) == LARGE && ((uint8_t *)x->data)[LARGE - 1] == 0);
    tarn_tensor_free(x);
    write_idx("x", 8, 2, (uint32_t[]){66, 1 << 20}, zeros, LARGE, true);
    check_memory_install();
    check_memory_refuse((1 << 20) + 1, SIZE_MAX);
    assert_null(tarn_idx_load(file_at("x")));
    check_memory_remove();
    expect_error("tarn_idx_load: ", "before what its header declares");
    free(zeros);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(every_dtype_is_read),
        T(shapes_may_be_empty_or_deep),
        T(records_come_in_order),
        T(gzip_members_are_joined),
        T(gzip_is_padded_with_zeros),
        T(every_truncation_is_an_error),
        T(every_changed_byte_of_gzip_is_survived),
        T(a_reader_that_failed_must_be_rewound),
        T(headers_that_lie_are_refused),
        T(large_gzip_files_are_counted_first),
    };
    return cmocka_run_group_tests_name("data_idx", tests, folder_make, folder_remove);
}
