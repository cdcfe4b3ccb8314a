/* font.h: a bitmap font of the printable ASCII characters, for labels in pictures. */
#ifndef EXAMPLES_FONT_H
#define EXAMPLES_FONT_H

#include <stdint.h>

enum { FONT_COLUMNS = 5, FONT_ROWS = 9, FONT_ADVANCE = 6 }; /* of a glyph, and from one to the next, at scale 1 */

/* Draws text into an RGB picture of width x height pixels, its top left corner at (x, y), in colour 0xrrggbb.
 * What lies outside the picture is left out; what is not ASCII becomes '?'. */
void font_draw(uint8_t *rgb, int width, int height, int x, int y, int scale, uint32_t colour, const char *text);

#endif
