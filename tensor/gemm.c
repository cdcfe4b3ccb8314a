/* A tile of C is a sum over blocks of k. For each block, B's part is packed into panels as the kernel reads them, and A's part
 * is read where it is, or copied if its rows lie so far apart that they fall into the same few sets of the cache, and A is read
 * once for each panel. */
#include "tensor/gemm.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"

#include <string.h>

enum {
    TILE_ROWS = 384,
    TILE_COLUMNS = 256,
    DEPTH_BYTES = 1024, /* of a row of A in a block */
    MIN_TILES = 4,      /* if there is work for so many: */
    MIN_WORK = 1 << 18, /* multiply-adds of a tile */
    MIN_COLUMNS = 64,   /* whole panels of any instruction set */
    MIN_ROWS = 96,
    REGISTER_ROWS = 6, /* of the kernel's tile */
    LINE = 64
};

typedef struct plan {
    const tarn__loops *loops;
    int64_t size;                 /* of an element */
    int64_t rows, columns, depth; /* of a tile, at most */
    bool copies_a;
    int64_t a_line; /* elements from a row (transposed: a column) of the copy to the next */
    size_t b_bytes, a_bytes, place_bytes;
} plan;

static int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

static size_t whole_lines(int64_t bytes)
{
    return ((size_t)bytes + LINE - 1) & ~(size_t)(LINE - 1);
}

/* The size of n's parts, when there are as few as there can be of about `most` each: whole multiples of `unit`. */
static int64_t even_parts(int64_t n, int64_t most, int64_t unit)
{
    const int64_t parts = tarn__tiles(n, most);
    return parts > 1 ? at_most(n, tarn__tiles(tarn__tiles(n, parts), unit) * unit) : n;
}

/* Smaller tiles where there would be few, so that several threads find work. */
static void cut_tiles(plan *p, const tarn__gemm *g, int64_t count)
{
    p->rows = even_parts(g->m, TILE_ROWS, REGISTER_ROWS);
    p->columns = even_parts(g->n, TILE_COLUMNS, MIN_COLUMNS);
    while (count * tarn__tiles(g->m, p->rows) * tarn__tiles(g->n, p->columns) < MIN_TILES &&
           p->rows * p->columns >= 2 * MIN_WORK / g->k) {
        if (p->columns > MIN_COLUMNS)
            p->columns = even_parts(p->columns, (p->columns + 1) / 2, MIN_COLUMNS);
        else if (p->rows > MIN_ROWS)
            p->rows = even_parts(p->rows, (p->rows + 1) / 2, REGISTER_ROWS);
        else
            break;
    }
}

static plan plan_of(const tarn__gemm *g, int64_t count)
{
    plan p = {.loops = tarn__loops_of(g->dtype), .size = (int64_t)tarn_dtype_size(g->dtype)};
    if (g->m == 0 || g->n == 0 || g->k == 0)
        return p;
    cut_tiles(&p, g, count);
    p.depth = at_most(g->k, DEPTH_BYTES / p.size);
    p.copies_a = g->transpose_a || g->lda * p.size >= 4096;
    p.a_line = (g->transpose_a ? p.rows : p.depth) + LINE / p.size;
    p.b_bytes = whole_lines(p.depth * tarn__tiles(p.columns, p.loops->lanes) * p.loops->lanes * p.size);
    p.a_bytes = p.copies_a ? whole_lines((g->transpose_a ? p.depth : p.rows) * p.a_line * p.size) : 0;
    p.place_bytes = whole_lines(2 * p.rows * (int64_t)sizeof(int64_t));
    return p;
}

static size_t scratch_of(const plan *p)
{
    return p->b_bytes + p->a_bytes + p->place_bytes;
}

/* `rows` rows of `bytes` bytes. */
static void copy_rows(int64_t rows, size_t bytes, const char *from, int64_t from_step, char *to, int64_t to_step)
{
    for (int64_t i = 0; i < rows; i++, from += from_step, to += to_step)
        memcpy(to, from, bytes);
}

/* One row, or one column, of C: a matrix times a vector. False if C is more, or the vector's elements do not lie together as
 * they must for the one loop that the matrix leaves. */
static bool vector_product(const plan *p, const tarn__gemm *g, int64_t row, int64_t rows, int64_t column,
                           int64_t columns)
{
    const bool one_row = g->m == 1, adds_rows = one_row ? !g->transpose_b : g->transpose_a;
    const int64_t x_step = one_row ? (g->transpose_a ? g->lda : 1) : g->transpose_b ? 1 : g->ldb;
    const int64_t first = one_row ? column : row, count = one_row ? columns : rows, y_step = one_row ? 1 : g->ldc;
    const int64_t stride = one_row ? g->ldb : g->lda;
    const char *x = one_row ? g->a : g->b, *matrix = one_row ? g->b : g->a;
    char *y = (char *)g->c + first * y_step * p->size;
    if ((!one_row && g->n != 1) || (adds_rows ? y_step : x_step) != 1)
        return false;
    if (adds_rows)
        p->loops->combine_rows(g->k, count, x, x_step, matrix + first * p->size, stride, y, g->accumulate);
    else
        p->loops->row_dots(count, g->k, x, matrix + first * stride * p->size, stride, y, y_step, g->accumulate);
    return true;
}

