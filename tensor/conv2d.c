/* Each product is a matrix product over the patches of a tile of output positions (im2col). A position is
 * counted through the whole batch: 0..N*P*Q-1. */
#include "tensor/conv2d.h"
#include "tensor/blas.h"
#include "tensor/parallel.h"

#include <string.h>

enum { PATCH_ELEMENTS = 65536, MIN_POSITIONS = 32, WEIGHT_PIECES = 8, SUM_TILE = 16384 };

typedef struct job {
    const tarn__conv2d *v;
    const tarn__loops *loops;
    tarn__window window;
    int64_t patch;     /* R*S*C/groups */
    int64_t positions; /* of a tile */
    int64_t images;    /* of a tile of the input gradient */
    int64_t pieces;    /* of the weight gradient's sum over positions */
    size_t size;       /* of an element */
    const char *x, *w, *g;
    char *out;
    char *columns; /* a tile of patches for each thread */
} job;

static job job_of(const tarn__conv2d *v)
{
    job j = {.v = v, .loops = tarn__loops_of(v->dtype), .size = tarn_dtype_size(v->dtype)};
    j.window = (tarn__window){v->h, v->w, v->c / v->groups, v->p, v->q, v->r, v->s, v->stride, v->padding, v->dilation};
    j.patch = v->r * v->s * v->c / v->groups;
    j.positions = j.patch > 0 ? PATCH_ELEMENTS / j.patch : MIN_POSITIONS;
    int64_t image = v->p * v->q, all = v->n * image;
    if (j.positions > all)
        j.positions = all;
    if (j.positions < MIN_POSITIONS)
        j.positions = MIN_POSITIONS;
    j.images = image > 0 && image < j.positions ? j.positions / image : 1;
    int64_t tiles = tarn__tiles(all, j.positions);
    j.pieces = tiles < WEIGHT_PIECES ? tiles : WEIGHT_PIECES;
    return j;
}

static size_t columns_bytes(const job *j)
{
    return ((size_t)(j->positions * j->patch) * j->size + 63) & ~(size_t)63;
}

size_t tarn__conv2d_scratch(const tarn__conv2d *v)
{
    job j = job_of(v);
    return (size_t)tarn_threads() * columns_bytes(&j) + (size_t)(j.pieces * j.patch * v->k) * j.size;
}

static char *own_columns(const job *j)
{
    return j->columns + (size_t)tarn__thread_index() * columns_bytes(j);
}

/* The patches of positions first..first+count as rows, one group's channels. A 1x1 kernel needs no copy: then
 * the patches are x itself. */
static const char *patches(const job *j, int64_t group, int64_t first, int64_t count, int64_t *row_length)
{
    const tarn__conv2d *v = j->v;
    int64_t image = v->p * v->q, offset = group * j->window.c;
    *row_length = j->patch;
    if (v->r == 1 && v->s == 1 && v->stride == 1 && v->padding == 0) {
        *row_length = v->c;
        return j->x + (size_t)(first * v->c + offset) * j->size;
    }
    char *columns = own_columns(j), *to = columns;
    for (int64_t at = first; at < first + count;) {
        int64_t from = at % image, n = first + count - at < image - from ? first + count - at : image - from;
        const char *x = j->x + (size_t)(at / image * v->h * v->w * v->c + offset) * j->size;
        j->loops->im2col(&j->window, v->c, x, from, n, to);
        to += (size_t)(n * j->patch) * j->size;
        at += n;
    }
    return columns;
}

/* Where a group's output channels begin in w and in y. */
static size_t group_offset(const job *j, int64_t group)
{
    return (size_t)(group * (j->v->k / j->v->groups)) * j->size;
}

static void forward_tile(void *context, int64_t tile)
{
    const job *j = context;
    const tarn__conv2d *v = j->v;
    int64_t total = v->n * v->p * v->q, first = tile * j->positions;
    int64_t count = total - first < j->positions ? total - first : j->positions;
    for (int64_t group = 0; group < v->groups; group++) {
        tarn__gemm g = {.dtype = v->dtype, .m = count, .n = v->k / v->groups, .k = j->patch, .ldb = v->k, .ldc = v->k};
        g.a = patches(j, group, first, count, &g.lda);
        g.b = j->w + group_offset(j, group);
        g.c = j->out + (size_t)(first * v->k) * j->size + group_offset(j, group);
        tarn__gemm_serial(&g);
    }
}

void tarn__conv2d_forward(const tarn__conv2d *v, const void *x, const void *w, void *y, void *scratch)
{
    job j = job_of(v);
    j.x = x, j.w = w, j.out = y, j.columns = scratch;
    tarn__parallel_for(tarn__tiles(v->n * v->p * v->q, j.positions), forward_tile, &j);
}

