#include "tensor/reduce.h"
#include "tensor/parallel.h"

#include <math.h>
#include <string.h>

/* A stage reduces the middle axis of [outer, length, inner]. Several stages follow each other when reduced
 * and kept axes alternate, innermost first. */
/* A piece of columns is larger, for its partial results to be few beside it. */
enum { PIECE_ELEMENTS = 16384, COLUMN_ELEMENTS = 65536, COLUMNS = TARN__COLUMNS, JOINED = 2048 };

/* Columns of few rows, many of them: a tile takes some, needs no partial results, and the next such stage is done with
 * it. Where more rows are short too, memory is no longer read in order. */
enum { FEW_ROWS = 8, FEW_ELEMENTS = 8192, TOTALS = 4096 };

typedef struct stage {
    int64_t outer, length, inner;
    int64_t pieces, piece; /* the length is cut into pieces */
    int64_t column_tiles;
    bool is_short;         /* it reduces `again` and length of [outer, again, middle, length, inner] */
    bool joined;           /* by tarn__rows_are_joined */
    int64_t again, middle; /* again 1: only length */
    int64_t group, groups; /* the middle axis is cut into groups */
    int64_t units, per_tile;
    tarn__reduction kind;
    tarn_dtype dtype, out; /* of x, of y */
    const char *x;
    double *partial; /* [outer, pieces, inner] */
    char *y;
    double scale;
} stage;

static double identity(tarn__reduction kind)
{
    return kind == TARN__SUM ? 0 : kind == TARN__MAX ? -(double)INFINITY : (double)INFINITY;
}

static double join(tarn__reduction kind, double a, double b)
{
    if (kind == TARN__SUM)
        return a + b;
    if (isnan(a) || isnan(b))
        return NAN;
    return kind == TARN__MAX ? fmax(a, b) : fmin(a, b);
}

static void stage_cut(stage *s)
{
    int64_t width = s->inner < COLUMNS ? s->inner : COLUMNS;
    s->piece = s->inner > 1 ? COLUMN_ELEMENTS / width : PIECE_ELEMENTS;
    s->pieces = s->length > 0 ? tarn__tiles(s->length, s->piece) : 1;
    s->column_tiles = s->inner > 0 ? tarn__tiles(s->inner, COLUMNS) : 0;
}

static void put(const stage *s, int64_t i, double total)
{
    if (s->out == TARN_F64)
        ((double *)(void *)s->y)[i] = s->scale * total;
    else
        ((float *)(void *)s->y)[i] = (float)(s->scale * total);
}

static void stage_tile(void *context, int64_t tile)
{
    const stage *s = context;
    size_t size = tarn_dtype_size(s->dtype);
    int64_t column = tile % s->column_tiles * COLUMNS, unit = tile / s->column_tiles;
    int64_t from = unit % s->pieces * s->piece, outer = unit / s->pieces;
    int64_t rows = s->length - from < s->piece ? s->length - from : s->piece;
    int64_t columns = s->inner - column < COLUMNS ? s->inner - column : COLUMNS;
    const char *x = s->x + (size_t)((outer * s->length + from) * s->inner + column) * size;
    double *total = s->partial + unit * s->inner + column;
    const tarn__loops *loops = tarn__loops_of(s->dtype);
    if (s->inner == 1 && rows > 0) {
        *total = loops->row[s->kind]((size_t)rows, x);
    } else {
        for (int64_t c = 0; c < columns; c++)
            total[c] = identity(s->kind);
        loops->column[s->kind]((size_t)rows, (size_t)columns, x, (size_t)s->inner, total);
    }
    for (int64_t c = 0; s->pieces == 1 && c < columns; c++)
        put(s, outer * s->inner + column + c, total[c]);
}

/* Joins the pieces of some results. */
static void join_tile(void *context, int64_t tile)
{
    const stage *s = context;
    int64_t count = s->outer * s->inner, last = (tile + 1) * JOINED < count ? (tile + 1) * JOINED : count;
    for (int64_t i = tile * JOINED; i < last; i++) {
        const double *part = s->partial + i / s->inner * s->pieces * s->inner + i % s->inner;
        double total = part[0];
        for (int64_t p = 1; p < s->pieces; p++)
            total = join(s->kind, total, part[p * s->inner]);
        put(s, i, total);
    }
}

