/* Layers: what they put into the store, and what they compute. First values are in test_init.c. */
#include "tests/layers_cases.h"

/* ---- linear ---- */

static void linear_adds_its_parameters(void **state)
{
    (void)state;
    tarn_linear_layer a, b;
    assert_true(tarn_linear_init(&a, f.p, "a", &f.rng, 3, 5, NULL));
    assert_true(tarn_linear_init(&b, f.p, "b", &f.rng, 5, 2, &(tarn_linear_opts){.no_bias = true}));
    assert_int_equal(tarn_params_count(f.p), 3);
    assert_ptr_equal(tarn_params_find(f.p, "a.weight"), a.weight);
    assert_ptr_equal(tarn_params_find(f.p, "a.bias"), a.bias);
    assert_ptr_equal(tarn_params_find(f.p, "b.weight"), b.weight);
    assert_null(b.bias);
    expect_shape(a.weight, TARN_SHAPE(3, 5));
    expect_shape(a.bias, TARN_SHAPE(5));
    assert_non_null(tarn_param_grad(a.weight));
    assert_non_null(tarn_param_grad(a.bias));
}

/* sum over i of x[row,i] w[i,k] + b[k] */
static double linear_by_hand(const tarn_linear_layer *l, const double *x, int64_t row, int64_t k)
{
    int64_t in = tarn_dim(l->weight, 0), out = tarn_dim(l->weight, 1);
    const double *w = tarn_data(l->weight);
    double sum = l->bias ? ((const double *)tarn_data(l->bias))[k] : 0;
    for (int64_t i = 0; i < in; i++)
        sum += x[row * in + i] * w[i * out + k];
    return sum;
}

static void linear_works_on_the_last_axis(void **state)
{
    (void)state;
    for (int no_bias = 0; no_bias < 2; no_bias++) {
        tarn_linear_layer l;
        assert_true(tarn_linear_init(&l, f.p, no_bias ? "without" : "with", &f.rng, 3, 5,
                                     &(tarn_linear_opts){.no_bias = no_bias != 0}));
        tarn_tensor *xs[] = {
            random_input(TARN_SHAPE(3)),       random_input(TARN_SHAPE(4, 3)),
            random_input(TARN_SHAPE(2, 4, 3)), tarn_transpose(f.t, random_input(TARN_SHAPE(3, 4, 2)), 0, 2),
            random_input(TARN_SHAPE(0, 3)),    random_input(TARN_SHAPE(2, 0, 3)),
        };
        for (size_t i = 0; i < sizeof xs / sizeof *xs; i++) {
            tarn_tensor *y = tarn_linear_apply(f.t, &l, xs[i]);
            int64_t shape[TARN_MAX_DIMS];
            memcpy(shape, tarn_shape(xs[i]), (size_t)tarn_ndim(xs[i]) * sizeof *shape);
            shape[tarn_ndim(xs[i]) - 1] = 5;
            expect_shape(y, tarn_ndim(xs[i]), shape);
            const double *px = tarn_data(xs[i]), *py = tarn_data(y);
            assert_non_null(py);
            for (int64_t row = 0; row < tarn_numel(y) / 5; row++)
                for (int64_t k = 0; k < 5; k++)
                    assert_true(fabs(py[row * 5 + k] - linear_by_hand(&l, px, row, k)) < 1e-14);
        }
    }
}

static void linear_gets_gradients(void **state)
{
    (void)state;
    tarn_linear_layer l;
    assert_true(tarn_linear_init(&l, f.p, "l", &f.rng, 2, 2, NULL));
    tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(3, 1, 2), (const double[]){1, 2, 3, 4, 5, 6});
    tarn_tensor *loss = tarn_sum(f.t, tarn_linear_apply(f.t, &l, x), TARN_ALL_AXES, false);
    assert_true(tarn_backward(f.t, loss));
    expect_equal(tarn_param_grad(l.weight),
                 tarn_constant(f.t, TARN_F64, TARN_SHAPE(2, 2), (const double[]){9, 9, 12, 12}), 1e-14);
    expect_equal(tarn_param_grad(l.bias), tarn_constant(f.t, TARN_F64, TARN_SHAPE(2), (const double[]){3, 3}), 1e-14);
}

/* ---- conv2d ---- */

