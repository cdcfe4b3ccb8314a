/* Learning-rate schedules at their key points, and the plateau. tests/test_torch_optim.c has them step by step. */
#include "tests/optim_cases.h"

/* ---- schedules ---- */

static void schedules_at_key_points(void **state)
{
    (void)state;
    const double e = 1e-15;
    assert_near(tarn_lr_step_decay(0.8, 0, 10, 0.5), 0.8, e);
    assert_near(tarn_lr_step_decay(0.8, 9, 10, 0.5), 0.8, e);
    assert_near(tarn_lr_step_decay(0.8, 10, 10, 0.5), 0.4, e);
    assert_near(tarn_lr_step_decay(0.8, 35, 10, 0.5), 0.1, e);
    assert_near(tarn_lr_exponential(2, 0, 0.9), 2, e);
    assert_near(tarn_lr_exponential(2, 3, 0.9), 2 * 0.729, e);
    assert_near(tarn_lr_exponential(2, 3, 0), 0, e);
    assert_near(tarn_lr_cosine(1, 0, 100, 0.2), 1, e);
    assert_near(tarn_lr_cosine(1, 50, 100, 0.2), 0.6, e);
    assert_near(tarn_lr_cosine(1, 25, 100, 0.2), 0.2 + 0.4 * (1 + sqrt(0.5)), e);
    assert_near(tarn_lr_cosine(1, 100, 100, 0.2), 0.2, 0);
    assert_near(tarn_lr_cosine(1, 1000, 100, 0.2), 0.2, 0);
    assert_near(tarn_lr_warmup(0, 4), 0.25, e);
    assert_near(tarn_lr_warmup(3, 4), 1, e);
    assert_near(tarn_lr_warmup(4, 4), 1, e);
    assert_near(tarn_lr_warmup(INT64_MAX, 4), 1, 0);
    assert_near(tarn_lr_warmup(0, 0), 1, e);
    assert_near(tarn_lr_warmup_cosine(2, 0, 4, 24, 0.5), 0.5, e);
    assert_near(tarn_lr_warmup_cosine(2, 3, 4, 24, 0.5), 2, e);
    assert_near(tarn_lr_warmup_cosine(2, 4, 4, 24, 0.5), 2, e);
    assert_near(tarn_lr_warmup_cosine(2, 14, 4, 24, 0.5), 1.25, e);
    assert_near(tarn_lr_warmup_cosine(2, 24, 4, 24, 0.5), 0.5, 0);
    assert_near(tarn_lr_warmup_cosine(2, 0, 0, 24, 0.5), 2, e);
    for (int64_t step = 5; step < 24; step++)
        assert_true(tarn_lr_warmup_cosine(2, step, 4, 24, 0.5) < tarn_lr_warmup_cosine(2, step - 1, 4, 24, 0.5));
    assert_null(tarn_error());
}

static void nan_with(double rate, const char *part)
{
    assert_true(isnan(rate));
    expect_error(part);
}

static void bad_schedules_are_errors(void **state)
{
    (void)state;
    nan_with(tarn_lr_step_decay(-1, 0, 1, 1), "tarn_lr_step_decay: base -1");
    nan_with(tarn_lr_step_decay(1, -1, 1, 1), "tarn_lr_step_decay: step -1");
    nan_with(tarn_lr_step_decay(1, 0, 0, 1), "tarn_lr_step_decay: every 0");
    nan_with(tarn_lr_step_decay(1, 0, 1, NAN), "tarn_lr_step_decay: factor");
    nan_with(tarn_lr_exponential(NAN, 0, 1), "tarn_lr_exponential: base");
    nan_with(tarn_lr_exponential(1, -1, 1), "tarn_lr_exponential: step");
    nan_with(tarn_lr_exponential(1, 0, -1), "tarn_lr_exponential: factor");
    nan_with(tarn_lr_cosine(INFINITY, 0, 1, 0), "tarn_lr_cosine: base");
    nan_with(tarn_lr_cosine(1, -2, 1, 0), "tarn_lr_cosine: step -2");
    nan_with(tarn_lr_cosine(1, 0, 0, 0), "tarn_lr_cosine: total 0");
    nan_with(tarn_lr_cosine(1, 0, 1, -1), "tarn_lr_cosine: floor");
    nan_with(tarn_lr_warmup(-1, 1), "tarn_lr_warmup: step");
    nan_with(tarn_lr_warmup(0, -1), "tarn_lr_warmup: warmup");
    nan_with(tarn_lr_warmup_cosine(-1, 0, 1, 2, 0), "tarn_lr_warmup_cosine: base");
    nan_with(tarn_lr_warmup_cosine(1, -1, 1, 2, 0), "tarn_lr_warmup_cosine: step");
    nan_with(tarn_lr_warmup_cosine(1, 0, -1, 2, 0), "tarn_lr_warmup_cosine: warmup");
    nan_with(tarn_lr_warmup_cosine(1, 0, 2, 2, 0), "tarn_lr_warmup_cosine: total 2");
    nan_with(tarn_lr_warmup_cosine(1, 0, 1, INT64_MIN, 0), "tarn_lr_warmup_cosine: total");
    nan_with(tarn_lr_warmup_cosine(1, 0, 1, 2, NAN), "tarn_lr_warmup_cosine: floor");
}

