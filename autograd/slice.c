/* Slices of a tensor, whose gradients are put together in one. */
#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"

#include <inttypes.h>
#include <string.h>

/* ---- views: gx is g, at the slice ---- */

typedef struct slice_attr {
    tarn__slice slice;
    int64_t count;
} slice_attr;

static bool slice_shape(tarn_node *n)
{
    const slice_attr *attr = n->attr;
    const tarn__slice *w = &attr->slice;
    const tarn_tensor *x = n->in[0];
    int64_t shape[TARN_MAX_DIMS], stride[TARN_MAX_DIMS];
    int ndim = x->ndim;
    memcpy(shape, x->shape, (size_t)ndim * sizeof *shape);
    memcpy(stride, x->stride, (size_t)ndim * sizeof *stride);
    shape[w->axis] = attr->count;
    if (attr->count > 1)
        stride[w->axis] *= w->step;
    if (w->without_axis) {
        size_t behind = (size_t)(--ndim - w->axis) * sizeof *shape;
        memmove(shape + w->axis, shape + w->axis + 1, behind);
        memmove(stride + w->axis, stride + w->axis + 1, behind);
    }
    return tarn__output_view(n, ndim, shape, stride, attr->count > 0 ? w->start * x->stride[w->axis] : 0);
}

static bool slice_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)t, (void)n;
    gx[0] = need[0] ? gy[0] : NULL;
    return true;
}

static const tarn__slice *slice_of(const tarn_node *n)
{
    return &((const slice_attr *)n->attr)->slice;
}

TARN__OP(slice_op, "slice", slice_shape, NULL, slice_vjp, .slice = slice_of);
TARN__OP(split_op, "split", slice_shape, NULL, slice_vjp, .slice = slice_of);
TARN__OP(unbind_op, "unbind", slice_shape, NULL, slice_vjp, .slice = slice_of);

tarn_tensor *tarn_slice(tarn_tape *t, tarn_tensor *x, int axis, int64_t start, int64_t stop, int64_t step)
{
    if (!tarn__inputs_usable("slice", t, 1, &x) || (axis = tarn__axis("tarn_slice", axis, x->ndim)) < 0)
        return NULL;
    int64_t size = x->shape[axis], from = start < 0 ? start + size : start, to = stop < 0 ? stop + size : stop;
    if (from < 0 || from > size || to < 0 || to > size || step < 1) {
        tarn_fail("tarn_slice: %" PRId64 ":%" PRId64 ":%" PRId64 " of axis %d of %s is out of range", start, stop, step,
                  axis, TARN__SHAPE_TEXT(x));
        return NULL;
    }
    slice_attr attr = {{axis, false, from, step}, to > from ? (to - from - 1) / step + 1 : 0};
    return tarn__apply(t, &slice_op, 1, &x, &attr, sizeof attr);
}

/* parts[i]: `sizes[i]` entries, or, with NULL, `each`. All of them or none. */
static bool cut(tarn_tape *t, const tarn_op *op, tarn_tensor *x, int axis, int n, const int64_t *sizes, int64_t each,
                tarn_tensor **parts)
{
    slice_attr attr = {.slice = {axis, op == &unbind_op, 0, 1}};
    for (int i = 0; i < n && !tarn_error(); i++, attr.slice.start += attr.count) {
        attr.count = sizes ? sizes[i] : each;
        parts[i] = tarn__apply(t, op, 1, &x, &attr, sizeof attr);
    }
    return !tarn_error();
}

static bool sizes_fit(const tarn_tensor *x, int axis, int n, const int64_t *sizes)
{
    int64_t left = x->shape[axis];
    if (n < 1)
        return tarn_fail("tarn_split: %d parts, expected 1 or more", n);
    if (!sizes)
        return left % n == 0 || tarn_fail("tarn_split: axis %d of %s in %d equal parts", axis, TARN__SHAPE_TEXT(x), n);
    for (int i = 0; i < n; left -= sizes[i++])
        if (sizes[i] < 0 || sizes[i] > left)
            return tarn_fail("tarn_split: size %d is %" PRId64 ", expected 0 to %" PRId64
                             ": what is left of axis %d of %s",
                             i, sizes[i], left, axis, TARN__SHAPE_TEXT(x));
    return left == 0 ||
           tarn_fail("tarn_split: the sizes leave %" PRId64 " of axis %d of %s", left, axis, TARN__SHAPE_TEXT(x));
}

