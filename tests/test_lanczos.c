/* The ends of the spectrum, held against spectra that are known and against LAPACK's of the dense Hessian. */
#include "autograd/curvature.h"
#include "layers/layers.h"
#include "tensor/eigen.h"
#include "tensor/threads.h"
#include "tests/spectra.h"
#include "tests/tape_fixture.h"

/* ---- quadratics: loss = x.A x / 2 + sum(x), whose Hessian is A ---- */

typedef struct quadratic {
    tarn_params *params;
    tarn_tensor *x, *a;
    double scale; /* of the loss; 0: none */
} quadratic;

static tarn_tensor *quadratic_loss(tarn_tape *tape, void *context)
{
    const quadratic *q = context;
    tarn_tensor *row = tarn_reshape(tape, q->x, TARN_SHAPE(1, tarn_numel(q->x)));
    tarn_tensor *square = tarn_mul(tape, tarn_matmul(tape, row, q->a), row);
    tarn_tensor *loss = tarn_sum(tape, tarn_add(tape, tarn_mul_scalar(tape, square, 0.5), row), TARN_ALL_AXES, false);
    return q->scale != 0 ? tarn_mul_scalar(tape, loss, q->scale) : loss;
}

static quadratic quadratic_new(int64_t n, const double *value, uint64_t seed)
{
    quadratic q = {.params = tarn_params_new(TARN_F64), .a = matrix_with(n, value, seed)};
    q.x = tarn_params_add(q.params, "x", TARN_SHAPE(n));
    assert_true(tarn_fill(q.x, 0.5));
    return q;
}

static void quadratic_free(quadratic *q)
{
    tarn_params_free(q->params);
    tarn_tensor_free(q->a);
}

/* Values as they are known, vectors of length 1 with H x = lambda x, and residuals that bound the error. */
static void expect_extremes(const tarn_objective *o, const tarn_extremes *e, const double *known, double tolerance)
{
    expect_no_error();
    assert_true(e->converged);
    int64_t count = tarn_numel(e->values), n = tarn_dim(e->vectors, 1);
    const double *l = tarn_data(e->values), *r = tarn_data(e->residuals), *v = tarn_data(e->vectors);
    for (int64_t k = 0; k < count; k++) {
        if (!(fabs(l[k] - known[k]) <= tolerance))
            fail_msg("value %d of %d is %.12g, expected %.12g (%d steps)", (int)k, (int)count, l[k], known[k],
                     (int)e->steps);
        tarn_tensor *x = tarn_tensor_from(TARN_F64, TARN_SHAPE(n), v + k * n), *hx = tarn_hessian_times_new(o, x);
        const double *product = tarn_data(hx);
        double square = 0, error = 0;
        for (int64_t i = 0; i < n; i++) {
            square += v[k * n + i] * v[k * n + i];
            error += pow(product[i] - l[k] * v[k * n + i], 2);
        }
        assert_true(fabs(square - 1) < 1e-12);
        assert_true(fabs(sqrt(error) - r[k]) <= tolerance);
        tarn_tensor_free(x), tarn_tensor_free(hx);
    }
}

static void expect_ends_of(int64_t n, const double *value, int smallest, int largest, const tarn_lanczos_opts *opts)
{
    quadratic q = quadratic_new(n, value, (uint64_t)n + 7);
    const tarn_objective o = {quadratic_loss, &q, q.params, t};
    double known[64], scale = fmax(fmax(fabs(value[0]), fabs(value[n - 1])), 1);
    for (int k = 0; k < smallest + largest; k++)
        known[k] = value[k < smallest ? k : n - smallest - largest + k];
    tarn_extremes e;
    assert_true(tarn_hessian_extremes(&o, smallest, largest, opts, &e));
    expect_extremes(&o, &e, known, 1e-9 * scale);
    assert_true(e.steps <= n);
    tarn_extremes_free(&e);
    quadratic_free(&q);
}

