#include "examples/common/plot_impl.h"
#include "tensor/error.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* An odd number, so that 0 stands in the middle of one. */
enum { LEVELS = 63, MAX_RUNS = 10000, MAX_CELLS = 1 << 16, MAX_ACROSS = 1024, CONTOURS = 12 };

#define BAR_GAP   14.0
#define BAR_WIDTH 14.0

typedef struct rgb {
    double r, g, b;
} rgb;

/* The lightness (L* of CIE 1976) grows evenly along the first: 14, 34, 51, 66, 80, 93. */
static const rgb sequential[] = {{36, 24, 86},   {60, 71, 138},  {37, 128, 142},
                                 {64, 173, 115}, {164, 208, 60}, {253, 233, 116}};
static const rgb two_sided[] = {{24, 72, 148},   {84, 140, 198}, {170, 206, 230}, {247, 247, 247},
                                {243, 180, 150}, {211, 94, 77},  {143, 16, 40}};

static void put_colour(FILE *f, bool diverging, double t)
{
    const rgb *anchors = diverging ? two_sided : sequential;
    const int pieces =
        (int)(diverging ? sizeof two_sided / sizeof *two_sided : sizeof sequential / sizeof *sequential) - 1;
    const int i = (int)fmin(fmax(t * pieces, 0), pieces - 1);
    const double w = t * pieces - i;
    const rgb a = anchors[i], b = anchors[i + 1];
    fprintf(f, "#%02x%02x%02x", (unsigned)(a.r + w * (b.r - a.r) + 0.5), (unsigned)(a.g + w * (b.g - a.g) + 0.5),
            (unsigned)(a.b + w * (b.b - a.b) + 0.5));
}

/* ---- the range ---- */

static plot__scale colour_scale(const plot_field *field)
{
    plot__scale s = {.low = INFINITY, .high = -INFINITY, .log = field->log && !field->diverging};
    const bool given = field->low < field->high && plot__shown(field->low, s.log) && isfinite(field->high);
    for (int64_t i = 0; !given && i < field->rows * field->columns; i++) {
        if (!plot__shown(field->values[i], s.log))
            continue;
        s.low = fmin(s.low, field->values[i]);
        s.high = fmax(s.high, field->values[i]);
    }
    if (given) {
        s.low = field->low;
        s.high = field->high;
    }
    if (field->diverging) {
        const double most = s.low <= s.high ? fmax(fabs(s.low), fabs(s.high)) : 0;
        s.high = most > 0 ? most : 1;
        s.low = -s.high;
    } else if (s.low > s.high) {
        s.low = s.log ? 1 : 0;
        s.high = s.log ? 10 : 1;
    } else if (s.high - s.low <= 1e-12 * fabs(s.high)) {
        const double air = s.log ? s.high / 2 : fmax(fabs(s.high) / 10, 1e-6);
        s.low -= air;
        s.high += air;
    }
    return s;
}

bool plot__field_edges(const plot_field *field, bool is_x, bool log_axis, double *low, double *high)
{
    const int64_t n = is_x ? field->columns : field->rows;
    double a = is_x ? field->x_low : field->y_low, b = is_x ? field->x_high : field->y_high;
    const bool given = a < b;
    if (!given) {
        a = 0;
        b = (double)(n - 1);
    }
    if (n < 1 || !plot__shown(a, log_axis) || !plot__shown(b, log_axis))
        return false;
    double half = 0;
    if (n == 1)
        half = given ? 0 : 0.5;
    else if (field->cells)
        half = (log_axis ? log(b / a) : b - a) / (double)(n - 1) / 2;
    *low = log_axis ? a / exp(half) : a - half;
    *high = log_axis ? b * exp(half) : b + half;
    return true;
}

/* ---- the surface ---- */

