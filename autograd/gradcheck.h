/* autograd/gradcheck.h: are the gradients right? */
#ifndef TARN_GRADCHECK_H
#define TARN_GRADCHECK_H

#include "autograd/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A function to check: records an f64 expression of any shape over the inputs on t, and returns it. It must
 * be a function of its inputs alone: the same values and shape each time it is called with the same ones. */
typedef tarn_tensor *tarn_gradcheck_fn(tarn_tape *t, tarn_tensor *const *inputs, void *context);

typedef struct tarn_gradcheck_opts {
    int order;       /* 1: gradients; 2: also gradients of gradients. 0 means 1 */
    double step;     /* h of the finite differences, relative to max(1, |x|); 0 means 1e-3 */
    double rtol;     /* |analytic - numeric| <= atol + rtol * |numeric|; 0 means 1e-6 */
    double atol;     /* 0 means 1e-8 */
    uint64_t seed;   /* of the random cotangents */
    bool evaluation; /* the tape is in evaluation, not in training */
} tarn_gradcheck_opts;

/* Where analytic and numeric derivative differ most, measured against the tolerance. */
typedef struct tarn_gradcheck_report {
    bool ok;
    int order;       /* 1 or 2: which derivative; 0: nothing was compared */
    int input;       /* which input; of order 2, the cotangent of the first derivative is input n_inputs */
    int64_t element; /* its row-major position in that input */
    double analytic, numeric;
    double excess; /* |analytic - numeric| / (atol + rtol * |numeric|): at most 1 when ok */
} tarn_gradcheck_report;

/* Compares derivatives from the tape with finite differences, signed, one element of one f64 input at a time
 * (inputs of another dtype are held constant).
 *
 * Order 1 differentiates F1 = sum(f(inputs) * c), c random of both signs. Order 2 does the same to the
 * gradient itself: it differentiates F2 = sum over j of sum(dF1/dx_j * v_j), v_j random, with respect to the
 * inputs and to c, and so also checks how the gradient rules treat their own cotangent. The numeric
 * derivative is the central difference of fourth order, (8 (F(x+h) - F(x-h)) - (F(x+2h) - F(x-2h))) / 12h
 * (Abramowitz & Stegun 25.3.6): with h = 1e-3 its truncation and rounding are both near 1e-12 for functions
 * of moderate size. f must be smooth within 2h of the inputs.
 *
 * The inputs are leaves of the caller's or parameters; they have their values again when it returns, whatever
 * happens. True when all agree. A disagreement is an error that says which derivative, input, index and
 * values; `report` (may be NULL) says it in numbers. Order 2 is not looked at when order 1 disagrees. Other
 * errors: a NULL, an input on a tape, no f64 input, f failing or giving another dtype, or other values for
 * the same inputs, an option out of range, no memory. */
TARN_API bool tarn_gradcheck(tarn_gradcheck_fn *f, void *context, int n_inputs, tarn_tensor *const *inputs,
                             const tarn_gradcheck_opts *opts, tarn_gradcheck_report *report);

/* An f64 leaf (the caller's) of random values in [low, high), at least `margin` away from each of the kinks,
 * and from each other when `distinct`: for functions such as relu, clamp or max, whose derivative jumps
 * there. kinks may be NULL when n_kinks is 0. NULL with an error when the range has no room for that, on a
 * bad range or margin, or no memory. */
TARN_API tarn_tensor *tarn_gradcheck_sample_new(tarn_rng *rng, int ndim, const int64_t *shape, double low, double high,
                                                int n_kinks, const double *kinks, double margin, bool distinct);

#ifdef __cplusplus
}
#endif
#endif