static void the_other_schedules_at_key_points(void **state)
{
    (void)state;
    const double e = 1e-15;
    assert_near(tarn_lr_inverse_sqrt(0.6, 0), 0.6, e);
    assert_near(tarn_lr_inverse_sqrt(0.6, 8), 0.2, e);
    assert_true(tarn_lr_inverse_sqrt(1, INT64_MAX) > 0);
    assert_near(tarn_lr_inverse(0.6, 0, 0.5), 0.6, e);
    assert_near(tarn_lr_inverse(0.6, 10, 0.5), 0.1, e);
    assert_near(tarn_lr_inverse(0.6, 10, 0), 0.6, e);
    const double last = 5 / 25. / 1e4;
    assert_near(tarn_lr_one_cycle(5, 0, 101, NULL), 0.2, e);
    assert_near(tarn_lr_one_cycle(5, 29, 100, NULL), 5, e);
    assert_near(tarn_lr_one_cycle(5, 64, 100, NULL), (5 + last) / 2, 1e-14);
    assert_near(tarn_lr_one_cycle(5, 99, 100, NULL), last, 0);
    assert_near(tarn_lr_one_cycle(5, INT64_MAX, 100, NULL), last, 0);
    assert_near(tarn_lr_one_cycle(5, 0, 1, NULL), last, 0);
    assert_near(tarn_lr_one_cycle(5, 0, 10, &(tarn_one_cycle_opts){.pct_start = 0.1}), 5, 0); /* no rise */
    assert_near(tarn_lr_one_cycle(5, 9, 10, &(tarn_one_cycle_opts){.pct_start = 1}), 5, e);
    assert_near(tarn_lr_one_cycle(5, 10, 10, &(tarn_one_cycle_opts){.pct_start = 1}), last, 0);
    assert_near(tarn_lr_one_cycle(5, 0, 10, &(tarn_one_cycle_opts){.div_factor = 2}), 2.5, e);
    assert_near(tarn_lr_one_cycle(5, 9, 10, &(tarn_one_cycle_opts){.div_factor = 2, .final_div_factor = 5}), 0.5, e);
    for (int64_t step = 1; step < 100; step++)
        assert_true((tarn_lr_one_cycle(5, step, 100, NULL) > tarn_lr_one_cycle(5, step - 1, 100, NULL)) ==
                    (step <= 29));
    assert_null(tarn_error());
}

static void the_other_bad_schedules_are_errors(void **state)
{
    (void)state;
    nan_with(tarn_lr_inverse_sqrt(-1, 0), "tarn_lr_inverse_sqrt: base -1");
    nan_with(tarn_lr_inverse_sqrt(1, -1), "tarn_lr_inverse_sqrt: step -1");
    nan_with(tarn_lr_inverse(NAN, 0, 1), "tarn_lr_inverse: base");
    nan_with(tarn_lr_inverse(1, -1, 1), "tarn_lr_inverse: step -1");
    nan_with(tarn_lr_inverse(1, 0, -1), "tarn_lr_inverse: rate -1");
    nan_with(tarn_lr_one_cycle(-1, 0, 1, NULL), "tarn_lr_one_cycle: peak -1");
    nan_with(tarn_lr_one_cycle(1, -1, 1, NULL), "tarn_lr_one_cycle: step -1");
    nan_with(tarn_lr_one_cycle(1, 0, 0, NULL), "tarn_lr_one_cycle: total 0");
    nan_with(tarn_lr_one_cycle(1, 0, 1, &(tarn_one_cycle_opts){.pct_start = 1.5}), "pct_start 1.5");
    nan_with(tarn_lr_one_cycle(1, 0, 1, &(tarn_one_cycle_opts){.pct_start = NAN}), "pct_start");
    nan_with(tarn_lr_one_cycle(1, 0, 1, &(tarn_one_cycle_opts){.div_factor = -2}), "one_cycle: div_factor -2");
    nan_with(tarn_lr_one_cycle(1, 0, 1, &(tarn_one_cycle_opts){.final_div_factor = INFINITY}), "final_div_factor inf");
}

