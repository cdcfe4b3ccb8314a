#include "tensor/error.h"
#include "tensor/c_locale.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ROOM = 1024, LONGEST = 8192 };

static _Thread_local char message[ROOM];
static _Thread_local bool pending;

static _Atomic(tarn_error_hook *) hook;
static _Atomic(void *) hook_context;

const char *tarn_error(void)
{
    return pending ? message : NULL;
}

void tarn_error_clear(void)
{
    pending = false;
}

/* A text that is too long loses its middle, which is where a path is: who says it comes first, and why last. */
static void cut_middle(const char *format, va_list args)
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

static void set_message(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(message, sizeof message, format, args);
    if (length < 0)
        snprintf(message, sizeof message, "tarn_fail: the message could not be formatted");
    else if (length >= ROOM)
        cut_middle(format, again);
    va_end(again);
}

bool tarn_fail(const char *format, ...)
{
    if (pending)
        return false;
    tarn__c_locale locale = tarn__c_locale_begin();
    va_list args;
    va_start(args, format);
    set_message(format ? format : "tarn_fail: format is NULL", args);
    va_end(args);
    tarn__c_locale_end(locale);
    pending = true;
    tarn_error_hook *call = atomic_load(&hook);
    if (call)
        call(message, atomic_load(&hook_context));
    return false;
}

void tarn_set_error_hook(tarn_error_hook *new_hook, void *context)
{
    atomic_store(&hook_context, context);
    atomic_store(&hook, new_hook);
}