/* C's rows row..row+rows and columns column..column+columns. */
static void tile(const plan *p, const tarn__gemm *g, int64_t row, int64_t rows, int64_t column, int64_t columns,
                 char *scratch)
{
    if (vector_product(p, g, row, rows, column, columns))
        return;
    char *packed = scratch, *copy = packed + p->b_bytes;
    int64_t *a_row = (int64_t *)(void *)(copy + p->a_bytes), *c_row = a_row + p->rows, none = 0;
    int64_t a_step = g->transpose_a ? p->a_line : 1, a_line = g->transpose_a ? 1 : p->copies_a ? p->a_line : g->lda;
    for (int64_t i = 0; i < rows; i++)
        a_row[i] = i * a_line, c_row[i] = (row + i) * g->ldc + column;
    for (int64_t from = 0; from < g->k; from += p->depth) {
        const int64_t depth = at_most(g->k - from, p->depth);
        const char *b =
            (const char *)g->b + (g->transpose_b ? column * g->ldb + from : from * g->ldb + column) * p->size;
        const char *a = (const char *)g->a + (g->transpose_a ? from * g->lda + row : row * g->lda + from) * p->size;
        p->loops->pack(&(tarn__pack){.depth = depth,
                                     .panel_depth = depth,
                                     .columns = columns,
                                     .from = b,
                                     .row_stride = g->transpose_b ? 1 : g->ldb,
                                     .column_stride = g->transpose_b ? g->ldb : 1,
                                     .to = packed});
        if (p->copies_a)
            copy_rows(g->transpose_a ? depth : rows, (size_t)((g->transpose_a ? rows : depth) * p->size), a,
                      g->lda * p->size, copy, p->a_line * p->size);
        p->loops->product(&(tarn__product){.m = rows,
                                           .n = columns,
                                           .a = p->copies_a ? copy : a,
                                           .b = packed,
                                           .a_row = a_row,
                                           .segment = &none,
                                           .segments = 1,
                                           .depth = depth,
                                           .a_step = a_step,
                                           .c = g->c,
                                           .c_row = c_row,
                                           .accumulate = g->accumulate || from > 0});
    }
}

size_t tarn__gemm_scratch(const tarn__gemm *g, int64_t count)
{
    const plan p = plan_of(g, count);
    return scratch_of(&p) * (size_t)tarn_threads();
}

typedef struct batch {
    const tarn__gemm *g;
    plan p;
    const int64_t *a, *b, *c;
    int64_t row_tiles, column_tiles;
    char *scratch; /* of each thread */
} batch;

static void batch_tile(void *context, int64_t index)
{
    const batch *job = context;
    const plan *p = &job->p;
    tarn__gemm g = *job->g;
    const int64_t column = index % job->column_tiles * p->columns;
    const int64_t row = index / job->column_tiles % job->row_tiles * p->rows;
    const int64_t i = index / job->column_tiles / job->row_tiles;
    g.a = (const char *)g.a + (job->a ? job->a[i] : 0);
    g.b = (const char *)g.b + (job->b ? job->b[i] : 0);
    g.c = (char *)g.c + (job->c ? job->c[i] : 0);
    tile(p, &g, row, at_most(g.m - row, p->rows), column, at_most(g.n - column, p->columns),
         job->scratch + (size_t)tarn__thread_index() * scratch_of(p));
}

/* The i-th C is a sum of nothing. */
static void clear(void *context, int64_t i)
{
    const batch *job = context;
    const tarn__gemm *g = job->g;
    const size_t size = tarn_dtype_size(g->dtype);
    char *c = (char *)g->c + (job->c ? job->c[i] : 0);
    for (int64_t row = 0; row < g->m && !g->accumulate; row++)
        memset(c + (size_t)(row * g->ldc) * size, 0, (size_t)g->n * size);
}

void tarn__gemm_batch(const tarn__gemm *g, int64_t count, const int64_t *a_offset, const int64_t *b_offset,
                      const int64_t *c_offset, void *scratch)
{
    if (g->m == 0 || g->n == 0)
        return;
    batch job = {g, plan_of(g, count), a_offset, b_offset, c_offset, 1, 1, scratch};
    if (g->k > 0) {
        job.row_tiles = tarn__tiles(g->m, job.p.rows);
        job.column_tiles = tarn__tiles(g->n, job.p.columns);
    }
    tarn__parallel_for(count * job.row_tiles * job.column_tiles, g->k > 0 ? batch_tile : clear, &job);
}
