/* Convolution as a product whose rows are the pixels under the taps (tensor/conv2d_correlation.h): nothing is unfolded.
 *
 * The input gradient is the same thing: the output's gradient under the taps that lead to an input pixel. With a stride,
 * pixels fall into stride x stride phases, which differ in those taps. */
#include "tensor/conv2d_correlation.h"

#include <string.h>

enum { WEIGHT_PIECES = 8 };

/* ---- forward, and the input gradient ---- */

static void correlate_item(void *context, int64_t item)
{
    const tarn__correlation *c = context;
    const tarn__correlation_tile t = tarn__correlation_tile_of(c, item / c->column_groups);
    const int64_t group_columns = c->column_groups > 1 ? TARN__COLUMN_GROUP : c->n;
    const int64_t column = item % c->column_groups * group_columns;
    for (int64_t group = 0; group < c->groups; group++) {
        const int64_t from = group * c->depth, to = group * c->n + column;
        const int64_t packed = group * c->group_weights + column * c->taps * c->depth;
        c->loops->product(&(tarn__product){.m = t.images * t.rows * c->columns,
                                           .n = tarn__min(group_columns, c->n - column),
                                           .a = t.from + (size_t)from * c->size,
                                           .b = c->weights + (size_t)packed * c->size,
                                           .a_row = t.a_row,
                                           .segment = c->segment,
                                           .segments = c->segments,
                                           .depth = c->segment_depth,
                                           .a_step = 1,
                                           .c = c->out + (size_t)to * c->size,
                                           .c_row = t.c_row,
                                           .bias = c->bias ? c->bias + (size_t)to * c->size : NULL});
    }
    if (c->moments.mean) {
        const tarn__bands *b = &c->bands;
        const int64_t first = b->group > 0 ? t.image / b->group : t.image * b->per_image + t.row / TARN__BAND_ROWS;
        const int64_t count =
            b->group > 0 ? tarn__tiles(t.images, b->group) : t.images * tarn__tiles(t.rows, TARN__BAND_ROWS);
        tarn__conv2d_band_moments(&c->moments, c->out, first, first + count);
    }
}

typedef struct packing {
    const tarn__correlation *c;
    const char *w;
    int64_t k, cpg;
    bool transposed;
} packing;

static void pack_item(void *context, int64_t item)
{
    const packing *p = context;
    const tarn__correlation *c = p->c;
    const int64_t group = item / c->taps, tap = item % c->taps;
    const int64_t from = c->tap_weight[tap] * p->cpg * p->k + group * (p->transposed ? c->depth : c->n);
    c->loops->pack(&(tarn__pack){.first = tap * c->depth,
                                 .depth = c->depth,
                                 .panel_depth = c->taps * c->depth,
                                 .columns = c->n,
                                 .from = p->w + (size_t)from * c->size,
                                 .row_stride = p->transposed ? 1 : p->k,
                                 .column_stride = p->transposed ? p->k : 1,
                                 .to = c->weights + (size_t)(group * c->group_weights) * c->size});
}

static void cut(tarn__correlation *c, tarn__cuts *scratch)
{
    c->group_weights = c->taps * c->depth * tarn__round_up(c->n, c->loops->lanes);
    c->weights = tarn__cut(scratch, (size_t)(c->groups * c->group_weights) * c->size);
    tarn__correlation_cut_tile(c, scratch);
}

static void correlate(tarn__correlation *c, const tarn__conv2d *v, const void *w, bool transposed)
{
    tarn__correlation_place_taps(c);
    tarn__parallel_for(c->groups * c->taps, pack_item, &(packing){c, w, v->k, v->c / v->groups, transposed});
    tarn__parallel_for(c->tiles * c->column_groups, correlate_item, c);
}

