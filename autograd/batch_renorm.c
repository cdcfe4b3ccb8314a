/* Batch Renormalization: an expression of primitive ops, and an op that looks at the moving averages. */
#include "autograd/normalize.h"
#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/range.h"

#include <inttypes.h>
#include <math.h>

typedef struct renorm_attr {
    tarn_renorm_stats running;
    tarn_batch_renorm_opts opts; /* no field 0 that means a default */
    tarn_tensor *found;          /* f64 [2,C] on the tape: r and d, once they are known */
    bool known;
} renorm_attr;

/* ---- r and d: near, rest, sigma -> r, d, constants ---- */

enum { NEAR, REST, SIGMA };

static bool correction_shape(tarn_node *n)
{
    const tarn_tensor *sigma = n->in[SIGMA];
    return tarn__output(n, sigma->dtype, 1, &sigma->numel) && tarn__output(n, sigma->dtype, 1, &sigma->numel);
}

/* From `at_start` to `limit` while the batches go from start to end. */
static double ramp(double batches, const tarn_batch_renorm_opts *o, int64_t end, double at_start, double limit)
{
    if (o->unscheduled || batches >= (double)end)
        return limit;
    double part = (batches - (double)o->start) / (double)(end - o->start);
    return part > 0 ? at_start + part * (limit - at_start) : at_start;
}

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* What the moving averages were when the batch came decides, however often r and d are computed: also in the second
 * time of a checkpoint, whose node has the same attr. */
static bool find_correction(const tarn_node *n, renorm_attr *attr)
{
    const tarn_tensor *near = n->in[NEAR], *rest = n->in[REST], *sigma = n->in[SIGMA];
    tarn_tensor *running_mean = tarn__state_to_move(n, attr->running.mean),
                *running_std = tarn__state_to_move(n, attr->running.std),
                *running_batches = tarn__state_to_move(n, attr->running.batches);
    if (!running_mean || !running_std || !running_batches)
        return false;
    const tarn_batch_renorm_opts *o = &attr->opts;
    double batches = tarn__load(running_batches, 0), *r = attr->found->data, *d = r + sigma->numel;
    double r_max = ramp(batches, o, o->r_end, 1, o->r_max), d_max = ramp(batches, o, o->d_end, 0, o->d_max);
    int64_t last = sigma->ndim - 1;
    for (int64_t c = 0; c < sigma->numel; c++) {
        double s = tarn__load(sigma, c * sigma->stride[last]), mean = tarn__load(running_mean, c);
        double std = tarn__load(running_std, c);
        double near_c = tarn__load(near, c * near->stride[last]), rest_c = tarn__load(rest, c * rest->stride[last]);
        double difference = near_c - mean + rest_c;
        r[c] = clip(s / std, 1 / r_max, r_max);
        d[c] = clip(difference / std, -d_max, d_max);
        tarn__store(running_mean, c, mean + o->momentum * difference);
        tarn__store(running_std, c, std + o->momentum * (s - std));
    }
    tarn__store(running_batches, 0, batches + 1);
    attr->known = true;
    return true;
}

static bool correction_run(tarn_node *n)
{
    renorm_attr *attr = n->attr;
    if (!attr->known && !find_correction(n, attr))
        return false;
    const double *found = attr->found->data;
    int64_t channels = n->out[0]->numel;
    for (int64_t c = 0; c < channels; c++) {
        tarn__store(n->out[0], c, found[c]);
        tarn__store(n->out[1], c, found[channels + c]);
    }
    return true;
}

TARN__OP(correction_op, "batch_renorm_correction", correction_shape, correction_run, NULL, .constant = true);

/* ---- what is refused ---- */

static bool is_channel_vector(const char *what, const tarn_tensor *x, const tarn_tensor *v)
{
    if (v->ndim != 1 || v->shape[0] != tarn_dim(x, -1) || v->dtype != x->dtype)
        return tarn_fail("tarn_batch_renorm: %s is %s%s, expected %s[%" PRId64 "] for x %s", what,
                         tarn_dtype_name(v->dtype), TARN__SHAPE_TEXT(v), tarn_dtype_name(x->dtype), tarn_dim(x, -1),
                         TARN__SHAPE_TEXT(x));
    return true;
}

static bool is_running_valid(const tarn_tape *t, const tarn_tensor *x, const tarn_renorm_stats *running)
{
    static const char *const names[] = {"running mean", "running std", "running batches"};
    if (!running)
        return tarn_fail("tarn_batch_renorm: running is NULL");
    const tarn_tensor *parts[] = {running->mean, running->std, running->batches};
    for (int i = 0; i < 3; i++) {
        if (!tarn__is_state("tarn_batch_renorm", names[i], t, parts[i]) ||
            (i < 2 && !is_channel_vector(names[i], x, parts[i])))
            return false;
    }
    if (running->batches->numel != 1 || !tarn__is_float(running->batches->dtype))
        return tarn_fail("tarn_batch_renorm: running batches is %s%s, expected one f32 or f64 element",
                         tarn_dtype_name(running->batches->dtype), TARN__SHAPE_TEXT(running->batches));
    return true;
}

