/* Weight normalization and spectral normalization of Linear and Conv2d: what they put into the store, what the weights
 * become, how the power iteration moves, and what is refused. Values and gradients are in ops_normalize.c. */
#include "data/safetensors.h"
#include "tests/files.h"
#include "tests/layers_cases.h"

static tarn_tensor *total(tarn_tensor *x)
{
    return tarn_sum(f.t, x, TARN_ALL_AXES, false);
}

static void expect_close(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.17g, expected %.17g within %g", got, want, tolerance);
}

static void expect_names(const char *const *names, size_t n)
{
    assert_int_equal(tarn_params_count(f.p), n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(tarn_param_name(tarn_params_at(f.p, i)), names[i]);
}

/* ---- weight normalization ---- */

static void weightnorm_begins_as_the_layer_without(void **state)
{
    (void)state;
    tarn_weightnorm_linear_layer l;
    tarn_weightnorm_conv2d_layer c;
    assert_true(tarn_weightnorm_linear_init(&l, f.p, "l", &f.rng, 5, 4, NULL) &&
                tarn_weightnorm_conv2d_init(&c, f.p, "c", &f.rng, 4, 6, 3,
                                            &(tarn_conv2d_layer_opts){.groups = 2, .padding = 1, .no_bias = true}));
    expect_names((const char *const[]){"l.g", "l.weight", "l.bias", "c.g", "c.weight"}, 5);
    expect_shape(l.g, TARN_SHAPE(4));
    expect_shape(c.g, TARN_SHAPE(6));
    assert_true(tarn_param_grad(l.g) && tarn_param_grad(l.linear.weight) && !c.conv.bias);
    tarn_tensor *x = random_input(TARN_SHAPE(3, 2, 5)), *image = random_input(TARN_SHAPE(2, 5, 4, 4));
    expect_equal(tarn_weightnorm_linear_apply(f.t, &l, x), tarn_linear_apply(f.t, &l.linear, x), 1e-14);
    expect_equal(tarn_weightnorm_conv2d_apply(f.t, &c, image), tarn_conv2d_apply(f.t, &c.conv, image), 1e-14);
}

/* The lengths are g's, whatever v's; v's own length does not matter; the gradient of v is at a right angle to it. */
static void weightnorm_parts_length_and_direction(void **state)
{
    (void)state;
    tarn_weightnorm_linear_layer l;
    assert_true(tarn_weightnorm_linear_init(&l, f.p, "l", &f.rng, 5, 3, NULL));
    const double g[] = {2, -0.5, 0};
    memcpy(tarn_mutable_data(l.g), g, sizeof g);
    tarn_tensor *v = l.linear.weight, *w = tarn_weightnorm(f.t, v, l.g);
    const double *p = tarn_data(w), *q = tarn_data(v);
    for (int k = 0; k < 3; k++) {
        double length = 0, dot = 0, of_v = 0;
        for (int i = 0; i < 5; i++) {
            length += p[i * 3 + k] * p[i * 3 + k];
            dot += p[i * 3 + k] * q[i * 3 + k];
            of_v += q[i * 3 + k] * q[i * 3 + k];
        }
        expect_close(sqrt(length), fabs(g[k]), 1e-14);
        expect_close(dot, g[k] * sqrt(of_v), 1e-14);
    }
    expect_equal(tarn_weightnorm(f.t, tarn_mul_scalar(f.t, v, 7), l.g), w, 1e-14);
    tarn_tensor *loss = total(tarn_sin(f.t, tarn_weightnorm_linear_apply(f.t, &l, random_input(TARN_SHAPE(4, 5)))));
    assert_true(tarn_backward(f.t, loss));
    const double *gv = tarn_data(tarn_param_grad(v)), *gg = tarn_data(tarn_param_grad(l.g));
    for (int k = 0; k < 3; k++) {
        double dot = 0, size = 0;
        for (int i = 0; i < 5; i++)
            dot += gv[i * 3 + k] * q[i * 3 + k], size += fabs(gv[i * 3 + k]);
        expect_close(dot, 0, 1e-13);
        assert_true((size > 1e-3 || k == 2) && gg[k] != 0);
    }
}

/* ---- spectral normalization ---- */

/* The largest singular value of [rows,columns] by Jacobi rotations of the columns (Hestenes 1958). */
static double largest_singular(int rows, int columns, const double *matrix)
{
    double a[64 * 8], largest = 0;
    assert_true(rows <= 64 && columns <= 8);
    memcpy(a, matrix, (size_t)(rows * columns) * sizeof *a);
    for (int sweep = 0; sweep < 60; sweep++)
        for (int p = 0; p < columns; p++)
            for (int q = p + 1; q < columns; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (int i = 0; i < rows; i++) {
                    pp += a[i * columns + p] * a[i * columns + p];
                    qq += a[i * columns + q] * a[i * columns + q];
                    pq += a[i * columns + p] * a[i * columns + q];
                }
                double angle = 0.5 * atan2(2 * pq, pp - qq);
                for (int i = 0; i < rows; i++) {
                    double x = a[i * columns + p], y = a[i * columns + q];
                    a[i * columns + p] = cos(angle) * x + sin(angle) * y;
                    a[i * columns + q] = cos(angle) * y - sin(angle) * x;
                }
            }
    for (int p = 0; p < columns; p++) {
        double square = 0;
        for (int i = 0; i < rows; i++)
            square += a[i * columns + p] * a[i * columns + p];
        largest = fmax(largest, sqrt(square));
    }
    return largest;
}

static void sigma_is_the_largest_singular_value(void **state)
{
    (void)state;
    tarn_spectralnorm_linear_layer l;
    tarn_spectralnorm_conv2d_layer c;
    assert_true(tarn_spectralnorm_linear_init(&l, f.p, "l", &f.rng, 7, 4, NULL, NULL) &&
                tarn_spectralnorm_conv2d_init(&c, f.p, "c", &f.rng, 4, 6, 3, &(tarn_conv2d_layer_opts){.groups = 2},
                                              &(tarn_spectralnorm_opts){.iterations = 3}));
    expect_names((const char *const[]){"l.u", "l.v", "l.weight", "l.bias", "c.u", "c.v", "c.weight", "c.bias"}, 8);
    expect_shape(l.u, TARN_SHAPE(4));
    expect_shape(l.v, TARN_SHAPE(7));
    expect_shape(c.u, TARN_SHAPE(6));
    expect_shape(c.v, TARN_SHAPE(18));
    assert_null(tarn_param_grad(l.u));
    tarn_tensor *ws[] = {l.linear.weight, c.conv.weight}, *us[] = {l.u, c.u}, *vs[] = {l.v, c.v};
    const int rows[] = {7, 18}, columns[] = {4, 6};
    for (int k = 0; k < 2; k++) {
        const double sigma = largest_singular(rows[k], columns[k], tarn_data(ws[k]));
        const double first = tarn__load(ws[k], 0);
        tarn_tape_set_training(f.t, false);
        const double *w = tarn_data(tarn_spectralnorm(f.t, ws[k], us[k], vs[k], 1));
        assert_true(first / w[0] <= sigma * (1 + 1e-12) && first / w[0] > 0.9 * sigma); /* after the first 15 */
        tarn_tape_set_training(f.t, true);
        for (int step = 0; step < 300; step++)
            assert_true(tarn_run(tarn_spectralnorm(f.t, ws[k], us[k], vs[k], 1)));
        w = tarn_data(tarn_spectralnorm(f.t, ws[k], us[k], vs[k], 1));
        expect_close(first / w[0], sigma, 1e-12);
        expect_close(largest_singular(rows[k], columns[k], w), 1, 1e-12);
        expect_close(tarn_item(total(tarn_square(f.t, us[k]))), 1, 1e-13);
        expect_close(tarn_item(total(tarn_square(f.t, vs[k]))), 1, 1e-13);
    }
}

/* Miyato et al., algorithm 1, by hand, in our layout. */
static void steps_follow_the_paper(void **state)
{
    (void)state;
    enum { IN = 3, OUT = 2 };
    for (int iterations = 1; iterations <= 3; iterations++) {
        const double w[IN * OUT] = {1, -2, 0.5, 3, -1, 0.25};
        double u[OUT] = {0.6, 0.8}, v[IN], sigma = 0;
        tarn_tensor *weight = tarn_constant(f.t, TARN_F64, TARN_SHAPE(IN, OUT), w),
                    *us = tarn_constant(f.t, TARN_F64, TARN_SHAPE(OUT), u),
                    *vs = tarn_zeros(f.t, TARN_F64, TARN_SHAPE(IN));
        for (int k = 0; k < iterations; k++) {
            double length = 0;
            for (int i = 0; i < IN; i++)
                v[i] = w[i * OUT] * u[0] + w[i * OUT + 1] * u[1], length += v[i] * v[i];
            for (int i = 0; i < IN; i++)
                v[i] /= sqrt(length);
            length = 0;
            for (int o = 0; o < OUT; o++)
                u[o] = w[o] * v[0] + w[OUT + o] * v[1] + w[2 * OUT + o] * v[2], length += u[o] * u[o];
            for (int o = 0; o < OUT; o++)
                u[o] /= sqrt(length);
            sigma = sqrt(length); /* u^T W^T v with this u */
        }
        const double *y = tarn_data(tarn_spectralnorm(f.t, weight, us, vs, iterations));
        assert_non_null(y);
        for (int i = 0; i < IN * OUT; i++)
            expect_close(y[i], w[i] / sigma, 1e-14);
        for (int i = 0; i < IN; i++)
            expect_close(tarn__load(vs, i), v[i], 1e-14);
        for (int o = 0; o < OUT; o++)
            expect_close(tarn__load(us, o), u[o], 1e-14);
    }
}

/* w / sigma does not change when w is scaled, however far. */
static void small_weights_have_the_same_direction(void **state)
{
    (void)state;
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tape_set_training(f.t, true);
        tarn_tensor *w = tarn_cast(f.t, random_input(TARN_SHAPE(5, 4)), (tarn_dtype)dtype), *y[2];
        for (int k = 0; k < 2; k++) {
            tarn_tensor *u = tarn_ones(f.t, (tarn_dtype)dtype, TARN_SHAPE(4)),
                        *v = tarn_ones(f.t, (tarn_dtype)dtype, TARN_SHAPE(5));
            y[k] = tarn_spectralnorm(f.t, tarn_mul_scalar(f.t, w, k ? 0x1p-60 : 1), u, v, 2);
            assert_true(tarn_run(y[k]));
            expect_close(tarn_item(total(tarn_square(f.t, u))), 1, dtype == TARN_F32 ? 1e-6 : 1e-14);
        }
        expect_equal(y[1], y[0], dtype == TARN_F32 ? 1e-6 : 1e-14);
    }
}

