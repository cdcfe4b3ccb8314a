/* Losses: scalars, means over the batch. */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"

#include <inttypes.h>

/* ---- cross-entropy: loss = -mean log_softmax(x)[label].   gx = (softmax(x) - one_hot(label)) * g / N
 * Of each row its largest logit, and the sum of e^(x - largest) over the others, are a second output, in f64, for the
 * gradient to use. ---- */

enum { TILE_ELEMENTS = 16384 };

typedef struct rows {
    const tarn__loops *loops;
    const tarn_tensor *labels;
    const char *x;
    double *sums;   /* two of each row: the largest, and the rest */
    double *losses; /* NULL: the gradient is asked for */
    char *gx;
    int64_t count, classes, per_tile;
    double scale;
    size_t size;
} rows;

static int64_t label_at(const tarn_tensor *labels, int64_t i)
{
    int64_t at = i * labels->stride[0];
    return labels->dtype == TARN_I32 ? ((const int32_t *)labels->data)[at] : ((const uint8_t *)labels->data)[at];
}

static double load(const rows *r, const char *row, int64_t i)
{
    return r->size == sizeof(double) ? ((const double *)(const void *)row)[i]
                                     : (double)((const float *)(const void *)row)[i];
}

/* One pass: what the row's exponentials add up to is known from the loss. Where the label has the largest logit, p - 1 is
 * -rest / (1 + rest): of a p near 1 the difference would be all rounding. */
static void gradient_row(const rows *r, const char *x, const double *sums, char *gx, int64_t label)
{
    double most = sums[0], rest = sums[1];
    r->loops->scaled_softmax((size_t)r->classes, x, most, rest, r->scale, gx);
    bool largest = load(r, x, label) - most == 0;
    double g = largest ? -r->scale * (rest / (1 + rest)) : load(r, gx, label) - r->scale;
    if (r->size == sizeof(double))
        ((double *)(void *)gx)[label] = g;
    else
        ((float *)(void *)gx)[label] = (float)g;
}

static void rows_tile(void *context, int64_t tile)
{
    const rows *r = context;
    int64_t last = (tile + 1) * r->per_tile < r->count ? (tile + 1) * r->per_tile : r->count;
    for (int64_t i = tile * r->per_tile; i < last; i++) {
        size_t at = (size_t)(i * r->classes) * r->size;
        int64_t label = label_at(r->labels, i);
        if (!r->losses) {
            gradient_row(r, r->x + at, r->sums + 2 * i, r->gx + at, label);
            continue;
        }
        double *most = r->sums + 2 * i, *rest = most + 1;
        *rest = r->loops->exp_rest((size_t)r->classes, r->x + at, most);
        r->losses[i] = tarn__log1p(*rest) + (*most - load(r, r->x + at, label));
    }
}

static bool rows_init(const tarn_node *n, rows *r)
{
    const tarn_tensor *x = n->in[0], *labels = n->in[1];
    *r = (rows){.loops = tarn__loops_of(x->dtype),
                .labels = labels,
                .x = tarn__packed_input(n, 0),
                .count = x->shape[0],
                .classes = x->shape[1],
                .size = tarn_dtype_size(x->dtype)};
    r->per_tile = r->classes < TILE_ELEMENTS ? TILE_ELEMENTS / r->classes : 1;
    for (int64_t i = 0; i < r->count; i++) {
        int64_t label = label_at(labels, i);
        if (label < 0 || label >= r->classes)
            return tarn__node_fail(n,
                                   "label %" PRId64 " of example %" PRId64 " is out of range, expected 0 to %" PRId64,
                                   label, i, r->classes - 1);
    }
    return r->x != NULL;
}

