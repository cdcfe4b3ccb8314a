/* Slices and their directions, and that the store stays as it was. */
#include "tests/surface_cases.h"

#include "tensor/threads.h"

/* ---- a network with everything that a loss can move ---- */

typedef struct network {
    tarn_params *params;
    tarn_linear_layer f1, f2;
    tarn_batchnorm_layer norm;
    tarn_conv2d_layer conv;
    tarn_tensor *x, *labels;
} network;

static tarn_tensor *network_loss(tarn_tape *t, void *context)
{
    network *n = context;
    tarn_tensor *h = tarn_batchnorm_apply(t, &n->norm, tarn_conv2d_apply(t, &n->conv, n->x));
    h = tarn_tanh(t, tarn_linear_apply(t, &n->f1, tarn_mean(t, h, TARN_AXES(1, 2), false)));
    return tarn_cross_entropy(t, tarn_linear_apply(t, &n->f2, h), n->labels);
}

static network network_new(tarn_dtype dtype)
{
    network n = {.params = tarn_params_new(dtype)};
    tarn_rng rng = tarn_rng_seed(3);
    tarn_conv2d_init(&n.conv, n.params, "conv", &rng, 2, 6, 3, NULL);
    tarn_batchnorm_init(&n.norm, n.params, "norm", 6, NULL);
    tarn_linear_init(&n.f1, n.params, "f1", &rng, 6, 5, NULL);
    tarn_linear_init(&n.f2, n.params, "f2", &rng, 5, 3, NULL);
    rng = tarn_rng_seed(4); /* what f32 drew is not what f64 drew */
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(8, 6, 6, 2), &rng, -1, 1);
    tarn_tensor *point = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(tarn_params_numel(n.params)), &rng, -1, 1);
    n.x = tarn_tensor_new(dtype, TARN_SHAPE(8, 6, 6, 2));
    assert_true(tarn_copy(n.x, x) && tarn_params_set_vector(n.params, point));
    n.labels = tarn_tensor_from(TARN_I32, TARN_SHAPE(8), (int32_t[]){0, 1, 2, 2, 1, 0, 0, 1});
    tarn_tensor_free(x), tarn_tensor_free(point);
    assert_null(tarn_error());
    return n;
}

static void network_free(network *n)
{
    tarn_tape_reset(f.t);
    tarn_tensor_free(n->x), tarn_tensor_free(n->labels);
    tarn_params_free(n->params);
}

static bool every_batch(void *context, int64_t batch)
{
    (void)context, (void)batch;
    return true;
}

/* Everything that is measured, one after the other. */
typedef struct measured {
    double line[5], plane[3 * 4];
    tarn_gradient_probe_report probe;
    tarn_gradient_shift_report shift;
    tarn_gradient_noise_report noise;
} measured;

static measured measure(const tarn_objective *o)
{
    measured m;
    memset(&m, 0, sizeof m);
    tarn_rng rng = tarn_rng_seed(5);
    tarn_tensor *d = tarn_direction_random_new(o->params, &rng, NULL);
    tarn_tensor *e = tarn_direction_random_new(o->params, &rng, &(tarn_direction_opts){.orthogonal_to = d});
    tarn_tensor *line = tarn_slice1d_new(o, &(tarn_slice_axis){d, -1, 1, 5}, NULL);
    tarn_tensor *plane = tarn_slice2d_new(o, &(tarn_slice_axis){d, -1, 1, 3}, &(tarn_slice_axis){e, 0, 0.6, 4}, NULL);
    expect_shape(line, TARN_SHAPE(5));
    expect_shape(plane, TARN_SHAPE(3, 4));
    memcpy(m.line, tarn_data(line), sizeof m.line);
    memcpy(m.plane, tarn_data(plane), sizeof m.plane);
    assert_true(tarn_gradient_probe(o, NULL, &m.probe));
    assert_true(tarn_gradient_shift(o, "f2.", NULL, 0.1, &m.shift));
    assert_true(tarn_gradient_noise(o, 3, 8, every_batch, &m.noise));
    tarn_tensor_free(d), tarn_tensor_free(e), tarn_tensor_free(line), tarn_tensor_free(plane);
    return m;
}

