/* How long values live: the uses that are still to come, and what goes when there are none. */
#include "autograd/tape_impl.h"

enum { IN_ARENA = 256 }; /* bytes: a place in the pool costs as much */

/* ---- memory ---- */

static size_t bytes_now(const tarn_tape *t)
{
    return t->pool.used + t->arena.used + t->records.taken * sizeof(tarn_tensor);
}

void tarn__note_peak(tarn_tape *t)
{
    size_t now = bytes_now(t);
    if (now > t->peak)
        t->peak = now;
}

bool tarn__elements_take(tarn_tensor *x)
{
    tarn_tape *t = x->tape;
    size_t bytes = tarn__bytes(x);
    if (x->data)
        return true;
    if (bytes <= IN_ARENA) {
        x->data = tarn__arena_allocate_unset(&t->arena, bytes);
    } else {
        x->chunk = tarn__pool_take(&t->pool, &t->arena, bytes);
        x->data = x->chunk ? x->chunk->data : NULL;
    }
    tarn__note_peak(t);
    return x->data != NULL;
}

void tarn__elements_give(tarn_tensor *x)
{
    if (!x->chunk)
        return; /* a few bytes: they wait for the reset */
    tarn__note_peak(x->tape);
    tarn__pool_give(&x->tape->pool, x->chunk);
    x->chunk = NULL;
    x->data = NULL;
}

tarn_memory tarn_tape_memory(const tarn_tape *t)
{
    if (!t)
        return (tarn_memory){0, 0};
    size_t now = bytes_now(t);
    return (tarn_memory){.bytes = now, .peak = now > t->peak ? now : t->peak};
}

size_t tarn_tape_bytes(const tarn_tape *t)
{
    return tarn_tape_memory(t).bytes;
}

size_t tarn_tape_peak_bytes(const tarn_tape *t)
{
    return tarn_tape_memory(t).peak;
}

/* ---- uses ---- */

bool tarn_keep(tarn_tensor *x)
{
    if (!tarn__tensor_usable("tarn_keep", x, "x"))
        return false;
    if (x->node)
        x->kept = true;
    return true;
}

void tarn__use(tarn_tensor *x)
{
    if (x->node)
        x->uses++;
}

void tarn__hold_inputs(tarn_node *n)
{
    if (n->holds)
        return;
    n->holds = true;
    for (int i = 0; i < n->n_in; i++)
        tarn__use(n->in[i]);
}

static bool is_inside_segment(const tarn_node *n)
{
    return n->segment && !n->leaves_segment;
}

/* Nothing that is recorded later will want n's outputs, as far as can be known: that is known of a run by
 * tarn_backward, and inside a segment, and assumed of what was recorded with gradients off. */
static bool is_last_run(const tarn_node *n)
{
    return n->tape->dropping || ((n->no_grad || is_inside_segment(n)) && !n->tape->eager);
}

bool tarn__is_unneeded(const tarn_tensor *x)
{
    return x->uses == 0 && !x->kept && (x->gone || is_last_run(x->node));
}

/* The program may read x by name even when the leaves behind it have changed. */
static bool stays_for_the_program(const tarn_tensor *x)
{
    return !x->node->inner && !is_inside_segment(x->node) && tarn__bytes(x) <= x->tape->keep_below;
}

/* Lets x go if nobody will read it; whether x is a view that thereby shows its base no more. */
static bool drop(tarn_tensor *x)
{
    tarn_node *n = x->node;
    if (!x->ready || x->root)
        return false;
    if (!tarn__is_unneeded(x)) {
        n->tape->lingering |= x->uses == 0;
        return false;
    }
    if (!n->is_view && (!x->chunk || stays_for_the_program(x)))
        return false;
    if (n->is_view)
        x->data = NULL;
    else
        tarn__elements_give(x);
    x->ready = false;
    x->gone = true;
    return n->is_view && n->holds;
}

/* A node that has been left without readers before it ran. */
static bool is_absorbed(const tarn_node *n)
{
    bool used = !n->holds;
    for (int i = 0; i < n->n_out; i++)
        used |= n->out[i]->uses > 0 || n->out[i]->ready || n->out[i]->kept;
    return !used;
}

/* A node is on the stack, or among the absorbed, once: it must hold to be pushed, and is made to hold no more. Nothing in
 * here lets a node hold. */
static void push(tarn_node *n, tarn_node **stack)
{
    n->holds = false;
    n->next_let_go = *stack;
    *stack = n;
}

void tarn__let_go(tarn_node *first, tarn_node **absorbed)
{
    tarn_node *stack = NULL;
    if (first->holds)
        push(first, &stack);
    while (stack) {
        tarn_node *n = stack;
        stack = n->next_let_go;
        n->next_let_go = NULL;
        for (int i = 0; i < n->n_in; i++) {
            tarn_tensor *x = n->in[i];
            if (!x->node || --x->uses > 0)
                continue;
            bool idle = absorbed && !x->ready && is_absorbed(x->node);
            if (idle)
                x->gone = true;
            if (idle || drop(x))
                push(x->node, &stack);
        }
        if (absorbed && n != first) {
            n->next_let_go = *absorbed;
            *absorbed = n;
        }
    }
}

void tarn__drop_unused(tarn_tensor *x)
{
    if (drop(x))
        tarn__let_go(x->node, NULL);
}

void tarn__unuse(tarn_tensor *x)
{
    if (x->node && --x->uses == 0)
        tarn__drop_unused(x);
}

void tarn__drop_all(tarn_tape *t, size_t n, tarn_tensor *const *xs)
{
    t->dropping = true;
    for (size_t i = 0; i < n; i++)
        if (xs[i]->node)
            tarn__drop_unused(xs[i]);
    t->dropping = false;
}

void tarn__drop_lingering(tarn_tape *t)
{
    t->lingering = false;
    for (size_t id = t->count; id-- > 0;)
        for (int i = 0; i < t->nodes[id]->n_out; i++)
            tarn__drop_unused(t->nodes[id]->out[i]);
}

/* ---- for fuse ---- */

bool tarn__only_use(tarn_node *reader, tarn_tensor *x)
{
    tarn_node *n = x->node;
    tarn__hold_inputs(reader); /* it may have been absorbed by another: then the use that x has is not its own */
    if (!n || x->ready || x->uses != 1 || x->kept)
        return false;
    if ((!is_last_run(n) && !x->gone) || (!n->no_grad && stays_for_the_program(x)))
        return false;
    tarn__hold_inputs(n); /* as a node that is yet to run, though it may have */
    return true;
}

void *tarn__fusion_data(tarn_node *n, size_t bytes)
{
    return n->fusion_data = tarn__arena_allocate_small(&n->tape->arena, bytes);
}
