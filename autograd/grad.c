#include "autograd/ops.h"
#include "autograd/tape_impl.h"
#include "tensor/elementwise.h"

#include <string.h>

/* ---- a set of tensors, with a number for each ---- */

typedef struct tensor_set {
    const tarn_tensor **keys; /* open addressing; NULL: free */
    int *numbers;
    size_t mask;
} tensor_set;

static bool set_init(tensor_set *set, tarn_tape *t, size_t at_most)
{
    size_t slots = 4;
    while (slots < 2 * at_most)
        slots *= 2;
    set->mask = slots - 1;
    set->keys = tarn__arena_allocate_small(&t->arena, slots * sizeof *set->keys);
    set->numbers = tarn__arena_allocate_small(&t->arena, slots * sizeof *set->numbers);
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

/* ---- one differentiation ---- */

typedef struct differentiation {
    tarn_tape *t;
    size_t first, count; /* it passes through nodes first..count-1; what was recorded before is a leaf to it (first > 0:
                           a rule's own expression, which gradients pass even while they are off) */
    size_t stamp;        /* its number, for what it computes again */
    tensor_set targets;  /* the inputs, numbered */
    bool *depends;       /* per node from `first` on: an output of it depends on a target */
    tarn_tensor **sums;  /* per such node and output: the gradient so far */
    tarn_tensor **grads; /* per target: the gradient so far */
} differentiation;

/* A copy that was made to compute something again counts as what it is a copy of. */
static const tarn_tensor *original(const tarn_tensor *x)
{
    return x->node && x->node->origin ? x->node->origin->out[x->output] : x;
}

static bool is_inside(const differentiation *d, const tarn_tensor *x)
{
    return x->node && x->node->id >= d->first;
}

static bool leads_to_target(const differentiation *d, const tarn_tensor *x)
{
    x = original(x);
    return set_find(&d->targets, x) >= 0 || (is_inside(d, x) && d->depends[x->node->id - d->first]);
}

static void accumulate(tarn_tape *t, tarn_tensor **sum, tarn_tensor *g)
{
    *sum = *sum ? tarn_add(t, *sum, g) : g;
}

static void receive(differentiation *d, const tarn_tensor *x, tarn_tensor *g)
{
    x = original(x);
    int target = set_find(&d->targets, x);
    if (is_inside(d, x))
        accumulate(d->t, &d->sums[(x->node->id - d->first) * TARN__MAX_OUTPUTS + (size_t)x->output], g);
    else if (target >= 0)
        accumulate(d->t, &d->grads[target], g);
}

static bool node_backward(differentiation *d, const tarn_node *n)
{
    tarn_tensor **gy = &d->sums[(n->id - d->first) * TARN__MAX_OUTPUTS];
    bool any = false;
    for (int k = 0; k < n->n_out; k++) {
        int target = set_find(&d->targets, n->out[k]);
        if (target >= 0)
            d->grads[target] = gy[k];
        any |= gy[k] != NULL;
    }
    if (!any || !d->depends[n->id - d->first])
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
        gx = tarn__arena_allocate_small(&d->t->arena, count * sizeof *gx);
        need = tarn__arena_allocate_small(&d->t->arena, count * sizeof *need);
    }
    if (!gx || !need)
        return tarn__node_fail(n, "no memory for its gradient");
    for (size_t i = 0; i < count; i++)
        need[i] = leads_to_target(d, n->in[i]);
    if (!n->op->vjp(d->t, n, gy, need, gx) || tarn_error())
        return false;
    for (size_t i = 0; i < count; i++)
        if (need[i] && gx[i])
            receive(d, n->in[i], gx[i]);
    return !tarn_error();
}

static bool prepare(differentiation *d, int n_inputs, tarn_tensor *const *inputs)
{
    tarn_tape *t = d->t;
    d->count = t->count;
    size_t nodes = d->count - d->first;
    d->depends = tarn__arena_allocate_small(&t->arena, nodes * sizeof *d->depends);
    d->sums = tarn__arena_allocate_small(&t->arena, nodes * TARN__MAX_OUTPUTS * sizeof *d->sums);
    d->grads = tarn__arena_allocate_small(&t->arena, (size_t)n_inputs * sizeof *d->grads);
    if (!d->depends || !d->sums || !d->grads || !set_init(&d->targets, t, (size_t)n_inputs))
        return tarn_fail("tarn_grad: no memory");
    for (int j = 0; j < n_inputs; j++)
        set_add(&d->targets, original(inputs[j]), j);
    for (size_t id = d->first; id < d->count; id++) {
        const tarn_node *n = t->nodes[id];
        bool *depends = &d->depends[id - d->first];
        for (int i = 0; i < n->n_in && !n->origin && !(n->no_grad && d->first == 0) && !*depends; i++)
            *depends = leads_to_target(d, n->in[i]);
    }
    return true;
}