/* Many short rows: a tile takes many of them, and needs no partial results. */
static void short_rows_tile(void *context, int64_t tile)
{
    const stage *s = context;
    size_t size = tarn_dtype_size(s->dtype);
    int64_t per_tile = PIECE_ELEMENTS / s->length, first = tile * per_tile;
    int64_t last = first + per_tile < s->outer ? first + per_tile : s->outer;
    const tarn__loops *loops = tarn__loops_of(s->dtype);
    for (int64_t i = first; i < last; i++) {
        put(s, i, loops->row[s->kind]((size_t)s->length, s->x + (size_t)(i * s->length) * size));
    }
}

static void put_all(const stage *s, int64_t first, int64_t count, const double *total)
{
    double scale = s->scale;
    if (s->out == TARN_F64)
        for (int64_t i = 0; i < count; i++)
            ((double *)(void *)s->y)[first + i] = scale * total[i];
    else
        for (int64_t i = 0; i < count; i++)
            ((float *)(void *)s->y)[first + i] = (float)(scale * total[i]);
}

static void short_columns_tile(void *context, int64_t tile)
{
    const stage *s = context;
    size_t size = tarn_dtype_size(s->dtype);
    const tarn__loops *loops = tarn__loops_of(s->dtype);
    int64_t last = (tile + 1) * s->per_tile < s->units ? (tile + 1) * s->per_tile : s->units;
    for (int64_t unit = tile * s->per_tile; unit < last; unit++) {
        int64_t column = unit % s->column_tiles * TOTALS, group = unit / s->column_tiles % s->groups * s->group;
        int64_t outer = unit / s->column_tiles / s->groups;
        int64_t columns = s->inner - column < TOTALS ? s->inner - column : TOTALS;
        int64_t count = s->middle - group < s->group ? s->middle - group : s->group;
        double total[TOTALS];
        for (int64_t c = 0; c < count * columns; c++)
            total[c] = identity(s->kind);
        for (int64_t a = 0; a < s->again; a++) {
            int64_t row = ((outer * s->again + a) * s->middle + group) * s->length;
            const char *x = s->x + (size_t)(row * s->inner + column) * size;
            if (!s->joined)
                loops->short_column[s->kind]((size_t)count, (size_t)s->length, (size_t)columns, x, (size_t)s->inner,
                                             total);
            for (int64_t g = 0; s->joined && g < count; g++) /* of the whole width */
                loops->column[s->kind]((size_t)s->length, (size_t)columns, x + (size_t)(g * s->length * columns) * size,
                                       (size_t)columns, total + g * columns);
        }
        put_all(s, (outer * s->middle + group) * s->inner + column, count * columns, total);
    }
}

static void stage_run(stage *s)
{
    if (s->outer * s->inner == 0)
        return;
    if (s->is_short) {
        tarn__parallel_for(tarn__tiles(s->units, s->per_tile), short_columns_tile, s);
        return;
    }
    if (s->inner == 1 && s->length > 0 && s->length <= PIECE_ELEMENTS / 4) {
        tarn__parallel_for(tarn__tiles(s->outer, PIECE_ELEMENTS / s->length), short_rows_tile, s);
        return;
    }
    tarn__parallel_for(s->outer * s->pieces * s->column_tiles, stage_tile, s);
    if (s->pieces > 1)
        tarn__parallel_for(tarn__tiles(s->outer * s->inner, JOINED), join_tile, s);
}

/* The next stage of a reduction whose axes are given as alternating runs: takes the innermost reduced run
 * out. */
static bool next_stage(int *ndim, int64_t *shape, bool *reduced, stage *s)
{
    int axis = *ndim - 1;
    while (axis >= 0 && !reduced[axis])
        axis--;
    if (axis < 0)
        return false;
    *s = (stage){.outer = 1, .length = shape[axis], .inner = 1};
    for (int i = axis + 1; i < *ndim; i++)
        s->inner *= shape[i];
    int first = axis;
    while (first > 0 && reduced[first - 1])
        s->length *= shape[--first];
    for (int i = 0; i < first; i++)
        s->outer *= shape[i];
    int removed = axis - first + 1;
    memmove(shape + first, shape + axis + 1, (size_t)(*ndim - axis - 1) * sizeof *shape);
    memmove(reduced + first, reduced + axis + 1, (size_t)(*ndim - axis - 1) * sizeof *reduced);
    *ndim -= removed;
    return true;
}

