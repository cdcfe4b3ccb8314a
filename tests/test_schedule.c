/* Learning-rate schedules at their key points. */
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, nothing_pending, nothing_pending)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(schedules_at_key_points),
        TEST(bad_schedules_are_errors),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