static void power_iteration_moves_once_and_in_training_only(void **state)
{
    (void)state;
    tarn_spectralnorm_linear_layer l;
    assert_true(tarn_spectralnorm_linear_init(&l, f.p, "l", &f.rng, 20, 20, NULL, NULL));
    tarn_tensor *x = random_input(TARN_SHAPE(4, 20)), *g = NULL;
    double u = tarn__load(l.u, 0), v = tarn__load(l.v, 0);
    tarn_tape_set_training(f.t, false);
    assert_true(tarn_run(tarn_spectralnorm_linear_apply(f.t, &l, x)));
    assert_true(tarn__load(l.u, 0) == u && tarn__load(l.v, 0) == v);
    tarn_tape_set_training(f.t, true);
    tarn_tensor *y = tarn_spectralnorm_linear_apply(f.t, &l, x);
    assert_true(tarn__load(l.u, 0) == u); /* recorded, not run */
    assert_true(tarn_run(y));
    double after = tarn__load(l.u, 0);
    assert_true(after != u && tarn__load(l.v, 0) != v);
    assert_true(tarn_grad(f.t, 1, &y, (tarn_tensor *[]){tarn_sin(f.t, y)}, 1, &l.linear.weight, &g) && tarn_run(g) &&
                tarn_run(y));
    assert_true(tarn__load(l.u, 0) == after);
    assert_true(tarn_run(tarn_spectralnorm_linear_apply(f.t, &l, x)) && tarn__load(l.u, 0) != after);
}

