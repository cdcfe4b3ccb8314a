#include "examples/common/plot_impl.h"

#include <math.h>

static const char *const palette[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#5b3a8c", "#222222"};
enum { N_COLOURS = sizeof palette / sizeof *palette };

#define LEGEND_ROW 19.0
#define END_RADIUS 4.5
#define BARS_FILL  0.8 /* of the distance between groups */
#define NOTE_SIZE  PLOT__TICK_SIZE
#define FAINT(s)   ((s)->faint ? " opacity=\"0.35\"" : "")
#define LINE_OF(s) ((s)->width > 0 ? (s)->width : 2)

static const char *colour_of(const plot_panel *p, int k)
{
    const int chosen = p->series[k].colour;
    return palette[(chosen > 0 ? chosen - 1 : k) % N_COLOURS];
}

double plot__x_of(const plot_series *s, int64_t i)
{
    return s->x ? s->x[i] : (double)i;
}

static bool is_shown(const plot__frame *a, const plot_series *s, int64_t i)
{
    return plot__shown(plot__x_of(s, i), a->x.log) && plot__shown(s->y[i], a->y.log);
}

static double x_at(const plot__frame *a, const plot_series *s, int64_t i)
{
    return plot__pixel(&a->x, plot__x_of(s, i));
}

/* ---- lines, points, bands ---- */

static void draw_line(FILE *f, const plot__frame *a, const plot_series *s, const char *colour, double width)
{
    bool pen_down = false;
    fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%g\"%s%s d=\"", colour, width,
            s->dashed ? " stroke-dasharray=\"6 4\"" : "", FAINT(s));
    for (int64_t i = 0; i < s->n; i++) {
        const bool here = is_shown(a, s, i);
        if (here)
            fprintf(f, "%c%.1f %.1f%s", pen_down ? 'L' : 'M', x_at(a, s, i), plot__pixel(&a->y, s->y[i]),
                    i % 16 == 15 ? "\n" : "");
        pen_down = here;
    }
    fputs("\"/>\n", f);
}

static void draw_points(FILE *f, const plot__frame *a, const plot_series *s, const char *colour)
{
    fprintf(f, "<g fill=\"%s\"%s>\n", colour, FAINT(s));
    for (int64_t i = 0; i < s->n; i++)
        if (is_shown(a, s, i))
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", x_at(a, s, i), plot__pixel(&a->y, s->y[i]));
    fputs("</g>\n", f);
}

static bool has_band(const plot__frame *a, const plot_series *s, int64_t i)
{
    return plot__shown(plot__x_of(s, i), a->x.log) && plot__shown(s->low[i], a->y.log) &&
           plot__shown(s->high[i], a->y.log);
}

static void draw_band(FILE *f, const plot__frame *a, const plot_series *s, const char *colour)
{
    fprintf(f, "<path fill=\"%s\" stroke=\"none\" opacity=\"0.2\" d=\"", colour);
    for (int64_t i = 0, end; i < s->n; i = end) {
        for (end = i; end < s->n && has_band(a, s, end); end++)
            fprintf(f, "%c%.1f %.1f", end > i ? 'L' : 'M', x_at(a, s, end), plot__pixel(&a->y, s->high[end]));
        for (int64_t k = end; k-- > i;)
            fprintf(f, "L%.1f %.1f", x_at(a, s, k), plot__pixel(&a->y, s->low[k]));
        fputs(end > i ? "Z\n" : "", f);
        end += end == i;
    }
    fputs("\"/>\n", f);
}

static void draw_whisker(FILE *f, const plot__frame *a, const plot_series *s, int64_t i, double x)
{
    if (has_band(a, s, i))
        fprintf(f, "<path fill=\"none\" stroke=\"#222\" d=\"M%.1f %.1fV%.1fm-3 0h6M%.1f %.1fh6\"/>\n", x,
                plot__pixel(&a->y, s->low[i]), plot__pixel(&a->y, s->high[i]), x - 3, plot__pixel(&a->y, s->low[i]));
}

static void draw_end(FILE *f, const plot__frame *a, const plot_series *s, const char *colour, bool last)
{
    for (int64_t k = 0; k < s->n; k++) {
        const int64_t i = last ? s->n - 1 - k : k;
        if (!is_shown(a, s, i))
            continue;
        const double x = x_at(a, s, i), y = plot__pixel(&a->y, s->y[i]);
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" fill=\"#fff\"/>\n", x, y, END_RADIUS + 2);
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%g\" fill=\"%s\" stroke=\"%s\" stroke-width=\"2\"/>\n", x, y,
                END_RADIUS, last ? colour : "#fff", colour);
        return;
    }
}

/* ---- bars ---- */