static void quadratics(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        double value[10];
    } cases[] = {
        {1, {-3}},
        {1, {0}},
        {2, {-2, 2}},
        {5, {0, 0, 0, 0, 0}},
        {7, {3, 3, 3, 3, 3, 3, 3}},
        {4, {1, 1, 1, 5}},
        {6, {-9, -5, -5, -5, -1, -1}},
        {9, {-1, -1, 0, 0, 0, 2, 2, 2, 2}},
        {10, {-1e-3, 0, 0, 1, 2, 3, 4, 5, 6, 1e3}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (int smallest = 0; smallest <= cases[c].n; smallest++)
            for (int largest = smallest == 0; smallest + largest <= cases[c].n; largest++)
                expect_ends_of(cases[c].n, cases[c].value, smallest, largest, NULL);
}

/* Three copies at one end and two at the other of a spectrum that the first process does not exhaust: it sees one of
 * each, and would say so if it were the only one. */
static void copies_in_a_long_spectrum(void **state)
{
    (void)state;
    enum { N = 120 };
    double value[N];
    for (int k = 0; k < N; k++)
        value[k] = 0.01 * k;
    value[0] = value[1] = value[2] = -2;
    value[N - 1] = value[N - 2] = 5;
    value[3] = -1, value[N - 3] = 4; /* converge before rounding brings up a copy */
    expect_ends_of(N, value, 2, 2, NULL);
    expect_ends_of(N, value, 4, 3, NULL);
    expect_ends_of(N, value, 2, 1, &(tarn_lanczos_opts){.seed = 5});
    quadratic q = quadratic_new(N, value, 3);
    const tarn_objective o = {quadratic_loss, &q, q.params, t};
    tarn_extremes e;
    assert_true(tarn_hessian_extremes(&o, 0, 2, &(tarn_lanczos_opts){.once = true}, &e));
    assert_true(e.converged && e.steps < N);
    EXPECT_VALUES(e.values, 4, 5);
    tarn_extremes_free(&e);
    quadratic_free(&q);
}

/* A loss in other units: the squares of its derivatives are no doubles, and the answer is the same. */
static void units_do_not_matter(void **state)
{
    (void)state;
    enum { N = 60 };
    double value[N];
    for (int k = 0; k < N; k++)
        value[k] = k - 7.5;
    quadratic q = quadratic_new(N, value, 3);
    const tarn_objective o = {quadratic_loss, &q, q.params, t};
    for (int power = -900; power <= 900; power += 300) {
        tarn_extremes e;
        tarn_critical_point_report point;
        q.scale = ldexp(1, power);
        assert_true(tarn_hessian_extremes(&o, 2, 2, NULL, &e));
        assert_true(e.converged);
        const double *l = tarn_data(e.values), *r = tarn_data(e.residuals), known[] = {-7.5, -6.5, 50.5, 51.5};
        for (int k = 0; k < 4; k++) {
            assert_true(fabs(l[k] / q.scale - known[k]) < 1e-8);
            assert_true(r[k] <= 1e-10 * 51.5 * q.scale);
        }
        tarn_extremes_free(&e);
        assert_true(tarn_critical_point(&o, NULL, &point));
        assert_int_equal(point.kind, TARN_NOT_CRITICAL);
    }
    quadratic_free(&q);
}

static void report(void *context, int64_t steps, double smallest, double largest)
{
    double *seen = context;
    assert_true(steps > (int64_t)seen[0] || (steps == (int64_t)seen[0] && smallest == seen[1]));
    assert_true(smallest <= seen[1] + 1e-12 && largest >= seen[2] - 1e-12); /* they only move outwards */
    seen[0] = (double)steps, seen[1] = smallest, seen[2] = largest;
}

static void few_steps_are_not_enough(void **state)
{
    (void)state;
    enum { N = 100 };
    double value[N], seen[3] = {0, INFINITY, -INFINITY};
    for (int k = 0; k < N; k++)
        value[k] = k;
    quadratic q = quadratic_new(N, value, 3);
    const tarn_objective o = {quadratic_loss, &q, q.params, t};
    tarn_extremes e;
    assert_true(tarn_hessian_extremes(&o, 1, 1, &(tarn_lanczos_opts){.max_steps = 12}, &e));
    assert_false(e.converged);
    assert_int_equal(e.steps, 12);
    const double *l = tarn_data(e.values), *r = tarn_data(e.residuals);
    assert_true(l[0] > 0 && l[0] < 20 && l[1] < 99 && l[1] > 80);
    assert_true(r[0] > 1e-3 && fabs(l[1] - round(l[1])) <= r[1]);
    tarn_extremes_free(&e);
    assert_true(
        tarn_hessian_extremes(&o, 1, 1, &(tarn_lanczos_opts){.progress = report, .progress_context = seen}, &e));
    assert_true(seen[0] == (double)e.steps && fabs(seen[2] - 99) < 1e-8);
    tarn_extremes_free(&e);
    quadratic_free(&q);
}

/* ---- networks ---- */

enum { IN = 6, BATCH = 20, CLASSES = 4, SIDE = 6 };

typedef enum architecture { MLP, NORMALIZED, CONVOLVED, ARCHITECTURES } architecture;

typedef struct network {
    architecture kind;
    tarn_params *params;
    tarn_linear_layer f1, f2, f3;
    tarn_conv2d_layer conv;
    tarn_batchnorm_layer norm, norm2;
    tarn_tensor *x, *images, *labels;
} network;

static tarn_tensor *network_loss(tarn_tape *tape, void *context)
{
    const network *m = context;
    tarn_tensor *h = m->x;
    if (m->kind == CONVOLVED) {
        h = tarn_tanh(tape, tarn_batchnorm_apply(tape, &m->norm, tarn_conv2d_apply(tape, &m->conv, m->images)));
        h = tarn_mean(tape, h, 2, (const int[]){1, 2}, false);
    } else {
        h = tarn_linear_apply(tape, &m->f1, h);
        h = tarn_tanh(tape, m->kind == MLP ? h : tarn_batchnorm_apply(tape, &m->norm, h));
        h = tarn_linear_apply(tape, &m->f2, h);
        h = tarn_silu(tape, m->kind == MLP ? h : tarn_batchnorm_apply(tape, &m->norm2, h));
    }
    return tarn_cross_entropy(tape, tarn_linear_apply(tape, &m->f3, h), m->labels);
}

static network network_new(architecture kind, tarn_dtype dtype)
{
    network m = {.kind = kind, .params = tarn_params_new(dtype)};
    tarn_rng rng = tarn_rng_seed(11);
    if (kind == CONVOLVED) {
        assert_true(tarn_conv2d_init(&m.conv, m.params, "conv", &rng, 3, 8, 3, NULL));
        assert_true(tarn_batchnorm_init(&m.norm, m.params, "norm", 8, NULL));
    } else {
        assert_true(tarn_linear_init(&m.f1, m.params, "f1", &rng, IN, 16, NULL));
        assert_true(tarn_linear_init(&m.f2, m.params, "f2", &rng, 16, 15, NULL));
    }
    if (kind == NORMALIZED) {
        assert_true(tarn_batchnorm_init(&m.norm, m.params, "norm", 16, NULL));
        assert_true(tarn_batchnorm_init(&m.norm2, m.params, "norm2", 15, NULL));
    }
    assert_true(tarn_linear_init(&m.f3, m.params, "f3", &rng, kind == CONVOLVED ? 8 : 15, CLASSES, NULL));
    int32_t labels[BATCH];
    for (int i = 0; i < BATCH; i++)
        labels[i] = i * 7 % CLASSES;
    rng = tarn_rng_seed(12); /* the weights took less of it in f32 */
    m.labels = tarn_tensor_from(TARN_I32, TARN_SHAPE(BATCH), labels);
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(BATCH, IN), &rng, -2, 2);
    tarn_tensor *images = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(BATCH, SIDE, SIDE, 3), &rng, -2, 2);
    m.x = tarn_tensor_new(dtype, TARN_SHAPE(BATCH, IN));
    m.images = tarn_tensor_new(dtype, TARN_SHAPE(BATCH, SIDE, SIDE, 3));
    assert_true(tarn_copy(m.x, x) && tarn_copy(m.images, images));
    tarn_tensor_free(x), tarn_tensor_free(images);
    return m;
}