static void rates_are_finite_or_errors(void **state)
{
    (void)state;
    const tarn_one_cycle_opts tiny = {.div_factor = 1e-300}, last = {.final_div_factor = 1e-300};
    assert_near(tarn_lr_exponential(0, 5000, 2), 0, 0);
    assert_near(tarn_lr_step_decay(0, 5000, 1, 2), 0, 0);
    assert_near(tarn_lr_exponential(0, INT64_MAX, 1e300), 0, 0);
    assert_near(tarn_lr_exponential(0x1p-1000, 1500, 2), 0x1p500, 0); /* 2^1500 alone is no number */
    assert_near(tarn_lr_step_decay(0x1p1000, 3000, 2, 0.5), 0x1p-500, 0);
    assert_near(tarn_lr_exponential(1, INT64_MAX, 0.5), 0, 0);
    nan_with(tarn_lr_exponential(1, 5000, 2), "tarn_lr_exponential: the rate at step 5000 is inf");
    nan_with(tarn_lr_step_decay(1, 5000, 1, 2), "tarn_lr_step_decay: the rate at step 5000 is inf");
    nan_with(tarn_lr_step_decay(1e-10, INT64_MAX, 3, 1.5),
             "tarn_lr_step_decay: the rate at step 9223372036854775807 is inf");
    assert_near(tarn_lr_one_cycle(0, 0, 9, &tiny), 0, 0);
    nan_with(tarn_lr_one_cycle(1e10, 0, 9, &tiny), "tarn_lr_one_cycle: peak / div_factor inf");
    nan_with(tarn_lr_one_cycle(1e10, 5, 9, &last), "tarn_lr_one_cycle: the last rate inf");
    assert_near(tarn_lr_cosine(1.7e308, 0, 10, 0), 1.7e308, 0);
    assert_near(tarn_lr_warmup_cosine(1.7e308, 3, 3, 10, 0), 1.7e308, 0);
    assert_near(tarn_lr_one_cycle(1.7e308, 2, 10, NULL), 1.7e308, 0);
    assert_near(tarn_lr_inverse(1, INT64_MAX, 1e300), 0, 1e-300);
    assert_null(tarn_error());
}

/* ---- plateau ---- */

static void the_rate_falls_when_patience_ends(void **state)
{
    (void)state;
    tarn_plateau *p = tarn_plateau_new(
        1, &(tarn_plateau_opts){.factor = 0.5, .patience = 2, .threshold = 0.25, .absolute = true, .cooldown = 2});
    const double metric[] = {8, 7.75, 7.75, 7.75, 7, 7, 7, 7, 7, 7, 7, NAN, NAN};
    const double want[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25};
    for (size_t i = 0; i < sizeof metric / sizeof *metric; i++) {
        assert_true(tarn_plateau_step(p, metric[i]) == want[i]);
        assert_true(tarn_plateau_lr(p) == want[i]);
    }
    assert_true(tarn_plateau_step(p, NAN) == 0.125); /* NaN is a bad epoch */
    tarn_plateau_free(p);
    assert_null(tarn_error());
}

/* Also where no other one could be better: a threshold of 1 is all of it. */
static void the_first_metric_is_better_than_none(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        const tarn_plateau_opts opts = {.maximize = i & 1, .absolute = i & 2, .threshold = i & 4 ? 2 : 1};
        tarn_plateau *p = tarn_plateau_new(1, &opts);
        const double *kept = tarn_data(tarn_params_find(tarn_plateau_state(p), "plateau"));
        tarn_plateau_step(p, opts.maximize ? -INFINITY : INFINITY);
        assert_true(isinf(kept[1]) && kept[2] == 1);
        tarn_plateau_step(p, 5);
        assert_true(kept[1] == 5 && kept[2] == 0);
        tarn_plateau_step(p, 5);
        assert_true(kept[1] == 5 && kept[2] == 1);
        tarn_plateau_free(p);
    }
    assert_null(tarn_error());
}

