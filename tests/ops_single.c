/* Single ops where the table does not reach: dropout, special values, ties, and what they refuse. */
#include "tensor/threads.h"
#include "tests/ops_check.h"

static const double INF = INFINITY;

static tarn_tensor *constant(tarn_tape *t, tarn_dtype dtype, int64_t n, const double *values)
{
    tarn_tensor *x = tarn_constant(t, TARN_F64, 1, &n, values);
    assert_non_null(x);
    return dtype == TARN_F64 ? x : tarn_cast(t, x, dtype);
}

static void assert_values(tarn_tape *t, tarn_tensor *x, int n, const double *expected)
{
    const double *v = tarn_data(tarn_cast(t, x, TARN_F64));
    assert_non_null(v);
    assert_int_equal(tarn_numel(x), n);
    double one = x->dtype == TARN_F64 ? 1e-12 : 1e-6;
    for (int i = 0; i < n; i++) {
        bool same = v[i] == expected[i] || (isnan(v[i]) && isnan(expected[i]));
        if (!same && !(fabs(v[i] - expected[i]) <= one * fabs(expected[i])))
            fail_msg("element %d is %.17g, expected %.17g", i, v[i], expected[i]);
    }
}

static tarn_tensor *gradient(tarn_tape *t, tarn_tensor *y, tarn_tensor *x)
{
    tarn_tensor *g = NULL;
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    return g;
}

/* ---- special values ---- */

static void far_out_there_is_no_overflow(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *x = constant(t, dtype, 5, (double[]){-1000, -40, 0, 40, 1000});
        assert_values(t, tarn_softplus(t, x), 5,
                      (double[]){0, dtype == TARN_F64 ? exp(-40) : (double)expf(-40), log(2), 40, 1000});
        assert_values(t, gradient(t, tarn_softplus(t, x), x), 5, (double[]){0, exp(-40), 0.5, 1, 1});
        assert_values(t, tarn_sigmoid(t, x), 5, (double[]){0, exp(-40), 0.5, 1, 1});
        assert_values(t, gradient(t, tarn_sigmoid(t, x), x), 5, (double[]){0, exp(-40), 0.25, exp(-40), 0});
        assert_values(t, tarn_tanh(t, x), 5, (double[]){-1, -1, 0, 1, 1});
        assert_values(t, tarn_silu(t, x), 5, (double[]){0, -40 * exp(-40), 0, 40, 1000});
        assert_values(t, gradient(t, tarn_silu(t, x), x), 5, (double[]){0, -39 * exp(-40), 0.5, 1, 1});
        assert_values(t, tarn_gelu(t, x), 5, (double[]){0, 0, 0, 40, 1000});
        assert_values(t, gradient(t, tarn_gelu(t, x), x), 5, (double[]){0, 0, 0.5, 1, 1});
        assert_values(t, tarn_elu(t, x, 2), 5, (double[]){-2, -2, 0, 40, 1000});
        assert_values(t, tarn_softmax(t, x), 5, (double[]){0, 0, 0, 0, 1});
        assert_values(t, tarn_log_softmax(t, x), 5, (double[]){-2000, -1040, -1000, -960, 0});
        assert_values(t, tarn_logsumexp(t, x), 1, (double[]){1000});
        tarn_tensor *y = constant(t, dtype, 5, (double[]){0, 0, 0, 1, 0});
        assert_values(t, tarn_bce_with_logits(t, x, y), 1, (double[]){(log(2) + 1000) / 5});
        tarn_tensor *small = constant(t, dtype, 2, (double[]){1e-9, -1e-9});
        assert_values(t, tarn_expm1(t, small), 2, (double[]){1e-9 + 5e-19, -1e-9 + 5e-19});
        assert_values(t, tarn_log1p(t, small), 2, (double[]){1e-9 - 5e-19, -1e-9 - 5e-19});
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
}

