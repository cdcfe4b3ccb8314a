/* softmax, log_softmax and logsumexp along the last axis. */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"

enum { TILE_ELEMENTS = 16384 };

static bool last_axis_exists(const tarn_node *n)
{
    const tarn_tensor *x = n->in[0];
    if (!tarn__same_float(n))
        return false;
    if (x->ndim == 0 || tarn_dim(x, -1) == 0)
        return tarn__node_fail(n, "%s: expected a last axis with at least 1 element", TARN__SHAPE_TEXT(x));
    return true;
}

static bool same_shape(tarn_node *n)
{
    return last_axis_exists(n) && tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool without_last_shape(tarn_node *n)
{
    return last_axis_exists(n) && tarn__output(n, n->in[0]->dtype, n->in[0]->ndim - 1, n->in[0]->shape);
}

typedef struct rows {
    const tarn__loops *loops;
    void (*row)(size_t n, const void *x, void *y); /* NULL: logsumexp */
    const char *x;
    char *y;
    int64_t count, length, per_tile;
    size_t size;
} rows;

static void rows_tile(void *context, int64_t tile)
{
    const rows *r = context;
    int64_t last = (tile + 1) * r->per_tile < r->count ? (tile + 1) * r->per_tile : r->count;
    for (int64_t i = tile * r->per_tile; i < last; i++) {
        const char *x = r->x + (size_t)(i * r->length) * r->size;
        if (r->row) {
            r->row((size_t)r->length, x, r->y + (size_t)(i * r->length) * r->size);
            continue;
        }
        double most, rest = r->loops->exp_rest((size_t)r->length, x, &most), sum = most + tarn__log1p(rest);
        if (r->size == sizeof(double))
            ((double *)(void *)r->y)[i] = sum;
        else
            ((float *)(void *)r->y)[i] = (float)sum;
    }
}

static bool rows_run(tarn_node *n, void (*row)(size_t n, const void *x, void *y))
{
    const tarn_tensor *x = n->in[0];
    rows r = {.loops = tarn__loops_of(x->dtype), .row = row, .x = tarn__packed_input(n, 0), .y = n->out[0]->data};
    if (!r.x)
        return false;
    r.length = tarn_dim(x, -1);
    r.count = x->numel / r.length;
    r.per_tile = r.length < TILE_ELEMENTS ? TILE_ELEMENTS / r.length : 1;
    r.size = tarn_dtype_size(x->dtype);
    tarn__parallel_for(tarn__tiles(r.count, r.per_tile), rows_tile, &r);
    return true;
}

/* gx = y * (g - sum(g * y)) */
static bool softmax_run(tarn_node *n)
{
    return rows_run(n, tarn__loops_of(n->in[0]->dtype)->softmax);
}

static bool softmax_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    tarn_tensor *g = gy[0], *y = n->out[0];
    if (need[0])
        gx[0] = tarn_mul(t, y, tarn_sub(t, g, tarn_sum(t, tarn_mul(t, g, y), TARN_AXES(-1), true)));
    return true;
}

/* gx = g - softmax(x) * sum(g) */
static bool log_softmax_run(tarn_node *n)
{
    return rows_run(n, tarn__loops_of(n->in[0]->dtype)->log_softmax);
}

static bool log_softmax_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                            tarn_tensor **gx)
{
    tarn_tensor *g = gy[0];
    if (need[0])
        gx[0] = tarn_sub(t, g, tarn_mul(t, tarn_exp(t, n->out[0]), tarn_sum(t, g, TARN_AXES(-1), true)));
    return true;
}

/* gx = softmax(x) * g */
static bool logsumexp_run(tarn_node *n)
{
    return rows_run(n, NULL);
}

static bool logsumexp_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    int64_t shape[TARN_MAX_DIMS];
    int ndim = n->in[0]->ndim;
    for (int i = 0; i < ndim; i++)
        shape[i] = i == ndim - 1 ? 1 : n->in[0]->shape[i];
    if (need[0])
        gx[0] = tarn_mul(t, tarn_softmax(t, n->in[0]), tarn_reshape(t, gy[0], ndim, shape));
    return true;
}

TARN__OP(softmax_op, "softmax", same_shape, softmax_run, softmax_vjp);
TARN__OP(log_softmax_op, "log_softmax", same_shape, log_softmax_run, log_softmax_vjp);
TARN__OP(logsumexp_op, "logsumexp", without_last_shape, logsumexp_run, logsumexp_vjp);

tarn_tensor *tarn_softmax(tarn_tape *t, tarn_tensor *x)
{
    return tarn__apply(t, &softmax_op, 1, &x, NULL, 0);
}

tarn_tensor *tarn_log_softmax(tarn_tape *t, tarn_tensor *x)
{
    return tarn__apply(t, &log_softmax_op, 1, &x, NULL, 0);
}

tarn_tensor *tarn_logsumexp(tarn_tape *t, tarn_tensor *x)
{
    return tarn__apply(t, &logsumexp_op, 1, &x, NULL, 0);
}