static void network_free(network *m)
{
    tarn_tensor_free(m->x), tarn_tensor_free(m->images), tarn_tensor_free(m->labels);
    tarn_params_free(m->params);
}

static void networks_have_lapacks_spectrum(void **state)
{
    (void)state;
    for (int kind = 0; kind < ARCHITECTURES; kind++)
        for (int training = 0; training < 2; training++) {
            network m = network_new((architecture)kind, TARN_F64);
            const tarn_objective o = {network_loss, &m, m.params, t};
            tarn_tape_set_training(t, training);
            tarn_tensor *hessian = tarn_hessian_new(&o), *all = tarn_symmetric_eigen_new(hessian, NULL);
            int64_t n = tarn_numel(all);
            assert_true(n > 200 && n <= 500);
            const double *value = tarn_data(all);
            double known[10];
            for (int k = 0; k < 10; k++)
                known[k] = value[k < 5 ? k : n - 10 + k];
            tarn_extremes e;
            assert_true(tarn_hessian_extremes(&o, 5, 5, NULL, &e));
            expect_extremes(&o, &e, known, 1e-8);
            assert_true(known[0] < -1e-3 && known[9] > 0.1);
            tarn_extremes_free(&e);
            tarn_tensor_free(hessian), tarn_tensor_free(all);
            network_free(&m);
        }
}