/* With u and v where they are, sigma = v^T W u is linear in W: what the gradient holds constant, evaluation does. */
static void the_gradient_takes_u_and_v_as_they_are(void **state)
{
    (void)state;
    tarn_spectralnorm_linear_layer l;
    assert_true(tarn_spectralnorm_linear_init(&l, f.p, "l", &f.rng, 6, 5, NULL, NULL));
    tarn_tensor *x = random_input(TARN_SHAPE(3, 6)), *w = l.linear.weight, *g[2], *gg[2], *y[2];
    for (int k = 0; k < 2; k++) {
        tarn_tape_set_training(f.t, k == 0); /* after training's step evaluation has the same u and v */
        y[k] = tarn_sin(f.t, tarn_spectralnorm_linear_apply(f.t, &l, x));
        assert_true(tarn_run(y[k]) && tarn_grad(f.t, 1, &y[k], NULL, 1, &w, &g[k]));
        tarn_tensor *dot = total(tarn_square(f.t, g[k]));
        assert_true(tarn_grad(f.t, 1, &dot, NULL, 1, &w, &gg[k]));
        assert_true(tarn_item(total(tarn_square(f.t, gg[k]))) > 1e-3);
    }
    expect_equal(y[0], y[1], 1e-14);
    expect_equal(g[0], g[1], 1e-13);
    expect_equal(gg[0], gg[1], 1e-12);
}

