#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/elementwise.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- memory for one call: a record would stay until the reset, as long as the tape and not as what is recorded ---- */

/* Zeroed. NULL (no error) when there is none. */
static void *borrow(tarn_tape *t, tarn__chunk **borrowed, size_t bytes)
{
    tarn__chunk *chunk = tarn__pool_take(&t->pool, &t->arena, bytes);
    if (!chunk)
        return NULL;
    chunk->next = *borrowed;
    *borrowed = chunk;
    return memset(chunk->data, 0, bytes);
}

static void give_back(tarn_tape *t, tarn__chunk *borrowed)
{
    tarn__note_peak(t);
    while (borrowed) {
        tarn__chunk *chunk = borrowed;
        borrowed = chunk->next;
        tarn__pool_give(&t->pool, chunk);
    }
}

/* ---- a set of tensors, with a number for each ---- */

typedef struct tensor_set {
    const tarn_tensor **keys; /* open addressing; NULL: free */
    int *numbers;
    size_t mask;
} tensor_set;

static bool set_init(tensor_set *set, tarn_tape *t, tarn__chunk **borrowed, size_t at_most)
{
    size_t slots = 4;
    while (slots < 2 * at_most)
        slots *= 2;
    set->mask = slots - 1;
    set->keys = borrow(t, borrowed, slots * sizeof *set->keys);
    set->numbers = borrow(t, borrowed, slots * sizeof *set->numbers);
    return set->keys && set->numbers;
}

static size_t set_slot(const tensor_set *set, const tarn_tensor *x)
{
    size_t slot = ((uintptr_t)x >> 4) * 0x9E3779B97F4A7C15u >> 20 & set->mask;
    while (set->keys[slot] && set->keys[slot] != x)
        slot = (slot + 1) & set->mask;
    return slot;
}

static int set_find(const tensor_set *set, const tarn_tensor *x)
{
    size_t slot = set_slot(set, x);
    return set->keys[slot] ? set->numbers[slot] : -1;
}

/* Returns the number that x has in the set: `number` if it is new there. */
static int set_add(tensor_set *set, const tarn_tensor *x, int number)
{
    size_t slot = set_slot(set, x);
    if (!set->keys[slot]) {
        set->keys[slot] = x;
        set->numbers[slot] = number;
    }
    return set->numbers[slot];
}

/* ---- what outputs are computed from ---- */

/* Nodes low..end-1, those of them that are marked. What was recorded before `first` is a leaf (first > 0: a rule's own
 * expression, which gradients pass even while they are off). */
typedef struct ways {
    tarn_tape *t;
    size_t first, low, end;
    size_t unseen; /* marked, and not passed yet */
} ways;

static bool is_inside(const ways *w, const tarn_tensor *x)
{
    return x->node && x->node->id >= w->first;
}

/* How many inputs gradients flow to from n, if it is marked. */
static int ways_out(const ways *w, const tarn_node *n)
{
    return n->reached && !n->op->constant && (!n->no_grad || w->first > 0) ? n->n_in : 0;
}

/* Whole numbers end the way. */
static void mark(ways *w, const tarn_tensor *x)
{
    x = tarn__original(x);
    if (!is_inside(w, x) || x->node->reached || !tarn__is_float(x->dtype))
        return;
    x->node->reached = true;
    w->unseen++;
    if (w->end <= x->node->id)
        w->end = x->node->id + 1;
}

static void mark_all(ways *w, int n, tarn_tensor *const *outputs)
{
    w->end = w->first;
    for (int i = 0; i < n; i++)
        mark(w, outputs[i]);
    for (w->low = w->end; w->unseen > 0;) {
        const tarn_node *node = w->t->nodes[--w->low];
        if (!node->reached)
            continue;
        w->unseen--;
        for (int i = 0; i < ways_out(w, node); i++)
            mark(w, node->in[i]);
    }
}

static void unmark_all(const ways *w)
{
    for (size_t id = w->low; id < w->end; id++)
        w->t->nodes[id]->reached = false;
}

/* ---- one differentiation ---- */

/* What comes to a tensor through slices of it, to be put together when all has come. */
typedef struct pieces {
    int count, capacity;
    tarn_tensor **parts;
    tarn__slice *slices;
} pieces;

typedef struct differentiation {
    tarn_tape *t;
    ways ways;             /* from the outputs, which it goes back */
    size_t stamp;          /* its number, for what it computes again */
    tarn__chunk *borrowed; /* linked */
    tensor_set targets;    /* the inputs, numbered */
    bool *depends;         /* per node from ways.low on: an output of it depends on a target */
    tarn_tensor **sums;    /* per such node and output, and then per target: the gradient so far */
    tarn_tensor **grads;   /* of the targets */
    pieces *pieces;        /* like sums: what is to be added; NULL: nowhere anything */
    size_t places;         /* how many sums */
    tarn__way *cuts;       /* per target without a gradient: whether there is a way */
} differentiation;

