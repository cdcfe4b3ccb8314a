#include "layers/layers_impl.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_NAME = 255 };

static bool full_name(const char *who, const char *name, const char *suffix, char out[MAX_NAME + 1])
{
    if (!*name)
        return tarn_fail("%s: the name is empty", who);
    int length = snprintf(out, MAX_NAME + 1, "%s.%s", name, suffix);
    return length <= MAX_NAME ? true
                              : tarn_fail("%s: the name \"%s.%s\" has %d bytes, expected at most %d", who, name, suffix,
                                          length, MAX_NAME);
}

bool tarn__add_parts(const char *who, tarn_params *params, const char *name, int n, const tarn__part *parts)
{
    char full[MAX_NAME + 1];
    if (!tarn__usable(who, params, "params") || !tarn__usable(who, name, "name"))
        return false;
    for (int i = 0; i < n; i++) {
        int64_t numel;
        if (!full_name(who, name, parts[i].suffix, full) ||
            !tarn__check_shape(who, tarn_params_dtype(params), parts[i].ndim, parts[i].shape, &numel))
            return false;
        if (tarn_params_find(params, full))
            return tarn_fail("%s: \"%s\" is already in the store", who, full);
    }
    size_t before = tarn_params_count(params);
    for (int i = 0; i < n; i++) {
        const tarn__part *part = &parts[i];
        if (!full_name(who, name, part->suffix, full))
            return false;
        *part->tensor = part->trained ? tarn_params_add(params, full, part->ndim, part->shape)
                                      : tarn_params_add_buffer(params, full, part->ndim, part->shape);
        if (!*part->tensor) {
            tarn__params_truncate(params, before);
            return false;
        }
    }
    return true;
}

bool tarn__applicable(const char *who, const tarn_tape *t, const void *layer, bool ready, const tarn_tensor *x)
{
    if (!tarn__usable(who, t, "tape") || !tarn__usable(who, layer, "layer") || !tarn__tensor_usable(who, x, "x"))
        return false;
    return ready ? true : tarn_fail("%s: the layer was not initialized", who);
}

bool tarn__add_affine(const char *who, tarn_params *params, const char *name, int64_t channels, double eps,
                      bool no_affine, tarn_tensor **gamma, tarn_tensor **beta)
{
    if (!tarn__is_count(who, "channels", channels, 1, INT64_MAX) || !tarn__is_in(who, "eps", eps, TARN__NOT_NEGATIVE))
        return false;
    const tarn__part parts[] = {{"gamma", true, 1, {channels}, gamma}, {"beta", true, 1, {channels}, beta}};
    return tarn__add_parts(who, params, name,
                           no_affine ? 0
                           : beta    ? 2
                                     : 1,
                           parts) &&
           (no_affine || tarn_fill(*gamma, 1));
}

static bool not_taken(const char *who, const tarn_tensor *x, const char *axes, int64_t channels,
                      const tarn_tensor *part)
{
    const char *name = part ? part->name : NULL; /* a weight that an op computed has none */
    return tarn_fail("%s: x is %s%s, expected %s[%s,%" PRId64 "]%s%s", who, tarn_dtype_name(x->dtype),
                     TARN__SHAPE_TEXT(x), part ? tarn_dtype_name(part->dtype) : "f32 or f64 ", axes, channels,
                     name ? " for " : "", name ? name : "");
}

static bool has_dtype(const tarn_tensor *x, const tarn_tensor *part)
{
    return part ? x->dtype == part->dtype : tarn__is_float(x->dtype);
}

bool tarn__takes(const char *who, const tarn_tensor *x, int64_t channels, const tarn_tensor *part)
{
    return (x->ndim >= 1 && x->shape[x->ndim - 1] == channels && has_dtype(x, part)) ||
           not_taken(who, x, "...", channels, part);
}

bool tarn__takes_image(const char *who, const tarn_tensor *x, const tarn_conv2d_layer *conv)
{
    int64_t in = conv->weight->shape[2] * conv->conv.groups;
    return (x->ndim == 4 && x->shape[3] == in && has_dtype(x, conv->weight)) ||
           not_taken(who, x, "N,H,W", in, conv->weight);
}
