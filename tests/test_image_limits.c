/* Pictures that are made here, byte by byte: what a file may cost, and how it is turned. */
#include "data/image.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <zlib.h>

#define JPEG "tests/fixtures/baseline.jpg"

/* ---- a file that grows */

typedef struct bytes {
    unsigned char at[1 << 16];
    size_t count;
} bytes;

static void put(bytes *b, size_t count, const unsigned char *data)
{
    assert_true(count <= sizeof b->at - b->count);
    if (count)
        memcpy(b->at + b->count, data, count);
    b->count += count;
}

#define PUT(b, ...) put(b, sizeof((const unsigned char[]){__VA_ARGS__}), (const unsigned char[]){__VA_ARGS__})

/* ---- JPEGs of equal blocks: every Huffman table has one code, the bit 0, so that data are zeros */

enum { BASELINE = 0xC0, PROGRESSIVE = 0xC2, RUN_14 = 0xE0 };

/* Everything before the first scan. In a progressive picture the code is a run of empty blocks, 14 bits long. */
static void put_head(bytes *b, int kind, int width, int height, int components)
{
    b->count = 0;
    PUT(b, 0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0);
    for (int i = 0; i < 64; i++)
        PUT(b, 1);
    PUT(b, 0xFF, (unsigned char)kind, 0, (unsigned char)(8 + 3 * components), 8, (unsigned char)(height >> 8),
        (unsigned char)height, (unsigned char)(width >> 8), (unsigned char)width, (unsigned char)components);
    for (int i = 0; i < components; i++)
        PUT(b, (unsigned char)(i + 1), 0x11, 0);
    for (int table = 0; table < 2; table++) {
        PUT(b, 0xFF, 0xC4, 0, 20, (unsigned char)(table << 4), 1);
        for (int i = 0; i < 15; i++)
            PUT(b, 0);
        PUT(b, table && kind == PROGRESSIVE ? RUN_14 : 0);
    }
}

/* A scan of one component, with `count` zero bytes. */
static void put_scan(bytes *b, int component, int first, int last, int high, int low, size_t count)
{
    PUT(b, 0xFF, 0xDA, 0, 8, 1, (unsigned char)component, 0, (unsigned char)first, (unsigned char)last,
        (unsigned char)(high << 4 | low));
    for (size_t i = 0; i < count; i++)
        PUT(b, 0);
}

static void put_end(bytes *b)
{
    PUT(b, 0xFF, 0xD9);
}

static tarn_tensor *decoded(const bytes *b, const tarn_image_opts *opts)
{
    return tarn_image_decode_with(b->at, b->count, 0, opts);
}

/* The file must be refused, and nothing be taken for it. */
static void expect_refused(const bytes *b, const char *says)
{
    check_memory_install();
    assert_null(tarn_image_decode(b->at, b->count, 0));
    assert_int_equal(check_memory_calls(), 0);
    check_memory_remove();
    expect_error("tarn_image_decode: ", says);
}

static void expect_flat(tarn_tensor *x, int64_t height, int64_t width)
{
    assert_non_null(x);
    assert_true(tarn_dim(x, 0) == height && tarn_dim(x, 1) == width && tarn_dim(x, 2) == 1);
    for (int64_t i = 0; i < x->numel; i++)
        assert_int_equal(((const uint8_t *)x->data)[i], 128);
    tarn_tensor_free(x);
}

