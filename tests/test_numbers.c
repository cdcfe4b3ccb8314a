/* Every number that an op, a layer, an initialiser, an optimiser or a schedule takes as a parameter: what lies outside of its
 * range, NaN first of all, is an error that names the function and the parameter, and what lies inside is accepted. */
#include "tarn.h"
#include "tests/tape_fixture.h"

#include <float.h>
#include <limits.h>
#include <stdio.h>

static tarn_params *params; /* f32, with the parameter "w" [3,4] */
static tarn_rng rng;
static int calls; /* so that each layer has a name of its own */

static tarn_tensor *x(void) /* [4,6] */
{
    return tarn_ones(t, TARN_F32, TARN_SHAPE(4, 6));
}

static tarn_tensor *image(void)
{
    return tarn_ones(t, TARN_F32, TARN_SHAPE(2, 8, 8, 6));
}

static tarn_tensor *channels(tarn_dtype dtype)
{
    return tarn_ones(t, dtype, TARN_SHAPE(6));
}

static const char *fresh(void)
{
    static char name[32];
    snprintf(name, sizeof name, "layer%d", calls++);
    return name;
}

static bool made(tarn_optim *o)
{
    tarn_optim_free(o);
    return o;
}

static bool made_plateau(tarn_plateau *p)
{
    tarn_plateau_free(p);
    return p;
}

/* ---- real numbers ---- */

/* A call with the number v, and the range in which it succeeds; `zero`: 0 means the default, and is accepted too. */
typedef struct real_row {
    const char *who, *what;
    bool (*call)(double v);
    char left;
    double low, high;
    char right;
    bool zero;
} real_row;

#define CALL(number, expression)                                                                                       \
    static bool real_##number(double v)                                                                                \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
#define OPTS(type, ...) (&(type){__VA_ARGS__})
CALL(0, tarn_leaky_relu(t, x(), v))
CALL(1, tarn_elu(t, x(), v))
CALL(2, tarn_clamp(t, x(), v, INFINITY))
CALL(3, tarn_clamp(t, x(), -INFINITY, v))
CALL(4, tarn_uniform(t, TARN_F32, TARN_SHAPE(3), &rng, v, 1))
CALL(5, tarn_uniform(t, TARN_F64, TARN_SHAPE(3), &rng, -1, v))
CALL(6, tarn_normal(t, TARN_F32, TARN_SHAPE(3), &rng, v, 1))
CALL(7, tarn_normal(t, TARN_F64, TARN_SHAPE(3), &rng, 0, v))
CALL(8, tarn_dropout(t, x(), v, &rng))
CALL(9, tarn_layernorm(t, x(), NULL, NULL, v))
CALL(10, tarn_rmsnorm(t, x(), NULL, v))
CALL(11, tarn_groupnorm(t, x(), 2, NULL, NULL, v))
CALL(12, tarn_instancenorm(t, image(), NULL, NULL, v))
CALL(13, tarn_batchnorm(t, x(), channels(TARN_F32), channels(TARN_F32), NULL, OPTS(tarn_batchnorm_opts, .eps = v)))
CALL(14, tarn_batchnorm(t, x(), channels(TARN_F32), channels(TARN_F32), NULL, OPTS(tarn_batchnorm_opts, .momentum = v)))

static bool renorm(const tarn_batch_renorm_opts *o)
{
    tarn_batch_renorm_layer l;
    return tarn_batch_renorm_init(&l, params, fresh(), 6, o) && tarn_batch_renorm_apply(t, &l, x());
}

