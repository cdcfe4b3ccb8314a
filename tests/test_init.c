/* First values of weights: bounds, moments, fans and gains. */
#include "layers/layers.h"
#include "tensor/tensor_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int nothing_pending(void **state)
{
    (void)state;
    tarn_error_clear();
    return 0;
}

static void expect_error(const char *part)
{
    assert_non_null(tarn_error());
    if (!strstr(tarn_error(), part))
        fail_msg("\"%s\" does not contain \"%s\"", tarn_error(), part);
    tarn_error_clear();
}

typedef struct moments {
    double mean, variance, largest;
    double beyond; /* the fraction that is more than two standard deviations from 0 */
} moments;

static moments moments_of(const tarn_tensor *x, double std)
{
    moments m = {0};
    double n = (double)x->numel;
    for (int64_t i = 0; i < x->numel; i++) {
        double value = tarn__load(x, i);
        m.mean += value / n;
        m.variance += value * value / n;
        m.largest = fmax(m.largest, fabs(value));
        m.beyond += (fabs(value) > 2 * std) / n;
    }
    m.variance -= m.mean * m.mean;
    return m;
}

/* Mean 0 and this variance, within some five standard errors; and the shape of the distribution. */
static void expect_distribution(const tarn_tensor *x, double variance, bool normal)
{
    double std = sqrt(variance), n = (double)x->numel;
    moments m = moments_of(x, std);
    assert_true(fabs(m.mean) < 5 * std / sqrt(n));
    if (!(fabs(m.variance / variance - 1) < 7 / sqrt(n)))
        fail_msg("variance %g, expected %g", m.variance, variance);
    if (normal) {
        assert_true(fabs(m.beyond - 0.0455) < 5 * sqrt(0.0455 / n)); /* of a normal one; of a uniform one none */
    } else {
        assert_true(m.largest <= sqrt(3) * std * (1 + 1e-7) && m.largest > 0.99 * sqrt(3) * std);
    }
}

static tarn_tensor *weight(tarn_params *p, bool image)
{
    return image ? tarn_params_add(p, "image", TARN_SHAPE(3, 5, 16, 80))
                 : tarn_params_add(p, "w", TARN_SHAPE(100, 300));
}

static void initializers_have_their_variance(void **state)
{
    (void)state;
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int image = 0; image < 2; image++) {
            tarn_params *p = tarn_params_new(dtype);
            tarn_tensor *w = weight(p, image);
            tarn_rng rng = tarn_rng_seed(11);
            double in = image ? 3 * 5 * 16 : 100, out = image ? 3 * 5 * 80 : 300;
            assert_true(tarn_init_xavier_uniform(w, &rng, 1.5));
            expect_distribution(w, 1.5 * 1.5 * 2 / (in + out), false);
            assert_true(tarn_init_xavier_normal(w, &rng, 1));
            expect_distribution(w, 2 / (in + out), true);
            assert_true(tarn_init_kaiming_uniform(w, &rng, TARN_FAN_IN, sqrt(2)));
            expect_distribution(w, 2 / in, false);
            assert_true(tarn_init_kaiming_uniform(w, &rng, TARN_FAN_OUT, 1));
            expect_distribution(w, 1 / out, false);
            assert_true(tarn_init_kaiming_normal(w, &rng, TARN_FAN_IN, 1));
            expect_distribution(w, 1 / in, true);
            assert_true(tarn_init_kaiming_normal(w, &rng, TARN_FAN_OUT, sqrt(2)));
            expect_distribution(w, 2 / out, true);
            assert_true(tarn_init_weight(w, &rng, NULL));
            expect_distribution(w, 1 / in / 3, false);
            tarn_params_free(p);
        }
}

static void fills_have_their_limits(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *w = weight(p, false);
    tarn_rng rng = tarn_rng_seed(2);
    uint64_t version = w->version;
    assert_true(tarn_init_uniform(w, &rng, 2, 6));
    assert_true(w->version > version);
    moments m = moments_of(w, 1);
    assert_true(fabs(m.mean - 4) < 0.05 && fabs(m.variance - 16.0 / 12) < 0.05 && m.largest < 6);
    assert_true(tarn_init_normal(w, &rng, -3, 0.5));
    m = moments_of(w, 1);
    assert_true(fabs(m.mean + 3) < 0.02 && fabs(m.variance - 0.25) < 0.01);
    assert_true(tarn_init_normal(w, &rng, 4, 0));
    m = moments_of(w, 1);
    assert_true(fabs(m.mean - 4) < 1e-9 && m.largest == 4);
    assert_true(tarn_init_uniform(w, &rng, 1, 1));
    assert_true(moments_of(w, 1).largest == 1);
    tarn_params_free(p);
}

