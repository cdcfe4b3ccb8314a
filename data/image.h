/* data/image.h: PNG and JPEG pictures as tensors.
 *
 * A picture is u8 [H,W,C]: rows from the top, and in each pixel C = 1 grey, 2 grey and alpha, 3 RGB, or 4 RGB
 * and alpha, which is not premultiplied. Values are as stored (usually sRGB).
 *
 * Pictures are decoded by stb_image, behind checks of tarn's own: a PNG whose checksums are wrong, a JPEG
 * without its end marker, tables or sampling that break the standard, sizes beyond the limits below, are
 * refused before stb_image sees them. It is still a decoder in C: decode what strangers send in a process
 * that can be lost.
 *
 * Limits: a file of 64 MiB, 16384 pixels a side, 256 MiB of elements. PNG: any depth, interlaced or not
 * (16 bits are cut to 8). JPEG: 8 bits, baseline or progressive, Huffman-coded. */
#ifndef TARN_IMAGE_H
#define TARN_IMAGE_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The picture in a file, told by its first bytes, as u8 [H,W,channels]; the caller's to free. Channels 1, 3
 * and 4 convert: RGB becomes grey as (77 R + 150 G + 29 B) / 256, grey is repeated, alpha is dropped or 255.
 * 0 means as many as the file has. NULL with an error that names the file. */
TARN_API tarn_tensor *tarn_image_load(const char *path, int channels);

/* The same, of the `bytes` bytes at `data`. */
TARN_API tarn_tensor *tarn_image_decode(const void *data, size_t bytes, int channels);

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