CALL(15, renorm(OPTS(tarn_batch_renorm_opts, .eps = v)))
CALL(16, renorm(OPTS(tarn_batch_renorm_opts, .momentum = v)))
CALL(17, renorm(OPTS(tarn_batch_renorm_opts, .r_max = v)))
CALL(18, renorm(OPTS(tarn_batch_renorm_opts, .d_max = v)))
CALL(19, tarn_batchnorm_init(&(tarn_batchnorm_layer){0}, params, fresh(), 6, OPTS(tarn_batchnorm_opts, .eps = v)))
CALL(20, tarn_batchnorm_init(&(tarn_batchnorm_layer){0}, params, fresh(), 6, OPTS(tarn_batchnorm_opts, .momentum = v)))
CALL(21, tarn_layernorm_init(&(tarn_layernorm_layer){0}, params, fresh(), 6, OPTS(tarn_layernorm_opts, .eps = v)))
CALL(22, tarn_dropout_init(&(tarn_dropout_layer){0}, v, &rng))
CALL(23, tarn_activation_init(&(tarn_activation_layer){0}, TARN_LEAKY_RELU, v))
CALL(24, tarn_init_uniform(tarn_params_at(params, 0), &rng, v, FLT_MAX))
CALL(25, tarn_init_uniform(tarn_params_at(params, 0), &rng, -FLT_MAX, v))
CALL(26, tarn_init_normal(tarn_params_at(params, 0), &rng, v, 1))
CALL(27, tarn_init_normal(tarn_params_at(params, 0), &rng, 0, v))
CALL(28, tarn_init_xavier_uniform(tarn_params_at(params, 0), &rng, v))
CALL(29, tarn_init_kaiming_normal(tarn_params_at(params, 0), &rng, TARN_FAN_IN, v))
CALL(30, tarn_linear_init(&(tarn_linear_layer){0}, params, fresh(), &rng, 2, 3,
                          OPTS(tarn_linear_opts,
                               .init = {.kind = TARN_INIT_KAIMING_NORMAL, .activation = TARN_LEAKY_RELU, .slope = v})))
CALL(31, made(tarn_sgd_new(params, OPTS(tarn_sgd_opts, .lr = v))))
CALL(32, made(tarn_sgd_new(params, OPTS(tarn_sgd_opts, .momentum = v))))
CALL(33, made(tarn_sgd_new(params, OPTS(tarn_sgd_opts, .dampening = v))))
CALL(34, made(tarn_sgd_new(params, OPTS(tarn_sgd_opts, .weight_decay = v))))
CALL(35, made(tarn_adam_new(params, OPTS(tarn_adam_opts, .beta1 = v))))
CALL(36, made(tarn_adamw_new(params, OPTS(tarn_adam_opts, .beta2 = v))))
CALL(37, made(tarn_radam_new(params, OPTS(tarn_adam_opts, .eps = v))))
CALL(38, made(tarn_nadam_new(params, OPTS(tarn_nadam_opts, .momentum_decay = v))))
CALL(39, made(tarn_adagrad_new(params, OPTS(tarn_adagrad_opts, .lr_decay = v))))
CALL(40, made(tarn_adagrad_new(params, OPTS(tarn_adagrad_opts, .initial_accumulator = v))))
CALL(41, made(tarn_rmsprop_new(params, OPTS(tarn_rmsprop_opts, .alpha = v))))
CALL(42, made(tarn_rmsprop_new(params, OPTS(tarn_rmsprop_opts, .momentum = v))))
CALL(43, !isnan(tarn_clip_grad_norm(params, v)))
CALL(44, tarn_clip_grad_value(params, v))
CALL(45, made_plateau(tarn_plateau_new(v, NULL)))
CALL(46, made_plateau(tarn_plateau_new(1, OPTS(tarn_plateau_opts, .factor = v))))
CALL(47, made_plateau(tarn_plateau_new(1, OPTS(tarn_plateau_opts, .threshold = v))))
CALL(48, !isnan(tarn_lr_exponential(v, 1, 0.5)))
CALL(49, !isnan(tarn_lr_step_decay(0.5, 1, 1, v)))
CALL(50, !isnan(tarn_lr_cosine(1, 1, 2, v)))
CALL(51, !isnan(tarn_lr_inverse(1, 1, v)))
CALL(52, !isnan(tarn_lr_one_cycle(1, 1, 9, OPTS(tarn_one_cycle_opts, .pct_start = v))))
CALL(53, tarn_rng_fill_bernoulli(&rng, 1, (uint8_t[1]){0}, v))
CALL(54, tarn_rng_fill_uniform_f32(&rng, 1, (float[1]){0}, v, FLT_MAX))
CALL(55, tarn_rng_fill_normal_f64(&rng, 1, (double[1]){0}, 0, v))
CALL(56, tarn_histogram(x(), 2, v, 1, (int64_t[2]){0}))
CALL(57, tarn_quantiles(x(), 1, &v, (double[1]){0}))