static void choices_are_the_functions(void **state)
{
    (void)state;
    static const tarn_init choices[] = {
        {TARN_INIT_KAIMING_UNIFORM, TARN_RELU, 0, TARN_FAN_IN},
        {TARN_INIT_KAIMING_NORMAL, TARN_LEAKY_RELU, 0.2, TARN_FAN_OUT},
        {TARN_INIT_XAVIER_UNIFORM, TARN_TANH, 0, TARN_FAN_IN},
        {TARN_INIT_XAVIER_NORMAL, TARN_IDENTITY, 0, TARN_FAN_IN},
        {TARN_INIT_ZEROS, TARN_GELU, 0, TARN_FAN_IN},
        {TARN_INIT_DEFAULT, TARN_GELU, 0, TARN_FAN_IN},
    };
    for (int i = 0; i < 6; i++) {
        tarn_params *p = tarn_params_new(TARN_F32);
        tarn_linear_layer l;
        tarn_rng rng = tarn_rng_seed(5), same = rng;
        assert_true(tarn_linear_init(&l, p, "l", &rng, 200, 50, &(tarn_linear_opts){.init = choices[i]}));
        tarn_tensor *w = tarn_params_add(p, "expected", TARN_SHAPE(200, 50));
        assert_true(i == 0   ? tarn_init_kaiming_uniform(w, &same, TARN_FAN_IN, sqrt(2))
                    : i == 1 ? tarn_init_kaiming_normal(w, &same, TARN_FAN_OUT, sqrt(2 / 1.04))
                    : i == 2 ? tarn_init_xavier_uniform(w, &same, 5.0 / 3)
                    : i == 3 ? tarn_init_xavier_normal(w, &same, 1)
                    : i == 4 ? tarn_fill(w, 0)
                             : tarn_init_uniform(w, &same, -1 / sqrt(200), 1 / sqrt(200)));
        assert_memory_equal(l.weight->data, w->data, tarn__bytes(w));
        moments bias = moments_of(l.bias, 1);
        assert_true(i == 4 ? bias.largest == 0 : bias.largest <= 1 / sqrt(200) && bias.largest > 0.9 / sqrt(200));
        tarn_params_free(p);
    }
}

static void layers_start_as_torch_does(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_rng rng = tarn_rng_seed(9);
    tarn_linear_layer l;
    tarn_conv2d_layer c;
    assert_true(tarn_linear_init(&l, p, "l", &rng, 400, 120, NULL));
    assert_true(tarn_conv2d_init(&c, p, "c", &rng, 32, 64, 3, &(tarn_conv2d_layer_opts){.groups = 2}));
    expect_distribution(l.weight, 1.0 / 400 / 3, false);
    expect_distribution(c.weight, 1.0 / (3 * 3 * 16) / 3, false);
    assert_true(moments_of(l.bias, 1).largest <= 0.05 && moments_of(l.bias, 1).largest > 0.045);
    assert_true(moments_of(c.bias, 1).largest <= 1.0 / 12 && moments_of(c.bias, 1).largest > 0.9 / 12);
    tarn_params_free(p);
}

static void a_seed_fixes_the_weights(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_linear_layer a, b, c;
    tarn_rng one = tarn_rng_seed(1), again = tarn_rng_seed(1);
    assert_true(tarn_linear_init(&a, p, "a", &one, 30, 20, NULL));
    assert_true(tarn_linear_init(&b, p, "b", &again, 30, 20, NULL));
    assert_true(tarn_linear_init(&c, p, "c", &one, 30, 20, NULL));
    assert_memory_equal(a.weight->data, b.weight->data, tarn__bytes(a.weight));
    assert_memory_equal(a.bias->data, b.bias->data, tarn__bytes(a.bias));
    assert_memory_not_equal(a.weight->data, c.weight->data, tarn__bytes(a.weight));
    tarn_params_free(p);
}