static void at_the_kinks(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = constant(t, TARN_F64, 3, (double[]){-2, 0, 3});
    assert_values(t, gradient(t, tarn_relu(t, x), x), 3, (double[]){0, 0, 1});
    assert_values(t, gradient(t, tarn_abs(t, x), x), 3, (double[]){-1, 0, 1});
    assert_values(t, tarn_sign(t, x), 3, (double[]){-1, 0, 1});
    assert_values(t, gradient(t, tarn_clamp(t, x, -1, 1), x), 3, (double[]){0, 1, 0});
    tarn_tensor *y = constant(t, TARN_F64, 3, (double[]){-3, 0, 4});
    assert_values(t, gradient(t, tarn_maximum(t, x, y), x), 3, (double[]){1, 0.5, 0});
    assert_values(t, gradient(t, tarn_maximum(t, x, y), y), 3, (double[]){0, 0.5, 1});
    assert_values(t, gradient(t, tarn_minimum(t, x, y), x), 3, (double[]){0, 0.5, 1});
    tarn_tensor *ties = constant(t, TARN_F64, 4, (double[]){5, 1, 5, 1});
    assert_values(t, gradient(t, tarn_max(t, ties, TARN_ALL_AXES, false), ties), 4, (double[]){0.5, 0, 0.5, 0});
    assert_values(t, gradient(t, tarn_min(t, ties, TARN_ALL_AXES, true), ties), 4, (double[]){0, 0.5, 0, 0.5});
    assert_values(t, tarn_argmax(t, ties, 0), 1, (double[]){0});
    tarn_tensor *image = tarn_reshape(t, constant(t, TARN_F64, 4, (double[]){1, 7, 7, 7}), TARN_SHAPE(1, 2, 2, 1));
    assert_values(t, gradient(t, tarn_max_pool2d(t, image, 2, NULL), image), 4, (double[]){0, 1, 0, 0});
    tarn_tensor *low = tarn_full(t, TARN_F64, TARN_SHAPE(1, 2, 2, 1), -5); /* padding never wins */
    const tarn_pool2d_opts padded = {.stride = 1, .padding = 1};
    assert_values(t, tarn_max_pool2d(t, low, 3, &padded), 4, (double[]){-5, -5, -5, -5});
    assert_values(t, tarn_avg_pool2d(t, low, 3, &padded), 4, (double[]){-5, -5, -5, -5});
    tarn_tape_free(t);
}

static void a_nan_is_not_lost(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *x = constant(t, dtype, 4, (double[]){1, NAN, 9, -INF});
        assert_values(t, tarn_relu(t, x), 4, (double[]){1, NAN, 9, 0});
        assert_values(t, tarn_clamp(t, x, -2, 5), 4, (double[]){1, NAN, 5, -2});
        assert_values(t, tarn_sign(t, x), 4, (double[]){1, NAN, 1, -1});
        assert_values(t, tarn_leaky_relu(t, x, 0.5), 4, (double[]){1, NAN, 9, -INF});
        assert_values(t, tarn_sum(t, x, TARN_ALL_AXES, false), 1, (double[]){NAN});
        assert_values(t, tarn_max(t, x, TARN_ALL_AXES, false), 1, (double[]){NAN});
        assert_values(t, tarn_min(t, x, TARN_ALL_AXES, false), 1, (double[]){NAN});
        assert_values(t, tarn_argmax(t, x, 0), 1, (double[]){1});
        assert_values(t, tarn_softmax(t, x), 4, (double[]){NAN, NAN, NAN, NAN});
        tarn_tensor *two = tarn_reshape(t, x, TARN_SHAPE(2, 2));
        assert_values(t, tarn_max(t, two, TARN_AXES(0), false), 2, (double[]){9, NAN});
        assert_values(t, tarn_min(t, two, TARN_AXES(0), false), 2, (double[]){1, NAN});
        tarn_tensor *zero = tarn_full(t, dtype, 0, NULL, 0), *nan = tarn_full(t, dtype, 0, NULL, NAN);
        assert_values(t, tarn_maximum(t, x, zero), 4, (double[]){1, NAN, 9, 0});
        assert_values(t, tarn_maximum(t, zero, x), 4, (double[]){1, NAN, 9, 0});
        assert_values(t, tarn_minimum(t, nan, zero), 1, (double[]){NAN});
        assert_values(t, tarn_minimum(t, zero, nan), 1, (double[]){NAN});
        assert_values(t, tarn_eq(t, x, x), 4, (double[]){1, 0, 1, 1});
        assert_values(t, tarn_ne(t, x, x), 4, (double[]){0, 1, 0, 0});
        assert_values(t, tarn_le(t, x, x), 4, (double[]){1, 0, 1, 1});
        tarn_tensor *image = tarn_reshape(t, x, TARN_SHAPE(1, 2, 2, 1));
        assert_values(t, tarn_max_pool2d(t, image, 2, NULL), 1, (double[]){NAN});
        tarn_tensor *out = tarn_full(t, dtype, TARN_SHAPE(1, 2, 2, 1), -INF);
        assert_values(t, tarn_max_pool2d(t, out, 2, NULL), 1, (double[]){-INF});
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
}

