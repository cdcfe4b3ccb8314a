/* L3, L5, L7, L11: where a normalization stands, what BatchNorm learns and over what it averages, and what the ones
 * that followed it average over instead. */
#include "autograd/gradcheck.h"
#include "tensor/eigen.h"
#include "tests/layers_cases.h"

enum { DEPTH = 6, FEATURES = 8, WIDTH = 16, EXAMPLES = 64, GROUPS = 2, TRAINING_STEPS = 120 };
enum { N = 4, H = 3, W = 3, C = 4 };

/* The mean and the biased variance over some axes of x are what they should be, for all that is left. */
static void expect_moments(tarn_tensor *x, int naxes, const int *axes, double mean, double var, double tolerance)
{
    tarn_tensor *m = tarn_mean(f.t, x, naxes, axes, false), *v = tarn_var(f.t, x, naxes, axes, 0, false);
    tarn_tensor *off_mean = tarn_max(f.t, tarn_abs(f.t, tarn_add_scalar(f.t, m, -mean)), TARN_ALL_AXES, false);
    tarn_tensor *off_var = tarn_max(f.t, tarn_abs(f.t, tarn_add_scalar(f.t, v, -var)), TARN_ALL_AXES, false);
    if (!(tarn_item(off_mean) <= tolerance && tarn_item(off_var) <= tolerance))
        fail_msg("a mean is %g off, a variance %g", tarn_item(off_mean), tarn_item(off_var));
}

/* ---- L3 ---- */

typedef enum place { NOWHERE, BEFORE, AFTER } place;

typedef struct sigmoids {
    tarn_linear_layer linear[DEPTH], out;
    tarn_batchnorm_layer norm[DEPTH];
    place place;
} sigmoids;

/* What each sigmoid gets goes to inputs, and what its layer hands on to hidden; either may be NULL. */
static tarn_tensor *sigmoids_apply(const sigmoids *m, tarn_tensor *x, tarn_tensor **inputs, tarn_tensor **hidden)
{
    for (int i = 0; i < DEPTH; i++) {
        x = tarn_linear_apply(f.t, &m->linear[i], x);
        if (m->place == BEFORE)
            x = tarn_batchnorm_apply(f.t, &m->norm[i], x);
        if (inputs)
            inputs[i] = x;
        x = tarn_sigmoid(f.t, x);
        if (m->place == AFTER)
            x = tarn_batchnorm_apply(f.t, &m->norm[i], x);
        if (hidden)
            hidden[i] = x;
    }
    return tarn_linear_apply(f.t, &m->out, x);
}

static void sigmoids_init(sigmoids *m, tarn_params *p, place where)
{
    const tarn_linear_opts opts = {.init = {.kind = TARN_INIT_XAVIER_NORMAL}};
    tarn_rng rng = tarn_rng_seed(3);
    *m = (sigmoids){.place = where};
    for (int i = 0; i < DEPTH; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        tarn_linear_init(&m->linear[i], p, name, &rng, i ? WIDTH : FEATURES, WIDTH, &opts);
        tarn_batchnorm_init(&m->norm[i], p, name, WIDTH, &(tarn_batchnorm_opts){.eps = 1e-10});
    }
    tarn_linear_init(&m->out, p, "out", &rng, WIDTH, C, NULL);
    assert_null(tarn_error());
}

/* The last loss of gradient descent on one batch whose classes a random linear map gives. */
static double trained_loss(place where)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_rng rng = tarn_rng_seed(5);
    sigmoids m;
    sigmoids_init(&m, p, where);
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &rng, -1, 1);
    tarn_tensor *map = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(FEATURES, C), &rng, -1, 1);
    tarn_tensor *labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, x, map), 1));
    tarn_optim *sgd = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = 0.5});
    double last = NAN;
    for (int step = 0; step < TRAINING_STEPS; step++) {
        tarn_tape_reset(f.t);
        tarn_tensor *loss = tarn_cross_entropy(f.t, sigmoids_apply(&m, x, NULL, NULL), labels);
        assert_true(tarn_backward(f.t, loss));
        last = tarn_item(loss);
        assert_true(tarn_optim_step(sgd));
    }
    tarn_tape_reset(f.t);
    tarn_optim_free(sgd);
    tarn_tensor_free(x), tarn_tensor_free(map), tarn_tensor_free(labels);
    tarn_params_free(p);
    return last;
}

