/* Batch Normalization: the fused op against the composed one and against long double, its statistics, its derivatives
 * of first to third order, and what training and evaluation mean for an example. */
#include "autograd/op.h"
#include "autograd/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef tarn_tensor *batchnorm_fn(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                                  const tarn_running_stats *running, const tarn_batchnorm_opts *opts);

/* ---- helpers ---- */

static tarn_tensor *random_new(uint64_t seed, tarn_dtype dtype, double low, double high, int ndim, const int64_t *shape)
{
    tarn_rng rng = tarn_rng_seed(seed);
    tarn_tensor *x = tarn_tensor_uniform_new(dtype, ndim, shape, &rng, low, high);
    assert_non_null(x);
    return x;
}

static tarn_running_stats running_new(tarn_dtype dtype, int64_t channels)
{
    tarn_running_stats r = {tarn_tensor_new(dtype, 1, &channels), tarn_tensor_new(dtype, 1, &channels),
                            tarn_tensor_new(dtype, 0, NULL)};
    assert_true(tarn_fill(r.var, 1));
    return r;
}

static void running_free(tarn_running_stats *r)
{
    tarn_tensor_free(r->mean);
    tarn_tensor_free(r->var);
    tarn_tensor_free(r->batches);
}

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g, expected %.17g within %g", value, expected, tolerance);
}

/* Every element within `tolerance` of the larger of 1 and itself. */
static void assert_same(tarn_tensor *a, tarn_tensor *b, double tolerance)
{
    const double *v = tarn_data(a), *w = tarn_data(b);
    assert_true(v && w && a->dtype == TARN_F64 && b->dtype == TARN_F64 && tarn__same_shape(a, b));
    for (int64_t i = 0; i < a->numel; i++)
        assert_near(v[i], w[i], tolerance * fmax(1, fabs(w[i])));
}

static void expect_error(const char *part)
{
    if (!tarn_error() || !strstr(tarn_error(), part))
        fail_msg("the error is \"%s\", expected \"%s\" in it", tarn_error() ? tarn_error() : "none", part);
    tarn_error_clear();
}

static tarn_tensor *total(tarn_tape *t, tarn_tensor *x)
{
    return tarn_sum(t, x, TARN_ALL_AXES, false);
}

static tarn_tensor *gradient(tarn_tape *t, tarn_tensor *y, tarn_tensor *x)
{
    tarn_tensor *g = NULL;
    if (!tarn_grad(t, 1, &y, NULL, 1, &x, &g))
        fail_msg("%s", tarn_error());
    return g;
}

/* ---- fused and composed ---- */

typedef struct model {
    tarn_tensor *x, *gamma, *beta;
} model;

static model model_new(uint64_t seed, int ndim, const int64_t *shape)
{
    int64_t channels = shape[ndim - 1];
    return (model){random_new(seed, TARN_F64, -2, 3, ndim, shape), random_new(seed + 1, TARN_F64, 0.5, 2, 1, &channels),
                   random_new(seed + 2, TARN_F64, -1, 1, 1, &channels)};
}

static void model_free(model *m)
{
    tarn_tensor_free(m->x);
    tarn_tensor_free(m->gamma);
    tarn_tensor_free(m->beta);
}

/* y, the gradients of sum(c y^2), and those of sum over j of sum(v_j gradient_j): out[0..7). */
static void derivatives(tarn_tape *t, batchnorm_fn *batchnorm, const model *m, const tarn_running_stats *running,
                        const tarn_batchnorm_opts *opts, tarn_tensor **out)
{
    tarn_rng rng = tarn_rng_seed(8);
    tarn_tensor *inputs[] = {m->x, m->gamma, m->beta}, *y = batchnorm(t, m->x, m->gamma, m->beta, running, opts);
    if (!y)
        fail_msg("%s", tarn_error());
    tarn_tensor *c = tarn_uniform(t, TARN_F64, y->ndim, y->shape, &rng, -1, 1);
    tarn_tensor *loss = total(t, tarn_mul(t, c, tarn_square(t, y)));
    out[0] = y;
    assert_true(tarn_grad(t, 1, &loss, NULL, 3, inputs, out + 1));
    tarn_tensor *second = NULL;
    for (int j = 0; j < 3; j++) {
        tarn_tensor *v = tarn_uniform(t, TARN_F64, inputs[j]->ndim, inputs[j]->shape, &rng, -1, 1);
        tarn_tensor *term = total(t, tarn_mul(t, v, out[1 + j]));
        second = second ? tarn_add(t, second, term) : term;
    }
    assert_true(tarn_grad(t, 1, &second, NULL, 3, inputs, out + 4));
}

