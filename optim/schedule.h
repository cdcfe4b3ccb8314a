/* optim/schedule.h: learning rates as functions of the step, for tarn_optim_set_lr().
 *
 *     tarn_optim_set_lr(adam, tarn_lr_cosine(1e-3, tarn_optim_steps(adam), 10000, 1e-5));
 *
 * They keep nothing: a run that resumes at step n goes on as if it had never stopped. Steps count from 0. An argument
 * out of range gives NaN with an error, and so does a rate that is not finite, as factor^step may be. Rates are finite and
 * 0 or more. */
#ifndef TARN_SCHEDULE_H
#define TARN_SCHEDULE_H

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* base * factor^floor(step/every): multiplied by `factor` (0 or more) every `every` (1 or more) steps. */
TARN_API double tarn_lr_step_decay(double base, int64_t step, int64_t every, double factor);

/* base * factor^step, factor 0 or more. */
TARN_API double tarn_lr_exponential(double base, int64_t step, double factor);

/* floor + (base - floor) * (1 + cos(pi*step/total)) / 2, and `floor` from step `total` (1 or more) on: one period of
 * SGDR (Loshchilov & Hutter 2017, 1608.03983, equation 5). For warm restarts pass step % total. */
TARN_API double tarn_lr_cosine(double base, int64_t step, int64_t total, double floor);

/* A factor for any of the others: (step+1)/warmup, and 1 from step warmup-1 on (Goyal et al. 2017, 1706.02677,
 * section 2.2). It is never 0, so that the first step counts. warmup 0: always 1. */
TARN_API double tarn_lr_warmup(int64_t step, int64_t warmup);

/* base * tarn_lr_warmup(step, warmup) in the first `warmup` steps, then tarn_lr_cosine over the total - warmup that
 * are left; 0 <= warmup < total. */
TARN_API double tarn_lr_warmup_cosine(double base, int64_t step, int64_t warmup, int64_t total, double floor);

/* base / sqrt(step + 1): the decay under which stochastic gradient descent converges on convex functions (Zinkevich
 * 2003). */
TARN_API double tarn_lr_inverse_sqrt(double base, int64_t step);

/* base / (1 + rate*step), rate 0 or more: the decay of Robbins & Monro (1951). */
TARN_API double tarn_lr_inverse(double base, int64_t step, double rate);

/* In all of them 0 means the default. */
typedef struct tarn_one_cycle_opts {
    double div_factor;       /* the first rate is peak/div_factor; above 0; 0 means 25 */
    double final_div_factor; /* the last is peak/div_factor/final_div_factor; above 0; 0 means 1e4 */
    double pct_start;        /* the part of the steps in which the rate rises; in (0,1]; 0 means 0.3 */
} tarn_one_cycle_opts;

/* One cycle (Smith & Topin 2019, 1708.07120): from peak/div_factor up to `peak` at step pct_start*total - 1, and down
 * to the last rate at step total-1 and for ever after, each way along half a cosine, as torch's OneCycleLR does it.
 * A rise of no more than one step is left out. total is 1 or more. NULL opts: the defaults. */
TARN_API double tarn_lr_one_cycle(double peak, int64_t step, int64_t total, const tarn_one_cycle_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