static void sigmoids_train_with_it_on_either_side(void **state)
{
    (void)state;
    const double chance = log(C);
    assert_true(trained_loss(NOWHERE) > 0.95 * chance);
    assert_true(trained_loss(BEFORE) < 0.8 * chance);
    assert_true(trained_loss(AFTER) < 0.8 * chance);
}

/* Before the sigmoid it keeps what the sigmoid gets around 0, where its slope is; behind it, what the next layer gets. */
static void the_side_says_what_is_normalized(void **state)
{
    (void)state;
    sigmoids m;
    sigmoids_init(&m, f.p, BEFORE);
    tarn_tensor *x = tarn_mul_scalar(f.t, random_input(TARN_SHAPE(EXAMPLES, FEATURES)), 100);
    tarn_tensor *inputs[DEPTH], *hidden[DEPTH];
    const double slope_at_most = 0.25, slope_of_normal = 0.2; /* E of sigmoid' over N(0,1) is 0.2066 */
    sigmoids_apply(&m, x, inputs, hidden);
    for (int i = 0; i < DEPTH; i++)
        expect_moments(inputs[i], TARN_AXES(0), 0, 1, 1e-6);
    tarn_tensor *a = hidden[0], *slope = tarn_mean(f.t, tarn_sub(f.t, a, tarn_square(f.t, a)), TARN_ALL_AXES, false);
    assert_true(tarn_item(slope) > slope_of_normal && tarn_item(slope) < slope_at_most);
    m.place = AFTER;
    sigmoids_apply(&m, x, inputs, hidden);
    for (int i = 0; i < DEPTH; i++)
        expect_moments(hidden[i], TARN_AXES(0), 0, 1, 1e-6);
    a = tarn_sigmoid(f.t, inputs[0]);
    slope = tarn_mean(f.t, tarn_sub(f.t, a, tarn_square(f.t, a)), TARN_ALL_AXES, false);
    assert_true(tarn_item(slope) < 0.1 * slope_at_most); /* the first sigmoid is saturated by inputs of this size */
}

/* ---- L5 ---- */

/* inputs: x, gamma, beta. */
static tarn_tensor *batchnorm_of(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_batchnorm(t, inputs[0], inputs[1], inputs[2], NULL, NULL);
}

static void batchnorm_is_its_formula_to_second_derivatives(void **state)
{
    (void)state;
    tarn_tensor *in[] = {tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(N, 2), &f.rng, -1, 1),
                         tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(2), &f.rng, 0.5, 2),
                         tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(2), &f.rng, -1, 1)};
    tarn_tensor *mean = tarn_mean(f.t, in[0], TARN_AXES(0), false);
    tarn_tensor *sigma = tarn_sqrt(f.t, tarn_add_scalar(f.t, tarn_var(f.t, in[0], TARN_AXES(0), 0, false), 1e-5));
    tarn_tensor *normalized = tarn_div(f.t, tarn_sub(f.t, in[0], mean), sigma);
    tarn_tensor *want = tarn_add(f.t, tarn_mul(f.t, normalized, in[1]), in[2]);
    expect_equal(batchnorm_of(f.t, in, NULL), want, 1e-14);
    expect_equal(tarn_batchnorm_composed(f.t, in[0], in[1], in[2], NULL, NULL), want, 1e-14);
    tarn_gradcheck_report report;
    if (!tarn_gradcheck(batchnorm_of, NULL, 3, in, &(tarn_gradcheck_opts){.order = 2}, &report))
        fail_msg("order %d, input %d: %.17g, numeric %.17g (%s)", report.order, report.input, report.analytic,
                 report.numeric, tarn_error() ? tarn_error() : "no error");
    tarn_tape_reset(f.t);
    for (int i = 0; i < 3; i++)
        tarn_tensor_free(in[i]);
}

