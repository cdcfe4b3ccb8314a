#include "examples/common/plot_impl.h"

#include <math.h>
#include <string.h>

bool plot__shown(double value, bool log_scale)
{
    return isfinite(value) && (!log_scale || value > 0);
}

double plot__unit(const plot__scale *s, double value)
{
    if (s->log)
        return (log(value) - log(s->low)) / (log(s->high) - log(s->low));
    return (value - s->low) / (s->high - s->low);
}

double plot__pixel(const plot__scale *s, double value)
{
    return fmin(fmax(s->start + s->length * plot__unit(s, value), -1e5), 1e5);
}

/* ---- ranges ---- */

static void widen(plot__scale *s, double value)
{
    if (!plot__shown(value, s->log))
        return;
    s->low = fmin(s->low, value);
    s->high = fmax(s->high, value);
}

static void widen_by(const plot_panel *p, const plot_series *q, bool is_x, plot__scale *s)
{
    const double half = q->style == PLOT_BARS && is_x ? plot__bar_spacing(p) / 2 : 0;
    for (int64_t i = 0; i < q->n; i++) {
        const double x = plot__x_of(q, i), y = q->y[i], v = is_x ? x : y;
        if (!plot__shown(x, p->x.log) || !plot__shown(y, p->y.log))
            continue;
        widen(s, v - half);
        widen(s, v + half);
        if (!is_x && q->low) {
            widen(s, q->low[i]);
            widen(s, q->high[i]);
        }
        if (!is_x && q->style == PLOT_BARS)
            widen(s, 0);
    }
}

/* Widens the range until an axis can be drawn, with `pad` of it as air. */
static void leave_air(plot__scale *s, double pad)
{
    if (s->low > s->high) {
        s->low = s->log ? 1 : 0;
        s->high = s->log ? 10 : 1;
    } else if (s->log) {
        const double air = s->low < s->high ? pow(s->high / s->low, pad) : 2;
        s->low = fmax(s->low / air, 1e-300);
        s->high = fmin(s->high * air, 1e300);
    } else {
        const double span = s->high - s->low;
        const double air = span > 1e-9 * fabs(s->high) ? pad * span : fmax(fabs(s->high) * 0.1, 1e-6);
        s->low = s->low >= 0 && s->low - air < 0 ? 0 : s->low - air;
        s->high += s->high <= 0 && s->high + air > 0 ? -s->high : air;
    }
}

void plot__fit(const plot_panel *p, bool is_x, plot__scale *s)
{
    const plot_axis *axis = is_x ? &p->x : &p->y;
    *s = (plot__scale){.low = INFINITY, .high = -INFINITY, .log = axis->log && axis->n_ticks == 0};
    if (axis->low < axis->high && plot__shown(axis->low, s->log) && isfinite(axis->high)) {
        s->low = axis->low;
        s->high = axis->high;
        return;
    }
    if (axis->n_ticks > 0) {
        s->low = -0.5;
        s->high = axis->n_ticks - 0.5;
        return;
    }
    if (p->field && plot__field_edges(p->field, is_x, s->log, &s->low, &s->high))
        return;
    for (int k = 0; k < p->n_series; k++)
        widen_by(p, &p->series[k], is_x, s);
    leave_air(s, is_x ? 0 : p->n_notes > 0 ? 0.12 : 0.06); /* room for a text above the highest */
}

/* ---- ticks ---- */

/* The smallest of 1, 2, 5 times a power of ten that cuts `span` into at most n pieces. */
static double nice_step(double span, double n)
{
    const double raw = span / floor(n), power = pow(10, floor(log10(raw)));
    static const double factors[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (factors[i] * power >= raw * (1 - 1e-9))
            return factors[i] * power;
    return 10 * power;
}

/* "0.25", "20000", "1e-05": as many decimals as the step between ticks needs. */
static void add_tick(plot__ticks *t, double value, double step)
{
    if (t->n == PLOT__MAX_TICKS)
        return;
    if (fabs(value) < 1e-9 * step)
        value = 0;
    char *text = t->number[t->n];
    if (step == 0)
        snprintf(text, sizeof t->number[0], "%g", value);
    else if (fabs(value) >= 1e6 || step < 1e-4)
        snprintf(text, sizeof t->number[0], "%.6g", value);
    else
        snprintf(text, sizeof t->number[0], "%.*f", step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9), value);
    t->value[t->n++] = value;
}

static void linear_ticks(plot__ticks *t, const plot__scale *s, double most)
{
    const double step = nice_step(s->high - s->low, most);
    const double first = ceil(s->low / step - 1e-9);
    for (int i = 0; i < 50 && (first + i) * step <= s->high + 1e-9 * step; i++)
        add_tick(t, (first + i) * step, step);
}

/* Powers of ten, thinned to what fits; over less than two decades also 2 and 5 times them, then a plain
 * scale. */
void plot__find_ticks(plot__ticks *t, const plot__scale *s, double most)
{
    t->n = 0;
    t->names = NULL;
    most = fmax(most, 2);
    const double first = log10(s->low), last = log10(s->high);
    if (!s->log || last - first < 0.8) {
        linear_ticks(t, s, most);
        return;
    }
    const int every = (int)ceil((last - first) / most);
    static const int factors[] = {1, 2, 5};
    for (int e = (int)floor(first); e <= (int)ceil(last); e++)
        for (int k = 0; k < (last - first < 2.2 ? 3 : 1); k++) {
            const double value = factors[k] * pow(10, e);
            if (e % every == 0 && value >= s->low * (1 - 1e-9) && value <= s->high * (1 + 1e-9))
                add_tick(t, value, 0);
        }
}

