/* Batch Normalization, fused and composed. */
#include "autograd/fusion.h"
#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/range.h"

#include <inttypes.h>

typedef struct batchnorm_attr {
    tarn__batchnorm b;
    tarn_running_stats running; /* mean NULL: none */
    double momentum;            /* weight of the new batch; 0: cumulative */
} batchnorm_attr;

/* ---- running statistics ---- */

static void blend(tarn_tensor *running, const double *batch, double factor, double weight)
{
    for (int64_t c = 0; c < running->numel; c++)
        tarn__store(running, c, (1 - weight) * tarn__load(running, c) + weight * factor * batch[c]);
}

static bool update_running(const tarn_node *n, const double *mean, const double *var)
{
    const batchnorm_attr *attr = n->attr;
    if (!attr->running.mean || !tarn__first_run(n))
        return true;
    tarn_tensor *running_mean = tarn__state_to_move(n, attr->running.mean),
                *running_var = tarn__state_to_move(n, attr->running.var),
                *batches = tarn__state_to_move(n, attr->running.batches);
    if (!running_mean || !running_var || !batches)
        return false;
    double rows = (double)attr->b.rows, seen = tarn__load(batches, 0) + 1;
    double weight = attr->momentum > 0 ? attr->momentum : 1 / seen;
    blend(running_mean, mean, 1, weight);
    blend(running_var, var, rows / (rows - 1), weight);
    tarn__store(batches, 0, seen);
    return true;
}

/* ---- the gradient, an op of its own: g, x, gamma, mean, var -> gx, ggamma, gbeta ---- */

enum { G, X, GAMMA, MEAN, VAR };

static bool grad_shape(tarn_node *n)
{
    const tarn_tensor *x = n->in[X], *gamma = n->in[GAMMA];
    return tarn__output(n, x->dtype, x->ndim, x->shape) && tarn__output(n, x->dtype, 1, gamma->shape) &&
           tarn__output(n, x->dtype, 1, gamma->shape);
}

static bool grad_run(tarn_node *n)
{
    tarn__batchnorm_parts parts;
    tarn__batchnorm_gx job = {
        .g = tarn__packed_input(n, G), .gx = n->out[0]->data, .ggamma = n->out[1]->data, .gbeta = n->out[2]->data};
    if (!job.g || !tarn__is_batchnorm_grad(n, &(tarn_tensor *){NULL}, &parts) ||
        !tarn__batchnorm_arrays(n, &parts, &job.x))
        return false;
    void *scratch = tarn__scratch(n, tarn__batchnorm_scratch(parts.b));
    if (!scratch)
        return false;
    tarn__batchnorm_grad(parts.b, &job, scratch);
    return true;
}

static int all_but_last(const tarn_tensor *x, int axes[TARN_MAX_DIMS])
{
    for (int i = 0; i < x->ndim - 1; i++)
        axes[i] = i;
    return x->ndim - 1;
}

/* xhat and 1/sqrt(var+eps) of x, written in ops: mean and variance are functions of x here. */
static tarn_tensor *standardized(tarn_tape *t, tarn_tensor *x, double eps, tarn_tensor **inverse)
{
    int axes[TARN_MAX_DIMS], count = all_but_last(x, axes);
    tarn_tensor *difference = tarn_sub(t, x, tarn_mean(t, x, count, axes, false));
    tarn_tensor *var = tarn_mean(t, tarn_square(t, difference), count, axes, false);
    *inverse = tarn_rsqrt(t, tarn_add_scalar(t, var, eps));
    return tarn_mul(t, difference, *inverse);
}

static bool grad_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const tarn__batchnorm *b = n->attr;
    size_t first = tarn_tape_nodes(t);
    tarn_tensor *g = n->in[G], *inverse, *xhat = standardized(t, n->in[X], b->eps, &inverse);
    int axes[TARN_MAX_DIMS], count = all_but_last(n->in[X], axes);
    tarn_tensor *weighted = tarn_mul(t, g, xhat);
    tarn_tensor *mean_g = tarn_mean(t, g, count, axes, false), *mean_gx = tarn_mean(t, weighted, count, axes, false);
    tarn_tensor *centred = tarn_sub(t, tarn_sub(t, g, mean_g), tarn_mul(t, xhat, mean_gx));
    tarn_tensor *outputs[] = {tarn_mul(t, centred, tarn_mul(t, n->in[GAMMA], inverse)),
                              tarn_sum(t, weighted, count, axes, false), tarn_sum(t, g, count, axes, false)};
    /* what mean and var depend on is inside the expression already */
    const bool wanted[] = {need[G], need[X], need[GAMMA], false, false};
    return tarn__vjp_composed(t, n, first, outputs, gy, wanted, gx);
}

