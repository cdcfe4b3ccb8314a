/* Ops that only move elements: views where the strides allow it. (Slices: autograd/slice.c.) */
#include "autograd/op.h"
#include "autograd/ops.h"

#include <inttypes.h>
#include <string.h>

/* The geometry of a view, worked out by the public function and declared by the shape rule. */
typedef struct view_attr {
    int ndim;
    int64_t shape[TARN_MAX_DIMS], stride[TARN_MAX_DIMS], offset;
    int order[TARN_MAX_DIMS]; /* of a permutation */
} view_attr;

static bool view_shape(tarn_node *n)
{
    const view_attr *v = n->attr;
    return tarn__output_view(n, v->ndim, v->shape, v->stride, v->offset);
}

/* ---- contiguous ---- */

static bool contiguous_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool contiguous_run(tarn_node *n)
{
    tarn__copy_elements(n->out[0], n->in[0]);
    return true;
}

static bool contiguous_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)t, (void)n;
    if (need[0])
        gx[0] = gy[0];
    return true;
}

TARN__OP(contiguous_op, "contiguous", contiguous_shape, contiguous_run, contiguous_vjp);

tarn_tensor *tarn_contiguous(tarn_tape *t, tarn_tensor *x)
{
    if (!tarn__inputs_usable("contiguous", t, 1, &x))
        return NULL;
    return tarn_is_contiguous(x) ? x : tarn__apply(t, &contiguous_op, 1, &x, NULL, 0);
}

/* ---- reshape: gx = g in x's shape ---- */

static bool reshape_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn_reshape(t, gy[0], n->in[0]->ndim, n->in[0]->shape);
    return true;
}

TARN__OP(reshape_op, "reshape", view_shape, NULL, reshape_vjp);

/* Replaces a -1 by what is left over, and checks the number of elements. */
static bool reshape_sizes(const tarn_tensor *x, int ndim, const int64_t *shape, int64_t *out)
{
    int unknown = -1;
    int64_t sizes[TARN_MAX_DIMS], numel;
    if (ndim < 0 || ndim > TARN_MAX_DIMS || (ndim > 0 && !shape))
        return tarn_fail("tarn_reshape: %d dimensions%s, expected 0 to %d", ndim, shape ? "" : " and a NULL shape",
                         TARN_MAX_DIMS);
    for (int i = 0; i < ndim; i++) {
        sizes[i] = shape[i] == -1 ? 1 : shape[i];
        if (shape[i] == -1 && unknown >= 0)
            return tarn_fail("tarn_reshape: %s has more than one -1", tarn__shape_text_of(ndim, shape).text);
        if (shape[i] == -1)
            unknown = i;
    }
    if (!tarn__check_shape("tarn_reshape", x->dtype, ndim, sizes, &numel))
        return false;
    if (unknown >= 0 && numel == 0)
        return tarn_fail("tarn_reshape: %s into %s: any size would do for the -1", TARN__SHAPE_TEXT(x),
                         tarn__shape_text_of(ndim, shape).text);
    if (unknown >= 0 && x->numel % numel == 0) {
        sizes[unknown] = x->numel / numel;
        numel = x->numel;
    }
    if (numel != x->numel)
        return tarn_fail("tarn_reshape: %s does not fit into %s", TARN__SHAPE_TEXT(x),
                         tarn__shape_text_of(ndim, shape).text);
    memcpy(out, sizes, (size_t)ndim * sizeof *out);
    return true;
}

tarn_tensor *tarn_reshape(tarn_tape *t, tarn_tensor *x, int ndim, const int64_t *shape)
{
    view_attr v = {.ndim = ndim};
    if (!tarn__inputs_usable("reshape", t, 1, &x) || !reshape_sizes(x, ndim, shape, v.shape))
        return NULL;
    if (!tarn__view_strides(x->ndim, x->shape, x->stride, ndim, v.shape, v.stride)) {
        x = tarn_contiguous(t, x);
        if (!x || !tarn__view_strides(x->ndim, x->shape, x->stride, ndim, v.shape, v.stride))
            return NULL;
    }
    return tarn__apply(t, &reshape_op, 1, &x, &v, sizeof v);
}

tarn_tensor *tarn_flatten(tarn_tape *t, tarn_tensor *x)
{
    if (!tarn__inputs_usable("flatten", t, 1, &x))
        return NULL;
    if (x->ndim == 0) {
        tarn_fail("tarn_flatten: a scalar, expected at least 1 dimension");
        return NULL;
    }
    int64_t rest = 1;
    for (int i = 1; i < x->ndim; i++)
        rest *= x->shape[i];
    return tarn_reshape(t, x, TARN_SHAPE(x->shape[0], rest));
}