static bool no_parts(int n, tarn_tensor **parts)
{
    for (int i = 0; parts && i < n; i++)
        parts[i] = NULL;
    return false;
}

bool tarn_split(tarn_tape *t, tarn_tensor *x, int axis, int n, const int64_t *sizes, tarn_tensor **parts)
{
    bool ok = tarn__inputs_usable("split", t, 1, &x) && tarn__usable("tarn_split", parts, "parts") &&
              (axis = tarn__axis("tarn_split", axis, x->ndim)) >= 0 && sizes_fit(x, axis, n, sizes) &&
              cut(t, &split_op, x, axis, n, sizes, x->shape[axis] / n, parts);
    return ok || no_parts(n, parts);
}

bool tarn_unbind(tarn_tape *t, tarn_tensor *x, int axis, int n, tarn_tensor **parts)
{
    bool ok = tarn__inputs_usable("unbind", t, 1, &x) && tarn__usable("tarn_unbind", parts, "parts") &&
              (axis = tarn__axis("tarn_unbind", axis, x->ndim)) >= 0;
    if (ok && x->shape[axis] != n)
        ok = tarn_fail("tarn_unbind: %d parts, expected %" PRId64 ": the size of axis %d of %s", n, x->shape[axis],
                       axis, TARN__SHAPE_TEXT(x));
    ok = ok && cut(t, &unbind_op, x, axis, n, NULL, 1, parts);
    return ok || no_parts(n, parts);
}

/* ---- place: slices put together ---- */

typedef struct place_attr {
    int ndim;
    int64_t shape[TARN_MAX_DIMS];
    const tarn__slice *slices; /* of the inputs */
} place_attr;

static bool place_shape(tarn_node *n)
{
    const place_attr *attr = n->attr;
    return tarn__output(n, n->in[0]->dtype, attr->ndim, attr->shape);
}

static int64_t entries_of(const tarn_tensor *part, const tarn__slice *w)
{
    return w->without_axis ? 1 : part->shape[w->axis];
}

static bool place_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const place_attr *attr = n->attr;
    for (int i = 0; i < n->n_in; i++) {
        slice_attr at = {attr->slices[i], entries_of(n->in[i], &attr->slices[i])};
        bool whole = !at.slice.without_axis && at.count == attr->shape[at.slice.axis];
        if (need[i])
            gx[i] =
                whole ? gy[0] : tarn__apply(t, at.slice.without_axis ? &unbind_op : &slice_op, 1, gy, &at, sizeof at);
    }
    return true;
}

/* Slices first..last-1 lie along one axis: y is [outer, size, inner] to them. */
typedef struct placing {
    const tarn_node *n;
    const void **part; /* row-major */
    int first, last;
    int64_t outer, size, inner;
    int64_t outer_block, inner_block, inner_blocks; /* of a tile */
    bool clear, added;                              /* clear: zeros first; added: all parts, or all but the first */
} placing;

enum { PLACE_TILE = 65536, PLACE_ROW = 256 };

static void place_row(const placing *r, bool add, int64_t elements, const char *from, char *to)
{
    tarn_dtype dtype = r->n->out[0]->dtype;
    if (add)
        tarn__loops_of(dtype)->binary[TARN__BINARY_add]((size_t)elements, to, from, to, 0, 0);
    else
        memcpy(to, from, (size_t)elements * tarn_dtype_size(dtype));
}

static void place_part(const placing *r, int i, int64_t outer, int64_t at, int64_t width)
{
    const tarn__slice *w = &((const place_attr *)r->n->attr)->slices[i];
    int64_t entries = entries_of(r->n->in[i], w), size = (int64_t)tarn_dtype_size(r->n->out[0]->dtype);
    const char *from = (const char *)r->part[i] + (outer * entries * r->inner + at) * size;
    char *to = (char *)r->n->out[0]->data + ((outer * r->size + w->start) * r->inner + at) * size;
    bool add = r->added && (i > 0 || r->clear), joined = w->step == 1 && width == r->inner;
    int64_t rows = joined ? 1 : entries, elements = joined ? entries * width : width;
    for (int64_t row = 0; row < rows && elements > 0; row++)
        place_row(r, add, elements, from + row * r->inner * size, to + row * w->step * r->inner * size);
}

