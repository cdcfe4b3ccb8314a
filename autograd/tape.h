/* autograd/tape.h: the tape, on which ops are recorded, run and differentiated.
 *
 * An op (autograd/ops.h) checks its shapes at once, appends a node to its tape and returns a tensor; nothing
 * is computed yet. Reading a value (tarn_item, tarn_data, tarn_backward, ...) runs what that value needs, and
 * nothing else. What an op returns lives on its tape until tarn_tape_reset().
 *
 * The gradient rule of every op is written in ops, so a gradient is more tape: it can be differentiated
 * again.
 *
 * A tape is used by one thread at a time; different tapes are independent. */
#ifndef TARN_TAPE_H
#define TARN_TAPE_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_tape tarn_tape;

/* An empty tape: training on, gradients on, eager off. NULL with an error when there is no memory. */
TARN_API tarn_tape *tarn_tape_new(void);

/* Frees the tape and every tensor on it, which nobody may use any more. NULL is fine. */
TARN_API void tarn_tape_free(tarn_tape *tape);

/* Lets go of every tensor on the tape, and keeps the memory for what comes next: after its first step, a loop
 * that repeats itself takes nothing from the heap. Works while an error is pending. NULL is fine.
 *
 * To read, write or record with a tensor that was let go is an error which says so, whatever the tape has recorded since:
 * until the tape is reset a second time, and as long as there is no new tensor in its place, which from then on there may
 * be. Pointers from tarn_data() are not watched over. */
TARN_API void tarn_tape_reset(tarn_tape *tape);

/* Training (the default) or evaluation: what BatchNorm and dropout do when they are recorded from here on. */
TARN_API void tarn_tape_set_training(tarn_tape *tape, bool training);
TARN_API bool tarn_tape_training(const tarn_tape *tape);

/* Whether gradients flow through what is recorded from here on (the default). Off: those results are constants, and what
 * they were computed from is not reached through them. Where it is reached in another way as well, that way's gradient is
 * the whole one, as for a target or the part of a net that is not trained; where there is no other way, tarn_grad() and
 * tarn_backward() say so. */
TARN_API void tarn_tape_set_grad(tarn_tape *tape, bool grad);
TARN_API bool tarn_tape_grad(const tarn_tape *tape);

/* Eager: every op runs as it is recorded, so that a debugger stands where the op was called. Same values. */
TARN_API void tarn_tape_set_eager(tarn_tape *tape, bool eager);
TARN_API bool tarn_tape_eager(const tarn_tape *tape);

/* Whether several ops may run as one loop, without their results in between being stored (the default). Same values,
 * to the bit. An eager tape never does. */
TARN_API void tarn_tape_set_fusion(tarn_tape *tape, bool fusion);
TARN_API bool tarn_tape_fusion(const tarn_tape *tape);

/* How many nodes are recorded. Of NULL: 0. */
TARN_API size_t tarn_tape_nodes(const tarn_tape *tape);

/* The bytes that the tape's values, scratch memory and records take now, and have taken at most. Of NULL: 0. */
typedef struct tarn_memory {
    size_t bytes, peak;
} tarn_memory;
TARN_API tarn_memory tarn_tape_memory(const tarn_tape *tape);

/* The two numbers alone. */
TARN_API size_t tarn_tape_bytes(const tarn_tape *tape);
TARN_API size_t tarn_tape_peak_bytes(const tarn_tape *tape);

/* Computes x now, with everything that it needs and that has not run yet. A parameter (or other leaf) that
 * changed after it was recorded is an error. */
TARN_API bool tarn_run(tarn_tensor *x);

/* x's elements stay until the reset, once they are computed; so do those that tarn_data has given a pointer to, and
 * leaves. Anything else may go when everything that was recorded to read it has run: in tarn_backward(), inside a
 * checkpoint, and at once if it was recorded with gradients off. Results of 64 KiB or less stay even so, unless they
 * are inside a checkpoint, or were recorded with gradients off for one op alone to read. What has gone is computed
 * again when somebody asks for it, to the same bits; but then the leaves behind it must not have changed: an error
 * otherwise. */
TARN_API bool tarn_keep(tarn_tensor *x);

