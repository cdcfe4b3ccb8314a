/* Rows of the reductions, the matrix product, and what runs along the last axis. */
#include "tests/ops_check.h"

/* ---- reductions ---- */

typedef enum kind { SUM, MEAN, MAX, MIN, VAR0, VAR1 } kind;

/* The positions of x's elements in the result, which has size 1 along the reduced axes. */
static int64_t place_of(const ops_array *x, int64_t i, const bool *reduced)
{
    int64_t at = 0, scale = 1;
    for (int axis = x->ndim - 1; axis >= 0; axis--) {
        if (!reduced[axis]) {
            at += i % x->shape[axis] * scale;
            scale *= x->shape[axis];
        }
        i /= x->shape[axis];
    }
    return at;
}

static void reduce_ref(const ops_array *x, ops_array *out, kind k, int n_axes, const int *axes, bool keep)
{
    bool reduced[TARN_MAX_DIMS] = {false};
    int64_t shape[TARN_MAX_DIMS], behind = 1;
    int ndim = 0;
    for (int i = 0; i < (n_axes ? n_axes : x->ndim); i++)
        reduced[n_axes ? (axes[i] + x->ndim) % x->ndim : i] = true;
    for (int axis = 0; axis < x->ndim; axis++) {
        behind *= reduced[axis] ? x->shape[axis] : 1;
        if (keep || !reduced[axis])
            shape[ndim++] = reduced[axis] ? 1 : x->shape[axis];
    }
    ops_out(out, ndim, shape);
    double *mean = calloc((size_t)out->numel + 1, sizeof *mean);
    assert_non_null(mean);
    for (int64_t i = 0; i < x->numel; i++)
        mean[place_of(x, i, reduced)] += x->v[i] / (double)behind;
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] = k == MAX ? -INFINITY : k == MIN ? INFINITY : 0;
    for (int64_t i = 0; i < x->numel; i++) {
        int64_t at = place_of(x, i, reduced);
        double *y = &out->v[at], d = x->v[i] - mean[at];
        if (k == SUM || k == MEAN)
            *y += x->v[i];
        else if (k == MAX || k == MIN)
            *y = k == MAX ? fmax(*y, x->v[i]) : fmin(*y, x->v[i]);
        else
            *y += d * d / (double)(behind - (k == VAR1));
    }
    for (int64_t i = 0; i < out->numel && k == MEAN; i++)
        out->v[i] /= (double)behind;
    free(mean);
}