TARN__OP(batchnorm_grad_op, "batchnorm_grad", grad_shape, grad_run, grad_vjp, .fuse = tarn__batchnorm_grad_fuse,
         .partial = true);

/* ---- training: x, gamma, beta -> y, and mean and var in f64 for the gradient ---- */

static bool train_shape(tarn_node *n)
{
    const batchnorm_attr *attr = n->attr;
    const tarn_tensor *x = n->in[0];
    if (attr->b.rows < 2)
        return tarn__node_fail(n,
                               "x %s has %" PRId64 " value%s a channel: training needs at least 2, since the variance "
                               "of one says nothing",
                               TARN__SHAPE_TEXT(x), attr->b.rows, attr->b.rows == 1 ? "" : "s");
    if (!tarn__output(n, x->dtype, x->ndim, x->shape) || !tarn__output(n, TARN_F64, 1, &attr->b.columns) ||
        !tarn__output(n, TARN_F64, 1, &attr->b.columns))
        return false;
    /* what y is made of the first time, it is made of every time, whoever sums x then */
    n->out[1]->kept = n->out[2]->kept = true;
    return true;
}

/* Output i of n, which may be needed only here. */
static void *output_data(const tarn_node *n, int i)
{
    const tarn_tensor *x = n->out[i];
    return x->data ? x->data : tarn__scratch(n, tarn__bytes(x));
}

bool tarn__batchnorm_finish(tarn_node *n, const void *x, const double *mean, const double *var)
{
    const batchnorm_attr *attr = n->attr;
    if (n->out[0]->data) {
        const void *gamma = tarn__packed_input(n, 1), *beta = tarn__packed_input(n, 2);
        void *scratch = tarn__scratch(n, tarn__batchnorm_scratch(&attr->b));
        if (!gamma || !beta || !scratch)
            return false;
        const tarn__normalized normalized = {x, gamma, beta, mean, var, attr->b.eps};
        tarn__batchnorm_apply(&attr->b, &(tarn__batchnorm_y){.a = normalized, .y = n->out[0]->data}, scratch);
    }
    return update_running(n, mean, var);
}

static bool train_run(tarn_node *n)
{
    const batchnorm_attr *attr = n->attr;
    const void *x = tarn__packed_input(n, 0);
    void *scratch = tarn__scratch(n, tarn__batchnorm_scratch(&attr->b));
    double *mean = output_data(n, 1), *var = output_data(n, 2);
    if (!x || !scratch || !mean || !var)
        return false;
    if (!n->out[1]->ready || !n->out[2]->ready)
        tarn__batchnorm_moments(&attr->b, x, mean, var, scratch);
    return tarn__batchnorm_finish(n, x, mean, var);
}

static bool train_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const batchnorm_attr *attr = n->attr;
    (void)need;
    if (!gy[0])
        return true;
    gx[0] = tarn__apply(t, &batchnorm_grad_op, TARN__IN(gy[0], n->in[0], n->in[1], n->out[1], n->out[2]), &attr->b,
                        sizeof attr->b);
    if (!gx[0])
        return false;
    gx[1] = gx[0]->node->out[1];
    gx[2] = gx[0]->node->out[2];
    return true;
}

TARN__OP(batchnorm_op, "batchnorm", train_shape, train_run, train_vjp, .fuse = tarn__batchnorm_fuse, .partial = true);

/* ---- evaluation: x, gamma, beta, running mean and var -> y ---- */

static bool frozen_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool frozen_run(tarn_node *n)
{
    tarn__batchnorm_parts parts;
    tarn__normalized arrays;
    if (!tarn__is_batchnorm(n, &parts) || !tarn__batchnorm_arrays(n, &parts, &arrays))
        return false;
    void *scratch = tarn__scratch(n, tarn__batchnorm_scratch(parts.b));
    if (!scratch)
        return false;
    tarn__batchnorm_apply(parts.b, &(tarn__batchnorm_y){.a = arrays, .y = n->out[0]->data}, scratch);
    return true;
}

static tarn_tensor *frozen_composed(tarn_tape *t, tarn_tensor *const *in, double eps)
{
    tarn_tensor *inverse = tarn_rsqrt(t, tarn_add_scalar(t, in[4], eps));
    return tarn_add(t, tarn_mul(t, tarn_mul(t, tarn_sub(t, in[0], in[3]), inverse), in[1]), in[2]);
}

static bool frozen_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    const batchnorm_attr *attr = n->attr;
    size_t first = tarn_tape_nodes(t);
    tarn_tensor *y = frozen_composed(t, n->in, attr->b.eps);
    return tarn__vjp_composed(t, n, first, &y, gy, need, gx);
}

