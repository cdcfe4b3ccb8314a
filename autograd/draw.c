#include "autograd/draw.h"
#include "autograd/tape_impl.h"

#include <string.h>

/* A leaf of the picture. */
typedef struct leaf {
    const tarn_tensor *tensor; /* NULL: a free place in the table */
    size_t number;             /* in the order of first use */
} leaf;

typedef struct drawing {
    FILE *file;
    const tarn_tape *tape;
    const tarn_dot_opts *opts;
    bool *drawn;  /* of each node */
    leaf *leaves; /* by address, open addressing */
    size_t places, n_leaves;
} drawing;

/* ---- what is drawn ---- */

static bool check_opts(const tarn_tape *t, const tarn_dot_opts *o)
{
    if (o->n_outputs < 0 || (o->n_outputs > 0 && !o->outputs))
        return tarn_fail("tarn_tape_write_dot: n_outputs is %d and outputs is %s", o->n_outputs,
                         o->outputs ? "given" : "NULL");
    for (int i = 0; i < o->n_outputs; i++) {
        char what[32];
        snprintf(what, sizeof what, "outputs[%d]", i);
        if (!tarn__lives_on("tarn_tape_write_dot", what, t, o->outputs[i]))
            return false;
        if (!o->outputs[i]->node)
            return tarn_fail("tarn_tape_write_dot: %s is a leaf, expected a result on this tape", what);
    }
    if (o->n_names < 0 || (o->n_names > 0 && !o->names))
        return tarn_fail("tarn_tape_write_dot: n_names is %d and names is %s", o->n_names, o->names ? "given" : "NULL");
    for (int i = 0; i < o->n_names; i++)
        if (!o->names[i].tensor || !o->names[i].name)
            return tarn_fail("tarn_tape_write_dot: the %s of names[%d] is NULL", o->names[i].tensor ? "name" : "tensor",
                             i);
    return true;
}

/* Marks the nodes to draw, and returns how many tensors they read. */
static size_t mark(drawing *d)
{
    const tarn_tape *t = d->tape;
    size_t reads = 0;
    for (int i = 0; i < d->opts->n_outputs; i++)
        d->drawn[d->opts->outputs[i]->node->id] = true;
    for (size_t i = t->count; i-- > 0;) {
        const tarn_node *n = t->nodes[i];
        d->drawn[i] = d->drawn[i] || d->opts->n_outputs == 0;
        for (int k = 0; d->drawn[i] && k < n->n_in; k++, reads++)
            if (n->in[k]->node)
                d->drawn[n->in[k]->node->id] = true;
    }
    return reads;
}

/* The leaf's place in the table, or the free one for it. */
static leaf *find_leaf(drawing *d, const tarn_tensor *x)
{
    size_t i = (size_t)((uintptr_t)x / sizeof *x) % d->places;
    while (d->leaves[i].tensor && d->leaves[i].tensor != x)
        i = (i + 1) % d->places;
    return &d->leaves[i];
}

/* ---- writing ---- */

static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        if (*text == '\n')
            fputs("\\n", f);
        else
            fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
    }
}

static const char *name_of(const drawing *d, const tarn_tensor *x)
{
    for (int i = 0; i < d->opts->n_names; i++)
        if (d->opts->names[i].tensor == x)
            return d->opts->names[i].name;
    return x->name;
}

static bool is_output(const drawing *d, const tarn_node *n)
{
    for (int i = 0; i < d->opts->n_outputs; i++)
        if (d->opts->outputs[i]->node == n)
            return true;
    return false;
}

static void put_shape(FILE *f, const tarn_tensor *x)
{
    fprintf(f, "%s %s", tarn_dtype_name(x->dtype), TARN__SHAPE_TEXT(x));
}

