/* Pictures. The files in tests/fixtures/ were written by Pillow and ImageMagick from the formulas below. */
#include "data/image.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <math.h>
#include <zlib.h>

#define FIXTURE(name) "tests/fixtures/" name

static const char *const fixtures[] = {FIXTURE("baseline.jpg"), FIXTURE("progressive.jpg"), FIXTURE("interlaced.png"),
                                       FIXTURE("palette.png"),  FIXTURE("deep.png"),        FIXTURE("grey_alpha.png")};
enum { FIXTURES = sizeof fixtures / sizeof fixtures[0], WIDTH = 23, HEIGHT = 17 };

static int rgb_at(int64_t x, int64_t y, int64_t c)
{
    return (int)(c == 0 ? x * 11 : c == 1 ? y * 15 : (x + y) * 6) % 256;
}

/* In an order that no filter foretells, and then in one that each does somewhere. */
static tarn_tensor *picture_new(int ndim, int64_t height, int64_t width, int64_t channels)
{
    int64_t shape[3] = {height, width, channels};
    tarn_tensor *x = tarn_tensor_new(TARN_U8, ndim, shape);
    for (int64_t i = 0; i < x->numel; i++) {
        int64_t pixel = i / (ndim == 3 ? channels : 1), row = pixel / width, column = pixel % width;
        int64_t noise = (i * 2654435761LL) >> 7;
        ((uint8_t *)x->data)[i] = (uint8_t)(row % 3 ? row * 9 + column * 5 * (row % 2) + i % 4 * 50 : noise);
    }
    return x;
}

static void assert_shape(const tarn_tensor *x, int64_t height, int64_t width, int64_t channels)
{
    assert_non_null(x);
    assert_int_equal(tarn_tensor_dtype(x), TARN_U8);
    assert_int_equal(tarn_ndim(x), 3);
    assert_true(tarn_dim(x, 0) == height && tarn_dim(x, 1) == width && tarn_dim(x, 2) == channels);
}

/* ---- reading */

static void interlaced_png_is_exact(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_image_load(FIXTURE("interlaced.png"), 0);
    assert_shape(x, HEIGHT, WIDTH, 3);
    for (int64_t y = 0; y < HEIGHT; y++)
        for (int64_t column = 0; column < WIDTH; column++)
            for (int64_t c = 0; c < 3; c++)
                assert_int_equal(tarn_at(x, (int64_t[]){y, column, c}), rgb_at(column, y, c));
    tarn_tensor_free(x);
}

static void other_pngs_are_exact(void **state)
{
    (void)state;
    tarn_tensor *palette = tarn_image_load(FIXTURE("palette.png"), 0);
    tarn_tensor *deep = tarn_image_load(FIXTURE("deep.png"), 0);
    tarn_tensor *alpha = tarn_image_load(FIXTURE("grey_alpha.png"), 0);
    assert_shape(palette, 7, 9, 3);
    assert_shape(deep, 7, 9, 1);
    assert_shape(alpha, 7, 9, 2);
    for (int i = 0; i < 63; i++) {
        const uint8_t *p = (const uint8_t *)palette->data + 3 * i, *a = (const uint8_t *)alpha->data + 2 * i;
        assert_true(p[0] == i * 4 % 256 && p[1] == 255 - i && p[2] == i * i % 256);
        assert_int_equal(((const uint8_t *)deep->data)[i], (i * 1000 + 77) / 256);
        assert_true(a[0] == i * 4 && a[1] == 255 - i);
    }
    tarn_tensor_free(palette);
    tarn_tensor_free(deep);
    tarn_tensor_free(alpha);
}

