#include "autograd/tape_impl.h"

bool tarn__inputs_unchanged(const tarn_node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        const tarn_tensor *x = n->in[i], *leaf = x->node ? x->root : x;
        if (leaf && leaf->version != n->in_version[i])
            return tarn__node_fail(n,
                                   "input %d (%s %s) changed between recording and running: run it before the change",
                                   i, leaf->name ? leaf->name : "a leaf", TARN__SHAPE_TEXT(leaf));
    }
    return true;
}

static bool allocate_outputs(tarn_node *n)
{
    for (int i = 0; i < n->n_out; i++) {
        tarn_tensor *x = n->out[i];
        x->data = tarn__arena_allocate(&n->tape->arena, tarn__bytes(x));
        if (!x->data)
            return tarn__node_fail(n, "no memory for %s%s", tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x));
    }
    return true;
}

static bool node_run(tarn_node *n)
{
    if (!tarn__inputs_unchanged(n))
        return false;
    if (n->is_view)
        n->out[0]->data = (char *)n->in[0]->data + n->view_offset * (int64_t)tarn_dtype_size(n->in[0]->dtype);
    else if (!allocate_outputs(n))
        return false;
    if (n->op->run) {
        tarn__arena_mark mark = tarn__arena_set_mark(&n->tape->arena);
        bool ran = n->op->run(n);
        tarn__arena_release(&n->tape->arena, mark);
        if (!ran)
            return false;
    }
    for (int i = 0; i < n->n_out; i++)
        n->out[i]->ready = true;
    n->done = true;
    return true;
}

/* Marks x's node, unless it has run or is marked; returns how many it has marked. */
static size_t want(const tarn_tensor *x)
{
    tarn_node *node = x->node;
    if (!node || node->done || node->wanted)
        return 0;
    node->wanted = true;
    return 1;
}

/* Runs in the order of recording, whatever the order of wanting: what a node does besides (running
 * statistics) happens in the order in which the program says it. */
bool tarn__run_all(tarn_tape *t, size_t n, tarn_tensor *const *xs)
{
    if (tarn_error())
        return false;
    size_t end = 0, unseen = 0;
    for (size_t i = 0; i < n; i++) {
        unseen += want(xs[i]);
        if (xs[i]->node && xs[i]->node->wanted && xs[i]->node->id >= end)
            end = xs[i]->node->id + 1;
    }
    size_t first = end;
    while (unseen > 0) {
        const tarn_node *node = t->nodes[--first];
        if (!node->wanted)
            continue;
        unseen--;
        for (int i = 0; i < node->n_in; i++)
            unseen += want(node->in[i]);
    }
    bool ok = true;
    for (size_t id = first; id < end; id++) {
        tarn_node *node = t->nodes[id];
        if (node->wanted)
            ok = ok && node_run(node);
        node->wanted = false;
    }
    return ok;
}

bool tarn_run(tarn_tensor *x)
{
    return tarn__usable("tarn_run", x, "x") && tarn__realize(x);
}

void *tarn__scratch(const tarn_node *n, size_t bytes)
{
    void *scratch = tarn__arena_allocate(&n->tape->arena, bytes);
    if (!scratch)
        tarn__node_fail(n, "no memory for %zu bytes of scratch", bytes);
    return scratch;
}

const void *tarn__packed_input(const tarn_node *n, int i)
{
    const tarn_tensor *x = n->in[i];
    if (tarn_is_contiguous(x))
        return x->data;
    tarn_tensor whole = {.data = tarn__scratch(n, tarn__bytes(x))};
    if (!whole.data)
        return NULL;
    tarn__set_shape(&whole, x->dtype, x->ndim, x->shape);
    tarn__copy_elements(&whole, x);
    return whole.data;
}
