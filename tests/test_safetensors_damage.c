/* Damaged and hostile weights files: an error, or tensors that are what the file holds; never a crash.
 *
 * tests/safetensors_damage.py compares the verdicts with those of the reference library, by the mode
 *   --judge FILE...   of each: "error ...", or "ok" and a line a tensor; then a line "." */
#include "data/safetensors.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <inttypes.h>

static const char *const ours[] = {"F64", "F32", "I32", "U8"};

static bool is_ours(const char *dtype)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(dtype, ours[i]) == 0)
            return true;
    return false;
}

/* Whether the tensors that f lists are, end to end, the last `left` bytes of the file. */
static void expect_whole(const tarn_safetensors *f, const unsigned char *data, size_t left)
{
    bool all = true;
    for (size_t i = 0; i < tarn_safetensors_count(f); i++) {
        const char *name = tarn_safetensors_name(f, i);
        tarn_tensor *x = tarn_safetensors_load(f, name);
        if (!x) {
            assert_false(is_ours(tarn_safetensors_dtype(f, i)) && tarn_safetensors_shape(f, i));
            expect_error("tarn_safetensors_load: ");
            all = false; /* where the next one begins is not known */
            continue;
        }
        size_t bytes = tarn__bytes(x);
        all = all && is_ours(tarn_safetensors_dtype(f, i)); /* of the others, the bytes become other ones */
        if (all) {
            assert_true(bytes <= left);
            assert_true(bytes == 0 || memcmp(tarn_data(x), data, bytes) == 0);
            data += bytes;
            left -= bytes;
        }
        tarn_tensor_free(x);
    }
    assert_true(!all || left == 0);
}

static size_t with_length(unsigned char *file, const char *header)
{
    size_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(file + 8, header, n);
    return 8 + n;
}

/* ---- chance ---- */

static const char two[] = "{\"__metadata__\":{\"k\":\"\\u00e9\"},"
                          "\"a\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[0,12]},"
                          "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}";

static void every_value_of_every_header_byte(void **state)
{
    (void)state;
    unsigned char file[512];
    size_t header = with_length(file, two), bytes = header + 13;
    for (unsigned char i = 0; i < 13; i++)
        file[header + i] = (unsigned char)(200 + i);
    write_file(file_at("f"), file, bytes);
    const char *path = file_at("f");
    FILE *out = fopen(path, "r+b");
    assert_non_null(out);
    setbuf(out, NULL);
    int taken = 0, refused = 0;
    for (size_t at = 0; at < header; at++) {
        for (int value = 0; value < 256; value++) {
            unsigned char byte = (unsigned char)value;
            assert_int_equal(fseek(out, (long)at, SEEK_SET), 0);
            assert_int_equal(fwrite(&byte, 1, 1, out), 1);
            tarn_safetensors *f = tarn_safetensors_open(path);
            if (f) {
                expect_no_error();
                expect_whole(f, file + header, 13);
                taken++;
            } else {
                expect_error("tarn_safetensors_open: ", path);
                refused++;
            }
            tarn_safetensors_close(f);
        }
        assert_int_equal(fseek(out, (long)at, SEEK_SET), 0);
        assert_int_equal(fwrite(file + at, 1, 1, out), 1);
    }
    fclose(out);
    assert_true(taken > (int)header && refused > 10 * taken);
}

static void every_length_of_a_file(void **state)
{
    (void)state;
    unsigned char file[512] = {0};
    size_t bytes = with_length(file, two) + 13;
    for (size_t n = 0; n < sizeof file; n++) {
        write_file(file_at("f"), file, n);
        tarn_safetensors *f = tarn_safetensors_open(file_at("f"));
        assert_int_equal(f != NULL, n == bytes);
        if (!f)
            expect_error("tarn_safetensors_open: ", file_at("f"));
        tarn_safetensors_close(f);
    }
}

/* ---- size ---- */

/* Header bytes that are not written to the disk: they read as NUL, which no header may hold. */
static void the_longest_header(void **state)
{
    (void)state;
    enum { LONGEST = 100000000 };
    const char *path = file_at("f");
    for (int more = 0; more < 2; more++) {
        const uint64_t length = LONGEST + (uint64_t)more;
        unsigned char start[10];
        for (int i = 0; i < 8; i++)
            start[i] = (unsigned char)(length >> 8 * i);
        start[8] = '{';
        start[9] = '}';
        write_file(path, start, sizeof start);
        assert_int_equal(truncate(path, 8 + LONGEST + 1), 0);
        assert_null(tarn_safetensors_open(path));
        expect_error("tarn_safetensors_open: ", path,
                     more ? "a header of 100000001 bytes, expected at most 100000000" : "something follows");
    }
}

static void deep_nesting_takes_no_stack(void **state)
{
    (void)state;
    enum { DEEP = 1 << 20 };
    static const char *const starts[] = {"", "{\"a\":", "{\"a\":{\"shape\":", "{\"__metadata__\":{\"k\":"};
    char *header = malloc(DEEP + 1);
    unsigned char *file = malloc(8 + DEEP + 1);
    assert_true(header && file);
    for (size_t s = 0; s < 4; s++)
        for (int kind = 0; kind < 2; kind++) {
            memset(header, kind ? '{' : '[', DEEP);
            header[DEEP] = '\0';
            memcpy(header, starts[s], strlen(starts[s]));
            write_file(file_at("f"), file, with_length(file, header));
            assert_null(tarn_safetensors_open(file_at("f")));
            expect_error("tarn_safetensors_open: ", file_at("f"), "header byte");
        }
    free(header);
    free(file);
}