static void axis_ticks(plot__ticks *t, const plot_axis *axis, const plot__scale *s, double length, double least)
{
    if (axis->n_ticks < 1) {
        plot__find_ticks(t, s, length / least);
        return;
    }
    const int most = (int)fmin(fmax(length / 14, 1), PLOT__MAX_TICKS), every = (axis->n_ticks + most - 1) / most;
    t->n = 0;
    t->names = axis->tick_names;
    for (int i = 0; i < axis->n_ticks; i += every)
        if (i >= s->low && i <= s->high && axis->tick_names[i] && *axis->tick_names[i])
            t->value[t->n++] = i;
}

const char *plot__tick_text(const plot__ticks *t, int i)
{
    const char *name = t->names ? t->names[(int)t->value[i]] : t->number[i];
    return name ? name : "";
}

double plot__ticks_width(const plot__ticks *t)
{
    double widest = 0;
    for (int i = 0; i < t->n; i++)
        widest = fmax(widest, plot__text_width(plot__tick_text(t, i), PLOT__TICK_SIZE));
    return widest;
}

/* ---- drawing ---- */

enum { X_LEAST = 75, Y_LEAST = 32, LONGEST_NAME = 170 };

/* Names that are too long to stand side by side are turned. */
static bool is_turned(const plot_axis *x, const plot__ticks *t, double width)
{
    return x->n_ticks > 0 && plot__ticks_width(t) > width / fmax(t->n, 1) - 6;
}

static double y_text_width(const plot__ticks *t)
{
    return fmin(plot__ticks_width(t), LONGEST_NAME);
}

double plot__left_margin(const plot_panel *p, const plot__scale *y, double height)
{
    plot__ticks t;
    axis_ticks(&t, &p->y, y, height, Y_LEAST);
    return fmax(72, y_text_width(&t) + 40);
}

double plot__low_margin(const plot_panel *p, double width)
{
    plot__ticks t;
    const plot__scale all = {.low = 0, .high = p->x.n_ticks};
    if (p->x.n_ticks < 1)
        return 52;
    axis_ticks(&t, &p->x, &all, width, X_LEAST);
    return is_turned(&p->x, &t, width) ? 52 + fmin(plot__ticks_width(&t), LONGEST_NAME) / 2 : 52;
}

/* A field would hide the grid: short marks outside instead. */
static void draw_grid(FILE *f, const plot__frame *a, const plot_panel *p, bool is_x, double at)
{
    const double low = a->top + a->height;
    if (p->field)
        fprintf(f,
                is_x ? "<path class=\"axis\" d=\"M%.1f %.1fv4\"/>\n" : "<path class=\"axis\" d=\"M%.1f %.1fh-4\"/>\n",
                is_x ? at : a->left, is_x ? low : at);
    else if (is_x && p->x.n_ticks < 1)
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>\n", at, a->top, low);
    else if (!is_x && p->y.n_ticks < 1)
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", a->left, at, a->left + a->width);
}

static void draw_x_ticks(FILE *f, const plot__frame *a, const plot_panel *p)
{
    plot__ticks t;
    axis_ticks(&t, &p->x, &a->x, a->width, X_LEAST);
    const bool turned = is_turned(&p->x, &t, a->width);
    for (int i = 0; i < t.n; i++) {
        const double x = plot__pixel(&a->x, t.value[i]), y = a->top + a->height + 17;
        draw_grid(f, a, p, true, x);
        if (turned) {
            char turn[96];
            snprintf(turn, sizeof turn, "class=\"tick\" transform=\"rotate(-30 %.1f %.1f)\"", x + 4, y - 3);
            plot__text(f, x + 4, y - 3, PLOT__TICK_SIZE, LONGEST_NAME, "end", turn, plot__tick_text(&t, i));
        } else {
            plot__text(f, x, y, PLOT__TICK_SIZE, a->width, "middle", "class=\"tick\"", plot__tick_text(&t, i));
        }
    }
}

static void draw_y_ticks(FILE *f, const plot__frame *a, const plot_panel *p)
{
    plot__ticks t;
    axis_ticks(&t, &p->y, &a->y, a->height, Y_LEAST);
    for (int i = 0; i < t.n; i++) {
        const double y = plot__pixel(&a->y, t.value[i]);
        draw_grid(f, a, p, false, y);
        plot__text(f, a->left - 7, y + 4, PLOT__TICK_SIZE, LONGEST_NAME, "end", "class=\"tick\"",
                   plot__tick_text(&t, i));
    }
    if (p->y.label) {
        const double x = a->left - fmax(54, y_text_width(&t) + 22), y = a->top + a->height / 2;
        char turn[80];
        snprintf(turn, sizeof turn, "transform=\"rotate(-90 %.1f %.1f)\"", x, y);
        plot__text(f, x, y, PLOT__TEXT_SIZE, a->height + 40, "middle", turn, p->y.label);
    }
}

void plot__draw_axes(FILE *f, const plot__frame *a, const plot_panel *p)
{
    draw_x_ticks(f, a, p);
    draw_y_ticks(f, a, p);
    fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fV%.1fH%.1f\"/>\n", a->left, a->top, a->top + a->height,
            a->left + a->width);
    if (p->x.label)
        plot__text(f, a->left + a->width / 2, a->top + a->height + plot__low_margin(p, a->width) - 12, PLOT__TEXT_SIZE,
                   a->width + 40, "middle", "", p->x.label);
}
