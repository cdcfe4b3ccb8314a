/* What a picture must satisfy before stb_image 2.27 decodes it. That version does not check a PNG's checksums; for
 * JPEG see image_jpeg.c. */
#include "data/image_impl.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

enum { PNG_HEAD = 8, PNG_FRAME = 12, IHDR_BYTES = 13, DEFLATE_BEST = 1032 };

uint32_t tarn__image_big_endian(const unsigned char *b, int count)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | b[i];
    return value;
}

bool tarn__image_ends_early(const tarn__image_input *in, const char *format)
{
    return tarn_fail("%s: the %s data end too early, after %zu bytes", in->who, format, in->bytes);
}

bool tarn__image_sides_fit(const tarn__image_input *in, const tarn__image_info *info)
{
    bool fit = info->width >= 1 && info->width <= TARN__IMAGE_MAX_SIDE && info->height >= 1 &&
               info->height <= TARN__IMAGE_MAX_SIDE;
    return fit ? true
               : tarn_fail("%s: a picture of %" PRId64 " x %" PRId64
                           " pixels (width x height), expected sides of 1 to %d",
                           in->who, info->width, info->height, TARN__IMAGE_MAX_SIDE);
}

/* ---- PNG (W3C Recommendation, section 5): IHDR first, every chunk whole, every checksum right, IEND at the end */

typedef struct png {
    uint64_t bits;   /* of a pixel, or fewer where stb_image will refuse the kind */
    bool interlaced; /* whose rows are cut up, so that fewer bytes are sure */
    uint64_t data_bytes;
} png;

static bool read_png_head(const tarn__image_input *in, const unsigned char *chunk, size_t length, png *p,
                          tarn__image_info *info)
{
    static const int channels[7] = {1, 1, 3, 1, 2, 1, 4}; /* by colour type */
    if (length != IHDR_BYTES || memcmp(chunk + 4, "IHDR", 4) != 0)
        return tarn_fail("%s: the PNG does not begin with an IHDR chunk", in->who);
    const unsigned char *body = chunk + 8;
    info->width = tarn__image_big_endian(body, 4);
    info->height = tarn__image_big_endian(body + 4, 4);
    p->bits = body[9] < 7 ? (uint64_t)body[8] * (uint64_t)channels[body[9]] : 0;
    p->interlaced = body[12] != 0;
    return tarn__image_sides_fit(in, info);
}

/* A deflated byte yields at most 1032: two bits repeat 258 bytes. */
static bool png_holds_its_rows(const tarn__image_input *in, const png *p, const tarn__image_info *info)
{
    uint64_t width = (uint64_t)info->width, height = (uint64_t)info->height;
    uint64_t needed = p->interlaced ? width * height * p->bits / 8 : height * ((width * p->bits + 7) / 8 + 1);
    if (needed <= p->data_bytes * DEFLATE_BEST)
        return true;
    return tarn_fail("%s: the PNG has %" PRIu64 " bytes of data, too few for %" PRId64 " x %" PRId64 " pixels", in->who,
                     p->data_bytes, info->width, info->height);
}

static bool png_is_sound(tarn__image_input *in, tarn__image_info *info)
{
    png p = {0};
    for (in->at = PNG_HEAD;;) {
        if (in->bytes - in->at < PNG_FRAME)
            return tarn__image_ends_early(in, "PNG");
        const unsigned char *chunk = in->data + in->at;
        size_t length = tarn__image_big_endian(chunk, 4);
        if (length > in->bytes - in->at - PNG_FRAME)
            return tarn__image_ends_early(in, "PNG");
        uLong sum = crc32(crc32(0, NULL, 0), chunk + 4, (uInt)length + 4);
        if (sum != tarn__image_big_endian(chunk + 8 + length, 4))
            return tarn_fail("%s: the PNG chunk at byte %zu has a wrong checksum", in->who, in->at);
        if (in->at == PNG_HEAD && !read_png_head(in, chunk, length, &p, info))
            return false;
        if (memcmp(chunk + 4, "IDAT", 4) == 0)
            p.data_bytes += length;
        if (memcmp(chunk + 4, "eXIf", 4) == 0 && info->orientation == 0)
            info->orientation = tarn__exif_orientation(chunk + 8, length);
        in->at += PNG_FRAME + length;
        if (memcmp(chunk + 4, "IEND", 4) == 0)
            return png_holds_its_rows(in, &p, info);
    }
}

static bool check(tarn__image_input *in, tarn__image_info *info)
{
    static const unsigned char png_start[PNG_HEAD] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    static const unsigned char jpeg_start[3] = {0xFF, 0xD8, 0xFF};
    if (in->bytes > TARN__IMAGE_MAX_FILE)
        return tarn_fail("%s: %zu bytes, expected at most %d", in->who, in->bytes, TARN__IMAGE_MAX_FILE);
    if (in->bytes >= sizeof png_start && memcmp(in->data, png_start, sizeof png_start) == 0)
        return png_is_sound(in, info);
    if (in->bytes >= sizeof jpeg_start && memcmp(in->data, jpeg_start, sizeof jpeg_start) == 0)
        return tarn__image_check_jpeg(in, info);
    return tarn_fail("%s: neither a PNG nor a JPEG", in->who);
}

bool tarn__image_check(tarn__image_input *in, tarn__image_info *info)
{
    *info = (tarn__image_info){0};
    if (!check(in, info))
        return false;
    info->orientation = info->orientation ? info->orientation : 1;
    return true;
}
