/* tensor/tensor.h: N-dimensional arrays.
 *
 * A tensor has a dtype, up to TARN_MAX_DIMS dimensions (none: a scalar; a dimension may be 0) and elements in
 * row-major order: the last axis lies along memory, and is the feature axis (images are [N,H,W,C]).
 *
 * Who owns what: a tensor from a function named _new, _from, _wrap, _clone or _load is the caller's, to be
 * freed with tarn_tensor_free(); what an op returns lives on its tape until tarn_tape_reset(), and using it
 * later is an error (autograd/tape.h says how long that is seen); a parameter lives in its store. A tensor on a tape may be pending: reading it (tarn_data, tarn_item, ...) computes it
 * first. */
#ifndef TARN_TENSOR_H
#define TARN_TENSOR_H

#include "tensor/error.h"
#include "tensor/rng.h"

#include <stdio.h>

/* A count, and that many numbers, which live as long as the call that they are written in. */
#ifdef __cplusplus
template <typename T, int count> struct tarn_list {
    T items[count];
    const T *all() const
    {
        return items;
    }
};
template <typename T, typename... Items> tarn_list<T, int(sizeof...(Items))> tarn_list_of(Items... items)
{
    return {{static_cast<T>(items)...}};
}
#define TARN_LIST(T, ...) int(sizeof(tarn_list_of<T>(__VA_ARGS__)) / sizeof(T)), tarn_list_of<T>(__VA_ARGS__).all()

extern "C" {
#else
#define TARN_LIST(T, ...)                                                                                              \
    (int)(sizeof((T[]){__VA_ARGS__}) / sizeof(T)), (const T[])                                                         \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#endif

enum { TARN_MAX_DIMS = 8 };

typedef enum tarn_dtype {
    TARN_F32, /* float */
    TARN_F64, /* double */
    TARN_I32, /* int32_t: labels and indices */
    TARN_U8,  /* uint8_t: images, and the truth values that comparisons give */
    TARN_DTYPE_COUNT
} tarn_dtype;

typedef struct tarn_tensor tarn_tensor;

/* Sugar for the (ndim, shape) pairs below: tarn_tensor_new(TARN_F32, TARN_SHAPE(64, 10)), in C and in C++11. A scalar
 * is 0, NULL. */
#define TARN_SHAPE(...) TARN_LIST(int64_t, __VA_ARGS__)

/* "f32", "f64", "i32", "u8"; "?" for a value outside the enum. */
TARN_API const char *tarn_dtype_name(tarn_dtype dtype);

/* Bytes of one element; 0 for a value outside the enum. */
TARN_API size_t tarn_dtype_size(tarn_dtype dtype);

/* ---- making tensors ---- */

/* A tensor of zeros. NULL, with an error, on a bad dtype, ndim outside 0..TARN_MAX_DIMS, a negative
 * dimension, a size whose bytes overflow, or no memory. */
TARN_API tarn_tensor *tarn_tensor_new(tarn_dtype dtype, int ndim, const int64_t *shape);

/* A tensor with a copy of the elements at `data`, row-major. */
TARN_API tarn_tensor *tarn_tensor_from(tarn_dtype dtype, int ndim, const int64_t *shape, const void *data);

/* A tensor over the caller's own memory, which is neither copied nor freed and must outlive it. Tell tarn of
 * a change to the elements by tarn_mutable_data(). */
TARN_API tarn_tensor *tarn_tensor_wrap(tarn_dtype dtype, int ndim, const int64_t *shape, void *data);

/* A contiguous copy of x's elements, computed first if x is pending. */
TARN_API tarn_tensor *tarn_tensor_clone(tarn_tensor *x);

/* Uniform values in [low, high) (f32 or f64), from `rng`, which moves on. */
TARN_API tarn_tensor *tarn_tensor_uniform_new(tarn_dtype dtype, int ndim, const int64_t *shape, tarn_rng *rng,
                                              double low, double high);

/* Frees a tensor that the caller owns. NULL is fine; a tensor that belongs to a tape or a store is an error.
 * Values that a tape has yet to compute from x can no longer be computed: reset the tape first. */
TARN_API void tarn_tensor_free(tarn_tensor *x);

/* ---- asking ---- */
/* These never compute anything and set no error. Of NULL: TARN_F32, 0, 0, NULL, 0. Of
 * what a reset has let go the answers mean nothing. */

TARN_API tarn_dtype tarn_tensor_dtype(const tarn_tensor *x);
TARN_API int tarn_ndim(const tarn_tensor *x);

/* The size of one axis; a negative axis counts from the end (-1 is the last). 0 for an axis out of range. */
TARN_API int64_t tarn_dim(const tarn_tensor *x, int axis);

/* The tarn_ndim(x) sizes; valid as long as x is. */
TARN_API const int64_t *tarn_shape(const tarn_tensor *x);

/* The distance between neighbours along each axis, in elements; 0 along an axis that was expanded. */
TARN_API const int64_t *tarn_strides(const tarn_tensor *x);

/* The number of elements: the product of the sizes. */
TARN_API int64_t tarn_numel(const tarn_tensor *x);

TARN_API bool tarn_is_contiguous(const tarn_tensor *x);

/* ---- reading and writing elements ---- */

/* x's elements in row-major order, computed first if pending. Of a strided view this is a copy, made at the first call,
 * and anew when the leaf behind it has changed. The pointer is good until x's owner lets go of x. NULL on error; for a
 * tensor without elements, a non-NULL pointer that must not be read. */
TARN_API const void *tarn_data(tarn_tensor *x);

/* The elements of a tensor that no op computed (the caller's own, or a parameter), to be written. Each call
 * tells the tape that they may change: what was recorded from x but not yet computed becomes an error. */
TARN_API void *tarn_mutable_data(tarn_tensor *x);

/* The one element of a tensor with exactly one, as a double; NaN with an error otherwise. */
TARN_API double tarn_item(tarn_tensor *x);

/* The element at `index` (tarn_ndim(x) entries, each 0 or more and below its size), as a double; NaN with an
 * error when out of range. */
TARN_API double tarn_at(tarn_tensor *x, const int64_t *index);

/* dst[...] = src[...], the shapes must be equal; another dtype is converted: fractions are cut for whole numbers, a value
 * that does not fit goes to the nearest end, NaN to 0. dst as in tarn_mutable_data. */
TARN_API bool tarn_copy(tarn_tensor *dst, tarn_tensor *src);

/* Every element of x becomes `value`, converted to its dtype. x as in tarn_mutable_data. */
TARN_API bool tarn_fill(tarn_tensor *x, double value);

/* ---- printing ---- */

/* Writes x as NumPy would print it (in any locale), then its dtype and shape: nested brackets, aligned columns, and at most 6
 * entries an axis (first three, "...", last three) once there are more than 1000 elements. False, with an
 * error, when x cannot be computed or `file` cannot be written. */
TARN_API bool tarn_print(FILE *file, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
