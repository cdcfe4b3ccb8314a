/* data/image.h: PNG and JPEG pictures as tensors.
 *
 * A picture is u8 [H,W,C]: rows from the top, and in each pixel C = 1 grey, 2 grey and alpha, 3 RGB, or 4 RGB
 * and alpha, which is not premultiplied. Values are as stored (usually sRGB).
 *
 * Pictures are decoded by stb_image, behind checks of tarn's own: a PNG whose checksums are wrong, a JPEG
 * without its end marker, tables, sampling or scans that break the standard, and a file that is too short for
 * the picture that it declares, are refused before stb_image sees them and before memory is taken for them.
 * It is still a decoder in C: decode what strangers send in a process that can be lost.
 *
 * A picture is turned as its EXIF orientation says (a JPEG's first APP1 "Exif" segment, a PNG's eXIf chunk: tag
 * 0x0112 of the TIFF header, 1 to 8), so that its first row is the top one. EXIF data that are malformed turn
 * nothing.
 *
 * Limits: a file of 64 MiB, 16384 pixels a side, and those of tarn_image_opts. PNG: any depth, interlaced or not
 * (16 bits are cut to 8). JPEG: 8 bits, baseline or progressive, Huffman-coded. */
#ifndef TARN_IMAGE_H
#define TARN_IMAGE_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How much a picture may cost, and how it is read. What is 0 is the default. */
typedef struct tarn_image_opts {
    int64_t max_elements; /* height x width x channels (the file's or those asked for, whichever are more); 0: 2^28 */
    int64_t max_scans;    /* of a JPEG, whose picture may be spread over many; 0: 64 */
    /* How many coefficients the scans of a JPEG may go over, all told, which is what its time goes with; 0: 2^30.
     * A baseline JPEG has as many as it has samples (pixels x components, rounded up to blocks of 8x8, and fewer
     * where colours are subsampled), a progressive one usually three times as many; the standard allows 14
     * times. */
    int64_t max_coefficients;
    bool as_stored; /* not turned, whatever the orientation in the file is */
} tarn_image_opts;

/* The picture in a file, told by its first bytes, as u8 [H,W,channels]; the caller's to free. Channels 1, 3
 * and 4 convert: RGB becomes grey as (77 R + 150 G + 29 B) / 256, grey is repeated, alpha is dropped or 255.
 * 0 means as many as the file has. NULL with an error that names the file. */
TARN_API tarn_tensor *tarn_image_load(const char *path, int channels);

/* The same, of the `bytes` bytes at `data`. */
TARN_API tarn_tensor *tarn_image_decode(const void *data, size_t bytes, int channels);

/* The same with other limits, 0 to 2^31-1 each; NULL means the defaults. */
TARN_API tarn_tensor *tarn_image_load_with(const char *path, int channels, const tarn_image_opts *opts);
TARN_API tarn_tensor *tarn_image_decode_with(const void *data, size_t bytes, int channels, const tarn_image_opts *opts);

/* Writes a u8 picture, [H,W] (grey) or [H,W,C] with C 1, 3 or 4, as a PNG file, whole or not at all: on error
 * a file that was there before is as it was. */
TARN_API bool tarn_image_save_png(const char *path, tarn_tensor *image);

/* A u8 picture, [H,W] or [H,W,C] with any C, brought to `height` x `width`; the caller's to free. Along an
 * axis that shrinks, each pixel is the average of the area that it covers; along one that grows, it is
 * interpolated linearly between pixel centres, and the outermost pixels extend to the border. Values are
 * rounded to the nearest. Sizes are 1 to 16384. */
TARN_API tarn_tensor *tarn_image_resize(tarn_tensor *image, int64_t height, int64_t width);

#ifdef __cplusplus
}
#endif
#endif
