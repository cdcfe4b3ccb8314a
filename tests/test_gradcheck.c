/* tarn_gradcheck: right gradients pass, and planted faults are found where they are. */
#include "autograd/gradcheck.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- ops with a fault each: y = x^2 or a sum of x, made here so that the library does not list them ---- */

static bool like_input_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool square_run(tarn_node *n)
{
    for (int64_t i = 0; i < n->out[0]->numel; i++)
        tarn__store(n->out[0], i, tarn__load(n->in[0], i) * tarn__load(n->in[0], i));
    return true;
}

static bool right_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul(t, gy[0], tarn_mul_scalar(t, n->in[0], 2));
    return true;
}

static bool flipped_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul(t, gy[0], tarn_mul_scalar(t, n->in[0], -2));
    return true;
}

static bool no_factor_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul(t, gy[0], n->in[0]);
    return true;
}

static bool slightly_off_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                             tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul(t, gy[0], tarn_mul_scalar(t, n->in[0], 2.00001));
    return true;
}

static bool nan_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul_scalar(t, tarn_mul(t, gy[0], n->in[0]), NAN);
    return true;
}

static bool held_run(tarn_node *n)
{
    tarn__copy_elements(n->out[0], n->in[0]);
    return true;
}

static const tarn_op held_op = {.name = "held", like_input_shape, held_run, NULL, .constant = true};

static tarn_tensor *held(tarn_tape *t, tarn_tensor *x)
{
    return tarn__apply(t, &held_op, 1, &x, NULL, 0);
}

/* Right to first order, but x is frozen in it. */
static bool frozen_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul(t, gy[0], tarn_mul_scalar(t, held(t, n->in[0]), 2));
    return true;
}

/* Right to first order, but blind to its cotangent. */
static bool frozen_cotangent_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                                 tarn_tensor **gx)
{
    (void)need;
    gx[0] = tarn_mul(t, tarn_mul_scalar(t, held(t, gy[0]), 2), n->in[0]);
    return true;
}

/* y[j] = sum over i of x[i,j], of a square x */
static bool columns_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, 1, n->in[0]->shape);
}

static bool columns_run(tarn_node *n)
{
    const tarn_tensor *x = n->in[0];
    for (int64_t j = 0; j < x->shape[1]; j++) {
        double total = 0;
        for (int64_t i = 0; i < x->shape[0]; i++)
            total += tarn__load(x, i * x->stride[0] + j * x->stride[1]);
        tarn__store(n->out[0], j, total);
    }
    return true;
}

static bool wrong_axis_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)need;
    int64_t size = n->in[0]->shape[0];
    gx[0] = tarn_expand(t, tarn_reshape(t, gy[0], TARN_SHAPE(size, 1)), TARN_SHAPE(size, size));
    return true;
}

static const tarn_op right_op = {.name = "right", like_input_shape, square_run, right_vjp};
static const tarn_op flipped_op = {.name = "flipped", like_input_shape, square_run, flipped_vjp};
static const tarn_op no_factor_op = {.name = "no_factor", like_input_shape, square_run, no_factor_vjp};
static const tarn_op slightly_off_op = {.name = "slightly_off", like_input_shape, square_run, slightly_off_vjp};
static const tarn_op nan_op = {.name = "nan", like_input_shape, square_run, nan_vjp};
static const tarn_op frozen_op = {.name = "frozen", like_input_shape, square_run, frozen_vjp};
static const tarn_op frozen_cotangent_op = {
    .name = "frozen_cotangent", like_input_shape, square_run, frozen_cotangent_vjp};
static const tarn_op wrong_axis_op = {.name = "wrong_axis", columns_shape, columns_run, wrong_axis_vjp};
static const tarn_op no_gradient_op = {.name = "no_gradient", like_input_shape, square_run, NULL};

/* context: the op. input 0 goes through a right op, input 1 through the one that is looked at. */
static tarn_tensor *through_op(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    const tarn_op *op = context;
    tarn_tensor *y = tarn__apply(t, op, 1, &inputs[1], NULL, 0);
    return tarn_add(t, tarn_square(t, inputs[0]), y);
}

/* ---- helpers ---- */

static tarn_tensor *values(double first, double step, int ndim, const int64_t *shape)
{
    tarn_tensor *x = tarn_tensor_new(TARN_F64, ndim, shape);
    assert_non_null(x);
    double *p = tarn_mutable_data(x);
    for (int64_t i = 0; i < tarn_numel(x); i++)
        p[i] = first + step * (double)i;
    return x;
}