static void jpegs_are_close(void **state)
{
    (void)state;
    tarn_tensor *rgb = tarn_image_load(FIXTURE("baseline.jpg"), 0);
    tarn_tensor *grey = tarn_image_load(FIXTURE("progressive.jpg"), 0);
    assert_shape(rgb, HEIGHT, WIDTH, 3);
    assert_shape(grey, HEIGHT, WIDTH, 1);
    double error[4] = {0};
    for (int64_t y = 0; y < HEIGHT; y++)
        for (int64_t x = 0; x < WIDTH; x++) {
            int r = rgb_at(x, y, 0), g = rgb_at(x, y, 1), b = rgb_at(x, y, 2);
            for (int64_t c = 0; c < 3; c++)
                error[c] += fabs(tarn_at(rgb, (int64_t[]){y, x, c}) - rgb_at(x, y, c));
            error[3] += fabs(tarn_at(grey, (int64_t[]){y, x, 0}) - (0.299 * r + 0.587 * g + 0.114 * b));
        }
    for (int i = 0; i < 4; i++)
        assert_true(error[i] / (WIDTH * HEIGHT) < 4);
    tarn_tensor_free(rgb);
    tarn_tensor_free(grey);
}

static void channels_are_converted(void **state)
{
    (void)state;
    tarn_tensor *rgb = tarn_image_load(FIXTURE("palette.png"), 3);
    tarn_tensor *grey = tarn_image_load(FIXTURE("palette.png"), 1);
    tarn_tensor *rgba = tarn_image_load(FIXTURE("palette.png"), 4);
    tarn_tensor *wide = tarn_image_load(FIXTURE("grey_alpha.png"), 4);
    assert_shape(rgb, 7, 9, 3);
    assert_shape(grey, 7, 9, 1);
    assert_shape(rgba, 7, 9, 4);
    assert_shape(wide, 7, 9, 4);
    for (int i = 0; i < 63; i++) {
        const uint8_t *p = (const uint8_t *)rgb->data + 3 * i, *q = (const uint8_t *)rgba->data + 4 * i;
        const uint8_t *w = (const uint8_t *)wide->data + 4 * i;
        assert_int_equal(((const uint8_t *)grey->data)[i], (77 * p[0] + 150 * p[1] + 29 * p[2]) >> 8);
        assert_true(p[0] == q[0] && p[1] == q[1] && p[2] == q[2] && q[3] == 255);
        assert_true(w[0] == i * 4 && w[1] == i * 4 && w[2] == i * 4 && w[3] == 255 - i);
    }
    tarn_tensor_free(rgb);
    tarn_tensor_free(grey);
    tarn_tensor_free(rgba);
    tarn_tensor_free(wide);
}

/* ---- writing */

static void what_was_written_is_read(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {37, 61}, {300, 200}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int64_t channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
            tarn_tensor *x = picture_new(3, sizes[i][0], sizes[i][1], channels);
            assert_true(tarn_image_save_png(file_at("x.png"), x));
            tarn_tensor *y = tarn_image_load(file_at("x.png"), 0);
            assert_shape(y, sizes[i][0], sizes[i][1], channels);
            assert_memory_equal(x->data, y->data, tarn__bytes(x));
            tarn_tensor_free(x);
            tarn_tensor_free(y);
        }
    tarn_tensor *flat = picture_new(2, 5, 6, 1);
    assert_true(tarn_image_save_png(file_at("x.png"), flat));
    tarn_tensor *y = tarn_image_load(file_at("x.png"), 1);
    assert_shape(y, 5, 6, 1);
    assert_memory_equal(flat->data, y->data, 30);
    assert_int_equal(count_files(), 1);
    tarn_tensor_free(flat);
    tarn_tensor_free(y);
}

static void flat_pictures_are_small(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_tensor_new(TARN_U8, TARN_SHAPE(500, 500, 3));
    assert_true(tarn_fill(x, 200) && tarn_image_save_png(file_at("x.png"), x));
    file_bytes file = read_file(file_at("x.png"));
    assert_true(file.bytes < 3000);
    free(file.data);
    tarn_tensor_free(x);
}

/* ---- damaged files */

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    for (int i = 0; i < FIXTURES; i++) {
        file_bytes whole = read_file(fixtures[i]);
        for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
            unsigned char *cut = malloc(bytes + 1); /* of its own size, so that a read beyond it is seen */
            memcpy(cut, whole.data, bytes);
            cut = realloc(cut, bytes ? bytes : 1);
            assert_null(tarn_image_decode(cut, bytes, 0));
            expect_error("tarn_image_decode: ");
            free(cut);
        }
        free(whole.data);
    }
}