static bool leads_to_target(const differentiation *d, const tarn_tensor *x)
{
    if (!tarn__is_float(x->dtype))
        return false;
    x = tarn__original(x);
    return set_find(&d->targets, x) >= 0 || (is_inside(&d->ways, x) && d->depends[x->node->id - d->ways.low]);
}

/* ---- adding up ---- */

static bool pieces_grow(differentiation *d, pieces *p)
{
    size_t count = (size_t)p->count, capacity = count ? 2 * count : 4;
    tarn_tensor **parts = borrow(d->t, &d->borrowed, capacity * sizeof *parts);
    tarn__slice *slices = borrow(d->t, &d->borrowed, capacity * sizeof *slices);
    if (!parts || !slices)
        return false;
    if (count) {
        memcpy(parts, p->parts, count * sizeof *parts);
        memcpy(slices, p->slices, count * sizeof *slices);
    }
    *p = (pieces){(int)count, (int)capacity, parts, slices};
    return true;
}

static void add_piece(differentiation *d, size_t place, tarn_tensor *g, const tarn__slice *slice)
{
    if (!d->pieces)
        d->pieces = borrow(d->t, &d->borrowed, d->places * sizeof *d->pieces);
    pieces *p = d->pieces ? &d->pieces[place] : NULL;
    if (!p || p->count > INT_MAX / 2 || (p->count == p->capacity && !pieces_grow(d, p))) {
        tarn_fail("tarn_grad: no memory");
        return;
    }
    p->parts[p->count] = g;
    p->slices[p->count++] = *slice;
}

/* Puts the pieces together. */
static void settle(differentiation *d, size_t place, const tarn_tensor *x)
{
    pieces *p = d->pieces ? &d->pieces[place] : NULL;
    if (!p || p->count == 0)
        return;
    d->sums[place] = tarn__place(d->t, x->ndim, x->shape, p->count, p->parts, p->slices);
    p->count = 0;
}

/* Adds g to x's gradient, or to the slice of it. */
static void receive(differentiation *d, const tarn_tensor *x, tarn_tensor *g, const tarn__slice *slice)
{
    x = tarn__original(x);
    int target = set_find(&d->targets, x);
    if (!is_inside(&d->ways, x) && target < 0)
        return;
    size_t place = is_inside(&d->ways, x) ? (x->node->id - d->ways.low) * TARN__MAX_OUTPUTS + (size_t)x->output
                                          : (size_t)(d->grads - d->sums + target);
    tarn_tensor **sum = &d->sums[place];
    if (!slice) {
        settle(d, place, x);
        *sum = *sum ? tarn_add(d->t, *sum, g) : g;
        return;
    }
    if (*sum) /* the whole, as a slice like the others */
        add_piece(d, place, *sum, &(tarn__slice){.axis = slice->axis, .step = 1});
    *sum = NULL;
    add_piece(d, place, g, slice);
}

static bool node_backward(differentiation *d, const tarn_node *n)
{
    size_t place = (n->id - d->ways.low) * TARN__MAX_OUTPUTS;
    tarn_tensor **gy = &d->sums[place];
    bool any = false;
    for (int k = 0; k < n->n_out; k++) {
        settle(d, place + (size_t)k, n->out[k]);
        int target = set_find(&d->targets, n->out[k]);
        if (target >= 0)
            d->grads[target] = gy[k];
        any |= gy[k] != NULL;
    }
    if (!any || !d->depends[n->id - d->ways.low])
        return true;
    if (!n->op->vjp)
        return tarn__node_fail(n, "has no gradient");
    if (!(n = tarn__node_again(d->t, n, d->stamp)))
        return false;
    if (!tarn__check_unchanged(n))
        return false;

    enum { FEW = 8 };
    size_t count = (size_t)n->n_in;
    tarn_tensor *few_gx[FEW] = {NULL}, **gx = few_gx;
    bool few_need[FEW], *need = few_need;
    if (count > FEW) {
        gx = borrow(d->t, &d->borrowed, count * sizeof *gx);
        need = borrow(d->t, &d->borrowed, count * sizeof *need);
    }
    if (!gx || !need)
        return tarn__node_fail(n, "no memory for its gradient");
    for (size_t i = 0; i < count; i++)
        need[i] = leads_to_target(d, n->in[i]);
    if (!n->op->vjp(d->t, n, gy, need, gx) || tarn_error())
        return false;
    for (size_t i = 0; i < count; i++)
        if (need[i] && gx[i])
            receive(d, n->in[i], gx[i], n->op->slice ? n->op->slice(n) : NULL);
    return !tarn_error();
}

