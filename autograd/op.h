/* autograd/op.h (internal): what an op is made of, and what its rules may use.
 *
 * To add an op: write its shape rule, its run and its vjp in one file, list them in one TARN__OP literal, add
 * the public function that calls tarn__apply(), its prototype in autograd/ops.h, and a row in
 * tests/test_ops.c. */
#ifndef TARN__OP_H
#define TARN__OP_H

#include "autograd/tape.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

typedef struct tarn_node tarn_node;

enum { TARN__MAX_OUTPUTS = 4, TARN__MAX_COMPOSED = 8 };

/* Up to so many bytes of elements stay until the reset, so that a loss or logits can be read after the parameters have
 * changed. (tarn_tape.keep_below has the number, for tests.) */
enum { TARN__SMALL = 1 << 16 };

/* Of a tensor: the entries start, start + step, ... along an axis, or one entry, without the axis. */
typedef struct tarn__slice {
    int axis;
    bool without_axis;
    int64_t start, step;
} tarn__slice;

typedef struct tarn_op {
    const char *name; /* as in the public function: "relu" for tarn_relu */

    /* Checks the inputs' shapes and dtypes and calls tarn__output() for each output, or fails with a message. */
    bool (*shape)(tarn_node *n);

    /* Computes the outputs, whose memory is there, from the inputs, which are ready. NULL for a plain view. */
    bool (*run)(tarn_node *n);

    /* Records the gradient: gx[i] for each input with need[i], from the gradients gy[k] of the outputs (NULL:
     * zero). A gx[i] left NULL means zero. The whole function NULL: the op has no gradient. */
    bool (*vjp)(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);

    /* Optional. Asked when n is going to run, after everything that reads n has been asked: if n can do better than
     * `run` together with nodes behind its inputs, calls tarn__fuse(). Sets no error. */
    bool (*fuse)(tarn_node *n);

    /* Optional. Where in input 0 it is that the vjp's gx[0] belongs; elsewhere the gradient is zero. So the gradients of
     * many slices are written into one tensor (tarn__place), instead of padded to a whole each and added. */
    const tarn__slice *(*slice)(const tarn_node *n);

    /* Its outputs are constants to every gradient, as a state of the library's own that it computes from its inputs. */
    bool constant;

    /* run skips each output whose data is NULL, because nobody needs it. (Otherwise every output has memory.) */
    bool partial;
} tarn_op;

typedef struct tarn__segment tarn__segment; /* of a tape, between checkpoints (autograd/checkpoint.c) */

/* How a node is run instead of by its op. */
typedef struct tarn__fusion {
    bool (*run)(tarn_node *n);
    int n_reads, n_also, n_absorbed;
    tarn_tensor **reads;
    tarn_node **also;
    tarn_node **absorbed; /* the nodes whose work this does, which others may do as well; NULL: no memory */
} tarn__fusion;

struct tarn_node {
    const tarn_op *op;
    tarn_tape *tape;
    size_t id; /* its place on the tape */
    int n_in, n_out;
    bool done;    /* has run: what it does besides its outputs is not done again */
    bool wanted;  /* is to be run by the run under way */
    bool no_grad; /* recorded while gradients were off, or a constant by its op */
    bool inner;   /* recorded by a gradient rule: the program has no name for its outputs */
    bool by_rule; /* recorded by a gradient rule, also when the program has got its output by now */
    bool reached; /* marked by the differentiation under way */
    bool holds;   /* counted among the uses of its inputs, or of what it reads instead */
    bool is_view;
    bool leaves_segment; /* its output is the segment's */
    tarn_tensor **in;
    uint64_t *in_version; /* of the leaf behind each input, when recorded */
    tarn_tensor *out[TARN__MAX_OUTPUTS];
    void *attr;             /* the op's own parameters, on the tape, aligned to 8 bytes */
    int64_t view_offset;    /* of a view: elements from its input's first to its own first */
    tarn_node *next_run;    /* of one that is wanted */
    tarn_node *next_let_go; /* NULL but within tarn__let_go, and of what that returns */
    tarn_node *host;        /* its outputs are computed when that one runs */
    tarn__fusion *fusion;   /* NULL: op->run */
    void *fusion_data;      /* of the fusion's run */
    tarn__segment *segment;
    tarn_node *origin; /* of a copy that a gradient made: what it is a copy of */
};

/* Defines the op and enters it in the list that the tests walk: an op without a test row fails them. The arguments
 * begin with the name; .fuse, .constant and .partial are given by name. */
#define TARN__OP(id, ...)                                                                                              \
    static const tarn_op id = {.name = __VA_ARGS__};                                                                   \
    __attribute__((section("tarn_ops"), used)) static const tarn_op *const id##_listed = &id

/* Every op of the library. */
const tarn_op *const *tarn__all_ops(size_t *count);

/* The inputs of tarn__apply: tarn__apply(t, &add_op, TARN__IN(a, b), NULL, 0). */
#define TARN__IN(...)                                                                                                  \
    (int)(sizeof((tarn_tensor *[]){__VA_ARGS__}) / sizeof(tarn_tensor *)), (tarn_tensor *[])                           \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* Records op over the inputs, with a copy of the attr_size bytes at attr, and returns its first output; NULL
 * on error (a pending one; a NULL tape or input; an input of another tape; what the shape rule refuses; no
 * memory). */
