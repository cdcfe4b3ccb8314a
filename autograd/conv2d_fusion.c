/* A convolution with the bias that is added to it and the statistics that BatchNorm takes of it. */
#include "autograd/fusion.h"

typedef struct fused_conv {
    const tarn__conv2d *v;
    tarn_node *conv, *add; /* add NULL: no bias */
} fused_conv;

static bool conv_run(tarn_node *n)
{
    const fused_conv *f = n->fusion_data;
    tarn_tensor *z = f->add ? f->add->out[0] : f->conv->out[0], *mean = n->out[1], *var = n->out[2];
    tarn__conv2d_extra extra = {.mean = mean->data ? mean->data : tarn__scratch(n, tarn__bytes(mean)),
                                .var = var->data ? var->data : tarn__scratch(n, tarn__bytes(var))};
    const void *x = tarn__packed(n, f->conv->in[0]), *w = tarn__packed(n, f->conv->in[f->conv->n_in - 1]);
    void *to = z->data ? z->data : tarn__scratch(n, tarn__bytes(z));
    tarn__cuts scratch = {.bytes = tarn__conv2d_scratch(f->v, TARN__FORWARD)};
    scratch.block = tarn__scratch(n, scratch.bytes);
    if (!extra.mean || !extra.var || !x || !w || !to || !scratch.block)
        return false;
    if (f->add && !(extra.bias = tarn__packed(n, f->add->in[1])))
        return false;
    tarn__conv2d_forward(f->v, x, w, &extra, to, &scratch);
    return tarn__batchnorm_finish(n, to, extra.mean, extra.var);
}

/* z is conv2d(x, w) plus a vector of its channels. */
static bool is_biased(const tarn_node *add, const tarn_tensor *z)
{
    return tarn__is_binary(add, TARN__BINARY_add) && add->in[0]->node && tarn__is_conv2d(add->in[0]->node) &&
           tarn__same_shape(add->in[0], z) && add->in[1]->ndim == 1 && add->in[1]->numel == z->shape[3];
}

bool tarn__batchnorm_fuse(tarn_node *n)
{
    tarn_tensor *z = n->in[0];
    if (!z->node || z->ready || z->ndim != 4 || n->out[1]->ready || n->out[2]->ready)
        return false;
    fused_conv f = {.conv = z->node};
    if (is_biased(z->node, z) && tarn__only_use(z->node, z->node->in[0])) {
        f.add = z->node;
        f.conv = f.add->in[0]->node;
    }
    f.v = tarn__is_conv2d(f.conv);
    if (!f.v || !tarn__conv2d_has_extra(f.v))
        return false;
    fused_conv *data = tarn__fusion_data(n, sizeof *data);
    if (!data)
        return false;
    *data = f;
    tarn_tensor *w = f.conv->in[f.conv->n_in - 1];
    tarn_tensor *reads[] = {f.conv->in[0], w, n->in[1], n->in[2], f.add ? f.add->in[1] : NULL};
    tarn_node *also[] = {f.add ? f.add : f.conv, f.conv};
    return tarn__fuse(n, conv_run, f.add ? 5 : 4, reads, f.add ? 2 : 1, also);
}