static void leaves_on_the_tape(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    assert_values(t, tarn_arange(t, TARN_F32, 4, 1, 0.5), 4, (double[]){1, 1.5, 2, 2.5});
    assert_values(t, tarn_arange(t, TARN_I32, 3, 5, -2), 3, (double[]){5, 3, 1});
    assert_values(t, tarn_zeros(t, TARN_U8, TARN_SHAPE(2)), 2, (double[]){0, 0});
    assert_values(t, tarn_ones(t, TARN_F64, TARN_SHAPE(1, 2)), 2, (double[]){1, 1});
    assert_values(t, tarn_full(t, TARN_F32, TARN_SHAPE(2), -2.5), 2, (double[]){-2.5, -2.5});
    assert_true(tarn_ndim(tarn_scalar(t, TARN_F64, 3)) == 0 && tarn_item(tarn_scalar(t, TARN_F64, 3)) == 3);
    tarn_rng rng = tarn_rng_seed(3), again = rng;
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *u = tarn_uniform(t, dtype, TARN_SHAPE(5000), &rng, 2, 4),
                    *n = tarn_normal(t, dtype, TARN_SHAPE(5000), &rng, -1, 3);
        tarn_tensor *first = tarn_uniform(t, dtype, TARN_SHAPE(5000), &again, 2, 4);
        again = rng;
        assert_memory_equal(tarn_data(u), tarn_data(first), 5000 * tarn_dtype_size(dtype));
        assert_true(fabs(tarn_item(tarn_mean(t, u, TARN_ALL_AXES, false)) - 3) < 0.05);
        assert_true(tarn_item(tarn_min(t, u, TARN_ALL_AXES, false)) >= 2);
        assert_true(tarn_item(tarn_max(t, u, TARN_ALL_AXES, false)) < 4);
        assert_true(fabs(tarn_item(tarn_mean(t, n, TARN_ALL_AXES, false)) + 1) < 0.2);
        assert_true(fabs(tarn_item(tarn_var(t, n, TARN_ALL_AXES, 1, false)) - 9) < 0.8);
    }
    assert_null(tarn_uniform(t, TARN_I32, TARN_SHAPE(2), &rng, 0, 1));
    ops_expect_error("tarn_uniform: dtype i32");
    assert_null(tarn_normal(t, TARN_F32, TARN_SHAPE(2), NULL, 0, 1));
    ops_expect_error("tarn_normal: rng is NULL");
    assert_null(tarn_constant(t, TARN_F32, TARN_SHAPE(2), NULL));
    ops_expect_error("tarn_constant: data is NULL");
    assert_null(tarn_zeros(t, TARN_F32, TARN_SHAPE(INT64_MAX, 4)));
    ops_expect_error("tarn_zeros");
    assert_null(tarn_ones(NULL, TARN_F32, TARN_SHAPE(2)));
    ops_expect_error("tarn_ones: tape is NULL");
    tarn_tape_free(t);
}

/* ---- dropout ---- */

static void dropout_drops(void **state)
{
    (void)state;
    enum { N = 30001 };
    tarn_tape *t = tarn_tape_new();
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_rng rng = tarn_rng_seed(9), same = rng;
        tarn_tensor *x = tarn_full(t, dtype, TARN_SHAPE(N), 3);
        tarn_tensor *y = tarn_dropout(t, x, 0.25, &rng), *next = tarn_dropout(t, x, 0.25, &rng);
        assert_true(rng.counter > same.counter);
        const double *v = tarn_data(tarn_cast(t, y, TARN_F64)), *w = tarn_data(tarn_cast(t, next, TARN_F64)),
                     *g = tarn_data(tarn_cast(t, gradient(t, y, x), TARN_F64)),
                     *again = tarn_data(tarn_cast(t, tarn_dropout(t, x, 0.25, &same), TARN_F64));
        int kept = 0, differ = 0, runs = 0;
        for (int i = 0; i < N; i++) {
            assert_true(v[i] == 0 || fabs(v[i] - 4) < 1e-6);
            assert_true(fabs(g[i] - v[i] / 3) < 1e-6); /* the same mask and scale */
            assert_true(again[i] == v[i]);
            kept += v[i] != 0;
            differ += (v[i] != 0) != (w[i] != 0);
            runs += i > 0 && (v[i] != 0) != (v[i - 1] != 0);
        }
        /* 5 standard deviations of a binomial count */
        assert_true(abs(kept - 3 * N / 4) < 375);
        assert_true(abs(differ - 3 * N / 8) < 420 && abs(runs - 3 * N / 8) < 520);
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
}

