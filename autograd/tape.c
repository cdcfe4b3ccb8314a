#include "autograd/tape.h"
#include "autograd/tape_impl.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

/* The linker's, around TARN__OP's section; weak, since a program may be linked without any op. */
extern const tarn_op *const __start_tarn_ops[] __attribute__((weak));
extern const tarn_op *const __stop_tarn_ops[] __attribute__((weak));

const tarn_op *const *tarn__all_ops(size_t *count)
{
    *count = (size_t)(__stop_tarn_ops - __start_tarn_ops);
    return __start_tarn_ops;
}

/* ---- the tape ---- */

static bool compute(tarn_tensor *x)
{
    return tarn__run_all(x->tape, 1, &x, false);
}

static void *allocate_on_tape(tarn_tensor *x, size_t bytes)
{
    tarn_tape *t = x->tape;
    tarn__chunk *chunk = tarn__pool_take(&t->pool, &t->arena, bytes);
    tarn__note_peak(t);
    return chunk ? chunk->data : NULL;
}

tarn_tape *tarn_tape_new(void)
{
    if (tarn_error() || !tarn__isa_is_known("tarn_tape_new"))
        return NULL;
    tarn_tape *t = tarn__allocate_zeroed(sizeof *t);
    if (!t) {
        tarn_fail("tarn_tape_new: no memory");
        return NULL;
    }
    t->home = (tarn__home){0, compute, allocate_on_tape};
    t->training = t->grad = t->fusion = true;
    t->keep_below = TARN__SMALL;
    return t;
}

void tarn_tape_free(tarn_tape *t)
{
    if (!t)
        return;
    tarn__pool_free(&t->pool);
    tarn__arena_free(&t->arena);
    tarn__records_free(&t->records);
    tarn__release(t->nodes);
    tarn__release(t);
}

void tarn_tape_reset(tarn_tape *t)
{
    if (!t)
        return;
    tarn__note_peak(t);
    t->count = 0;
    t->transformed = NULL;
    tarn__states_forget(t);
    t->home.resets++;
    t->lingering = false;
    t->segment = NULL;
    tarn__pool_reset(&t->pool);
    tarn__arena_reset(&t->arena);
    tarn__records_reset(&t->records);
}

void tarn_tape_set_training(tarn_tape *t, bool training)
{
    if (tarn__usable("tarn_tape_set_training", t, "tape"))
        t->training = training;
}

bool tarn_tape_training(const tarn_tape *t)
{
    return t && t->training;
}

void tarn_tape_set_grad(tarn_tape *t, bool grad)
{
    if (tarn__usable("tarn_tape_set_grad", t, "tape"))
        t->grad = grad;
}

bool tarn_tape_grad(const tarn_tape *t)
{
    return t && t->grad;
}

void tarn_tape_set_eager(tarn_tape *t, bool eager)
{
    if (tarn__usable("tarn_tape_set_eager", t, "tape"))
        t->eager = eager;
}

bool tarn_tape_eager(const tarn_tape *t)
{
    return t && t->eager;
}

void tarn_tape_set_fusion(tarn_tape *t, bool fusion)
{
    if (tarn__usable("tarn_tape_set_fusion", t, "tape"))
        t->fusion = fusion;
}

bool tarn_tape_fusion(const tarn_tape *t)
{
    return t && t->fusion;
}

size_t tarn_tape_nodes(const tarn_tape *t)
{
    return t ? t->count : 0;
}

/* ---- tensors on the tape ---- */

/* A tensor record without elements. The caller says what failed. */
static tarn_tensor *record_new(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    tarn_tensor *x = tarn__record_take(&t->records);
    if (!x)
        return NULL;
    tarn__zero(x, offsetof(tarn_tensor, shape));
    tarn__set_shape(x, dtype, ndim, shape);
    x->owner = TARN__OWNED_BY_TAPE;
    x->tape = t;
    x->home = &t->home;
    x->born = t->home.resets;
    return x;
}

