#include "tensor/vector.h"

#include <math.h>

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

/* The squares have digits enough between the two: below, they lose them, above, their sum may not fit. */
double tarn__norm(int64_t n, const double *x)
{
    double square = tarn__dot(n, x, x), largest = 0, scaled = 0;
    if (isnan(square) || (square > 0x1p-900 && square < INFINITY))
        return sqrt(square);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    if (largest == 0 || isinf(largest))
        return largest;
    for (int64_t i = 0; i < n; i++)
        scaled += x[i] / largest * (x[i] / largest);
    return largest * sqrt(scaled);
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
    return sqrt(total);
}

void tarn__along(int64_t n, const double *x, double a, const double *d, double *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] + a * d[i];
}