static bool cross_entropy_shape(tarn_node *n)
{
    const tarn_tensor *x = n->in[0], *labels = n->in[1];
    if (!tarn__is_float(x->dtype) || (labels->dtype != TARN_I32 && labels->dtype != TARN_U8))
        return tarn__node_fail(n, "logits are %s and labels %s, expected f32 or f64, and i32 or u8",
                               tarn_dtype_name(x->dtype), tarn_dtype_name(labels->dtype));
    if (x->ndim != 2 || labels->ndim != 1 || labels->shape[0] != x->shape[0] || x->numel == 0)
        return tarn__node_fail(n, "logits %s and labels %s, expected [N,C] and [N], none of them empty",
                               TARN__SHAPE_TEXT(x), TARN__SHAPE_TEXT(labels));
    return tarn__output(n, x->dtype, 0, NULL) && tarn__output(n, TARN_F64, 2, (const int64_t[]){x->shape[0], 2});
}

static bool cross_entropy_run(tarn_node *n)
{
    rows r;
    double total = 0;
    if (!rows_init(n, &r) || !(r.losses = tarn__scratch(n, (size_t)r.count * sizeof *r.losses)))
        return false;
    r.sums = n->out[1]->data;
    tarn__parallel_for(tarn__tiles(r.count, r.per_tile), rows_tile, &r);
    for (int64_t i = 0; i < r.count; i++)
        total += r.losses[i];
    tarn__store(n->out[0], 0, total / (double)r.count);
    return true;
}

static bool cross_entropy_grad_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, 2, n->in[0]->shape);
}

static bool cross_entropy_grad_run(tarn_node *n)
{
    rows r;
    if (!rows_init(n, &r))
        return false;
    r.sums = n->in[3]->data;
    r.gx = n->out[0]->data;
    r.scale = tarn__load(n->in[2], 0) / (double)r.count;
    tarn__parallel_for(tarn__tiles(r.count, r.per_tile), rows_tile, &r);
    return true;
}

static tarn_tensor *cross_entropy_grad(tarn_tape *t, tarn_tensor *x, tarn_tensor *labels, tarn_tensor *g,
                                       tarn_tensor *sums);

/* With y = softmax(x) and u = gy * g / N: gx = y * (u - sum(u * y)), and g's is gy's product with the gradient for g = 1.
 * Nothing flows through in[3], the sums: what they owe to x is in x's own gradient. */
static bool cross_entropy_grad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                                   tarn_tensor **gx)
{
    tarn_tensor *x = n->in[0], *g = n->in[2];
    if (need[0]) {
        tarn_tensor *y = tarn_softmax(t, x);
        tarn_tensor *u = tarn_mul(t, gy[0], tarn_mul_scalar(t, g, 1 / (double)x->shape[0]));
        gx[0] = tarn_mul(t, y, tarn_sub(t, u, tarn_sum(t, tarn_mul(t, u, y), TARN_AXES(-1), true)));
    }
    if (need[2]) {
        tarn_tensor *slope = cross_entropy_grad(t, x, n->in[1], tarn__scalar_like(t, g, 1), n->in[3]);
        gx[2] = tarn_sum(t, tarn_mul(t, gy[0], slope), TARN_ALL_AXES, false);
    }
    return true;
}

TARN__OP(cross_entropy_grad_op, "cross_entropy_grad", cross_entropy_grad_shape, cross_entropy_grad_run,
         cross_entropy_grad_vjp);

static tarn_tensor *cross_entropy_grad(tarn_tape *t, tarn_tensor *x, tarn_tensor *labels, tarn_tensor *g,
                                       tarn_tensor *sums)
{
    return tarn__apply(t, &cross_entropy_grad_op, TARN__IN(x, labels, g, sums), NULL, 0);
}

static bool cross_entropy_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                              tarn_tensor **gx)
{
    if (need[0])
        gx[0] = cross_entropy_grad(t, n->in[0], n->in[1], gy[0], n->out[1]);
    return true;
}

TARN__OP(cross_entropy_op, "cross_entropy", cross_entropy_shape, cross_entropy_run, cross_entropy_vjp);

