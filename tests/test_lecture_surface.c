/* L1, L2, L14, L17 to L19: inputs of different scale make a valley, normalised ones do not; what momentum and a rate
 * for each parameter are. */
#include "autograd/curvature.h"
#include "tensor/eigen.h"
#include "tests/layers_cases.h"

enum { EXAMPLES = 20 };

/* y = w1 x1 + w2 x2 + 1 with x1 up to 10 and x2 up to 1000; b is held at 1, or at the mean of y for normalised inputs. */
typedef struct linear_model {
    tarn_tensor *w, *x, *y;
    tarn_objective f;
} linear_model;

static tarn_tensor *loss_of(tarn_tape *t, void *context)
{
    const linear_model *m = context;
    return tarn_mse(t, tarn_matmul(t, m->x, m->w), m->y);
}

static void model_begin(linear_model *m, bool normalized)
{
    tarn_rng rng = tarn_rng_seed(2);
    tarn_tensor *x = tarn_uniform(f.t, TARN_F64, TARN_SHAPE(EXAMPLES, 2), &rng, 1, 10);
    x = tarn_mul(f.t, x, tarn_constant(f.t, TARN_F64, TARN_SHAPE(2), (const double[]){1, 100}));
    tarn_tensor *y = tarn_matmul(f.t, x, tarn_constant(f.t, TARN_F64, TARN_SHAPE(2, 1), (const double[]){1, 0.01}));
    if (normalized) {
        tarn_tensor *sigma = tarn_sqrt(f.t, tarn_var(f.t, x, TARN_AXES(0), 0, true));
        x = tarn_div(f.t, tarn_sub(f.t, x, tarn_mean(f.t, x, TARN_AXES(0), true)), sigma);
        y = tarn_sub(f.t, y, tarn_mean(f.t, y, TARN_ALL_AXES, false));
    }
    m->w = tarn_params_add(f.p, normalized ? "normalized" : "w", TARN_SHAPE(2, 1));
    m->x = tarn_tensor_clone(x);
    m->y = tarn_tensor_clone(y);
    m->f = (tarn_objective){loss_of, m, f.p, f.t};
    assert_null(tarn_error());
    tarn_tape_reset(f.t);
}

static void model_end(linear_model *m)
{
    tarn_tape_reset(f.t);
    tarn_tensor_free(m->x), tarn_tensor_free(m->y);
    tarn_params_free(f.p);
    f.p = tarn_params_new(TARN_F64);
}

static void start_at(linear_model *m, double w1, double w2)
{
    double *w = tarn_mutable_data(m->w);
    w[0] = w1;
    w[1] = w2;
}

/* The gradient at m's weights, which a step of `optim` (if there is one) has then moved. */
static double step(linear_model *m, tarn_optim *optim, double g[2])
{
    tarn_tape_reset(f.t);
    tarn_tensor *loss = loss_of(f.t, m);
    assert_true(tarn_backward(f.t, loss));
    for (int64_t i = 0; i < 2; i++)
        g[i] = tarn_at(tarn_param_grad(m->w), (const int64_t[]){i, 0});
    const double value = tarn_item(loss);
    assert_true(optim ? tarn_optim_step(optim) : tarn_params_zero_grad(f.p));
    return value;
}

static void spectrum(linear_model *m, double *smallest, double *largest)
{
    tarn_tape_reset(f.t);
    tarn_tensor *h = tarn_hessian_new(&m->f), *values = tarn_symmetric_eigen_new(h, NULL);
    *smallest = tarn_at(values, (const int64_t[]){0});
    *largest = tarn_at(values, (const int64_t[]){1});
    tarn_tensor_free(h), tarn_tensor_free(values);
}

static void a_large_input_makes_a_valley(void **state)
{
    (void)state;
    linear_model m;
    double g[2], smallest, largest;
    model_begin(&m, false);
    start_at(&m, -2, -2);
    step(&m, NULL, g);
    assert_true(g[0] < 0 && g[1] < 50 * g[0]); /* dL/dw2 is the larger by far */
    spectrum(&m, &smallest, &largest);
    assert_true(smallest > 0 && largest > 1e4 * smallest);
    model_end(&m);
}

/* Gradient descent at the best fixed rate for a quadratic, 2/(smallest + largest eigenvalue). */
static int steps_of_descent(bool normalized, int most)
{
    linear_model m;
    double g[2], smallest, largest;
    int n = 0;
    model_begin(&m, normalized);
    spectrum(&m, &smallest, &largest);
    tarn_optim *sgd = tarn_sgd_new(f.p, &(tarn_sgd_opts){.lr = 2 / (smallest + largest)});
    start_at(&m, -2, -2);
    while (n < most && step(&m, sgd, g) > 0.01)
        n++;
    tarn_optim_free(sgd);
    model_end(&m);
    return n;
}

static void normalised_inputs_make_it_round(void **state)
{
    (void)state;
    linear_model m;
    double smallest, largest;
    model_begin(&m, true);
    tarn_tensor *mean = tarn_mean(f.t, m.x, TARN_AXES(0), false), *var = tarn_var(f.t, m.x, TARN_AXES(0), 0, false);
    for (int64_t i = 0; i < 2; i++)
        assert_true(fabs(tarn_at(mean, &i)) <= 1e-14 && fabs(tarn_at(var, &i) - 1) <= 1e-14);
    spectrum(&m, &smallest, &largest);
    assert_true(largest < 3 * smallest);
    assert_true(fabs(smallest + largest - 4) <= 1e-12); /* 2/R x^T x, whose diagonal is twice the variances */
    model_end(&m);
    const int most = 2000;
    assert_true(steps_of_descent(false, most) == most);
    assert_true(steps_of_descent(true, most) < 20);
}