static void dropout_that_drops_nothing(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_rng rng = tarn_rng_seed(9), before = rng;
    tarn_tensor *x = tarn_ones(t, TARN_F32, TARN_SHAPE(3));
    assert_ptr_equal(tarn_dropout(t, x, 0, &rng), x);
    tarn_tape_set_training(t, false);
    assert_ptr_equal(tarn_dropout(t, x, 0.5, &rng), x);
    assert_memory_equal(&rng, &before, sizeof rng);
    const double bad[] = {1, -0.1, NAN, 2};
    for (int i = 0; i < 4; i++) {
        assert_null(tarn_dropout(t, x, bad[i], &rng));
        ops_expect_error("tarn_dropout: p ");
    }
    assert_null(tarn_dropout(t, x, 0.5, NULL));
    ops_expect_error("tarn_dropout: rng is NULL");
    tarn_tape_free(t);
}

/* ---- what ops refuse ---- */

typedef struct refused {
    tarn_tape *t;
    tarn_tensor *f32, *f64, *i32, *u8;           /* [2,3] each */
    tarn_tensor *v, *w, *image, *scalar, *empty; /* f32: [3], [4], [1,4,4,2], [], [0,3] */
    tarn_tensor *labels;                         /* i32 [2] */
} refused;

#define REFUSAL(number, expression)                                                                                    \
    static tarn_tensor *refusal_##number(const refused *r)                                                             \
    {                                                                                                                  \
        tarn_tape *t = r->t;                                                                                           \
        (void)t;                                                                                                       \
        return expression;                                                                                             \
    }
#define OPTS(type, ...) (&(type){__VA_ARGS__})
REFUSAL(0, tarn_exp(t, r->i32))
REFUSAL(1, tarn_add(t, r->f32, r->f64))
REFUSAL(2, tarn_mul(t, r->f32, r->w))
REFUSAL(3, tarn_eq(t, r->f32, r->i32))
REFUSAL(4, tarn_where(t, r->f32, r->f32, r->f32))
REFUSAL(5, tarn_where(t, r->u8, r->f32, r->f64))
REFUSAL(6, tarn_cast(t, r->f32, (tarn_dtype)17))
REFUSAL(7, tarn_sum(t, r->f32, TARN_AXES(2), false))
REFUSAL(8, tarn_sum(t, r->f32, TARN_AXES(1, -1), false))
REFUSAL(9, tarn_max(t, r->empty, TARN_AXES(0), false))
REFUSAL(10, tarn_var(t, r->f32, TARN_AXES(0), 2, false))
REFUSAL(11, tarn_argmax(t, r->empty, 0))
REFUSAL(12, tarn_matmul(t, r->v, r->f32))
REFUSAL(13, tarn_matmul(t, r->f32, r->f32))
REFUSAL(14, tarn_reshape(t, r->f32, TARN_SHAPE(4, -1)))
REFUSAL(15, tarn_reshape(t, r->f32, TARN_SHAPE(-1, -1)))
REFUSAL(16, tarn_reshape(t, r->empty, TARN_SHAPE(0, -1)))
REFUSAL(17, tarn_flatten(t, r->scalar))
REFUSAL(18, tarn_permute(t, r->f32, (int[]){0, 0}))
REFUSAL(19, tarn_permute(t, r->f32, NULL))
REFUSAL(20, tarn_transpose(t, r->f32, 0, 2))
REFUSAL(21, tarn_slice(t, r->f32, 1, 0, 4, 1))
REFUSAL(22, tarn_slice(t, r->f32, 1, 0, 2, 0))
REFUSAL(23, tarn_expand(t, r->f32, TARN_SHAPE(2, 4)))
REFUSAL(24, tarn_expand(t, r->f32, TARN_SHAPE(3)))
REFUSAL(25, tarn_concat(t, 2, (tarn_tensor *[]){r->f32, r->v}, 0))
REFUSAL(26, tarn_concat(t, 0, (tarn_tensor *[]){r->f32}, 0))
REFUSAL(27, tarn_pad(t, r->v, (int64_t[]){-1}, (int64_t[]){0}, 0))
REFUSAL(28, tarn_gather(t, r->f32, 0, r->f32))
REFUSAL(29, tarn_gather(t, r->f32, 0, r->labels))
REFUSAL(30, tarn_index_select(t, r->f32, 0, r->i32))
REFUSAL(31, tarn_one_hot(t, r->f32, 3, TARN_F32))
REFUSAL(32, tarn_one_hot(t, r->i32, 0, TARN_F32))
REFUSAL(33, tarn_softmax(t, r->scalar))
REFUSAL(34, tarn_conv2d(t, r->f32, r->image, NULL))
REFUSAL(35, tarn_conv2d(t, r->image, r->image, NULL))
REFUSAL(36, tarn_conv2d(t, r->image, tarn_ones(t, TARN_F32, TARN_SHAPE(5, 5, 2, 1)), NULL))
REFUSAL(37,
        tarn_conv2d(t, r->image, tarn_ones(t, TARN_F32, TARN_SHAPE(1, 1, 2, 1)), OPTS(tarn_conv2d_opts, .stride = -1)))
