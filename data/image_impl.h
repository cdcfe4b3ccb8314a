/* data/image_impl.h (internal): what the files of data/image.h share. */
#ifndef TARN__IMAGE_IMPL_H
#define TARN__IMAGE_IMPL_H

#include "data/image.h"

enum { TARN__IMAGE_MAX_SIDE = 16384, TARN__IMAGE_MAX_FILE = 64 << 20, TARN__IMAGE_MAX_BYTES = 256 << 20 };

/* The bytes of a file while they are looked at. `limits` has no zeros left. */
typedef struct tarn__image_input {
    const char *who;
    const unsigned char *data;
    size_t bytes, at;
    const tarn_image_opts *limits;
} tarn__image_input;

/* What the file says of itself. */
typedef struct tarn__image_info {
    int64_t width, height;
    int orientation; /* as EXIF counts them: 1 (as stored) to 8 */
} tarn__image_info;

/* Whether the bytes are a PNG or a JPEG that stb_image may be given; an error that begins with `who`
 * otherwise. They may not be malformed, nor be too few for the picture. */
bool tarn__image_check(tarn__image_input *in, tarn__image_info *info);
bool tarn__image_check_jpeg(tarn__image_input *in, tarn__image_info *info);

/* What these checks share. */
uint32_t tarn__image_big_endian(const unsigned char *b, int count);
bool tarn__image_ends_early(const tarn__image_input *in, const char *format);
bool tarn__image_sides_fit(const tarn__image_input *in, const tarn__image_info *info);

/* The orientation in EXIF data, from their TIFF header on; 1 when there is none, or they are malformed. */
int tarn__exif_orientation(const unsigned char *tiff, size_t bytes);

/* The u8 tensor [H,W,C] of `info`'s stored pixels, turned. NULL with an error. */
tarn_tensor *tarn__image_turned(const tarn__image_info *info, int channels, const unsigned char *pixels);

/* u8, ready, [H,W] or [H,W,C], each side 1 to TARN__IMAGE_MAX_SIDE; *channels gets C. */
bool tarn__image_usable(const char *who, tarn_tensor *image, int64_t *channels);

#endif