static tarn_gradcheck_report check_op(const tarn_op *op, int order)
{
    tarn_tensor *x[] = {values(-0.7, 0.3, TARN_SHAPE(3, 3)), values(0.9, -0.2, TARN_SHAPE(3, 3))};
    double before[9];
    memcpy(before, tarn_data(x[1]), sizeof before);
    tarn_gradcheck_report report;
    bool ok = tarn_gradcheck(through_op, (void *)(uintptr_t)op, 2, x, &(tarn_gradcheck_opts){.order = order}, &report);
    assert_true(ok == report.ok && ok == (tarn_error() == NULL));
    assert_memory_equal(before, x[1]->data, sizeof before);
    tarn_tensor_free(x[0]);
    tarn_tensor_free(x[1]);
    return report;
}

static void assert_error_has(const char *part)
{
    assert_non_null(tarn_error());
    if (!strstr(tarn_error(), part))
        fail_msg("the error is \"%s\", expected \"%s\" in it", tarn_error(), part);
    tarn_error_clear();
}

/* ---- what it must find ---- */

static void right_gradients_pass(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&right_op, 2);
    assert_null(tarn_error());
    assert_true(report.ok && report.excess < 1e-2);
    assert_true(report.order == 1 || report.order == 2);
}

static void a_flipped_sign_is_found(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&flipped_op, 1);
    assert_error_has("tarn_gradcheck: derivative 1 of input 1 [3,3] at [");
    assert_true(!report.ok && report.order == 1 && report.input == 1);
    assert_true(fabs(report.analytic + report.numeric) < 1e-9 && fabs(report.analytic) > 0.1);
}

static void a_missing_factor_is_found(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&no_factor_op, 2);
    assert_error_has("derivative 1 of input 1");
    assert_true(!report.ok && fabs(2 * report.analytic - report.numeric) < 1e-9);
}

static void five_parts_in_a_million_are_found(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&slightly_off_op, 1);
    assert_error_has("derivative 1 of input 1");
    assert_true(report.excess > 4 && report.excess < 6);
}

static void a_wrong_axis_is_found(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&wrong_axis_op, 1);
    assert_error_has("derivative 1 of input 1");
    assert_true(!report.ok && report.input == 1);
}

static void a_nan_is_found(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&nan_op, 1);
    assert_error_has("the tape gives");
    assert_true(!report.ok && isnan(report.analytic) && isinf(report.excess));
}

static void a_frozen_second_derivative_is_found(void **state)
{
    (void)state;
    assert_true(check_op(&frozen_op, 1).ok);
    tarn_gradcheck_report report = check_op(&frozen_op, 2);
    assert_error_has("derivative 2 of input 1");
    assert_true(!report.ok && report.order == 2 && report.input == 1);
    assert_true(report.analytic == 0 && fabs(report.numeric) > 0.1);

    assert_true(check_op(&frozen_cotangent_op, 1).ok);
    report = check_op(&frozen_cotangent_op, 2);
    assert_error_has("derivative 2 of the cotangent");
    assert_true(!report.ok && report.order == 2 && report.input == 2);
}

static void the_worst_element_is_named(void **state)
{
    (void)state;
    tarn_gradcheck_report report = check_op(&flipped_op, 1);
    /* x = 0.9 - 0.2 i: the largest |2x c| is wrong by the most, and its excess is 2/rtol nearly everywhere */
    double x = 0.9 - 0.2 * (double)report.element;
    char index[32];
    snprintf(index, sizeof index, "at [%d,%d]", (int)report.element / 3, (int)report.element % 3);
    assert_error_has(index);
    assert_true(fabs(report.numeric / (2 * x)) > 0.49 && fabs(report.numeric / (2 * x)) < 1.01);
}

static void an_op_without_a_gradient_is_named(void **state)
{
    (void)state;
    assert_false(check_op(&no_gradient_op, 1).ok);
    assert_error_has("tarn_no_gradient: has no gradient");
}

/* ---- accuracy ---- */

static tarn_tensor *wavy(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_mul(t, tarn_sin(t, tarn_mul_scalar(t, inputs[0], 3)), tarn_exp(t, inputs[1]));
}

