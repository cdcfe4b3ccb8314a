#include "examples/common/plot.h"
#include "tensor/error.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const palette[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#5b3a8c", "#222222"};
enum { N_COLOURS = sizeof palette / sizeof *palette };

/* Sizes in pixels. Text cannot be measured here, so its width is estimated, on the wide side. */
#define TITLE_SIZE   18.0
#define TEXT_SIZE    13.0
#define TICK_SIZE    12.0
#define LEGEND_ROW   19.0
#define LEFT_MARGIN  72.0
#define RIGHT_MARGIN 24.0
#define LOW_MARGIN   52.0
#define GLYPH_WIDTH  0.6

/* One panel's place on the page, and how its values map to it. */
typedef struct frame {
    double left, top, width, height; /* of the plotting area */
    double x_low, x_high, y_low, y_high;
    bool x_log, y_log;
} frame;

static double text_width(const char *text, double size)
{
    int64_t glyphs = 0;
    for (; *text; text++)
        glyphs += ((unsigned char)*text & 0xc0) != 0x80;
    return GLYPH_WIDTH * size * (double)glyphs;
}

static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        default:
            fputc(*text, f);
        }
    }
}

/* anchor: "start", "middle" or "end"; style: further attributes. */
static void put_text(FILE *f, double x, double y, double size, const char *anchor, const char *style, const char *text)
{
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" text-anchor=\"%s\" %s>", x, y, size, anchor, style);
    put_escaped(f, text);
    fputs("</text>\n", f);
}

/* ---- axes ---- */

static double x_of(const plot_series *s, int64_t i)
{
    return s->x ? s->x[i] : (double)i;
}

static bool shown(double value, bool log_axis)
{
    return isfinite(value) && (!log_axis || value > 0);
}

static double to_unit(double value, double low, double high, bool log_axis)
{
    return log_axis ? log(value / low) / log(high / low) : (value - low) / (high - low);
}

static double x_pixel(const frame *a, double x)
{
    return a->left + a->width * to_unit(x, a->x_low, a->x_high, a->x_log);
}

static double y_pixel(const frame *a, double y)
{
    return a->top + a->height * (1 - to_unit(y, a->y_low, a->y_high, a->y_log));
}

/* The smallest of 1, 2, 5 times a power of ten that cuts `span` into at most n pieces. */
static double nice_step(double span, int n)
{
    const double raw = span / n, power = pow(10, floor(log10(raw)));
    static const double factors[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (factors[i] * power >= raw * (1 - 1e-9))
            return factors[i] * power;
    return 10 * power;
}

/* The range of the panel's finite data along one axis, widened until an axis can be drawn. `pad` leaves air
 * around it. */
static void fit_range(const plot_panel *p, const plot_axis *axis, bool is_x, double pad, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int k = 0; k < p->n_series; k++) {
        const plot_series *s = &p->series[k];
        for (int64_t i = 0; i < s->n; i++) {
            const double x = x_of(s, i), y = s->y[i], v = is_x ? x : y;
            if (!shown(x, p->x.log) || !shown(y, p->y.log))
                continue;
            *low = fmin(*low, v);
            *high = fmax(*high, v);
        }
    }
    if (axis->low < axis->high && shown(axis->low, axis->log) && isfinite(axis->high)) {
        *low = axis->low;
        *high = axis->high;
        return;
    }
    if (*low > *high) {
        *low = axis->log ? 1 : 0;
        *high = axis->log ? 10 : 1;
    } else if (axis->log) {
        const double air = fmax(pow(*high / *low, pad), *low < *high ? 1 : 2);
        *low /= air;
        *high *= air;
    } else {
        const double span = *high - *low;
        const double air = span > 1e-9 * fabs(*high) ? pad * span : fmax(fabs(*high) * 0.1, 1e-6);
        *low = *low >= 0 && *low - air < 0 ? 0 : *low - air;
        *high += air;
    }
}

