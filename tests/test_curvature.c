/* The Hessian of an objective: the whole, its trace, the verdict on a point, and the way down from a saddle. */
#include "autograd/curvature.h"
#include "layers/layers.h"
#include "tensor/eigen.h"
#include "tensor/tensor_impl.h"
#include "tensor/threads.h"
#include "tests/tape_fixture.h"

/* ---- functions of two or three parameters ---- */

typedef struct problem {
    tarn_params *params;
    tarn_tensor *x;
    int64_t n;
    const double *curvature; /* of a diagonal quadratic */
} problem;

static problem problem_new(int64_t n, const double *at, const double *curvature)
{
    problem p = {.params = tarn_params_new(TARN_F64), .n = n, .curvature = curvature};
    p.x = tarn_params_add(p.params, "x", TARN_SHAPE(n));
    memcpy(tarn_mutable_data(p.x), at, (size_t)n * sizeof *at);
    return p;
}

static tarn_tensor *element(tarn_tape *tape, tarn_tensor *x, int64_t i)
{
    return tarn_slice(tape, x, 0, i, i + 1, 1);
}

/* The lecture's: y = w1 w2 x, one example (1, 1): L = (1 - w1 w2)^2. */
static tarn_tensor *two_weights(tarn_tape *tape, void *context)
{
    problem *p = context;
    tarn_tensor *y = tarn_mul(tape, element(tape, p->x, 0), element(tape, p->x, 1));
    return tarn_square(tape, tarn_add_scalar(tape, tarn_neg(tape, y), 1));
}

/* sum of curvature x^2 / 2. */
static tarn_tensor *diagonal(tarn_tape *tape, void *context)
{
    problem *p = context;
    tarn_tensor *c = tarn_constant(tape, TARN_F64, TARN_SHAPE(p->n), p->curvature);
    return tarn_mul_scalar(tape, tarn_sum(tape, tarn_mul(tape, c, tarn_square(tape, p->x)), TARN_ALL_AXES, false), 0.5);
}

/* Monkey saddle: x^3 - 3 x y^2, whose Hessian at 0 is 0. */
static tarn_tensor *monkey(tarn_tape *tape, void *context)
{
    problem *p = context;
    tarn_tensor *x = element(tape, p->x, 0), *y = element(tape, p->x, 1);
    tarn_tensor *z = tarn_sub(tape, tarn_square(tape, x), tarn_mul_scalar(tape, tarn_square(tape, y), 3));
    return tarn_mul(tape, x, z);
}

static void the_lectures_saddle(void **state)
{
    (void)state;
    problem p = problem_new(2, (double[]){0, 0}, NULL);
    const tarn_objective o = {two_weights, &p, p.params, t};
    tarn_tensor *gradient = tarn_objective_gradient_new(&o, NULL), *hessian = tarn_hessian_new(&o);
    EXPECT_VALUES(gradient, 0, 0);
    EXPECT_VALUES(hessian, 0, -2, -2, 0);
    tarn_critical_point_report r;
    assert_true(tarn_critical_point(&o, NULL, &r));
    assert_int_equal(r.kind, TARN_SADDLE);
    assert_string_equal(tarn_critical_kind_name(r.kind), "saddle");
    assert_true(r.value == 1 && r.gradient_norm == 0);
    assert_true(fabs(r.smallest + 2) < 1e-14 && fabs(r.largest - 2) < 1e-14);
    assert_true(r.negative == 1 && r.zero == 0 && r.positive == 1 && r.minimum_ratio == 0.5);

    double curvature;
    tarn_tensor *way = tarn_escape_direction_new(&o, NULL, &curvature);
    EXPECT_VALUES(way, sqrt(0.5), sqrt(0.5));
    assert_true(fabs(curvature + 2) < 1e-12);
    assert_true(tarn_params_set_vector(p.params, way)); /* L falls from 1 to 1/4 */
    assert_true(fabs(tarn_objective_value(&o) - 0.25) < 1e-12);
    tarn_tensor_free(gradient), tarn_tensor_free(hessian), tarn_tensor_free(way);
    tarn_params_free(p.params);
}