static void gamma_and_beta_are_learnt_from_1_and_0(void **state)
{
    (void)state;
    tarn_batchnorm_layer l;
    tarn_batchnorm_init(&l, f.p, "norm", C, NULL);
    expect_equal(l.gamma, tarn_ones(f.t, TARN_F64, TARN_SHAPE(C)), 0);
    expect_equal(l.beta, tarn_zeros(f.t, TARN_F64, TARN_SHAPE(C)), 0);
    /* what they are there for: the network can have any mean and spread, its old ones as well */
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, C), &f.rng, -1, 1);
    tarn_tensor *target = tarn_tensor_clone(tarn_add_scalar(f.t, tarn_mul_scalar(f.t, x, 3), 5));
    tarn_optim *sgd = tarn_sgd_new(f.p, &(tarn_sgd_opts){.lr = 0.2 * C});
    for (int step = 0; step < TRAINING_STEPS; step++) {
        tarn_tape_reset(f.t);
        assert_true(tarn_backward(f.t, tarn_mse(f.t, tarn_batchnorm_apply(f.t, &l, x), target)));
        assert_true(tarn_optim_step(sgd));
    }
    tarn_tape_reset(f.t);
    expect_equal(tarn_batchnorm_apply(f.t, &l, x), target, 1e-6);
    expect_equal(l.beta, tarn_mean(f.t, target, TARN_AXES(0), false), 1e-6);
    tarn_tape_reset(f.t);
    tarn_optim_free(sgd);
    tarn_tensor_free(x), tarn_tensor_free(target);
}

static void a_batch_of_one_is_an_error(void **state)
{
    (void)state;
    tarn_batchnorm_layer l;
    tarn_batchnorm_init(&l, f.p, "norm", C, NULL);
    assert_null(tarn_batchnorm_apply(f.t, &l, random_input(TARN_SHAPE(1, C))));
    expect_error("tarn_batchnorm");
    assert_non_null(tarn_batchnorm_apply(f.t, &l, random_input(TARN_SHAPE(2, C))));
    assert_non_null(tarn_batchnorm_apply(f.t, &l, random_input(TARN_SHAPE(1, H, W, C))));
}

/* ---- L7 ---- */

static void images_are_averaged_over_batch_and_positions(void **state)
{
    (void)state;
    tarn_batchnorm_layer l;
    tarn_batchnorm_init(&l, f.p, "norm", C, &(tarn_batchnorm_opts){.eps = 1e-12});
    tarn_tensor *x = random_input(TARN_SHAPE(N, H, W, C)), *y = tarn_batchnorm_apply(f.t, &l, x);
    expect_moments(y, TARN_AXES(0, 1, 2), 0, 1, 1e-9);
    tarn_tensor *rows = tarn_reshape(f.t, x, TARN_SHAPE(N * H * W, C));
    expect_equal(tarn_reshape(f.t, y, TARN_SHAPE(N * H * W, C)), tarn_batchnorm_apply(f.t, &l, rows), 1e-14);
    /* not over the positions of one image, nor over the images at one position */
    tarn_tensor *of_image = tarn_mean(f.t, y, TARN_AXES(1, 2), false), *at = tarn_mean(f.t, y, TARN_AXES(0), false);
    assert_true(tarn_item(tarn_max(f.t, of_image, TARN_ALL_AXES, false)) > 0.05);
    assert_true(tarn_item(tarn_max(f.t, at, TARN_ALL_AXES, false)) > 0.05);
}

/* ---- L11 ---- */

