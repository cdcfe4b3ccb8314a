/* Depthwise convolution: as many groups as channels, one output channel each. Vectors run along the channels, and each
 * tap is one pass over a row of pixels, which stays in the cache. */
#include "tensor/conv2d_impl.h"

#include <string.h>

enum { WEIGHT_PIECES = 8 };

typedef struct job {
    const tarn__conv2d *v;
    const tarn__loops *loops;
    size_t size;
    const char *x, *w, *g;
    char *out;
    int64_t pieces;
} job;

static job job_of(const tarn__conv2d *v)
{
    return (job){.v = v,
                 .loops = tarn__loops_of(v->dtype),
                 .size = tarn_dtype_size(v->dtype),
                 .pieces = tarn__min(v->n * v->p, WEIGHT_PIECES)};
}

static char *pixel(const job *j, const void *base, int64_t index)
{
    return (char *)(uintptr_t)base + (size_t)(index * j->v->c) * j->size;
}

/* The output columns from..to-1 whose tap s lies inside of the image; the input column of the first. */
static int64_t columns_of(const tarn__conv2d *v, int64_t s, int64_t *from, int64_t *to)
{
    const int64_t start = s * v->dilation - v->padding; /* of output column 0 */
    *from = start < 0 ? tarn__tiles(-start, v->stride) : 0;
    *to = start >= v->w ? 0 : tarn__min(v->q, tarn__tiles(v->w - start, v->stride));
    return start + *from * v->stride;
}

static void forward_row(void *context, int64_t row)
{
    const job *j = context;
    const tarn__conv2d *v = j->v;
    const int64_t image = row / v->p, p = row % v->p;
    memset(pixel(j, j->out, row * v->q), 0, (size_t)(v->q * v->c) * j->size);
    for (int64_t r = 0; r < v->r; r++) {
        const int64_t y = p * v->stride + r * v->dilation - v->padding;
        for (int64_t s = 0; s < v->s && y >= 0 && y < v->h; s++) {
            int64_t from, to;
            const int64_t x = columns_of(v, s, &from, &to);
            if (from < to)
                j->loops->depthwise(v->c, to - from, pixel(j, j->x, (image * v->h + y) * v->w + x), v->stride * v->c,
                                    pixel(j, j->w, r * v->s + s), pixel(j, j->out, row * v->q + from), v->c);
        }
    }
}

static bool depthwise_has_extra(const tarn__conv2d *v)
{
    (void)v;
    return false;
}

static void depthwise_forward(const tarn__conv2d *v, const void *x, const void *w, const tarn__conv2d_extra *extra,
                              void *y, tarn__cuts *scratch)
{
    (void)extra;
    if (!scratch->block)
        return;
    job j = job_of(v);
    j.x = x, j.w = w, j.out = y;
    tarn__parallel_for(v->n * v->p, forward_row, &j);
}

/* A row of the input collects from the output rows whose taps reach it. */
static void input_grad_row(void *context, int64_t row)
{
    const job *j = context;
    const tarn__conv2d *v = j->v;
    const int64_t image = row / v->h, y = row % v->h;
    memset(pixel(j, j->out, row * v->w), 0, (size_t)(v->w * v->c) * j->size);
    for (int64_t r = 0; r < v->r; r++) {
        const int64_t over = y + v->padding - r * v->dilation;
        if (over < 0 || over % v->stride != 0 || over / v->stride >= v->p)
            continue;
        for (int64_t s = 0; s < v->s; s++) {
            int64_t from, to;
            const int64_t x = columns_of(v, s, &from, &to);
            if (from < to)
                j->loops->depthwise(v->c, to - from, pixel(j, j->g, (image * v->p + over / v->stride) * v->q + from),
                                    v->c, pixel(j, j->w, r * v->s + s), pixel(j, j->out, row * v->w + x),
                                    v->stride * v->c);
        }
    }
}

static void depthwise_input_grad(const tarn__conv2d *v, const void *g, const void *w, void *gx, tarn__cuts *scratch)
{
    if (!scratch->block)
        return;
    job j = job_of(v);
    j.g = g, j.w = w, j.out = gx;
    tarn__parallel_for(v->n * v->h, input_grad_row, &j);
}

static void weight_grad_piece(void *context, int64_t piece)
{
    const job *j = context;
    const tarn__conv2d *v = j->v;
    const int64_t rows = v->n * v->p, taps = v->r * v->s;
    char *part = pixel(j, j->out, piece * taps);
    memset(part, 0, (size_t)(taps * v->c) * j->size);
    for (int64_t row = piece * rows / j->pieces; row < (piece + 1) * rows / j->pieces; row++)
        for (int64_t r = 0; r < v->r; r++) {
            const int64_t y = row % v->p * v->stride + r * v->dilation - v->padding;
            for (int64_t s = 0; s < v->s && y >= 0 && y < v->h; s++) {
                int64_t from, to;
                const int64_t x = columns_of(v, s, &from, &to);
                if (from < to)
                    j->loops->depthwise_weight_grad(v->c, to - from, pixel(j, j->x, (row / v->p * v->h + y) * v->w + x),
                                                    v->stride * v->c, pixel(j, j->g, row * v->q + from),
                                                    pixel(j, part, r * v->s + s));
            }
        }
}

static void depthwise_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, tarn__cuts *scratch)
{
    job j = job_of(v);
    j.out = tarn__cut(scratch, (size_t)(j.pieces * v->r * v->s * v->c) * j.size);
    if (!scratch->block)
        return;
    j.g = g, j.x = x;
    tarn__parallel_for(j.pieces, weight_grad_piece, &j);
    tarn__conv2d_sum_pieces(v->dtype, j.pieces, v->r * v->s * v->c, j.out, gw);
}

const tarn__conv2d_algorithm tarn__conv2d_depthwise = {
    .forward = depthwise_forward,
    .has_extra = depthwise_has_extra,
    .input_grad = depthwise_input_grad,
    .weight_grad = depthwise_weight_grad,
};