static tarn_tensor *segment(tarn_tape *t, void *context, tarn_tensor *x)
{
    return tarn_sin(t, tarn_spectralnorm_linear_apply(t, context, tarn_mul_scalar(t, x, 2)));
}

static void step(bool checkpoint, bool run_first, double out[14], tarn_params *params)
{
    tarn_spectralnorm_linear_layer l;
    tarn_rng rng = tarn_rng_seed(9);
    tarn_tape *t = tarn_tape_new();
    assert_true(tarn_spectralnorm_linear_init(&l, params, "l", &rng, 4, 3, NULL, NULL));
    tarn_tensor *x = tarn_uniform(t, TARN_F64, TARN_SHAPE(5, 4), &rng, -1, 1), *g, *w = l.linear.weight;
    tarn_tensor *y = checkpoint ? tarn_checkpoint(t, segment, &l, x) : segment(t, &l, x);
    tarn_tensor *loss = tarn_sum(t, tarn_square(t, y), TARN_ALL_AXES, false);
    assert_true(!run_first || tarn_run(loss));
    assert_true(tarn_grad(t, 1, &loss, NULL, 1, &w, &g) && tarn_run(g));
    out[12] = tarn_item(loss);
    memcpy(out, tarn_data(g), 12 * sizeof *out);
    out[13] = tarn__load(l.u, 0);
    tarn_tape_free(t);
}

static void a_checkpoint_has_the_same_u_and_v(void **state)
{
    (void)state;
    for (int run_first = 0; run_first < 2; run_first++) {
        double plain[14], again[14];
        tarn_params *a = tarn_params_new(TARN_F64), *b = tarn_params_new(TARN_F64);
        step(false, run_first, plain, a);
        step(true, run_first, again, b);
        assert_memory_equal(plain, again, sizeof plain);
        tarn_params_free(a);
        tarn_params_free(b);
    }
}

/* ---- both, in training ---- */

typedef struct net {
    tarn_params *p;
    tarn_spectralnorm_conv2d_layer c1;
    tarn_weightnorm_conv2d_layer c2;
    tarn_flatten_layer flat;
    tarn_spectralnorm_linear_layer f1;
    tarn_weightnorm_linear_layer f2;
    tarn_layer parts[5];
    tarn_sequential chain;
    tarn_optim *o;
} net;