static void f32_is_f64_rounded(void **state)
{
    (void)state;
    tarn_extremes e[2];
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        network m = network_new(NORMALIZED, TARN_F64), single = network_new(NORMALIZED, (tarn_dtype)dtype);
        tarn_tensor *point = tarn_params_vector_new(m.params);
        assert_true(tarn_params_set_vector(single.params, point));
        const tarn_objective o = {network_loss, &single, single.params, t};
        assert_true(tarn_hessian_extremes(&o, 2, 2, NULL, &e[dtype]));
        assert_true(e[dtype].converged);
        tarn_tensor_free(point);
        network_free(&m), network_free(&single);
    }
    const double *a = tarn_data(e[TARN_F32].values), *b = tarn_data(e[TARN_F64].values);
    for (int k = 0; k < 4; k++)
        assert_true(fabs(a[k] - b[k]) <= 1e-6 * b[3]);
    tarn_extremes_free(&e[0]), tarn_extremes_free(&e[1]);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    tarn_extremes e[2];
    network m = network_new(CONVOLVED, TARN_F32);
    const tarn_objective o = {network_loss, &m, m.params, t};
    for (int i = 0; i < 2; i++) {
        assert_true(tarn_set_threads(i ? 4 : 1));
        assert_true(tarn_hessian_extremes(&o, 1, 1, NULL, &e[i]));
    }
    assert_memory_equal(tarn_data(e[0].values), tarn_data(e[1].values), 2 * sizeof(double));
    assert_memory_equal(tarn_data(e[0].vectors), tarn_data(e[1].vectors),
                        (size_t)tarn_numel(e[0].vectors) * sizeof(double));
    tarn_extremes_free(&e[0]), tarn_extremes_free(&e[1]);
    network_free(&m);
    assert_true(tarn_set_threads(0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(quadratics),
        TEST(copies_in_a_long_spectrum),
        TEST(units_do_not_matter),
        TEST(few_steps_are_not_enough),
        TEST(networks_have_lapacks_spectrum),
        TEST(f32_is_f64_rounded),
        TEST(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