/* Many entries that a quadratic reader would take hours for, in an order that a naive sort finds hardest. */
static void many_entries_are_read_quickly(void **state)
{
    (void)state;
    enum { MANY = 100000, ROOM = MANY * 64 };
    char *header = malloc(ROOM);
    unsigned char *file = malloc(8 + ROOM);
    assert_true(header && file);
    for (int twice = 0; twice < 2; twice++) {
        size_t n = 0;
        for (int i = 0; i < MANY; i++) /* the second time, the last has the first one's name */
            n += (size_t)snprintf(header + n, ROOM - n,
                                  "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? ',' : '{',
                                  twice && i == MANY - 1 ? MANY : MANY - i);
        memcpy(header + n, "}", 2);
        write_file(file_at("f"), file, with_length(file, header));
        tarn_safetensors *f = tarn_safetensors_open(file_at("f"));
        if (twice)
            expect_error("tarn_safetensors_open: ", "\"100000\" is given twice");
        else
            expect_no_error();
        assert_int_equal(tarn_safetensors_count(f), twice ? 0 : MANY);
        tarn_safetensors_close(f);
    }
    free(header);
    free(file);
}

/* Legal in the format, since nothing is stored; but not a shape of tarn's. */
static void a_huge_tensor_of_nothing(void **state)
{
    (void)state;
    static const char header[] = "{\"a\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904,0],\"data_offsets\":[0,0]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[0,2,2],\"data_offsets\":[0,0]}}";
    unsigned char file[512];
    write_file(file_at("f"), file, with_length(file, header));
    tarn_safetensors *f = tarn_safetensors_open(file_at("f"));
    expect_no_error();
    assert_int_equal(tarn_safetensors_count(f), 2);
    assert_null(tarn_safetensors_load(f, "a"));
    expect_error("tarn_safetensors_load: ", "too large");
    tarn_tensor *b = tarn_safetensors_load(f, "b");
    assert_non_null(b);
    assert_int_equal(tarn_dim(b, -1), 2);
    tarn_tensor_free(b);
    tarn_safetensors_close(f);
}

/* What the file says must not lead the message astray. */
static void hostile_names_in_messages(void **state)
{
    (void)state;
    static const char header[] = "{\"%s%n\\u001b[31m\\nok\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}";
    unsigned char file[512] = {0};
    tarn_params *p = tarn_params_new(TARN_F32);
    write_file(file_at("f"), file, with_length(file, header) + 1);
    assert_false(tarn_params_load(p, file_at("f")));
    expect_error("tarn_params_load: ", "has \"%s%n?[31m?ok\", which the store does not");
    tarn_params_free(p);
}

/* The file changes after it was opened. */
static void a_file_that_shrinks(void **state)
{
    (void)state;
    unsigned char file[512] = {0};
    size_t header = with_length(file, two);
    write_file(file_at("f"), file, header + 13);
    tarn_safetensors *f = tarn_safetensors_open(file_at("f"));
    expect_no_error();
    assert_int_equal(truncate(file_at("f"), (off_t)header + 5), 0);
    assert_null(tarn_safetensors_load(f, "a"));
    expect_error("tarn_safetensors_load: ", file_at("f"), "ends after");
    tarn_safetensors_close(f);
}

/* ---- verdicts for the script ---- */

static void print_bytes(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        printf("%02x", ((const unsigned char *)data)[i]);
}

/* "NAME DTYPE [shape] DATA", both in hexadecimal; "?" and "-" for what tarn does not keep or load */
static void print_tensor(const tarn_safetensors *f, size_t i)
{
    const char *name = tarn_safetensors_name(f, i);
    const int64_t *shape = tarn_safetensors_shape(f, i);
    print_bytes(name, strlen(name));
    printf(" %s [%s", tarn_safetensors_dtype(f, i), shape ? "" : "?");
    for (int axis = 0; shape && axis < tarn_safetensors_ndim(f, i); axis++)
        printf("%s%" PRId64, axis ? "," : "", shape[axis]);
    tarn_tensor *x = tarn_safetensors_load(f, name);
    printf("] %s", x ? "" : "-");
    if (x && tarn_numel(x))
        print_bytes(tarn_data(x), tarn__bytes(x));
    tarn_error_clear();
    tarn_tensor_free(x);
}

static void judge(const char *path)
{
    tarn_safetensors *f = tarn_safetensors_open(path);
    printf("%s%s", f ? "ok" : "error ", f ? "" : tarn_error());
    tarn_error_clear();
    for (size_t i = 0; i < tarn_safetensors_count(f); i++) {
        printf("\n");
        print_tensor(f, i);
    }
    printf("\n.\n");
    tarn_safetensors_close(f);
}

int main(int count, char **words)
{
    if (count > 1) {
        for (int i = 2; i < count; i++)
            judge(words[i]);
        return strcmp(words[1], "--judge") != 0;
    }
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(every_value_of_every_header_byte), T(every_length_of_a_file),        T(the_longest_header),
        T(deep_nesting_takes_no_stack),      T(many_entries_are_read_quickly), T(a_huge_tensor_of_nothing),
        T(hostile_names_in_messages),        T(a_file_that_shrinks),
    };
    return cmocka_run_group_tests_name("safetensors_damage", tests, folder_make, folder_remove);
}
