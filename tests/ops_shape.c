/* Rows of the ops that move elements: views, copies and indices. */
#include "tests/ops_check.h"

#define REFERENCE(id) static void id##_ref(const ops_array *in, ops_array *out)

static void same_order(const ops_array *in, ops_array *out, int ndim, const int64_t *shape)
{
    ops_out(out, ndim, shape);
    memcpy(out->v, in->v, (size_t)in->numel * sizeof *in->v);
}

/* ---- views ---- */

EXPRESSION(reshape_x, tarn_reshape(t, x[0], TARN_SHAPE(2, 6)))
REFERENCE(reshape)
{
    same_order(in, out, TARN_SHAPE(2, 6));
}

EXPRESSION(rest_x, tarn_reshape(t, x[0], TARN_SHAPE(2, -1, 3)))
REFERENCE(rest)
{
    same_order(in, out, TARN_SHAPE(2, in->numel / 6, 3));
}

EXPRESSION(to_scalar_x, tarn_reshape(t, x[0], 0, NULL))
REFERENCE(to_scalar)
{
    same_order(in, out, 0, NULL);
}

EXPRESSION(of_nothing_x, tarn_reshape(t, x[0], TARN_SHAPE(4, 0, 2)))
REFERENCE(of_nothing)
{
    same_order(in, out, TARN_SHAPE(4, 0, 2));
}

EXPRESSION(flatten_x, tarn_flatten(t, x[0]))
REFERENCE(flatten)
{
    same_order(in, out, TARN_SHAPE(in->shape[0], in->numel / in->shape[0]));
}

EXPRESSION(permute_x, tarn_permute(t, x[0], (const int[]){2, 0, -2}))
REFERENCE(permute)
{
    const int64_t *n = in->shape;
    ops_out(out, TARN_SHAPE(n[2], n[0], n[1]));
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++)
                out->v[(k * n[0] + i) * n[1] + j] = in->v[(i * n[1] + j) * n[2] + k];
}

EXPRESSION(transpose_x, tarn_transpose(t, x[0], 0, -1))
EXPRESSION(contiguous_x, tarn_contiguous(t, tarn_transpose(t, x[0], 0, -1)))
EXPRESSION(contiguous_of_view_x, tarn_contiguous(t, tarn_slice(t, x[0], 1, 0, 2, 1)))
REFERENCE(transpose)
{
    const int64_t *n = in->shape;
    ops_out(out, TARN_SHAPE(n[2], n[1], n[0]));
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++)
                out->v[(k * n[1] + j) * n[0] + i] = in->v[(i * n[1] + j) * n[2] + k];
}
REFERENCE(contiguous_of_view)
{
    ops_out(out, TARN_SHAPE(in->shape[0], 2));
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] = in->v[i / 2 * in->shape[1] + i % 2];
}

/* Entries first, first+step, ... along the middle axis of [A,B,C]. */
static void slice_ref(const ops_array *in, ops_array *out, int64_t first, int64_t count, int64_t step)
{
    const int64_t *n = in->shape;
    ops_out(out, TARN_SHAPE(n[0], count, n[2]));
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < count; j++)
            for (int64_t k = 0; k < n[2]; k++)
                out->v[(i * count + j) * n[2] + k] = in->v[(i * n[1] + first + j * step) * n[2] + k];
}
#define SLICE(id, start, stop, step, first, count)                                                                     \
    EXPRESSION(id##_x, tarn_slice(t, x[0], 1, start, stop, step))                                                      \
    REFERENCE(id)                                                                                                      \
    {                                                                                                                  \
        slice_ref(in, out, first, count, step);                                                                        \
    }
SLICE(middle, 1, 4, 1, 1, 3)
SLICE(from_end, -3, -1, 1, 2, 2)
SLICE(every_second, 0, 5, 2, 0, 3)
SLICE(every_third, 1, 5, 3, 1, 2)
SLICE(one_entry, 4, 5, 7, 4, 1)
SLICE(no_entry, 2, 2, 1, 2, 0)

/* Slices of one tensor that overlap, in several ways, and all of it: [2,5,3]. */
static tarn_tensor *overlapping_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    (void)context;
    tarn_tensor *a = tarn_slice(t, x[0], 1, 0, 3, 1), *b = tarn_slice(t, x[0], 1, 1, 4, 1);
    tarn_tensor *c = tarn_slice(t, x[0], -2, 0, 5, 2), *last = tarn_slice(t, x[0], 2, 2, 3, 1);
    tarn_tensor *y = tarn_add(t, tarn_mul(t, a, b), c);
    return tarn_mul(t, tarn_slice(t, tarn_mul(t, x[0], last), 1, 1, 4, 1), y);
}
REFERENCE(overlapping)
{
    const double *v = in->v;
    ops_out(out, TARN_SHAPE(2, 3, 3));
    for (int64_t i = 0; i < 18; i++) {
        int64_t at = i / 9 * 15 + i % 9, row = at - i % 3; /* of a; and where its entry begins */
        out->v[i] = v[at + 3] * v[row + 5] * (v[at] * v[at + 3] + v[i / 9 * 15 + i % 9 / 3 * 6 + i % 3]);
    }
}