static bool prepare(differentiation *d, int n_inputs, tarn_tensor *const *inputs)
{
    tarn_tape *t = d->t;
    size_t nodes = d->ways.end - d->ways.low;
    d->depends = borrow(t, &d->borrowed, nodes * sizeof *d->depends);
    d->places = nodes * TARN__MAX_OUTPUTS + (size_t)n_inputs;
    d->sums = borrow(t, &d->borrowed, d->places * sizeof *d->sums);
    if (!d->depends || !d->sums || !set_init(&d->targets, t, &d->borrowed, (size_t)n_inputs))
        return tarn_fail("tarn_grad: no memory");
    d->grads = d->sums + nodes * TARN__MAX_OUTPUTS;
    for (int j = 0; j < n_inputs; j++)
        set_add(&d->targets, tarn__original(inputs[j]), j);
    for (size_t id = d->ways.low; id < d->ways.end; id++) {
        const tarn_node *n = t->nodes[id];
        bool *depends = &d->depends[id - d->ways.low];
        for (int i = 0; i < ways_out(&d->ways, n) && !*depends; i++)
            *depends = leads_to_target(d, n->in[i]);
    }
    return true;
}

static bool walk_back(differentiation *d, int n_outputs, tarn_tensor *const *outputs, tarn_tensor *const *cotangents)
{
    for (int i = 0; i < n_outputs && !tarn_error(); i++) {
        tarn_tensor *y = outputs[i], *g = cotangents ? cotangents[i] : tarn_ones(d->t, y->dtype, y->ndim, y->shape);
        if (g)
            receive(d, y, g, NULL);
    }
    bool ok = !tarn_error();
    for (size_t id = d->ways.end; ok && id-- > d->ways.low;) {
        tarn_node *n = d->t->nodes[id];
        ok = !n->reached || node_backward(d, n);
        n->reached = false;
    }
    return ok;
}

static tarn__way *missing(void *context, const tarn_tensor *x)
{
    differentiation *d = context;
    int target = set_find(&d->targets, x);
    return target >= 0 && !d->grads[target] ? &d->cuts[target] : NULL;
}

/* A gradient that is missing is 0, unless gradients off are why. */
static bool none_was_cut(differentiation *d, int n_outputs, tarn_tensor *const *outputs, int n_inputs,
                         tarn_tensor *const *inputs)
{
    bool whole = true;
    for (int j = 0; j < n_inputs; j++)
        whole &= d->grads[set_find(&d->targets, tarn__original(inputs[j]))] != NULL;
    if (whole)
        return true;
    d->cuts = borrow(d->t, &d->borrowed, (size_t)n_inputs * sizeof *d->cuts);
    if (!d->cuts || !tarn__find_ways(d->t, n_outputs, outputs, missing, d))
        return tarn_fail("tarn_grad: no memory");
    for (int j = 0; j < n_inputs; j++) {
        const tarn__way *way = &d->cuts[set_find(&d->targets, tarn__original(inputs[j]))];
        char what[64];
        if (way->open || !way->cut)
            continue;
        snprintf(what, sizeof what, "input %d", j);
        return tarn__cut_fail("tarn_grad", what, inputs[j], way->cut);
    }
    return true;
}

/* The ways from the outputs are marked, and are not any more when it returns. */
static bool differentiate(const ways *w, int n_outputs, tarn_tensor *const *outputs, tarn_tensor *const *cotangents,
                          int n_inputs, tarn_tensor *const *inputs, tarn_tensor **grads)
{
    tarn_tape *t = w->t;
    differentiation d = {.t = t, .ways = *w, .stamp = ++t->differentiations};
    t->rules++;
    bool ok = prepare(&d, n_inputs, inputs) && walk_back(&d, n_outputs, outputs, cotangents);
    if (!ok)
        unmark_all(w);
    for (int j = 0; j < n_inputs && ok; j++)
        settle(&d, (size_t)(d.grads - d.sums + set_find(&d.targets, tarn__original(inputs[j]))), inputs[j]);
    ok = ok && !tarn_error() && (w->first > 0 || none_was_cut(&d, n_outputs, outputs, n_inputs, inputs));
    for (int j = 0; j < n_inputs && ok; j++) {
        int known = set_find(&d.targets, tarn__original(inputs[j]));
        if (!d.grads[known])
            d.grads[known] = tarn_zeros(t, inputs[j]->dtype, inputs[j]->ndim, inputs[j]->shape);
        ok = d.grads[known] != NULL;
        d.grads[j] = d.grads[known];
    }
    t->rules--;
    for (int j = 0; j < n_inputs; j++)
        grads[j] = ok ? d.grads[j] : NULL;
    give_back(t, d.borrowed);
    return ok;
}

