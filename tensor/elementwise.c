#include "tensor/elementwise.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"

#include <string.h>

enum { MAX_INPUTS = TARN__PROGRAM_INPUTS, TILE = 16384, CHUNK = 512 };

/* One elementwise job: y row-major, the inputs read through strides over y's shape, whose axes have been
 * merged where all inputs allow it. */
typedef struct job {
    int n_in, ndim;
    int64_t shape[TARN_MAX_DIMS];
    int64_t stride[MAX_INPUTS][TARN_MAX_DIMS];
    const char *in[MAX_INPUTS];
    size_t in_size[MAX_INPUTS]; /* bytes of one element */
    char *out;
    size_t out_size;
    int64_t tile_rows, row_tiles, row_piece; /* a tile is some whole rows, or a piece of one row */

    void (*block)(const struct job *j, size_t n, const void *const *in, void *out);
    tarn__unary_loop *unary;
    tarn__binary_loop *binary;
    tarn__compare_loop *compare;
    tarn__where_loop *where;
    double p, q;
    const tarn__program *program; /* its blocks are at most a chunk */
    const tarn__loops *loops;
} job;

/* Axis `outer` can be joined with the axis inside it when every input steps evenly over both. */
static bool mergeable(const job *j, int outer, int64_t inner_shape, const int64_t *inner_stride)
{
    for (int i = 0; i < j->n_in; i++)
        if (j->stride[i][outer] != inner_stride[i] * inner_shape)
            return false;
    return true;
}

static void merge_axes(job *j)
{
    int to = TARN_MAX_DIMS;
    int64_t shape[TARN_MAX_DIMS], stride[MAX_INPUTS][TARN_MAX_DIMS];
    for (int axis = j->ndim - 1; axis >= 0; axis--) {
        if (j->shape[axis] == 1)
            continue;
        int64_t inner[MAX_INPUTS];
        for (int i = 0; i < j->n_in && to < TARN_MAX_DIMS; i++)
            inner[i] = stride[i][to];
        if (to < TARN_MAX_DIMS && mergeable(j, axis, shape[to], inner)) {
            shape[to] *= j->shape[axis];
            continue;
        }
        shape[--to] = j->shape[axis];
        for (int i = 0; i < j->n_in; i++)
            stride[i][to] = j->stride[i][axis];
    }
    j->ndim = TARN_MAX_DIMS - to;
    for (int axis = 0; axis < j->ndim; axis++) {
        j->shape[axis] = shape[to + axis];
        for (int i = 0; i < j->n_in; i++)
            j->stride[i][axis] = stride[i][to + axis];
    }
    if (j->ndim == 0) {
        j->shape[j->ndim++] = 1;
        for (int i = 0; i < j->n_in; i++)
            j->stride[i][0] = 1;
    }
}

static void gather(size_t size, size_t n, const char *from, int64_t stride, void *to)
{
    switch (size) {
    case 1:
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)to)[i] = ((const uint8_t *)(const void *)from)[(int64_t)i * stride];
        break;
    case 4:
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)to)[i] = ((const uint32_t *)(const void *)from)[(int64_t)i * stride];
        break;
    default:
        for (size_t i = 0; i < n; i++)
            ((uint64_t *)to)[i] = ((const uint64_t *)(const void *)from)[(int64_t)i * stride];
    }
}

/* n neighbours of y, from element `at` of its row. Inputs that do not lie along memory pass through a buffer. */
static void run_piece(const job *j, const char *const *row_in, char *row_out, int64_t at, int64_t n)
{
    _Alignas(64) char buffer[MAX_INPUTS][CHUNK * sizeof(double)];
    int inner = j->ndim - 1;
    bool direct = true;
    for (int i = 0; i < j->n_in; i++)
        direct &= j->stride[i][inner] == 1;
    int64_t step = direct && !j->program ? n : CHUNK;
    for (int64_t from = at, end = at + n; from < end; from += step) {
        int64_t count = end - from < step ? end - from : step;
        const void *in[MAX_INPUTS];
        for (int i = 0; i < j->n_in; i++) {
            int64_t stride = j->stride[i][inner];
            in[i] = row_in[i] + from * stride * (int64_t)j->in_size[i];
            if (stride == 1)
                continue;
            if (stride != 0 || from == at)
                gather(j->in_size[i], (size_t)count, in[i], stride, buffer[i]);
            in[i] = buffer[i];
        }
        j->block(j, (size_t)count, in, row_out + from * (int64_t)j->out_size);
    }
}

static void run_tile(void *context, int64_t tile)
{
    const job *j = context;
    int inner = j->ndim - 1;
    int64_t length = j->shape[inner], rows = 1, index[TARN_MAX_DIMS];
    for (int axis = 0; axis < inner; axis++)
        rows *= j->shape[axis];
    int64_t first = tile / j->row_tiles * j->tile_rows, at = tile % j->row_tiles * j->row_piece;
    int64_t last = first + j->tile_rows < rows ? first + j->tile_rows : rows;
    int64_t count = length - at < j->row_piece ? length - at : j->row_piece;

    const char *in[MAX_INPUTS];
    memcpy(in, j->in, sizeof in);
    for (int64_t rest = first, axis = inner - 1; axis >= 0; axis--) {
        index[axis] = rest % j->shape[axis];
        rest /= j->shape[axis];
        for (int i = 0; i < j->n_in; i++)
            in[i] += index[axis] * j->stride[i][axis] * (int64_t)j->in_size[i];
    }
    for (int64_t row = first; row < last; row++) {
        run_piece(j, in, j->out + row * length * (int64_t)j->out_size, at, count);
        for (int axis = inner - 1; axis >= 0; axis--) {
            bool carry = ++index[axis] == j->shape[axis];
            int64_t steps = carry ? 1 - j->shape[axis] : 1;
            for (int i = 0; i < j->n_in; i++)
                in[i] += steps * j->stride[i][axis] * (int64_t)j->in_size[i];
            if (!carry)
                break;
            index[axis] = 0;
        }
    }
}

