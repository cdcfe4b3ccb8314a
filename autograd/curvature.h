/* autograd/curvature.h: the Hessian of an objective, which tells a minimum from a saddle.
 *
 * Near a point the loss is L(x + d) = L(x) + g.d + 1/2 d.H d + ..., g the gradient and H [P,P] the matrix of second
 * derivatives. Where g = 0, H decides: all eigenvalues above 0, a minimum; all below, a maximum; some of each, a
 * saddle, and the loss falls along an eigenvector of a negative one (Goodfellow, Bengio & Courville 2016: Deep
 * Learning, 4.3.1).
 *
 * H itself has P^2 elements. H v, for a vector v, takes the time of a few gradients (tarn_hessian_vector,
 * autograd/tape.h), and no more than that is needed for the ends of the spectrum or its sum. In an f32 store products
 * are computed in f32, and are right to about 1e-6 of the largest |eigenvalue|; everything else is f64. The loss must
 * have second derivatives: relu's is 0 on both sides, and the Hessian that of the piece on which the point lies.
 *
 * For what an objective is, what stays as it was, and the errors that all have in common, see autograd/objective.h. */
#ifndef TARN_CURVATURE_H
#define TARN_CURVATURE_H

#include "autograd/objective.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- products, and the whole ---- */

/* H v at the store's parameters: f64 [P], the caller's. v is f64 [P], not on f's tape; it is
 * rounded to the store's dtype. */
TARN_API tarn_tensor *tarn_hessian_times_new(const tarn_objective *f, tarn_tensor *v);

enum { TARN_HESSIAN_MAX = 4096 };

/* H, f64 [P,P], the caller's: P products, each row and its mirrored column averaged. tarn_symmetric_eigen_new() gives
 * its spectrum. Errors: P above TARN_HESSIAN_MAX. */
TARN_API tarn_tensor *tarn_hessian_new(const tarn_objective *f);

/* An estimate of the sum of the eigenvalues, the mean of z.H z over `samples` vectors z of random signs: unbiased, of
 * variance 2 (|H|_F^2 - sum_i H_ii^2) a sample, so exact for a diagonal H (Hutchinson 1990; Avron & Toledo 2011,
 * Randomized Algorithms for Estimating the Trace). standard_error (may be NULL) becomes the standard error of the
 * mean, NaN for one sample. NaN with an error; besides the common ones, samples below 1. */
TARN_API double tarn_hessian_trace(const tarn_objective *f, int samples, uint64_t seed, double *standard_error);

/* ---- the ends of the spectrum ---- */

typedef struct tarn_lanczos_opts {
    int64_t max_steps; /* products at most; 0 means 1000, or P if that is less */
    double tol;        /* until |H x - lambda x| <= tol * max |lambda|; 0 means 1e-10, and 1e-6 in an f32 store */
    uint64_t seed;     /* of the first vector */
    bool once;         /* do not look for a second copy of an eigenvalue: about half the time */
    /* Told now and then, after `steps` products, the smallest and the largest eigenvalue known so far. May be NULL. */
    void (*progress)(void *context, int64_t steps, double smallest, double largest);
    void *progress_context;
} tarn_lanczos_opts;

typedef struct tarn_extremes {
    tarn_tensor *values;    /* f64 [smallest + largest], ascending */
    tarn_tensor *residuals; /* f64, as many: |H x - lambda x|; an eigenvalue of H lies that near to lambda */
    tarn_tensor
        *vectors;   /* f64 [smallest + largest, P]: row k belongs to value k, of length 1, its sign is arbitrary */
    int64_t steps;  /* products that it took */
    bool converged; /* or max_steps came first: then the values lie inside of the spectrum */
} tarn_extremes;

/* The `smallest` smallest and the `largest` largest eigenvalues of H with their eigenvectors, by Lanczos's process
 * with full orthogonalisation (Golub & Van Loan, Matrix Computations, 10.1 to 10.3), for P of any size: memory for
 * `steps` vectors. An eigenvalue that H has several times counts as often: one process sees one copy, so when all has
 * converged another starts in what is left, until nothing changes. After P products the space is exhausted and the
 * result exact.
 *
 * False with an error, and result all zeros: besides the common ones, smallest and largest not 0 or more, both 0, or
 * together more than P or max_steps; tol not in (0,1); a product that is not finite. That max_steps came first is no
 * error. */
