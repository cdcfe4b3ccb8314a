/* autograd/objective_impl.h (internal): what the functions of an objective share. Each begins with
 * tarn__objective_begin() and ends, if that succeeded, with tarn__objective_end(). */
#ifndef TARN__OBJECTIVE_IMPL_H
#define TARN__OBJECTIVE_IMPL_H

#include "autograd/objective.h"

typedef struct tarn__evaluation {
    const char *who; /* how messages begin */
    const tarn_objective *f;
    int64_t numel; /* P */
    int count;     /* of the trained parameters */
    tarn_tensor **params, **grads;
    void *snapshot;
    bool training, grad; /* how the tape was */
} tarn__evaluation;

bool tarn__objective_begin(tarn__evaluation *e, const char *who, const tarn_objective *f);

/* The store and the tape as they were, the tape without nodes. */
void tarn__objective_end(tarn__evaluation *e);

/* The loss at the store's parameters and the buffers of the beginning, alone on the tape, not computed yet. Without
 * gradient, values go as soon as they have been read. NULL with an error. */
tarn_tensor *tarn__objective_record(tarn__evaluation *e, bool with_grad);

/* Appends the gradients of y (one element), one for each parameter, into e->grads. */
bool tarn__objective_record_grads(tarn__evaluation *e, tarn_tensor *y);

/* The elements of n tensors, which are computed first, one after the other into vector. */
bool tarn__gather_parts(int n, tarn_tensor *const *parts, double *vector);

/* The gradient at the store's parameters into gradient, [P], and the loss there. */
bool tarn__objective_gradient(tarn__evaluation *e, double *gradient, double *value);

/* Is x, which messages call `what`, a vector f64 [numel]? If not, an error that begins with `who`. */
bool tarn__is_point(const char *who, const char *what, const tarn_tensor *x, int64_t numel);

/* The elements of such a vector; NULL with an error when it is none. */
const double *tarn__vector_of(const char *who, const char *what, tarn_tensor *x, int64_t numel);

#endif