REFUSAL(38, tarn_max_pool2d(t, r->image, 5, NULL))
REFUSAL(39, tarn_max_pool2d(t, r->image, 2, OPTS(tarn_pool2d_opts, .padding = 2)))
REFUSAL(40, tarn_avg_pool2d(t, r->f32, 2, NULL))
REFUSAL(41, tarn_global_avg_pool2d(t, r->f32))
REFUSAL(42, tarn_batchnorm(t, r->f32, r->w, r->v, NULL, NULL))
REFUSAL(43, tarn_cross_entropy(t, r->f32, r->f32))
REFUSAL(44, tarn_cross_entropy(t, r->f32, r->v))
REFUSAL(45, tarn_cross_entropy(t, r->v, r->labels))
REFUSAL(46, tarn_accuracy(t, r->v, r->labels))
REFUSAL(47, tarn_exp(NULL, r->f32))
REFUSAL(48, tarn_exp(t, NULL))
REFUSAL(49, tarn_sum(t, NULL, TARN_ALL_AXES, false))
REFUSAL(50, tarn_matmul(t, r->f32, NULL))
REFUSAL(51, tarn_conv2d(t, r->image, NULL, NULL))
REFUSAL(52, tarn_concat(t, 2, NULL, 0))
REFUSAL(53, tarn_mse(t, r->f32, r->w))
REFUSAL(54, tarn_bce_with_logits(t, r->i32, r->i32))
REFUSAL(55, tarn_contiguous(t, NULL))
REFUSAL(56, tarn_accuracy(t, NULL, r->labels))
REFUSAL(57, tarn_dropout(t, NULL, 0.5, OPTS(tarn_rng, 0)))
REFUSAL(58, tarn_softmax(t, tarn_zeros(t, TARN_F32, TARN_SHAPE(3, 0))))
REFUSAL(59, tarn_log_softmax(t, tarn_zeros(t, TARN_F32, TARN_SHAPE(3, 0))))
REFUSAL(60, tarn_logsumexp(t, tarn_zeros(t, TARN_F32, TARN_SHAPE(3, 0))))
REFUSAL(61, tarn_cross_entropy(t, r->empty, tarn_zeros(t, TARN_I32, TARN_SHAPE(0))))
REFUSAL(62, tarn_accuracy(t, r->empty, tarn_zeros(t, TARN_I32, TARN_SHAPE(0))))
REFUSAL(63, tarn_weightnorm(t, r->v, r->v))
REFUSAL(64, tarn_spectralnorm(t, r->v, r->v, r->v, 1))
REFUSAL(65, tarn_batchnorm(t, r->empty, r->v, r->v, NULL, NULL))

