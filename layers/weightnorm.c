#include "layers/weightnorm.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <math.h>

/* NAME.g, before the layer inside adds its own. */
static bool add_g(const char *who, tarn_params *params, const char *name, int64_t out, const tarn_init *init,
                  tarn_tensor **g)
{
    if (!tarn__is_count(who, "out", out, 1, INT64_MAX))
        return false;
    if (init && init->kind == TARN_INIT_ZEROS)
        return tarn_fail("%s: weights of zeros have no direction, expected another init", who);
    const tarn__part part = {"g", true, 1, {out}, g};
    return tarn__add_parts(who, params, name, 1, &part);
}

/* The length of each column of v. */
static void set_lengths(tarn_tensor *g, const tarn_tensor *v)
{
    for (int64_t k = 0; k < g->numel; k++) {
        double sum = 0;
        for (int64_t i = k; i < v->numel; i += g->numel)
            sum += tarn__load(v, i) * tarn__load(v, i);
        tarn__store(g, k, sqrt(sum));
    }
    g->version++;
}

/* ---- linear ---- */

bool tarn_weightnorm_linear_init(tarn_weightnorm_linear_layer *l, tarn_params *params, const char *name, tarn_rng *rng,
                                 int64_t in, int64_t out, const tarn_linear_opts *opts)
{
    static const char who[] = "tarn_weightnorm_linear_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_weightnorm_linear_layer){0};
    size_t before = tarn_params_count(params);
    tarn_tensor *g;
    if (!add_g(who, params, name, out, opts ? &opts->init : NULL, &g))
        return false;
    if (!tarn_linear_init(&l->linear, params, name, rng, in, out, opts)) {
        tarn__params_truncate(params, before);
        return false;
    }
    l->g = g;
    set_lengths(g, l->linear.weight);
    return true;
}

tarn_tensor *tarn_weightnorm_linear_apply(tarn_tape *t, const tarn_weightnorm_linear_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_weightnorm_linear_apply";
    if (!tarn__applicable(who, t, l, l && l->g, x) ||
        !tarn__takes(who, x, l->linear.weight->shape[0], l->linear.weight))
        return NULL;
    const tarn_linear_layer plain = {tarn_weightnorm(t, l->linear.weight, l->g), l->linear.bias};
    return plain.weight ? tarn_linear_apply(t, &plain, x) : NULL;
}

/* ---- conv2d ---- */

bool tarn_weightnorm_conv2d_init(tarn_weightnorm_conv2d_layer *l, tarn_params *params, const char *name, tarn_rng *rng,
                                 int64_t in, int64_t out, int kernel, const tarn_conv2d_layer_opts *opts)
{
    static const char who[] = "tarn_weightnorm_conv2d_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_weightnorm_conv2d_layer){0};
    size_t before = tarn_params_count(params);
    tarn_tensor *g;
    if (!add_g(who, params, name, out, opts ? &opts->init : NULL, &g))
        return false;
    if (!tarn_conv2d_init(&l->conv, params, name, rng, in, out, kernel, opts)) {
        tarn__params_truncate(params, before);
        return false;
    }
    l->g = g;
    set_lengths(g, l->conv.weight);
    return true;
}

tarn_tensor *tarn_weightnorm_conv2d_apply(tarn_tape *t, const tarn_weightnorm_conv2d_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_weightnorm_conv2d_apply";
    if (!tarn__applicable(who, t, l, l && l->g, x) || !tarn__takes_image(who, x, &l->conv))
        return NULL;
    tarn_conv2d_layer plain = l->conv;
    plain.weight = tarn_weightnorm(t, l->conv.weight, l->g);
    return plain.weight ? tarn_conv2d_apply(t, &plain, x) : NULL;
}
