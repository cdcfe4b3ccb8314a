/* Rows of normalization, noise and losses. */
#include "tests/ops_check.h"

/* ---- batch normalization ---- */

static const double FROZEN_MEAN[] = {0.25, -0.5, 0.125}, FROZEN_VAR[] = {0.75, 1.5, 0.25};

/* [...,C] with given statistics, or, where they are NULL, with the batch's own */
static void normalized(const ops_array *in, ops_array *out, const double *mean, const double *var)
{
    const ops_array *x = &in[0];
    int64_t channels = x->shape[x->ndim - 1], rows = x->numel / channels;
    ops_out(out, x->ndim, x->shape);
    for (int64_t c = 0; c < channels; c++) {
        long double m = 0, v = 0;
        for (int64_t r = 0; r < rows; r++)
            m += x->v[r * channels + c];
        m = mean ? mean[c] : m / rows;
        for (int64_t r = 0; r < rows; r++)
            v += (x->v[r * channels + c] - m) * (x->v[r * channels + c] - m);
        v = var ? var[c] : v / rows;
        for (int64_t r = 0; r < rows; r++)
            out->v[r * channels + c] =
                (double)((x->v[r * channels + c] - m) / sqrtl(v + 1e-5L) * in[1].v[c] + in[2].v[c]);
    }
}

static void batchnorm_ref(const ops_array *in, ops_array *out)
{
    normalized(in, out, NULL, NULL);
}

static void frozen_ref(const ops_array *in, ops_array *out)
{
    normalized(in, out, FROZEN_MEAN, FROZEN_VAR);
}

static tarn_tensor *three_new(tarn_dtype dtype, const double *values)
{
    tarn_tensor *x = tarn_tensor_new(dtype, TARN_SHAPE(3));
    for (int i = 0; i < 3; i++)
        tarn__store(x, i, values[i]);
    return x;
}

static void *running_new(tarn_dtype dtype)
{
    tarn_running_stats *running = malloc(sizeof *running);
    assert_non_null(running);
    running->mean = three_new(dtype, FROZEN_MEAN);
    running->var = three_new(dtype, FROZEN_VAR);
    running->batches = tarn_tensor_new(dtype, 0, NULL);
    return running;
}

static void running_free(void *context)
{
    tarn_running_stats *running = context;
    tarn_tensor_free(running->mean);
    tarn_tensor_free(running->var);
    tarn_tensor_free(running->batches);
    free(running);
}

EXPRESSION(batchnorm_x, tarn_batchnorm(t, x[0], x[1], x[2], context, NULL))
EXPRESSION(composed_x, tarn_batchnorm_composed(t, x[0], x[1], x[2], context, NULL))

/* y^2, so that the gradient that comes back depends on x by way of y as well. */
EXPRESSION(squared_x, tarn_square(t, tarn_batchnorm(t, x[0], x[1], x[2], NULL, NULL)))

static void squared_ref(const ops_array *in, ops_array *out)
{
    batchnorm_ref(in, out);
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] *= out->v[i];
}

/* A first axis of 1 keeps x from being expanded over the whole batch: with no variance left, eps alone would count, and
 * f32 rounding with it. [2,2,3,2] is expanded. */