/* "0.25", "20000", "1e-05": as many decimals as the step between ticks needs. */
static void put_tick_text(char *out, size_t size, double value, double step)
{
    if (fabs(value) < 1e-9 * step)
        value = 0;
    if (fabs(value) >= 1e6 || step < 1e-4)
        snprintf(out, size, "%.6g", value);
    else
        snprintf(out, size, "%.*f", step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9), value);
}

static void draw_tick(FILE *f, const frame *a, bool is_x, double value, const char *text)
{
    if (is_x) {
        const double x = x_pixel(a, value);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n", x, a->top, a->top + a->height);
        put_text(f, x, a->top + a->height + 17, TICK_SIZE, "middle", "class=\"tick\"", text);
    } else {
        const double y = y_pixel(a, value);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", a->left, y, a->left + a->width);
        put_text(f, a->left - 7, y + 4, TICK_SIZE, "end", "class=\"tick\"", text);
    }
}

static void draw_linear_ticks(FILE *f, const frame *a, bool is_x)
{
    const double low = is_x ? a->x_low : a->y_low, high = is_x ? a->x_high : a->y_high;
    const double step = nice_step(high - low, (int)fmax(2, is_x ? a->width / 75 : a->height / 32));
    const double first = ceil(low / step - 1e-9);
    for (int i = 0; i < 50 && (first + i) * step <= high + 1e-9 * step; i++) {
        char text[32];
        put_tick_text(text, sizeof text, (first + i) * step, step);
        draw_tick(f, a, is_x, (first + i) * step, text);
    }
}

/* Powers of ten, thinned to what fits; over less than two decades also 2 and 5 times them, then a plain
 * scale. */
static void draw_log_ticks(FILE *f, const frame *a, bool is_x)
{
    const double low = is_x ? a->x_low : a->y_low, high = is_x ? a->x_high : a->y_high;
    const double decades = log10(high / low);
    if (decades < 0.8) {
        draw_linear_ticks(f, a, is_x);
        return;
    }
    const int every = (int)ceil(decades / fmax(2, is_x ? a->width / 75 : a->height / 35));
    static const int factors[] = {1, 2, 5};
    for (int e = (int)floor(log10(low)); e <= (int)ceil(log10(high)); e++) {
        for (int k = 0; k < (decades < 2.2 ? 3 : 1); k++) {
            const double value = factors[k] * pow(10, e);
            if (e % every || value < low * (1 - 1e-9) || value > high * (1 + 1e-9))
                continue;
            char text[32];
            snprintf(text, sizeof text, "%g", value);
            draw_tick(f, a, is_x, value, text);
        }
    }
}

static void draw_axes(FILE *f, const frame *a, const plot_panel *p)
{
    (a->x_log ? draw_log_ticks : draw_linear_ticks)(f, a, true);
    (a->y_log ? draw_log_ticks : draw_linear_ticks)(f, a, false);
    fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", a->left, a->top, a->top + a->height,
            a->left + a->width);
    if (p->x.label)
        put_text(f, a->left + a->width / 2, a->top + a->height + 40, TEXT_SIZE, "middle", "", p->x.label);
    if (p->y.label) {
        const double x = a->left - 54, y = a->top + a->height / 2;
        char turn[80];
        snprintf(turn, sizeof turn, "transform=\"rotate(-90 %.1f %.1f)\"", x, y);
        put_text(f, x, y, TEXT_SIZE, "middle", turn, p->y.label);
    }
}

/* ---- series ---- */

static const char *colour_of(const plot_panel *p, int k)
{
    const int chosen = p->series[k].colour;
    return palette[(chosen > 0 ? chosen - 1 : k) % N_COLOURS];
}

/* Far outside the panel, where the clip path hides it, and where a renderer can still count. */
static double tame(double pixel)
{
    return fmin(fmax(pixel, -1e5), 1e5);
}

