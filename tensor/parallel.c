/* Worker threads, and the board on which loops are posted for them.
 *
 * A loop takes a slot of the board, and its caller starts on the tiles at once; a worker that sees the loop enters it, takes
 * tiles as long as there are any, and leaves. When the tiles are out the caller closes the slot to those who have not
 * entered, and waits for those inside. So a worker that comes late, or that another process keeps from its processor, costs
 * the loop at most the one tile that it holds.
 *
 * Waiting begins as a short spin, because the next loop is often microseconds away, and then sleeps: a processor that one
 * of us spins on is one that another process, or the worker that is waited for, cannot have. */
#include "tensor/parallel.h"
#include "tensor/fp_mode.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <time.h>

enum {
    SLOTS = 8, /* loops at a time, of as many threads of the program; any further ones run on their own threads */
    WORKER_SPIN_NS = 50000,
    CALLER_SPIN_NS = 100000,
    PAUSES = 16, /* between two looks at the clock */
    STACK_BYTES = 1 << 20
};

/* A slot's state: 0 when it is free; else FILLING, and then OPEN, counts of the workers who may enter, have entered, and are
 * inside. Those who enter and leave add to it, so that nobody enters what has been closed. */
#define FILLING     ((uint64_t)1 << 63)
#define OPEN        ((uint64_t)1 << 62)
#define LIMIT_ONE   ((uint64_t)1 << 32)
#define ENTERED_ONE ((uint64_t)1 << 16)
#define INSIDE_ONE  ((uint64_t)1)

static unsigned limit_of(uint64_t state)
{
    return (unsigned)(state >> 32) & 0xffff;
}

static unsigned entered_of(uint64_t state)
{
    return (unsigned)(state >> 16) & 0xffff;
}

static unsigned inside_of(uint64_t state)
{
    return (unsigned)state & 0xffff;
}

typedef struct slot {
    alignas(64) _Atomic uint64_t state;
    alignas(64) _Atomic int64_t next; /* tile */
    int64_t tiles;
    void (*work)(void *context, int64_t tile);
    void *context;
    tarn__fp_mode mode;
} slot;

static slot board[SLOTS];
static alignas(64) atomic_uint posted; /* loops, since the start: a change is what workers wait for */
static alignas(64) atomic_int idle;    /* workers who are looking for a loop, awake */
static atomic_int asleep;              /* workers, and below callers: who is woken only if there is somebody to wake */
static atomic_int callers_asleep;
static atomic_int workers; /* that have been started */
static atomic_bool may_spin;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of sleeping and waking, and of starting workers */
static pthread_cond_t wake_workers = PTHREAD_COND_INITIALIZER, wake_callers = PTHREAD_COND_INITIALIZER;
static bool has_fork_handler;
static int refused; /* so many workers could not be had: not asked for again until another number is wanted */

static _Thread_local int thread_index;
static _Thread_local bool in_loop;

int tarn__thread_index(void)
{
    return thread_index;
}

/* ---- waiting ---- */

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits for the condition, at most so long, without giving the processor away. */
#define SPIN_UNTIL(condition, spin_ns)                                                                                 \
    do {                                                                                                               \
        const int64_t end = atomic_load_explicit(&may_spin, memory_order_relaxed) ? nanoseconds() + (spin_ns) : 0;     \
        while (!(condition) && end != 0 && nanoseconds() < end)                                                        \
            for (int pauses = 0; pauses < PAUSES && !(condition); pauses++)                                            \
                pause_briefly();                                                                                       \
    } while (0)

/* ---- a loop ---- */

static void run_tiles(slot *s)
{
    for (int64_t tile; (tile = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < s->tiles;)
        s->work(s->context, tile);
}

/* The worker's index among the loop's threads, from 1; 0 if it may not enter. */
static int enter(slot *s)
{
    uint64_t state = atomic_load_explicit(&s->state, memory_order_relaxed);
    while (state & OPEN && entered_of(state) < limit_of(state))
        if (atomic_compare_exchange_weak(&s->state, &state, state + ENTERED_ONE + INSIDE_ONE))
            return (int)entered_of(state) + 1;
    return 0;
}

static void leave(slot *s)
{
    const uint64_t state = atomic_fetch_sub(&s->state, INSIDE_ONE);
    if (state & OPEN || inside_of(state) != 1 || atomic_load(&callers_asleep) == 0)
        return;
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&wake_callers);
    pthread_mutex_unlock(&lock);
}

static void help(void)
{
    for (int i = 0; i < SLOTS; i++) {
        thread_index = enter(&board[i]);
        if (thread_index == 0)
            continue;
        tarn__fp_mode_set(board[i].mode);
        run_tiles(&board[i]);
        leave(&board[i]);
    }
}