#define FINITE       '(', -INFINITY, INFINITY, ')'
#define NOT_NEGATIVE '[', 0, INFINITY, ')'
#define F32          '[', -FLT_MAX, FLT_MAX, ']'

static const real_row reals[] = {
    {"tarn_leaky_relu", "slope", real_0, FINITE, false},
    {"tarn_elu", "alpha", real_1, FINITE, false},
    {"tarn_clamp", "low", real_2, '[', -INFINITY, INFINITY, ']', false},
    {"tarn_clamp", "high", real_3, '[', -INFINITY, INFINITY, ']', false},
    {"tarn_uniform", "low", real_4, '[', -FLT_MAX, 1, ']', false},
    {"tarn_uniform", "high", real_5, '[', -1, INFINITY, ')', false},
    {"tarn_normal", "mean", real_6, F32, false},
    {"tarn_normal", "std", real_7, NOT_NEGATIVE, false},
    {"tarn_dropout", "p", real_8, '[', 0, 1, ')', false},
    {"tarn_layernorm", "eps", real_9, NOT_NEGATIVE, false},
    {"tarn_rmsnorm", "eps", real_10, NOT_NEGATIVE, false},
    {"tarn_groupnorm", "eps", real_11, NOT_NEGATIVE, false},
    {"tarn_instancenorm", "eps", real_12, NOT_NEGATIVE, false},
    {"tarn_batchnorm", "eps", real_13, NOT_NEGATIVE, false},
    {"tarn_batchnorm", "momentum", real_14, '[', 0, 1, ']', false},
    {"tarn_batch_renorm_init", "eps", real_15, NOT_NEGATIVE, false},
    {"tarn_batch_renorm_init", "momentum", real_16, '[', 0, 1, ']', false},
    {"tarn_batch_renorm_init", "r_max", real_17, '[', 1, INFINITY, ']', true},
    {"tarn_batch_renorm_init", "d_max", real_18, '[', 0, INFINITY, ']', false},
    {"tarn_batchnorm_init", "eps", real_19, NOT_NEGATIVE, false},
    {"tarn_batchnorm_init", "momentum", real_20, '[', 0, 1, ']', false},
    {"tarn_layernorm_init", "eps", real_21, NOT_NEGATIVE, false},
    {"tarn_dropout_init", "p", real_22, '[', 0, 1, ')', false},
    {"tarn_activation_init", "p", real_23, FINITE, false},
    {"tarn_init_uniform", "low", real_24, F32, false},
    {"tarn_init_uniform", "high", real_25, F32, false},
    {"tarn_init_normal", "mean", real_26, F32, false},
    {"tarn_init_normal", "std", real_27, '[', 0, FLT_MAX, ']', false},
    {"tarn_init_xavier_uniform", "gain", real_28, '(', 0, FLT_MAX / 4, ']', false},
    {"tarn_init_kaiming_normal", "gain", real_29, '(', 0, FLT_MAX / 4, ']', false},
    {"tarn_linear_init", "slope", real_30, FINITE, false},
    {"tarn_sgd_new", "lr", real_31, NOT_NEGATIVE, false},
    {"tarn_sgd_new", "momentum", real_32, NOT_NEGATIVE, false},
    {"tarn_sgd_new", "dampening", real_33, FINITE, false},
    {"tarn_sgd_new", "weight_decay", real_34, NOT_NEGATIVE, false},
    {"tarn_adam_new", "beta1", real_35, '[', 0, 1, ')', false},
    {"tarn_adamw_new", "beta2", real_36, '[', 0, 1, ')', false},
    {"tarn_radam_new", "eps", real_37, NOT_NEGATIVE, false},
    {"tarn_nadam_new", "momentum_decay", real_38, NOT_NEGATIVE, false},
    {"tarn_adagrad_new", "lr_decay", real_39, NOT_NEGATIVE, false},
    {"tarn_adagrad_new", "initial_accumulator", real_40, NOT_NEGATIVE, false},
    {"tarn_rmsprop_new", "alpha", real_41, '[', 0, 1, ')', false},
    {"tarn_rmsprop_new", "momentum", real_42, NOT_NEGATIVE, false},
    {"tarn_clip_grad_norm", "max_norm", real_43, '[', 0, INFINITY, ']', false},
    {"tarn_clip_grad_value", "limit", real_44, '[', 0, INFINITY, ']', false},
    {"tarn_plateau_new", "lr", real_45, NOT_NEGATIVE, false},
    {"tarn_plateau_new", "factor", real_46, '(', 0, 1, ')', true},
    {"tarn_plateau_new", "threshold", real_47, NOT_NEGATIVE, false},
    {"tarn_lr_exponential", "base", real_48, NOT_NEGATIVE, false},
    {"tarn_lr_step_decay", "factor", real_49, NOT_NEGATIVE, false},
    {"tarn_lr_cosine", "floor", real_50, NOT_NEGATIVE, false},
    {"tarn_lr_inverse", "rate", real_51, NOT_NEGATIVE, false},
    {"tarn_lr_one_cycle", "pct_start", real_52, '(', 0, 1, ']', true},
    {"tarn_rng_fill_bernoulli", "p", real_53, '[', 0, 1, ']', false},
    {"tarn_rng_fill_uniform_f32", "low", real_54, F32, false},
    {"tarn_rng_fill_normal_f64", "std", real_55, NOT_NEGATIVE, false},
    {"tarn_histogram", "low", real_56, '(', -INFINITY, 1, ')', false},
    {"tarn_quantiles", "q[0]", real_57, '[', 0, 1, ']', false},
};

