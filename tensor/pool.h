/* tensor/pool.h (internal): memory for values, taken and given back in any order.
 *
 * Places are offsets in one space: the best fit among the gaps, and the end where none fits. An offset below the
 * pool's capacity is memory of its block; beyond it a place gets a heap block of its own. A reset makes the block as
 * large as the space has ever been. Which offset a place gets does not depend on the capacity: so a loop that
 * repeats itself takes nothing from the heap after its first round. */
#ifndef TARN__POOL_H
#define TARN__POOL_H

#include "tensor/arena.h"

typedef struct tarn__chunk tarn__chunk;
struct tarn__chunk {
    void *data;
    size_t offset, bytes;         /* multiples of TARN__ALIGN */
    tarn__chunk *below, *above;   /* its neighbours in the space */
    tarn__chunk *previous, *next; /* of a gap: in its bin; of one that is taken: `next` is its owner's */
    bool taken, apart;            /* apart: in a heap block of its own */
};

/* A bin holds the gaps of similar sizes, four to a power of two. */
enum { TARN__POOL_BINS = 256 };

typedef struct tarn__pool {
    char *block;
    size_t capacity, extent;   /* of the block; of the space at its largest */
    size_t used;               /* bytes that are taken now */
    tarn__chunk *last, *spare; /* the end of the space; records that are free */
    tarn__chunk *bin[TARN__POOL_BINS];
    uint64_t filled[TARN__POOL_BINS / 64]; /* which bins hold any */
} tarn__pool;

/* At least `bytes` bytes, aligned to TARN__ALIGN, not zeroed; the record comes from the arena. NULL when there is no
 * memory (no error is set). */
tarn__chunk *tarn__pool_take(tarn__pool *pool, tarn__arena *records, size_t bytes);

void tarn__pool_give(tarn__pool *pool, tarn__chunk *chunk);

/* Takes everything back. The arena of the records must be reset after it. */
void tarn__pool_reset(tarn__pool *pool);
void tarn__pool_free(tarn__pool *pool);

#endif
