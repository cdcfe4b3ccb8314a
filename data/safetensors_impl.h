/* data/safetensors_impl.h (internal): a header as it was read, and the rules that reader and writer share. */
#ifndef TARN__SAFETENSORS_IMPL_H
#define TARN__SAFETENSORS_IMPL_H

#include "data/safetensors.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "data/safetensors*.c move elements as they are, which needs a little-endian machine"
#endif

enum { TARN__ST_MAX_HEADER = 100000000, TARN__ST_LENGTH_BYTES = 8 };
#define TARN__ST_METADATA "__metadata__"

/* A dtype of the format. `ours` is what it becomes, TARN_DTYPE_COUNT where tarn has nothing for it. `convert`,
 * NULL where the bytes are the same, makes n elements, which need not be aligned, and returns n, or how many
 * there are before the first that does not fit. */
typedef struct tarn__st_dtype {
    const char *name;
    int bits;
    tarn_dtype ours;
    size_t (*convert)(const char *from, size_t n, void *to);
} tarn__st_dtype;

/* The one of that name, and the one that a dtype of tarn's is written as; NULL when there is none. */
const tarn__st_dtype *tarn__st_dtype_named(const char *name);
const tarn__st_dtype *tarn__st_dtype_of(tarn_dtype dtype);

typedef struct tarn__st_entry {
    const char *name;
    const tarn__st_dtype *dtype;
    int ndim;
    int64_t shape[TARN_MAX_DIMS]; /* the first of them */
    uint64_t begin, end;          /* bytes of the data part */
} tarn__st_entry;

typedef struct tarn__st_text {
    const char *key, *value;
} tarn__st_text;

struct tarn_safetensors {
    int fd;
    char *path;
    char *text; /* the header; names and metadata are unescaped in it, in place */
    tarn__st_entry *entries;
    size_t count, capacity;
    tarn__st_text *metadata;
    size_t metadata_count, metadata_capacity;
    const tarn__st_entry **by_name, **by_place;
    const tarn__st_text **by_key;
    uint64_t data_start, data_bytes;
};

/* Reads text[0..length), which has room for one byte more, into `file`; checks everything but data_bytes. */
bool tarn__st_parse(const char *who, tarn_safetensors *file, size_t length);

tarn_safetensors *tarn__st_open(const char *who, const char *path);
const tarn__st_entry *tarn__st_find(const tarn_safetensors *file, const char *name);

/* Bytes of the UTF-8 character at s, of which `left` bytes may be read; 0 when it is malformed. */
size_t tarn__utf8_character(const char *s, size_t left);

/* Sorts in place without memory. */
void tarn__sort(const void **items, size_t n, int (*compare)(const void *a, const void *b));

#endif