static void wait_for_loop(unsigned seen)
{
    atomic_fetch_add(&idle, 1);
    SPIN_UNTIL(atomic_load_explicit(&posted, memory_order_acquire) != seen, WORKER_SPIN_NS);
    atomic_fetch_sub(&idle, 1);
    if (atomic_load(&posted) != seen)
        return;
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&asleep, 1);
    while (atomic_load(&posted) == seen)
        pthread_cond_wait(&wake_workers, &lock);
    atomic_fetch_sub(&asleep, 1);
    pthread_mutex_unlock(&lock);
}

static void *worker_main(void *unused)
{
    (void)unused;
    in_loop = true;
    for (;;) {
        const unsigned seen = atomic_load(&posted);
        help();
        wait_for_loop(seen);
    }
    return NULL;
}

/* ---- starting workers ---- */

/* The child has none of the threads, and may have got the lock and the board in the middle of a change. */
static void forget_threads(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    wake_workers = wake_callers = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    for (int i = 0; i < SLOTS; i++)
        atomic_store(&board[i].state, 0);
    atomic_store(&idle, 0), atomic_store(&asleep, 0), atomic_store(&callers_asleep, 0);
    atomic_store(&workers, 0);
    refused = 0;
}

/* Without the signals that come from outside: a program's handlers run in its own threads. */
static bool start_worker(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t blocked, old;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&blocked, own[i]);
    bool ok = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
              pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
              pthread_sigmask(SIG_SETMASK, &blocked, &old) == 0;
    if (ok) {
        ok = pthread_create(&thread, &attributes, worker_main, NULL) == 0;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    pthread_attr_destroy(&attributes);
    return ok;
}

/* As many as there can be, up to `wanted`. */
static void start_workers(int wanted)
{
    pthread_mutex_lock(&lock);
    if (!has_fork_handler)
        has_fork_handler = pthread_atfork(NULL, NULL, forget_threads) == 0;
    int count = atomic_load(&workers);
    while (has_fork_handler && count < wanted && wanted != refused) {
        if (!start_worker()) {
            refused = wanted;
            break;
        }
        atomic_store(&workers, ++count);
    }
    atomic_store(&may_spin, count < tarn__processors());
    pthread_mutex_unlock(&lock);
}

/* ---- the caller's side ---- */

static slot *take_slot(void)
{
    for (int i = 0; i < SLOTS; i++) {
        uint64_t free = 0;
        if (atomic_load_explicit(&board[i].state, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&board[i].state, &free, FILLING))
            return &board[i];
    }
    return NULL;
}

/* Those who are awake see the loop by themselves. */
static void post(slot *s, int helpers)
{
    atomic_store(&s->state, OPEN + (uint64_t)helpers * LIMIT_ONE);
    atomic_fetch_add(&posted, 1);
    int needed = helpers - atomic_load(&idle);
    if (needed <= 0 || atomic_load(&asleep) == 0)
        return;
    pthread_mutex_lock(&lock);
    if (needed >= atomic_load(&asleep))
        pthread_cond_broadcast(&wake_workers);
    else
        while (needed-- > 0)
            pthread_cond_signal(&wake_workers);
    pthread_mutex_unlock(&lock);
}

static void close_and_wait(slot *s)
{
    if (inside_of(atomic_fetch_and(&s->state, ~OPEN)) != 0) {
        SPIN_UNTIL(inside_of(atomic_load_explicit(&s->state, memory_order_acquire)) == 0, CALLER_SPIN_NS);
        if (inside_of(atomic_load(&s->state)) != 0) {
            pthread_mutex_lock(&lock);
            atomic_fetch_add(&callers_asleep, 1);
            while (inside_of(atomic_load(&s->state)) != 0)
                pthread_cond_wait(&wake_callers, &lock);
            atomic_fetch_sub(&callers_asleep, 1);
            pthread_mutex_unlock(&lock);
        }
    }
    atomic_store(&s->state, 0);
}

/* NULL if the caller is to do all tiles. */
static slot *shared(int64_t tiles)
{
    const int64_t threads = tarn_threads();
    if (tiles <= 1 || threads == 1 || in_loop)
        return NULL;
    if (atomic_load_explicit(&workers, memory_order_relaxed) < threads - 1)
        start_workers((int)threads - 1);
    return atomic_load_explicit(&workers, memory_order_relaxed) > 0 ? take_slot() : NULL;
}

void tarn__parallel_for(int64_t tiles, void (*work)(void *context, int64_t tile), void *context)
{
    slot *s = shared(tiles);
    if (!s) {
        for (int64_t tile = 0; tile < tiles; tile++)
            work(context, tile);
        return;
    }
    const int64_t helpers = tarn_threads() - 1;
    s->tiles = tiles, s->work = work, s->context = context;
    s->mode = tarn__fp_mode_get();
    atomic_store_explicit(&s->next, 0, memory_order_relaxed);
    in_loop = true;
    post(s, (int)(helpers < tiles - 1 ? helpers : tiles - 1));
    run_tiles(s);
    close_and_wait(s);
    in_loop = false;
}
