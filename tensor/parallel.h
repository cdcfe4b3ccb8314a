/* tensor/parallel.h (internal): tiles over threads. */
#ifndef TARN__PARALLEL_H
#define TARN__PARALLEL_H

#include "tensor/threads.h"

enum { TARN__MAX_THREADS = 256 };

/* Calls work(context, 0..tiles-1), each once, on up to tarn_threads() threads, the caller's among them, and waits. The
 * caller cuts the tiles by shape alone, and no tile may read what another writes: then the result does not depend on the
 * thread count. Called from within a tile, it runs serially. Never fails: where there are no threads to be had, the
 * caller does all tiles. The work must not set errors. */
void tarn__parallel_for(int64_t tiles, void (*work)(void *context, int64_t tile), void *context);

/* Which of the threads is running this tile: 0..tarn_threads()-1. For scratch memory only. */
int tarn__thread_index(void);

/* How many processors the process may use. */
int tarn__processors(void);

/* How many tiles of `grain` it takes to cover n. */
static inline int64_t tarn__tiles(int64_t n, int64_t grain)
{
    return (n + grain - 1) / grain;
}

#endif
