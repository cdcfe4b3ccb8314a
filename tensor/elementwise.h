/* tensor/elementwise.h (internal): elementwise work over tensors of any strides. */
#ifndef TARN__ELEMENTWISE_H
#define TARN__ELEMENTWISE_H

#include "tensor/tensor_impl.h"

#define UNARY(name, ...)    TARN__UNARY_##name,
#define UNARY_P(name, ...)  TARN__UNARY_##name,
#define UNARY_PQ(name, ...) TARN__UNARY_##name,
#define BINARY(name, ...)
#define RULE(name, ...)
typedef enum tarn__unary {
#include "tensor/elementwise.def"
    TARN__UNARY_COUNT
} tarn__unary;
#undef UNARY
#undef UNARY_P
#undef UNARY_PQ
#undef BINARY
#undef RULE

#define UNARY(name, ...)
#define UNARY_P(name, ...)
#define UNARY_PQ(name, ...)
#define BINARY(name, ...) TARN__BINARY_##name,
#define RULE(name, ...)   TARN__BINARY_##name,
typedef enum tarn__binary {
#include "tensor/elementwise.def"
    TARN__BINARY_COUNT
} tarn__binary;
#undef UNARY
#undef UNARY_P
#undef UNARY_PQ
#undef BINARY
#undef RULE

typedef enum tarn__comparison {
    TARN__EQ,
    TARN__NE,
    TARN__LT,
    TARN__LE,
    TARN__GT,
    TARN__GE,
    TARN__COMPARISON_COUNT
} tarn__comparison;

/* y = f(x), y = f(a, b), y = condition ? a : b: all ready, y row-major of the broadcast shape, dtypes as the
 * loops of tensor/kernels/kernels.h expect them. */
void tarn__unary_run(tarn__unary f, tarn_tensor *y, const tarn_tensor *x, double p, double q);
void tarn__binary_run(tarn__binary f, tarn_tensor *y, const tarn_tensor *a, const tarn_tensor *b, double p, double q);
void tarn__compare_run(tarn__comparison f, tarn_tensor *y, const tarn_tensor *a, const tarn_tensor *b);
void tarn__where_run(tarn_tensor *y, const tarn_tensor *condition, const tarn_tensor *a, const tarn_tensor *b);

/* Several loops over the same elements, chunk by chunk in the cache. An operand is input number i (i >= 0), or slot
 * number ~i (i < 0), which an earlier step has written; the last step writes y. No step writes a slot that it
 * reads. */
enum { TARN__PROGRAM_INPUTS = 8, TARN__PROGRAM_STEPS = 16, TARN__PROGRAM_SLOTS = TARN__PROGRAM_INPUTS + 1 };

typedef struct tarn__step {
    bool binary; /* else unary, of a */
    int loop, a, b, slot;
    double p, q;
} tarn__step;

typedef struct tarn__program {
    int n_in, n_steps;
    tarn__step steps[TARN__PROGRAM_STEPS];
} tarn__program;

/* y and the inputs of one dtype, f32 or f64; otherwise as above. */
void tarn__program_run(const tarn__program *program, tarn_tensor *y, tarn_tensor *const *in);

/* sum += x, equal shapes and dtype; sum row-major. */
void tarn__add_into(tarn_tensor *sum, const tarn_tensor *x);

#endif
