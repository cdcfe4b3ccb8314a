#include "tensor/pool.h"
#include "tensor/poison.h"

#include <string.h>

/* ---- gaps, by size ---- */

static int bin_of(size_t bytes)
{
    size_t units = bytes / TARN__ALIGN;
    int top = 63 - __builtin_clzll(units);
    return 4 * top + (int)(units << 2 >> top & 3);
}

static void gap_enter(tarn__pool *pool, tarn__chunk *gap)
{
    int bin = bin_of(gap->bytes);
    gap->taken = false;
    gap->previous = NULL;
    gap->next = pool->bin[bin];
    if (gap->next)
        gap->next->previous = gap;
    pool->bin[bin] = gap;
    pool->filled[bin / 64] |= (uint64_t)1 << bin % 64;
}

static void gap_leave(tarn__pool *pool, tarn__chunk *gap)
{
    int bin = bin_of(gap->bytes);
    if (gap->previous)
        gap->previous->next = gap->next;
    else
        pool->bin[bin] = gap->next;
    if (gap->next)
        gap->next->previous = gap->previous;
    if (!pool->bin[bin])
        pool->filled[bin / 64] &= ~((uint64_t)1 << bin % 64);
}

/* The first bin from `from` on that holds a gap; TARN__POOL_BINS if there is none. */
static int next_bin(const tarn__pool *pool, int from)
{
    if (from >= TARN__POOL_BINS)
        return TARN__POOL_BINS;
    int word = from / 64;
    uint64_t bits = pool->filled[word] >> from % 64 << from % 64;
    while (!bits)
        if (++word == TARN__POOL_BINS / 64)
            return TARN__POOL_BINS;
        else
            bits = pool->filled[word];
    return 64 * word + __builtin_ctzll(bits);
}

/* The smallest gap that is large enough, and the lowest of those. */
static tarn__chunk *best_gap(const tarn__pool *pool, size_t bytes)
{
    tarn__chunk *best = NULL;
    for (int bin = next_bin(pool, bin_of(bytes)); bin < TARN__POOL_BINS && !best; bin = next_bin(pool, bin + 1))
        for (tarn__chunk *gap = pool->bin[bin]; gap; gap = gap->next) {
            if (gap->bytes < bytes)
                continue;
            if (!best || gap->bytes < best->bytes || (gap->bytes == best->bytes && gap->offset < best->offset))
                best = gap;
        }
    return best;
}

/* ---- records ---- */

static tarn__chunk *record_new(tarn__pool *pool, tarn__arena *records)
{
    tarn__chunk *chunk = pool->spare;
    if (!chunk)
        return tarn__arena_allocate_small(records, sizeof *chunk);
    pool->spare = chunk->next;
    return memset(chunk, 0, sizeof *chunk);
}

/* Out of the space: its place goes to the neighbour below, or is the end no more. */
static void record_free(tarn__pool *pool, tarn__chunk *chunk)
{
    if (chunk->below)
        chunk->below->above = chunk->above;
    if (chunk->above)
        chunk->above->below = chunk->below;
    else
        pool->last = chunk->below;
    chunk->next = pool->spare;
    pool->spare = chunk;
}

static void insert_above(tarn__pool *pool, tarn__chunk *below, tarn__chunk *chunk)
{
    chunk->below = below;
    chunk->above = below ? below->above : NULL;
    chunk->offset = below ? below->offset + below->bytes : 0;
    if (below)
        below->above = chunk;
    if (chunk->above)
        chunk->above->below = chunk;
    else
        pool->last = chunk;
}

/* ---- places ---- */

static tarn__chunk *take_gap(tarn__pool *pool, tarn__arena *records, tarn__chunk *gap, size_t bytes)
{
    gap_leave(pool, gap);
    tarn__chunk *rest = gap->bytes > bytes ? record_new(pool, records) : NULL;
    if (rest) { /* else the gap is taken whole */
        rest->bytes = gap->bytes - bytes;
        gap->bytes = bytes;
        insert_above(pool, gap, rest);
        gap_enter(pool, rest);
    }
    return gap;
}