TARN__OP(batchnorm_frozen_op, "batchnorm_frozen", frozen_shape, frozen_run, frozen_vjp);

tarn_tensor *tarn__computed_again(tarn_tape *t, tarn_tensor *x)
{
    const tarn_node *relu = x->node;
    if (!t->final || !t->fusion || t->eager || !relu || x->ready || tarn__bytes(x) <= TARN__SMALL ||
        !tarn__is_unary(relu, TARN__UNARY_relu))
        return x;
    tarn_tensor *y = relu->in[0];
    const tarn_node *n = y->node;
    if (!n || n->op != &batchnorm_op || y != n->out[0] || !tarn__is_unchanged(n))
        return x;
    y = tarn__apply(t, &batchnorm_frozen_op, TARN__IN(n->in[0], n->in[1], n->in[2], n->out[1], n->out[2]), n->attr,
                    sizeof(batchnorm_attr));
    return y ? tarn_relu(t, y) : NULL;
}

/* ---- for those that fuse with it ---- */

bool tarn__is_batchnorm(const tarn_node *n, tarn__batchnorm_parts *parts)
{
    bool training = n->op == &batchnorm_op;
    if (!training && n->op != &batchnorm_frozen_op)
        return false;
    *parts = (tarn__batchnorm_parts){.b = &((const batchnorm_attr *)n->attr)->b,
                                     .x = n->in[0],
                                     .gamma = n->in[1],
                                     .beta = n->in[2],
                                     .mean = training ? n->out[1] : n->in[3],
                                     .var = training ? n->out[2] : n->in[4]};
    return true;
}

bool tarn__is_batchnorm_grad(const tarn_node *n, tarn_tensor **g, tarn__batchnorm_parts *parts)
{
    if (n->op != &batchnorm_grad_op)
        return false;
    *g = n->in[G];
    *parts = (tarn__batchnorm_parts){n->attr, n->in[X], n->in[GAMMA], NULL, n->in[MEAN], n->in[VAR]};
    return true;
}

static const double *in_f64(const tarn_node *n, const tarn_tensor *x)
{
    if (x->dtype == TARN_F64 && tarn_is_contiguous(x))
        return x->data;
    double *wide = tarn__scratch(n, (size_t)x->numel * sizeof *wide);
    for (int64_t c = 0; wide && c < x->numel; c++)
        wide[c] = tarn__load(x, c * x->stride[0]);
    return wide;
}

bool tarn__batchnorm_arrays(const tarn_node *n, const tarn__batchnorm_parts *parts, tarn__normalized *arrays)
{
    *arrays = (tarn__normalized){.x = tarn__packed(n, parts->x),
                                 .gamma = tarn__packed(n, parts->gamma),
                                 .beta = parts->beta ? tarn__packed(n, parts->beta) : NULL,
                                 .mean = in_f64(n, parts->mean),
                                 .var = in_f64(n, parts->var),
                                 .eps = parts->b->eps};
    return arrays->x && arrays->gamma && (arrays->beta || !parts->beta) && arrays->mean && arrays->var;
}

/* ---- composed: the running statistics move when y is looked at through this view ---- */

static bool track_shape(tarn_node *n)
{
    const tarn_tensor *y = n->in[0];
    return tarn__output_view(n, y->ndim, y->shape, y->stride, 0);
}

static bool track_run(tarn_node *n)
{
    const batchnorm_attr *attr = n->attr;
    int64_t columns = attr->b.columns;
    double *mean = tarn__scratch(n, (size_t)(2 * columns) * sizeof *mean);
    if (!mean)
        return false;
    for (int64_t c = 0; c < columns; c++) {
        mean[c] = tarn__load(n->in[1], c);
        mean[columns + c] = tarn__load(n->in[2], c);
    }
    return update_running(n, mean, mean + columns);
}

static bool track_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)t, (void)n;
    if (need[0])
        gx[0] = gy[0];
    return true;
}

TARN__OP(batchnorm_track_op, "batchnorm_track", track_shape, track_run, track_vjp);

/* ---- the public functions ---- */

static bool channel_vector(const char *what, const tarn_tensor *x, const tarn_tensor *v)
{
    if (v->ndim != 1 || v->shape[0] != tarn_dim(x, -1) || v->dtype != x->dtype)
        return tarn_fail("tarn_batchnorm: %s is %s%s, expected %s[%" PRId64 "] for x %s", what,
                         tarn_dtype_name(v->dtype), TARN__SHAPE_TEXT(v), tarn_dtype_name(x->dtype), tarn_dim(x, -1),
                         TARN__SHAPE_TEXT(x));
    return true;
}

