/* Every algorithm of a convolution against sums written out in f64, for each of its three products. */
#ifdef TARN__ASSERTS
enum { LIBRARY_ASSERTS = 1 };
#else
#define TARN__ASSERTS /* in this file */
enum { LIBRARY_ASSERTS = 0 };
#endif

#include "tensor/conv2d_impl.h"
#include "tests/check.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct algorithm {
    const char *name;
    const tarn__conv2d_algorithm *is;
    double f32_error; /* of the largest element */
} algorithm;

static const algorithm direct = {"direct", &tarn__conv2d_direct, 2e-6};
static const algorithm winograd = {"winograd", &tarn__conv2d_winograd, 1e-5};
static const algorithm depthwise = {"depthwise", &tarn__conv2d_depthwise, 2e-6};

static int64_t positions(int64_t size, int64_t taps, const tarn__conv2d *v)
{
    return (size + 2 * v->padding - v->dilation * (taps - 1) - 1) / v->stride + 1;
}

/* n, h, w, c, k, r, s, then stride, padding, dilation, groups */
static tarn__conv2d geometry(tarn_dtype dtype, const int64_t g[11])
{
    tarn__conv2d v = {.dtype = dtype, .n = g[0], .h = g[1], .w = g[2], .c = g[3], .k = g[4], .r = g[5], .s = g[6]};
    v.stride = g[7], v.padding = g[8], v.dilation = g[9], v.groups = g[10];
    v.p = positions(v.h, v.r, &v), v.q = positions(v.w, v.s, &v);
    return v;
}

typedef struct arrays {
    int64_t nx, nw, ny;
    double *x, *w, *y, *y_ref, *gx_ref, *gw_ref;
} arrays;

static double *fill(int64_t n, tarn_dtype dtype, tarn_rng *rng)
{
    double *a = calloc((size_t)n, sizeof *a);
    assert_non_null(a);
    for (int64_t i = 0; i < n; i++) {
        const double value = 2 * tarn_rng_uniform(rng) - 1;
        a[i] = dtype == TARN_F32 ? (double)(float)value : value;
    }
    return a;
}

/* For every product x[i] * w[j] -> y[o]: the three sums at once, with y as the gradient of the two. */
static void reference(const tarn__conv2d *v, arrays *a)
{
    const int64_t cpg = v->c / v->groups, kpg = v->k / v->groups;
    for (int64_t o = 0; o < a->ny; o++) {
        const int64_t k = o % v->k, q = o / v->k % v->q, p = o / v->k / v->q % v->p, n = o / v->k / v->q / v->p;
        for (int64_t j = 0; j < v->r * v->s * cpg; j++) {
            const int64_t c = j % cpg, s = j / cpg % v->s, r = j / cpg / v->s;
            const int64_t y = p * v->stride + r * v->dilation - v->padding;
            const int64_t x = q * v->stride + s * v->dilation - v->padding;
            if (y < 0 || y >= v->h || x < 0 || x >= v->w)
                continue;
            const int64_t i = ((n * v->h + y) * v->w + x) * v->c + k / kpg * cpg + c;
            a->y_ref[o] += a->x[i] * a->w[j * v->k + k];
            a->gx_ref[i] += a->y[o] * a->w[j * v->k + k];
            a->gw_ref[j * v->k + k] += a->y[o] * a->x[i];
        }
    }
}

static arrays arrays_new(const tarn__conv2d *v)
{
    tarn_rng rng = tarn_rng_seed((uint64_t)(v->h * 1000 + v->c * 100 + v->k * 10 + v->r));
    arrays a = {v->n * v->h * v->w * v->c,
                v->r * v->s * (v->c / v->groups) * v->k,
                v->n * v->p * v->q * v->k,
                NULL,
                NULL,
                NULL,
                NULL,
                NULL,
                NULL};
    a.x = fill(a.nx, v->dtype, &rng), a.w = fill(a.nw, v->dtype, &rng), a.y = fill(a.ny, v->dtype, &rng);
    a.y_ref = calloc((size_t)a.ny, sizeof *a.y_ref);
    a.gx_ref = calloc((size_t)a.nx, sizeof *a.gx_ref);
    a.gw_ref = calloc((size_t)a.nw, sizeof *a.gw_ref);
    assert_true(a.y_ref && a.gx_ref && a.gw_ref);
    reference(v, &a);
    return a;
}