static void wrong_calls_are_refused(void **state)
{
    (void)state;
    static const struct {
        tarn_tensor *(*call)(const refused *r);
        const char *message;
    } calls[] = {
        {refusal_0, "tarn_exp: input 0 is i32, expected f32 or f64"},
        {refusal_1, "tarn_add: input 0 is f32 and input 1 is f64: cast one of them"},
        {refusal_2, "tarn_mul: [2,3] and [4] do not broadcast"},
        {refusal_3, "tarn_eq: inputs are f32 and i32"},
        {refusal_4, "tarn_where: the condition is f32, expected u8"},
        {refusal_5, "tarn_where: a is f32 and b is f64"},
        {refusal_6, "tarn_cast"},
        {refusal_7, "tarn_sum: axis 2"},
        {refusal_8, "tarn_sum: axis -1 is given twice"},
        {refusal_9, "tarn_max: [0,3] has no elements along those axes"},
        {refusal_10, "tarn_var: 2 elements and correction 2"},
        {refusal_11, "tarn_argmax: [0,3] has 0 elements along axis 0"},
        {refusal_12, "tarn_matmul: [3] x [2,3]: expected at least 2 dimensions each"},
        {refusal_13, "tarn_matmul: [2,3] x [2,3]: inner dimensions 3 and 2 differ"},
        {refusal_14, "tarn_reshape: [2,3] does not fit into [4,-1]"},
        {refusal_15, "tarn_reshape: [-1,-1] has more than one -1"},
        {refusal_16, "tarn_reshape"},
        {refusal_17, "tarn_flatten: a scalar"},
        {refusal_18, "tarn_permute: axis 0 is given twice"},
        {refusal_19, "tarn_permute: axes is NULL"},
        {refusal_20, "tarn_transpose: axis 2"},
        {refusal_21, "tarn_slice: 0:4:1 of axis 1 of [2,3] is out of range"},
        {refusal_22, "tarn_slice: 0:2:0"},
        {refusal_23, "tarn_expand: [2,3] does not broadcast to [2,4]"},
        {refusal_24, "tarn_expand: [2,3] does not broadcast to [3]"},
        {refusal_25, "tarn_concat: input 1 is f32[3]"},
        {refusal_26, "tarn_concat: 0 tensors"},
        {refusal_27, "tarn_pad: axis 0 is padded by -1 and 0"},
        {refusal_28, "tarn_gather: the index is f32"},
        {refusal_29, "tarn_gather: [2,3] indexed by [2]"},
        {refusal_30, "tarn_index_select: the index is [2,3], expected 1 dimension"},
        {refusal_31, "tarn_one_hot: the index is f32"},
        {refusal_32, "tarn_one_hot: [2,3] into 0 classes"},
        {refusal_33, "tarn_softmax: []: expected a last axis"},
        {refusal_34, "tarn_conv2d: x [2,3] and w [1,4,4,2], expected [N,H,W,C]"},
        {refusal_35, "tarn_conv2d: x [1,4,4,2] and w [1,4,4,2] with 1 groups"},
        {refusal_36, "tarn_conv2d: the kernel of w [5,5,2,1]"},
        {refusal_37, "tarn_conv2d: stride -1"},
        {refusal_38, "tarn_max_pool2d: a window of 5 does not fit"},
        {refusal_39, "tarn_max_pool2d: padding 2, expected 0 to 1"},
        {refusal_40, "tarn_avg_pool2d: x is f32[2,3]"},
        {refusal_41, "tarn_global_avg_pool2d: x is [2,3]"},
        {refusal_42, "tarn_batchnorm: gamma is f32[4], expected f32[3] for x [2,3]"},
        {refusal_43, "tarn_cross_entropy: logits are f32 and labels f32"},
        {refusal_44, "tarn_cross_entropy"},
        {refusal_45, "tarn_cross_entropy: logits [3] and labels [2]"},
        {refusal_46, "tarn_accuracy: logits [3] and labels [2]"},
        {refusal_47, "tarn_exp: tape is NULL"},
        {refusal_48, "tarn_exp: input 0 is NULL"},
        {refusal_49, "tarn_sum: input 0 is NULL"},
        {refusal_50, "tarn_matmul: input 1 is NULL"},
        {refusal_51, "tarn_conv2d: input 1 is NULL"},
        {refusal_52, "tarn_concat: xs is NULL"},
        {refusal_53, "tarn_mse: "},
        {refusal_54, "tarn_bce_with_logits: inputs are i32 and i32, expected both f32 or both f64"},
        {refusal_55, "tarn_contiguous: input 0 is NULL"},
        {refusal_56, "tarn_accuracy: input 0 is NULL"},
        {refusal_57, "tarn_dropout: input 0 is NULL"},
        {refusal_58, "tarn_softmax: [3,0]: expected a last axis with at least 1 element"},
        {refusal_59, "tarn_log_softmax: [3,0]: expected a last axis with at least 1 element"},
        {refusal_60, "tarn_logsumexp: [3,0]: expected a last axis with at least 1 element"},
        {refusal_61, "tarn_cross_entropy: logits [0,3] and labels [0], expected [N,C] and [N], none of them empty"},
        {refusal_62, "tarn_accuracy: logits [0,3] and labels [0], expected [N,C] and [N], none of them empty"},
        {refusal_63, "tarn_weightnorm: v is f32[3], expected f32 or f64 [...,out] with 2 axes or more"},
        {refusal_64, "tarn_spectralnorm: w is f32[3]"},
        {refusal_65, "tarn_batchnorm: x [0,3] has 0 values a channel"},
    };
    tarn_tape *t = tarn_tape_new();
    const refused r = {
        .t = t,
        .f32 = tarn_ones(t, TARN_F32, TARN_SHAPE(2, 3)),
        .f64 = tarn_ones(t, TARN_F64, TARN_SHAPE(2, 3)),
        .i32 = tarn_ones(t, TARN_I32, TARN_SHAPE(2, 3)),
        .u8 = tarn_ones(t, TARN_U8, TARN_SHAPE(2, 3)),
        .v = tarn_ones(t, TARN_F32, TARN_SHAPE(3)),
        .w = tarn_ones(t, TARN_F32, TARN_SHAPE(4)),
        .image = tarn_ones(t, TARN_F32, TARN_SHAPE(1, 4, 4, 2)),
        .scalar = tarn_scalar(t, TARN_F32, 1),
        .empty = tarn_ones(t, TARN_F32, TARN_SHAPE(0, 3)),
        .labels = tarn_ones(t, TARN_I32, TARN_SHAPE(2)),
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i].call(&r))
            fail_msg("call %zu is not refused: expected \"%s\"", i, calls[i].message);
        ops_expect_error(calls[i].message);
    }
    tarn_tape_free(t);
}

