/* Rows of the normalizations that look at one example, and of normalized weights. */
#include "tests/ops_check.h"

/* The statistics of all elements that `where` gives the same number, in long double. */
typedef int64_t where(const ops_array *x, int64_t i);

static int64_t channels(const ops_array *x)
{
    return x->shape[x->ndim - 1];
}

static int64_t row_of(const ops_array *x, int64_t i)
{
    return i / channels(x);
}

static int64_t example_of(const ops_array *x, int64_t i)
{
    return i / (x->numel / x->shape[0]);
}

static int64_t pair_of(const ops_array *x, int64_t i)
{
    return example_of(x, i) * (channels(x) / 2) + i % channels(x) / 2;
}

static int64_t instance_of(const ops_array *x, int64_t i)
{
    return example_of(x, i) * channels(x) + i % channels(x);
}

static void normalized(const ops_array *in, ops_array *out, where *group, bool centred, double eps)
{
    const ops_array *x = &in[0];
    ops_out(out, x->ndim, x->shape);
    for (int64_t i = 0; i < x->numel; i++) {
        long double mean = 0, square = 0, count = 0;
        for (int64_t j = 0; j < x->numel; j++)
            if (group(x, j) == group(x, i))
                mean += x->v[j], count++;
        mean = centred ? mean / count : 0;
        for (int64_t j = 0; j < x->numel; j++)
            if (group(x, j) == group(x, i))
                square += (x->v[j] - mean) * (x->v[j] - mean) / count;
        long double y = (x->v[i] - mean) / sqrtl(square + eps) * in[1].v[i % channels(x)];
        out->v[i] = (double)(centred ? y + in[2].v[i % channels(x)] : y);
    }
}

#define REFERENCE(id, group, centred, eps)                                                                             \
    static void id##_ref(const ops_array *in, ops_array *out)                                                          \
    {                                                                                                                  \
        normalized(in, out, group, centred, eps);                                                                      \
    }
REFERENCE(layernorm, row_of, true, 1e-5)
REFERENCE(layernorm_eps, row_of, true, 0.25)
REFERENCE(rmsnorm, row_of, false, 1e-5)
REFERENCE(one_group, example_of, true, 1e-5)
REFERENCE(pairs, pair_of, true, 1e-5)
REFERENCE(instancenorm, instance_of, true, 1e-5)

static void plain_ref(const ops_array *in, ops_array *out)
{
    double ones[16], zeros[16] = {0};
    for (int i = 0; i < 16; i++)
        ones[i] = 1;
    const ops_array all[] = {in[0], {.v = ones}, {.v = zeros}};
    normalized(all, out, row_of, true, 1e-5);
}

EXPRESSION(layernorm_x, tarn_layernorm(t, x[0], x[1], x[2], 0))
EXPRESSION(layernorm_eps_x, tarn_layernorm(t, x[0], x[1], x[2], 0.25))
EXPRESSION(plain_x, tarn_layernorm(t, x[0], NULL, NULL, 0))
EXPRESSION(rmsnorm_x, tarn_rmsnorm(t, x[0], x[1], 0))
EXPRESSION(one_group_x, tarn_groupnorm(t, x[0], 1, x[1], x[2], 0))
EXPRESSION(pairs_x, tarn_groupnorm(t, x[0], tarn_dim(x[0], -1) / 2, x[1], x[2], 0))
EXPRESSION(single_x, tarn_groupnorm(t, x[0], tarn_dim(x[0], -1), x[1], x[2], 0))
EXPRESSION(instancenorm_x, tarn_instancenorm(t, x[0], x[1], x[2], 0))

/* With moving averages so far off that r and d are at their limits, whatever is added to x: finite differences see them
 * as constants too. Fresh ones at each call, since they move. */
static tarn_tensor *renorm_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    const tarn_dtype dtype = tarn_tensor_dtype(x[0]);
    const int64_t channels_of_x = tarn_dim(x[0], -1);
    const tarn_renorm_stats running = {tarn_full(t, dtype, TARN_SHAPE(channels_of_x), 1000),
                                       tarn_full(t, dtype, TARN_SHAPE(channels_of_x), 100),
                                       tarn_zeros(t, dtype, 0, NULL)};
    (void)context;
    return tarn_batch_renorm(t, x[0], x[1], x[2], &running,
                             &(tarn_batch_renorm_opts){.r_max = 2, .d_max = 0.25, .unscheduled = true});
}

