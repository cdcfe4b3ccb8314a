/* The states that ops keep beyond a run: running statistics, singular vectors. A run changes stand-ins, and their elements
 * become the states' own when all of it has succeeded: a step that failed can be tried again. */
#include "autograd/tape_impl.h"

#include <string.h>

struct tarn__state {
    tarn_tensor *of, stand_in;
    uint64_t version; /* of `of`, as the tape has left it: from another on it is the program's */
    tarn__state *next;
};

static tarn__state **bucket_of(tarn_tape *t, const tarn_tensor *x)
{
    return &t->states[((uintptr_t)x >> 4) * 0x9E3779B97F4A7C15u >> 32 & (TARN__STATE_BUCKETS - 1)];
}

static tarn__state *find(tarn__state *s, const tarn_tensor *x)
{
    while (s && s->of != x)
        s = s->next;
    return s;
}

tarn_tensor *tarn__state_to_move(const tarn_node *n, tarn_tensor *x)
{
    tarn_tape *t = n->tape;
    tarn__state **bucket = bucket_of(t, x), *s = find(*bucket, x);
    if (!s) {
        s = tarn__arena_allocate_small(&t->arena, sizeof *s + tarn__bytes(x));
        if (!s) {
            tarn__node_fail(n, "no memory for its state");
            return NULL;
        }
        *s = (tarn__state){.of = x, .next = *bucket};
        tarn__set_shape(&s->stand_in, x->dtype, x->ndim, x->shape);
        s->stand_in.data = s + 1;
        *bucket = s;
        t->moved = true;
        memcpy(s->stand_in.data, x->data, tarn__bytes(x));
    } else if (s->version != x->version) {
        memcpy(s->stand_in.data, x->data, tarn__bytes(x));
    }
    s->version = ++x->version; /* to what was recorded from x it has changed now, as if each node ran by itself */
    return &s->stand_in;
}

void tarn__states_settle(tarn_tape *t)
{
    for (int i = 0; t->moved && i < TARN__STATE_BUCKETS; i++)
        for (const tarn__state *s = t->states[i]; s; s = s->next)
            if (s->version == s->of->version) {
                memcpy(s->of->data, s->stand_in.data, tarn__bytes(s->of));
                s->of->version++;
            }
    tarn__states_forget(t);
}

void tarn__states_forget(tarn_tape *t)
{
    if (t->moved)
        memset(t->states, 0, sizeof t->states);
    t->moved = false;
}