static void conv2d_adds_its_parameters(void **state)
{
    (void)state;
    tarn_conv2d_layer a, b;
    assert_true(tarn_conv2d_init(&a, f.p, "a", &f.rng, 3, 8, 5, NULL));
    assert_true(
        tarn_conv2d_init(&b, f.p, "b", &f.rng, 8, 4, 3, &(tarn_conv2d_layer_opts){.groups = 2, .no_bias = true}));
    assert_int_equal(tarn_params_count(f.p), 3);
    expect_shape(tarn_params_find(f.p, "a.weight"), TARN_SHAPE(5, 5, 3, 8));
    expect_shape(tarn_params_find(f.p, "a.bias"), TARN_SHAPE(8));
    expect_shape(tarn_params_find(f.p, "b.weight"), TARN_SHAPE(3, 3, 4, 4));
    assert_ptr_equal(tarn_params_find(f.p, "a.bias"), a.bias);
    assert_null(b.bias);
}

typedef struct image_case {
    const char *name;
    int64_t h, w, c, k;
    int kernel;
    tarn_conv2d_layer_opts opts;
} image_case;

static double conv_by_hand(const tarn_conv2d_layer *l, const image_case *v, const double *x, int64_t p, int64_t q,
                           int64_t k)
{
    int64_t stride = v->opts.stride ? v->opts.stride : 1, dilation = v->opts.dilation ? v->opts.dilation : 1;
    int64_t groups = v->opts.groups ? v->opts.groups : 1, width = v->c / groups, from = k / (v->k / groups) * width;
    const double *w = tarn_data(l->weight);
    double sum = l->bias ? ((const double *)tarn_data(l->bias))[k] : 0;
    for (int64_t r = 0; r < v->kernel; r++)
        for (int64_t s = 0; s < v->kernel; s++)
            for (int64_t c = 0; c < width; c++) {
                int64_t i = p * stride + r * dilation - v->opts.padding,
                        j = q * stride + s * dilation - v->opts.padding;
                if (i >= 0 && i < v->h && j >= 0 && j < v->w)
                    sum += x[(i * v->w + j) * v->c + from + c] * w[((r * v->kernel + s) * width + c) * v->k + k];
            }
    return sum;
}

