/* autograd/curvature_impl.h (internal): what the functions of autograd/curvature.h share. */
#ifndef TARN__CURVATURE_IMPL_H
#define TARN__CURVATURE_IMPL_H

#include "autograd/curvature.h"
#include "autograd/objective_impl.h"

/* product = H v, both [P]. */
bool tarn__hessian_times(tarn__evaluation *e, const double *v, double *product);

/* H into hessian, [P,P]. */
bool tarn__hessian_fill(tarn__evaluation *e, double *hessian);

/* tarn_hessian_extremes() of an evaluation that has begun. */
bool tarn__hessian_extremes(tarn__evaluation *e, int smallest, int largest, const tarn_lanczos_opts *opts,
                            tarn_extremes *result);

/* How far from 0, relative to the largest, an eigenvalue still counts as 0, if the caller does not say. */
double tarn__zero_tol(const tarn__evaluation *e);

#endif
