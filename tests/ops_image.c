/* Rows of the ops on images [N,H,W,C]. */
#include "tests/ops_check.h"

/* ---- convolution: the definition, seven loops ---- */

static void conv2d_ref(const ops_array *in, ops_array *out, tarn_conv2d_opts o)
{
    const ops_array *x = &in[0], *w = &in[1];
    int64_t stride = o.stride ? o.stride : 1, dilation = o.dilation ? o.dilation : 1, groups = o.groups ? o.groups : 1;
    int64_t rows = w->shape[0], columns = w->shape[1], depth = w->shape[2], k_all = w->shape[3];
    int64_t p_all = (x->shape[1] + 2 * o.padding - dilation * (rows - 1) - 1) / stride + 1;
    int64_t q_all = (x->shape[2] + 2 * o.padding - dilation * (columns - 1) - 1) / stride + 1;
    ops_out(out, TARN_SHAPE(x->shape[0], p_all, q_all, k_all));
    for (int64_t n = 0; n < x->shape[0]; n++)
        for (int64_t p = 0; p < p_all; p++)
            for (int64_t q = 0; q < q_all; q++)
                for (int64_t k = 0; k < k_all; k++)
                    for (int64_t r = 0; r < rows; r++)
                        for (int64_t s = 0; s < columns; s++)
                            for (int64_t c = 0; c < depth; c++) {
                                int64_t i = p * stride + r * dilation - o.padding;
                                int64_t j = q * stride + s * dilation - o.padding;
                                if (i < 0 || i >= x->shape[1] || j < 0 || j >= x->shape[2])
                                    continue;
                                *ops_at(out, n, p, q, k) +=
                                    *ops_at(x, n, i, j, k / (k_all / groups) * depth + c) * *ops_at(w, r, s, c, k);
                            }
}

