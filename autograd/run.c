/* Running: which nodes, in which order, how fused. */
#include "autograd/tape_impl.h"

#include <string.h>

/* Which of n's inputs shows a leaf that is not as it was when n was recorded; -1: none. */
static int changed_input(const tarn_node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        const tarn_tensor *leaf = tarn__leaf_behind(n->in[i]);
        if (leaf && leaf->version != n->in_version[i])
            return i;
    }
    return -1;
}

bool tarn__is_unchanged(const tarn_node *n)
{
    return changed_input(n) < 0;
}

bool tarn__check_unchanged(const tarn_node *n)
{
    int i = changed_input(n);
    if (i < 0)
        return true;
    const tarn_tensor *leaf = tarn__leaf_behind(n->in[i]);
    return tarn__node_fail(n, "input %d (%s %s) changed between recording and running: run it before the change%s", i,
                           leaf->name ? leaf->name : "a leaf", TARN__SHAPE_TEXT(leaf),
                           n->out[0]->gone ? ", with tarn_keep(x) before the run, or the value does not stay" : "");
}

bool tarn__first_run(const tarn_node *n)
{
    return !(n->origin ? n->origin : n)->done;
}

/* ---- planning ---- */

/* Marks x's node to be run, unless x is there or it is marked; returns how many it has marked. */
static size_t want(const tarn_tensor *x)
{
    tarn_node *node = x->node;
    if (!node || x->ready || node->wanted)
        return 0;
    node->wanted = true;
    return 1;
}

static size_t want_inputs(tarn_node *n, bool dropping)
{
    size_t marked = 0;
    const tarn__fusion *f = n->fusion;
    int count = f ? f->n_reads : n->n_in;
    tarn_tensor **reads = f ? f->reads : n->in;
    for (int i = 0; i < count; i++) {
        tarn_tensor *x = reads[i];
        /* It was let go too early: a program that goes on reading it would have it computed again and again. */
        if (!dropping && !n->done && x->gone && !x->ready)
            x->kept = true;
        marked += want(x);
    }
    return marked;
}

/* Into an array: a node can be absorbed into several fusions at a time. */
static void note_absorbed(tarn_tape *t, tarn__fusion *f, tarn_node *absorbed)
{
    for (const tarn_node *n = absorbed; n; n = n->next_let_go)
        f->n_absorbed++;
    if (f->n_absorbed > 0)
        f->absorbed = tarn__arena_allocate_small(&t->arena, (size_t)f->n_absorbed * sizeof *f->absorbed);
    for (int i = 0; absorbed; i++) {
        tarn_node *n = absorbed;
        absorbed = n->next_let_go;
        n->next_let_go = NULL;
        if (f->absorbed)
            f->absorbed[i] = n;
    }
}

bool tarn__fuse(tarn_node *n, bool (*run)(tarn_node *n), int n_reads, tarn_tensor *const *reads, int n_also,
                tarn_node *const *also)
{
    for (int i = 0; i < n_also; i++)
        if (also[i]->id + (size_t)i + 1 != n->id || also[i]->host || also[i]->fusion || also[i]->out[0]->ready)
            return false;
    size_t r = (size_t)n_reads, a = (size_t)n_also;
    tarn__fusion *f =
        tarn__arena_allocate_small(&n->tape->arena, sizeof *f + r * sizeof *f->reads + a * sizeof *f->also);
    if (!f)
        return false;
    f->run = run;
    f->n_reads = n_reads;
    f->n_also = n_also;
    f->reads = (tarn_tensor **)(void *)(f + 1);
    f->also = (tarn_node **)(void *)(f->reads + n_reads);
    for (int i = 0; i < n_reads; i++)
        tarn__use(f->reads[i] = reads[i]);
    n->fusion = f;
    tarn_node *absorbed = NULL;
    tarn__let_go(n, &absorbed);
    for (int i = 0; i < n_also; i++) {
        f->also[i] = also[i];
        also[i]->host = n;
        tarn__let_go(also[i], &absorbed);
    }
    note_absorbed(n->tape, f, absorbed);
    return true;
}

/* The nodes to be run, linked in the order of recording, whatever the order of wanting: what a node does besides
 * (running statistics) happens in the order in which the program says it. */
static tarn_node *plan(tarn_tape *t, size_t n, tarn_tensor *const *xs, bool dropping)
{
    size_t end = 0, unseen = 0;
    tarn_node *list = NULL;
    for (size_t i = 0; i < n; i++) {
        unseen += want(xs[i]);
        if (xs[i]->node && xs[i]->node->wanted && xs[i]->node->id >= end)
            end = xs[i]->node->id + 1;
    }
    while (unseen > 0) {
        tarn_node *node = t->nodes[--end];
        if (!node->wanted)
            continue;
        unseen--;
        node->wanted = !node->host;
        if (node->host)
            continue;
        tarn__hold_inputs(node);
        if (node->op->fuse && t->fusion && !t->eager)
            node->op->fuse(node);
        unseen += want_inputs(node, dropping);
        node->next_run = list;
        list = node;
    }
    return list;
}

/* ---- running ---- */

