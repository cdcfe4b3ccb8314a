/* tensor/tensor_impl.h (internal): the tensor as the library's own files see it. */
#ifndef TARN__TENSOR_IMPL_H
#define TARN__TENSOR_IMPL_H

#include "tensor/tensor.h"

typedef enum tarn__owner { TARN__OWNED_BY_CALLER, TARN__OWNED_BY_TAPE, TARN__OWNED_BY_STORE } tarn__owner;

/* What tensor/ knows of a tape. */
typedef struct tarn__home {
    uint64_t resets;                                        /* how often it has let go of its tensors */
    bool (*compute)(struct tarn_tensor *x);                 /* a pending one */
    void *(*allocate)(struct tarn_tensor *x, size_t bytes); /* memory that lives as long as x */
} tarn__home;

struct tarn_tensor {
    tarn_dtype dtype;
    tarn__owner owner;
    int ndim;
    bool ready; /* the elements are there to be read */
    bool kept;  /* never let go before the reset */
    bool gone;  /* has been let go, or was never there, though something has read it */
    int64_t numel;
    void *data;              /* the first element */
    void *packed;            /* of a strided view whose elements were asked for: a row-major copy */
    uint64_t packed_version; /* of the leaf behind it, when the copy was made */
    uint64_t version;        /* moves on when a leaf's elements may have changed */
    uint64_t id;             /* of a leaf that does not lie on a tape: another in its place has another. 0 on a tape */

    /* The rest is the tape's own. */
    const tarn__home *home;    /* of a tensor that a tape owns; else NULL */
    uint64_t born;             /* home->resets when x was recorded */
    struct tarn_tape *tape;    /* where x lives; NULL unless owned by a tape */
    struct tarn_node *node;    /* what computes x; NULL: a leaf */
    struct tarn_tensor *root;  /* of a view of a leaf: that leaf; NULL otherwise */
    struct tarn__chunk *chunk; /* where the elements lie; NULL: in the tape's arena */
    int output;                /* which of the node's outputs x is */
    int32_t uses; /* how often it is still to be read: by nodes that have not run, views that show it, callers */

    /* A trainable parameter's gradient, and whether it holds one since it was last cleared. */
    struct tarn_tensor *grad;
    const char *name; /* of a parameter or buffer; NULL otherwise */
    bool has_grad;

    /* The last fields, which a tape sets only up to ndim: most tensors have few dimensions. */
    int64_t shape[TARN_MAX_DIMS];
    int64_t stride[TARN_MAX_DIMS]; /* in elements */
};

/* ---- shapes ---- */

typedef struct tarn__shape_text {
    char text[TARN_MAX_DIMS * 21 + 3];
} tarn__shape_text;

/* "[64,10]", for messages. */
tarn__shape_text tarn__shape_text_of(int ndim, const int64_t *shape);
#define TARN__SHAPE_TEXT(x) tarn__shape_text_of((x)->ndim, (x)->shape).text

/* Checks dtype, ndim and sizes, and that the bytes fit; on failure the message starts with `who`. */
bool tarn__check_shape(const char *who, tarn_dtype dtype, int ndim, const int64_t *shape, int64_t *numel);

/* Fills in dtype, shape, row-major strides and numel; the sizes must have been checked. */
void tarn__set_shape(tarn_tensor *x, tarn_dtype dtype, int ndim, const int64_t *shape);

bool tarn__same_shape(const tarn_tensor *a, const tarn_tensor *b);

/* The NumPy broadcast of two shapes into out[TARN_MAX_DIMS]; returns its ndim, or -1 when they do not fit. */
int tarn__broadcast(int a_ndim, const int64_t *a, int b_ndim, const int64_t *b, int64_t *out);

/* The strides with which x is read as if it had the larger shape: 0 along each axis that is repeated. */
void tarn__broadcast_strides(const tarn_tensor *x, int ndim, const int64_t *shape, int64_t *stride);

/* A negative axis counts from the end. Returns 0..ndim-1, or -1 with an error that starts with `who`. */
int tarn__axis(const char *who, int axis, int ndim);

/* ---- views: geometry only ---- */

/* The strides that show the elements of (ndim, shape, stride) as new_shape without a copy; false if there are
 * none. */
bool tarn__view_strides(int ndim, const int64_t *shape, const int64_t *stride, int new_ndim, const int64_t *new_shape,
                        int64_t *new_stride);

/* ---- life and reading ---- */

/* Takes the tensors that were added last out of a store again, until `count` are left. */
struct tarn_params;
void tarn__params_truncate(struct tarn_params *params, size_t count);

/* A copy of every parameter and buffer (not of gradients), for tarn__params_restore, to be released with
 * tarn__release(). NULL without an error when there is no memory. */
void *tarn__params_snapshot(const struct tarn_params *params);

/* Writes back what has changed since; works while an error is pending. The store has the tensors that it had. */
void tarn__params_restore(struct tarn_params *params, const void *snapshot, bool only_buffers);

/* Whether TARN_ISA named an instruction set that there is; else an error that begins with `who`. */
bool tarn__isa_is_known(const char *who);

/* Usable by the public functions: not NULL, no error pending, and TARN_ISA right. Sets the error for NULL and for
 * TARN_ISA. */
bool tarn__usable(const char *who, const void *pointer, const char *what);

/* A reset of its tape has let x go: only that may still be asked. */
static inline bool tarn__is_gone(const tarn_tensor *x)
{
    return x->home && x->home->resets != x->born;
}

/* Fails for such a tensor. */
bool tarn__gone_fail(const char *who, const char *what);

/* tarn__usable for a tensor, which no reset may have let go. */
bool tarn__tensor_usable(const char *who, const tarn_tensor *x, const char *what);

/* The next id. */
uint64_t tarn__new_id(void);

/* Makes sure that the elements are there. */
bool tarn__realize(tarn_tensor *x);

/* dst = src, elementwise, any strides and dtypes, equal shapes, both ready. */
void tarn__copy_elements(tarn_tensor *dst, const tarn_tensor *src);

/* y[i] = 0 with probability p, else x[i] / (1-p): dropout with the mask that rng's state gives. */
void tarn__rng_drop(tarn_rng rng, double p, bool f64, size_t n, const void *x, void *y);

/* Element `offset` (in elements from x->data) as a double. */
double tarn__load(const tarn_tensor *x, int64_t offset);
void tarn__store(tarn_tensor *x, int64_t offset, double value);

static inline size_t tarn__bytes(const tarn_tensor *x)
{
    return (size_t)x->numel * tarn_dtype_size(x->dtype);
}

static inline bool tarn__is_float(tarn_dtype dtype)
{
    return dtype == TARN_F32 || dtype == TARN_F64;
}

#endif
