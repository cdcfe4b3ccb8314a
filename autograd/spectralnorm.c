/* Spectral normalization: an expression of primitive ops, and an op that iterates. */
#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/range.h"
#include "tensor/spectral.h"

#include <inttypes.h>

typedef struct iterate_attr {
    tarn_tensor *u, *v; /* the caller's: moved when the node runs the first time */
    tarn_tensor *found; /* f64 [out + in] on the tape: u and v after that */
    int64_t in, out;
    int iterations;
    bool known;
} iterate_attr;

/* ---- w [in,out] -> u [out], v [in], constants ---- */

static bool iterate_shape(tarn_node *n)
{
    const iterate_attr *attr = n->attr;
    tarn_dtype dtype = n->in[0]->dtype;
    return tarn__output(n, dtype, 1, &attr->out) && tarn__output(n, dtype, 1, &attr->in);
}

static void copy_out(tarn_tensor *x, const double *values)
{
    for (int64_t i = 0; i < x->numel; i++)
        tarn__store(x, i, values[i]);
}

/* u and v move once, however often the node runs: also in the second time of a checkpoint, whose node has the same
 * attr. */
static bool find(tarn_node *n, iterate_attr *attr)
{
    const void *w = tarn__packed_input(n, 0);
    double *u = attr->found->data, *v = u + attr->out, *scratch = tarn__scratch(n, (size_t)attr->out * sizeof *scratch);
    tarn_tensor *u_moved = tarn__state_to_move(n, attr->u), *v_moved = tarn__state_to_move(n, attr->v);
    if (!w || !scratch || !u_moved || !v_moved)
        return false;
    for (int64_t i = 0; i < attr->out; i++)
        u[i] = tarn__load(u_moved, i);
    tarn__spectral_iterate(n->in[0]->dtype, attr->in, attr->out, w, attr->iterations, u, v, scratch);
    copy_out(u_moved, u);
    copy_out(v_moved, v);
    attr->known = true;
    return true;
}

static bool iterate_run(tarn_node *n)
{
    iterate_attr *attr = n->attr;
    if (!attr->known && !find(n, attr))
        return false;
    copy_out(n->out[0], attr->found->data);
    copy_out(n->out[1], (const double *)attr->found->data + attr->out);
    return true;
}

TARN__OP(iterate_op, "spectral_iterate", iterate_shape, iterate_run, NULL, .constant = true);

/* ---- the function ---- */

static bool is_vector(const char *what, const tarn_tape *t, const tarn_tensor *w, const tarn_tensor *x, int64_t size)
{
    if (!tarn__is_state("tarn_spectralnorm", what, t, x))
        return false;
    if (x->ndim != 1 || x->shape[0] != size || x->dtype != w->dtype)
        return tarn_fail("tarn_spectralnorm: %s is %s%s, expected %s[%" PRId64 "] for w %s", what,
                         tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x), tarn_dtype_name(w->dtype), size,
                         TARN__SHAPE_TEXT(w));
    return true;
}

/* u and v to be used: those there are, or those after some iterations. */
static bool iterated(tarn_tape *t, tarn_tensor *matrix, tarn_tensor **u, tarn_tensor **v, int iterations)
{
    iterate_attr attr = {*u, *v, NULL, tarn_dim(matrix, 0), tarn_dim(matrix, 1), iterations, false};
    attr.found = tarn__tape_leaf("tarn_spectralnorm", t, TARN_F64, TARN_SHAPE(attr.out + attr.in));
    if (!attr.found)
        return false;
    *u = tarn__apply(t, &iterate_op, 1, &matrix, &attr, sizeof attr);
    *v = *u ? (*u)->node->out[1] : NULL;
    return *u != NULL;
}

tarn_tensor *tarn_spectralnorm(tarn_tape *t, tarn_tensor *w, tarn_tensor *u, tarn_tensor *v, int iterations)
{
    if (!tarn__inputs_usable("spectralnorm", t, 1, &w) ||
        !tarn__is_count("tarn_spectralnorm", "iterations", iterations, 0, INT64_MAX))
        return NULL;
    if (w->ndim < 2 || !tarn__is_float(w->dtype) || w->numel == 0) {
        tarn_fail("tarn_spectralnorm: w is %s%s, expected f32 or f64 [...,out] with elements and 2 axes or more",
                  tarn_dtype_name(w->dtype), TARN__SHAPE_TEXT(w));
        return NULL;
    }
    int64_t out = tarn_dim(w, -1), in = w->numel / out;
    if (!is_vector("u", t, w, u, out) || !is_vector("v", t, w, v, in))
        return NULL;
    tarn_tensor *matrix = tarn_reshape(t, w, TARN_SHAPE(in, out));
    if (!matrix || (tarn_tape_training(t) && iterations > 0 && !iterated(t, matrix, &u, &v, iterations)))
        return NULL;
    tarn_tensor *row = tarn_matmul(t, tarn_reshape(t, v, TARN_SHAPE(1, in)), matrix);
    return tarn_div(t, w, tarn_sum(t, tarn_mul(t, row, u), TARN_ALL_AXES, false));
}
