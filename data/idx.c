#include "data/idx.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

/* gzip cannot make a file more than this many times smaller (zlib's technical details). */
enum { GZIP_RATIO = 1032, HEADER = 4, READ_AT_ONCE = 1 << 20 };

struct tarn_idx_reader {
    char *path;
    gzFile file;
    int type; /* the file's code */
    tarn_dtype dtype;
    int ndim;
    int64_t shape[TARN_MAX_DIMS];
    int64_t record; /* elements */
    int64_t left;   /* records */
    bool checked;   /* that nothing follows the last record */
};

static const struct {
    int code;
    size_t size;
    tarn_dtype dtype;
} types[] = {{0x08, 1, TARN_U8},  {0x09, 1, TARN_I32}, {0x0B, 2, TARN_I32},
             {0x0C, 4, TARN_I32}, {0x0D, 4, TARN_F32}, {0x0E, 8, TARN_F64}};

static size_t stored_size(const tarn_idx_reader *r)
{
    return types[r->type].size;
}

/* Exactly `bytes` bytes. */
static bool read_exactly(tarn_idx_reader *r, void *to, size_t bytes)
{
    char *at = to;
    while (bytes > 0) {
        unsigned part = bytes < READ_AT_ONCE ? (unsigned)bytes : READ_AT_ONCE;
        int got = gzread(r->file, at, part);
        int status = Z_OK;
        const char *why = gzerror(r->file, &status);
        if (got < 0 || (status != Z_OK && status != Z_STREAM_END))
            return tarn_fail("tarn_idx: %s: %s", r->path, status == Z_ERRNO ? strerror(errno) : why);
        if (got == 0)
            return tarn_fail("tarn_idx: %s: the file ends before the elements that it declares", r->path);
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

/* Reading past the last byte makes zlib verify the checksum. */
static bool at_end(tarn_idx_reader *r)
{
    char extra;
    int got = gzread(r->file, &extra, 1), status = Z_OK;
    const char *why = gzerror(r->file, &status);
    if (got < 0 || (status != Z_OK && status != Z_STREAM_END))
        return tarn_fail("tarn_idx: %s: %s", r->path, status == Z_ERRNO ? strerror(errno) : why);
    return got == 0 || tarn_fail("tarn_idx: %s: more bytes follow the elements that it declares", r->path);
}

/* A header that declares more than the file can hold is refused before any memory is taken for it. */
static bool fits_file(const tarn_idx_reader *r, int64_t numel)
{
    struct stat info;
    if (stat(r->path, &info) != 0 || !S_ISREG(info.st_mode))
        return true;
    int64_t bytes = numel * (int64_t)stored_size(r), most = (int64_t)info.st_size;
    if (!gzdirect(r->file))
        most = most > INT64_MAX / GZIP_RATIO ? INT64_MAX : most * GZIP_RATIO;
    return bytes <= most ||
           tarn_fail("tarn_idx: %s: declares %" PRId64 " bytes, more than the file can hold", r->path, bytes);
}

static bool read_header(tarn_idx_reader *r)
{
    unsigned char magic[HEADER], size[4];
    int64_t numel;
    if (!read_exactly(r, magic, sizeof magic))
        return false;
    r->type = -1;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].code == magic[2])
            r->type = (int)i;
    if (magic[0] != 0 || magic[1] != 0 || r->type < 0 || magic[3] == 0 || magic[3] > TARN_MAX_DIMS)
        return tarn_fail("tarn_idx: %s: starts with %02x %02x %02x %02x, expected 00 00, an element type and 1 to %d "
                         "dimensions",
                         r->path, magic[0], magic[1], magic[2], magic[3], TARN_MAX_DIMS);
    r->dtype = types[r->type].dtype;
    r->ndim = magic[3];
    for (int i = 0; i < r->ndim; i++) {
        if (!read_exactly(r, size, sizeof size))
            return false;
        r->shape[i] = (int64_t)((uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 | (uint32_t)size[2] << 8 | size[3]);
    }
    if (!tarn__check_shape("tarn_idx", r->dtype, r->ndim, r->shape, &numel) || !fits_file(r, numel))
        return false;
    r->record = 1;
    for (int i = 1; i < r->ndim; i++)
        r->record *= r->shape[i];
    r->left = r->shape[0];
    r->checked = false;
    return true;
}

tarn_idx_reader *tarn_idx_open(const char *path)
{
    if (!tarn__usable("tarn_idx_open", path, "path"))
        return NULL;
    tarn_idx_reader *r = tarn__allocate_zeroed(sizeof *r);
    if (!r || !(r->path = tarn__copy_string(path))) {
        tarn__release(r);
        tarn_fail("tarn_idx_open: no memory");
        return NULL;
    }
    errno = 0;
    r->file = gzopen(path, "rb");
    if (!r->file)
        tarn_fail("tarn_idx_open: %s: %s", path, errno ? strerror(errno) : "no memory");
    if (r->file && read_header(r))
        return r;
    tarn_idx_close(r);
    return NULL;
}

void tarn_idx_close(tarn_idx_reader *r)
{
    if (!r)
        return;
    if (r->file)
        gzclose(r->file);
    tarn__release(r->path);
    tarn__release(r);
}

tarn_dtype tarn_idx_dtype(const tarn_idx_reader *r)
{
    return r ? r->dtype : TARN_F32;
}

int tarn_idx_ndim(const tarn_idx_reader *r)
{
    return r ? r->ndim : 0;
}

const int64_t *tarn_idx_shape(const tarn_idx_reader *r)
{
    return r ? r->shape : NULL;
}

/* The stored elements lie at the end of the memory that they will fill once they are as wide as the dtype: widened from the
 * front, none is overwritten before it is read. */
static void convert(const tarn_idx_reader *r, int64_t n, unsigned char *memory)
{
    size_t stored = stored_size(r), wide = tarn_dtype_size(r->dtype);
    const unsigned char *from = memory + (size_t)n * (wide - stored);
    for (int64_t i = 0; i < n && r->dtype != TARN_U8; i++, from += stored) {
        uint64_t bits = 0;
        for (size_t k = 0; k < stored; k++)
            bits = bits << 8 | from[k];
        uint32_t low = (uint32_t)bits;
        int32_t small = stored == 1 ? (int8_t)low : stored == 2 ? (int16_t)low : (int32_t)low;
        unsigned char *to = memory + (size_t)i * wide;
        if (r->dtype == TARN_F64)
            memcpy(to, &bits, sizeof bits);
        else if (r->dtype == TARN_F32)
            memcpy(to, &low, sizeof low);
        else
            memcpy(to, &small, sizeof small);
    }
}

int64_t tarn_idx_read(tarn_idx_reader *r, int64_t n, void *records)
{
    if (!tarn__usable("tarn_idx_read", r, "reader") || !tarn__usable("tarn_idx_read", records, "records"))
        return -1;
    if (n < 0) {
        tarn_fail("tarn_idx_read: %" PRId64 " records, expected 0 or more", n);
        return -1;
    }
    n = n < r->left ? n : r->left;
    int64_t elements = n * r->record;
    size_t stored = stored_size(r), wide = tarn_dtype_size(r->dtype);
    unsigned char *memory = records;
    if (!read_exactly(r, memory + (size_t)elements * (wide - stored), (size_t)elements * stored))
        return -1;
    convert(r, elements, memory);
    r->left -= n;
    if (r->left == 0 && !r->checked && !at_end(r))
        return -1;
    r->checked = r->left == 0;
    return n;
}

bool tarn_idx_rewind(tarn_idx_reader *r)
{
    if (!tarn__usable("tarn_idx_rewind", r, "reader"))
        return false;
    if (gzrewind(r->file) != 0)
        return tarn_fail("tarn_idx_rewind: %s cannot be read again", r->path);
    return read_header(r);
}

tarn_tensor *tarn_idx_load(const char *path)
{
    tarn_idx_reader *r = tarn_idx_open(path);
    tarn_tensor *x = r ? tarn_tensor_new(r->dtype, r->ndim, r->shape) : NULL;
    if (x && tarn_idx_read(r, r->shape[0], tarn_mutable_data(x)) < 0) {
        tarn_tensor_free(x);
        x = NULL;
    }
    tarn_idx_close(r);
    return x;
}