static bool inside(const real_row *r, double v)
{
    bool above = r->left == '[' ? v >= r->low : v > r->low, below = r->right == ']' ? v <= r->high : v < r->high;
    return (above && below) || (r->zero && v == 0);
}

/* An error, if there is one, is about this parameter. Complaints are counted, so that one run shows them all. */
static int complain_unless(bool right, const char *who, const char *what, double v)
{
    char start[96];
    snprintf(start, sizeof start, "%s: %s ", who, what);
    const char *error = tarn_error();
    bool named = !error || strncmp(error, start, strlen(start)) == 0 || strstr(error, " is above high ");
    if (!right || !named)
        print_error("%s of %g: %s\n", start, v, error ? error : right ? "" : "accepted");
    tarn_error_clear();
    return !right || !named;
}

static void real_numbers_are_in_their_ranges(void **state)
{
    (void)state;
    int complaints = 0;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const real_row *r = &reals[i];
        const double values[] = {(double)NAN,
                                 INFINITY,
                                 -INFINITY,
                                 -1e30,
                                 -1,
                                 -1e-3,
                                 0,
                                 1e-3,
                                 0.5,
                                 1,
                                 1.5,
                                 1e30,
                                 r->low,
                                 r->high,
                                 nextafter(r->low, -INFINITY),
                                 nextafter(r->high, INFINITY)};
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            bool done = r->call(values[k]), right = done == inside(r, values[k]) && done == !tarn_error();
            complaints += complain_unless(right, r->who, r->what, values[k]);
            tarn_tape_reset(t);
        }
    }
    assert_int_equal(complaints, 0);
}

/* ---- the order of two ---- */