bool tarn__is_differentiable(const char *who, const char *kind, int i, const tarn_tape *t, const tarn_tensor *x)
{
    char what[32];
    snprintf(what, sizeof what, "%s %d", kind, i);
    if (!tarn__lives_on(who, what, t, x))
        return false;
    return tarn__is_float(x->dtype) ||
           tarn_fail("%s: %s is %s, expected f32 or f64", who, what, tarn_dtype_name(x->dtype));
}

static bool on_tape(const char *kind, int i, const tarn_tape *t, const tarn_tensor *x)
{
    return tarn__is_differentiable("tarn_grad", kind, i, t, x);
}

static bool arguments_valid(const tarn_tape *t, int n_outputs, tarn_tensor *const *outputs,
                            tarn_tensor *const *cotangents, int n_inputs, tarn_tensor *const *inputs,
                            tarn_tensor *const *grads)
{
    if (!tarn__usable("tarn_grad", t, "tape") || !tarn__usable("tarn_grad", outputs, "outputs") ||
        !tarn__usable("tarn_grad", inputs, "inputs") || !tarn__usable("tarn_grad", grads, "grads"))
        return false;
    if (n_outputs < 1 || n_inputs < 1)
        return tarn_fail("tarn_grad: %d outputs and %d inputs, expected 1 or more", n_outputs, n_inputs);
    for (int j = 0; j < n_inputs; j++)
        if (!on_tape("input", j, t, inputs[j]))
            return false;
    for (int i = 0; i < n_outputs; i++) {
        if (!on_tape("output", i, t, outputs[i]) || (cotangents && !on_tape("cotangent", i, t, cotangents[i])))
            return false;
        if (cotangents && (!tarn__same_shape(cotangents[i], outputs[i]) || cotangents[i]->dtype != outputs[i]->dtype))
            return tarn_fail("tarn_grad: cotangent %d is %s%s, expected its output's %s%s", i,
                             tarn_dtype_name(cotangents[i]->dtype), TARN__SHAPE_TEXT(cotangents[i]),
                             tarn_dtype_name(outputs[i]->dtype), TARN__SHAPE_TEXT(outputs[i]));
    }
    return true;
}

bool tarn_grad(tarn_tape *t, int n_outputs, tarn_tensor *const *outputs, tarn_tensor *const *cotangents, int n_inputs,
               tarn_tensor *const *inputs, tarn_tensor **grads)
{
    if (!arguments_valid(t, n_outputs, outputs, cotangents, n_inputs, inputs, grads)) {
        for (int j = 0; grads && j < n_inputs; j++)
            grads[j] = NULL;
        return false;
    }
    ways w = {.t = t};
    mark_all(&w, n_outputs, outputs);
    bool ok = differentiate(&w, n_outputs, outputs, cotangents, n_inputs, inputs, grads);
    for (int j = 0; ok && j < n_inputs; j++)
        if (grads[j]->node)
            grads[j]->node->inner = false; /* the program has it now */
    return ok;
}

/* The rule asks for partial derivatives: the expression's inputs are leaves to it, though one may be computed from
 * another. A tensor that stands in two places gets its whole gradient in the first. */
bool tarn__vjp_composed(tarn_tape *t, const tarn_node *n, size_t first, tarn_tensor *const *outputs,
                        tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    tarn_tensor *inputs[TARN__MAX_COMPOSED], *grads[TARN__MAX_COMPOSED];
    int place[TARN__MAX_COMPOSED], wanted = 0;
    if (n->n_in > TARN__MAX_COMPOSED)
        return tarn__node_fail(n, "a composed gradient of %d inputs, expected at most %d", n->n_in, TARN__MAX_COMPOSED);
    for (int i = 0; i < n->n_in; i++) {
        bool seen = false;
        for (int j = 0; j < wanted; j++)
            seen |= tarn__original(inputs[j]) == tarn__original(n->in[i]);
        if (need[i] && !seen) {
            place[wanted] = i;
            inputs[wanted++] = n->in[i];
        }
    }
    if (tarn_error())
        return false;
    ways w = {.t = t, .first = first};
    mark_all(&w, n->n_out, outputs);
    if (!differentiate(&w, n->n_out, outputs, gy, wanted, inputs, grads))
        return false;
    for (int j = 0; j < wanted; j++)
        gx[place[j]] = grads[j];
    return true;
}

