/* Optimisers against scalar loops over doubles that are written from the formulae (tests/optim_reference.h). */
#include "tests/optim_reference.h"

static void expect_param(const rule *r, tarn_params *p, int k, int from, int to, double tolerance)
{
    tarn_tensor *x = param(p, k);
    for (int64_t i = 0; i < x->numel; i++) {
        double got = tarn__load(x, i), want = reference(r, k, i, from, to);
        if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
            fail_msg("%s: %s[%ld] is %.17g, expected %.17g", r->name, specs[k].name, (long)i, got, want);
    }
}

static void steps_agree(tarn_dtype dtype, double tolerance)
{
    for (int i = 0; i < N_RULES; i++) {
        tarn_params *p = store_new(dtype);
        tarn_optim *o = optim_new(&rules[i], p);
        assert_non_null(o);
        for (int step = 0; step < STEPS; step++) {
            fill_all(p, step);
            assert_true(tarn_optim_step(o));
        }
        assert_int_equal(tarn_optim_steps(o), STEPS);
        for (int k = 0; k < N_PARAMS; k++)
            expect_param(&rules[i], p, k, 0, STEPS, tolerance);
        tarn_optim_free(o);
        tarn_params_free(p);
    }
    assert_null(tarn_error());
}

static void f64_steps_agree_with_the_formulae(void **state)
{
    (void)state;
    steps_agree(TARN_F64, 1e-13);
}

static void f32_steps_agree_with_the_formulae(void **state)
{
    (void)state;
    steps_agree(TARN_F32, 3e-6);
}

/* Two closed forms that owe nothing to the references. */
static void known_values(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(2));
    tarn_optim *adam = tarn_adam_new(p, &(tarn_adam_opts){.lr = 0.25});
    double *g = x->grad->data, *w = x->data;
    g[0] = 1e-3, g[1] = -500, x->has_grad = true;
    assert_true(tarn_optim_step(adam)); /* lr * g / (|g| + eps) */
    assert_near(w[0], -0.25 / (1 + 1e-5), 1e-12);
    assert_near(w[1], 0.25, 1e-10);
    tarn_optim_free(adam);

    /* A constant gradient: after n steps the sum of lr*g*(1-mu^k)/(1-mu), k = 1..n. */
    tarn_optim *sgd = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = 0.5, .momentum = 0.5});
    w[0] = w[1] = 0;
    for (int k = 0; k < 3; k++) {
        g[0] = g[1] = 1, x->has_grad = true;
        assert_true(tarn_optim_step(sgd));
    }
    assert_near(w[0], -0.5 * (1 + 1.5 + 1.75), 1e-15);
    tarn_optim_free(sgd);
    tarn_params_free(p);
}

/* With a constant gradient the root of the sum grows as sqrt(t); the root of the mean stays. */
static void adagrad_sums_and_means(void **state)
{
    (void)state;
    for (int mean = 0; mean < 2; mean++) {
        tarn_params *p = tarn_params_new(TARN_F64);
        tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(2));
        tarn_optim *o = tarn_adagrad_new(p, &(tarn_adagrad_opts){.lr = 0.5, .eps = 1e-300, .mean = mean == 1});
        double *g = x->grad->data, *w = x->data, want = 0;
        for (int t = 1; t <= 4; t++) {
            g[0] = 3, g[1] = -1e-6, x->has_grad = true;
            assert_true(tarn_optim_step(o));
            want -= mean ? 0.5 : 0.5 / sqrt(t);
            assert_near(w[0], want, 1e-15);
            assert_near(w[1], -want, 1e-15);
        }
        tarn_optim_free(o);
        tarn_params_free(p);
    }
}

/* Where v - m^2 is 0 but for rounding, either sign of it; a NaN stays one. */
static void centred_rmsprop_survives_a_constant_gradient(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(64));
    tarn_optim *o = tarn_rmsprop_new(p, &(tarn_rmsprop_opts){.lr = 1e-3, .alpha = 0.5, .eps = 0.5, .centered = true});
    for (int step = 0; step < 200; step++) {
        for (int i = 0; i < 64; i++)
            tarn__store(x->grad, i, 0.1 + 0.37 * i);
        x->has_grad = true;
        assert_true(tarn_optim_step(o));
    }
    for (int i = 0; i < 64; i++)
        assert_true(isfinite(tarn__load(x, i)) && tarn__load(x, i) < 0);
    tarn__store(x->grad, 5, NAN);
    x->has_grad = true;
    assert_true(tarn_optim_step(o));
    assert_true(isnan(tarn__load(x, 5)) && isfinite(tarn__load(x, 6)));
    tarn_optim_free(o);
    tarn_params_free(p);
}

