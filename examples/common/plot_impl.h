/* plot_impl.h (internal): what the files behind plot.h share. Everything is in pixels; y grows downwards on the page. */
#ifndef EXAMPLES_PLOT_IMPL_H
#define EXAMPLES_PLOT_IMPL_H

#include "examples/common/plot.h"

#include <stdio.h>

#define PLOT__TITLE_SIZE 18.0
#define PLOT__TEXT_SIZE  13.0
#define PLOT__TICK_SIZE  12.0

/* ---- text (plot_text.c). Text cannot be measured here: its width is estimated, on the wide side. ---- */

double plot__text_width(const char *text, double size);

/* anchor: "start", "middle" or "end"; style: further attributes. Where the text is wider than `room`, it is made
 * smaller. */
void plot__text(FILE *f, double x, double y, double size, double room, const char *anchor, const char *style,
                const char *text);

/* Text in lines of at most `width`, broken at spaces; returns the y below the last. With f NULL it is only
 * measured. */
double plot__paragraph(FILE *f, double x, double y, double width, double size, const char *style, const char *text);

/* ---- axes (plot_axis.c) ---- */

/* How values map to the page: low stands at pixel `start`, high at start + length. */
typedef struct plot__scale {
    double low, high;
    bool log;
    double start, length;
} plot__scale;

/* A panel's plotting area. */
typedef struct plot__frame {
    double left, top, width, height;
    plot__scale x, y;
} plot__frame;

enum { PLOT__MAX_TICKS = 64 };
typedef struct plot__ticks {
    int n;
    double value[PLOT__MAX_TICKS];
    char number[PLOT__MAX_TICKS][32];
    const char *const *names; /* NULL, or what stands at value 0, 1, ... in place of the number */
} plot__ticks;

/* The value can be drawn. */
bool plot__shown(double value, bool log);

/* The place between low and high, as 0 to 1. */
double plot__unit(const plot__scale *s, double value);

/* The place on the page; values far outside of it stand a little less far, where a renderer can still count. */
double plot__pixel(const plot__scale *s, double value);

/* The range of the panel's axis; its place is not set. */
void plot__fit(const plot_panel *p, bool is_x, plot__scale *s);

/* Round numbers between low and high, about `most` of them. */
void plot__find_ticks(plot__ticks *t, const plot__scale *s, double most);
const char *plot__tick_text(const plot__ticks *t, int i);
double plot__ticks_width(const plot__ticks *t);

/* The room that the ticks and the label need to the left of the plotting area, and below it. */
double plot__left_margin(const plot_panel *p, const plot__scale *y, double height);
double plot__low_margin(const plot_panel *p, double width);

void plot__draw_axes(FILE *f, const plot__frame *a, const plot_panel *p);

/* ---- series (plot_series.c) ---- */

double plot__x_of(const plot_series *s, int64_t i);

/* The distance between the groups of bars, 1 if there are no two. */
double plot__bar_spacing(const plot_panel *p);

void plot__draw_series(FILE *f, const plot__frame *a, const plot_panel *p, int panel);
void plot__draw_notes(FILE *f, const plot__frame *a, const plot_panel *p);

/* The legend in rows of at most `width`; with width 0 as a column. With f NULL it is only measured. Returns its height. */
double plot__legend(FILE *f, const plot_panel *p, double left, double top, double width);

/* How many entries it has, and the width of the widest. */
int plot__legend_entries(const plot_panel *p, double *widest);

/* ---- fields (plot_field.c) ---- */

/* Where the field ends along one axis. False when it cannot be drawn there. */
bool plot__field_edges(const plot_field *field, bool is_x, bool log, double *low, double *high);

/* The room that the colour bar needs to the right of the plotting area. */
double plot__bar_margin(const plot_field *field, double height);

/* The field, and its colour bar. False, with tarn's error set, when there is no memory. */
bool plot__draw_field(FILE *f, const plot__frame *a, const plot_field *field, int panel);

#endif
