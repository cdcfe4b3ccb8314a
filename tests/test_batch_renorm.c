/* Batch Renormalization: its paper's equations written out, the derivatives with r and d held, the schedule, and how
 * its moving averages move. */
#include "autograd/ops.h"
#include "data/safetensors.h"
#include "tests/files.h"
#include "tests/layers_cases.h"

enum { N = 6, C = 3 };

/* What algorithm 1 has: mu and sigma, and r, d, mean_B and sigma_B of the latest batch. */
typedef struct paper {
    long double mu[C], sigma[C], r[C], d[C], mean[C], std[C];
} paper;

static long double clipped(long double x, long double low, long double high)
{
    return fmaxl(low, fminl(x, high));
}

/* 1702.03275, algorithm 1, of a batch [n,C]: y = xhat, and the averages move. */
static void algorithm_1(paper *p, const double *x, int n, long double alpha, long double r_max, long double d_max,
                        long double *y)
{
    for (int c = 0; c < C; c++) {
        long double mean = 0, square = 0;
        for (int i = 0; i < n; i++)
            mean += x[i * C + c];
        mean /= n;
        for (int i = 0; i < n; i++)
            square += (x[i * C + c] - mean) * (x[i * C + c] - mean);
        p->mean[c] = mean;
        p->std[c] = sqrtl(1e-5L + square / n);
        p->r[c] = clipped(p->std[c] / p->sigma[c], 1 / r_max, r_max);
        p->d[c] = clipped((mean - p->mu[c]) / p->sigma[c], -d_max, d_max);
        for (int i = 0; i < n; i++)
            y[i * C + c] = (x[i * C + c] - mean) / p->std[c] * p->r[c] + p->d[c];
        p->mu[c] += alpha * (mean - p->mu[c]);
        p->sigma[c] += alpha * (p->std[c] - p->sigma[c]);
    }
}

static const paper at_first = {.sigma = {1, 1, 1}};

static void expect_close(double got, long double want, double tolerance)
{
    if (!(fabsl((long double)got - want) <= tolerance))
        fail_msg("%.17g, expected %.17g within %g", got, (double)want, tolerance);
}

static tarn_tensor *total(tarn_tensor *x)
{
    return tarn_sum(f.t, x, TARN_ALL_AXES, false);
}

static void steps_follow_algorithm_1(void **state)
{
    (void)state;
    tarn_batch_renorm_layer l;
    const double gamma[] = {2, 0.5, -1}, beta[] = {0, 1, -3};
    int at_limit = 0, inside = 0;
    assert_true(tarn_batch_renorm_init(
        &l, f.p, "b", C, &(tarn_batch_renorm_opts){.momentum = 0.2, .r_max = 1.5, .d_max = 0.7, .unscheduled = true}));
    memcpy(tarn_mutable_data(l.gamma), gamma, sizeof gamma);
    memcpy(tarn_mutable_data(l.beta), beta, sizeof beta);
    paper p = at_first;
    for (int step = 0; step < 12; step++) {
        tarn_tensor *x = tarn_normal(f.t, TARN_F64, TARN_SHAPE(2, 1, 3, C), &f.rng, 1.5, 0.5 + 0.2 * step);
        const double *v = tarn_data(x), *y = tarn_data(tarn_batch_renorm_apply(f.t, &l, x));
        long double want[N * C];
        assert_non_null(y);
        algorithm_1(&p, v, N, 0.2L, 1.5L, 0.7L, want);
        for (int i = 0; i < N * C; i++)
            expect_close(y[i], want[i] * gamma[i % C] + beta[i % C], 1e-12);
        for (int c = 0; c < C; c++) {
            expect_close(tarn__load(l.running.mean, c), p.mu[c], 1e-13);
            expect_close(tarn__load(l.running.std, c), p.sigma[c], 1e-13);
            bool bound = p.r[c] == 1.5L || p.r[c] == 1 / 1.5L || fabsl(p.d[c]) == 0.7L;
            bound ? at_limit++ : inside++;
        }
        assert_true(tarn_item(l.running.batches) == step + 1);
        tarn_tape_reset(f.t);
    }
    assert_true(at_limit > 3 && inside > 3);
    tarn_tape_set_training(f.t, false);
    tarn_tensor *x = random_input(TARN_SHAPE(1, C));
    const double *v = tarn_data(x), *y = tarn_data(tarn_batch_renorm_apply(f.t, &l, x));
    for (int c = 0; c < C; c++)
        expect_close(y[c], (v[c] - p.mu[c]) / p.sigma[c] * gamma[c] + beta[c], 1e-12);
    assert_true(tarn_item(l.running.batches) == 12);
}