/* The closed form of the product of momenta: a step at t, from a state that says so, moves the weight by the formula
 * with the product multiplied out. */
static void nadam_at_any_step(void **state)
{
    (void)state;
    const tarn_nadam_opts all[] = {
        {.lr = 1},
        {.lr = 1, .momentum_decay = 1e-30},
        {.lr = 1, .momentum_decay = 2, .beta1 = 0.9999},
        {.lr = 1, .momentum_decay = 1e4, .beta1 = 0.99999},
        {.lr = 1, .beta1 = 1e-30},
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        double b1 = or_default(all[k].beta1, 0.9), psi = or_default(all[k].momentum_decay, 4e-3), product = 1;
        tarn_params *p = tarn_params_new(TARN_F64);
        tarn_tensor *x = tarn_params_add(p, "x", TARN_SHAPE(1));
        tarn_optim *o = tarn_nadam_new(p, &all[k]);
        for (int t = 1; t <= 3000; t++) {
            double now = b1 * (1 - 0.5 * pow(0.96, t * psi)), next = b1 * (1 - 0.5 * pow(0.96, (t + 1) * psi));
            product *= now;
            if (t != 1 && t != 2 && t % 37 != 0)
                continue;
            tarn__store(x, 0, 0);
            tarn__store(x->grad, 0, 3);
            x->has_grad = true;
            tarn__store(tarn_params_find(tarn_optim_state(o), "nadam.m.x"), 0, 0);
            tarn__store(tarn_params_find(tarn_optim_state(o), "nadam.v.x"), 0, 0);
            tarn__store(tarn_params_find(tarn_optim_state(o), "nadam.steps"), 3, t - 1);
            assert_true(tarn_optim_step(o));
            double direction = next * (1 - b1) * 3 / (1 - product * next) + (1 - now) * 3 / (1 - product);
            double want = -direction / (sqrt(0.001 * 9 / (1 - pow(0.999, t))) + 1e-8);
            assert_near(tarn__load(x, 0), want, 1e-10 * fabs(want));
        }
        tarn_optim_free(o);
        tarn_params_free(p);
    }
    assert_null(tarn_error());
}

/* ---- what a step leaves alone ---- */

static void a_parameter_without_gradient_is_skipped(void **state)
{
    (void)state;
    for (int i = 0; i < N_RULES; i++) {
        tarn_params *p = store_new(TARN_F64);
        tarn_optim *o = optim_new(&rules[i], p);
        for (int step = 0; step < STEPS; step++) {
            if (step >= 3)
                fill_one(p, 1, step);
            fill_one(p, 2, step);
            uint64_t version = param(p, 0)->version;
            assert_true(tarn_optim_step(o));
            assert_int_equal(param(p, 0)->version, version);
        }
        expect_param(&rules[i], p, 0, 0, 0, 0);
        expect_param(&rules[i], p, 1, 3, STEPS, 1e-13); /* its own t starts at step 3 */
        expect_param(&rules[i], p, 2, 0, STEPS, 1e-13);
        assert_int_equal(tarn_optim_steps(o), STEPS);
        tarn_optim_free(o);
        tarn_params_free(p);
    }
}

static void a_step_clears_the_gradients_and_tells_the_tape(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F32);
    tarn_optim *o = tarn_adamw_new(p, NULL);
    fill_all(p, 0);
    uint64_t version = param(p, 1)->version, grad_version = param(p, 1)->grad->version;
    assert_true(tarn_optim_step(o));
    assert_true(param(p, 1)->version > version);
    assert_true(param(p, 1)->grad->version > grad_version);
    for (int k = 0; k < N_PARAMS; k++) {
        assert_false(tarn_param_has_grad(param(p, k)));
        for (int64_t i = 0; i < param(p, k)->numel; i++)
            assert_true(tarn__load(param(p, k)->grad, i) == 0);
    }
    tarn_optim_free(o);
    tarn_params_free(p);
}

static void a_pending_error_stops_the_step(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F64);
    tarn_optim *o = tarn_sgd_new(p, NULL);
    fill_all(p, 0);
    tarn_fail("something before");
    assert_false(tarn_optim_step(o));
    assert_false(tarn_optim_set_lr(o, 5));
    assert_null(tarn_adam_new(p, NULL));
    assert_true(isnan(tarn_clip_grad_norm(p, 1e-3)));
    assert_false(tarn_clip_grad_value(p, 1e-3));
    expect_error("something before");
    assert_true(tarn_optim_lr(o) == 1e-2);
    assert_true(param(p, 1)->has_grad);
    assert_true(tarn__load(param(p, 1)->grad, 3) == gradient(0, 1, 3));
    assert_int_equal(tarn_optim_steps(o), 0);
    expect_param(&rules[1], p, 1, 0, 0, 0);
    tarn_optim_free(o);
    tarn_params_free(p);
}

