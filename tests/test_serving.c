/* A trained model as it is used afterwards: saved, loaded, and asked about one image at a time. */
#include "autograd/ops.h"
#include "data/safetensors.h"
#include "tests/check.h"
#include "tests/small_cnn.h"

#include <math.h>
#include <unistd.h>

enum { STEPS = 10, IMAGES = 16, CLASSES = 5 };

static const cnn_size size = {.batch = IMAGES, .side = 12, .channels = 1, .width = 8, .hidden = 24, .classes = CLASSES};

static tarn_tape *trained(cnn *m, tarn_tensor **x)
{
    tarn_tape *t = tarn_tape_new();
    assert_true(cnn_new(m, TARN_F32, &size, 3));
    for (int step = 0; step < STEPS; step++) {
        assert_true(isfinite(cnn_step(t, m)));
        tarn_tape_reset(t);
    }
    tarn_tensor *batch, *labels;
    assert_true(cnn_batch(t, m, &batch, &labels));
    *x = tarn_tensor_clone(batch);
    tarn_tape_reset(t);
    tarn_tape_set_training(t, false);
    return t;
}

/* The logits of x, row-major, copied. */
static void logits_of(tarn_tape *t, const cnn *m, tarn_tensor *x, float *out)
{
    tarn_tensor *y = cnn_forward(t, m, x);
    const float *data = tarn_data(y);
    expect_no_error();
    memcpy(out, data, (size_t)tarn_numel(y) * sizeof *out);
    tarn_tape_reset(t);
}

static void a_loaded_model_gives_the_same_bits(void **state)
{
    (void)state;
    cnn m, loaded;
    tarn_tensor *x;
    tarn_tape *t = trained(&m, &x);
    float before[IMAGES * CLASSES], after[IMAGES * CLASSES];
    char path[] = "/tmp/tarn_test_serving_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && close(file) == 0);
    logits_of(t, &m, x, before);
    assert_true(tarn_params_save(m.params, path));
    assert_true(cnn_new(&loaded, TARN_F32, &size, 99));
    logits_of(t, &loaded, x, after);
    assert_true(memcmp(before, after, sizeof before) != 0); /* other weights until they are loaded */
    assert_true(tarn_params_load(loaded.params, path));
    logits_of(t, &loaded, x, after);
    assert_memory_equal(before, after, sizeof before);
    unlink(path);
    cnn_free(&m);
    cnn_free(&loaded);
    tarn_tensor_free(x);
    tarn_tape_free(t);
}

/* Matrix products of another height may round otherwise; nothing else may differ. */
static void an_image_alone_gets_the_answer_that_it_gets_in_a_batch(void **state)
{
    (void)state;
    cnn m;
    tarn_tensor *x;
    tarn_tape *t = trained(&m, &x);
    float together[IMAGES * CLASSES], alone[CLASSES];
    logits_of(t, &m, x, together);
    for (int i = 0; i < IMAGES; i++) {
        logits_of(t, &m, tarn_slice(t, x, 0, i, i + 1, 1), alone);
        for (int k = 0; k < CLASSES; k++)
            assert_true(fabsf(alone[k] - together[i * CLASSES + k]) <= 1e-5f * fmaxf(1, fabsf(alone[k])));
    }
    cnn_free(&m);
    tarn_tensor_free(x);
    tarn_tape_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_model_gives_the_same_bits),
        cmocka_unit_test(an_image_alone_gets_the_answer_that_it_gets_in_a_batch),
    };
    return cmocka_run_group_tests_name("serving", tests, NULL, NULL);
}
