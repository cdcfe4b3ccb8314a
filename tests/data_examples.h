/* tests/data_examples.h: examples for the tests of data/, in memory and as IDX files. */
#ifndef TARN_TESTS_DATA_EXAMPLES_H
#define TARN_TESTS_DATA_EXAMPLES_H

#include "data/data.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <zlib.h>

/* ---- IDX files */

/* A header of `ndim` sizes, then `bytes` of data. */
static inline const char *write_idx(const char *name, int code, int ndim, const uint32_t *sizes, const void *data,
                                    size_t bytes, bool gzip)
{
    const char *path = file_at(name);
    unsigned char head[4 + 4 * 9] = {0, 0, (unsigned char)code, (unsigned char)ndim};
    for (int i = 0; i < 4 * ndim; i++)
        head[4 + i] = (unsigned char)(sizes[i / 4] >> (24 - 8 * (i % 4)));
    unsigned char *all = malloc(sizeof head + bytes);
    size_t head_bytes = 4 + 4 * (size_t)ndim;
    memcpy(all, head, head_bytes);
    if (bytes)
        memcpy(all + head_bytes, data, bytes);
    if (gzip) {
        gzFile f = gzopen(path, "wb9");
        assert_int_equal(gzwrite(f, all, (unsigned)(head_bytes + bytes)), head_bytes + bytes);
        assert_int_equal(gzclose(f), Z_OK);
    } else
        write_file(path, all, head_bytes + bytes);
    free(all);
    return path;
}

static inline uint8_t byte_at(int64_t i)
{
    return (uint8_t)((uint64_t)i * 2654435761u >> 11);
}

enum { RECORD = 6 };

/* MNIST's two files of a part, with n pictures u8 [2,3] and labels 0 to `largest`, in turn. */
static inline void write_mnist(const char *part, int64_t n, int largest, bool gzip)
{
    char name[64];
    uint8_t *data = malloc((size_t)n * RECORD);
    for (int64_t i = 0; i < n * RECORD; i++)
        data[i] = byte_at(i);
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", part, gzip ? ".gz" : "");
    write_idx(name, 8, 3, (uint32_t[]){(uint32_t)n, 2, 3}, data, (size_t)n * RECORD, gzip);
    for (int64_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i % (largest + 1));
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", part, gzip ? ".gz" : "");
    write_idx(name, 8, 1, (uint32_t[]){(uint32_t)n}, data, (size_t)n, gzip);
    free(data);
}

/* ---- a dataset: example i is i % 256, i / 256 and 7, its label i */

enum { EXAMPLES = 1000, BATCH = 64, BATCHES = (EXAMPLES + BATCH - 1) / BATCH };

typedef struct examples {
    tarn_tensor *images, *labels;
    tarn_dataset *dataset;
} examples;

static inline examples examples_new(void)
{
    examples e = {.images = tarn_tensor_new(TARN_U8, TARN_SHAPE(EXAMPLES, 1, 1, 3)),
                  .labels = tarn_tensor_new(TARN_I32, TARN_SHAPE(EXAMPLES))};
    for (int i = 0; i < EXAMPLES; i++) {
        uint8_t *pixel = (uint8_t *)e.images->data + 3 * i;
        pixel[0] = (uint8_t)i, pixel[1] = (uint8_t)(i / 256), pixel[2] = 7;
        ((int32_t *)e.labels->data)[i] = i;
    }
    e.dataset = tarn_dataset_new(e.images, e.labels);
    assert_non_null(e.dataset);
    return e;
}

static inline void examples_free(examples *e)
{
    tarn_dataset_free(e->dataset);
    tarn_tensor_free(e->images);
    tarn_tensor_free(e->labels);
}

/* The examples as IDX files; the labels as 32-bit integers. */
static inline void write_examples(bool gzip)
{
    examples e = examples_new();
    write_idx("images", 8, 4, (uint32_t[]){EXAMPLES, 1, 1, 3}, e.images->data, 3 * EXAMPLES, gzip);
    unsigned char labels[4 * EXAMPLES];
    for (int i = 0; i < EXAMPLES; i++)
        memcpy(labels + 4 * i, (unsigned char[]){0, 0, (unsigned char)(i / 256), (unsigned char)i}, 4);
    write_idx("labels", 0x0C, 1, (uint32_t[]){EXAMPLES}, labels, sizeof labels, gzip);
    examples_free(&e);
}

#endif
