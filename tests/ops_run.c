#include "tests/ops_check.h"

/* ---- running one case ---- */

static double *doubles_of(tarn_tensor *x)
{
    double *v = calloc((size_t)x->numel + 1, sizeof *v);
    const void *data = tarn_data(x);
    tarn_tensor whole = {.dtype = x->dtype, .data = (void *)(uintptr_t)data};
    assert_non_null(v);
    for (int64_t i = 0; data && i < x->numel; i++)
        v[i] = tarn__load(&whole, i);
    return v;
}

static bool no_error(const ops_case *c)
{
    if (tarn_error())
        ops_complain(c, "%s", tarn_error());
    else
        return true;
    return false;
}

static tarn_tensor *cotangent_for(tarn_tape *t, const tarn_tensor *y)
{
    tarn_rng rng = tarn_rng_seed(77);
    tarn_tensor *wide = tarn_uniform(t, TARN_F64, y->ndim, y->shape, &rng, 0.5, 1.5);
    return tarn_cast(t, wide, y->dtype); /* the same one, rounded, for f32 */
}

/* The gradients of the float leaves, on the tape. Returns how many. */
static int record_gradients(tarn_tape *t, ops_case *c, tarn_tensor *y, tarn_tensor *cotangent, tarn_tensor **grads)
{
    tarn_tensor *inputs[OPS_MAX_INPUTS];
    int count = 0;
    for (int i = 0; i < c->row->n_in; i++)
        if (tarn__is_float(c->leaf[i]->dtype))
            inputs[count++] = c->leaf[i];
    tarn_grad(t, 1, &y, &cotangent, count, inputs, grads);
    return count;
}

static bool differentiable(const ops_case *c, const tarn_tensor *y)
{
    return c->row->order > 0 && tarn__is_float(y->dtype);
}

static tarn_tape *tape_for(const ops_case *c)
{
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, !c->row->evaluation);
    return t;
}

static void append(ops_result *r, tarn_tensor *x)
{
    const void *data = tarn_data(x);
    if (!data)
        return;
    r->bytes = realloc(r->bytes, r->size + tarn__bytes(x) + 1);
    assert_non_null(r->bytes);
    memcpy(r->bytes + r->size, data, tarn__bytes(x));
    r->size += tarn__bytes(x);
}

ops_result ops_case_run(ops_case *c, bool eager)
{
    tarn_tape *t = tape_for(c);
    tarn_tape_set_eager(t, eager);
    tarn_tensor *y = ops_case_record(t, c->leaf, c), *grads[OPS_MAX_INPUTS];
    ops_result r = {0};
    int count = y && differentiable(c, y) ? record_gradients(t, c, y, cotangent_for(t, y), grads) : 0;
    if (no_error(c))
        append(&r, y);
    for (int i = 0; i < count && !tarn_error(); i++)
        append(&r, grads[i]);
    no_error(c);
    tarn_tape_free(t);
    return r;
}

/* ---- values ---- */

