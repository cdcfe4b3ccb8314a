/* autograd/tape_impl.h (internal): the inside of a tape, for tape.c, life.c, run.c and grad.c. */
#ifndef TARN__TAPE_IMPL_H
#define TARN__TAPE_IMPL_H

#include "autograd/op.h"
#include "tensor/pool.h"

/* A convolution's weights in another form (autograd/conv2d.c). */
typedef struct tarn__transformed tarn__transformed;

/* The records of tensors (record.c): memory that is never anything else, in two halves, of which rounds take in turn, so
 * that none is taken again before two resets have passed. After a first round, rounds of the same length take nothing from
 * the heap. */
typedef struct tarn__slab tarn__slab;

typedef struct tarn__half {
    tarn__slab *first, *last; /* linked */
    size_t total;             /* records in all of them */
} tarn__half;

typedef struct tarn__records {
    tarn_tensor *free, *end; /* in the slab that the round has come to */
    size_t taken;            /* since the reset */
    tarn__slab *slab;        /* NULL: the round has taken none yet */
    tarn__half halves[2];
    int now; /* the round's half */
} tarn__records;

/* A state that is moving (state.c). */
typedef struct tarn__state tarn__state;

enum { TARN__STATE_BUCKETS = 64 };

struct tarn_tape {
    tarn__home home;   /* of its tensors */
    tarn__arena arena; /* nodes, and values of a few bytes */
    tarn__records records;
    tarn__pool pool;      /* values and scratch memory */
    size_t peak;          /* bytes of both, at most */
    tarn__chunk *scratch; /* of the node that is running, linked */
    tarn_node **nodes;    /* in the order of recording, which is an order of dependence */
    size_t count, capacity;
    size_t keep_below; /* TARN__SMALL */
    size_t differentiations;
    tarn__transformed *transformed; /* linked */
    tarn__segment *segment;         /* that is being recorded */
    int rules;                      /* how many gradient rules are recording, one inside the other */
    bool training, grad, eager, fusion;
    tarn__state *states[TARN__STATE_BUCKETS]; /* by address, linked: moved by runs of which none has succeeded yet */
    bool moved;                               /* there are some */
    bool final;     /* the rules are recording gradients that nobody will differentiate again */
    bool dropping;  /* the run under way is tarn_backward's: what nobody will read goes at once */
    bool lingering; /* something that nobody will read is still there */
};

void tarn__records_reset(tarn__records *r);
void tarn__records_free(tarn__records *r);

/* For tarn__record_take. */
__attribute__((cold)) bool tarn__records_next_slab(tarn__records *r);

/* A record, whose fields are not set; NULL (no error) when there is no memory. */
static inline tarn_tensor *tarn__record_take(tarn__records *r)
{
    if (r->free == r->end && !tarn__records_next_slab(r))
        return NULL;
    r->taken++;
    return r->free++;
}

/* Of several that nobody has seen, the last one first. One that another slab has followed waits for the reset. */
static inline void tarn__record_give(tarn__records *r, tarn_tensor *x)
{
    if (x + 1 != r->free)
        return;
    r->taken--;
    r->free = x;
}

/* x is a leaf that lives on no tape, or lives on t, and no reset has let it go; else an error. */
bool tarn__lives_on(const char *who, const char *what, const tarn_tape *t, const tarn_tensor *x);

/* The same; and a leaf, in which an op may keep a state. */
bool tarn__is_state(const char *who, const char *what, const tarn_tape *t, const tarn_tensor *x);

/* As tarn__lives_on, of "KIND i", which is f32 or f64 besides. (grad.c) */
bool tarn__is_differentiable(const char *who, const char *kind, int i, const tarn_tape *t, const tarn_tensor *x);

/* The leaf whose memory x shows: x itself, the leaf that x is a view of, or NULL. */
const tarn_tensor *tarn__leaf_behind(const tarn_tensor *x);

/* tarn__is_unchanged(n), or an error. */
bool tarn__check_unchanged(const tarn_node *n);

/* Runs the n tensors' nodes, and what they need, in the order of recording. dropping: nobody will record anything that
 * reads what is there by now, except by name. */
bool tarn__run_all(tarn_tape *t, size_t n, tarn_tensor *const *xs, bool dropping);

/* A copy of n at the end of the tape, which reads what n reads. NULL (no error) when there is no memory. */
tarn_node *tarn__node_copy(tarn_node *n);

/* A copy that was made to compute something again counts as what it is a copy of. */
static inline const tarn_tensor *tarn__original(const tarn_tensor *x)
{
    return x->node && x->node->origin ? x->node->origin->out[x->output] : x;
}

/* n, for the gradient rules of differentiation number `stamp`: of a node in a segment, the copy that runs again. NULL
 * with an error when there is no memory. */
const tarn_node *tarn__node_again(tarn_tape *t, const tarn_node *n, size_t stamp);

/* ---- ways that gradients take (way.c; autograd/tape.h states the rule) ---- */

typedef struct tarn__way {
    bool open;            /* there is one */
    const tarn_node *cut; /* the only node on one that was recorded with gradients off, or the first of them; or NULL */
} tarn__way;

/* Notes the ways from the outputs to each tensor that has a place, which is zero before. False without an error when
 * there is no memory. */
bool tarn__find_ways(tarn_tape *t, int n_outputs, tarn_tensor *const *outputs,
                     tarn__way *(*place)(void *context, const tarn_tensor *x), void *context);

/* Fails: x has no open way, because of `cut`. */
bool tarn__cut_fail(const char *who, const char *what, const tarn_tensor *x, const tarn_node *cut);

/* ---- states (state.c) ---- */

/* A run has succeeded: the states become what it, and those that failed before, have made of them, unless the program has
 * written them since. */
void tarn__states_settle(tarn_tape *t);

/* They stay as they are. */
void tarn__states_forget(tarn_tape *t);

/* ---- memory (life.c) ---- */

/* Memory for the elements of x, on its tape; false without an error when there is none. Nothing to do if x has it. */
bool tarn__elements_take(tarn_tensor *x);
void tarn__elements_give(tarn_tensor *x);

/* The tape's bytes have grown, or are about to shrink. */
void tarn__note_peak(tarn_tape *t);

/* ---- uses (life.c): x->uses of what ops compute. Leaves are not counted: tapes and threads share them. ---- */

void tarn__use(tarn_tensor *x);
void tarn__unuse(tarn_tensor *x); /* and lets x go if it may */

void tarn__hold_inputs(tarn_node *n);

/* n reads its inputs no more: they go if they may, with views, and with the inputs of nodes that are of no use any
 * more, which are linked by next_let_go to *absorbed unless that is NULL: the caller unlinks them at once. */
void tarn__let_go(tarn_node *n, tarn_node **absorbed);

/* Nobody will read x, as far as is known. */
bool tarn__is_unneeded(const tarn_tensor *x);

/* Lets x go if nobody will read it. */
void tarn__drop_unused(tarn_tensor *x);

/* Lets go of those of the n tensors that nobody else will read, now that tarn_backward has. */
void tarn__drop_all(tarn_tape *t, size_t n, tarn_tensor *const *xs);

/* Lets everything go that a run could not know to be of no more use. */
void tarn__drop_lingering(tarn_tape *t);

#endif
