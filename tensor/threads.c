#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "tensor/threads.h"
#include "tensor/parallel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

static atomic_int chosen;
static atomic_int by_default;

bool tarn_set_threads(int count)
{
    if (tarn_error())
        return false;
    if (count < 0 || count > TARN__MAX_THREADS)
        return tarn_fail("tarn_set_threads: %d, expected 1 to %d, or 0 for the default", count, TARN__MAX_THREADS);
    atomic_store(&chosen, count);
    return true;
}

int tarn__processors(void)
{
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        return CPU_COUNT(&allowed);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online <= TARN__MAX_THREADS ? (int)online : online > 0 ? TARN__MAX_THREADS : 1;
}

/* OMP_NUM_THREADS may be a list, for nested loops: the first number counts. */
static int default_threads(void)
{
    const char *asked = getenv("OMP_NUM_THREADS");
    long count = asked ? strtol(asked, NULL, 10) : 0;
    if (count < 1)
        count = tarn__processors();
    return count > TARN__MAX_THREADS ? TARN__MAX_THREADS : (int)count;
}

int tarn_threads(void)
{
    int count = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (count > 0)
        return count;
    count = atomic_load_explicit(&by_default, memory_order_relaxed);
    if (count == 0) {
        count = default_threads();
        atomic_store_explicit(&by_default, count, memory_order_relaxed);
    }
    return count;
}
