/* Convolution as a product whose rows are the pixels under the taps, where they are in memory: nothing is unfolded. A tile
 * of output pixels reads a strip of the input with its padding around it; where taps lie so far apart that the strip would
 * be larger than the pixels it is for, each pixel's taps are copied side by side instead (patches).
 *
 * The input gradient is the same thing: the output's gradient under the taps that lead to an input pixel. With a stride,
 * pixels fall into stride x stride phases, which differ in those taps. */
#include "tensor/conv2d_impl.h"

#include <string.h>

enum { TILE_PIXELS = 192, MAX_TILE_PIXELS = 512, MIN_ITEMS = 16, COLUMN_GROUP = 64, WEIGHT_PIECES = 8 };

/* Output pixel (i, j) of a phase is the sum over taps t of the input pixel (i*step + tap_y[t], j*step + tap_x[t]). */
typedef struct correlation {
    const tarn__loops *loops;
    tarn_dtype dtype;
    size_t size; /* of an element */
    int64_t images, groups;
    int64_t depth, n; /* channels of a group: of the input, of the output */
    const char *in;
    int64_t in_h, in_w, in_c, in_step;
    char *out;
    int64_t out_h, out_w, out_c, out_step, out_y, out_x;
    int64_t rows, columns; /* of output pixels */

    int64_t taps, *tap_y, *tap_x, *tap_weight; /* tap_weight: r*S + s */
    int64_t low_y, low_x, high_y, high_x;
    bool in_place, patches;
    int64_t strip_w;

    int64_t tile_images, tile_rows, row_tiles, tiles;
    int64_t column_groups;

    /* offsets in elements */
    int64_t *tap_offset, *segment;
    int64_t segments, segment_depth;
    char *weights; /* packed, group by group */
    int64_t group_weights;
    char *own; /* of each thread */
    size_t own_bytes;
    tarn__bands bands;
    const char *bias;
    tarn__conv2d_moments moments;
} correlation;

/* ---- geometry ---- */

static void add_tap(correlation *c, int64_t y, int64_t x, int64_t weight)
{
    if (c->taps == 0)
        c->low_y = c->high_y = y, c->low_x = c->high_x = x;
    c->low_y = tarn__min(c->low_y, y), c->high_y = tarn__max(c->high_y, y);
    c->low_x = tarn__min(c->low_x, x), c->high_x = tarn__max(c->high_x, x);
    if (c->tap_y)
        c->tap_y[c->taps] = y, c->tap_x[c->taps] = x, c->tap_weight[c->taps] = weight;
    c->taps++;
}

static int64_t strip_rows(const correlation *c, int64_t rows)
{
    return (rows - 1) * c->in_step + c->high_y - c->low_y + 1;
}

/* Elements that a tile reads. */
static int64_t tile_elements(const correlation *c)
{
    if (c->in_place)
        return 0;
    if (c->patches)
        return c->tile_images * c->tile_rows * c->columns * c->taps * c->in_c;
    return c->tile_images * strip_rows(c, c->tile_rows) * c->strip_w * c->in_c;
}

static void cut_tiles(correlation *c)
{
    c->in_place = c->low_y >= 0 && c->low_x >= 0 && (c->rows - 1) * c->in_step + c->high_y < c->in_h &&
                  (c->columns - 1) * c->in_step + c->high_x < c->in_w;
    if (c->in_place)
        c->low_y = c->low_x = 0;
    c->strip_w = c->in_place ? c->in_w : (c->columns - 1) * c->in_step + c->high_x - c->low_x + 1;
    c->tile_rows = tarn__min(c->rows, tarn__max(1, TILE_PIXELS / c->columns));
    if (c->tile_rows < c->rows && c->tile_rows > TARN__BAND_ROWS)
        c->tile_rows -= c->tile_rows % TARN__BAND_ROWS;
    else if (c->tile_rows < c->rows && TARN__BAND_ROWS * c->columns <= MAX_TILE_PIXELS)
        c->tile_rows = TARN__BAND_ROWS;
    const int64_t images = tarn__max(1, TILE_PIXELS / (c->rows * c->columns));
    const int64_t group = tarn__max(1, tarn__bands_of(c->images, c->rows, c->columns).group);
    c->tile_images = c->tile_rows < c->rows ? 1 : tarn__min(c->images, tarn__round_up(images, group));
    /* in each direction, how much of the strip do the taps use? */
    const int64_t strip = strip_rows(c, c->tile_rows) * c->strip_w;
    c->patches = !c->in_place && strip > c->tile_rows * c->columns * c->taps;
    c->row_tiles = tarn__tiles(c->rows, c->tile_rows);
    c->tiles = tarn__tiles(c->images, c->tile_images) * c->row_tiles;
    c->column_groups = c->tiles >= MIN_ITEMS ? 1 : tarn__tiles(c->n, COLUMN_GROUP);
}

