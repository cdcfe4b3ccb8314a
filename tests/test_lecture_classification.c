/* L22, L23: classes as one-hot targets of a softmax, and what squared error and cross-entropy make of a bad start. */
#include "tests/layers_cases.h"

enum { FEATURES = 6, EXAMPLES = 48, OF_CLASSES = 4, TRAINING_STEPS = 200 };

static tarn_tensor *squared_error(tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels)
{
    tarn_tensor *target = tarn_one_hot(t, labels, tarn_dim(outputs, -1), tarn_tensor_dtype(outputs));
    tarn_tensor *e = tarn_square(t, tarn_sub(t, tarn_softmax(t, outputs), target));
    return tarn_mean(t, tarn_sum(t, e, TARN_AXES(-1), false), TARN_ALL_AXES, false);
}

static void any_two_classes_are_equally_far_apart(void **state)
{
    (void)state;
    const int32_t numbers[] = {0, 1, 2};
    tarn_tensor *c = tarn_one_hot(f.t, tarn_constant(f.t, TARN_I32, TARN_SHAPE(3), numbers), 3, TARN_F64);
    tarn_tensor *a = tarn_reshape(f.t, c, TARN_SHAPE(3, 1, 3)), *b = tarn_reshape(f.t, c, TARN_SHAPE(1, 3, 3));
    tarn_tensor *distance = tarn_sum(f.t, tarn_square(f.t, tarn_sub(f.t, a, b)), TARN_AXES(-1), false);
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < 3; j++)
            assert_true(tarn_at(distance, (const int64_t[]){i, j}) == (i == j ? 0 : 2));
}

/* softmax(y) = softmax(y - constant), also where exp(y) is infinite or 0. The loss is a difference of numbers as large
 * as the shift, and its gradient an exponential of one. */
static void softmax_of_outputs_beyond_exp(tarn_dtype dtype, double tolerance)
{
    const double near[] = {2, 0.5, -1}, shifts[] = {0, 1000, -1000, 30000};
    tarn_tensor *y = tarn_cast(f.t, tarn_constant(f.t, TARN_F64, TARN_SHAPE(1, 3), near), dtype);
    const double total = exp(2) + exp(0.5) + exp(-1);
    tarn_tensor *label = tarn_zeros(f.t, TARN_I32, TARN_SHAPE(1));
    for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
        tarn_tensor *x = tarn_add_scalar(f.t, y, shifts[i]), *p = tarn_softmax(f.t, x), *g;
        tarn_tensor *e = tarn_cross_entropy(f.t, x, label);
        const double scaled = tolerance * fmax(1, fabs(shifts[i]));
        assert_true(tarn_grad(f.t, 1, &e, NULL, 1, &x, &g));
        assert_true(fabs(tarn_item(e) - (log(total) - near[0])) <= scaled);
        for (int64_t k = 0; k < 3; k++) {
            const double expected = exp(near[k]) / total;
            assert_true(fabs(tarn_at(p, (const int64_t[]){0, k}) - expected) <= tolerance * expected * 4);
            assert_true(fabs(tarn_at(g, (const int64_t[]){0, k}) - (expected - (k == 0))) <= 4 * scaled);
        }
    }
}

static void softmax_is_stable_for_large_outputs(void **state)
{
    (void)state;
    softmax_of_outputs_beyond_exp(TARN_F64, 0x1p-50);
    softmax_of_outputs_beyond_exp(TARN_F32, 0x1p-21);
    tarn_tensor *x = tarn_constant(f.t, TARN_F32, TARN_SHAPE(1, 3), (const float[]){1000, 999, -1000});
    assert_true(isinf(tarn_at(tarn_exp(f.t, x), (const int64_t[]){0, 0}))); /* what the formula as it stands meets */
}

/* With the third of three outputs at -1000 and p = softmax(y1 - y2): the gradients over (y1, y2) are (p-1, 1-p), and
 * 4 p (1-p)^2 times (-1, 1), which vanishes on both sides. */
static void squared_error_is_flat_where_cross_entropy_is_not(void **state)
{
    (void)state;
    for (int d = -20; d <= 20; d += 4) {
        const double at[] = {d / 2.0, -d / 2.0, -1000}, p = 1 / (1 + exp(-d)), q = 1 / (1 + exp(d));
        const double expected[] = {q, 4 * p * q * q};
        tarn_tensor *y = tarn_constant(f.t, TARN_F64, TARN_SHAPE(1, 3), at), *g[2];
        tarn_tensor *label = tarn_zeros(f.t, TARN_I32, TARN_SHAPE(1));
        tarn_tensor *e[] = {tarn_cross_entropy(f.t, y, label), squared_error(f.t, y, label)};
        for (int i = 0; i < 2; i++) {
            assert_true(tarn_grad(f.t, 1, &e[i], NULL, 1, &y, &g[i]));
            assert_true(fabs(tarn_at(g[i], (const int64_t[]){0, 0}) + expected[i]) <= 1e-15);
            assert_true(fabs(tarn_at(g[i], (const int64_t[]){0, 1}) - expected[i]) <= 1e-15);
            assert_true(tarn_at(g[i], (const int64_t[]){0, 2}) == 0);
        }
    }
}

typedef struct course {
    double first, last, accuracy; /* loss before and after, right answers after */
} course;

/* Gradient descent on classes that a random linear map gives, from a linear model that is certain of the last class. */
static course train(bool squared)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_rng rng = tarn_rng_seed(3);
    tarn_linear_layer linear;
    tarn_linear_init(&linear, p, "linear", &rng, FEATURES, OF_CLASSES, NULL);
    assert_true(tarn_copy(linear.bias, tarn_constant(f.t, TARN_F64, TARN_SHAPE(4), (const double[]){0, 0, 0, 16})));
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &rng, -1, 1);
    tarn_tensor *map = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(FEATURES, OF_CLASSES), &rng, -1, 1);
    tarn_tensor *labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, x, map), 1));
    tarn_optim *sgd = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = 1});
    course c = {NAN, NAN, NAN};
    for (int step = 0; step <= TRAINING_STEPS; step++) {
        tarn_tape_reset(f.t);
        tarn_tensor *y = tarn_linear_apply(f.t, &linear, x);
        tarn_tensor *loss = squared ? squared_error(f.t, y, labels) : tarn_cross_entropy(f.t, y, labels);
        c.last = tarn_item(loss);
        c.first = step == 0 ? c.last : c.first;
        c.accuracy = tarn_item(tarn_accuracy(f.t, y, labels));
        assert_true(tarn_backward(f.t, loss) && tarn_optim_step(sgd));
    }
    tarn_tape_reset(f.t);
    tarn_optim_free(sgd);
    tarn_tensor_free(x), tarn_tensor_free(map), tarn_tensor_free(labels);
    tarn_params_free(p);
    return c;
}

static void cross_entropy_leaves_a_bad_start_and_squared_error_does_not(void **state)
{
    (void)state;
    const course entropy = train(false), squared = train(true);
    assert_true(entropy.last < 0.05 * entropy.first && entropy.accuracy > 0.9);
    assert_true(squared.last > 0.99 * squared.first && squared.accuracy < 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_two_classes_are_equally_far_apart),
        TEST(softmax_is_stable_for_large_outputs),
        TEST(squared_error_is_flat_where_cross_entropy_is_not),
        TEST(cross_entropy_leaves_a_bad_start_and_squared_error_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