static void *everything(const tarn_params *params, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++)
        *bytes += 2 * tarn__bytes(tarn_params_at(params, i));
    char *all = calloc(1, *bytes), *at = all;
    assert_non_null(all);
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        const tarn_tensor *x = tarn_params_at(params, i);
        memcpy(at, x->data, tarn__bytes(x));
        if (x->grad)
            memcpy(at + tarn__bytes(x), x->grad->data, tarn__bytes(x));
        at += 2 * tarn__bytes(x);
    }
    return all;
}

static void the_store_stays_as_it_was(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        network n = network_new(TARN_F64);
        const tarn_objective o = {network_loss, &n, n.params, f.t};
        tarn_tape_set_training(f.t, true);
        assert_true(tarn_backward(f.t, network_loss(f.t, &n))); /* gradients and running statistics worth keeping */
        tarn_tape_reset(f.t);
        tarn_tape_set_training(f.t, training);
        size_t bytes;
        void *before = everything(n.params, &bytes);
        double value = tarn_objective_value(&o);
        measured m = measure(&o);
        void *after = everything(n.params, &bytes);
        assert_memory_equal(before, after, bytes);
        assert_int_equal(tarn_tape_training(f.t), training);
        assert_true(m.line[2] == value && m.plane[4] == value && m.probe.loss == value); /* the middle is theta */
        assert_true(m.noise.noise_norm == 0 && m.noise.noise_scale == 0);                /* the same batch each time */
        assert_true(m.noise.mean_norm > 0 && m.noise.loss == value);
        free(before), free(after);
        network_free(&n);
    }
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    network n = network_new(TARN_F32);
    const tarn_objective o = {network_loss, &n, n.params, f.t};
    assert_true(tarn_set_threads(1));
    measured one = measure(&o);
    for (int threads = 2; threads <= 5; threads++) {
        assert_true(tarn_set_threads(threads));
        measured more = measure(&o);
        assert_memory_equal(&one, &more, sizeof one);
    }
    assert_true(tarn_set_threads(1));
    network_free(&n);
}

static void f32_is_f64_rounded(void **state)
{
    (void)state;
    measured m[2];
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        network n = network_new((tarn_dtype)dtype);
        m[dtype] = measure(&(tarn_objective){network_loss, &n, n.params, f.t});
        network_free(&n);
    }
    for (int i = 0; i < 5; i++)
        near(m[0].line[i], m[1].line[i], 1e-5);
    for (int i = 0; i < 12; i++)
        near(m[0].plane[i], m[1].plane[i], 1e-5);
    near(m[0].probe.lowest_loss, m[1].probe.lowest_loss, 1e-5);
    near(m[0].probe.farthest, m[1].probe.farthest, 1e-5);
    near(m[0].probe.beta, m[1].probe.beta, 1e-4);
    near(m[0].shift.shift, m[1].shift.shift, 1e-5);
}

/* ---- directions ---- */

static double filter_norm(const double *x, int64_t n, int64_t stride)
{
    double squares = 0;
    for (int64_t i = 0; i < n; i++)
        squares += x[i * stride] * x[i * stride];
    return sqrt(squares);
}

/* conv.weight [3,3,2,6], conv.bias [6], norm gamma and beta [6] each, f1.weight [6,5], ... */
static void filters_have_the_length_of_the_weights(void **state)
{
    (void)state;
    network n = network_new(TARN_F64);
    assert_string_equal(tarn_param_name(tarn_params_at(n.params, 0)), "conv.weight");
    tarn_tensor *theta = tarn_params_vector_new(n.params);
    for (int vectors = 0; vectors < 2; vectors++) {
        tarn_tensor *d = tarn_direction_random_new(n.params, &f.rng, &(tarn_direction_opts){.vectors = vectors});
        const double *a = tarn_data(theta), *b = tarn_data(d);
        for (size_t i = 0; i < tarn_params_count(n.params); i++) {
            const tarn_tensor *x = tarn_params_at(n.params, i);
            if (!tarn_param_grad(x))
                continue;
            int64_t filters = tarn_ndim(x) > 1 ? tarn_dim(x, -1) : 1, size = tarn_numel(x) / filters;
            for (int64_t k = 0; k < filters; k++) {
                double want = tarn_ndim(x) > 1 || vectors ? filter_norm(a + k, size, filters) : 0;
                near(filter_norm(b + k, size, filters), want, 1e-14);
            }
            a += tarn_numel(x), b += tarn_numel(x);
        }
        tarn_tensor_free(d);
    }
    tarn_tensor_free(theta);
    network_free(&n);
}