/* Near the saddle, but not on it: the way down is the one that the gradient shows. */
static void the_way_does_not_climb(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2)
        for (uint64_t seed = 0; seed < 4; seed++) {
            problem p = problem_new(2, (double[]){0.1 * sign, 0.1 * sign}, NULL);
            const tarn_objective o = {two_weights, &p, p.params, t};
            tarn_tensor *way = tarn_escape_direction_new(&o, &(tarn_lanczos_opts){.seed = seed}, NULL);
            EXPECT_VALUES(way, sign * sqrt(0.5), sign * sqrt(0.5));
            tarn_tensor_free(way);
            tarn_params_free(p.params);
        }
}

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        double at[3], curvature[3];
        tarn_critical_kind kind;
        int64_t negative, zero, positive;
    } cases[] = {
        {3, {0, 0, 0}, {1, 2, 3}, TARN_MINIMUM, 0, 0, 3},
        {3, {0, 0, 0}, {-1, -2, -3}, TARN_MAXIMUM, 3, 0, 0},
        {3, {0, 0, 0}, {-1, 2, 3}, TARN_SADDLE, 1, 0, 2},
        {3, {0, 0, 0}, {-1, 0, 3}, TARN_SADDLE, 1, 1, 1},
        {3, {0, 5, 0}, {1, 0, 3}, TARN_DEGENERATE, 0, 1, 2},
        {3, {0, 5, 0}, {-1, 0, -3}, TARN_DEGENERATE, 2, 1, 0},
        {3, {1, 2, 3}, {0, 0, 0}, TARN_DEGENERATE, 0, 3, 0},
        {1, {0}, {4}, TARN_MINIMUM, 0, 0, 1},
        {1, {0}, {-4}, TARN_MAXIMUM, 1, 0, 0},
        {2, {1, 0}, {1, 1}, TARN_NOT_CRITICAL, 0, 0, 2},
        {2, {9e-7, 0}, {1, 1}, TARN_MINIMUM, 0, 0, 2}, /* both tolerances are 1e-6 of the largest */
        {2, {1.1e-6, 0}, {1, 1}, TARN_NOT_CRITICAL, 0, 0, 2},
        {2, {9e-4, 0}, {1, 1e3}, TARN_MINIMUM, 0, 0, 2},
        {2, {0, 0}, {9e-7, 1}, TARN_DEGENERATE, 0, 1, 1},
        {2, {0, 0}, {1.1e-6, 1}, TARN_MINIMUM, 0, 0, 2},
        {2, {0, 0}, {-1.1e-6, 1}, TARN_SADDLE, 1, 0, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        problem p = problem_new(cases[c].n, cases[c].at, cases[c].curvature);
        const tarn_objective o = {diagonal, &p, p.params, t};
        tarn_critical_point_report r;
        assert_true(tarn_critical_point(&o, NULL, &r));
        if (r.kind != cases[c].kind || r.negative != cases[c].negative || r.zero != cases[c].zero ||
            r.positive != cases[c].positive)
            fail_msg("case %d: %s, %d negative, %d zero, %d positive", (int)c, tarn_critical_kind_name(r.kind),
                     (int)r.negative, (int)r.zero, (int)r.positive);
        assert_true(r.minimum_ratio == (double)r.positive / (double)p.n);
        double curvature;
        tarn_tensor *way = tarn_escape_direction_new(&o, NULL, &curvature);
        expect_no_error();
        assert_int_equal(way != NULL, r.negative > 0);
        assert_true(fabs(curvature - r.smallest) < 1e-9);
        tarn_tensor_free(way);
        tarn_params_free(p.params);
    }
    problem p = problem_new(2, (double[]){0, 0}, NULL);
    const tarn_objective o = {monkey, &p, p.params, t};
    tarn_critical_point_report r;
    assert_true(tarn_critical_point(&o, NULL, &r));
    assert_int_equal(r.kind, TARN_DEGENERATE);
    ((double *)tarn_mutable_data(p.x))[0] = 0.01;
    assert_true(tarn_critical_point(&o, &(tarn_critical_point_opts){.gradient_tol = 0.1}, &r));
    assert_int_equal(r.kind, TARN_SADDLE);
    tarn_params_free(p.params);
}

