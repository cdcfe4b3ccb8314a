#include "layers/init.h"
#include "layers/init_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <float.h>
#include <math.h>

/* ---- fills ---- */

static bool fillable(const char *who, const tarn_tensor *x, const tarn_rng *rng)
{
    if (!tarn__usable(who, x, "x") || !tarn__usable(who, rng, "rng"))
        return false;
    if (!tarn__is_float(x->dtype))
        return tarn_fail("%s: dtype %s, expected f32 or f64", who, tarn_dtype_name(x->dtype));
    return x->node ? tarn_fail("%s: %s was computed by an op, and cannot be written", who, TARN__SHAPE_TEXT(x)) : true;
}

static bool fill_uniform(tarn_tensor *x, tarn_rng *rng, double low, double high)
{
    void *data = tarn_mutable_data(x);
    size_t n = (size_t)x->numel;
    return x->dtype == TARN_F64 ? tarn_rng_fill_uniform_f64(rng, n, data, low, high)
                                : tarn_rng_fill_uniform_f32(rng, n, data, low, high);
}

static bool fill_normal(tarn_tensor *x, tarn_rng *rng, double mean, double std)
{
    void *data = tarn_mutable_data(x);
    size_t n = (size_t)x->numel;
    return x->dtype == TARN_F64 ? tarn_rng_fill_normal_f64(rng, n, data, mean, std)
                                : tarn_rng_fill_normal_f32(rng, n, data, mean, std);
}

bool tarn_init_uniform(tarn_tensor *x, tarn_rng *rng, double low, double high)
{
    static const char who[] = "tarn_init_uniform";
    if (!fillable(who, x, rng) || !tarn__is_uniform(who, x->dtype == TARN_F64, low, high))
        return false;
    return fill_uniform(x, rng, low, high);
}

bool tarn_init_normal(tarn_tensor *x, tarn_rng *rng, double mean, double std)
{
    static const char who[] = "tarn_init_normal";
    if (!fillable(who, x, rng) || !tarn__is_normal(who, x->dtype == TARN_F64, mean, std))
        return false;
    return fill_normal(x, rng, mean, std);
}

/* ---- fans and gains ---- */

static double fan_in(const tarn_tensor *w)
{
    double fan = 1;
    for (int i = 0; i < w->ndim - 1; i++)
        fan *= (double)w->shape[i];
    return fan;
}

static double fan_out(const tarn_tensor *w)
{
    return fan_in(w) / (double)w->shape[w->ndim - 2] * (double)w->shape[w->ndim - 1];
}

static double default_bound(const tarn_tensor *w)
{
    return 1 / sqrt(fan_in(w));
}

static double gain_of(const char *who, tarn_activation kind, double slope)
{
    switch (kind) {
    case TARN_IDENTITY:
    case TARN_SIGMOID:
        return 1;
    case TARN_RELU:
        return sqrt(2);
    case TARN_LEAKY_RELU:
        if (!tarn__is_in(who, "slope", slope, TARN__FINITE))
            return NAN;
        slope = slope == 0 ? 0.01 : slope;
        return sqrt(2 / (1 + slope * slope));
    case TARN_TANH:
        return 5.0 / 3;
    default:
        tarn_fail("%s: activation %d has no gain: expected identity, sigmoid, relu, leaky relu or tanh", who,
                  (int)kind);
        return NAN;
    }
}

double tarn_init_gain(tarn_activation kind, double slope)
{
    return gain_of("tarn_init_gain", kind, slope);
}

/* ---- the two families ---- */

/* A weight with fans, and a gain. A weight without elements has nothing to fill: its fans may be 0. */
static bool weight_usable(const char *who, const tarn_tensor *w, const tarn_rng *rng, double gain)
{
    if (!fillable(who, w, rng))
        return false;
    if (w->ndim < 2)
        return tarn_fail("%s: %s has no fan-in and fan-out: expected 2 or more axes", who, TARN__SHAPE_TEXT(w));
    const double most = w->dtype == TARN_F64 ? DBL_MAX : (double)FLT_MAX; /* a limit is at most 2 gain */
    return tarn__is_in(who, "gain", gain, '(', 0, most / 4, ']');
}