static void it_starts_as_batchnorm_of_a_standard_distribution(void **state)
{
    (void)state;
    tarn_batch_renorm_layer l;
    assert_true(tarn_batch_renorm_init(&l, f.p, "b", C, NULL));
    static const struct {
        const char *name;
        bool trained;
        double value;
    } want[] = {{"b.gamma", true, 1},
                {"b.beta", true, 0},
                {"b.running_mean", false, 0},
                {"b.running_std", false, 1},
                {"b.batches", false, 0}};
    assert_int_equal(tarn_params_count(f.p), 5);
    for (size_t i = 0; i < 5; i++) {
        tarn_tensor *x = tarn_params_at(f.p, i);
        assert_string_equal(tarn_param_name(x), want[i].name);
        expect_shape(x, i < 4, (const int64_t[]){C});
        assert_true((tarn_param_grad(x) != NULL) == want[i].trained);
        for (int64_t c = 0; c < tarn_numel(x); c++)
            assert_true(tarn__load(x, c) == want[i].value);
    }
    tarn_tape_set_training(f.t, false);
    tarn_tensor *x = random_input(TARN_SHAPE(4, C));
    expect_equal(tarn_batch_renorm_apply(f.t, &l, x), x, 0);
}

/* ---- derivatives ---- */

typedef tarn_tensor *renorm_fn(tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, void *context);

/* y, and the derivatives of sum(c y^2) of first and second order. */
static void derivatives(renorm_fn *fn, void *context, tarn_tensor *const in[3], tarn_tensor *out[7])
{
    tarn_rng rng = tarn_rng_seed(5);
    out[0] = fn(in[0], in[1], in[2], context);
    tarn_tensor *c = tarn_uniform(f.t, TARN_F64, tarn_ndim(in[0]), tarn_shape(in[0]), &rng, -1, 1), *second = NULL;
    tarn_tensor *loss = total(tarn_mul(f.t, c, tarn_square(f.t, out[0])));
    assert_true(tarn_grad(f.t, 1, &loss, NULL, 3, in, out + 1));
    for (int j = 0; j < 3; j++) {
        tarn_tensor *v = tarn_uniform(f.t, TARN_F64, tarn_ndim(in[j]), tarn_shape(in[j]), &rng, -1, 1);
        tarn_tensor *term = total(tarn_mul(f.t, v, out[1 + j]));
        second = second ? tarn_add(f.t, second, term) : term;
    }
    assert_true(tarn_grad(f.t, 1, &second, NULL, 3, in, out + 4));
}

static void expect_same_derivatives(renorm_fn *a, void *of_a, renorm_fn *b, void *of_b)
{
    tarn_tensor *in[] = {random_input(TARN_SHAPE(2, 3, C)), random_input(TARN_SHAPE(C)), random_input(TARN_SHAPE(C))};
    tarn_tensor *got[7], *want[7];
    derivatives(a, of_a, in, got);
    derivatives(b, of_b, in, want);
    for (int i = 0; i < 7; i++) {
        expect_equal(got[i], want[i], 1e-11);
        assert_true(tarn_item(total(tarn_square(f.t, want[i]))) > 1e-3);
    }
}

/* Moving averages that differ from those of random_input by more than the limits in some channels only. */
static tarn_renorm_stats off_averages(void)
{
    tarn_renorm_stats s = {tarn_constant(f.t, TARN_F64, TARN_SHAPE(C), (const double[]){0.1, -4, 0.2}),
                           tarn_constant(f.t, TARN_F64, TARN_SHAPE(C), (const double[]){0.7, 0.1, 5}),
                           tarn_zeros(f.t, TARN_F64, 0, NULL)};
    return s;
}

static const tarn_batch_renorm_opts limits = {.r_max = 2, .d_max = 1, .unscheduled = true};

