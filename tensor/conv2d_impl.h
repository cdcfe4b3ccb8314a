/* tensor/conv2d_impl.h (internal to tensor/conv2d*.c): the algorithms, and what they share. */
#ifndef TARN__CONV2D_IMPL_H
#define TARN__CONV2D_IMPL_H

#include "tensor/bands.h"
#include "tensor/conv2d.h"
#include "tensor/parallel.h"

/* Each product cuts its scratch memory first. Without a block it does no more than that: arrays and extra are NULL. */
typedef struct tarn__conv2d_algorithm {
    void (*forward)(const tarn__conv2d *v, const void *x, const void *w, const tarn__conv2d_extra *extra, void *y,
                    tarn__cuts *scratch); /* extra is empty where has_extra says no */
    bool (*has_extra)(const tarn__conv2d *v);
    void (*input_grad)(const tarn__conv2d *v, const void *g, const void *w, void *gx, tarn__cuts *scratch);
    void (*weight_grad)(const tarn__conv2d *v, const void *g, const void *x, void *gw, tarn__cuts *scratch);
    /* both NULL: w is read as it is */
    int64_t (*transformed)(const tarn__conv2d *v, tarn__conv2d_product product);
    void (*transform)(const tarn__conv2d *v, tarn__conv2d_product product, const void *w, void *to,
                      tarn__cuts *scratch);
} tarn__conv2d_algorithm;

extern const tarn__conv2d_algorithm tarn__conv2d_direct, tarn__conv2d_winograd, tarn__conv2d_depthwise;

/* The algorithm that a product of this shape takes: see tensor/conv2d.c. */
const tarn__conv2d_algorithm *tarn__conv2d_algorithm_of(const tarn__conv2d *v);

/* What an algorithm cuts for a product: at most that much, where extra asks for less. */
size_t tarn__conv2d_scratch_of(const tarn__conv2d_algorithm *a, const tarn__conv2d *v, tarn__conv2d_product product);

/* total = the sum of `pieces` arrays of `count` elements that follow each other; in the order of the pieces. */
void tarn__conv2d_sum_pieces(tarn_dtype dtype, int64_t pieces, int64_t count, const void *parts, void *total);

/* Moments of y's channels, band by band: mean and the sum of squared differences. */
typedef struct tarn__conv2d_moments {
    tarn_dtype dtype;
    int64_t channels;
    tarn__bands bands;
    double *mean, *m2; /* [bands, channels]; NULL: not wanted */
} tarn__conv2d_moments;

/* Cuts their memory; they are wanted if extra is NULL (where only the size is asked for) or wants them. */
void tarn__conv2d_cut_moments(const tarn__conv2d *v, const tarn__bands *bands, const tarn__conv2d_extra *extra,
                              tarn__conv2d_moments *m, tarn__cuts *scratch);

/* Of the bands first..last-1 of y, which has just been written. */
void tarn__conv2d_band_moments(const tarn__conv2d_moments *m, const void *y, int64_t first, int64_t last);

/* Joins them into extra->mean and extra->var. */
void tarn__conv2d_join_moments(const tarn__conv2d_moments *m, const tarn__conv2d_extra *extra);

static inline int64_t tarn__round_up(int64_t n, int64_t multiple)
{
    return tarn__tiles(n, multiple) * multiple;
}

static inline int64_t tarn__min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t tarn__max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
