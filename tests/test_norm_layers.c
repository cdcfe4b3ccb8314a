/* LayerNorm, RMSNorm, GroupNorm and InstanceNorm: what they put into the store, what they do with digits, which values
 * they look at, and what they refuse. Values and gradients are in ops_normalize.c. */
#include "tests/layers_cases.h"

typedef struct four {
    tarn_layernorm_layer layer;
    tarn_rmsnorm_layer rms;
    tarn_groupnorm_layer group;
    tarn_instancenorm_layer instance;
    tarn_layer all[4];
} four;

/* Layers "layer", "rms", "group" (of 2 channels) and "instance" in `params`. */
static void four_new(four *m, tarn_params *params, int64_t channels, bool no_affine)
{
    assert_true(
        tarn_layernorm_init(&m->layer, params, "layer", channels, &(tarn_layernorm_opts){.no_affine = no_affine}) &&
        tarn_rmsnorm_init(&m->rms, params, "rms", channels, &(tarn_rmsnorm_opts){.no_affine = no_affine}) &&
        tarn_groupnorm_init(&m->group, params, "group", channels / 2, channels,
                            &(tarn_groupnorm_opts){.no_affine = no_affine}) &&
        tarn_instancenorm_init(&m->instance, params, "instance", channels,
                               &(tarn_instancenorm_opts){.no_affine = no_affine}));
    m->all[0] = tarn_layernorm_as_layer(&m->layer);
    m->all[1] = tarn_rmsnorm_as_layer(&m->rms);
    m->all[2] = tarn_groupnorm_as_layer(&m->group);
    m->all[3] = tarn_instancenorm_as_layer(&m->instance);
}

static tarn_tensor *applied(const tarn_layer *l, tarn_tensor *x)
{
    return l->apply(f.t, l->self, x);
}

static void they_begin_without_scale_and_shift(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 4, false);
    static const char *const names[] = {"layer.gamma", "layer.beta",     "rms.gamma",    "group.gamma",
                                        "group.beta",  "instance.gamma", "instance.beta"};
    assert_int_equal(tarn_params_count(f.p), 7);
    for (size_t i = 0; i < 7; i++) {
        tarn_tensor *x = tarn_params_at(f.p, i);
        assert_string_equal(tarn_param_name(x), names[i]);
        expect_shape(x, TARN_SHAPE(4));
        assert_non_null(tarn_param_grad(x));
        for (int64_t k = 0; k < 4; k++)
            assert_true(tarn__load(x, k) == (strstr(names[i], "gamma") ? 1 : 0));
    }
}

static void without_affine_the_store_gets_nothing(void **state)
{
    (void)state;
    four with, without;
    tarn_params *none = tarn_params_new(TARN_F64);
    four_new(&with, f.p, 4, false);
    four_new(&without, none, 4, true);
    assert_int_equal(tarn_params_count(none), 0);
    tarn_tensor *x = random_input(TARN_SHAPE(2, 3, 2, 4));
    for (int i = 0; i < 4; i++)
        expect_equal(applied(&without.all[i], x), applied(&with.all[i], x), 0);
    tarn_params_free(none);
}

static void gamma_scales_and_beta_shifts(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 2, false);
    tarn_tensor *x = random_input(TARN_SHAPE(2, 3, 2)), *plain[4];
    for (int i = 0; i < 4; i++)
        plain[i] = tarn_contiguous(f.t, applied(&m.all[i], x));
    assert_true(tarn_run(tarn_concat(f.t, 4, plain, 0)));
    const double gamma[] = {3, -2}, beta[] = {0.5, 7};
    for (size_t i = 0; i < tarn_params_count(f.p); i++) {
        tarn_tensor *p = tarn_params_at(f.p, i);
        memcpy(tarn_mutable_data(p), strstr(tarn_param_name(p), "gamma") ? gamma : beta, sizeof gamma);
    }
    for (int i = 0; i < 4; i++) {
        const double *y = tarn_data(applied(&m.all[i], x)), *was = tarn_data(plain[i]);
        assert_non_null(y);
        for (int k = 0; k < 12; k++)
            assert_true(fabs(y[k] - (was[k] * gamma[k % 2] + (i == 1 ? 0 : beta[k % 2]))) < 1e-13);
    }
}

static void one_axis_is_one_example(void **state)
{
    (void)state;
    const double v[] = {1, 2, 6};
    tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(3), v);
    const double *layer = tarn_data(tarn_layernorm(f.t, x, NULL, NULL, 1)),
                 *rms = tarn_data(tarn_rmsnorm(f.t, x, NULL, 1));
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(layer[i] - (v[i] - 3) / sqrt(14.0 / 3 + 1)) < 1e-14);
        assert_true(fabs(rms[i] - v[i] / sqrt(41.0 / 3 + 1)) < 1e-14);
    }
}

