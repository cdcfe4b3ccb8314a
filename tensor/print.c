#include "tensor/c_locale.h"
#include "tensor/tensor_impl.h"

#include <math.h>
#include <string.h>

enum { SUMMARY_FROM = 1000, EDGE = 3, CELL = 32 };

typedef struct layout {
    const tarn_tensor *x;
    FILE *file;
    bool summary;
    int width;
    char format[8];
} layout;

static int cell_text(const layout *l, int64_t offset, char text[CELL])
{
    double value = tarn__load(l->x, offset);
    return snprintf(text, CELL, l->format, isnan(value) ? NAN : value); /* C prints the sign of a NaN too */
}

static bool skipped(const layout *l, int axis, int64_t i)
{
    return l->summary && l->x->shape[axis] > 2 * EDGE && i >= EDGE && i < l->x->shape[axis] - EDGE;
}

/* The widest cell that will be shown. */
static int widest(const layout *l, int axis, int64_t offset)
{
    char text[CELL];
    if (axis == l->x->ndim)
        return cell_text(l, offset, text);
    int width = 0;
    for (int64_t i = 0; i < l->x->shape[axis]; i++) {
        if (skipped(l, axis, i)) {
            i = l->x->shape[axis] - EDGE - 1;
            continue;
        }
        int w = widest(l, axis + 1, offset + i * l->x->stride[axis]);
        width = w > width ? w : width;
    }
    return width;
}

static void line_break(const layout *l, int axis)
{
    for (int i = axis; i < l->x->ndim - 1; i++)
        fputc('\n', l->file);
    for (int i = 0; i <= axis; i++)
        fputc(' ', l->file);
}

static void print_axis(const layout *l, int axis, int64_t offset)
{
    if (axis == l->x->ndim) {
        char text[CELL];
        cell_text(l, offset, text);
        fprintf(l->file, "%*s", l->width, text);
        return;
    }
    bool last = axis == l->x->ndim - 1;
    fputc('[', l->file);
    for (int64_t i = 0; i < l->x->shape[axis]; i++) {
        if (i > 0 && last)
            fputc(' ', l->file);
        else if (i > 0)
            line_break(l, axis);
        if (skipped(l, axis, i)) {
            fputs("...", l->file);
            i = l->x->shape[axis] - EDGE - 1;
            continue;
        }
        print_axis(l, axis + 1, offset + i * l->x->stride[axis]);
    }
    fputc(']', l->file);
}

bool tarn_print(FILE *file, tarn_tensor *x)
{
    if (!tarn__usable("tarn_print", file, "file") || !tarn__tensor_usable("tarn_print", x, "x") || !tarn__realize(x))
        return false;
    layout l = {.x = x, .file = file, .summary = x->numel > SUMMARY_FROM};
    strcpy(l.format, tarn__is_float(x->dtype) ? "%.6g" : "%.0f");
    tarn__c_locale locale = tarn__c_locale_begin();
    l.width = widest(&l, 0, 0);
    print_axis(&l, 0, 0);
    tarn__c_locale_end(locale);
    fprintf(file, "  %s%s\n", tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x));
    return fflush(file) == 0 && !ferror(file) ? true : tarn_fail("tarn_print: the file could not be written");
}
