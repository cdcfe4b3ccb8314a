#include "tensor/tensor.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[TARN_DTYPE_COUNT] = {
    [TARN_F32] = {"f32", sizeof(float)},
    [TARN_F64] = {"f64", sizeof(double)},
    [TARN_I32] = {"i32", sizeof(int32_t)},
    [TARN_U8] = {"u8", sizeof(uint8_t)},
};

const char *tarn_dtype_name(tarn_dtype dtype)
{
    return (unsigned)dtype < TARN_DTYPE_COUNT ? dtypes[dtype].name : "?";
}

size_t tarn_dtype_size(tarn_dtype dtype)
{
    return (unsigned)dtype < TARN_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

bool tarn__usable(const char *who, const void *pointer, const char *what)
{
    if (!pointer)
        return tarn_fail("%s: %s is NULL", who, what);
    return !tarn_error() && tarn__isa_is_known(who);
}

bool tarn__gone_fail(const char *who, const char *what)
{
    return tarn_fail("%s: %s was let go by tarn_tape_reset: read it before, or keep a copy (tarn_tensor_clone)", who,
                     what);
}

bool tarn__tensor_usable(const char *who, const tarn_tensor *x, const char *what)
{
    return tarn__usable(who, x, what) && (!tarn__is_gone(x) || tarn__gone_fail(who, what));
}

/* ---- making ---- */

uint64_t tarn__new_id(void)
{
    static atomic_uint_fast64_t leaves;
    return (uint64_t)atomic_fetch_add_explicit(&leaves, 1, memory_order_relaxed) + 1;
}

/* The header and, with own_data, room for the elements behind it. */
static tarn_tensor *tensor_allocate(const char *who, tarn_dtype dtype, int ndim, const int64_t *shape, bool own_data)
{
    int64_t numel;
    if (tarn_error() || !tarn__isa_is_known(who) || !tarn__check_shape(who, dtype, ndim, shape, &numel))
        return NULL;
    size_t header = (sizeof(tarn_tensor) + TARN__ALIGN - 1) & ~(size_t)(TARN__ALIGN - 1);
    size_t bytes = (size_t)numel * tarn_dtype_size(dtype);
    tarn_tensor *x = tarn__allocate(header + (own_data ? bytes : 0));
    if (!x) {
        tarn_fail("%s: no memory for %s%s", who, tarn_dtype_name(dtype), tarn__shape_text_of(ndim, shape).text);
        return NULL;
    }
    memset(x, 0, sizeof *x);
    tarn__set_shape(x, dtype, ndim, shape);
    x->data = (char *)x + header;
    x->ready = true;
    x->id = tarn__new_id();
    return x;
}

tarn_tensor *tarn_tensor_new(tarn_dtype dtype, int ndim, const int64_t *shape)
{
    tarn_tensor *x = tensor_allocate("tarn_tensor_new", dtype, ndim, shape, true);
    if (x)
        memset(x->data, 0, tarn__bytes(x));
    return x;
}

tarn_tensor *tarn_tensor_from(tarn_dtype dtype, int ndim, const int64_t *shape, const void *data)
{
    if (!tarn__usable("tarn_tensor_from", data, "data"))
        return NULL;
    tarn_tensor *x = tensor_allocate("tarn_tensor_from", dtype, ndim, shape, true);
    if (x)
        memcpy(x->data, data, tarn__bytes(x));
    return x;
}

tarn_tensor *tarn_tensor_wrap(tarn_dtype dtype, int ndim, const int64_t *shape, void *data)
{
    if (!tarn__usable("tarn_tensor_wrap", data, "data"))
        return NULL;
    if ((uintptr_t)data % (tarn_dtype_size(dtype) ? tarn_dtype_size(dtype) : 1)) {
        tarn_fail("tarn_tensor_wrap: data is not aligned for %s", tarn_dtype_name(dtype));
        return NULL;
    }
    tarn_tensor *x = tensor_allocate("tarn_tensor_wrap", dtype, ndim, shape, false);
    if (x)
        x->data = data;
    return x;
}

tarn_tensor *tarn_tensor_clone(tarn_tensor *x)
{
    if (!tarn__tensor_usable("tarn_tensor_clone", x, "x") || !tarn__realize(x))
        return NULL;
    tarn_tensor *copy = tensor_allocate("tarn_tensor_clone", x->dtype, x->ndim, x->shape, true);
    if (copy)
        tarn__copy_elements(copy, x);
    return copy;
}

tarn_tensor *tarn_tensor_uniform_new(tarn_dtype dtype, int ndim, const int64_t *shape, tarn_rng *rng, double low,
                                     double high)
{
    if (!tarn__usable("tarn_tensor_uniform_new", rng, "rng"))
        return NULL;
    if (!tarn__is_float(dtype)) {
        tarn_fail("tarn_tensor_uniform_new: dtype %s, expected f32 or f64", tarn_dtype_name(dtype));
        return NULL;
    }
    tarn_tensor *x = tensor_allocate("tarn_tensor_uniform_new", dtype, ndim, shape, true);
    if (!x)
        return NULL;
    bool filled = dtype == TARN_F32 ? tarn_rng_fill_uniform_f32(rng, (size_t)x->numel, x->data, low, high)
                                    : tarn_rng_fill_uniform_f64(rng, (size_t)x->numel, x->data, low, high);
    if (filled)
        return x;
    tarn_tensor_free(x);
    return NULL;
}

void tarn_tensor_free(tarn_tensor *x)
{
    if (!x)
        return;
    if (x->owner != TARN__OWNED_BY_CALLER) {
        tarn_fail("tarn_tensor_free: %s belongs to a %s", TARN__SHAPE_TEXT(x),
                  x->owner == TARN__OWNED_BY_TAPE ? "tape, which frees it by tarn_tape_reset" : "parameter store");
        return;
    }
    tarn__release(x->packed);
    tarn__release(x);
}

/* ---- asking ---- */

tarn_dtype tarn_tensor_dtype(const tarn_tensor *x)
{
    return x ? x->dtype : TARN_F32;
}

int tarn_ndim(const tarn_tensor *x)
{
    return x ? x->ndim : 0;
}

int64_t tarn_dim(const tarn_tensor *x, int axis)
{
    if (!x)
        return 0;
    int counted = axis < 0 ? axis + x->ndim : axis;
    return counted >= 0 && counted < x->ndim ? x->shape[counted] : 0;
}

const int64_t *tarn_shape(const tarn_tensor *x)
{
    return x ? x->shape : NULL;
}

const int64_t *tarn_strides(const tarn_tensor *x)
{
    return x ? x->stride : NULL;
}

int64_t tarn_numel(const tarn_tensor *x)
{
    return x ? x->numel : 0;
}

bool tarn_is_contiguous(const tarn_tensor *x)
{
    if (!x)
        return false;
    int64_t step = 1;
    for (int i = x->ndim - 1; i >= 0; i--) {
        if (x->shape[i] != 1 && x->stride[i] != step)
            return x->numel == 0;
        step *= x->shape[i];
    }
    return true;
}

/* ---- reading and writing ---- */

bool tarn__realize(tarn_tensor *x)
{
    return x->ready || x->home->compute(x);
}

const void *tarn_data(tarn_tensor *x)
{
    if (!tarn__tensor_usable("tarn_data", x, "x") || !tarn__realize(x))
        return NULL;
    if (tarn_is_contiguous(x)) {
        if (x->node)
            x->kept = true; /* somebody has the pointer now */
        return x->data;
    }
    uint64_t version = x->root ? x->root->version : 0;
    if (!x->packed)
        x->packed = x->home ? x->home->allocate(x, tarn__bytes(x)) : tarn__allocate(tarn__bytes(x));
    else if (x->packed_version == version)
        return x->packed;
    if (!x->packed) {
        tarn_fail("tarn_data: no memory for a copy of %s", TARN__SHAPE_TEXT(x));
        return NULL;
    }
    tarn_tensor whole = {.data = x->packed};
    tarn__set_shape(&whole, x->dtype, x->ndim, x->shape);
    tarn__copy_elements(&whole, x);
    x->packed_version = version;
    return x->packed;
}

static bool writable(const char *who, const tarn_tensor *x)
{
    if (!tarn__tensor_usable(who, x, "x"))
        return false;
    return x->node ? tarn_fail("%s: %s was computed by an op, and cannot be written", who, TARN__SHAPE_TEXT(x)) : true;
}

void *tarn_mutable_data(tarn_tensor *x)
{
    if (!writable("tarn_mutable_data", x))
        return NULL;
    x->version++;
    return x->data;
}

double tarn__load(const tarn_tensor *x, int64_t offset)
{
    switch (x->dtype) {
    case TARN_F32:
        return (double)((const float *)x->data)[offset];
    case TARN_F64:
        return ((const double *)x->data)[offset];
    case TARN_I32:
        return (double)((const int32_t *)x->data)[offset];
    default:
        return (double)((const uint8_t *)x->data)[offset];
    }
}

/* C leaves the conversion of a value that does not fit undefined: here it goes to the nearest end, and NaN to
 * 0. */
static double within(double value, double low, double high)
{
    return isnan(value) ? 0 : fmin(fmax(value, low), high);
}

void tarn__store(tarn_tensor *x, int64_t offset, double value)
{
    switch (x->dtype) {
    case TARN_F32:
        ((float *)x->data)[offset] = (float)value;
        break;
    case TARN_F64:
        ((double *)x->data)[offset] = value;
        break;
    case TARN_I32:
        ((int32_t *)x->data)[offset] = (int32_t)within(value, INT32_MIN, INT32_MAX);
        break;
    default:
        ((uint8_t *)x->data)[offset] = (uint8_t)within(value, 0, UINT8_MAX);
    }
}

double tarn_item(tarn_tensor *x)
{
    if (!tarn__tensor_usable("tarn_item", x, "x"))
        return NAN;
    if (x->numel != 1) {
        tarn_fail("tarn_item: %s has %" PRId64 " elements, expected 1", TARN__SHAPE_TEXT(x), x->numel);
        return NAN;
    }
    return tarn__realize(x) ? tarn__load(x, 0) : NAN;
}

double tarn_at(tarn_tensor *x, const int64_t *index)
{
    if (!tarn__tensor_usable("tarn_at", x, "x") || (x->ndim > 0 && !tarn__usable("tarn_at", index, "index")))
        return NAN;
    int64_t offset = 0;
    for (int i = 0; i < x->ndim; i++) {
        if (index[i] < 0 || index[i] >= x->shape[i]) {
            tarn_fail("tarn_at: index %s is out of range for %s", tarn__shape_text_of(x->ndim, index).text,
                      TARN__SHAPE_TEXT(x));
            return NAN;
        }
        offset += index[i] * x->stride[i];
    }
    return tarn__realize(x) ? tarn__load(x, offset) : NAN;
}

bool tarn_copy(tarn_tensor *dst, tarn_tensor *src)
{
    if (!writable("tarn_copy", dst) || !tarn__tensor_usable("tarn_copy", src, "src"))
        return false;
    if (!tarn__same_shape(dst, src))
        return tarn_fail("tarn_copy: %s into %s: the shapes differ", TARN__SHAPE_TEXT(src), TARN__SHAPE_TEXT(dst));
    if (!tarn__realize(src))
        return false;
    tarn_tensor from = *src;
    if (src->root == dst && !tarn_is_contiguous(src)) { /* written while it is read, unless copied first */
        if (!tarn_data(src))
            return false;
        from.data = src->packed;
        tarn__set_shape(&from, src->dtype, src->ndim, src->shape);
    }
    dst->version++;
    tarn__copy_elements(dst, &from);
    return true;
}

bool tarn_fill(tarn_tensor *x, double value)
{
    if (!writable("tarn_fill", x))
        return false;
    x->version++;
    for (int64_t i = 0; i < x->numel; i++)
        tarn__store(x, i, value);
    return true;
}

void tarn__copy_elements(tarn_tensor *dst, const tarn_tensor *src)
{
    bool same = dst->dtype == src->dtype;
    if (same && tarn_is_contiguous(dst) && tarn_is_contiguous(src)) {
        memmove(dst->data, src->data, tarn__bytes(src));
        return;
    }
    if (src->numel == 0)
        return;
    int inner = src->ndim - 1;
    int64_t length = inner >= 0 ? src->shape[inner] : 1;
    int64_t from_step = inner >= 0 ? src->stride[inner] : 1, to_step = inner >= 0 ? dst->stride[inner] : 1;
    int64_t index[TARN_MAX_DIMS] = {0}, from = 0, to = 0;
    size_t size = tarn_dtype_size(src->dtype);
    for (int64_t row = 0; row < src->numel / length; row++) {
        if (same && from_step == 1 && to_step == 1)
            memcpy((char *)dst->data + (size_t)to * size, (char *)src->data + (size_t)from * size,
                   (size_t)length * size);
        else if (same && src->dtype == TARN_F32)
            for (int64_t i = 0; i < length; i++)
                ((float *)dst->data)[to + i * to_step] = ((const float *)src->data)[from + i * from_step];
        else
            for (int64_t i = 0; i < length; i++)
                tarn__store(dst, to + i * to_step, tarn__load(src, from + i * from_step));
        for (int axis = inner - 1; axis >= 0; axis--) {
            from += src->stride[axis], to += dst->stride[axis];
            if (++index[axis] < src->shape[axis])
                break;
            from -= src->stride[axis] * src->shape[axis], to -= dst->stride[axis] * dst->shape[axis];
            index[axis] = 0;
        }
    }
}
