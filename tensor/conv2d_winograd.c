/* 3x3 convolution of stride 1 by Winograd's F(4x4,3x3): see tensor/kernels/winograd.inc. A block of tiles is transformed
 * into 36 planes [tiles, channels], each plane is multiplied by its plane of transformed weights, and the products are
 * transformed back. Blocks are cut so that their planes stay in the second-level cache.
 *
 * The input gradient is the convolution of the output's gradient with the weights turned by 180 degrees. For the weight
 * gradient the roles change: the planes of input and output gradient are multiplied over the tiles. */
#include "tensor/conv2d_impl.h"

#include <string.h>

enum {
    PLANES = 36,
    TILE = 4,
    BLOCK_BYTES = 768 * 1024,
    MIN_BLOCK = 12,
    MAX_BLOCK = 120,
    MIN_ITEMS = 16,
    ROWS = 6, /* of a register tile */
    CHANNEL_GROUP = 64,
    WEIGHT_PIECES = 8,
    PACK_COLUMNS = 32 /* whole panels of any instruction set */
};

/* From `in` [images, in_h, in_w, c] to `out` [images, out_h, out_w, k]. */
typedef struct job {
    const tarn__loops *loops;
    size_t size; /* of an element */
    int64_t images, in_h, in_w, c, out_h, out_w, k, padding;
    int64_t depth; /* c, in whole vectors */
    int64_t tiles_y, tiles_x, tiles, block, blocks;
    int64_t group;                     /* output channels at a time */
    int64_t plane_v, plane_u, plane_m; /* elements of a plane */
    const char *in;
    char *out;
    const char *w, *u; /* the weights, and transformed */
    char *taps, *to_u; /* of a transformation: the weights packed, and where they go */
    char *own;         /* of each thread: planes of the input, planes of the products, places of rows */
    size_t v_bytes, m_bytes, own_bytes;
    bool turned; /* weights [K, C] turned by 180 degrees */
    tarn__bands bands;
    int64_t unit; /* tiles that cover a band of the output: blocks are whole units, if these are not too large */
    const char *bias;
    tarn__conv2d_moments moments;
} job;

/* Elements of a plane of rows: a line more, so that the 36 planes do not all fall into the same set of the cache. */
static int64_t plane(const job *j, int64_t rows, int64_t columns)
{
    return rows * columns + 64 / (int64_t)j->size;
}

static int64_t block_of(int64_t tiles, int64_t tile_bytes)
{
    int64_t block = tarn__max(MIN_BLOCK, tarn__min(MAX_BLOCK, BLOCK_BYTES / tile_bytes));
    block = tarn__min(block, tarn__max(MIN_BLOCK, tarn__tiles(tiles, MIN_ITEMS)));
    return tarn__round_up(block, ROWS);
}

/* About `block` tiles in whole units and, if there is a number of both, whole register tiles. */
static int64_t whole_units(int64_t block, int64_t unit)
{
    int64_t step = unit;
    while (step % ROWS != 0 && step <= MAX_BLOCK)
        step += unit;
    if (step > MAX_BLOCK)
        step = unit;
    return step > MAX_BLOCK ? block : tarn__max(1, (block + step / 2) / step) * step;
}

static job job_of(const tarn__conv2d *v, bool turned)
{
    job j = {.loops = tarn__loops_of(v->dtype), .size = tarn_dtype_size(v->dtype), .images = v->n, .turned = turned};
    j.in_h = turned ? v->p : v->h, j.in_w = turned ? v->q : v->w, j.c = turned ? v->k : v->c;
    j.out_h = turned ? v->h : v->p, j.out_w = turned ? v->w : v->q, j.k = turned ? v->c : v->k;
    j.padding = turned ? 2 - v->padding : v->padding;
    const int64_t lanes = j.loops->lanes;
    j.depth = tarn__round_up(j.c, lanes);
    j.group = tarn__min(tarn__round_up(j.k, lanes), CHANNEL_GROUP);
    j.tiles_y = tarn__tiles(j.out_h, TILE), j.tiles_x = tarn__tiles(j.out_w, TILE);
    j.tiles = j.images * j.tiles_y * j.tiles_x;
    j.bands = tarn__bands_of(j.images, j.out_h, j.out_w);
    j.unit = j.bands.group > 0 ? j.bands.group * j.tiles_y * j.tiles_x : j.tiles_x;
    j.block = block_of(j.tiles, PLANES * (j.depth + j.group) * (int64_t)j.size);
    j.block = whole_units(j.block, j.unit);
    j.blocks = tarn__tiles(j.tiles, j.block);
    j.plane_v = plane(&j, ROWS, j.depth);
    j.plane_m = plane(&j, ROWS, j.group);
    j.plane_u = j.depth * tarn__round_up(j.k, lanes);
    return j;
}

