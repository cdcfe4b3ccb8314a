/* tests/optim_reference.h: what the optimisers compute, as scalar loops over doubles that are written from the
 * formulae: the weight after the steps from..to-1. */
#ifndef TARN_TESTS_OPTIM_REFERENCE_H
#define TARN_TESTS_OPTIM_REFERENCE_H

#include "tests/optim_cases.h"

static inline double or_default(double value, double standard)
{
    return value == 0 ? standard : value;
}

static inline double reference_sgd(const tarn_sgd_opts *o, double w, int param, int64_t i, int from, int to)
{
    double velocity = 0, lr = or_default(o->lr, 0.01);
    for (int step = from; step < to; step++) {
        double g = gradient(step, param, i) + o->weight_decay * w;
        if (step == from)
            velocity = g;
        else
            velocity = o->momentum * velocity + (1 - o->dampening) * g;
        if (o->momentum == 0)
            w = w - lr * g;
        else if (o->nesterov)
            w = w - lr * (g + o->momentum * velocity);
        else
            w = w - lr * velocity;
    }
    return w;
}

static inline double reference_adam(const tarn_adam_opts *o, bool decoupled, double w, int param, int64_t i, int from,
                                    int to)
{
    double m = 0, v = 0, lr = or_default(o->lr, 1e-3), eps = or_default(o->eps, 1e-8);
    double b1 = or_default(o->beta1, 0.9), b2 = or_default(o->beta2, 0.999), b1t = 1, b2t = 1;
    double decay = or_default(o->weight_decay, decoupled ? 0.01 : 0);
    for (int step = from; step < to; step++) {
        double g = gradient(step, param, i);
        if (decoupled)
            w -= lr * decay * w;
        else
            g += decay * w;
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        b1t *= b1;
        b2t *= b2;
        w -= lr * (m / (1 - b1t)) / (sqrt(v / (1 - b2t)) + eps);
    }
    return w;
}

static inline double reference_adagrad(const tarn_adagrad_opts *o, double w, int param, int64_t i, int from, int to)
{
    double sum = o->initial_accumulator, lr = or_default(o->lr, 1e-2), eps = or_default(o->eps, 1e-10);
    for (int step = from; step < to; step++) {
        double g = gradient(step, param, i) + o->weight_decay * w, before = step - from;
        sum += g * g;
        double sigma = sqrt(o->mean ? sum / (before + 1) : sum);
        w -= lr / (1 + before * o->lr_decay) * g / (sigma + eps);
    }
    return w;
}

static inline double reference_rmsprop(const tarn_rmsprop_opts *o, double w, int param, int64_t i, int from, int to)
{
    double v = 0, m = 0, velocity = 0, lr = or_default(o->lr, 1e-2), eps = or_default(o->eps, 1e-8);
    double alpha = or_default(o->alpha, 0.99);
    for (int step = from; step < to; step++) {
        double g = gradient(step, param, i) + o->weight_decay * w;
        v = alpha * v + (1 - alpha) * g * g;
        m = alpha * m + (1 - alpha) * g;
        velocity = o->momentum * velocity + g / (sqrt(o->centered ? v - m * m : v) + eps);
        w -= lr * velocity;
    }
    return w;
}

static inline double reference_radam(const tarn_adam_opts *o, double w, int param, int64_t i, int from, int to)
{
    double m = 0, v = 0, lr = or_default(o->lr, 1e-3), eps = or_default(o->eps, 1e-8);
    double b1 = or_default(o->beta1, 0.9), b2 = or_default(o->beta2, 0.999), b1t = 1, b2t = 1;
    double rho_inf = 2 / (1 - b2) - 1;
    for (int step = from; step < to; step++) {
        double g = gradient(step, param, i) + o->weight_decay * w;
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        b1t *= b1;
        b2t *= b2;
        double rho = rho_inf - 2 * (step - from + 1) * b2t / (1 - b2t), factor = 1;
        if (rho > 5)
            factor = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) * sqrt(1 - b2t) /
                     (sqrt(v) + eps);
        w -= lr * m / (1 - b1t) * factor;
    }
    return w;
}

static inline double reference_nadam(const tarn_nadam_opts *o, double w, int param, int64_t i, int from, int to)
{
    double m = 0, v = 0, lr = or_default(o->lr, 2e-3), eps = or_default(o->eps, 1e-8);
    double b1 = or_default(o->beta1, 0.9), b2 = or_default(o->beta2, 0.999), b2t = 1;
    double psi = or_default(o->momentum_decay, 4e-3), product = 1;
    for (int step = from; step < to; step++) {
        double g = gradient(step, param, i) + o->weight_decay * w, t = step - from + 1;
        double mu = b1 * (1 - 0.5 * pow(0.96, t * psi)), next = b1 * (1 - 0.5 * pow(0.96, (t + 1) * psi));
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        b2t *= b2;
        product *= mu;
        double direction = next * m / (1 - product * next) + (1 - mu) * g / (1 - product);
        w -= lr * direction / (sqrt(v / (1 - b2t)) + eps);
    }
    return w;
}

/* The weight after the steps from..to-1. */
static inline double reference(const rule *r, int param, int64_t i, int from, int to)
{
    double w = first_weight(param, i);
    switch (r->kind) {
    case SGD:
        return reference_sgd(&r->sgd, w, param, i, from, to);
    case ADAM:
    case ADAMW:
        return reference_adam(&r->adam, r->kind == ADAMW, w, param, i, from, to);
    case ADAGRAD:
        return reference_adagrad(&r->adagrad, w, param, i, from, to);
    case RMSPROP:
        return reference_rmsprop(&r->rmsprop, w, param, i, from, to);
    case RADAM:
        return reference_radam(&r->adam, w, param, i, from, to);
    case NADAM:
        return reference_nadam(&r->nadam, w, param, i, from, to);
    }
    return NAN;
}

#endif