tarn_tensor *tarn__apply(tarn_tape *t, const tarn_op *op, int n_in, tarn_tensor *const *in, const void *attr,
                         size_t attr_size);

/* The checks of tarn__apply for functions that look at their inputs before they record: a tape, inputs that
 * are not NULL, no error pending. */
bool tarn__inputs_usable(const char *who, const tarn_tape *t, int n_in, tarn_tensor *const *in);

/* ---- for shape rules ---- */

/* Declares the next output, row-major. Fails when the size overflows, or after TARN__MAX_OUTPUTS. */
bool tarn__output(tarn_node *n, tarn_dtype dtype, int ndim, const int64_t *shape);

/* Declares the node's one output as a view of input 0. */
bool tarn__output_view(tarn_node *n, int ndim, const int64_t *shape, const int64_t *stride, int64_t offset);

/* Fails with "tarn_NAME: " before the message. */
bool tarn__node_fail(const tarn_node *n, const char *format, ...) TARN_PRINTF(2, 3);

/* Every input is f32, or every input is f64. */
bool tarn__same_float(const tarn_node *n);

/* ---- for run ---- */

/* Memory until this run ends. NULL, with an error, when there is none. */
void *tarn__scratch(const tarn_node *n, size_t bytes);

/* x, which n reads, row-major: itself, or a copy in scratch memory. NULL with an error when there is no memory. */
const void *tarn__packed(const tarn_node *n, const tarn_tensor *x);
const void *tarn__packed_input(const tarn_node *n, int i);

/* n has not run before. An output that was let go is computed again when somebody asks for it: whatever a run changes
 * besides its outputs (running statistics) it changes the first time only. */
bool tarn__first_run(const tarn_node *n);

/* The stand-in of x, a leaf in which an op keeps a state, for the run of n to change: x takes its elements over when the
 * whole run under way has succeeded. A node that runs later in it is given the same. NULL, with an error, when there is no
 * memory. */
tarn_tensor *tarn__state_to_move(const tarn_node *n, tarn_tensor *x);

/* ---- for fuse ---- */

/* The leaves behind n's inputs are as they were when it was recorded. Where not, n cannot run, and an output that is
 * there is older than the change: nothing may be computed from n's inputs in place of it. */
bool tarn__is_unchanged(const tarn_node *n);

/* x need not be there: nobody but `reader` reads it, neither in the run under way nor later by name. The reader is n,
 * or a node behind n whose work n does. (In a run that is not tarn_backward's, that is known only of what was recorded
 * with gradients off. Outputs of at most TARN__SMALL bytes that the program has a name for may always be read later.) */
bool tarn__only_use(tarn_node *reader, tarn_tensor *x);

/* Zeroed memory that lives as long as the tape: n->fusion_data. NULL (no error) when there is none. */
void *tarn__fusion_data(tarn_node *n, size_t bytes);

/* n will be run by `run`, which reads the tensors `reads` and not n->in, and computes also the outputs of the nodes
 * `also`: the nodes recorded immediately before n, the latest first, so that nothing in between could read them.
 * `reads` must have what the nodes `also` and every absorbed node read that lies outside of them.
 *
 * An output of n or of `also` that nobody needs has data NULL when `run` runs. (Of n itself only if n->op->partial.)
 * A node none of whose outputs are needed any more does not run; if somebody asks for one later, it runs then. What
 * a node of `also` does besides its outputs is `run`'s to do (tarn__first_run); a node that does such things may
 * not be left out of `also`.
 *
 * False when it cannot be done: n runs as usual. */
bool tarn__fuse(tarn_node *n, bool (*run)(tarn_node *n), int n_reads, tarn_tensor *const *reads, int n_also,
                tarn_node *const *also);

/* ---- for vjp and composed ops ---- */

/* A scalar constant of x's dtype on the tape. */
tarn_tensor *tarn__scalar_like(tarn_tape *t, const tarn_tensor *x, double value);

/* g summed over the axes along which `like` was broadcast, so that it has like's shape. */
tarn_tensor *tarn__sum_to(tarn_tape *t, tarn_tensor *g, const tarn_tensor *like);

/* A leaf on the tape, its elements not set. */
tarn_tensor *tarn__tape_leaf(const char *who, tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape);

/* Zeros of that shape, to which parts[i] is added at slices[i], in this order; where slices do not overlap, the parts
 * are what is there. */
tarn_tensor *tarn__place(tarn_tape *t, int ndim, const int64_t *shape, int n, tarn_tensor *const *parts,
                         const tarn__slice *slices);

/* The vjp of an op by way of other ops, for fused ops whose second derivative is not worth a kernel: outputs[k] is an
 * expression for output k over the node's inputs (more than TARN__MAX_COMPOSED are an error), recorded since the tape had
 * `first` nodes. */
bool tarn__vjp_composed(tarn_tape *t, const tarn_node *n, size_t first, tarn_tensor *const *outputs,
                        tarn_tensor *const *gy, const bool *need, tarn_tensor **gx);

#endif
