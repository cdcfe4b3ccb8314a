/* The records of a tape's tensors. Their memory is never anything else, and lies still for a while after a reset: so a
 * pointer that the program has kept too long finds a record that says that it is an old one. */
#include "autograd/tape_impl.h"

#include <string.h>

enum { FIRST_SLAB = 256, SMALLEST_SLAB = 8 };

struct tarn__slab {
    tarn__slab *previous;
    size_t capacity, used;
    _Alignas(16) tarn_tensor records[];
};

static bool slab_add(tarn__records *r, size_t capacity)
{
    tarn__slab *slab = tarn__allocate(sizeof *slab + capacity * sizeof slab->records[0]), *full = r->slab;
    if (!slab)
        return false;
    *slab = (tarn__slab){.previous = full, .capacity = capacity};
    r->slab = slab;
    r->total += capacity;
    while (full && full->used < full->capacity)
        tarn__record_give(r, &full->records[full->used++]);
    return true;
}

/* What the last reset has let go stays as it is until the next one: the program may try to read it. */
static bool is_old_enough(const tarn_tensor *x, uint64_t now)
{
    return x && x->born + 1 < now;
}

tarn_tensor *tarn__record_take(tarn__records *r, uint64_t now, size_t zeroed)
{
    tarn_tensor *x = r->spare;
    if (x) {
        r->spare = x->later;
    } else if (r->slab && r->slab->used < r->slab->capacity) {
        x = &r->slab->records[r->slab->used++];
    } else if (is_old_enough(r->oldest, now)) {
        x = r->oldest;
        r->oldest = x->later;
    } else if (slab_add(r, r->total ? r->total : FIRST_SLAB) || slab_add(r, SMALLEST_SLAB)) {
        x = &r->slab->records[r->slab->used++];
    }
    return x ? memset(x, 0, zeroed) : NULL;
}

void tarn__record_give(tarn__records *r, tarn_tensor *x)
{
    x->later = r->spare;
    r->spare = x;
}

void tarn__records_reset(tarn__records *r)
{
    if (r->taken > r->most)
        r->most = r->taken;
    r->taken = 0;
    if (r->total < 2 * r->most)
        slab_add(r, 2 * r->most - r->total); /* without memory for it the next round adds what it needs */
}

void tarn__records_free(tarn__records *r)
{
    for (tarn__slab *slab = r->slab; slab;) {
        tarn__slab *previous = slab->previous;
        tarn__release(slab);
        slab = previous;
    }
    *r = (tarn__records){0};
}
