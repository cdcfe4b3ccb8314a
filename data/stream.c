#include "data/file.h"
#include "tensor/arena.h"

#include <inttypes.h>
#include <string.h>

enum { BUFFER = 1 << 16, GZIP_ONLY = 16 + MAX_WBITS };

voidpf tarn__zlib_allocate(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return tarn__allocate((size_t)items * size);
}

void tarn__zlib_release(voidpf opaque, voidpf block)
{
    (void)opaque;
    tarn__release(block);
}

static bool start_inflating(const char *who, tarn__stream *s)
{
    s->z = (z_stream){.zalloc = tarn__zlib_allocate, .zfree = tarn__zlib_release};
    s->buffer = tarn__allocate(BUFFER);
    if (s->buffer && inflateInit2(&s->z, GZIP_ONLY) == Z_OK)
        return true;
    tarn__release(s->buffer);
    return tarn_fail("%s: %s: no memory to decompress it", who, s->path);
}

bool tarn__stream_open(const char *who, tarn__stream *s, const char *path)
{
    *s = (tarn__stream){.fd = -1};
    s->fd = tarn__file_open(who, path, &s->size);
    if (s->fd < 0)
        return false;
    s->path = tarn__copy_string(path);
    unsigned char magic[2] = {0};
    bool ok = s->path ? true : tarn_fail("%s: %s: no memory", who, path);
    if (ok && s->size >= sizeof magic)
        ok = tarn__file_read(who, path, s->fd, 0, magic, sizeof magic);
    s->gzip = s->member_open = magic[0] == 0x1f && magic[1] == 0x8b;
    if (ok && (!s->gzip || start_inflating(who, s)))
        return true;
    tarn__release(s->path);
    tarn__file_close(s->fd);
    return false;
}

void tarn__stream_close(tarn__stream *s)
{
    if (s->gzip) {
        inflateEnd(&s->z);
        tarn__release(s->buffer);
    }
    tarn__release(s->path);
    tarn__file_close(s->fd);
}

bool tarn__stream_rewind(const char *who, tarn__stream *s)
{
    s->offset = 0;
    if (!s->gzip)
        return true;
    s->member_open = true;
    s->z.avail_in = 0;
    return inflateReset(&s->z) == Z_OK ? true : tarn_fail("%s: %s: could not be rewound", who, s->path);
}

/* Compressed bytes for z, when it has none and the file has more. */
static bool refill(const char *who, tarn__stream *s)
{
    uint64_t left = s->size - s->offset;
    if (s->z.avail_in > 0 || left == 0)
        return true;
    size_t bytes = left < BUFFER ? (size_t)left : BUFFER;
    if (!tarn__file_read(who, s->path, s->fd, s->offset, s->buffer, bytes))
        return false;
    s->offset += bytes;
    s->z.next_in = s->buffer;
    s->z.avail_in = (uInt)bytes;
    return true;
}

/* After a member: whether another one begins. Zeros up to the end are padding, as gzip(1) has it. */
static bool next_member(const char *who, tarn__stream *s, bool *begins)
{
    unsigned char data[4096];
    uint64_t at = s->offset - s->z.avail_in;
    *begins = false;
    for (bool first = true; at < s->size; first = false) {
        size_t count = s->size - at < sizeof data ? (size_t)(s->size - at) : sizeof data, zeros = 0;
        if (!tarn__file_read(who, s->path, s->fd, at, data, count))
            return false;
        *begins = first && count >= 2 && data[0] == 0x1f && data[1] == 0x8b;
        if (*begins)
            return true;
        while (zeros < count && data[zeros] == 0)
            zeros++;
        at += zeros;
        if (zeros < count)
            return tarn_fail("%s: %s: what follows the gzip data, at byte %" PRIu64
                             ", is neither more of them nor zeros",
                             who, s->path, at);
    }
    s->offset = s->size;
    s->z.avail_in = 0;
    return true;
}

/* Up to `bytes` decompressed bytes; fewer only when the file ends where it may. */
static bool inflate_some(const char *who, tarn__stream *s, unsigned char *data, size_t bytes, size_t *got)
{
    for (*got = 0; *got < bytes;) {
        if (!refill(who, s))
            return false;
        if (s->z.avail_in == 0)
            return s->member_open ? tarn_fail("%s: %s: the gzip data end too early", who, s->path) : true;
        if (!s->member_open) {
            if (!next_member(who, s, &s->member_open) || !s->member_open)
                return !tarn_error();
            if (inflateReset(&s->z) != Z_OK)
                return tarn_fail("%s: %s: could not be decompressed", who, s->path);
        }
        uInt room = bytes - *got < BUFFER ? (uInt)(bytes - *got) : BUFFER;
        s->z.next_out = data + *got;
        s->z.avail_out = room;
        int status = inflate(&s->z, Z_NO_FLUSH);
        *got += room - s->z.avail_out;
        if (status == Z_MEM_ERROR)
            return tarn_fail("%s: %s: no memory to decompress it", who, s->path);
        if (status == Z_STREAM_END)
            s->member_open = false; /* another member may follow */
        else if (status != Z_OK && status != Z_BUF_ERROR)
            return tarn_fail("%s: %s: bad gzip data: %s", who, s->path, s->z.msg ? s->z.msg : "unknown");
    }
    return true;
}

static bool too_early(const char *who, const tarn__stream *s, uint64_t missing)
{
    return tarn_fail("%s: %s: ends %" PRIu64 " bytes before what its header declares", who, s->path, missing);
}

static bool pass_over(const char *who, tarn__stream *s, uint64_t bytes)
{
    unsigned char scratch[4096];
    while (bytes > 0) {
        size_t wanted = bytes < sizeof scratch ? (size_t)bytes : sizeof scratch, got;
        if (!inflate_some(who, s, scratch, wanted, &got))
            return false;
        if (got < wanted)
            return too_early(who, s, bytes - got);
        bytes -= got;
    }
    return true;
}

bool tarn__stream_read(const char *who, tarn__stream *s, void *data, uint64_t bytes)
{
    if (!s->gzip) {
        if (bytes > s->size - s->offset)
            return too_early(who, s, bytes - (s->size - s->offset));
        if (data && !tarn__file_read(who, s->path, s->fd, s->offset, data, (size_t)bytes))
            return false;
        s->offset += bytes;
        return true;
    }
    if (!data)
        return pass_over(who, s, bytes);
    size_t got;
    if (!inflate_some(who, s, data, (size_t)bytes, &got))
        return false;
    return got == bytes ? true : too_early(who, s, bytes - got);
}

bool tarn__stream_finish(const char *who, tarn__stream *s)
{
    unsigned char extra;
    size_t got = s->offset < s->size;
    if (s->gzip && !inflate_some(who, s, &extra, 1, &got))
        return false;
    return got ? tarn_fail("%s: %s: has more bytes than its header declares", who, s->path) : true;
}
