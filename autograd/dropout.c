/* y = x * mask / (1-p), the mask a function of the recorded random state: the gradient applies the same mask
 * to g, and so nothing is kept for it.   gx = g * mask / (1-p) */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/range.h"

typedef struct dropout_attr {
    double p;
    tarn_rng rng;
} dropout_attr;

static bool dropout_shape(tarn_node *n)
{
    return tarn__same_float(n) && tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool dropout_run(tarn_node *n)
{
    const dropout_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0];
    const void *data = tarn__packed_input(n, 0);
    if (!data)
        return false;
    tarn__rng_drop(attr->rng, attr->p, x->dtype == TARN_F64, (size_t)x->numel, data, n->out[0]->data);
    return true;
}

static bool dropout_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn__apply(t, n->op, 1, gy, n->attr, sizeof(dropout_attr));
    return true;
}

TARN__OP(dropout_op, "dropout", dropout_shape, dropout_run, dropout_vjp);

tarn_tensor *tarn_dropout(tarn_tape *t, tarn_tensor *x, double p, tarn_rng *rng)
{
    if (!tarn__inputs_usable("dropout", t, 1, &x) || !tarn__usable("tarn_dropout", rng, "rng") ||
        !tarn__is_in("tarn_dropout", "p", p, '[', 0, 1, ')'))
        return NULL;
    if (!tarn_tape_training(t) || p == 0)
        return x;
    dropout_attr attr = {p, *rng};
    tarn_tensor *y = tarn__apply(t, &dropout_op, 1, &x, &attr, sizeof attr);
    if (y)
        rng->counter += (uint64_t)(x->numel / 4 + (x->numel % 4 != 0));
    return y;
}