static void each_averages_over_its_own_axes(void **state)
{
    (void)state;
    const double eps = 1e-12, tolerance = 1e-9;
    tarn_tensor *x = tarn_add_scalar(f.t, random_input(TARN_SHAPE(N, H, W, C)), 2);
    expect_moments(tarn_layernorm(f.t, x, NULL, NULL, eps), TARN_AXES(-1), 0, 1, tolerance);
    expect_moments(tarn_instancenorm(f.t, x, NULL, NULL, eps), TARN_AXES(1, 2), 0, 1, tolerance);
    tarn_tensor *groups = tarn_groupnorm(f.t, x, GROUPS, NULL, NULL, eps);
    groups = tarn_reshape(f.t, groups, TARN_SHAPE(N, H, W, GROUPS, C / GROUPS));
    expect_moments(groups, TARN_AXES(1, 2, 4), 0, 1, tolerance);
    tarn_tensor *square = tarn_square(f.t, tarn_rmsnorm(f.t, x, NULL, eps)), *one = tarn_scalar(f.t, TARN_F64, 1);
    tarn_tensor *mean = tarn_mean(f.t, square, TARN_AXES(-1), false);
    expect_equal(mean, tarn_expand(f.t, one, TARN_SHAPE(N, H, W)), tolerance);
}

/* The first example of x in a batch with other examples behind it. */
static tarn_tensor *in_other_company(tarn_tensor *x)
{
    tarn_tensor *first = tarn_slice(f.t, x, 0, 0, 1, 1), *others = tarn_slice(f.t, x, 0, 1, N, 1);
    return tarn_concat(f.t, 2, (tarn_tensor *const[]){first, tarn_mul_scalar(f.t, others, 5)}, 0);
}

static double change_of_first(tarn_tensor *a, tarn_tensor *b)
{
    tarn_tensor *change = tarn_sub(f.t, tarn_slice(f.t, a, 0, 0, 1, 1), tarn_slice(f.t, b, 0, 0, 1, 1));
    return tarn_item(tarn_max(f.t, tarn_abs(f.t, change), TARN_ALL_AXES, false));
}

static void only_batchnorm_sees_the_other_examples(void **state)
{
    (void)state;
    tarn_tensor *x = random_input(TARN_SHAPE(N, H, W, C)), *z = in_other_company(x), *none = NULL;
    tarn_tensor *one = tarn_ones(f.t, TARN_F64, TARN_SHAPE(C)), *zero = tarn_zeros(f.t, TARN_F64, TARN_SHAPE(C));
    assert_true(change_of_first(tarn_batchnorm(f.t, x, one, zero, NULL, NULL),
                                tarn_batchnorm(f.t, z, one, zero, NULL, NULL)) > 0.1);
    assert_true(change_of_first(tarn_layernorm(f.t, x, none, none, 0), tarn_layernorm(f.t, z, none, none, 0)) == 0);
    assert_true(change_of_first(tarn_rmsnorm(f.t, x, none, 0), tarn_rmsnorm(f.t, z, none, 0)) == 0);
    assert_true(change_of_first(tarn_groupnorm(f.t, x, GROUPS, none, none, 0),
                                tarn_groupnorm(f.t, z, GROUPS, none, none, 0)) == 0);
    assert_true(change_of_first(tarn_instancenorm(f.t, x, none, none, 0), tarn_instancenorm(f.t, z, none, none, 0)) ==
                0);
}

/* While its limits do not bind, training computes what evaluation does, so a small batch does no harm; when r = 1 and
 * d = 0 it is BatchNorm. */
static void batch_renorm_trains_the_network_that_is_used(void **state)
{
    (void)state;
    tarn_batch_renorm_layer wide, narrow;
    tarn_batchnorm_layer plain;
    tarn_batch_renorm_init(&wide, f.p, "wide", C,
                           &(tarn_batch_renorm_opts){.unscheduled = true, .r_max = 1e6, .d_max = 1e6});
    tarn_batch_renorm_init(&narrow, f.p, "narrow", C, NULL);
    tarn_batchnorm_init(&plain, f.p, "plain", C, NULL);
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(2, C), &f.rng, -0.7, 1.3);
    tarn_tape_set_training(f.t, false);
    tarn_tensor *served = tarn_tensor_clone(tarn_batch_renorm_apply(f.t, &wide, x));
    tarn_tape_set_training(f.t, true);
    expect_equal(tarn_batch_renorm_apply(f.t, &wide, x), served, 1e-12);
    expect_equal(tarn_batch_renorm_apply(f.t, &narrow, x), tarn_batchnorm_apply(f.t, &plain, x), 1e-12);
    tarn_tape_reset(f.t);
    tarn_tensor_free(x), tarn_tensor_free(served);
}