static void place_tile(void *context, int64_t tile)
{
    const placing *r = context;
    size_t size = tarn_dtype_size(r->n->out[0]->dtype);
    int64_t first = tile / r->inner_blocks * r->outer_block, at = tile % r->inner_blocks * r->inner_block;
    int64_t last = first + r->outer_block < r->outer ? first + r->outer_block : r->outer;
    int64_t width = r->inner - at < r->inner_block ? r->inner - at : r->inner_block;
    for (int64_t outer = first; outer < last; outer++) {
        char *to = (char *)r->n->out[0]->data + (size_t)(outer * r->size * r->inner + at) * size;
        for (int64_t row = 0; r->clear && r->first == 0 && row < r->size; row++)
            memset(to + (size_t)(row * r->inner) * size, 0, (size_t)width * size);
        for (int i = r->first; i < r->last; i++)
            place_part(r, i, outer, at, width);
    }
}

static void place_along(placing *r)
{
    const tarn_tensor *y = r->n->out[0];
    int axis = ((const place_attr *)r->n->attr)->slices[r->first].axis;
    r->outer = r->inner = 1;
    r->size = y->shape[axis];
    for (int i = 0; i < y->ndim; i++) {
        r->outer *= i < axis ? y->shape[i] : 1;
        r->inner *= i > axis ? y->shape[i] : 1;
    }
    r->inner_block = PLACE_TILE / r->size > PLACE_ROW ? PLACE_TILE / r->size : PLACE_ROW;
    r->inner_block = r->inner_block < r->inner ? r->inner_block : r->inner;
    r->inner_blocks = tarn__tiles(r->inner, r->inner_block);
    r->outer_block = PLACE_TILE / (r->size * r->inner_block) + 1;
    tarn__parallel_for(tarn__tiles(r->outer, r->outer_block) * r->inner_blocks, place_tile, r);
}

/* What the parts cover, if they follow each other along one axis, in either direction, without overlapping; -1 if not. */
static int64_t covered(const tarn_node *n)
{
    const tarn__slice *w = ((const place_attr *)n->attr)->slices;
    bool up = true, down = true;
    int64_t total = entries_of(n->in[0], &w[0]);
    for (int i = 1; i < n->n_in; i++) {
        if (w[i].axis != w[0].axis || w[i].step != 1 || w[0].step != 1)
            return -1;
        int64_t before = entries_of(n->in[i - 1], &w[i - 1]), here = entries_of(n->in[i], &w[i]);
        up &= w[i].start >= w[i - 1].start + before;
        down &= w[i].start + here <= w[i - 1].start;
        total += here;
    }
    return up || down ? total : -1;
}

static bool place_run(tarn_node *n)
{
    const place_attr *attr = n->attr;
    if (n->out[0]->numel == 0)
        return true;
    placing r = {.n = n, .part = tarn__scratch(n, (size_t)n->n_in * sizeof *r.part)};
    for (int i = 0; r.part && i < n->n_in; i++)
        if (!(r.part[i] = tarn__packed_input(n, i)))
            return false;
    int64_t total = covered(n), size = attr->shape[attr->slices[0].axis];
    r.added = total < 0;
    r.clear = r.added ? entries_of(n->in[0], &attr->slices[0]) < size : total < size;
    for (; r.part && r.first < n->n_in; r.first = r.last) {
        r.last = r.first + 1;
        while (r.last < n->n_in && attr->slices[r.last].axis == attr->slices[r.first].axis)
            r.last++;
        place_along(&r);
    }
    return r.part != NULL;
}

TARN__OP(place_op, "place", place_shape, place_run, place_vjp);

tarn_tensor *tarn__place(tarn_tape *t, int ndim, const int64_t *shape, int n, tarn_tensor *const *parts,
                         const tarn__slice *slices)
{
    place_attr attr = {.ndim = ndim};
    size_t bytes = (size_t)n * sizeof *slices;
    tarn__slice *kept = tarn__arena_allocate_small(&t->arena, bytes);
    if (!kept) {
        tarn_fail("tarn_place: no memory to record it");
        return NULL;
    }
    memcpy(attr.shape, shape, (size_t)ndim * sizeof *shape);
    attr.slices = memcpy(kept, slices, bytes);
    return tarn__apply(t, &place_op, n, parts, &attr, sizeof attr);
}
