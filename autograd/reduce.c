/* Reductions over axes. */
#include "tensor/reduce.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/parallel.h"
#include "tensor/range.h"

#include <inttypes.h>

typedef struct reduce_attr {
    tarn__reduction kind;
    tarn__axes axes;
    bool keep;
    double scale;
} reduce_attr;

static bool reduce_shape(tarn_node *n)
{
    const reduce_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0];
    int64_t shape[TARN_MAX_DIMS];
    int ndim = 0;
    if (!tarn__same_float(n))
        return false;
    for (int i = 0; i < x->ndim; i++)
        if (!attr->axes.reduced[i] || attr->keep)
            shape[ndim++] = attr->axes.reduced[i] ? 1 : x->shape[i];
    return tarn__output(n, x->dtype, ndim, shape);
}

static bool reduce_run(tarn_node *n)
{
    const reduce_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0];
    tarn_tensor *y = n->out[0];
    if (tarn__same_shape(x, y)) { /* nothing to reduce, or only axes of size 1 */
        tarn__copy_elements(y, x);
        return true;
    }
    const void *data = tarn__packed_input(n, 0);
    tarn__cuts scratch = {.bytes = tarn__reduce_scratch(x->ndim, x->shape, &attr->axes)};
    scratch.block = tarn__scratch(n, scratch.bytes);
    if (!data || !scratch.block)
        return false;
    tarn__reduce_run(attr->kind, x->dtype, x->ndim, x->shape, &attr->axes, data, y->data, attr->scale, &scratch);
    return true;
}

/* r, of the reduced shape, as if its reduced axes were still there, over x's shape. */
static tarn_tensor *spread(tarn_tape *t, const tarn_node *n, tarn_tensor *r)
{
    const reduce_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0];
    int64_t kept[TARN_MAX_DIMS] = {0};
    for (int i = 0; i < x->ndim; i++)
        kept[i] = attr->axes.reduced[i] ? 1 : x->shape[i];
    return tarn_expand(t, tarn_reshape(t, r, x->ndim, kept), x->ndim, x->shape);
}

/* gx = scale * g */
static bool sum_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const reduce_attr *attr = n->attr;
    if (need[0])
        gx[0] = spread(t, n, attr->scale == 1 ? gy[0] : tarn_mul_scalar(t, gy[0], attr->scale));
    return true;
}

/* gx = g * [x == y] / the number of x that equal y */
static bool extreme_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const reduce_attr *attr = n->attr;
    tarn_tensor *x = n->in[0];
    if (!need[0])
        return true;
    int axes[TARN_MAX_DIMS], count = 0;
    for (int i = 0; i < x->ndim; i++)
        if (attr->axes.reduced[i])
            axes[count++] = i;
    if (count == 0) { /* of a scalar */
        gx[0] = gy[0];
        return true;
    }
    tarn_tensor *winners = tarn_cast(t, tarn_eq(t, x, spread(t, n, n->out[0])), x->dtype);
    tarn_tensor *share = tarn_div(t, gy[0], tarn_sum(t, winners, count, axes, attr->keep));
    gx[0] = tarn_mul(t, spread(t, n, share), winners);
    return true;
}

TARN__OP(sum_op, "sum", reduce_shape, reduce_run, sum_vjp);
TARN__OP(mean_op, "mean", reduce_shape, reduce_run, sum_vjp);
TARN__OP(max_op, "max", reduce_shape, reduce_run, extreme_vjp);
TARN__OP(min_op, "min", reduce_shape, reduce_run, extreme_vjp);

static bool axes_of(const char *who, const tarn_tensor *x, int naxes, const int *axes, tarn__axes *out)
{
    *out = (tarn__axes){.count = 1};
    if (naxes < 0 || naxes > TARN_MAX_DIMS || (naxes > 0 && !axes))
        return tarn_fail("tarn_%s: %d axes%s", who, naxes, axes ? "" : ", and axes is NULL");
    for (int i = 0; i < (naxes ? naxes : x->ndim); i++) {
        char name[32];
        snprintf(name, sizeof name, "tarn_%s", who);
        int axis = naxes ? tarn__axis(name, axes[i], x->ndim) : i;
        if (axis < 0)
            return false;
        if (out->reduced[axis])
            return tarn_fail("tarn_%s: axis %d is given twice", who, axes[i]);
        out->reduced[axis] = true;
        out->count *= x->shape[axis];
    }
    return true;
}

static tarn_tensor *reduce(tarn_tape *t, const tarn_op *op, tarn__reduction kind, tarn_tensor *x, int naxes,
                           const int *axes, bool keep)
{
    reduce_attr attr = {.kind = kind, .keep = keep, .scale = 1};
    if (!tarn__inputs_usable(op->name, t, 1, &x) || !axes_of(op->name, x, naxes, axes, &attr.axes))
        return NULL;
    if (op != &sum_op && attr.axes.count == 0) {
        tarn_fail("tarn_%s: %s has no elements along those axes", op->name, TARN__SHAPE_TEXT(x));
        return NULL;
    }
    if (op == &mean_op)
        attr.scale = 1 / (double)attr.axes.count;
    return tarn__apply(t, op, 1, &x, &attr, sizeof attr);
}

