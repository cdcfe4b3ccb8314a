/* autograd/surface_impl.h (internal): what the files of autograd/surface.h share. Vectors are f64. */
#ifndef TARN__SURFACE_IMPL_H
#define TARN__SURFACE_IMPL_H

#include "autograd/objective_impl.h"
#include "autograd/surface.h"

/* sum x[i] y[i]; the terms of a block are added first, so that the error does not grow with n. */
double tarn__dot(int64_t n, const double *x, const double *y);

/* |x - y| */
double tarn__distance(int64_t n, const double *x, const double *y);

/* y = x + a d */
void tarn__along(int64_t n, const double *x, double a, const double *d, double *y);

/* Sets the store's parameters. */
void tarn__move_to(tarn__evaluation *e, double *point);

#endif