static void conv2d_convolves_and_adds_its_bias(void **state)
{
    (void)state;
    static const image_case cases[] = {
        {"plain", 5, 6, 2, 3, 3, {0}},
        {"padding", 5, 6, 2, 3, 3, {.padding = 1}},
        {"stride", 7, 6, 2, 3, 3, {.stride = 2, .padding = 1}},
        {"dilation", 7, 6, 1, 2, 2, {.dilation = 3}},
        {"groups", 4, 4, 6, 4, 3, {.groups = 2, .padding = 1}},
        {"no bias", 4, 4, 3, 5, 1, {.no_bias = true}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const image_case *v = &cases[i];
        tarn_conv2d_layer l;
        assert_true(tarn_conv2d_init(&l, f.p, v->name, &f.rng, v->c, v->k, v->kernel, &v->opts));
        tarn_tensor *x = random_input(TARN_SHAPE(1, v->h, v->w, v->c)), *y = tarn_conv2d_apply(f.t, &l, x);
        const double *px = tarn_data(x), *py = tarn_data(y);
        if (!py)
            fail_msg("%s: %s", v->name, tarn_error());
        int64_t ps = tarn_dim(y, 1), qs = tarn_dim(y, 2);
        assert_int_equal(tarn_dim(y, 3), v->k);
        assert_true(ps > 0 && qs > 0);
        for (int64_t at = 0; at < tarn_numel(y); at++)
            assert_true(fabs(py[at] - conv_by_hand(&l, v, px, at / v->k / qs, at / v->k % qs, at % v->k)) < 1e-13);
    }
}

/* ---- batchnorm, dropout ---- */

static void batchnorm_starts_as_the_identity(void **state)
{
    (void)state;
    tarn_batchnorm_layer l;
    assert_true(tarn_batchnorm_init(&l, f.p, "b1", 3, NULL));
    static const struct {
        const char *name;
        int ndim;
        bool trained;
        double value;
    } want[] = {
        {"b1.gamma", 1, true, 1},        {"b1.beta", 1, true, 0},     {"b1.running_mean", 1, false, 0},
        {"b1.running_var", 1, false, 1}, {"b1.batches", 0, false, 0},
    };
    assert_int_equal(tarn_params_count(f.p), 5);
    for (size_t i = 0; i < 5; i++) {
        tarn_tensor *x = tarn_params_find(f.p, want[i].name);
        expect_shape(x, want[i].ndim, (const int64_t[]){3});
        assert_true((tarn_param_grad(x) != NULL) == want[i].trained);
        for (int64_t k = 0; k < tarn_numel(x); k++)
            assert_true(tarn__load(x, k) == want[i].value);
    }
    tarn_tape_set_training(f.t, false);
    tarn_tensor *x = random_input(TARN_SHAPE(1, 3));
    expect_equal(tarn_batchnorm_apply(f.t, &l, x), tarn_mul_scalar(f.t, x, 1 / sqrt(1 + 1e-5)), 1e-12);
}

static void batchnorm_keeps_statistics(void **state)
{
    (void)state;
    tarn_batchnorm_layer l;
    assert_true(tarn_batchnorm_init(&l, f.p, "b1", 2, &(tarn_batchnorm_opts){.momentum = 0.25}));
    tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(3, 2), (const double[]){1, -4, 3, 0, 5, 4});
    double y = tarn_at(tarn_batchnorm_apply(f.t, &l, x), (const int64_t[]){2, 0});
    assert_true(fabs(y - 2 / sqrt(8.0 / 3 + 1e-5)) < 1e-12);
    expect_equal(l.running.mean, tarn_constant(f.t, TARN_F64, TARN_SHAPE(2), (const double[]){0.75, 0}), 1e-14);
    expect_equal(l.running.var, tarn_constant(f.t, TARN_F64, TARN_SHAPE(2), (const double[]){1.75, 4.75}), 1e-14);
    assert_true(tarn_item(l.running.batches) == 1);
    tarn_tape_set_training(f.t, false);
    y = tarn_at(tarn_batchnorm_apply(f.t, &l, x), (const int64_t[]){0, 0});
    assert_true(fabs(y - 0.25 / sqrt(1.75 + 1e-5)) < 1e-12);
    assert_true(tarn_item(l.running.batches) == 1);
}

static void dropout_drops_in_training_only(void **state)
{
    (void)state;
    tarn_dropout_layer l;
    tarn_rng rng = tarn_rng_seed(3);
    assert_true(tarn_dropout_init(&l, 0.25, &rng));
    tarn_tensor *x = tarn_ones(f.t, TARN_F64, TARN_SHAPE(100, 100));
    const double *y = tarn_data(tarn_dropout_apply(f.t, &l, x));
    assert_non_null(y);
    int zeros = 0;
    for (int i = 0; i < 10000; i++) {
        assert_true(y[i] == 0 || fabs(y[i] - 4.0 / 3) < 1e-15);
        zeros += y[i] == 0;
    }
    assert_in_range(zeros, 2500 - 200, 2500 + 200);
    assert_true(rng.counter > 0);
    tarn_tape_set_training(f.t, false);
    expect_equal(tarn_dropout_apply(f.t, &l, x), x, 0);
}

/* ---- layers without parameters ---- */

static tarn_tensor *leaky(tarn_tape *t, tarn_tensor *x)
{
    return tarn_leaky_relu(t, x, 0.01);
}

static tarn_tensor *elu(tarn_tape *t, tarn_tensor *x)
{
    return tarn_elu(t, x, 1);
}

static tarn_tensor *leaky_half(tarn_tape *t, tarn_tensor *x)
{
    return tarn_leaky_relu(t, x, 0.5);
}

static tarn_tensor *identity(tarn_tape *t, tarn_tensor *x)
{
    (void)t;
    return x;
}