tarn_tensor *tarn__tape_leaf(const char *who, tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t numel;
    if (!tarn__usable(who, t, "tape") || !tarn__check_shape(who, dtype, ndim, shape, &numel))
        return NULL;
    tarn_tensor *x = record_new(t, dtype, ndim, shape);
    if (!x || !tarn__elements_take(x)) {
        if (x)
            tarn__record_give(&t->records, x);
        tarn_fail("%s: no memory for %s%s", who, tarn_dtype_name(dtype), tarn__shape_text_of(ndim, shape).text);
        return NULL;
    }
    x->ready = true;
    return x;
}

/* ---- recording ---- */

bool tarn__node_fail(const tarn_node *n, const char *format, ...)
{
    char message[768];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tarn_fail("tarn_%s: %s", n->op->name, message);
}

static tarn_tensor *add_output(tarn_node *n, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    if (n->n_out == TARN__MAX_OUTPUTS) {
        tarn__node_fail(n, "more than %d outputs", TARN__MAX_OUTPUTS);
        return NULL;
    }
    tarn_tensor *x = record_new(n->tape, dtype, ndim, shape);
    if (!x) {
        tarn__node_fail(n, "no memory to record it");
        return NULL;
    }
    x->node = n;
    x->output = n->n_out;
    n->out[n->n_out++] = x;
    return x;
}

/* Most shapes are: the check with its message takes longer. */
static bool is_plainly_right(tarn_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t product = 1;
    for (int i = 0; i < ndim && i < TARN_MAX_DIMS; i++) {
        if (shape[i] < 1 || shape[i] >= (int64_t)1 << 31 || product >= (int64_t)1 << 31)
            return false;
        product *= shape[i];
    }
    return ndim >= 0 && ndim <= TARN_MAX_DIMS && product < (int64_t)1 << 31 && (unsigned)dtype < TARN_DTYPE_COUNT;
}

bool tarn__output(tarn_node *n, tarn_dtype dtype, int ndim, const int64_t *shape)
{
    if (!is_plainly_right(dtype, ndim, shape)) {
        char who[64];
        int64_t numel;
        snprintf(who, sizeof who, "tarn_%s", n->op->name);
        if (!tarn__check_shape(who, dtype, ndim, shape, &numel))
            return false;
    }
    return add_output(n, dtype, ndim, shape);
}

bool tarn__output_view(tarn_node *n, int ndim, const int64_t *shape, const int64_t *stride, int64_t offset)
{
    tarn_tensor *base = n->in[0], *x = add_output(n, base->dtype, ndim, shape);
    if (!x)
        return false;
    if (ndim > 0)
        memcpy(x->stride, stride, (size_t)ndim * sizeof stride[0]);
    x->root = base->node ? base->root : base;
    n->view_offset = offset;
    n->is_view = true;
    return true;
}

bool tarn__same_float(const tarn_node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        if (!tarn__is_float(n->in[i]->dtype))
            return tarn__node_fail(n, "input %d is %s, expected f32 or f64", i, tarn_dtype_name(n->in[i]->dtype));
        if (n->in[i]->dtype != n->in[0]->dtype)
            return tarn__node_fail(n, "input 0 is %s and input %d is %s: cast one of them",
                                   tarn_dtype_name(n->in[0]->dtype), i, tarn_dtype_name(n->in[i]->dtype));
    }
    return true;
}

__attribute__((cold, noinline)) static bool input_fail(const char *op, const tarn_tape *t, int i, const tarn_tensor *x)
{
    char who[64], what[32];
    snprintf(who, sizeof who, "tarn_%s", op);
    snprintf(what, sizeof what, "input %d", i);
    return tarn__lives_on(who, what, t, x);
}

bool tarn__inputs_usable(const char *who, const tarn_tape *t, int n_in, tarn_tensor *const *in)
{
    if (tarn_error())
        return false;
    if (!t)
        return tarn_fail("tarn_%s: tape is NULL", who);
    for (int i = 0; i < n_in; i++) {
        const tarn_tensor *x = in[i];
        if (!x || (x->tape && (x->tape != t || x->born != t->home.resets)))
            return input_fail(who, t, i, x);
    }
    return true;
}

bool tarn__lives_on(const char *who, const char *what, const tarn_tape *t, const tarn_tensor *x)
{
    if (!tarn__tensor_usable(who, x, what))
        return false;
    return !x->tape || x->tape == t || tarn_fail("%s: %s lives on another tape", who, what);
}

