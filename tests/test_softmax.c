/* What runs over e^x along an axis, against the same in long double: wherever the logits lie, and however far the largest
 * is from the rest. tests/test_isa.sh runs it by every instruction set. */
#include "autograd/ops.h"
#include "tests/check.h"

#include <float.h>
#include <math.h>

enum { MOST = 701 };

/* Logits whose distances from the largest are exact, so that only what is done with them can round. */
typedef struct row {
    tarn_dtype dtype;
    int64_t n, label;
    double offset, margin;
    double x[MOST];
    long double p[MOST], log_p[MOST]; /* softmax and its logarithm */
    long double rest;                 /* sum of e^(x - largest), less the largest's own 1 */
} row;

static double unit_of(tarn_dtype dtype)
{
    return dtype == TARN_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
}

/* The label is where the largest is; with a margin of 0 others are as large. */
static void fill(row *r)
{
    double step = 0.125, ulp = fabs(r->offset) * unit_of(r->dtype);
    while (step < ulp)
        step *= 2;
    double top = r->dtype == TARN_F64 ? r->offset : (double)(float)r->offset, margin = ceil(r->margin / step) * step;
    r->label = r->n / 2;
    r->rest = 0;
    for (int64_t i = 0; i < r->n; i++) {
        r->x[i] = i == r->label ? top : top - margin - (double)(i * 7 % 13) * step;
        r->rest += i == r->label ? 0 : expl((long double)r->x[i] - (long double)top);
    }
    for (int64_t i = 0; i < r->n; i++) {
        r->log_p[i] = ((long double)r->x[i] - (long double)top) - log1pl(r->rest);
        r->p[i] = expl(r->log_p[i]);
    }
}

static tarn_tensor *logits(tarn_tape *t, const row *r)
{
    tarn_tensor *x = tarn_constant(t, TARN_F64, TARN_SHAPE(1, r->n), r->x);
    return r->dtype == TARN_F64 ? x : tarn_contiguous(t, tarn_cast(t, x, TARN_F32));
}

static double value_at(tarn_tape *t, tarn_tensor *y, int64_t i)
{
    const double *v = tarn_data(tarn_cast(t, y, TARN_F64));
    assert_non_null(v);
    return v[i];
}

/* `roundings` of the exact value, or of what underflows. */
static void near(const row *r, const char *what, int64_t i, double found, long double exact, double roundings)
{
    double least = r->dtype == TARN_F64 ? DBL_MIN : (double)FLT_MIN;
    long double allowed = (long double)(roundings * unit_of(r->dtype)) * fabsl(exact) + (long double)least;
    if (!(fabsl((long double)found - exact) <= allowed))
        fail_msg("%s of %d %s logits at %g, margin %g: element %d is %.17g, expected %.17Lg", what, (int)r->n,
                 tarn_dtype_name(r->dtype), r->offset, r->margin, (int)i, found, exact);
}

/* An exponential, a sum in lanes and a quotient. */
enum { ROUNDINGS = 8 };

static void check_row(row *r, void (*check)(tarn_tape *t, const row *r))
{
    tarn_tape *t = tarn_tape_new();
    fill(r);
    check(t, r);
    expect_no_error();
    tarn_tape_free(t);
}

static void for_each_row(void (*check)(tarn_tape *t, const row *r))
{
    const double offsets[] = {0, 1e4, 1e8, 1e12, 1e16, -1e8, -1e16}, margins[] = {0, 0.125, 1, 20, 30};
    const int64_t lengths[] = {1, 2, 3, 10, 33, MOST};
    static row r;
    for (r.dtype = TARN_F32; r.dtype <= TARN_F64; r.dtype++)
        for (size_t b = 0; b < sizeof offsets / sizeof *offsets; b++)
            for (size_t m = 0; m < sizeof margins / sizeof *margins; m++)
                for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
                    r.offset = offsets[b], r.margin = margins[m], r.n = lengths[n];
                    check_row(&r, check);
                }
}

static void check_values(tarn_tape *t, const row *r)
{
    tarn_tensor *x = logits(t, r), *log_p = tarn_log_softmax(t, x), *p = tarn_softmax(t, x);
    tarn_tensor *labels = tarn_constant(t, TARN_I32, TARN_SHAPE(1), (int32_t[]){(int32_t)r->label});
    for (int64_t i = 0; i < r->n; i++) {
        near(r, "log_softmax", i, value_at(t, log_p, i), r->log_p[i], ROUNDINGS);
        near(r, "softmax", i, value_at(t, p, i), r->p[i], ROUNDINGS);
    }
    double loss = tarn_item(tarn_cross_entropy(t, x, labels));
    near(r, "cross_entropy", 0, loss, -r->log_p[r->label], ROUNDINGS);
    double sum = value_at(t, tarn_logsumexp(t, x), 0), largest = r->x[r->label];
    near(r, "logsumexp", 0, sum, (long double)largest + log1pl(r->rest), ROUNDINGS);
}

static void values_are_as_good_everywhere(void **state)
{
    (void)state;
    for_each_row(check_values);
}