/* Equal parts, one of them used twice: [2,6,3] along axis 1. */
static tarn_tensor *split_equal_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    (void)context;
    tarn_tensor *p[3] = {NULL};
    tarn_split(t, x[0], -2, 3, NULL, p);
    return tarn_add(t, tarn_mul(t, p[2], p[0]), tarn_mul(t, p[1], p[0]));
}
REFERENCE(split_equal)
{
    ops_out(out, TARN_SHAPE(2, 2, 3));
    for (int64_t i = 0; i < 12; i++) {
        const double *v = in->v + i / 6 * 18 + i % 6;
        out->v[i] = (v[12] + v[6]) * v[0];
    }
}

/* Parts of given sizes, one of them of none and one unused, put together otherwise: [2,6]. */
static tarn_tensor *split_given_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    (void)context;
    tarn_tensor *p[4] = {NULL};
    tarn_split(t, x[0], -1, 4, (const int64_t[]){2, 0, 1, 3}, p);
    return tarn_concat(t, 3, (tarn_tensor *[]){p[3], p[1], p[0]}, 1);
}
REFERENCE(split_given)
{
    ops_out(out, TARN_SHAPE(2, 5));
    for (int64_t i = 0; i < 10; i++)
        out->v[i] = in->v[i / 5 * 6 + (i % 5 < 3 ? i % 5 + 3 : i % 5 - 3)];
}

/* The first and the last entry of an axis, each used twice, and of what is made of them: [A,3,B] and [3]. */
static tarn_tensor *unbind_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    (void)context;
    tarn_tensor *p[3] = {NULL};
    tarn_unbind(t, x[0], tarn_ndim(x[0]) == 3 ? -2 : 0, 3, p);
    return tarn_add(t, tarn_mul(t, p[0], p[2]), tarn_square(t, p[2]));
}
REFERENCE(unbind)
{
    int64_t inner = in->ndim == 3 ? in->shape[2] : 1;
    if (in->ndim == 3)
        ops_out(out, TARN_SHAPE(in->shape[0], inner));
    else
        ops_out(out, 0, NULL);
    for (int64_t i = 0; i < out->numel; i++) {
        const double *v = in->v + i / inner * 3 * inner + i % inner;
        out->v[i] = v[0] * v[2 * inner] + v[2 * inner] * v[2 * inner];
    }
}
static tarn_tensor *unbind_one_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    (void)context;
    tarn_tensor *p = NULL;
    tarn_unbind(t, x[0], 1, 1, &p);
    return tarn_square(t, p);
}
REFERENCE(unbind_one)
{
    ops_out(out, TARN_SHAPE(in->shape[0]));
    for (int64_t i = 0; i < in->numel; i++)
        out->v[i] = in->v[i] * in->v[i];
}

EXPRESSION(expand_x, tarn_expand(t, x[0], TARN_SHAPE(2, 3, 4)))
REFERENCE(expand) /* [3,1], [1,4], [4] or [] */
{
    ops_out(out, TARN_SHAPE(2, 3, 4));
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] = in->v[in->numel == 1 ? 0 : in->numel == 3 ? i / 4 % 3 : i % 4];
}
EXPRESSION(expand_to_none_x, tarn_expand(t, x[0], TARN_SHAPE(0, 3)))
REFERENCE(expand_to_none)
{
    (void)in;
    ops_out(out, TARN_SHAPE(0, 3));
}

/* ---- copies ---- */

/* Along axis 1 of two axes. */
EXPRESSION(concat_x, tarn_concat(t, 3, x, -1))
REFERENCE(concat)
{
    int64_t rows = in[0].shape[0], width = in[0].shape[1] + in[1].shape[1] + in[2].shape[1];
    ops_out(out, TARN_SHAPE(rows, width));
    for (int64_t i = 0; i < rows; i++) {
        int64_t to = i * width;
        for (int k = 0; k < 3; k++)
            for (int64_t j = 0; j < in[k].shape[1]; j++)
                out->v[to++] = in[k].v[i * in[k].shape[1] + j];
    }
}
EXPRESSION(concat_0_x, tarn_concat(t, 2, x, 0))
REFERENCE(concat_0)
{
    ops_out(out, TARN_SHAPE(in[0].shape[0] + in[1].shape[0], in[0].shape[1]));
    memcpy(out->v, in[0].v, (size_t)in[0].numel * sizeof(double));
    memcpy(out->v + in[0].numel, in[1].v, (size_t)in[1].numel * sizeof(double));
}
EXPRESSION(concat_one_x, tarn_concat(t, 1, x, 0))
REFERENCE(concat_one)
{
    same_order(in, out, in->ndim, in->shape);
}

