/* plot.h: figures as SVG files: panels in a grid, each with axes, ticks, a legend and any number of series.
 *
 *     plot_write("out/a.svg", &(plot_figure){
 *         .title = "Momentum passes the saddle",
 *         .n_panels = 1, .panels = &(plot_panel){
 *             .x = {.label = "step"}, .y = {.label = "loss", .log = true},
 *             .n_series = 1, .series = &(plot_series){.name = "momentum 0.9", .n = steps, .y = loss}}});
 *
 * Everything is a struct whose zero value means the default, and belongs to the caller; nothing is copied or
 * kept. */
#ifndef EXAMPLES_PLOT_H
#define EXAMPLES_PLOT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum plot_style { PLOT_LINE, PLOT_POINTS, PLOT_LINE_AND_POINTS } plot_style;

typedef struct plot_series {
    const char *name; /* in the legend; NULL: not listed */
    int64_t n;
    const double *x; /* NULL: 0, 1, 2, ... */
    const double *y; /* where x or y is not finite (or not above 0 on a log axis), the line has a gap */
    plot_style style;
    int colour;   /* 1 to 8, of a palette that colour-blind readers can tell apart; 0: by the series' position */
    double width; /* of the line, in pixels; 0 means 2 */
    bool dashed;
    bool faint; /* a background for the others, such as a curve before smoothing */
} plot_series;

typedef struct plot_axis {
    const char *label; /* with the unit: "time [s]" */
    bool log;
    double low, high; /* the range shown; equal: fitted to the data */
} plot_axis;

typedef struct plot_panel {
    const char *title; /* NULL: none */
    plot_axis x, y;
    int n_series;
    const plot_series *series;
} plot_panel;

typedef struct plot_figure {
    const char *title; /* the finding, as a sentence */
    const char *note;  /* a smaller line below the title: how it was measured; NULL: none */
    int n_panels;
    const plot_panel *panels;
    int columns;          /* panels side by side; 0: all in one row */
    double width, height; /* of one panel, labels included, in pixels; 0 means 560 and 400 */
} plot_figure;

/* Writes the figure. False, with tarn's error set, when there is no panel, a series has no y, or the file
 * cannot be written. */
bool plot_write(const char *path, const plot_figure *figure);

/* The numbers behind a figure: a comma-separated table, names in the first line, a value that is NaN left
 * empty. */
bool plot_write_csv(const char *path, int n_columns, const char *const *names, const double *const *columns,
                    int64_t n_rows);

#endif