static void compare_spellings(bool training, uint64_t seed, int ndim, const int64_t *shape)
{
    model m = model_new(seed, ndim, shape);
    tarn_running_stats a = running_new(TARN_F64, shape[ndim - 1]), b = running_new(TARN_F64, shape[ndim - 1]);
    const tarn_batchnorm_opts opts = {.eps = 1e-3, .momentum = 0.3};
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, training);
    tarn_tensor *fused[7], *composed[7];
    derivatives(t, tarn_batchnorm, &m, &a, &opts, fused);
    derivatives(t, tarn_batchnorm_composed, &m, &b, &opts, composed);
    for (int i = 0; i < 7; i++)
        assert_same(fused[i], composed[i], 1e-12);
    assert_same(a.mean, b.mean, 1e-12);
    assert_same(a.var, b.var, 1e-12);
    assert_true(tarn_item(a.batches) == (training ? 1 : 0) && tarn_item(b.batches) == tarn_item(a.batches));
    /* equal because they are right, not because they are zero; of two values BN makes two constants, nearly */
    for (int i = 1; i < 7 && m.x->numel > 2 * shape[ndim - 1]; i++)
        assert_true(tarn_item(tarn_max(t, tarn_abs(t, fused[i]), TARN_ALL_AXES, false)) > 1e-3);
    tarn_tape_free(t);
    running_free(&a);
    running_free(&b);
    model_free(&m);
}

static void fused_equals_composed(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        compare_spellings(training, 11, TARN_SHAPE(7, 3));
        compare_spellings(training, 21, TARN_SHAPE(3, 4, 5, 6));
        compare_spellings(training, 31, TARN_SHAPE(130, 17));
        compare_spellings(training, 41, TARN_SHAPE(2, 1));
        compare_spellings(training, 61, TARN_SHAPE(4, 30, 30, 3));
    }
    compare_spellings(false, 51, TARN_SHAPE(33));
}

/* ---- far from zero ---- */

/* 1000 +- 0.02: mean of squares minus square of the mean would have no digit left, in f64 only half of them. */
static void far_from_zero(tarn_dtype dtype, batchnorm_fn *batchnorm, double tolerance)
{
    enum { N = 777, C = 3 };
    tarn_tensor *x = random_new(5, dtype, 999.98, 1000.02, TARN_SHAPE(N, C));
    tarn_tensor *gamma = tarn_tensor_new(dtype, TARN_SHAPE(C)), *beta = tarn_tensor_new(dtype, TARN_SHAPE(C));
    assert_true(tarn_fill(gamma, 1));
    tarn_running_stats running = running_new(dtype, C);
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *y = batchnorm(t, x, gamma, beta, &running, &(tarn_batchnorm_opts){.momentum = 1});
    assert_true(tarn_run(y));
    for (int c = 0; c < C; c++) {
        long double mean = 0, m2 = 0;
        for (int i = 0; i < N; i++)
            mean += (long double)tarn__load(x, i * C + c) / N;
        for (int i = 0; i < N; i++) {
            long double d = (long double)tarn__load(x, i * C + c) - mean;
            m2 += d * d;
        }
        long double inverse = 1 / sqrtl(m2 / N + 1e-5L);
        for (int i = 0; i < N; i++)
            assert_near(tarn__load(y, i * C + c), (double)(((long double)tarn__load(x, i * C + c) - mean) * inverse),
                        tolerance);
        double one = dtype == TARN_F64 ? 1e-15 : 6e-8; /* of the dtype in which they are kept */
        assert_near(tarn__load(running.mean, c), (double)mean, one * 1000);
        assert_near(tarn__load(running.var, c) / (double)(m2 / (N - 1)), 1, tolerance);
    }
    tarn_tape_free(t);
    running_free(&running);
    tarn_tensor_free(x);
    tarn_tensor_free(gamma);
    tarn_tensor_free(beta);
}