static void arrays_free(arrays *a)
{
    double *all[] = {a->x, a->w, a->y, a->y_ref, a->gx_ref, a->gw_ref};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void *in_dtype(tarn_dtype dtype, int64_t n, const double *from)
{
    void *to = malloc((size_t)n * tarn_dtype_size(dtype));
    assert_non_null(to);
    for (int64_t i = 0; i < n; i++)
        if (dtype == TARN_F32)
            ((float *)to)[i] = (float)from[i];
        else
            ((double *)to)[i] = from[i];
    return to;
}

static double worst(tarn_dtype dtype, int64_t n, const void *got, const double *expected)
{
    double largest = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = dtype == TARN_F32 ? (double)((const float *)got)[i] : ((const double *)got)[i];
        const double error = fabs(value - expected[i]);
        largest = fmax(largest, fabs(expected[i]));
        if (!(error <= most)) /* a NaN stays */
            most = error;
    }
    return largest > 0 ? most / largest : most;
}

static void *full_of_nan(size_t bytes)
{
    void *memory = aligned_alloc(64, bytes / 64 * 64 + 64);
    assert_non_null(memory);
    return memset(memory, 0xff, bytes / 64 * 64 + 64);
}

static tarn__cuts scratch_of(size_t bytes)
{
    return (tarn__cuts){.block = full_of_nan(bytes), .bytes = bytes};
}

/* w, or a copy in the form that the algorithm wants. */
static void *weights_for(const algorithm *a, const tarn__conv2d *v, tarn__conv2d_product product, const void *w)
{
    const int64_t elements = a->is->transformed ? a->is->transformed(v, product) : 0;
    const int64_t plain = v->r * v->s * (v->c / v->groups) * v->k;
    const size_t size = tarn_dtype_size(v->dtype);
    void *to = full_of_nan((size_t)(elements > 0 ? elements : plain) * size);
    if (elements > 0) {
        tarn__cuts needed = {.block = NULL};
        a->is->transform(v, product, NULL, NULL, &needed);
        tarn__cuts scratch = scratch_of(needed.most);
        a->is->transform(v, product, w, to, &scratch);
        assert_int_equal(scratch.most, scratch.bytes);
        free(scratch.block);
        return to;
    }
    return memcpy(to, w, (size_t)plain * size);
}

/* What the product leaves in its output, which begins full of NaN: every element has to be written. It cuts what it said
 * that it needs; without statistics, which are part of that, less. */
static void run(const algorithm *a, const tarn__conv2d *v, tarn__conv2d_product product, const void *x, const void *w,
                const void *y, void *out, int64_t n)
{
    memset(out, 0xff, (size_t)n * tarn_dtype_size(v->dtype));
    tarn__cuts scratch = scratch_of(tarn__conv2d_scratch_of(a->is, v, product));
    void *weights = weights_for(a, v, product, w);
    if (product == TARN__FORWARD)
        a->is->forward(v, x, weights, &(tarn__conv2d_extra){0}, out, &scratch);
    else if (product == TARN__INPUT_GRAD)
        a->is->input_grad(v, y, weights, out, &scratch);
    else
        a->is->weight_grad(v, y, x, out, &scratch);
    assert_true(product == TARN__FORWARD ? scratch.most <= scratch.bytes : scratch.most == scratch.bytes);
    free(scratch.block);
    free(weights);
}

