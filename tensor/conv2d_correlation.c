#include "tensor/conv2d_correlation.h"

#include <string.h>

enum { MIN_ITEMS = 16 };

/* ---- geometry ---- */

static void add_tap(tarn__correlation *c, int64_t y, int64_t x, int64_t weight)
{
    if (c->taps == 0)
        c->low_y = c->high_y = y, c->low_x = c->high_x = x;
    c->low_y = tarn__min(c->low_y, y), c->high_y = tarn__max(c->high_y, y);
    c->low_x = tarn__min(c->low_x, x), c->high_x = tarn__max(c->high_x, x);
    if (c->tap_y)
        c->tap_y[c->taps] = y, c->tap_x[c->taps] = x, c->tap_weight[c->taps] = weight;
    c->taps++;
}

static int64_t strip_rows(const tarn__correlation *c, int64_t rows)
{
    return (rows - 1) * c->in_step + c->high_y - c->low_y + 1;
}

/* Elements that a tile reads. */
static int64_t tile_elements(const tarn__correlation *c)
{
    if (c->in_place)
        return 0;
    if (c->patches)
        return c->tile_images * c->tile_rows * c->columns * c->taps * c->in_c;
    return c->tile_images * strip_rows(c, c->tile_rows) * c->strip_w * c->in_c;
}

static void cut_tiles(tarn__correlation *c)
{
    c->in_place = c->low_y >= 0 && c->low_x >= 0 && (c->rows - 1) * c->in_step + c->high_y < c->in_h &&
                  (c->columns - 1) * c->in_step + c->high_x < c->in_w;
    if (c->in_place)
        c->low_y = c->low_x = 0;
    c->strip_w = c->in_place ? c->in_w : (c->columns - 1) * c->in_step + c->high_x - c->low_x + 1;
    c->tile_rows = tarn__min(c->rows, tarn__max(1, TARN__TILE_PIXELS / c->columns));
    if (c->tile_rows < c->rows && c->tile_rows > TARN__BAND_ROWS)
        c->tile_rows -= c->tile_rows % TARN__BAND_ROWS;
    else if (c->tile_rows < c->rows && TARN__BAND_ROWS * c->columns <= TARN__MAX_TILE_PIXELS)
        c->tile_rows = TARN__BAND_ROWS;
    const int64_t images = tarn__max(1, TARN__TILE_PIXELS / (c->rows * c->columns));
    const int64_t group = tarn__max(1, tarn__bands_of(c->images, c->rows, c->columns).group);
    c->tile_images = c->tile_rows < c->rows ? 1 : tarn__min(c->images, tarn__round_up(images, group));
    /* in each direction, how much of the strip do the taps use? */
    const int64_t strip = strip_rows(c, c->tile_rows) * c->strip_w;
    c->patches = !c->in_place && strip > c->tile_rows * c->columns * c->taps;
    c->row_tiles = tarn__tiles(c->rows, c->tile_rows);
    c->tiles = tarn__tiles(c->images, c->tile_images) * c->row_tiles;
    c->column_groups = c->tiles >= MIN_ITEMS ? 1 : tarn__tiles(c->n, TARN__COLUMN_GROUP);
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
static void input_grad_taps(tarn__correlation *c, const tarn__conv2d *v, int64_t first_r, int64_t first_s)
{
    const int64_t period = tap_period(v);
    c->taps = 0;
    for (int64_t r = first_r + (v->r - 1 - first_r) / period * period; r >= 0; r -= period)
        for (int64_t s = first_s + (v->s - 1 - first_s) / period * period; s >= 0; s -= period)
            add_tap(c, (c->out_y + v->padding - r * v->dilation) / v->stride,
                    (c->out_x + v->padding - s * v->dilation) / v->stride, r * v->s + s);
}

static void forward_taps(tarn__correlation *c, const tarn__conv2d *v)
{
    c->taps = 0;
    for (int64_t r = 0; r < v->r; r++)
        for (int64_t s = 0; s < v->s; s++)
            add_tap(c, r * v->dilation - v->padding, s * v->dilation - v->padding, r * v->s + s);
}

static void cut_taps(tarn__correlation *c, const tarn__conv2d *v, tarn__cuts *scratch)
{
    const size_t bytes = (size_t)(v->r * v->s) * sizeof(int64_t);
    c->tap_y = tarn__cut(scratch, bytes);
    c->tap_x = tarn__cut(scratch, bytes);
    c->tap_weight = tarn__cut(scratch, bytes);
    c->tap_offset = tarn__cut(scratch, bytes);
    c->segment = tarn__cut(scratch, bytes);
}

void tarn__correlation_place_taps(tarn__correlation *c)
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

static tarn__correlation correlation_of(const tarn__conv2d *v)
{
    return (tarn__correlation){.loops = tarn__loops_of(v->dtype),
                               .dtype = v->dtype,
                               .size = tarn_dtype_size(v->dtype),
                               .images = v->n,
                               .groups = v->groups};
}

tarn__correlation tarn__correlation_forward(const tarn__conv2d *v, tarn__cuts *scratch)
{
    tarn__correlation c = correlation_of(v);
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

tarn__correlation tarn__correlation_input_grad(const tarn__conv2d *v, int64_t first_r, int64_t first_s,
                                               tarn__cuts *scratch)
{
    tarn__correlation c = correlation_of(v);
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

bool tarn__correlation_next_phase(const tarn__conv2d *v, int64_t *first_r, int64_t *first_s)
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

/* ---- a tile ---- */

void tarn__correlation_cut_tile(tarn__correlation *c, tarn__cuts *scratch)
{
    const size_t places = 2 * (size_t)(c->tile_images * c->tile_rows * c->columns) * sizeof(int64_t);
    c->strip_bytes = tarn__whole_lines((size_t)tile_elements(c) * c->size);
    c->own_bytes = c->strip_bytes + tarn__whole_lines(places);
    c->own = tarn__cut(scratch, (size_t)tarn_threads() * c->own_bytes);
}

static void gather_strip(const tarn__correlation *c, const tarn__correlation_tile *t, char *to)
{
    const size_t image = (size_t)(c->in_h * c->in_w * c->in_c) * c->size;
    const int64_t rows = strip_rows(c, t->rows);
    for (int64_t i = 0; i < t->images; i++) {
        c->loops->gather(&(tarn__gather){c->in + (size_t)(t->image + i) * image, c->in_h, c->in_w, c->in_c,
                                         t->row * c->in_step + c->low_y, c->low_x, rows, c->strip_w, to});
        to += (size_t)(rows * c->strip_w * c->in_c) * c->size;
    }
}

static void gather_patches(const tarn__correlation *c, const tarn__correlation_tile *t, char *to)
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

tarn__correlation_tile tarn__correlation_tile_of(const tarn__correlation *c, int64_t index)
{
    char *own = c->own + (size_t)tarn__thread_index() * c->own_bytes;
    tarn__correlation_tile t = {
        .image = index / c->row_tiles * c->tile_images, .row = index % c->row_tiles * c->tile_rows, .from = own};
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
    t.a_row = (int64_t *)(void *)(own + c->strip_bytes);
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