/* A PNG's checksums tell; a JPEG has none, so any picture of some size will do. */
static void every_changed_byte_is_survived(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0x01, 0x10, 0x80, 0xff};
    for (int i = 0; i < FIXTURES; i++) {
        file_bytes whole = read_file(fixtures[i]);
        bool png = whole.data[0] != 0xFF;
        for (size_t at = 0; at < whole.bytes; at++)
            for (size_t c = 0; c < sizeof changes; c++) {
                whole.data[at] ^= changes[c];
                tarn_tensor *x = tarn_image_decode(whole.data, whole.bytes, 3);
                whole.data[at] ^= changes[c];
                assert_true(x || tarn_error());
                assert_false(png && x);
                tarn_error_clear();
                tarn_tensor_free(x);
            }
        free(whole.data);
    }
}

/* The bytes of a JPEG up to its frame, with `segment` before them. */
static void expect_jpeg_refused(const unsigned char *segment, size_t bytes, const char *says)
{
    file_bytes whole = read_file(FIXTURE("baseline.jpg"));
    unsigned char *made = malloc(whole.bytes + bytes);
    memcpy(made, whole.data, 2);
    memcpy(made + 2, segment, bytes);
    memcpy(made + 2 + bytes, whole.data + 2, whole.bytes - 2);
    assert_null(tarn_image_decode(made, whole.bytes + bytes, 0));
    expect_error("tarn_image_decode: ", says);
    free(made);
    free(whole.data);
}

static void hostile_jpegs_are_refused(void **state)
{
    (void)state;
    unsigned char table[4 + 17 + 4080] = {0xFF, 0xC4, (17 + 4080 + 2) >> 8, (17 + 4080 + 2) & 255, 0x10};
    memset(table + 5, 255, 16); /* 4080 codes, where a table has 256 */
    expect_jpeg_refused(table, sizeof table, "Huffman table");
    static const unsigned char symbol[] = {0xFF, 0xC4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16};
    expect_jpeg_refused(symbol, sizeof symbol, "symbol 16");
    static const unsigned char shorter[] = {0xFF, 0xC4, 0, 10, 0, 1, 0, 0, 0, 0, 0, 0};
    expect_jpeg_refused(shorter, sizeof shorter, "Huffman table");
    static const unsigned char stray[] = {0xFF, 0xD3}, garbage[] = {0xFF, 0xFE, 0, 2, 0x12},
                               length[] = {0xFF, 0xE1, 0, 1};
    expect_jpeg_refused(stray, sizeof stray, "out of place");
    expect_jpeg_refused(garbage, sizeof garbage, "should begin a marker");
    expect_jpeg_refused(length, sizeof length, "has length 1");
    static const unsigned char empty[] = {0xFF, 0xD8, 0xFF, 0xD9};
    assert_null(tarn_image_decode(empty, sizeof empty, 0));
    expect_error("tarn_image_decode: ", "no picture");
}