/* Defines id_x and id_ref; the axes come last. */
#define REDUCTION(id, k, expression, keep, ...)                                                                        \
    EXPRESSION(id##_x, expression)                                                                                     \
    static void id##_ref(const ops_array *in, ops_array *out)                                                          \
    {                                                                                                                  \
        reduce_ref(in, out, k, __VA_ARGS__, keep);                                                                     \
    }
#define EACH_REDUCTION(name, k)                                                                                        \
    REDUCTION(name##_all, k, tarn_##name(t, x[0], TARN_ALL_AXES, false), false, TARN_ALL_AXES)                         \
    REDUCTION(name##_all_keep, k, tarn_##name(t, x[0], TARN_ALL_AXES, true), true, TARN_ALL_AXES)                      \
    REDUCTION(name##_0, k, tarn_##name(t, x[0], TARN_AXES(0), false), false, TARN_AXES(0))                             \
    REDUCTION(name##_1, k, tarn_##name(t, x[0], TARN_AXES(1), true), true, TARN_AXES(1))                               \
    REDUCTION(name##_last, k, tarn_##name(t, x[0], TARN_AXES(-1), false), false, TARN_AXES(-1))                        \
    REDUCTION(name##_02, k, tarn_##name(t, x[0], TARN_AXES(2, 0), false), false, TARN_AXES(2, 0))                      \
    REDUCTION(name##_12, k, tarn_##name(t, x[0], TARN_AXES(-1, 1), true), true, TARN_AXES(-1, 1))
EACH_REDUCTION(sum, SUM)
EACH_REDUCTION(mean, MEAN)
EACH_REDUCTION(max, MAX)
EACH_REDUCTION(min, MIN)
REDUCTION(var_all, VAR0, tarn_var(t, x[0], TARN_ALL_AXES, 0, false), false, TARN_ALL_AXES)
REDUCTION(var_0, VAR1, tarn_var(t, x[0], TARN_AXES(0), 1, false), false, TARN_AXES(0))
REDUCTION(var_02, VAR1, tarn_var(t, x[0], TARN_AXES(0, 2), 1, true), true, TARN_AXES(0, 2))

#define ROW(op, id, ord, text, input, ...)                                                                             \
    {                                                                                                                  \
#op, text, id##_x, ord, 1, {input }, .reference = id##_ref, __VA_ARGS__                                        \
    }
/* Few at a time, and then enough to be cut into tiles and pieces along every axis. */
#define REDUCTION_ROWS(op, ...)                                                                                        \
    ROW(op, op##_all, 2, "all of [3,5]", WITHIN(-3, 3, 3, 5), __VA_ARGS__),                                            \
        ROW(op, op##_all, 2, "[]", SCALAR(-3, 3), __VA_ARGS__),                                                        \
        ROW(op, op##_all_keep, 2, "all of [7], kept", WITHIN(-3, 3, 7), __VA_ARGS__),                                  \
        ROW(op, op##_0, 2, "axis 0 of [3,5]", WITHIN(-3, 3, 3, 5), __VA_ARGS__),                                       \
        ROW(op, op##_0, 2, "axis 0 of [1,5]", WITHIN(-3, 3, 1, 5), __VA_ARGS__),                                       \
        ROW(op, op##_0, 2, "axis 0 of [2,0]", WITHIN(-3, 3, 2, 0), __VA_ARGS__),                                       \
        ROW(op, op##_1, 2, "axis 1 of [2,4,3], kept", WITHIN(-3, 3, 2, 4, 3), __VA_ARGS__),                            \
        ROW(op, op##_last, 2, "last of [2,2,5]", WITHIN(-3, 3, 2, 2, 5), __VA_ARGS__),                                 \
        ROW(op, op##_02, 2, "axes 2 and 0 of [2,3,4]", WITHIN(-3, 3, 2, 3, 4), __VA_ARGS__),                           \
        ROW(op, op##_12, 2, "axes 2 and 1 of [2,3,2], kept", WITHIN(-3, 3, 2, 3, 2), __VA_ARGS__),                     \
        ROW(op, op##_all, 0, "all of [51,1031]", WITHIN(-1, 2, 51, 1031), .n_kinks = 0),                               \
        ROW(op, op##_0, 0, "axis 0 of [1031,67]", WITHIN(-1, 2, 1031, 67), .n_kinks = 0),                              \
        ROW(op, op##_0, 0, "axis 0 of [5,1031]", WITHIN(-1, 2, 5, 1031), .n_kinks = 0),                                \
        ROW(op, op##_last, 0, "last of [5,1031]", WITHIN(-1, 2, 5, 1031), .n_kinks = 0),                               \
        ROW(op, op##_last, 0, "last of [3,17001]", WITHIN(-1, 2, 3, 17001), .n_kinks = 0),                             \
        ROW(op, op##_02, 0, "axes 2 and 0 of [40,13,101]", WITHIN(-1, 2, 40, 13, 101), .n_kinks = 0),                  \
        ROW(op, op##_12, 0, "axes 2 and 1 of [3,19,301], kept", WITHIN(-1, 2, 3, 19, 301), .n_kinks = 0)

static void argmax_ref(const ops_array *x, ops_array *out, int axis)
{
    int64_t shape[TARN_MAX_DIMS], inner = 1, length = x->shape[axis];
    int ndim = 0;
    for (int i = 0; i < x->ndim; i++) {
        if (i != axis)
            shape[ndim++] = x->shape[i];
        inner *= i > axis ? x->shape[i] : 1;
    }
    ops_out(out, ndim, shape);
    for (int64_t i = 0; i < out->numel; i++) {
        const double *v = x->v + i / inner * inner * length + i % inner;
        for (int64_t k = 1; k < length; k++)
            if (v[k * inner] > v[(int64_t)out->v[i] * inner])
                out->v[i] = (double)k;
    }
}
#define ARGMAX(axis)                                                                                                   \
    EXPRESSION(argmax_##axis##_x, tarn_argmax(t, x[0], axis))                                                          \
    static void argmax_##axis##_ref(const ops_array *in, ops_array *out)                                               \
    {                                                                                                                  \
        argmax_ref(in, out, axis);                                                                                     \
    }
ARGMAX(0)
ARGMAX(1)
ARGMAX(2)

/* ---- matrix product ---- */

EXPRESSION(matmul_x, tarn_matmul(t, x[0], x[1]))

static const double *matrix_of(const ops_array *a, int ndim, const int64_t *index)
{
    int64_t at = 0;
    for (int i = 0; i < a->ndim - 2; i++)
        at = at * a->shape[i] + (a->shape[i] == 1 ? 0 : index[ndim - a->ndim + i]);
    return a->v + at * a->shape[a->ndim - 2] * a->shape[a->ndim - 1];
}

static void matmul_ref(const ops_array *in, ops_array *out)
{
    const ops_array *a = &in[0], *b = &in[1];
    int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    int64_t shape[TARN_MAX_DIMS], m = a->shape[a->ndim - 2], k = a->shape[a->ndim - 1], n = b->shape[b->ndim - 1];
    for (int i = 0; i < ndim - 2; i++) {
        int64_t from_a = i < ndim - a->ndim ? 1 : a->shape[i - ndim + a->ndim];
        int64_t from_b = i < ndim - b->ndim ? 1 : b->shape[i - ndim + b->ndim];
        shape[i] = from_a == 1 ? from_b : from_a;
    }
    shape[ndim - 2] = m;
    shape[ndim - 1] = n;
    ops_out(out, ndim, shape);
    for (int64_t i = 0; i < out->numel; i++) {
        int64_t index[TARN_MAX_DIMS], rest = i;
        for (int axis = ndim - 1; axis >= 0; axis--) {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        const double *p = matrix_of(a, ndim, index) + index[ndim - 2] * k;
        const double *q = matrix_of(b, ndim, index) + index[ndim - 1];
        for (int64_t j = 0; j < k; j++)
            out->v[i] += p[j] * q[j * n];
    }
}
#define MATMUL_ROW(ord, text, a, b)                                                                                    \
    {                                                                                                                  \
        "matmul", text, matmul_x, ord, 2, {a, b}, .reference = matmul_ref                                              \
    }

/* ---- along the last axis ---- */

EXPRESSION(softmax_x, tarn_softmax(t, x[0]))
EXPRESSION(log_softmax_x, tarn_log_softmax(t, x[0]))
EXPRESSION(logsumexp_x, tarn_logsumexp(t, x[0]))

/* ln of the sum of e^v, by way of the largest. */
static double log_sum(const double *v, int64_t n)
{
    double largest = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, v[i]);
    for (int64_t i = 0; i < n; i++)
        total += exp(v[i] - largest);
    return largest + log(total);
}

static void log_softmax_ref(const ops_array *x, ops_array *out)
{
    int64_t n = x->shape[x->ndim - 1];
    ops_out(out, x->ndim, x->shape);
    for (int64_t i = 0; i < x->numel; i++)
        out->v[i] = x->v[i] - log_sum(x->v + i / n * n, n);
}

static void softmax_ref(const ops_array *x, ops_array *out)
{
    log_softmax_ref(x, out);
    for (int64_t i = 0; i < x->numel; i++)
        out->v[i] = exp(out->v[i]);
}

static void logsumexp_ref(const ops_array *x, ops_array *out)
{
    int64_t n = x->shape[x->ndim - 1];
    ops_out(out, x->ndim - 1, x->shape);
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] = log_sum(x->v + i * n, n);
}
#define LAST_AXIS_ROWS(id)                                                                                             \
    ROW(id, id, 2, "[3,5]", REAL(3, 5), .n_kinks = 0), ROW(id, id, 2, "[2,3,4]", REAL(2, 3, 4), .n_kinks = 0),         \
        ROW(id, id, 2, "[7]", WITHIN(-5, 5, 7), .n_kinks = 0), ROW(id, id, 2, "[3,1]", REAL(3, 1), .n_kinks = 0),      \
        ROW(id, id, 2, "[0,4]", REAL(0, 4), .n_kinks = 0),                                                             \
        ROW(id, id, 0, "[70,301]", WITHIN(-20, 20, 70, 301), .n_kinks = 0),                                            \
        ROW(id, id, 0, "beyond what e^x can hold", WITHIN(700, 800, 4, 9), .n_kinks = 0)

const ops_row ops_reduce_rows[] = {
    REDUCTION_ROWS(sum, .n_kinks = 0),
    ROW(sum, sum_0, 2, "axis 0 of [0,3]: zeros", REAL(0, 3), .n_kinks = 0),
    ROW(sum, sum_all, 2, "all of [0]: zero", REAL(0), .n_kinks = 0),
    REDUCTION_ROWS(mean, .n_kinks = 0),
    REDUCTION_ROWS(max, .distinct = true),
    REDUCTION_ROWS(min, .distinct = true),
    ROW(var, var_all, 2, "all of [3,5]", REAL(3, 5), .n_kinks = 0),
    ROW(var, var_all, 2, "all of [1]: 0", REAL(1), .n_kinks = 0),
    ROW(var, var_0, 2, "axis 0 of [4,3], unbiased", REAL(4, 3), .n_kinks = 0),
    ROW(var, var_02, 2, "axes 0 and 2 of [2,3,4], unbiased", REAL(2, 3, 4), .n_kinks = 0),
    ROW(var, var_0, 0, "axis 0 of [1031,33], unbiased", REAL(1031, 33), .n_kinks = 0),
    ROW(argmax, argmax_0, 0, "axis 0 of [1031,5]", REAL(1031, 5), .distinct = false),
    ROW(argmax, argmax_1, 0, "axis 1 of [3,40,5]", REAL(3, 40, 5), .n_kinks = 0),
    ROW(argmax, argmax_2, 0, "axis 2 of [3,5,17]", REAL(3, 5, 17), .n_kinks = 0),
    ROW(argmax, argmax_1, 0, "axis 1 of [5,1]", REAL(5, 1), .n_kinks = 0),
    ROW(argmax, argmax_1, 0, "axis 1 of [0,5]", REAL(0, 5), .n_kinks = 0),

    MATMUL_ROW(2, "[3,4] [4,5]", REAL(3, 4), REAL(4, 5)),
    MATMUL_ROW(2, "[1,4] [4,1]", REAL(1, 4), REAL(4, 1)),
    MATMUL_ROW(2, "[3,1] [1,2]", REAL(3, 1), REAL(1, 2)),
    MATMUL_ROW(2, "[3,3] [3,3]", REAL(3, 3), REAL(3, 3)),
    MATMUL_ROW(2, "[2,3,4] [2,4,2]", REAL(2, 3, 4), REAL(2, 4, 2)),
    MATMUL_ROW(2, "[2,3,4] [4,2]", REAL(2, 3, 4), REAL(4, 2)),
    MATMUL_ROW(2, "[3,4] [2,4,2]", REAL(3, 4), REAL(2, 4, 2)),
    MATMUL_ROW(2, "[2,1,2,3] [3,3,2]", REAL(2, 1, 2, 3), REAL(3, 3, 2)),
    MATMUL_ROW(2, "[2,0] [0,3]: zeros", REAL(2, 0), REAL(0, 3)),
    MATMUL_ROW(2, "[0,2] [2,3]", REAL(0, 2), REAL(2, 3)),
    MATMUL_ROW(2, "[0,2,2] [2,3]", REAL(0, 2, 2), REAL(2, 3)),
    MATMUL_ROW(0, "[17,19] [19,23]", REAL(17, 19), REAL(19, 23)),
    MATMUL_ROW(0, "[131,70] [70,301]", REAL(131, 70), REAL(70, 301)),
    MATMUL_ROW(0, "[5,33,20] [20,31]", REAL(5, 33, 20), REAL(20, 31)),

    LAST_AXIS_ROWS(softmax),
    LAST_AXIS_ROWS(log_softmax),
    LAST_AXIS_ROWS(logsumexp),
    {.name = NULL},
};