static bool fan_usable(const char *who, tarn_fan fan)
{
    return fan == TARN_FAN_IN || fan == TARN_FAN_OUT ? true
                                                     : tarn_fail("%s: %d is not one of tarn_fan's", who, (int)fan);
}

static bool fill_std(tarn_tensor *w, tarn_rng *rng, double std, bool normal)
{
    if (w->numel == 0)
        return true;
    return normal ? fill_normal(w, rng, 0, std) : fill_uniform(w, rng, -sqrt(3) * std, sqrt(3) * std);
}

static bool xavier(const char *who, tarn_tensor *w, tarn_rng *rng, double gain, bool normal)
{
    if (!weight_usable(who, w, rng, gain))
        return false;
    return fill_std(w, rng, gain * sqrt(2 / (fan_in(w) + fan_out(w))), normal);
}

static bool kaiming(const char *who, tarn_tensor *w, tarn_rng *rng, tarn_fan fan, double gain, bool normal)
{
    if (!weight_usable(who, w, rng, gain) || !fan_usable(who, fan))
        return false;
    return fill_std(w, rng, gain / sqrt(fan == TARN_FAN_IN ? fan_in(w) : fan_out(w)), normal);
}

bool tarn_init_xavier_uniform(tarn_tensor *w, tarn_rng *rng, double gain)
{
    return xavier("tarn_init_xavier_uniform", w, rng, gain, false);
}

bool tarn_init_xavier_normal(tarn_tensor *w, tarn_rng *rng, double gain)
{
    return xavier("tarn_init_xavier_normal", w, rng, gain, true);
}

bool tarn_init_kaiming_uniform(tarn_tensor *w, tarn_rng *rng, tarn_fan fan, double gain)
{
    return kaiming("tarn_init_kaiming_uniform", w, rng, fan, gain, false);
}

bool tarn_init_kaiming_normal(tarn_tensor *w, tarn_rng *rng, tarn_fan fan, double gain)
{
    return kaiming("tarn_init_kaiming_normal", w, rng, fan, gain, true);
}

/* ---- a layer's choice ---- */

bool tarn__init_usable(const char *who, const tarn_init *init)
{
    if ((unsigned)init->kind > TARN_INIT_ZEROS)
        return tarn_fail("%s: init %d is not one of tarn_init_kind's", who, (int)init->kind);
    if (init->kind == TARN_INIT_DEFAULT || init->kind == TARN_INIT_ZEROS)
        return true;
    return fan_usable(who, init->fan) && !isnan(gain_of(who, init->activation, init->slope));
}

bool tarn_init_weight(tarn_tensor *w, tarn_rng *rng, const tarn_init *init)
{
    static const char who[] = "tarn_init_weight";
    tarn_init chosen = init ? *init : (tarn_init){0};
    if (!weight_usable(who, w, rng, 1) || !tarn__init_usable(who, &chosen))
        return false;
    double gain = chosen.kind == TARN_INIT_DEFAULT || chosen.kind == TARN_INIT_ZEROS
                      ? 1
                      : gain_of(who, chosen.activation, chosen.slope);
    switch (chosen.kind) {
    case TARN_INIT_KAIMING_UNIFORM:
    case TARN_INIT_KAIMING_NORMAL:
        return kaiming(who, w, rng, chosen.fan, gain, chosen.kind == TARN_INIT_KAIMING_NORMAL);
    case TARN_INIT_XAVIER_UNIFORM:
    case TARN_INIT_XAVIER_NORMAL:
        return xavier(who, w, rng, gain, chosen.kind == TARN_INIT_XAVIER_NORMAL);
    case TARN_INIT_ZEROS:
        return tarn_fill(w, 0);
    default:
        return w->numel == 0 || fill_uniform(w, rng, -default_bound(w), default_bound(w));
    }
}

bool tarn__init_weight_and_bias(tarn_tensor *w, tarn_tensor *bias, tarn_rng *rng, const tarn_init *init)
{
    if (!tarn_init_weight(w, rng, init))
        return false;
    return !bias || init->kind == TARN_INIT_ZEROS || fill_uniform(bias, rng, -default_bound(w), default_bound(w));
}