TARN_API bool tarn_hessian_extremes(const tarn_objective *f, int smallest, int largest, const tarn_lanczos_opts *opts,
                                    tarn_extremes *result);

/* Frees the three tensors and sets all to zero. NULL is fine. */
TARN_API void tarn_extremes_free(tarn_extremes *result);

/* ---- what kind of point it is ---- */

typedef enum tarn_critical_kind {
    TARN_NOT_CRITICAL, /* the gradient is not 0 */
    TARN_MINIMUM,      /* every eigenvalue is positive */
    TARN_MAXIMUM,      /* every one negative */
    TARN_SADDLE,       /* there are both; zeros or not */
    TARN_DEGENERATE,   /* zeros, and the others, if any, of one sign: second derivatives do not decide */
    TARN_CRITICAL_KIND_COUNT
} tarn_critical_kind;

/* "minimum" and so on; "?" for a value outside the enum. */
TARN_API const char *tarn_critical_kind_name(tarn_critical_kind kind);

/* Both are relative to max |lambda|; 0 means 1e-6, and 1e-4 in an f32 store. */
typedef struct tarn_critical_point_opts {
    double gradient_tol; /* critical: |g| <= gradient_tol * max |lambda|, so a Newton step would be about that short */
    double zero_tol;     /* an eigenvalue is zero: |lambda| <= zero_tol * max |lambda| */
} tarn_critical_point_opts;

typedef struct tarn_critical_point_report {
    tarn_critical_kind kind;
    double value, gradient_norm;
    double smallest, largest;         /* eigenvalues */
    int64_t negative, zero, positive; /* how many of each: P together */
    double minimum_ratio; /* positive / P: 1 at a minimum. (How near to a minimum the direction-wise view is) */
} tarn_critical_point_report;

/* What the store's parameters are to the loss, from the whole spectrum. False with an error, and the report all zeros:
 * besides the common ones, P above TARN_HESSIAN_MAX, a gradient or a Hessian that is not finite, a tolerance that is
 * not in (0,1). */
TARN_API bool tarn_critical_point(const tarn_objective *f, const tarn_critical_point_opts *opts,
                                  tarn_critical_point_report *report);

/* From the store's parameters to a critical point nearby, of whatever kind: f64 [P], the caller's. Each step is the
 * one that makes |g + H s|^2 + mu^2 |s|^2 least, Newton's method damped by mu (Levenberg 1944; Marquardt 1963), and is
 * taken if it makes the gradient shorter, whether the loss falls or not; mu falls after a step that was taken, and
 * rises before the next try. It ends where |g| <= 1e-12 * max |lambda| (1e-6 in an f32 store), after max_steps (0
 * means 100), each a Hessian and its spectrum, or where no step makes the gradient shorter: that may be a point at
 * which |g| is least and not 0, so ask tarn_critical_point(). *gradient_norm (may be NULL) becomes |g| there, NaN with
 * an error. Errors: besides the common ones, P above TARN_HESSIAN_MAX, max_steps below 0, a gradient or Hessian at a
 * point on the way that is not finite. */
TARN_API tarn_tensor *tarn_critical_search_new(const tarn_objective *f, int64_t max_steps, double *gradient_norm);

/* The way down from a saddle, and from where the gradient leads nowhere: f64 [P], the caller's, the unit eigenvector
 * of the smallest eigenvalue, for P of any size, with the sign for which the loss does not rise at first (g.v <= 0; if
 * that is 0, its largest element is positive). *curvature (may be NULL) becomes that eigenvalue. Where there is none
 * below -1e-6 * max |lambda| (1e-4 in an f32 store): NULL without an error. If max_steps comes first, it is a
 * direction of negative curvature all the same, if not the most negative. Errors as tarn_hessian_extremes()'s; then
 * *curvature is NaN. */
TARN_API tarn_tensor *tarn_escape_direction_new(const tarn_objective *f, const tarn_lanczos_opts *opts,
                                                double *curvature);

#ifdef __cplusplus
}
#endif
#endif