static void net_new(net *m, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    m->p = tarn_params_new(TARN_F64);
    assert_true(tarn_spectralnorm_conv2d_init(&m->c1, m->p, "c1", &rng, 2, 3, 3, NULL, NULL) &&
                tarn_weightnorm_conv2d_init(&m->c2, m->p, "c2", &rng, 3, 2, 2, NULL) &&
                tarn_flatten_init(&m->flat, 1) &&
                tarn_spectralnorm_linear_init(&m->f1, m->p, "f1", &rng, 18, 8, NULL, NULL) &&
                tarn_weightnorm_linear_init(&m->f2, m->p, "f2", &rng, 8, 3, NULL));
    const tarn_layer parts[] = {tarn_spectralnorm_conv2d_as_layer(&m->c1), tarn_weightnorm_conv2d_as_layer(&m->c2),
                                tarn_flatten_as_layer(&m->flat), tarn_spectralnorm_linear_as_layer(&m->f1),
                                tarn_weightnorm_linear_as_layer(&m->f2)};
    memcpy(m->parts, parts, sizeof parts);
    assert_true(tarn_sequential_init(&m->chain, 5, m->parts));
    m->o = tarn_sgd_new(m->p, &(tarn_sgd_opts){.lr = 0.1});
}

static void net_free(net *m)
{
    tarn_optim_free(m->o);
    tarn_params_free(m->p);
}

static double train(net *m, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    tarn_tensor *x = tarn_normal(f.t, TARN_F64, TARN_SHAPE(4, 6, 6, 2), &rng, 0, 1);
    tarn_tensor *loss =
        tarn_mse(f.t, tarn_sequential_apply(f.t, &m->chain, x), tarn_ones(f.t, TARN_F64, TARN_SHAPE(4, 3)));
    tarn_params_zero_grad(m->p);
    assert_true(tarn_backward(f.t, loss) && tarn_optim_step(m->o));
    double value = tarn_item(loss);
    tarn_tape_reset(f.t);
    return value;
}

static void a_saved_state_goes_on_the_same(void **state)
{
    (void)state;
    net a, b;
    net_new(&a, 1);
    net_new(&b, 2);
    double first = train(&a, 0), last = 0;
    for (uint64_t i = 1; i < 30; i++)
        train(&a, i);
    assert_true(tarn_params_save(a.p, files_path("norms")) && tarn_params_load(b.p, files_path("norms")));
    for (uint64_t i = 30; i < 40; i++) {
        last = train(&a, i);
        assert_true(train(&b, i) == last);
    }
    assert_true(last < 0.5 * first);
    net_free(&a);
    net_free(&b);
}

/* Where convolution works with transformed weights, those of a computed weight follow it from step to step: as `exact`,
 * which transforms nothing, in f32. */
static void computed_weights_suit_fast_convolution(void **state)
{
    (void)state;
    double losses[2][4];
    for (int exact = 0; exact < 2; exact++) {
        tarn_params *p = tarn_params_new(TARN_F32);
        tarn_rng rng = tarn_rng_seed(4);
        tarn_spectralnorm_conv2d_layer c1;
        tarn_weightnorm_conv2d_layer c2;
        const tarn_conv2d_layer_opts opts = {.padding = 1, .exact = exact};
        assert_true(tarn_spectralnorm_conv2d_init(&c1, p, "c1", &rng, 16, 16, 3, &opts, NULL) &&
                    tarn_weightnorm_conv2d_init(&c2, p, "c2", &rng, 16, 16, 3, &opts));
        tarn_optim *o = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = 0.5});
        for (int k = 0; k < 4; k++) {
            tarn_tensor *x = tarn_normal(f.t, TARN_F32, TARN_SHAPE(2, 16, 16, 16), &rng, 0, 1);
            tarn_tensor *y = tarn_relu(f.t, tarn_spectralnorm_conv2d_apply(f.t, &c1, x));
            tarn_tensor *loss = tarn_mse(f.t, tarn_weightnorm_conv2d_apply(f.t, &c2, y), tarn_relu(f.t, x));
            tarn_params_zero_grad(p);
            assert_true(tarn_backward(f.t, loss) && tarn_optim_step(o));
            losses[exact][k] = tarn_item(loss);
            tarn_tape_reset(f.t);
        }
        tarn_optim_free(o);
        tarn_params_free(p);
    }
    for (int k = 0; k < 4; k++) {
        expect_close(losses[0][k], losses[1][k], 1e-5 * losses[1][k]);
        assert_true(k == 0 || fabs(losses[1][k] / losses[1][k - 1] - 1) > 1e-4);
    }
}