/* A tile covers whole bands, with all of their channels. */
static bool direct_has_extra(const tarn__conv2d *v)
{
    const tarn__correlation c = tarn__correlation_forward(v, &(tarn__cuts){.block = NULL});
    const bool whole = c.bands.group > 0
                           ? c.tile_rows == c.rows && (c.tile_images % c.bands.group == 0 || c.tile_images == c.images)
                           : c.tile_rows == c.rows || c.tile_rows % TARN__BAND_ROWS == 0;
    return whole && c.column_groups == 1;
}

static void direct_forward(const tarn__conv2d *v, const void *x, const void *w, const tarn__conv2d_extra *extra,
                           void *y, tarn__cuts *scratch)
{
    tarn__correlation c = tarn__correlation_forward(v, scratch);
    tarn__conv2d_cut_moments(v, &c.bands, extra, &c.moments, scratch);
    cut(&c, scratch);
    if (!scratch->block)
        return;
    c.in = x, c.out = y, c.bias = extra->bias;
    correlate(&c, v, w, false);
    if (extra->mean)
        tarn__conv2d_join_moments(&c.moments, extra);
}

/* A stride beyond the taps leaves pixels that no output has seen. */
static bool has_unseen_pixels(const tarn__conv2d *v)
{
    int64_t seen = 0;
    for (int64_t r = 0, s = -1; tarn__correlation_next_phase(v, &r, &s);)
        seen++;
    return seen < tarn__min(v->stride, v->h) * tarn__min(v->stride, v->w);
}

static void direct_input_grad(const tarn__conv2d *v, const void *g, const void *w, void *gx, tarn__cuts *scratch)
{
    if (scratch->block && has_unseen_pixels(v))
        memset(gx, 0, (size_t)(v->n * v->h * v->w * v->c) * tarn_dtype_size(v->dtype));
    const size_t start = scratch->used;
    for (int64_t r = 0, s = -1; tarn__correlation_next_phase(v, &r, &s); scratch->used = start) {
        tarn__correlation c = tarn__correlation_input_grad(v, r, s, scratch);
        cut(&c, scratch);
        if (!scratch->block)
            continue;
        c.in = g, c.out = gx;
        correlate(&c, v, w, true);
    }
}

/* ---- the weight gradient: the rows are the taps' channels, the sum runs over pixels ---- */

typedef struct weight_sum {
    tarn__correlation *c;
    const char *g;
    int64_t pieces, column_groups, group_columns;
    int64_t *a_row, *c_row; /* of all taps' channels */
    char *parts;
    char *own; /* of each thread: a tile's g, packed, and the segments */
    size_t packed_bytes, own_bytes;
} weight_sum;

/* How many of a tile's pixels are summed over at a time. A tile of more than TARN__MAX_TILE_PIXELS is one long row, which would
 * leave the cache before the next channels of x read it again. */
static int64_t chunk_of(int64_t pixels)
{
    return pixels > TARN__MAX_TILE_PIXELS ? TARN__TILE_PIXELS : pixels;
}

static weight_sum weight_sum_of(tarn__correlation *c, tarn__cuts *scratch)
{
    weight_sum s = {.c = c, .group_columns = tarn__min(c->n, TARN__COLUMN_GROUP)};
    const int64_t pixels = c->tile_images * c->tile_rows * c->columns, rows = c->taps * c->depth;
    s.column_groups = tarn__tiles(c->n, s.group_columns);
    s.pieces = tarn__min(c->tiles, tarn__tiles(WEIGHT_PIECES, s.column_groups));
    s.a_row = tarn__cut(scratch, (size_t)rows * sizeof(int64_t));
    s.c_row = tarn__cut(scratch, (size_t)rows * sizeof(int64_t));
    s.parts = tarn__cut(scratch, (size_t)(s.pieces * rows * c->out_c) * c->size);
    s.packed_bytes =
        tarn__whole_lines((size_t)(chunk_of(pixels) * tarn__round_up(s.group_columns, c->loops->lanes)) * c->size);
    s.own_bytes = s.packed_bytes + tarn__whole_lines((size_t)(c->tile_images * c->tile_rows) * sizeof(int64_t));
    s.own = tarn__cut(scratch, (size_t)tarn_threads() * s.own_bytes);
    tarn__correlation_cut_tile(c, scratch);
    return s;
}

