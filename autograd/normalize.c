/* Normalizations of each example by itself, and of weights, as expressions of primitive ops. */
#include "autograd/normalize.h"
#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/range.h"

#include <inttypes.h>

/* By way of the channels, whose means are few: so nothing large is summed or broadcast in pieces as short as a group. */
static tarn_tensor *mean_of_groups(tarn_tape *t, tarn_tensor *mean, int64_t groups)
{
    if (!mean)
        return NULL;
    int64_t examples = mean->shape[0], channels = mean->shape[2], shape[] = {examples, groups, channels / groups};
    tarn_tensor *grouped = tarn_mean(t, tarn_reshape(t, mean, 3, shape), TARN_AXES(2), true);
    return tarn_reshape(t, tarn_expand(t, grouped, 3, shape), TARN_SHAPE(examples, 1, channels));
}

tarn_tensor *tarn__mean_over(tarn_tape *t, tarn_tensor *x, const tarn__over *over)
{
    tarn_tensor *mean = tarn_mean(t, x, over->count, over->axes, true);
    return over->groups > 0 ? mean_of_groups(t, mean, over->groups) : mean;
}

tarn_tensor *tarn__centred(tarn_tape *t, tarn_tensor *x, const tarn__over *over, tarn__mean *mean)
{
    /* Any constant may be taken away before the mean is: so the first, which is rounded, needs no gradient. */
    bool grad = t->grad;
    t->grad = false;
    tarn_tensor *near = tarn__mean_over(t, x, over);
    t->grad = grad;
    tarn_tensor *difference = tarn_sub(t, x, near), *rest = tarn__mean_over(t, difference, over);
    if (mean)
        *mean = (tarn__mean){near, rest};
    return tarn_sub(t, difference, rest);
}

static tarn_tensor *over_root_mean_square(tarn_tape *t, tarn_tensor *x, const tarn__over *over, double eps)
{
    tarn_tensor *square = tarn__mean_over(t, tarn_square(t, x), over);
    return tarn_mul(t, x, tarn_rsqrt(t, tarn_add_scalar(t, square, eps > 0 ? eps : 1e-5)));
}

static tarn_tensor *standardized(tarn_tape *t, tarn_tensor *x, const tarn__over *over, double eps)
{
    return over_root_mean_square(t, tarn__centred(t, x, over, NULL), over, eps);
}

static const tarn__over last_axis = {.count = 1, .axes = {-1}};

static tarn_tensor *scaled_and_shifted(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta)
{
    tarn_tensor *y = gamma ? tarn_mul(t, x, gamma) : x;
    return beta ? tarn_add(t, y, beta) : y;
}

/* ---- what is refused ---- */

static bool is_per_channel(const char *name, const char *what, const tarn_tensor *x, const tarn_tensor *v)
{
    if (v && (v->ndim != 1 || v->shape[0] != tarn_dim(x, -1) || v->dtype != x->dtype))
        return tarn_fail("tarn_%s: %s is %s%s, expected %s[%" PRId64 "] for x %s", name, what,
                         tarn_dtype_name(v->dtype), TARN__SHAPE_TEXT(v), tarn_dtype_name(x->dtype), tarn_dim(x, -1),
                         TARN__SHAPE_TEXT(x));
    return true;
}

typedef struct inputs {
    tarn_tensor *x, *gamma, *beta;
    double eps;
} inputs;

static bool usable(const char *name, const tarn_tape *t, const inputs *in, int ndim, const char *expected)
{
    char who[64];
    snprintf(who, sizeof who, "tarn_%s", name);
    tarn_tensor *given[3] = {in->x};
    int n = 1;
    if (in->gamma)
        given[n++] = in->gamma;
    if (in->beta)
        given[n++] = in->beta;
    if (!tarn__inputs_usable(name, t, n, given))
        return false;
    if (in->x->ndim < ndim || !tarn__is_float(in->x->dtype))
        return tarn_fail("tarn_%s: x is %s%s, expected f32 or f64 %s", name, tarn_dtype_name(in->x->dtype),
                         TARN__SHAPE_TEXT(in->x), expected);
    return tarn__is_in(who, "eps", in->eps, TARN__NOT_NEGATIVE) && is_per_channel(name, "gamma", in->x, in->gamma) &&
           is_per_channel(name, "beta", in->x, in->beta);
}