static void check_product(const algorithm *a, const tarn__conv2d *v, tarn__conv2d_product product, const void *x,
                          const void *w, const void *y, int64_t n, const double *expected)
{
    static const char *const names[] = {"forward", "input gradient", "weight gradient"};
    const size_t bytes = (size_t)n * tarn_dtype_size(v->dtype);
    void *out = malloc(bytes), *again = malloc(bytes);
    assert_true(out && again);
    tarn_set_threads(1);
    run(a, v, product, x, w, y, out, n);
    const double error = worst(v->dtype, n, out, expected);
    const double allowed = v->dtype == TARN_F64 ? 1e-13 : a->f32_error;
    if (!(error <= allowed))
        fail_msg("%s %s of x [%d,%d,%d,%d], w %dx%d -> %d, stride %d, padding %d, dilation %d, groups %d: error %g",
                 a->name, names[product], (int)v->n, (int)v->h, (int)v->w, (int)v->c, (int)v->r, (int)v->s, (int)v->k,
                 (int)v->stride, (int)v->padding, (int)v->dilation, (int)v->groups, error);
    for (int threads = 2; threads <= 5; threads += 3) {
        tarn_set_threads(threads);
        run(a, v, product, x, w, y, again, n);
        assert_memory_equal(out, again, bytes);
    }
    tarn_set_threads(0);
    free(out);
    free(again);
}

static void check_shape(const algorithm *a, tarn_dtype dtype, const int64_t shape[11])
{
    const tarn__conv2d v = geometry(dtype, shape);
    arrays all = arrays_new(&v);
    void *x = in_dtype(dtype, all.nx, all.x), *w = in_dtype(dtype, all.nw, all.w), *y = in_dtype(dtype, all.ny, all.y);
    check_product(a, &v, TARN__FORWARD, x, w, y, all.ny, all.y_ref);
    check_product(a, &v, TARN__INPUT_GRAD, x, w, y, all.nx, all.gx_ref);
    check_product(a, &v, TARN__WEIGHT_GRAD, x, w, y, all.nw, all.gw_ref);
    free(x);
    free(w);
    free(y);
    arrays_free(&all);
}

static void check_all(const algorithm *a, size_t count, const int64_t (*shapes)[11])
{
    for (size_t i = 0; i < count; i++) {
        check_shape(a, TARN_F32, shapes[i]);
        check_shape(a, TARN_F64, shapes[i]);
    }
}
#define CHECK_ALL(a, shapes) check_all(a, sizeof(shapes) / sizeof *(shapes), shapes)

static void test_direct(void **state)
{
    (void)state;
    static const int64_t shapes[][11] = {
        /* n, h, w, c, k, r, s, stride, padding, dilation, groups */
        {3, 28, 28, 1, 32, 3, 3, 1, 1, 1, 1},  {2, 9, 11, 3, 16, 3, 3, 1, 1, 1, 1},
        {2, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1},   {20, 7, 7, 5, 7, 3, 3, 1, 1, 1, 1},
        {1, 7, 5, 17, 33, 3, 3, 1, 1, 1, 1},   {2, 8, 8, 8, 40, 1, 1, 1, 0, 1, 1},
        {2, 9, 9, 6, 10, 1, 1, 2, 0, 1, 1},    {2, 8, 8, 6, 10, 3, 3, 2, 1, 1, 1},
        {2, 9, 9, 6, 10, 3, 3, 2, 1, 1, 1},    {2, 13, 12, 4, 6, 5, 2, 3, 2, 1, 1},
        {2, 12, 13, 4, 6, 2, 5, 5, 4, 1, 1},   {2, 9, 9, 4, 6, 3, 3, 1, 2, 2, 1},
        {1, 20, 20, 4, 6, 3, 3, 2, 3, 5, 1},   {2, 8, 9, 6, 12, 3, 3, 1, 1, 1, 3},
        {2, 8, 9, 8, 4, 3, 3, 2, 2, 2, 2},     {2, 6, 6, 4, 4, 3, 3, 1, 5, 1, 1},
        {2, 6, 6, 4, 8, 2, 2, 7, 0, 1, 1},     {1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1},
        {1, 40, 3, 2, 65, 7, 3, 1, 3, 1, 1},   {1, 3, 3, 2, 3, 3, 3, 1, 9, 4, 1},
        {40, 2, 2, 3, 3, 2, 2, 1, 1, 1, 1},    {1, 6, 6, 3, 130, 3, 3, 1, 1, 1, 1},
        {2, 5, 5, 6, 6, 3, 3, 1, 1, 1, 6},     {1, 4, 300, 2, 3, 1, 3, 1, 1, 1, 1},
        {2, 22, 19, 3, 4, 4, 3, 4, 3, 6, 1},   {1, 23, 26, 2, 3, 5, 4, 6, 5, 4, 1},
        {1, 30, 31, 2, 3, 9, 8, 12, 7, 3, 1},  {1, 5, 40, 2, 3, 2, 30, 37, 1, 1, 1},
        {2, 1, 1100, 3, 18, 1, 3, 1, 0, 1, 1}, {1, 3, 700, 4, 6, 3, 2, 1, 3, 3, 2},
        {2, 2, 1300, 4, 5, 3, 3, 2, 9, 9, 1},
    };
    CHECK_ALL(&direct, shapes);
}

