#include "examples/common/mistakes.h"
#include "examples/common/sheet.h"

#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 6, MAX_IMAGES = 30 };

static bool is_wrong(const guess *g)
{
    return g->label != g->predicted;
}

static int surest_mistake_first(const void *a, const void *b)
{
    const guess *x = a, *y = b;
    if (is_wrong(x) != is_wrong(y))
        return is_wrong(x) ? -1 : 1;
    if (x->probability != y->probability)
        return x->probability > y->probability ? -1 : 1;
    return (x->image > y->image) - (x->image < y->image);
}

bool mistakes_draw(const char *path, guess *guesses, tarn_tensor *images, const char *const *classes)
{
    const int64_t n = tarn_dim(images, 0), height = tarn_dim(images, 1), width = tarn_dim(images, 2);
    const uint8_t *pixels = tarn_data(images);
    sheet_cell cells[MAX_IMAGES];
    char title[128];
    int64_t wrong = 0;
    if (!pixels)
        return false;
    qsort(guesses, (size_t)n, sizeof *guesses, surest_mistake_first);
    while (wrong < n && is_wrong(&guesses[wrong]))
        wrong++;
    if (wrong == 0)
        return true;
    const int shown = wrong < MAX_IMAGES ? (int)wrong : MAX_IMAGES;
    for (int i = 0; i < shown; i++) {
        const guess *g = &guesses[i];
        cells[i].pixels = pixels + g->image * height * width;
        snprintf(cells[i].first, SHEET_TEXT, "true %s", classes[g->label]);
        snprintf(cells[i].second, SHEET_TEXT, "said %s %.0f%%", classes[g->predicted], 100 * (double)g->probability);
    }
    snprintf(title, sizeof title, "%lld of %lld images are classified wrong; these %d with the most confidence",
             (long long)wrong, (long long)n, shown);
    return sheet_write(path,
                       &(sheet){.title = title,
                                .note = "Below each: its true class; the class the network said, and how sure it was",
                                .height = (int)height,
                                .width = (int)width,
                                .columns = shown < COLUMNS ? shown : COLUMNS,
                                .n = shown,
                                .cells = cells});
}
