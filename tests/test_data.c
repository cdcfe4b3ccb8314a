/* IDX files, datasets and mini-batches. */
#include "data/data.h"
#include "tensor/tensor_impl.h"
#include "tensor/threads.h"
#include "tests/data_files.h"

#include <math.h>
#include <zlib.h>

/* ---- making IDX files */

/* A header of `ndim` sizes, then `bytes` of data. */
static const char *write_idx(const char *name, int code, int ndim, const uint32_t *sizes, const void *data,
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

enum { RECORDS = 1000, RECORD = 6 };

static uint8_t byte_at(int64_t i)
{
    return (uint8_t)((uint64_t)i * 2654435761u >> 11);
}

/* u8 [1000,2,3] */
static const char *write_bytes(const char *name, bool gzip)
{
    static uint8_t data[RECORDS * RECORD];
    for (int i = 0; i < RECORDS * RECORD; i++)
        data[i] = byte_at(i);
    return write_idx(name, 8, 3, (uint32_t[]){RECORDS, 2, 3}, data, sizeof data, gzip);
}

/* ---- whole files */

static void every_dtype_is_read(void **state)
{
    (void)state;
    static const struct {
        int code;
        tarn_dtype dtype;
        size_t bytes;
        unsigned char data[16];
        double values[2];
    } cases[] = {
        {0x08, TARN_U8, 2, {0, 255}, {0, 255}},
        {0x09, TARN_I32, 2, {0x80, 0x7f}, {-128, 127}},
        {0x0B, TARN_I32, 4, {0x80, 0x01, 0x01, 0x02}, {-32767, 258}},
        {0x0C, TARN_I32, 8, {0x80, 0, 0, 1, 1, 2, 3, 4}, {-2147483647, 16909060}},
        {0x0D, TARN_F32, 8, {0xbf, 0x80, 0, 0, 0x40, 0x49, 0x0f, 0xdb}, {-1, 3.14159274101257324}},
        {0x0E,
         TARN_F64,
         16,
         {0xbf, 0xf0, 0, 0, 0, 0, 0, 0, 0x40, 0x09, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18},
         {-1, 3.14159265358979312}},
    };
    for (int gzip = 0; gzip < 2; gzip++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const char *path =
                write_idx("x", cases[i].code, 2, (uint32_t[]){2, 1}, cases[i].data, cases[i].bytes, gzip);
            tarn_tensor *x = tarn_idx_load(path);
            assert_non_null(x);
            assert_int_equal(tarn_tensor_dtype(x), cases[i].dtype);
            assert_true(tarn_ndim(x) == 2 && tarn_dim(x, 0) == 2 && tarn_dim(x, 1) == 1);
            for (int64_t j = 0; j < 2; j++)
                assert_true(tarn_at(x, (int64_t[]){j, 0}) == cases[i].values[j]);
            tarn_tensor_free(x);
        }
}

static void shapes_may_be_empty_or_deep(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        tarn_tensor *none = tarn_idx_load(write_idx("x", 8, 2, (uint32_t[]){0, 5}, NULL, 0, gzip));
        tarn_tensor *deep = tarn_idx_load(write_idx("y", 8, 8, (uint32_t[]){1, 1, 1, 2, 1, 1, 1, 1}, "ab", 2, gzip));
        assert_true(none && tarn_numel(none) == 0 && tarn_dim(none, 1) == 5);
        assert_true(deep && tarn_ndim(deep) == 8 && tarn_dim(deep, 3) == 2);
        tarn_tensor_free(none);
        tarn_tensor_free(deep);
    }
}

/* ---- a few records at a time */

static void records_come_in_order(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        tarn_idx_reader *r = tarn_idx_open(write_bytes("x", gzip));
        assert_non_null(r);
        assert_true(tarn_idx_dtype(r) == TARN_U8 && tarn_idx_ndim(r) == 3 && tarn_idx_shape(r)[2] == 3);
        uint8_t data[RECORD * 300];
        for (int round = 0; round < 2; round++) {
            int64_t got, at = 0;
            assert_int_equal(tarn_idx_read(r, 0, data), 0);
            for (at = 0; (got = tarn_idx_read(r, 300, data)) > 0; at += got)
                for (int64_t i = 0; i < got * RECORD; i++)
                    assert_int_equal(data[i], byte_at(at * RECORD + i));
            assert_int_equal(at, RECORDS);
            assert_int_equal(tarn_idx_read(r, 1, data), 0);
            assert_true(tarn_idx_rewind(r));
        }
        tarn_idx_close(r);
    }
}