static void far_below_the_tolerance_when_right(void **state)
{
    (void)state;
    tarn_tensor *x[] = {values(-2, 0.7, TARN_SHAPE(4, 1)), values(1, -0.5, TARN_SHAPE(3))};
    tarn_gradcheck_report report;
    assert_true(tarn_gradcheck(wavy, NULL, 2, x, &(tarn_gradcheck_opts){.order = 2, .seed = 5}, &report));
    assert_true(report.excess < 1e-2);
    /* the other end: a step far too large is seen to be inaccurate, so the differences are real ones */
    assert_false(tarn_gradcheck(wavy, NULL, 2, x, &(tarn_gradcheck_opts){.step = 0.5}, &report));
    assert_error_has("finite differences");
    tarn_tensor_free(x[0]);
    tarn_tensor_free(x[1]);
}

static tarn_tensor *shared(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_mul(t, inputs[0], tarn_mul(t, inputs[1], inputs[1]));
}

static tarn_tensor *half_constant(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_mul(t, inputs[1], tarn_cast(t, inputs[0], TARN_F64));
}

static tarn_tensor *first_alone(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_square(t, inputs[0]);
}

static void inputs_of_every_kind(void **state)
{
    (void)state;
    tarn_tensor *x = values(0.5, 0.25, TARN_SHAPE(2, 2)), *y = values(0.5, 0.25, TARN_SHAPE(2, 2));
    tarn_gradcheck_opts twice = {.order = 2};
    assert_true(tarn_gradcheck(shared, NULL, 2, (tarn_tensor *[]){x, x}, &twice, NULL)); /* x^3 */
    assert_true(tarn_gradcheck(first_alone, NULL, 2, (tarn_tensor *[]){x, y}, &twice, NULL));
    tarn_tensor *f32 = tarn_tensor_new(TARN_F32, TARN_SHAPE(2, 2));
    assert_true(tarn_fill(f32, 1.5));
    assert_true(tarn_gradcheck(half_constant, NULL, 2, (tarn_tensor *[]){f32, x}, &twice, NULL));
    tarn_tensor *empty = tarn_tensor_new(TARN_F64, TARN_SHAPE(0, 2)), *scalar = values(2, 0, 0, NULL);
    assert_true(tarn_gradcheck(first_alone, NULL, 1, &empty, &twice, NULL));
    assert_true(tarn_gradcheck(first_alone, NULL, 1, &scalar, &twice, NULL));
    tarn_tensor *all[] = {x, y, f32, empty, scalar};
    for (int i = 0; i < 5; i++)
        tarn_tensor_free(all[i]);
}

static tarn_tensor *needs_evaluation(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_tape_training(t) ? (tarn_fail("in training"), NULL) : tarn_square(t, inputs[0]);
}

static void the_tape_is_in_the_mode_asked_for(void **state)
{
    (void)state;
    tarn_tensor *x = values(1, 1, TARN_SHAPE(2));
    assert_true(tarn_gradcheck(needs_evaluation, NULL, 1, &x, &(tarn_gradcheck_opts){.evaluation = true}, NULL));
    assert_false(tarn_gradcheck(needs_evaluation, NULL, 1, &x, NULL, NULL));
    assert_error_has("in training");
    tarn_tensor_free(x);
}

static void other_tapes_do_not_notice(void **state)
{
    (void)state;
    tarn_tensor *x = values(1, 1, TARN_SHAPE(2));
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *y = tarn_sum(t, tarn_square(t, x), TARN_ALL_AXES, false);
    assert_true(tarn_gradcheck(first_alone, NULL, 1, &x, NULL, NULL));
    assert_true(tarn_item(y) == 5);
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

/* ---- misuse ---- */

static tarn_tensor *restless(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    double *calls = context;
    return tarn_mul_scalar(t, inputs[0], ++*calls);
}

static tarn_tensor *growing(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    double *calls = context;
    return tarn_expand(t, inputs[0], TARN_SHAPE((int64_t)++ * calls, 2));
}

static tarn_tensor *nothing(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)t, (void)inputs, (void)context;
    return NULL;
}

static tarn_tensor *single(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_cast(t, inputs[0], TARN_F32);
}