static void draw_line(FILE *f, const frame *a, const plot_series *s, const char *colour)
{
    bool pen_down = false;
    fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%g\"%s%s d=\"", colour, s->width > 0 ? s->width : 2,
            s->dashed ? " stroke-dasharray=\"6 4\"" : "", s->faint ? " opacity=\"0.35\"" : "");
    for (int64_t i = 0; i < s->n; i++) {
        const double x = x_of(s, i), y = s->y[i];
        const bool here = shown(x, a->x_log) && shown(y, a->y_log);
        if (here)
            fprintf(f, "%c%.1f %.1f%s", pen_down ? 'L' : 'M', tame(x_pixel(a, x)), tame(y_pixel(a, y)),
                    i % 16 == 15 ? "\n" : "");
        pen_down = here;
    }
    fputs("\"/>\n", f);
}

static void draw_points(FILE *f, const frame *a, const plot_series *s, const char *colour)
{
    fprintf(f, "<g fill=\"%s\"%s>\n", colour, s->faint ? " opacity=\"0.35\"" : "");
    for (int64_t i = 0; i < s->n; i++) {
        const double x = x_of(s, i), y = s->y[i];
        if (shown(x, a->x_log) && shown(y, a->y_log))
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", tame(x_pixel(a, x)), tame(y_pixel(a, y)));
    }
    fputs("</g>\n", f);
}

static void draw_series(FILE *f, const frame *a, const plot_panel *p, int panel)
{
    fprintf(f, "<clipPath id=\"panel%d\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/></clipPath>\n",
            panel, a->left - 1, a->top - 4, a->width + 5, a->height + 5);
    fprintf(f, "<g clip-path=\"url(#panel%d)\" stroke-linejoin=\"round\">\n", panel);
    for (int k = 0; k < p->n_series; k++) {
        if (p->series[k].style != PLOT_POINTS)
            draw_line(f, a, &p->series[k], colour_of(p, k));
        if (p->series[k].style != PLOT_LINE)
            draw_points(f, a, &p->series[k], colour_of(p, k));
    }
    fputs("</g>\n", f);
}

/* The legend stands above the plotting area, in as many rows as it needs, so that it never hides data. With f
 * NULL it is only measured. Returns its height. */
static double draw_legend(FILE *f, const plot_panel *p, double left, double top, double width)
{
    double x = left, y = top;
    int listed = 0;
    for (int k = 0; k < p->n_series; k++) {
        const plot_series *s = &p->series[k];
        if (!s->name)
            continue;
        const double need = 30 + text_width(s->name, TICK_SIZE) + 14;
        if (listed++ && x + need > left + width) {
            x = left;
            y += LEGEND_ROW;
        }
        if (f) {
            const double sample_y[] = {y + 9, y + 9}, sample_x[] = {x, x + 24}, middle = x + 12;
            const frame pixels = {0, 0, 1, 1, 0, 1, 1, 0, false, false};
            const plot_series line = {
                .n = 2, .x = sample_x, .y = sample_y, .width = s->width, .dashed = s->dashed, .faint = s->faint};
            const plot_series point = {.n = 1, .x = &middle, .y = sample_y, .faint = s->faint};
            if (s->style != PLOT_POINTS)
                draw_line(f, &pixels, &line, colour_of(p, k));
            if (s->style != PLOT_LINE)
                draw_points(f, &pixels, &point, colour_of(p, k));
            put_text(f, x + 30, y + 13, TICK_SIZE, "start", "", s->name);
        }
        x += need;
    }
    return listed ? y - top + LEGEND_ROW : 0;
}

/* ---- the page ---- */

