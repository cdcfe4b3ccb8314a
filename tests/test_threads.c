/* Worker threads: each tile once, whoever asks, however many there are to be had; in a child of fork; in the caller's
 * floating-point mode. Linked with --wrap=pthread_create, so that threads can be refused. */
#include "tensor/parallel.h"
#include "tests/check.h"
#include "tests/small_cnn.h"

#include <dirent.h>
#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument);

static atomic_int to_refuse; /* the calls after so many; -1: none */
static atomic_int refused;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument)
{
    if (atomic_load(&to_refuse) == 0) {
        refused++;
        return EAGAIN;
    }
    if (atomic_load(&to_refuse) > 0)
        to_refuse--;
    return __real_pthread_create(thread, attr, work, argument);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* ---- how many threads this process has ---- */

static int threads_alive(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *task; tasks && (task = readdir(tasks));)
        count += task->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return count;
}

/* An emulator has threads of its own, and does not fork a process that has several. */
static bool is_emulated(void)
{
    const char *run = getenv("RUN");
    return run && *run;
}

static int threads_at_start;

/* Must run first. */
static void none_is_there_before_there_is_work(void **state)
{
    (void)state;
    if (threads_at_start == 0 || CHECK_ASAN || CHECK_TSAN || is_emulated())
        skip(); /* no /proc, or a sanitizer with a thread of its own */
    assert_int_equal(threads_at_start, 1);
}

/* ---- tiles ---- */

enum { TILES = 1000 };

typedef struct count {
    atomic_int done[TILES];
    atomic_int in_use[TARN__MAX_THREADS];
    atomic_int bad;
} count;

static void count_tile(void *context, int64_t tile)
{
    count *c = context;
    const int index = tarn__thread_index();
    if (index < 0 || index >= tarn_threads() || atomic_fetch_add(&c->in_use[index], 1) != 0)
        c->bad++; /* two threads with one index */
    c->done[tile]++;
    for (volatile int i = 0; i < 50; i++)
        continue;
    atomic_fetch_sub(&c->in_use[index], 1);
}

static bool each_once(int64_t tiles)
{
    count *c = calloc(1, sizeof *c);
    if (!c)
        return false;
    tarn__parallel_for(tiles, count_tile, c);
    bool ok = c->bad == 0;
    for (int64_t i = 0; i < TILES; i++)
        ok = ok && c->done[i] == (i < tiles);
    free(c);
    return ok;
}

static void each_tile_runs_once(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 4, 8, 2, 1, 16};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_true(tarn_set_threads(counts[i]));
        for (int run = 0; run < 30; run++)
            for (int64_t tiles = 0; tiles <= TILES; tiles = tiles * 3 + 1)
                assert_true(each_once(tiles));
        assert_true(each_once(TILES));
    }
    assert_true(tarn_set_threads(0));
}

static void as_many_threads_as_there_can_be(void **state)
{
    (void)state;
    assert_true(tarn_set_threads(TARN__MAX_THREADS));
    for (int run = 0; run < 5; run++)
        assert_true(each_once(TILES));
    assert_true(tarn_set_threads(0));
}

static atomic_int helpers_seen;

static void wait_for_help(void *context, int64_t tile)
{
    (void)tile;
    atomic_int *inside = context;
    inside[0]++;
    if (tarn__thread_index() > 0)
        helpers_seen++;
    for (int64_t i = 0; atomic_load(&inside[0]) < 2 && i < 5000; i++) /* 5 seconds, where no thread can be had */
        nap();
}

static void more_than_one_thread_works(void **state)
{
    (void)state;
    atomic_int inside[1] = {0};
    assert_true(tarn_set_threads(2));
    tarn__parallel_for(2, wait_for_help, inside);
    assert_int_equal(helpers_seen, 1);
    assert_true(tarn_set_threads(0));
}

static void outer_tile(void *context, int64_t tile)
{
    (void)tile;
    count *c = calloc(1, sizeof *c);
    const int index = tarn__thread_index();
    bool same = c != NULL;
    for (int64_t i = 0; same && i < 3; i++) {
        tarn__parallel_for(20, count_tile, c);
        same = tarn__thread_index() == index;
    }
    for (int64_t i = 0; same && i < 20; i++)
        same = c->done[i] == 3;
    free(c);
    if (!same)
        (*(atomic_int *)context)++;
}