/* Input row y of the input gradient meets output row (y + padding - r*dilation) / stride where that is whole. So tap r
 * leads to rows of one phase, and so does every tap_period-th from it. Along columns it is the same. */
static int64_t phase_of(const tarn__conv2d *v, int64_t tap)
{
    const int64_t phase = (tap * v->dilation - v->padding) % v->stride;
    return phase < 0 ? phase + v->stride : phase;
}

/* stride / gcd(stride, dilation) */
static int64_t tap_period(const tarn__conv2d *v)
{
    int64_t a = v->stride, b = v->dilation;
    while (b != 0) {
        const int64_t rest = a % b;
        a = b, b = rest;
    }
    return v->stride / a;
}

/* The taps of the phase of tap (first_r, first_s). Downwards, so that offsets go up. */
static void input_grad_taps(correlation *c, const tarn__conv2d *v, int64_t first_r, int64_t first_s)
{
    const int64_t period = tap_period(v);
    c->taps = 0;
    for (int64_t r = first_r + (v->r - 1 - first_r) / period * period; r >= 0; r -= period)
        for (int64_t s = first_s + (v->s - 1 - first_s) / period * period; s >= 0; s -= period)
            add_tap(c, (c->out_y + v->padding - r * v->dilation) / v->stride,
                    (c->out_x + v->padding - s * v->dilation) / v->stride, r * v->s + s);
}

static void forward_taps(correlation *c, const tarn__conv2d *v)
{
    c->taps = 0;
    for (int64_t r = 0; r < v->r; r++)
        for (int64_t s = 0; s < v->s; s++)
            add_tap(c, r * v->dilation - v->padding, s * v->dilation - v->padding, r * v->s + s);
}

static void cut_taps(correlation *c, const tarn__conv2d *v, char **scratch)
{
    const size_t bytes = (size_t)(v->r * v->s) * sizeof(int64_t);
    const bool there = *scratch != NULL;
    int64_t *y = tarn__cut(scratch, bytes), *x = tarn__cut(scratch, bytes), *weight = tarn__cut(scratch, bytes);
    c->tap_offset = tarn__cut(scratch, bytes);
    c->segment = tarn__cut(scratch, bytes);
    c->tap_y = there ? y : NULL, c->tap_x = x, c->tap_weight = weight;
}

/* Where each tap stands from its output pixel's place in the tile; neighbours in memory are joined into segments. */
static void place_taps(correlation *c)
{
    for (int64_t t = 0; t < c->taps; t++)
        c->tap_offset[t] =
            c->patches ? t * c->in_c : ((c->tap_y[t] - c->low_y) * c->strip_w + c->tap_x[t] - c->low_x) * c->in_c;
    int64_t run = 1;
    while (run < c->taps && c->tap_offset[run] == c->tap_offset[0] + run * c->depth)
        run++;
    for (int64_t t = 0; run > 1 && t < c->taps; t++)
        if (c->taps % run != 0 || c->tap_offset[t] != c->tap_offset[t / run * run] + t % run * c->depth)
            run = 1;
    c->segments = c->taps / run;
    c->segment_depth = run * c->depth;
    for (int64_t s = 0; s < c->segments; s++)
        c->segment[s] = c->tap_offset[s * run];
}

static correlation correlation_of(const tarn__conv2d *v)
{
    return (correlation){.loops = tarn__loops_of(v->dtype),
                         .dtype = v->dtype,
                         .size = tarn_dtype_size(v->dtype),
                         .images = v->n,
                         .groups = v->groups};
}

static correlation forward_of(const tarn__conv2d *v, char **scratch)
{
    correlation c = correlation_of(v);
    c.depth = v->c / v->groups, c.n = v->k / v->groups;
    c.in_h = v->h, c.in_w = v->w, c.in_c = v->c, c.in_step = v->stride;
    c.out_h = v->p, c.out_w = v->q, c.out_c = v->k, c.out_step = 1;
    c.rows = v->p, c.columns = v->q;
    c.bands = tarn__bands_of(v->n, v->p, v->q);
    cut_taps(&c, v, scratch);
    forward_taps(&c, v);
    cut_tiles(&c);
    return c;
}