/* ---- permute: gx = g in the inverse order ---- */

static bool permute_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const view_attr *v = n->attr;
    int inverse[TARN_MAX_DIMS] = {0};
    for (int i = 0; i < v->ndim; i++)
        inverse[v->order[i]] = i;
    if (need[0])
        gx[0] = tarn_permute(t, gy[0], inverse);
    return true;
}

TARN__OP(permute_op, "permute", view_shape, NULL, permute_vjp);

tarn_tensor *tarn_permute(tarn_tape *t, tarn_tensor *x, const int *axes)
{
    if (!tarn__inputs_usable("permute", t, 1, &x))
        return NULL;
    if (!axes && x->ndim > 0) {
        tarn_fail("tarn_permute: axes is NULL");
        return NULL;
    }
    view_attr v = {.ndim = x->ndim};
    bool used[TARN_MAX_DIMS] = {false};
    for (int i = 0; i < x->ndim; i++) {
        int axis = tarn__axis("tarn_permute", axes[i], x->ndim);
        if (axis < 0)
            return NULL;
        if (used[axis]) {
            tarn_fail("tarn_permute: axis %d is given twice", axes[i]);
            return NULL;
        }
        used[axis] = true;
        v.order[i] = axis;
        v.shape[i] = x->shape[axis];
        v.stride[i] = x->stride[axis];
    }
    return tarn__apply(t, &permute_op, 1, &x, &v, sizeof v);
}

tarn_tensor *tarn_transpose(tarn_tape *t, tarn_tensor *x, int axis_a, int axis_b)
{
    if (!tarn__inputs_usable("transpose", t, 1, &x))
        return NULL;
    int a = tarn__axis("tarn_transpose", axis_a, x->ndim), b = tarn__axis("tarn_transpose", axis_b, x->ndim);
    int order[TARN_MAX_DIMS];
    if (a < 0 || b < 0)
        return NULL;
    for (int i = 0; i < x->ndim; i++)
        order[i] = i == a ? b : i == b ? a : i;
    return tarn_permute(t, x, order);
}

/* ---- expand: gx = g summed over the repeated axes ---- */

static bool expand_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__sum_to(t, gy[0], n->in[0]);
    return true;
}

TARN__OP(expand_op, "expand", view_shape, NULL, expand_vjp);

tarn_tensor *tarn_expand(tarn_tape *t, tarn_tensor *x, int ndim, const int64_t *shape)
{
    int64_t numel, joint[TARN_MAX_DIMS];
    if (!tarn__inputs_usable("expand", t, 1, &x) || !tarn__check_shape("tarn_expand", x->dtype, ndim, shape, &numel))
        return NULL;
    int joint_ndim = tarn__broadcast(x->ndim, x->shape, ndim, shape, joint);
    if (joint_ndim != ndim || (ndim > 0 && memcmp(joint, shape, (size_t)ndim * sizeof *shape) != 0)) {
        tarn_fail("tarn_expand: %s does not broadcast to %s", TARN__SHAPE_TEXT(x),
                  tarn__shape_text_of(ndim, shape).text);
        return NULL;
    }
    view_attr v = {.ndim = ndim};
    if (ndim > 0)
        memcpy(v.shape, shape, (size_t)ndim * sizeof *shape);
    tarn__broadcast_strides(x, ndim, shape, v.stride);
    return tarn__apply(t, &expand_op, 1, &x, &v, sizeof v);
}

/* ---- concat: gx_i = its slice of g ---- */

enum { MAX_CONCAT = 4096 };

static bool concat_shape(tarn_node *n)
{
    int axis = *(const int *)n->attr;
    const tarn_tensor *first = n->in[0];
    int64_t shape[TARN_MAX_DIMS], total = 0;
    memcpy(shape, first->shape, sizeof shape);
    for (int i = 0; i < n->n_in; i++) {
        const tarn_tensor *x = n->in[i];
        bool same = x->ndim == first->ndim && x->dtype == first->dtype;
        for (int k = 0; same && k < x->ndim; k++)
            same = k == axis || x->shape[k] == first->shape[k];
        if (!same || x->shape[axis] > PTRDIFF_MAX - total)
            return tarn__node_fail(n, "input %d is %s%s, input 0 %s%s: only axis %d may differ", i,
                                   tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x), tarn_dtype_name(first->dtype),
                                   TARN__SHAPE_TEXT(first), axis);
        total += x->shape[axis];
    }
    shape[axis] = total;
    return tarn__output(n, first->dtype, first->ndim, shape);
}