/* ---- a network ---- */

enum { BATCH = 8, IN = 3, HIDDEN = 5 };

typedef struct network {
    tarn_params *params;
    tarn_tensor *x, *labels;
    tarn_linear_layer f1, f2;
    tarn_batchnorm_layer norm;
} network;

static tarn_tensor *network_loss(tarn_tape *tape, void *context)
{
    const network *m = context;
    tarn_tensor *h = tarn_batchnorm_apply(tape, &m->norm, tarn_linear_apply(tape, &m->f1, m->x));
    return tarn_cross_entropy(tape, tarn_linear_apply(tape, &m->f2, tarn_tanh(tape, h)), m->labels);
}

static network network_new(tarn_dtype dtype)
{
    network m = {.params = tarn_params_new(dtype)};
    tarn_rng rng = tarn_rng_seed(31);
    assert_true(tarn_linear_init(&m.f1, m.params, "f1", &rng, IN, HIDDEN, NULL));
    assert_true(tarn_batchnorm_init(&m.norm, m.params, "norm", HIDDEN, NULL));
    assert_true(tarn_linear_init(&m.f2, m.params, "f2", &rng, HIDDEN, 2, NULL));
    rng = tarn_rng_seed(32);
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(BATCH, IN), &rng, -2, 2);
    tarn_tensor *point = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(tarn_params_numel(m.params)), &rng, -1, 1);
    m.x = tarn_tensor_new(dtype, TARN_SHAPE(BATCH, IN));
    assert_true(tarn_copy(m.x, x) && tarn_params_set_vector(m.params, point));
    m.labels = tarn_tensor_from(TARN_I32, TARN_SHAPE(BATCH), (int32_t[]){0, 1, 1, 0, 1, 0, 0, 1});
    tarn_tensor_free(x), tarn_tensor_free(point);
    return m;
}

static void network_free(network *m)
{
    tarn_tensor_free(m->x), tarn_tensor_free(m->labels);
    tarn_params_free(m->params);
}

static void the_whole_is_made_of_products(void **state)
{
    (void)state;
    network m = network_new(TARN_F64);
    const tarn_objective o = {network_loss, &m, m.params, t};
    tarn_rng rng = tarn_rng_seed(1);
    int64_t n = tarn_params_numel(m.params);
    tarn_tensor *hessian = tarn_hessian_new(&o), *v = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(n), &rng, -1, 1);
    tarn_tensor *product = tarn_hessian_times_new(&o, v);
    const double *h = tarn_data(hessian), *along = tarn_data(v), *hv = tarn_data(product);
    double trace = 0;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) {
            assert_true(h[i * n + j] == h[j * n + i]);
            sum += h[i * n + j] * along[j];
        }
        assert_true(fabs(sum - hv[i]) < 1e-13);
        trace += h[i * n + i];
    }
    /* The bias below BatchNorm shifts every example alike, which changes nothing: its rows are 0. */
    for (int64_t i = IN * HIDDEN; i < IN * HIDDEN + HIDDEN; i++)
        for (int64_t j = 0; j < n; j++)
            assert_true(fabs(h[i * n + j]) < 1e-13);
    double error, one_error;
    double estimate = tarn_hessian_trace(&o, 400, 2, &error), one = tarn_hessian_trace(&o, 1, 2, &one_error);
    assert_true(fabs(estimate - trace) < 4 * error && estimate != trace);
    double squares = 0; /* what the error should be: sqrt(2 (|H|^2 - sum H_ii^2) / samples) */
    for (int64_t i = 0; i < n * n; i++)
        squares += i / n == i % n ? 0 : 2 * h[i] * h[i];
    assert_true(fabs(error / sqrt(squares / 400) - 1) < 0.2);
    assert_true(isfinite(one) && isnan(one_error));
    tarn_tensor_free(hessian), tarn_tensor_free(v), tarn_tensor_free(product);
    network_free(&m);
}