/* Of a value, 0 to LEVELS - 1; -1: not shown. */
static int level_of(const plot__scale *s, double value)
{
    if (!plot__shown(value, s->log))
        return -1;
    const double t = plot__unit(s, value);
    return t >= 1 ? LEVELS - 1 : t > 0 ? (int)(t * LEVELS) : 0;
}

static int64_t clamp(double value, int64_t most)
{
    return value <= 0 ? 0 : value >= (double)most ? most : (int64_t)value;
}

/* The value at (u, v), 0 to 1 between the field's edges; NaN where one that it stands between is not shown. */
static double interpolate(const plot_field *field, const plot__scale *s, double u, double v)
{
    const double x = u * (double)(field->columns - 1), y = v * (double)(field->rows - 1);
    const int64_t c = clamp(floor(x), field->columns - 1), r = clamp(floor(y), field->rows - 1);
    const double wx = x - (double)c, wy = y - (double)r;
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        const double weight = (k % 2 ? wx : 1 - wx) * (k / 2 ? wy : 1 - wy);
        if (weight <= 0)
            continue;
        const double value = field->values[(r + k / 2) * field->columns + c + k % 2];
        if (!plot__shown(value, s->log))
            return NAN;
        sum += weight * (s->log ? log(value) : value);
    }
    return s->log ? exp(sum) : sum;
}

/* A field's place on the page, its first column and row at (left, low). */
typedef struct extent {
    double left, low, width, height;
} extent;

/* The levels of a field on across x down places. */
typedef struct raster {
    int across, down;
    signed char *levels; /* [down][across], row 0 at y_low */
} raster;

static void rasterize(raster *p, const plot_field *field, const plot__scale *s)
{
    for (int j = 0; j < p->down; j++)
        for (int i = 0; i < p->across; i++) {
            const double u = (i + 0.5) / p->across, v = (j + 0.5) / p->down;
            const int64_t c = clamp(u * (double)field->columns, field->columns - 1);
            const int64_t r = clamp(v * (double)field->rows, field->rows - 1);
            const double value = field->cells ? field->values[r * field->columns + c] : interpolate(field, s, u, v);
            p->levels[j * p->across + i] = (signed char)level_of(s, value);
        }
}

static int count_runs(const raster *p)
{
    int runs = 0;
    for (int i = 0; i < p->across * p->down; i++)
        runs += i % p->across == 0 || p->levels[i] != p->levels[i - 1];
    return runs;
}

/* The finest raster that the file has room for: a place for each cell, or for so many pixels of the surface. */
static bool raster_take(raster *p, const plot_field *field, const plot__scale *s, const extent *e)
{
    const double across = field->cells ? (double)field->columns : fabs(e->width) / 2;
    const double down = field->cells ? (double)field->rows : fabs(e->height) / 2;
    p->levels = malloc((size_t)MAX_ACROSS * MAX_ACROSS);
    if (!p->levels)
        return tarn_fail("plot_write: no memory for a field");
    for (int part = 2; part == 2 || count_runs(p) > (field->cells ? MAX_CELLS : MAX_RUNS); part++) {
        p->across = (int)fmin(fmax(2 * across / part, 1), MAX_ACROSS);
        p->down = (int)fmin(fmax(2 * down / part, 1), MAX_ACROSS);
        rasterize(p, field, s);
    }
    return true;
}

/* Neighbours in a row that have the same colour are one stroke of the row's height. */
static void draw_raster(FILE *f, const raster *p, bool diverging)
{
    for (int level = 0; level < LEVELS; level++) {
        bool any = false;
        for (int j = 0; j < p->down; j++)
            for (int i = 0, end; i < p->across; i = end) {
                const signed char *row = p->levels + (ptrdiff_t)j * p->across;
                for (end = i + 1; end < p->across && row[end] == row[i]; end++)
                    ;
                if (row[i] != level)
                    continue;
                if (!any) {
                    fputs("<path stroke=\"", f);
                    put_colour(f, diverging, (level + 0.5) / LEVELS);
                    fputs("\" d=\"", f);
                }
                fprintf(f, "M%d %d.5h%d", i, j, end - i);
                any = true;
            }
        fputs(any ? "\"/>\n" : "", f);
    }
}