static int count_bars(const plot_panel *p, int before)
{
    int bars = 0;
    for (int k = 0; k < before; k++)
        bars += p->series[k].style == PLOT_BARS;
    return bars;
}

double plot__bar_spacing(const plot_panel *p)
{
    double least = INFINITY;
    for (int k = 0; k < p->n_series; k++) {
        const plot_series *s = &p->series[k];
        for (int64_t i = 1; s->style == PLOT_BARS && i < s->n; i++) {
            const double gap = fabs(plot__x_of(s, i) - plot__x_of(s, i - 1));
            if (gap > 0 && gap < least)
                least = gap;
        }
    }
    return least < INFINITY ? least : 1;
}

static void draw_bars(FILE *f, const plot__frame *a, const plot_panel *p, int k)
{
    const plot_series *s = &p->series[k];
    const double group = BARS_FILL * plot__bar_spacing(p), width = group / fmax(count_bars(p, p->n_series), 1);
    const double from = width * count_bars(p, k) - group / 2;
    const double base = a->y.log ? a->y.start : plot__pixel(&a->y, 0);
    for (int64_t i = 0; i < s->n; i++) {
        if (!is_shown(a, s, i))
            continue;
        const double x = plot__x_of(s, i) + from, y = plot__pixel(&a->y, s->y[i]);
        const double left = plot__pixel(&a->x, x), right = plot__pixel(&a->x, x + width);
        fprintf(f, "<path fill=\"%s\"%s d=\"M%.1f %.1fV%.1fH%.1fV%.1fZ\"/>\n", colour_of(p, k), FAINT(s),
                left + (right - left) * 0.04, base, y, right - (right - left) * 0.04, base);
        if (s->low)
            draw_whisker(f, a, s, i, (left + right) / 2);
    }
}

/* ---- all of a panel ---- */

static bool is_bars(const plot_series *s)
{
    return s->style == PLOT_BARS;
}

static void draw_one(FILE *f, const plot__frame *a, const plot_panel *p, int k)
{
    const plot_series *s = &p->series[k];
    if (is_bars(s)) {
        draw_bars(f, a, p, k);
        return;
    }
    if (s->style != PLOT_POINTS) {
        plot_series halo = *s;
        halo.dashed = halo.faint = false;
        if (p->field && !s->faint)
            draw_line(f, a, &halo, "#fff", LINE_OF(s) + 2.4);
        draw_line(f, a, s, colour_of(p, k), LINE_OF(s));
    }
    if (s->style != PLOT_LINE) {
        for (int64_t i = 0; s->low && s->style == PLOT_POINTS && i < s->n; i++)
            draw_whisker(f, a, s, i, x_at(a, s, i));
        draw_points(f, a, s, colour_of(p, k));
    }
}

void plot__draw_series(FILE *f, const plot__frame *a, const plot_panel *p, int panel)
{
    fprintf(f, "<clipPath id=\"panel%d\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/></clipPath>\n",
            panel, a->left - 1, a->top - 4, a->width + 5, a->height + 5);
    fprintf(f, "<g clip-path=\"url(#panel%d)\" stroke-linejoin=\"round\">\n", panel);
    for (int k = 0; k < p->n_series; k++)
        if (p->series[k].low && !is_bars(&p->series[k]) && p->series[k].style != PLOT_POINTS)
            draw_band(f, a, &p->series[k], colour_of(p, k));
    for (int k = 0; k < p->n_series; k++)
        draw_one(f, a, p, k);
    for (int k = 0; k < p->n_series; k++)
        for (int last = 0; p->series[k].ends && last < 2; last++)
            draw_end(f, a, &p->series[k], colour_of(p, k), last);
    fputs("</g>\n", f);
    if (count_bars(p, p->n_series) > 0 && !a->y.log)
        fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fh%.1f\"/>\n", a->left,
                fmin(fmax(plot__pixel(&a->y, 0), a->top), a->top + a->height), a->width);
}

/* ---- notes ---- */

typedef struct box {
    double left, top, right, bottom;
} box;

static bool is_free(const box *b, const plot__frame *a, const box *taken, int n)
{
    if (b->left < a->left || b->right > a->left + a->width || b->top < a->top || b->bottom > a->top + a->height)
        return false;
    for (int i = 0; i < n; i++)
        if (b->left < taken[i].right && b->right > taken[i].left && b->top < taken[i].bottom &&
            b->bottom > taken[i].top)
            return false;
    return true;
}

/* The box, moved into the panel. */
static box moved_inside(const plot__frame *a, double left, double top, double width, double height)
{
    left = fmax(fmin(left, a->left + a->width - width), a->left);
    top = fmax(fmin(top, a->top + a->height - height), a->top);
    return (box){left, top, left + width, top + height};
}

