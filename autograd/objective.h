/* autograd/objective.h: a loss as a function of the parameters in a store, to be looked at from outside: its value, its
 * gradient, its curvature (autograd/curvature.h), the surface around it (autograd/surface.h).
 *
 *     static tarn_tensor *loss_of(tarn_tape *t, void *context)
 *     {
 *         const struct problem *p = context;
 *         return tarn_cross_entropy(t, net_forward(t, &p->net, p->images), p->labels);
 *     }
 *     const tarn_objective f = {loss_of, &problem, problem.params, t};
 *     double value = tarn_objective_value(&f);
 *
 * A point is a vector: the parameters one after the other, f64 [P], P = tarn_params_numel(params), as
 * tarn_params_vector_new() gives them. */
#ifndef TARN_OBJECTIVE_H
#define TARN_OBJECTIVE_H

#include "autograd/tape.h"
#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_objective {
    /* Records the loss on t and returns it: one element, f32 or f64. It is called once for every evaluation, and must
     * give the same value for the same parameters: dropout's random state has to be set anew. What it reads besides the
     * parameters must not lie on t. */
    tarn_tensor *(*loss)(tarn_tape *t, void *context);
    void *context;
    tarn_params *params; /* with a trained element at least */
    tarn_tape *tape; /* with nothing on it, before each call and after it; in training or evaluation, as it was set */
} tarn_objective;

/* Every function that takes an objective leaves the store as it found it, the gradients, and the running statistics
 * that a loss in training moves, included. Meanwhile the store may hold other points: no other thread may use it.
 * Values that another tape has yet to compute from the store may no longer be computable. Errors, besides each
 * function's own: f, its loss, params or tape NULL, a tape on which something lies, a loss function that returns NULL
 * or more than one element, a store without trained elements, no memory. */

/* The loss at the store's parameters; NaN with an error. */
TARN_API double tarn_objective_value(const tarn_objective *f);

/* The gradient there, f64 [P], the caller's; zeros for what the loss does not depend on. `value` may be NULL. */
TARN_API tarn_tensor *tarn_objective_gradient_new(const tarn_objective *f, double *value);

#ifdef __cplusplus
}
#endif
#endif