static void cut(job *j, tarn__cuts *scratch)
{
    j->v_bytes = tarn__whole_lines((size_t)(PLANES * tarn__tiles(j->block, ROWS) * j->plane_v) * j->size);
    j->m_bytes = tarn__whole_lines((size_t)(PLANES * tarn__tiles(j->block, ROWS) * j->plane_m) * j->size);
    j->own_bytes = j->v_bytes + j->m_bytes + tarn__whole_lines(2 * (size_t)j->block * sizeof(int64_t));
    j->own = tarn__cut(scratch, (size_t)tarn_threads() * j->own_bytes);
}

/* The first pixel of a tile, and its image. */
static int64_t place(const job *j, int64_t tile, int64_t *y, int64_t *x)
{
    *x = tile % j->tiles_x * TILE;
    *y = tile / j->tiles_x % j->tiles_y * TILE;
    return tile / (j->tiles_x * j->tiles_y);
}

/* ---- weights ---- */

/* Some panels of the weights: packed tap by tap, then transformed. */
static void weights_item(void *context, int64_t item)
{
    const job *j = context;
    const int64_t first = item * PACK_COLUMNS, count = tarn__min(PACK_COLUMNS, j->k - first);
    const int64_t elements = j->depth * tarn__round_up(count, j->loops->lanes), start = first * j->depth;
    if (j->depth > j->c)
        for (int tap = 0; tap < 9; tap++)
            memset(j->taps + (size_t)(tap * j->plane_u + start) * j->size, 0, (size_t)elements * j->size);
    for (int tap = 0; tap < 9; tap++) {
        const int64_t from = (j->turned ? 8 - tap : tap) * j->c * j->k + first * (j->turned ? j->c : 1);
        j->loops->pack(&(tarn__pack){.depth = j->c,
                                     .panel_depth = j->depth,
                                     .columns = count,
                                     .from = j->w + (size_t)from * j->size,
                                     .row_stride = j->turned ? 1 : j->k,
                                     .column_stride = j->turned ? j->c : 1,
                                     .to = j->taps + (size_t)(tap * j->plane_u + start) * j->size});
    }
    j->loops->winograd_weight(elements, j->taps + (size_t)start * j->size, j->plane_u,
                              j->to_u + (size_t)start * j->size, j->plane_u);
}

static int64_t winograd_transformed(const tarn__conv2d *v, tarn__conv2d_product product)
{
    return product == TARN__WEIGHT_GRAD ? 0 : PLANES * job_of(v, product == TARN__INPUT_GRAD).plane_u;
}

static void winograd_transform(const tarn__conv2d *v, tarn__conv2d_product product, const void *w, void *to,
                               tarn__cuts *scratch)
{
    job j = job_of(v, product == TARN__INPUT_GRAD);
    j.taps = tarn__cut(scratch, (size_t)(9 * j.plane_u) * j.size);
    if (!scratch->block)
        return;
    j.w = w, j.to_u = to;
    tarn__parallel_for(tarn__tiles(j.k, PACK_COLUMNS), weights_item, &j);
}

/* ---- forward, and the input gradient ---- */

static void block_output(const job *j, int64_t first, int64_t count, int64_t channel, int64_t channels, char *m,
                         const int64_t *c_row)
{
    tarn__winograd to = {.h = j->out_h, .w = j->out_w, .pixel = j->k, .channels = channels, .plane = j->plane_m};
    if (j->bias)
        to.bias = j->bias + (size_t)channel * j->size;
    for (int64_t t = 0; t < count; t++) {
        const int64_t image = place(j, first + t, &to.y, &to.x);
        to.out = j->out + (size_t)(image * j->out_h * j->out_w * j->k + channel) * j->size;
        to.transformed = m + (size_t)c_row[t] * j->size;
        j->loops->winograd_output(&to);
    }
}

