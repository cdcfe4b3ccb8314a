/* Which algorithm a convolution takes: by its shape alone.
 *
 *   winograd    f32, 3x3, stride 1, no dilation, no groups, at most 2 pixels of padding, at least 8 channels on both
 *               sides, and an output of at least 12 tiles of 4x4 in the whole batch; unless the caller wants it exact
 *   depthwise   as many groups as channels, one output channel each
 *   direct      everything else
 *
 * Winograd does a quarter of the products, for some work around them, which few channels do not repay, nor few tiles the
 * transformation of the weights; and it rounds more, which f64 is not there for. */
#include "tensor/batchnorm.h"
#include "tensor/conv2d_impl.h"

#include <string.h>

enum { ENOUGH_CHANNELS = 8, ENOUGH_TILES = 12, SUM_TILE = 16384 };

const tarn__conv2d_algorithm *tarn__conv2d_algorithm_of(const tarn__conv2d *v)
{
    if (v->groups > 1 && v->groups == v->c && v->groups == v->k)
        return &tarn__conv2d_depthwise;
    const bool window = v->r == 3 && v->s == 3 && v->stride == 1 && v->dilation == 1 && v->padding <= 2;
    const int64_t tiles = v->n * tarn__tiles(v->p, 4) * tarn__tiles(v->q, 4);
    const bool large = v->c >= ENOUGH_CHANNELS && v->k >= ENOUGH_CHANNELS && tiles >= ENOUGH_TILES;
    if (window && large && v->groups == 1 && v->dtype == TARN_F32 && !v->exact)
        return &tarn__conv2d_winograd;
    return &tarn__conv2d_direct;
}

/* Nothing to sum, or nowhere to put it. */
static bool is_empty(const tarn__conv2d *v)
{
    return v->n == 0 || v->c == 0 || v->k == 0 || v->p == 0 || v->q == 0 || v->h == 0 || v->w == 0;
}

static void zero(const tarn__conv2d *v, void *to, int64_t elements)
{
    if (elements > 0)
        memset(to, 0, (size_t)elements * tarn_dtype_size(v->dtype));
}

int64_t tarn__conv2d_transformed(const tarn__conv2d *v, tarn__conv2d_product product)
{
    const tarn__conv2d_algorithm *algorithm = tarn__conv2d_algorithm_of(v);
    return is_empty(v) || !algorithm->transformed ? 0 : algorithm->transformed(v, product);
}

size_t tarn__conv2d_transform_scratch(const tarn__conv2d *v, tarn__conv2d_product product)
{
    tarn__cuts needed = {.block = NULL};
    tarn__conv2d_algorithm_of(v)->transform(v, product, NULL, NULL, &needed);
    return needed.most;
}

void tarn__conv2d_transform(const tarn__conv2d *v, tarn__conv2d_product product, const void *w, void *transformed,
                            tarn__cuts *scratch)
{
    tarn__conv2d_algorithm_of(v)->transform(v, product, w, transformed, scratch);
}

size_t tarn__conv2d_scratch_of(const tarn__conv2d_algorithm *a, const tarn__conv2d *v, tarn__conv2d_product product)
{
    tarn__cuts needed = {.block = NULL};
    if (product == TARN__FORWARD)
        a->forward(v, NULL, NULL, NULL, NULL, &needed);
    else if (product == TARN__INPUT_GRAD)
        a->input_grad(v, NULL, NULL, NULL, &needed);
    else
        a->weight_grad(v, NULL, NULL, NULL, &needed);
    return needed.most;
}

size_t tarn__conv2d_scratch(const tarn__conv2d *v, tarn__conv2d_product product)
{
    return is_empty(v) ? 0 : tarn__conv2d_scratch_of(tarn__conv2d_algorithm_of(v), v, product);
}

bool tarn__conv2d_has_extra(const tarn__conv2d *v)
{
    return !is_empty(v) && v->k >= TARN__BANDED_FROM && tarn__conv2d_algorithm_of(v)->has_extra(v);
}

void tarn__conv2d_forward(const tarn__conv2d *v, const void *x, const void *w, const tarn__conv2d_extra *extra, void *y,
                          tarn__cuts *scratch)
{
    static const tarn__conv2d_extra none = {0};
    if (is_empty(v))
        zero(v, y, v->n * v->p * v->q * v->k);
    else
        tarn__conv2d_algorithm_of(v)->forward(v, x, w, extra ? extra : &none, y, scratch);
}

void tarn__conv2d_input_grad(const tarn__conv2d *v, const void *g, const void *w, void *gx, tarn__cuts *scratch)
{
    if (is_empty(v))
        zero(v, gx, v->n * v->h * v->w * v->c);
    else
        tarn__conv2d_algorithm_of(v)->input_grad(v, g, w, gx, scratch);
}

void tarn__conv2d_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, tarn__cuts *scratch)
{
    if (is_empty(v))
        zero(v, gw, v->r * v->s * (v->c / v->groups) * v->k);
    else
        tarn__conv2d_algorithm_of(v)->weight_grad(v, g, x, gw, scratch);
}

/* ---- sums of pieces ---- */

typedef struct piece_sum {
    tarn_dtype dtype;
    int64_t pieces, count;
    const char *parts;
    char *total;
} piece_sum;

static void piece_sum_tile(void *context, int64_t tile)
{
    const piece_sum *s = context;
    const size_t size = tarn_dtype_size(s->dtype);
    const int64_t first = tile * SUM_TILE, n = tarn__min(SUM_TILE, s->count - first);
    char *total = s->total + (size_t)first * size;
    memcpy(total, s->parts + (size_t)first * size, (size_t)n * size);
    for (int64_t piece = 1; piece < s->pieces; piece++)
        tarn__loops_of(s->dtype)->binary[TARN__BINARY_add](
            (size_t)n, total, s->parts + (size_t)(piece * s->count + first) * size, total, 0, 0);
}

void tarn__conv2d_sum_pieces(tarn_dtype dtype, int64_t pieces, int64_t count, const void *parts, void *total)
{
    tarn__parallel_for(tarn__tiles(count, SUM_TILE), piece_sum_tile, &(piece_sum){dtype, pieces, count, parts, total});
}

/* ---- moments of y ---- */

void tarn__conv2d_cut_moments(const tarn__conv2d *v, const tarn__bands *bands, const tarn__conv2d_extra *extra,
                              tarn__conv2d_moments *m, tarn__cuts *scratch)
{
    *m = (tarn__conv2d_moments){.dtype = v->dtype, .channels = v->k, .bands = *bands};
    if (extra && !extra->mean)
        return;
    const size_t bytes = (size_t)(bands->count * v->k) * sizeof(double);
    m->mean = tarn__cut(scratch, bytes);
    m->m2 = tarn__cut(scratch, bytes);
}

void tarn__conv2d_band_moments(const tarn__conv2d_moments *m, const void *y, int64_t first, int64_t last)
{
    const size_t pixel = (size_t)m->channels * tarn_dtype_size(m->dtype);
    for (int64_t band = first; band < last; band++) {
        int64_t pixels;
        const int64_t start = tarn__band_start(&m->bands, band, &pixels);
        tarn__loops_of(m->dtype)->moments((size_t)pixels, (size_t)m->channels, (const char *)y + (size_t)start * pixel,
                                          m->mean + band * m->channels, m->m2 + band * m->channels);
    }
}

void tarn__conv2d_join_moments(const tarn__conv2d_moments *m, const tarn__conv2d_extra *extra)
{
    tarn__batchnorm_join(&m->bands, m->channels, m->mean, m->m2, extra->mean, extra->var);
}
