#include "examples/common/sheet.h"
#include "examples/common/font.h"
#include "tarn.h"

#include <stdlib.h>
#include <string.h>

enum { MARGIN = 24, GAP = 18, TEXT_SCALE = 2, IMAGE_PIXELS = 200, MIN_CELL = 21 * FONT_ADVANCE * TEXT_SCALE };
enum { LINE = FONT_ROWS * TEXT_SCALE + 4 };

/* The sheet in pixels. */
typedef struct layout {
    int scale, cell_width, cell_height, top, width, height;
    uint8_t *rgb;
} layout;

static layout lay_out(const sheet *s)
{
    layout l = {0};
    const int larger = s->height > s->width ? s->height : s->width;
    const int rows = (s->n + s->columns - 1) / s->columns;
    l.scale = larger < IMAGE_PIXELS ? IMAGE_PIXELS / larger : 1;
    l.cell_width = s->width * l.scale > MIN_CELL ? s->width * l.scale : MIN_CELL;
    l.cell_height = s->height * l.scale + 8 + 2 * LINE;
    l.top = MARGIN + LINE * (s->note ? 2 : 1) + GAP;
    l.width = 2 * MARGIN + s->columns * (l.cell_width + GAP) - GAP;
    l.height = l.top + rows * (l.cell_height + GAP) - GAP + MARGIN;
    return l;
}

static void draw_image(const layout *l, const sheet *s, const uint8_t *pixels, int left, int top)
{
    for (int y = 0; y < s->height * l->scale; y++)
        for (int x = 0; x < s->width * l->scale; x++)
            memset(l->rgb + 3 * ((int64_t)(top + y) * l->width + left + x),
                   pixels[y / l->scale * s->width + x / l->scale], 3);
}

static void draw_text(const layout *l, int x, int y, uint32_t colour, const char *text)
{
    font_draw(l->rgb, l->width, l->height, x, y, TEXT_SCALE, colour, text);
}

static void draw_sheet(const layout *l, const sheet *s)
{
    memset(l->rgb, 0xff, (size_t)l->width * (size_t)l->height * 3);
    draw_text(l, MARGIN, MARGIN, 0x222222, s->title);
    if (s->note)
        draw_text(l, MARGIN, MARGIN + LINE, 0x555555, s->note);
    for (int i = 0; i < s->n; i++) {
        const int left = MARGIN + i % s->columns * (l->cell_width + GAP);
        const int top = l->top + i / s->columns * (l->cell_height + GAP), below = top + s->height * l->scale + 8;
        draw_image(l, s, s->cells[i].pixels, left, top);
        draw_text(l, left, below, 0x007a3d, s->cells[i].first);
        draw_text(l, left, below + LINE, 0xc0271f, s->cells[i].second);
    }
}

bool sheet_write(const char *path, const sheet *s)
{
    if (s->n < 1 || s->columns < 1 || s->height < 1 || s->width < 1)
        return tarn_fail("sheet_write: %s: nothing to draw", path);
    layout l = lay_out(s);
    l.rgb = malloc((size_t)l.width * (size_t)l.height * 3);
    if (!l.rgb)
        return tarn_fail("sheet_write: %s: no memory for %d x %d pixels", path, l.width, l.height);
    draw_sheet(&l, s);
    tarn_tensor *picture = tarn_tensor_wrap(TARN_U8, TARN_SHAPE(l.height, l.width, 3), l.rgb);
    const bool written = tarn_image_save_png(path, picture);
    tarn_tensor_free(picture);
    free(l.rgb);
    return written;
}
