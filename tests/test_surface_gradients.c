/* Gradients compared: along a step, below a layer, from batch to batch; on a quadratic where every number is known. */
#include "tests/surface_cases.h"

static void the_probe_knows_the_quadratic(void **state)
{
    (void)state;
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *params = tarn_params_new((tarn_dtype)dtype);
        quadratic q = quadratic_new(params, THETA);
        double g[N], hg[N], step[N], tol = dtype == TARN_F64 ? 1e-13 : 1e-5;
        times_h(THETA, g);
        times_h(g, hg);
        double length = sqrt(dot(N, g, g)), slope = sqrt(dot(N, hg, hg));
        tarn_gradient_probe_report r;
        assert_true(tarn_gradient_probe(&(tarn_objective){quadratic_loss, &q, params, f.t},
                                        &(tarn_gradient_probe_opts){0.25, 0.5, 3}, &r));
        near(r.loss, value_at(0, g, 0, g), tol);
        near(r.gradient_norm, length, tol);
        near(r.lowest_loss, value_at(-0.25, g, 0, g), tol); /* past the bottom already */
        near(r.highest_loss, value_at(-0.5, g, 0, g), tol);
        near(r.nearest, 0.25 * slope, tol);
        near(r.farthest, 0.5 * slope, tol);
        near(r.beta, slope / length, tol);
        double eta[] = {0.25, 0.375, 0.5}, low = 1, high = -1;
        for (int k = 0; k < 3; k++) {
            for (int i = 0; i < N; i++)
                step[i] = g[i] - eta[k] * hg[i];
            double c = dot(N, g, step) / (length * sqrt(dot(N, step, step)));
            low = c < low ? c : low, high = c > high ? c : high;
        }
        near(r.lowest_cosine, low, tol);
        near(r.highest_cosine, high, tol);
        tarn_params_free(params);
    }
}

static void where_the_gradient_is_zero(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, (const double[N]){0});
    tarn_gradient_probe_report r;
    assert_true(tarn_gradient_probe(&(tarn_objective){quadratic_loss, &q, f.p, f.t}, NULL, &r));
    assert_true(r.gradient_norm == 0 && r.farthest == 0 && isnan(r.beta) && isnan(r.lowest_cosine));
}

/* G = (H x)_upper; the layer below goes to x_lower - lr (H x)_lower, so G' - G = -lr H_upper,lower (H x)_lower. */
static void the_shift_is_the_mixed_curvature(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    const double lr = 0.3;
    double g[N], after[UPPER], change[UPPER];
    times_h(THETA, g);
    for (int i = 0; i < UPPER; i++) {
        change[i] = -lr * dot(LOWER, H + (LOWER + i) * N, g);
        after[i] = g[LOWER + i] + change[i];
    }
    double before_norm = sqrt(dot(UPPER, g + LOWER, g + LOWER)), after_norm = sqrt(dot(UPPER, after, after));
    tarn_gradient_shift_report r;
    assert_true(tarn_gradient_shift(&o, "f2.", NULL, lr, &r));
    near(r.before, before_norm, 1e-14);
    near(r.after, after_norm, 1e-14);
    near(r.shift, sqrt(dot(UPPER, change, change)), 1e-14);
    near(r.relative, r.shift / before_norm, 1e-14);
    near(r.cosine, dot(UPPER, g + LOWER, after) / (before_norm * after_norm), 1e-14);
    assert_true(tarn_gradient_shift(&o, "f1.", NULL, lr, &r)); /* nothing lies below */
    assert_true(r.shift == 0 && r.before == r.after && r.before > 0);
    near(r.cosine, 1, 1e-15);
    assert_true(
        tarn_gradient_shift(&o, "f1.", (const char *const[]){"f2.", "f1.", NULL}, lr, &r)); /* as the caller says */
    for (int i = 0; i < LOWER; i++)
        change[i] = -lr * dot(UPPER, H + i * N + LOWER, g + LOWER);
    near(r.shift, sqrt(dot(LOWER, change, change)), 1e-14);
}

static const double CENTERS[3][N] = {{1, 0, 2, 0, 0}, {0, -1, 1, 3, 0.5}, {2, 2, -4, 1, 1}};