static void block_item(void *context, int64_t item)
{
    const job *j = context;
    char *v = j->own + (size_t)tarn__thread_index() * j->own_bytes, *m = v + j->v_bytes;
    int64_t *a_row = (int64_t *)(void *)(m + j->m_bytes), *c_row = a_row + j->block;
    const int64_t first = item * j->block, count = tarn__min(j->block, j->tiles - first), none = 0;
    tarn__winograd from = {.h = j->in_h, .w = j->in_w, .pixel = j->c, .channels = j->c, .plane = j->plane_v};
    for (int64_t t = 0; t < count; t++) {
        const int64_t image = place(j, first + t, &from.y, &from.x);
        from.y -= j->padding, from.x -= j->padding;
        from.image = j->in + (size_t)(image * j->in_h * j->in_w * j->c) * j->size;
        a_row[t] = t / ROWS * PLANES * j->plane_v + t % ROWS * j->depth;
        c_row[t] = t / ROWS * PLANES * j->plane_m + t % ROWS * j->group;
        from.transformed = v + (size_t)a_row[t] * j->size;
        j->loops->winograd_input(&from);
    }
    for (int64_t channel = 0; channel < j->k; channel += j->group) {
        const int64_t channels = tarn__min(j->group, j->k - channel);
        for (int64_t p = 0; p < PLANES; p++)
            j->loops->product(&(tarn__product){.m = count,
                                               .n = tarn__round_up(channels, j->loops->lanes),
                                               .a = v + (size_t)(p * j->plane_v) * j->size,
                                               .b = j->u + (size_t)(p * j->plane_u + channel * j->depth) * j->size,
                                               .a_row = a_row,
                                               .segment = &none,
                                               .segments = 1,
                                               .depth = j->depth,
                                               .a_step = 1,
                                               .c = m + (size_t)(p * j->plane_m) * j->size,
                                               .c_row = c_row});
        block_output(j, first, count, channel, channels, m, c_row);
    }
    if (j->moments.mean)
        tarn__conv2d_band_moments(&j->moments, j->out, first / j->unit, tarn__tiles(first + count, j->unit));
}

static void convolve(job *j, const void *in, const void *u, void *out)
{
    j->in = in, j->u = u, j->out = out;
    tarn__parallel_for(j->blocks, block_item, j);
}

static bool winograd_has_extra(const tarn__conv2d *v)
{
    return job_of(v, false).unit <= MAX_BLOCK;
}

static void winograd_forward(const tarn__conv2d *v, const void *x, const void *u, const tarn__conv2d_extra *extra,
                             void *y, tarn__cuts *scratch)
{
    job j = job_of(v, false);
    tarn__conv2d_cut_moments(v, &j.bands, extra, &j.moments, scratch);
    cut(&j, scratch);
    if (!scratch->block)
        return;
    j.bias = extra->bias;
    convolve(&j, x, u, y);
    if (extra->mean)
        tarn__conv2d_join_moments(&j.moments, extra);
}

static void winograd_input_grad(const tarn__conv2d *v, const void *g, const void *u, void *gx, tarn__cuts *scratch)
{
    job j = job_of(v, true);
    cut(&j, scratch);
    if (scratch->block)
        convolve(&j, g, u, gx);
}

/* ---- the weight gradient ---- */

/* An item sums over a piece of the tiles for one group of input channels and one of output channels: then the sums, 36
 * planes [input channels, output channels], stay in the cache. */
typedef struct weight_sum {
    job j;
    const char *g;
    int64_t c_group, k_group, c_groups, k_groups, pieces;
    int64_t plane_g, plane_s;
    char *parts;
    char *own; /* of each thread: planes of x, of g, of the sums, places of rows */
    size_t v_bytes, g_bytes, s_bytes, own_bytes;
} weight_sum;

static weight_sum weight_sum_of(const tarn__conv2d *v, tarn__cuts *scratch)
{
    weight_sum s = {.j = job_of(v, false)};
    job *j = &s.j;
    const int64_t lanes = j->loops->lanes;
    s.c_group = tarn__min(tarn__round_up(j->c, lanes), CHANNEL_GROUP);
    s.k_group = tarn__min(tarn__round_up(j->k, lanes), CHANNEL_GROUP);
    s.c_groups = tarn__tiles(j->c, s.c_group), s.k_groups = tarn__tiles(j->k, s.k_group);
    j->block = block_of(j->tiles, PLANES * (s.c_group + s.k_group) * (int64_t)j->size);
    j->blocks = tarn__tiles(j->tiles, j->block);
    s.pieces = tarn__min(j->blocks, tarn__tiles(WEIGHT_PIECES, s.c_groups * s.k_groups));
    j->plane_v = plane(j, j->block, s.c_group);
    s.plane_g = plane(j, j->block, s.k_group);
    s.plane_s = plane(j, s.c_group, s.k_group);
    s.parts = tarn__cut(scratch, (size_t)(s.pieces * 9 * j->c * j->k) * j->size);
    s.v_bytes = tarn__whole_lines((size_t)(PLANES * j->plane_v) * j->size);
    s.g_bytes = tarn__whole_lines((size_t)(PLANES * s.plane_g) * j->size);
    s.s_bytes = tarn__whole_lines((size_t)(PLANES * s.plane_s) * j->size);
    s.own_bytes = s.v_bytes + s.g_bytes + s.s_bytes + tarn__whole_lines(2 * (size_t)s.c_group * sizeof(int64_t));
    s.own = tarn__cut(scratch, (size_t)tarn_threads() * s.own_bytes);
    return s;
}

