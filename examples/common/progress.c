#include "examples/common/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1
enum { MIN_BAR = 4, MAX_BAR = 40 };

double progress_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool locale_is_utf8(void)
{
    const char *name = is_set("LC_ALL") ? "LC_ALL" : is_set("LC_CTYPE") ? "LC_CTYPE" : "LANG";
    const char *value = getenv(name);
    return value && (strstr(value, "UTF-8") || strstr(value, "utf8"));
}

static int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

progress progress_begin(const char *label, int64_t total, const char *unit, int64_t per_step, bool quiet)
{
    const char *term = getenv("TERM");
    progress p = {.unit = unit, .total = total, .per_step = per_step, .quiet = quiet};
    snprintf(p.label, sizeof p.label, "%s", label);
    p.live = !quiet && isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
    p.colour = !is_set("NO_COLOR");
    p.blocks = locale_is_utf8();
    p.start = progress_now();
    return p;
}

/* "07:15", or "1:07:15" from an hour on. */
static void put_time(char *out, size_t size, double seconds)
{
    const unsigned s = seconds > 0 ? (unsigned)fmin(seconds + 0.5, 359999) : 0;
    if (s < 3600)
        snprintf(out, size, "%02u:%02u", s / 60, s % 60);
    else
        snprintf(out, size, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
}

static void put_rate(char *out, size_t size, double rate)
{
    if (rate >= 999.5)
        snprintf(out, size, rate < 9950 ? "%.1fk" : "%.0fk", rate / 1000);
    else
        snprintf(out, size, rate < 9.95 ? "%.1f" : "%.0f", rate);
}

/* `cells` columns, filled up to `fraction` in eighths of a column. */
static void put_bar(char *out, int cells, double fraction, bool blocks)
{
    static const char *const eighth[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    const int filled = (int)(fraction * cells * 8);
    *out = '\0';
    for (int i = 0; i < cells; i++) {
        const int level = filled - 8 * i;
        if (blocks)
            strcat(out, eighth[level < 0 ? 0 : level > 8 ? 8 : level]);
        else
            strcat(out, level >= 8 ? "#" : " ");
    }
}

void progress_show(progress *p, int64_t done, const char *note)
{
    const double now = progress_now(), elapsed = now - p->start;
    if (!p->live || now - p->drawn < REDRAW_SECONDS || p->total < 1)
        return;
    p->drawn = now;
    const double fraction = done >= p->total ? 1 : (double)done / (double)p->total;
    char left[128], right[256], spent[16], to_go[16] = "??:??", rate[16] = "?";
    put_time(spent, sizeof spent, elapsed);
    if (done > 0 && elapsed > 0) {
        put_time(to_go, sizeof to_go, elapsed * (1 - fraction) / fraction);
        put_rate(rate, sizeof rate, (double)(done * p->per_step) / elapsed);
    }
    const int n_left = snprintf(left, sizeof left, "%s %3d%% ", p->label, (int)(100 * fraction));
    const int n_right = snprintf(right, sizeof right, " %lld/%lld %s<%s %s %s/s%s%s", (long long)done,
                                 (long long)p->total, spent, to_go, rate, p->unit, note ? "  " : "", note ? note : "");
    const int columns = terminal_columns() - 1, room = columns - n_left - n_right - 2;
    if (room < MIN_BAR) {
        fprintf(stderr, "\r%.*s%.*s\033[K", columns, left, columns > n_left ? columns - n_left : 0, right);
    } else {
        char bar[MAX_BAR * 4];
        put_bar(bar, room < MAX_BAR ? room : MAX_BAR, fraction, p->blocks);
        fprintf(stderr, "\r%s|%s%s%s|%s\033[K", left, p->colour ? "\033[36m" : "", bar, p->colour ? "\033[0m" : "",
                right);
    }
    fflush(stderr);
}

double progress_end(progress *p, const char *format, ...)
{
    const double elapsed = progress_now() - p->start;
    if (p->live)
        fputs("\r\033[K", stderr);
    if (format && !p->quiet) {
        va_list arguments;
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputc('\n', stderr);
    }
    fflush(stderr);
    return elapsed;
}
