#include "optim/clip.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <math.h>
#include <string.h>

enum { TILE = 16384, CHUNK = 512 };

/* grad = loop(grad, p, q) */
typedef struct rewrite {
    tarn__unary_loop *loop;
    const tarn_tensor *grad;
    double p, q;
} rewrite;

/* The loops do not write over what they read: hence the chunk. */
static void rewrite_tile(void *context, int64_t tile)
{
    const rewrite *r = context;
    double chunk[CHUNK];
    size_t size = tarn_dtype_size(r->grad->dtype);
    int64_t end = (tile + 1) * TILE < r->grad->numel ? (tile + 1) * TILE : r->grad->numel;
    for (int64_t from = tile * TILE; from < end; from += CHUNK) {
        size_t n = (size_t)(end - from < CHUNK ? end - from : CHUNK);
        char *g = (char *)r->grad->data + (size_t)from * size;
        r->loop(n, g, chunk, r->p, r->q);
        memcpy(g, chunk, n * size);
    }
}

static void rewrite_all(tarn_params *params, int loop, double p, double q)
{
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        const tarn_tensor *x = tarn_params_at(params, i);
        if (!x->has_grad)
            continue;
        rewrite r = {.loop = tarn__loops_of(x->dtype)->unary[loop], .grad = x->grad, .p = p, .q = q};
        tarn__parallel_for(tarn__tiles(x->numel, TILE), rewrite_tile, &r);
        x->grad->version++;
    }
}

double tarn_clip_grad_norm(tarn_params *params, double max_norm)
{
    static const char who[] = "tarn_clip_grad_norm";
    if (!tarn__usable(who, params, "params") || !tarn__is_in(who, "max_norm", max_norm, '[', 0, (double)INFINITY, ']'))
        return NAN;
    double norm = tarn_params_grad_norm(params), scale = max_norm / (norm + 1e-6);
    if (isfinite(norm) && scale < 1)
        rewrite_all(params, TARN__UNARY_mul_scalar, scale, 0);
    return norm;
}

bool tarn_clip_grad_value(tarn_params *params, double limit)
{
    static const char who[] = "tarn_clip_grad_value";
    if (!tarn__usable(who, params, "params") || !tarn__is_in(who, "limit", limit, '[', 0, (double)INFINITY, ']'))
        return false;
    rewrite_all(params, TARN__UNARY_clamp, -limit, limit);
    return true;
}
