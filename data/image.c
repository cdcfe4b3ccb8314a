/* The only file that names stb_image. */
#include "data/image.h"
#include "data/file.h"
#include "data/image_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <stdio.h>
#include <string.h>

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

static tarn_tensor *decode(const char *who, const unsigned char *data, size_t bytes, int channels)
{
    int width = 0, height = 0, in_file = 0;
    if (!tarn__image_check(who, data, bytes))
        return NULL;
    shortage = NULL;
    budget = fair_budget(bytes, 0);
    if (!stbi_info_from_memory(data, (int)bytes, &width, &height, &in_file) || shortage)
        return decode_failed(who);
    int wide = in_file > channels ? in_file : channels;
    size_t picture = (size_t)width * (size_t)height * (size_t)wide;
    if (width < 1 || height < 1 || picture > TARN__IMAGE_MAX_BYTES) {
        tarn_fail("%s: %d x %d pixels of %d channels, expected at most %d bytes", who, width, height, wide,
                  TARN__IMAGE_MAX_BYTES);
        return NULL;
    }
    budget = fair_budget(bytes, picture);
    unsigned char *pixels = stbi_load_from_memory(data, (int)bytes, &width, &height, &in_file, channels);
    if (!pixels)
        return decode_failed(who);
    int64_t shape[3] = {height, width, channels ? channels : in_file};
    tarn_tensor *image = tarn_tensor_from(TARN_U8, 3, shape, pixels);
    image_release_all();
    return image;
}

static bool channels_are_valid(const char *who, int channels)
{
    bool valid = channels == 0 || channels == 1 || channels == 3 || channels == 4;
    return valid ? true : tarn_fail("%s: %d channels, expected 0, 1, 3 or 4", who, channels);
}

tarn_tensor *tarn_image_decode(const void *data, size_t bytes, int channels)
{
    const char *who = "tarn_image_decode";
    if (!tarn__usable(who, data, "data") || !channels_are_valid(who, channels))
        return NULL;
    return decode(who, data, bytes, channels);
}

tarn_tensor *tarn_image_load(const char *path, int channels)
{
    const char *who = "tarn_image_load";
    uint64_t bytes;
    if (!tarn__usable(who, path, "path") || !channels_are_valid(who, channels))
        return NULL;
    int fd = tarn__file_open(who, path, &bytes);
    if (fd < 0)
        return NULL;
    tarn_tensor *image = NULL;
    unsigned char *data = NULL;
    char named[768];
    snprintf(named, sizeof named, "%s: %s", who, path);
    if (bytes > TARN__IMAGE_MAX_FILE)
        tarn_fail("%s: %llu bytes, expected at most %d", named, (unsigned long long)bytes, TARN__IMAGE_MAX_FILE);
    else if (!(data = tarn__allocate((size_t)bytes)))
        tarn_fail("%s: no memory", named);
    else if (tarn__file_read(who, path, fd, 0, data, (size_t)bytes))
        image = decode(named, data, (size_t)bytes, channels);
    tarn__release(data);
    tarn__file_close(fd);
    return image;
}