/* A PNG that declares width x height and holds `data_bytes` zeros, deflated. */
static void expect_png_refused(uint32_t width, uint32_t height, size_t data_bytes, const char *says)
{
    uLongf packed = compressBound(data_bytes);
    unsigned char *zeros = calloc(data_bytes + 1, 1), *file = malloc(packed + 100), *at = file;
    static const unsigned char head[16] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n',
                                           0,    0,   0,   13,  'I',  'H',  'D',  'R'};
    assert_int_equal(compress2(file + 41, &packed, zeros, data_bytes, 9), Z_OK);
    memcpy(file, head, 16);
    const uint32_t words[] = {width, height};
    for (int i = 0; i < 8; i++)
        file[16 + i] = (unsigned char)(words[i / 4] >> (24 - 8 * (i % 4)));
    memcpy(file + 24, (const unsigned char[]){8, 2, 0, 0, 0}, 5);
    memcpy(file + 37, "IDAT", 4);
    memcpy(file + 41 + packed + 4, (const unsigned char[]){0, 0, 0, 0, 'I', 'E', 'N', 'D'}, 8);
    const struct {
        size_t name, bytes;
    } chunks[] = {{12, 13}, {37, packed}, {41 + packed + 8, 0}};
    for (int c = 0; c < 3; c++) {
        uLong sum = crc32(0, file + chunks[c].name, (uInt)chunks[c].bytes + 4);
        for (int i = 0; i < 4; i++) {
            file[chunks[c].name - 4 + (size_t)i] = (unsigned char)(chunks[c].bytes >> (24 - 8 * i));
            file[chunks[c].name + 4 + chunks[c].bytes + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i));
        }
    }
    at += 41 + packed + 4 + 12;
    assert_null(tarn_image_decode(file, (size_t)(at - file), 0));
    expect_error("tarn_image_decode: ", says);
    free(zeros);
    free(file);
}

static void hostile_pngs_are_refused(void **state)
{
    (void)state;
    expect_png_refused(0x7fffffff, 0x7fffffff, 100, "2147483647 x 2147483647 pixels");
    expect_png_refused(16384, 16384, (size_t)1 << 30, "805306368 elements, expected at most 268435456");
    expect_png_refused(50, 50, 1000, "could not be decoded"); /* 7550 bytes of rows */
    expect_png_refused(2, 2, (size_t)200 << 20, "more memory than its size warrants");
}

static void files_too_large_are_not_read(void **state)
{
    (void)state;
    FILE *f = fopen(file_at("large.png"), "wb");
    assert_int_equal(fseek(f, 64 << 20, SEEK_SET), 0);
    fputc(0, f);
    fclose(f);
    assert_null(tarn_image_load(file_at("large.png"), 0));
    expect_error("tarn_image_load: ", file_at("large.png"), "67108865 bytes, expected at most 67108864");
}

/* ---- resizing */

static void shrinking_averages(void **state)
{
    (void)state;
    const uint8_t in[2][6] = {{0, 10, 20, 30, 100, 200}, {4, 6, 40, 50, 255, 255}};
    tarn_tensor *x = tarn_tensor_from(TARN_U8, TARN_SHAPE(2, 6), in);
    tarn_tensor *y = tarn_image_resize(x, 1, 3), *z = tarn_image_resize(x, 2, 4);
    const uint8_t want_y[3] = {5, 35, 203}; /* 203: 202.5, rounded */
    /* Each output covers one and a half pixels. */
    const uint8_t want_z[2][4] = {{3, 17, 53, 167}, {5, 29, 118, 255}};
    assert_true(tarn_ndim(y) == 2 && tarn_dim(y, 0) == 1 && tarn_dim(y, 1) == 3);
    assert_memory_equal(y->data, want_y, 3);
    assert_memory_equal(z->data, want_z, 8);
    tarn_tensor_free(x);
    tarn_tensor_free(y);
    tarn_tensor_free(z);
}

static void growing_interpolates(void **state)
{
    (void)state;
    const uint8_t in[2][2] = {{0, 100}, {200, 40}};
    tarn_tensor *x = tarn_tensor_from(TARN_U8, TARN_SHAPE(1, 2, 2), in);
    tarn_tensor *y = tarn_image_resize(x, 2, 4);
    const uint8_t want[8] = {0, 100, 50, 85, 150, 55, 200, 40};
    assert_shape(y, 2, 4, 2);
    assert_memory_equal(y->data, want, 8);
    assert_memory_equal((const uint8_t *)y->data + 8, want, 8);
    tarn_tensor_free(x);
    tarn_tensor_free(y);
}