static void a_second_direction_is_orthogonal(void **state)
{
    (void)state;
    network n = network_new(TARN_F64);
    int64_t p = tarn_params_numel(n.params);
    for (int plain = 0; plain < 2; plain++) {
        tarn_direction_opts o = {.plain = plain};
        tarn_tensor *d = tarn_direction_random_new(n.params, &f.rng, &o);
        o.orthogonal_to = d;
        tarn_tensor *e = tarn_direction_random_new(n.params, &f.rng, &o);
        const double *a = tarn_data(d), *b = tarn_data(e);
        assert_true(filter_norm(b, p, 1) > 0.5);
        assert_true(fabs(dot((int)p, a, b)) < 1e-13 * filter_norm(a, p, 1) * filter_norm(b, p, 1));
        double own = 0; /* within the first filter of conv.weight [3,3,2,6] */
        for (int k = 0; k < 18; k++)
            own += a[6 * k] * b[6 * k];
        assert_int_equal(fabs(own) < 1e-14, !plain);
        tarn_tensor_free(d), tarn_tensor_free(e);
    }
    network_free(&n);
}

static void plain_directions_are_the_draws(void **state)
{
    (void)state;
    tarn_params_add(f.p, "w", TARN_SHAPE(2, 3));
    tarn_params_add(f.p, "b", TARN_SHAPE(3));
    tarn_rng again = f.rng;
    double want[9];
    assert_true(tarn_rng_fill_normal_f64(&again, 9, want, 0, 1));
    tarn_tensor *d = tarn_direction_random_new(f.p, &f.rng, &(tarn_direction_opts){.plain = true});
    assert_memory_equal(tarn_data(d), want, sizeof want);
    assert_true(f.rng.counter == again.counter);
    assert_true(tarn_direction_normalize(f.p, d, NULL)); /* weights of zeros */
    expect_equal(d, tarn_zeros(f.t, TARN_F64, TARN_SHAPE(9)), 0);
    assert_true(tarn_fill(tarn_params_find(f.p, "w"), 2));
    assert_true(tarn_direction_normalize(f.p, d, NULL)); /* a direction of zeros */
    expect_equal(d, tarn_zeros(f.t, TARN_F64, TARN_SHAPE(9)), 0);
    tarn_tensor_free(d);
}

/* ---- slices ---- */

static void slices_are_the_quadratic(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    const double d[N] = {1, 0.5, -1, 2, 0}, e[N] = {0, 1, 1, -0.5, 3};
    tarn_tensor *td = tarn_tensor_from(TARN_F64, TARN_SHAPE(N), d), *te = tarn_tensor_from(TARN_F64, TARN_SHAPE(N), e);
    const tarn_slice_axis rows = {td, -0.3, 1.1, 6}, columns = {te, -0.7, 0.7, 7}, one = {te, 0.25, 9, 1};
    tarn_tensor *line = tarn_slice1d_new(&o, &rows, NULL), *plane = tarn_slice2d_new(&o, &rows, &columns, NULL);
    tarn_tensor *point = tarn_slice1d_new(&o, &one, NULL);
    for (int i = 0; i < 6; i++) {
        double a = tarn_slice_coordinate(&rows, i);
        near(a, -0.3 + i * 0.28, 1e-15);
        near(tarn__load(line, i), value_at(a, d, 0, e), 1e-14);
        for (int k = 0; k < 7; k++)
            near(tarn__load(plane, 7 * i + k), value_at(a, d, tarn_slice_coordinate(&columns, k), e), 1e-14);
    }
    assert_true(tarn_slice_coordinate(&rows, 0) == -0.3 && tarn_slice_coordinate(&rows, 5) == 1.1);
    assert_true(tarn_slice_coordinate(&columns, 3) == 0);
    near(tarn__load(point, 0), value_at(0, d, 0.25, e), 1e-14);
    tarn_tensor_free(td), tarn_tensor_free(te), tarn_tensor_free(line), tarn_tensor_free(plane);
    tarn_tensor_free(point);
}