/* Patches overlap within an image, so a tile takes whole images. */
static void input_grad_tile(void *context, int64_t tile)
{
    const job *j = context;
    const tarn__conv2d *v = j->v;
    int64_t image = v->p * v->q, pixels = v->h * v->w;
    int64_t last = (tile + 1) * j->images < v->n ? (tile + 1) * j->images : v->n;
    char *columns = own_columns(j);
    for (int64_t i = tile * j->images; i < last; i++) {
        char *gx = j->out + (size_t)(i * pixels * v->c) * j->size;
        memset(gx, 0, (size_t)(pixels * v->c) * j->size);
        for (int64_t group = 0; group < v->groups; group++)
            for (int64_t first = 0; first < image; first += j->positions) {
                int64_t count = image - first < j->positions ? image - first : j->positions;
                const char *g = j->g + (size_t)((i * image + first) * v->k) * j->size + group_offset(j, group);
                tarn__gemm_serial(&(tarn__gemm){.dtype = v->dtype,
                                                .transpose_b = true,
                                                .m = count,
                                                .n = j->patch,
                                                .k = v->k / v->groups,
                                                .a = g,
                                                .lda = v->k,
                                                .b = j->w + group_offset(j, group),
                                                .ldb = v->k,
                                                .c = columns,
                                                .ldc = j->patch});
                j->loops->col2im(&j->window, v->c, gx + (size_t)(group * j->window.c) * j->size, first, count, columns);
            }
    }
}

void tarn__conv2d_input_grad(const tarn__conv2d *v, const void *g, const void *w, void *gx, void *scratch)
{
    job j = job_of(v);
    j.g = g, j.w = w, j.out = gx, j.columns = scratch;
    tarn__parallel_for(tarn__tiles(v->n, j.images), input_grad_tile, &j);
}

/* One piece of the sum over positions, into its own copy of the weight gradient. */
static void weight_grad_tile(void *context, int64_t piece)
{
    const job *j = context;
    const tarn__conv2d *v = j->v;
    int64_t total = v->n * v->p * v->q, tiles = tarn__tiles(total, j->positions);
    char *gw = j->out + (size_t)(piece * j->patch * v->k) * j->size;
    memset(gw, 0, (size_t)(j->patch * v->k) * j->size);
    for (int64_t tile = piece * tiles / j->pieces; tile < (piece + 1) * tiles / j->pieces; tile++) {
        int64_t first = tile * j->positions;
        int64_t count = total - first < j->positions ? total - first : j->positions;
        for (int64_t group = 0; group < v->groups; group++) {
            tarn__gemm g = {.dtype = v->dtype,
                            .transpose_a = true,
                            .accumulate = true,
                            .m = j->patch,
                            .n = v->k / v->groups,
                            .k = count,
                            .ldb = v->k,
                            .ldc = v->k};
            g.a = patches(j, group, first, count, &g.lda);
            g.b = j->g + (size_t)(first * v->k) * j->size + group_offset(j, group);
            g.c = gw + group_offset(j, group);
            tarn__gemm_serial(&g);
        }
    }
}

typedef struct piece_sum {
    const job *j;
    char *total;
    int64_t count;
} piece_sum;

static void piece_sum_tile(void *context, int64_t tile)
{
    const piece_sum *s = context;
    const job *j = s->j;
    int64_t first = tile * SUM_TILE, n = s->count - first < SUM_TILE ? s->count - first : SUM_TILE;
    char *total = s->total + (size_t)first * j->size;
    memcpy(total, j->out + (size_t)first * j->size, (size_t)n * j->size);
    for (int64_t piece = 1; piece < j->pieces; piece++)
        j->loops->binary[TARN__BINARY_add]((size_t)n, total, j->out + (size_t)(piece * s->count + first) * j->size,
                                           total, 0, 0);
}

void tarn__conv2d_weight_grad(const tarn__conv2d *v, const void *g, const void *x, void *gw, void *scratch)
{
    job j = job_of(v);
    int64_t count = j.patch * v->k;
    j.g = g, j.x = x, j.columns = scratch;
    j.out = (char *)scratch + (size_t)tarn_threads() * columns_bytes(&j);
    if (j.pieces == 0) {
        memset(gw, 0, (size_t)count * j.size);
        return;
    }
    tarn__parallel_for(j.pieces, weight_grad_tile, &j);
    tarn__parallel_for(tarn__tiles(count, SUM_TILE), piece_sum_tile, &(piece_sum){&j, gw, count});
}