tarn_tensor *tarn_sum(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep)
{
    return reduce(t, &sum_op, TARN__SUM, x, naxes, axes, keep);
}

tarn_tensor *tarn_mean(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep)
{
    return reduce(t, &mean_op, TARN__SUM, x, naxes, axes, keep);
}

tarn_tensor *tarn_max(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep)
{
    return reduce(t, &max_op, TARN__MAX, x, naxes, axes, keep);
}

tarn_tensor *tarn_min(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep)
{
    return reduce(t, &min_op, TARN__MIN, x, naxes, axes, keep);
}

tarn_tensor *tarn_var(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, int correction, bool keep)
{
    tarn__axes set;
    if (!tarn__inputs_usable("var", t, 1, &x) || !axes_of("var", x, naxes, axes, &set))
        return NULL;
    if (!tarn__is_float(x->dtype)) {
        tarn_fail("tarn_var: x is %s, expected f32 or f64", tarn_dtype_name(x->dtype));
        return NULL;
    }
    if (!tarn__is_count("tarn_var", "correction", correction, 0, INT64_MAX))
        return NULL;
    if (set.count <= correction) {
        tarn_fail("tarn_var: %" PRId64 " elements and correction %d: expected more elements than the correction",
                  set.count, correction);
        return NULL;
    }
    tarn_tensor *difference = tarn_sub(t, x, tarn_mean(t, x, naxes, axes, true));
    return tarn_mul_scalar(t, tarn_sum(t, tarn_square(t, difference), naxes, axes, keep),
                           1 / (double)(set.count - correction));
}

/* ---- argmax ---- */

enum { ARGMAX_ELEMENTS = 16384, ARGMAX_COLUMNS = 256 };

static bool argmax_shape(tarn_node *n)
{
    int axis = *(const int *)n->attr;
    const tarn_tensor *x = n->in[0];
    int64_t shape[TARN_MAX_DIMS];
    int ndim = 0;
    if (!tarn__same_float(n))
        return false;
    if (x->shape[axis] == 0 || x->shape[axis] > INT32_MAX)
        return tarn__node_fail(n, "%s has %" PRId64 " elements along axis %d, expected 1 to 2^31-1",
                               TARN__SHAPE_TEXT(x), x->shape[axis], axis);
    for (int i = 0; i < x->ndim; i++)
        if (i != axis)
            shape[ndim++] = x->shape[i];
    return tarn__output(n, TARN_I32, ndim, shape);
}

/* [outer, length, inner]: a tile is some rows, or, where inner is not 1, some columns of one block. */
typedef struct argmax_job {
    const tarn__loops *loops;
    const char *x;
    int32_t *y;
    int64_t outer, length, inner, per_tile;
    size_t size;
} argmax_job;

static void argmax_rows(void *context, int64_t tile)
{
    const argmax_job *j = context;
    int64_t last = (tile + 1) * j->per_tile < j->outer ? (tile + 1) * j->per_tile : j->outer;
    for (int64_t i = tile * j->per_tile; i < last; i++)
        j->y[i] = j->loops->argmax((size_t)j->length, j->x + (size_t)(i * j->length) * j->size);
}

static void argmax_columns(void *context, int64_t tile)
{
    const argmax_job *j = context;
    int64_t tiles = tarn__tiles(j->inner, j->per_tile), outer = tile / tiles, from = tile % tiles * j->per_tile;
    int64_t columns = j->inner - from < j->per_tile ? j->inner - from : j->per_tile;
    j->loops->column_argmax((size_t)j->length, (size_t)columns,
                            j->x + (size_t)(outer * j->length * j->inner + from) * j->size, (size_t)j->inner,
                            j->y + outer * j->inner + from);
}

static bool argmax_run(tarn_node *n)
{
    int axis = *(const int *)n->attr;
    const tarn_tensor *x = n->in[0];
    argmax_job j = {.loops = tarn__loops_of(x->dtype),
                    .x = tarn__packed_input(n, 0),
                    .y = n->out[0]->data,
                    .length = x->shape[axis],
                    .inner = 1,
                    .size = tarn_dtype_size(x->dtype)};
    if (!j.x || n->out[0]->numel == 0)
        return j.x != NULL;
    for (int i = axis + 1; i < x->ndim; i++)
        j.inner *= x->shape[i];
    j.outer = n->out[0]->numel / j.inner;
    j.per_tile = j.inner > 1 ? ARGMAX_COLUMNS : j.length < ARGMAX_ELEMENTS ? ARGMAX_ELEMENTS / j.length : 1;
    if (j.inner == 1)
        tarn__parallel_for(tarn__tiles(j.outer, j.per_tile), argmax_rows, &j);
    else
        tarn__parallel_for(j.outer * tarn__tiles(j.inner, j.per_tile), argmax_columns, &j);
    return true;
}

TARN__OP(argmax_op, "argmax", argmax_shape, argmax_run, NULL);

tarn_tensor *tarn_argmax(tarn_tape *t, tarn_tensor *x, int axis)
{
    if (!tarn__inputs_usable("argmax", t, 1, &x) || (axis = tarn__axis("tarn_argmax", axis, x->ndim)) < 0)
        return NULL;
    return tarn__apply(t, &argmax_op, 1, &x, &axis, sizeof axis);
}
