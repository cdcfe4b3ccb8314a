/* Datasets. */
#include "tests/data_examples.h"

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

static void a_slice_shows_its_examples(void **state)
{
    (void)state;
    tarn_tensor *images = tarn_tensor_from(TARN_F32, TARN_SHAPE(4, 2), (float[]){0, 1, 2, 3, 4, 5, 6, 7});
    tarn_tensor *labels = tarn_tensor_from(TARN_I32, TARN_SHAPE(4), (int32_t[]){2, 0, 1, 0});
    tarn_dataset *d = tarn_dataset_new(images, labels);
    assert_true(tarn_dataset_set_classes(d, 3, (const char *[]){"a", "b", "c"}));
    tarn_dataset *part = tarn_dataset_slice_new(d, 1, 2), *last = tarn_dataset_slice_new(d, 3, 1);
    assert_int_equal(tarn_dataset_count(part), 2);
    assert_int_equal(tarn_dataset_classes(part), 3); /* though its largest label is 1 */
    assert_string_equal(tarn_dataset_class_name(part, 2), "c");
    assert_true(tarn_at(tarn_dataset_images(part), (int64_t[]){0, 0}) == 2);
    assert_true(tarn_at(tarn_dataset_images(part), (int64_t[]){1, 1}) == 5);
    assert_true(tarn_at(tarn_dataset_labels(part), (int64_t[]){1}) == 1);
    assert_true(tarn_at(tarn_dataset_images(last), (int64_t[]){0, 1}) == 7);
    assert_ptr_equal(tarn_data(tarn_dataset_images(last)), (const float *)tarn_data(images) + 6); /* not a copy */
    assert_null(tarn_dataset_slice_new(d, 3, 2));
    expect_error("tarn_dataset_slice_new: 2 examples from 3 on, of a dataset of 4");
    tarn_dataset_free(part), tarn_dataset_free(last);
    tarn_dataset_free(d);
    tarn_tensor_free(images), tarn_tensor_free(labels);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(mnist_is_loaded),
        T(bad_mnist_is_refused),
        T(wrong_tensors_are_refused),
        T(a_slice_shows_its_examples),
    };
    return cmocka_run_group_tests_name("data_set", tests, folder_make, folder_remove);
}