/* Padding, stride, dilation, groups: as in tarn_conv2d_opts. */
#define CONVOLUTION(id, ...)                                                                                           \
    EXPRESSION(id##_x, tarn_conv2d(t, x[0], x[1], &(tarn_conv2d_opts){__VA_ARGS__}))                                   \
    static void id##_ref(const ops_array *in, ops_array *out)                                                          \
    {                                                                                                                  \
        conv2d_ref(in, out, (tarn_conv2d_opts){__VA_ARGS__});                                                          \
    }
CONVOLUTION(plain, .stride = 1)
CONVOLUTION(padded, .padding = 1)
CONVOLUTION(strided, .stride = 2)
CONVOLUTION(dilated, .dilation = 2)
CONVOLUTION(grouped, .groups = 2)
CONVOLUTION(depthwise, .groups = 3, .padding = 1)
CONVOLUTION(all_of_it, .stride = 2, .padding = 2, .dilation = 2, .groups = 2)
EXPRESSION(no_opts_x, tarn_conv2d(t, x[0], x[1], NULL))

#define CONV_ROW(id, ord, text, x, w)                                                                                  \
    {                                                                                                                  \
        "conv2d", text, id##_x, ord, 2, {x, w}, .reference = id##_ref                                                  \
    }

/* ---- pooling ---- */

/* One number from the positions of a window that lie inside: the largest, or the mean. */
static double pooled(const ops_array *x, int64_t n, int64_t i0, int64_t j0, int64_t c, int64_t window, bool max)
{
    double largest = -INFINITY, total = 0;
    int64_t count = 0;
    for (int64_t i = i0; i < i0 + window; i++)
        for (int64_t j = j0; j < j0 + window; j++) {
            if (i < 0 || i >= x->shape[1] || j < 0 || j >= x->shape[2])
                continue;
            largest = fmax(largest, *ops_at(x, n, i, j, c));
            total += *ops_at(x, n, i, j, c);
            count++;
        }
    return max ? largest : total / (double)count;
}

static void pool_ref(const ops_array *x, ops_array *out, int window, int stride, int padding, bool max)
{
    int64_t p_all = (x->shape[1] + 2 * padding - window) / stride + 1;
    int64_t q_all = (x->shape[2] + 2 * padding - window) / stride + 1;
    ops_out(out, TARN_SHAPE(x->shape[0], p_all, q_all, x->shape[3]));
    for (int64_t n = 0; n < x->shape[0]; n++)
        for (int64_t p = 0; p < p_all; p++)
            for (int64_t q = 0; q < q_all; q++)
                for (int64_t c = 0; c < x->shape[3]; c++)
                    *ops_at(out, n, p, q, c) = pooled(x, n, p * stride - padding, q * stride - padding, c, window, max);
}

/* The gradient of max pooling as an expression of its own: x[0] the image, x[1] the cotangent. So the op that picks
 * the cotangent's gradient is differentiated, too. */
static tarn_tensor *max_pool_gradient(tarn_tape *t, tarn_tensor *const *x, int window, int stride, int padding)
{
    tarn_tensor *g, *y = tarn_max_pool2d(t, x[0], window, &(tarn_pool2d_opts){stride, padding});
    return tarn_grad(t, 1, &y, &x[1], 1, &x[0], &g) ? g : NULL;
}

static void max_pool_gradient_ref(const ops_array *in, ops_array *out, int window, int stride, int padding)
{
    const ops_array *x = &in[0], *g = &in[1];
    ops_out(out, 4, x->shape);
    for (int64_t at = 0; at < g->numel; at++) {
        int64_t c = at % g->shape[3], q = at / g->shape[3] % g->shape[2],
                p = at / g->shape[3] / g->shape[2] % g->shape[1], n = at / g->shape[3] / g->shape[2] / g->shape[1];
        int64_t i0 = p * stride - padding, j0 = q * stride - padding;
        double largest = pooled(x, n, i0, j0, c, window, true);
        for (int64_t i = i0 < 0 ? 0 : i0; i < i0 + window && i < x->shape[1]; i++)
            for (int64_t j = j0 < 0 ? 0 : j0; j < j0 + window && j < x->shape[2]; j++)
                if (*ops_at(x, n, i, j, c) == largest)
                    *ops_at(out, n, i, j, c) += g->v[at];
    }
}

#define POOLING(id, window, stride, padding)                                                                           \
    EXPRESSION(max_##id##_x, tarn_max_pool2d(t, x[0], window, &(tarn_pool2d_opts){stride, padding}))                   \
    EXPRESSION(avg_##id##_x, tarn_avg_pool2d(t, x[0], window, &(tarn_pool2d_opts){stride, padding}))                   \
    EXPRESSION(grad_##id##_x, max_pool_gradient(t, x, window, stride, padding))                                        \
    static void max_##id##_ref(const ops_array *in, ops_array *out)                                                    \
    {                                                                                                                  \
        pool_ref(in, out, window, (stride) ? (stride) : (window), padding, true);                                      \
    }                                                                                                                  \
    static void avg_##id##_ref(const ops_array *in, ops_array *out)                                                    \
    {                                                                                                                  \
        pool_ref(in, out, window, (stride) ? (stride) : (window), padding, false);                                     \
    }                                                                                                                  \
    static void grad_##id##_ref(const ops_array *in, ops_array *out)                                                   \
    {                                                                                                                  \
        max_pool_gradient_ref(in, out, window, (stride) ? (stride) : (window), padding);                               \
    }
POOLING(halves, 2, 0, 0)
POOLING(overlapping, 3, 2, 1)
POOLING(every_place, 2, 1, 0)
POOLING(gaps, 1, 2, 0)

#define POOL_ROWS(id, ...)                                                                                             \
    {"max_pool2d", #id, max_##id##_x, 2, 1, {__VA_ARGS__}, .distinct = true, .reference = max_##id##_ref},             \
    {                                                                                                                  \
        "avg_pool2d", #id, avg_##id##_x, 2, 1, {__VA_ARGS__}, .reference = avg_##id##_ref                              \
    }
#define POOL_GRAD_ROW(id, x, g)                                                                                        \
    {                                                                                                                  \
        "max_pool2d_grad", #id, grad_##id##_x, 2, 2, {x, g}, .distinct = true, .reference = grad_##id##_ref            \
    }

EXPRESSION(global_avg_x, tarn_global_avg_pool2d(t, x[0]))
EXPRESSION(global_max_x, tarn_global_max_pool2d(t, x[0]))

static void global_ref(const ops_array *x, ops_array *out, bool max)
{
    int64_t channels = x->shape[3], positions = x->shape[1] * x->shape[2];
    ops_out(out, TARN_SHAPE(x->shape[0], channels));
    for (int64_t i = 0; i < out->numel; i++)
        out->v[i] = max ? -INFINITY : 0;
    for (int64_t i = 0; i < x->numel; i++) {
        double *y = &out->v[i / channels / positions * channels + i % channels];
        *y = max ? fmax(*y, x->v[i]) : *y + x->v[i] / (double)positions;
    }
}

static void global_avg_ref(const ops_array *in, ops_array *out)
{
    global_ref(in, out, false);
}

static void global_max_ref(const ops_array *in, ops_array *out)
{
    global_ref(in, out, true);
}

#define DISTINCT(...) WITHIN(-4, 4, __VA_ARGS__)

const ops_row ops_image_rows[] = {
    CONV_ROW(plain, 2, "3x3", REAL(2, 4, 5, 2), REAL(3, 3, 2, 3)),
    CONV_ROW(padded, 2, "3x3, padding 1", REAL(1, 3, 4, 2), REAL(3, 3, 2, 2)),
    CONV_ROW(padded, 2, "2x3, padding 1", REAL(1, 3, 3, 2), REAL(2, 3, 2, 1)),
    CONV_ROW(strided, 2, "3x2, stride 2, one column left over", REAL(1, 5, 5, 1), REAL(3, 2, 1, 2)),
    CONV_ROW(dilated, 2, "2x2, dilation 2", REAL(1, 4, 5, 2), REAL(2, 2, 2, 2)),
    CONV_ROW(grouped, 2, "2x2, 2 groups", REAL(1, 3, 3, 4), REAL(2, 2, 2, 2)),
    CONV_ROW(depthwise, 2, "3x3, a group a channel", REAL(1, 3, 3, 3), REAL(3, 3, 1, 6)),
    CONV_ROW(all_of_it, 2, "stride, padding, dilation and groups", REAL(1, 5, 4, 2), REAL(2, 3, 1, 2)),
    CONV_ROW(plain, 2, "1x1", REAL(2, 2, 3, 3), REAL(1, 1, 3, 2)),
    CONV_ROW(strided, 2, "1x1, stride 2", REAL(1, 4, 3, 2), REAL(1, 1, 2, 2)),
    CONV_ROW(plain, 2, "as large as the image", REAL(2, 3, 2, 2), REAL(3, 2, 2, 2)),
    CONV_ROW(plain, 2, "one pixel", REAL(1, 1, 1, 1), REAL(1, 1, 1, 1)),
    CONV_ROW(plain, 2, "x and w of one shape", REAL(2, 2, 2, 2), REAL(2, 2, 2, 2)),
    CONV_ROW(padded, 2, "no images", REAL(0, 3, 3, 2), REAL(3, 3, 2, 2)),
    CONV_ROW(padded, 2, "no output channels", REAL(1, 3, 3, 2), REAL(3, 3, 2, 0)),
    {"conv2d", "opts NULL", no_opts_x, 2, 2, {REAL(1, 3, 3, 1), REAL(2, 2, 1, 1)}, .reference = plain_ref},
    CONV_ROW(padded, 0, "3x3 of [3,15,13,8]", REAL(3, 15, 13, 8), REAL(3, 3, 8, 16)),
    CONV_ROW(padded, 0, "3x3 of [1,33,31,3]", REAL(1, 33, 31, 3), REAL(3, 3, 3, 35)),
    CONV_ROW(strided, 0, "5x5 of [2,33,31,3]", REAL(2, 33, 31, 3), REAL(5, 5, 3, 7)),
    CONV_ROW(plain, 0, "1x1 of [5,9,9,64]", REAL(5, 9, 9, 64), REAL(1, 1, 64, 33)),
    CONV_ROW(all_of_it, 0, "everything of [2,17,19,6]", REAL(2, 17, 19, 6), REAL(3, 3, 3, 4)),

    POOL_ROWS(halves, DISTINCT(2, 4, 4, 3)),
    POOL_ROWS(halves, DISTINCT(1, 5, 3, 2)),
    POOL_ROWS(overlapping, DISTINCT(1, 5, 6, 2)),
    POOL_ROWS(overlapping, DISTINCT(2, 2, 2, 2)),
    POOL_ROWS(every_place, DISTINCT(1, 3, 4, 2)),
    POOL_ROWS(gaps, DISTINCT(1, 4, 3, 2)),
    POOL_ROWS(halves, DISTINCT(0, 4, 4, 3)),
    POOL_ROWS(halves, DISTINCT(2, 4, 4, 0)),
    {"max_pool2d", "[3,29,31,19]", max_overlapping_x, 0, 1, {REAL(3, 29, 31, 19)}, .reference = max_overlapping_ref},
    {"avg_pool2d", "[3,29,31,19]", avg_overlapping_x, 0, 1, {REAL(3, 29, 31, 19)}, .reference = avg_overlapping_ref},
    POOL_GRAD_ROW(halves, DISTINCT(1, 5, 4, 2), DISTINCT(1, 2, 2, 2)),
    POOL_GRAD_ROW(overlapping, DISTINCT(1, 5, 4, 1), DISTINCT(1, 3, 2, 1)),
    POOL_GRAD_ROW(every_place, DISTINCT(2, 3, 3, 1), DISTINCT(2, 2, 2, 1)),
    POOL_GRAD_ROW(gaps, DISTINCT(1, 3, 3, 2), DISTINCT(1, 2, 2, 2)),

    {"global_avg_pool2d", "[2,3,2,3]", global_avg_x, 2, 1, {REAL(2, 3, 2, 3)}, .reference = global_avg_ref},
    {"global_max_pool2d",
     "[2,3,2,3]",
     global_max_x,
     2,
     1,
     {DISTINCT(2, 3, 2, 3)},
     .distinct = true,
     .reference = global_max_ref},
    {"global_avg_pool2d", "[2,1,1,3]", global_avg_x, 2, 1, {REAL(2, 1, 1, 3)}, .reference = global_avg_ref},
    {.name = NULL},
};
