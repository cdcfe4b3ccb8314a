#include "tensor/threads.h"
#include "tensor/parallel.h"

#include <omp.h>
#include <stdatomic.h>

enum { MAX_THREADS = 256 };

static atomic_int chosen;
static _Thread_local int thread_index; /* 0 outside of our own parallel loops */

bool tarn_set_threads(int count)
{
    if (tarn_error())
        return false;
    if (count < 0 || count > MAX_THREADS)
        return tarn_fail("tarn_set_threads: %d, expected 1 to %d, or 0 for the default", count, MAX_THREADS);
    atomic_store(&chosen, count);
    return true;
}

int tarn_threads(void)
{
    int count = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (count == 0) {
        count = omp_get_max_threads();
        count = count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : count;
    }
    return count;
}

int tarn__thread_index(void)
{
    return thread_index;
}

void tarn__parallel_for(int64_t tiles, void (*work)(void *context, int64_t tile), void *context)
{
    int threads = tarn_threads();
    if (tiles <= 1 || threads == 1 || omp_in_parallel()) {
        for (int64_t tile = 0; tile < tiles; tile++)
            work(context, tile);
        return;
    }
    /* A counter of our own: LLVM's runtime takes memory from the heap for every loop that it schedules. */
    atomic_llong next = 0;
#pragma omp parallel num_threads(threads)
    {
        thread_index = omp_get_thread_num();
        for (int64_t tile; (tile = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed)) < tiles;)
            work(context, tile);
        thread_index = 0;
    }
}