/* ---- errors ---- */

static void functions_refuse(void **state)
{
    (void)state;
    tarn_tensor *w = random_input(TARN_SHAPE(2, 3, 4)), *u = random_input(TARN_SHAPE(4)),
                *v = random_input(TARN_SHAPE(6));
    assert_null(tarn_weightnorm(f.t, u, u));
    expect_error("tarn_weightnorm: v is f64[4], expected f32 or f64 [...,out]");
    assert_null(tarn_weightnorm(f.t, w, v));
    expect_error("tarn_weightnorm: g is f64[6], expected f64[4]");
    assert_null(tarn_weightnorm(f.t, w, NULL));
    expect_error("tarn_weightnorm: input 1 is NULL");
    assert_null(tarn_spectralnorm(f.t, w, u, v, -1));
    expect_error("iterations -1");
    assert_null(tarn_spectralnorm(f.t, u, u, v, 1));
    expect_error("tarn_spectralnorm: w is f64[4]");
    assert_null(tarn_spectralnorm(f.t, w, v, v, 1));
    expect_error("tarn_spectralnorm: u is f64[6], expected f64[4] for w [2,3,4]");
    assert_null(tarn_spectralnorm(f.t, w, u, u, 1));
    expect_error("tarn_spectralnorm: v is f64[4], expected f64[6]");
    assert_null(tarn_spectralnorm(f.t, w, tarn_sin(f.t, u), v, 1));
    expect_error("tarn_spectralnorm: u was computed by an op");
    assert_null(tarn_spectralnorm(f.t, w, u, tarn_slice(f.t, random_input(TARN_SHAPE(12)), 0, 0, 6, 1), 1));
    expect_error("tarn_spectralnorm: v was computed by an op");
    assert_null(tarn_spectralnorm(f.t, w, NULL, v, 1));
    expect_error("tarn_spectralnorm: u is NULL");
}

#define REFUSED(layer, part, call)                                                                                     \
    do {                                                                                                               \
        uint64_t counter = f.rng.counter;                                                                              \
        memset(&(layer), 0x5a, sizeof(layer));                                                                         \
        assert_false(call);                                                                                            \
        expect_error(part);                                                                                            \
        assert_int_equal(tarn_params_count(f.p), 1);                                                                   \
        assert_int_equal(f.rng.counter, counter);                                                                      \
    } while (0)

