/* Checkpoints: what a segment computes is computed again for its gradient, instead of being kept.
 *
 * When a gradient reaches a segment, the segment's nodes are recorded once more, and the gradient rules are given these
 * copies: so the values of the first time have no reader left after the forward pass, and go like any others; the
 * copies run where the gradient needs them, as far as it does. To later differentiations a copy is the node that it is
 * a copy of: gradients are joined in the same order as without checkpoints. */
#include "autograd/tape_impl.h"

enum { DEEPEST = 256 }; /* segments inside each other: what they cost grows with the square */

struct tarn__segment {
    tarn__segment *parent;
    int depth;
    size_t first, end; /* its nodes; end 0 while it is being recorded */
    size_t copies;     /* where the copies begin that differentiation number `stamp` gives to the rules */
    size_t stamp;
    tarn__segment *twin; /* of a segment inside one that is copied: the copy's */
    size_t twin_first;   /* where the copies begin that this is the twin for */
};

static tarn__segment *segment_new(tarn_tape *t, tarn__segment *parent, size_t first, size_t end)
{
    tarn__segment *s = tarn__arena_allocate_small(&t->arena, sizeof *s);
    if (s) {
        s->parent = parent;
        s->depth = parent ? parent->depth + 1 : 1;
        s->first = first;
        s->end = end;
    }
    return s;
}

static tarn_tensor *checked_output(const tarn_tape *t, uint64_t resets, tarn_tensor *y)
{
    if (tarn_error())
        return NULL;
    if (t->home.resets != resets)
        tarn_fail("tarn_checkpoint: the segment has reset the tape");
    else if (!y)
        tarn_fail("tarn_checkpoint: the segment returned NULL");
    else
        tarn__lives_on("tarn_checkpoint", "what the segment returned", t, y);
    return tarn_error() ? NULL : y;
}

tarn_tensor *tarn_checkpoint(tarn_tape *t, tarn_tensor *(*segment)(tarn_tape *t, void *context, tarn_tensor *x),
                             void *context, tarn_tensor *x)
{
    if (!tarn__inputs_usable("checkpoint", t, 1, &x))
        return NULL;
    if (!segment) {
        tarn_fail("tarn_checkpoint: segment is NULL");
        return NULL;
    }
    if (t->segment && t->segment->depth == DEEPEST) {
        tarn_fail(
            "tarn_checkpoint: more than %d segments inside each other, whose gradient takes time and nodes in the "
            "square of the depth: let segments follow each other, or halve them",
            DEEPEST);
        return NULL;
    }
    tarn__segment *s = segment_new(t, t->segment, t->count, 0);
    if (!s) {
        tarn_fail("tarn_checkpoint: no memory to record it");
        return NULL;
    }
    uint64_t resets = t->home.resets;
    t->segment = s;
    tarn_tensor *y = segment(t, context, x);
    if (t->home.resets == resets) {
        t->segment = s->parent;
        s->end = t->count;
    }
    y = checked_output(t, resets, y);
    if (y && y->node && y->node->segment == s)
        y->node->leaves_segment = true;
    return y;
}

/* ---- recording once more ---- */

/* The segment of a copy of a node of s, while top's nodes are copied. */
static bool twin_of(tarn_tape *t, const tarn__segment *top, tarn__segment *s, size_t copies, tarn__segment **twin)
{
    *twin = t->segment;
    if (s == top)
        return true;
    if (!s->twin || s->twin_first != copies) {
        tarn__segment *parent;
        if (!twin_of(t, top, s->parent, copies, &parent))
            return false;
        s->twin = segment_new(t, parent, copies + s->first - top->first, copies + s->end - top->first);
        s->twin_first = copies;
    }
    *twin = s->twin;
    return s->twin != NULL;
}

static bool copy_segment(tarn_tape *t, tarn__segment *top, size_t stamp)
{
    size_t copies = t->count;
    for (size_t id = top->first; id < top->end; id++) {
        tarn__segment *twin;
        tarn_node *n = t->nodes[id], *copy;
        if (!twin_of(t, top, n->segment, copies, &twin) || !(copy = tarn__node_copy(n)))
            return tarn__node_fail(n, "no memory to record it again");
        copy->segment = twin;
        copy->leaves_segment = n->leaves_segment && n->segment != top;
        for (int i = 0; i < n->n_in; i++) {
            const tarn_node *from = n->in[i]->node;
            if (from && from->id >= top->first)
                copy->in[i] = t->nodes[copies + from->id - top->first]->out[n->in[i]->output];
        }
    }
    top->copies = copies;
    top->stamp = stamp;
    return true;
}

/* The outermost segment around s that is not being recorded; NULL when there is none. */
static tarn__segment *outermost(tarn__segment *s)
{
    tarn__segment *top = NULL;
    for (; s; s = s->parent)
        if (s->end > 0)
            top = s;
    return top;
}

/* Records s's nodes once more, unless that was done. What lies inside s is copied with it, as segments that are
 * outermost in the copy: so it is s's copy that each of them is copied from in turn. */
static bool record_again(tarn_tape *t, tarn__segment *s, size_t stamp)
{
    if (s->stamp == stamp)
        return true;
    tarn__segment *top = s, *around = s->parent;
    if (around && around->end > 0) {
        if (!record_again(t, around, stamp))
            return false;
        top = outermost(t->nodes[around->copies + s->first - around->first]->segment);
    }
    if (!copy_segment(t, top, stamp))
        return false;
    s->copies = top->copies;
    s->stamp = stamp;
    return true;
}

const tarn_node *tarn__node_again(tarn_tape *t, const tarn_node *n, size_t stamp)
{
    tarn__segment *s = n->segment;
    if (!s || s->end == 0)
        return n;
    return record_again(t, s, stamp) ? t->nodes[s->copies + n->id - s->first] : NULL;
}