EXPRESSION(pad_x, tarn_pad(t, x[0], (const int64_t[]){1, 0, 2}, (const int64_t[]){0, 3, 1}, -1.5))
REFERENCE(pad)
{
    const int64_t *n = in->shape;
    ops_out(out, TARN_SHAPE(n[0] + 1, n[1] + 3, n[2] + 3));
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] = -1.5;
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++)
                out->v[((i + 1) * (n[1] + 3) + j) * (n[2] + 3) + k + 2] = in->v[(i * n[1] + j) * n[2] + k];
}
EXPRESSION(pad_zero_x, tarn_pad(t, x[0], (const int64_t[]){2}, (const int64_t[]){1}, 0))
REFERENCE(pad_zero)
{
    ops_out(out, TARN_SHAPE(in->numel + 3));
    memcpy(out->v + 2, in->v, (size_t)in->numel * sizeof(double));
}

/* ---- indices ---- */

/* Three axes; x[1] holds the indices. */
static void gather_along(const ops_array *in, ops_array *out, int axis)
{
    const int64_t *n = in[0].shape, *m = in[1].shape;
    ops_out(out, 3, m);
    for (int64_t i = 0; i < m[0]; i++)
        for (int64_t j = 0; j < m[1]; j++)
            for (int64_t k = 0; k < m[2]; k++) {
                int64_t at = (i * m[1] + j) * m[2] + k, chosen = (int64_t)in[1].v[at];
                int64_t from[3] = {i, j, k};
                from[axis] = chosen;
                out->v[at] = in[0].v[(from[0] * n[1] + from[1]) * n[2] + from[2]];
            }
}
static void select_along(const ops_array *in, ops_array *out, int axis)
{
    const int64_t *n = in[0].shape;
    int64_t m[3] = {n[0], n[1], n[2]};
    m[axis] = in[1].numel;
    ops_out(out, 3, m);
    for (int64_t i = 0; i < m[0]; i++)
        for (int64_t j = 0; j < m[1]; j++)
            for (int64_t k = 0; k < m[2]; k++) {
                int64_t from[3] = {i, j, k};
                from[axis] = (int64_t)in[1].v[from[axis]];
                out->v[(i * m[1] + j) * m[2] + k] = in[0].v[(from[0] * n[1] + from[1]) * n[2] + from[2]];
            }
}
#define INDEXED(axis)                                                                                                  \
    EXPRESSION(gather_##axis##_x, tarn_gather(t, x[0], axis, x[1]))                                                    \
    REFERENCE(gather_##axis)                                                                                           \
    {                                                                                                                  \
        gather_along(in, out, axis);                                                                                   \
    }                                                                                                                  \
    EXPRESSION(select_##axis##_x, tarn_index_select(t, x[0], axis, x[1]))                                              \
    REFERENCE(select_##axis)                                                                                           \
    {                                                                                                                  \
        select_along(in, out, axis);                                                                                   \
    }
INDEXED(0)
INDEXED(1)
INDEXED(2)

EXPRESSION(one_hot_f32_x, tarn_one_hot(t, x[0], 5, TARN_F32))
EXPRESSION(one_hot_u8_x, tarn_one_hot(t, x[0], 5, TARN_U8))
REFERENCE(one_hot)
{
    int64_t shape[TARN_MAX_DIMS];
    memcpy(shape, in->shape, sizeof shape);
    shape[in->ndim] = 5;
    ops_out(out, in->ndim + 1, shape);
    for (int64_t i = 0; i < in->numel; i++)
        out->v[i * 5 + (int64_t)in->v[i]] = 1;
}

#define ROW(op, id, text, ...)                                                                                         \
    {                                                                                                                  \
#op, text, id##_x, 2, OPS_INPUT_COUNT(__VA_ARGS__), {__VA_ARGS__ }, .reference = id##_ref                      \
    }

const ops_row ops_shape_rows[] = {
    ROW(reshape, reshape, "[3,4] to [2,6]", REAL(3, 4)),
    ROW(reshape, reshape, "[2,3,2] to [2,6]", REAL(2, 3, 2)),
    ROW(reshape, rest, "[12] to [2,-1,3]", REAL(12)),
    ROW(reshape, to_scalar, "[1,1] to []", REAL(1, 1)),
    ROW(reshape, of_nothing, "[0,3] to [4,0,2]", REAL(0, 3)),
    ROW(flatten, flatten, "[2,3,2]", REAL(2, 3, 2)),
    ROW(flatten, flatten, "[3]", REAL(3)),
    ROW(permute, permute, "[2,3,4]", REAL(2, 3, 4)),
    ROW(permute, permute, "[2,0,4]", REAL(2, 0, 4)),
    ROW(permute, permute, "[1,3,1]", REAL(1, 3, 1)),
    ROW(transpose, transpose, "[2,3,4]", REAL(2, 3, 4)),
    {"contiguous", "of [4,3,2] transposed", contiguous_x, 2, 1, {REAL(4, 3, 2)}, .reference = transpose_ref},
    ROW(contiguous, contiguous_of_view, "of [3,5] sliced", REAL(3, 5)),
    ROW(slice, middle, "1:4", REAL(2, 5, 3)),
    ROW(slice, from_end, "-3:-1", REAL(2, 5, 3)),
    ROW(slice, every_second, "0:5:2", REAL(2, 5, 3)),
    ROW(slice, every_third, "1:5:3", REAL(2, 5, 3)),
    ROW(slice, one_entry, "4:5:7", REAL(2, 5, 3)),
    ROW(slice, no_entry, "2:2", REAL(2, 5, 3)),
    ROW(slice, overlapping, "overlapping, of two axes", REAL(2, 5, 3)),
    ROW(split, split_equal, "[2,6,3] in 3", REAL(2, 6, 3)),
    ROW(split, split_given, "[2,6] in 2, 0, 1 and 3", REAL(2, 6)),
    ROW(unbind, unbind, "[2,3,4]", REAL(2, 3, 4)),
    ROW(unbind, unbind, "[3]", REAL(3)),
    ROW(unbind, unbind, "[2,3,0]", REAL(2, 3, 0)),
    ROW(unbind, unbind_one, "[4,1]", REAL(4, 1)),
    ROW(expand, expand, "[3,1] to [2,3,4]", REAL(3, 1)),
    ROW(expand, expand, "[1,4] to [2,3,4]", REAL(1, 4)),
    ROW(expand, expand, "[4] to [2,3,4]", REAL(4)),
    ROW(expand, expand, "[] to [2,3,4]", SCALAR(-1, 1)),
    ROW(expand, expand_to_none, "[1,3] to [0,3]", REAL(1, 3)),
    ROW(concat, concat, "[3,2] [3,1] [3,4]", REAL(3, 2), REAL(3, 1), REAL(3, 4)),
    ROW(concat, concat, "[3,2] [3,0] [3,2]", REAL(3, 2), REAL(3, 0), REAL(3, 2)),
    {"concat",
     "i32",
     concat_x,
     0,
     3,
     {INDEX(OPS_I32, 9, 3, 2), INDEX(OPS_I32, 9, 3, 1), INDEX(OPS_I32, 9, 3, 4)},
     .reference = concat_ref},
    ROW(concat, concat_0, "[2,3] [1,3]", REAL(2, 3), REAL(1, 3)),
    ROW(concat, concat_0, "[2,3] [2,3]", REAL(2, 3), REAL(2, 3)),
    ROW(concat, concat_one, "[4] alone", REAL(4)),
    ROW(pad, pad, "[2,3,2]", REAL(2, 3, 2)),
    ROW(pad, pad, "[0,1,2]", REAL(0, 1, 2)),
    ROW(pad, pad_zero, "[5] with zeros", REAL(5)),
    ROW(gather, gather_0, "axis 0", REAL(4, 2, 3), INDEX(OPS_I32, 4, 5, 2, 3)),
    ROW(gather, gather_1, "axis 1, u8", REAL(2, 4, 3), INDEX(OPS_U8, 4, 2, 1, 3)),
    ROW(gather, gather_2, "axis 2", REAL(2, 3, 4), INDEX(OPS_I32, 4, 2, 3, 6)),
    ROW(gather, gather_2, "axis 2, none", REAL(2, 3, 4), INDEX(OPS_I32, 4, 2, 3, 0)),
    ROW(index_select, select_0, "axis 0", REAL(4, 2, 3), INDEX(OPS_I32, 4, 7)),
    ROW(index_select, select_1, "axis 1, u8", REAL(2, 4, 3), INDEX(OPS_U8, 4, 5)),
    ROW(index_select, select_2, "axis 2", REAL(2, 3, 4), INDEX(OPS_I32, 4, 3)),
    ROW(index_select, select_0, "axis 0, none", REAL(4, 2, 3), INDEX(OPS_I32, 4, 0)),
    {"one_hot", "[2,3] i32", one_hot_f32_x, 0, 1, {INDEX(OPS_I32, 5, 2, 3)}, .reference = one_hot_ref},
    {"one_hot", "[4] u8 to u8", one_hot_u8_x, 0, 1, {INDEX(OPS_U8, 5, 4)}, .reference = one_hot_ref},
    {"one_hot", "[]", one_hot_f32_x, 0, 1, {{.kind = OPS_I32, .high = 5}}, .reference = one_hot_ref},
    {.name = NULL},
};
