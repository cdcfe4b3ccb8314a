#include "data/image_impl.h"
#include "tensor/arena.h"
#include "tensor/parallel.h"
#include "tensor/tensor_impl.h"

#include <math.h>

/* One axis: out[i] = sum over k < taps of weight[i*taps + k] * in[first[i] + k]. */
typedef struct axis {
    int64_t in, out, taps;
    int64_t *first;
    float *weight;
} axis;

/* The average over [i*scale, (i+1)*scale), in input pixels. */
static void fill_shrinking(axis *a)
{
    double scale = (double)a->in / (double)a->out;
    for (int64_t i = 0; i < a->out; i++) {
        double from = (double)i * scale, to = from + scale;
        int64_t first = (int64_t)from;
        first = first + a->taps > a->in ? a->in - a->taps : first;
        a->first[i] = first;
        for (int64_t k = 0; k < a->taps; k++) {
            double low = fmax(from, (double)(first + k)), high = fmin(to, (double)(first + k + 1));
            a->weight[i * a->taps + k] = (float)(fmax(high - low, 0) / scale);
        }
    }
}

/* Linear between the centres of two input pixels. */
static void fill_growing(axis *a)
{
    double scale = (double)a->in / (double)a->out;
    for (int64_t i = 0; i < a->out; i++) {
        double centre = ((double)i + 0.5) * scale - 0.5;
        centre = fmin(fmax(centre, 0), (double)(a->in - 1));
        int64_t first = (int64_t)centre;
        first = first + a->taps > a->in ? a->in - a->taps : first;
        a->first[i] = first;
        for (int64_t k = 0; k < a->taps; k++)
            a->weight[i * a->taps + k] = (float)fmax(0, 1 - fabs(centre - (double)(first + k)));
    }
}

static bool axis_init(axis *a, int64_t in, int64_t out)
{
    *a = (axis){.in = in, .out = out};
    a->taps = out < in ? (in + out - 1) / out + 1 : 2;
    a->taps = a->taps < in ? a->taps : in;
    a->first = tarn__allocate((size_t)out * sizeof a->first[0]);
    a->weight = tarn__allocate((size_t)(out * a->taps) * sizeof a->weight[0]);
    if (!a->first || !a->weight)
        return false;
    if (out < in)
        fill_shrinking(a);
    else
        fill_growing(a);
    return true;
}

static void axis_free(axis *a)
{
    tarn__release(a->first);
    tarn__release(a->weight);
}

typedef struct resize {
    axis rows, columns;
    int64_t channels;
    const uint8_t *in;
    float *between; /* [height in][width out][channels] */
    uint8_t *out;
} resize;

static void resize_row(void *context, int64_t y)
{
    const resize *r = context;
    const uint8_t *in = r->in + y * r->columns.in * r->channels;
    float *out = r->between + y * r->columns.out * r->channels;
    for (int64_t x = 0; x < r->columns.out; x++)
        for (int64_t c = 0; c < r->channels; c++) {
            float sum = 0;
            for (int64_t k = 0; k < r->columns.taps; k++)
                sum +=
                    r->columns.weight[x * r->columns.taps + k] * (float)in[(r->columns.first[x] + k) * r->channels + c];
            *out++ = sum;
        }
}

static void resize_column(void *context, int64_t y)
{
    const resize *r = context;
    int64_t width = r->columns.out * r->channels;
    uint8_t *out = r->out + y * width;
    for (int64_t i = 0; i < width; i++) {
        float sum = 0.5f;
        for (int64_t k = 0; k < r->rows.taps; k++)
            sum += r->rows.weight[y * r->rows.taps + k] * r->between[(r->rows.first[y] + k) * width + i];
        out[i] = (uint8_t)fminf(sum, 255);
    }
}

tarn_tensor *tarn_image_resize(tarn_tensor *image, int64_t height, int64_t width)
{
    const char *who = "tarn_image_resize";
    resize r = {0};
    if (!tarn__image_usable(who, image, &r.channels))
        return NULL;
    int64_t shape[3] = {height, width, r.channels}, between[3] = {image->shape[0], width, r.channels}, numel;
    if (height < 1 || height > TARN__IMAGE_MAX_SIDE || width < 1 || width > TARN__IMAGE_MAX_SIDE) {
        tarn_fail("%s: %s, expected sides of 1 to %d", who, tarn__shape_text_of(2, shape).text, TARN__IMAGE_MAX_SIDE);
        return NULL;
    }
    if (!tarn__check_shape(who, TARN_F32, 3, between, &numel) || !(r.in = tarn_data(image)))
        return NULL;
    tarn_tensor *result = tarn_tensor_new(TARN_U8, image->ndim, shape);
    r.between = tarn__allocate((size_t)numel * sizeof r.between[0]);
    bool made = axis_init(&r.rows, image->shape[0], height);
    made = axis_init(&r.columns, image->shape[1], width) && made;
    if (result && made && r.between) {
        r.out = result->data;
        tarn__parallel_for(r.rows.in, resize_row, &r);
        tarn__parallel_for(r.rows.out, resize_column, &r);
    } else {
        tarn_fail("%s: no memory for %s", who, tarn__shape_text_of(3, shape).text);
        tarn_tensor_free(result);
        result = NULL;
    }
    axis_free(&r.rows);
    axis_free(&r.columns);
    tarn__release(r.between);
    return result;
}
