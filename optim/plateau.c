#include "optim/plateau.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <math.h>

enum { RATE, BEST, BAD, COOLDOWN, N_STATE };

struct tarn_plateau {
    tarn_plateau_opts opts;
    tarn_params *store;
    tarn_tensor *state;
};

static bool opts_are_valid(const char *who, double lr, const tarn_plateau_opts *o)
{
    return tarn__is_in(who, "lr", lr, TARN__NOT_NEGATIVE) && tarn__is_in(who, "factor", o->factor, '(', 0, 1, ')') &&
           tarn__is_in(who, "threshold", o->threshold, TARN__NOT_NEGATIVE) &&
           tarn__is_in(who, "min_lr", o->min_lr, TARN__NOT_NEGATIVE) &&
           tarn__is_in(who, "eps", o->eps, TARN__NOT_NEGATIVE) &&
           tarn__is_count(who, "patience", o->patience, -1, INT64_MAX) &&
           tarn__is_count(who, "cooldown", o->cooldown, 0, INT64_MAX);
}

tarn_plateau *tarn_plateau_new(double lr, const tarn_plateau_opts *opts)
{
    static const char who[] = "tarn_plateau_new";
    tarn_plateau_opts chosen = opts ? *opts : (tarn_plateau_opts){0};
    if (chosen.factor == 0)
        chosen.factor = 0.1;
    if (chosen.threshold == 0)
        chosen.threshold = 1e-4;
    if (chosen.eps == 0)
        chosen.eps = 1e-8;
    if (chosen.patience == 0)
        chosen.patience = 10;
    if (!opts_are_valid(who, lr, &chosen) || tarn_error())
        return NULL;
    tarn_plateau *p = tarn__allocate_zeroed(sizeof *p);
    if (!p) {
        tarn_fail("%s: no memory", who);
        return NULL;
    }
    p->opts = chosen;
    p->store = tarn_params_new(TARN_F64);
    p->state = tarn_params_add_buffer(p->store, "plateau", TARN_SHAPE(N_STATE));
    if (!p->state) {
        tarn_plateau_free(p);
        return NULL;
    }
    tarn__store(p->state, RATE, lr);
    tarn__store(p->state, BEST, chosen.maximize ? -INFINITY : INFINITY);
    return p;
}

void tarn_plateau_free(tarn_plateau *p)
{
    if (!p)
        return;
    tarn_params_free(p->store);
    tarn__release(p);
}

static bool is_better(const tarn_plateau_opts *o, double metric, double best)
{
    if (isinf(best)) /* none yet, and a threshold has no meaning */
        return o->maximize ? metric > best : metric < best;
    const double margin = o->absolute ? o->threshold : o->threshold * fabs(best);
    return o->maximize ? metric > best + margin : metric < best - margin;
}

static bool is_count(double value)
{
    return value >= 0 && value <= 0x1p63 && value == floor(value);
}

double tarn_plateau_step(tarn_plateau *p, double metric)
{
    if (!tarn__usable("tarn_plateau_step", p, "plateau"))
        return NAN;
    const tarn_plateau_opts *o = &p->opts;
    double lr = tarn__load(p->state, RATE), best = tarn__load(p->state, BEST);
    double bad = tarn__load(p->state, BAD), cooldown = tarn__load(p->state, COOLDOWN);
    if (!isfinite(lr) || lr < 0 || !is_count(bad) || !is_count(cooldown)) {
        tarn_fail("tarn_plateau_step: \"plateau\" holds %g, %g, %g, %g, expected a rate, a metric and two counts", lr,
                  best, bad, cooldown);
        return NAN;
    }
    if (is_better(o, metric, best))
        best = metric, bad = 0;
    else
        bad++;
    if (cooldown > 0)
        cooldown--, bad = 0;
    if (bad > fmax((double)o->patience, 0)) {
        const double lower = fmax(lr * o->factor, o->min_lr);
        if (lr - lower > o->eps)
            lr = lower;
        cooldown = (double)o->cooldown, bad = 0;
    }
    const double now[N_STATE] = {lr, best, bad, cooldown};
    for (int i = 0; i < N_STATE; i++)
        tarn__store(p->state, i, now[i]);
    p->state->version++;
    return lr;
}

double tarn_plateau_lr(const tarn_plateau *p)
{
    return p ? tarn__load(p->state, RATE) : 0;
}

tarn_params *tarn_plateau_state(const tarn_plateau *p)
{
    return p ? p->store : NULL;
}
