/* autograd/tape_impl.h (internal): the inside of a tape, for tape.c, run.c and grad.c. */
#ifndef TARN__TAPE_IMPL_H
#define TARN__TAPE_IMPL_H

#include "autograd/op.h"

struct tarn_tape {
    tarn__arena arena;
    tarn_node **nodes; /* in the order of recording, which is an order of dependence */
    size_t count, capacity;
    bool training, grad, eager;
};

/* The leaves behind n's inputs are as they were when it was recorded; an error otherwise. */
bool tarn__inputs_unchanged(const tarn_node *n);

/* Runs the n tensors' nodes, and what they need, in the order of recording. */
bool tarn__run_all(tarn_tape *t, size_t n, tarn_tensor *const *xs);

#endif