tarn_tensor *tarn_cross_entropy(tarn_tape *t, tarn_tensor *logits, tarn_tensor *labels)
{
    return tarn__apply(t, &cross_entropy_op, TARN__IN(logits, labels), NULL, 0);
}

/* ---- composed of other ops ---- */

/* What the ops inside would refuse too, but under their own names. */
static bool pair_usable(const char *name, const tarn_tape *t, tarn_tensor *x, tarn_tensor *y)
{
    char who[64];
    int64_t joint[TARN_MAX_DIMS], numel;
    snprintf(who, sizeof who, "tarn_%s", name);
    if (!tarn__inputs_usable(name, t, 2, (tarn_tensor *const[]){x, y}))
        return false;
    if (!tarn__is_float(x->dtype) || x->dtype != y->dtype)
        return tarn_fail("%s: inputs are %s and %s, expected both f32 or both f64", who, tarn_dtype_name(x->dtype),
                         tarn_dtype_name(y->dtype));
    int ndim = tarn__broadcast(x->ndim, x->shape, y->ndim, y->shape, joint);
    if (ndim < 0)
        return tarn_fail("%s: %s and %s do not broadcast", who, TARN__SHAPE_TEXT(x), TARN__SHAPE_TEXT(y));
    if (!tarn__check_shape(who, x->dtype, ndim, joint, &numel))
        return false;
    if (numel == 0)
        return tarn_fail("%s: %s and %s: expected at least one element", who, TARN__SHAPE_TEXT(x), TARN__SHAPE_TEXT(y));
    if (numel > x->numel && numel > y->numel)
        return tarn_fail("%s: %s and %s broadcast to %s, more than either: reshape one of them", who,
                         TARN__SHAPE_TEXT(x), TARN__SHAPE_TEXT(y), tarn__shape_text_of(ndim, joint).text);
    return true;
}

tarn_tensor *tarn_mse(tarn_tape *t, tarn_tensor *x, tarn_tensor *y)
{
    if (!pair_usable("mse", t, x, y))
        return NULL;
    return tarn_mean(t, tarn_square(t, tarn_sub(t, x, y)), TARN_ALL_AXES, false);
}

/* -(y ln p + (1-y) ln(1-p)) = y softplus(-x) + (1-y) softplus(x)   for p = sigmoid(x): nothing cancels on either side */
tarn_tensor *tarn_bce_with_logits(tarn_tape *t, tarn_tensor *logits, tarn_tensor *y)
{
    if (!pair_usable("bce_with_logits", t, logits, y))
        return NULL;
    tarn_tensor *if_true = tarn_mul(t, y, tarn_softplus(t, tarn_neg(t, logits)));
    tarn_tensor *if_false = tarn_mul(t, tarn_add_scalar(t, tarn_neg(t, y), 1), tarn_softplus(t, logits));
    return tarn_mean(t, tarn_add(t, if_true, if_false), TARN_ALL_AXES, false);
}

tarn_tensor *tarn_accuracy(tarn_tape *t, tarn_tensor *logits, tarn_tensor *labels)
{
    if (!tarn__inputs_usable("accuracy", t, 2, (tarn_tensor *const[]){logits, labels}))
        return NULL;
    if (logits->ndim != 2 || labels->ndim != 1 || labels->shape[0] != logits->shape[0] || logits->numel == 0) {
        tarn_fail("tarn_accuracy: logits %s and labels %s, expected [N,C] and [N], none of them empty",
                  TARN__SHAPE_TEXT(logits), TARN__SHAPE_TEXT(labels));
        return NULL;
    }
    if (!tarn__is_float(logits->dtype)) {
        tarn_fail("tarn_accuracy: logits are %s, expected f32 or f64", tarn_dtype_name(logits->dtype));
        return NULL;
    }
    tarn_tensor *right = tarn_eq(t, tarn_argmax(t, logits, -1), tarn_cast(t, labels, TARN_I32));
    return tarn_mean(t, tarn_cast(t, right, logits->dtype), TARN_ALL_AXES, false);
}