/* ---- contours ---- */

typedef struct corner {
    double x, y, above; /* its place on the page; how far its value is above the contour */
} corner;

/* The end of what is drawn, in tenths of a pixel: a line that goes on from there needs no new start. */
typedef struct pen {
    FILE *file;
    long x, y;
} pen;

static pen crossing(const corner *a, const corner *b)
{
    const double w = a->above / (a->above - b->above);
    return (pen){.x = lround(10 * (a->x + w * (b->x - a->x))), .y = lround(10 * (a->y + w * (b->y - a->y)))};
}

static void put_segment(pen *at, pen a, pen b)
{
    if (at->x == b.x && at->y == b.y) {
        const pen swap = a;
        a = b;
        b = swap;
    }
    if (at->x != a.x || at->y != a.y)
        fprintf(at->file, "M%g %g", (double)a.x / 10, (double)a.y / 10);
    fprintf(at->file, "l%g %g", (double)(b.x - a.x) / 10, (double)(b.y - a.y) / 10);
    at->x = b.x;
    at->y = b.y;
}

/* One square of marching squares: the contour enters and leaves where two corners are on different sides. With four
 * crossings the mean decides which corners belong together. */
static void contour_square(pen *at, const corner *q)
{
    int crossed[4], n = 0;
    double mean = 0;
    for (int k = 0; k < 4; k++) {
        mean += q[k].above / 4;
        if ((q[k].above > 0) != (q[(k + 1) % 4].above > 0))
            crossed[n++] = k;
    }
    const int first = n == 4 && (mean > 0) != (q[0].above > 0) ? 3 : 0;
    for (int k = 0; k < n; k += 2) {
        const int from = crossed[(k + first) % n], to = crossed[(k + first + 1) % n];
        put_segment(at, crossing(&q[from], &q[(from + 1) % 4]), crossing(&q[to], &q[(to + 1) % 4]));
    }
}

static double height_of(const plot__scale *s, const plot_field *field, int64_t c, int64_t r)
{
    const double value = field->values[r * field->columns + c];
    return plot__shown(value, s->log) ? plot__unit(s, value) : NAN;
}

static void draw_contour(FILE *f, const plot_field *field, const plot__scale *s, const extent *e, double level)
{
    const bool on_light = field->diverging || level > 0.6;
    pen at = {.file = f, .x = LONG_MIN};
    fprintf(f, "<path fill=\"none\" stroke=\"%s\" opacity=\"0.5\" d=\"", on_light ? "#000" : "#fff");
    for (int64_t r = 0; r + 1 < field->rows; r++)
        for (int64_t c = 0; c + 1 < field->columns; c++) {
            corner q[4];
            bool all = true;
            for (int k = 0; k < 4; k++) {
                const int64_t cc = c + (k == 1 || k == 2), rr = r + (k >= 2);
                q[k].x = e->left + e->width * (double)cc / (double)(field->columns - 1);
                q[k].y = e->low + e->height * (double)rr / (double)(field->rows - 1);
                q[k].above = height_of(s, field, cc, rr) - level;
                all = all && isfinite(q[k].above);
            }
            if (all)
                contour_square(&at, q);
        }
    fputs("\"/>\n", f);
}

/* At round levels; on a log scale also half-way between, as decades are far apart. */
static void draw_contours(FILE *f, const plot_field *field, const plot__scale *s, const extent *e)
{
    plot__ticks t;
    plot__find_ticks(&t, s, CONTOURS);
    for (int i = 0; i < t.n; i++) {
        const double level = plot__unit(s, t.value[i]);
        draw_contour(f, field, s, e, level);
        if (s->log && t.n < CONTOURS)
            draw_contour(f, field, s, e, i + 1 < t.n ? (level + plot__unit(s, t.value[i + 1])) / 2 : 2);
    }
}

