/* Pooling over windows of [N,H,W,C]. */
#include "autograd/fusion.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"
#include "tensor/range.h"

#include <string.h>

typedef struct pool_attr {
    int64_t n;
    tarn__window window;
} pool_attr;

/* What a tile of one image, or of one row of it, works on. */
typedef struct job {
    const pool_attr *attr;
    const tarn__loops *loops;
    size_t size;
    const char *from;
    char *to;
    int32_t *at;
} job;

static job job_of(const tarn_node *n, const void *from, void *to, int32_t *at)
{
    tarn_dtype dtype = n->in[0]->dtype;
    return (job){n->attr, tarn__loops_of(dtype), tarn_dtype_size(dtype), from, to, at};
}

static size_t image_bytes(const job *j)
{
    return (size_t)(j->attr->window.h * j->attr->window.w * j->attr->window.c) * j->size;
}

static bool pooled_shape(tarn_node *n)
{
    const pool_attr *a = n->attr;
    return tarn__output(n, n->in[0]->dtype, 4, (const int64_t[]){a->n, a->window.p, a->window.q, a->window.c});
}

static bool image_shape(tarn_node *n)
{
    const pool_attr *a = n->attr;
    return tarn__output(n, n->in[0]->dtype, 4, (const int64_t[]){a->n, a->window.h, a->window.w, a->window.c});
}

/* ---- max: gx[at] += g, with the position of each maximum ---- */

static bool max_pool_shape(tarn_node *n)
{
    const tarn__window *w = &((const pool_attr *)n->attr)->window;
    return pooled_shape(n) &&
           tarn__output(n, TARN_I32, 4, (const int64_t[]){((const pool_attr *)n->attr)->n, w->p, w->q, w->c});
}

static void max_pool_tile(void *context, int64_t tile)
{
    const job *j = context;
    const tarn__window *w = &j->attr->window;
    int64_t image = tile / w->p, row = tile * w->q * w->c;
    j->loops->max_pool_row(w, j->from + (size_t)image * image_bytes(j), tile % w->p, j->to + (size_t)row * j->size,
                           j->at ? j->at + row : NULL);
}

static bool max_pool_run(tarn_node *n)
{
    const pool_attr *attr = n->attr;
    const void *x = tarn__packed_input(n, 0);
    void *y = n->out[0]->data ? n->out[0]->data : tarn__scratch(n, tarn__bytes(n->out[0]));
    if (!x || !y)
        return false;
    job j = job_of(n, x, y, n->out[1]->data);
    tarn__parallel_for(attr->n * attr->window.p, max_pool_tile, &j);
    return true;
}

static bool max_pool_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);

static void scatter_tile(void *context, int64_t image)
{
    const job *j = context;
    const tarn__window *w = &j->attr->window;
    int64_t count = w->p * w->q;
    char *x = j->to + (size_t)image * image_bytes(j);
    memset(x, 0, image_bytes(j));
    j->loops->scatter_channels((size_t)count, (size_t)w->c, j->from + (size_t)(image * count * w->c) * j->size,
                               j->at + image * count * w->c, x);
}

static bool scatter_run(tarn_node *n)
{
    const pool_attr *attr = n->attr;
    const void *g = tarn__packed_input(n, 0);
    if (!g)
        return false;
    job j = job_of(n, g, n->out[0]->data, n->in[1]->data);
    tarn__parallel_for(attr->n, scatter_tile, &j);
    return true;
}

static void gather_tile(void *context, int64_t image)
{
    const job *j = context;
    const tarn__window *w = &j->attr->window;
    int64_t count = w->p * w->q;
    j->loops->gather_channels((size_t)count, (size_t)w->c, j->from + (size_t)image * image_bytes(j),
                              j->at + image * count * w->c, j->to + (size_t)(image * count * w->c) * j->size);
}

static bool gather_run(tarn_node *n)
{
    const pool_attr *attr = n->attr;
    const void *x = tarn__packed_input(n, 0);
    if (!x)
        return false;
    job j = job_of(n, x, n->out[0]->data, n->in[1]->data);
    tarn__parallel_for(attr->n, gather_tile, &j);
    return true;
}