/* Beside the point: right above, left above, right below, left below: the first that is free. */
static box place_note(const plot__frame *a, plot_place place, double x, double y, double width, const box *taken, int n)
{
    const double height = NOTE_SIZE + 2;
    if (place == PLOT_ABOVE)
        return moved_inside(a, x - width / 2, y - 3 - height, width, height);
    if (place == PLOT_ON)
        return moved_inside(a, x - width / 2, y - height / 2, width, height);
    for (int corner = 0; corner < 4; corner++) {
        const double left = corner % 2 ? x - 7 - width : x + 7, top = corner / 2 ? y + 4 : y - 4 - height;
        const box b = {left, top, left + width, top + height};
        if (is_free(&b, a, taken, n))
            return b;
    }
    return moved_inside(a, x + 7, y - 4 - height, width, height);
}

void plot__draw_notes(FILE *f, const plot__frame *a, const plot_panel *p)
{
    enum { MOST = 64 };
    box taken[MOST];
    int n = 0;
    for (int i = 0; i < p->n_notes; i++) {
        const plot_note *note = &p->notes[i];
        const double x = plot__pixel(&a->x, note->x), y = plot__pixel(&a->y, note->y);
        const bool inside = x >= a->left && x <= a->left + a->width && y >= a->top && y <= a->top + a->height;
        if (!note->text || !plot__shown(note->x, a->x.log) || !plot__shown(note->y, a->y.log) || !inside)
            continue;
        const double width = fmin(plot__text_width(note->text, NOTE_SIZE), a->width);
        const box b = place_note(a, p->notes_place, x, y, width, taken, n);
        const bool centred = p->notes_place != PLOT_BESIDE;
        static const char *const styles[] = {
            "stroke=\"#fff\" stroke-width=\"3.5\" stroke-linejoin=\"round\" opacity=\"0.85\"", ""};
        for (int k = 0; k < 2; k++)
            plot__text(f, centred ? (b.left + b.right) / 2 : b.left, b.top + NOTE_SIZE - 1, NOTE_SIZE, a->width,
                       centred ? "middle" : "start", styles[k], note->text);
        if (n < MOST)
            taken[n++] = b;
    }
}

/* ---- the legend: outside of the plotting area, so that it never hides data ---- */

int plot__legend_entries(const plot_panel *p, double *widest)
{
    int entries = 0;
    *widest = 0;
    for (int k = 0; k < p->n_series; k++) {
        if (!p->series[k].name)
            continue;
        entries++;
        *widest = fmax(*widest, 30 + plot__text_width(p->series[k].name, PLOT__TICK_SIZE) + 16);
    }
    return entries;
}

static void draw_entry(FILE *f, const plot_panel *p, int k, double x, double y, double room)
{
    const plot_series *s = &p->series[k];
    const double sample_y[] = {y + 9, y + 9}, sample_x[] = {x, x + 24}, middle = x + 12;
    const plot__frame page = {.x = {.high = 1, .length = 1}, .y = {.high = 1, .length = 1}};
    const plot_series line = {.n = 2, .x = sample_x, .y = sample_y, .dashed = s->dashed, .faint = s->faint};
    const plot_series point = {.n = 1, .x = &middle, .y = sample_y, .faint = s->faint};
    const char *colour = colour_of(p, k);
    if (is_bars(s)) {
        fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"12\" fill=\"%s\"%s/>\n", x + 6, y + 3, colour,
                FAINT(s));
    } else {
        if (s->low && s->style != PLOT_POINTS)
            fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"24\" height=\"12\" fill=\"%s\" opacity=\"0.2\"/>\n", x,
                    y + 3, colour);
        if (s->style != PLOT_POINTS)
            draw_line(f, &page, &line, colour, LINE_OF(s));
        if (s->style != PLOT_LINE)
            draw_points(f, &page, &point, colour);
    }
    plot__text(f, x + 30, y + 13, PLOT__TICK_SIZE, room - 30, "start", "", s->name);
}

double plot__legend(FILE *f, const plot_panel *p, double left, double top, double width)
{
    double x = left, y = top, widest;
    int listed = 0;
    plot__legend_entries(p, &widest);
    for (int k = 0; k < p->n_series; k++) {
        const plot_series *s = &p->series[k];
        if (!s->name)
            continue;
        const double need = 30 + plot__text_width(s->name, PLOT__TICK_SIZE) + 16;
        if (listed++ && x + need > left + width) {
            x = left;
            y += LEGEND_ROW;
        }
        if (f)
            draw_entry(f, p, k, x, y, width > 0 ? width : widest);
        x += need;
    }
    return listed ? y - top + LEGEND_ROW : 0;
}
