/* data/image_impl.h (internal): what the files of data/image.h share. */
#ifndef TARN__IMAGE_IMPL_H
#define TARN__IMAGE_IMPL_H

#include "data/image.h"

enum { TARN__IMAGE_MAX_SIDE = 16384, TARN__IMAGE_MAX_FILE = 64 << 20, TARN__IMAGE_MAX_BYTES = 256 << 20 };

/* Whether the bytes are a PNG or a JPEG that stb_image may be given; an error that begins with `who`
 * otherwise. */
bool tarn__image_check(const char *who, const unsigned char *data, size_t bytes);

/* u8, ready, [H,W] or [H,W,C], each side 1 to TARN__IMAGE_MAX_SIDE; *channels gets C. */
bool tarn__image_usable(const char *who, tarn_tensor *image, int64_t *channels);

#endif