static void far_from_zero_is_right(void **state)
{
    (void)state;
    far_from_zero(TARN_F64, tarn_batchnorm, 1e-10);
    far_from_zero(TARN_F64, tarn_batchnorm_composed, 1e-10);
    /* the fused op keeps its statistics in double, so that f32 loses nothing beyond x's own rounding */
    far_from_zero(TARN_F32, tarn_batchnorm, 1e-5);
}

static void two_values_a_channel(void **state)
{
    (void)state;
    const double values[] = {1, 10, 3, 10 + 2e-3, 1e6, 0}; /* [2,2] from the first four */
    tarn_tensor *x = tarn_tensor_from(TARN_F64, TARN_SHAPE(2, 2), values);
    tarn_tensor *gamma = tarn_tensor_new(TARN_F64, TARN_SHAPE(2)), *beta = tarn_tensor_new(TARN_F64, TARN_SHAPE(2));
    tarn_running_stats running = running_new(TARN_F64, 2);
    assert_true(tarn_fill(gamma, 2) && tarn_fill(beta, 5));
    tarn_tape *t = tarn_tape_new();
    const double *y = tarn_data(tarn_batchnorm(t, x, gamma, beta, &running, &(tarn_batchnorm_opts){.momentum = 1}));
    assert_non_null(y);
    /* deviations are +-1 and +-1e-3; the variances 1 and 1e-6, unbiased 2 and 2e-6 */
    assert_near(y[0], 5 - 2 / sqrt(1 + 1e-5), 1e-12);
    assert_near(y[2], 5 + 2 / sqrt(1 + 1e-5), 1e-12);
    assert_near(y[1], 5 - 2 * 1e-3 / sqrt(1e-6 + 1e-5), 1e-10);
    assert_near(y[3], 5 + 2 * 1e-3 / sqrt(1e-6 + 1e-5), 1e-10);
    assert_near(tarn__load(running.var, 0), 2, 1e-12);
    assert_near(tarn__load(running.var, 1), 2e-6, 1e-14);
    tarn_tape_free(t);
    running_free(&running);
    tarn_tensor_free(x);
    tarn_tensor_free(gamma);
    tarn_tensor_free(beta);
}

/* ---- derivatives of a function that does not see shifts ---- */

static tarn_tensor *cubed(tarn_tape *t, tarn_tensor *y)
{
    return tarn_mul(t, y, tarn_square(t, y));
}

/* In training BN(x + s) = BN(x): the gradient has no part along ones, and so the Hessian takes ones to 0. Of sum(BN(x))
 * the gradient itself is 0. A gradient that holds the statistics constant has none of this. */
static void shifts_change_nothing(void **state)
{
    (void)state;
    model m = model_new(71, TARN_SHAPE(9, 4));
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    for (int i = 0; i < 2; i++) {
        tarn_tape *t = tarn_tape_new();
        tarn_tensor *y = spellings[i](t, m.x, m.gamma, m.beta, NULL, NULL);
        tarn_tensor *zeros = tarn_zeros(t, TARN_F64, TARN_SHAPE(9, 4));
        tarn_tensor *g = gradient(t, total(t, y), m.x);
        assert_same(g, zeros, 1e-11);
        assert_same(gradient(t, g, m.x), zeros, 1e-11);

        g = gradient(t, total(t, cubed(t, y)), m.x);
        double size = tarn_item(total(t, tarn_square(t, g)));
        assert_true(size > 1);
        assert_same(tarn_sum(t, g, TARN_AXES(0), false), tarn_zeros(t, TARN_F64, TARN_SHAPE(4)), 1e-11);
        assert_same(gradient(t, g, m.x), zeros, 1e-10);
        /* the Hessian is not simply zero */
        tarn_rng rng = tarn_rng_seed(1);
        tarn_tensor *v = tarn_uniform(t, TARN_F64, TARN_SHAPE(9, 4), &rng, -1, 1), *hv = NULL;
        assert_true(tarn_grad(t, 1, &g, &v, 1, &m.x, &hv));
        assert_true(tarn_item(total(t, tarn_square(t, hv))) > 1);
        tarn_tape_free(t);
    }
    model_free(&m);
}