static void test_winograd(void **state)
{
    (void)state;
    static const int64_t shapes[][11] = {
        {2, 8, 8, 8, 8, 3, 3, 1, 1, 1, 1},     {3, 7, 9, 16, 16, 3, 3, 1, 1, 1, 1},
        {2, 14, 14, 32, 64, 3, 3, 1, 1, 1, 1}, {1, 9, 6, 5, 7, 3, 3, 1, 1, 1, 1},
        {2, 6, 6, 17, 33, 3, 3, 1, 0, 1, 1},   {2, 5, 5, 70, 66, 3, 3, 1, 2, 1, 1},
        {1, 3, 3, 8, 130, 3, 3, 1, 1, 1, 1},   {1, 4, 4, 130, 8, 3, 3, 1, 1, 1, 1},
        {5, 33, 31, 9, 10, 3, 3, 1, 1, 1, 1},  {1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1},
        {3, 16, 16, 64, 40, 3, 3, 1, 1, 1, 1},
    };
    CHECK_ALL(&winograd, shapes);
}

static void test_depthwise(void **state)
{
    (void)state;
    static const int64_t shapes[][11] = {
        {2, 8, 8, 8, 8, 3, 3, 1, 1, 1, 8},     {2, 9, 7, 19, 19, 3, 3, 2, 1, 1, 19}, {1, 9, 9, 4, 4, 3, 3, 1, 2, 2, 4},
        {1, 12, 5, 33, 33, 5, 2, 3, 2, 1, 33}, {2, 4, 4, 3, 3, 3, 3, 1, 6, 1, 3},    {1, 3, 3, 2, 2, 1, 1, 5, 0, 1, 2},
    };
    CHECK_ALL(&depthwise, shapes);
}

static void assert_near(double got, double expected, double allowed)
{
    if (!(fabs(got - expected) <= allowed))
        fail_msg("%.17g, expected %.17g", got, expected);
}

