/* tensor/arena.h (internal): heap blocks, and the growing arena that tapes live in. */
#ifndef TARN__ARENA_H
#define TARN__ARENA_H

#include "tensor/error.h"

#include <string.h>

enum { TARN__ALIGN = 64 }; /* a cache line, and the widest vector register */

/* Blocks aligned to TARN__ALIGN, through the allocator of tensor/memory.h. NULL when there is no memory: the
 * caller sets the error, since only it knows what the memory was for. tarn__release(NULL) does nothing. */
void *tarn__allocate(size_t bytes);
void *tarn__allocate_zeroed(size_t bytes);
void tarn__release(void *block);
char *tarn__copy_string(const char *text);

/* Gives memory that has been released back to the system, which malloc may not do by itself: for when many large blocks
 * have just been released. */
void tarn__return_memory(void);

/* Zeroes a constant number of bytes, at most a few hundred, a cache line at a time: one memset of them all gcc makes a
 * `rep stos`, which takes some 10 ns to start (Zen 5), half as long as all of an op's recording. */
static inline void tarn__zero(void *start, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += TARN__ALIGN)
        memset((char *)start + i, 0, bytes - i < TARN__ALIGN ? bytes - i : TARN__ALIGN);
}

/* A growing arena: allocations are bumped out of blocks; tarn__arena_reset() takes them all back at once and
 * keeps the memory, merged into one block, so that a loop which repeats itself allocates nothing from the
 * heap. */
typedef struct tarn__arena_block tarn__arena_block;

typedef struct tarn__arena {
    tarn__arena_block *current; /* newest block; each links to the one before it */
    size_t used;                /* bytes handed out since the last reset, alignment included */
    size_t peak;                /* the most that `used` has been */
} tarn__arena;

typedef struct tarn__arena_mark {
    tarn__arena_block *block;
    size_t block_used, used;
} tarn__arena_mark;

/* Aligned to TARN__ALIGN, not zeroed. NULL when there is no memory (no error is set). */
void *tarn__arena_allocate(tarn__arena *arena, size_t bytes);

/* Aligned to 16 bytes, not zeroed. */
void *tarn__arena_allocate_unset(tarn__arena *arena, size_t bytes);

/* The same, zeroed. */
void *tarn__arena_allocate_small(tarn__arena *arena, size_t bytes);

/* Everything allocated after the mark is given back by the release; marks nest. */
tarn__arena_mark tarn__arena_set_mark(const tarn__arena *arena);
void tarn__arena_release(tarn__arena *arena, tarn__arena_mark mark);

void tarn__arena_reset(tarn__arena *arena);
void tarn__arena_free(tarn__arena *arena);

#endif
