/* The records of a tape's tensors. Their memory is never anything else, and what a reset lets go lies still until the next
 * reset, for rounds take from two halves in turn: so a pointer that the program has kept too long finds a record that says
 * that it is an old one. */
#include "autograd/tape_impl.h"

enum { FIRST_SLAB = 256, SMALLEST_SLAB = 8 };

struct tarn__slab {
    tarn__slab *next;
    size_t capacity;
    _Alignas(TARN__ALIGN) tarn_tensor records[];
};

static tarn__slab *slab_add(tarn__half *half, size_t capacity)
{
    tarn__slab *slab = tarn__allocate(sizeof *slab + capacity * sizeof slab->records[0]);
    if (!slab)
        return NULL;
    slab->next = NULL;
    slab->capacity = capacity;
    if (half->last)
        half->last->next = slab;
    else
        half->first = slab;
    half->last = slab;
    half->total += capacity;
    return slab;
}

bool tarn__records_next_slab(tarn__records *r)
{
    tarn__half *half = &r->halves[r->now];
    tarn__slab *slab = r->slab ? r->slab->next : half->first;
    if (!slab)
        slab = slab_add(half, half->total ? half->total : FIRST_SLAB);
    if (!slab)
        slab = slab_add(half, SMALLEST_SLAB);
    if (!slab)
        return false;
    r->slab = slab;
    r->free = slab->records;
    r->end = slab->records + slab->capacity;
    return true;
}

void tarn__records_reset(tarn__records *r)
{
    r->now = !r->now;
    tarn__half *half = &r->halves[r->now];
    if (half->total < r->taken)
        slab_add(half, r->taken - half->total); /* without memory for it the next round adds what it needs */
    r->slab = NULL;
    r->free = r->end = NULL;
    r->taken = 0;
}

void tarn__records_free(tarn__records *r)
{
    for (int i = 0; i < 2; i++)
        for (tarn__slab *slab = r->halves[i].first; slab;) {
            tarn__slab *next = slab->next;
            tarn__release(slab);
            slab = next;
        }
    *r = (tarn__records){0};
}