/* For the phase of tap (first_r, first_s), which is the first of its taps. */
static correlation input_grad_of(const tarn__conv2d *v, int64_t first_r, int64_t first_s, char **scratch)
{
    correlation c = correlation_of(v);
    c.depth = v->k / v->groups, c.n = v->c / v->groups;
    c.in_h = v->p, c.in_w = v->q, c.in_c = v->k, c.in_step = 1;
    c.out_h = v->h, c.out_w = v->w, c.out_c = v->c, c.out_step = v->stride;
    c.out_y = phase_of(v, first_r), c.out_x = phase_of(v, first_s);
    c.rows = tarn__tiles(v->h - c.out_y, v->stride), c.columns = tarn__tiles(v->w - c.out_x, v->stride);
    cut_taps(&c, v, scratch);
    input_grad_taps(&c, v, first_r, first_s);
    cut_tiles(&c);
    return c;
}

/* ---- a tile ---- */

typedef struct tile {
    int64_t image, images, row, rows; /* of output */
    const char *from;                 /* what a_row counts from */
    int64_t *a_row, *c_row;
} tile;

/* What each thread needs for a tile: the strip, or patches, and the places of pixels. */
static void cut_own(correlation *c, char **scratch)
{
    const size_t places = 2 * (size_t)(c->tile_images * c->tile_rows * c->columns) * sizeof(int64_t);
    c->own_bytes = (((size_t)tile_elements(c) * c->size + 63) & ~(size_t)63) + ((places + 63) & ~(size_t)63);
    c->own = tarn__cut(scratch, (size_t)tarn_threads() * c->own_bytes);
}

static void gather_strip(const correlation *c, const tile *t, char *to)
{
    const size_t image = (size_t)(c->in_h * c->in_w * c->in_c) * c->size;
    const int64_t rows = strip_rows(c, t->rows);
    for (int64_t i = 0; i < t->images; i++) {
        c->loops->gather(&(tarn__gather){c->in + (size_t)(t->image + i) * image, c->in_h, c->in_w, c->in_c,
                                         t->row * c->in_step + c->low_y, c->low_x, rows, c->strip_w, to});
        to += (size_t)(rows * c->strip_w * c->in_c) * c->size;
    }
}

static void gather_patches(const correlation *c, const tile *t, char *to)
{
    const size_t pixel = (size_t)c->in_c * c->size, image = (size_t)(c->in_h * c->in_w) * pixel;
    for (int64_t i = 0; i < t->images; i++)
        for (int64_t at = t->row * c->columns; at < (t->row + t->rows) * c->columns; at++)
            for (int64_t tap = 0; tap < c->taps; tap++, to += pixel) {
                const int64_t y = at / c->columns * c->in_step + c->tap_y[tap];
                const int64_t x = at % c->columns * c->in_step + c->tap_x[tap];
                if (y < 0 || y >= c->in_h || x < 0 || x >= c->in_w)
                    memset(to, 0, pixel);
                else
                    memcpy(to, c->in + (size_t)(t->image + i) * image + (size_t)(y * c->in_w + x) * pixel, pixel);
            }
}

static tile tile_of(const correlation *c, int64_t index)
{
    char *own = c->own + (size_t)tarn__thread_index() * c->own_bytes;
    tile t = {.image = index / c->row_tiles * c->tile_images, .row = index % c->row_tiles * c->tile_rows, .from = own};
    t.images = tarn__min(c->tile_images, c->images - t.image);
    t.rows = tarn__min(c->tile_rows, c->rows - t.row);
    int64_t image_step, row_step, pixel_step, first = 0;
    if (c->patches) {
        gather_patches(c, &t, own);
        pixel_step = c->taps * c->in_c, row_step = c->columns * pixel_step, image_step = t.rows * row_step;
    } else {
        pixel_step = c->in_step * c->in_c, row_step = c->in_step * c->strip_w * c->in_c;
        image_step = strip_rows(c, t.rows) * c->strip_w * c->in_c;
        if (c->in_place) {
            t.from = c->in;
            image_step = c->in_h * c->in_w * c->in_c;
            first = t.image * image_step + t.row * row_step;
        } else {
            gather_strip(c, &t, own);
        }
    }
    t.a_row = (int64_t *)(void *)(own + (((size_t)tile_elements(c) * c->size + 63) & ~(size_t)63));
    t.c_row = t.a_row + c->tile_images * c->tile_rows * c->columns;
    int64_t m = 0;
    for (int64_t i = 0; i < t.images; i++)
        for (int64_t r = 0; r < t.rows; r++)
            for (int64_t q = 0; q < c->columns; q++, m++) {
                t.a_row[m] = first + i * image_step + r * row_step + q * pixel_step;
                const int64_t y = (t.row + r) * c->out_step + c->out_y, x = q * c->out_step + c->out_x;
                t.c_row[m] = (((t.image + i) * c->out_h + y) * c->out_w + x) * c->out_c;
            }
    return t;
}

