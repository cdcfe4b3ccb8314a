/* plot.h: figures as SVG files: panels in a grid, each with axes, ticks, a legend, any number of series, and a field
 * below them if wanted.
 *
 *     plot_write("out/a.svg", &(plot_figure){
 *         .title = "Momentum passes the saddle",
 *         .n_panels = 1, .panels = &(plot_panel){
 *             .x = {.label = "step"}, .y = {.label = "loss", .log = true},
 *             .n_series = 1, .series = &(plot_series){.name = "momentum 0.9", .n = steps, .y = loss}}});
 *
 * Everything is a struct whose zero value means the default, and belongs to the caller; nothing is copied or
 * kept. Texts are UTF-8. */
#ifndef EXAMPLES_PLOT_H
#define EXAMPLES_PLOT_H

#include <stdbool.h>
#include <stdint.h>

/* Bars stand on 0 (on a log axis: on its low end), those of several series side by side at each x. */
typedef enum plot_style { PLOT_LINE, PLOT_POINTS, PLOT_LINE_AND_POINTS, PLOT_BARS } plot_style;

typedef struct plot_series {
    const char *name; /* in the legend; NULL: not listed */
    int64_t n;
    const double *x;          /* NULL: 0, 1, 2, ... */
    const double *y;          /* where x or y is not finite (or not above 0 on a log axis), the line has a gap */
    const double *low, *high; /* NULL, or both: a band around a line, whiskers at points and bars */
    plot_style style;
    int colour;   /* 1 to 8, of a palette that colour-blind readers can tell apart; 0: by the series' position */
    double width; /* of the line, in pixels; 0 means 2 */
    bool dashed;
    bool faint; /* a background for the others, such as a curve before smoothing */
    bool ends;  /* a path: a hollow circle at its start, a filled one at its end */
} plot_series;

/* A function of x and y, known on a grid: drawn in colours below the series, with a colour bar beside the panel. What
 * is not finite (or not above 0 on a log scale) is grey. The axes' default range is the field. */
typedef struct plot_field {
    int64_t columns, rows;
    const double *values; /* [rows][columns], row 0 at y_low */
    double x_low, x_high; /* where the first and the last column stand, the others at equal distances along the axis */
    double y_low, y_high; /* and the rows; equal: 0 and the number less 1, which are the places of tick_names */
    const char *label;    /* of the colour bar, with the unit */
    double low, high;     /* the range of the colours; what is beyond has the colour of its end; equal: fitted */
    bool log;
    bool diverging; /* blue below 0, white at 0, red above; both ends are equally far away; not log */
    bool contours;  /* lines at round values; not with cells */
    bool cells;     /* a table: a rectangle for each value, instead of a surface between them */
} plot_field;

/* A text at a point. */
typedef struct plot_note {
    double x, y;
    const char *text;
} plot_note;

/* Where the notes stand: beside their points, where they are not in each other's way; centred above them, as on bars;
 * or on them, as in the cells of a table. */
typedef enum plot_place { PLOT_BESIDE, PLOT_ABOVE, PLOT_ON } plot_place;

typedef struct plot_axis {
    const char *label; /* with the unit: "time [s]" */
    bool log;
    double low, high; /* the range shown; equal: fitted to the data */
    int n_ticks;      /* above 0: names stand at 0, 1, ... n_ticks - 1 in place of numbers; not with log.
                      NULL or empty: no tick there */
    const char *const *tick_names;
    bool reversed; /* low values at the right, or at the top: row 0 of a table above the others */
} plot_axis;

typedef struct plot_panel {
    const char *title; /* NULL: none */
    plot_axis x, y;
    int n_series;
    const plot_series *series;
    const plot_field *field; /* NULL: none */
    int n_notes;
    const plot_note *notes;
    plot_place notes_place;
    bool equal; /* one unit of x is as long as one of y; not with log */
} plot_panel;

typedef struct plot_figure {
    const char *title; /* the finding, as a sentence */
    const char *note;  /* a smaller line below the title: how it was measured; NULL: none */
    int n_panels;
    const plot_panel *panels;
    int columns;          /* panels side by side; 0: all in one row */
    double width, height; /* of one panel, labels included, in pixels; 0 means 560 and 400 */
} plot_figure;

/* Writes the figure. False, with tarn's error set, when there is no panel, a series has no y (or one of low and high),
 * a field has no values, an axis has ticks without names, there is no memory, or the file cannot be written. */
bool plot_write(const char *path, const plot_figure *figure);

#endif