/* D_u D_v of the gradient of sum(BN(x)^3) with respect to x: third derivatives. */
static tarn_tensor *third(tarn_tape *t, batchnorm_fn *batchnorm, const model *m)
{
    tarn_rng rng = tarn_rng_seed(2);
    tarn_tensor *y = batchnorm(t, m->x, m->gamma, m->beta, NULL, NULL), *g = gradient(t, total(t, cubed(t, y)), m->x);
    for (int i = 0; i < 2; i++) {
        tarn_tensor *v = tarn_uniform(t, TARN_F64, m->x->ndim, m->x->shape, &rng, -1, 1);
        g = gradient(t, total(t, tarn_mul(t, v, g)), m->x);
    }
    return g;
}

/* The same by central differences of the second derivative along the second direction. */
static double second_at(tarn_tape *t, const model *m, double step, int64_t element)
{
    tarn_rng rng = tarn_rng_seed(2);
    model moved = *m;
    tarn_tensor *v = tarn_uniform(t, TARN_F64, m->x->ndim, m->x->shape, &rng, -1, 1);
    tarn_tensor *w = tarn_uniform(t, TARN_F64, m->x->ndim, m->x->shape, &rng, -1, 1);
    moved.x = tarn_add(t, m->x, tarn_mul_scalar(t, w, step));
    tarn_tensor *y = tarn_batchnorm(t, moved.x, m->gamma, m->beta, NULL, NULL);
    tarn_tensor *g = gradient(t, total(t, cubed(t, y)), moved.x);
    const double *h = tarn_data(gradient(t, total(t, tarn_mul(t, v, g)), moved.x));
    assert_non_null(h);
    double value = h[element];
    tarn_tape_reset(t);
    return value;
}

static void third_derivatives(void **state)
{
    (void)state;
    model m = model_new(81, TARN_SHAPE(6, 2));
    tarn_tape *t = tarn_tape_new(), *u = tarn_tape_new();
    tarn_tensor *fused = third(t, tarn_batchnorm, &m), *composed = third(t, tarn_batchnorm_composed, &m);
    assert_same(fused, composed, 1e-10);
    const double *v = tarn_data(fused);
    const double h = 1e-3;
    double size = 0;
    for (int64_t i = 0; i < 12; i++) {
        double numeric = (8 * (second_at(u, &m, h, i) - second_at(u, &m, -h, i)) -
                          (second_at(u, &m, 2 * h, i) - second_at(u, &m, -2 * h, i))) /
                         (12 * h);
        assert_near(v[i], numeric, 1e-7 * fmax(1, fabs(numeric)));
        size = fmax(size, fabs(v[i]));
    }
    assert_true(size > 0.1);
    tarn_tape_free(t);
    tarn_tape_free(u);
    model_free(&m);
}

/* ---- one example among others ---- */

/* The largest |d y[i] / d x[j]| over i != j (across) and i == j (own), examples of [N,C]. */
static void jacobian(tarn_tape *t, tarn_tensor *y, tarn_tensor *x, double *across, double *own)
{
    int64_t n = x->shape[0], c = x->shape[1];
    *across = *own = 0;
    for (int64_t out = 0; out < n * c; out++) {
        tarn_tensor *one = tarn_slice(t, tarn_reshape(t, y, TARN_SHAPE(n * c)), 0, out, out + 1, 1);
        const double *g = tarn_data(gradient(t, one, x));
        assert_non_null(g);
        for (int64_t in = 0; in < n * c; in++) {
            double *to = in / c == out / c ? own : across;
            *to = fmax(*to, fabs(g[in]));
        }
    }
}

