/* L12: an epoch shows every example once, in a new order. L13: large batches have fewer updates in an epoch and less
 * noise in the gradient; an epoch of small ones trains further, an update of large ones does. */
#include "autograd/surface.h"
#include "data/data.h"
#include "tests/layers_cases.h"

enum { EXAMPLES = 256, FEATURES = 6, SMALL = 4, LARGE = 64, TESTED_CLASSES = 3 };

/* ---- epochs ---- */

static void an_epoch_shows_every_example_once_in_a_new_order(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_tensor_new(TARN_F64, TARN_SHAPE(EXAMPLES, 1));
    tarn_tensor *label = tarn_tensor_new(TARN_I32, TARN_SHAPE(EXAMPLES));
    int32_t *labels = tarn_mutable_data(label), order[2][EXAMPLES];
    for (int i = 0; i < EXAMPLES; i++)
        labels[i] = i;
    tarn_dataset *data = tarn_dataset_new(x, label);
    tarn_loader *loader = tarn_loader_new(data, &(tarn_loader_opts){.batch_size = LARGE, .shuffle = true, .seed = 3});
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[EXAMPLES] = {false};
        tarn_batch batch;
        int n = 0;
        while (tarn_loader_next(loader, f.t, &batch)) {
            const int32_t *shown = tarn_data(batch.labels);
            for (int i = 0; i < LARGE; i++, n++) {
                assert_false(seen[shown[i]]);
                seen[shown[i]] = true;
                order[epoch][n] = shown[i];
            }
        }
        assert_null(tarn_error());
        assert_int_equal(n, EXAMPLES);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    tarn_loader_free(loader);
    tarn_dataset_free(data);
    tarn_tensor_free(x), tarn_tensor_free(label);
}

/* ---- noise ---- */

typedef struct drawing {
    tarn_params *params;
    int64_t size, batch;
} drawing;

static bool draw(void *context, int64_t batch)
{
    ((drawing *)context)->batch = batch;
    return true;
}

/* Squared error of x w against x 1 + noise, for examples that a batch draws by its number. */
static tarn_tensor *squared_error(tarn_tape *t, void *context)
{
    const drawing *d = context;
    tarn_rng rng = tarn_rng_seed((uint64_t)(1000 * d->size + d->batch));
    tarn_tensor *x = tarn_uniform(t, TARN_F64, TARN_SHAPE(d->size, FEATURES), &rng, -1, 1);
    tarn_tensor *noise = tarn_uniform(t, TARN_F64, TARN_SHAPE(d->size, 1), &rng, -1, 1);
    tarn_tensor *y = tarn_add(t, tarn_sum(t, x, TARN_AXES(1), true), noise);
    return tarn_mse(t, tarn_matmul(t, x, tarn_params_at(d->params, 0)), y);
}

static void noise_falls_with_the_root_of_the_batch_size(void **state)
{
    (void)state;
    tarn_params_add(f.p, "w", TARN_SHAPE(FEATURES, 1));
    drawing d = {.params = f.p};
    const tarn_objective objective = {squared_error, &d, f.p, f.t};
    tarn_gradient_noise_report small, large;
    d.size = SMALL;
    assert_true(tarn_gradient_noise(&objective, 400, SMALL, draw, &small));
    d.size = LARGE;
    assert_true(tarn_gradient_noise(&objective, 400, LARGE, draw, &large));
    const double ratio = small.noise_norm / large.noise_norm, root = sqrt((double)LARGE / SMALL);
    assert_true(fabs(ratio / root - 1) < 0.15); /* a deviation over 400 batches is known to some 4 % */
    assert_true(small.noise_norm > sqrt(small.gradient_squared));
    assert_true(large.noise_norm < sqrt(large.gradient_squared));
}

/* ---- optimization ---- */

typedef struct trained {
    int64_t updates;
    double loss; /* over all examples */
} trained;

static trained train(tarn_dataset *data, tarn_tensor *x, tarn_tensor *labels, int64_t batch_size, double lr,
                     int64_t updates, int64_t epochs)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_rng rng = tarn_rng_seed(2);
    tarn_linear_layer linear;
    tarn_linear_init(&linear, p, "linear", &rng, FEATURES, TESTED_CLASSES, NULL);
    tarn_optim *sgd = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = lr});
    const tarn_loader_opts opts = {.batch_size = batch_size, .shuffle = true, .seed = 1, .dtype = TARN_F64};
    tarn_loader *loader = tarn_loader_new(data, &opts);
    trained result = {0};
    while (tarn_loader_epoch(loader) < epochs && result.updates < updates) {
        tarn_batch batch;
        if (!tarn_loader_next(loader, f.t, &batch)) {
            assert_null(tarn_error());
            continue;
        }
        assert_true(
            tarn_backward(f.t, tarn_cross_entropy(f.t, tarn_linear_apply(f.t, &linear, batch.x), batch.labels)));
        assert_true(tarn_optim_step(sgd));
        result.updates++;
        tarn_tape_reset(f.t);
    }
    result.loss = tarn_item(tarn_cross_entropy(f.t, tarn_linear_apply(f.t, &linear, x), labels));
    tarn_tape_reset(f.t);
    tarn_loader_free(loader);
    tarn_optim_free(sgd);
    tarn_params_free(p);
    return result;
}

static void small_batches_gain_by_the_epoch_large_ones_by_the_update(void **state)
{
    (void)state;
    enum { EPOCHS = 5, UPDATES = 20 };
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &f.rng, -1, 1);
    tarn_tensor *map = random_input(2, (const int64_t[]){FEATURES, TESTED_CLASSES});
    tarn_tensor *labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, x, map), 1));
    tarn_tape_reset(f.t);
    tarn_dataset *data = tarn_dataset_new(x, labels);
    const trained small = train(data, x, labels, SMALL, 0.05, INT64_MAX, EPOCHS);
    const trained large = train(data, x, labels, LARGE, 0.05, INT64_MAX, EPOCHS);
    assert_int_equal(small.updates, EPOCHS * EXAMPLES / SMALL);
    assert_int_equal(large.updates, EPOCHS * EXAMPLES / LARGE);
    assert_true(small.loss < 0.8 * large.loss);
    /* At a rate at which noise matters. */
    const trained few_small = train(data, x, labels, SMALL, 5, UPDATES, INT64_MAX);
    const trained few_large = train(data, x, labels, LARGE, 5, UPDATES, INT64_MAX);
    assert_int_equal(few_small.updates, few_large.updates);
    assert_true(few_large.loss < few_small.loss);
    tarn_dataset_free(data);
    tarn_tensor_free(x), tarn_tensor_free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_epoch_shows_every_example_once_in_a_new_order),
        TEST(noise_falls_with_the_root_of_the_batch_size),
        TEST(small_batches_gain_by_the_epoch_large_ones_by_the_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
