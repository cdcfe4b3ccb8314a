/* Ops that pick by index, and their transposes, which add back. */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/kernels/kernels.h"

#include <inttypes.h>
#include <string.h>

typedef struct index_attr {
    int axis;
    int64_t size; /* along the axis, of what is indexed */
    tarn_dtype dtype;
} index_attr;

static bool index_is_integer(const tarn_node *n, const tarn_tensor *index)
{
    if (index->dtype != TARN_I32 && index->dtype != TARN_U8)
        return tarn__node_fail(n, "the index is %s, expected i32 or u8", tarn_dtype_name(index->dtype));
    return true;
}

static bool index_in_range(const tarn_node *n, int64_t at, int64_t size)
{
    return (at >= 0 && at < size) ||
           tarn__node_fail(n, "index %" PRId64 " is out of range, expected 0 to %" PRId64, at, size - 1);
}

static int64_t index_at(const tarn_tensor *index, int64_t offset)
{
    return index->dtype == TARN_I32 ? ((const int32_t *)index->data)[offset] : ((const uint8_t *)index->data)[offset];
}

/* ---- gather and scatter_add: every element has its own index ---- */

static bool gather_shape(tarn_node *n)
{
    const index_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0], *index = n->in[1];
    bool fits = x->ndim == index->ndim;
    for (int i = 0; fits && i < x->ndim; i++)
        fits = i == attr->axis || x->shape[i] == index->shape[i];
    if (!fits)
        return tarn__node_fail(n, "%s indexed by %s: only axis %d may differ", TARN__SHAPE_TEXT(x),
                               TARN__SHAPE_TEXT(index), attr->axis);
    return index_is_integer(n, index) && tarn__output(n, x->dtype, index->ndim, index->shape);
}

static bool scatter_add_shape(tarn_node *n)
{
    const index_attr *attr = n->attr;
    int64_t shape[TARN_MAX_DIMS];
    memcpy(shape, n->in[0]->shape, sizeof shape);
    shape[attr->axis] = attr->size;
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, shape);
}

/* Walks the index row-major; `picked` is indexed along the axis, `plain` has the index's own shape. */
static bool walk(const tarn_node *n, const tarn_tensor *index, tarn_tensor *picked, tarn_tensor *plain, bool add)
{
    const index_attr *attr = n->attr;
    int64_t at[TARN_MAX_DIMS] = {0};
    for (int64_t i = 0; i < index->numel; i++) {
        int64_t from_index = 0, from_picked = 0, from_plain = 0;
        for (int k = 0; k < index->ndim; k++) {
            from_index += at[k] * index->stride[k];
            from_plain += at[k] * plain->stride[k];
            from_picked += k == attr->axis ? 0 : at[k] * picked->stride[k];
        }
        int64_t chosen = index_at(index, from_index);
        if (!index_in_range(n, chosen, picked->shape[attr->axis]))
            return false;
        from_picked += chosen * picked->stride[attr->axis];
        if (add)
            tarn__store(picked, from_picked, tarn__load(picked, from_picked) + tarn__load(plain, from_plain));
        else
            tarn__store(plain, from_plain, tarn__load(picked, from_picked));
        for (int k = index->ndim - 1; k >= 0 && ++at[k] == index->shape[k]; k--)
            at[k] = 0;
    }
    return true;
}

static bool gather_run(tarn_node *n)
{
    return walk(n, n->in[1], n->in[0], n->out[0], false);
}

static bool scatter_add_run(tarn_node *n)
{
    memset(n->out[0]->data, 0, tarn__bytes(n->out[0]));
    return walk(n, n->in[1], n->out[0], n->in[0], true);
}

static bool gather_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);

static bool scatter_add_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                            tarn_tensor **gx)
{
    const index_attr *attr = n->attr;
    if (need[0])
        gx[0] = tarn_gather(t, gy[0], attr->axis, n->in[1]);
    return true;
}

TARN__OP(gather_op, "gather", gather_shape, gather_run, gather_vjp);
TARN__OP(scatter_add_op, "scatter_add", scatter_add_shape, scatter_add_run, scatter_add_vjp);

static bool gather_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const index_attr *attr = n->attr;
    index_attr back = {.axis = attr->axis, .size = n->in[0]->shape[attr->axis]};
    if (need[0])
        gx[0] = tarn__apply(t, &scatter_add_op, TARN__IN(gy[0], n->in[1]), &back, sizeof back);
    return true;
}

tarn_tensor *tarn_gather(tarn_tape *t, tarn_tensor *x, int axis, tarn_tensor *index)
{
    index_attr attr = {0};
    if (!tarn__inputs_usable("gather", t, 2, (tarn_tensor *const[]){x, index}) ||
        (attr.axis = tarn__axis("tarn_gather", axis, x->ndim)) < 0)
        return NULL;
    return tarn__apply(t, &gather_op, TARN__IN(x, index), &attr, sizeof attr);
}

/* ---- index_select and index_add: one index for a whole slice ---- */

