/* autograd/draw.h: the tape as a picture. */
#ifndef TARN_DRAW_H
#define TARN_DRAW_H

#include "autograd/tape.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a tensor is called in the picture. */
typedef struct tarn_dot_name {
    const tarn_tensor *tensor;
    const char *name;
} tarn_dot_name;

typedef struct tarn_dot_opts {
    const char *title; /* NULL: none */
    bool hide_leaves;  /* leave out inputs, parameters and constants */
    int n_outputs;     /* above 0: only what these results need is drawn, and they have a double border */
    tarn_tensor *const *outputs;
    int n_names; /* of results and of leaves, for those that are in the picture; a parameter has its own name already */
    const tarn_dot_name *names;
} tarn_dot_opts;

/* Writes the tape as a graph for Graphviz (`dot -Tsvg tape.dot -o tape.svg`): a box for each recorded op, with its name
 * and the dtype and shape of its output, an ellipse for each leaf, an arrow from what is read to what reads it.
 * Views have a dashed border; what a gradient recorded is orange; what a checkpoint's gradient computes again is grey.
 * Among the leaves, parameters are green, buffers are grey. Equal tapes give equal text.
 *
 * Nothing is recorded, and nothing runs. opts NULL: the whole tape, leaves too. Errors: a tape or file that is NULL, a
 * file that cannot be written, an output that is no result on this tape, a tensor or name in `names` that is NULL, no
 * memory. */
TARN_API bool tarn_tape_write_dot(const tarn_tape *tape, FILE *file, const tarn_dot_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