static int64_t channel_of(const ops_array *x, int64_t i)
{
    return i % channels(x);
}

static void renorm_ref(const ops_array *in, ops_array *out)
{
    const double zeros[16] = {0};
    const ops_array without[] = {in[0], in[1], {.v = (double *)zeros}};
    normalized(without, out, channel_of, true, 1e-5);
    for (int64_t i = 0; i < out->numel; i++) {
        int64_t c = channel_of(out, i);
        out->v[i] = out->v[i] * 0.5 - 0.25 * in[1].v[c] + in[2].v[c];
    }
}

static void renorm_frozen_ref(const ops_array *in, ops_array *out)
{
    ops_out(out, in[0].ndim, in[0].shape);
    for (int64_t i = 0; i < out->numel; i++) {
        int64_t c = channel_of(out, i);
        out->v[i] = (in[0].v[i] - 1000) / 100 * in[1].v[c] + in[2].v[c];
    }
}

static void weightnorm_ref(const ops_array *in, ops_array *out)
{
    const ops_array *v = &in[0];
    ops_out(out, v->ndim, v->shape);
    for (int64_t i = 0; i < v->numel; i++) {
        long double square = 0;
        for (int64_t j = i % channels(v); j < v->numel; j += channels(v))
            square += v->v[j] * v->v[j];
        out->v[i] = (double)(in[1].v[i % channels(v)] * v->v[i] / sqrtl(square));
    }
}

EXPRESSION(weightnorm_x, tarn_weightnorm(t, x[0], x[1]))

/* Fresh u and v at each call, since they move. */
static tarn_tensor *spectralnorm_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    const int64_t out = tarn_dim(x[0], -1), in = tarn_numel(x[0]) / out;
    (void)context;
    return tarn_spectralnorm(t, x[0], tarn_full(t, tarn_tensor_dtype(x[0]), TARN_SHAPE(out), 0.5),
                             tarn_full(t, tarn_tensor_dtype(x[0]), TARN_SHAPE(in), 0.25), 1);
}

static void spectralnorm_ref(const ops_array *in, ops_array *out)
{
    const ops_array *w = &in[0];
    int64_t columns = channels(w), rows = w->numel / columns;
    long double sigma = 0, lengths[2] = {0}, v[64] = {0}, u[16] = {0};
    ops_out(out, w->ndim, w->shape);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t k = 0; k < columns; k++)
            v[i] += w->v[i * columns + k] * 0.5L;
        lengths[0] += v[i] * v[i];
    }
    for (int64_t k = 0; k < columns; k++) {
        for (int64_t i = 0; i < rows; i++)
            u[k] += w->v[i * columns + k] * v[i] / sqrtl(lengths[0]);
        lengths[1] += u[k] * u[k];
    }
    sigma = sqrtl(lengths[1]);
    for (int64_t i = 0; i < w->numel; i++)
        out->v[i] = (double)(w->v[i] / sigma);
}

static void spectralnorm_frozen_ref(const ops_array *in, ops_array *out)
{
    const ops_array *w = &in[0];
    double sigma = 0;
    ops_out(out, w->ndim, w->shape);
    for (int64_t i = 0; i < w->numel; i++)
        sigma += w->v[i] * 0.125;
    for (int64_t i = 0; i < w->numel; i++)
        out->v[i] = w->v[i] / sigma;
}

#define AFFINE(op, id, what, order, channels, ...)                                                                     \
    {                                                                                                                  \
        op, what, id##_x, order, 3, {REAL(__VA_ARGS__), REAL(channels), REAL(channels)}, .reference = id##_ref         \
    }