static void a_few_bytes_hold_no_large_jpeg(void **state)
{
    (void)state;
    static bytes b;
    put_head(&b, BASELINE, 16384, 16384, 1);
    put_scan(&b, 1, 0, 63, 0, 0, 4);
    put_end(&b);
    expect_refused(&b, "4 bytes, too few for the 4194304 blocks of 16384 x 16384 pixels");
    put_head(&b, PROGRESSIVE, 16384, 16384, 1);
    put_scan(&b, 1, 0, 0, 0, 0, 60000);
    put_end(&b);
    expect_refused(&b, "60000 bytes, too few");
    /* 128 x 128 pixels are 256 blocks, of at least 2 bits. */
    for (size_t count = 63; count <= 64; count++) {
        put_head(&b, BASELINE, 128, 128, 1);
        put_scan(&b, 1, 0, 63, 0, 0, count);
        put_end(&b);
        if (count == 63)
            expect_refused(&b, "63 bytes, too few for the 256 blocks");
        else
            expect_flat(decoded(&b, NULL), 128, 128);
    }
    /* 2048 x 2048 are 65536 blocks; what comes after the first coefficient needs two runs, of 15 bits. */
    for (size_t count = 3; count <= 4; count++) {
        put_head(&b, PROGRESSIVE, 2048, 2048, 1);
        put_scan(&b, 1, 0, 0, 0, 0, 8192);
        put_scan(&b, 1, 1, 63, 0, 0, count);
        put_end(&b);
        if (count == 3)
            expect_refused(&b, "3 bytes, too few for the 65536 blocks");
        else
            expect_flat(decoded(&b, NULL), 2048, 2048);
    }
}

/* The sum over scans of the blocks is what a decoder's time goes with. */
static void a_jpeg_says_each_bit_once(void **state)
{
    (void)state;
    static bytes b;
    static const struct {
        int kind, components;
        struct {
            int component, first, last, high, low;
        } scans[4];
        const char *says; /* NULL: nothing is wrong */
    } cases[] = {
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 1}, {1, 1, 63, 0, 2}, {1, 0, 0, 1, 0}, {1, 1, 63, 2, 1}}, NULL},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 1, 5, 0, 0}, {1, 6, 63, 0, 13}, {1, 6, 63, 13, 12}}, NULL},
        {BASELINE, 1, {{1, 0, 0, 0, 0}}, NULL},
        {BASELINE, 1, {{1, 0, 63, 0, 0}, {1, 0, 63, 0, 0}}, "out of turn"},
        {PROGRESSIVE, 1, {{1, 1, 63, 0, 0}}, "out of turn"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 0, 0, 0, 0}}, "out of turn"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 1, 63, 0, 0}, {1, 63, 63, 0, 0}}, "out of turn"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 1, 63, 0, 1}, {1, 1, 63, 1, 0}, {1, 1, 63, 1, 0}}, "out of turn"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 1, 63, 1, 0}}, "out of turn"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 3}, {1, 0, 0, 3, 1}}, "scan header"},
        {PROGRESSIVE, 1, {{1, 0, 5, 0, 0}}, "scan header"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 1, 64, 0, 0}}, "scan header"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 0}, {1, 5, 4, 0, 0}}, "scan header"},
        {PROGRESSIVE, 1, {{1, 0, 0, 0, 14}}, "scan header"},
        {BASELINE, 1, {{1, 0, 63, 0, 1}}, "scan header"},
        {BASELINE, 1, {{2, 0, 63, 0, 0}}, "scan header"},
        {BASELINE, 3, {{1, 0, 63, 0, 0}, {3, 0, 63, 0, 0}}, "component 1 of the JPEG has no scan"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_head(&b, cases[i].kind, 64, 64, cases[i].components);
        for (int k = 0; k < 4 && cases[i].scans[k].component; k++)
            put_scan(&b, cases[i].scans[k].component, cases[i].scans[k].first, cases[i].scans[k].last,
                     cases[i].scans[k].high, cases[i].scans[k].low, 16);
        put_end(&b);
        if (cases[i].says)
            expect_refused(&b, cases[i].says);
        else
            expect_flat(decoded(&b, NULL), 64, 64);
    }
}

