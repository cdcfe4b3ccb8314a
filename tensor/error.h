/* tensor/error.h: how tarn reports what went wrong.
 *
 * The first error sticks. While one is pending, every function that makes or changes something returns NULL
 * or false and does nothing; only _free, _reset, the plain getters and this header's functions work as usual.
 * So `f(g(h(x)))` needs one check, at the end. The error is text, belongs to the calling thread, and names
 * the function, the shapes and what was wrong. tarn never exits, aborts or prints. */
#ifndef TARN_ERROR_H
#define TARN_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TARN_API              __attribute__((visibility("default")))
#define TARN_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#else
#define TARN_API
#define TARN_PRINTF(fmt, arg)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The calling thread's pending error, or NULL when there is none. The text stays valid until
 * tarn_error_clear() in the same thread. */
TARN_API const char *tarn_error(void);

/* Forgets the pending error. */
TARN_API void tarn_error_clear(void);

/* Sets the calling thread's error from a printf format, unless one is already pending. Always returns false,
 * so that loaders and user code can `return tarn_fail("data: %s: no such file", path);`. Of a text of more than
 * 1023 bytes the middle is left out, so that what a long path is in the way of can be read (of one beyond 8191
 * bytes, the end too). Numbers have a decimal point in every locale. Never fails, and takes no memory: 256 threads at a
 * time can have a text of their own; in any further one the error is pending, and says that its text is lost. */
TARN_API bool tarn_fail(const char *format, ...) TARN_PRINTF(1, 2);

/* Called with the text at the moment an error first becomes pending: a place for a breakpoint or a log line.
 * NULL, the default, calls nothing. One hook serves all threads. */
typedef void tarn_error_hook(const char *message, void *context);
TARN_API void tarn_set_error_hook(tarn_error_hook *hook, void *context);

#ifdef __cplusplus
}
#endif
#endif
