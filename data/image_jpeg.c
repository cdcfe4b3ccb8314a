/* What a JPEG (ITU-T T.81, annexes B and G) must satisfy before stb_image 2.27 decodes it. That version takes
 * what is missing of a scan for zeros, goes over a picture as often as there are scans, and writes past its
 * Huffman tables when a file declares more codes than a table has. */
#include "data/image_impl.h"

#include <inttypes.h>
#include <string.h>

enum { SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, DHT = 0xC4, JPG = 0xC8, DAC = 0xCC, RST0 = 0xD0, TEM = 0x01, APP1 = 0xE1 };
enum { SOF0 = 0xC0, SOF1 = 0xC1, SOF2 = 0xC2, SOF15 = 0xCF };
enum { MAX_CODES = 255, MAX_DC_SYMBOL = 15, MAX_COMPONENTS = 4, MAX_FACTOR = 4, MAX_LOW = 13, BLOCK = 8, NONE = -1 };

/* What a run of empty blocks can save: one code, of a bit or more, and 14 bits say that 32767 blocks end. */
enum { LONGEST_RUN = 32767, LONGEST_RUN_BITS = 15 };

typedef struct component {
    int id, across, down; /* sampling factors */
    int low[64];          /* of each coefficient, the lowest bit that there has been; NONE before its first scan */
} component;

typedef struct frame {
    bool progressive;
    int64_t width, height;
    int count; /* of components; 0 before the frame header */
    component components[MAX_COMPONENTS];
    int across, down; /* the largest factors */
    int64_t scans, coefficients;
} frame;

typedef struct scan {
    int count, members[MAX_COMPONENTS];
    int first, last, high, low;
    int64_t blocks;
} scan;

static size_t left(const tarn__image_input *in)
{
    return in->bytes - in->at;
}

static bool is_restart(int marker)
{
    return (marker & 0xF8) == RST0;
}

static bool is_frame(int marker)
{
    return marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC;
}

static bool malformed(const tarn__image_input *in, const char *what)
{
    return tarn_fail("%s: the JPEG %s before byte %zu is malformed", in->who, what, in->at);
}