static void frames_are_checked(void **state)
{
    (void)state;
    static bytes b;
    static const struct {
        int at, value; /* of the frame header, which begins with ff c0 */
        const char *says;
    } cases[] = {
        {1, 0xC3, "of the kind c3"},    {1, 0xC9, "of the kind c9"},    {4, 12, "12 bits a sample"},
        {9, 2, "frame header"},         {11, 0x51, "frame header"},     {11, 0x10, "frame header"},
        {5, 0x40, "64 x 16448 pixels"}, {7, 0x80, "32832 x 64 pixels"}, {8, 0, "0 x 64 pixels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_head(&b, BASELINE, 64, 64, 1);
        put_scan(&b, 1, 0, 63, 0, 0, 16);
        put_end(&b);
        b.at[2 + 69 + cases[i].at] = (unsigned char)cases[i].value;
        expect_refused(&b, cases[i].says);
    }
    put_head(&b, BASELINE, 64, 64, 1);
    put(&b, 13, b.at + 2 + 69);
    expect_refused(&b, "second frame");
    b.count = 2;
    put_scan(&b, 1, 0, 63, 0, 0, 16);
    expect_refused(&b, "scan before its frame");
}

static void limits_are_the_callers(void **state)
{
    (void)state;
    static bytes b;
    put_head(&b, PROGRESSIVE, 64, 48, 1);
    put_scan(&b, 1, 0, 0, 0, 0, 6);
    put_scan(&b, 1, 1, 63, 0, 1, 2);
    put_scan(&b, 1, 1, 63, 1, 0, 2);
    put_end(&b);
    const int64_t elements = 64 * 48, coefficients = 48 * (1 + 63 + 63);
    expect_flat(decoded(&b, &(tarn_image_opts){elements, 3, coefficients, false}), 48, 64);
    assert_null(decoded(&b, &(tarn_image_opts){.max_elements = elements - 1}));
    expect_error("tarn_image_decode_with: a picture of 64 x 48 pixels", "3072 elements, expected at most 3071");
    assert_null(decoded(&b, &(tarn_image_opts){.max_scans = 2}));
    expect_error("tarn_image_decode_with: ", "more than 2 scans");
    assert_null(decoded(&b, &(tarn_image_opts){.max_coefficients = coefficients - 1}));
    expect_error("tarn_image_decode_with: ", "more than 6095 coefficients");
    assert_null(tarn_image_decode_with(b.at, b.count, 3, &(tarn_image_opts){.max_elements = 3 * elements - 1}));
    expect_error("tarn_image_decode_with: ", "of 3 channels");
    write_file(file_at("x.jpg"), b.at, b.count);
    expect_flat(tarn_image_load_with(file_at("x.jpg"), 0, NULL), 48, 64);
    assert_null(tarn_image_load_with(file_at("x.jpg"), 0, &(tarn_image_opts){.max_scans = 1}));
    expect_error("tarn_image_load_with: ", file_at("x.jpg"), "more than 1 scans");
    assert_null(decoded(&b, &(tarn_image_opts){.max_elements = -1}));
    expect_error("tarn_image_decode_with: opts->max_elements is -1, expected 0 to 2147483647");
    assert_null(decoded(&b, &(tarn_image_opts){.max_scans = INT64_MAX}));
    expect_error("tarn_image_decode_with: opts->max_scans is 9223372036854775807");
    assert_null(decoded(&b, &(tarn_image_opts){.max_coefficients = -5}));
    expect_error("tarn_image_decode_with: opts->max_coefficients is -5");
}

static void scans_have_a_limit_by_default(void **state)
{
    (void)state;
    static bytes b;
    for (int scans = 64; scans <= 65; scans++) {
        put_head(&b, PROGRESSIVE, 8, 8, 1);
        put_scan(&b, 1, 0, 0, 0, 0, 1);
        for (int k = 1; k < scans; k++)
            put_scan(&b, 1, (k - 1) % 63 + 1, (k - 1) % 63 + 1, k > 63 ? 1 : 0, k > 63 ? 0 : 1, 2);
        put_end(&b);
        if (scans == 65)
            expect_refused(&b, "more than 64 scans");
        else
            expect_flat(decoded(&b, NULL), 8, 8);
    }
}

/* ---- PNG */

static void put_chunk(bytes *b, const char *name, size_t count, const unsigned char *data)
{
    uint32_t sum = (uint32_t)crc32(crc32(0, (const unsigned char *)name, 4), count ? data : (const unsigned char *)"",
                                   (uInt)count);
    PUT(b, 0, 0, (unsigned char)(count >> 8), (unsigned char)count);
    put(b, 4, (const unsigned char *)name);
    put(b, count, data);
    PUT(b, (unsigned char)(sum >> 24), (unsigned char)(sum >> 16), (unsigned char)(sum >> 8), (unsigned char)sum);
}

/* Grey rows of zeros: as many as there should be, or the first `rows` of them. */
static void put_png(bytes *b, uint32_t width, uint32_t height, uint32_t rows)
{
    const unsigned char head[13] = {
        (unsigned char)(width >> 24), (unsigned char)(width >> 16),  (unsigned char)(width >> 8),
        (unsigned char)width,         (unsigned char)(height >> 24), (unsigned char)(height >> 16),
        (unsigned char)(height >> 8), (unsigned char)height,         8};
    uLongf packed = sizeof b->at;
    size_t raw = (size_t)rows * (width + 1);
    unsigned char *zeros = calloc(raw ? raw : 1, 1), *data = malloc(packed);
    assert_int_equal(compress2(data, &packed, zeros, raw, 9), Z_OK);
    b->count = 0;
    PUT(b, 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n');
    put_chunk(b, "IHDR", sizeof head, head);
    put_chunk(b, "IDAT", packed, data);
    put_chunk(b, "IEND", 0, NULL);
    free(zeros);
    free(data);
}

static void a_few_bytes_hold_no_large_png(void **state)
{
    (void)state;
    static bytes b;
    put_png(&b, 9000, 9000, 1);
    expect_refused(&b, "too few for 9000 x 9000 pixels");
    put_png(&b, 16385, 1, 1);
    expect_refused(&b, "a picture of 16385 x 1 pixels (width x height), expected sides of 1 to 16384");
    put_png(&b, 1, 0x7fffffff, 1);
    expect_refused(&b, "1 x 2147483647 pixels");
    put_png(&b, 5, 0, 1);
    expect_refused(&b, "5 x 0 pixels");
    put_png(&b, 3000, 3000, 3000); /* as small as deflate makes it */
    assert_true(b.count < 3001 * 3000 / 1000);
    tarn_tensor *x = decoded(&b, NULL);
    assert_non_null(x);
    assert_true(tarn_dim(x, 0) == 3000 && tarn_dim(x, 1) == 3000);
    tarn_tensor_free(x);
}

/* ---- orientation */

/* Where the stored pixel (row, column) of height x width is shown. */
static void shown_at(int orientation, int64_t height, int64_t width, int64_t row, int64_t column, int64_t at[2])
{
    int64_t bottom = height - 1 - row, right = width - 1 - column;
    const int64_t places[8][2] = {{row, column}, {row, right},     {bottom, right}, {bottom, column},
                                  {column, row}, {column, bottom}, {right, bottom}, {right, row}};
    memcpy(at, places[orientation - 1], sizeof places[0]);
}

static void expect_turned(tarn_tensor *x, tarn_tensor *stored, int orientation)
{
    assert_non_null(x);
    int64_t height = tarn_dim(stored, 0), width = tarn_dim(stored, 1), channels = tarn_dim(stored, 2);
    assert_int_equal(tarn_dim(x, 0), orientation < 5 ? height : width);
    assert_int_equal(tarn_dim(x, 1), orientation < 5 ? width : height);
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++)
            for (int64_t c = 0; c < channels; c++) {
                int64_t at[2];
                shown_at(orientation, height, width, i, j, at);
                assert_true(tarn_at(x, (int64_t[]){at[0], at[1], c}) == tarn_at(stored, (int64_t[]){i, j, c}));
            }
    tarn_tensor_free(x);
}

enum { EXIF_BYTES = 8 + 2 + 2 * 12 + 4, ORIENTATION_AT = 8 + 2 + 12 };

/* TIFF with two entries, of which the second is the orientation. */
static void put_exif(unsigned char out[EXIF_BYTES], int orientation, bool big)
{
    static const struct {
        int value, bytes;
    } fields[] = {{42, 2}, {8, 4}, {2, 2}, {0x010F, 2}, {2, 2}, {1, 4}, {0, 4}, {0x0112, 2}, {3, 2}, {1, 4}};
    memset(out, 0, EXIF_BYTES);
    out[0] = out[1] = big ? 'M' : 'I';
    size_t at = 2;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        for (int k = 0; k < fields[i].bytes; k++)
            out[at + (size_t)k] = (unsigned char)(fields[i].value >> 8 * (big ? fields[i].bytes - 1 - k : k));
        at += (size_t)fields[i].bytes;
    }
    out[at + (big ? 1 : 0)] = (unsigned char)orientation;
}

