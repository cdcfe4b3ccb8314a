/* layers/layers_impl.h (internal): what the layers share. */
#ifndef TARN__LAYERS_IMPL_H
#define TARN__LAYERS_IMPL_H

#include "autograd/tape.h"
#include "layers/conv2d.h"
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

/* Checks a normalization's options and adds NAME.gamma (ones) and NAME.beta (zeros; beta NULL: none), both [channels];
 * with no_affine neither. */
bool tarn__add_affine(const char *who, tarn_params *params, const char *name, int64_t channels, double eps,
                      bool no_affine, tarn_tensor **gamma, tarn_tensor **beta);

/* x is [...,channels], of the dtype of the layer's `part`; NULL: f32 or f64. */
bool tarn__takes(const char *who, const tarn_tensor *x, int64_t channels, const tarn_tensor *part);

/* x is [N,H,W,in], of the weight's dtype: what the convolution takes. */
bool tarn__takes_image(const char *who, const tarn_tensor *x, const tarn_conv2d_layer *conv);

/* The checks at the start of an _apply: nothing is NULL, and no error is pending. `ready` says, of a layer that is
 * not NULL, that its _init has succeeded. */
bool tarn__applicable(const char *who, const tarn_tape *t, const void *layer, bool ready, const tarn_tensor *x);

#endif
