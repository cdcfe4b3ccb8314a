#include "optim/optim_impl.h"
#include "tensor/range.h"

#include <math.h>

static void adagrad_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                         const void *grad, void *const *moment)
{
    const tarn_adagrad_opts *opts = settings;
    tarn__adagrad_step step = {
        .lr = lr / (1 + opts->lr_decay * (double)(t - 1)),
        .eps = opts->eps,
        .l2 = opts->weight_decay,
        .scale = opts->mean ? 1 / sqrt((double)t) : 1,
    };
    loops->adagrad(n, &step, weight, grad, moment[0]);
}

static const tarn__optim_rule rule = {.name = "adagrad", .n_moments = 1, .moment = {"sum"}, .step = adagrad_step};

tarn_optim *tarn_adagrad_new(tarn_params *params, const tarn_adagrad_opts *opts)
{
    static const char who[] = "tarn_adagrad_new";
    tarn_adagrad_opts chosen = opts ? *opts : (tarn_adagrad_opts){0};
    if (chosen.lr == 0)
        chosen.lr = 1e-2;
    if (chosen.eps == 0)
        chosen.eps = 1e-10;
    if (!tarn__is_in(who, "lr", chosen.lr, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "lr_decay", chosen.lr_decay, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "eps", chosen.eps, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "weight_decay", chosen.weight_decay, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "initial_accumulator", chosen.initial_accumulator, TARN__NOT_NEGATIVE))
        return NULL;
    tarn_optim *o = tarn__optim_new(who, params, &rule, chosen.lr, &chosen, sizeof chosen);
    return tarn__optim_start(o, 0, chosen.initial_accumulator) ? o : NULL;
}