static void examples_see_each_other_in_training_only(void **state)
{
    (void)state;
    model m = model_new(91, TARN_SHAPE(5, 3));
    tarn_running_stats running = running_new(TARN_F64, 3);
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    for (int i = 0; i < 2; i++) {
        tarn_tape *t = tarn_tape_new();
        double across, own;
        jacobian(t, spellings[i](t, m.x, m.gamma, m.beta, &running, NULL), m.x, &across, &own);
        assert_true(across > 0.01 && own > 0.1);
        tarn_tape_set_training(t, false);
        jacobian(t, spellings[i](t, m.x, m.gamma, m.beta, &running, NULL), m.x, &across, &own);
        assert_true(across == 0 && own > 0.1);
        tarn_tape_free(t);
    }
    running_free(&running);
    model_free(&m);
}

static void evaluation_has_the_frozen_gradients(void **state)
{
    (void)state;
    model m = model_new(101, TARN_SHAPE(4, 2));
    tarn_running_stats running = running_new(TARN_F64, 2);
    const double mean[] = {0.5, -1}, var[] = {4, 0.25};
    memcpy(tarn_mutable_data(running.mean), mean, sizeof mean);
    memcpy(tarn_mutable_data(running.var), var, sizeof var);
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, false);
    tarn_rng rng = tarn_rng_seed(3);
    tarn_tensor *y = tarn_batchnorm(t, m.x, m.gamma, m.beta, &running, NULL), *inputs[] = {m.x, m.gamma, m.beta}, *g[3];
    tarn_tensor *c = tarn_uniform(t, TARN_F64, TARN_SHAPE(4, 2), &rng, -1, 1);
    assert_true(tarn_grad(t, 1, &y, &c, 3, inputs, g));
    const double *x = tarn_data(m.x), *gamma = tarn_data(m.gamma), *beta = tarn_data(m.beta), *cotangent = tarn_data(c),
                 *v = tarn_data(y), *gx = tarn_data(g[0]), *ggamma = tarn_data(g[1]), *gbeta = tarn_data(g[2]);
    double sum_gamma[2] = {0}, sum_beta[2] = {0};
    for (int i = 0; i < 8; i++) {
        double inverse = 1 / sqrt(var[i % 2] + 1e-5), xhat = (x[i] - mean[i % 2]) * inverse;
        assert_near(v[i], xhat * gamma[i % 2] + beta[i % 2], 1e-12);
        assert_near(gx[i], cotangent[i] * gamma[i % 2] * inverse, 1e-12);
        sum_gamma[i % 2] += cotangent[i] * xhat;
        sum_beta[i % 2] += cotangent[i];
    }
    for (int i = 0; i < 2; i++) {
        assert_near(ggamma[i], sum_gamma[i], 1e-12);
        assert_near(gbeta[i], sum_beta[i], 1e-12);
    }
    /* nothing is learnt about the data */
    assert_true(tarn_item(running.batches) == 0);
    assert_memory_equal(tarn_data(running.mean), mean, sizeof mean);
    assert_memory_equal(tarn_data(running.var), var, sizeof var);
    tarn_tape_free(t);
    running_free(&running);
    model_free(&m);
}

static void one_example_alone_or_in_a_batch(void **state)
{
    (void)state;
    enum { N = 37, PIXELS = 6 * 5, C = 19 };
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *x = random_new(7, dtype, -3, 3, TARN_SHAPE(N, 6, 5, C));
        tarn_tensor *gamma = random_new(8, dtype, 0.5, 2, TARN_SHAPE(C)),
                    *beta = random_new(9, dtype, -1, 1, TARN_SHAPE(C));
        tarn_running_stats running = running_new(dtype, C);
        running_free(&running);
        running = (tarn_running_stats){random_new(10, dtype, -1, 1, TARN_SHAPE(C)),
                                       random_new(11, dtype, 0.1, 4, TARN_SHAPE(C)), tarn_tensor_new(dtype, 0, NULL)};
        tarn_tape *t = tarn_tape_new();
        tarn_tape_set_training(t, false);
        const char *all = tarn_data(tarn_batchnorm(t, x, gamma, beta, &running, NULL));
        size_t bytes = PIXELS * C * tarn_dtype_size(dtype);
        for (int n = 0; n < N; n += 6) {
            tarn_tensor *one = tarn_contiguous(t, tarn_slice(t, x, 0, n, n + 1, 1));
            const char *alone = tarn_data(tarn_batchnorm(t, one, gamma, beta, &running, NULL));
            assert_non_null(alone);
            assert_memory_equal(alone, all + (size_t)n * bytes, bytes);
        }
        tarn_tape_free(t);
        tarn_tensor_free(x);
        tarn_tensor_free(gamma);
        tarn_tensor_free(beta);
        running_free(&running);
    }
}

