/* A thread that makes batches before they are asked for, into a ring of slots.
 *
 * The lock guards every field that both sides change; the slots themselves need none: the thread writes only a slot
 * that is not held yet, and the caller reads only the first that is. While `busy` the batcher is the thread's. */
#include "data/loader_impl.h"
#include "tensor/arena.h"
#include "tensor/parallel.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COPY_TILE = 1 << 18, MESSAGE = 1024 };

typedef struct slot {
    void *x;
    int32_t *labels;
} slot;

struct tarn__ahead {
    tarn__batcher *batcher;
    slot *slots;
    int64_t room, first, held; /* slots; the oldest batch's; how many hold batches, from there on */
    size_t example_bytes;      /* of x */

    bool alive;    /* there is a thread, and the three below exist */
    pid_t process; /* that the thread belongs to: a child that is forked off has none */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted, made; /* for the thread, and for the caller */
    bool running, busy, ending;  /* batches are wanted; one is being made; the thread is to return */
    bool failed;                 /* the batch behind those held could not be made, for this reason: */
    char message[MESSAGE];
};

/* ---- the thread */

/* An error belongs to its thread, so its text is carried over. */
static void keep_error(tarn__ahead *a)
{
    const char *why = tarn_error();
    snprintf(a->message, sizeof a->message, "%s", why ? why : "tarn_loader_next: the batch could not be made");
    tarn_error_clear();
    a->failed = true;
}

static void *make_batches(void *argument)
{
    tarn__ahead *a = argument;
    pthread_mutex_lock(&a->lock);
    while (!a->ending) {
        if (!a->running || a->failed || a->held == a->room) {
            pthread_cond_wait(&a->wanted, &a->lock);
            continue;
        }
        const slot *s = &a->slots[(a->first + a->held) % a->room];
        a->busy = true;
        pthread_mutex_unlock(&a->lock);
        bool ok = tarn__batcher_next(a->batcher, s->x, s->labels, false);
        pthread_mutex_lock(&a->lock);
        a->busy = false;
        if (ok)
            a->held++;
        else
            keep_error(a);
        pthread_cond_signal(&a->made);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* Without signals: a program's handlers run in its own threads. */
static bool create_thread(tarn__ahead *a)
{
    sigset_t all, old;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
        return false;
    bool ok = pthread_create(&a->thread, NULL, make_batches, a) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

static bool start(tarn__ahead *a)
{
    if (pthread_mutex_init(&a->lock, NULL) != 0)
        return false;
    if (pthread_cond_init(&a->wanted, NULL) == 0) {
        if (pthread_cond_init(&a->made, NULL) == 0) {
            if (create_thread(a)) {
                a->process = getpid();
                return a->alive = true;
            }
            pthread_cond_destroy(&a->made);
        }
        pthread_cond_destroy(&a->wanted);
    }
    pthread_mutex_destroy(&a->lock);
    return false;
}

static void end(tarn__ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->ending = true;
    pthread_cond_signal(&a->wanted);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->made);
    pthread_cond_destroy(&a->wanted);
    pthread_mutex_destroy(&a->lock);
}

/* ---- making and freeing */

void tarn__ahead_free(tarn__ahead *a)
{
    if (!a)
        return;
    if (a->alive && a->process == getpid())
        end(a);
    for (int64_t i = 0; a->slots && i < a->room; i++) {
        tarn__release(a->slots[i].x);
        tarn__release(a->slots[i].labels);
    }
    tarn__release(a->slots);
    tarn__release(a);
}

static bool make_slots(tarn__ahead *a)
{
    size_t examples = (size_t)tarn__batch_examples(a->batcher, 0);
    if (a->example_bytes > 0 && examples > PTRDIFF_MAX / a->example_bytes)
        return false;
    a->slots = tarn__allocate_zeroed((size_t)a->room * sizeof a->slots[0]);
    for (int64_t i = 0; a->slots && i < a->room; i++) {
        slot *s = &a->slots[i];
        s->x = tarn__allocate(examples * a->example_bytes);
        s->labels = tarn__allocate(examples * sizeof s->labels[0]);
        if (!s->x || !s->labels)
            return false;
    }
    return a->slots;
}

tarn__ahead *tarn__ahead_new(const char *who, tarn__batcher *b)
{
    tarn__ahead *a = tarn__allocate_zeroed(sizeof *a);
    if (a) {
        a->batcher = b;
        a->room = b->opts.ahead;
        a->example_bytes = (size_t)b->feed->shape.numel * tarn_dtype_size(b->opts.dtype);
        if (make_slots(a))
            return a;
    }
    tarn_fail("%s: no memory for %" PRId64 " batches of %" PRId64 " examples ahead", who, b->opts.ahead,
              tarn__batch_examples(b, 0));
    tarn__ahead_free(a);
    return NULL;
}

/* ---- the caller's side */

bool tarn__ahead_is_here(const char *who, const tarn__ahead *a)
{
    return !a || !a->alive || a->process == getpid() ||
           tarn_fail(
               "%s: this loader's thread is in the process that fork() was called in: expected a loader made here",
               who);
}

bool tarn__ahead_run(tarn__ahead *a)
{
    if (!a->alive && !start(a))
        return false;
    pthread_mutex_lock(&a->lock);
    if (!a->running) {
        a->running = true;
        pthread_cond_signal(&a->wanted);
    }
    pthread_mutex_unlock(&a->lock);
    return true;
}

void tarn__ahead_halt(tarn__ahead *a)
{
    if (!a || !a->alive)
        return;
    pthread_mutex_lock(&a->lock);
    a->running = false;
    while (a->busy)
        pthread_cond_wait(&a->made, &a->lock);
    a->first = a->held = 0;
    a->failed = false;
    pthread_mutex_unlock(&a->lock);
}

typedef struct copy {
    char *to;
    const char *from;
    size_t bytes;
} copy;

static void copy_tile(void *context, int64_t tile)
{
    const copy *c = context;
    size_t at = (size_t)tile * COPY_TILE, left = c->bytes - at;
    memcpy(c->to + at, c->from + at, left < COPY_TILE ? left : COPY_TILE);
}

bool tarn__ahead_take(tarn__ahead *a, int64_t n, void *x, int32_t *labels)
{
    pthread_mutex_lock(&a->lock);
    while (a->held == 0 && !a->failed)
        pthread_cond_wait(&a->made, &a->lock);
    bool there = a->held > 0;
    pthread_mutex_unlock(&a->lock);
    if (!there) {
        tarn_fail("%s", a->message);
        tarn__ahead_halt(a);
        return false;
    }
    const slot *s = &a->slots[a->first];
    size_t bytes = (size_t)n * a->example_bytes;
    tarn__parallel_for(tarn__tiles((int64_t)bytes, COPY_TILE), copy_tile, &(copy){x, s->x, bytes});
    memcpy(labels, s->labels, (size_t)n * sizeof labels[0]);
    pthread_mutex_lock(&a->lock);
    a->first = (a->first + 1) % a->room;
    a->held--;
    pthread_cond_signal(&a->wanted);
    pthread_mutex_unlock(&a->lock);
    return true;
}