static tarn_tensor *square_loss(tarn_tape *t, void *context)
{
    return tarn_sum(t, tarn_square(t, context), TARN_ALL_AXES, false);
}

/* The direction is the parameter itself, or a view of it: what the slice moves must not move the direction. */
static void a_direction_may_be_the_point(void **state)
{
    (void)state;
    tarn_tensor *w = tarn_params_add(f.p, "w", TARN_SHAPE(3));
    tarn_tape *other = tarn_tape_new();
    const tarn_objective o = {square_loss, w, f.p, f.t};
    assert_true(tarn_copy(w, tarn_constant(other, TARN_F64, TARN_SHAPE(3), (double[]){1, 2, 2})));
    tarn_tensor *view = tarn_reshape(other, w, TARN_SHAPE(3));
    const tarn_slice_axis rows = {w, 0, 2, 3}, columns = {view, 0, 2, 3};
    assert_true(tarn_run(view));
    tarn_tensor *line = tarn_slice1d_new(&o, &rows, NULL), *plane = tarn_slice2d_new(&o, &rows, &columns, NULL);
    assert_null(tarn_error());
    for (int i = 0; i < 3; i++) {
        assert_true(tarn__load(line, i) == 9 * (1 + i) * (1 + i));
        for (int k = 0; k < 3; k++)
            assert_true(tarn__load(plane, 3 * i + k) == 9 * (1 + i + k) * (1 + i + k));
    }
    tarn_tensor_free(line), tarn_tensor_free(plane);
    tarn_tape_free(other);
}

typedef struct counter {
    int64_t calls, done, total;
} counter;

static void count(void *context, int64_t done, int64_t total)
{
    counter *c = context;
    *c = (counter){c->calls + 1, done, total};
}

static void progress_is_told_and_nan_is_kept(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    q.scale = NAN;
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    counter c = {0};
    const tarn_slice_opts opts = {count, &c};
    tarn_tensor *d = tarn_tensor_from(TARN_F64, TARN_SHAPE(N), THETA);
    tarn_tensor *plane = tarn_slice2d_new(&o, &(tarn_slice_axis){d, 0, 1, 2}, &(tarn_slice_axis){d, 0, 1, 3}, &opts);
    assert_null(tarn_error());
    for (int i = 0; i < 6; i++)
        assert_true(isnan(tarn__load(plane, i)));
    assert_true(c.calls == 6 && c.done == 6 && c.total == 6);
    tarn_gradient_probe_report probe;
    assert_true(tarn_gradient_probe(&o, NULL, &probe));
    assert_true(isnan(probe.loss) && isnan(probe.lowest_loss) && isnan(probe.highest_loss) && isnan(probe.beta));
    tarn_tensor_free(d), tarn_tensor_free(plane);
}

static void read_elsewhere(void *context, int64_t done, int64_t total)
{
    (void)done, (void)total;
    tarn_run(context);
}

/* Rather than computed from parameters that are not the ones it was recorded with. */
static void a_value_of_another_tape_is_an_error_meanwhile(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    tarn_tape *other = tarn_tape_new();
    tarn_tensor *pending = tarn_exp(other, q.lower), *d = tarn_tensor_from(TARN_F64, TARN_SHAPE(N), THETA);
    assert_null(tarn_slice1d_new(&o, &(tarn_slice_axis){d, 1, 2, 2}, &(tarn_slice_opts){read_elsewhere, pending}));
    expect_error("tarn_exp");
    tarn_tensor_free(d);
    tarn_tape_free(other);
}