static void run(job *j, tarn_tensor *y, int n_in, const tarn_tensor *const *in)
{
    if (y->numel == 0)
        return;
    j->n_in = n_in;
    j->ndim = y->ndim;
    memcpy(j->shape, y->shape, sizeof j->shape);
    j->out = y->data;
    j->out_size = tarn_dtype_size(y->dtype);
    for (int i = 0; i < n_in; i++) {
        tarn__broadcast_strides(in[i], y->ndim, y->shape, j->stride[i]);
        j->in[i] = in[i]->data;
        j->in_size[i] = tarn_dtype_size(in[i]->dtype);
    }
    merge_axes(j);
    int64_t length = j->shape[j->ndim - 1], rows = y->numel / length;
    j->row_piece = length < TILE ? length : TILE;
    j->row_tiles = tarn__tiles(length, j->row_piece);
    j->tile_rows = j->row_tiles > 1 ? 1 : (TILE + length - 1) / length;
    tarn__parallel_for(tarn__tiles(rows, j->tile_rows) * j->row_tiles, run_tile, j);
}

static void unary_block(const job *j, size_t n, const void *const *in, void *out)
{
    j->unary(n, in[0], out, j->p, j->q);
}

static void binary_block(const job *j, size_t n, const void *const *in, void *out)
{
    j->binary(n, in[0], in[1], out, j->p, j->q);
}

static void compare_block(const job *j, size_t n, const void *const *in, void *out)
{
    j->compare(n, in[0], in[1], out);
}

static void where_block(const job *j, size_t n, const void *const *in, void *out)
{
    j->where(n, in[0], in[1], in[2], out);
}

static void program_block(const job *j, size_t n, const void *const *in, void *out)
{
    _Alignas(64) char slot[TARN__PROGRAM_SLOTS][CHUNK * sizeof(double)];
    const tarn__program *program = j->program;
    for (int i = 0; i < program->n_steps; i++) {
        const tarn__step *s = &program->steps[i];
        const void *a = s->a >= 0 ? in[s->a] : slot[~s->a];
        void *y = i == program->n_steps - 1 ? out : slot[s->slot];
        if (s->binary)
            j->loops->binary[s->loop](n, a, s->b >= 0 ? in[s->b] : slot[~s->b], y, s->p, s->q);
        else
            j->loops->unary[s->loop](n, a, y, s->p, s->q);
    }
}

void tarn__program_run(const tarn__program *program, tarn_tensor *y, tarn_tensor *const *in)
{
    job j = {.block = program_block, .program = program, .loops = tarn__loops_of(y->dtype)};
    const tarn_tensor *inputs[MAX_INPUTS];
    for (int i = 0; i < program->n_in; i++)
        inputs[i] = in[i];
    run(&j, y, program->n_in, inputs);
}

/* Few elements, in the same order: one call of the loop, without the rest. */
static bool is_one_block(const tarn_tensor *y, const tarn_tensor *x)
{
    return x->numel == y->numel && y->numel <= CHUNK && (y->numel == 1 || tarn_is_contiguous(x));
}

void tarn__unary_run(tarn__unary f, tarn_tensor *y, const tarn_tensor *x, double p, double q)
{
    if (is_one_block(y, x)) {
        tarn__loops_of(y->dtype)->unary[f]((size_t)y->numel, x->data, y->data, p, q);
        return;
    }
    job j = {.block = unary_block, .unary = tarn__loops_of(y->dtype)->unary[f], .p = p, .q = q};
    run(&j, y, 1, &x);
}

void tarn__binary_run(tarn__binary f, tarn_tensor *y, const tarn_tensor *a, const tarn_tensor *b, double p, double q)
{
    if (is_one_block(y, a) && is_one_block(y, b)) {
        tarn__loops_of(y->dtype)->binary[f]((size_t)y->numel, a->data, b->data, y->data, p, q);
        return;
    }
    job j = {.block = binary_block, .binary = tarn__loops_of(y->dtype)->binary[f], .p = p, .q = q};
    run(&j, y, 2, (const tarn_tensor *const[]){a, b});
}

void tarn__compare_run(tarn__comparison f, tarn_tensor *y, const tarn_tensor *a, const tarn_tensor *b)
{
    job j = {.block = compare_block, .compare = tarn__kernels_chosen()->compare[a->dtype][f]};
    run(&j, y, 2, (const tarn_tensor *const[]){a, b});
}

void tarn__where_run(tarn_tensor *y, const tarn_tensor *condition, const tarn_tensor *a, const tarn_tensor *b)
{
    job j = {.block = where_block, .where = tarn__kernels_chosen()->where[y->dtype]};
    run(&j, y, 3, (const tarn_tensor *const[]){condition, a, b});
}

void tarn__add_into(tarn_tensor *sum, const tarn_tensor *x)
{
    tarn__binary_run(TARN__BINARY_add, sum, sum, x, 0, 0);
}