static bool index_select_shape(tarn_node *n)
{
    const index_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0], *index = n->in[1];
    int64_t shape[TARN_MAX_DIMS];
    if (!index_is_integer(n, index))
        return false;
    if (index->ndim != 1)
        return tarn__node_fail(n, "the index is %s, expected 1 dimension", TARN__SHAPE_TEXT(index));
    memcpy(shape, x->shape, sizeof shape);
    shape[attr->axis] = index->numel;
    return tarn__output(n, x->dtype, x->ndim, shape);
}

/* For each index: the slice of `whole` that it names, and the slice of `parts` at its own place. */
static bool walk_slices(const tarn_node *n, const tarn_tensor *index, const tarn_tensor *shape_of, char *whole,
                        char *parts, bool add)
{
    const index_attr *attr = n->attr;
    int64_t outer = 1, inner = 1, size = shape_of->shape[attr->axis];
    for (int i = 0; i < shape_of->ndim; i++) {
        outer *= i < attr->axis ? shape_of->shape[i] : 1;
        inner *= i > attr->axis ? shape_of->shape[i] : 1;
    }
    size_t bytes = (size_t)inner * tarn_dtype_size(shape_of->dtype);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < index->numel; i++) {
            int64_t chosen = index_at(index, i * index->stride[0]);
            if (!index_in_range(n, chosen, size))
                return false;
            char *in_whole = whole + (size_t)(o * size + chosen) * bytes;
            char *in_parts = parts + (size_t)(o * index->numel + i) * bytes;
            if (add)
                tarn__loops_of(shape_of->dtype)
                    ->binary[TARN__BINARY_add]((size_t)inner, in_whole, in_parts, in_whole, 0, 0);
            else
                memcpy(in_parts, in_whole, bytes);
        }
    return true;
}

static bool index_select_run(tarn_node *n)
{
    const void *x = tarn__packed_input(n, 0);
    return x && walk_slices(n, n->in[1], n->in[0], (char *)(uintptr_t)x, n->out[0]->data, false);
}

static bool index_add_run(tarn_node *n)
{
    const void *parts = tarn__packed_input(n, 0);
    if (!parts)
        return false;
    memset(n->out[0]->data, 0, tarn__bytes(n->out[0]));
    return walk_slices(n, n->in[1], n->out[0], n->out[0]->data, (char *)(uintptr_t)parts, true);
}

static bool index_add_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const index_attr *attr = n->attr;
    if (need[0])
        gx[0] = tarn_index_select(t, gy[0], attr->axis, n->in[1]);
    return true;
}

TARN__OP(index_add_op, "index_add", scatter_add_shape, index_add_run, index_add_vjp);

static bool index_select_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,
                             tarn_tensor **gx)
{
    const index_attr *attr = n->attr;
    index_attr back = {.axis = attr->axis, .size = n->in[0]->shape[attr->axis]};
    if (need[0])
        gx[0] = tarn__apply(t, &index_add_op, TARN__IN(gy[0], n->in[1]), &back, sizeof back);
    return true;
}

TARN__OP(index_select_op, "index_select", index_select_shape, index_select_run, index_select_vjp);

tarn_tensor *tarn_index_select(tarn_tape *t, tarn_tensor *x, int axis, tarn_tensor *index)
{
    index_attr attr = {0};
    if (!tarn__inputs_usable("index_select", t, 2, (tarn_tensor *const[]){x, index}) ||
        (attr.axis = tarn__axis("tarn_index_select", axis, x->ndim)) < 0)
        return NULL;
    return tarn__apply(t, &index_select_op, TARN__IN(x, index), &attr, sizeof attr);
}

/* ---- one_hot ---- */

static bool one_hot_shape(tarn_node *n)
{
    const index_attr *attr = n->attr;
    const tarn_tensor *index = n->in[0];
    int64_t shape[TARN_MAX_DIMS];
    if (!index_is_integer(n, index))
        return false;
    if (index->ndim == TARN_MAX_DIMS || attr->size < 1)
        return tarn__node_fail(n, "%s into %" PRId64 " classes: expected at most %d dimensions, and 1 class or more",
                               TARN__SHAPE_TEXT(index), attr->size, TARN_MAX_DIMS - 1);
    memcpy(shape, index->shape, sizeof shape);
    shape[index->ndim] = attr->size;
    return tarn__output(n, attr->dtype, index->ndim + 1, shape);
}

static bool one_hot_run(tarn_node *n)
{
    const index_attr *attr = n->attr;
    tarn_tensor index = *n->in[0], *y = n->out[0];
    const void *data = tarn__packed_input(n, 0);
    if (!data)
        return false;
    index.data = (void *)(uintptr_t)data;
    memset(y->data, 0, tarn__bytes(y));
    for (int64_t i = 0; i < index.numel; i++) {
        int64_t chosen = index_at(&index, i);
        if (!index_in_range(n, chosen, attr->size))
            return false;
        tarn__store(y, i * attr->size + chosen, 1);
    }
    return true;
}

TARN__OP(one_hot_op, "one_hot", one_hot_shape, one_hot_run, NULL);

tarn_tensor *tarn_one_hot(tarn_tape *t, tarn_tensor *index, int64_t classes, tarn_dtype dtype)
{
    index_attr attr = {.size = classes, .dtype = dtype};
    return tarn__apply(t, &one_hot_op, 1, &index, &attr, sizeof attr);
}