/* y with a bias is y plus the bias; mean and variance are those of y. */
static void check_extra(const algorithm *a, tarn_dtype dtype, const int64_t shape[11])
{
    const tarn__conv2d v = geometry(dtype, shape);
    arrays all = arrays_new(&v);
    tarn_rng rng = tarn_rng_seed(5);
    double *bias = fill(v.k, dtype, &rng), *mean = fill(v.k, dtype, &rng), *var = fill(v.k, dtype, &rng);
    for (int64_t c = 0; c < v.k; c++)
        bias[c] += 100;
    void *x = in_dtype(dtype, all.nx, all.x), *w = in_dtype(dtype, all.nw, all.w), *b = in_dtype(dtype, v.k, bias);
    void *y = in_dtype(dtype, all.ny, all.y), *plain = in_dtype(dtype, all.ny, all.y);
    tarn__cuts scratch = scratch_of(tarn__conv2d_scratch_of(a->is, &v, TARN__FORWARD));
    void *form = weights_for(a, &v, TARN__FORWARD, w);
    assert_true(a->is->has_extra(&v));
    a->is->forward(&v, x, form, &(tarn__conv2d_extra){0}, plain, &scratch);
    scratch.used = 0;
    a->is->forward(&v, x, form, &(tarn__conv2d_extra){.bias = b, .mean = mean, .var = var}, y, &scratch);
    assert_int_equal(scratch.most, scratch.bytes);
    const double unit = dtype == TARN_F32 ? 1e-5 : 1e-13;
    for (int64_t c = 0; c < v.k; c++) {
        const double n = (double)(all.ny / v.k);
        double sum = 0, m2 = 0;
        for (int64_t i = c; i < all.ny; i += v.k) {
            const double got = dtype == TARN_F32 ? (double)((float *)y)[i] : ((double *)y)[i];
            const double without = dtype == TARN_F32 ? (double)((float *)plain)[i] : ((double *)plain)[i];
            assert_near(got, without + bias[c], 200 * unit);
            sum += got;
        }
        for (int64_t i = c; i < all.ny; i += v.k) {
            const double got = dtype == TARN_F32 ? (double)((float *)y)[i] : ((double *)y)[i];
            m2 += (got - sum / n) * (got - sum / n);
        }
        assert_near(mean[c], sum / n, 20 * unit);
        assert_near(var[c], m2 / n, 20 * unit * (1 + m2 / n));
    }
    void *all_of_them[] = {x, w, y, b, plain, scratch.block, form, bias, mean, var};
    for (size_t i = 0; i < sizeof all_of_them / sizeof *all_of_them; i++)
        free(all_of_them[i]);
    arrays_free(&all);
}

static void test_extra(void **state)
{
    (void)state;
    static const int64_t shapes[][11] = {
        {20, 9, 11, 8, 19, 3, 3, 1, 1, 1, 1},
        {40, 28, 28, 1, 32, 3, 3, 1, 1, 1, 1},
        {40, 6, 6, 4, 6, 3, 3, 1, 1, 1, 2},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
            check_extra(&direct, dtype, shapes[i]);
            if (shapes[i][10] == 1)
                check_extra(&winograd, dtype, shapes[i]);
        }
}

/* Whether output row p (or column) hears of input row y: by its 3 taps, or also by the tile of 4 that it is computed in. */
static bool hears(int64_t p, int64_t y, bool tiles)
{
    const int64_t first = tiles ? p / 4 * 4 : p, last = tiles ? first + 3 : p;
    return first - 1 <= y && y <= last + 1;
}

static void check_spread(const algorithm *a, float value, int64_t y, int64_t x)
{
    const tarn__conv2d v = geometry(TARN_F32, (const int64_t[]){1, 10, 13, 9, 11, 3, 3, 1, 1, 1, 1});
    tarn_rng rng = tarn_rng_seed(3);
    const int64_t nx = v.h * v.w * v.c, nw = 9 * v.c * v.k, ny = v.p * v.q * v.k;
    double *from = fill(nx, TARN_F32, &rng), *weights = fill(nw, TARN_F32, &rng);
    from[(y * v.w + x) * v.c + 8] = (double)value;
    float *in = in_dtype(TARN_F32, nx, from), *w = in_dtype(TARN_F32, nw, weights);
    float *out = malloc((size_t)ny * sizeof *out);
    assert_non_null(out);
    run(a, &v, TARN__FORWARD, in, w, NULL, out, ny);
    for (int64_t i = 0; i < ny; i++) {
        const int64_t q = i / v.k % v.q, p = i / v.k / v.q;
        if (hears(p, y, false) && hears(q, x, false))
            assert_false(isfinite(out[i]) != 0);
        else if (a != &winograd || !hears(p, y, true) || !hears(q, x, true))
            assert_true(isfinite(out[i]) != 0);
    }
    free(from);
    free(weights);
    free(in);
    free(w);
    free(out);
}