static void reference_binary(double (*f)(double, double), const ops_array *in, ops_array *out)
{
    int64_t shape[TARN_MAX_DIMS], index[TARN_MAX_DIMS];
    int ndim = in[0].ndim > in[1].ndim ? in[0].ndim : in[1].ndim;
    for (int axis = 0; axis < ndim; axis++) {
        shape[axis] = 1;
        for (int k = 0; k < 2; k++) {
            int own = axis - (ndim - in[k].ndim);
            if (own >= 0 && in[k].shape[own] != 1)
                shape[axis] = in[k].shape[own];
        }
    }
    ops_out(out, ndim, shape);
    for (int64_t i = 0; i < out->numel; i++) {
        double value[2];
        int64_t rest = i;
        for (int axis = ndim - 1; axis >= 0; axis--) {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        for (int k = 0; k < 2; k++) {
            int64_t at = 0;
            for (int own = 0; own < in[k].ndim; own++)
                at = at * in[k].shape[own] + (in[k].shape[own] == 1 ? 0 : index[ndim - in[k].ndim + own]);
            value[k] = in[k].v[at];
        }
        out->v[i] = f(value[0], value[1]);
    }
}

static void reference(const ops_case *c, ops_array *out)
{
    const ops_row *row = c->row;
    ops_array in[OPS_MAX_INPUTS];
    for (int i = 0; i < row->n_in; i++) {
        double *leaf = doubles_of(c->leaf[ops_source_of(row, c->way, i)]);
        ops_view_array(&row->in[i], c->way, leaf, &in[i]);
        free(leaf);
    }
    if (row->reference) {
        row->reference(in, out);
    } else if (row->binary) {
        reference_binary(row->binary, in, out);
    } else {
        ops_out(out, in[0].ndim, in[0].shape);
        for (int64_t i = 0; i < out->numel; i++)
            out->v[i] = row->unary(in[0].v[i]);
    }
    for (int i = 0; i < row->n_in; i++)
        free(in[i].v);
}

static double mean_square(const double *v, int64_t n)
{
    double total = 0;
    for (int64_t i = 0; i < n; i++)
        total += isfinite(v[i]) ? v[i] * v[i] / (double)n : 0;
    return total;
}

/* f64: to 1e-12 of the value or of 1. f32 (eps 6e-8): each value to 1e-5 of itself or of the typical one, since a result
 * may be a difference of typical ones, and altogether a mean square error of 1e-12 of the mean square: 16 eps. */
static void compare_values(const ops_case *c, const double *y, const ops_array *expected)
{
    double size = mean_square(expected->v, expected->numel), error = 0;
    for (int64_t i = 0; i < expected->numel; i++) {
        double want = expected->v[i], e = fabs(y[i] - want);
        bool same = y[i] == want || (isnan(y[i]) && isnan(want));
        double bound = c->dtype == TARN_F64 ? 1e-12 * fmax(1, fabs(want)) : 1e-5 * (fabs(want) + sqrt(size)) + 1e-12;
        if (!same && !(e <= bound)) {
            ops_complain(c, "element %lld is %.17g, expected %.17g", (long long)i, y[i], want);
            return;
        }
        error += same ? 0 : e * e / (double)expected->numel;
    }
    if (c->dtype == TARN_F32 && !(error <= 1e-12 * size + 1e-24))
        ops_complain(c, "mean square error %g of %g", error, size);
}

static bool same_shape(const tarn_tensor *y, const ops_array *expected)
{
    bool same = y->ndim == expected->ndim;
    for (int i = 0; i < y->ndim && same; i++)
        same = y->shape[i] == expected->shape[i];
    return same;
}

static void check_case_values(ops_case *c)
{
    tarn_tape *t = tape_for(c);
    tarn_tensor *y = ops_case_record(t, c->leaf, c);
    ops_array expected;
    reference(c, &expected);
    if (no_error(c) && !same_shape(y, &expected))
        ops_complain(c, "shape %s, expected %s", TARN__SHAPE_TEXT(y),
                     tarn__shape_text_of(expected.ndim, expected.shape).text);
    else if (y) {
        double *values = doubles_of(y);
        if (no_error(c))
            compare_values(c, values, &expected);
        free(values);
    }
    free(expected.v);
    tarn_tape_free(t);
}

/* c's leaves in f64, with the very same values. */
static void widen(const ops_case *c, ops_case *wide)
{
    assert_true(ops_case_init(wide, c->row, c->way, TARN_F64));
    for (int i = 0; i < c->row->n_in; i++)
        tarn__copy_elements(wide->leaf[i], c->leaf[i]);
}

/* The gradients in f32 against those in f64, which finite differences vouch for: as far apart, root mean square, as 80
 * roundings of a typical element, or of a number of size 0.1 where terms cancel. */
static void compare_gradients(const ops_case *c, int k, tarn_tensor *g, tarn_tensor *g64)
{
    double *a = doubles_of(g), *b = doubles_of(g64), size = mean_square(b, g64->numel), error = 0;
    for (int64_t i = 0; i < g64->numel; i++)
        error += (a[i] - b[i]) * (a[i] - b[i]) / (double)g64->numel;
    if (no_error(c) && !(sqrt(error) <= 5e-6 * sqrt(size) + 5e-7))
        ops_complain(c, "gradient %d is off by %g of %g", k, sqrt(error), sqrt(size));
    free(a);
    free(b);
}

static void check_f32_gradients(ops_case *c)
{
    ops_case wide;
    widen(c, &wide);
    tarn_tape *t = tape_for(c), *t64 = tape_for(c);
    tarn_tensor *y = ops_case_record(t, c->leaf, c), *y64 = ops_case_record(t64, wide.leaf, &wide);
    tarn_tensor *grads[OPS_MAX_INPUTS], *grads64[OPS_MAX_INPUTS];
    int count = y && y64 && differentiable(c, y) ? record_gradients(t, c, y, cotangent_for(t, y), grads) : 0;
    if (count > 0)
        record_gradients(t64, &wide, y64, cotangent_for(t64, y64), grads64);
    if (no_error(c))
        for (int k = 0; k < count; k++)
            compare_gradients(c, k, grads[k], grads64[k]);
    tarn_tape_free(t);
    tarn_tape_free(t64);
    ops_case_free(&wide);
}

void ops_check_values(const ops_row *row)
{
    bool has_reference = row->unary || row->binary || row->reference;
    if (!has_reference && !row->elsewhere)
        ops_complain(&(ops_case){.row = row}, "the row has no reference values");
    for (int way = OPS_PLAIN; way < OPS_WAY_COUNT; way++)
        for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
            ops_case c;
            if (!ops_case_init(&c, row, (ops_way)way, dtype))
                continue;
            if (has_reference && way != OPS_CHAINED)
                check_case_values(&c);
            if (dtype == TARN_F32)
                check_f32_gradients(&c);
            ops_case_free(&c);
        }
}