/* d a^b / db = a^b ln a at its ends, and what the mixed second derivative is there, a^(b-1) (1 + b ln a). */
static void powers_at_the_ends(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *a = constant(t, dtype, 9, (double[]){0, 0, 0, 0, 0, INF, 2, -2, NAN});
        tarn_tensor *b = constant(t, dtype, 9, (double[]){2, 0.5, 1, 0, -1, -1, 0, 2, 2});
        tarn_tensor *y = tarn_pow(t, a, b), *db = gradient(t, y, b);
        assert_values(t, db, 9, (double[]){0, 0, 0, -INF, -INF, 0, log(2), NAN, NAN});
        assert_values(t, gradient(t, y, a), 9, (double[]){0, INF, 1, 0, -INF, -0.0, 0, -4, NAN});
        tarn_tensor *some_a = constant(t, dtype, 5, (double[]){0, 0, 2, 3, 0}),
                    *some_b = constant(t, dtype, 5, (double[]){2, 3, 0, 0, 1});
        db = gradient(t, tarn_pow(t, some_a, some_b), some_b);
        assert_values(t, gradient(t, db, some_b), 5, (double[]){0, 0, log(2) * log(2), log(3) * log(3), 0});
        assert_values(t, gradient(t, db, some_a), 5, (double[]){0, 0, 0.5, 1.0 / 3, -INF});
        tarn_tensor *da = gradient(t, tarn_pow(t, some_a, some_b), some_a);
        assert_values(t, gradient(t, da, some_b), 5, (double[]){0, 0, 0.5, 1.0 / 3, -INF});
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
}

/* One rule: the sum of nothing is 0, and what would divide by its count is an error. */
static void nothing_has_no_mean(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_tensor *none = tarn_zeros(t, dtype, TARN_SHAPE(0)), *rows = tarn_zeros(t, dtype, TARN_SHAPE(0, 3));
        tarn_tensor *images = tarn_zeros(t, dtype, TARN_SHAPE(2, 0, 4, 3));
        assert_null(tarn_mean(t, none, TARN_ALL_AXES, false));
        ops_expect_error("tarn_mean: [0] has no elements along those axes");
        assert_null(tarn_mean(t, rows, TARN_AXES(0), true));
        ops_expect_error("tarn_mean: [0,3] has no elements along those axes");
        assert_null(tarn_var(t, none, TARN_ALL_AXES, 0, false));
        ops_expect_error("tarn_var: 0 elements");
        assert_null(tarn_mse(t, rows, rows));
        ops_expect_error("tarn_mse: [0,3] and [0,3]: expected at least one element");
        assert_null(tarn_mse(t, rows, tarn_zeros(t, dtype, TARN_SHAPE(1, 3))));
        ops_expect_error("tarn_mse: [0,3] and [1,3]");
        assert_null(tarn_bce_with_logits(t, none, none));
        ops_expect_error("tarn_bce_with_logits: [0] and [0]");
        assert_null(tarn_cross_entropy(t, rows, tarn_zeros(t, TARN_I32, TARN_SHAPE(0))));
        ops_expect_error("tarn_cross_entropy: logits [0,3]");
        assert_null(tarn_accuracy(t, rows, tarn_zeros(t, TARN_I32, TARN_SHAPE(0))));
        ops_expect_error("tarn_accuracy: logits [0,3]");
        assert_null(tarn_global_avg_pool2d(t, images));
        ops_expect_error("tarn_global_avg_pool2d: x is [2,0,4,3]");
        assert_null(tarn_global_max_pool2d(t, images));
        ops_expect_error("tarn_global_max_pool2d: x is [2,0,4,3]");
        assert_true(tarn_item(tarn_sum(t, none, TARN_ALL_AXES, false)) == 0);
        assert_int_equal(tarn_numel(tarn_mean(t, rows, TARN_AXES(1), false)), 0); /* no means, of 3 each */
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
}

