#include "tensor/params.h"
#include "tensor/arena.h"
#include "tensor/names.h"
#include "tensor/parallel.h"
#include "tensor/tensor_impl.h"
#include "tensor/vector.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MAX_NAME = 255 };

typedef struct entry {
    tarn_tensor tensor, grad;
} entry;

struct tarn_params {
    tarn_dtype dtype;
    entry **entries;
    size_t count, capacity;
    tarn__names names;
};

tarn_params *tarn_params_new(tarn_dtype dtype)
{
    if (tarn_error() || !tarn__isa_is_known("tarn_params_new"))
        return NULL;
    if (!tarn__is_float(dtype)) {
        tarn_fail("tarn_params_new: dtype %s, expected f32 or f64", tarn_dtype_name(dtype));
        return NULL;
    }
    tarn_params *params = tarn__allocate_zeroed(sizeof *params);
    if (!params) {
        tarn_fail("tarn_params_new: no memory");
        return NULL;
    }
    params->dtype = dtype;
    return params;
}

static void entry_free(entry *e)
{
    if (!e)
        return;
    tarn__release(e->tensor.data);
    tarn__release(e->grad.data);
    tarn__release((char *)e->tensor.name);
    tarn__release(e);
}

void tarn_params_free(tarn_params *params)
{
    if (!params)
        return;
    for (size_t i = 0; i < params->count; i++)
        entry_free(params->entries[i]);
    tarn__release(params->entries);
    tarn__names_free(&params->names);
    tarn__release(params);
}

static bool name_is_valid(const char *who, const tarn_params *params, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME)
        return tarn_fail("%s: the name has %zu bytes, expected 1 to %d", who, length, MAX_NAME);
    for (const char *c = name; *c; c++)
        if (*c < ' ' || *c > '~')
            return tarn_fail("%s: the name has a byte that is not printable ASCII", who);
    return tarn_params_find(params, name) ? tarn_fail("%s: \"%s\" is already in the store", who, name) : true;
}

static bool make_room(tarn_params *params)
{
    if (!tarn__names_make_room(&params->names))
        return false;
    if (params->count < params->capacity)
        return true;
    size_t capacity = params->capacity ? 2 * params->capacity : 16;
    entry **grown = tarn__allocate(capacity * sizeof *grown);
    if (!grown)
        return false;
    if (params->count)
        memcpy(grown, params->entries, params->count * sizeof *grown);
    tarn__release(params->entries);
    params->entries = grown;
    params->capacity = capacity;
    return true;
}

static bool tensor_init(tarn_tensor *x, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    tarn__set_shape(x, dtype, ndim, shape);
    x->owner = TARN__OWNED_BY_STORE;
    x->ready = true;
    x->id = tarn__new_id();
    x->data = tarn__allocate_zeroed(tarn__bytes(x));
    return x->data != NULL;
}

static tarn_tensor *store_add(const char *who, tarn_params *params, const char *name, int ndim, const int64_t *shape,
                              bool trained)
{
    int64_t numel;
    if (!tarn__usable(who, params, "params") || !tarn__usable(who, name, "name") || !name_is_valid(who, params, name) ||
        !tarn__check_shape(who, params->dtype, ndim, shape, &numel))
        return NULL;
    entry *e = tarn__allocate_zeroed(sizeof *e);
    if (!e || !make_room(params) || !tensor_init(&e->tensor, params->dtype, ndim, shape) ||
        (trained && !tensor_init(&e->grad, params->dtype, ndim, shape)) ||
        !(e->tensor.name = tarn__copy_string(name))) {
        entry_free(e);
        tarn_fail("%s: no memory for \"%s\" %s", who, name, tarn__shape_text_of(ndim, shape).text);
        return NULL;
    }
    e->tensor.grad = trained ? &e->grad : NULL;
    tarn__names_add(&params->names, e->tensor.name, params->count);
    params->entries[params->count++] = e;
    return &e->tensor;
}

tarn_tensor *tarn_params_add(tarn_params *params, const char *name, int ndim, const int64_t *shape)
{
    return store_add("tarn_params_add", params, name, ndim, shape, true);
}

tarn_tensor *tarn_params_add_buffer(tarn_params *params, const char *name, int ndim, const int64_t *shape)
{
    return store_add("tarn_params_add_buffer", params, name, ndim, shape, false);
}

void tarn__params_truncate(tarn_params *params, size_t count)
{
    if (params->count <= count)
        return;
    tarn__names_clear(&params->names);
    while (params->count > count)
        entry_free(params->entries[--params->count]);
    for (size_t i = 0; i < count; i++)
        tarn__names_add(&params->names, params->entries[i]->tensor.name, i);
}