static void gzip_members_are_joined(void **state)
{
    (void)state;
    file_bytes whole = read_file(write_bytes("plain", false));
    gzFile f = gzopen(file_at("two"), "wb");
    gzwrite(f, whole.data, 1001);
    gzclose(f);
    f = gzopen(file_at("two"), "ab");
    gzwrite(f, whole.data + 1001, (unsigned)whole.bytes - 1001);
    gzclose(f);
    tarn_tensor *x = tarn_idx_load(file_at("two"));
    assert_non_null(x);
    assert_memory_equal(x->data, whole.data + 16, whole.bytes - 16);
    tarn_tensor_free(x);
    free(whole.data);
}

/* ---- damaged files */

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        uint8_t data[40];
        for (int i = 0; i < 40; i++)
            data[i] = byte_at(i);
        file_bytes whole = read_file(write_idx("x", 8, 2, (uint32_t[]){8, 5}, data, 40, gzip));
        for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
            write_file(file_at("cut"), whole.data, bytes);
            assert_null(tarn_idx_load(file_at("cut")));
            expect_error("tarn_idx_load: ", file_at("cut"));
        }
        whole.data[whole.bytes] = 7;
        write_file(file_at("cut"), whole.data, whole.bytes + 1);
        assert_null(tarn_idx_load(file_at("cut")));
        expect_error("tarn_idx_load: ", file_at("cut"));
        free(whole.data);
    }
}

static void every_changed_byte_of_gzip_is_survived(void **state)
{
    (void)state;
    file_bytes whole = read_file(write_bytes("x", true));
    tarn_tensor *right = tarn_idx_load(file_at("x"));
    for (size_t at = 0; at < whole.bytes; at += at < 40 ? 1 : 37) {
        whole.data[at] ^= 0x55;
        write_file(file_at("changed"), whole.data, whole.bytes);
        whole.data[at] ^= 0x55;
        tarn_tensor *x = tarn_idx_load(file_at("changed"));
        if (x) /* a byte that means nothing, such as the time */
            assert_memory_equal(x->data, right->data, tarn__bytes(right));
        else
            expect_error("tarn_idx_load: ", file_at("changed"));
        tarn_tensor_free(x);
    }
    whole.data[whole.bytes - 8] ^= 1;
    write_file(file_at("changed"), whole.data, whole.bytes);
    assert_null(tarn_idx_load(file_at("changed")));
    expect_error("tarn_idx_load: ", "incorrect data check");
    tarn_tensor_free(right);
    free(whole.data);
}

static void a_reader_that_failed_must_be_rewound(void **state)
{
    (void)state;
    file_bytes whole = read_file(write_bytes("x", true));
    write_file(file_at("cut"), whole.data, whole.bytes / 2);
    free(whole.data);
    tarn_idx_reader *r = tarn_idx_open(file_at("cut"));
    assert_non_null(r);
    static uint8_t data[RECORDS * RECORD];
    for (int round = 0; round < 2; round++) {
        assert_int_equal(tarn_idx_read(r, 10, data), 10);
        assert_int_equal(tarn_idx_read(r, RECORDS, data), -1);
        expect_error("tarn_idx_read: ", "end too early");
        assert_int_equal(tarn_idx_read(r, 1, data), -1);
        expect_error("tarn_idx_read: ", "rewind");
        assert_true(tarn_idx_rewind(r));
    }
    assert_int_equal(tarn_idx_read(r, -1, data), -1);
    expect_error("tarn_idx_read: -1 records");
    tarn_idx_close(r);
}

static void headers_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint32_t most[9] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                     UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    for (int gzip = 0; gzip < 2; gzip++) {
        /* 4 GB, which a file of 20 bytes cannot hold: refused before memory is taken. */
        check_memory_install();
        check_memory_refuse((1 << 20) + 1, SIZE_MAX);
        assert_null(tarn_idx_load(write_idx("x", 8, 1, most, "abcd", 4, gzip)));
        check_memory_remove();
        expect_error("tarn_idx_load: ", file_at("x"), "declares 4294967295 bytes", gzip ? "cannot hold" : "has 4");
        assert_null(tarn_idx_load(write_idx("x", 0x0E, 8, most, "abcd", 4, gzip)));
        expect_error("tarn_idx_load: ", "is too large");
        assert_null(tarn_idx_load(write_idx("x", 8, 0, most, "a", 1, gzip)));
        expect_error("tarn_idx_load: ", "expected 00 00");
        assert_null(tarn_idx_load(write_idx("x", 8, 9, most, "a", 1, gzip)));
        expect_error("tarn_idx_load: ", "expected 00 00");
        assert_null(tarn_idx_load(write_idx("x", 10, 1, (uint32_t[]){1}, "a", 1, gzip)));
        expect_error("tarn_idx_load: ", "starts with 00 00 0a 01");
    }
}