/* 1000 +- 0.02 in f32, and the same values in long double. The mean is no f32 number: what is off by its rounding is
 * off by up to 1e-3 here. */
static void far_from_zero_is_right(void **state)
{
    (void)state;
    enum { N = 3, P = 300, C = 4 };
    four m;
    tarn_params *params = tarn_params_new(TARN_F32);
    four_new(&m, params, C, false);
    tarn_tensor *x = tarn_uniform(f.t, TARN_F32, TARN_SHAPE(N, P, C), &f.rng, 999.98, 1000.02);
    tarn_tensor *wide = tarn_transpose(f.t, tarn_reshape(f.t, x, TARN_SHAPE(N, P, C)), 1, 2); /* [N,C,P] */
    const float *v = tarn_data(x), *group = tarn_data(applied(&m.all[2], x)),
                *instance = tarn_data(applied(&m.all[3], x)),
                *layer = tarn_data(tarn_transpose(f.t, tarn_layernorm(f.t, wide, NULL, NULL, 0), 1, 2));
    assert_true(v && group && instance && layer);
    for (int n = 0; n < N; n++)
        for (int width = 1; width <= 2; width++)
            for (int first = 0; first < C; first += width) {
                long double mean = 0, square = 0;
                for (int i = 0; i < P * width; i++)
                    mean += (long double)v[(n * P + i / width) * C + first + i % width] / (P * width);
                for (int i = 0; i < P * width; i++) {
                    long double d = (long double)v[(n * P + i / width) * C + first + i % width] - mean;
                    square += d * d / (P * width);
                }
                for (int i = 0; i < P * width; i++) {
                    int at = (n * P + i / width) * C + first + i % width;
                    long double want = ((long double)v[at] - mean) / sqrtl(square + 1e-5L);
                    if (width == 2)
                        assert_true(fabsl((long double)group[at] - want) < 2e-6L);
                    else
                        assert_true(fabsl((long double)instance[at] - want) < 2e-6L &&
                                    fabsl((long double)layer[at] - want) < 2e-6L);
                }
            }
    tarn_params_free(params);
}

/* Nobody sees who else is in the batch, and there is no other mode. */
static void an_example_is_alone_in_training_and_evaluation(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 4, false);
    tarn_tensor *x = random_input(TARN_SHAPE(5, 3, 2, 4));
    for (int i = 0; i < 4; i++) {
        tarn_tensor *all = applied(&m.all[i], x);
        tarn_tape_set_training(f.t, false);
        expect_equal(applied(&m.all[i], x), all, 0);
        for (int n = 0; n < 5; n++) {
            tarn_tensor *one = tarn_slice(f.t, x, 0, n, n + 1, 1);
            expect_equal(applied(&m.all[i], one), tarn_slice(f.t, all, 0, n, n + 1, 1), 1e-14);
        }
        tarn_tape_set_training(f.t, true);
        tarn_tensor *first = tarn_slice(f.t, all, 0, 0, 1, 1), *g = NULL;
        assert_true(tarn_grad(f.t, 1, &first, (tarn_tensor *[]){tarn_sin(f.t, first)}, 1, &x, &g));
        const double *dx = tarn_data(g);
        double own = 0;
        for (int64_t k = 0; k < tarn_numel(x); k++) {
            assert_true(k < 24 || dx[k] == 0);
            own = fmax(own, fabs(dx[k]));
        }
        assert_true(own > 0.01);
    }
}

static void they_learn(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 4, false);
    tarn_sequential net;
    assert_true(tarn_sequential_init(&net, 4, m.all));
    tarn_optim *o = tarn_sgd_new(f.p, &(tarn_sgd_opts){.lr = 0.05});
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(3, 2, 3, 4), &f.rng, -1, 1);
    double first = 0, last = 0;
    for (int step = 0; step < 60; step++) {
        tarn_tensor *loss = tarn_mse(f.t, tarn_sequential_apply(f.t, &net, x), tarn_add_scalar(f.t, x, 2));
        assert_true(tarn_backward(f.t, loss));
        last = tarn_item(loss);
        first = step ? first : last;
        assert_true(tarn_optim_step(o));
        tarn_params_zero_grad(f.p);
        tarn_tape_reset(f.t);
    }
    assert_true(last < 0.3 * first);
    tarn_optim_free(o);
    tarn_tensor_free(x);
}

static void nan_goes_through(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 2, true);
    tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(2, 2, 2), (const double[]){1, NAN, 2, 3, 5, 4, 7, 6});
    for (int i = 0; i < 4; i++) {
        const double *y = tarn_data(applied(&m.all[i], x));
        assert_true(isnan(y[1]) && isfinite(y[4]) && isfinite(y[7]));
    }
}

/* ---- errors ---- */

