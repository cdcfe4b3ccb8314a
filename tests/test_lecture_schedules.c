/* L20: learning rates that rise and fall, and what decay prevents. L21: sigma is uncertain at first; warm-up and RAdam
 * allow for it. */
#include "tests/layers_cases.h"

enum { STEPS = 1000, MANY = 2000 };

/* ---- L20 ---- */

/* The farthest from the floor of (0.001 w1^2 + w2^2)/2, from step 100 on, under RMSProp with alpha 0.99. */
static double late_bursts(bool decays)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(2));
    tarn_tensor *start = tarn_tensor_from(TARN_F64, TARN_SHAPE(2), (const double[]){-90, 2});
    assert_true(tarn_copy(w, start));
    double farthest = 0;
    tarn_optim *rmsprop = tarn_rmsprop_new(p, &(tarn_rmsprop_opts){.alpha = 0.99});
    for (int64_t i = 0; i < STEPS; i++) {
        tarn_tape_reset(f.t);
        tarn_optim_set_lr(rmsprop, decays ? tarn_lr_exponential(0.4, i, sqrt(0.99)) : 0.1);
        tarn_tensor *curvature = tarn_constant(f.t, TARN_F64, TARN_SHAPE(2), (const double[]){0.5e-3, 0.5});
        assert_true(
            tarn_backward(f.t, tarn_sum(f.t, tarn_mul(f.t, curvature, tarn_square(f.t, w)), TARN_ALL_AXES, false)));
        assert_true(tarn_optim_step(rmsprop));
        if (i >= 100)
            farthest = fmax(farthest, fabs(tarn_at(w, (const int64_t[]){1})));
    }
    assert_true(tarn_at(w, (const int64_t[]){0}) > -10); /* both get along the valley */
    tarn_tape_reset(f.t);
    tarn_tensor_free(start);
    tarn_optim_free(rmsprop);
    tarn_params_free(p);
    return farthest;
}

static void decay_holds_the_bursts_of_rmsprop(void **state)
{
    (void)state;
    assert_true(late_bursts(false) > 0.2);
    assert_true(late_bursts(true) < 1e-6);
}

static void rates_rise_then_fall(void **state)
{
    (void)state;
    enum { WARMUP = 100, TOTAL = 1000 };
    for (int64_t i = 0; i + 1 < TOTAL; i++) {
        const double warm = tarn_lr_warmup_cosine(1, i, WARMUP, TOTAL, 0);
        const double next = tarn_lr_warmup_cosine(1, i + 1, WARMUP, TOTAL, 0);
        assert_true(i + 1 < WARMUP ? next > warm : next <= warm);
        const double cycle = tarn_lr_one_cycle(1, i, TOTAL, NULL), later = tarn_lr_one_cycle(1, i + 1, TOTAL, NULL);
        assert_true(10 * (i + 1) < 3 * TOTAL ? later > cycle : later <= cycle);
        assert_true(tarn_lr_inverse_sqrt(1, i) == 1 / sqrt((double)i + 1));
        assert_true(tarn_lr_cosine(1, i + 1, TOTAL, 0) < tarn_lr_cosine(1, i, TOTAL, 0));
        assert_true(tarn_lr_step_decay(1, i, 250, 0.5) == ldexp(1, -(int)(i / 250)));
    }
    assert_true(tarn_lr_warmup_cosine(1, WARMUP - 1, WARMUP, TOTAL, 0) == 1);
}

static void a_plateau_lowers_the_rate(void **state)
{
    (void)state;
    tarn_plateau *plateau = tarn_plateau_new(1, &(tarn_plateau_opts){.factor = 0.5, .patience = 2});
    for (int epoch = 0; epoch < 10; epoch++)
        assert_true(tarn_plateau_step(plateau, 10 - epoch) == 1); /* it gets better */
    for (int epoch = 0; epoch < 2; epoch++)
        assert_true(tarn_plateau_step(plateau, 1) == 1); /* it does not, patiently */
    assert_true(tarn_plateau_step(plateau, 1) == 0.5);
    tarn_plateau_free(plateau);
}

/* ---- L21 ---- */

/* Steps of an optimiser of MANY parameters, each with normal gradients of its own, of deviation `scale`. */
static void steps_with_noise(tarn_optim *optim, tarn_tensor *w, int64_t steps, double scale)
{
    tarn_rng rng = tarn_rng_seed(4);
    for (int64_t i = 0; i < steps; i++) {
        tarn_tape_reset(f.t);
        tarn_tensor *g = tarn_normal(f.t, TARN_F64, TARN_SHAPE(MANY), &rng, 0, scale);
        assert_true(tarn_backward(f.t, tarn_sum(f.t, tarn_mul(f.t, w, g), TARN_ALL_AXES, false)));
        assert_true(tarn_optim_step(optim));
    }
    tarn_tape_reset(f.t);
}

/* The deviation, from parameter to parameter, of Adam's sigma, which has the expectation of a square of 1. */
static double spread_of_sigma(int64_t steps)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(MANY));
    tarn_optim *adam = tarn_adam_new(p, NULL);
    steps_with_noise(adam, w, steps, 1);
    tarn_tensor *v = tarn_params_find(tarn_optim_state(adam), "adam.v.w");
    tarn_tensor *sigma = tarn_sqrt(f.t, tarn_mul_scalar(f.t, v, 1 / (1 - pow(0.999, (double)steps))));
    const double spread = sqrt(tarn_item(tarn_var(f.t, sigma, TARN_ALL_AXES, 0, false)));
    tarn_tape_reset(f.t);
    tarn_optim_free(adam);
    tarn_params_free(p);
    return spread;
}

/* The deviation of |N(0,1)| is sqrt(1 - 2/pi) = 0.60; that of a root mean square of n is near 1/sqrt(2n). */
static void sigma_is_uncertain_at_first(void **state)
{
    (void)state;
    assert_true(fabs(spread_of_sigma(1) - sqrt(1 - 2 / acos(-1))) < 0.05);
    assert_true(fabs(spread_of_sigma(200) - 1 / sqrt(400)) < 0.01);
}

/* The root mean square of a first step, gradients being about 1e-4. */
static double first_step(tarn_optim *(*optim_new)(tarn_params *, const tarn_adam_opts *), double lr)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(MANY));
    tarn_optim *optim = optim_new(p, &(tarn_adam_opts){.lr = lr});
    steps_with_noise(optim, w, 1, 1e-4);
    const double length = sqrt(tarn_item(tarn_mean(f.t, tarn_square(f.t, w), TARN_ALL_AXES, false)));
    tarn_tape_reset(f.t);
    tarn_optim_free(optim);
    tarn_params_free(p);
    return length;
}

static void warmup_and_radam_make_the_first_steps_small(void **state)
{
    (void)state;
    assert_true(fabs(first_step(tarn_adam_new, 0.1) - 0.1) < 1e-3); /* however small the gradient */
    assert_true(fabs(first_step(tarn_adam_new, 0.1 * tarn_lr_warmup(0, 100)) - 0.001) < 1e-5);
    assert_true(first_step(tarn_radam_new, 0.1) < 0.1 * 1.1e-4); /* the gradient, without sigma */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(decay_holds_the_bursts_of_rmsprop),
        TEST(rates_rise_then_fall),
        TEST(a_plateau_lowers_the_rate),
        TEST(sigma_is_uncertain_at_first),
        TEST(warmup_and_radam_make_the_first_steps_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