/* Beyond 64 MiB a gzip file is counted before memory is taken for it. */
static void large_gzip_files_are_counted_first(void **state)
{
    (void)state;
    enum { LARGE = 65 << 20 };
    unsigned char *zeros = calloc(LARGE, 1);
    for (int i = 0; i < 1 << 20; i++)
        zeros[i] = byte_at(i);
    write_idx("x", 8, 2, (uint32_t[]){65, 1 << 20}, zeros, LARGE, true);
    tarn_tensor *x = tarn_idx_load(file_at("x"));
    assert_true(x && tarn_numel(x) == LARGE && ((uint8_t *)x->data)[LARGE - 1] == 0);
    tarn_tensor_free(x);
    write_idx("x", 8, 2, (uint32_t[]){66, 1 << 20}, zeros, LARGE, true);
    check_memory_install();
    check_memory_refuse((1 << 20) + 1, SIZE_MAX);
    assert_null(tarn_idx_load(file_at("x")));
    check_memory_remove();
    expect_error("tarn_idx_load: ", "before what its header declares");
    free(zeros);
}

/* ---- datasets */

static void write_mnist(const char *part, int64_t n, int largest, bool gzip)
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

static void mnist_is_loaded(void **state)
{
    (void)state;
    for (int gzip = 1; gzip >= 0; gzip--) {
        write_mnist("train", 20, 7, gzip);
        write_mnist("t10k", 12, 9, gzip);
        tarn_dataset *d = tarn_dataset_load_mnist(test_folder, "train");
        assert_non_null(d);
        assert_int_equal(tarn_dataset_count(d), 20);
        assert_int_equal(tarn_dataset_classes(d), 10);
        assert_null(tarn_dataset_class_name(d, 0));
        tarn_tensor *images = tarn_dataset_images(d), *labels = tarn_dataset_labels(d);
        assert_true(tarn_ndim(images) == 4 && tarn_dim(images, 2) == 3 && tarn_dim(images, 3) == 1);
        assert_true(tarn_at(images, (int64_t[]){19, 1, 2, 0}) == byte_at(119));
        assert_true(tarn_at(labels, (int64_t[]){15}) == 7);
        tarn_dataset_free(d);
        d = tarn_dataset_load_mnist(test_folder, "t10k");
        assert_int_equal(tarn_dataset_count(d), 12);
        tarn_dataset_free(d);
    }
}

static void bad_mnist_is_refused(void **state)
{
    (void)state;
    assert_null(tarn_dataset_load_mnist(test_folder, "train"));
    expect_error("tarn_idx_load: ", "train-images-idx3-ubyte.gz", "No such file");
    write_mnist("train", 5, 10, false);
    write_mnist("train", 20, 10, false);
    assert_null(tarn_dataset_load_mnist(test_folder, "train"));
    expect_error("tarn_dataset_load_mnist: ", "label 10, expected 0 to 9");
    write_idx("train-labels-idx1-ubyte", 8, 1, (uint32_t[]){3}, "abc", 3, false);
    assert_null(tarn_dataset_load_mnist(test_folder, "train"));
    expect_error("tarn_dataset_load_mnist: 20 images and 3 labels");
    write_idx("train-labels-idx1-ubyte", 9, 1, (uint32_t[]){3}, "abc", 3, false);
    assert_null(tarn_dataset_load_mnist(test_folder, "train"));
    expect_error("tarn_dataset_load_mnist: ", "i32[3], expected u8 with 1 axes");
    assert_null(tarn_dataset_load_mnist(test_folder, "test"));
    expect_error("tarn_dataset_load_mnist: part \"test\"");
    assert_null(tarn_dataset_load_mnist(NULL, "test"));
    expect_error("tarn_dataset_load_mnist: dir is NULL");
}

