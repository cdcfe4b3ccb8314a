/* A store's tensors taken together: as one vector, and as a copy to go back to. */
#include "tensor/arena.h"
#include "tensor/params.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <string.h>

/* `part` of `from` of the vector, or back. */
static void copy_part(tarn_tensor *vector, int64_t from, tarn_tensor *part, bool into_vector)
{
    tarn_tensor window = *part;
    window.dtype = TARN_F64;
    window.data = (double *)vector->data + from;
    if (into_vector)
        tarn__copy_elements(&window, part);
    else
        tarn__copy_elements(part, &window);
}

static tarn_tensor *gather(const char *who, const tarn_params *params, bool grads)
{
    if (!tarn__usable(who, params, "params"))
        return NULL;
    tarn_tensor *vector = tarn_tensor_new(TARN_F64, TARN_SHAPE(tarn_params_numel(params)));
    if (!vector)
        return NULL;
    int64_t from = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        tarn_tensor *x = tarn_params_at(params, i);
        if (!x->grad)
            continue;
        if (!grads || x->has_grad)
            copy_part(vector, from, grads ? x->grad : x, true);
        from += x->numel;
    }
    return vector;
}

tarn_tensor *tarn_params_vector_new(const tarn_params *params)
{
    return gather("tarn_params_vector_new", params, false);
}

tarn_tensor *tarn_params_grad_vector_new(const tarn_params *params)
{
    return gather("tarn_params_grad_vector_new", params, true);
}

bool tarn_params_set_vector(tarn_params *params, tarn_tensor *vector)
{
    static const char who[] = "tarn_params_set_vector";
    if (!tarn__usable(who, params, "params") || !tarn__usable(who, vector, "vector"))
        return false;
    int64_t numel = tarn_params_numel(params);
    if (vector->dtype != TARN_F64 || vector->ndim != 1 || vector->shape[0] != numel)
        return tarn_fail("%s: vector %s %s, expected f64 [%" PRId64 "]", who, tarn_dtype_name(vector->dtype),
                         TARN__SHAPE_TEXT(vector), numel);
    const void *data = tarn_data(vector);
    if (!data)
        return false;
    tarn_tensor row_major = {.data = (void *)data};
    int64_t from = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        tarn_tensor *x = tarn_params_at(params, i);
        if (!x->grad)
            continue;
        copy_part(&row_major, from, x, false);
        x->version++;
        from += x->numel;
    }
    return true;
}

void *tarn__params_snapshot(const tarn_params *params)
{
    size_t bytes = 1;
    for (size_t i = 0; i < tarn_params_count(params); i++)
        bytes += tarn__bytes(tarn_params_at(params, i));
    char *snapshot = tarn__allocate(bytes), *at = snapshot;
    for (size_t i = 0; snapshot && i < tarn_params_count(params); i++) {
        const tarn_tensor *x = tarn_params_at(params, i);
        memcpy(at, x->data, tarn__bytes(x));
        at += tarn__bytes(x);
    }
    return snapshot;
}

void tarn__params_restore(tarn_params *params, const void *snapshot, bool only_buffers)
{
    const char *at = snapshot;
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        tarn_tensor *x = tarn_params_at(params, i);
        size_t bytes = tarn__bytes(x);
        if (!(only_buffers && x->grad) && memcmp(x->data, at, bytes) != 0) {
            memcpy(x->data, at, bytes);
            x->version++;
        }
        at += bytes;
    }
}