static void resizing_keeps_what_it_should(void **state)
{
    (void)state;
    tarn_tensor *x = picture_new(3, 31, 45, 3), *same = tarn_image_resize(x, 31, 45);
    assert_memory_equal(x->data, same->data, tarn__bytes(x));
    static const int64_t sizes[][2] = {{1, 1}, {7, 100}, {99, 3}, {31, 44}, {62, 90}};
    tarn_tensor *flat = tarn_tensor_new(TARN_U8, TARN_SHAPE(31, 45, 3));
    tarn_fill(flat, 255);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        tarn_tensor *y = tarn_image_resize(flat, sizes[i][0], sizes[i][1]);
        for (int64_t j = 0; j < y->numel; j++)
            assert_int_equal(((const uint8_t *)y->data)[j], 255);
        tarn_tensor_free(y);
    }
    tarn_tensor_free(x);
    tarn_tensor_free(same);
    tarn_tensor_free(flat);
}

/* ---- wrong calls */

static void wrong_calls_are_errors(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_tensor_new(TARN_U8, TARN_SHAPE(2, 2, 2)), *none = tarn_tensor_new(TARN_U8, TARN_SHAPE(0, 2));
    tarn_tensor *f = tarn_tensor_new(TARN_F32, TARN_SHAPE(2, 2, 3));
    assert_null(tarn_image_load(NULL, 0));
    expect_error("tarn_image_load: path is NULL");
    assert_null(tarn_image_load(FIXTURE("deep.png"), 2));
    expect_error("tarn_image_load: 2 channels");
    assert_null(tarn_image_load(file_at("none.png"), 0));
    expect_error("tarn_image_load: ", "none.png", "No such file");
    assert_null(tarn_image_load("/dev/zero", 0));
    expect_error("tarn_image_load: /dev/zero: not a regular file");
    assert_null(tarn_image_decode("GIF89a", 6, 0));
    expect_error("tarn_image_decode: neither a PNG nor a JPEG");
    assert_null(tarn_image_decode(NULL, 6, 0));
    expect_error("tarn_image_decode: data is NULL");
    assert_false(tarn_image_save_png(file_at("x.png"), x));
    expect_error("tarn_image_save_png: [2,2,2], expected 1, 3 or 4 channels");
    assert_false(tarn_image_save_png(file_at("x.png"), f));
    expect_error("tarn_image_save_png: f32[2,2,3], expected u8");
    assert_false(tarn_image_save_png(file_at("x.png"), none));
    expect_error("tarn_image_save_png: [0,2], expected sides of 1");
    assert_null(tarn_image_resize(x, 0, 5));
    expect_error("tarn_image_resize: [0,5], expected sides of 1");
    assert_null(tarn_image_resize(x, 5, 16385));
    expect_error("tarn_image_resize: [5,16385]");
    assert_int_equal(count_files(), 0);
    tarn_fail("pending");
    assert_null(tarn_image_load(FIXTURE("deep.png"), 0));
    assert_false(tarn_image_save_png(file_at("x.png"), x));
    expect_error("pending");
    assert_int_equal(count_files(), 0);
    tarn_tensor_free(x);
    tarn_tensor_free(f);
    tarn_tensor_free(none);
}

static bool load_resize_save(void)
{
    for (int i = 0; i < FIXTURES; i++) {
        tarn_tensor *x = tarn_image_load(fixtures[i], 3), *y = tarn_image_resize(x, 5, 50);
        tarn_image_save_png(file_at("x.png"), y);
        tarn_tensor_free(x);
        tarn_tensor_free(y);
    }
    return !tarn_error();
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    fail_each_allocation(load_resize_save, false);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(interlaced_png_is_exact),      T(other_pngs_are_exact),           T(jpegs_are_close),
        T(channels_are_converted),       T(what_was_written_is_read),       T(flat_pictures_are_small),
        T(every_truncation_is_an_error), T(every_changed_byte_is_survived), T(hostile_jpegs_are_refused),
        T(hostile_pngs_are_refused),     T(files_too_large_are_not_read),   T(shrinking_averages),
        T(growing_interpolates),         T(resizing_keeps_what_it_should),  T(wrong_calls_are_errors),
        T(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("image", tests, folder_make, folder_remove);
}