static tarn_tensor *renorm(tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, void *context)
{
    const tarn_renorm_stats s = off_averages();
    return tarn_batch_renorm(f.t, x, gamma, beta, &s, context);
}

/* BatchNorm's composition, with r and d from the test's own algorithm as constants. */
static tarn_tensor *held(tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, void *context)
{
    paper p = {.mu = {0.1L, -4, 0.2L}, .sigma = {0.7L, 0.1L, 5}};
    long double y[N * C];
    double r[C], d[C];
    (void)context;
    algorithm_1(&p, tarn_data(x), N, 0.01L, 2, 1, y);
    for (int c = 0; c < C; c++)
        r[c] = (double)p.r[c], d[c] = (double)p.d[c];
    assert_true(r[0] > 0.5 && r[0] < 2 && fabs(d[0]) < 1 && r[1] == 2 && d[1] == 1 && r[2] == 0.5);
    tarn_tensor *ones = tarn_ones(f.t, TARN_F64, TARN_SHAPE(C)), *zeros = tarn_zeros(f.t, TARN_F64, TARN_SHAPE(C));
    tarn_tensor *xhat = tarn_batchnorm_composed(f.t, x, ones, zeros, NULL, NULL);
    xhat = tarn_add(f.t, tarn_mul(f.t, xhat, tarn_constant(f.t, TARN_F64, TARN_SHAPE(C), r)),
                    tarn_constant(f.t, TARN_F64, TARN_SHAPE(C), d));
    return tarn_add(f.t, tarn_mul(f.t, xhat, gamma), beta);
}

static void r_and_d_are_constants_to_the_gradient(void **state)
{
    (void)state;
    tarn_batch_renorm_opts opts = limits;
    expect_same_derivatives(renorm, &opts, held, NULL);
}

static tarn_tensor *batchnorm(tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, void *context)
{
    (void)context;
    return tarn_batchnorm(f.t, x, gamma, beta, NULL, NULL);
}

/* As the first 5000 batches have it by default, whatever the averages are. */
static void without_correction_it_is_batchnorm(void **state)
{
    (void)state;
    expect_same_derivatives(renorm, NULL, batchnorm, NULL);
}

/* Inside the limits training gives what evaluation would. */
static void with_wide_limits_training_is_evaluation(void **state)
{
    (void)state;
    tarn_batch_renorm_opts opts = {.r_max = INFINITY, .d_max = INFINITY, .unscheduled = true};
    tarn_tensor *x = random_input(TARN_SHAPE(5, C)), *gamma = random_input(TARN_SHAPE(C)),
                *beta = random_input(TARN_SHAPE(C)), *y = renorm(x, gamma, beta, &opts);
    tarn_tape_set_training(f.t, false);
    expect_equal(y, renorm(x, gamma, beta, &opts), 1e-12);
}

/* ---- the schedule ---- */

/* The limits after so many batches, seen in what they make of averages that are far off. */
static void limits_at(double batches, const tarn_batch_renorm_opts *opts, double *r, double *d)
{
    const tarn_renorm_stats s = {tarn_full(f.t, TARN_F64, TARN_SHAPE(1), -1e9),
                                 tarn_full(f.t, TARN_F64, TARN_SHAPE(1), 1e-3),
                                 tarn_full(f.t, TARN_F64, 0, NULL, batches)};
    tarn_tensor *one = tarn_ones(f.t, TARN_F64, TARN_SHAPE(1)), *zero = tarn_zeros(f.t, TARN_F64, TARN_SHAPE(1));
    tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(2, 1), (const double[]){-1, 1});
    const double *y = tarn_data(tarn_batch_renorm(f.t, x, one, zero, &s, opts));
    assert_non_null(y);
    *r = (y[1] - y[0]) / 2 * sqrt(1 + 1e-5);
    *d = (y[1] + y[0]) / 2;
}