static bool concat_run(tarn_node *n)
{
    int axis = *(const int *)n->attr;
    tarn_tensor *y = n->out[0];
    char *to = y->data;
    for (int i = 0; i < n->n_in; i++) {
        tarn_tensor part = *y;
        memcpy(part.shape, n->in[i]->shape, sizeof part.shape);
        part.numel = n->in[i]->numel;
        part.data = to;
        tarn__copy_elements(&part, n->in[i]);
        to += (size_t)(n->in[i]->shape[axis] * y->stride[axis]) * tarn_dtype_size(y->dtype);
    }
    return true;
}

static bool concat_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    int axis = *(const int *)n->attr;
    int64_t from = 0;
    for (int i = 0; i < n->n_in; i++) {
        int64_t to = from + n->in[i]->shape[axis];
        if (need[i])
            gx[i] = tarn_slice(t, gy[0], axis, from, to, 1);
        from = to;
    }
    return true;
}

TARN__OP(concat_op, "concat", concat_shape, concat_run, concat_vjp);

tarn_tensor *tarn_concat(tarn_tape *t, int n, tarn_tensor *const *xs, int axis)
{
    if (!tarn__usable("tarn_concat", xs, "xs"))
        return NULL;
    if (n < 1 || n > MAX_CONCAT) {
        tarn_fail("tarn_concat: %d tensors, expected 1 to %d", n, MAX_CONCAT);
        return NULL;
    }
    if (!tarn__inputs_usable("concat", t, n, xs) || (axis = tarn__axis("tarn_concat", axis, xs[0]->ndim)) < 0)
        return NULL;
    return tarn__apply(t, &concat_op, n, xs, &axis, sizeof axis);
}

/* ---- pad: gx = g without the border ---- */

typedef struct pad_attr {
    int64_t before[TARN_MAX_DIMS], after[TARN_MAX_DIMS];
    double value;
} pad_attr;

static bool pad_shape(tarn_node *n)
{
    const pad_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0];
    int64_t shape[TARN_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++) {
        if (attr->before[i] < 0 || attr->after[i] < 0)
            return tarn__node_fail(n, "axis %d is padded by %" PRId64 " and %" PRId64 ", expected 0 or more", i,
                                   attr->before[i], attr->after[i]);
        if (attr->before[i] > INT64_MAX / 4 || attr->after[i] > INT64_MAX / 4)
            return tarn__node_fail(n, "axis %d is padded beyond any size", i);
        shape[i] = attr->before[i] + x->shape[i] + attr->after[i];
    }
    return tarn__output(n, x->dtype, x->ndim, shape);
}

static bool pad_run(tarn_node *n)
{
    const pad_attr *attr = n->attr;
    tarn_tensor *y = n->out[0], window = *y;
    int64_t offset = 0;
    if (attr->value == 0)
        memset(y->data, 0, tarn__bytes(y));
    for (int64_t i = 0; attr->value != 0 && i < y->numel; i++)
        tarn__store(y, i, attr->value);
    for (int i = 0; i < y->ndim; i++)
        offset += attr->before[i] * y->stride[i];
    memcpy(window.shape, n->in[0]->shape, sizeof window.shape);
    window.numel = n->in[0]->numel;
    window.data = (char *)y->data + (size_t)offset * tarn_dtype_size(y->dtype);
    tarn__copy_elements(&window, n->in[0]);
    return true;
}

static bool pad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const pad_attr *attr = n->attr;
    tarn_tensor *g = gy[0];
    for (int i = 0; i < n->in[0]->ndim && need[0]; i++)
        if (attr->before[i] > 0 || attr->after[i] > 0)
            g = tarn_slice(t, g, i, attr->before[i], attr->before[i] + n->in[0]->shape[i], 1);
    gx[0] = need[0] ? g : NULL;
    return true;
}

TARN__OP(pad_op, "pad", pad_shape, pad_run, pad_vjp);

tarn_tensor *tarn_pad(tarn_tape *t, tarn_tensor *x, const int64_t *before, const int64_t *after, double value)
{
    pad_attr attr = {.value = value};
    if (!tarn__inputs_usable("pad", t, 1, &x))
        return NULL;
    if (x->ndim > 0 && (!before || !after)) {
        tarn_fail("tarn_pad: %s is NULL", before ? "after" : "before");
        return NULL;
    }
    for (int i = 0; i < x->ndim; i++) {
        attr.before[i] = before[i];
        attr.after[i] = after[i];
    }
    return tarn__apply(t, &pad_op, 1, &x, &attr, sizeof attr);
}