static void too_few_values(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 2, false);
    assert_null(applied(&m.all[3], random_input(TARN_SHAPE(3, 1, 1, 2))));
    expect_error("tarn_instancenorm: x [3,1,1,2] has 1 value a channel: expected at least 2");
    assert_null(applied(&m.all[3], random_input(TARN_SHAPE(3, 0, 2))));
    expect_error("tarn_instancenorm: x [3,0,2] has 0 values a channel");
    assert_null(applied(&m.all[3], random_input(TARN_SHAPE(3, 2))));
    expect_error("tarn_instancenorm: x is f64[3,2], expected f32 or f64 [N,...,C] with an axis of positions");
    assert_null(applied(&m.all[2], random_input(TARN_SHAPE(2))));
    expect_error("tarn_groupnorm: x is f64[2], expected f32 or f64 [N,...,C]");
    assert_null(tarn_groupnorm(f.t, random_input(TARN_SHAPE(3, 2)), 2, NULL, NULL, 0));
    expect_error("tarn_groupnorm: x [3,2] has 1 value a group");
    assert_null(tarn_layernorm(f.t, random_input(TARN_SHAPE(3, 1)), NULL, NULL, 0));
    expect_error("tarn_layernorm: x [3,1] has 1 value an example");
    assert_null(tarn_rmsnorm(f.t, random_input(TARN_SHAPE(3, 0)), NULL, 0));
    expect_error("tarn_rmsnorm: x [3,0] has no values an example");
}

static void arguments_that_do_not_fit(void **state)
{
    (void)state;
    four m;
    four_new(&m, f.p, 4, true);
    tarn_tensor *x = random_input(TARN_SHAPE(2, 3, 6)), *v = random_input(TARN_SHAPE(4));
    tarn_tensor *f32 = tarn_ones(f.t, TARN_F32, TARN_SHAPE(6));
    for (int i = 0; i < 4; i++) {
        assert_null(applied(&m.all[i], x));
        expect_error("x is f64[2,3,6], expected f32 or f64 [...,4]");
        assert_null(applied(&m.all[i], tarn_full(f.t, TARN_I32, TARN_SHAPE(2, 3, 4), 1)));
        expect_error("x is i32[2,3,4], expected f32 or f64");
    }
    assert_null(tarn_layernorm(f.t, x, v, NULL, 0));
    expect_error("tarn_layernorm: gamma is f64[4], expected f64[6] for x [2,3,6]");
    assert_null(tarn_instancenorm(f.t, x, NULL, f32, 0));
    expect_error("tarn_instancenorm: beta is f32[6], expected f64[6]");
    assert_null(tarn_groupnorm(f.t, x, 4, NULL, NULL, 0));
    expect_error("tarn_groupnorm: groups 4 of x [2,3,6]");
    assert_null(tarn_groupnorm(f.t, x, 0, NULL, NULL, 0));
    expect_error("tarn_groupnorm: groups 0");
    assert_null(tarn_rmsnorm(f.t, x, NULL, -1));
    expect_error("tarn_rmsnorm: eps -1");
    assert_null(tarn_rmsnorm(f.t, x, NULL, INFINITY));
    expect_error("tarn_rmsnorm: eps inf");
}

static void layers_refuse(void **state)
{
    (void)state;
    tarn_groupnorm_layer g = {.channels = 9};
    tarn_layernorm_layer l = {.channels = 9};
    assert_non_null(tarn_params_add(f.p, "taken.beta", TARN_SHAPE(1)));
    assert_false(tarn_layernorm_init(&l, f.p, "taken", 3, NULL));
    expect_error("\"taken.beta\" is already in the store");
    assert_true(l.channels == 0 && !l.gamma);
    assert_false(tarn_groupnorm_init(&g, f.p, "g", 4, 6, NULL));
    expect_error("tarn_groupnorm_init: groups 4, expected a divisor of the 6 channels");
    assert_true(g.channels == 0);
    assert_false(tarn_groupnorm_init(&g, f.p, "g", 2, 0, NULL));
    expect_error("tarn_groupnorm_init: channels 0");
    assert_false(tarn_layernorm_init(&l, f.p, "l", 3, &(tarn_layernorm_opts){.eps = NAN}));
    expect_error("tarn_layernorm_init: eps nan");
    tarn_fail("before");
    assert_false(tarn_layernorm_init(&l, f.p, "l", 3, &(tarn_layernorm_opts){.no_affine = true}));
    expect_error("before");
    assert_true(l.channels == 0);
    assert_int_equal(tarn_params_count(f.p), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(they_begin_without_scale_and_shift),
        TEST(without_affine_the_store_gets_nothing),
        TEST(gamma_scales_and_beta_shifts),
        TEST(one_axis_is_one_example),
        TEST(far_from_zero_is_right),
        TEST(an_example_is_alone_in_training_and_evaluation),
        TEST(they_learn),
        TEST(nan_goes_through),
        TEST(too_few_values),
        TEST(arguments_that_do_not_fit),
        TEST(layers_refuse),
    };
    return cmocka_run_group_tests_name("norm layers", tests, NULL, NULL);
}