static bool scatter_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);
static bool gather_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);

TARN__OP(max_pool2d_op, "max_pool2d", max_pool_shape, max_pool_run, max_pool_vjp, .fuse = tarn__max_pool2d_fuse,
         .partial = true);
TARN__OP(max_pool2d_grad_op, "max_pool2d_grad", image_shape, scatter_run, scatter_vjp);
TARN__OP(max_pool2d_pick_op, "max_pool2d_pick", pooled_shape, gather_run, gather_vjp);

static const tarn__window *by_two(const tarn_node *n)
{
    const tarn__window *w = &((const pool_attr *)n->attr)->window;
    return w->r == 2 && w->s == 2 && w->stride == 2 && w->padding == 0 ? w : NULL;
}

const tarn__window *tarn__is_max_pool2d(const tarn_node *n)
{
    return n->op == &max_pool2d_op ? by_two(n) : NULL;
}

const tarn__window *tarn__is_max_pool2d_grad(const tarn_node *n)
{
    return n->op == &max_pool2d_grad_op ? by_two(n) : NULL;
}

static bool max_pool_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__apply(t, &max_pool2d_grad_op, TARN__IN(gy[0], n->out[1]), n->attr, sizeof(pool_attr));
    return true;
}

static bool scatter_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__apply(t, &max_pool2d_pick_op, TARN__IN(gy[0], n->in[1]), n->attr, sizeof(pool_attr));
    return true;
}

static bool gather_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__apply(t, &max_pool2d_grad_op, TARN__IN(gy[0], n->in[1]), n->attr, sizeof(pool_attr));
    return true;
}

/* ---- mean: linear, so that its gradient's gradient is itself ---- */

static void avg_pool_tile(void *context, int64_t tile)
{
    const job *j = context;
    const tarn__window *w = &j->attr->window;
    j->loops->avg_pool_row(w, j->from + (size_t)(tile / w->p) * image_bytes(j), tile % w->p,
                           j->to + (size_t)(tile * w->q * w->c) * j->size);
}

static bool avg_pool_run(tarn_node *n)
{
    const pool_attr *attr = n->attr;
    const void *x = tarn__packed_input(n, 0);
    if (!x)
        return false;
    job j = job_of(n, x, n->out[0]->data, NULL);
    tarn__parallel_for(attr->n * attr->window.p, avg_pool_tile, &j);
    return true;
}

static void avg_pool_grad_tile(void *context, int64_t image)
{
    const job *j = context;
    const tarn__window *w = &j->attr->window;
    char *x = j->to + (size_t)image * image_bytes(j);
    memset(x, 0, image_bytes(j));
    for (int64_t p = 0; p < w->p; p++)
        j->loops->avg_pool_grad_row(w, j->from + (size_t)((image * w->p + p) * w->q * w->c) * j->size, p, x);
}

static void avg_pool_grad_blocks_tile(void *context, int64_t tile)
{
    const job *j = context;
    const tarn__window *w = &j->attr->window;
    j->loops->avg_pool_grad_blocks(w, j->from + (size_t)(tile / w->h * w->p * w->q * w->c) * j->size, tile % w->h,
                                   j->to + (size_t)(tile * w->w * w->c) * j->size);
}

/* Adding them to x one after the other is good for so many windows over a pixel. */
enum { FEW_WINDOWS = 64 };

static bool avg_pool_grad_run(tarn_node *n)
{
    const pool_attr *attr = n->attr;
    const tarn__window *w = &attr->window;
    const void *g = tarn__packed_input(n, 0);
    if (!g)
        return false;
    job j = job_of(n, g, n->out[0]->data, NULL);
    if (tarn__tiles(w->r, w->stride) * tarn__tiles(w->s, w->stride) > FEW_WINDOWS)
        tarn__parallel_for(attr->n * w->h, avg_pool_grad_blocks_tile, &j);
    else
        tarn__parallel_for(attr->n, avg_pool_grad_tile, &j);
    return true;
}

static bool avg_pool_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);
static bool avg_pool_grad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                              tarn_tensor **gx);

