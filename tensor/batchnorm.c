#include "tensor/batchnorm.h"
#include "tensor/parallel.h"

#include <math.h>
#include <string.h>

/* Rows are cut into tiles by shape alone; each tile's sums are doubles, joined in the order of the tiles. There are not
 * so many that joining would take time. Where rows are shorter than a vector can be, FOLD of them are one wide row. */
enum { TILE_ELEMENTS = 32768, MIN_ROWS = 16, MAX_TILES = 128, FOLD = TARN__BANDED_FROM, VECTORS = 7 };

typedef struct job {
    const tarn__batchnorm *b;
    const tarn__loops *loops;
    size_t size;
    int64_t fold, columns, rows; /* [rows, columns] as the loops see it: wide rows, and `rest` rows that fill none */
    int64_t rest;
    int64_t tile_rows, tiles; /* the rest is one tile more */
    double *first, *second;   /* of each tile: mean and m2, or the sums of g and of g*(x-mean) */
    const char *x;
    tarn__normal y;
    tarn__normal_grad g;
    const tarn__window *pool;
    int64_t pooled_rows; /* in all images, and in a tile */
    int64_t pooled_tile;
} job;

static job job_of(const tarn__batchnorm *b, bool pooled, void *scratch)
{
    job j = {.b = b, .loops = tarn__loops_of(b->dtype), .size = tarn_dtype_size(b->dtype)};
    j.fold = b->columns < FOLD && !pooled ? FOLD : 1;
    j.columns = b->columns * j.fold;
    j.rows = b->rows / j.fold;
    j.rest = b->rows % j.fold;
    int64_t least = tarn__tiles(j.rows, MAX_TILES);
    j.tile_rows = j.columns > 0 ? TILE_ELEMENTS / j.columns : TILE_ELEMENTS;
    if (j.tile_rows < MIN_ROWS)
        j.tile_rows = MIN_ROWS;
    if (j.tile_rows < least)
        j.tile_rows = least;
    j.tiles = tarn__tiles(j.rows, j.tile_rows);
    j.first = scratch;
    j.second = j.first ? j.first + (j.tiles + 1) * j.columns : NULL;
    return j;
}

static size_t scratch_of(const job *j)
{
    return (size_t)((2 * (j->tiles + 1) + VECTORS) * j->columns) * sizeof(double);
}

static bool is_banded(const tarn__batchnorm *b)
{
    return b->bands.count > 0 && b->columns >= TARN__BANDED_FROM;
}

size_t tarn__batchnorm_scratch(const tarn__batchnorm *b)
{
    job folded = job_of(b, false, NULL), pooled = job_of(b, true, NULL);
    size_t a = scratch_of(&folded), c = scratch_of(&pooled);
    size_t bands = is_banded(b) ? (size_t)(2 * b->bands.count * b->columns) * sizeof(double) : 0, most = a > c ? a : c;
    return most > bands ? most : bands;
}

/* The i-th vector of `columns` reals, behind the tiles' sums. */
static void *vector_at(const job *j, int i)
{
    return j->first + (2 * (j->tiles + 1) + i) * j->columns;
}

/* One number a channel becomes one a column. */
static void unfold(const job *j, void *vector)
{
    size_t bytes = (size_t)j->b->columns * j->size;
    for (int64_t i = 1; i < j->fold; i++)
        memcpy((char *)vector + (size_t)i * bytes, vector, bytes);
}

/* What a tile covers. */
typedef struct span {
    size_t row, rows, columns;
    double *first, *second;
    int64_t fold;
} span;

static int64_t tiles_of(const job *j)
{
    return j->tiles + (j->rest > 0);
}

static span span_of(const job *j, int64_t tile)
{
    int64_t row = tile * j->tile_rows, left = j->rows - row, sums = tile * j->columns;
    if (tile == j->tiles)
        return (span){
            (size_t)(j->rows * j->fold), (size_t)j->rest, (size_t)j->b->columns, j->first + sums, j->second + sums, 1};
    return (span){(size_t)row,        (size_t)(left < j->tile_rows ? left : j->tile_rows),
                  (size_t)j->columns, j->first + sums,
                  j->second + sums,   j->fold};
}

static void put(const job *j, void *vector, int64_t c, double value)
{
    if (j->b->dtype == TARN_F64)
        ((double *)vector)[c] = value;
    else
        ((float *)vector)[c] = (float)value;
}

static double get(const job *j, const void *vector, int64_t c)
{
    return j->b->dtype == TARN_F64 ? ((const double *)vector)[c] : (double)((const float *)vector)[c];
}

/* The second pass over a tensor begins where the first ended: that part may still be in the cache. */
static int64_t backwards(int64_t tiles, int64_t tile)
{
    return tiles - 1 - tile;
}

/* ---- moments ---- */

static void moments_tile(void *context, int64_t tile)
{
    const job *j = context;
    span s = span_of(j, tile);
    j->loops->moments(s.rows, s.columns, j->x + s.row * s.columns * j->size, s.first, s.second);
}

