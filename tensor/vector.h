/* tensor/vector.h (internal): plain vectors of n doubles. On the calling thread, in an order that is always the same. */
#ifndef TARN__VECTOR_H
#define TARN__VECTOR_H

#include <stdbool.h>
#include <stdint.h>

/* sum x[i] y[i]; the terms of a block are added first, so that the error does not grow with n. */
double tarn__dot(int64_t n, const double *x, const double *y);

/* Of a sum of squares: it fits, and its terms have all their digits. (NaN: no.) */
bool tarn__is_safe_square(double square);

/* |x|, and |x - y|, also where the squares of the elements are too large or too small for a double. */
double tarn__norm(int64_t n, const double *x);
double tarn__distance(int64_t n, const double *x, const double *y);

/* Of the angle between x and y, within [-1,1]; NaN where one is 0. */
double tarn__cosine(int64_t n, const double *x, const double *y);

/* y = x + a d */
void tarn__along(int64_t n, const double *x, double a, const double *d, double *y);

#endif
