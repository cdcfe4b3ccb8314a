/* tests/data_probe.h: a loader's source of examples that tests can watch, hold back, slow down and break. */
#ifndef TARN_TESTS_DATA_PROBE_H
#define TARN_TESTS_DATA_PROBE_H

#include "data/loader_impl.h"
#include "tests/data_files.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* Label and value of example i of epoch e are e * PLENTY + i. */
enum { PLENTY = 1000 };

typedef struct probe {
    tarn__feed feed; /* the first member */
    int64_t epoch, first, next, fetches;
    float value;

    /* What the test sets. */
    bool gated;     /* each fetch waits for `go` */
    int64_t bad_at; /* batch whose fetch fails in bad_epoch; -1: its begin; 0: none */
    int64_t bad_epoch;
    bool slow;
    const char *message;
    atomic_llong *asked; /* batches asked for so far; with `room`, nothing may be made beyond */
    int64_t room;

    /* What the test reads. */
    sem_t came, go;
    atomic_llong fetched, too_far, in_main, with_signals;
    pthread_t main;
} probe;

static inline void short_sleep(uint64_t i)
{
    uint32_t words[4];
    tarn_philox(77, i, words);
    nanosleep(&(struct timespec){0, (long)(words[0] % 200000)}, NULL);
}

static inline bool probe_begin(tarn__feed *feed, tarn_rng rng)
{
    probe *p = (probe *)feed;
    p->epoch = (int64_t)(rng.counter >> 40) - 1;
    p->first = p->next = 0;
    if (p->bad_at < 0 && p->epoch == p->bad_epoch)
        return tarn_fail("%s", p->message);
    return true;
}

static inline void look_around(probe *p)
{
    sigset_t blocked;
    if (pthread_equal(pthread_self(), p->main))
        atomic_fetch_add(&p->in_main, 1);
    else if (pthread_sigmask(SIG_SETMASK, NULL, &blocked) != 0 || !sigismember(&blocked, SIGUSR1))
        atomic_fetch_add(&p->with_signals, 1);
    if (p->room && p->fetches >= atomic_load(p->asked) + p->room)
        atomic_fetch_add(&p->too_far, 1);
}

static inline bool probe_fetch(tarn__feed *feed, int64_t n)
{
    probe *p = (probe *)feed;
    look_around(p);
    p->fetches++;
    atomic_fetch_add(&p->fetched, 1);
    if (p->gated) {
        sem_post(&p->came);
        while (sem_wait(&p->go) != 0)
            continue;
    }
    if (p->slow)
        short_sleep((uint64_t)p->fetches);
    p->first = p->next;
    p->next += n;
    if (p->bad_at > 0 && p->epoch == p->bad_epoch && p->first / 4 == p->bad_at)
        return tarn_fail("%s", p->message);
    return true;
}

static inline const void *probe_example(const tarn__feed *feed, int64_t i)
{
    probe *p = (probe *)feed;
    p->value = (float)(p->epoch * PLENTY + p->first + i);
    return &p->value;
}

static inline int32_t probe_label(const tarn__feed *feed, int64_t i)
{
    const probe *p = (const probe *)feed;
    return (int32_t)(p->epoch * PLENTY + p->first + i);
}

static inline void probe_free(tarn__feed *feed)
{
    (void)feed;
}

enum { COUNT = 46, FOUR = 4, ROUNDS = 12 }; /* examples, in a batch, batches in an epoch: the last has 2 */

static inline probe probe_make(void)
{
    probe p = {.feed = {.begin = probe_begin,
                        .fetch = probe_fetch,
                        .example = probe_example,
                        .label = probe_label,
                        .free = probe_free,
                        .shape = {.dtype = TARN_F32, .numel = 1},
                        .count = COUNT},
               .main = pthread_self()};
    assert_int_equal(sem_init(&p.came, 0, 0), 0);
    assert_int_equal(sem_init(&p.go, 0, 0), 0);
    return p;
}

static inline tarn_loader *over(probe *p, int64_t ahead)
{
    tarn_loader_opts o = {.batch_size = FOUR, .std = 1, .ahead = ahead ? ahead : 2};
    tarn_loader *l = tarn__loader_over("test", &p->feed, &o);
    assert_non_null(l);
    return l;
}

/* The next batch is number `batch` of `epoch`. */
static inline void expect_batch(tarn_loader *l, tarn_tape *t, int64_t epoch, int64_t batch)
{
    tarn_batch b;
    assert_true(tarn_loader_epoch(l) == epoch && tarn_loader_batch(l) == batch);
    assert_true(tarn_loader_next(l, t, &b));
    assert_int_equal(tarn_dim(b.x, 0), batch == ROUNDS - 1 ? COUNT % FOUR : FOUR);
    for (int64_t i = 0; i < tarn_dim(b.x, 0); i++) {
        int64_t value = epoch * PLENTY + batch * FOUR + i;
        assert_true(tarn_at(b.x, &i) == (double)value && tarn_at(b.labels, &i) == (double)value);
    }
    tarn_tape_reset(t);
}

static inline void expect_epoch_end(tarn_loader *l, tarn_tape *t)
{
    tarn_batch b;
    assert_false(tarn_loader_next(l, t, &b));
    expect_no_error();
}

/* Far longer than anything here takes: what never comes is a failure, and not a hang. */
static inline void wait_for(sem_t *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 120;
    int status;
    while ((status = sem_timedwait(s, &until)) != 0 && errno == EINTR)
        continue;
    assert_int_equal(status, 0);
}

#endif
