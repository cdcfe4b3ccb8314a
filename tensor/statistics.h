/* tensor/statistics.h: how numbers are distributed, and curves made smooth. */
#ifndef TARN_STATISTICS_H
#define TARN_STATISTICS_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out[k] = the q[k]-quantile of x's elements (f32 or f64, any shape, one at least), k < n: with the elements in order,
 * x_0 <= ... <= x_{m-1}, and h = q (m-1), it lies between x_floor(h) and its successor, linearly by the fraction of h
 * (type 7 of Hyndman & Fan 1996, Sample Quantiles in Statistical Packages; NumPy's default). q = 0.5 is the median. A
 * NaN in x makes every result NaN. Takes time m log m. False with an error, out unchanged: NULL, another dtype, no
 * elements, n not above 0, a q that is not in [0,1], no memory. */
TARN_API bool tarn_quantiles(tarn_tensor *x, int n, const double *q, double *out);

/* counts[k] = how many elements of x (f32 or f64) lie in bin k < bins of [low, high]: bin k is [edge_k, edge_{k+1}),
 * the last one with its upper edge, edge_k = low + k (high-low)/bins. What lies outside, and NaN, is in no bin:
 * tarn_numel(x) less the counts. False with an error, counts unchanged: NULL, another dtype, bins not above 0, low and
 * high not finite, low not below high, high - low not finite. */
TARN_API bool tarn_histogram(tarn_tensor *x, int64_t bins, double low, double high, int64_t *counts);

/* out[i] = the mean of x[i-r..i+r], cut off at the ends of x[0..n-1], with window = 2r+1: a curve without its noise,
 * and without delay. A NaN stays within the windows that reach it. out must not overlap x. False with an error, out
 * unchanged: NULL, n below 0, a window that is not odd and above 0. */
TARN_API bool tarn_moving_average(int64_t n, const double *x, int64_t window, double *out);

#ifdef __cplusplus
}
#endif
#endif
