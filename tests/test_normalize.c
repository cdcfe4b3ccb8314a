/* The loops of Batch Normalization (tensor/batchnorm.h) with every instruction set: statistics against long double, y
 * and gradients against the formula in double, and each pass that does several ops at once against the ops one by one,
 * bit for bit. */
#include "tensor/batchnorm.h"
#include "tensor/rng.h"
#include "tensor/threads.h"
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- arrays of either dtype ---- */

typedef struct world {
    tarn_dtype dtype;
    int64_t n, h, w, c, rows, count; /* x is [n,h,w,c] */
    tarn__window pool;
    int64_t pooled;
    tarn__batchnorm b;
    void *x, *x2, *r, *g, *pooled_g; /* filled */
    void *gamma[2], *beta[2];
    double *mean[2], *var[2];
    void *scratch;
} world;

static size_t size_of(const world *w)
{
    return tarn_dtype_size(w->dtype);
}

static void *zeros(const world *w, int64_t count)
{
    void *p = calloc((size_t)count + 1, size_of(w));
    assert_non_null(p);
    return p;
}

static double at(const world *w, const void *p, int64_t i)
{
    return w->dtype == TARN_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void set(const world *w, void *p, int64_t i, double v)
{
    if (w->dtype == TARN_F64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

/* Multiples of 1/8, so that some are equal and some zero; -0 among them. */
static void *coarse(const world *w, int64_t count, uint64_t seed, double low, double high)
{
    tarn_rng rng = tarn_rng_seed(seed);
    void *p = zeros(w, count);
    for (int64_t i = 0; i < count; i++) {
        double v = floor(8 * (low + (high - low) * tarn_rng_uniform(&rng))) / 8;
        set(w, p, i, v == 0 && i % 2 ? -0.0 : v);
    }
    return p;
}

static world world_new(tarn_dtype dtype, int64_t n, int64_t h, int64_t width, int64_t c)
{
    world w = {.dtype = dtype, .n = n, .h = h, .w = width, .c = c, .rows = n * h * width, .count = n * h * width * c};
    w.pool = (tarn__window){
        .h = h, .w = width, .c = c, .p = h / 2, .q = width / 2, .r = 2, .s = 2, .stride = 2, .dilation = 1};
    w.pooled = n * w.pool.p * w.pool.q * c;
    w.b = (tarn__batchnorm){.dtype = dtype, .rows = w.rows, .columns = c, .eps = 1e-5};
    w.x = coarse(&w, w.count, 1, -2, 3);
    w.x2 = coarse(&w, w.count, 2, -1, 2);
    w.r = coarse(&w, w.count, 3, -1, 1);
    w.g = coarse(&w, w.count, 4, -1, 1);
    w.pooled_g = coarse(&w, w.pooled, 5, -1, 1);
    w.scratch = malloc(tarn__batchnorm_scratch(&w.b));
    assert_non_null(w.scratch);
    for (int i = 0; i < 2; i++) {
        w.gamma[i] = coarse(&w, c, 6 + (uint64_t)i, -1, 2);
        w.beta[i] = coarse(&w, c, 8 + (uint64_t)i, -1, 1);
        w.mean[i] = malloc((size_t)c * sizeof(double));
        w.var[i] = malloc((size_t)c * sizeof(double));
        tarn__batchnorm_moments(&w.b, i ? w.x2 : w.x, w.mean[i], w.var[i], w.scratch);
    }
    return w;
}

static void world_free(world *w)
{
    void *all[] = {w->x,       w->x2,      w->r,       w->g,       w->pooled_g, w->gamma[0], w->gamma[1],
                   w->beta[0], w->beta[1], w->mean[0], w->mean[1], w->var[0],   w->var[1],   w->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static tarn__normalized normalized(const world *w, int i)
{
    return (tarn__normalized){i ? w->x2 : w->x, w->gamma[i], w->beta[i], w->mean[i], w->var[i], 1e-5};
}

static void expect_bits(const world *w, const char *what, const void *a, const void *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp((const char *)a + (size_t)i * size_of(w), (const char *)b + (size_t)i * size_of(w), size_of(w)) != 0)
            fail_msg("%s of [%d,%d,%d,%d]: element %d is %.17g, one by one %.17g", what, (int)w->n, (int)w->h,
                     (int)w->w, (int)w->c, (int)i, at(w, a, i), at(w, b, i));
}

static void expect_near(const world *w, const char *what, double value, double expected, double scale)
{
    double tolerance = (w->dtype == TARN_F64 ? 1e-13 : 1e-6) * scale;
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s of [%d,%d,%d,%d]: %.17g, expected %.17g within %g", what, (int)w->n, (int)w->h, (int)w->w,
                 (int)w->c, value, expected, tolerance);
}

static void for_each_world(void (*check)(world *w))
{
    static const int64_t shapes[][4] = {{2, 3, 5, 1},  {3, 4, 4, 3},    {2, 7, 5, 7},   {5, 6, 2, 16}, {2, 9, 8, 17},
                                        {1, 2, 2, 64}, {3, 37, 41, 17}, {2, 33, 9, 70}, {1, 3, 2, 8},  {1, 66, 70, 40}};
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            world w = world_new(dtype, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
            check(&w);
            world_free(&w);
        }
}

/* ---- the ops one by one ---- */

static const tarn__loops *loops(const world *w)
{
    return tarn__loops_of(w->dtype);
}

static void relu(const world *w, void *y)
{
    loops(w)->unary[TARN__UNARY_relu]((size_t)w->count, y, y, 0, 0);
}

static void relu_grad(const world *w, const void *g, const void *y, void *to)
{
    loops(w)->binary[TARN__BINARY_relu_grad]((size_t)w->count, g, y, to, 0, 0);
}

static void add(const world *w, void *y, const void *r)
{
    loops(w)->binary[TARN__BINARY_add]((size_t)w->count, y, r, y, 0, 0);
}

static void *normal(const world *w, int i)
{
    void *y = zeros(w, w->count);
    tarn__batchnorm_apply(&w->b, &(tarn__batchnorm_y){.a = normalized(w, i), .y = y}, w->scratch);
    return y;
}

static void pool(const world *w, const void *x, void *y, int32_t *positions)
{
    for (int64_t row = 0; row < w->n * w->pool.p; row++)
        loops(w)->max_pool_row(&w->pool, (const char *)x + (size_t)(row / w->pool.p * w->h * w->w * w->c) * size_of(w),
                               row % w->pool.p, (char *)y + (size_t)(row * w->pool.q * w->c) * size_of(w),
                               positions + row * w->pool.q * w->c);
}

static void *unpool(const world *w, const void *g, const int32_t *positions)
{
    void *x = zeros(w, w->count);
    int64_t count = w->pool.p * w->pool.q;
    for (int64_t n = 0; n < w->n; n++)
        loops(w)->scatter_channels(
            (size_t)count, (size_t)w->c, (const char *)g + (size_t)(n * count * w->c) * size_of(w),
            positions + n * count * w->c, (char *)x + (size_t)(n * w->count / w->n) * size_of(w));
    return x;
}

/* ---- statistics ---- */

typedef double value_fn(int64_t row, double uniform);

static double around_1000(int64_t row, double uniform)
{
    (void)row;
    return 1000 + 0.04 * (uniform - 0.5);
}

static double first_far_out(int64_t row, double uniform)
{
    return row == 0 ? 1e4 : uniform;
}

static double starts_elsewhere(int64_t row, double uniform)
{
    return row < 16 ? -3000 : 5 + uniform;
}

static double ramp(int64_t row, double uniform)
{
    return (double)row + uniform;
}

static double constant(int64_t row, double uniform)
{
    (void)row, (void)uniform;
    return 1000.1;
}

static void check_moments(tarn_dtype dtype, int64_t rows, int64_t c, value_fn *value)
{
    world w = {.dtype = dtype, .n = 1, .h = rows, .w = 1, .c = c, .b = {.dtype = dtype, .rows = rows, .columns = c}};
    tarn_rng rng = tarn_rng_seed(9);
    void *x = zeros(&w, rows * c), *scratch = malloc(tarn__batchnorm_scratch(&w.b));
    double mean[80], var[80];
    for (int64_t i = 0; i < rows * c; i++)
        set(&w, x, i, value(i / c, tarn_rng_uniform(&rng)));
    tarn__batchnorm_moments(&w.b, x, mean, var, scratch);
    for (int64_t k = 0; k < c; k++) {
        long double m = 0, m2 = 0;
        for (int64_t r = 0; r < rows; r++)
            m += (long double)at(&w, x, r * c + k) / (long double)rows;
        for (int64_t r = 0; r < rows; r++)
            m2 += ((long double)at(&w, x, r * c + k) - m) * ((long double)at(&w, x, r * c + k) - m);
        double v = (double)(m2 / (long double)rows);
        /* of the spread, not of the mean: nothing may cancel, but means are doubles, with their own rounding */
        double spread = sqrt(v), rounding = (dtype == TARN_F64 ? 4e-3 : 4e-10) * fabs((double)m);
        expect_near(&w, "the mean", mean[k], (double)m, spread + rounding);
        expect_near(&w, "the variance", var[k], v, 2 * v + 2 * spread * rounding + 1e-18);
        assert_true(var[k] >= 0);
    }
    free(x);
    free(scratch);
}

static void moments_are_right(void **state)
{
    (void)state;
    static const int64_t rows[] = {2, 15, 16, 17, 100, 5000}, columns[] = {1, 3, 16, 17, 64, 70};
    value_fn *const values[] = {around_1000, first_far_out, starts_elsewhere, ramp, constant};
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (size_t i = 0; i < 6 * 6 * 5; i++)
            check_moments(dtype, rows[i % 6], columns[i / 6 % 6], values[i / 36]);
}

/* ---- y ---- */

static void check_y(world *w)
{
    void *a = normal(w, 0), *b = normal(w, 1), *y = zeros(w, w->count), *expected = zeros(w, w->count);
    for (int64_t i = 0; i < w->count; i++) {
        int64_t c = i % w->c;
        double slope = at(w, w->gamma[0], c) / sqrt(w->var[0][c] + 1e-5);
        expect_near(w, "y", at(w, a, i), (at(w, w->x, i) - w->mean[0][c]) * slope + at(w, w->beta[0], c),
                    8 * (1 + fabs(slope)));
    }
    for (int kind = 0; kind < 16; kind++) {
        tarn__batchnorm_y job = {.a = normalized(w, 0), .relu = kind & 1, .y = y};
        memcpy(expected, a, (size_t)w->count * size_of(w));
        if (kind & 2) {
            job.b = normalized(w, 1);
            add(w, expected, b);
        }
        if (kind & 4) {
            job.residual = w->r;
            add(w, expected, w->r);
        }
        if (kind & 1)
            relu(w, expected);
        tarn__batchnorm_apply(&w->b, &job, w->scratch);
        expect_bits(w, "y", y, expected, w->count);
    }
    free(a);
    free(b);
    free(y);
    free(expected);
}

static void y_is_right(void **state)
{
    (void)state;
    for_each_world(check_y);
}

static void check_pooled(world *w)
{
    int32_t *positions = calloc((size_t)w->pooled + 1, 4), *expected_positions = calloc((size_t)w->pooled + 1, 4);
    void *y = zeros(w, w->pooled), *expected = zeros(w, w->pooled);
    for (int kind = 0; kind < 4; kind++) {
        if (kind & 2) {
            set(w, w->x, w->c, NAN); /* the second pixel's first channel; and some whole channel */
            for (int64_t i = w->c - 1; i < w->count; i += w->c)
                set(w, w->x, i, NAN);
        }
        void *whole = normal(w, 0);
        if (kind & 1)
            relu(w, whole);
        pool(w, whole, expected, expected_positions);
        tarn__batchnorm_apply(
            &w->b,
            &(tarn__batchnorm_y){.a = normalized(w, 0), .relu = kind & 1, .pool = &w->pool, .y = y, .at = positions},
            w->scratch);
        expect_bits(w, "the pooled y", y, expected, w->pooled);
        assert_memory_equal(positions, expected_positions, (size_t)w->pooled * 4);
        free(whole);
    }
    free(positions);
    free(expected_positions);
    free(y);
    free(expected);
}

static void pooled_y_is_right(void **state)
{
    (void)state;
    for_each_world(check_pooled);
}

/* ---- gradients ---- */

typedef struct gradients {
    void *gx, *ggamma, *gbeta, *masked;
} gradients;

static gradients gradients_new(const world *w)
{
    return (gradients){zeros(w, w->count), zeros(w, w->c), zeros(w, w->c), zeros(w, w->count)};
}

static void gradients_free(gradients *g)
{
    free(g->gx);
    free(g->ggamma);
    free(g->gbeta);
    free(g->masked);
}

static void run(const world *w, gradients *to, tarn__batchnorm_gx job)
{
    job.x = normalized(w, 0);
    job.gx = to->gx, job.ggamma = to->ggamma, job.gbeta = to->gbeta;
    tarn__batchnorm_grad(&w->b, &job, w->scratch);
}

/* Sums behind a pool go over narrow rows in another order: there, nearly. */
static void expect_gradients(const world *w, const char *what, const gradients *g, const gradients *expected,
                             bool exact)
{
    for (int64_t i = 0; i < w->count && !exact; i++) {
        expect_near(w, what, at(w, g->gx, i), at(w, expected->gx, i), 10);
        expect_near(w, what, at(w, g->gbeta, i % w->c), at(w, expected->gbeta, i % w->c), (double)w->rows);
        expect_near(w, what, at(w, g->ggamma, i % w->c), at(w, expected->ggamma, i % w->c), (double)w->rows);
    }
    if (!exact)
        return;
    expect_bits(w, what, g->gbeta, expected->gbeta, w->c);
    expect_bits(w, what, g->ggamma, expected->ggamma, w->c);
    expect_bits(w, what, g->gx, expected->gx, w->count);
}

static void check_plain(const world *w, const gradients *g)
{
    for (int64_t c = 0; c < w->c; c++) {
        double inverse = 1 / sqrt(w->var[0][c] + 1e-5), sum_g = 0, sum_gx = 0, size = 1, rows = (double)w->rows;
        for (int64_t i = c; i < w->count; i += w->c) {
            double xhat = (at(w, w->x, i) - w->mean[0][c]) * inverse, gi = at(w, w->g, i);
            sum_g += gi;
            sum_gx += gi * xhat;
            size += fabs(gi * xhat) + fabs(gi);
        }
        expect_near(w, "gbeta", at(w, g->gbeta, c), sum_g, size);
        expect_near(w, "ggamma", at(w, g->ggamma, c), sum_gx, size);
        double slope = at(w, w->gamma[0], c) * inverse;
        for (int64_t i = c; i < w->count; i += w->c) {
            double xhat = (at(w, w->x, i) - w->mean[0][c]) * inverse;
            expect_near(w, "gx", at(w, g->gx, i), slope * (at(w, w->g, i) - sum_g / rows - xhat * sum_gx / rows),
                        8 * (1 + fabs(slope)));
        }
    }
}

static void check_masked(world *w)
{
    gradients g = gradients_new(w), expected = gradients_new(w);
    void *masked = zeros(w, w->count), *y = normal(w, 0);
    run(w, &g, (tarn__batchnorm_gx){.g = w->g});
    check_plain(w, &g);

    relu_grad(w, w->g, y, masked);
    run(w, &expected, (tarn__batchnorm_gx){.g = masked});
    run(w, &g, (tarn__batchnorm_gx){.g = w->g, .relu = TARN__MASK_OWN});
    expect_gradients(w, "relu's own gradient", &g, &expected, true);
    run(w, &g, (tarn__batchnorm_gx){.g = w->g, .relu = TARN__MASK_OWN, .masked = g.masked});
    expect_gradients(w, "relu's own gradient, kept", &g, &expected, true);
    expect_bits(w, "what was kept", g.masked, masked, w->count);

    add(w, y, w->r);
    relu_grad(w, w->g, y, masked);
    run(w, &expected, (tarn__batchnorm_gx){.g = masked});
    run(w, &g, (tarn__batchnorm_gx){.g = w->g, .relu = TARN__MASK_Y, .y = y});
    expect_gradients(w, "relu's gradient", &g, &expected, true);
    memset(g.masked, 0, (size_t)w->count * size_of(w));
    run(w, &g, (tarn__batchnorm_gx){.g = w->g, .relu = TARN__MASK_Y, .y = y, .masked = g.masked});
    expect_gradients(w, "relu's gradient, kept", &g, &expected, true);
    expect_bits(w, "what was kept", g.masked, masked, w->count);
    gradients_free(&g);
    gradients_free(&expected);
    free(masked);
    free(y);
}

static void gradients_are_right(void **state)
{
    (void)state;
    for_each_world(check_masked);
}

static void check_unpooled(world *w)
{
    gradients g = gradients_new(w), expected = gradients_new(w);
    int32_t *positions = calloc((size_t)w->pooled + 1, 4);
    void *y = normal(w, 0), *most = zeros(w, w->pooled);
    for (int kind = 0; kind < 2; kind++) {
        pool(w, y, most, positions);
        void *unpooled = unpool(w, w->pooled_g, positions);
        if (kind)
            relu_grad(w, unpooled, y, unpooled);
        run(w, &expected, (tarn__batchnorm_gx){.g = unpooled});
        tarn__batchnorm_gx job = {
            .g = w->pooled_g, .pool = &w->pool, .at = positions, .relu = kind ? TARN__MASK_OWN : TARN__MASK_NONE};
        run(w, &g, job);
        expect_gradients(w, "the pooled gradient", &g, &expected, w->c >= 16);
        job.masked = g.masked;
        run(w, &g, job);
        expect_gradients(w, "the pooled gradient, kept", &g, &expected, w->c >= 16);
        expect_bits(w, "what was kept", g.masked, unpooled, w->count);
        free(unpooled);
        relu(w, y);
    }
    gradients_free(&g);
    gradients_free(&expected);
    free(positions);
    free(y);
    free(most);
}

static void pooled_gradients_are_right(void **state)
{
    (void)state;
    for_each_world(check_unpooled);
}

/* ---- threads ---- */

static void check_threads(world *w)
{
    static const int counts[] = {1, 2, 3, 8};
    gradients one = gradients_new(w), more = gradients_new(w);
    double mean[80], var[80];
    int32_t *positions = calloc((size_t)w->pooled + 1, 4);
    void *most = zeros(w, w->pooled), *y = normal(w, 0);
    pool(w, y, most, positions);
    for (int i = 0; i < 4; i++) {
        gradients *to = i ? &more : &one;
        tarn_set_threads(counts[i]);
        tarn__batchnorm_moments(&w->b, w->x, mean, var, w->scratch);
        assert_memory_equal(mean, w->mean[0], (size_t)w->c * sizeof(double));
        assert_memory_equal(var, w->var[0], (size_t)w->c * sizeof(double));
        run(w, to, (tarn__batchnorm_gx){.g = w->pooled_g, .pool = &w->pool, .at = positions, .relu = TARN__MASK_OWN});
        tarn__batchnorm_apply(&w->b, &(tarn__batchnorm_y){.a = normalized(w, 0), .relu = true, .y = to->masked},
                              w->scratch);
        if (i) {
            expect_gradients(w, "more threads", &more, &one, true);
            expect_bits(w, "more threads", more.masked, one.masked, w->count);
        }
    }
    tarn_set_threads(0);
    gradients_free(&one);
    gradients_free(&more);
    free(positions);
    free(most);
    free(y);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    for_each_world(check_threads);
}

/* ---- every instruction set, in a process of its own: it is chosen once ---- */

enum { LACKING = 77 };

static int run_with(const char *isa)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_right),          cmocka_unit_test(y_is_right),
        cmocka_unit_test(pooled_y_is_right),          cmocka_unit_test(gradients_are_right),
        cmocka_unit_test(pooled_gradients_are_right), cmocka_unit_test(threads_change_no_bit),
    };
    setenv("TARN_ISA", isa, 1);
    if (strcmp(isa, tarn_isa()) != 0)
        return LACKING;
    char name[64];
    snprintf(name, sizeof name, "normalize with %s", isa);
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    static const char *const isas[] = {"baseline", "avx2", "avx512"};
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0)
            exit(run_with(isas[i]));
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
            return 1;
        if (WEXITSTATUS(status) == LACKING && i > 0)
            printf("skipped: this processor lacks %s\n", isas[i]);
        else
            failed |= WEXITSTATUS(status);
    }
    return failed;
}
