#include "tensor/vector.h"

#include <math.h>
#include <stddef.h>

enum { BLOCK = 1024, LANES = 8 };

/* Lanes are sums of their own, so that the order is the same whatever the compiler makes of the loop. */
double tarn__dot(int64_t n, const double *x, const double *y)
{
    double total = 0;
    for (int64_t from = 0; from < n; from += BLOCK) {
        int64_t to = n - from < BLOCK ? n : from + BLOCK, i = from;
        double lane[LANES] = {0};
        for (; i + LANES <= to; i += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += x[i + l] * y[i + l];
        for (; i < to; i++)
            lane[0] += x[i] * y[i];
        for (int l = 1; l < LANES; l++)
            lane[0] += lane[l];
        total += lane[0];
    }
    return total;
}

bool tarn__is_safe_square(double square)
{
    return square > 0x1p-900 && square < INFINITY;
}

/* |x - y| (y NULL: |x|), in units of the largest element. */
static double scaled_distance(int64_t n, const double *x, const double *y)
{
    double largest = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(y ? x[i] - y[i] : x[i]));
    if (largest == 0 || isinf(largest))
        return largest;
    for (int64_t i = 0; i < n; i++) {
        double part = (y ? x[i] - y[i] : x[i]) / largest;
        square += part * part;
    }
    return largest * sqrt(square);
}

double tarn__norm(int64_t n, const double *x)
{
    double square = tarn__dot(n, x, x);
    return tarn__is_safe_square(square) || isnan(square) ? sqrt(square) : scaled_distance(n, x, NULL);
}

double tarn__distance(int64_t n, const double *x, const double *y)
{
    double total = 0;
    for (int64_t from = 0; from < n; from += BLOCK) {
        int64_t to = n - from < BLOCK ? n : from + BLOCK;
        double part = 0;
        for (int64_t i = from; i < to; i++)
            part += (x[i] - y[i]) * (x[i] - y[i]);
        total += part;
    }
    return tarn__is_safe_square(total) || isnan(total) ? sqrt(total) : scaled_distance(n, x, y);
}

double tarn__cosine(int64_t n, const double *x, const double *y)
{
    double a = tarn__norm(n, x), b = tarn__norm(n, y), c = 0;
    if (tarn__is_safe_square(a * a) && tarn__is_safe_square(b * b) && tarn__is_safe_square(a * b))
        c = tarn__dot(n, x, y) / (a * b);
    else
        for (int64_t i = 0; i < n; i++)
            c += x[i] / a * (y[i] / b);
    return c > 1 ? 1 : c < -1 ? -1 : c;
}

void tarn__along(int64_t n, const double *x, double a, const double *d, double *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] + a * d[i];
}
