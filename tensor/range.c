#include "tensor/range.h"
#include "tensor/error.h"

#include <float.h>
#include <inttypes.h>

bool tarn__is_in(const char *who, const char *what, double value, char left, double low, double high, char right)
{
    const bool above = left == '[' ? value >= low : value > low, below = right == ']' ? value <= high : value < high;
    return above && below
               ? true
               : tarn_fail("%s: %s %g, expected a number in %c%g,%g%c", who, what, value, left, low, high, right);
}

bool tarn__is_count(const char *who, const char *what, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return true;
    return most == INT64_MAX
               ? tarn_fail("%s: %s %" PRId64 ", expected %" PRId64 " or more", who, what, value, least)
               : tarn_fail("%s: %s %" PRId64 ", expected %" PRId64 " to %" PRId64, who, what, value, least, most);
}

bool tarn__are_in_order(const char *who, double low, double high)
{
    return low <= high ? true : tarn_fail("%s: low %g is above high %g", who, low, high);
}

static double largest(bool f64)
{
    return f64 ? DBL_MAX : (double)FLT_MAX;
}

bool tarn__is_uniform(const char *who, bool f64, double low, double high)
{
    const double most = largest(f64);
    return tarn__is_in(who, "low", low, '[', -most, most, ']') &&
           tarn__is_in(who, "high", high, '[', -most, most, ']') && tarn__are_in_order(who, low, high) &&
           tarn__is_in(who, "high - low", high - low, TARN__FINITE);
}

bool tarn__is_normal(const char *who, bool f64, double mean, double std)
{
    const double most = largest(f64);
    return tarn__is_in(who, "mean", mean, '[', -most, most, ']') && tarn__is_in(who, "std", std, '[', 0, most, ']');
}
