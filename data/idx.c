#include "data/idx.h"
#include "data/file.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <string.h>

/* gzip cannot make a file more than GZIP_RATIO times smaller (zlib's technical details). Where COUNT_FIRST bytes are
 * declared, it is read once to count them before memory is taken for them. */
enum { GZIP_RATIO = 1032, COUNT_FIRST = 64 << 20, HEADER = 4 };

struct tarn_idx_reader {
    tarn__stream file;
    const char *who; /* the public function at work */
    int type;        /* the file's code */
    tarn_dtype dtype;
    int ndim;
    int64_t shape[TARN_MAX_DIMS];
    int64_t record; /* elements */
    int64_t left;   /* records */
    bool checked;   /* that nothing follows the last record */
    bool failed;    /* the place in the file is lost */
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

/* A header that declares something else than the file can hold is refused before any memory is taken for it. */
static bool fits_file(const tarn_idx_reader *r, int64_t numel)
{
    const tarn__stream *f = &r->file;
    uint64_t bytes = (uint64_t)numel * stored_size(r), held = f->size - f->offset;
    if (f->gzip)
        held = f->size > UINT64_MAX / GZIP_RATIO ? UINT64_MAX : f->size * GZIP_RATIO;
    if (f->gzip ? bytes <= held : bytes == held)
        return true;
    return tarn_fail("%s: %s: %s declares %" PRIu64 " bytes of elements, but the file %s %" PRIu64, r->who, f->path,
                     tarn__shape_text_of(r->ndim, r->shape).text, bytes, f->gzip ? "cannot hold more than" : "has",
                     held);
}

static bool read_header(tarn_idx_reader *r)
{
    unsigned char magic[HEADER], size[4];
    int64_t numel;
    if (!tarn__stream_read(r->who, &r->file, magic, sizeof magic))
        return false;
    r->type = -1;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].code == magic[2])
            r->type = (int)i;
    if (magic[0] != 0 || magic[1] != 0 || r->type < 0 || magic[3] == 0 || magic[3] > TARN_MAX_DIMS)
        return tarn_fail("%s: %s: starts with %02x %02x %02x %02x, expected 00 00, an element type and 1 to %d "
                         "dimensions",
                         r->who, r->file.path, magic[0], magic[1], magic[2], magic[3], TARN_MAX_DIMS);
    r->dtype = types[r->type].dtype;
    r->ndim = magic[3];
    for (int i = 0; i < r->ndim; i++) {
        if (!tarn__stream_read(r->who, &r->file, size, sizeof size))
            return false;
        r->shape[i] = (int64_t)((uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 | (uint32_t)size[2] << 8 | size[3]);
    }
    if (!tarn__check_shape(r->who, r->dtype, r->ndim, r->shape, &numel) || !fits_file(r, numel))
        return false;
    r->record = 1;
    for (int i = 1; i < r->ndim; i++)
        r->record *= r->shape[i];
    r->left = r->shape[0];
    r->checked = false;
    return true;
}

static tarn_idx_reader *reader_open(const char *who, const char *path)
{
    if (!tarn__usable(who, path, "path"))
        return NULL;
    tarn_idx_reader *r = tarn__allocate_zeroed(sizeof *r);
    if (!r) {
        tarn_fail("%s: %s: no memory", who, path);
        return NULL;
    }
    r->who = who;
    if (!tarn__stream_open(who, &r->file, path)) {
        tarn__release(r);
        return NULL;
    }
    if (read_header(r))
        return r;
    tarn_idx_close(r);
    return NULL;
}

tarn_idx_reader *tarn_idx_open(const char *path)
{
    return reader_open("tarn_idx_open", path);
}

void tarn_idx_close(tarn_idx_reader *r)
{
    if (!r)
        return;
    tarn__stream_close(&r->file);
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

/* The stored elements lie at the end of the memory that they will fill once they are as wide as the dtype: widened
 * from the front, none is overwritten before it is read. */
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

/* The next n records, which are there. */
static bool read_records(tarn_idx_reader *r, int64_t n, unsigned char *memory)
{
    int64_t elements = n * r->record;
    size_t stored = stored_size(r), wide = tarn_dtype_size(r->dtype);
    if (r->failed)
        return tarn_fail("%s: %s: an earlier read failed: rewind first", r->who, r->file.path);
    r->failed = true; /* until all has gone well */
    if (!tarn__stream_read(r->who, &r->file, memory + (size_t)elements * (wide - stored), (uint64_t)elements * stored))
        return false;
    convert(r, elements, memory);
    r->left -= n;
    if (r->left == 0 && !r->checked && !tarn__stream_finish(r->who, &r->file))
        return false;
    r->checked = r->left == 0;
    r->failed = false;
    return true;
}

int64_t tarn_idx_read(tarn_idx_reader *r, int64_t n, void *records)
{
    const char *who = "tarn_idx_read";
    if (!tarn__usable(who, r, "reader") || !tarn__usable(who, records, "records"))
        return -1;
    if (n < 0) {
        tarn_fail("%s: %" PRId64 " records, expected 0 or more", who, n);
        return -1;
    }
    r->who = who;
    n = n < r->left ? n : r->left;
    return read_records(r, n, records) ? n : -1;
}

static bool reader_rewind(tarn_idx_reader *r)
{
    r->failed = !tarn__stream_rewind(r->who, &r->file) || !read_header(r);
    return !r->failed;
}

bool tarn_idx_rewind(tarn_idx_reader *r)
{
    if (!tarn__usable("tarn_idx_rewind", r, "reader"))
        return false;
    r->who = "tarn_idx_rewind";
    return reader_rewind(r);
}

/* Whether the elements that a gzip file declares are in it. */
static bool count_elements(tarn_idx_reader *r)
{
    uint64_t bytes = (uint64_t)(r->left * r->record) * stored_size(r);
    if (!r->file.gzip || bytes < COUNT_FIRST)
        return true;
    return tarn__stream_read(r->who, &r->file, NULL, bytes) && tarn__stream_finish(r->who, &r->file) &&
           reader_rewind(r);
}

tarn_tensor *tarn_idx_load(const char *path)
{
    tarn_idx_reader *r = reader_open("tarn_idx_load", path);
    tarn_tensor *x = r && count_elements(r) ? tarn_tensor_new(r->dtype, r->ndim, r->shape) : NULL;
    if (x && !read_records(r, r->left, x->data)) {
        tarn_tensor_free(x);
        x = NULL;
    }
    tarn_idx_close(r);
    return x;
}
