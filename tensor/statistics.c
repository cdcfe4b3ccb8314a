#include "tensor/statistics.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/sort.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool is_sample(const char *who, tarn_tensor *x)
{
    if (!tarn__tensor_usable(who, x, "x"))
        return false;
    if (!tarn__is_float(x->dtype))
        return tarn_fail("%s: x is %s, expected f32 or f64", who, tarn_dtype_name(x->dtype));
    return tarn__realize(x);
}

/* x's elements in f64, row-major. */
static void elements_of(double *values, const tarn_tensor *x)
{
    tarn_tensor target = {.data = values};
    tarn__set_shape(&target, TARN_F64, x->ndim, x->shape);
    tarn__copy_elements(&target, x);
}

/* ---- quantiles ---- */

/* Neighbours that are equal, or of which only one counts, may be infinite. */
static double quantile(const double *sorted, int64_t n, double q)
{
    double h = q * (double)(n - 1), below = floor(h), part = h - below;
    int64_t i = (int64_t)below;
    double a = sorted[i];
    if (part == 0 || i + 1 >= n || sorted[i + 1] == a)
        return a;
    return (1 - part) * a + part * sorted[i + 1];
}

bool tarn_quantiles(tarn_tensor *x, int n, const double *q, double *out)
{
    static const char who[] = "tarn_quantiles";
    if (!tarn__tensor_usable(who, x, "x") || !tarn__usable(who, q, "q") || !tarn__usable(who, out, "out"))
        return false;
    if (!tarn__is_count(who, "n", n, 1, INT64_MAX))
        return false;
    for (int k = 0; k < n; k++) {
        char name[32];
        snprintf(name, sizeof name, "q[%d]", k);
        if (!tarn__is_in(who, name, q[k], '[', 0, 1, ']'))
            return false;
    }
    if (x->numel == 0)
        return tarn_fail("%s: x %s has no elements", who, TARN__SHAPE_TEXT(x));
    if (!is_sample(who, x))
        return false;
    if ((uint64_t)x->numel > SIZE_MAX / (2 * sizeof(double)))
        return tarn_fail("%s: no memory for x %s", who, TARN__SHAPE_TEXT(x));
    double *values = tarn__allocate(2 * (size_t)x->numel * sizeof *values);
    if (!values)
        return tarn_fail("%s: no memory for x %s", who, TARN__SHAPE_TEXT(x));
    elements_of(values, x);
    bool has_nan = false;
    for (int64_t i = 0; i < x->numel; i++)
        has_nan |= isnan(values[i]);
    const double *sorted = has_nan ? values : tarn__sort_numbers(values, values + x->numel, x->numel);
    for (int k = 0; k < n; k++)
        out[k] = has_nan ? NAN : quantile(sorted, x->numel, q[k]);
    tarn__release(values);
    return true;
}

/* ---- histograms ---- */

typedef struct bins {
    int64_t count;
    double low, high;
} bins;

static double edge(const bins *b, int64_t k)
{
    return k == b->count ? b->high : b->low + (double)k * ((b->high - b->low) / (double)b->count);
}

/* The division may land one beside the edges as they round. -1: none. */
static int64_t bin_of(const bins *b, double value)
{
    if (!(value >= b->low && value <= b->high))
        return -1;
    int64_t k = (int64_t)((value - b->low) / (b->high - b->low) * (double)b->count);
    if (k >= b->count)
        k = b->count - 1;
    if (k > 0 && value < edge(b, k))
        k--;
    else if (k + 1 < b->count && value >= edge(b, k + 1))
        k++;
    return k;
}

bool tarn_histogram(tarn_tensor *x, int64_t count, double low, double high, int64_t *counts)
{
    static const char who[] = "tarn_histogram";
    if (!tarn__tensor_usable(who, x, "x") || !tarn__usable(who, counts, "counts"))
        return false;
    if (!tarn__is_count(who, "bins", count, 1, INT64_MAX) || !tarn__is_uniform(who, true, low, high))
        return false;
    if (low == high)
        return tarn_fail("%s: low %g, expected a number below high", who, low);
    if (!is_sample(who, x))
        return false;
    const tarn_dtype dtype = x->dtype;
    const void *data = tarn_data(x);
    if (!data)
        return false;
    const bins b = {count, low, high};
    memset(counts, 0, (size_t)count * sizeof *counts);
    for (int64_t i = 0; i < x->numel; i++) {
        int64_t k = bin_of(&b, dtype == TARN_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i]);
        if (k >= 0)
            counts[k]++;
    }
    return true;
}

/* ---- curves ---- */

bool tarn_moving_average(int64_t n, const double *x, int64_t window, double *out)
{
    static const char who[] = "tarn_moving_average";
    if (!tarn__usable(who, x, "x") || !tarn__usable(who, out, "out"))
        return false;
    if (n < 0)
        return tarn_fail("%s: n is %" PRId64 ", expected 0 or more", who, n);
    if (window < 1 || window % 2 == 0)
        return tarn_fail("%s: the window is %" PRId64 ", expected an odd number above 0", who, window);
    int64_t reach = window / 2;
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i > reach ? i - reach : 0, to = n - i > reach ? i + reach : n - 1;
        double sum = 0;
        for (int64_t k = from; k <= to; k++)
            sum += x[k];
        out[i] = sum / (double)(to - from + 1);
    }
    return true;
}
