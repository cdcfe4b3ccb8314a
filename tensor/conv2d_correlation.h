/* tensor/conv2d_correlation.h (internal to tensor/conv2d*.c): where the direct algorithm finds its pixels.
 *
 * A product's rows are the pixels under the taps, where they are in memory. A tile of output pixels reads a strip of the
 * input with its padding around it; where taps lie so far apart that the strip would be larger than the pixels it is for,
 * each pixel's taps are copied side by side instead (patches). */
#ifndef TARN__CONV2D_CORRELATION_H
#define TARN__CONV2D_CORRELATION_H

#include "tensor/conv2d_impl.h"

enum {
    TARN__TILE_PIXELS = 192, /* of a tile, more or less: whole bands (tensor/bands.h) if these have at most 512 */
    TARN__MAX_TILE_PIXELS = 512,
    TARN__COLUMN_GROUP = 64 /* output channels of an item, where there are few tiles */
};

/* Output pixel (i, j) of a phase is the sum over taps t of the input pixel (i*step + tap_y[t], j*step + tap_x[t]). */
typedef struct tarn__correlation {
    const tarn__loops *loops;
    tarn_dtype dtype;
    size_t size; /* of an element */
    int64_t images, groups;
    int64_t depth, n; /* channels of a group: of the input, of the output */
    const char *in;
    int64_t in_h, in_w, in_c, in_step;
    char *out;
    int64_t out_h, out_w, out_c, out_step, out_y, out_x;
    int64_t rows, columns; /* of output pixels */

    int64_t taps, *tap_y, *tap_x, *tap_weight; /* tap_weight: r*S + s */
    int64_t low_y, low_x, high_y, high_x;
    bool in_place, patches;
    int64_t strip_w;

    int64_t tile_images, tile_rows, row_tiles, tiles;
    int64_t column_groups;

    /* offsets in elements */
    int64_t *tap_offset, *segment;
    int64_t segments, segment_depth;
    char *weights; /* packed, group by group */
    int64_t group_weights;
    char *own; /* of each thread: a tile's strip or patches, and the places of its pixels */
    size_t strip_bytes, own_bytes;
    tarn__bands bands;
    const char *bias;
    tarn__conv2d_moments moments;
} tarn__correlation;

/* y from x; and gx from g, for the phase of tap (first_r, first_s), which is the first of its taps. The taps' places are cut
 * from scratch; without a block only sizes are known. */
tarn__correlation tarn__correlation_forward(const tarn__conv2d *v, tarn__cuts *scratch);
tarn__correlation tarn__correlation_input_grad(const tarn__conv2d *v, int64_t first_r, int64_t first_s,
                                               tarn__cuts *scratch);

/* The next of the phases that have taps and pixels, by their first taps; from (0, -1) on. */
bool tarn__correlation_next_phase(const tarn__conv2d *v, int64_t *first_r, int64_t *first_s);

/* Where each tap stands from its output pixel's place in the tile; neighbours in memory are joined into segments. */
void tarn__correlation_place_taps(tarn__correlation *c);

/* What each thread needs for a tile: the strip, or patches, and the places of pixels. */
void tarn__correlation_cut_tile(tarn__correlation *c, tarn__cuts *scratch);

typedef struct tarn__correlation_tile {
    int64_t image, images, row, rows; /* of output */
    const char *from;                 /* what a_row counts from */
    int64_t *a_row, *c_row;
} tarn__correlation_tile;

/* Tile `index`, with its strip or patches copied into the calling thread's own memory. */
tarn__correlation_tile tarn__correlation_tile_of(const tarn__correlation *c, int64_t index);

#endif
