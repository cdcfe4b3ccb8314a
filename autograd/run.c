#include "autograd/tape_impl.h"

static bool inputs_unchanged(const tarn_node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        const tarn_tensor *x = n->in[i], *leaf = x->node ? x->root : x;
        if (leaf && leaf->version != n->in_version[i])
            return tarn__node_fail(
                n, "input %d (%s %s) changed between recording and running: run it before the change", i,
                leaf->name ? leaf->name : "a leaf", TARN__SHAPE_TEXT(leaf));
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
    if (!inputs_unchanged(n))
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

bool tarn__run_all(tarn_tape *t, size_t n, tarn_tensor *const *xs)
{
    if (tarn_error())
        return false;
    size_t end = t->first_pending;
    for (size_t i = 0; i < n; i++) {
        tarn_node *node = xs[i]->node;
        if (!node || node->done)
            continue;
        node->wanted = true;
        end = node->id + 1 > end ? node->id + 1 : end;
    }
    for (size_t id = end; id-- > t->first_pending;) {
        const tarn_node *node = t->nodes[id];
        for (int i = 0; node->wanted && i < node->n_in; i++)
            if (node->in[i]->node && !node->in[i]->node->done)
                node->in[i]->node->wanted = true;
    }
    bool ok = true;
    for (size_t id = t->first_pending; id < end; id++) {
        tarn_node *node = t->nodes[id];
        if (node->wanted)
            ok = ok && node_run(node);
        node->wanted = false;
    }
    while (t->first_pending < t->count && t->nodes[t->first_pending]->done)
        t->first_pending++;
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