static void limits_are_in_order(void **state)
{
    (void)state;
    tarn_tensor *w = tarn_params_at(params, 0);
    assert_null(tarn_clamp(t, x(), 1, 0));
    expect_error("tarn_clamp: low 1 is above high 0");
    assert_non_null(tarn_clamp(t, x(), 1, 1));
    assert_null(tarn_uniform(t, TARN_F64, TARN_SHAPE(3), &rng, 1, -1));
    expect_error("tarn_uniform: low 1 is above high -1");
    assert_non_null(tarn_uniform(t, TARN_F64, TARN_SHAPE(3), &rng, 1, 1));
    assert_null(tarn_uniform(t, TARN_F64, TARN_SHAPE(3), &rng, -1.5e308, 1.5e308));
    expect_error("tarn_uniform: high - low inf");
    assert_false(tarn_init_uniform(w, &rng, 2, 1));
    expect_error("tarn_init_uniform: low 2 is above high 1");
    assert_false(tarn_rng_fill_uniform_f64(&rng, 1, (double[1]){0}, 2, 1));
    expect_error("tarn_rng_fill_uniform_f64: low 2 is above high 1");
    assert_false(tarn_histogram(x(), 2, 1, 0, (int64_t[2]){0}));
    expect_error("tarn_histogram: low 1 is above high 0");
    assert_null(tarn_gradcheck_sample_new(&rng, 0, NULL, 1, 0, 0, NULL, 0, false));
    expect_error("tarn_gradcheck_sample_new: low 1 is above high 0");
}

/* ---- whole numbers ---- */

typedef struct count_row {
    const char *who, *what;
    bool (*call)(int v);
    int least;
} count_row;

#define COUNT(number, expression)                                                                                      \
    static bool count_##number(int v)                                                                                  \
    {                                                                                                                  \
        return expression;                                                                                             \
    }
COUNT(0, tarn_max_pool2d(t, image(), v, NULL))
COUNT(1, tarn_avg_pool2d(t, image(), 2, OPTS(tarn_pool2d_opts, .stride = v)))
COUNT(2, tarn_max_pool2d(t, image(), 4, OPTS(tarn_pool2d_opts, .padding = v)))
COUNT(3, tarn_conv2d(t, image(), tarn_ones(t, TARN_F32, TARN_SHAPE(1, 1, 6, 2)), OPTS(tarn_conv2d_opts, .stride = v)))
COUNT(4, tarn_conv2d(t, image(), tarn_ones(t, TARN_F32, TARN_SHAPE(1, 1, 6, 2)), OPTS(tarn_conv2d_opts, .padding = v)))
COUNT(5, tarn_conv2d(t, image(), tarn_ones(t, TARN_F32, TARN_SHAPE(1, 1, 6, 2)), OPTS(tarn_conv2d_opts, .dilation = v)))
COUNT(6, tarn_conv2d(t, image(), tarn_ones(t, TARN_F32, TARN_SHAPE(1, 1, 6, 2)), OPTS(tarn_conv2d_opts, .groups = v)))
COUNT(7, tarn_groupnorm(t, x(), v, NULL, NULL, 0))
COUNT(8, tarn_max_pool2d_init(&(tarn_max_pool2d_layer){0}, v, NULL))
COUNT(9, tarn_avg_pool2d_init(&(tarn_avg_pool2d_layer){0}, 2, OPTS(tarn_pool2d_opts, .padding = v)))
COUNT(10, tarn_linear_init(&(tarn_linear_layer){0}, params, fresh(), &rng, v, 3, NULL))
COUNT(11, tarn_conv2d_init(&(tarn_conv2d_layer){0}, params, fresh(), &rng, 6, 6, v, NULL))
COUNT(12, tarn_conv2d_init(&(tarn_conv2d_layer){0}, params, fresh(), &rng, 6, 6, 3,
                           OPTS(tarn_conv2d_layer_opts, .stride = v)))
COUNT(13, tarn_conv2d_init(&(tarn_conv2d_layer){0}, params, fresh(), &rng, 6, 6, 3,
                           OPTS(tarn_conv2d_layer_opts, .groups = v)))
COUNT(14, tarn_batchnorm_init(&(tarn_batchnorm_layer){0}, params, fresh(), v, NULL))
COUNT(15, tarn_groupnorm_init(&(tarn_groupnorm_layer){0}, params, fresh(), v, 6, NULL))
COUNT(16, tarn_spectralnorm_linear_init(&(tarn_spectralnorm_linear_layer){0}, params, fresh(), &rng, 2, 3, NULL,
                                        OPTS(tarn_spectralnorm_opts, .iterations = v)))
COUNT(17, tarn_spectralnorm(t, tarn_ones(t, TARN_F32, TARN_SHAPE(3, 6)), channels(TARN_F32),
                            tarn_ones(t, TARN_F32, TARN_SHAPE(3)), v))