/* A metric may be negative, as a log-likelihood is: nothing is better than itself. */
static void a_flat_negative_metric_is_a_plateau(void **state)
{
    (void)state;
    for (int maximize = 0; maximize < 2; maximize++) {
        const tarn_plateau_opts opts = {.factor = 0.5, .patience = 2, .maximize = maximize};
        tarn_plateau *p = tarn_plateau_new(1, &opts);
        for (int i = 0; i < 3; i++)
            assert_true(tarn_plateau_step(p, -1) == 1);
        assert_true(tarn_plateau_step(p, -1) == 0.5);
        const double *kept = tarn_data(tarn_params_find(tarn_plateau_state(p), "plateau"));
        tarn_plateau_step(p, maximize ? -1.00005 : -0.99995); /* worse */
        assert_true(kept[1] == -1);
        tarn_plateau_step(p, maximize ? -0.99 : -1.01); /* better, by more than the threshold */
        assert_true(kept[1] == (maximize ? -0.99 : -1.01));
        tarn_plateau_free(p);
    }
    assert_null(tarn_error());
}

static void a_plateau_resumes(void **state)
{
    (void)state;
    const tarn_plateau_opts opts = {.factor = 0.9, .patience = 3, .cooldown = 2, .maximize = true};
    for (int stop = 0; stop < 30; stop++) {
        tarn_plateau *whole = tarn_plateau_new(0.7, &opts), *resumed = tarn_plateau_new(5, &opts);
        for (int i = 0; i < 60; i++) {
            if (i == stop) {
                uint64_t version = tarn_params_at(tarn_plateau_state(whole), 0)->version;
                assert_true(tarn_copy(tarn_params_find(tarn_plateau_state(resumed), "plateau"),
                                      tarn_params_find(tarn_plateau_state(whole), "plateau")));
                tarn_plateau_step(whole, sin(i * i));
                assert_int_equal(tarn_params_at(tarn_plateau_state(whole), 0)->version, version + 1);
            } else {
                tarn_plateau_step(whole, sin(i * i));
            }
            if (i >= stop)
                assert_true(tarn_plateau_step(resumed, sin(i * i)) == tarn_plateau_lr(whole));
        }
        assert_true(tarn_plateau_lr(whole) < 0.7);
        tarn_plateau_free(whole);
        tarn_plateau_free(resumed);
    }
    assert_null(tarn_error());
}

static void bad_plateaus_are_errors(void **state)
{
    (void)state;
    const struct {
        double lr;
        tarn_plateau_opts opts;
        const char *part;
    } bad[] = {
        {-1, {.factor = 0}, "tarn_plateau_new: lr -1"},
        {INFINITY, {.factor = 0}, "lr inf"},
        {1, {.factor = 1}, "factor 1"},
        {1, {.factor = -0.5}, "factor -0.5"},
        {1, {.factor = NAN}, "factor"},
        {1, {.threshold = -1}, "threshold -1"},
        {1, {.patience = -2}, "patience -2"},
        {1, {.cooldown = -3}, "cooldown -3"},
        {1, {.min_lr = -1}, "min_lr -1"},
        {1, {.eps = NAN}, "eps"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(tarn_plateau_new(bad[i].lr, &bad[i].opts));
        expect_error(bad[i].part);
    }
    nan_with(tarn_plateau_step(NULL, 1), "tarn_plateau_step: plateau is NULL");
    assert_true(tarn_plateau_lr(NULL) == 0 && !tarn_plateau_state(NULL));
    tarn_plateau_free(NULL);

    const double broken[4][4] = {{NAN, 1, 0, 0}, {-1, 1, 0, 0}, {1, 1, 0.5, 0}, {1, 1, 0, -1}};
    tarn_plateau *p = tarn_plateau_new(1, NULL);
    double *kept = tarn_mutable_data(tarn_params_find(tarn_plateau_state(p), "plateau"));
    for (int i = 0; i < 4; i++) {
        memcpy(kept, broken[i], sizeof broken[i]);
        nan_with(tarn_plateau_step(p, 0), "expected a rate, a metric and two counts");
        assert_memory_equal(kept, broken[i], sizeof broken[i]);
    }
    memcpy(kept, (const double[4]){1, 1, 0, 0}, 4 * sizeof *kept);
    tarn_fail("something before");
    assert_true(isnan(tarn_plateau_step(p, 0)) && kept[1] == 1);
    assert_null(tarn_plateau_new(1, NULL));
    expect_error("something before");
    tarn_plateau_free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nothing_pending, nothing_pending)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(schedules_at_key_points),
        TEST(bad_schedules_are_errors),
        TEST(the_other_schedules_at_key_points),
        TEST(the_other_bad_schedules_are_errors),
        TEST(rates_are_finite_or_errors),
        TEST(the_rate_falls_when_patience_ends),
        TEST(the_first_metric_is_better_than_none),
        TEST(a_flat_negative_metric_is_a_plateau),
        TEST(a_plateau_resumes),
        TEST(bad_plateaus_are_errors),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