/* Adds d loss / d p to the gradient of every parameter p that loss depends on, and computes loss. The loss is the result
 * of an op on this tape, with one f32 or f64 element. A loss that depends on no parameter is an error, before anything is
 * computed, which names tarn_tape_set_grad() if gradients off are why; parameters behind gradients off are passed over
 * where there is another. On error no gradient is changed. What neither loss nor gradients read any more goes (see
 * tarn_keep). */
TARN_API bool tarn_backward(tarn_tape *tape, tarn_tensor *loss);

/* grads[j] = sum over i of (d outputs[i] / d inputs[j])^T cotangents[i], for any tensors: leaves, parameters,
 * or results of ops on this tape. Each is a tensor on the tape, of the shape of inputs[j] (zeros where no
 * output depends on it), and nothing is computed yet: grads can be read, used in ops, and differentiated
 * again (recorded with gradients on).
 *
 * What ends a way from an output to an input:
 * - A result of whole numbers is a constant, whatever it was computed from: comparisons, argmax, a cast to i32 or u8,
 *   and so what is made of them, such as one_hot. So are the states that an op documents as constants to the gradient
 *   (BatchNorm's running statistics, batch renormalization's r and d, spectral normalization's u and v).
 * - A result that was recorded with gradients off is a constant. An input that is reached through such results alone is
 *   an error that names the op and tarn_tape_set_grad(), since zeros would hide it.
 * - Any other op that has no gradient is an error that names it.
 *
 * cotangents[i] has the shape of outputs[i]; cotangents NULL means ones. Outputs and inputs must be f32 or f64. A leaf on
 * the way that changed after it was recorded is an error. On error every grads[j] is NULL. grads may be the same array as
 * outputs or inputs.
 *
 * Until the reset a call keeps what it records, however much stands on the tape: gradients of one example after the
 * other fit on one tape. Its time is that of the nodes from the outputs back to the first that they depend on. */
TARN_API bool tarn_grad(tarn_tape *tape, int n_outputs, tarn_tensor *const *outputs, tarn_tensor *const *cotangents,
                        int n_inputs, tarn_tensor *const *inputs, tarn_tensor **grads);

/* products[j] = sum over k of (d^2 loss / d inputs[j] d inputs[k]) vectors[k]: the Hessian times a vector, for the
 * time of a few gradients and without the Hessian (Pearlmutter 1994: Fast Exact Multiplication by the Hessian; here as
 * the gradient of <gradient, v>, v held constant). The loss has one element; vectors[k] has the shape and dtype of
 * inputs[k]. Otherwise as tarn_grad: the products are tensors on the tape that are not computed yet and can be
 * differentiated again, with gradients on (the gradient in between is recorded with gradients on in any case), and
 * products may be the same array as inputs or vectors. */
TARN_API bool tarn_hessian_vector(tarn_tape *tape, tarn_tensor *loss, int n, tarn_tensor *const *inputs,
                                  tarn_tensor *const *vectors, tarn_tensor **products);

/* J[i,j] = d output_i / d input_j, f64 [numel(output), numel(input)], the caller's, elements counted row-major; zeros
 * where there is no way from one to the other. For small things: it records one gradient for each element of the
 * output, and they stay recorded until the reset. Errors as tarn_grad's. */
TARN_API tarn_tensor *tarn_jacobian_new(tarn_tape *tape, tarn_tensor *output, tarn_tensor *input);

/* y = segment(t, context, x), for less memory and more time: what the ops that the segment records compute does not
 * stay for the gradient, but goes after its last use forwards, y excepted, and is computed again when a gradient
 * reaches the segment, once for each differentiation. Values and gradients of any order have the same bits as without,
 * dropout's masks are the same, and running statistics move once. The parameters that the segment reads must not change
 * before its gradient has run. (Chen, Xu, Zhang, Guestrin 2016: Training Deep Nets with Sublinear Memory Cost.)
 *
 * Segments may contain segments, at most 256 inside each other. A differentiation records an op that lies inside k of
 * them k times more, and computes it at most k times more: n ops that each lie inside the one before cost n^2 / 2, n ops
 * halved again and again n log2(n), and values in memory log2(n).
 *
 * Errors: a segment that is NULL, returns NULL, resets the tape, or lies inside 256 others. */
TARN_API tarn_tensor *tarn_checkpoint(tarn_tape *tape,
                                      tarn_tensor *(*segment)(tarn_tape *tape, void *context, tarn_tensor *x),
                                      void *context, tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