/* ---- forward, and the input gradient ---- */

static void correlate_item(void *context, int64_t item)
{
    const correlation *c = context;
    const tile t = tile_of(c, item / c->column_groups);
    const int64_t group_columns = c->column_groups > 1 ? COLUMN_GROUP : c->n;
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
    const correlation *c;
    const char *w;
    int64_t k, cpg;
    bool transposed;
} packing;

static void pack_item(void *context, int64_t item)
{
    const packing *p = context;
    const correlation *c = p->c;
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

static void cut_weights(correlation *c, char **scratch)
{
    c->group_weights = c->taps * c->depth * tarn__round_up(c->n, c->loops->lanes);
    c->weights = tarn__cut(scratch, (size_t)(c->groups * c->group_weights) * c->size);
}

static void correlate(correlation *c, const tarn__conv2d *v, const void *w, bool transposed, char *scratch)
{
    cut_weights(c, &scratch);
    cut_own(c, &scratch);
    place_taps(c);
    tarn__parallel_for(c->groups * c->taps, pack_item, &(packing){c, w, v->k, v->c / v->groups, transposed});
    tarn__parallel_for(c->tiles * c->column_groups, correlate_item, c);
}

/* A tile covers whole bands, with all of their channels. */
static bool direct_has_extra(const tarn__conv2d *v)
{
    char *at = NULL;
    const correlation c = forward_of(v, &at);
    const bool whole = c.bands.group > 0
                           ? c.tile_rows == c.rows && (c.tile_images % c.bands.group == 0 || c.tile_images == c.images)
                           : c.tile_rows == c.rows || c.tile_rows % TARN__BAND_ROWS == 0;
    return whole && c.column_groups == 1;
}

static void direct_forward(const tarn__conv2d *v, const void *x, const void *w, const tarn__conv2d_extra *extra,
                           void *y, void *scratch)
{
    char *at = scratch;
    correlation c = forward_of(v, &at);
    tarn__conv2d_cut_moments(v, &c.bands, extra, &c.moments, &at);
    c.in = x, c.out = y, c.bias = extra->bias;
    correlate(&c, v, w, false, at);
    if (extra->mean)
        tarn__conv2d_join_moments(&c.moments, extra);
}

/* The next of the phases that have taps and pixels, by their first taps; from (0, -1) on. */
static bool next_phase(const tarn__conv2d *v, int64_t *first_r, int64_t *first_s)
{
    const int64_t period = tap_period(v), most_r = tarn__min(v->r, period), most_s = tarn__min(v->s, period);
    do {
        if (++*first_s == most_s)
            *first_s = 0, ++*first_r;
        if (*first_r == most_r)
            return false;
    } while (phase_of(v, *first_r) >= v->h || phase_of(v, *first_s) >= v->w);
    return true;
}

/* A stride beyond the taps leaves pixels that no output has seen. */
static bool has_unseen_pixels(const tarn__conv2d *v)
{
    int64_t seen = 0;
    for (int64_t r = 0, s = -1; next_phase(v, &r, &s);)
        seen++;
    return seen < tarn__min(v->stride, v->h) * tarn__min(v->stride, v->w);
}

static void direct_input_grad(const tarn__conv2d *v, const void *g, const void *w, void *gx, void *scratch)
{
    if (has_unseen_pixels(v))
        memset(gx, 0, (size_t)(v->n * v->h * v->w * v->c) * tarn_dtype_size(v->dtype));
    for (int64_t r = 0, s = -1; next_phase(v, &r, &s);) {
        char *at = scratch;
        correlation c = input_grad_of(v, r, s, &at);
        c.in = g, c.out = gx;
        correlate(&c, v, w, true, at);
    }
}

/* ---- the weight gradient: the rows are the taps' channels, the sum runs over pixels ---- */

typedef struct weight_sum {
    correlation *c;
    const char *g;
    int64_t pieces, column_groups, group_columns;
    int64_t *a_row, *c_row; /* of all taps' channels */
    char *parts;
    char *own; /* of each thread: a tile's g, packed, and the segments */
    size_t packed_bytes, own_bytes;
} weight_sum;

/* How many of a tile's pixels are summed over at a time. A tile of more than MAX_TILE_PIXELS is one long row, which would
 * leave the cache before the next channels of x read it again. */
static int64_t chunk_of(int64_t pixels)
{
    return pixels > MAX_TILE_PIXELS ? TILE_PIXELS : pixels;
}

static weight_sum weight_sum_of(correlation *c, char **scratch)
{
    weight_sum s = {.c = c, .group_columns = tarn__min(c->n, COLUMN_GROUP)};
    const int64_t pixels = c->tile_images * c->tile_rows * c->columns, rows = c->taps * c->depth;
    s.column_groups = tarn__tiles(c->n, s.group_columns);
    s.pieces = tarn__min(c->tiles, tarn__tiles(WEIGHT_PIECES, s.column_groups));
    s.a_row = tarn__cut(scratch, (size_t)rows * sizeof(int64_t));
    s.c_row = tarn__cut(scratch, (size_t)rows * sizeof(int64_t));
    s.parts = tarn__cut(scratch, (size_t)(s.pieces * rows * c->out_c) * c->size);
    s.packed_bytes =
        ((size_t)(chunk_of(pixels) * tarn__round_up(s.group_columns, c->loops->lanes)) * c->size + 63) & ~(size_t)63;
    s.own_bytes = s.packed_bytes + (((size_t)(c->tile_images * c->tile_rows) * sizeof(int64_t) + 63) & ~(size_t)63);
    s.own = tarn__cut(scratch, (size_t)tarn_threads() * s.own_bytes);
    cut_own(c, scratch);
    return s;
}

static void weight_tile(const weight_sum *s, int64_t index, int64_t column, char *part)
{
    const correlation *c = s->c;
    char *own = s->own + (size_t)tarn__thread_index() * s->own_bytes;
    int64_t *segment = (int64_t *)(void *)(own + s->packed_bytes);
    const tile t = tile_of(c, index);
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
    const correlation *c = s->c;
    const int64_t piece = item / s->column_groups, column = item % s->column_groups * s->group_columns;
    const int64_t columns = tarn__min(s->group_columns, c->n - column), rows = c->taps * c->depth;
    char *part = s->parts + (size_t)(piece * rows * c->out_c) * c->size;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t group = 0; group < c->groups; group++)
            memset(part + (size_t)(row * c->out_c + group * c->n + column) * c->size, 0, (size_t)columns * c->size);
    for (int64_t i = piece * c->tiles / s->pieces; i < (piece + 1) * c->tiles / s->pieces; i++)
        weight_tile(s, i, column, part);
}