static void gains(void **state)
{
    (void)state;
    assert_true(tarn_init_gain(TARN_IDENTITY, 0) == 1);
    assert_true(tarn_init_gain(TARN_SIGMOID, 0) == 1);
    assert_true(fabs(tarn_init_gain(TARN_RELU, 0) - 1.4142135623730951) < 1e-15);
    assert_true(fabs(tarn_init_gain(TARN_LEAKY_RELU, sqrt(5)) - 0.5773502691896257) < 1e-15);
    assert_true(fabs(tarn_init_gain(TARN_LEAKY_RELU, 0) - 1.4141428569978354) < 1e-15);
    assert_true(fabs(tarn_init_gain(TARN_TANH, 0) - 5.0 / 3) < 1e-15);
    assert_null(tarn_error());
    assert_true(isnan(tarn_init_gain(TARN_GELU, 0)));
    expect_error("tarn_init_gain: activation 4 has no gain");
    assert_true(isnan(tarn_init_gain(TARN_LEAKY_RELU, INFINITY)));
    expect_error("slope inf");
}

static void bad_arguments_change_nothing(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(4, 4)), *v = tarn_params_add(p, "v", TARN_SHAPE(4));
    tarn_tensor *label = tarn_tensor_new(TARN_I32, TARN_SHAPE(2, 2));
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *result = tarn_add_scalar(t, w, 1);
    tarn_rng rng = tarn_rng_seed(2), *r = &rng;
#define REFUSED(part, call)                                                                                            \
    assert_false(call);                                                                                                \
    expect_error(part)
    REFUSED("tarn_init_uniform: x is NULL", tarn_init_uniform(NULL, r, 0, 1));
    REFUSED("tarn_init_uniform: rng is NULL", tarn_init_uniform(w, NULL, 0, 1));
    REFUSED("dtype i32", tarn_init_uniform(label, r, 0, 1));
    REFUSED("tarn_init_uniform: [4,4] was computed by an op", tarn_init_uniform(result, r, 0, 1));
    REFUSED("low 2 is above high 1", tarn_init_uniform(w, r, 2, 1));
    REFUSED("tarn_init_uniform", tarn_init_uniform(w, r, NAN, 1));
    REFUSED("tarn_init_uniform", tarn_init_uniform(w, r, -1e308, 1e308));
    REFUSED("std -1", tarn_init_normal(w, r, 0, -1));
    REFUSED("mean inf", tarn_init_normal(w, r, INFINITY, 1));
    REFUSED("tarn_init_normal: x is NULL", tarn_init_normal(NULL, r, 0, 1));
    REFUSED("tarn_init_xavier_uniform: [4] has no fan-in", tarn_init_xavier_uniform(v, r, 1));
    REFUSED("gain 0", tarn_init_xavier_normal(w, r, 0));
    REFUSED("gain", tarn_init_kaiming_normal(w, r, TARN_FAN_IN, NAN));
    REFUSED("tarn_fan", tarn_init_kaiming_uniform(w, r, (tarn_fan)5, 1));
    REFUSED("tarn_init_weight: rng is NULL", tarn_init_weight(w, NULL, NULL));
    REFUSED("tarn_init_weight: [4] has no fan-in", tarn_init_weight(v, r, NULL));
    REFUSED("tarn_init_kind", tarn_init_weight(w, r, &(tarn_init){.kind = (tarn_init_kind)-1}));
    tarn_fail("before");
    REFUSED("before", tarn_init_weight(w, r, NULL));
    assert_int_equal(rng.counter, 0);
    assert_true(moments_of(w, 1).largest == 0 && moments_of(v, 1).largest == 0);
    tarn_tensor *empty = tarn_params_add(p, "empty", TARN_SHAPE(0, 4));
    assert_true(tarn_init_weight(empty, r, NULL) && tarn_init_xavier_normal(empty, r, 1));
    assert_null(tarn_error());
    tarn_tape_free(t);
    tarn_tensor_free(label);
    tarn_params_free(p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, nothing_pending, nothing_pending)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(initializers_have_their_variance), TEST(fills_have_their_limits),  TEST(choices_are_the_functions),
        TEST(layers_start_as_torch_does),       TEST(a_seed_fixes_the_weights), TEST(gains),
        TEST(bad_arguments_change_nothing),
    };
    return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
