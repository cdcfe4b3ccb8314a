#include "tensor/error.h"
#include "tensor/c_locale.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ROOM = 1024, LONGEST = 8192, TEXTS = 256 };

/* Texts are lent to the threads that have an error pending. Each thread's own would be 1 KB of thread-local memory, which
 * in a library that is loaded with dlopen() comes from the heap when a thread first touches it; where there is none the C
 * library ends the process. A few bytes fit into what it keeps for such libraries. */
typedef struct text {
    atomic_bool lent;
    char message[ROOM];
} text;

static text texts[TEXTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;
static bool has_key;

static _Thread_local text *mine;
static _Thread_local const char *pending;

static _Atomic(tarn_error_hook *) hook;
static _Atomic(void *) hook_context;

const char *tarn_error(void)
{
    return pending;
}

void tarn_error_clear(void)
{
    pending = NULL;
    if (mine)
        atomic_store(&mine->lent, false);
    mine = NULL;
}

/* ---- a thread's text ---- */

static void give_back(void *unused)
{
    (void)unused;
    tarn_error_clear();
}

static void make_key(void)
{
    has_key = pthread_key_create(&at_thread_end, give_back) == 0;
}

/* NULL if all are lent. */
static char *borrow(void)
{
    for (int i = 0; i < TEXTS; i++)
        if (!atomic_exchange(&texts[i].lent, true)) {
            mine = &texts[i];
            pthread_once(&once, make_key);
            if (has_key) /* also of a thread that ends with its error pending it comes back */
                pthread_setspecific(at_thread_end, mine);
            return mine->message;
        }
    return NULL;
}

/* A text that is too long loses its middle, which is where a path is: who says it comes first, and why last. */
static void cut_middle(char *message, const char *format, va_list args)
{
    static const char gap[] = "...";
    enum { HEAD = (ROOM - (int)sizeof gap) / 2, TAIL = ROOM - HEAD - (int)sizeof gap + 1 };
    char whole[LONGEST];
    int length = vsnprintf(whole, sizeof whole, format, args);
    if (length < 0)
        return;
    size_t end = length < LONGEST ? (size_t)length : sizeof whole - 1;
    memcpy(message, whole, HEAD);
    memcpy(message + HEAD, gap, sizeof gap - 1);
    memcpy(message + HEAD + sizeof gap - 1, whole + end + 1 - TAIL, TAIL);
}

static void write_message(char *message, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(message, ROOM, format, args);
    if (length < 0)
        snprintf(message, ROOM, "tarn_fail: the message could not be formatted");
    else if (length >= ROOM)
        cut_middle(message, format, again);
    va_end(again);
}

bool tarn_fail(const char *format, ...)
{
    if (pending)
        return false;
    char *message = borrow();
    if (message) {
        tarn__c_locale locale = tarn__c_locale_begin();
        va_list args;
        va_start(args, format);
        write_message(message, format ? format : "tarn_fail: format is NULL", args);
        va_end(args);
        tarn__c_locale_end(locale);
    }
    pending =
        message ? message : "tarn_fail: the error's text is lost: 256 threads have errors that they have not cleared";
    tarn_error_hook *call = atomic_load(&hook);
    if (call)
        call(pending, atomic_load(&hook_context));
    return false;
}

void tarn_set_error_hook(tarn_error_hook *new_hook, void *context)
{
    atomic_store(&hook_context, context);
    atomic_store(&hook, new_hook);
}