static bool differentiate(tarn_tape *t, size_t first, int n_outputs, tarn_tensor *const *outputs,
                          tarn_tensor *const *cotangents, int n_inputs, tarn_tensor *const *inputs, tarn_tensor **grads)
{
    differentiation d = {.t = t, .first = first, .stamp = ++t->differentiations};
    bool ok = prepare(&d, n_inputs, inputs);
    t->rules++;
    for (int i = 0; ok && i < n_outputs && !tarn_error(); i++) {
        tarn_tensor *y = outputs[i], *g = cotangents ? cotangents[i] : tarn_ones(t, y->dtype, y->ndim, y->shape);
        if (g)
            receive(&d, y, g);
    }
    ok = ok && !tarn_error();
    for (size_t id = d.count; ok && id-- > first;)
        ok = node_backward(&d, t->nodes[id]);
    for (int j = 0; j < n_inputs && ok; j++) {
        int known = set_find(&d.targets, original(inputs[j]));
        if (!d.grads[known])
            d.grads[known] = tarn_zeros(t, inputs[j]->dtype, inputs[j]->ndim, inputs[j]->shape);
        ok = d.grads[known] != NULL;
        d.grads[j] = d.grads[known];
    }
    t->rules--;
    for (int j = 0; j < n_inputs; j++)
        grads[j] = ok ? d.grads[j] : NULL;
    return ok;
}

static bool on_tape(const char *what, int i, const tarn_tape *t, const tarn_tensor *x)
{
    if (!x)
        return tarn_fail("tarn_grad: %s %d is NULL", what, i);
    if (x->tape && x->tape != t)
        return tarn_fail("tarn_grad: %s %d lives on another tape", what, i);
    if (!tarn__is_float(x->dtype))
        return tarn_fail("tarn_grad: %s %d is %s, expected f32 or f64", what, i, tarn_dtype_name(x->dtype));
    return true;
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
    bool ok = differentiate(t, 0, n_outputs, outputs, cotangents, n_inputs, inputs, grads);
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
    enum { MAX_INPUTS = 8 };
    tarn_tensor *inputs[MAX_INPUTS], *grads[MAX_INPUTS];
    int place[MAX_INPUTS], wanted = 0;
    for (int i = 0; i < n->n_in; i++) {
        bool seen = false;
        for (int j = 0; j < wanted; j++)
            seen |= original(inputs[j]) == original(n->in[i]);
        if (need[i] && !seen) {
            place[wanted] = i;
            inputs[wanted++] = n->in[i];
        }
    }
    if (tarn_error() || !differentiate(t, first, n->n_out, outputs, gy, wanted, inputs, grads))
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

/* The parameters that `loss` depends on through nodes that gradients flow through. */
static bool find_parameters(tarn_tape *t, const tarn_tensor *loss, parameters *found)
{
    bool *reached = tarn__arena_allocate_small(&t->arena, t->count * sizeof *reached);
    tensor_set seen;
    if (!reached)
        return tarn_fail("tarn_backward: no memory");
    size_t uses = 0;
    reached[loss->node->id] = true;
    for (size_t id = loss->node->id + 1; id-- > 0;) {
        const tarn_node *n = t->nodes[id];
        reached[id] = reached[id] && !n->no_grad;
        for (int i = 0; reached[id] && i < n->n_in; i++) {
            uses += n->in[i]->grad != NULL;
            if (n->in[i]->node)
                reached[n->in[i]->node->id] = true;
        }
    }
    found->p = tarn__arena_allocate_small(&t->arena, (2 * uses + 1) * sizeof *found->p);
    if (!found->p || !set_init(&seen, t, uses))
        return tarn_fail("tarn_backward: no memory");
    for (size_t id = 0; id <= loss->node->id; id++)
        for (int i = 0; reached[id] && i < t->nodes[id]->n_in; i++) {
            tarn_tensor *x = t->nodes[id]->in[i];
            if (x->grad && set_add(&seen, x, found->count) == found->count)
                found->p[found->count++] = x;
        }
    return true;
}

bool tarn_backward(tarn_tape *t, tarn_tensor *loss)
{
    if (!tarn__usable("tarn_backward", t, "tape") || !tarn__usable("tarn_backward", loss, "loss"))
        return false;
    if (loss->tape != t || !loss->node)
        return tarn_fail("tarn_backward: the loss was not computed on this tape");
    if (loss->numel != 1 || !tarn__is_float(loss->dtype))
        return tarn_fail("tarn_backward: the loss is %s%s, expected one f32 or f64 element",
                         tarn_dtype_name(loss->dtype), TARN__SHAPE_TEXT(loss));
    parameters found = {0, NULL};
    if (!find_parameters(t, loss, &found))
        return false;
    int n = found.count;
    tarn_tensor **grads = found.p + n;
    t->final = true;
    bool ok = n == 0 || differentiate(t, 0, 1, &loss, NULL, n, found.p, grads);
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
