/* tests/ops_check.h: the table of ops, and what is checked of each row. How to add a row: tests/test_ops.c. */
#ifndef TESTS_OPS_CHECK_H
#define TESTS_OPS_CHECK_H

#include "autograd/gradcheck.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "autograd/tape_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OPS_MAX_INPUTS = 4, OPS_MAX_KINKS = 3 };

/* Plain row-major doubles: what the references read and write. */
typedef struct ops_array {
    int ndim;
    int64_t shape[TARN_MAX_DIMS], numel;
    double *v;
} ops_array;

/* Gives `out` its shape and zeroed elements. Called once by each reference. */
void ops_out(ops_array *out, int ndim, const int64_t *shape);

/* Element [i,j,k,l] of an array with 4 axes. */
double *ops_at(const ops_array *a, int64_t i, int64_t j, int64_t k, int64_t l);

typedef enum ops_kind {
    OPS_REAL, /* f32 or f64, whichever is under test; differentiated */
    OPS_I32,  /* whole numbers in [low, high) */
    OPS_U8,
} ops_kind;

typedef struct ops_input {
    ops_kind kind;
    double low, high; /* both 0: -1 and 1 */
    int ndim;
    int64_t shape[5];
} ops_input;

/* How the inputs are handed to the op. Each row runs in every way that its shapes allow. */
typedef enum ops_way {
    OPS_PLAIN,
    OPS_PERMUTED, /* views with reversed axes */
    OPS_STRIDED,  /* every second entry of the last axis */
    OPS_EXPANDED, /* stride 0 along the first axis */
    OPS_TWICE,    /* inputs of equal shapes are the same tensor */
    OPS_CHAINED,  /* the later inputs are functions of the first */
    OPS_WAY_COUNT
} ops_way;

typedef struct ops_row {
    const char *name;     /* the op's, as in tarn_op; or the public function's, where that is made of several ops */
    const char *what;     /* which case of it */
    tarn_gradcheck_fn *f; /* its context is what `setup` returned */
    int order;            /* gradients checked: 2, or 1 where there is no second; 0: no gradient, values only */
    int n_in;
    ops_input in[OPS_MAX_INPUTS];

    /* What the values must be: one of the three, in plain C. None: another test says so, and `elsewhere` is
     * set to its name. */
    double (*unary)(double x);
    double (*binary)(double a, double b); /* broadcast */
    void (*reference)(const ops_array *in, ops_array *out);
    const char *elsewhere;

    int n_kinks; /* inputs stay 0.02 away from them, and, if `distinct`, from each other */
    double kinks[OPS_MAX_KINKS];
    bool distinct;
    bool evaluation;
    void *(*setup)(tarn_dtype dtype);
    void (*teardown)(void *context);
} ops_row;

/* The groups of the table, one a file. Each ends with a row without a name. */
extern const ops_row ops_elementwise_rows[], ops_reduce_rows[], ops_shape_rows[], ops_image_rows[], ops_norm_rows[],
    ops_normalize_rows[];

/* Calls use(row, context) for every row. */
void ops_for_each_row(void (*use)(const ops_row *row, void *context), void *context);

/* ---- for rows ---- */

#define OPS_NDIM(...)        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define OPS_INPUT_COUNT(...) (int)(sizeof((ops_input[]){__VA_ARGS__}) / sizeof(ops_input))
#define REAL(...)                                                                                                      \
    {                                                                                                                  \
        .ndim = OPS_NDIM(__VA_ARGS__), .shape = { __VA_ARGS__ }                                                        \
    }
#define WITHIN(from, to, ...)                                                                                          \
    {                                                                                                                  \
        .low = (from), .high = (to), .ndim = OPS_NDIM(__VA_ARGS__), .shape = { __VA_ARGS__ }                           \
    }
#define SCALAR(from, to)                                                                                               \
    {                                                                                                                  \
        .low = (from), .high = (to)                                                                                    \
    }
#define INDEX(type, below, ...)                                                                                        \
    {                                                                                                                  \
        .kind = (type), .high = (below), .ndim = OPS_NDIM(__VA_ARGS__), .shape = { __VA_ARGS__ }                       \
    }

/* A row's expression over the tape t and the inputs x[0], x[1], ... */
#define EXPRESSION(id, expression)                                                                                     \
    static tarn_tensor *id(tarn_tape *t, tarn_tensor *const *x, void *context)                                         \
    {                                                                                                                  \
        (void)context;                                                                                                 \
        return expression;                                                                                             \
    }

/* ---- checks ---- */

/* The row's leaves for one way of handing them over, drawn from `seed`; false when the way does not apply. */
typedef struct ops_case {
    const ops_row *row;
    ops_way way;
    tarn_dtype dtype;
    void *context;
    tarn_tensor *leaf[OPS_MAX_INPUTS];
} ops_case;

bool ops_case_init(ops_case *c, const ops_row *row, ops_way way, tarn_dtype dtype);
void ops_case_free(ops_case *c);

/* Which leaf input i reads. */
int ops_source_of(const ops_row *row, ops_way way, int i);

/* What input i is in one way, given its leaf's elements, in plain C. */
void ops_view_array(const ops_input *in, ops_way way, const double *leaf, ops_array *out);

/* The row's expression over the views of the leaves. `context` is the case. */
tarn_tensor *ops_case_record(tarn_tape *t, tarn_tensor *const *leaf, void *context);

/* "relu, small, permuted, f32" */
const char *ops_case_name(const ops_case *c);

/* y and its gradients, for a fixed random cotangent, as one run of bytes; freed by the caller. */
typedef struct ops_result {
    size_t size;
    unsigned char *bytes;
} ops_result;
ops_result ops_case_run(ops_case *c, bool eager);

/* Prints what is wrong with a case, counts it, and forgets the pending error: so one run shows every fault. */
void ops_complain(const ops_case *c, const char *format, ...) TARN_PRINTF(2, 3);
/* Fails the test if there were complaints since it was last called. */
void ops_fail_on_complaints(void);

/* Complains unless tarn's values, in f64 and f32, and its f32 gradients are right. */
void ops_check_values(const ops_row *row);

/* Complains unless the row's derivatives agree with finite differences. Marks in `covered` (in the order of
 * tarn__all_ops) the ops whose gradient was checked, or, of a row without gradients, that ran. */
void ops_check_gradients(const ops_row *row, bool *covered);

/* Fails unless the pending error contains `part`; clears it. */
void ops_expect_error(const char *part);

/* An f64 leaf of n values between -1 and 1, the caller's. */
tarn_tensor *ops_random_new(uint64_t seed, tarn_dtype dtype, int ndim, const int64_t *shape);

/* Tests of the tape as a whole (tests/ops_tape.c), and of single ops beyond the table (tests/ops_single.c). Each ends
 * with a test without a name. */
extern const struct CMUnitTest ops_tape_tests[], ops_single_tests[];

#endif