tarn_dtype tarn_params_dtype(const tarn_params *params)
{
    return params ? params->dtype : TARN_F32;
}

size_t tarn_params_count(const tarn_params *params)
{
    return params ? params->count : 0;
}

tarn_tensor *tarn_params_at(const tarn_params *params, size_t i)
{
    return params && i < params->count ? &params->entries[i]->tensor : NULL;
}

tarn_tensor *tarn_params_find(const tarn_params *params, const char *name)
{
    return params && name ? tarn_params_at(params, tarn__names_find(&params->names, name)) : NULL;
}

const char *tarn_param_name(const tarn_tensor *x)
{
    return x ? x->name : NULL;
}

tarn_tensor *tarn_param_grad(const tarn_tensor *x)
{
    return x ? x->grad : NULL;
}

bool tarn_param_has_grad(const tarn_tensor *x)
{
    return x && x->has_grad;
}

bool tarn_params_zero_grad(tarn_params *params)
{
    if (!tarn__usable("tarn_params_zero_grad", params, "params"))
        return false;
    for (size_t i = 0; i < params->count; i++) {
        tarn_tensor *x = &params->entries[i]->tensor;
        if (!x->grad)
            continue;
        memset(x->grad->data, 0, tarn__bytes(x->grad));
        x->grad->version++;
        x->has_grad = false;
    }
    return true;
}

int64_t tarn_params_numel(const tarn_params *params)
{
    int64_t total = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++)
        total += params->entries[i]->tensor.grad ? params->entries[i]->tensor.numel : 0;
    return total;
}

/* ---- the norm of the gradients: fixed tiles, their sums added in order ---- */

enum { NORM_TILE = 16384, NORM_ROUND = 256, NORM_LANES = 8 };

typedef struct norm_round {
    const tarn_tensor *grad;
    int64_t first; /* tile */
    double partial[NORM_ROUND];
} norm_round;

/* The lanes make the sum's dependency chains short, and let the compiler use vectors. Each square is taken in
 * double, where no float's overflows. */
#define NORM_SUM(type)                                                                                                 \
    static double squares_of_##type(const type *x, int64_t n)                                                          \
    {                                                                                                                  \
        double lane[NORM_LANES] = {0}, total = 0;                                                                      \
        int64_t i = 0;                                                                                                 \
        for (; i + NORM_LANES <= n; i += NORM_LANES)                                                                   \
            for (int l = 0; l < NORM_LANES; l++)                                                                       \
                lane[l] += (double)x[i + l] * (double)x[i + l];                                                        \
        for (; i < n; i++)                                                                                             \
            total += (double)x[i] * (double)x[i];                                                                      \
        for (int l = 0; l < NORM_LANES; l++)                                                                           \
            total += lane[l];                                                                                          \
        return total;                                                                                                  \
    }
NORM_SUM(float)
NORM_SUM(double)

static void norm_tile(void *context, int64_t tile)
{
    norm_round *r = context;
    int64_t from = (r->first + tile) * NORM_TILE, left = r->grad->numel - from;
    int64_t n = left < NORM_TILE ? left : NORM_TILE;
    r->partial[tile] = r->grad->dtype == TARN_F64 ? squares_of_double((const double *)r->grad->data + from, n)
                                                  : squares_of_float((const float *)r->grad->data + from, n);
}

static double sum_of_squares(const tarn_tensor *grad)
{
    double total = 0;
    int64_t tiles = tarn__tiles(grad->numel, NORM_TILE);
    norm_round r = {.grad = grad};
    for (; r.first < tiles; r.first += NORM_ROUND) {
        int64_t count = tiles - r.first < NORM_ROUND ? tiles - r.first : NORM_ROUND;
        tarn__parallel_for(count, norm_tile, &r);
        for (int64_t tile = 0; tile < count; tile++)
            total += r.partial[tile];
    }
    return total;
}

double tarn_params_grad_norm(const tarn_params *params)
{
    if (!tarn__usable("tarn_params_grad_norm", params, "params"))
        return NAN;
    double total = 0;
    for (size_t i = 0; i < params->count; i++)
        if (params->entries[i]->tensor.has_grad)
            total += sum_of_squares(&params->entries[i]->grad);
    if (params->dtype == TARN_F32 || tarn__is_safe_square(total) || isnan(total)) /* no f32's square is too small */
        return sqrt(total);
    double norm = 0;
    for (size_t i = 0; i < params->count; i++)
        if (params->entries[i]->tensor.has_grad)
            norm = hypot(norm, tarn__norm(params->entries[i]->tensor.numel, params->entries[i]->grad.data));
    return norm;
}
