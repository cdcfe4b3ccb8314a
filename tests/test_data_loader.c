/* Mini-batches. Each test runs twice: with batches made ahead, and made when they are asked for. */
#include "tensor/threads.h"
#include "tests/data_examples.h"

#include <math.h>

static int64_t ahead; /* of every loader here */

static int made_ahead(void **state)
{
    (void)state;
    ahead = 0; /* the default */
    return 0;
}

static int made_when_asked(void **state)
{
    (void)state;
    ahead = -1;
    return 0;
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
    tarn_loader *l = tarn_loader_new(e.dataset, &(tarn_loader_opts){.ahead = ahead});
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
    tarn_loader *l = tarn_loader_new(e.dataset, &(tarn_loader_opts){.ahead = ahead, .shuffle = true, .seed = 5});
    tarn_loader *again = tarn_loader_new(e.dataset, &(tarn_loader_opts){.ahead = ahead, .shuffle = true, .seed = 5});
    tarn_loader *other = tarn_loader_new(e.dataset, &(tarn_loader_opts){.ahead = ahead, .shuffle = true, .seed = 6});
    check_shuffling(l, again, other);
    tarn_loader_free(l);
    tarn_loader_free(again);
    tarn_loader_free(other);
    examples_free(&e);
}

static tarn_loader *streamed(bool shuffle, uint64_t seed, int64_t buffer)
{
    return tarn_loader_new_streamed(
        file_at("images"), file_at("labels"),
        &(tarn_loader_opts){.shuffle = shuffle, .seed = seed, .shuffle_buffer = buffer, .ahead = ahead});
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
            e.dataset, &(tarn_loader_opts){
                           .batch_size = cases[i].batch, .drop_last = cases[i].drop, .shuffle = true, .ahead = ahead});
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
        tarn_loader_opts o = {
            .ahead = ahead, .batch_size = 256, .dtype = f64 ? TARN_F64 : TARN_F32, .mean = 0.2861, .std = 0.353};
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
        tarn_loader *l =
            tarn_loader_new(d, &(tarn_loader_opts){.ahead = ahead, .shuffle = true, .seed = 3, .batch_size = 32});
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
    tarn_loader *loaders[] = {tarn_loader_new(e.dataset, &(tarn_loader_opts){.shuffle = true, .ahead = ahead}),
                              streamed(true, 1, 100), streamed(false, 1, 0)};
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
        {{.std = -1}, "std -1"},
        {{.std = NAN}, "std nan"},
        {{.mean = INFINITY}, "mean inf"},
        {{.shuffle_buffer = -5}, "shuffle_buffer -5"},
        {{.ahead = -2}, "ahead -2, expected -1 to 64"},
        {{.ahead = 65}, "ahead 65, expected -1 to 64"},
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
    tarn_loader *l = tarn_loader_new(e.dataset, ahead ? &(tarn_loader_opts){.ahead = ahead} : NULL);
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
    assert_true(tarn_loader_seek(l, (1 << 24) - 2, 0));
    assert_false(tarn_loader_seek(l, (1 << 24) - 1, 0));
    expect_error("tarn_loader_seek: batch 0 of epoch 16777215");
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
    tarn_loader_opts o = {.shuffle = true, .batch_size = 5, .shuffle_buffer = 6, .ahead = ahead};
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
#define T(test)                                                                                                        \
    cmocka_unit_test_setup_teardown(test, made_ahead, test_end),                                                       \
        cmocka_unit_test_setup_teardown(test, made_when_asked, test_end)
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests_name("data_loader", tests, folder_make, folder_remove);
}