static tarn__chunk *take_end(tarn__pool *pool, tarn__arena *records, size_t bytes)
{
    tarn__chunk *chunk = record_new(pool, records);
    if (!chunk)
        return NULL;
    chunk->bytes = bytes;
    insert_above(pool, pool->last, chunk);
    return chunk;
}

/* Joins it with the gaps beside it. What is free at the end does not belong to the space. */
static void leave_place(tarn__pool *pool, tarn__chunk *chunk)
{
    tarn__chunk *below = chunk->below, *above = chunk->above;
    if (above && !above->taken) {
        gap_leave(pool, above);
        chunk->bytes += above->bytes;
        record_free(pool, above);
    }
    if (below && !below->taken) {
        gap_leave(pool, below);
        below->bytes += chunk->bytes;
        record_free(pool, chunk);
        chunk = below;
    }
    if (chunk->above)
        gap_enter(pool, chunk);
    else
        record_free(pool, chunk);
}

tarn__chunk *tarn__pool_take(tarn__pool *pool, tarn__arena *records, size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2)
        return NULL;
    size_t rounded = bytes ? (bytes + TARN__ALIGN - 1) & ~(size_t)(TARN__ALIGN - 1) : TARN__ALIGN;
    tarn__chunk *gap = best_gap(pool, rounded);
    tarn__chunk *chunk = gap ? take_gap(pool, records, gap, rounded) : take_end(pool, records, rounded);
    if (!chunk)
        return NULL;
    chunk->taken = true;
    chunk->next = chunk->previous = NULL;
    size_t end = chunk->offset + chunk->bytes;
    chunk->apart = end > pool->capacity;
    if (chunk->apart)
        chunk->data = tarn__allocate(chunk->bytes);
    else
        chunk->data = pool->block + chunk->offset;
    if (!chunk->data) {
        leave_place(pool, chunk);
        return NULL;
    }
    if (!chunk->apart)
        tarn__unpoison(chunk->data, bytes);
    pool->used += chunk->bytes;
    if (end > pool->extent)
        pool->extent = end;
    return chunk;
}

static void give_memory(const tarn__chunk *chunk)
{
    if (chunk->apart)
        tarn__release(chunk->data);
    else
        tarn__poison(chunk->data, chunk->bytes);
}

void tarn__pool_give(tarn__pool *pool, tarn__chunk *chunk)
{
    give_memory(chunk);
    pool->used -= chunk->bytes;
    leave_place(pool, chunk);
}

/* ---- everything at once ---- */

static void block_free(tarn__pool *pool)
{
    if (pool->block)
        tarn__unpoison(pool->block, pool->capacity);
    tarn__release(pool->block);
    pool->block = NULL;
    pool->capacity = 0;
}

/* None lies apart while the block holds the whole space. */
static void release_apart(const tarn__pool *pool)
{
    for (tarn__chunk *chunk = pool->last; chunk && pool->extent > pool->capacity; chunk = chunk->below)
        if (chunk->taken && chunk->apart)
            tarn__release(chunk->data);
}

void tarn__pool_reset(tarn__pool *pool)
{
    size_t extent = pool->extent;
    release_apart(pool);
    if (extent > pool->capacity) {
        block_free(pool);
        tarn__return_memory();
        pool->block = tarn__allocate(extent); /* without memory for it, places lie apart until the next reset */
        pool->capacity = pool->block ? extent : 0;
    }
    if (pool->block)
        tarn__poison(pool->block, pool->capacity);
    *pool = (tarn__pool){.block = pool->block, .capacity = pool->capacity, .extent = extent};
}

void tarn__pool_free(tarn__pool *pool)
{
    release_apart(pool);
    block_free(pool);
    *pool = (tarn__pool){0};
}
