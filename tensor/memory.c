#include "tensor/memory.h"
#include "tensor/arena.h"

#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Each block starts with this header; what the caller gets begins TARN__ALIGN bytes behind an aligned
 * address. */
typedef struct block_header {
    void *raw;
    size_t bytes;
} block_header;

static void *malloc_allocate(size_t bytes, void *context)
{
    (void)context;
    return malloc(bytes);
}

static void malloc_release(void *block, size_t bytes, void *context)
{
    (void)bytes, (void)context;
    free(block);
}

static tarn_allocator current = {malloc_allocate, malloc_release, NULL};

bool tarn_set_allocator(const tarn_allocator *allocator)
{
    if (allocator && (!allocator->allocate || !allocator->release))
        return tarn_fail("tarn_set_allocator: both allocate and release must be given");
    current = allocator ? *allocator : (tarn_allocator){malloc_allocate, malloc_release, NULL};
    return true;
}

void *tarn__allocate(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - 2 * (size_t)TARN__ALIGN)
        return NULL;
    size_t total = bytes + 2 * TARN__ALIGN;
    char *raw = current.allocate(total, current.context);
    if (!raw)
        return NULL;
    uintptr_t start = ((uintptr_t)raw + sizeof(block_header) + TARN__ALIGN - 1) & ~(uintptr_t)(TARN__ALIGN - 1);
    char *block = raw + (start - (uintptr_t)raw);
    memcpy(block - sizeof(block_header), &(block_header){raw, total}, sizeof(block_header));
    return block;
}

void *tarn__allocate_zeroed(size_t bytes)
{
    void *block = tarn__allocate(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void tarn__release(void *block)
{
    if (!block)
        return;
    block_header header;
    memcpy(&header, (char *)block - sizeof header, sizeof header);
    current.release(header.raw, header.bytes, current.context);
}

void tarn__return_memory(void)
{
#ifdef __GLIBC__
    if (current.release == malloc_release)
        malloc_trim(0);
#endif
}

char *tarn__copy_string(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tarn__allocate(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}