/* DHT: tables of a class byte, 16 counts, and as many symbols as these add up to. */
static bool huffman_tables_are_sound(const tarn__image_input *in, const unsigned char *tables, size_t bytes)
{
    while (bytes > 0) {
        size_t codes = 0;
        for (size_t i = 1; i <= 16 && i < bytes; i++)
            codes += tables[i];
        if (bytes < 17 || codes > MAX_CODES || codes > bytes - 17)
            return malformed(in, "Huffman table");
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

/* ---- the frame: sizes, and what is sampled how often */

static bool read_frame(const tarn__image_input *in, int marker, const unsigned char *body, size_t bytes, frame *f)
{
    if (marker > SOF2)
        return tarn_fail("%s: a JPEG of the kind %02x, expected baseline or progressive, Huffman-coded (c0 to c2)",
                         in->who, (unsigned)marker);
    if (f->count)
        return tarn_fail("%s: the JPEG has a second frame before byte %zu", in->who, in->at);
    if (bytes < 6 || (body[5] != 1 && body[5] != 3 && body[5] != 4) || bytes != 6 + 3 * (size_t)body[5])
        return malformed(in, "frame header");
    if (body[0] != 8)
        return tarn_fail("%s: a JPEG of %d bits a sample, expected 8", in->who, body[0]);
    f->progressive = marker == SOF2;
    f->height = tarn__image_big_endian(body + 1, 2);
    f->width = tarn__image_big_endian(body + 3, 2);
    f->count = body[5];
    for (int i = 0; i < f->count; i++) {
        const unsigned char *b = body + 6 + 3 * i;
        component *c = &f->components[i];
        *c = (component){.id = b[0], .across = b[1] >> 4, .down = b[1] & 15};
        if (c->across < 1 || c->across > MAX_FACTOR || c->down < 1 || c->down > MAX_FACTOR)
            return malformed(in, "frame header");
        f->across = c->across > f->across ? c->across : f->across;
        f->down = c->down > f->down ? c->down : f->down;
        for (int k = 0; k < 64; k++)
            c->low[k] = NONE;
    }
    return tarn__image_sides_fit(in, &(tarn__image_info){.width = f->width, .height = f->height});
}

/* ---- scans: which coefficients, which of their bits */

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* A scan of one component has the blocks that its samples need (A.2.2); one of several has whole units of all. */
static int64_t blocks_of(const frame *f, const scan *s)
{
    if (s->count == 1) {
        const component *c = &f->components[s->members[0]];
        return divide_up(divide_up(f->width * c->across, f->across), BLOCK) *
               divide_up(divide_up(f->height * c->down, f->down), BLOCK);
    }
    int64_t in_unit = 0;
    for (int i = 0; i < s->count; i++)
        in_unit += f->components[s->members[i]].across * f->components[s->members[i]].down;
    return divide_up(f->width, BLOCK * f->across) * divide_up(f->height, BLOCK * f->down) * in_unit;
}

static bool read_scan(const tarn__image_input *in, const unsigned char *body, size_t bytes, const frame *f, scan *s)
{
    s->count = bytes ? body[0] : 0;
    if (f->count == 0)
        return tarn_fail("%s: the JPEG has a scan before its frame, at byte %zu", in->who, in->at);
    if (s->count < 1 || s->count > f->count || bytes != 4 + 2 * (size_t)s->count)
        return malformed(in, "scan header");
    for (int i = 0; i < s->count; i++) {
        int which = 0;
        while (which < f->count && f->components[which].id != body[1 + 2 * i])
            which++;
        for (int j = 0; j < i; j++)
            which = s->members[j] == which ? f->count : which;
        if (which == f->count)
            return malformed(in, "scan header");
        s->members[i] = which;
    }
    const unsigned char *b = body + 1 + 2 * s->count;
    s->first = f->progressive ? b[0] : 0;
    s->last = f->progressive ? b[1] : 63; /* of a baseline JPEG, some files say 0 */
    s->high = b[2] >> 4;
    s->low = b[2] & 15;
    bool band =
        !f->progressive || (s->first == 0 ? s->last == 0 : s->last >= s->first && s->last < 64 && s->count == 1);
    bool bits = f->progressive ? s->low <= MAX_LOW && (s->high == 0 || s->high == s->low + 1) : b[2] == 0;
    s->blocks = blocks_of(f, s);
    return band && bits ? true : malformed(in, "scan header");
}

/* Each bit of each coefficient comes once, the highest first, and no other coefficient before the first, which is
 * the block's mean (G.1.1.1.1). A JPEG that says everything again and again would cost as much again each time. */
static bool take_scan(const tarn__image_input *in, frame *f, const scan *s)
{
    for (int i = 0; i < s->count; i++) {
        component *c = &f->components[s->members[i]];
        bool in_turn = s->first == 0 || c->low[0] != NONE;
        for (int k = s->first; k <= s->last; k++) {
            in_turn = in_turn && c->low[k] == (s->high ? s->high : NONE);
            c->low[k] = s->low;
        }
        if (!in_turn)
            return tarn_fail("%s: the JPEG scan before byte %zu is out of turn", in->who, in->at);
    }
    f->coefficients += s->blocks * (s->last - s->first + 1);
    if (++f->scans > in->limits->max_scans)
        return tarn_fail("%s: the JPEG has more than %" PRId64 " scans", in->who, in->limits->max_scans);
    if (f->coefficients > in->limits->max_coefficients)
        return tarn_fail("%s: the JPEG's scans go over more than %" PRId64 " coefficients", in->who,
                         in->limits->max_coefficients);
    return true;
}

/* Every block has a code of a bit or more for its first coefficient and, in a baseline JPEG, another that ends it;
 * other bits of a progressive JPEG can be left out by the run. */
static int64_t least_bits(const frame *f, const scan *s)
{
    return !f->progressive ? 2 * s->blocks : s->first == 0 ? s->blocks : s->blocks / LONGEST_RUN * LONGEST_RUN_BITS;
}

/* To the marker that ends the entropy-coded data of a scan: 0xFF before anything but 0 or a restart. */
static void pass_over_scan(tarn__image_input *in)
{
    for (; left(in) > 1; in->at++)
        if (in->data[in->at] == 0xFF && in->data[in->at + 1] != 0 && in->data[in->at + 1] != 0xFF &&
            !is_restart(in->data[in->at + 1]))
            return;
    in->at = in->bytes;
}

static bool check_scan(tarn__image_input *in, const unsigned char *body, size_t bytes, frame *f)
{
    scan s = {0};
    if (!read_scan(in, body, bytes, f, &s) || !take_scan(in, f, &s))
        return false;
    size_t start = in->at;
    pass_over_scan(in);
    if (8 * (uint64_t)(in->at - start) < (uint64_t)least_bits(f, &s))
        return tarn_fail("%s: the JPEG scan at byte %zu has %zu bytes, too few for the %" PRId64 " blocks of %" PRId64
                         " x %" PRId64 " pixels",
                         in->who, start, in->at - start, s.blocks, f->width, f->height);
    return true;
}

/* ---- the segments from start to end */

/* A marker, with any fill bytes before it; -1 with an error. */
static int next_marker(tarn__image_input *in)
{
    if (left(in) > 0 && in->data[in->at] != 0xFF) {
        tarn_fail("%s: byte %zu of the JPEG should begin a marker", in->who, in->at);
        return -1;
    }
    while (left(in) > 0 && in->data[in->at] == 0xFF)
        in->at++;
    if (left(in) == 0) {
        tarn__image_ends_early(in, "JPEG");
        return -1;
    }
    return in->data[in->at++];
}

static bool check_segment(tarn__image_input *in, int marker, const unsigned char *body, size_t bytes, frame *f,
                          tarn__image_info *info)
{
    if (marker == DHT)
        return huffman_tables_are_sound(in, body, bytes);
    if (marker == SOS)
        return check_scan(in, body, bytes, f);
    if (marker == APP1 && info->orientation == 0 && bytes > 6 && memcmp(body, "Exif\0", 6) == 0)
        info->orientation = tarn__exif_orientation(body + 6, bytes - 6);
    return is_frame(marker) ? read_frame(in, marker, body, bytes, f) : true;
}

static bool check_end(const tarn__image_input *in, const frame *f, tarn__image_info *info)
{
    if (f->scans == 0)
        return tarn_fail("%s: the JPEG has no picture in it", in->who);
    for (int i = 0; i < f->count; i++)
        if (f->components[i].low[0] == NONE)
            return tarn_fail("%s: component %d of the JPEG has no scan", in->who, i);
    info->width = f->width;
    info->height = f->height;
    return true;
}

bool tarn__image_check_jpeg(tarn__image_input *in, tarn__image_info *info)
{
    frame f = {0};
    for (in->at = 2;;) {
        int marker = next_marker(in);
        if (marker == EOI)
            return check_end(in, &f, info);
        if (marker < 0)
            return false;
        if (marker <= TEM || marker == SOI || is_restart(marker))
            return tarn_fail("%s: marker %02x in the JPEG before byte %zu is out of place", in->who, (unsigned)marker,
                             in->at);
        size_t length = left(in) < 2 ? 0 : tarn__image_big_endian(in->data + in->at, 2);
        if (left(in) < 2 || length > left(in))
            return tarn__image_ends_early(in, "JPEG");
        if (length < 2)
            return tarn_fail("%s: the JPEG segment at byte %zu has length %zu", in->who, in->at, length);
        const unsigned char *body = in->data + in->at + 2;
        in->at += length;
        if (!check_segment(in, marker, body, length - 2, &f, info))
            return false;
    }
}