/* n values a channel joined to the `seen` that mean and m2 know already. */
static void join_moments(int64_t columns, double n, double seen, const double *more_mean, const double *more_m2,
                         double *mean, double *m2)
{
    double share = n / (seen + n), joint = seen * share;
    for (int64_t c = 0; c < columns; c++) {
        double delta = more_mean[c] - mean[c];
        mean[c] += delta * share;
        m2[c] += more_m2[c] + delta * delta * joint;
    }
}

void tarn__batchnorm_join(const tarn__bands *bands, int64_t columns, const double *means, const double *m2s,
                          double *mean, double *var)
{
    double seen = 0;
    for (int64_t c = 0; c < columns; c++)
        mean[c] = var[c] = 0;
    for (int64_t band = 0; band < bands->count; band++) {
        int64_t pixels;
        tarn__band_start(bands, band, &pixels);
        join_moments(columns, (double)pixels, seen, means + band * columns, m2s + band * columns, mean, var);
        seen += (double)pixels;
    }
    for (int64_t c = 0; c < columns; c++)
        var[c] /= seen;
}

/* Bands of about a tile's elements at a time. */
static int64_t bands_in_item(const tarn__batchnorm *b)
{
    int64_t items = tarn__tiles(b->rows * b->columns, TILE_ELEMENTS);
    return tarn__tiles(b->bands.count, items);
}

static void band_item(void *context, int64_t item)
{
    const job *j = context;
    const tarn__bands *bands = &j->b->bands;
    int64_t at_once = bands_in_item(j->b), columns = j->b->columns;
    for (int64_t band = item * at_once; band < (item + 1) * at_once && band < bands->count; band++) {
        int64_t pixels, start = tarn__band_start(bands, band, &pixels);
        j->loops->moments((size_t)pixels, (size_t)columns, j->x + (size_t)(start * columns) * j->size,
                          j->first + band * columns, j->first + (bands->count + band) * columns);
    }
}

void tarn__batchnorm_moments(const tarn__batchnorm *b, const void *x, double *mean, double *var, void *scratch)
{
    job j = job_of(b, false, scratch);
    j.x = x;
    if (is_banded(b)) {
        tarn__parallel_for(tarn__tiles(b->bands.count, bands_in_item(b)), band_item, &j);
        tarn__batchnorm_join(&b->bands, b->columns, j.first, j.first + b->bands.count * b->columns, mean, var);
        return;
    }
    tarn__parallel_for(tiles_of(&j), moments_tile, &j);
    for (int64_t c = 0; c < b->columns; c++)
        mean[c] = var[c] = 0;
    double seen = 0;
    for (int64_t tile = 0; tile < tiles_of(&j); tile++) {
        span s = span_of(&j, tile);
        for (int64_t i = 0; i < s.fold; i++, seen += (double)s.rows)
            join_moments(b->columns, (double)s.rows, seen, s.first + i * b->columns, s.second + i * b->columns, mean,
                         var);
    }
    for (int64_t c = 0; c < b->columns; c++)
        var[c] /= seen;
}

/* ---- y ---- */

/* The mean rounded to the dtype; what rounding took off goes into the terms that are added later: a mean of
 * 1000 with a spread of 0.02 leaves too few digits otherwise. */
static double mean_rest(const job *j, void *rounded, int64_t c, double mean)
{
    put(j, rounded, c, mean);
    return mean - get(j, rounded, c);
}

/* BN(x) as a line through x: three vectors from the i-th on. */
static tarn__affine affine_of(const job *j, const tarn__normalized *n, int i)
{
    void *rounded = vector_at(j, i), *scale = vector_at(j, i + 1), *shift = vector_at(j, i + 2);
    for (int64_t c = 0; c < j->b->columns; c++) {
        double s = get(j, n->gamma, c) / sqrt(n->var[c] + n->eps);
        put(j, scale, c, s);
        put(j, shift, c, get(j, n->beta, c) - mean_rest(j, rounded, c, n->mean[c]) * s);
    }
    unfold(j, rounded);
    unfold(j, scale);
    unfold(j, shift);
    return (tarn__affine){n->x, rounded, scale, shift};
}

static void apply_tile(void *context, int64_t tile)
{
    const job *j = context;
    span s = span_of(j, backwards(tiles_of(j), tile));
    tarn__normal y = j->y;
    y.columns = s.columns;
    j->loops->normalize(&y, s.row, s.rows);
}

static void apply_pool_tile(void *context, int64_t tile)
{
    const job *j = context;
    tile = backwards(tarn__tiles(j->pooled_rows, j->pooled_tile), tile);
    int64_t row = tile * j->pooled_tile, left = j->pooled_rows - row;
    for (int64_t end = row + (left < j->pooled_tile ? left : j->pooled_tile); row < end; row++)
        j->loops->normalize_pool(&j->y, j->pool, row);
}

