#include "examples/common/plot.h"
#include "examples/common/plot_impl.h"
#include "tensor/c_locale.h"
#include "tensor/error.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { MANY_ENTRIES = 6 }; /* of a legend above the plotting area */

/* One panel's place on the page. */
typedef struct place {
    double left, top, width, height;
} place;

/* Shrinks the plotting area until one unit of x is as long as one of y. */
static void make_equal(plot__frame *a)
{
    const double x = (a->x.high - a->x.low) / a->width, y = (a->y.high - a->y.low) / a->height;
    if (a->x.log || a->y.log || !(x > 0 && y > 0 && isfinite(x) && isfinite(y)))
        return;
    if (x > y)
        a->height = fmax(a->height * y / x, 20);
    else
        a->width = fmax(a->width * x / y, 20);
}

static void set_place(plot__scale *s, double start, double length, bool reversed)
{
    s->start = reversed ? start + length : start;
    s->length = reversed ? -length : length;
}

/* Where the legend is, and how much room it takes. */
typedef struct legend_place {
    double above, right, below;
} legend_place;

static legend_place place_legend(const plot_panel *p, double panel_width, double width)
{
    double widest;
    if (plot__legend_entries(p, &widest) <= MANY_ENTRIES)
        return (legend_place){.above = plot__legend(NULL, p, 0, 0, width)};
    if (widest <= 0.4 * panel_width)
        return (legend_place){.right = widest + 8};
    return (legend_place){.below = plot__legend(NULL, p, 0, 0, width)};
}

static bool draw_panel(FILE *f, const plot_panel *p, int number, place at)
{
    plot__frame a;
    plot__fit(p, true, &a.x);
    plot__fit(p, false, &a.y);
    a.left = at.left + plot__left_margin(p, &a.y, at.height - 110);
    const double bar = p->field ? plot__bar_margin(p->field, at.height - 110) : 24;
    const double full = at.left + at.width - a.left - bar;
    const legend_place legend = place_legend(p, at.width, full);
    a.width = fmax(full - legend.right, 40);
    a.top = at.top + 8;
    if (p->title)
        a.top = plot__paragraph(f, a.left, a.top, at.left + at.width - a.left - 24, PLOT__TEXT_SIZE + 1,
                                "font-weight=\"bold\"", p->title) +
                5;
    if (legend.above > 0)
        a.top += plot__legend(f, p, a.left, a.top, full);
    a.top += 8;
    a.height = fmax(at.top + at.height - plot__low_margin(p, a.width) - legend.below - a.top, 40);
    if (p->equal)
        make_equal(&a);
    set_place(&a.x, a.left, a.width, p->x.reversed);
    set_place(&a.y, a.top + a.height, -a.height, p->y.reversed);
    const bool done = !p->field || plot__draw_field(f, &a, p->field, number);
    plot__draw_axes(f, &a, p);
    plot__draw_series(f, &a, p, number);
    plot__draw_notes(f, &a, p);
    if (legend.right > 0)
        plot__legend(f, p, a.left + a.width + bar - 10, a.top, 0);
    if (legend.below > 0)
        plot__legend(f, p, a.left, at.top + at.height - legend.below - 4, full);
    return done;
}

static double draw_heading(FILE *f, const plot_figure *figure, double width)
{
    const double left = 24, room = width - 2 * left;
    double y = 18;
    if (figure->title)
        y = plot__paragraph(f, left, y, room, PLOT__TITLE_SIZE, "font-weight=\"bold\"", figure->title);
    if (figure->note)
        y = plot__paragraph(f, left, y + 2, room, PLOT__TEXT_SIZE, "fill=\"#555\"", figure->note);
    return y + 6;
}

static bool draw_figure(FILE *f, const plot_figure *figure)
{
    const int columns = figure->columns > 0 && figure->columns < figure->n_panels ? figure->columns : figure->n_panels;
    const int rows = (figure->n_panels + columns - 1) / columns;
    const double width = figure->width > 0 ? figure->width : 560, height = figure->height > 0 ? figure->height : 400;
    const double page_width = columns * width, heading = draw_heading(NULL, figure, page_width);
    const double page_height = heading + rows * height;
    bool done = true;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
            "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" fill=\"#222\">\n",
            page_width, page_height, page_width, page_height);
    fputs("<style>.grid{stroke:#e4e4e4;fill:none}.axis{stroke:#444;fill:none}.tick{fill:#444}</style>\n", f);
    fputs("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", f);
    draw_heading(f, figure, page_width);
    for (int i = 0; done && i < figure->n_panels; i++)
        done = draw_panel(f, &figure->panels[i], i,
                          (place){i % columns * width, heading + i / columns * height, width, height});
    fputs("</svg>\n", f);
    return done;
}

/* ---- what was asked for ---- */

static bool check_series(const char *path, const plot_series *s, int panel, int number)
{
    if (s->n > 0 && !s->y)
        return tarn_fail("plot_write: %s: panel %d, series %d has no y", path, panel, number);
    if (s->n > 0 && !s->low != !s->high)
        return tarn_fail("plot_write: %s: panel %d, series %d has one of low and high, expected both", path, panel,
                         number);
    return true;
}

static bool check_panel(const char *path, const plot_panel *p, int panel)
{
    for (int k = 0; k < p->n_series; k++)
        if (!check_series(path, &p->series[k], panel, k))
            return false;
    if (p->field && (p->field->columns < 1 || p->field->rows < 1 || !p->field->values))
        return tarn_fail("plot_write: %s: panel %d: the field has no values", path, panel);
    if ((p->x.n_ticks > 0 && !p->x.tick_names) || (p->y.n_ticks > 0 && !p->y.tick_names))
        return tarn_fail("plot_write: %s: panel %d: an axis has ticks without names", path, panel);
    return true;
}

static bool close_written(FILE *f, const char *path)
{
    const bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    return true;
}

bool plot_write(const char *path, const plot_figure *figure)
{
    if (figure->n_panels < 1)
        return tarn_fail("plot_write: %s: a figure needs a panel", path);
    for (int i = 0; i < figure->n_panels; i++)
        if (!check_panel(path, &figure->panels[i], i))
            return false;
    FILE *f = fopen(path, "w");
    if (!f)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    tarn__c_locale locale = tarn__c_locale_begin();
    const bool done = draw_figure(f, figure);
    tarn__c_locale_end(locale);
    return close_written(f, path) && done;
}