/* ---- running statistics ---- */

enum { BATCHES = 4 };

/* Feeds BATCHES batches of [6,1] and writes what their means and unbiased variances are. */
static void feed(batchnorm_fn *batchnorm, tarn_running_stats *running, const tarn_batchnorm_opts *opts, double *mean,
                 double *var)
{
    tarn_tensor *gamma = tarn_tensor_new(TARN_F64, TARN_SHAPE(1)), *beta = tarn_tensor_new(TARN_F64, TARN_SHAPE(1));
    tarn_tape *t = tarn_tape_new();
    for (int b = 0; b < BATCHES; b++) {
        tarn_tensor *x = random_new((uint64_t)(20 + b), TARN_F64, b, 2 * b + 1, TARN_SHAPE(6, 1));
        const double *v = tarn_data(x);
        mean[b] = var[b] = 0;
        for (int i = 0; i < 6; i++)
            mean[b] += v[i] / 6;
        for (int i = 0; i < 6; i++)
            var[b] += (v[i] - mean[b]) * (v[i] - mean[b]) / 5;
        tarn_tensor *y = batchnorm(t, x, gamma, beta, running, opts);
        double before = tarn_item(running->mean);
        assert_true(tarn_item(running->batches) == b);
        assert_true(tarn_run(y)); /* only now do they move, and only once */
        assert_true(tarn_item(running->mean) != before && tarn_item(running->batches) == b + 1);
        double after = tarn_item(running->mean);
        assert_non_null(tarn_data(gradient(t, total(t, y), x)));
        assert_true(tarn_item(running->mean) == after);
        tarn_tape_reset(t);
        tarn_tensor_free(x);
    }
    tarn_tape_free(t);
    tarn_tensor_free(gamma);
    tarn_tensor_free(beta);
}

static void running_statistics_move_by_the_momentum(void **state)
{
    (void)state;
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    const double momenta[] = {0, 0.25, 1}; /* 0: the default, 0.1 */
    for (int i = 0; i < 6; i++) {
        tarn_running_stats running = running_new(TARN_F64, 1);
        double mean[BATCHES], var[BATCHES], m = 0, v = 1, weight = momenta[i / 2] > 0 ? momenta[i / 2] : 0.1;
        feed(spellings[i % 2], &running, &(tarn_batchnorm_opts){.momentum = momenta[i / 2]}, mean, var);
        for (int b = 0; b < BATCHES; b++) {
            m = (1 - weight) * m + weight * mean[b];
            v = (1 - weight) * v + weight * var[b];
        }
        assert_near(tarn_item(running.mean), m, 1e-12);
        assert_near(tarn_item(running.var), v, 1e-12);
        running_free(&running);
    }
}

static void cumulative_statistics_are_plain_averages(void **state)
{
    (void)state;
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    for (int i = 0; i < 2; i++) {
        tarn_running_stats running = running_new(TARN_F64, 1);
        double mean[BATCHES], var[BATCHES], m = 0, v = 0;
        feed(spellings[i], &running, &(tarn_batchnorm_opts){.cumulative = true, .momentum = 0.7}, mean, var);
        for (int b = 0; b < BATCHES; b++) {
            m += mean[b] / BATCHES;
            v += var[b] / BATCHES;
        }
        assert_near(tarn_item(running.mean), m, 1e-12);
        assert_near(tarn_item(running.var), v, 1e-12);
        running_free(&running);
    }
}

/* By their count, cumulative averages go on where they were: with other leaves of the same values, and after
 * evaluation, which uses them. The first batch takes the place of what was there. */