static bool are_enough(const char *name, const tarn_tensor *x, int64_t count, const char *of)
{
    return count >= 2
               ? true
               : tarn_fail("tarn_%s: x %s has %" PRId64 " value%s %s: expected at least 2, since the variance of "
                           "one says nothing",
                           name, TARN__SHAPE_TEXT(x), count, count == 1 ? "" : "s", of);
}

/* ---- of activations ---- */

tarn_tensor *tarn_layernorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, double eps)
{
    if (!usable("layernorm", t, &(inputs){x, gamma, beta, eps}, 1, "[...,C]") ||
        !are_enough("layernorm", x, tarn_dim(x, -1), "an example"))
        return NULL;
    return scaled_and_shifted(t, standardized(t, x, &last_axis, eps), gamma, beta);
}

tarn_tensor *tarn_rmsnorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, double eps)
{
    if (!usable("rmsnorm", t, &(inputs){x, gamma, NULL, eps}, 1, "[...,C]"))
        return NULL;
    if (tarn_dim(x, -1) < 1) {
        tarn_fail("tarn_rmsnorm: x %s has no values an example", TARN__SHAPE_TEXT(x));
        return NULL;
    }
    return scaled_and_shifted(t, over_root_mean_square(t, x, &last_axis, eps), gamma, NULL);
}

static int64_t positions(const tarn_tensor *x)
{
    int64_t count = 1;
    for (int i = 1; i < x->ndim - 1; i++)
        count *= x->shape[i];
    return count;
}

tarn_tensor *tarn_groupnorm(tarn_tape *t, tarn_tensor *x, int64_t groups, tarn_tensor *gamma, tarn_tensor *beta,
                            double eps)
{
    if (!usable("groupnorm", t, &(inputs){x, gamma, beta, eps}, 2, "[N,...,C]"))
        return NULL;
    int64_t channels = tarn_dim(x, -1);
    if (!tarn__is_count("tarn_groupnorm", "groups", groups, 1, INT64_MAX))
        return NULL;
    if (channels % groups) {
        tarn_fail("tarn_groupnorm: groups %" PRId64 " of x %s, expected a divisor of its channels", groups,
                  TARN__SHAPE_TEXT(x));
        return NULL;
    }
    if (!are_enough("groupnorm", x, positions(x) * (channels / groups), "a group"))
        return NULL;
    const tarn__over over = {.count = 1, .axes = {1}, .groups = groups};
    tarn_tensor *flat = tarn_reshape(t, x, TARN_SHAPE(x->shape[0], positions(x), channels));
    tarn_tensor *y = tarn_reshape(t, standardized(t, flat, &over, eps), x->ndim, x->shape);
    return scaled_and_shifted(t, y, gamma, beta);
}

tarn_tensor *tarn_instancenorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, double eps)
{
    tarn__over over = {0};
    if (!usable("instancenorm", t, &(inputs){x, gamma, beta, eps}, 3, "[N,...,C] with an axis of positions") ||
        !are_enough("instancenorm", x, positions(x), "a channel"))
        return NULL;
    while (over.count < x->ndim - 2) {
        over.axes[over.count] = over.count + 1;
        over.count++;
    }
    return scaled_and_shifted(t, standardized(t, x, &over, eps), gamma, beta);
}

/* ---- of weights ---- */

tarn_tensor *tarn_weightnorm(tarn_tape *t, tarn_tensor *v, tarn_tensor *g)
{
    int axes[TARN_MAX_DIMS];
    if (!tarn__inputs_usable("weightnorm", t, 2, (tarn_tensor *const[]){v, g}))
        return NULL;
    if (v->ndim < 2 || !tarn__is_float(v->dtype)) {
        tarn_fail("tarn_weightnorm: v is %s%s, expected f32 or f64 [...,out] with 2 axes or more",
                  tarn_dtype_name(v->dtype), TARN__SHAPE_TEXT(v));
        return NULL;
    }
    if (!is_per_channel("weightnorm", "g", v, g))
        return NULL;
    for (int i = 0; i < v->ndim - 1; i++)
        axes[i] = i;
    tarn_tensor *square = tarn_sum(t, tarn_square(t, v), v->ndim - 1, axes, false);
    return tarn_mul(t, v, tarn_mul(t, g, tarn_rsqrt(t, square)));
}