/* Both transforms of a block, and 36 products that go on summing. */
static void weight_block(const weight_sum *s, int64_t block, int64_t c, int64_t k, bool first_block)
{
    const job *j = &s->j;
    char *v = s->own + (size_t)tarn__thread_index() * s->own_bytes, *g = v + s->v_bytes, *sums = g + s->g_bytes;
    int64_t *a_row = (int64_t *)(void *)(sums + s->s_bytes), *c_row = a_row + s->c_group;
    const int64_t first = block * j->block, count = tarn__min(j->block, j->tiles - first), none = 0;
    const int64_t rows = tarn__min(s->c_group, j->c - c), columns = tarn__min(s->k_group, j->k - k);
    tarn__winograd x = {
        .h = j->in_h, .w = j->in_w, .pixel = j->c, .channels = rows, .plane = j->plane_v, .transformed = v};
    tarn__winograd y = {.h = j->out_h, .w = j->out_w, .pixel = j->k, .channels = columns, .plane = s->plane_g};
    y.transformed = g, y.panel = count * 2 * j->loops->lanes;
    for (int64_t t = 0; t < count; t++) {
        const int64_t image = place(j, first + t, &y.y, &y.x);
        x.y = y.y - j->padding, x.x = y.x - j->padding;
        x.image = j->in + (size_t)(image * j->in_h * j->in_w * j->c + c) * j->size;
        x.transformed = v + (size_t)(t * s->c_group) * j->size;
        j->loops->winograd_input(&x);
        y.image = s->g + (size_t)(image * j->out_h * j->out_w * j->k + k) * j->size;
        y.tile = t;
        j->loops->winograd_output_grad(&y);
    }
    for (int64_t i = 0; i < rows; i++)
        a_row[i] = i, c_row[i] = i * s->k_group;
    for (int64_t p = 0; p < PLANES; p++)
        j->loops->product(&(tarn__product){.m = rows,
                                           .n = tarn__round_up(columns, j->loops->lanes),
                                           .a = v + (size_t)(p * j->plane_v) * j->size,
                                           .b = g + (size_t)(p * s->plane_g) * j->size,
                                           .a_row = a_row,
                                           .segment = &none,
                                           .segments = 1,
                                           .depth = count,
                                           .a_step = s->c_group,
                                           .c = sums + (size_t)(p * s->plane_s) * j->size,
                                           .c_row = c_row,
                                           .accumulate = !first_block});
}

static void weight_item(void *context, int64_t item)
{
    const weight_sum *s = context;
    const job *j = &s->j;
    const int64_t k = item % s->k_groups * s->k_group, c = item / s->k_groups % s->c_groups * s->c_group;
    const int64_t piece = item / (s->k_groups * s->c_groups), first = piece * j->blocks / s->pieces;
    for (int64_t block = first; block < (piece + 1) * j->blocks / s->pieces; block++)
        weight_block(s, block, c, k, block == first);
    const char *sums = s->own + (size_t)tarn__thread_index() * s->own_bytes + s->v_bytes + s->g_bytes;
    for (int64_t i = 0; i < tarn__min(s->c_group, j->c - c); i++)
        j->loops->winograd_weight_grad(tarn__min(s->k_group, j->k - k), sums + (size_t)(i * s->k_group) * j->size,
                                       s->plane_s, s->parts + (size_t)((piece * 9 * j->c + c + i) * j->k + k) * j->size,
                                       j->c * j->k);
}

static void winograd_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, tarn__cuts *scratch)
{
    weight_sum s = weight_sum_of(v, scratch);
    if (!scratch->block)
        return;
    s.j.in = x, s.g = g;
    tarn__parallel_for(s.pieces * s.c_groups * s.k_groups, weight_item, &s);
    tarn__conv2d_sum_pieces(v->dtype, s.pieces, 9 * v->c * v->k, s.parts, gw);
}

const tarn__conv2d_algorithm tarn__conv2d_winograd = {
    .forward = winograd_forward,
    .has_extra = winograd_has_extra,
    .input_grad = winograd_input_grad,
    .weight_grad = winograd_weight_grad,
    .transformed = winograd_transformed,
    .transform = winograd_transform,
};
