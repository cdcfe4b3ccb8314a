/* Convolution. Its three products are each other's gradients:
 *   y = conv(x, w)         gx = input_grad(g, w)    gw = weight_grad(g, x)
 *   y = input_grad(g, w)   gg = conv(gy, w)         gw = weight_grad(g, gy)
 *   y = weight_grad(g, x)  gg = conv(x, gy)         gx = input_grad(g, gy) */
#include "autograd/fusion.h"
#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/range.h"

#include <inttypes.h>

static tarn_tensor *input_grad(tarn_tape *t, const tarn__conv2d *v, tarn_tensor *g, tarn_tensor *w);
static tarn_tensor *weight_grad(tarn_tape *t, const tarn__conv2d *v, tarn_tensor *g, tarn_tensor *x);

static tarn_conv2d_opts opts_of(const tarn__conv2d *v)
{
    return (tarn_conv2d_opts){(int)v->stride, (int)v->padding, (int)v->dilation, (int)v->groups, v->exact};
}

/* ---- weights in the form that an algorithm wants ---- */

typedef struct weights_attr {
    tarn__conv2d v;
    tarn__conv2d_product product;
} weights_attr;

static bool weights_shape(tarn_node *n)
{
    const weights_attr *a = n->attr;
    return tarn__output(n, a->v.dtype, 1, (const int64_t[]){tarn__conv2d_transformed(&a->v, a->product)});
}

static bool weights_run(tarn_node *n)
{
    const weights_attr *a = n->attr;
    const void *w = tarn__packed_input(n, 0);
    tarn__cuts scratch = {.bytes = tarn__conv2d_transform_scratch(&a->v, a->product)};
    scratch.block = tarn__scratch(n, scratch.bytes);
    if (!w || !scratch.block)
        return false;
    tarn__conv2d_transform(&a->v, a->product, w, n->out[0]->data, &scratch);
    return true;
}

/* Not one of the library's ops: the gradient passes it by, from the product to w. */
static const tarn_op weights_op = {.name = "conv2d_weights", .shape = weights_shape, .run = weights_run};

struct tarn__transformed {
    tarn__transformed *next;
    const tarn_tensor *w;
    uint64_t id, version; /* w's: another tensor may lie there by now, or hold other elements */
    tarn__conv2d_product product;
    const tarn__segment *segment;
    tarn_tensor *weights;
};

static uint64_t version_of(const tarn_tensor *w)
{
    const tarn_tensor *leaf = w->node ? w->root : w;
    return leaf ? leaf->version : 0;
}

/* Records op over x and w, or over x, w and w transformed: once for all that multiply by it. */
static tarn_tensor *apply(tarn_tape *t, const tarn_op *op, tarn__conv2d_product product, const tarn__conv2d *v,
                          tarn_tensor *x, tarn_tensor *w)
{
    if (!tarn__inputs_usable(op->name, t, 2, (tarn_tensor *const[]){x, w}))
        return NULL;
    if (tarn__conv2d_transformed(v, product) == 0)
        return tarn__apply(t, op, TARN__IN(x, w), v, sizeof *v);
    tarn__transformed *known = t->transformed;
    while (known && (known->w != w || known->id != w->id || known->version != version_of(w) ||
                     known->product != product || known->segment != t->segment))
        known = known->next;
    if (!known) {
        tarn_tensor *weights =
            tarn__apply(t, &weights_op, TARN__IN(w), &(weights_attr){*v, product}, sizeof(weights_attr));
        if (!weights)
            return NULL;
        if (!(known = tarn__arena_allocate_small(&t->arena, sizeof *known))) {
            tarn_fail("tarn_%s: no memory to record it", op->name);
            return NULL;
        }
        *known = (tarn__transformed){t->transformed, w, w->id, version_of(w), product, t->segment, weights};
        t->transformed = known;
    }
    return tarn__apply(t, op, TARN__IN(x, w, known->weights), v, sizeof *v);
}

