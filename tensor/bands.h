/* tensor/bands.h (internal): in which groups the pixels of [N,H,W,C] are summed for mean and variance.
 *
 * A band is four rows of one image, or as many whole images as make 64 pixels where an image has at most 128. So a
 * convolution can sum what it has just written, and a later look at the same tensor comes to the same bits. */
#ifndef TARN__BANDS_H
#define TARN__BANDS_H

#include <stdint.h>

enum { TARN__BAND_ROWS = 4, TARN__BAND_PIXELS = 64, TARN__SMALL_IMAGE = 128 };

typedef struct tarn__bands {
    int64_t images, h, w;
    int64_t group;     /* images in a band; 0: an image has several bands */
    int64_t per_image; /* bands, with group 0 */
    int64_t count;
} tarn__bands;

static inline tarn__bands tarn__bands_of(int64_t images, int64_t h, int64_t w)
{
    tarn__bands b = {images, h, w, 0, 0, 0};
    if (h * w <= TARN__SMALL_IMAGE) {
        b.group = h * w >= TARN__BAND_PIXELS ? 1 : (TARN__BAND_PIXELS + h * w - 1) / (h * w);
        b.count = (images + b.group - 1) / b.group;
    } else {
        b.per_image = (h + TARN__BAND_ROWS - 1) / TARN__BAND_ROWS;
        b.count = images * b.per_image;
    }
    return b;
}

/* The first pixel of a band, counted through all images, and how many it has. */
static inline int64_t tarn__band_start(const tarn__bands *b, int64_t band, int64_t *pixels)
{
    if (b->group > 0) {
        const int64_t first = band * b->group, left = b->images - first;
        *pixels = (left < b->group ? left : b->group) * b->h * b->w;
        return first * b->h * b->w;
    }
    const int64_t row = band % b->per_image * TARN__BAND_ROWS, left = b->h - row;
    *pixels = (left < TARN__BAND_ROWS ? left : TARN__BAND_ROWS) * b->w;
    return (band / b->per_image * b->h + row) * b->w;
}

#endif
