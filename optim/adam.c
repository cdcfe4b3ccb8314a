#include "optim/optim_impl.h"

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

static tarn_optim *adam_new(const char *who, tarn_params *params, const tarn_adam_opts *opts,
                            const tarn__optim_rule *rule, double default_decay)
{
    tarn_adam_opts chosen = opts ? *opts : (tarn_adam_opts){0};
    if (chosen.lr == 0)
        chosen.lr = 1e-3;
    if (chosen.beta1 == 0)
        chosen.beta1 = 0.9;
    if (chosen.beta2 == 0)
        chosen.beta2 = 0.999;
    if (chosen.eps == 0)
        chosen.eps = 1e-8;
    if (chosen.weight_decay == 0)
        chosen.weight_decay = default_decay;
    if (!tarn__optim_option(who, "lr", chosen.lr) || !tarn__optim_past(who, "beta1", chosen.beta1) ||
        !tarn__optim_past(who, "beta2", chosen.beta2) || !tarn__optim_option(who, "eps", chosen.eps) ||
        !tarn__optim_option(who, "weight_decay", chosen.weight_decay))
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