static void a_loop_in_a_tile_is_its_threads_own(void **state)
{
    (void)state;
    atomic_int bad = 0;
    assert_true(tarn_set_threads(4));
    tarn__parallel_for(64, outer_tile, &bad);
    assert_int_equal(bad, 0);
    assert_true(tarn_set_threads(0));
}

static void *many_loops(void *argument)
{
    for (int i = 0; i < 300; i++)
        if (!each_once(40 + i % 7))
            (*(atomic_int *)argument)++;
    return NULL;
}

/* More than there are slots for. */
static void threads_of_the_program_share_the_workers(void **state)
{
    (void)state;
    enum { CALLERS = 12 };
    pthread_t callers[CALLERS];
    atomic_int bad = 0;
    assert_true(tarn_set_threads(4));
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, many_loops, &bad), 0);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_join(callers[i], NULL), 0);
    assert_int_equal(bad, 0);
    assert_true(tarn_set_threads(0));
}

/* ---- in a child ---- */

static void hash_of_training(int threads, char hex[65])
{
    static const cnn_size size = {.batch = 8, .side = 12, .channels = 3, .width = 8, .hidden = 16, .classes = 4};
    cnn m;
    assert_true(tarn_set_threads(threads));
    tarn_tape *t = tarn_tape_new();
    assert_true(cnn_new(&m, TARN_F32, &size, 5));
    for (int step = 0; step < 3; step++) {
        cnn_step(t, &m);
        tarn_tape_reset(t);
    }
    expect_no_error();
    cnn_hash(&m, hex);
    cnn_free(&m);
    tarn_tape_free(t);
    assert_true(tarn_set_threads(0));
}

/* What `work` returns in a child: 0 if all is well. A child that hangs is ended. */
static int in_child(int (*work)(const char *hex), const char *hex)
{
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(300);
        _exit(work(hex));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int trains_alike(const char *hex)
{
    char here[65];
    hash_of_training(3, here);
    return strcmp(here, hex) != 0;
}

static int and_so_does_its_child(const char *hex)
{
    return trains_alike(hex) || in_child(trains_alike, hex) != 0;
}

static void a_child_has_threads_of_its_own(void **state)
{
    (void)state;
    if (is_emulated())
        skip();
    char hex[65];
    hash_of_training(3, hex);
    for (int i = 0; i < 5; i++)
        assert_int_equal(in_child(trains_alike, hex), 0);
    assert_int_equal(in_child(and_so_does_its_child, hex), 0);
    assert_int_equal(trains_alike(hex), 0);
}

static atomic_bool stop;

static void *loop_until_stopped(void *argument)
{
    (void)argument;
    while (!stop)
        each_once(50);
    return NULL;
}

/* While another thread is in the middle of loops, whose workers and whose lock the child finds as they are. */
static void a_child_is_not_held_up_by_loops_of_its_parent(void **state)
{
    (void)state;
    if (is_emulated())
        skip();
    char hex[65];
    hash_of_training(3, hex);
    stop = false;
    pthread_t other;
    assert_true(tarn_set_threads(3));
    assert_int_equal(pthread_create(&other, NULL, loop_until_stopped, NULL), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(in_child(trains_alike, hex), 0);
    stop = true;
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(tarn_set_threads(0));
}

/* ---- where there are none ---- */

/* In a child, which has no workers yet. */
static int without_threads(const char *hex)
{
    char here[65];
    atomic_store(&to_refuse, 0);
    hash_of_training(4, here);
    const bool one = strcmp(here, hex) == 0 && refused > 0;
    const int asked = refused;
    hash_of_training(4, here); /* does not ask again and again */
    const bool quiet = strcmp(here, hex) == 0 && refused == asked;
    atomic_store(&to_refuse, 1); /* one can be had now, and one more is wanted than before */
    hash_of_training(5, here);
    return !(one && quiet && strcmp(here, hex) == 0 && refused > asked);
}

static void without_threads_the_caller_works_alone(void **state)
{
    (void)state;
    if (is_emulated())
        skip();
    char hex[65];
    hash_of_training(3, hex);
    assert_int_equal(in_child(without_threads, hex), 0);
}

/* ---- modes and signals ---- */

typedef struct sums {
    double sum[64];
} sums;

static void sum_tile(void *context, int64_t tile)
{
    volatile double total = 0;
    for (int i = 1; i < 2000; i++)
        total += 1.0 / (i + (double)tile);
    volatile double tiny = 0x1p-1040; /* flushed or not */
    ((sums *)context)->sum[tile] = total + tiny * 0x1p1000;
}

static void workers_take_over_the_mode_of_rounding(void **state)
{
    (void)state;
    static const int modes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO, FE_TONEAREST};
    static const int threads[] = {2, 4};
    sums seen[4];
    for (size_t m = 0; m < 4; m++) {
        sums alone, several;
        fesetround(modes[m]);
        tarn_set_threads(1);
        tarn__parallel_for(64, sum_tile, &alone);
        bool same = true;
        for (int i = 0; i < 40; i++) {
            tarn_set_threads(threads[i % 2]);
            tarn__parallel_for(64, sum_tile, &several);
            same = same && memcmp(&alone, &several, sizeof alone) == 0;
        }
        fesetround(FE_TONEAREST);
        assert_true(same);
        seen[m] = alone;
    }
    assert_memory_not_equal(&seen[0], &seen[1], sizeof seen[0]);
    tarn_set_threads(0);
}

static void workers_take_over_flushing_to_zero(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const unsigned before = __builtin_ia32_stmxcsr();
    sums plain, alone, several;
    tarn_set_threads(1);
    tarn__parallel_for(64, sum_tile, &plain);
    __builtin_ia32_ldmxcsr(before | 0x8040); /* FTZ, DAZ */
    tarn__parallel_for(64, sum_tile, &alone);
    bool same = true;
    for (int i = 0; i < 40; i++) {
        tarn_set_threads(2 + i % 3);
        tarn__parallel_for(64, sum_tile, &several);
        same = same && memcmp(&alone, &several, sizeof alone) == 0;
    }
    __builtin_ia32_ldmxcsr(before);
    assert_true(same);
    assert_memory_not_equal(&plain, &alone, sizeof plain);
    tarn__parallel_for(64, sum_tile, &several); /* and back */
    assert_memory_equal(&plain, &several, sizeof plain);
    tarn_set_threads(0);
#else
    skip();
#endif
}

static void look_at_signals(void *context, int64_t tile)
{
    (void)tile;
    atomic_int *seen = context; /* helpers; those open to SIGTERM; those closed to SIGSEGV; all */
    seen[3]++;
    if (tarn__thread_index() > 0) {
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, NULL, &blocked);
        seen[0]++;
        seen[1] += !sigismember(&blocked, SIGTERM);
        seen[2] += sigismember(&blocked, SIGSEGV);
    }
    for (int64_t i = 0; atomic_load(&seen[3]) < 2 && i < 5000; i++)
        nap();
}