/* The fixture with APP1 segments in front of everything else. */
static void put_exif_jpeg(bytes *b, const unsigned char *exif, size_t count)
{
    file_bytes whole = read_file(JPEG);
    b->count = 0;
    put(b, 2, whole.data);
    PUT(b, 0xFF, 0xE1, 0, 10, 'h', 't', 't', 'p', ':', '/', '/', 'x'); /* XMP comes in APP1 too */
    PUT(b, 0xFF, 0xE1, 0, (unsigned char)(2 + 6 + count), 'E', 'x', 'i', 'f', 0, 0);
    put(b, count, exif);
    put(b, whole.bytes - 2, whole.data + 2);
    free(whole.data);
}

static void jpegs_are_turned(void **state)
{
    (void)state;
    static bytes b;
    tarn_tensor *stored = tarn_image_load(JPEG, 0);
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int big = 0; big < 2; big++) {
            unsigned char exif[EXIF_BYTES];
            put_exif(exif, orientation, big);
            put_exif_jpeg(&b, exif, sizeof exif);
            expect_turned(decoded(&b, NULL), stored, orientation);
            expect_turned(decoded(&b, &(tarn_image_opts){.as_stored = true}), stored, 1);
            tarn_tensor *grey = tarn_image_load(JPEG, 1);
            expect_turned(tarn_image_decode(b.at, b.count, 1), grey, orientation);
            tarn_tensor_free(grey);
        }
    tarn_tensor_free(stored);
}

