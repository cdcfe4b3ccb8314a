/* The only file that names stb_image. */
#include "data/image.h"
#include "data/file.h"
#include "data/image_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ELEMENTS = 1 << 28, MAX_SCANS = 64, MAX_COEFFICIENTS = 1 << 30 };

/* ---- stb_image's memory: zeroed, since it may read what a damaged picture left unwritten; within a budget,
 * since a small file may ask for much; and in a list, since it loses blocks when memory runs out. */

typedef struct block {
    struct block *previous, *next;
    size_t bytes;
    _Alignas(TARN__ALIGN) unsigned char data[];
} block;

static _Thread_local block *blocks;
static _Thread_local size_t budget;
static _Thread_local const char *shortage; /* why memory was refused; stb_image itself may not say so */

static void *image_allocate(size_t bytes)
{
    block *b = bytes > budget ? NULL : tarn__allocate_zeroed(sizeof *b + bytes);
    if (!b) {
        shortage = bytes > budget ? "it takes more memory than its size warrants" : "no memory";
        return NULL;
    }
    b->next = blocks;
    b->bytes = bytes;
    if (blocks)
        blocks->previous = b;
    blocks = b;
    budget -= bytes;
    return b->data;
}

static void image_release(void *data)
{
    if (!data)
        return;
    block *b = (block *)((char *)data - offsetof(block, data));
    *(b->previous ? &b->previous->next : &blocks) = b->next;
    if (b->next)
        b->next->previous = b->previous;
    budget += b->bytes;
    tarn__release(b);
}

static void image_release_all(void)
{
    while (blocks)
        image_release(blocks->data);
}

static void *image_reallocate(void *data, size_t old_bytes, size_t bytes)
{
    void *grown = image_allocate(bytes);
    if (grown && data) {
        memcpy(grown, data, old_bytes < bytes ? old_bytes : bytes);
        image_release(data);
    }
    return grown;
}

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS                  TARN__IMAGE_MAX_SIDE
#define STBI_ASSERT(condition)               ((void)0)
#define STBI_MALLOC(bytes)                   image_allocate(bytes)
#define STBI_FREE(data)                      image_release(data)
#define STBI_REALLOC_SIZED(data, old, bytes) image_reallocate(data, old, bytes)
/* To the end of the file, since that is where GCC looks for unused functions. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>

/* ---- decoding */

static tarn_tensor *decode_failed(const char *who)
{
    const char *why = shortage ? shortage : stbi_failure_reason();
    tarn_fail("%s: the picture could not be decoded: %s", who, why ? why : "unknown");
    image_release_all();
    return NULL;
}

/* The most that an honest picture takes: the file's data collected once more (doubling), 16-bit samples
 * before and after filtering or a JPEG's coefficients and planes, and the result. */
static size_t fair_budget(size_t file_bytes, size_t picture_bytes)
{
    return ((size_t)16 << 20) + 4 * file_bytes + 12 * picture_bytes;
}

static tarn_tensor *decode(tarn__image_input *in, int channels)
{
    int width = 0, height = 0, in_file = 0;
    tarn__image_info info;
    if (!tarn__image_check(in, &info))
        return NULL;
    shortage = NULL;
    budget = fair_budget(in->bytes, 0);
    if (!stbi_info_from_memory(in->data, (int)in->bytes, &width, &height, &in_file) || shortage)
        return decode_failed(in->who);
    int64_t wide = in_file > channels ? in_file : channels, elements = info.width * info.height * wide;
    if (elements > in->limits->max_elements) {
        tarn_fail("%s: a picture of %d x %d pixels (width x height) of %" PRId64 " channels, %" PRId64
                  " elements, expected at most %" PRId64,
                  in->who, width, height, wide, elements, in->limits->max_elements);
        return NULL;
    }
    budget = fair_budget(in->bytes, (size_t)elements);
    unsigned char *pixels = stbi_load_from_memory(in->data, (int)in->bytes, &width, &height, &in_file, channels);
    if (!pixels)
        return decode_failed(in->who);
    if (in->limits->as_stored)
        info.orientation = 1;
    tarn_tensor *image = tarn__image_turned(&info, channels ? channels : in_file, pixels);
    image_release_all();
    return image;
}