static void weight_tile(const weight_sum *s, int64_t index, int64_t column, char *part)
{
    const tarn__correlation *c = s->c;
    char *own = s->own + (size_t)tarn__thread_index() * s->own_bytes;
    int64_t *segment = (int64_t *)(void *)(own + s->packed_bytes);
    const tarn__correlation_tile t = tarn__correlation_tile_of(c, index);
    const int64_t runs = t.images * t.rows, pixels = runs * c->columns,
                  columns = tarn__min(s->group_columns, c->n - column);
    for (int64_t i = 0; i < runs; i++)
        segment[i] = t.a_row[i * c->columns];
    const int64_t chunk = chunk_of(pixels), step = c->patches ? c->taps * c->in_c : c->in_step * c->in_c;
    for (int64_t i = 0; i < c->groups * tarn__tiles(pixels, chunk); i++) {
        const int64_t group = i % c->groups, first = i / c->groups * chunk, count = tarn__min(chunk, pixels - first);
        const int64_t to = group * c->n + column;
        c->loops->pack(&(tarn__pack){.depth = count,
                                     .panel_depth = count,
                                     .columns = columns,
                                     .from = s->g + (size_t)(t.c_row[first] + to) * c->size,
                                     .row_stride = c->out_c,
                                     .column_stride = 1,
                                     .to = own});
        c->loops->product(&(tarn__product){.m = c->taps * c->depth,
                                           .n = columns,
                                           .a = t.from + (size_t)(group * c->depth + first * step) * c->size,
                                           .b = own,
                                           .a_row = s->a_row,
                                           .segment = segment,
                                           .segments = runs,
                                           .depth = tarn__min(count, c->columns),
                                           .a_step = step,
                                           .c = part + (size_t)to * c->size,
                                           .c_row = s->c_row,
                                           .accumulate = true});
    }
}

static void weight_item(void *context, int64_t item)
{
    const weight_sum *s = context;
    const tarn__correlation *c = s->c;
    const int64_t piece = item / s->column_groups, column = item % s->column_groups * s->group_columns;
    const int64_t columns = tarn__min(s->group_columns, c->n - column), rows = c->taps * c->depth;
    char *part = s->parts + (size_t)(piece * rows * c->out_c) * c->size;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t group = 0; group < c->groups; group++)
            memset(part + (size_t)(row * c->out_c + group * c->n + column) * c->size, 0, (size_t)columns * c->size);
    for (int64_t i = piece * c->tiles / s->pieces; i < (piece + 1) * c->tiles / s->pieces; i++)
        weight_tile(s, i, column, part);
}

static void direct_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, tarn__cuts *scratch)
{
    tarn__correlation c = tarn__correlation_forward(v, scratch);
    weight_sum s = weight_sum_of(&c, scratch);
    if (!scratch->block)
        return;
    c.in = x, s.g = g;
    tarn__correlation_place_taps(&c);
    for (int64_t tap = 0, row = 0; tap < c.taps; tap++)
        for (int64_t i = 0; i < c.depth; i++, row++) {
            s.a_row[row] = c.tap_offset[tap] + i;
            s.c_row[row] = row * c.out_c;
        }
    tarn__parallel_for(s.pieces * s.column_groups, weight_item, &s);
    tarn__conv2d_sum_pieces(v->dtype, s.pieces, c.taps * c.depth * c.out_c, s.parts, gw);
}

const tarn__conv2d_algorithm tarn__conv2d_direct = {
    .forward = direct_forward,
    .has_extra = direct_has_extra,
    .input_grad = direct_input_grad,
    .weight_grad = direct_weight_grad,
};