static tarn_tensor *unit_vectors(int64_t n)
{
    return tarn_one_hot(f.t, tarn_arange(f.t, TARN_I32, n, 0, 1), n, TARN_F64);
}

/* g is the length of what leads to an output, and v says its direction only. */
static void weight_norm_learns_lengths_apart(void **state)
{
    (void)state;
    tarn_weightnorm_linear_layer l;
    assert_true(tarn_weightnorm_linear_init(&l, f.p, "w", &f.rng, C, 3, &(tarn_linear_opts){.no_bias = true}));
    tarn_tensor *before = tarn_tensor_clone(tarn_weightnorm_linear_apply(f.t, &l, unit_vectors(C)));
    expect_equal(before, l.linear.weight, 1e-14);
    tarn_tensor *longer = tarn_tensor_clone(tarn_mul_scalar(f.t, l.linear.weight, 7));
    memcpy(tarn_mutable_data(l.linear.weight), tarn_data(longer), sizeof(double) * C * 3);
    memcpy(tarn_mutable_data(l.g), (double[]){1, 2, 3}, sizeof(double) * 3);
    tarn_tensor *w = tarn_weightnorm_linear_apply(f.t, &l, unit_vectors(C));
    expect_equal(tarn_sqrt(f.t, tarn_sum(f.t, tarn_square(f.t, w), TARN_AXES(0), false)), l.g, 1e-14);
    tarn_tensor *old = tarn_sqrt(f.t, tarn_sum(f.t, tarn_square(f.t, before), TARN_AXES(0), false));
    expect_equal(tarn_div(f.t, w, l.g), tarn_div(f.t, before, old), 1e-14);
    tarn_tape_reset(f.t);
    tarn_tensor_free(before), tarn_tensor_free(longer);
}

/* The layer stretches nothing: the largest eigenvalue of w^T w is 1. */
static void spectral_norm_divides_by_the_largest_singular_value(void **state)
{
    (void)state;
    tarn_spectralnorm_linear_layer l;
    assert_true(tarn_spectralnorm_linear_init(&l, f.p, "s", &f.rng, C, 3, &(tarn_linear_opts){.no_bias = true},
                                              &(tarn_spectralnorm_opts){.iterations = 100}));
    tarn_tensor *w = tarn_spectralnorm_linear_apply(f.t, &l, unit_vectors(C));
    tarn_tensor *square = tarn_tensor_clone(tarn_matmul(f.t, tarn_transpose(f.t, w, 0, 1), w));
    tarn_tensor *values = tarn_symmetric_eigen_new(square, NULL);
    const double *value = tarn_data(values);
    assert_true(value && fabs(value[2] - 1) < 1e-12 && value[1] < 0.999);
    tarn_tape_reset(f.t);
    tarn_tensor_free(square), tarn_tensor_free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sigmoids_train_with_it_on_either_side),
        TEST(the_side_says_what_is_normalized),
        TEST(batchnorm_is_its_formula_to_second_derivatives),
        TEST(gamma_and_beta_are_learnt_from_1_and_0),
        TEST(a_batch_of_one_is_an_error),
        TEST(images_are_averaged_over_batch_and_positions),
        TEST(each_averages_over_its_own_axes),
        TEST(only_batchnorm_sees_the_other_examples),
        TEST(batch_renorm_trains_the_network_that_is_used),
        TEST(weight_norm_learns_lengths_apart),
        TEST(spectral_norm_divides_by_the_largest_singular_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