/* The pointers to what a product reads, row-major, and its scratch memory. */
static bool operands(const tarn_node *n, tarn__conv2d_product product, const void **a, const void **b,
                     tarn__cuts *scratch)
{
    *a = tarn__packed_input(n, 0);
    *b = tarn__packed_input(n, n->n_in - 1);
    *scratch = (tarn__cuts){.bytes = tarn__conv2d_scratch(n->attr, product)};
    scratch->block = tarn__scratch(n, scratch->bytes);
    return *a && *b && scratch->block;
}

/* ---- conv2d ---- */

static bool conv2d_shape(tarn_node *n)
{
    const tarn__conv2d *v = n->attr;
    return tarn__output(n, v->dtype, 4, (const int64_t[]){v->n, v->p, v->q, v->k});
}

static bool conv2d_run(tarn_node *n)
{
    const void *x, *w;
    tarn__cuts scratch;
    if (!operands(n, TARN__FORWARD, &x, &w, &scratch))
        return false;
    tarn__conv2d_forward(n->attr, x, w, NULL, n->out[0]->data, &scratch);
    return true;
}

static bool conv2d_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = input_grad(t, n->attr, gy[0], n->in[1]);
    if (need[1]) {
        tarn_tensor *x = tarn__computed_again(t, n->in[0]);
        gx[1] = x ? weight_grad(t, n->attr, gy[0], x) : NULL;
    }
    return true;
}

TARN__OP(conv2d_op, "conv2d", conv2d_shape, conv2d_run, conv2d_vjp);

const tarn__conv2d *tarn__is_conv2d(const tarn_node *n)
{
    return n->op == &conv2d_op ? n->attr : NULL;
}

/* ---- its input gradient ---- */

static bool input_grad_shape(tarn_node *n)
{
    const tarn__conv2d *v = n->attr;
    return tarn__output(n, v->dtype, 4, (const int64_t[]){v->n, v->h, v->w, v->c});
}

static bool input_grad_run(tarn_node *n)
{
    const void *g, *w;
    tarn__cuts scratch;
    if (!operands(n, TARN__INPUT_GRAD, &g, &w, &scratch))
        return false;
    tarn__conv2d_input_grad(n->attr, g, w, n->out[0]->data, &scratch);
    return true;
}

static bool input_grad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    tarn_conv2d_opts opts = opts_of(n->attr);
    if (need[0])
        gx[0] = tarn_conv2d(t, gy[0], n->in[1], &opts);
    if (need[1])
        gx[1] = weight_grad(t, n->attr, n->in[0], gy[0]);
    return true;
}

TARN__OP(input_grad_op, "conv2d_input_grad", input_grad_shape, input_grad_run, input_grad_vjp);

static tarn_tensor *input_grad(tarn_tape *t, const tarn__conv2d *v, tarn_tensor *g, tarn_tensor *w)
{
    return apply(t, &input_grad_op, TARN__INPUT_GRAD, v, g, w);
}

/* ---- its weight gradient ---- */

static bool weight_grad_shape(tarn_node *n)
{
    const tarn__conv2d *v = n->attr;
    return tarn__output(n, v->dtype, 4, (const int64_t[]){v->r, v->s, v->c / v->groups, v->k});
}

static bool weight_grad_run(tarn_node *n)
{
    const void *g, *x;
    tarn__cuts scratch;
    if (!operands(n, TARN__WEIGHT_GRAD, &g, &x, &scratch))
        return false;
    tarn__conv2d_weight_grad(n->attr, g, x, n->out[0]->data, &scratch);
    return true;
}

static bool weight_grad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                            tarn_tensor **gx)
{
    tarn_conv2d_opts opts = opts_of(n->attr);
    if (need[0])
        gx[0] = tarn_conv2d(t, n->in[1], gy[0], &opts);
    if (need[1])
        gx[1] = input_grad(t, n->attr, n->in[0], gy[0]);
    return true;
}

TARN__OP(weight_grad_op, "conv2d_weight_grad", weight_grad_shape, weight_grad_run, weight_grad_vjp);

static tarn_tensor *weight_grad(tarn_tape *t, const tarn__conv2d *v, tarn_tensor *g, tarn_tensor *x)
{
    return tarn__apply(t, &weight_grad_op, TARN__IN(g, x), v, sizeof *v);
}

