/* optim/optimizer.h: optimisers, which move the parameters of a store along their gradients.
 *
 *     tarn_optim *adam = tarn_adam_new(params, NULL);
 *     ...
 *     tarn_backward(t, loss);
 *     tarn_optim_step(adam);
 *
 * In the formulae w is a parameter, g its gradient, and t counts that parameter's own steps from 1. The updates agree
 * with those of torch.optim. */
#ifndef TARN_OPTIMIZER_H
#define TARN_OPTIMIZER_H

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_optim tarn_optim;

/* An optimiser of all parameters that are in the store now, which must outlive it and must get no further parameters
 * (buffers it may). Everything that a step needs is allocated here. The caller frees it with tarn_optim_free(). In
 * the options 0 means the default, and NULL every default. NULL with an error for a store without parameters, options
 * out of range, parameter names that leave no room for the state's prefix, or no memory. */

typedef struct tarn_sgd_opts {
    double lr;           /* 0 means 1e-2 */
    double momentum;     /* 0 or more; 0: none */
    double dampening;    /* any finite number */
    bool nesterov;       /* needs momentum > 0 and dampening 0 */
    double weight_decay; /* 0 or more */
} tarn_sgd_opts;

/* Stochastic gradient descent, with heavy-ball (Polyak 1964) or Nesterov momentum in the form of Sutskever, Martens,
 * Dahl & Hinton (ICML 2013), the learning rate outside the velocity u:
 *   g = g + weight_decay*w;   u = momentum*u + (1-dampening)*g   (u = g at t = 1);
 *   w = w - lr*u,   with nesterov  w = w - lr*(g + momentum*u),   without momentum  w = w - lr*g. */
TARN_API tarn_optim *tarn_sgd_new(tarn_params *params, const tarn_sgd_opts *opts);

typedef struct tarn_adam_opts {
    double lr;           /* 0 means 1e-3 */
    double beta1;        /* in [0,1); 0 means 0.9 (for no averaging: 1e-30) */
    double beta2;        /* in [0,1); 0 means 0.999 */
    double eps;          /* 0 or more; 0 means 1e-8 */
    double weight_decay; /* 0 or more; of tarn_adamw_new, 0 means 0.01 */
} tarn_adam_opts;

/* Adam (Kingma & Ba 2015, 1412.6980, algorithm 1):
 *   g = g + weight_decay*w;   m = beta1*m + (1-beta1)*g;   v = beta2*v + (1-beta2)*g^2;
 *   w = w - lr * m/(1-beta1^t) / (sqrt(v/(1-beta2^t)) + eps). */
TARN_API tarn_optim *tarn_adam_new(tarn_params *params, const tarn_adam_opts *opts);

/* AdamW (Loshchilov & Hutter 2019, 1711.05101): Adam whose weight decay bypasses the moments: w = w -
 * lr*weight_decay*w comes first, and g is left as it is. For no decay at all use tarn_adam_new(). */
TARN_API tarn_optim *tarn_adamw_new(tarn_params *params, const tarn_adam_opts *opts);

/* RAdam (Liu, Jiang, He, Chen, Liu, Gao & Han 2020, 1908.03265, algorithm 2), with torch's place for eps: m and v as in
 * Adam (weight_decay is added to the gradient), R = 2/(1-beta2) - 1, r = R - 2*t*beta2^t/(1-beta2^t), and
 *   r > 5:  w = w - lr * m/(1-beta1^t) * sqrt((r-4)*(r-2)*R / ((R-4)*(R-2)*r)) * sqrt(1-beta2^t) / (sqrt(v) + eps);
 *   else    w = w - lr * m/(1-beta1^t).
 * So the first steps, in which v has seen too little, do without it: with beta2 = 0.999 five of them. Under Adam's
 * defaults it is as if the rate warmed up. The paper asks for r > 4. */
TARN_API tarn_optim *tarn_radam_new(tarn_params *params, const tarn_adam_opts *opts);

typedef struct tarn_nadam_opts {
    double lr;             /* 0 means 2e-3 */
    double beta1;          /* in [0,1); 0 means 0.9 (for no averaging: 1e-30) */
    double beta2;          /* in [0,1); 0 means 0.999 */
    double eps;            /* 0 or more; 0 means 1e-8 */
    double weight_decay;   /* 0 or more */
    double momentum_decay; /* 0 or more; 0 means 4e-3 (for none: 1e-30) */
} tarn_nadam_opts;

/* NAdam (Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016), with the momenta of its section 2.2 and
 * torch's: m and v as in Adam (weight_decay is added to the gradient), mu(t) = beta1*(1 - 0.5*0.96^(t*momentum_decay)),
 * P(t) = mu(1)*...*mu(t), and
 *   w = w - lr * (mu(t+1)*m/(1-P(t+1)) + (1-mu(t))*g/(1-P(t))) / (sqrt(v/(1-beta2^t)) + eps).
 * This is torch 2's; the default loop of 1.13 has a factor mu(t) too many in P(t+1). P(t) is computed from t: the state
 * does not hold it. */
