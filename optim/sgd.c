#include "optim/optim_impl.h"
#include "tensor/range.h"

static void sgd_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                     const void *grad, void *const *moment)
{
    const tarn_sgd_opts *opts = settings;
    tarn__sgd_step step = {
        .lr = lr,
        .momentum = opts->momentum,
        .dampening = opts->dampening,
        .l2 = opts->weight_decay,
        .nesterov = opts->nesterov,
        .first = t == 1,
    };
    loops->sgd(n, &step, weight, grad, moment[0]);
}

static const tarn__optim_rule plain_rule = {.name = "sgd", .step = sgd_step};
static const tarn__optim_rule momentum_rule = {.name = "sgd", .n_moments = 1, .moment = {"velocity"}, .step = sgd_step};

static bool opts_are_valid(const char *who, const tarn_sgd_opts *opts)
{
    if (!tarn__is_in(who, "lr", opts->lr, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "momentum", opts->momentum, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "weight_decay", opts->weight_decay, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "dampening", opts->dampening, TARN__FINITE))
        return false;
    if (opts->nesterov && (opts->momentum == 0 || opts->dampening != 0))
        return tarn_fail("%s: nesterov with momentum %g and dampening %g, expected momentum above 0 and dampening 0",
                         who, opts->momentum, opts->dampening);
    return true;
}

tarn_optim *tarn_sgd_new(tarn_params *params, const tarn_sgd_opts *opts)
{
    tarn_sgd_opts chosen = opts ? *opts : (tarn_sgd_opts){0};
    if (chosen.lr == 0)
        chosen.lr = 1e-2;
    if (!opts_are_valid("tarn_sgd_new", &chosen))
        return NULL;
    return tarn__optim_new("tarn_sgd_new", params, chosen.momentum == 0 ? &plain_rule : &momentum_rule, chosen.lr,
                           &chosen, sizeof chosen);
}