/* ---- into the parameters ---- */

typedef struct parameters {
    int count;
    tarn_tensor **p; /* count parameters, then room for as many gradients and the loss */
} parameters;

/* The parameters that marked nodes read through which gradients flow. */
static bool collect_parameters(const ways *w, parameters *found)
{
    tensor_set seen;
    tarn__chunk *borrowed = NULL;
    size_t uses = 0;
    for (size_t id = w->low; id < w->end; id++)
        for (int i = 0; i < ways_out(w, w->t->nodes[id]); i++)
            uses += w->t->nodes[id]->in[i]->grad != NULL;
    found->p = tarn__arena_allocate_small(&w->t->arena, (2 * uses + 1) * sizeof *found->p);
    if (!found->p || !set_init(&seen, w->t, &borrowed, uses)) {
        give_back(w->t, borrowed);
        return tarn_fail("tarn_backward: no memory");
    }
    for (size_t id = w->low; id < w->end; id++)
        for (int i = 0; i < ways_out(w, w->t->nodes[id]); i++) {
            tarn_tensor *x = w->t->nodes[id]->in[i];
            if (x->grad && set_add(&seen, x, found->count) == found->count)
                found->p[found->count++] = x;
        }
    give_back(w->t, borrowed);
    return true;
}

typedef struct unreached {
    const tarn_tensor *parameter; /* the last that was met */
    tarn__way way;
} unreached;

static tarn__way *parameter_place(void *context, const tarn_tensor *x)
{
    unreached *u = context;
    if (!x->grad)
        return NULL;
    u->parameter = x;
    return &u->way;
}

static bool no_parameter_fail(tarn_tape *t, tarn_tensor *loss)
{
    unreached u = {NULL, {false, NULL}};
    if (!tarn__find_ways(t, 1, &loss, parameter_place, &u))
        return tarn_fail("tarn_backward: no memory");
    if (!u.parameter)
        return tarn_fail("tarn_backward: the loss depends on no parameter of a store (whole numbers end the way): "
                         "tarn_grad differentiates by other tensors");
    char what[320];
    snprintf(what, sizeof what, "parameter %s", u.parameter->name);
    return tarn__cut_fail("tarn_backward", what, u.parameter, u.way.cut);
}

static bool is_loss(const tarn_tape *t, const tarn_tensor *loss)
{
    static const char expected[] = "expected the result of an op on this tape";
    if (!tarn__lives_on("tarn_backward", "loss", t, loss))
        return false;
    if (!loss->node)
        return tarn_fail("tarn_backward: the loss is %s%s, %s",
                         loss->grad                            ? "the parameter "
                         : loss->name                          ? "the buffer "
                         : loss->owner == TARN__OWNED_BY_STORE ? "a parameter's gradient"
                         : loss->tape                          ? "a constant"
                                                               : "a tensor of the caller's own",
                         loss->name ? loss->name : "", expected);
    if (loss->numel != 1 || !tarn__is_float(loss->dtype))
        return tarn_fail("tarn_backward: the loss is %s%s, expected one f32 or f64 element",
                         tarn_dtype_name(loss->dtype), TARN__SHAPE_TEXT(loss));
    return true;
}

bool tarn_backward(tarn_tape *t, tarn_tensor *loss)
{
    if (!tarn__usable("tarn_backward", t, "tape") || !is_loss(t, loss))
        return false;
    parameters found = {0, NULL};
    ways w = {.t = t};
    mark_all(&w, 1, &loss);
    const bool collected = collect_parameters(&w, &found);
    int n = found.count;
    if (!collected || n == 0) {
        unmark_all(&w);
        return collected && no_parameter_fail(t, loss);
    }
    tarn_tensor **grads = found.p + n;
    t->final = true;
    bool ok = differentiate(&w, 1, &loss, NULL, n, found.p, grads);
    t->final = false;
    if (!ok)
        return false;
    grads[n] = loss;
    if (!tarn__run_all(t, (size_t)n + 1, grads, true))
        return false;
    for (int i = 0; i < n; i++) {
        tarn_tensor *p = found.p[i];
        if (p->has_grad)
            tarn__add_into(p->grad, grads[i]);
        else
            tarn__copy_elements(p->grad, grads[i]);
        p->grad->version++;
        p->has_grad = true;
    }
    tarn__drop_all(t, (size_t)n, grads);
    return true;
}