static void layers_refuse(void **state)
{
    (void)state;
    tarn_weightnorm_linear_layer wl;
    tarn_weightnorm_conv2d_layer wc;
    tarn_spectralnorm_linear_layer sl;
    tarn_spectralnorm_conv2d_layer sc;
    tarn_rng *r = &f.rng;
    const tarn_linear_opts zeros = {.init = {.kind = TARN_INIT_ZEROS}};
    const tarn_conv2d_layer_opts zero_maps = {.init = {.kind = TARN_INIT_ZEROS}}, groups = {.groups = 4};
    assert_non_null(tarn_params_add(f.p, "taken.bias", TARN_SHAPE(1)));
    REFUSED(wl, "\"taken.bias\" is already", tarn_weightnorm_linear_init(&wl, f.p, "taken", r, 2, 3, NULL));
    assert_true(!wl.g && !wl.linear.weight);
    REFUSED(wl, "out 0", tarn_weightnorm_linear_init(&wl, f.p, "l", r, 2, 0, NULL));
    REFUSED(wl, "in 0", tarn_weightnorm_linear_init(&wl, f.p, "l", r, 0, 2, NULL));
    REFUSED(wl, "weights of zeros have no direction", tarn_weightnorm_linear_init(&wl, f.p, "l", r, 2, 2, &zeros));
    REFUSED(wc, "\"taken.bias\" is already", tarn_weightnorm_conv2d_init(&wc, f.p, "taken", r, 2, 3, 3, NULL));
    assert_true(!wc.g && !wc.conv.weight);
    REFUSED(wc, "4 groups do not divide", tarn_weightnorm_conv2d_init(&wc, f.p, "l", r, 6, 4, 3, &groups));
    REFUSED(wc, "weights of zeros", tarn_weightnorm_conv2d_init(&wc, f.p, "l", r, 6, 4, 3, &zero_maps));
    REFUSED(sl, "\"taken.bias\" is already", tarn_spectralnorm_linear_init(&sl, f.p, "taken", r, 2, 3, NULL, NULL));
    assert_true(!sl.u && !sl.linear.weight);
    REFUSED(sl, "weights of zeros", tarn_spectralnorm_linear_init(&sl, f.p, "l", r, 2, 3, &zeros, NULL));
    REFUSED(sl, "iterations -1",
            tarn_spectralnorm_linear_init(&sl, f.p, "l", r, 2, 3, NULL, &(tarn_spectralnorm_opts){-1}));
    REFUSED(sc, "\"taken.bias\" is already", tarn_spectralnorm_conv2d_init(&sc, f.p, "taken", r, 2, 3, 3, NULL, NULL));
    assert_true(!sc.u && !sc.conv.weight);
    REFUSED(sc, "4 groups do not divide", tarn_spectralnorm_conv2d_init(&sc, f.p, "l", r, 6, 4, 3, &groups, NULL));
    REFUSED(sc, "kernel 0", tarn_spectralnorm_conv2d_init(&sc, f.p, "l", r, 6, 4, 0, NULL, NULL));
    REFUSED(sc, "weights of zeros", tarn_spectralnorm_conv2d_init(&sc, f.p, "l", r, 6, 4, 3, &zero_maps, NULL));

    assert_true(tarn_weightnorm_linear_init(&wl, f.p, "wl", r, 2, 3, NULL) &&
                tarn_spectralnorm_conv2d_init(&sc, f.p, "sc", r, 2, 3, 3, NULL, NULL));
    assert_null(tarn_weightnorm_linear_apply(f.t, &wl, random_input(TARN_SHAPE(4, 3))));
    expect_error("tarn_weightnorm_linear_apply: x is f64[4,3], expected f64[...,2]");
    assert_null(tarn_spectralnorm_conv2d_apply(f.t, &sc, random_input(TARN_SHAPE(4, 4, 2))));
    expect_error("tarn_spectralnorm_conv2d_apply: x is f64[4,4,2], expected f64[N,H,W,2]");
    assert_null(tarn_spectralnorm_conv2d_apply(f.t, &(tarn_spectralnorm_conv2d_layer){.u = NULL}, wl.g));
    expect_error("the layer was not initialized");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(weightnorm_begins_as_the_layer_without),
        TEST(weightnorm_parts_length_and_direction),
        TEST(sigma_is_the_largest_singular_value),
        TEST(steps_follow_the_paper),
        TEST(small_weights_have_the_same_direction),
        TEST(power_iteration_moves_once_and_in_training_only),
        TEST(the_gradient_takes_u_and_v_as_they_are),
        TEST(a_checkpoint_has_the_same_u_and_v),
        TEST(a_saved_state_goes_on_the_same),
        TEST(computed_weights_suit_fast_convolution),
        TEST(functions_refuse),
        TEST(layers_refuse),
    };
    return cmocka_run_group_tests_name("weight norms", tests, files_setup, files_teardown);
}
