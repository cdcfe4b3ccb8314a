/* optim/optim_impl.h (internal): what an optimiser is made of.
 *
 * To add one: a loop in tensor/kernels/step.inc, and a file with a tarn__optim_rule and a public function that checks
 * its options and calls tarn__optim_new(). */
#ifndef TARN__OPTIM_IMPL_H
#define TARN__OPTIM_IMPL_H

#include "optim/optimizer.h"
#include "tensor/kernels/kernels.h"

enum { TARN__MAX_MOMENTS = 3 };

typedef struct tarn__optim_rule {
    const char *name; /* the state's buffers are called name.moment.parameter */
    int n_moments;
    const char *moment[TARN__MAX_MOMENTS];

    /* Step t (from 1) of n weights, by the loops of their dtype. The moments start as zeros. */
    void (*step)(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                 const void *grad, void *const *moment);
} tarn__optim_rule;

/* An optimiser with a copy of the settings. Messages start with `who`. */
tarn_optim *tarn__optim_new(const char *who, tarn_params *params, const tarn__optim_rule *rule, double lr,
                            const void *settings, size_t settings_size);

/* Fills moment k of every parameter, where zeros are no beginning. False when o is NULL. */
bool tarn__optim_start(tarn_optim *o, int k, double value);

#endif