static void draw_leaf(drawing *d, const tarn_tensor *x)
{
    leaf *place = find_leaf(d, x);
    if (place->tensor)
        return;
    *place = (leaf){.tensor = x, .number = d->n_leaves++};
    const char *name = name_of(d, x);
    const char *colour = x->owner != TARN__OWNED_BY_STORE ? "#ffffff" : x->grad ? "#cfe8cf" : "#e4e4e4";
    fprintf(d->file, "  leaf%zu [shape=ellipse, fillcolor=\"%s\", label=\"", place->number, colour);
    if (name) {
        put_escaped(d->file, name);
        fputs("\\n", d->file);
    }
    put_shape(d->file, x);
    fputs("\"];\n", d->file);
}

static void draw_box(const drawing *d, const tarn_node *n)
{
    FILE *f = d->file;
    const char *colour = n->origin ? "#e4e4e4" : n->by_rule ? "#fbd9b5" : "#dbe9f6";
    fprintf(f, "  node%zu [fillcolor=\"%s\"%s%s, label=\"", n->id, colour,
            n->is_view ? ", style=\"filled,dashed\"" : "", is_output(d, n) ? ", peripheries=2" : "");
    put_escaped(f, n->op->name);
    for (int i = 0; i < n->n_out; i++) {
        const char *name = name_of(d, n->out[i]);
        fputs("\\n", f);
        if (name) {
            put_escaped(f, name);
            fputs(": ", f);
        }
        put_shape(f, n->out[i]);
    }
    fputs("\"];\n", f);
}

/* With several outputs, the arrow says which is read. */
static void draw_arrow(drawing *d, const tarn_tensor *from, const tarn_node *to)
{
    const tarn_node *n = from->node;
    if (!n && d->opts->hide_leaves)
        return;
    if (!n)
        fprintf(d->file, "  leaf%zu -> node%zu;\n", find_leaf(d, from)->number, to->id);
    else if (n->n_out == 1)
        fprintf(d->file, "  node%zu -> node%zu;\n", n->id, to->id);
    else
        fprintf(d->file, "  node%zu -> node%zu [label=\"%d\"];\n", n->id, to->id, from->output);
}

static void draw_all(drawing *d)
{
    FILE *f = d->file;
    fputs("digraph tape {\n"
          "  graph [fontname=\"Helvetica\", fontsize=16, labelloc=\"t\", label=\"",
          f);
    put_escaped(f, d->opts->title ? d->opts->title : "");
    fputs("\"];\n"
          "  node [shape=box, style=\"filled\", fontname=\"Helvetica\", fontsize=11];\n"
          "  edge [fontname=\"Helvetica\", fontsize=9];\n",
          f);
    for (size_t i = 0; i < d->tape->count; i++) {
        const tarn_node *n = d->tape->nodes[i];
        if (!d->drawn[i])
            continue;
        for (int k = 0; !d->opts->hide_leaves && k < n->n_in; k++)
            if (!n->in[k]->node)
                draw_leaf(d, n->in[k]);
        draw_box(d, n);
        for (int k = 0; k < n->n_in; k++)
            draw_arrow(d, n->in[k], n);
    }
    fputs("}\n", f);
}

bool tarn_tape_write_dot(const tarn_tape *t, FILE *file, const tarn_dot_opts *opts)
{
    static const tarn_dot_opts defaults = {0};
    drawing d = {.file = file, .tape = t, .opts = opts ? opts : &defaults};
    if (!tarn__usable("tarn_tape_write_dot", t, "tape") || !tarn__usable("tarn_tape_write_dot", file, "file") ||
        !check_opts(t, d.opts))
        return false;
    d.drawn = tarn__allocate_zeroed((t->count + 1) * sizeof *d.drawn);
    if (d.drawn) {
        d.places = 2 * mark(&d) + 1;
        d.leaves = tarn__allocate_zeroed(d.places * sizeof *d.leaves);
    }
    const bool ready = d.drawn && d.leaves;
    if (ready)
        draw_all(&d);
    tarn__release(d.leaves);
    tarn__release(d.drawn);
    if (!ready)
        return tarn_fail("tarn_tape_write_dot: no memory for %zu nodes", t->count);
    if (fflush(file) != 0 || ferror(file))
        return tarn_fail("tarn_tape_write_dot: the file could not be written");
    return true;
}
