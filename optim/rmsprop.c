#include "optim/optim_impl.h"
#include "tensor/range.h"

static void rmsprop_step(const tarn__loops *loops, const void *settings, double lr, int64_t t, size_t n, void *weight,
                         const void *grad, void *const *moment)
{
    (void)t;
    const tarn_rmsprop_opts *opts = settings;
    tarn__rmsprop_step step = {
        .lr = lr,
        .alpha = opts->alpha,
        .eps = opts->eps,
        .momentum = opts->momentum,
        .l2 = opts->weight_decay,
    };
    void *m = opts->centered ? moment[1] : NULL;
    void *velocity = opts->momentum == 0 ? NULL : moment[opts->centered ? 2 : 1];
    loops->rmsprop(n, &step, weight, grad, moment[0], m, velocity);
}

/* By centered and by momentum: what is not needed is not kept. */
static const tarn__optim_rule rules[2][2] = {
    {{.name = "rmsprop", .n_moments = 1, .moment = {"v"}, .step = rmsprop_step},
     {.name = "rmsprop", .n_moments = 2, .moment = {"v", "velocity"}, .step = rmsprop_step}},
    {{.name = "rmsprop", .n_moments = 2, .moment = {"v", "m"}, .step = rmsprop_step},
     {.name = "rmsprop", .n_moments = 3, .moment = {"v", "m", "velocity"}, .step = rmsprop_step}},
};

tarn_optim *tarn_rmsprop_new(tarn_params *params, const tarn_rmsprop_opts *opts)
{
    static const char who[] = "tarn_rmsprop_new";
    tarn_rmsprop_opts chosen = opts ? *opts : (tarn_rmsprop_opts){0};
    if (chosen.lr == 0)
        chosen.lr = 1e-2;
    if (chosen.alpha == 0)
        chosen.alpha = 0.99;
    if (chosen.eps == 0)
        chosen.eps = 1e-8;
    if (!tarn__is_in(who, "lr", chosen.lr, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "alpha", chosen.alpha, '[', 0, 1, ')') ||
        !tarn__is_in(who, "eps", chosen.eps, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "momentum", chosen.momentum, TARN__NOT_NEGATIVE) ||
        !tarn__is_in(who, "weight_decay", chosen.weight_decay, TARN__NOT_NEGATIVE))
        return NULL;
    const tarn__optim_rule *rule = &rules[chosen.centered][chosen.momentum != 0];
    return tarn__optim_new(who, params, rule, chosen.lr, &chosen, sizeof chosen);
}
