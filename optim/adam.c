#include "optim/optim_impl.h"
#include "tensor/range.h"

#include <math.h>

static void step_of(const tarn__loops *loops, const tarn_adam_opts *opts, tarn__adam_step step, int64_t t, size_t n,
                    void *weight, const void *grad, void *const *moment)
{
    step.beta1 = opts->beta1;
    step.beta2 = opts->beta2;
    step.eps = opts->eps;
    step.correction1 = 1 - pow(opts->beta1, (double)t);
    step.correction2 = 1 - pow(opts->beta2, (double)t);
    loops->adam(n, &step, weight, grad, moment[0], moment[1]);
}

static void adam_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                      const void *grad, void *const *moment)
{
    const tarn_adam_opts *opts = settings;
    step_of(loops, opts, (tarn__adam_step){.lr = lr, .l2 = opts->weight_decay}, t, n, weight, grad, moment);
}

static void adamw_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                       const void *grad, void *const *moment)
{
    const tarn_adam_opts *opts = settings;
    step_of(loops, opts, (tarn__adam_step){.lr = lr, .decay = opts->weight_decay}, t, n, weight, grad, moment);
}

static const tarn__optim_rule adam_rule = {.name = "adam", .n_moments = 2, .moment = {"m", "v"}, .step = adam_step};
static const tarn__optim_rule adamw_rule = {.name = "adamw", .n_moments = 2, .moment = {"m", "v"}, .step = adamw_step};

/* The options with their defaults in place. */
static bool choose(const char *who, const tarn_adam_opts *opts, double default_lr, double default_decay,
                   tarn_adam_opts *chosen)
{
    *chosen = opts ? *opts : (tarn_adam_opts){0};
    if (chosen->lr == 0)
        chosen->lr = default_lr;
    if (chosen->beta1 == 0)
        chosen->beta1 = 0.9;
    if (chosen->beta2 == 0)
        chosen->beta2 = 0.999;
    if (chosen->eps == 0)
        chosen->eps = 1e-8;
    if (chosen->weight_decay == 0)
        chosen->weight_decay = default_decay;
    return tarn__is_in(who, "lr", chosen->lr, TARN__NOT_NEGATIVE) &&
           tarn__is_in(who, "beta1", chosen->beta1, '[', 0, 1, ')') &&
           tarn__is_in(who, "beta2", chosen->beta2, '[', 0, 1, ')') &&
           tarn__is_in(who, "eps", chosen->eps, TARN__NOT_NEGATIVE) &&
           tarn__is_in(who, "weight_decay", chosen->weight_decay, TARN__NOT_NEGATIVE);
}

static tarn_optim *adam_new(const char *who, tarn_params *params, const tarn_adam_opts *opts,
                            const tarn__optim_rule *rule, double default_decay)
{
    tarn_adam_opts chosen;
    if (!choose(who, opts, 1e-3, default_decay, &chosen))
        return NULL;
    return tarn__optim_new(who, params, rule, chosen.lr, &chosen, sizeof chosen);
}

tarn_optim *tarn_adam_new(tarn_params *params, const tarn_adam_opts *opts)
{
    return adam_new("tarn_adam_new", params, opts, &adam_rule, 0);
}

tarn_optim *tarn_adamw_new(tarn_params *params, const tarn_adam_opts *opts)
{
    return adam_new("tarn_adamw_new", params, opts, &adamw_rule, 0.01);
}

/* ---- RAdam ---- */

static void radam_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                       const void *grad, void *const *moment)
{
    const tarn_adam_opts *opts = settings;
    const double power = pow(opts->beta2, (double)t), correction1 = 1 - pow(opts->beta1, (double)t);
    const double most = 2 / (1 - opts->beta2) - 1, length = most - 2 * (double)t * power / (1 - power);
    tarn__radam_step step = {
        .rate = lr / correction1,
        .beta1 = opts->beta1,
        .beta2 = opts->beta2,
        .eps = opts->eps,
        .l2 = opts->weight_decay,
        .rectified = length > 5,
    };
    if (step.rectified)
        step.rate *= sqrt((1 - power) * (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length));
    loops->radam(n, &step, weight, grad, moment[0], moment[1]);
}

static const tarn__optim_rule radam_rule = {.name = "radam", .n_moments = 2, .moment = {"m", "v"}, .step = radam_step};

tarn_optim *tarn_radam_new(tarn_params *params, const tarn_adam_opts *opts)
{
    return adam_new("tarn_radam_new", params, opts, &radam_rule, 0);
}

/* ---- NAdam ---- */

static double mu(const tarn_nadam_opts *opts, double t)
{
    return opts->beta1 * (1 - 0.5 * pow(0.96, t * opts->momentum_decay));
}

/* mu(1) * ... * mu(t), in a time that does not grow with t, so that nothing but t has to be kept: with q =
 * 0.96^momentum_decay the logarithm is t*log(beta1) + the sum of log(1 - q^i/2); expanded in powers of q^i/2 it is a
 * sum of geometric series, of which each is less than half of the one before. */
static double mu_product(const tarn_nadam_opts *opts, double t)
{
    const double log_q = opts->momentum_decay * log(0.96), power = pow(opts->beta1, t);
    if (power < 0x1p-60) /* 1 minus the product is 1 */
        return 0;
    double sum = 0, half = 1;
    for (int k = 1; k <= 56; k++) {
        half /= 2;
        const double terms = log_q == 0 ? t : expm1(k * t * log_q) / expm1(k * log_q);
        sum += half / k * exp(k * log_q) * terms;
    }
    return power * exp(-sum);
}

static void nadam_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                       const void *grad, void *const *moment)
{
    const tarn_nadam_opts *opts = settings;
    const double now = mu(opts, (double)t), next = mu(opts, (double)t + 1), product = mu_product(opts, (double)t);
    tarn__nadam_step step = {
        .grad_rate = lr * (1 - now) / (1 - product),
        .mean_rate = lr * next / (1 - product * next),
        .beta1 = opts->beta1,
        .beta2 = opts->beta2,
        .eps = opts->eps,
        .l2 = opts->weight_decay,
        .correction2 = 1 - pow(opts->beta2, (double)t),
    };
    loops->nadam(n, &step, weight, grad, moment[0], moment[1]);
}

static const tarn__optim_rule nadam_rule = {.name = "nadam", .n_moments = 2, .moment = {"m", "v"}, .step = nadam_step};

tarn_optim *tarn_nadam_new(tarn_params *params, const tarn_nadam_opts *opts)
{
    static const char who[] = "tarn_nadam_new";
    const tarn_nadam_opts asked = opts ? *opts : (tarn_nadam_opts){0};
    tarn_adam_opts adam = {asked.lr, asked.beta1, asked.beta2, asked.eps, asked.weight_decay};
    if (!choose(who, &adam, 2e-3, 0, &adam))
        return NULL;
    const double decay = asked.momentum_decay == 0 ? 4e-3 : asked.momentum_decay;
    if (!tarn__is_in(who, "momentum_decay", decay, TARN__NOT_NEGATIVE))
        return NULL;
    tarn_nadam_opts chosen = {adam.lr, adam.beta1, adam.beta2, adam.eps, adam.weight_decay, decay};
    return tarn__optim_new(who, params, &nadam_rule, chosen.lr, &chosen, sizeof chosen);
}
