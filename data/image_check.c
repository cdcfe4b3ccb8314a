/* What a picture must satisfy before stb_image 2.27 decodes it. That version does not check a PNG's
 * checksums, takes a JPEG's missing end for zeros, and writes past its Huffman tables when a file declares
 * more codes than a table has. */
#include "data/image_impl.h"

#include <string.h>
#include <zlib.h>

enum { PNG_HEAD = 8, PNG_FRAME = 12, MAX_SCANS = 128, MAX_CODES = 255, MAX_DC_SYMBOL = 15 };

typedef struct input {
    const char *who;
    const unsigned char *data;
    size_t bytes, at;
} input;

static size_t left(const input *in)
{
    return in->bytes - in->at;
}

static uint32_t big_endian(const unsigned char *b, int count)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | b[i];
    return value;
}

static bool ends_early(const input *in, const char *format)
{
    return tarn_fail("%s: the %s data end too early, after %zu bytes", in->who, format, in->bytes);
}

/* ---- PNG (W3C Recommendation, section 5): every chunk whole, every checksum right, IEND at the end */

static bool png_is_sound(input *in)
{
    for (in->at = PNG_HEAD;;) {
        if (left(in) < PNG_FRAME)
            return ends_early(in, "PNG");
        const unsigned char *chunk = in->data + in->at;
        size_t length = big_endian(chunk, 4);
        if (length > left(in) - PNG_FRAME)
            return ends_early(in, "PNG");
        uLong sum = crc32(crc32(0, NULL, 0), chunk + 4, (uInt)length + 4);
        if (sum != big_endian(chunk + 8 + length, 4))
            return tarn_fail("%s: the PNG chunk at byte %zu has a wrong checksum", in->who, in->at);
        in->at += PNG_FRAME + length;
        if (memcmp(chunk + 4, "IEND", 4) == 0)
            return true;
    }
}

/* ---- JPEG (ITU-T T.81, annex B): the segments from start to end */

enum { SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, DHT = 0xC4, RST0 = 0xD0, TEM = 0x01 };

static bool is_restart(int marker)
{
    return (marker & 0xF8) == RST0;
}

/* DHT: tables of a class byte, 16 counts, and as many symbols as these add up to. */
static bool huffman_tables_are_sound(const input *in, const unsigned char *tables, size_t bytes)
{
    while (bytes > 0) {
        size_t codes = 0;
        for (size_t i = 1; i <= 16 && i < bytes; i++)
            codes += tables[i];
        if (bytes < 17 || codes > MAX_CODES || codes > bytes - 17)
            return tarn_fail("%s: the JPEG Huffman table before byte %zu is malformed", in->who, in->at);
        bool dc = tables[0] >> 4 == 0;
        for (size_t i = 0; dc && i < codes; i++)
            if (tables[17 + i] > MAX_DC_SYMBOL)
                return tarn_fail("%s: the JPEG Huffman table before byte %zu has symbol %d, expected at most %d",
                                 in->who, in->at, tables[17 + i], MAX_DC_SYMBOL);
        tables += 17 + codes;
        bytes -= 17 + codes;
    }
    return true;
}

/* A marker, with any fill bytes before it; -1 with an error. */
static int next_marker(input *in)
{
    if (left(in) > 0 && in->data[in->at] != 0xFF) {
        tarn_fail("%s: byte %zu of the JPEG should begin a marker", in->who, in->at);
        return -1;
    }
    while (left(in) > 0 && in->data[in->at] == 0xFF)
        in->at++;
    if (left(in) == 0) {
        ends_early(in, "JPEG");
        return -1;
    }
    return in->data[in->at++];
}

/* To the marker that ends the entropy-coded data of a scan: 0xFF before anything but 0 or a restart. */
static void pass_over_scan(input *in)
{
    for (; left(in) > 1; in->at++)
        if (in->data[in->at] == 0xFF && in->data[in->at + 1] != 0 && in->data[in->at + 1] != 0xFF &&
            !is_restart(in->data[in->at + 1]))
            return;
    in->at = in->bytes;
}

static bool jpeg_is_sound(input *in)
{
    int scans = 0;
    for (in->at = 2;;) {
        int marker = next_marker(in);
        if (marker == EOI)
            return scans ? true : tarn_fail("%s: the JPEG has no picture in it", in->who);
        if (marker < 0)
            return false;
        if (marker <= TEM || marker == SOI || is_restart(marker))
            return tarn_fail("%s: marker %02x in the JPEG before byte %zu is out of place", in->who, (unsigned)marker,
                             in->at);
        size_t length = left(in) < 2 ? 0 : big_endian(in->data + in->at, 2);
        if (left(in) < 2 || length > left(in))
            return ends_early(in, "JPEG");
        if (length < 2)
            return tarn_fail("%s: the JPEG segment at byte %zu has length %zu", in->who, in->at, length);
        const unsigned char *body = in->data + in->at + 2;
        in->at += length;
        if (marker == DHT && !huffman_tables_are_sound(in, body, length - 2))
            return false;
        if (marker == SOS) {
            if (++scans > MAX_SCANS)
                return tarn_fail("%s: the JPEG has more than %d scans", in->who, MAX_SCANS);
            pass_over_scan(in);
        }
    }
}

bool tarn__image_check(const char *who, const unsigned char *data, size_t bytes)
{
    static const unsigned char png[PNG_HEAD] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    input in = {who, data, bytes, 0};
    if (bytes > TARN__IMAGE_MAX_FILE)
        return tarn_fail("%s: %zu bytes, expected at most %d", who, bytes, TARN__IMAGE_MAX_FILE);
    if (bytes >= sizeof png && memcmp(data, png, sizeof png) == 0)
        return png_is_sound(&in);
    if (bytes >= 3 && data[0] == 0xFF && data[1] == SOI && data[2] == 0xFF)
        return jpeg_is_sound(&in);
    return tarn_fail("%s: neither a PNG nor a JPEG", who);
}