static void check_gradients(tarn_tape *t, const row *r)
{
    tarn_tensor *x = logits(t, r), *g = NULL;
    tarn_tensor *labels = tarn_constant(t, TARN_I32, TARN_SHAPE(1), (int32_t[]){(int32_t)r->label});
    tarn_tensor *y = tarn_cross_entropy(t, x, labels);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    for (int64_t i = 0; i < r->n; i++) /* p - 1 at the label */
        near(r, "cross_entropy's gradient", i, value_at(t, g, i), i == r->label ? -r->rest / (1 + r->rest) : r->p[i],
             ROUNDINGS);
    y = tarn_sum(t, tarn_logsumexp(t, x), TARN_ALL_AXES, false);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    for (int64_t i = 0; i < r->n; i++)
        near(r, "logsumexp's gradient", i, value_at(t, g, i), r->p[i], ROUNDINGS);
    y = tarn_sum(t, tarn_slice(t, tarn_log_softmax(t, x), 1, r->label, r->label + 1, 1), TARN_ALL_AXES, false);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    for (int64_t i = 0; i < r->n; i++)
        if (i != r->label) /* p comes from ln p, which has been rounded */
            near(r, "log_softmax's gradient", i, value_at(t, g, i), -r->p[i], ROUNDINGS - (double)r->log_p[i]);
}

static void gradients_are_as_good_everywhere(void **state)
{
    (void)state;
    for_each_row(check_gradients);
}

/* s = sum(v * c * d loss / d x): by c it is v's product with the loss's gradient, by x with its Hessian. */
static void check_second_order(tarn_tape *t, const row *r)
{
    tarn_tensor *x = logits(t, r), *c = tarn_full(t, r->dtype, 0, NULL, 3), *g = NULL, *second[2];
    tarn_tensor *labels = tarn_constant(t, TARN_I32, TARN_SHAPE(1), (int32_t[]){(int32_t)r->label});
    tarn_tensor *v = tarn_one_hot(t, labels, r->n, r->dtype);
    tarn_tensor *y = tarn_mul(t, tarn_cross_entropy(t, x, labels), c);
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    tarn_tensor *s = tarn_sum(t, tarn_mul(t, g, v), TARN_ALL_AXES, false);
    assert_true(tarn_grad(t, 1, &s, NULL, 2, (tarn_tensor *[]){x, c}, second));
    near(r, "the gradient in the cotangent", 0, value_at(t, second[1], 0), -r->rest / (1 + r->rest), ROUNDINGS);
    for (int64_t i = 0; i < r->n; i++)
        if (i != r->label)
            near(r, "the Hessian", i, value_at(t, second[0], i), -3 * r->p[i] * r->p[r->label], 3 * ROUNDINGS);
}

static void second_derivatives_are_as_good_everywhere(void **state)
{
    (void)state;
    for_each_row(check_second_order);
}

/* ---- infinities: as e^x / sum of e^x says; infinity by infinity is NaN ---- */

static void expect_values(tarn_tape *t, tarn_tensor *y, int64_t n, const double *expected)
{
    for (int64_t i = 0; i < n; i++) {
        double v = value_at(t, y, i);
        if (!(v == expected[i] || (isnan(v) && isnan(expected[i]))))
            fail_msg("element %d is %g, expected %g", (int)i, v, expected[i]);
    }
}

static void infinite_logits_are_as_the_formula_says(void **state)
{
    (void)state;
    const double inf = INFINITY, nan = NAN;
    const struct {
        double x[3], softmax[3], log_softmax[3], logsumexp, cross_entropy; /* with label 0 */
    } cases[] = {
        {{1, inf, -2}, {0, nan, 0}, {-inf, nan, -inf}, inf, inf},
        {{inf, 1, -inf}, {nan, 0, 0}, {nan, -inf, -inf}, inf, nan},
        {{1, inf, inf}, {0, nan, nan}, {-inf, nan, nan}, inf, inf},
        {{-inf, 3, -inf}, {0, 1, 0}, {-inf, 0, -inf}, 3, inf},
        {{-inf, -inf, -inf}, {nan, nan, nan}, {nan, nan, nan}, -inf, nan},
        {{1, nan, inf}, {nan, nan, nan}, {nan, nan, nan}, nan, nan},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
            tarn_tape *t = tarn_tape_new();
            tarn_tensor *x = tarn_cast(t, tarn_constant(t, TARN_F64, TARN_SHAPE(1, 3), cases[i].x), dtype), *g = NULL;
            tarn_tensor *y = tarn_logsumexp(t, x), *labels = tarn_zeros(t, TARN_I32, TARN_SHAPE(1));
            expect_values(t, tarn_softmax(t, x), 3, cases[i].softmax);
            expect_values(t, tarn_log_softmax(t, x), 3, cases[i].log_softmax);
            expect_values(t, y, 1, &cases[i].logsumexp);
            expect_values(t, tarn_cross_entropy(t, x, labels), 1, &cases[i].cross_entropy);
            assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
            expect_values(t, g, 3, cases[i].softmax);
            expect_no_error();
            tarn_tape_free(t);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_as_good_everywhere),
        cmocka_unit_test(gradients_are_as_good_everywhere),
        cmocka_unit_test(second_derivatives_are_as_good_everywhere),
        cmocka_unit_test(infinite_logits_are_as_the_formula_says),
    };
    return cmocka_run_group_tests_name("softmax", tests, NULL, NULL);
}