static void functions_that_cannot_be_checked(void **state)
{
    (void)state;
    double calls = 0;
    tarn_tensor *x = values(1, 1, TARN_SHAPE(2));
    tarn_gradcheck_report report = {.ok = true, .order = 7};
    assert_false(tarn_gradcheck(restless, &calls, 1, &x, NULL, &report));
    assert_true(!report.ok && report.order == 0);
    assert_error_has("tarn_gradcheck: the function gives other values when called again");
    assert_false(tarn_gradcheck(growing, &calls, 1, &x, NULL, NULL));
    assert_error_has("tarn_gradcheck: the function gives [");
    assert_false(tarn_gradcheck(nothing, NULL, 1, &x, NULL, NULL));
    assert_error_has("tarn_gradcheck: the function returned NULL");
    assert_false(tarn_gradcheck(single, NULL, 1, &x, NULL, NULL));
    assert_error_has("tarn_gradcheck: the function gives f32, expected f64");
    tarn_tensor_free(x);
}

static void arguments_that_do_not_fit(void **state)
{
    (void)state;
    tarn_tensor *x = values(1, 1, TARN_SHAPE(2)), *f32 = tarn_tensor_new(TARN_F32, TARN_SHAPE(2)), *null = NULL;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *on_tape = tarn_square(t, x);
    assert_false(tarn_gradcheck(NULL, NULL, 1, &x, NULL, NULL));
    assert_error_has("tarn_gradcheck: f is NULL");
    assert_false(tarn_gradcheck(first_alone, NULL, 1, NULL, NULL, NULL));
    assert_error_has("tarn_gradcheck: inputs is NULL");
    assert_false(tarn_gradcheck(first_alone, NULL, 0, &x, NULL, NULL));
    assert_error_has("0 inputs");
    assert_false(tarn_gradcheck(first_alone, NULL, 1, &null, NULL, NULL));
    assert_error_has("input 0 is NULL");
    assert_false(tarn_gradcheck(first_alone, NULL, 1, &on_tape, NULL, NULL));
    assert_error_has("input 0 lives on a tape");
    assert_false(tarn_gradcheck(first_alone, NULL, 1, &f32, NULL, NULL));
    assert_error_has("none of the 1 inputs is f64");
    const tarn_gradcheck_opts bad[] = {{.order = 3}, {.step = -1}, {.step = NAN}, {.rtol = 2}, {.atol = -1}};
    const char *const named[] = {"order 3", "step -1", "step nan", "rtol 2", "atol -1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tarn_gradcheck(first_alone, NULL, 1, &x, &bad[i], NULL));
        assert_error_has(named[i]);
    }
    tarn_fail("earlier");
    assert_false(tarn_gradcheck(first_alone, NULL, 1, &x, NULL, NULL));
    assert_error_has("earlier");
    tarn_tape_free(t);
    tarn_tensor_free(x);
    tarn_tensor_free(f32);
}

/* An allocator that says no at the n-th request, to see that nothing leaks and the inputs are left as they
 * were. */
typedef struct miser {
    long left, alive;
} miser;

static void *miser_allocate(size_t bytes, void *context)
{
    miser *m = context;
    if (m->left-- <= 0)
        return NULL;
    m->alive++;
    return malloc(bytes);
}

static void miser_release(void *block, size_t bytes, void *context)
{
    (void)bytes;
    ((miser *)context)->alive--;
    free(block);
}

static void no_memory_at_any_point(void **state)
{
    (void)state;
    miser m = {.left = 1 << 20};
    assert_true(tarn_set_allocator(&(tarn_allocator){miser_allocate, miser_release, &m}));
    tarn_tensor *x = values(1, 1, TARN_SHAPE(2));
    tarn_rng rng = tarn_rng_seed(1);
    long failures = 0;
    for (bool ok = false; !ok; failures += !ok) {
        long alive = m.alive;
        m.left = failures;
        ok = tarn_gradcheck(first_alone, NULL, 1, &x, &(tarn_gradcheck_opts){.order = 2}, NULL);
        assert_true(ok == (tarn_error() == NULL));
        tarn_error_clear();
        assert_true(m.alive == alive);
        assert_true(((double *)x->data)[0] == 1 && ((double *)x->data)[1] == 2);
    }
    assert_true(failures > 5);
    for (bool ok = false, first = true; !ok; first = false) {
        long alive = m.alive;
        m.left = first ? 0 : m.left + 100;
        const double kink = 0;
        tarn_tensor *s = tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), -1, 1, 1, &kink, 0.1, true);
        ok = s != NULL;
        assert_true(ok == (tarn_error() == NULL));
        tarn_error_clear();
        tarn_tensor_free(s);
        assert_true(m.alive == alive);
    }
    tarn_tensor_free(x);
    assert_true(m.alive == 0);
    assert_true(tarn_set_allocator(NULL));
}

/* ---- samples ---- */