static bool limit_is_valid(const char *who, const char *name, int64_t *limit, int64_t fallback)
{
    if (*limit < 0 || *limit > INT32_MAX)
        return tarn_fail("%s: %s is %" PRId64 ", expected 0 to %d", who, name, *limit, INT32_MAX);
    *limit = *limit ? *limit : fallback;
    return true;
}

static bool options_are_valid(const char *who, int channels, const tarn_image_opts *opts, tarn_image_opts *limits)
{
    *limits = opts ? *opts : (tarn_image_opts){0};
    if (channels != 0 && channels != 1 && channels != 3 && channels != 4)
        return tarn_fail("%s: %d channels, expected 0, 1, 3 or 4", who, channels);
    return limit_is_valid(who, "opts->max_elements", &limits->max_elements, MAX_ELEMENTS) &&
           limit_is_valid(who, "opts->max_scans", &limits->max_scans, MAX_SCANS) &&
           limit_is_valid(who, "opts->max_coefficients", &limits->max_coefficients, MAX_COEFFICIENTS);
}

static tarn_tensor *decode_bytes(const char *who, const void *data, size_t bytes, int channels,
                                 const tarn_image_opts *opts)
{
    tarn_image_opts limits;
    if (!tarn__usable(who, data, "data") || !options_are_valid(who, channels, opts, &limits))
        return NULL;
    return decode(&(tarn__image_input){who, data, bytes, 0, &limits}, channels);
}

tarn_tensor *tarn_image_decode(const void *data, size_t bytes, int channels)
{
    return decode_bytes("tarn_image_decode", data, bytes, channels, NULL);
}

tarn_tensor *tarn_image_decode_with(const void *data, size_t bytes, int channels, const tarn_image_opts *opts)
{
    return decode_bytes("tarn_image_decode_with", data, bytes, channels, opts);
}

/* `named` begins the messages about what is in the file. */
static tarn_tensor *decode_file(const char *who, const char *path, const char *named, int channels,
                                const tarn_image_opts *limits)
{
    uint64_t bytes;
    int fd = tarn__file_open(who, path, &bytes);
    if (fd < 0)
        return NULL;
    tarn_tensor *image = NULL;
    unsigned char *data = NULL;
    if (bytes > TARN__IMAGE_MAX_FILE)
        tarn_fail("%s: %" PRIu64 " bytes, expected at most %d", named, bytes, TARN__IMAGE_MAX_FILE);
    else if (!(data = tarn__allocate((size_t)bytes)))
        tarn_fail("%s: no memory", named);
    else if (tarn__file_read(who, path, fd, 0, data, (size_t)bytes))
        image = decode(&(tarn__image_input){named, data, (size_t)bytes, 0, limits}, channels);
    tarn__release(data);
    tarn__file_close(fd);
    return image;
}

static tarn_tensor *load(const char *who, const char *path, int channels, const tarn_image_opts *opts)
{
    tarn_image_opts limits;
    if (!tarn__usable(who, path, "path") || !options_are_valid(who, channels, opts, &limits))
        return NULL;
    size_t room = strlen(who) + strlen(path) + 3;
    char *named = tarn__allocate(room);
    if (!named) {
        tarn_fail("%s: %s: no memory", who, path);
        return NULL;
    }
    snprintf(named, room, "%s: %s", who, path);
    tarn_tensor *image = decode_file(who, path, named, channels, &limits);
    tarn__release(named);
    return image;
}

tarn_tensor *tarn_image_load(const char *path, int channels)
{
    return load("tarn_image_load", path, channels, NULL);
}

tarn_tensor *tarn_image_load_with(const char *path, int channels, const tarn_image_opts *opts)
{
    return load("tarn_image_load_with", path, channels, opts);
}
