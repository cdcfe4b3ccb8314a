#include "tensor/arena.h"
#include "tensor/poison.h"

#include <string.h>

enum { FIRST_BLOCK = 1 << 16, SMALL_ALIGN = 16 };

struct tarn__arena_block {
    tarn__arena_block *previous;
    size_t capacity, used;
    _Alignas(TARN__ALIGN) char bytes[];
};

static tarn__arena_block *block_new(size_t capacity, tarn__arena_block *previous)
{
    if (capacity > PTRDIFF_MAX - sizeof(tarn__arena_block))
        return NULL;
    tarn__arena_block *block = tarn__allocate(sizeof *block + capacity);
    if (!block)
        return NULL;
    block->previous = previous;
    block->capacity = capacity;
    block->used = 0;
    tarn__poison(block->bytes, capacity);
    return block;
}

static void block_free(tarn__arena_block *block)
{
    tarn__unpoison(block->bytes, block->capacity);
    tarn__release(block);
}

static void *arena_bump(tarn__arena *arena, size_t bytes, size_t align)
{
    if (bytes > PTRDIFF_MAX - align)
        return NULL;
    size_t rounded = (bytes + align - 1) & ~(align - 1);
    tarn__arena_block *block = arena->current;
    size_t start = block ? (block->used + align - 1) & ~(align - 1) : 0;
    if (!block || start > block->capacity || rounded > block->capacity - start) {
        size_t grown = block ? 2 * block->capacity : FIRST_BLOCK;
        block = block_new(rounded > grown ? rounded : grown, arena->current);
        if (!block && rounded < grown)
            block = block_new(rounded, arena->current);
        if (!block)
            return NULL;
        arena->current = block;
        start = 0;
    }
    arena->used += start + rounded - block->used;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    block->used = start + rounded;
    tarn__unpoison(block->bytes + start, rounded);
    return block->bytes + start;
}

void *tarn__arena_allocate(tarn__arena *arena, size_t bytes)
{
    return arena_bump(arena, bytes, TARN__ALIGN);
}

void *tarn__arena_allocate_unset(tarn__arena *arena, size_t bytes)
{
    return arena_bump(arena, bytes, SMALL_ALIGN);
}

void *tarn__arena_allocate_small(tarn__arena *arena, size_t bytes)
{
    void *record = arena_bump(arena, bytes, SMALL_ALIGN);
    return record ? memset(record, 0, bytes) : NULL;
}

tarn__arena_mark tarn__arena_set_mark(const tarn__arena *arena)
{
    return (tarn__arena_mark){arena->current, arena->current ? arena->current->used : 0, arena->used};
}

void tarn__arena_release(tarn__arena *arena, tarn__arena_mark mark)
{
    while (arena->current != mark.block) {
        tarn__arena_block *previous = arena->current->previous;
        block_free(arena->current);
        arena->current = previous;
    }
    if (mark.block) {
        arena->current->used = mark.block_used;
        tarn__poison(arena->current->bytes + mark.block_used, arena->current->capacity - mark.block_used);
    }
    arena->used = mark.used;
}

void tarn__arena_reset(tarn__arena *arena)
{
    tarn__arena_block *block = arena->current;
    arena->used = 0;
    if (!block)
        return;
    if (block->previous || block->capacity < arena->peak) { /* released scratch counts: it comes again */
        size_t wanted = arena->peak + arena->peak / 8;
        while (block) {
            tarn__arena_block *previous = block->previous;
            block_free(block);
            block = previous;
        }
        arena->current = block_new(wanted, NULL);
        return; /* without memory for one block the arena starts empty, and grows again */
    }
    block->used = 0;
    tarn__poison(block->bytes, block->capacity);
}

void tarn__arena_free(tarn__arena *arena)
{
    for (tarn__arena_block *block = arena->current; block;) {
        tarn__arena_block *previous = block->previous;
        block_free(block);
        block = previous;
    }
    *arena = (tarn__arena){NULL, 0, 0};
}
