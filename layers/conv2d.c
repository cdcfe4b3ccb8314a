#include "layers/conv2d.h"
#include "layers/init_impl.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>

static const char init_name[] = "tarn_conv2d_init";

static bool opts_are_valid(const tarn_conv2d_layer_opts *opts, int64_t in, int64_t out)
{
    if (!tarn__is_count(init_name, "stride", opts->stride, 0, INT64_MAX) ||
        !tarn__is_count(init_name, "padding", opts->padding, 0, INT64_MAX) ||
        !tarn__is_count(init_name, "dilation", opts->dilation, 0, INT64_MAX) ||
        !tarn__is_count(init_name, "groups", opts->groups, 0, INT64_MAX))
        return false;
    if (in % opts->groups || out % opts->groups)
        return tarn_fail("%s: %d groups do not divide in %" PRId64 " and out %" PRId64, init_name, opts->groups, in,
                         out);
    return tarn__init_usable(init_name, &opts->init);
}

static bool add_and_fill(tarn_conv2d_layer *l, tarn_params *params, const char *name, tarn_rng *rng, int64_t in,
                         int64_t out, int kernel, const tarn_conv2d_layer_opts *opts)
{
    if (!tarn__usable(init_name, rng, "rng") || !tarn__is_count(init_name, "in", in, 1, INT64_MAX) ||
        !tarn__is_count(init_name, "out", out, 1, INT64_MAX) ||
        !tarn__is_count(init_name, "kernel", kernel, 1, INT64_MAX) || !opts_are_valid(opts, in, out))
        return false;
    const tarn__part parts[] = {
        {"weight", true, 4, {kernel, kernel, in / opts->groups, out}, &l->weight},
        {"bias", true, 1, {out}, &l->bias},
    };
    return tarn__add_parts(init_name, params, name, opts->no_bias ? 1 : 2, parts) &&
           tarn__init_weight_and_bias(l->weight, l->bias, rng, &opts->init);
}

bool tarn_conv2d_init(tarn_conv2d_layer *l, tarn_params *params, const char *name, tarn_rng *rng, int64_t in,
                      int64_t out, int kernel, const tarn_conv2d_layer_opts *opts)
{
    if (!l)
        return tarn_fail("%s: layer is NULL", init_name);
    tarn_conv2d_layer_opts chosen = opts ? *opts : (tarn_conv2d_layer_opts){0};
    chosen.stride = chosen.stride ? chosen.stride : 1;
    chosen.dilation = chosen.dilation ? chosen.dilation : 1;
    chosen.groups = chosen.groups ? chosen.groups : 1;
    *l = (tarn_conv2d_layer){.conv = {chosen.stride, chosen.padding, chosen.dilation, chosen.groups, chosen.exact}};
    if (add_and_fill(l, params, name, rng, in, out, kernel, &chosen))
        return true;
    *l = (tarn_conv2d_layer){0};
    return false;
}

tarn_tensor *tarn_conv2d_apply(tarn_tape *t, const tarn_conv2d_layer *l, tarn_tensor *x)
{
    static const char who[] = "tarn_conv2d_apply";
    if (!tarn__applicable(who, t, l, l && l->weight, x) || !tarn__takes_image(who, x, l))
        return NULL;
    tarn_tensor *y = tarn_conv2d(t, x, l->weight, &l->conv);
    return l->bias ? tarn_add(t, y, l->bias) : y;
}