static void samples_keep_their_distance(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(3);
    const double kinks[] = {0.5, -1, 0.55, 7};
    for (int distinct = 0; distinct < 2; distinct++) {
        tarn_tensor *x = tarn_gradcheck_sample_new(&rng, TARN_SHAPE(5, 8), -1, 2, 4, kinks, 0.05, distinct == 1);
        assert_non_null(x);
        const double *v = tarn_data(x);
        int below = 0;
        for (int i = 0; i < 40; i++) {
            assert_true(v[i] >= -0.95 && v[i] < 2);
            for (int j = 0; j < 4; j++)
                assert_true(fabs(v[i] - kinks[j]) >= 0.05 * (1 - 1e-9));
            for (int j = 0; j < i && distinct; j++)
                assert_true(fabs(v[i] - v[j]) >= 0.05 * (1 - 1e-9));
            below += v[i] < 0.45;
        }
        assert_true(below > 8 && below < 32); /* on both sides of the gap */
        tarn_tensor_free(x);
    }
}

static void samples_fill_the_range(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(4);
    tarn_tensor *x = tarn_gradcheck_sample_new(&rng, TARN_SHAPE(4000), 2, 3, 0, NULL, 0, false);
    const double *v = tarn_data(x);
    double mean = 0, low = 3, high = 2;
    for (int i = 0; i < 4000; i++) {
        mean += v[i] / 4000;
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
    }
    assert_true(fabs(mean - 2.5) < 0.02 && low >= 2 && low < 2.01 && high < 3 && high > 2.99);
    tarn_tensor_free(x);
}

static void samples_without_room(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(5);
    const double kinks[] = {0.2, 0.8};
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), 0, 1, 2, kinks, 0.5, false));
    assert_error_has("tarn_gradcheck_sample_new: the kinks and their margin leave no room");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(12), 0, 1, 0, NULL, 0.1, true));
    assert_error_has("no room for 12 values");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), 0, 1, 2, kinks, 0.5, true));
    assert_error_has("no room for 3 values");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), 1, 1, 0, NULL, 0, false));
    assert_error_has("low 1, expected a number below high");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), 0, INFINITY, 0, NULL, 0, false));
    assert_error_has("high inf");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), 0, 1, 1, NULL, 0, false));
    assert_error_has("kinks is NULL");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(3), 0, 1, 0, NULL, -1, false));
    assert_error_has("margin -1");
    assert_null(tarn_gradcheck_sample_new(NULL, TARN_SHAPE(3), 0, 1, 0, NULL, 0, false));
    assert_error_has("rng is NULL");
    assert_null(tarn_gradcheck_sample_new(&rng, TARN_SHAPE(-3), 0, 1, 0, NULL, 0, false));
    assert_error_has("-3");
    tarn_tensor *x = tarn_gradcheck_sample_new(&rng, TARN_SHAPE(0, 3), 0, 1, 2, kinks, 0.5, true);
    assert_true(x && tarn_numel(x) == 0);
    tarn_tensor_free(x);
    x = tarn_gradcheck_sample_new(&rng, TARN_SHAPE(9), 0, 1, 0, NULL, 0.1, true);
    assert_non_null(x);
    tarn_tensor_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_gradients_pass),
        cmocka_unit_test(a_flipped_sign_is_found),
        cmocka_unit_test(a_missing_factor_is_found),
        cmocka_unit_test(five_parts_in_a_million_are_found),
        cmocka_unit_test(a_wrong_axis_is_found),
        cmocka_unit_test(a_nan_is_found),
        cmocka_unit_test(a_frozen_second_derivative_is_found),
        cmocka_unit_test(the_worst_element_is_named),
        cmocka_unit_test(an_op_without_a_gradient_is_named),
        cmocka_unit_test(far_below_the_tolerance_when_right),
        cmocka_unit_test(inputs_of_every_kind),
        cmocka_unit_test(the_tape_is_in_the_mode_asked_for),
        cmocka_unit_test(other_tapes_do_not_notice),
        cmocka_unit_test(functions_that_cannot_be_checked),
        cmocka_unit_test(arguments_that_do_not_fit),
        cmocka_unit_test(no_memory_at_any_point),
        cmocka_unit_test(samples_keep_their_distance),
        cmocka_unit_test(samples_fill_the_range),
        cmocka_unit_test(samples_without_room),
    };
    return cmocka_run_group_tests_name("gradcheck", tests, NULL, NULL);
}