TARN__OP(avg_pool2d_op, "avg_pool2d", pooled_shape, avg_pool_run, avg_pool_vjp);
TARN__OP(avg_pool2d_grad_op, "avg_pool2d_grad", image_shape, avg_pool_grad_run, avg_pool_grad_vjp);

static bool avg_pool_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__apply(t, &avg_pool2d_grad_op, 1, gy, n->attr, sizeof(pool_attr));
    return true;
}

static bool avg_pool_grad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                              tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__apply(t, &avg_pool2d_op, 1, gy, n->attr, sizeof(pool_attr));
    return true;
}

/* ---- the public functions ---- */

static bool geometry(const char *who, const tarn_tensor *x, int window, const tarn_pool2d_opts *opts, pool_attr *a)
{
    tarn_pool2d_opts o = opts ? *opts : (tarn_pool2d_opts){0};
    if (!tarn__is_float(x->dtype) || x->ndim != 4)
        return tarn_fail("%s: x is %s%s, expected f32 or f64 [N,H,W,C]", who, tarn_dtype_name(x->dtype),
                         TARN__SHAPE_TEXT(x));
    if (!tarn__is_count(who, "window", window, 1, INT64_MAX) ||
        !tarn__is_count(who, "stride", o.stride, 0, INT64_MAX) ||
        !tarn__is_count(who, "padding", o.padding, 0, window / 2))
        return false;
    int64_t h = x->shape[1], w = x->shape[2], stride = o.stride ? o.stride : window;
    if (h > INT32_MAX || w > INT32_MAX || (h > 0 && w > INT32_MAX / h))
        return tarn_fail("%s: x %s: an image has more than 2^31-1 positions", who, TARN__SHAPE_TEXT(x));
    if (h < 1 || w < 1 || h + 2 * o.padding < window || w + 2 * o.padding < window)
        return tarn_fail("%s: a window of %d does not fit into x %s with padding %d", who, window, TARN__SHAPE_TEXT(x),
                         o.padding);
    *a = (pool_attr){.n = x->shape[0],
                     .window = {.h = h,
                                .w = w,
                                .c = x->shape[3],
                                .p = (h + 2 * o.padding - window) / stride + 1,
                                .q = (w + 2 * o.padding - window) / stride + 1,
                                .r = window,
                                .s = window,
                                .stride = stride,
                                .padding = o.padding,
                                .dilation = 1}};
    return true;
}

tarn_tensor *tarn_max_pool2d(tarn_tape *t, tarn_tensor *x, int window, const tarn_pool2d_opts *opts)
{
    pool_attr attr;
    if (!tarn__inputs_usable("max_pool2d", t, 1, &x) || !geometry("tarn_max_pool2d", x, window, opts, &attr))
        return NULL;
    return tarn__apply(t, &max_pool2d_op, 1, &x, &attr, sizeof attr);
}

tarn_tensor *tarn_avg_pool2d(tarn_tape *t, tarn_tensor *x, int window, const tarn_pool2d_opts *opts)
{
    pool_attr attr;
    if (!tarn__inputs_usable("avg_pool2d", t, 1, &x) || !geometry("tarn_avg_pool2d", x, window, opts, &attr))
        return NULL;
    return tarn__apply(t, &avg_pool2d_op, 1, &x, &attr, sizeof attr);
}

static bool is_image(const char *who, const tarn_tape *t, tarn_tensor *x)
{
    if (!tarn__inputs_usable(who, t, 1, &x))
        return false;
    return x->ndim == 4 && x->shape[1] > 0 && x->shape[2] > 0
               ? true
               : tarn_fail("tarn_%s: x is %s, expected [N,H,W,C] with positions", who, TARN__SHAPE_TEXT(x));
}

tarn_tensor *tarn_global_avg_pool2d(tarn_tape *t, tarn_tensor *x)
{
    return is_image("global_avg_pool2d", t, x) ? tarn_mean(t, x, TARN_AXES(1, 2), false) : NULL;
}

tarn_tensor *tarn_global_max_pool2d(tarn_tape *t, tarn_tensor *x)
{
    return is_image("global_max_pool2d", t, x) ? tarn_max(t, x, TARN_AXES(1, 2), false) : NULL;
}