static void apply_pooled(job *j)
{
    const tarn__window *w = j->pool;
    int64_t pixels = w->h * w->w, row = 2 * w->w * j->b->columns;
    j->pooled_rows = j->b->rows / pixels * w->p;
    j->pooled_tile = row < TILE_ELEMENTS ? TILE_ELEMENTS / (row > 0 ? row : 1) : 1;
    tarn__parallel_for(tarn__tiles(j->pooled_rows, j->pooled_tile), apply_pool_tile, j);
}

void tarn__batchnorm_apply(const tarn__batchnorm *b, const tarn__batchnorm_y *y, void *scratch)
{
    job j = job_of(b, y->pool != NULL, scratch);
    j.y = (tarn__normal){.columns = (size_t)j.columns,
                         .a = affine_of(&j, &y->a, 0),
                         .residual = y->residual,
                         .relu = y->relu,
                         .y = y->y,
                         .at = y->at};
    if (y->b.x)
        j.y.b = affine_of(&j, &y->b, 3);
    j.pool = y->pool;
    if (y->pool)
        apply_pooled(&j);
    else
        tarn__parallel_for(tiles_of(&j), apply_tile, &j);
}

/* ---- gradients ---- */

static void sums_tile(void *context, int64_t tile)
{
    const job *j = context;
    span s = span_of(j, tile);
    tarn__normal_grad g = j->g;
    g.columns = s.columns;
    for (size_t c = 0; c < s.columns; c++)
        s.first[c] = s.second[c] = 0;
    j->loops->normalize_sums(&g, s.row, s.rows, s.first, s.second);
}

static void grad_tile(void *context, int64_t tile)
{
    const job *j = context;
    span s = span_of(j, backwards(tiles_of(j), tile));
    tarn__normal_grad g = j->g;
    g.columns = s.columns;
    j->loops->normalize_grad(&g, s.row, s.rows);
}

/* The first tile's sums become the sums of all. */
static void join_sums(const job *j)
{
    int64_t columns = j->b->columns;
    for (int64_t tile = 0; tile < tiles_of(j); tile++) {
        span s = span_of(j, tile);
        for (int64_t i = tile == 0; i < s.fold; i++)
            for (int64_t c = 0; c < columns; c++) {
                j->first[c] += s.first[i * columns + c];
                j->second[c] += s.second[i * columns + c];
            }
    }
}

/* What the sums say: the gradients of gamma and beta, and the vectors that gx needs. */
static void finish_sums(const job *j, const tarn__batchnorm_gx *g)
{
    void *scale = vector_at(j, 3), *mean_g = vector_at(j, 4), *slope = vector_at(j, 5);
    const tarn__normalized *x = &g->x;
    double rows = (double)j->b->rows;
    for (int64_t c = 0; c < j->b->columns; c++) {
        double rest = x->mean[c] - get(j, j->g.a.mean, c), inverse = 1 / sqrt(x->var[c] + x->eps);
        double sum_g = j->first[c], sum_gx = j->second[c] - rest * sum_g;
        double s = sum_gx * inverse * inverse / rows;
        if (g->gbeta)
            put(j, g->gbeta, c, sum_g);
        if (g->ggamma)
            put(j, g->ggamma, c, sum_gx * inverse);
        put(j, scale, c, get(j, x->gamma, c) * inverse);
        put(j, slope, c, s);
        put(j, mean_g, c, sum_g / rows - rest * s);
    }
    unfold(j, scale);
    unfold(j, slope);
    unfold(j, mean_g);
}

void tarn__batchnorm_grad(const tarn__batchnorm *b, const tarn__batchnorm_gx *g, void *scratch)
{
    job j = job_of(b, g->pool != NULL, scratch);
    j.g = (tarn__normal_grad){.columns = (size_t)j.columns,
                              .g = g->g,
                              .pool = g->pool,
                              .at = g->at,
                              .relu = g->relu,
                              .y = g->y,
                              .masked = g->masked,
                              .gx_scale = vector_at(&j, 3),
                              .mean_g = vector_at(&j, 4),
                              .slope = vector_at(&j, 5),
                              .gx = g->gx};
    if (g->relu == TARN__MASK_OWN) {
        j.g.a = affine_of(&j, &g->x, 0);
    } else {
        j.g.a = (tarn__affine){.x = g->x.x, .mean = vector_at(&j, 0)};
        for (int64_t c = 0; c < b->columns; c++)
            put(&j, vector_at(&j, 0), c, g->x.mean[c]);
        unfold(&j, vector_at(&j, 0));
    }
    tarn__parallel_for(tiles_of(&j), sums_tile, &j);
    join_sums(&j);
    finish_sums(&j, g);
    if (g->masked) { /* written a moment ago: the second pass need not make it again */
        j.g.g = g->masked;
        j.g.pool = NULL;
        j.g.relu = TARN__MASK_NONE;
    }
    if (g->gx)
        tarn__parallel_for(tiles_of(&j), grad_tile, &j);
}