/* ---- the colour bar ---- */

double plot__bar_margin(const plot_field *field, double height)
{
    plot__ticks t;
    const plot__scale s = colour_scale(field);
    plot__find_ticks(&t, &s, height / 40);
    return BAR_GAP + BAR_WIDTH + 10 + plot__ticks_width(&t) + (field->label ? 26 : 8);
}

static void draw_bar(FILE *f, const plot__frame *a, const plot_field *field, plot__scale s)
{
    const double left = a->left + a->width + BAR_GAP, right = left + BAR_WIDTH;
    plot__ticks t;
    s.start = a->top + a->height;
    s.length = -a->height;
    fprintf(
        f, "<g transform=\"translate(%.1f %.1f) scale(%g %g)\" shape-rendering=\"crispEdges\" stroke-width=\"1.05\">\n",
        left, s.start, BAR_WIDTH, s.length / LEVELS);
    for (int level = 0; level < LEVELS; level++) {
        fputs("<path stroke=\"", f);
        put_colour(f, field->diverging, (level + 0.5) / LEVELS);
        fprintf(f, "\" d=\"M0 %d.5h1\"/>\n", level);
    }
    fputs("</g>\n", f);
    plot__find_ticks(&t, &s, a->height / 40);
    for (int i = 0; i < t.n; i++) {
        const double y = plot__pixel(&s, t.value[i]);
        fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fh4\"/>\n", right, y);
        plot__text(f, right + 7, y + 4, PLOT__TICK_SIZE, 100, "start", "class=\"tick\"", plot__tick_text(&t, i));
    }
    if (field->label) {
        const double x = right + 7 + plot__ticks_width(&t) + 16, y = a->top + a->height / 2;
        char turn[80];
        snprintf(turn, sizeof turn, "transform=\"rotate(-90 %.1f %.1f)\"", x, y);
        plot__text(f, x, y, PLOT__TEXT_SIZE, a->height + 40, "middle", turn, field->label);
    }
}

/* ---- all of it ---- */

/* Where the field is on the page. False when it cannot be drawn on these axes. */
static bool find_extent(extent *e, const plot__frame *a, const plot_field *field)
{
    double x[2], y[2];
    if (!plot__field_edges(field, true, a->x.log, &x[0], &x[1]) ||
        !plot__field_edges(field, false, a->y.log, &y[0], &y[1]))
        return false;
    e->left = plot__pixel(&a->x, x[0]);
    e->low = plot__pixel(&a->y, y[0]);
    e->width = plot__pixel(&a->x, x[1]) - e->left;
    e->height = plot__pixel(&a->y, y[1]) - e->low;
    return true;
}

bool plot__draw_field(FILE *f, const plot__frame *a, const plot_field *field, int panel)
{
    const plot__scale s = colour_scale(field);
    extent e;
    raster p = {0};
    draw_bar(f, a, field, s);
    fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#ccc\"/>\n", a->left, a->top,
            a->width, a->height);
    if (!find_extent(&e, a, field))
        return true;
    if (!raster_take(&p, field, &s, &e))
        return false;
    fprintf(f, "<clipPath id=\"field%d\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/></clipPath>\n",
            panel, a->left, a->top, a->width, a->height);
    fprintf(f, "<g clip-path=\"url(#field%d)\">\n", panel);
    fprintf(f,
            "<g transform=\"translate(%.2f %.2f) scale(%.6g %.6g)\" shape-rendering=\"crispEdges\" "
            "stroke-width=\"1.02\">\n",
            e.left, e.low, e.width / p.across, e.height / p.down);
    draw_raster(f, &p, field->diverging);
    fputs("</g>\n", f);
    if (field->contours && !field->cells)
        draw_contours(f, field, &s, &e);
    fputs("</g>\n", f);
    free(p.levels);
    return true;
}
