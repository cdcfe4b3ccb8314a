/* tensor/params.h: the named store of everything that a model learns or keeps.
 *
 * A store holds parameters (trained; each has a gradient of its own shape) and buffers (kept, not trained:
 * running statistics, counters), in the order in which they were added. Layers add to it, tarn_backward()
 * fills the gradients, an optimiser walks it, tarn_params_save() writes it. Its tensors belong to it. */
#ifndef TARN_PARAMS_H
#define TARN_PARAMS_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_params tarn_params;

/* An empty store whose parameters are of `dtype`: TARN_F32 or TARN_F64. */
TARN_API tarn_params *tarn_params_new(tarn_dtype dtype);

/* Frees the store, its tensors and their gradients. NULL is fine. Free the tapes that used them, or reset
 * them, first. */
TARN_API void tarn_params_free(tarn_params *params);

/* A new parameter of zeros, with a gradient. The name must be new, not empty, and at most 255 bytes of
 * printable ASCII (it is the key in a weights file). NULL with an error otherwise. */
TARN_API tarn_tensor *tarn_params_add(tarn_params *params, const char *name, int ndim, const int64_t *shape);

/* A new buffer of zeros of the store's dtype, without a gradient. */
TARN_API tarn_tensor *tarn_params_add_buffer(tarn_params *params, const char *name, int ndim, const int64_t *shape);

TARN_API tarn_dtype tarn_params_dtype(const tarn_params *params);

/* How many tensors there are, parameters and buffers together. */
TARN_API size_t tarn_params_count(const tarn_params *params);

/* The i-th tensor, in order of adding; NULL without an error when i is out of range. */
TARN_API tarn_tensor *tarn_params_at(const tarn_params *params, size_t i);

/* The tensor of that name, however many there are in the same time; NULL without an error when there is none. */
TARN_API tarn_tensor *tarn_params_find(const tarn_params *params, const char *name);

/* The name under which x was added; NULL for a tensor that belongs to no store. */
TARN_API const char *tarn_param_name(const tarn_tensor *x);

/* The gradient of a parameter: its shape and dtype, belongs to the store. NULL for anything but a parameter. */
TARN_API tarn_tensor *tarn_param_grad(const tarn_tensor *x);

/* Whether x's gradient has been filled since it was last cleared. */
TARN_API bool tarn_param_has_grad(const tarn_tensor *x);

/* Sets every gradient to zero, and marks it as not filled. */
TARN_API bool tarn_params_zero_grad(tarn_params *params);

/* The number of trained elements. */
TARN_API int64_t tarn_params_numel(const tarn_params *params);

/* sqrt(sum of the squares of all gradients that are filled), summed in double, and right also where f64's squares are too
 * large or too small for that; NaN with an error on NULL. */
TARN_API double tarn_params_grad_norm(const tarn_params *params);

/* ---- all parameters as one vector: a point in the space of weights ---- */

/* f64 [tarn_params_numel(params)], the caller's: the elements of every parameter (buffers are left out) in the order
 * of the store, each row-major; or those of their gradients, zeros where one is not filled. f32 values are held
 * exactly. */
TARN_API tarn_tensor *tarn_params_vector_new(const tarn_params *params);
TARN_API tarn_tensor *tarn_params_grad_vector_new(const tarn_params *params);

/* Sets every parameter to what the vector (f64, of that shape) says, rounded to the store's dtype. On error nothing has
 * changed. */
TARN_API bool tarn_params_set_vector(tarn_params *params, tarn_tensor *vector);

#ifdef __cplusplus
}
#endif
#endif
