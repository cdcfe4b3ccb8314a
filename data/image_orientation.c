/* EXIF orientation: Exif 2.32 (CIPA DC-008), section 4.6.4, in the TIFF 6.0 structure that it lies in. */
#include "data/image_impl.h"
#include "tensor/tensor_impl.h"

#include <string.h>

enum { TIFF_HEAD = 8, ENTRY = 12, ORIENTATION = 0x0112, SHORT = 3, NORMAL = 1, LAST = 8 };

typedef struct tiff {
    const unsigned char *data;
    size_t bytes;
    bool big_endian;
} tiff;

/* The number of `count` bytes at `at`, which are there. */
static uint32_t number(const tiff *t, size_t at, int count)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | t->data[at + (size_t)(t->big_endian ? i : count - 1 - i)];
    return value;
}

int tarn__exif_orientation(const unsigned char *data, size_t bytes)
{
    if (bytes < TIFF_HEAD || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0))
        return NORMAL;
    const tiff t = {data, bytes, data[0] == 'M'};
    size_t at = number(&t, 4, 4);
    if (at > bytes || bytes - at < 2)
        return NORMAL;
    size_t entries = number(&t, at, 2);
    for (at += 2; entries > 0 && bytes - at >= ENTRY; entries--, at += ENTRY) {
        if (number(&t, at, 2) != ORIENTATION)
            continue;
        uint32_t value = number(&t, at + 8, 2);
        bool valid = number(&t, at + 2, 2) == SHORT && number(&t, at + 4, 4) == 1 && value >= NORMAL && value <= LAST;
        return valid ? (int)value : NORMAL;
    }
    return NORMAL;
}

/* The numbers 1 to 8 say where the stored first row and first column belong: 1 top and left, 2 top and right,
 * 3 bottom and right, 4 bottom and left, 5 left and top, 6 right and top, 7 right and bottom, 8 left and bottom. */
tarn_tensor *tarn__image_turned(const tarn__image_info *info, int channels, const unsigned char *pixels)
{
    int o = info->orientation;
    bool swapped = o >= 5, mirrored = o == 2 || o == 3 || o == 7 || o == 8,
         upside_down = o == 3 || o == 4 || o == 6 || o == 7;
    int64_t height = swapped ? info->width : info->height, width = swapped ? info->height : info->width;
    tarn_tensor *image = tarn_tensor_new(TARN_U8, 3, (const int64_t[]){height, width, channels});
    unsigned char *out = image ? image->data : NULL;
    for (int64_t y = 0; out && y < height; y++)
        for (int64_t x = 0; x < width; x++, out += channels) {
            int64_t row = swapped ? x : y, column = swapped ? y : x;
            row = upside_down ? info->height - 1 - row : row;
            column = mirrored ? info->width - 1 - column : column;
            memcpy(out, pixels + (row * info->width + column) * channels, (size_t)channels);
        }
    return image;
}