static void cumulative_statistics_go_on(void **state)
{
    (void)state;
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    const tarn_batchnorm_opts opts = {.cumulative = true};
    for (int i = 0; i < 2; i++) {
        model m = model_new(131, TARN_SHAPE(5, 2)), n = model_new(141, TARN_SHAPE(7, 2));
        tarn_running_stats whole = running_new(TARN_F64, 2), first = running_new(TARN_F64, 2),
                           second = running_new(TARN_F64, 2), other = running_new(TARN_F64, 2);
        assert_true(tarn_fill(other.mean, 1e9) && tarn_fill(other.var, 1e9));
        tarn_tape *t = tarn_tape_new();
        assert_true(tarn_run(spellings[i](t, m.x, m.gamma, m.beta, &whole, &opts)) &&
                    tarn_run(spellings[i](t, n.x, m.gamma, m.beta, &whole, &opts)));
        assert_true(tarn_run(spellings[i](t, m.x, m.gamma, m.beta, &first, &opts)) &&
                    tarn_run(spellings[i](t, m.x, m.gamma, m.beta, &other, &opts)));
        assert_same(other.mean, first.mean, 1e-15);
        assert_same(other.var, first.var, 1e-15);
        assert_true(tarn_copy(second.mean, first.mean) && tarn_copy(second.var, first.var) &&
                    tarn_copy(second.batches, first.batches));
        tarn_tape_set_training(t, false);
        tarn_tensor *y = spellings[i](t, m.x, m.gamma, m.beta, &second, &opts);
        assert_same(y, spellings[i](t, m.x, m.gamma, m.beta, &first, NULL), 0);
        tarn_tape_set_training(t, true);
        assert_true(tarn_run(spellings[i](t, n.x, m.gamma, m.beta, &second, &opts)));
        assert_same(second.mean, whole.mean, 0);
        assert_same(second.var, whole.var, 0);
        assert_true(tarn_item(second.batches) == 2);
        tarn_tape_free(t);
        tarn_running_stats *all[] = {&whole, &first, &second, &other};
        for (int k = 0; k < 4; k++)
            running_free(all[k]);
        model_free(&m);
        model_free(&n);
    }
}

static void without_running_statistics(void **state)
{
    (void)state;
    model m = model_new(111, TARN_SHAPE(5, 2));
    tarn_running_stats running = running_new(TARN_F64, 2);
    tarn_tape *t = tarn_tape_new();
    assert_same(tarn_batchnorm(t, m.x, m.gamma, m.beta, NULL, NULL),
                tarn_batchnorm(t, m.x, m.gamma, m.beta, &running, NULL), 0);
    tarn_tape_set_training(t, false);
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    for (int i = 0; i < 2; i++) {
        assert_null(spellings[i](t, m.x, m.gamma, m.beta, NULL, NULL));
        expect_error("evaluation needs the running statistics");
    }
    tarn_tape_free(t);
    running_free(&running);
    model_free(&m);
}

/* ---- errors ---- */

static void one_value_a_channel_is_an_error(void **state)
{
    (void)state;
    batchnorm_fn *spellings[] = {tarn_batchnorm, tarn_batchnorm_composed};
    tarn_running_stats running = running_new(TARN_F64, 3);
    for (int i = 0; i < 2; i++) {
        model one = model_new(121, TARN_SHAPE(1, 3)), flat = model_new(122, TARN_SHAPE(3)),
              pixel = model_new(123, TARN_SHAPE(1, 1, 1, 3)), none = model_new(124, TARN_SHAPE(0, 3));
        model *all[] = {&one, &flat, &pixel, &none};
        tarn_tape *t = tarn_tape_new();
        for (int k = 0; k < 4; k++) {
            assert_null(spellings[i](t, all[k]->x, all[k]->gamma, all[k]->beta, &running, NULL));
            expect_error("training needs at least 2");
        }
        assert_int_equal(tarn_tape_nodes(t), 0);
        assert_true(tarn_item(running.batches) == 0);
        tarn_tape_set_training(t, false); /* where one is as good as many */
        for (int k = 0; k < 4; k++)
            assert_non_null(tarn_data(spellings[i](t, all[k]->x, all[k]->gamma, all[k]->beta, &running, NULL)));
        tarn_tape_free(t);
        for (int k = 0; k < 4; k++)
            model_free(all[k]);
    }
    running_free(&running);
}

