/* cases.h: what bench/ops times: each kernel over the shapes of the benchmark networks' layers, and the general ones over
 * tensors larger than the caches. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "bench/common/ceiling.h"
#include "tarn.h"

enum { CASE_INPUTS = 3, CASE_MAX = 512, CASE_ALL_AXES = 99 };

typedef tarn_tensor *case_unary(tarn_tape *t, tarn_tensor *x);
typedef tarn_tensor *case_binary(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);

typedef enum case_step { NO_STEP, ADAM_STEP, SGD_STEP, CLIP_STEP } case_step;

typedef struct op_case {
    char name[32], shape[48];
    int n_in;
    struct {
        int ndim;
        int64_t shape[4];
        int64_t classes; /* not 0: i32 labels below it; else f32, uniform in [0.1, 2) */
    } in[CASE_INPUTS];

    tarn_tensor *(*record)(tarn_tape *t, const struct op_case *c, tarn_tensor *const *in);
    int grad_of;        /* the input whose gradient is timed; -1: the op itself */
    bool forward_first; /* the gradient uses what the op has computed */

    double flops; /* of a compute-bound op, else 0 */
    double bytes; /* that it must read and write at least */
    ceiling_stream stream;

    case_unary *unary;
    case_binary *binary;
    tarn_conv2d_opts conv;
    int axis; /* of a reduction; CASE_ALL_AXES: all */
    tarn_tensor *(*reduce)(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep);

    /* An optimiser over `in[0]`'s elements, instead of an op. */
    case_step step;
} op_case;

/* All of them, in the order of the table; how many. `large`: elements of the general ones' tensors. */
size_t cases_list(op_case *cases, int64_t large);

/* Is it one of the three products of a convolution? */
bool case_is_conv(const op_case *c);

/* The inputs of a case, the caller's; false with an error when there is no memory. */
bool case_inputs(const op_case *c, tarn_dtype dtype, tarn_tensor *in[CASE_INPUTS]);

#endif