static void the_trace_of_a_diagonal_is_exact(void **state)
{
    (void)state;
    problem p = problem_new(3, (double[]){1, 2, 3}, (double[]){0.5, -3, 7});
    const tarn_objective o = {diagonal, &p, p.params, t};
    double error;
    assert_true(tarn_hessian_trace(&o, 3, 9, &error) == 4.5 && error == 0);
    tarn_params_free(p.params);
}

/* In the input of BatchNorm in training, H 1 = 0: no shift of the batch does anything. */
static tarn_tensor *of_the_input(tarn_tape *tape, void *context)
{
    const problem *p = context;
    tarn_tensor *x = tarn_reshape(tape, p->x, TARN_SHAPE(6, 1));
    tarn_tensor *gamma = tarn_full(tape, TARN_F64, TARN_SHAPE(1), 1.5),
                *beta = tarn_zeros(tape, TARN_F64, TARN_SHAPE(1));
    tarn_tensor *y = tarn_batchnorm(tape, x, gamma, beta, NULL, NULL);
    return tarn_sum(tape, tarn_exp(tape, y), TARN_ALL_AXES, false);
}

static void batchnorm_does_not_feel_a_shift(void **state)
{
    (void)state;
    problem p = problem_new(6, (double[]){1, -2, 3, 0.5, 0.1, -1}, NULL);
    const tarn_objective o = {of_the_input, &p, p.params, t};
    tarn_tensor *hessian = tarn_hessian_new(&o);
    const double *h = tarn_data(hessian);
    expect_no_error();
    for (int64_t i = 0; i < 6; i++) {
        double row = 0;
        for (int64_t j = 0; j < 6; j++)
            row += h[i * 6 + j];
        assert_true(fabs(row) < 1e-13 && fabs(h[i * 6 + i]) > 0.01);
    }
    tarn_tensor_free(hessian);
    tarn_params_free(p.params);
}

static void f32_is_f64_rounded(void **state)
{
    (void)state;
    tarn_tensor *hessian[2];
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        network m = network_new((tarn_dtype)dtype);
        hessian[dtype] = tarn_hessian_new(&(tarn_objective){network_loss, &m, m.params, t});
        assert_int_equal(tarn_tensor_dtype(hessian[dtype]), TARN_F64);
        network_free(&m);
    }
    const double *a = tarn_data(hessian[TARN_F32]), *b = tarn_data(hessian[TARN_F64]);
    double largest = 0;
    for (int64_t i = 0; i < tarn_numel(hessian[0]); i++)
        largest = fmax(largest, fabs(b[i]));
    for (int64_t i = 0; i < tarn_numel(hessian[0]); i++)
        assert_true(fabs(a[i] - b[i]) < 2e-6 * largest);
    tarn_tensor_free(hessian[0]), tarn_tensor_free(hessian[1]);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    tarn_tensor *hessian[2];
    network m = network_new(TARN_F32);
    for (int i = 0; i < 2; i++) {
        assert_true(tarn_set_threads(i ? 4 : 1));
        hessian[i] = tarn_hessian_new(&(tarn_objective){network_loss, &m, m.params, t});
    }
    assert_memory_equal(tarn_data(hessian[0]), tarn_data(hessian[1]), (size_t)tarn_numel(hessian[0]) * sizeof(double));
    tarn_tensor_free(hessian[0]), tarn_tensor_free(hessian[1]);
    network_free(&m);
    assert_true(tarn_set_threads(0));
}

/* Parameters, buffers and gradients, one after the other. */
static size_t contents(const tarn_params *params, unsigned char *out, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        tarn_tensor *parts[] = {tarn_params_at(params, i), tarn_param_grad(tarn_params_at(params, i))};
        for (int k = 0; k < 2 && parts[k]; k++) {
            size_t bytes = tarn__bytes(parts[k]);
            assert_true(at + bytes <= room);
            memcpy(out + at, parts[k]->data, bytes);
            at += bytes;
        }
    }
    return at;
}

