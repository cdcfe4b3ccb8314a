#include "tensor/error.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static _Thread_local char message[1024];
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

bool tarn_fail(const char *format, ...)
{
    if (pending)
        return false;
    va_list args;
    va_start(args, format);
    if (!format || vsnprintf(message, sizeof message, format, args) < 0)
        snprintf(message, sizeof message, "tarn_fail: the message could not be formatted");
    va_end(args);
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