static void limits_follow_the_schedule(void **state)
{
    (void)state;
    static const struct {
        double batches, r, d;
    } by_default[] = {{0, 1, 0},
                      {4999, 1, 0},
                      {5000, 1, 0},
                      {15000, 1 + 2 * 10.0 / 35, 2.5},
                      {25000, 1 + 2 * 20.0 / 35, 5},
                      {39999, 1 + 2 * 34999.0 / 35000, 5},
                      {40000, 3, 5},
                      {1e7, 3, 5}},
      own[] = {{10, 1, 0}, {15, 2.5, 1}, {20, 4, 2}, {21, 4, 2}};
    double r, d;
    for (size_t i = 0; i < sizeof by_default / sizeof *by_default; i++) {
        limits_at(by_default[i].batches, NULL, &r, &d);
        expect_close(r, by_default[i].r, 1e-9);
        expect_close(d, by_default[i].d, 1e-9);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        limits_at(own[i].batches,
                  &(tarn_batch_renorm_opts){.r_max = 4, .d_max = 2, .start = 10, .r_end = 20, .d_end = 20}, &r, &d);
        expect_close(r, own[i].r, 1e-9);
        expect_close(d, own[i].d, 1e-9);
    }
    limits_at(9, &(tarn_batch_renorm_opts){.start = 10, .r_end = 10, .d_end = 10}, &r, &d);
    expect_close(r, 1, 1e-9);
    limits_at(10, &(tarn_batch_renorm_opts){.start = 10, .r_end = 10, .d_end = 10}, &r, &d);
    expect_close(r, 3, 1e-9);
    limits_at(0, &(tarn_batch_renorm_opts){.unscheduled = true}, &r, &d);
    expect_close(d, 5, 1e-9);
}

/* ---- the moving averages ---- */

static tarn_tensor *segment(tarn_tape *t, void *context, tarn_tensor *x)
{
    return tarn_sin(t, tarn_batch_renorm_apply(t, context, tarn_mul_scalar(t, x, 2)));
}

/* A step's gradient in `gamma` and `x`, plain or recorded again by a checkpoint. */
static void step(bool checkpoint, bool run_first, double out[], tarn_params *params)
{
    tarn_batch_renorm_layer l;
    tarn_rng rng = tarn_rng_seed(9);
    tarn_tape *t = tarn_tape_new();
    assert_true(tarn_batch_renorm_init(&l, params, "b", C, &limits) && tarn_fill(l.running.std, 0.4));
    tarn_tensor *x = tarn_uniform(t, TARN_F64, TARN_SHAPE(4, C), &rng, -1, 1), *g[2];
    tarn_tensor *y = checkpoint ? tarn_checkpoint(t, segment, &l, x) : segment(t, &l, x);
    tarn_tensor *loss = tarn_sum(t, tarn_square(t, y), TARN_ALL_AXES, false);
    assert_true(!run_first || tarn_run(loss));
    assert_true(!run_first || tarn_item(l.running.batches) == 1);
    assert_true(tarn_grad(t, 1, &loss, NULL, 2, (tarn_tensor *[]){x, l.gamma}, g));
    const double *gx = tarn_data(g[0]), *ggamma = tarn_data(g[1]);
    assert_true(gx && ggamma);
    memcpy(out, gx, 4 * C * sizeof *out);
    memcpy(out + 4 * C, ggamma, C * sizeof *out);
    memcpy(out + 5 * C, tarn_data(l.running.mean), C * sizeof *out);
    memcpy(out + 6 * C, tarn_data(l.running.std), C * sizeof *out);
    assert_true(tarn_item(loss) > 0 && tarn_item(l.running.batches) == 1);
    tarn_tape_free(t);
}

static void a_checkpoint_corrects_by_the_same_averages(void **state)
{
    (void)state;
    for (int run_first = 0; run_first < 2; run_first++) {
        double plain[7 * C], again[7 * C];
        tarn_params *a = tarn_params_new(TARN_F64), *b = tarn_params_new(TARN_F64);
        step(false, run_first, plain, a);
        step(true, run_first, again, b);
        assert_memory_equal(plain, again, sizeof plain);
        tarn_params_free(a);
        tarn_params_free(b);
    }
}