static void a_store_that_grew_is_an_error(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F64);
    tarn_optim *o = tarn_sgd_new(p, NULL);
    assert_non_null(tarn_params_add_buffer(p, "late buffer", TARN_SHAPE(2)));
    fill_all(p, 0);
    assert_true(tarn_optim_step(o));
    assert_non_null(tarn_params_add(p, "late", TARN_SHAPE(2)));
    fill_all(p, 1);
    for (int again = 0; again < 2; again++) {
        assert_false(tarn_optim_step(o));
        expect_error("\"late\" was added");
    }
    expect_param(&rules[1], p, 1, 0, 1, 1e-13);
    assert_int_equal(tarn_optim_steps(o), 1);
    tarn_optim_free(o);
    tarn_params_free(p);
}

/* ---- the learning rate ---- */

static void the_learning_rate_can_change(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *x = tarn_params_add(p, "x", 0, NULL);
    tarn_optim *o = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = 0.5});
    assert_true(tarn_optim_lr(o) == 0.5);
    assert_true(tarn_optim_set_lr(o, 0.125));
    assert_true(tarn_optim_lr(o) == 0.125);
    tarn__store(x->grad, 0, 8);
    x->has_grad = true;
    assert_true(tarn_optim_step(o));
    assert_true(tarn_item(x) == -1);
    const double bad[] = {-1e-3, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        assert_false(tarn_optim_set_lr(o, bad[i]));
        expect_error("tarn_optim_set_lr: lr");
    }
    assert_true(tarn_optim_lr(o) == 0.125);
    assert_true(tarn_optim_set_lr(o, 0));
    assert_true(tarn_optim_lr(o) == 0);
    tarn_optim_free(o);
    tarn_params_free(p);
}

/* ---- errors ---- */

static void bad_options_of_adagrad_are_errors(void **state)
{
    (void)state;
    static const struct {
        tarn_adagrad_opts opts;
        const char *part;
    } bad[] = {
        {{.lr = -1}, "tarn_adagrad_new: lr -1"},
        {{.lr_decay = -0.5}, "lr_decay -0.5"},
        {{.eps = NAN}, "eps"},
        {{.weight_decay = INFINITY}, "weight_decay inf"},
        {{.initial_accumulator = -2}, "initial_accumulator -2"},
    };
    tarn_params *p = store_new(TARN_F32);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(tarn_adagrad_new(p, &bad[i].opts));
        expect_error(bad[i].part);
    }
    assert_null(tarn_adagrad_new(NULL, NULL));
    expect_error("tarn_adagrad_new: params is NULL");
    tarn_params_free(p);
}

static void bad_options_are_errors(void **state)
{
    (void)state;
    static const struct {
        tarn_sgd_opts opts;
        const char *part;
    } sgd[] = {
        {{.lr = -1}, "tarn_sgd_new: lr -1"},
        {{.lr = NAN}, "lr"},
        {{.lr = INFINITY}, "lr inf"},
        {{.momentum = -0.1}, "momentum -0.1"},
        {{.momentum = NAN}, "momentum"},
        {{.momentum = 0.9, .dampening = INFINITY}, "dampening inf"},
        {{.weight_decay = -1}, "weight_decay -1"},
        {{.nesterov = true}, "nesterov with momentum 0"},
        {{.nesterov = true, .momentum = 0.9, .dampening = 0.1}, "dampening 0.1"},
    };
    static const struct {
        tarn_adam_opts opts;
        const char *part;
    } adam[] = {
        {{.lr = -1}, "lr -1"},
        {{.lr = NAN}, "lr"},
        {{.beta1 = 1}, "beta1 1"},
        {{.beta1 = -0.5}, "beta1"},
        {{.beta2 = 1.5}, "beta2 1.5"},
        {{.beta2 = NAN}, "beta2"},
        {{.eps = -1e-8}, "eps"},
        {{.eps = INFINITY}, "eps"},
        {{.weight_decay = -1}, "weight_decay"},
        {{.weight_decay = NAN}, "weight_decay"},
    };
    tarn_params *p = store_new(TARN_F32);
    for (size_t i = 0; i < sizeof sgd / sizeof *sgd; i++) {
        assert_null(tarn_sgd_new(p, &sgd[i].opts));
        expect_error(sgd[i].part);
    }
    for (size_t i = 0; i < sizeof adam / sizeof *adam; i++) {
        assert_null(tarn_adam_new(p, &adam[i].opts));
        expect_error(adam[i].part);
        assert_null(tarn_adamw_new(p, &adam[i].opts));
        expect_error("tarn_adamw_new");
    }
    tarn_params_free(p);
}

