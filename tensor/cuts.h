/* tensor/cuts.h (internal): scratch memory, cut into pieces.
 *
 * What cuts a block says also how large it has to be: run without a block, it counts. So a size and what is cut
 * from it cannot drift apart. */
#ifndef TARN__CUTS_H
#define TARN__CUTS_H

#include "tensor/assertion.h"

#include <stddef.h>

/* The caller sets block and bytes, or nothing. */
typedef struct tarn__cuts {
    char *block; /* NULL: only `most` is wanted */
    size_t bytes;
    size_t used; /* may be set back, where pieces are done with */
    size_t most; /* that has been used */
} tarn__cuts;

static inline size_t tarn__whole_lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* The next piece; NULL without a block. */
static inline void *tarn__cut(tarn__cuts *c, size_t bytes)
{
    char *piece = c->block ? c->block + c->used : NULL;
    c->used += tarn__whole_lines(bytes);
    c->most = c->used > c->most ? c->used : c->most;
    tarn__assert(!c->block || c->used <= c->bytes);
    return piece;
}

#endif