static void a_direction_on_the_same_tape_is_an_error(void **state)
{
    (void)state;
    quadratic q = quadratic_new(f.p, THETA);
    const tarn_objective o = {quadratic_loss, &q, f.p, f.t};
    tarn_tensor *d = tarn_ones(f.t, TARN_F64, TARN_SHAPE(N));
    assert_null(tarn_slice1d_new(&o, &(tarn_slice_axis){d, 0, 1, 2}, NULL));
    expect_error("objective's tape");
}

static void a_point_has_its_coordinates(void **state)
{
    (void)state;
    const double d[N] = {1, 0.5, -1, 2, 0}, e[N] = {3, 1, 1, -0.5, 3},
                 off[N] = {0, 2, 1, 0, -1}; /* off.d = off.e = 0 */
    double at[N], ab[2];
    assert_true(dot(N, d, off) == 0 && dot(N, e, off) == 0 && dot(N, d, e) != 0);
    for (int i = 0; i < N; i++)
        at[i] = THETA[i] + 0.75 * d[i] - 2 * e[i] + 0.1 * off[i];
    tarn_tensor *t[4] = {tarn_constant(f.t, TARN_F64, TARN_SHAPE(N), THETA),
                         tarn_constant(f.t, TARN_F64, TARN_SHAPE(N), d), tarn_constant(f.t, TARN_F64, TARN_SHAPE(N), e),
                         tarn_constant(f.t, TARN_F64, TARN_SHAPE(N), at)};
    near(tarn_slice_project(t[0], t[1], t[2], t[3], ab), 0.1 * sqrt(6), 1e-14);
    near(ab[0], 0.75, 1e-14);
    near(ab[1], -2, 1e-14);
    near(tarn_slice_project(t[0], t[1], NULL, t[0], ab), 0, 0);
    assert_true(ab[0] == 0 && ab[1] == 0);
    tarn_tensor *between = tarn_direction_between_new(t[0], t[3]);
    near(tarn_slice_project(t[0], between, NULL, t[3], ab), 0, 1e-14);
    near(ab[0], 1, 1e-15);
    tarn_tensor_free(between);
}

/* Directions of a length whose square is no double. */
static void lengths_may_be_extreme(void **state)
{
    (void)state;
    const double scales[] = {1e-200, 1e-100, 1, 1e100, 1e200};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5; k++) {
            const double a = scales[i], b = scales[k];
            tarn_tensor *origin = tarn_zeros(f.t, TARN_F64, TARN_SHAPE(3)),
                        *d = tarn_constant(f.t, TARN_F64, TARN_SHAPE(3), (double[]){3 * a, 0, 4 * a}),
                        *e = tarn_constant(f.t, TARN_F64, TARN_SHAPE(3), (double[]){b, b, 0}),
                        *point = tarn_constant(f.t, TARN_F64, TARN_SHAPE(3), (double[]){3.5, 0.5, 4});
            double ab[2];
            near(tarn_slice_project(origin, d, e, point, ab), 0, 1e-14);
            near(ab[0] * a, 1, 1e-14);
            near(ab[1] * b, 0.5, 1e-14);
        }
    tarn_tensor *infinite = tarn_constant(f.t, TARN_F64, TARN_SHAPE(2), (double[]){1, INFINITY}),
                *one = tarn_ones(f.t, TARN_F64, TARN_SHAPE(2));
    double ab[2] = {7, 7};
    assert_true(isnan(tarn_slice_project(one, infinite, NULL, one, ab)));
    expect_error("not finite");
    assert_true(isnan(tarn_slice_project(one, one, infinite, one, ab)));
    expect_error("not finite");
    assert_true(ab[0] == 7 && ab[1] == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_store_stays_as_it_was),
        TEST(bits_do_not_depend_on_threads),
        TEST(f32_is_f64_rounded),
        TEST(filters_have_the_length_of_the_weights),
        TEST(a_second_direction_is_orthogonal),
        TEST(plain_directions_are_the_draws),
        TEST(slices_are_the_quadratic),
        TEST(a_direction_may_be_the_point),
        TEST(progress_is_told_and_nan_is_kept),
        TEST(a_value_of_another_tape_is_an_error_meanwhile),
        TEST(a_direction_on_the_same_tape_is_an_error),
        TEST(a_point_has_its_coordinates),
        TEST(lengths_may_be_extreme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