/* ---- the public function ---- */

enum { MAX_OPTION = 1 << 20 };

static bool options_valid(const tarn_conv2d_opts *o)
{
    static const char who[] = "tarn_conv2d";
    return tarn__is_count(who, "stride", o->stride, 0, MAX_OPTION) &&
           tarn__is_count(who, "padding", o->padding, 0, MAX_OPTION) &&
           tarn__is_count(who, "dilation", o->dilation, 0, MAX_OPTION) &&
           tarn__is_count(who, "groups", o->groups, 0, MAX_OPTION);
}

/* floor((size + 2*padding - dilation*(taps-1) - 1) / stride) + 1, or -1 when the kernel does not fit. */
static int64_t positions(int64_t size, int64_t taps, const tarn__conv2d *v)
{
    if (taps < 1 || taps > INT32_MAX || size > INT32_MAX)
        return -1;
    int64_t room = size + 2 * v->padding - v->dilation * (taps - 1) - 1;
    return room < 0 ? -1 : room / v->stride + 1;
}

static bool geometry(const tarn_tensor *x, const tarn_tensor *w, const tarn_conv2d_opts *opts, tarn__conv2d *v)
{
    tarn_conv2d_opts o = opts ? *opts : (tarn_conv2d_opts){0};
    if (!options_valid(&o))
        return false;
    if (x->dtype != w->dtype || !tarn__is_float(x->dtype))
        return tarn_fail("tarn_conv2d: x is %s and w is %s, expected both f32 or both f64", tarn_dtype_name(x->dtype),
                         tarn_dtype_name(w->dtype));
    if (x->ndim != 4 || w->ndim != 4)
        return tarn_fail("tarn_conv2d: x %s and w %s, expected [N,H,W,C] and [R,S,C/groups,K]", TARN__SHAPE_TEXT(x),
                         TARN__SHAPE_TEXT(w));
    *v = (tarn__conv2d){.dtype = x->dtype,
                        .n = x->shape[0],
                        .h = x->shape[1],
                        .w = x->shape[2],
                        .c = x->shape[3],
                        .r = w->shape[0],
                        .s = w->shape[1],
                        .k = w->shape[3],
                        .stride = o.stride ? o.stride : 1,
                        .padding = o.padding,
                        .dilation = o.dilation ? o.dilation : 1,
                        .groups = o.groups ? o.groups : 1,
                        .exact = o.exact};
    if (v->c % v->groups != 0 || v->k % v->groups != 0 || w->shape[2] != v->c / v->groups)
        return tarn_fail("tarn_conv2d: x %s and w %s with %" PRId64 " groups: expected w [R,S,C/groups,K], groups "
                         "dividing C and K",
                         TARN__SHAPE_TEXT(x), TARN__SHAPE_TEXT(w), v->groups);
    v->p = positions(v->h, v->r, v);
    v->q = positions(v->w, v->s, v);
    if (v->p < 0 || v->q < 0)
        return tarn_fail("tarn_conv2d: the kernel of w %s (dilation %" PRId64
                         ") does not fit into x %s with padding %" PRId64,
                         TARN__SHAPE_TEXT(w), v->dilation, TARN__SHAPE_TEXT(x), v->padding);
    bool small = v->c <= INT32_MAX && v->k <= INT32_MAX && v->r <= INT32_MAX / v->s;
    return small && (v->c == 0 || v->r * v->s <= INT32_MAX / v->c)
               ? true
               : tarn_fail("tarn_conv2d: w %s is too large", TARN__SHAPE_TEXT(w));
}

tarn_tensor *tarn_conv2d(tarn_tape *t, tarn_tensor *x, tarn_tensor *w, const tarn_conv2d_opts *opts)
{
    tarn__conv2d v;
    if (!tarn__inputs_usable("conv2d", t, 2, (tarn_tensor *const[]){x, w}) || !geometry(x, w, opts, &v))
        return NULL;
    return apply(t, &conv2d_op, TARN__FORWARD, &v, x, w);
}