bool tarn__is_state(const char *who, const char *what, const tarn_tape *t, const tarn_tensor *x)
{
    return tarn__lives_on(who, what, t, x) &&
           (!x->node || tarn_fail("%s: %s was computed by an op, expected a leaf", who, what));
}

static bool append(tarn_tape *t, tarn_node *n)
{
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 256;
        tarn_node **grown = tarn__allocate(capacity * sizeof *grown);
        if (!grown)
            return false;
        if (t->count)
            memcpy(grown, t->nodes, t->count * sizeof *grown);
        tarn__release(t->nodes);
        t->nodes = grown;
        t->capacity = capacity;
    }
    n->id = t->count;
    t->nodes[t->count++] = n;
    return true;
}

const tarn_tensor *tarn__leaf_behind(const tarn_tensor *x)
{
    return x->node ? x->root : x;
}

static tarn_node *node_new(tarn_tape *t, const tarn_op *op, int n_in, tarn_tensor *const *in, const void *attr,
                           size_t attr_size)
{
    size_t count = (size_t)n_in, lists = count * (sizeof(tarn_tensor *) + sizeof(uint64_t));
    tarn_node *n = tarn__arena_allocate_unset(&t->arena, sizeof *n + lists + attr_size);
    if (!n)
        return NULL;
    tarn__zero(n, sizeof *n);
    n->op = op;
    n->tape = t;
    n->n_in = n_in;
    n->no_grad = !t->grad || op->constant;
    n->inner = n->by_rule = t->rules > 0;
    n->segment = t->segment;
    n->in_version = (uint64_t *)(void *)(n + 1);
    n->in = (tarn_tensor **)(void *)(n->in_version + count);
    for (int i = 0; i < n_in; i++) {
        const tarn_tensor *leaf = tarn__leaf_behind(in[i]);
        n->in[i] = in[i];
        n->in_version[i] = leaf ? leaf->version : 0;
    }
    if (attr_size > 0) {
        n->attr = (char *)(n + 1) + lists;
        memcpy(n->attr, attr, attr_size);
    }
    return n;
}

tarn_tensor *tarn__apply(tarn_tape *t, const tarn_op *op, int n_in, tarn_tensor *const *in, const void *attr,
                         size_t attr_size)
{
    if (!tarn__inputs_usable(op->name, t, n_in, in))
        return NULL;
    tarn__arena_mark mark = tarn__arena_set_mark(&t->arena);
    tarn_node *n = node_new(t, op, n_in, in, attr, attr_size);
    if (!n || (op->shape(n) && !append(t, n)))
        tarn_fail("tarn_%s: no memory to record it", op->name);
    if (tarn_error()) {
        while (n && n->n_out > 0)
            tarn__record_give(&t->records, n->out[--n->n_out]);
        tarn__arena_release(&t->arena, mark);
        return NULL;
    }
    tarn__hold_inputs(n);
    tarn_tensor *first = n->out[0];
    return t->eager && !tarn__run_all(t, 1, &first, false) ? NULL : first;
}

tarn_node *tarn__node_copy(tarn_node *n)
{
    tarn_tape *t = n->tape;
    tarn_node *copy = node_new(t, n->op, n->n_in, n->in, NULL, 0);
    if (!copy)
        return NULL;
    for (int i = 0; i < n->n_in; i++)
        copy->in_version[i] = n->in_version[i];
    for (int i = 0; i < n->n_out; i++) {
        const tarn_tensor *x = n->out[i];
        tarn_tensor *y = add_output(copy, x->dtype, x->ndim, x->shape);
        if (!y)
            return NULL;
        memcpy(y->stride, x->stride, (size_t)x->ndim * sizeof y->stride[0]);
        y->root = x->root;
    }
    copy->attr = n->attr;
    copy->view_offset = n->view_offset;
    copy->is_view = n->is_view;
    copy->no_grad = n->no_grad;
    copy->inner = true;
    copy->origin = n->origin ? n->origin : n;
    return append(t, copy) ? copy : NULL; /* it holds its inputs when it is to run: it may never be */
}