TARN_API tarn_optim *tarn_nadam_new(tarn_params *params, const tarn_nadam_opts *opts);

typedef struct tarn_adagrad_opts {
    double lr;                  /* 0 means 1e-2 */
    double lr_decay;            /* 0 or more */
    double eps;                 /* 0 or more; 0 means 1e-10 */
    double weight_decay;        /* 0 or more */
    double initial_accumulator; /* 0 or more */
    bool mean;                  /* divides by the root of the mean square, not of the sum */
} tarn_adagrad_opts;

/* Adagrad (Duchi, Hazan & Singer, JMLR 12, 2011, figure 1 with diagonal matrices), s starting at initial_accumulator:
 *   g = g + weight_decay*w;   s = s + g^2;   w = w - lr/(1 + lr_decay*(t-1)) * g / (sqrt(s) + eps).
 * With `mean` sqrt(s/t) stands for sqrt(s): sigma is the root mean square of all gradients so far, and with a constant
 * gradient every step is lr, where without it the steps shrink as 1/sqrt(t). torch has no `mean`; it is the same as
 * a learning rate of lr*sqrt(t) without, but for eps. */
TARN_API tarn_optim *tarn_adagrad_new(tarn_params *params, const tarn_adagrad_opts *opts);

typedef struct tarn_rmsprop_opts {
    double lr;           /* 0 means 1e-2 */
    double alpha;        /* in [0,1); 0 means 0.99 (for no averaging: 1e-30) */
    double eps;          /* 0 or more; 0 means 1e-8 */
    double weight_decay; /* 0 or more */
    double momentum;     /* 0 or more; 0: none */
    bool centered;       /* divides by the standard deviation, not by the root mean square */
} tarn_rmsprop_opts;

/* RMSProp (Tieleman & Hinton 2012, Neural Networks for Machine Learning, lecture 6e; centred: Graves 2013, 1308.0850,
 * equations 38 to 41, with eps outside the root):
 *   g = g + weight_decay*w;   v = alpha*v + (1-alpha)*g^2;   d = g / (sqrt(v) + eps);   w = w - lr*d,
 *   with momentum  u = momentum*u + d;  w = w - lr*u.
 * Centred, m = alpha*m + (1-alpha)*g, and max(v - m^2, 0) stands for v in d. Under a gradient that hardly changes
 * v - m^2 goes to 0, and the steps grow up to lr*g/eps. */
TARN_API tarn_optim *tarn_rmsprop_new(tarn_params *params, const tarn_rmsprop_opts *opts);

/* NULL is fine. The store and its parameters stay. */
TARN_API void tarn_optim_free(tarn_optim *o);

/* One step of every parameter whose gradient has been filled; these gradients are then zero and not filled. A
 * parameter without a filled gradient is left alone, its state and its t too. False, and nothing has changed, when an
 * error is pending, when the store has got a parameter since the optimiser was made, or when a count in the state is
 * not one. A gradient that is not finite makes weights that are not: see tarn_clip_grad_norm() for a look at it
 * first. */
TARN_API bool tarn_optim_step(tarn_optim *o);

/* The learning rate for the next steps: finite, 0 or more. The state does not hold it. */
TARN_API bool tarn_optim_set_lr(tarn_optim *o, double lr);

/* Of NULL: 0. */
TARN_API double tarn_optim_lr(const tarn_optim *o);

/* How many times tarn_optim_step() has succeeded, those before the state was saved and loaded included: what a
 * schedule asks for. Exact up to 2^44. Of NULL: 0. */
TARN_API int64_t tarn_optim_steps(const tarn_optim *o);

/* What the optimiser remembers from step to step, as a store of buffers that can be saved and loaded like any other,
 * and belongs to the optimiser. For each parameter, of its shape:
 *   "adam.m.NAME" and "adam.v.NAME", and so with "adamw", "radam" and "nadam";
 *   "sgd.velocity.NAME" with momentum;  "adagrad.sum.NAME";
 *   "rmsprop.v.NAME", "rmsprop.m.NAME" if centred, and "rmsprop.velocity.NAME" with momentum;
 * and the counts "adam.steps" (or the other's name) [1 + parameters, 2]: row 0 counts the optimiser's steps, row i+1
 * those of the i-th parameter, as high*2^20 + low, so that f32 holds them exactly. NULL of NULL. */
TARN_API tarn_params *tarn_optim_state(const tarn_optim *o);

#ifdef __cplusplus
}
#endif
#endif
