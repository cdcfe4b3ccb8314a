/* layers/layers_impl.h (internal): what the layers share. */
#ifndef TARN__LAYERS_IMPL_H
#define TARN__LAYERS_IMPL_H

#include "autograd/tape.h"
#include "tensor/params.h"

/* A tensor that a layer adds to its store, as NAME.suffix. */
typedef struct tarn__part {
    const char *suffix;
    bool trained;
    int ndim;
    int64_t shape[4];
    tarn_tensor **tensor; /* where the layer wants it */
} tarn__part;

/* Adds n parts to the store: all, or on error none. */
bool tarn__add_parts(const char *who, tarn_params *params, const char *name, int n, const tarn__part *parts);

/* The checks at the start of an _apply: nothing is NULL, and no error is pending. `ready` says, of a layer that is
 * not NULL, that its _init has succeeded. */
bool tarn__applicable(const char *who, const tarn_tape *t, const void *layer, bool ready, const tarn_tensor *x);

/* Is a size at least 1? */
bool tarn__is_size(const char *who, const char *what, int64_t size);

#endif