static void pngs_are_turned(void **state)
{
    (void)state;
    static bytes b;
    const uint8_t pixels[2][3] = {{1, 2, 3}, {4, 5, 6}};
    tarn_tensor *stored = tarn_tensor_from(TARN_U8, TARN_SHAPE(2, 3, 1), pixels);
    assert_true(tarn_image_save_png(file_at("x.png"), stored));
    file_bytes whole = read_file(file_at("x.png"));
    for (int orientation = 1; orientation <= 8; orientation++) {
        unsigned char exif[EXIF_BYTES];
        put_exif(exif, orientation, true);
        b.count = 0;
        put(&b, 33, whole.data);
        put_chunk(&b, "eXIf", sizeof exif, exif);
        put(&b, whole.bytes - 33, whole.data + 33);
        expect_turned(decoded(&b, NULL), stored, orientation);
    }
    free(whole.data);
    tarn_tensor_free(stored);
}

static void malformed_exif_turns_nothing(void **state)
{
    (void)state;
    static bytes b;
    static const struct {
        int at, value;
    } wrong[] = {{0, 'X'},
                 {1, 'I'},
                 {3, 41},
                 {4, 0xff},
                 {7, 250},
                 {ORIENTATION_AT + 3, 4},
                 {ORIENTATION_AT + 7, 2},
                 {ORIENTATION_AT + 9, 0},
                 {ORIENTATION_AT + 9, 9},
                 {ORIENTATION_AT + 8, 1}};
    tarn_tensor *stored = tarn_image_load(JPEG, 0);
    unsigned char exif[EXIF_BYTES];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_exif(exif, 6, true);
        exif[wrong[i].at] = (unsigned char)wrong[i].value;
        put_exif_jpeg(&b, exif, sizeof exif);
        expect_turned(decoded(&b, NULL), stored, 1);
    }
    put_exif(exif, 6, true);
    for (size_t count = 0; count < sizeof exif; count++) {
        put_exif_jpeg(&b, exif, count);
        expect_turned(decoded(&b, NULL), stored, count < ORIENTATION_AT + 12 ? 1 : 6);
    }
    tarn_tensor_free(stored);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(a_few_bytes_hold_no_large_jpeg),
        T(a_jpeg_says_each_bit_once),
        T(frames_are_checked),
        T(limits_are_the_callers),
        T(scans_have_a_limit_by_default),
        T(a_few_bytes_hold_no_large_png),
        T(jpegs_are_turned),
        T(pngs_are_turned),
        T(malformed_exif_turns_nothing),
    };
    return cmocka_run_group_tests_name("image_limits", tests, folder_make, folder_remove);
}
