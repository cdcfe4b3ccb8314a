#include "examples/common/picture.h"

#include <math.h>

static double border_mean(const uint8_t *p, int64_t height, int64_t width)
{
    double sum = 0;
    for (int64_t x = 0; x < width; x++)
        sum += p[x] + p[(height - 1) * width + x];
    for (int64_t y = 0; y < height; y++)
        sum += p[y * width] + p[y * width + width - 1];
    return sum / (double)(2 * (width + height));
}

/* Turns grey pixels [H,W,1] into their negative if their border is light. Returns the mean of the border. */
static double darken_background(tarn_tensor *picture, bool *inverted)
{
    const int64_t n = tarn_numel(picture);
    uint8_t *p = tarn_mutable_data(picture);
    if (!p || n == 0)
        return 0;
    const double border = border_mean(p, tarn_dim(picture, 0), tarn_dim(picture, 1));
    *inverted = border > 127.5;
    for (int64_t i = 0; *inverted && i < n; i++)
        p[i] = (uint8_t)(255 - p[i]);
    return *inverted ? 255 - border : border;
}

static int64_t scaled(int64_t length, int64_t side, int64_t longer)
{
    return (int64_t)fmax(1, round((double)(side * length) / (double)longer));
}

tarn_tensor *picture_load(tarn_tape *t, const char *path, int64_t side, bool *inverted)
{
    tarn_tensor *picture = tarn_image_load(path, 1);
    const int64_t height = tarn_dim(picture, 0), width = tarn_dim(picture, 1);
    const int64_t longer = height > width ? height : width > 0 ? width : 1;
    const int64_t h = scaled(height, side, longer), w = scaled(width, side, longer);
    *inverted = false;
    const double border = darken_background(picture, inverted);
    tarn_tensor *small = tarn_image_resize(picture, h, w);
    const int64_t before[] = {(side - h) / 2, (side - w) / 2, 0};
    const int64_t after[] = {side - h - before[0], side - w - before[1], 0};
    tarn_tensor *x = tarn_constant(t, TARN_U8, TARN_SHAPE(h, w, 1), tarn_data(small));
    x = tarn_pad(t, tarn_cast(t, x, TARN_F32), before, after, border);
    tarn_tensor_free(small);
    tarn_tensor_free(picture);
    return tarn_reshape(t, tarn_mul_scalar(t, x, 1.0 / 255), TARN_SHAPE(1, side, side, 1));
}

void picture_print_classes(const char *path, const float *p, int n, const char *const *classes, bool inverted)
{
    int shown[3];
    printf("%s:", path);
    for (int rank = 0; rank < 3 && rank < n; rank++) {
        int best = -1;
        for (int i = 0; i < n; i++) {
            bool taken = false;
            for (int k = 0; k < rank; k++)
                taken |= shown[k] == i;
            if (!taken && (best < 0 || p[i] > p[best]))
                best = i;
        }
        shown[rank] = best;
        printf("%s %s %.3f", rank ? "," : "", classes[best], (double)p[best]);
    }
    puts(inverted ? "  (light background: inverted)" : "");
}
