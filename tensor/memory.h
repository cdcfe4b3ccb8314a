/* tensor/memory.h: where tarn's memory comes from. */
#ifndef TARN_MEMORY_H
#define TARN_MEMORY_H

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every byte that tarn takes from the heap comes through this pair: malloc and free until replaced.
 *
 * allocate returns `bytes` bytes (never 0) aligned for any C type, or NULL; release gets back what allocate
 * returned, with the same size. Both may be called from several threads at once, a loader's own (data/loader.h) among
 * them. Replace them before anything else is called, or while nothing of tarn's is alive: a block goes back to the pair that is set at that
 * time. */
typedef struct tarn_allocator {
    void *(*allocate)(size_t bytes, void *context);
    void (*release)(void *block, size_t bytes, void *context);
    void *context;
} tarn_allocator;

/* NULL restores malloc and free. An allocator that lacks one of its two functions is an error. Works while an error is
 * pending. */
TARN_API bool tarn_set_allocator(const tarn_allocator *allocator);

#ifdef __cplusplus
}
#endif
#endif
