#include "layers/spectralnorm.h"
#include "layers/layers_impl.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/spectral.h"
#include "tensor/tensor_impl.h"

enum { FIRST_ITERATIONS = 15 };

typedef struct power_state {
    tarn_tensor *u, *v;
    int iterations;
} power_state;

/* NAME.u and NAME.v, before the layer inside adds its own. */
static bool add_state(const char *who, tarn_params *params, const char *name, int64_t in, int64_t out,
                      const tarn_init *init, const tarn_spectralnorm_opts *norm, power_state *s)
{
    s->iterations = norm && norm->iterations ? norm->iterations : 1;
    if (!tarn__is_count(who, "in", in, 1, INT64_MAX) || !tarn__is_count(who, "out", out, 1, INT64_MAX) ||
        !tarn__is_count(who, "iterations", s->iterations, 0, INT64_MAX))
        return false;
    if (init && init->kind == TARN_INIT_ZEROS)
        return tarn_fail("%s: weights of zeros cannot be divided by their norm, expected another init", who);
    const tarn__part parts[] = {{"u", false, 1, {out}, &s->u}, {"v", false, 1, {in}, &s->v}};
    return tarn__add_parts(who, params, name, 2, parts);
}

static void keep(tarn_tensor *x, const double *values)
{
    for (int64_t i = 0; i < x->numel; i++)
        tarn__store(x, i, values[i]);
    x->version++;
}

/* From a random u to near the largest singular value's vectors, so that evaluation makes sense before any training. */
static bool start(const char *who, const power_state *s, const tarn_tensor *w, tarn_rng *rng)
{
    int64_t out = s->u->numel, in = s->v->numel;
    double *u = tarn__allocate((size_t)(2 * out + in) * sizeof *u);
    if (!u)
        return tarn_fail("%s: no memory for the power iteration", who);
    if (tarn_init_normal(s->u, rng, 0, 1)) {
        for (int64_t i = 0; i < out; i++)
            u[i] = tarn__load(s->u, i);
        tarn__spectral_iterate(w->dtype, in, out, w->data, FIRST_ITERATIONS, u, u + out, u + out + in);
        keep(s->u, u);
        keep(s->v, u + out);
    }
    tarn__release(u);
    return !tarn_error();
}

/* ---- linear ---- */

bool tarn_spectralnorm_linear_init(tarn_spectralnorm_linear_layer *l, tarn_params *params, const char *name,
                                   tarn_rng *rng, int64_t in, int64_t out, const tarn_linear_opts *opts,
                                   const tarn_spectralnorm_opts *norm)
{
    static const char who[] = "tarn_spectralnorm_linear_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_spectralnorm_linear_layer){0};
    size_t before = tarn_params_count(params);
    tarn_linear_layer linear;
    power_state s;
    if (!add_state(who, params, name, in, out, opts ? &opts->init : NULL, norm, &s))
        return false;
    const tarn_rng at = rng ? *rng : tarn_rng_seed(0);
    if (tarn_linear_init(&linear, params, name, rng, in, out, opts) && start(who, &s, linear.weight, rng)) {
        *l = (tarn_spectralnorm_linear_layer){linear, s.u, s.v, s.iterations};
        return true;
    }
    if (rng)
        *rng = at;
    tarn__params_truncate(params, before);
    return false;
}

tarn_tensor *tarn_spectralnorm_linear_apply(tarn_tape *t, const tarn_spectralnorm_linear_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_spectralnorm_linear_apply";
    if (!tarn__applicable(who, t, l, l && l->u, x) ||
        !tarn__takes(who, x, l->linear.weight->shape[0], l->linear.weight))
        return NULL;
    const tarn_linear_layer plain = {tarn_spectralnorm(t, l->linear.weight, l->u, l->v, l->iterations), l->linear.bias};
    return plain.weight ? tarn_linear_apply(t, &plain, x) : NULL;
}

/* ---- conv2d ---- */

/* kernel*kernel*in/groups; where the layer inside will refuse, anything. */
static int64_t fan_in(int64_t in, int kernel, const tarn_conv2d_layer_opts *opts)
{
    int64_t groups = opts && opts->groups ? opts->groups : 1, area = (int64_t)kernel * kernel;
    return kernel < 1 || groups < 1 || in < groups || in / groups > INT64_MAX / area ? 1 : area * (in / groups);
}

bool tarn_spectralnorm_conv2d_init(tarn_spectralnorm_conv2d_layer *l, tarn_params *params, const char *name,
                                   tarn_rng *rng, int64_t in, int64_t out, int kernel,
                                   const tarn_conv2d_layer_opts *opts, const tarn_spectralnorm_opts *norm)
{
    static const char who[] = "tarn_spectralnorm_conv2d_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_spectralnorm_conv2d_layer){0};
    size_t before = tarn_params_count(params);
    tarn_conv2d_layer conv;
    power_state s;
    if (!tarn__is_count(who, "in", in, 1, INT64_MAX) || !tarn__is_count(who, "kernel", kernel, 1, INT64_MAX) ||
        !add_state(who, params, name, fan_in(in, kernel, opts), out, opts ? &opts->init : NULL, norm, &s))
        return false;
    const tarn_rng at = rng ? *rng : tarn_rng_seed(0);
    if (tarn_conv2d_init(&conv, params, name, rng, in, out, kernel, opts) && start(who, &s, conv.weight, rng)) {
        *l = (tarn_spectralnorm_conv2d_layer){conv, s.u, s.v, s.iterations};
        return true;
    }
    if (rng)
        *rng = at;
    tarn__params_truncate(params, before);
    return false;
}

tarn_tensor *tarn_spectralnorm_conv2d_apply(tarn_tape *t, const tarn_spectralnorm_conv2d_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_spectralnorm_conv2d_apply";
    if (!tarn__applicable(who, t, l, l && l->u, x) || !tarn__takes_image(who, x, &l->conv))
        return NULL;
    tarn_conv2d_layer plain = l->conv;
    plain.weight = tarn_spectralnorm(t, l->conv.weight, l->u, l->v, l->iterations);
    return plain.weight ? tarn_conv2d_apply(t, &plain, x) : NULL;
}
