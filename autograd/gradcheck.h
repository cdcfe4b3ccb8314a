/* autograd/gradcheck.h: are the gradients right? */
#ifndef TARN_GRADCHECK_H
#define TARN_GRADCHECK_H

#include "autograd/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A function to check: an expression over the inputs, recorded on t; any shape. It must be a function of its inputs alone:
 * the same values each time it is called with the same ones. */
typedef tarn_tensor *tarn_gradcheck_fn(tarn_tape *t, tarn_tensor *const *inputs, void *context);

typedef struct tarn_gradcheck_opts {
    int order;     /* 1: gradients; 2: also gradients of gradients. 0 means 1 */
    double step;   /* of the finite differences, relative to max(1, |x|); 0 means 1e-3 */
    double rtol;   /* |analytic - numeric| <= atol + rtol * |numeric|; 0 means 1e-6 */
    double atol;   /* 0 means 1e-8 */
    uint64_t seed; /* of the random cotangents */
    bool evaluation; /* the tape is in evaluation, not in training */
} tarn_gradcheck_opts;

/* Where analytic and numeric gradient differ most, measured against the tolerance. */
typedef struct tarn_gradcheck_report {
    bool ok;
    int order;       /* 1 or 2: which derivative */
    int input;       /* which input; of order 2, the cotangent of the first derivative is input n_inputs */
    int64_t element; /* its row-major position in that input */
    double analytic, numeric;
    double excess; /* |analytic - numeric| / (atol + rtol*|numeric|): at most 1 when ok */
} tarn_gradcheck_report;

/* Compares the gradient of sum(f(inputs) * c), c random and signed, with finite differences, for every element of every
 * f64 input (others are held constant). The difference is (8 d(h) - d(2h)) / 6 with d(h) = (f(x+h) - f(x-h)) / 2h ... see
 * gradcheck.c; its error is of order h^4. Order 2 does the same to the gradient itself.
 *
 * The inputs are leaves of the caller's, and have their values again when it returns. Returns true when all agree. A
 * disagreement is also an error that says which input, element, and values; `report` (may be NULL) says it in numbers. */
TARN_API bool tarn_gradcheck(tarn_gradcheck_fn *f, void *context, int n_inputs, tarn_tensor *const *inputs,
                             const tarn_gradcheck_opts *opts, tarn_gradcheck_report *report);

/* An f64 leaf (the caller's) of values in [low, high), at least `margin` away from each of the kinks, and from each other
 * when `distinct`: for functions such as relu, clamp or max whose derivative jumps there. An error when the range has no
 * room for that. */
TARN_API tarn_tensor *tarn_gradcheck_sample_new(tarn_rng *rng, int ndim, const int64_t *shape, double low, double high,
                                                int n_kinks, const double *kinks, double margin, bool distinct);

#ifdef __cplusplus
}
#endif
#endif
