/* progress.h: how far a loop has come, on stderr.
 *
 * On a terminal a bar is redrawn in place, at most ten times a second:
 *     epoch 2/5  42% |########        | 394/938 00:12<00:17 2.1k images/s  loss 0.312
 * Elsewhere (a file, a pipe, TERM=dumb) there is no bar and no carriage return: only what progress_end()
 * prints. The bar is coloured unless NO_COLOR is set, and made of block characters where the locale is UTF-8. */
#ifndef EXAMPLES_PROGRESS_H
#define EXAMPLES_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    char label[64];
    const char *unit; /* what items are: "images" */
    int64_t total;    /* steps to do */
    int64_t per_step; /* items in a step, for the rate */
    bool quiet, live, colour, blocks;
    double start, drawn; /* seconds on the monotonic clock */
} progress;

/* Seconds on a clock that only goes forward. */
double progress_now(void);

/* Starts the clock. quiet: nothing is ever printed. `unit` must outlive the result. */
progress progress_begin(const char *label, int64_t total, const char *unit, int64_t per_step, bool quiet);

/* `done` steps are behind us; note (or NULL) is shown at the end of the bar. */
void progress_show(progress *p, int64_t done, const char *note);

/* Takes the bar away and prints one line of text (a printf format), or none when format is NULL. Returns the
 * seconds since the beginning. */
double progress_end(progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