/* ---- gradients ---- */

/* Whether a gradient that reaches a node's outputs goes on to a leaf of the case, or to the cotangent of its gradient
 * (may be NULL): order 2 differentiates with respect to both. */
static void mark_dependent(const tarn_tape *t, const ops_case *c, const tarn_tensor *cotangent, bool *dependent)
{
    for (size_t id = 0; id < t->count; id++) {
        const tarn_node *n = t->nodes[id];
        dependent[id] = false;
        for (int i = 0; i < n->n_in && !n->no_grad; i++) {
            dependent[id] |= n->in[i] == cotangent || (n->in[i]->node && dependent[n->in[i]->node->id]);
            for (int k = 0; k < c->row->n_in; k++)
                dependent[id] |= n->in[i] == c->leaf[k] && tarn__is_float(n->in[i]->dtype);
        }
    }
}

static void cover(const tarn_op *op, bool *covered)
{
    size_t count;
    const tarn_op *const *ops = tarn__all_ops(&count);
    for (size_t i = 0; i < count; i++)
        covered[i] |= ops[i] == op;
}

static bool is_op(const char *name)
{
    size_t count;
    const tarn_op *const *ops = tarn__all_ops(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(ops[i]->name, name) == 0)
            return true;
    return false;
}

/* Of an order-1 row, the ops of the expression are covered; of an order-2 row also those of its gradient. An op
 * without a gradient only by a row that is its own. */
static void mark_covered(ops_case *c, bool *covered)
{
    tarn_tape *t = tape_for(c);
    tarn_tensor *y = ops_case_record(t, c->leaf, c), *grads[OPS_MAX_INPUTS];
    size_t forward = tarn_tape_nodes(t);
    tarn_tensor *cotangent = y && c->row->order > 1 ? cotangent_for(t, y) : NULL;
    int count = cotangent ? record_gradients(t, c, y, cotangent, grads) : 0;
    tarn_run(y);
    for (int i = 0; i < count; i++)
        tarn_run(grads[i]);
    bool *dependent = calloc(t->count + 1, sizeof *dependent), named = false;
    mark_dependent(t, c, cotangent, dependent);
    for (size_t id = 0; id < t->count; id++) {
        const tarn_node *n = t->nodes[id];
        bool own = strcmp(n->op->name, c->row->name) == 0;
        named |= own && id < forward;
        if (n->done && n->op->vjp && c->row->order > 0 && dependent[id])
            cover(n->op, covered);
        if (n->done && !n->op->vjp && c->row->order == 0 && own)
            cover(n->op, covered);
    }
    if (no_error(c) && is_op(c->row->name) && !named)
        ops_complain(c, "the expression does not use the op that the row is named after");
    free(dependent);
    tarn_tape_free(t);
}

void ops_check_gradients(const ops_row *row, bool *covered)
{
    for (int way = OPS_PLAIN; way < OPS_WAY_COUNT; way++) {
        ops_case c;
        if (!ops_case_init(&c, row, (ops_way)way, TARN_F64))
            continue;
        const tarn_gradcheck_opts opts = {.order = row->order, .evaluation = row->evaluation};
        if (row->order > 0 && !tarn_gradcheck(ops_case_record, &c, row->n_in, c.leaf, &opts, NULL))
            ops_complain(&c, "%s", tarn_error());
        else if (way == OPS_PLAIN)
            mark_covered(&c, covered);
        ops_case_free(&c);
    }
}