const ops_row ops_normalize_rows[] = {
    AFFINE("layernorm", layernorm, "[3,5]", 2, 5, 3, 5),
    AFFINE("layernorm", layernorm, "[2,1,2,3]", 2, 3, 2, 1, 2, 3),
    AFFINE("layernorm", layernorm, "[1,6]", 2, 6, 1, 6),
    AFFINE("layernorm", layernorm, "[1,2]", 2, 2, 1, 2),
    AFFINE("layernorm", layernorm, "[0,3]", 2, 3, 0, 3),
    AFFINE("layernorm", layernorm_eps, "eps", 2, 4, 2, 4),
    AFFINE("layernorm", layernorm, "[13,70]", 0, 70, 13, 70),
    {"layernorm", "without gamma and beta", plain_x, 2, 1, {REAL(3, 5)}, .reference = plain_ref},

    {"rmsnorm", "[3,5]", rmsnorm_x, 2, 2, {REAL(3, 5), REAL(5)}, .reference = rmsnorm_ref},
    {"rmsnorm", "[2,2,1,3]", rmsnorm_x, 2, 2, {REAL(2, 2, 1, 3), REAL(3)}, .reference = rmsnorm_ref},
    {"rmsnorm", "[4,1]", rmsnorm_x, 2, 2, {WITHIN(0.5, 2, 4, 1), REAL(1)}, .reference = rmsnorm_ref},
    {"rmsnorm", "[13,70]", rmsnorm_x, 0, 2, {REAL(13, 70), REAL(70)}, .reference = rmsnorm_ref},

    AFFINE("groupnorm", one_group, "[2,2,2,3] in one", 2, 3, 2, 2, 2, 3),
    AFFINE("groupnorm", pairs, "[2,2,1,4] in pairs", 2, 4, 2, 2, 1, 4),
    AFFINE("groupnorm", pairs, "[1,3,6] in pairs", 2, 6, 1, 3, 6),
    AFFINE("groupnorm", one_group, "[2,4] in one", 2, 4, 2, 4),
    AFFINE("groupnorm", pairs, "[3,5,7,8] in pairs", 0, 8, 3, 5, 7, 8),
    {"groupnorm",
     "[2,3,2,2] one by one",
     single_x,
     2,
     3,
     {REAL(2, 3, 2, 2), REAL(2), REAL(2)},
     .reference = instancenorm_ref},

    AFFINE("instancenorm", instancenorm, "[2,2,3,2]", 2, 2, 2, 2, 3, 2),
    AFFINE("instancenorm", instancenorm, "[2,4,3]", 2, 3, 2, 4, 3),
    AFFINE("instancenorm", instancenorm, "[1,1,3,1]", 2, 1, 1, 1, 3, 1),
    AFFINE("instancenorm", instancenorm, "[3,5,7,9]", 0, 9, 3, 5, 7, 9),

    AFFINE("batch_renorm", renorm, "[1,5,3]", 2, 3, 1, 5, 3),
    AFFINE("batch_renorm", renorm, "[2,2,3,2]", 2, 2, 2, 2, 3, 2),
    AFFINE("batch_renorm", renorm, "[1,4,1]", 2, 1, 1, 4, 1),
    AFFINE("batch_renorm_correction", renorm, "[1,77,13]", 0, 13, 1, 77, 13),
    {"batch_renorm",
     "[1,3], evaluation",
     renorm_x,
     2,
     3,
     {REAL(1, 3), REAL(3), REAL(3)},
     .reference = renorm_frozen_ref,
     .evaluation = true},

    {"weightnorm", "[3,4]", weightnorm_x, 2, 2, {REAL(3, 4), REAL(4)}, .reference = weightnorm_ref},
    {"weightnorm", "[2,1,3,2]", weightnorm_x, 2, 2, {REAL(2, 1, 3, 2), REAL(2)}, .reference = weightnorm_ref},
    {"weightnorm", "[1,3]", weightnorm_x, 2, 2, {WITHIN(0.5, 2, 1, 3), REAL(3)}, .reference = weightnorm_ref},
    {"weightnorm", "[3,3,5,16]", weightnorm_x, 0, 2, {REAL(3, 3, 5, 16), REAL(16)}, .reference = weightnorm_ref},

    {"spectralnorm",
     "[3,4], evaluation",
     spectralnorm_x,
     2,
     1,
     {WITHIN(0.2, 2, 3, 4)},
     .reference = spectralnorm_frozen_ref,
     .evaluation = true},
    {"spectralnorm",
     "[2,1,3,2], evaluation",
     spectralnorm_x,
     2,
     1,
     {WITHIN(0.2, 2, 2, 1, 3, 2)},
     .reference = spectralnorm_frozen_ref,
     .evaluation = true},
    {"spectral_iterate", "[3,4]", spectralnorm_x, 0, 1, {REAL(3, 4)}, .reference = spectralnorm_ref},
    {"spectral_iterate", "[3,3,5,7]", spectralnorm_x, 0, 1, {REAL(3, 3, 5, 7)}, .reference = spectralnorm_ref},
    {.name = NULL},
};