static void wrong_tensors_are_refused(void **state)
{
    (void)state;
    tarn_tensor *images = tarn_tensor_new(TARN_U8, TARN_SHAPE(3, 2)), *scalar = tarn_tensor_new(TARN_U8, 0, NULL);
    tarn_tensor *integers = tarn_tensor_new(TARN_I32, TARN_SHAPE(3)), *four = tarn_tensor_new(TARN_I32, TARN_SHAPE(4));
    tarn_tensor *negative = tarn_tensor_from(TARN_I32, TARN_SHAPE(3), (int32_t[]){0, 5, -1});
    assert_null(tarn_dataset_new(NULL, integers));
    expect_error("tarn_dataset_new: images is NULL");
    assert_null(tarn_dataset_new(scalar, integers));
    expect_error("tarn_dataset_new: images u8[], expected u8, f32 or f64");
    assert_null(tarn_dataset_new(integers, integers));
    expect_error("tarn_dataset_new: images i32[3]");
    assert_null(tarn_dataset_new(images, images));
    expect_error("tarn_dataset_new: labels u8[3,2], expected u8 or i32 [N]");
    assert_null(tarn_dataset_new(images, four));
    expect_error("tarn_dataset_new: 3 images and 4 labels");
    assert_null(tarn_dataset_new(images, negative));
    expect_error("tarn_dataset_new: label 2 is -1");
    tarn_tape *t = tarn_tape_new();
    tarn_batch b;
    tarn_dataset *d = tarn_dataset_new(images, integers);
    tarn_loader *l = tarn_loader_new(d, NULL);
    assert_true(tarn_loader_next(l, t, &b));
    assert_null(tarn_dataset_new(b.x, b.labels));
    expect_error("tarn_dataset_new: the images live on a tape");
    const char *names[] = {"cat", "dog"};
    assert_int_equal(tarn_dataset_classes(d), 1);
    assert_false(tarn_dataset_set_classes(d, 0, names));
    expect_error("tarn_dataset_set_classes: 0 classes, expected at least 1");
    assert_true(tarn_dataset_set_classes(d, 2, names) && tarn_dataset_set_classes(d, 2, names));
    assert_string_equal(tarn_dataset_class_name(d, 1), "dog");
    assert_null(tarn_dataset_class_name(d, 2));
    tarn_loader_free(l);
    tarn_dataset_free(d);
    tarn_tape_free(t);
    tarn_tensor_free(images);
    tarn_tensor_free(scalar);
    tarn_tensor_free(integers);
    tarn_tensor_free(four);
    tarn_tensor_free(negative);
}

/* ---- batches: example i is i % 256, i / 256 and 7, its label i */

enum { EXAMPLES = 1000, BATCH = 64, BATCHES = (EXAMPLES + BATCH - 1) / BATCH };

typedef struct examples {
    tarn_tensor *images, *labels;
    tarn_dataset *dataset;
} examples;

static examples examples_new(void)
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

static void examples_free(examples *e)
{
    tarn_dataset_free(e->dataset);
    tarn_tensor_free(e->images);
    tarn_tensor_free(e->labels);
}

/* One epoch: the labels in their order into `order`, each checked against its picture. Returns how many. */
static int run_epoch(tarn_loader *l, int32_t *order)
{
    tarn_tape *t = tarn_tape_new();
    tarn_batch b;
    int count = 0;
    while (tarn_loader_next(l, t, &b)) {
        const float *x = tarn_data(b.x);
        const int32_t *labels = tarn_data(b.labels);
        assert_int_equal(tarn_dim(b.x, 0), tarn_dim(b.labels, 0));
        assert_true(count + tarn_dim(b.x, 0) <= EXAMPLES);
        for (int64_t i = 0; i < tarn_dim(b.x, 0); i++, count++) {
            order[count] = labels[i];
            assert_true(x[3 * i] == (float)(labels[i] % 256 / 255.0) && x[3 * i + 2] == (float)(7 / 255.0) &&
                        x[3 * i + 1] == (float)(labels[i] / 256 / 255.0));
        }
        tarn_tape_reset(t);
    }
    assert_null(b.x);
    assert_null(b.labels);
    expect_no_error();
    tarn_tape_free(t);
    return count;
}