static bool running_valid(const tarn_tape *t, const tarn_tensor *x, const tarn_running_stats *running)
{
    if (!running)
        return tarn_tape_training(t) ||
               tarn_fail("tarn_batchnorm: evaluation needs the running statistics, and running is NULL");
    const tarn_tensor *parts[] = {running->mean, running->var, running->batches};
    static const char *const names[] = {"running mean", "running var", "running batches"};
    for (int i = 0; i < 3; i++) {
        if (!tarn__is_state("tarn_batchnorm", names[i], t, parts[i]) ||
            (i < 2 && !channel_vector(names[i], x, parts[i])))
            return false;
    }
    if (running->batches->numel != 1 || !tarn__is_float(running->batches->dtype))
        return tarn_fail("tarn_batchnorm: running batches is %s%s, expected one f32 or f64 element",
                         tarn_dtype_name(running->batches->dtype), TARN__SHAPE_TEXT(running->batches));
    return true;
}

static bool prepare(tarn_tape *t, tarn_tensor *const *in, const tarn_running_stats *running,
                    const tarn_batchnorm_opts *opts, batchnorm_attr *attr)
{
    tarn_batchnorm_opts o = opts ? *opts : (tarn_batchnorm_opts){0};
    if (!tarn__inputs_usable("batchnorm", t, 3, in))
        return false;
    const tarn_tensor *x = in[0];
    if (x->ndim < 1 || !tarn__is_float(x->dtype))
        return tarn_fail("tarn_batchnorm: x is %s%s, expected f32 or f64 [...,C]", tarn_dtype_name(x->dtype),
                         TARN__SHAPE_TEXT(x));
    if (!tarn__is_in("tarn_batchnorm", "eps", o.eps, TARN__NOT_NEGATIVE) ||
        !tarn__is_in("tarn_batchnorm", "momentum", o.momentum, '[', 0, 1, ']'))
        return false;
    if (!channel_vector("gamma", x, in[1]) || !channel_vector("beta", x, in[2]) || !running_valid(t, x, running))
        return false;
    *attr = (batchnorm_attr){
        .b = {.dtype = x->dtype, .rows = 1, .columns = tarn_dim(x, -1), .eps = o.eps > 0 ? o.eps : 1e-5},
        .momentum = o.cumulative     ? 0
                    : o.momentum > 0 ? o.momentum
                                     : 0.1};
    for (int i = 0; i < x->ndim - 1; i++)
        attr->b.rows *= x->shape[i];
    if (x->ndim == 4 && x->numel > 0)
        attr->b.bands = tarn__bands_of(x->shape[0], x->shape[1], x->shape[2]);
    if (running)
        attr->running = *running;
    return true;
}

tarn_tensor *tarn_batchnorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                            const tarn_running_stats *running, const tarn_batchnorm_opts *opts)
{
    batchnorm_attr attr;
    if (!prepare(t, (tarn_tensor *const[]){x, gamma, beta}, running, opts, &attr))
        return NULL;
    if (tarn_tape_training(t))
        return tarn__apply(t, &batchnorm_op, TARN__IN(x, gamma, beta), &attr, sizeof attr);
    return tarn__apply(t, &batchnorm_frozen_op, TARN__IN(x, gamma, beta, running->mean, running->var), &attr,
                       sizeof attr);
}

tarn_tensor *tarn_batchnorm_composed(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                                     const tarn_running_stats *running, const tarn_batchnorm_opts *opts)
{
    batchnorm_attr attr;
    if (!prepare(t, (tarn_tensor *const[]){x, gamma, beta}, running, opts, &attr))
        return NULL;
    if (!tarn_tape_training(t))
        return frozen_composed(t, (tarn_tensor *const[]){x, gamma, beta, running->mean, running->var}, attr.b.eps);
    if (attr.b.rows < 2) {
        tarn_fail("tarn_batchnorm_composed: x %s has %" PRId64 " value%s a channel: training needs at least 2",
                  TARN__SHAPE_TEXT(x), attr.b.rows, attr.b.rows == 1 ? "" : "s");
        return NULL;
    }
    int axes[TARN_MAX_DIMS], count = all_but_last(x, axes);
    tarn_tensor *mean = tarn_mean(t, x, count, axes, false), *difference = tarn_sub(t, x, mean);
    tarn_tensor *var = tarn_mean(t, tarn_square(t, difference), count, axes, false);
    tarn_tensor *xhat = tarn_mul(t, difference, tarn_rsqrt(t, tarn_add_scalar(t, var, attr.b.eps)));
    tarn_tensor *y = tarn_add(t, tarn_mul(t, xhat, gamma), beta);
    return running ? tarn__apply(t, &batchnorm_track_op, TARN__IN(y, mean, var), &attr, sizeof attr) : y;
}