static void the_store_stays_as_it_was(void **state)
{
    (void)state;
    static unsigned char before[4096], after[4096];
    network m = network_new(TARN_F64);
    const tarn_objective o = {network_loss, &m, m.params, t};
    assert_true(tarn_backward(t, network_loss(t, &m)));
    tarn_tape_reset(t);
    size_t bytes = contents(m.params, before, sizeof before);
    tarn_tensor *x = tarn_params_vector_new(m.params), *all[3];
    tarn_extremes e;
    tarn_critical_point_report r;
    for (int grad = 0; grad < 2; grad++) {
        tarn_tape_set_grad(t, grad);
        all[0] = tarn_hessian_times_new(&o, x);
        all[1] = tarn_hessian_new(&o);
        all[2] = tarn_escape_direction_new(&o, NULL, NULL);
        assert_true(fabs(tarn_hessian_trace(&o, 2, 1, NULL)) > 0);
        assert_true(tarn_hessian_extremes(&o, 1, 2, NULL, &e) && tarn_critical_point(&o, NULL, &r));
        assert_int_equal(r.kind, TARN_NOT_CRITICAL);
        assert_int_equal(contents(m.params, after, sizeof after), bytes);
        assert_memory_equal(before, after, bytes);
        assert_int_equal(tarn_tape_grad(t), grad);
        assert_true(tarn_tape_training(t));
        assert_int_equal(tarn_tape_nodes(t), 0);
        for (int i = 0; i < 3; i++) {
            assert_non_null(all[i]);
            tarn_tensor_free(all[i]);
        }
        tarn_extremes_free(&e);
    }
    tarn_tensor_free(x);
    network_free(&m);
}

static void on_error_the_report_is_zeros(void **state)
{
    (void)state;
    problem p = problem_new(2, (double[]){0, 0}, NULL);
    const tarn_objective o = {two_weights, &p, p.params, t};
    const tarn_critical_point_opts bad = {.zero_tol = 2};
    const tarn_critical_point_report zeros = {0};
    tarn_critical_point_report r;
    for (int i = 0; i < 2; i++) {
        assert_true(tarn_critical_point(&o, NULL, &r));
        assert_int_equal(r.kind, TARN_SADDLE);
        assert_false(tarn_critical_point(i ? &o : NULL, i ? &bad : NULL, &r));
        expect_error("tarn_critical_point: ", i ? "zero_tol 2" : "objective is NULL");
        assert_true(r.kind == zeros.kind && r.value == 0 && r.gradient_norm == 0 && r.smallest == 0 && r.largest == 0);
        assert_true(r.negative == 0 && r.zero == 0 && r.positive == 0 && r.minimum_ratio == 0);
    }
    tarn_params_free(p.params);
}

static void too_large_for_the_whole(void **state)
{
    (void)state;
    static double at[TARN_HESSIAN_MAX + 1], curvature[TARN_HESSIAN_MAX + 1];
    for (int i = 0; i <= TARN_HESSIAN_MAX; i++)
        curvature[i] = 1;
    curvature[7] = -2;
    problem p = problem_new(TARN_HESSIAN_MAX + 1, at, curvature);
    const tarn_objective o = {diagonal, &p, p.params, t};
    assert_null(tarn_hessian_new(&o));
    expect_error("tarn_hessian_new: 4097 parameters, expected at most 4096");
    tarn_critical_point_report r;
    assert_false(tarn_critical_point(&o, NULL, &r));
    expect_error("tarn_critical_point: 4097 parameters, expected at most 4096");
    tarn_tensor *way = tarn_escape_direction_new(&o, NULL, NULL);
    const double *v = tarn_data(way);
    assert_true(v && fabs(v[7] - 1) < 1e-12);
    tarn_tensor_free(way);
    tarn_params_free(p.params);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_lectures_saddle),
        TEST(the_way_does_not_climb),
        TEST(verdicts),
        TEST(the_whole_is_made_of_products),
        TEST(the_trace_of_a_diagonal_is_exact),
        TEST(batchnorm_does_not_feel_a_shift),
        TEST(f32_is_f64_rounded),
        TEST(threads_change_no_bit),
        TEST(the_store_stays_as_it_was),
        TEST(on_error_the_report_is_zeros),
        TEST(too_large_for_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
