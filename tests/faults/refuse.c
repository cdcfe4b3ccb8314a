#define _GNU_SOURCE /* RTLD_NEXT */
#include "tests/faults/refuse.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define SEEN_BY_ALL __attribute__((visibility("default")))

/* glibc's own names: dlsym() itself may call calloc. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

typedef void *map_function(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
typedef int create_function(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument);

static _Atomic(refusals *) current;
static map_function *real_mmap, *real_mmap64;
static create_function *real_pthread_create;

void refuse(refusals *plan)
{
    atomic_store(&current, plan);
}

static bool is_refused(int kind)
{
    refusals *plan = atomic_load(&current);
    if (!plan || !(plan->kinds & kind))
        return false;
    const long call = atomic_fetch_add(&plan->calls, 1) + 1;
    if (call < plan->from || call > plan->to)
        return false;
    atomic_fetch_add(&plan->refused, 1);
    errno = ENOMEM;
    return true;
}

SEEN_BY_ALL void *malloc(size_t bytes)
{
    return is_refused(REFUSE_HEAP) ? NULL : __libc_malloc(bytes);
}

SEEN_BY_ALL void *calloc(size_t count, size_t bytes)
{
    return is_refused(REFUSE_HEAP) ? NULL : __libc_calloc(count, bytes);
}

SEEN_BY_ALL void *realloc(void *block, size_t bytes)
{
    return is_refused(REFUSE_HEAP) ? NULL : __libc_realloc(block, bytes);
}

SEEN_BY_ALL void *memalign(size_t align, size_t bytes);
SEEN_BY_ALL void *memalign(size_t align, size_t bytes)
{
    return is_refused(REFUSE_HEAP) ? NULL : __libc_memalign(align, bytes);
}

SEEN_BY_ALL void *aligned_alloc(size_t align, size_t bytes)
{
    return memalign(align, bytes);
}

SEEN_BY_ALL int posix_memalign(void **block, size_t align, size_t bytes)
{
    void *got = memalign(align, bytes);
    if (!got)
        return ENOMEM;
    *block = got;
    return 0;
}

/* A function's address as dlsym() has it: ISO C has no cast for that. */
static void find(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

__attribute__((constructor)) static void find_all(void)
{
    find("mmap", &real_mmap);
    find("mmap64", &real_mmap64);
    find("pthread_create", &real_pthread_create);
}

/* Other libraries may be loaded, and call it, before this one's constructor runs. */
static void *map(map_function **real, const char *name, void *at, size_t bytes, int protection, int flags, int fd,
                 off_t offset)
{
    if (!*real)
        find(name, real);
    return is_refused(REFUSE_MAPS) ? MAP_FAILED : (*real)(at, bytes, protection, flags, fd, offset);
}

SEEN_BY_ALL void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return map(&real_mmap, "mmap", at, bytes, protection, flags, fd, offset);
}

SEEN_BY_ALL void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return map(&real_mmap64, "mmap64", at, bytes, protection, flags, fd, offset);
}

SEEN_BY_ALL int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument)
{
    if (!real_pthread_create)
        find("pthread_create", &real_pthread_create);
    const int status = is_refused(REFUSE_THREADS) ? EAGAIN : real_pthread_create(thread, attr, work, argument);
    refusals *plan = atomic_load(&current);
    if (status != 0 && plan)
        atomic_fetch_add(&plan->threads_refused, 1);
    return status;
}