tarn_batch_renorm_opts tarn__batch_renorm_opts(const tarn_batch_renorm_opts *opts)
{
    tarn_batch_renorm_opts o = opts ? *opts : (tarn_batch_renorm_opts){0};
    o.eps = o.eps == 0 ? 1e-5 : o.eps;
    o.momentum = o.momentum == 0 ? 0.01 : o.momentum;
    o.r_max = o.r_max == 0 ? 3 : o.r_max;
    o.d_max = o.d_max == 0 ? 5 : o.d_max;
    o.start = o.start == 0 ? 5000 : o.start;
    o.r_end = o.r_end == 0 ? 40000 : o.r_end;
    o.d_end = o.d_end == 0 ? 25000 : o.d_end;
    return o;
}

bool tarn__batch_renorm_usable(const char *who, const tarn_batch_renorm_opts *o)
{
    return tarn__is_in(who, "eps", o->eps, TARN__NOT_NEGATIVE) &&
           tarn__is_in(who, "momentum", o->momentum, '[', 0, 1, ']') &&
           tarn__is_in(who, "r_max", o->r_max, '[', 1, (double)INFINITY, ']') &&
           tarn__is_in(who, "d_max", o->d_max, '[', 0, (double)INFINITY, ']') &&
           (o->unscheduled || (tarn__is_count(who, "start", o->start, 0, INT64_MAX) &&
                               tarn__is_count(who, "r_end", o->r_end, o->start, INT64_MAX) &&
                               tarn__is_count(who, "d_end", o->d_end, o->start, INT64_MAX)));
}

static bool usable(const tarn_tape *t, tarn_tensor *const *in, const tarn_renorm_stats *running,
                   const tarn_batch_renorm_opts *o)
{
    if (!tarn__inputs_usable("batch_renorm", t, 3, in))
        return false;
    const tarn_tensor *x = in[0];
    if (x->ndim < 1 || !tarn__is_float(x->dtype))
        return tarn_fail("tarn_batch_renorm: x is %s%s, expected f32 or f64 [...,C]", tarn_dtype_name(x->dtype),
                         TARN__SHAPE_TEXT(x));
    int64_t rows = 1;
    for (int i = 0; i < x->ndim - 1; i++)
        rows *= x->shape[i];
    if (tarn_tape_training(t) && rows < 2)
        return tarn_fail("tarn_batch_renorm: x %s has %" PRId64 " value%s a channel: training needs at least 2, since "
                         "the variance of one says nothing",
                         TARN__SHAPE_TEXT(x), rows, rows == 1 ? "" : "s");
    return tarn__batch_renorm_usable("tarn_batch_renorm", o) && is_channel_vector("gamma", x, in[1]) &&
           is_channel_vector("beta", x, in[2]) && is_running_valid(t, x, running);
}

/* ---- the function ---- */

/* [C] each: r, and d by *d. */
static tarn_tensor *correction(tarn_tape *t, const tarn__mean *mean, tarn_tensor *sigma, renorm_attr *attr,
                               tarn_tensor **d)
{
    if (!sigma)
        return NULL;
    attr->found = tarn__tape_leaf("tarn_batch_renorm", t, TARN_F64, TARN_SHAPE(2, tarn_dim(sigma, -1)));
    if (!attr->found)
        return NULL;
    tarn_tensor *r = tarn__apply(t, &correction_op, TARN__IN(mean->near, mean->rest, sigma), attr, sizeof *attr);
    *d = r ? r->node->out[1] : NULL;
    return r;
}

static tarn_tensor *renormalized(tarn_tape *t, tarn_tensor *x, renorm_attr *attr)
{
    tarn__over over = {.count = x->ndim - 1};
    for (int i = 0; i < over.count; i++)
        over.axes[i] = i;
    tarn__mean mean;
    tarn_tensor *difference = tarn__centred(t, x, &over, &mean), *d = NULL;
    tarn_tensor *var = tarn__mean_over(t, tarn_square(t, difference), &over);
    var = tarn_add_scalar(t, var, attr->opts.eps);
    tarn_tensor *r = correction(t, &mean, tarn_sqrt(t, var), attr, &d);
    return tarn_add(t, tarn_mul(t, difference, tarn_mul(t, tarn_rsqrt(t, var), r)), d);
}

tarn_tensor *tarn_batch_renorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                               const tarn_renorm_stats *running, const tarn_batch_renorm_opts *opts)
{
    renorm_attr attr = {.opts = tarn__batch_renorm_opts(opts)};
    if (!usable(t, (tarn_tensor *const[]){x, gamma, beta}, running, &attr.opts))
        return NULL;
    attr.running = *running;
    tarn_tensor *xhat =
        tarn_tape_training(t) ? renormalized(t, x, &attr) : tarn_div(t, tarn_sub(t, x, running->mean), running->std);
    return tarn_add(t, tarn_mul(t, xhat, gamma), beta);
}