#define BATCHNORM_ROWS(op, id)                                                                                         \
    {op, "[1,5,3]", id##_x, 2, 3, {REAL(1, 5, 3), REAL(3), REAL(3)}, .reference = batchnorm_ref},                      \
        {op, "[2,2,3,2]", id##_x, 2, 3, {REAL(2, 2, 3, 2), REAL(2), REAL(2)}, .reference = batchnorm_ref},             \
        {op, "[1,4,1]", id##_x, 2, 3, {REAL(1, 4, 1), REAL(1), REAL(1)}, .reference = batchnorm_ref},                  \
        {op,                                                                                                           \
         "[1,6,3], running",                                                                                           \
         id##_x,                                                                                                       \
         2,                                                                                                            \
         3,                                                                                                            \
         {REAL(1, 6, 3), REAL(3), REAL(3)},                                                                            \
         .reference = batchnorm_ref,                                                                                   \
         .setup = running_new,                                                                                         \
         .teardown = running_free},                                                                                    \
        {op, "[3,17,19,13]", id##_x, 0, 3, {REAL(3, 17, 19, 13), REAL(13), REAL(13)}, .reference = batchnorm_ref},     \
    {                                                                                                                  \
        op, "[1,1031,5]", id##_x, 0, 3, {REAL(1, 1031, 5), REAL(5), REAL(5)}, .reference = batchnorm_ref               \
    }
#define FROZEN_ROWS(op, id)                                                                                            \
    {op,                                                                                                               \
     "[1,5,3], evaluation",                                                                                            \
     id##_x,                                                                                                           \
     2,                                                                                                                \
     3,                                                                                                                \
     {REAL(1, 5, 3), REAL(3), REAL(3)},                                                                                \
     .reference = frozen_ref,                                                                                          \
     .evaluation = true,                                                                                               \
     .setup = running_new,                                                                                             \
     .teardown = running_free},                                                                                        \
        {op,                                                                                                           \
         "[1,3], evaluation",                                                                                          \
         id##_x,                                                                                                       \
         2,                                                                                                            \
         3,                                                                                                            \
         {REAL(1, 3), REAL(3), REAL(3)},                                                                               \
         .reference = frozen_ref,                                                                                      \
         .evaluation = true,                                                                                           \
         .setup = running_new,                                                                                         \
         .teardown = running_free},                                                                                    \
    {                                                                                                                  \
        op, "[0,3], evaluation", id##_x, 2, 3, {REAL(0, 3), REAL(3), REAL(3)},                                         \
            .reference = frozen_ref, .evaluation = true, .setup = running_new, .teardown = running_free                \
    }

/* ---- dropout ---- */

static tarn_tensor *dropout_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    tarn_rng rng = tarn_rng_seed(6);
    (void)context;
    return tarn_dropout(t, x[0], 0.375, &rng);
}

static double same_ref(double x)
{
    return x;
}

/* ---- losses ---- */

EXPRESSION(cross_entropy_x, tarn_cross_entropy(t, x[0], x[1]))
EXPRESSION(mse_x, tarn_mse(t, x[0], x[1]))
EXPRESSION(bce_x, tarn_bce_with_logits(t, x[0], x[1]))
EXPRESSION(accuracy_x, tarn_accuracy(t, x[0], x[1]))

/* The loss times a function of the logits, so that the gradient's g depends on them. */
EXPRESSION(weighted_x, tarn_mul(t, tarn_cross_entropy(t, x[0], x[1]), tarn_mean(t, x[0], TARN_ALL_AXES, false)))

static void cross_entropy_ref(const ops_array *in, ops_array *out)
{
    int64_t rows = in[0].shape[0], classes = in[0].shape[1];
    ops_out(out, 0, NULL);
    for (int64_t r = 0; r < rows; r++) {
        const double *v = in[0].v + r * classes;
        double largest = -INFINITY, total = 0;
        for (int64_t c = 0; c < classes; c++)
            largest = fmax(largest, v[c]);
        for (int64_t c = 0; c < classes; c++)
            total += exp(v[c] - largest);
        out->v[0] += (largest + log(total) - v[(int64_t)in[1].v[r]]) / (double)rows;
    }
}

static void weighted_ref(const ops_array *in, ops_array *out)
{
    double mean = 0;
    cross_entropy_ref(in, out);
    for (int64_t i = 0; i < in[0].numel; i++)
        mean += in[0].v[i] / (double)in[0].numel;
    out->v[0] *= mean;
}

static void accuracy_ref(const ops_array *in, ops_array *out)
{
    int64_t rows = in[0].shape[0], classes = in[0].shape[1];
    ops_out(out, 0, NULL);
    for (int64_t r = 0; r < rows; r++) {
        const double *v = in[0].v + r * classes;
        int64_t best = 0;
        for (int64_t c = 1; c < classes; c++)
            best = v[c] > v[best] ? c : best;
        out->v[0] += (double)(best == (int64_t)in[1].v[r]) / (double)rows;
    }
}

/* y is of x's shape, or one row of it */
static void mse_ref(const ops_array *in, ops_array *out)
{
    ops_out(out, 0, NULL);
    for (int64_t i = 0; i < in[0].numel; i++) {
        double d = in[0].v[i] - in[1].v[i % in[1].numel];
        out->v[0] += d * d / (double)in[0].numel;
    }
}

static void bce_ref(const ops_array *in, ops_array *out)
{
    ops_out(out, 0, NULL);
    for (int64_t i = 0; i < in[0].numel; i++) {
        double p = 1 / (1 + exp(-in[0].v[i])), y = in[1].v[i % in[1].numel];
        out->v[0] -= (y * log(p) + (1 - y) * log1p(-p)) / (double)in[0].numel;
    }
}

const ops_row ops_norm_rows[] = {
    BATCHNORM_ROWS("batchnorm", batchnorm),
    {"batchnorm", "squared", squared_x, 2, 3, {REAL(1, 5, 3), REAL(3), REAL(3)}, .reference = squared_ref},
    FROZEN_ROWS("batchnorm_frozen", batchnorm),
    BATCHNORM_ROWS("batchnorm_composed", composed),
    FROZEN_ROWS("batchnorm_composed", composed),

    {"dropout", "[3,5]", dropout_x, 2, 1, {REAL(3, 5)}, .elsewhere = "dropout_drops"},
    {"dropout", "no elements", dropout_x, 2, 1, {REAL(3, 0)}, .unary = same_ref},
    {"dropout_evaluation", "[3,5]", dropout_x, 2, 1, {REAL(3, 5)}, .unary = same_ref, .evaluation = true},

    {"cross_entropy",
     "[4,3] i32",
     cross_entropy_x,
     2,
     2,
     {REAL(4, 3), INDEX(OPS_I32, 3, 4)},
     .reference = cross_entropy_ref},
    {"cross_entropy",
     "[3,5] u8",
     cross_entropy_x,
     2,
     2,
     {REAL(3, 5), INDEX(OPS_U8, 5, 3)},
     .reference = cross_entropy_ref},
    {"cross_entropy",
     "[1,1]",
     cross_entropy_x,
     2,
     2,
     {REAL(1, 1), INDEX(OPS_I32, 1, 1)},
     .reference = cross_entropy_ref},
    {"cross_entropy",
     "times a function of the logits",
     weighted_x,
     2,
     2,
     {REAL(4, 3), INDEX(OPS_I32, 3, 4)},
     .reference = weighted_ref},
    {"cross_entropy",
     "[301,70]",
     cross_entropy_x,
     0,
     2,
     {WITHIN(-9, 9, 301, 70), INDEX(OPS_I32, 70, 301)},
     .reference = cross_entropy_ref},
    {"mse", "[3,4] [3,4]", mse_x, 2, 2, {REAL(3, 4), REAL(3, 4)}, .reference = mse_ref},
    {"mse", "[3,4] [4]", mse_x, 2, 2, {REAL(3, 4), REAL(4)}, .reference = mse_ref},
    {"bce_with_logits",
     "[3,4] [3,4]",
     bce_x,
     2,
     2,
     {WITHIN(0.1, 1, 3, 4), WITHIN(0.1, 0.9, 3, 4)},
     .reference = bce_ref},
    {"bce_with_logits", "[3,4] [4]", bce_x, 2, 2, {WITHIN(-3, 3, 3, 4), WITHIN(0, 1, 4)}, .reference = bce_ref},
    {"accuracy", "[40,3] i32", accuracy_x, 0, 2, {REAL(40, 3), INDEX(OPS_I32, 3, 40)}, .reference = accuracy_ref},
    {"accuracy", "[40,3] u8", accuracy_x, 0, 2, {REAL(40, 3), INDEX(OPS_U8, 3, 40)}, .reference = accuracy_ref},
    {.name = NULL},
};