static void activations_are_their_ops(void **state)
{
    (void)state;
    static const struct {
        tarn_activation kind;
        double p;
        tarn_tensor *(*op)(tarn_tape *, tarn_tensor *);
    } cases[] = {
        {TARN_IDENTITY, 0, identity},
        {TARN_RELU, 0, tarn_relu},
        {TARN_LEAKY_RELU, 0, leaky},
        {TARN_LEAKY_RELU, 0.5, leaky_half},
        {TARN_ELU, 0, elu},
        {TARN_GELU, 0, tarn_gelu},
        {TARN_SILU, 0, tarn_silu},
        {TARN_SIGMOID, 0, tarn_sigmoid},
        {TARN_SOFTPLUS, 0, tarn_softplus},
        {TARN_TANH, 0, tarn_tanh},
    };
    tarn_tensor *x = random_input(TARN_SHAPE(4, 5));
    bool seen[TARN_ACTIVATION_COUNT] = {false};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tarn_activation_layer l;
        assert_true(tarn_activation_init(&l, cases[i].kind, cases[i].p));
        expect_equal(tarn_activation_apply(f.t, &l, x), cases[i].op(f.t, x), 0);
        seen[cases[i].kind] = true;
    }
    for (int i = 0; i < TARN_ACTIVATION_COUNT; i++)
        assert_true(seen[i]);
}

static void pools_are_their_ops(void **state)
{
    (void)state;
    const tarn_pool2d_opts opts = {.stride = 1, .padding = 1};
    tarn_tensor *x = random_input(TARN_SHAPE(2, 6, 5, 3));
    for (int with = 0; with < 2; with++) {
        const tarn_pool2d_opts *given = with ? &opts : NULL;
        tarn_max_pool2d_layer max;
        tarn_avg_pool2d_layer avg;
        assert_true(tarn_max_pool2d_init(&max, 2, given));
        assert_true(tarn_avg_pool2d_init(&avg, 3, given));
        expect_equal(tarn_max_pool2d_apply(f.t, &max, x), tarn_max_pool2d(f.t, x, 2, given), 0);
        expect_equal(tarn_avg_pool2d_apply(f.t, &avg, x), tarn_avg_pool2d(f.t, x, 3, given), 0);
    }
}

static void flatten_keeps_leading_axes(void **state)
{
    (void)state;
    tarn_tensor *x = random_input(TARN_SHAPE(2, 3, 4, 5));
    tarn_flatten_layer one, two, four;
    assert_true(tarn_flatten_init(&one, 1));
    assert_true(tarn_flatten_init(&two, 2));
    assert_true(tarn_flatten_init(&four, 4));
    expect_equal(tarn_flatten_apply(f.t, &one, x), tarn_flatten(f.t, x), 0);
    expect_equal(tarn_flatten_apply(f.t, &two, x), tarn_reshape(f.t, x, TARN_SHAPE(2, 3, 20)), 0);
    expect_shape(tarn_flatten_apply(f.t, &four, x), TARN_SHAPE(2, 3, 4, 5, 1));
    expect_shape(tarn_flatten_apply(f.t, &one, random_input(TARN_SHAPE(2, 0, 4))), TARN_SHAPE(2, 0));
    assert_null(tarn_flatten_apply(f.t, &four, random_input(TARN_SHAPE(2, 3))));
    expect_error("tarn_flatten_apply: x [2,3], expected 4 axes or more");
}

/* ---- sequential ---- */

/* A layer of one's own: counts how often it is applied. */
static tarn_tensor *count_apply(tarn_tape *t, const void *self, tarn_tensor *x)
{
    (void)t;
    ++**(int *const *)self;
    return x;
}

static void sequential_stops_at_the_first_failure(void **state)
{
    (void)state;
    int applied = 0, *const counter = &applied;
    const tarn_layer own = {count_apply, &counter};
    tarn_linear_layer fails = {0};
    const tarn_layer parts[] = {own, tarn_linear_as_layer(&fails), own};
    tarn_sequential net;
    assert_true(tarn_sequential_init(&net, 3, parts));
    assert_null(tarn_sequential_apply(f.t, &net, random_input(TARN_SHAPE(2, 3))));
    expect_error("tarn_linear_apply: the layer was not initialized");
    assert_int_equal(applied, 1);
}