static void assert_each_once(const int32_t *order)
{
    bool seen[EXAMPLES] = {false};
    for (int i = 0; i < EXAMPLES; i++) {
        assert_true(order[i] >= 0 && order[i] < EXAMPLES && !seen[order[i]]);
        seen[order[i]] = true;
    }
}

/* How many examples stand where they stood. */
static int in_common(const int32_t *a, const int32_t *b)
{
    int count = 0;
    for (int i = 0; i < EXAMPLES; i++)
        count += a[i] == b[i];
    return count;
}

static void without_shuffling_the_order_stays(void **state)
{
    (void)state;
    examples e = examples_new();
    tarn_loader *l = tarn_loader_new(e.dataset, NULL);
    assert_int_equal(tarn_loader_batches(l), BATCHES);
    assert_int_equal(tarn_loader_examples(l), EXAMPLES);
    int32_t order[EXAMPLES];
    for (int epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(tarn_loader_epoch(l), epoch);
        assert_int_equal(run_epoch(l, order), EXAMPLES);
        for (int i = 0; i < EXAMPLES; i++)
            assert_int_equal(order[i], i);
    }
    tarn_loader_free(l);
    examples_free(&e);
}

/* What holds for every loader that shuffles. */
static void check_shuffling(tarn_loader *l, tarn_loader *again, tarn_loader *other)
{
    int32_t first[EXAMPLES], second[EXAMPLES], same[EXAMPLES], ascending[EXAMPLES];
    for (int i = 0; i < EXAMPLES; i++)
        ascending[i] = i;
    assert_int_equal(run_epoch(l, first), EXAMPLES);
    assert_int_equal(tarn_loader_epoch(l), 1);
    assert_int_equal(run_epoch(l, second), EXAMPLES);
    assert_each_once(first);
    assert_each_once(second);
    /* Of two random orders about one example stands in the same place in both. */
    assert_true(in_common(first, second) < 20 && in_common(first, ascending) < 20);
    assert_int_equal(run_epoch(again, same), EXAMPLES);
    assert_int_equal(in_common(first, same), EXAMPLES);
    assert_int_equal(run_epoch(other, same), EXAMPLES);
    assert_true(in_common(first, same) < 20);
    assert_true(tarn_loader_seek(l, 0, 0));
    assert_int_equal(run_epoch(l, same), EXAMPLES);
    assert_int_equal(in_common(first, same), EXAMPLES);
    assert_true(tarn_loader_seek(l, 1, 3));
    assert_true(tarn_loader_epoch(l) == 1 && tarn_loader_batch(l) == 3);
    assert_int_equal(run_epoch(l, same), EXAMPLES - 3 * BATCH);
    assert_memory_equal(same, second + 3 * BATCH, (EXAMPLES - 3 * BATCH) * sizeof same[0]);
    assert_true(tarn_loader_seek(l, 1, BATCHES));
    assert_int_equal(run_epoch(l, same), 0);
    assert_int_equal(tarn_loader_epoch(l), 2);
}

static void shuffling_is_a_function_of_seed_and_epoch(void **state)
{
    (void)state;
    examples e = examples_new();
    tarn_loader *l = tarn_loader_new(e.dataset, &(tarn_loader_opts){.shuffle = true, .seed = 5});
    tarn_loader *again = tarn_loader_new(e.dataset, &(tarn_loader_opts){.shuffle = true, .seed = 5});
    tarn_loader *other = tarn_loader_new(e.dataset, &(tarn_loader_opts){.shuffle = true, .seed = 6});
    check_shuffling(l, again, other);
    tarn_loader_free(l);
    tarn_loader_free(again);
    tarn_loader_free(other);
    examples_free(&e);
}

/* The examples as IDX files; the labels as 32-bit integers. */
static void write_examples(bool gzip)
{
    examples e = examples_new();
    write_idx("images", 8, 4, (uint32_t[]){EXAMPLES, 1, 1, 3}, e.images->data, 3 * EXAMPLES, gzip);
    unsigned char labels[4 * EXAMPLES];
    for (int i = 0; i < EXAMPLES; i++)
        memcpy(labels + 4 * i, (unsigned char[]){0, 0, (unsigned char)(i / 256), (unsigned char)i}, 4);
    write_idx("labels", 0x0C, 1, (uint32_t[]){EXAMPLES}, labels, sizeof labels, gzip);
    examples_free(&e);
}

