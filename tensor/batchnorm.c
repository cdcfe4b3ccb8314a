#include "tensor/batchnorm.h"
#include "tensor/parallel.h"

#include <math.h>

/* Rows are cut into tiles by shape alone; each tile's sums are doubles, joined in the order of the tiles. */
enum { TILE_ELEMENTS = 16384, MIN_ROWS = 16, VECTORS = 5 };

typedef struct job {
    const tarn__batchnorm *b;
    const tarn__loops *loops;
    size_t size;
    int64_t tile_rows, tiles;
    const char *x, *g;
    char *y;
    double *first, *second;                   /* [tiles, columns]: mean and m2, or the sums of g and of g*(x-mean) */
    const char *mean, *scale, *shift, *slope; /* [columns], of the dtype */
} job;

static job job_of(const tarn__batchnorm *b, void *scratch)
{
    job j = {.b = b, .loops = tarn__loops_of(b->dtype), .size = tarn_dtype_size(b->dtype)};
    j.tile_rows = b->columns > 0 ? TILE_ELEMENTS / b->columns : TILE_ELEMENTS;
    if (j.tile_rows < MIN_ROWS)
        j.tile_rows = MIN_ROWS;
    j.tiles = tarn__tiles(b->rows, j.tile_rows);
    j.first = scratch;
    j.second = j.first ? j.first + j.tiles * b->columns : NULL;
    return j;
}

size_t tarn__batchnorm_scratch(const tarn__batchnorm *b)
{
    job j = job_of(b, NULL);
    return (size_t)((2 * j.tiles + VECTORS) * b->columns) * sizeof(double);
}

/* The i-th vector of `columns` reals, behind the tiles' sums. */
static void *vector_at(const job *j, int i)
{
    return j->first + (2 * j->tiles + i) * j->b->columns;
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

static size_t rows_of(const job *j, int64_t tile)
{
    int64_t left = j->b->rows - tile * j->tile_rows;
    return (size_t)(left < j->tile_rows ? left : j->tile_rows);
}

static size_t offset_of(const job *j, int64_t tile)
{
    return (size_t)(tile * j->tile_rows * j->b->columns) * j->size;
}

/* ---- moments ---- */

static void moments_tile(void *context, int64_t tile)
{
    const job *j = context;
    int64_t at = tile * j->b->columns;
    j->loops->moments(rows_of(j, tile), (size_t)j->b->columns, j->x + offset_of(j, tile), j->first + at,
                      j->second + at);
}

void tarn__batchnorm_moments(const tarn__batchnorm *b, const void *x, double *mean, double *var, void *scratch)
{
    job j = job_of(b, scratch);
    j.x = x;
    tarn__parallel_for(j.tiles, moments_tile, &j);
    for (int64_t c = 0; c < b->columns; c++) {
        double middle = 0, m2 = 0, seen = 0;
        for (int64_t tile = 0; tile < j.tiles; tile++) {
            double n = (double)rows_of(&j, tile), delta = j.first[tile * b->columns + c] - middle;
            middle += delta * n / (seen + n);
            m2 += j.second[tile * b->columns + c] + delta * delta * seen * n / (seen + n);
            seen += n;
        }
        mean[c] = middle;
        var[c] = m2 / seen;
    }
}

/* ---- y ---- */

static void apply_tile(void *context, int64_t tile)
{
    const job *j = context;
    size_t at = offset_of(j, tile);
    j->loops->normalize(rows_of(j, tile), (size_t)j->b->columns, j->x + at, j->mean, j->scale, j->shift, j->y + at);
}

/* The mean rounded to the dtype; what rounding took off goes into the terms that are added later: a mean of
 * 1000 with a spread of 0.02 leaves too few digits otherwise. */
static double mean_rest(const job *j, void *rounded, int64_t c, double mean)
{
    put(j, rounded, c, mean);
    return mean - get(j, rounded, c);
}

void tarn__batchnorm_apply(const tarn__batchnorm *b, const void *x, const double *mean, const double *var,
                           const void *gamma, const void *beta, void *y, void *scratch)
{
    job j = job_of(b, scratch);
    void *rounded = vector_at(&j, 0), *scale = vector_at(&j, 1), *shift = vector_at(&j, 2);
    for (int64_t c = 0; c < b->columns; c++) {
        double s = get(&j, gamma, c) / sqrt(var[c] + b->eps);
        put(&j, scale, c, s);
        put(&j, shift, c, get(&j, beta, c) - mean_rest(&j, rounded, c, mean[c]) * s);
    }
    j.x = x, j.y = y, j.mean = rounded, j.scale = scale, j.shift = shift;
    tarn__parallel_for(j.tiles, apply_tile, &j);
}

/* ---- gradients ---- */

static void sums_tile(void *context, int64_t tile)
{
    const job *j = context;
    size_t at = offset_of(j, tile);
    double *sum_g = j->first + tile * j->b->columns, *sum_gx = j->second + tile * j->b->columns;
    for (int64_t c = 0; c < j->b->columns; c++)
        sum_g[c] = sum_gx[c] = 0;
    j->loops->normalize_sums(rows_of(j, tile), (size_t)j->b->columns, j->g + at, j->x + at, j->mean, sum_g, sum_gx);
}

static void grad_tile(void *context, int64_t tile)
{
    const job *j = context;
    size_t at = offset_of(j, tile);
    j->loops->normalize_grad(rows_of(j, tile), (size_t)j->b->columns, j->g + at, j->x + at, j->mean, j->scale, j->shift,
                             j->slope, j->y + at);
}

void tarn__batchnorm_grad(const tarn__batchnorm *b, const void *g, const void *x, const void *gamma, const double *mean,
                          const double *var, void *gx, void *ggamma, void *gbeta, void *scratch)
{
    job j = job_of(b, scratch);
    void *rounded = vector_at(&j, 0), *scale = vector_at(&j, 1), *mean_g = vector_at(&j, 2), *slope = vector_at(&j, 3);
    double *rest = vector_at(&j, 4), rows = (double)b->rows;
    for (int64_t c = 0; c < b->columns; c++)
        rest[c] = mean_rest(&j, rounded, c, mean[c]);
    j.x = x, j.g = g, j.y = gx, j.mean = rounded, j.scale = scale, j.shift = mean_g, j.slope = slope;
    tarn__parallel_for(j.tiles, sums_tile, &j);
    for (int64_t c = 0; c < b->columns; c++) {
        double sum_g = 0, sum_gx = 0, inverse = 1 / sqrt(var[c] + b->eps);
        for (int64_t tile = 0; tile < j.tiles; tile++) {
            sum_g += j.first[tile * b->columns + c];
            sum_gx += j.second[tile * b->columns + c];
        }
        sum_gx -= rest[c] * sum_g;
        double s = sum_gx * inverse * inverse / rows;
        put(&j, gbeta, c, sum_g);
        put(&j, ggamma, c, sum_gx * inverse);
        put(&j, scale, c, get(&j, gamma, c) * inverse);
        put(&j, slope, c, s);
        put(&j, mean_g, c, sum_g / rows - rest[c] * s);
    }
    tarn__parallel_for(j.tiles, grad_tile, &j);
}