static void draw_panel(FILE *f, const plot_panel *p, int number, double left, double top, double width, double height)
{
    frame a = {.left = left + LEFT_MARGIN, .width = width - LEFT_MARGIN - RIGHT_MARGIN};
    double y = top + 8;
    a.x_log = p->x.log;
    a.y_log = p->y.log;
    if (p->title) {
        put_text(f, a.left, y + 14, TEXT_SIZE + 1, "start", "font-weight=\"bold\"", p->title);
        y += 24;
    }
    const double legend = draw_legend(NULL, p, a.left, y, a.width);
    draw_legend(f, p, a.left, y, a.width);
    a.top = y + legend + 8;
    a.height = fmax(top + height - LOW_MARGIN - a.top, 40);
    fit_range(p, &p->x, true, 0, &a.x_low, &a.x_high);
    fit_range(p, &p->y, false, 0.06, &a.y_low, &a.y_high);
    draw_axes(f, &a, p);
    draw_series(f, &a, p, number);
}

/* Text in lines of at most `width`, broken at spaces; returns the y below the last. With f NULL it is only
 * measured. */
static double put_paragraph(FILE *f, double x, double y, double width, double size, const char *style, const char *text)
{
    char line[512];
    while (*text) {
        size_t fits = 0, n = 0;
        for (; n < sizeof line - 1; n++) {
            if (text[n] == ' ' || text[n] == '\0') {
                memcpy(line, text, n);
                line[n] = '\0';
                if (fits && text_width(line, size) > width)
                    break;
                fits = n;
            }
            if (text[n] == '\0')
                break;
        }
        fits = fits ? fits : n;
        memcpy(line, text, fits);
        line[fits] = '\0';
        if (f)
            put_text(f, x, y + size, size, "start", style, line);
        y += size * 1.35;
        for (text += fits; *text == ' ';)
            text++;
    }
    return y;
}

static double draw_heading(FILE *f, const plot_figure *figure, double width)
{
    const double left = 24, room = width - 2 * left;
    double y = 18;
    if (figure->title)
        y = put_paragraph(f, left, y, room, TITLE_SIZE, "font-weight=\"bold\"", figure->title);
    if (figure->note)
        y = put_paragraph(f, left, y + 2, room, TEXT_SIZE, "fill=\"#555\"", figure->note);
    return y + 6;
}

static void draw_figure(FILE *f, const plot_figure *figure)
{
    const int columns = figure->columns > 0 && figure->columns < figure->n_panels ? figure->columns : figure->n_panels;
    const int rows = (figure->n_panels + columns - 1) / columns;
    const double width = figure->width > 0 ? figure->width : 560, height = figure->height > 0 ? figure->height : 400;
    const double page_width = columns * width, heading = draw_heading(NULL, figure, page_width);
    const double page_height = heading + rows * height;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
            "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" fill=\"#222\">\n",
            page_width, page_height, page_width, page_height);
    fputs("<style>.grid{stroke:#e4e4e4;fill:none}.axis{stroke:#444;fill:none}.tick{fill:#444}</style>\n", f);
    fputs("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", f);
    draw_heading(f, figure, page_width);
    for (int i = 0; i < figure->n_panels; i++)
        draw_panel(f, &figure->panels[i], i, i % columns * width, heading + i / columns * height, width, height);
    fputs("</svg>\n", f);
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
        for (int k = 0; k < figure->panels[i].n_series; k++)
            if (!figure->panels[i].series[k].y && figure->panels[i].series[k].n > 0)
                return tarn_fail("plot_write: %s: panel %d, series %d has no y", path, i, k);
    FILE *f = fopen(path, "w");
    if (!f)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    draw_figure(f, figure);
    return close_written(f, path);
}

bool plot_write_csv(const char *path, int n_columns, const char *const *names, const double *const *columns,
                    int64_t n_rows)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    for (int c = 0; c < n_columns; c++)
        fprintf(f, "%s%s", names[c], c + 1 < n_columns ? "," : "\n");
    for (int64_t r = 0; r < n_rows; r++)
        for (int c = 0; c < n_columns; c++) {
            if (!isnan(columns[c][r]))
                fprintf(f, "%.9g", columns[c][r]);
            fputc(c + 1 < n_columns ? ',' : '\n', f);
        }
    return close_written(f, path);
}