static void bad_options_of_radam_and_nadam_are_errors(void **state)
{
    (void)state;
    static const struct {
        tarn_adam_opts opts;
        const char *part;
    } bad[] = {
        {{.lr = -1}, "lr -1"},
        {{.beta1 = 1}, "beta1 1"},
        {{.beta2 = NAN}, "beta2"},
        {{.eps = -1}, "eps -1"},
        {{.weight_decay = INFINITY}, "weight_decay inf"},
    };
    tarn_params *p = store_new(TARN_F32);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const tarn_adam_opts *o = &bad[i].opts;
        assert_null(tarn_radam_new(p, o));
        expect_error(bad[i].part);
        assert_null(tarn_nadam_new(p, &(tarn_nadam_opts){o->lr, o->beta1, o->beta2, o->eps, o->weight_decay, 0}));
        expect_error(bad[i].part);
    }
    assert_null(tarn_nadam_new(p, &(tarn_nadam_opts){.momentum_decay = -1}));
    expect_error("tarn_nadam_new: momentum_decay -1");
    assert_null(tarn_radam_new(NULL, NULL));
    expect_error("tarn_radam_new: params is NULL");
    assert_null(tarn_nadam_new(NULL, NULL));
    expect_error("tarn_nadam_new: params is NULL");
    tarn_params_free(p);
}

static void bad_options_of_rmsprop_are_errors(void **state)
{
    (void)state;
    static const struct {
        tarn_rmsprop_opts opts;
        const char *part;
    } bad[] = {
        {{.lr = -1}, "tarn_rmsprop_new: lr -1"},
        {{.alpha = 1}, "alpha 1"},
        {{.alpha = NAN}, "alpha"},
        {{.eps = -1}, "eps -1"},
        {{.momentum = -0.5}, "momentum -0.5"},
        {{.weight_decay = INFINITY}, "weight_decay inf"},
    };
    tarn_params *p = store_new(TARN_F32);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(tarn_rmsprop_new(p, &bad[i].opts));
        expect_error(bad[i].part);
    }
    assert_null(tarn_rmsprop_new(NULL, NULL));
    expect_error("tarn_rmsprop_new: params is NULL");
    tarn_params_free(p);
}

static void bad_arguments_are_errors(void **state)
{
    (void)state;
    assert_null(tarn_sgd_new(NULL, NULL));
    expect_error("tarn_sgd_new: params is NULL");
    assert_null(tarn_adam_new(NULL, NULL));
    expect_error("tarn_adam_new: params is NULL");
    assert_false(tarn_optim_step(NULL));
    expect_error("tarn_optim_step: optimiser is NULL");
    assert_false(tarn_optim_set_lr(NULL, 1));
    expect_error("tarn_optim_set_lr: optimiser is NULL");
    assert_true(tarn_optim_lr(NULL) == 0 && tarn_optim_steps(NULL) == 0 && !tarn_optim_state(NULL));
    tarn_optim_free(NULL);

    tarn_params *p = tarn_params_new(TARN_F32);
    assert_non_null(tarn_params_add_buffer(p, "buffer", TARN_SHAPE(2)));
    assert_null(tarn_sgd_new(p, NULL));
    expect_error("no parameters");
    char name[256];
    memset(name, 'x', 255);
    name[255] = '\0';
    assert_non_null(tarn_params_add(p, name, TARN_SHAPE(2)));
    assert_null(tarn_adam_new(p, NULL));
    expect_error("too long a name");
    tarn_optim *plain = tarn_sgd_new(p, NULL); /* keeps nothing by name */
    assert_non_null(plain);
    tarn_optim_free(plain);
    tarn_params_free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nothing_pending, nothing_pending)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(f64_steps_agree_with_the_formulae),
        TEST(f32_steps_agree_with_the_formulae),
        TEST(known_values),
        TEST(nadam_at_any_step),
        TEST(adagrad_sums_and_means),
        TEST(centred_rmsprop_survives_a_constant_gradient),
        TEST(a_parameter_without_gradient_is_skipped),
        TEST(a_step_clears_the_gradients_and_tells_the_tape),
        TEST(a_pending_error_stops_the_step),
        TEST(a_store_that_grew_is_an_error),
        TEST(the_learning_rate_can_change),
        TEST(bad_options_are_errors),
        TEST(bad_options_of_adagrad_are_errors),
        TEST(bad_options_of_rmsprop_are_errors),
        TEST(bad_options_of_radam_and_nadam_are_errors),
        TEST(bad_arguments_are_errors),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
