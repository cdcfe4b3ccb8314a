/* Writing PNG: W3C Recommendation "Portable Network Graphics", second edition. */
#include "data/file.h"
#include "data/image_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <stdlib.h>
#include <string.h>

enum { FILTERS = 5, HEAD_BYTES = 8 + 25, TAIL_BYTES = 4 + 12 };

bool tarn__image_usable(const char *who, tarn_tensor *image, int64_t *channels)
{
    if (!tarn__tensor_usable(who, image, "image"))
        return false;
    if (image->dtype != TARN_U8 || image->ndim < 2 || image->ndim > 3)
        return tarn_fail("%s: %s%s, expected u8 [H,W] or [H,W,C]", who, tarn_dtype_name(image->dtype),
                         TARN__SHAPE_TEXT(image));
    *channels = image->ndim == 3 ? image->shape[2] : 1;
    for (int i = 0; i < 2; i++)
        if (image->shape[i] < 1 || image->shape[i] > TARN__IMAGE_MAX_SIDE)
            return tarn_fail("%s: %s, expected sides of 1 to %d", who, TARN__SHAPE_TEXT(image), TARN__IMAGE_MAX_SIDE);
    return true;
}

/* ---- filters (section 9): each byte less what its neighbours to the left (a), above (b) and above left (c)
 * foretell */

static int paeth(int a, int b, int c)
{
    int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

static int foretold(int filter, int a, int b, int c)
{
    switch (filter) {
    case 0:
        return 0;
    case 1:
        return a;
    case 2:
        return b;
    case 3:
        return (a + b) / 2;
    default:
        return paeth(a, b, c);
    }
}

/* The row after `filter`, its number first. `above` NULL: the first row. Returns the sum of the absolute
 * differences: the standard's advice (section 12.8) is to take the filter that makes it least. */
static long filter_row(int filter, const unsigned char *row, const unsigned char *above, size_t bytes, size_t pixel,
                       unsigned char *out)
{
    long sum = 0;
    *out++ = (unsigned char)filter;
    for (size_t i = 0; i < bytes; i++) {
        int a = i >= pixel ? row[i - pixel] : 0, b = above ? above[i] : 0;
        int c = above && i >= pixel ? above[i - pixel] : 0;
        out[i] = (unsigned char)(row[i] - foretold(filter, a, b, c));
        sum += abs((signed char)out[i]);
    }
    return sum;
}

static void filter_best(const unsigned char *row, const unsigned char *above, size_t bytes, size_t pixel,
                        unsigned char *out)
{
    int best = 0;
    long least = 0;
    for (int filter = 0; filter < FILTERS; filter++) {
        long sum = filter_row(filter, row, above, bytes, pixel, out);
        if (filter == 0 || sum < least)
            best = filter, least = sum;
    }
    filter_row(best, row, above, bytes, pixel, out);
}

/* ---- chunks */

static void put_big_endian(unsigned char *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* The signature, IHDR, and the length and name of the IDAT chunk that follows. */
static void put_head(unsigned char out[HEAD_BYTES + 8], uint32_t width, uint32_t height, int64_t channels,
                     uint32_t data_bytes)
{
    static const unsigned char start[16] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n',
                                            0,    0,   0,   13,  'I',  'H',  'D',  'R'};
    memcpy(out, start, sizeof start);
    put_big_endian(out + 16, width);
    put_big_endian(out + 20, height);
    out[24] = 8;
    out[25] = channels == 1 ? 0 : channels == 3 ? 2 : 6;
    out[26] = out[27] = out[28] = 0;
    put_big_endian(out + 29, (uint32_t)crc32(0, out + 12, 17));
    put_big_endian(out + HEAD_BYTES, data_bytes);
    memcpy(out + HEAD_BYTES + 4, "IDAT", 4);
}

static void put_tail(unsigned char out[TAIL_BYTES], const unsigned char *data, size_t bytes)
{
    static const unsigned char end[12] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xAE, 0x42, 0x60, 0x82};
    uLong sum = crc32(0, (const unsigned char *)"IDAT", 4);
    put_big_endian(out, (uint32_t)crc32(sum, data, (uInt)bytes));
    memcpy(out + 4, end, sizeof end);
}

/* ---- compression */

/* Filters and deflates the rows into `out`; returns the bytes, 0 when there is no memory. */
static size_t compress_rows(const unsigned char *pixels, size_t rows, size_t row_bytes, size_t pixel,
                            unsigned char *line, unsigned char *out, size_t room)
{
    z_stream z = {.zalloc = tarn__zlib_allocate, .zfree = tarn__zlib_release};
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK)
        return 0;
    z.next_out = out;
    z.avail_out = (uInt)room;
    int status = Z_OK;
    for (size_t y = 0; y < rows && status == Z_OK; y++) {
        const unsigned char *row = pixels + y * row_bytes;
        filter_best(row, y ? row - row_bytes : NULL, row_bytes, pixel, line);
        z.next_in = line;
        z.avail_in = (uInt)row_bytes + 1;
        status = deflate(&z, y + 1 < rows ? Z_NO_FLUSH : Z_FINISH);
    }
    size_t bytes = room - z.avail_out;
    deflateEnd(&z);
    return status == Z_STREAM_END ? bytes : 0;
}

bool tarn_image_save_png(const char *path, tarn_tensor *image)
{
    const char *who = "tarn_image_save_png";
    int64_t channels;
    if (!tarn__usable(who, path, "path") || !tarn__image_usable(who, image, &channels))
        return false;
    if ((channels != 1 && channels != 3 && channels != 4) || image->numel > TARN__IMAGE_MAX_BYTES)
        return tarn_fail("%s: %s, expected 1, 3 or 4 channels and at most %d bytes", who, TARN__SHAPE_TEXT(image),
                         TARN__IMAGE_MAX_BYTES);
    const unsigned char *pixels = tarn_data(image);
    if (!pixels)
        return false;
    size_t rows = (size_t)image->shape[0], row_bytes = (size_t)(image->shape[1] * channels);
    size_t room = compressBound((uLong)(rows * (row_bytes + 1))) + 1024;
    unsigned char *line = tarn__allocate(row_bytes + 1), *data = tarn__allocate(room);
    size_t bytes = line && data ? compress_rows(pixels, rows, row_bytes, (size_t)channels, line, data, room) : 0;
    bool ok = false;
    if (bytes == 0)
        tarn_fail("%s: %s: no memory", who, path);
    else {
        unsigned char head[HEAD_BYTES + 8], tail[TAIL_BYTES];
        put_head(head, (uint32_t)image->shape[1], (uint32_t)rows, channels, (uint32_t)bytes);
        put_tail(tail, data, bytes);
        const tarn__piece pieces[] = {{head, sizeof head}, {data, bytes}, {tail, sizeof tail}};
        ok = tarn__file_replace(who, path, 3, pieces);
    }
    tarn__release(line);
    tarn__release(data);
    return ok;
}