static bool choose(void *context, int64_t batch)
{
    quadratic *q = context;
    memcpy(q->center, CENTERS[batch], sizeof q->center);
    return batch < 2 || q->scale == 1;
}

/* g_i = H (x - c_i); McCandlish et al., A.1: both estimates from the mean square of one batch's gradient and of all. */
static void the_noise_is_that_of_the_batches(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    const double size = 7;
    double mean[N] = {0}, small = 0;
    for (int k = 0; k < 3; k++) {
        double x[N], g[N];
        for (int i = 0; i < N; i++)
            x[i] = THETA[i] - CENTERS[k][i];
        times_h(x, g);
        for (int i = 0; i < N; i++)
            mean[i] += g[i] / 3;
        small += dot(N, g, g) / 3;
    }
    double big = dot(N, mean, mean);
    double squared = (3 * size * big - size * small) / (3 * size - size),
           sigma = (small - big) / (1 / size - 1 / (3 * size));
    tarn_gradient_noise_report r;
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    assert_true(tarn_gradient_noise(&o, 3, 7, choose, &r));
    near(r.mean_norm, sqrt(big), 1e-14);
    near(r.noise_norm, sqrt(sigma / size), 1e-14);
    near(r.gradient_squared, squared, 1e-13);
    near(r.noise_scale, sigma / squared, 1e-13);
    q.scale = 2;
    assert_false(tarn_gradient_noise(&o, 3, 7, choose, &r)); /* the third cannot be selected */
    expect_error("batch 2 of 3");
    assert_true(r.mean_norm == 0 && r.noise_scale == 0);
}

static bool overflow(void *context, int64_t batch)
{
    quadratic *q = context;
    q->scale = batch == 0 ? INFINITY : 1;
    return true;
}

static void the_loss_is_the_mean_of_the_batches(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    tarn_gradient_noise_report r;
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    double mean = 0;
    for (int k = 0; k < 3; k++) {
        memcpy(q.center, CENTERS[k], sizeof q.center);
        mean += tarn_objective_value(&o) / 3;
    }
    assert_true(tarn_gradient_noise(&o, 3, 7, choose, &r));
    near(r.loss, mean, 1e-14);
    assert_true(tarn_gradient_noise(&o, 3, 7, overflow, &r));
    assert_true(r.loss == INFINITY && isnan(r.noise_norm) && isnan(r.noise_scale));
}

/* A loss in other units: with the steps in theirs, the same numbers in them. */
static void units_do_not_matter(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    tarn_gradient_probe_report p[2];
    tarn_gradient_shift_report s[2];
    for (int power = -900; power <= 900; power += 600)
        for (int i = 0; i < 2; i++) {
            q.scale = i ? ldexp(1, power) : 1;
            const tarn_gradient_probe_opts opts = {.low = 0.05 / q.scale, .high = 0.4 / q.scale};
            assert_true(tarn_gradient_probe(&o, &opts, &p[i]));
            assert_true(tarn_gradient_shift(&o, "f2.", NULL, 0.1 / q.scale, &s[i]));
            near(p[i].gradient_norm / q.scale, p[0].gradient_norm, 1e-14);
            near(p[i].nearest / q.scale, p[0].nearest, 1e-14);
            near(p[i].farthest / q.scale, p[0].farthest, 1e-14);
            near(p[i].lowest_cosine, p[0].lowest_cosine, 1e-14);
            near(p[i].highest_cosine, p[0].highest_cosine, 1e-14);
            near(p[i].beta / q.scale, p[0].beta, 1e-14);
            near(s[i].shift / q.scale, s[0].shift, 1e-14);
            near(s[i].relative, s[0].relative, 1e-14);
            near(s[i].cosine, s[0].cosine, 1e-14);
        }
    assert_true(p[0].lowest_cosine < 0.9 && p[0].beta > 1 && s[0].shift > 0.1 &&
                s[0].cosine < 1); /* and they say something */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_probe_knows_the_quadratic),       TEST(where_the_gradient_is_zero),
        TEST(the_shift_is_the_mixed_curvature),    TEST(the_noise_is_that_of_the_batches),
        TEST(the_loss_is_the_mean_of_the_batches), TEST(units_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