/* Of an output that nobody needs only where the run cannot do without. */
static bool allocate_outputs(tarn_node *n, bool partial)
{
    for (int i = 0; i < n->n_out; i++) {
        tarn_tensor *x = n->out[i];
        if (partial && tarn__is_unneeded(x))
            continue;
        if (!tarn__elements_take(x))
            return tarn__node_fail(n, "no memory for %s%s", tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x));
    }
    return true;
}

static void outputs_done(tarn_node *n)
{
    n->done = true;
    if (n->origin)
        n->origin->done = true;
    for (int i = 0; i < n->n_out; i++) {
        tarn_tensor *x = n->out[i];
        x->ready = x->data != NULL;
        x->gone |= !x->ready;
        if (x->uses == 0)
            tarn__drop_unused(x);
    }
}

static void outputs_failed(tarn_node *n)
{
    for (int i = 0; i < n->n_out; i++)
        if (!n->out[i]->ready)
            tarn__elements_give(n->out[i]);
}

static void scratch_give(tarn_tape *t)
{
    if (t->scratch)
        tarn__note_peak(t);
    while (t->scratch) {
        tarn__chunk *chunk = t->scratch;
        t->scratch = chunk->next;
        tarn__pool_give(&t->pool, chunk);
    }
}

static void unfuse(tarn_node *n)
{
    tarn__fusion *f = n->fusion;
    n->fusion = NULL;
    for (int i = 0; i < f->n_also; i++)
        f->also[i]->host = NULL;
    for (int i = 0; i < f->n_reads; i++)
        tarn__unuse(f->reads[i]);
}

static bool fused_run(tarn_node *n)
{
    const tarn__fusion *f = n->fusion;
    bool ok = tarn__check_unchanged(n) && allocate_outputs(n, n->op->partial);
    if (ok && f->n_absorbed > 0 && !f->absorbed)
        ok = tarn__node_fail(n, "no memory to run it");
    for (int i = 0; ok && i < f->n_absorbed; i++)
        ok = tarn__check_unchanged(f->absorbed[i]);
    for (int i = 0; ok && i < f->n_also; i++)
        ok = tarn__check_unchanged(f->also[i]) && allocate_outputs(f->also[i], true);
    ok = ok && f->run(n);
    for (int i = 0; i < f->n_also; i++)
        if (ok)
            outputs_done(f->also[i]);
        else
            outputs_failed(f->also[i]);
    return ok;
}

static bool op_run(tarn_node *n)
{
    if (!tarn__check_unchanged(n))
        return false;
    if (n->is_view)
        n->out[0]->data = (char *)n->in[0]->data + n->view_offset * (int64_t)tarn_dtype_size(n->in[0]->dtype);
    else if (!allocate_outputs(n, n->op->partial))
        return false;
    return !n->op->run || n->op->run(n);
}

static bool node_run(tarn_node *n)
{
    bool ok = n->fusion ? fused_run(n) : op_run(n);
    scratch_give(n->tape);
    if (!ok) {
        outputs_failed(n);
        return false;
    }
    if (n->fusion)
        unfuse(n);
    else if (!n->is_view) /* a view holds what it shows */
        tarn__let_go(n, NULL);
    outputs_done(n);
    return true;
}

bool tarn__run_all(tarn_tape *t, size_t n, tarn_tensor *const *xs, bool dropping)
{
    if (tarn_error())
        return false;
    bool ok = true;
    t->dropping = dropping;
    for (size_t i = 0; i < n; i++)
        tarn__use(xs[i]);
    tarn_node *node = plan(t, n, xs, dropping);
    if (dropping && t->lingering) /* after planning, which finds what is still of use */
        tarn__drop_lingering(t);
    for (tarn_node *next; node; node = next) {
        next = node->next_run;
        ok = ok && node_run(node);
        node->wanted = false;
        if (node->fusion)
            unfuse(node);
    }
    for (size_t i = 0; i < n; i++)
        if (xs[i]->node)
            xs[i]->uses--;
    t->dropping = false;
    if (ok)
        tarn__states_settle(t);
    return ok;
}

bool tarn_run(tarn_tensor *x)
{
    return tarn__tensor_usable("tarn_run", x, "x") && tarn__realize(x);
}

/* ---- for the ops ---- */

void *tarn__scratch(const tarn_node *n, size_t bytes)
{
    tarn_tape *t = n->tape;
    tarn__chunk *chunk = tarn__pool_take(&t->pool, &t->arena, bytes);
    if (!chunk) {
        tarn__node_fail(n, "no memory for %zu bytes of scratch", bytes);
        return NULL;
    }
    tarn__note_peak(t);
    chunk->next = t->scratch;
    t->scratch = chunk;
    return chunk->data;
}

const void *tarn__packed(const tarn_node *n, const tarn_tensor *x)
{
    if (tarn_is_contiguous(x))
        return x->data;
    tarn_tensor whole = {.data = tarn__scratch(n, tarn__bytes(x))};
    if (!whole.data)
        return NULL;
    tarn__set_shape(&whole, x->dtype, x->ndim, x->shape);
    tarn__copy_elements(&whole, x);
    return whole.data;
}

const void *tarn__packed_input(const tarn_node *n, int i)
{
    return tarn__packed(n, n->in[i]);
}