static void short_cut(stage *s)
{
    int64_t width = s->inner < TOTALS ? s->inner : TOTALS;
    s->column_tiles = tarn__tiles(s->inner, TOTALS);
    s->group = TOTALS / width;
    s->groups = tarn__tiles(s->middle, s->group);
    s->units = s->outer * s->groups * s->column_tiles;
    s->per_tile = 1 + PIECE_ELEMENTS / (s->again * s->length * s->group * width);
}

/* Whether `following` can be done while `s` is: its rows, which are doubles, are added in order by themselves too, as
 * long as no two of them are a joined row's, or are left over by it. */
static bool takes_in(const stage *s, const stage *following)
{
    int64_t rows = following->length, columns = following->inner;
    return s->is_short && !s->joined && s->again == 1 && rows > 0 && rows <= TARN__SHORT_ROWS && columns > 0 &&
           (columns > COLUMNS / 2 || rows <= COLUMNS / columns + 1);
}

typedef struct plan {
    int count;
    stage stages[TARN_MAX_DIMS];
} plan;

static plan plan_of(int ndim, const int64_t *shape, const tarn__axes *axes)
{
    int64_t left[TARN_MAX_DIMS];
    bool reduced[TARN_MAX_DIMS];
    memcpy(left, shape, (size_t)ndim * sizeof *shape);
    memcpy(reduced, axes->reduced, sizeof reduced);
    plan p = {.count = 0};
    for (stage s; next_stage(&ndim, left, reduced, &s);) {
        stage *before = p.count > 0 ? &p.stages[p.count - 1] : NULL;
        if (before && takes_in(before, &s)) {
            before->again = s.length;
            before->middle = s.inner / before->inner;
            before->outer = s.outer;
            continue;
        }
        s.is_short = s.inner > 1 && s.length > 0 && s.length <= TARN__SHORT_ROWS &&
                     (s.length <= FEW_ROWS || s.length * s.inner <= FEW_ELEMENTS);
        s.joined = s.is_short && tarn__rows_are_joined((size_t)s.length, (size_t)s.inner);
        s.again = s.middle = 1;
        if (s.is_short) {
            s.middle = s.outer;
            s.outer = 1;
        }
        p.stages[p.count++] = s;
    }
    for (int i = 0; i < p.count; i++)
        if (p.stages[i].is_short)
            short_cut(&p.stages[i]);
        else
            stage_cut(&p.stages[i]);
    return p;
}

void tarn__reduce_run(tarn__reduction kind, tarn_dtype dtype, int ndim, const int64_t *shape, const tarn__axes *axes,
                      const void *x, void *y, double scale, tarn__cuts *scratch)
{
    plan p = plan_of(ndim, shape, axes);
    const char *from = x;
    tarn_dtype from_dtype = dtype;
    for (int i = 0; i < p.count; i++) {
        stage *s = &p.stages[i];
        const bool more = i < p.count - 1;
        s->kind = kind;
        s->dtype = from_dtype;
        s->out = more ? TARN_F64 : dtype; /* what lies between two stages is not rounded */
        s->x = from;
        s->partial =
            s->is_short ? NULL : tarn__cut(scratch, (size_t)(s->outer * s->pieces * s->inner) * sizeof(double));
        s->y = more ? tarn__cut(scratch, (size_t)(s->outer * s->middle * s->inner) * sizeof(double)) : y;
        s->scale = more ? 1 : scale;
        if (scratch->block)
            stage_run(s);
        from = s->y;
        from_dtype = s->out;
    }
}

size_t tarn__reduce_scratch(int ndim, const int64_t *shape, const tarn__axes *axes)
{
    tarn__cuts needed = {.block = NULL};
    tarn__reduce_run(TARN__SUM, TARN_F64, ndim, shape, axes, NULL, NULL, 1, &needed);
    return needed.most;
}