static void sequential_chains(void **state)
{
    (void)state;
    tarn_conv2d_layer c1;
    tarn_batchnorm_layer b1;
    tarn_linear_layer f1;
    tarn_activation_layer relu;
    tarn_max_pool2d_layer max;
    tarn_avg_pool2d_layer avg;
    tarn_flatten_layer flat;
    tarn_dropout_layer drop;
    tarn_rng rng = tarn_rng_seed(1);
    assert_true(tarn_conv2d_init(&c1, f.p, "c1", &f.rng, 1, 4, 3, &(tarn_conv2d_layer_opts){.padding = 1}) &&
                tarn_batchnorm_init(&b1, f.p, "b1", 4, NULL) && tarn_linear_init(&f1, f.p, "f1", &f.rng, 16, 3, NULL) &&
                tarn_activation_init(&relu, TARN_RELU, 0) && tarn_max_pool2d_init(&max, 2, NULL) &&
                tarn_avg_pool2d_init(&avg, 2, NULL) && tarn_flatten_init(&flat, 1) &&
                tarn_dropout_init(&drop, 0.5, &rng));
    const tarn_layer inner[] = {tarn_conv2d_as_layer(&c1), tarn_batchnorm_as_layer(&b1),
                                tarn_activation_as_layer(&relu)};
    tarn_sequential block, net, none;
    assert_true(tarn_sequential_init(&block, 3, inner));
    const tarn_layer outer[] = {tarn_sequential_as_layer(&block), tarn_max_pool2d_as_layer(&max),
                                tarn_avg_pool2d_as_layer(&avg),   tarn_flatten_as_layer(&flat),
                                tarn_dropout_as_layer(&drop),     tarn_linear_as_layer(&f1)};
    assert_true(tarn_sequential_init(&net, 6, outer));
    tarn_tensor *x = random_input(TARN_SHAPE(2, 8, 8, 1));
    tarn_tensor *y = tarn_sequential_apply(f.t, &net, x);
    tarn_tensor *z = tarn_relu(f.t, tarn_batchnorm_apply(f.t, &b1, tarn_conv2d_apply(f.t, &c1, x)));
    z = tarn_flatten(f.t, tarn_avg_pool2d(f.t, tarn_max_pool2d(f.t, z, 2, NULL), 2, NULL));
    rng = tarn_rng_seed(1);
    expect_equal(y, tarn_linear_apply(f.t, &f1, tarn_dropout(f.t, z, 0.5, &rng)), 1e-14);
    assert_true(tarn_sequential_init(&none, 0, NULL));
    assert_ptr_equal(tarn_sequential_apply(f.t, &none, x), x);
    assert_null(tarn_sequential_apply(f.t, &net, random_input(TARN_SHAPE(2, 9, 9, 2))));
    expect_error("tarn_conv2d_apply: x is f64[2,9,9,2], expected f64[N,H,W,1] for c1.weight");
}

/* ---- all together ---- */

static void two_layers_learn_xor(void **state)
{
    (void)state;
    tarn_linear_layer hidden, out;
    assert_true(tarn_linear_init(&hidden, f.p, "hidden", &f.rng, 2, 8, NULL));
    assert_true(tarn_linear_init(&out, f.p, "out", &f.rng, 8, 1, NULL));
    tarn_optim *adam = tarn_adam_new(f.p, &(tarn_adam_opts){.lr = 0.05});
    double first = 0, last = 0;
    for (int step = 0; step < 300; step++) {
        tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(4, 2), (const double[]){0, 0, 0, 1, 1, 0, 1, 1});
        tarn_tensor *y = tarn_constant(f.t, TARN_F64, TARN_SHAPE(4, 1), (const double[]){0, 1, 1, 0});
        x = tarn_linear_apply(f.t, &out, tarn_tanh(f.t, tarn_linear_apply(f.t, &hidden, x)));
        tarn_tensor *loss = tarn_bce_with_logits(f.t, x, y);
        assert_true(tarn_backward(f.t, loss));
        last = tarn_item(loss);
        first = step == 0 ? last : first;
        assert_true(tarn_optim_step(adam));
        tarn_tape_reset(f.t);
    }
    assert_true(first > 0.6 && last < 0.02);
    tarn_optim_free(adam);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(linear_adds_its_parameters),
        TEST(linear_works_on_the_last_axis),
        TEST(linear_gets_gradients),
        TEST(conv2d_adds_its_parameters),
        TEST(conv2d_convolves_and_adds_its_bias),
        TEST(batchnorm_starts_as_the_identity),
        TEST(batchnorm_keeps_statistics),
        TEST(dropout_drops_in_training_only),
        TEST(activations_are_their_ops),
        TEST(pools_are_their_ops),
        TEST(flatten_keeps_leading_axes),
        TEST(sequential_stops_at_the_first_failure),
        TEST(sequential_chains),
        TEST(two_layers_learn_xor),
    };
    return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
