/* Whether there is a way from outputs to a tensor, and whether it was cut by recording with gradients off. */
#include "autograd/tape_impl.h"

enum { NOWHERE, OPEN, CUT }; /* CUT + id: of the node that cuts */

/* An open way counts more than one that was cut. */
static void reach(size_t *reached, const tarn_tensor *x, size_t how)
{
    size_t *there = &reached[x->node->id];
    if (how == OPEN || *there == NOWHERE)
        *there = how;
}

static void note(tarn_tape *t, tarn__way *way, size_t how)
{
    if (way && how == OPEN)
        way->open = true;
    else if (way)
        way->cut = t->nodes[how - CUT];
}

bool tarn__find_ways(tarn_tape *t, int n_outputs, tarn_tensor *const *outputs,
                     tarn__way *(*place)(void *context, const tarn_tensor *x), void *context)
{
    tarn__arena_mark mark = tarn__arena_set_mark(&t->arena);
    size_t *reached = tarn__arena_allocate_small(&t->arena, t->count * sizeof *reached), end = 0;
    if (!reached)
        return false;
    for (int i = 0; i < n_outputs; i++) {
        const tarn_tensor *y = tarn__original(outputs[i]);
        note(t, place(context, y), OPEN);
        if (y->node)
            reach(reached, y, OPEN);
        if (y->node && y->node->id >= end)
            end = y->node->id + 1;
    }
    for (size_t id = end; id-- > 0;) {
        const tarn_node *n = t->nodes[id];
        if (reached[id] == NOWHERE || n->op->constant)
            continue;
        size_t how = reached[id] == OPEN && n->no_grad ? CUT + id : reached[id];
        for (int i = 0; i < n->n_in; i++) {
            const tarn_tensor *x = tarn__original(n->in[i]);
            if (!tarn__is_float(x->dtype))
                continue;
            note(t, place(context, x), how);
            if (x->node)
                reach(reached, x, how);
        }
    }
    tarn__arena_release(&t->arena, mark);
    return true;
}

bool tarn__cut_fail(const char *who, const char *what, const tarn_tensor *x, const tarn_node *cut)
{
    return tarn_fail("%s: %s (%s%s) is reached only through tarn_%s, recorded with gradients off (tarn_tape_set_grad): "
                     "record it with gradients on",
                     who, what, tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x), cut->op->name);
}