static void averages_move_once(void **state)
{
    (void)state;
    tarn_batch_renorm_layer l;
    assert_true(tarn_batch_renorm_init(&l, f.p, "b", C, &limits));
    tarn_tensor *x = random_input(TARN_SHAPE(4, C)), *y = tarn_batch_renorm_apply(f.t, &l, x), *g = NULL;
    assert_true(tarn_item(l.running.batches) == 0);
    assert_true(tarn_run(y) && tarn_item(l.running.batches) == 1);
    double mean = tarn__load(l.running.mean, 0);
    assert_true(mean != 0);
    assert_true(tarn_grad(f.t, 1, &y, (tarn_tensor *[]){tarn_sin(f.t, y)}, 1, &x, &g) && tarn_run(g) && tarn_run(y));
    assert_true(tarn_item(l.running.batches) == 1 && tarn__load(l.running.mean, 0) == mean);
    assert_true(tarn_run(tarn_batch_renorm_apply(f.t, &l, x)) && tarn_item(l.running.batches) == 2);
}

/* One training step of a fresh batch; returns the loss. */
static double train(tarn_batch_renorm_layer *l, tarn_optim *o, tarn_params *params, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    tarn_tensor *x = tarn_normal(f.t, TARN_F64, TARN_SHAPE(4, C), &rng, 1, 2);
    tarn_tensor *loss = tarn_mse(f.t, tarn_batch_renorm_apply(f.t, l, x), tarn_sin(f.t, x));
    tarn_params_zero_grad(params);
    assert_true(tarn_backward(f.t, loss) && tarn_optim_step(o));
    double value = tarn_item(loss);
    tarn_tape_reset(f.t);
    return value;
}

static void a_saved_state_goes_on_the_same(void **state)
{
    (void)state;
    const tarn_batch_renorm_opts opts = {.momentum = 0.1, .start = 3, .r_end = 12, .d_end = 9};
    tarn_batch_renorm_layer l, again;
    tarn_params *other = tarn_params_new(TARN_F64);
    assert_true(tarn_batch_renorm_init(&l, f.p, "b", C, &opts) && tarn_batch_renorm_init(&again, other, "b", C, &opts));
    tarn_optim *o = tarn_sgd_new(f.p, &(tarn_sgd_opts){.lr = 0.1}),
               *p = tarn_sgd_new(other, &(tarn_sgd_opts){.lr = 0.1});
    for (uint64_t i = 0; i < 6; i++)
        train(&l, o, f.p, i);
    assert_true(tarn_params_save(f.p, files_path("renorm")) && tarn_params_load(other, files_path("renorm")));
    for (uint64_t i = 6; i < 12; i++)
        assert_true(train(&l, o, f.p, i) == train(&again, p, other, i));
    tarn_optim_free(o);
    tarn_optim_free(p);
    tarn_params_free(other);
}

/* ---- digits, and what is refused ---- */

static void far_from_zero_is_right(void **state)
{
    (void)state;
    enum { MANY = 200 };
    tarn_tensor *x = tarn_uniform(f.t, TARN_F32, TARN_SHAPE(MANY, C), &f.rng, 999.98, 1000.02);
    tarn_tensor *ones = tarn_ones(f.t, TARN_F32, TARN_SHAPE(C)), *zeros = tarn_zeros(f.t, TARN_F32, TARN_SHAPE(C));
    tarn_renorm_stats s = {tarn_full(f.t, TARN_F32, TARN_SHAPE(C), 1000),
                           tarn_full(f.t, TARN_F32, TARN_SHAPE(C), 0.0125), tarn_zeros(f.t, TARN_F32, 0, NULL)};
    const float *y = tarn_data(
        tarn_batch_renorm(f.t, x, ones, zeros, &s, &(tarn_batch_renorm_opts){.momentum = 1, .unscheduled = true}));
    assert_non_null(y);
    for (int i = 0; i < MANY * C; i++) /* the limits do not bind: y is (x - mu) / sigma */
        expect_close(y[i], (tarn__load(x, i) - 1000) / (double)0.0125f, 1e-6);
    for (int c = 0; c < C; c++) {
        long double mean = 0, square = 0;
        for (int i = 0; i < MANY; i++)
            mean += (long double)tarn__load(x, i * C + c) / MANY;
        for (int i = 0; i < MANY; i++)
            square +=
                ((long double)tarn__load(x, i * C + c) - mean) * ((long double)tarn__load(x, i * C + c) - mean) / MANY;
        expect_close(tarn__load(s.mean, c), mean, 6e-5);
        expect_close(tarn__load(s.std, c), sqrtl(square + 1e-5L), 1e-8);
    }
}