COUNT(18, made_plateau(tarn_plateau_new(1, OPTS(tarn_plateau_opts, .patience = v))))
COUNT(19, made_plateau(tarn_plateau_new(1, OPTS(tarn_plateau_opts, .cooldown = v))))
COUNT(20, !isnan(tarn_lr_step_decay(1, 1, v, 1)))
COUNT(21, !isnan(tarn_lr_one_cycle(1, v, 5, NULL)))
COUNT(22, !isnan(tarn_lr_warmup_cosine(1, 1, v, 3, 0)))
COUNT(23, renorm(OPTS(tarn_batch_renorm_opts, .start = v)))
COUNT(24, tarn_histogram(x(), v, 0, 1, (int64_t[8]){0}))
COUNT(25, tarn_quantiles(x(), v, (double[8]){0}, (double[8]){0}))
COUNT(26, tarn_var(t, x(), TARN_AXES(1), v, false))

static const count_row counts[] = {
    {"tarn_max_pool2d", "window", count_0, 1},
    {"tarn_avg_pool2d", "stride", count_1, 0},
    {"tarn_max_pool2d", "padding", count_2, 0},
    {"tarn_conv2d", "stride", count_3, 0},
    {"tarn_conv2d", "padding", count_4, 0},
    {"tarn_conv2d", "dilation", count_5, 0},
    {"tarn_conv2d", "groups", count_6, 0},
    {"tarn_groupnorm", "groups", count_7, 1},
    {"tarn_max_pool2d_init", "window", count_8, 1},
    {"tarn_avg_pool2d_init", "padding", count_9, 0},
    {"tarn_linear_init", "in", count_10, 1},
    {"tarn_conv2d_init", "kernel", count_11, 1},
    {"tarn_conv2d_init", "stride", count_12, 0},
    {"tarn_conv2d_init", "groups", count_13, 0},
    {"tarn_batchnorm_init", "channels", count_14, 1},
    {"tarn_groupnorm_init", "groups", count_15, 1},
    {"tarn_spectralnorm_linear_init", "iterations", count_16, 0},
    {"tarn_spectralnorm", "iterations", count_17, 0},
    {"tarn_plateau_new", "patience", count_18, -1},
    {"tarn_plateau_new", "cooldown", count_19, 0},
    {"tarn_lr_step_decay", "every", count_20, 1},
    {"tarn_lr_one_cycle", "step", count_21, 0},
    {"tarn_lr_warmup_cosine", "warmup", count_22, 0},
    {"tarn_batch_renorm_init", "start", count_23, 0},
    {"tarn_histogram", "bins", count_24, 1},
    {"tarn_quantiles", "n", count_25, 1},
    {"tarn_var", "correction", count_26, 0},
};

static void whole_numbers_are_in_their_ranges(void **state)
{
    (void)state;
    int complaints = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const count_row *r = &counts[i];
        for (int v = r->least - 2; v <= r->least + 1; v++) {
            bool done = r->call(v), right = done == (v >= r->least) && done == !tarn_error();
            complaints += complain_unless(right, r->who, r->what, v);
            tarn_tape_reset(t);
        }
        complaints += complain_unless(!r->call(INT_MIN), r->who, r->what, INT_MIN);
        tarn_tape_reset(t);
    }
    assert_int_equal(complaints, 0);
}

static int setup_numbers(void **state)
{
    rng = tarn_rng_seed(1);
    if (setup(state) != 0)
        return -1;
    params = tarn_params_new(TARN_F32);
    return tarn_params_add(params, "w", TARN_SHAPE(3, 4)) ? 0 : -1;
}

static int teardown_numbers(void **state)
{
    tarn_params_free(params);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(real_numbers_are_in_their_ranges, setup_numbers, teardown_numbers),
        cmocka_unit_test_setup_teardown(limits_are_in_order, setup_numbers, teardown_numbers),
        cmocka_unit_test_setup_teardown(whole_numbers_are_in_their_ranges, setup_numbers, teardown_numbers),
    };
    return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