/* A NaN or an infinity reaches every output that reads it, and no other; with Winograd, no other tile. */
static void test_spread(void **state)
{
    (void)state;
    static const int64_t places[][2] = {{0, 0}, {9, 12}, {3, 4}, {4, 3}, {5, 6}, {8, 8}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (int kind = 0; kind < 3; kind++) {
            const float value = kind == 0 ? NAN : kind == 1 ? INFINITY : -INFINITY;
            check_spread(&direct, value, places[i][0], places[i][1]);
            check_spread(&winograd, value, places[i][0], places[i][1]);
        }
}

/* Whether it stops the program, as an assertion does. */
static bool stops(void (*f)(const algorithm *a), const algorithm *a)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        f(a);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void cut_too_much(const algorithm *a)
{
    (void)a;
    tarn__cuts cuts = scratch_of(256);
    tarn__cut(&cuts, 100), tarn__cut(&cuts, 128);
    cuts.used = 0;
    tarn__cut(&cuts, 193), tarn__cut(&cuts, 1);
}

static void cut_all(const algorithm *a)
{
    (void)a;
    tarn__cuts cuts = scratch_of(256);
    tarn__cut(&cuts, 100), tarn__cut(&cuts, 128);
}

/* A weight gradient, for which each algorithm cuts, in a block that is a line too small. */
static void run_short(const algorithm *a)
{
    const bool grouped = a == &depthwise;
    const tarn__conv2d v = geometry(TARN_F32, (const int64_t[]){3, 8, 8, 16, 16, 3, 3, 1, 1, 1, grouped ? 16 : 1});
    float x[3 * 8 * 8 * 16] = {0}, w[9 * 16 * 16];
    tarn__cuts scratch = scratch_of(tarn__conv2d_scratch_of(a->is, &v, TARN__WEIGHT_GRAD));
    scratch.bytes -= 64;
    a->is->weight_grad(&v, x, x, w, &scratch);
}

static void test_cutting_too_much_stops(void **state)
{
    (void)state;
    assert_true(stops(cut_too_much, NULL));
    assert_false(stops(cut_all, NULL));
}

static void test_a_run_checks_what_it_cuts(void **state)
{
    (void)state;
    tarn_set_threads(1); /* the child has one */
    assert_int_equal(stops(run_short, &direct), LIBRARY_ASSERTS);
    assert_int_equal(stops(run_short, &winograd), LIBRARY_ASSERTS);
    assert_int_equal(stops(run_short, &depthwise), LIBRARY_ASSERTS);
    tarn_set_threads(0);
}

/* The rule at the head of tensor/conv2d.c. */
static void test_choice(void **state)
{
    (void)state;
    static const struct {
        int64_t shape[11];
        tarn_dtype dtype;
        bool exact;
        const tarn__conv2d_algorithm *expected;
    } rows[] = {
        {{3, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_winograd},
        {{3, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1}, TARN_F32, true, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1}, TARN_F64, false, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 3, 3, 2, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 3, 3, 1, 2, 2, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 3, 3, 1, 3, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 3, 3, 1, 1, 1, 2}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 5, 5, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 3, 16, 3, 3, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 16, 16, 3, 3, 1, 1, 1, 16}, TARN_F32, false, &tarn__conv2d_depthwise},
        {{3, 8, 8, 16, 32, 3, 3, 1, 1, 1, 16}, TARN_F32, false, &tarn__conv2d_direct},
        {{2, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{12, 4, 4, 8, 8, 3, 3, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_winograd},
        {{12, 4, 4, 7, 8, 3, 3, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
        {{3, 8, 8, 1, 1, 3, 3, 1, 1, 1, 1}, TARN_F32, false, &tarn__conv2d_direct},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tarn__conv2d v = geometry(rows[i].dtype, rows[i].shape);
        v.exact = rows[i].exact;
        assert_ptr_equal(tarn__conv2d_algorithm_of(&v), rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),
        cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_extra),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_cutting_too_much_stops),
        cmocka_unit_test(test_a_run_checks_what_it_cuts),
    };
    return cmocka_run_group_tests_name("conv2d", tests, NULL, NULL);
}
