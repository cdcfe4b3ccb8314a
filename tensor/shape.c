#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <string.h>

tarn__shape_text tarn__shape_text_of(int ndim, const int64_t *shape)
{
    tarn__shape_text out;
    size_t at = 0;
    out.text[at++] = '[';
    for (int i = 0; i < ndim && i < TARN_MAX_DIMS; i++)
        at += (size_t)snprintf(out.text + at, sizeof out.text - at, "%s%" PRId64, i ? "," : "", shape[i]);
    out.text[at++] = ']';
    out.text[at] = '\0';
    return out;
}

bool tarn__check_shape(const char *who, tarn_dtype dtype, int ndim, const int64_t *shape, int64_t *numel)
{
    if ((unsigned)dtype >= TARN_DTYPE_COUNT)
        return tarn_fail("%s: dtype %d is not one of tarn_dtype's", who, (int)dtype);
    if (ndim < 0 || ndim > TARN_MAX_DIMS)
        return tarn_fail("%s: %d dimensions, expected 0 to %d", who, ndim, TARN_MAX_DIMS);
    if (ndim > 0 && !shape)
        return tarn_fail("%s: shape is NULL", who);
    /* The product of the non-zero sizes must fit too: a view may drop the zero later. */
    int64_t product = 1, limit = PTRDIFF_MAX / 2 / (int64_t)tarn_dtype_size(dtype);
    bool empty = false;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return tarn_fail("%s: shape %s has a negative size", who, tarn__shape_text_of(ndim, shape).text);
        empty |= shape[i] == 0;
        if (shape[i] > 0 && product > limit / shape[i])
            return tarn_fail("%s: shape %s is too large", who, tarn__shape_text_of(ndim, shape).text);
        product *= shape[i] > 0 ? shape[i] : 1;
    }
    *numel = empty ? 0 : product;
    return true;
}

void tarn__set_shape(tarn_tensor *x, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    x->dtype = dtype;
    x->ndim = ndim;
    x->numel = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        x->shape[i] = shape[i];
        x->stride[i] = x->numel;
        x->numel *= shape[i];
    }
}

bool tarn__same_shape(const tarn_tensor *a, const tarn_tensor *b)
{
    return a->ndim == b->ndim &&
           (a->ndim == 0 || memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof a->shape[0]) == 0);
}

int tarn__broadcast(int a_ndim, const int64_t *a, int b_ndim, const int64_t *b, int64_t *out)
{
    int ndim = a_ndim > b_ndim ? a_ndim : b_ndim;
    for (int i = 0; i < ndim; i++) {
        int64_t x = i < a_ndim ? a[a_ndim - 1 - i] : 1;
        int64_t y = i < b_ndim ? b[b_ndim - 1 - i] : 1;
        if (x != y && x != 1 && y != 1)
            return -1;
        out[ndim - 1 - i] = x == 1 ? y : x;
    }
    return ndim;
}

void tarn__broadcast_strides(const tarn_tensor *x, int ndim, const int64_t *shape, int64_t *stride)
{
    int missing = ndim - x->ndim;
    for (int i = 0; i < ndim; i++)
        stride[i] = i < missing || (x->shape[i - missing] == 1 && shape[i] != 1) ? 0 : x->stride[i - missing];
}

int tarn__axis(const char *who, int axis, int ndim)
{
    int counted = axis < 0 ? axis + ndim : axis;
    if (counted < 0 || counted >= ndim) {
        tarn_fail("%s: axis %d is out of range for %d dimensions", who, axis, ndim);
        return -1;
    }
    return counted;
}

/* Each run of old axes that lies along memory as one axis is matched with the new axes of the same product. */
bool tarn__view_strides(int ndim, const int64_t *shape, const int64_t *stride, int new_ndim, const int64_t *new_shape,
                        int64_t *new_stride)
{
    int64_t numel = 1;
    for (int i = 0; i < ndim; i++)
        numel *= shape[i];
    if (numel == 0) {
        int64_t step = 1;
        for (int i = new_ndim - 1; i >= 0; i--) {
            new_stride[i] = step;
            step *= new_shape[i] > 0 ? new_shape[i] : 1;
        }
        return true;
    }
    int next = new_ndim - 1;
    int64_t run = 1, base = 1;
    for (int i = ndim - 1; i >= -1; i--) {
        if (i >= 0 && shape[i] == 1)
            continue;
        if (i >= 0 && run == 1)
            base = stride[i];
        if (i >= 0 && (run == 1 || stride[i] == run * base)) {
            run *= shape[i];
            continue;
        }
        int64_t covered = 1;
        while (next >= 0 && (covered < run || new_shape[next] == 1)) {
            new_stride[next] = covered * base;
            covered *= new_shape[next--];
        }
        if (covered != run)
            return false;
        if (i >= 0) {
            run = shape[i];
            base = stride[i];
        }
    }
    return true;
}