static void direct_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, void *scratch)
{
    char *at = scratch;
    correlation c = forward_of(v, &at);
    c.in = x;
    weight_sum s = weight_sum_of(&c, &at);
    s.g = g;
    place_taps(&c);
    for (int64_t tap = 0, row = 0; tap < c.taps; tap++)
        for (int64_t i = 0; i < c.depth; i++, row++) {
            s.a_row[row] = c.tap_offset[tap] + i;
            s.c_row[row] = row * c.out_c;
        }
    tarn__parallel_for(s.pieces * s.column_groups, weight_item, &s);
    tarn__conv2d_sum_pieces(v->dtype, s.pieces, c.taps * c.depth * c.out_c, s.parts, gw);
}

/* ---- scratch memory ---- */

static size_t input_grad_scratch(const tarn__conv2d *v)
{
    size_t most = 0;
    for (int64_t r = 0, s = -1; next_phase(v, &r, &s);) {
        char *at = NULL;
        correlation c = input_grad_of(v, r, s, &at);
        cut_weights(&c, &at);
        cut_own(&c, &at);
        if ((uintptr_t)at > most)
            most = (uintptr_t)at;
    }
    return most;
}

static size_t direct_scratch(const tarn__conv2d *v, tarn__conv2d_product product)
{
    if (product == TARN__INPUT_GRAD)
        return input_grad_scratch(v);
    char *at = NULL;
    correlation c = forward_of(v, &at);
    if (product == TARN__WEIGHT_GRAD) {
        weight_sum_of(&c, &at);
    } else {
        tarn__conv2d_cut_moments(v, &c.bands, NULL, &c.moments, &at);
        cut_weights(&c, &at);
        cut_own(&c, &at);
    }
    return (uintptr_t)at;
}

const tarn__conv2d_algorithm tarn__conv2d_direct = {
    .scratch = direct_scratch,
    .forward = direct_forward,
    .has_extra = direct_has_extra,
    .input_grad = direct_input_grad,
    .weight_grad = direct_weight_grad,
};