static void signals_from_outside_are_not_the_workers(void **state)
{
    (void)state;
    atomic_int seen[4] = {0};
    assert_true(tarn_set_threads(2));
    tarn__parallel_for(2, look_at_signals, seen);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], 0);
    assert_true(tarn_set_threads(0));
}

/* ---- sleeping ---- */

static int threads_that_do_not_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int awake = -1; /* this one */
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        char path[300], state = 'S';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
        FILE *f = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'S')
            awake++;
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
    return awake;
}

static void those_without_work_sleep(void **state)
{
    (void)state;
    if (threads_alive() == 0)
        skip();
    assert_true(tarn_set_threads(4));
    assert_true(each_once(TILES));
    int awake = 1;
    for (int i = 0; i < 10000 && (awake = threads_that_do_not_sleep()) > 0; i++)
        nap();
    assert_int_equal(awake, 0);
    assert_true(each_once(TILES));
    assert_true(tarn_set_threads(0));
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&to_refuse, -1);
    return 0;
}

int main(void)
{
    threads_at_start = threads_alive();
#define T(test) cmocka_unit_test_setup(test, setup)
    const struct CMUnitTest tests[] = {
        T(none_is_there_before_there_is_work),
        T(each_tile_runs_once),
        T(more_than_one_thread_works),
        T(a_loop_in_a_tile_is_its_threads_own),
        T(threads_of_the_program_share_the_workers),
        T(a_child_has_threads_of_its_own),
        T(a_child_is_not_held_up_by_loops_of_its_parent),
        T(without_threads_the_caller_works_alone),
        T(workers_take_over_the_mode_of_rounding),
        T(workers_take_over_flushing_to_zero),
        T(signals_from_outside_are_not_the_workers),
        T(those_without_work_sleep),
        T(as_many_threads_as_there_can_be),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