static tarn_loader *streamed(bool shuffle, uint64_t seed, int64_t buffer)
{
    return tarn_loader_new_streamed(file_at("images"), file_at("labels"),
                                    &(tarn_loader_opts){.shuffle = shuffle, .seed = seed, .shuffle_buffer = buffer});
}

static void streams_show_every_example_once(void **state)
{
    (void)state;
    for (int gzip = 0; gzip < 2; gzip++) {
        write_examples(gzip);
        tarn_loader *l = streamed(false, 0, 0);
        assert_int_equal(tarn_loader_batches(l), BATCHES);
        int32_t order[EXAMPLES];
        for (int epoch = 0; epoch < 2; epoch++) {
            assert_int_equal(run_epoch(l, order), EXAMPLES);
            for (int i = 0; i < EXAMPLES; i++)
                assert_int_equal(order[i], i);
        }
        tarn_loader_free(l);
        static const int64_t buffers[] = {100, 999, 1000, 5000, 0};
        for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
            tarn_loader *a = streamed(true, 5, buffers[i]), *b = streamed(true, 5, buffers[i]);
            tarn_loader *c = streamed(true, 6, buffers[i]);
            check_shuffling(a, b, c);
            tarn_loader_free(a);
            tarn_loader_free(b);
            tarn_loader_free(c);
        }
        l = streamed(true, 1, 1); /* a buffer of one keeps the order */
        assert_int_equal(run_epoch(l, order), EXAMPLES);
        assert_true(order[0] == 0 && order[EXAMPLES - 1] == EXAMPLES - 1);
        tarn_loader_free(l);
    }
}

static void a_stream_that_breaks_is_an_error(void **state)
{
    (void)state;
    write_examples(true);
    file_bytes whole = read_file(file_at("images"));
    write_file(file_at("images"), whole.data, whole.bytes - 20);
    free(whole.data);
    tarn_loader *l = streamed(false, 0, 0);
    assert_non_null(l);
    tarn_tape *t = tarn_tape_new();
    tarn_batch b;
    int batches = 0;
    while (tarn_loader_next(l, t, &b))
        batches++;
    expect_error("tarn_idx_read: ", "end too early");
    assert_true(batches > 0 && batches < BATCHES);
    assert_int_equal(tarn_loader_batch(l), batches);
    assert_false(tarn_loader_next(l, t, &b));
    expect_error("tarn_idx_read: ", "end too early");
    assert_int_equal(tarn_loader_batch(l), batches);
    assert_true(tarn_loader_seek(l, 0, 1) && tarn_loader_next(l, t, &b));
    assert_false(tarn_loader_seek(l, 1, BATCHES));
    expect_error("tarn_idx_read: ", "end too early");
    assert_true(tarn_loader_epoch(l) == 0 && tarn_loader_batch(l) == 2);
    assert_true(tarn_loader_next(l, t, &b));
    assert_int_equal(tarn_at(b.labels, (int64_t[]){0}), 2 * BATCH);
    tarn_tape_free(t);
    tarn_loader_free(l);
}

static void the_last_batch_is_kept_or_dropped(void **state)
{
    (void)state;
    examples e = examples_new();
    static const struct {
        int64_t batch;
        bool drop;
        int64_t batches, examples;
    } cases[] = {{64, false, 16, 1000}, {64, true, 15, 960},    {100, true, 10, 1000},
                 {1000, true, 1, 1000}, {1, false, 1000, 1000}, {5000, false, 1, 1000}};
    int32_t order[EXAMPLES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tarn_loader *l = tarn_loader_new(
            e.dataset, &(tarn_loader_opts){.batch_size = cases[i].batch, .drop_last = cases[i].drop, .shuffle = true});
        assert_int_equal(tarn_loader_batches(l), cases[i].batches);
        assert_int_equal(tarn_loader_examples(l), cases[i].examples);
        for (int epoch = 0; epoch < 2; epoch++)
            assert_int_equal(run_epoch(l, order), cases[i].examples);
        tarn_loader_free(l);
    }
    examples_free(&e);
}