/* ---- momentum ---- */

/* Its slope is (w+1)^2 (w-1) (w-1.8) (w-3): a plateau at -1, a hollow at 1, and the bottom at 3. */
static tarn_tensor *rough_slope(tarn_tape *t, tarn_tensor *w)
{
    static const double coefficients[] = {1 / 6.0, -0.76, -0.1, 9.2 / 3, -0.3, -5.4};
    tarn_tensor *y = tarn_mul_scalar(t, w, coefficients[0]);
    for (size_t i = 1; i < sizeof coefficients / sizeof *coefficients; i++)
        y = tarn_mul(t, tarn_add_scalar(t, y, coefficients[i]), w);
    return y;
}

static double where_it_ends(double momentum)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", 0, NULL);
    tarn_fill(w, -2);
    tarn_optim *sgd = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = 0.004, .momentum = momentum});
    for (int i = 0; i < 500; i++) {
        tarn_tape_reset(f.t);
        assert_true(tarn_backward(f.t, rough_slope(f.t, w)) && tarn_optim_step(sgd));
    }
    const double end_of_it = tarn_item(w);
    tarn_tape_reset(f.t);
    tarn_optim_free(sgd);
    tarn_params_free(p);
    return end_of_it;
}

static void momentum_gets_past_a_flat_place_and_a_hollow(void **state)
{
    (void)state;
    const double plain = where_it_ends(0), with_momentum = where_it_ends(0.9);
    assert_true(plain < -1 && plain > -1.1);
    assert_true(fabs(with_momentum - 3) < 1e-3);
}

/* ---- a rate for each parameter ---- */

typedef enum rule { ADAGRAD, RMSPROP, ADAM } rule;

typedef struct memory {
    double m, v;
} memory;

/* The lecture's formulae. RMSProp's average starts at 0, as in the programs that are in use, not at g^2. */
static double formula(rule r, memory *s, double g, int t)
{
    switch (r) {
    case ADAGRAD: /* sigma = sqrt(mean over all steps so far of g^2) */
        s->v += g * g;
        return g / sqrt(s->v / t);
    case RMSPROP: /* sigma^2 = alpha sigma^2 + (1-alpha) g^2 */
        s->v = 0.99 * s->v + 0.01 * g * g;
        return g / sqrt(s->v);
    default: /* Algorithm 1 */
        s->m = 0.9 * s->m + 0.1 * g;
        s->v = 0.999 * s->v + 0.001 * g * g;
        return s->m / (1 - pow(0.9, t)) / (sqrt(s->v / (1 - pow(0.999, t))) + 1e-8);
    }
}

static void follows_the_formula(rule r, tarn_optim *(*make)(tarn_params *), double lr)
{
    linear_model m;
    memory s[2] = {{0, 0}, {0, 0}};
    double g[2], w[2] = {-2, -2};
    model_begin(&m, false);
    tarn_optim *optim = make(f.p);
    start_at(&m, w[0], w[1]);
    for (int t = 1; t <= 60; t++) {
        step(&m, optim, g);
        for (int64_t i = 0; i < 2; i++) {
            w[i] -= lr * formula(r, &s[i], g[i], t);
            const double got = tarn_at(m.w, (const int64_t[]){i, 0});
            if (!(fabs(got - w[i]) <= 1e-8))
                fail_msg("step %d: w%d is %.17g, expected %.17g", t, (int)i + 1, got, w[i]);
        }
        if (t == 1 && r != RMSPROP) /* the gradients differ by a factor of 100 and more, the steps do not */
            assert_true(fabs(w[0] - w[1]) <= 1e-9 && fabs(w[0] + 2 - lr) <= 1e-9);
    }
    tarn_optim_free(optim);
    model_end(&m);
}

static tarn_optim *new_adagrad(tarn_params *p)
{
    return tarn_adagrad_new(p, &(tarn_adagrad_opts){.lr = 0.1, .mean = true});
}

static tarn_optim *new_rmsprop(tarn_params *p)
{
    return tarn_rmsprop_new(p, &(tarn_rmsprop_opts){.lr = 0.01});
}

static tarn_optim *new_adam(tarn_params *p)
{
    return tarn_adam_new(p, NULL);
}

static void adagrad_divides_by_the_root_mean_square(void **state)
{
    (void)state;
    follows_the_formula(ADAGRAD, new_adagrad, 0.1);
}

static void rmsprop_forgets_old_gradients(void **state)
{
    (void)state;
    follows_the_formula(RMSPROP, new_rmsprop, 0.01);
}

static void adam_is_algorithm_1(void **state)
{
    (void)state;
    follows_the_formula(ADAM, new_adam, 0.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_input_makes_a_valley),
        TEST(normalised_inputs_make_it_round),
        TEST(momentum_gets_past_a_flat_place_and_a_hollow),
        TEST(adagrad_divides_by_the_root_mean_square),
        TEST(rmsprop_forgets_old_gradients),
        TEST(adam_is_algorithm_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