static void a_loss_takes_no_more_pairs_than_there_are(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *column = tarn_ones(t, TARN_F32, TARN_SHAPE(5, 1)), *row = tarn_zeros(t, TARN_F32, TARN_SHAPE(5));
    tarn_tensor *table = tarn_ones(t, TARN_F32, TARN_SHAPE(2, 5)), *one = tarn_zeros(t, TARN_F32, 0, NULL);
    assert_null(tarn_mse(t, column, row));
    ops_expect_error("tarn_mse: [5,1] and [5] broadcast to [5,5], more than either: reshape one of them");
    assert_null(tarn_mse(t, row, column));
    ops_expect_error("tarn_mse: [5] and [5,1] broadcast to [5,5]");
    assert_null(tarn_bce_with_logits(t, column, row));
    ops_expect_error("tarn_bce_with_logits: [5,1] and [5] broadcast to [5,5]");
    assert_true(tarn_item(tarn_mse(t, table, row)) == 1 && tarn_item(tarn_mse(t, one, column)) == 1);
    assert_true(tarn_item(tarn_mse(t, tarn_reshape(t, row, TARN_SHAPE(1, 5)), row)) == 0);
    tarn_tape_free(t);
}

static void indices_are_checked_when_they_are_used(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = tarn_ones(t, TARN_F32, TARN_SHAPE(2, 3));
    tarn_tensor *high = tarn_constant(t, TARN_I32, TARN_SHAPE(2), (int32_t[]){0, 3}),
                *low = tarn_constant(t, TARN_I32, TARN_SHAPE(2), (int32_t[]){-1, 0}),
                *high_2d = tarn_reshape(t, high, TARN_SHAPE(2, 1)), *low_2d = tarn_reshape(t, low, TARN_SHAPE(2, 1));
    assert_null(tarn_data(tarn_gather(t, x, 1, high_2d)));
    ops_expect_error("tarn_gather: index 3 is out of range, expected 0 to 2");
    assert_null(tarn_data(tarn_gather(t, x, 1, low_2d)));
    ops_expect_error("tarn_gather: index -1 is out of range");
    assert_null(tarn_data(tarn_index_select(t, x, 1, high)));
    ops_expect_error("tarn_index_select: index 3 is out of range");
    assert_null(tarn_data(tarn_one_hot(t, low, 3, TARN_F32)));
    ops_expect_error("tarn_one_hot");
    assert_null(tarn_data(tarn_cross_entropy(t, x, high)));
    ops_expect_error("tarn_cross_entropy: label 3 of example 1 is out of range, expected 0 to 2");
    assert_null(tarn_data(tarn_cross_entropy(t, x, low)));
    ops_expect_error("tarn_cross_entropy: label -1 of example 0");
    tarn_tape_free(t);
}

const struct CMUnitTest ops_single_tests[] = {
    cmocka_unit_test(far_out_there_is_no_overflow),
    cmocka_unit_test(at_the_kinks),
    cmocka_unit_test(a_nan_is_not_lost),
    cmocka_unit_test(leaves_on_the_tape),
    cmocka_unit_test(dropout_drops),
    cmocka_unit_test(dropout_that_drops_nothing),
    cmocka_unit_test(wrong_calls_are_refused),
    cmocka_unit_test(powers_at_the_ends),
    cmocka_unit_test(nothing_has_no_mean),
    cmocka_unit_test(a_loss_takes_no_more_pairs_than_there_are),
    cmocka_unit_test(indices_are_checked_when_they_are_used),
    {.name = NULL},
};