static void values_are_scaled(void **state)
{
    (void)state;
    uint8_t bytes[256];
    float floats[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i, floats[i] = (float)i / 7;
    tarn_tensor *labels = tarn_tensor_new(TARN_U8, TARN_SHAPE(256));
    tarn_tensor *u8 = tarn_tensor_from(TARN_U8, TARN_SHAPE(256, 1, 1), bytes);
    tarn_tensor *f32 = tarn_tensor_from(TARN_F32, TARN_SHAPE(256), floats);
    tarn_dataset *pictures = tarn_dataset_new(u8, labels), *features = tarn_dataset_new(f32, labels);
    tarn_tape *t = tarn_tape_new();
    for (int f64 = 0; f64 < 2; f64++) {
        tarn_loader_opts o = {.batch_size = 256, .dtype = f64 ? TARN_F64 : TARN_F32, .mean = 0.2861, .std = 0.353};
        tarn_loader *p = tarn_loader_new(pictures, &o), *q = tarn_loader_new(features, &o);
        tarn_batch a, b;
        assert_true(tarn_loader_next(p, t, &a) && tarn_loader_next(q, t, &b));
        assert_true(tarn_ndim(a.x) == 4 && tarn_dim(a.x, 3) == 1 && tarn_ndim(b.x) == 1);
        assert_true(tarn_tensor_dtype(a.x) == o.dtype && tarn_tensor_dtype(b.x) == o.dtype);
        assert_int_equal(tarn_tensor_dtype(a.labels), TARN_I32);
        for (int64_t i = 0; i < 256; i++) {
            double x = ((double)i / 255 - o.mean) / o.std, y = ((double)floats[i] - o.mean) / o.std;
            assert_true(tarn_at(a.x, (int64_t[]){i, 0, 0, 0}) == (f64 ? x : (double)(float)x));
            assert_true(tarn_at(b.x, &i) == (f64 ? y : (double)(float)y));
        }
        tarn_loader_free(p);
        tarn_loader_free(q);
    }
    tarn_tape_free(t);
    tarn_dataset_free(pictures);
    tarn_dataset_free(features);
    tarn_tensor_free(labels);
    tarn_tensor_free(u8);
    tarn_tensor_free(f32);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    enum { N = 100, SIDE = 64 };
    tarn_tensor *images = tarn_tensor_new(TARN_U8, TARN_SHAPE(N, SIDE, SIDE, 3));
    tarn_tensor *labels = tarn_tensor_new(TARN_U8, TARN_SHAPE(N));
    for (int64_t i = 0; i < images->numel; i++)
        ((uint8_t *)images->data)[i] = byte_at(i);
    tarn_dataset *d = tarn_dataset_new(images, labels);
    tarn_tape *t = tarn_tape_new();
    char digest[3][65];
    for (int k = 0; k < 3; k++) {
        assert_true(tarn_set_threads((int[]){1, 2, 8}[k]));
        tarn_loader *l = tarn_loader_new(d, &(tarn_loader_opts){.shuffle = true, .seed = 3, .batch_size = 32});
        check_sha256 sum;
        check_sha256_start(&sum);
        for (tarn_batch b; tarn_loader_next(l, t, &b); tarn_tape_reset(t))
            check_sha256_add(&sum, tarn_data(b.x), tarn__bytes(b.x));
        check_sha256_finish(&sum, digest[k]);
        tarn_loader_free(l);
    }
    assert_true(tarn_set_threads(0));
    assert_string_equal(digest[0], digest[1]);
    assert_string_equal(digest[0], digest[2]);
    tarn_tape_free(t);
    tarn_dataset_free(d);
    tarn_tensor_free(images);
    tarn_tensor_free(labels);
}

static void a_batch_takes_nothing_from_the_heap(void **state)
{
    (void)state;
    write_examples(false);
    check_memory_install();
    examples e = examples_new();
    tarn_loader *loaders[] = {tarn_loader_new(e.dataset, &(tarn_loader_opts){.shuffle = true}), streamed(true, 1, 100),
                              streamed(false, 1, 0)};
    tarn_tape *t = tarn_tape_new();
    for (int k = 0; k < 3; k++) {
        long calls = 0;
        for (int epoch = 0; epoch < 3; epoch++) {
            for (tarn_batch b; tarn_loader_next(loaders[k], t, &b);)
                tarn_tape_reset(t);
            if (epoch == 0)
                calls = check_memory_calls();
        }
        assert_int_equal(check_memory_calls(), calls);
        tarn_loader_free(loaders[k]);
    }
    tarn_tape_free(t);
    examples_free(&e);
    check_memory_remove();
}

static void wrong_calls_are_errors(void **state)
{
    (void)state;
    examples e = examples_new();
    static const struct {
        tarn_loader_opts opts;
        const char *says;
    } cases[] = {
        {{.batch_size = -1}, "batch_size -1"},
        {{.batch_size = INT64_MAX}, "batch_size 9223372036854775807"},
        {{.dtype = TARN_U8}, "dtype u8, expected f32 or f64"},
        {{.std = -1}, "a std above 0"},
        {{.std = NAN}, "a std above 0"},
        {{.mean = INFINITY}, "a finite mean"},
        {{.shuffle_buffer = -5}, "shuffle_buffer -5"},
        {{.batch_size = 1001, .drop_last = true}, "1000 examples make no batch of 1001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(tarn_loader_new(e.dataset, &cases[i].opts));
        expect_error("tarn_loader_new: ", cases[i].says);
    }
    assert_null(tarn_loader_new(NULL, NULL));
    expect_error("tarn_loader_new: dataset is NULL");
    assert_null(tarn_loader_new_streamed(file_at("none"), file_at("none"), NULL));
    expect_error("tarn_idx_open: ", "No such file");
    tarn_loader *l = tarn_loader_new(e.dataset, NULL);
    tarn_tape *t = tarn_tape_new();
    tarn_batch b;
    assert_false(tarn_loader_next(NULL, t, &b));
    expect_error("tarn_loader_next: loader is NULL");
    assert_false(tarn_loader_next(l, NULL, &b));
    expect_error("tarn_loader_next: tape is NULL");
    assert_false(tarn_loader_next(l, t, NULL));
    expect_error("tarn_loader_next: batch is NULL");
    assert_false(tarn_loader_seek(l, 0, BATCHES + 1));
    expect_error("tarn_loader_seek: batch 17 of epoch 0");
    assert_false(tarn_loader_seek(l, -1, 0));
    expect_error("tarn_loader_seek: batch 0 of epoch -1");
    tarn_fail("pending");
    assert_false(tarn_loader_next(l, t, &b));
    assert_null(b.x);
    assert_int_equal(tarn_loader_batch(l), 0);
    expect_error("pending");
    assert_true(tarn_loader_batch(NULL) == 0 && tarn_loader_epoch(NULL) == 0 && tarn_idx_ndim(NULL) == 0);
    tarn_loader_free(NULL);
    tarn_idx_close(NULL);
    tarn_dataset_free(NULL);
    tarn_loader_free(l);
    tarn_tape_free(t);
    examples_free(&e);
}

static bool load_and_batch(void)
{
    tarn_dataset *d = tarn_dataset_load_mnist(test_folder, "train");
    if (d)
        tarn_dataset_set_classes(d, 10, (const char *[]){"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
    tarn_loader_opts o = {.shuffle = true, .batch_size = 5, .shuffle_buffer = 6};
    tarn_loader *l = tarn_loader_new(d, &o);
    tarn_loader *s =
        tarn_loader_new_streamed(file_at("train-images-idx3-ubyte.gz"), file_at("train-labels-idx1-ubyte.gz"), &o);
    tarn_tape *t = tarn_tape_new();
    int batches = 0;
    for (tarn_batch b; tarn_loader_next(l, t, &b) && tarn_loader_next(s, t, &b); batches++)
        tarn_tape_reset(t);
    tarn_tape_free(t);
    tarn_loader_free(s);
    tarn_loader_free(l);
    tarn_dataset_free(d);
    return !tarn_error() && batches == 4;
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    write_mnist("train", 20, 9, true);
    fail_each_allocation(load_and_batch, true);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(every_dtype_is_read),
        T(shapes_may_be_empty_or_deep),
        T(records_come_in_order),
        T(gzip_members_are_joined),
        T(every_truncation_is_an_error),
        T(every_changed_byte_of_gzip_is_survived),
        T(a_reader_that_failed_must_be_rewound),
        T(headers_that_lie_are_refused),
        T(large_gzip_files_are_counted_first),
        T(mnist_is_loaded),
        T(bad_mnist_is_refused),
        T(wrong_tensors_are_refused),
        T(without_shuffling_the_order_stays),
        T(shuffling_is_a_function_of_seed_and_epoch),
        T(streams_show_every_example_once),
        T(a_stream_that_breaks_is_an_error),
        T(the_last_batch_is_kept_or_dropped),
        T(values_are_scaled),
        T(threads_do_not_matter),
        T(a_batch_takes_nothing_from_the_heap),
        T(wrong_calls_are_errors),
        T(no_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("data", tests, folder_make, folder_remove);
}