static void nan_goes_through(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_constant(f.t, TARN_F64, TARN_SHAPE(2, C), (const double[]){1, NAN, 2, 3, 5, 4});
    tarn_batch_renorm_opts opts = limits;
    const double *y =
        tarn_data(renorm(x, tarn_ones(f.t, TARN_F64, TARN_SHAPE(C)), tarn_zeros(f.t, TARN_F64, TARN_SHAPE(C)), &opts));
    assert_true(isfinite(y[0]) && isnan(y[1]) && isnan(y[4]) && isfinite(y[5]));
}

static void arguments_that_do_not_fit(void **state)
{
    (void)state;
    tarn_tensor *x = random_input(TARN_SHAPE(4, C)), *v = random_input(TARN_SHAPE(C)), *w = random_input(TARN_SHAPE(2));
    tarn_renorm_stats s = off_averages(), computed = s, narrow = s, none = s, wide = s;
    computed.mean = tarn_sin(f.t, v), narrow.std = w, none.batches = NULL, wide.batches = v;
    const struct {
        const char *message;
        tarn_tensor *x, *gamma, *beta;
        const tarn_renorm_stats *running;
        tarn_batch_renorm_opts opts;
    } bad[] = {
        {"input 0 is NULL", NULL, v, v, &s, {.eps = 0}},
        {"input 2 is NULL", x, v, NULL, &s, {.eps = 0}},
        {"x is i32[4,3], expected f32 or f64", tarn_cast(f.t, x, TARN_I32), v, v, &s, {.eps = 0}},
        {"x [1,3] has 1 value a channel: training", random_input(TARN_SHAPE(1, C)), v, v, &s, {.eps = 0}},
        {"gamma is f64[2], expected f64[3]", x, w, v, &s, {.eps = 0}},
        {"beta is f64[2], expected f64[3]", x, v, w, &s, {.eps = 0}},
        {"running is NULL", x, v, v, NULL, {.eps = 0}},
        {"running mean was computed", x, v, v, &computed, {.eps = 0}},
        {"running std is f64[2]", x, v, v, &narrow, {.eps = 0}},
        {"running batches is NULL", x, v, v, &none, {.eps = 0}},
        {"running batches is f64[3]", x, v, v, &wide, {.eps = 0}},
        {"eps -1", x, v, v, &s, {.eps = -1}},
        {"momentum 1.5", x, v, v, &s, {.momentum = 1.5}},
        {"r_max 0.5", x, v, v, &s, {.r_max = 0.5}},
        {"d_max -1", x, v, v, &s, {.d_max = -1}},
        {"r_max nan", x, v, v, &s, {.r_max = NAN}},
        {"r_end 100, expected 5000 or more", x, v, v, &s, {.r_end = 100}},
        {"start -1", x, v, v, &s, {.start = -1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(tarn_batch_renorm(f.t, bad[i].x, bad[i].gamma, bad[i].beta, bad[i].running, &bad[i].opts));
        expect_error(bad[i].message);
    }
    assert_null(tarn_batch_renorm(NULL, x, v, v, &s, NULL));
    expect_error("tape is NULL");
    tarn_batch_renorm_layer l;
    assert_false(tarn_batch_renorm_init(&l, f.p, "b", 0, NULL));
    expect_error("tarn_batch_renorm_init: channels 0");
    assert_false(tarn_batch_renorm_init(&l, f.p, "b", 2, &(tarn_batch_renorm_opts){.r_max = 0.9}));
    expect_error("tarn_batch_renorm_init: r_max 0.9");
    assert_true(!l.gamma && tarn_params_count(f.p) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_follow_algorithm_1),
        TEST(it_starts_as_batchnorm_of_a_standard_distribution),
        TEST(r_and_d_are_constants_to_the_gradient),
        TEST(without_correction_it_is_batchnorm),
        TEST(with_wide_limits_training_is_evaluation),
        TEST(limits_follow_the_schedule),
        TEST(a_checkpoint_corrects_by_the_same_averages),
        TEST(averages_move_once),
        TEST(a_saved_state_goes_on_the_same),
        TEST(far_from_zero_is_right),
        TEST(nan_goes_through),
        TEST(arguments_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("batch renorm", tests, files_setup, files_teardown);
}
