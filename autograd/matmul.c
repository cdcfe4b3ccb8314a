/* y = a b over the last two axes.   ga = g b^T,   gb = a^T g */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/gemm.h"

#include <inttypes.h>
#include <string.h>

static bool matmul_shape(tarn_node *n)
{
    const tarn_tensor *a = n->in[0], *b = n->in[1];
    if (!tarn__same_float(n))
        return false;
    if (a->ndim < 2 || b->ndim < 2)
        return tarn__node_fail(n, "%s x %s: expected at least 2 dimensions each", TARN__SHAPE_TEXT(a),
                               TARN__SHAPE_TEXT(b));
    int64_t rows = tarn_dim(a, -2), k = tarn_dim(a, -1), columns = tarn_dim(b, -1), shape[TARN_MAX_DIMS];
    if (tarn_dim(b, -2) != k)
        return tarn__node_fail(n, "%s x %s: inner dimensions %" PRId64 " and %" PRId64 " differ", TARN__SHAPE_TEXT(a),
                               TARN__SHAPE_TEXT(b), k, tarn_dim(b, -2));
    if (rows > INT32_MAX || k > INT32_MAX || columns > INT32_MAX)
        return tarn__node_fail(n, "%s x %s: a side is longer than 2^31-1", TARN__SHAPE_TEXT(a), TARN__SHAPE_TEXT(b));
    int ndim = tarn__broadcast(a->ndim - 2, a->shape, b->ndim - 2, b->shape, shape);
    if (ndim < 0)
        return tarn__node_fail(n, "%s x %s: the batch axes do not broadcast", TARN__SHAPE_TEXT(a), TARN__SHAPE_TEXT(b));
    shape[ndim] = rows;
    shape[ndim + 1] = columns;
    return tarn__output(n, a->dtype, ndim + 2, shape);
}

/* One factor as OpenBLAS can read it: each matrix row-major or transposed, possibly after a copy. */
typedef struct factor {
    tarn_tensor view; /* with the strides that are used */
    bool transposed;
    int64_t row_length;
} factor;

static bool lies_straight(int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride)
{
    return (column_stride == 1 || columns == 1) && (row_stride >= columns || rows == 1) && row_stride <= INT32_MAX;
}

static bool factor_init(const tarn_node *n, int i, factor *f)
{
    f->view = *n->in[i];
    int64_t *stride = f->view.stride, rows = tarn_dim(&f->view, -2), columns = tarn_dim(&f->view, -1);
    int r = f->view.ndim - 2, c = r + 1;
    bool straight = lies_straight(rows, columns, stride[r], stride[c]);
    f->transposed = !straight && lies_straight(columns, rows, stride[c], stride[r]);
    if (!straight && !f->transposed) {
        const void *data = tarn__packed_input(n, i);
        if (!data)
            return false;
        tarn__set_shape(&f->view, f->view.dtype, f->view.ndim, n->in[i]->shape);
        f->view.data = (void *)(uintptr_t)data;
    }
    int64_t least = f->transposed ? rows : columns, given = f->transposed ? stride[c] : stride[r];
    f->row_length = given > least ? given : least > 0 ? least : 1;
    return true;
}

/* Where each matrix of the batch begins, in bytes, as x is broadcast over the batch axes. */
static void batch_offsets(const tarn_tensor *x, int ndim, const int64_t *shape, int64_t count, int64_t *offset)
{
    tarn_tensor outer = *x;
    int64_t stride[TARN_MAX_DIMS];
    outer.ndim -= 2;
    tarn__broadcast_strides(&outer, ndim, shape, stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at = 0;
        for (int axis = ndim - 1; axis >= 0; axis--) {
            at += rest % shape[axis] * stride[axis];
            rest /= shape[axis];
        }
        offset[i] = at * (int64_t)tarn_dtype_size(x->dtype);
    }
}

static bool matmul_run(tarn_node *n)
{
    tarn_tensor *y = n->out[0];
    factor a, b;
    if (y->numel == 0)
        return true;
    if (!factor_init(n, 0, &a) || !factor_init(n, 1, &b))
        return false;
    int64_t rows = tarn_dim(y, -2), columns = tarn_dim(y, -1), count = y->numel / (rows * columns);
    tarn__gemm g = {.dtype = y->dtype,
                    .transpose_a = a.transposed,
                    .transpose_b = b.transposed,
                    .m = rows,
                    .n = columns,
                    .k = tarn_dim(n->in[0], -1),
                    .a = a.view.data,
                    .b = b.view.data,
                    .c = y->data,
                    .lda = a.row_length,
                    .ldb = b.row_length,
                    .ldc = columns};
    int64_t *offset = tarn__scratch(n, (size_t)(3 * count) * sizeof *offset);
    void *scratch = tarn__scratch(n, tarn__gemm_scratch(&g, count));
    if (!offset || !scratch)
        return false;
    batch_offsets(&a.view, y->ndim - 2, y->shape, count, offset);
    batch_offsets(&b.view, y->ndim - 2, y->shape, count, offset + count);
    for (int64_t i = 0; i < count; i++)
        offset[2 * count + i] = i * rows * columns * (int64_t)tarn_dtype_size(y->dtype);
    tarn__gemm_batch(&g, count, offset, offset + count, offset + 2 * count, scratch);
    return true;
}

static bool matmul_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    tarn_tensor *a = n->in[0], *b = n->in[1];
    if (need[0])
        gx[0] = tarn__sum_to(t, tarn_matmul(t, gy[0], tarn_transpose(t, b, -2, -1)), a);
    if (need[1])
        gx[1] = tarn__sum_to(t, tarn_matmul(t, tarn_transpose(t, a, -2, -1), gy[0]), b);
    return true;
}

TARN__OP(matmul_op, "matmul", matmul_shape, matmul_run, matmul_vjp);

/* [B,...,M,K] x [K,N]: one tall product instead of many small ones */
static tarn_tensor *tall_matmul(tarn_tape *t, tarn_tensor *a, tarn_tensor *b)
{
    int64_t shape[TARN_MAX_DIMS];
    memcpy(shape, a->shape, sizeof shape);
    shape[a->ndim - 1] = b->shape[1];
    tarn_tensor *rows = tarn_reshape(t, a, 2, (const int64_t[]){a->numel / b->shape[0], b->shape[0]});
    return tarn_reshape(t, tarn_matmul(t, rows, b), a->ndim, shape);
}

tarn_tensor *tarn_matmul(tarn_tape *t, tarn_tensor *a, tarn_tensor *b)
{
    if (!tarn__inputs_usable("matmul", t, 2, (tarn_tensor *const[]){a, b}))
        return NULL;
    if (a->ndim > 2 && b->ndim == 2 && a->numel > 0 && tarn_dim(a, -1) == b->shape[0] && tarn_is_contiguous(a))
        return tall_matmul(t, a, b);
    return tarn__apply(t, &matmul_op, TARN__IN(a, b), NULL, 0);
}