static void arguments_that_do_not_fit(void **state)
{
    (void)state;
    model m = model_new(131, TARN_SHAPE(4, 3));
    tarn_running_stats good = running_new(TARN_F64, 3), narrow = running_new(TARN_F64, 2),
                       single = running_new(TARN_F32, 3), no_var = good, no_count = good, wide_count = good;
    no_var.var = NULL;
    no_count.batches = NULL;
    wide_count.batches = good.mean;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *scalar = tarn_scalar(t, TARN_F64, 1), *wrong = tarn_ones(t, TARN_F64, TARN_SHAPE(4)),
                *f32 = tarn_ones(t, TARN_F32, TARN_SHAPE(3)), *whole = tarn_ones(t, TARN_I32, TARN_SHAPE(4, 3));
    const struct {
        const char *message;
        tarn_tensor *x, *gamma, *beta;
        tarn_running_stats *running;
        tarn_batchnorm_opts opts;
    } cases[] = {
        {"tarn_batchnorm: gamma is f64[4], expected f64[3]", m.x, wrong, m.beta, &good, {.eps = 0}},
        {"tarn_batchnorm: beta is f32[3], expected f64[3]", m.x, m.gamma, f32, &good, {.eps = 0}},
        {"tarn_batchnorm: x is i32[4,3]", whole, m.gamma, m.beta, &good, {.eps = 0}},
        {"tarn_batchnorm: x is f64[]", scalar, m.gamma, m.beta, &good, {.eps = 0}},
        {"running mean is f64[2]", m.x, m.gamma, m.beta, &narrow, {.eps = 0}},
        {"running mean is f32[3]", m.x, m.gamma, m.beta, &single, {.eps = 0}},
        {"running var is NULL", m.x, m.gamma, m.beta, &no_var, {.eps = 0}},
        {"running batches is NULL", m.x, m.gamma, m.beta, &no_count, {.eps = 0}},
        {"running batches is f64[3]", m.x, m.gamma, m.beta, &wide_count, {.eps = 0}},
        {"eps -1", m.x, m.gamma, m.beta, &good, {.eps = -1}},
        {"momentum 1.5", m.x, m.gamma, m.beta, &good, {.momentum = 1.5}},
        {"momentum nan", m.x, m.gamma, m.beta, &good, {.momentum = NAN}},
        {"input 0 is NULL", NULL, m.gamma, m.beta, &good, {.eps = 0}},
        {"input 1 is NULL", m.x, NULL, m.beta, &good, {.eps = 0}},
        {"input 2 is NULL", m.x, m.gamma, NULL, &good, {.eps = 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(tarn_batchnorm(t, cases[i].x, cases[i].gamma, cases[i].beta, cases[i].running, &cases[i].opts));
        expect_error(cases[i].message);
        assert_null(
            tarn_batchnorm_composed(t, cases[i].x, cases[i].gamma, cases[i].beta, cases[i].running, &cases[i].opts));
        expect_error(cases[i].message);
    }
    assert_null(tarn_batchnorm(NULL, m.x, m.gamma, m.beta, &good, NULL));
    expect_error("tape is NULL");
    tarn_tape_free(t);
    running_free(&good);
    running_free(&narrow);
    running_free(&single);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_equals_composed),
        cmocka_unit_test(far_from_zero_is_right),
        cmocka_unit_test(two_values_a_channel),
        cmocka_unit_test(shifts_change_nothing),
        cmocka_unit_test(third_derivatives),
        cmocka_unit_test(examples_see_each_other_in_training_only),
        cmocka_unit_test(evaluation_has_the_frozen_gradients),
        cmocka_unit_test(one_example_alone_or_in_a_batch),
        cmocka_unit_test(running_statistics_move_by_the_momentum),
        cmocka_unit_test(cumulative_statistics_are_plain_averages),
        cmocka_unit_test(cumulative_statistics_go_on),
        cmocka_unit_test(without_running_statistics),
        cmocka_unit_test(one_value_a_channel_is_an_error),
        cmocka_unit_test(arguments_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("batchnorm", tests, NULL, NULL);
}
