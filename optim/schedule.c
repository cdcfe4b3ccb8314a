#include "optim/schedule.h"
#include "tensor/range.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

#define PI 3.14159265358979323846

static bool is_rate(const char *who, const char *what, double value)
{
    return tarn__is_in(who, what, value, TARN__NOT_NEGATIVE);
}

static bool is_count(const char *who, const char *what, int64_t value, int64_t least)
{
    return tarn__is_count(who, what, value, least, INT64_MAX);
}

static double finite(const char *who, int64_t step, double rate)
{
    if (isfinite(rate))
        return rate;
    tarn_fail("%s: the rate at step %" PRId64 " is %g, expected a finite one", who, step, rate);
    return NAN;
}

/* base * factor^n, in two halves where the power alone is no number. */
static double decayed(double base, double factor, int64_t n)
{
    const double power = pow(factor, (double)n), half = pow(factor, (double)n / 2);
    return base == 0 ? 0 : power >= DBL_MIN && isfinite(power) ? base * power : base * half * half;
}

double tarn_lr_step_decay(double base, int64_t step, int64_t every, double factor)
{
    static const char who[] = "tarn_lr_step_decay";
    if (!is_rate(who, "base", base) || !is_count(who, "step", step, 0) || !is_count(who, "every", every, 1) ||
        !is_rate(who, "factor", factor))
        return NAN;
    return finite(who, step, decayed(base, factor, step / every));
}

double tarn_lr_exponential(double base, int64_t step, double factor)
{
    static const char who[] = "tarn_lr_exponential";
    if (!is_rate(who, "base", base) || !is_count(who, "step", step, 0) || !is_rate(who, "factor", factor))
        return NAN;
    return finite(who, step, decayed(base, factor, step));
}

static double cosine(double base, int64_t step, int64_t total, double low)
{
    return step >= total ? low : low + (base - low) * ((1 + cos(PI * (double)step / (double)total)) / 2);
}

double tarn_lr_cosine(double base, int64_t step, int64_t total, double floor)
{
    static const char who[] = "tarn_lr_cosine";
    if (!is_rate(who, "base", base) || !is_count(who, "step", step, 0) || !is_count(who, "total", total, 1) ||
        !is_rate(who, "floor", floor))
        return NAN;
    return cosine(base, step, total, floor);
}

static double warmup_factor(int64_t step, int64_t warmup)
{
    return step >= warmup ? 1 : ((double)step + 1) / (double)warmup;
}

double tarn_lr_warmup(int64_t step, int64_t warmup)
{
    static const char who[] = "tarn_lr_warmup";
    if (!is_count(who, "step", step, 0) || !is_count(who, "warmup", warmup, 0))
        return NAN;
    return warmup_factor(step, warmup);
}

double tarn_lr_warmup_cosine(double base, int64_t step, int64_t warmup, int64_t total, double floor)
{
    static const char who[] = "tarn_lr_warmup_cosine";
    if (!is_rate(who, "base", base) || !is_count(who, "step", step, 0) || !is_count(who, "warmup", warmup, 0) ||
        !is_rate(who, "floor", floor))
        return NAN;
    if (total <= warmup) {
        tarn_fail("%s: total %" PRId64 ", expected more than warmup, which is %" PRId64, who, total, warmup);
        return NAN;
    }
    return step < warmup ? base * warmup_factor(step, warmup) : cosine(base, step - warmup, total - warmup, floor);
}

double tarn_lr_inverse_sqrt(double base, int64_t step)
{
    static const char who[] = "tarn_lr_inverse_sqrt";
    if (!is_rate(who, "base", base) || !is_count(who, "step", step, 0))
        return NAN;
    return base / sqrt((double)step + 1);
}

double tarn_lr_inverse(double base, int64_t step, double rate)
{
    static const char who[] = "tarn_lr_inverse";
    if (!is_rate(who, "base", base) || !is_count(who, "step", step, 0) || !is_rate(who, "rate", rate))
        return NAN;
    return base / (1 + rate * (double)step);
}

static double half_cosine(double from, double to, double part)
{
    return to + (from - to) * ((1 + cos(PI * part)) / 2);
}

double tarn_lr_one_cycle(double peak, int64_t step, int64_t total, const tarn_one_cycle_opts *opts)
{
    static const char who[] = "tarn_lr_one_cycle";
    const double div_factor = opts && opts->div_factor != 0 ? opts->div_factor : 25;
    const double final_div_factor = opts && opts->final_div_factor != 0 ? opts->final_div_factor : 1e4;
    const double pct_start = opts && opts->pct_start != 0 ? opts->pct_start : 0.3;
    if (!is_rate(who, "peak", peak) || !is_count(who, "step", step, 0) || !is_count(who, "total", total, 1) ||
        !tarn__is_in(who, "div_factor", div_factor, TARN__POSITIVE) ||
        !tarn__is_in(who, "final_div_factor", final_div_factor, TARN__POSITIVE) ||
        !tarn__is_in(who, "pct_start", pct_start, '(', 0, 1, ']'))
        return NAN;
    const double first = peak / div_factor, last = first / final_div_factor;
    if (!tarn__is_in(who, "peak / div_factor", first, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "the last rate", last, TARN__NOT_NEGATIVE))
        return NAN;
    const double top = pct_start * (double)total - 1, at = (double)step, end = (double)total - 1;
    if (at <= top && top > 0)
        return half_cosine(first, peak, at / top);
    return at >= end ? last : half_cosine(peak, last, (at - top) / (end - top));
}
