/* Batches that are made ahead, by a thread: the same ones in the same order, the same errors, and an end at any time.
 * Linked with --wrap=pthread_create, so that threads can be refused. */
#include "tensor/threads.h"
#include "tests/data_examples.h"
#include "tests/data_probe.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- threads that can be refused */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument);

static bool refuse;
static atomic_int created, refused;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*work)(void *), void *argument)
{
    if (refuse) {
        refused++;
        return EAGAIN;
    }
    created++;
    return __real_pthread_create(thread, attr, work, argument);
}

/* ---- it is ahead */

static void the_next_batches_are_made_while_the_step_computes(void **state)
{
    (void)state;
    for (int64_t room = 1; room <= 5; room++) {
        probe p = probe_make();
        p.gated = true;
        tarn_loader *l = over(&p, room);
        tarn_tape *t = tarn_tape_new();
        sem_post(&p.go);
        expect_batch(l, t, 0, 0);
        /* Nobody asks for another, and they are fetched all the same. */
        for (int64_t i = 0; i < room; i++) {
            wait_for(&p.came);
            sem_post(&p.go);
        }
        wait_for(&p.came);
        for (int64_t i = 1; i < ROUNDS; i++) {
            sem_post(&p.go);
            expect_batch(l, t, 0, i);
        }
        expect_epoch_end(l, t);
        for (int i = 0; i < 20; i++)
            sem_post(&p.go);
        tarn_loader_free(l);
        tarn_tape_free(t);
        assert_true(atomic_load(&p.in_main) == 0 && atomic_load(&p.with_signals) == 0);
    }
}

static void no_more_is_made_than_there_is_room_for(void **state)
{
    (void)state;
    for (int64_t room = 1; room <= 3; room++) {
        probe p = probe_make();
        atomic_llong asked = 0;
        p.asked = &asked;
        p.room = room;
        tarn_loader *l = over(&p, room);
        tarn_tape *t = tarn_tape_new();
        for (int64_t epoch = 0; epoch < 20; epoch++) {
            for (int64_t i = 0; i < ROUNDS; i++) {
                atomic_fetch_add(&asked, 1);
                expect_batch(l, t, epoch, i);
                if (i % 5 == 0)
                    short_sleep((uint64_t)i);
            }
            expect_epoch_end(l, t);
        }
        tarn_loader_free(l);
        tarn_tape_free(t);
        assert_int_equal(atomic_load(&p.too_far), 0);
        assert_true(atomic_load(&p.fetched) >= 20 * ROUNDS);
    }
}

static void slow_sources_and_slow_steps_keep_the_order(void **state)
{
    (void)state;
    for (int slow = 0; slow < 3; slow++) {
        probe p = probe_make();
        p.slow = slow != 1;
        tarn_loader *l = over(&p, 0);
        tarn_tape *t = tarn_tape_new();
        for (int64_t epoch = 0; epoch < 5; epoch++) {
            for (int64_t i = 0; i < ROUNDS; i++) {
                expect_batch(l, t, epoch, i);
                if (slow)
                    short_sleep((uint64_t)(1000 + epoch * ROUNDS + i));
            }
            expect_epoch_end(l, t);
        }
        tarn_loader_free(l);
        tarn_tape_free(t);
    }
}

static void without_a_thread_batches_are_made_by_the_caller(void **state)
{
    (void)state;
    for (int turned_off = 0; turned_off < 2; turned_off++) {
        probe p = probe_make();
        created = refused = 0;
        refuse = !turned_off;
        tarn_loader *l = over(&p, turned_off ? -1 : 0);
        tarn_tape *t = tarn_tape_new();
        for (int64_t epoch = 0; epoch < 2; epoch++) {
            for (int64_t i = 0; i < ROUNDS; i++)
                expect_batch(l, t, epoch, i);
            expect_epoch_end(l, t);
        }
        assert_true(tarn_loader_seek(l, 3, 5));
        expect_batch(l, t, 3, 5);
        assert_true(created == 0 && refused == !turned_off);
        assert_int_equal(atomic_load(&p.in_main), atomic_load(&p.fetched));
        refuse = false;
        tarn_loader_free(l);
        tarn_tape_free(t);
    }
}

/* ---- the same bits */

static void digest_of(tarn_loader *l, char hex[65])
{
    assert_non_null(l);
    tarn_tape *t = tarn_tape_new();
    check_sha256 sum;
    check_sha256_start(&sum);
    for (int epoch = 0; epoch < 3; epoch++)
        for (tarn_batch b; tarn_loader_next(l, t, &b); tarn_tape_reset(t)) {
            check_sha256_add(&sum, tarn_data(b.x), tarn__bytes(b.x));
            check_sha256_add(&sum, tarn_data(b.labels), tarn__bytes(b.labels));
        }
    expect_no_error();
    check_sha256_finish(&sum, hex);
    tarn_loader_free(l);
    tarn_tape_free(t);
}

static tarn_loader *by_kind(const examples *e, int kind, int64_t ahead)
{
    tarn_loader_opts o = {.ahead = ahead,
                          .batch_size = 48,
                          .shuffle = kind % 2,
                          .seed = 9,
                          .shuffle_buffer = 100,
                          .drop_last = kind > 1,
                          .dtype = kind > 2 ? TARN_F64 : TARN_F32,
                          .mean = 0.3,
                          .std = 0.7};
    return kind < 4 ? tarn_loader_new(e->dataset, &o)
                    : tarn_loader_new_streamed(file_at("images"), file_at("labels"), &o);
}

static void batches_have_the_same_bits_as_without(void **state)
{
    (void)state;
    examples e = examples_new();
    for (int kind = 0; kind < 8; kind++) {
        write_examples(kind < 6);
        char without[65], with[65];
        assert_true(tarn_set_threads(1));
        digest_of(by_kind(&e, kind, -1), without);
        static const int64_t aheads[] = {0, 1, 3, 64};
        for (size_t i = 0; i < sizeof aheads / sizeof aheads[0]; i++)
            for (int threads = 1; threads <= 8; threads *= 2) {
                assert_true(tarn_set_threads(threads));
                digest_of(by_kind(&e, kind, aheads[i]), with);
                assert_string_equal(with, without);
            }
    }
    assert_true(tarn_set_threads(0));
    examples_free(&e);
}

/* Large enough for several tiles of the copy. */
static void large_batches_are_whole(void **state)
{
    (void)state;
    enum { N = 7, SIDE = 301 };
    tarn_tensor *images = tarn_tensor_new(TARN_U8, TARN_SHAPE(N, SIDE, SIDE, 3));
    tarn_tensor *labels = tarn_tensor_new(TARN_U8, TARN_SHAPE(N));
    for (int64_t i = 0; i < images->numel; i++)
        ((uint8_t *)images->data)[i] = byte_at(i);
    tarn_dataset *d = tarn_dataset_new(images, labels);
    char digest[2][65];
    for (int k = 0; k < 2; k++) {
        assert_true(tarn_set_threads(2));
        digest_of(tarn_loader_new(d, &(tarn_loader_opts){.ahead = -k, .batch_size = 4, .shuffle = true}), digest[k]);
    }
    assert_true(tarn_set_threads(0));
    assert_string_equal(digest[0], digest[1]);
    tarn_dataset_free(d);
    tarn_tensor_free(images);
    tarn_tensor_free(labels);
}

/* ---- errors */

static void an_error_comes_with_its_batch(void **state)
{
    (void)state;
    char message[1024];
    memset(message, 'm', sizeof message - 1);
    message[sizeof message - 1] = 0;
    memcpy(message, "reader: shoe.png: it is damaged;", 32);
    for (int64_t ahead = -1; ahead <= 4; ahead++) {
        probe p = probe_make();
        p.bad_epoch = 1;
        p.bad_at = 7;
        p.message = message;
        tarn_loader *l = over(&p, ahead);
        tarn_tape *t = tarn_tape_new();
        for (int64_t i = 0; i < ROUNDS; i++)
            expect_batch(l, t, 0, i);
        expect_epoch_end(l, t);
        for (int64_t i = 0; i < 7; i++)
            expect_batch(l, t, 1, i);
        for (int again = 0; again < 3; again++) {
            tarn_batch b;
            assert_false(tarn_loader_next(l, t, &b));
            assert_null(b.x);
            assert_non_null(tarn_error());
            assert_string_equal(tarn_error(), message);
            assert_false(tarn_loader_next(l, t, &b));
            tarn_error_clear();
            assert_true(tarn_loader_epoch(l) == 1 && tarn_loader_batch(l) == 7);
        }
        tarn_batch b;
        p.message = "reader: another one"; /* no thread reads it now */
        assert_false(tarn_loader_next(l, t, &b));
        expect_error("reader: another one");
        p.bad_at = 0;
        for (int64_t i = 7; i < ROUNDS; i++)
            expect_batch(l, t, 1, i);
        expect_epoch_end(l, t);
        expect_batch(l, t, 2, 0);
        tarn_loader_free(l);
        tarn_tape_free(t);
    }
}

static void an_epoch_that_cannot_begin_is_an_error_of_its_first_batch(void **state)
{
    (void)state;
    for (int64_t ahead = -1; ahead <= 3; ahead++) {
        probe p = probe_make();
        p.bad_epoch = 1;
        p.bad_at = -1;
        p.message = "reader: no such epoch";
        tarn_loader *l = over(&p, ahead);
        tarn_tape *t = tarn_tape_new();
        tarn_batch b;
        for (int64_t i = 0; i < ROUNDS; i++)
            expect_batch(l, t, 0, i);
        expect_epoch_end(l, t);
        for (int again = 0; again < 2; again++) {
            assert_false(tarn_loader_next(l, t, &b));
            expect_error("reader: no such epoch");
        }
        assert_false(tarn_loader_seek(l, 1, 2));
        expect_error("reader: no such epoch");
        p.bad_at = 0; /* mended: no thread reads it now */
        expect_batch(l, t, 1, 0);
        assert_true(tarn_loader_seek(l, 0, 10));
        expect_batch(l, t, 0, 10);
        tarn_loader_free(l);
        tarn_tape_free(t);
    }
}

/* What the thread met and nobody asked for is nobody's error. */
static void an_error_ahead_can_be_left_behind(void **state)
{
    (void)state;
    for (int sought = 0; sought < 2; sought++) {
        probe p = probe_make();
        p.bad_at = 2;
        p.message = "reader: never seen";
        p.gated = true;
        for (int i = 0; i < 50; i++)
            sem_post(&p.go);
        tarn_loader *l = over(&p, 4);
        tarn_tape *t = tarn_tape_new();
        expect_batch(l, t, 0, 0);
        for (int i = 0; i < 3; i++)
            wait_for(&p.came);
        if (sought) {
            assert_true(tarn_loader_seek(l, 1, 0));
            expect_batch(l, t, 1, 0);
            expect_batch(l, t, 1, 1);
        }
        tarn_loader_free(l);
        tarn_tape_free(t);
        expect_no_error();
    }
}

/* ---- ends, and more than one */

static void a_loader_can_be_freed_at_any_time(void **state)
{
    (void)state;
    write_examples(true);
    check_memory_install();
    examples e = examples_new();
    tarn_tape *t = tarn_tape_new();
    for (int round = 0; round < 400; round++) {
        probe p = probe_make();
        p.slow = round % 2;
        tarn_loader *l = round % 3 == 0 ? over(&p, 0) : by_kind(&e, round % 8, round % 5);
        tarn_batch b;
        for (int i = 0; i < round % 40; i++)
            tarn_loader_next(l, t, &b);
        if (round % 7 == 0)
            short_sleep((uint64_t)round);
        if (round % 11 == 0)
            assert_true(tarn_loader_seek(l, round, round % 9));
        tarn_loader_free(l);
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
    examples_free(&e);
    check_memory_remove();
}

static void seeking_drops_what_was_made(void **state)
{
    (void)state;
    probe p = probe_make();
    tarn_loader *l = over(&p, 3);
    tarn_tape *t = tarn_tape_new();
    tarn_rng rng = tarn_rng_seed(5);
    for (int i = 0; i < 300; i++) {
        int64_t epoch = (int64_t)tarn_rng_below(&rng, 9), batch = (int64_t)tarn_rng_below(&rng, ROUNDS + 1);
        assert_true(tarn_loader_seek(l, epoch, batch));
        for (uint64_t left = tarn_rng_below(&rng, 6); left > 0; left--) {
            if (batch < ROUNDS)
                expect_batch(l, t, epoch, batch++);
            else {
                expect_epoch_end(l, t);
                epoch++, batch = 0;
            }
        }
    }
    tarn_loader_free(l);
    tarn_tape_free(t);
}

typedef struct job {
    const examples *e;
    int kind;
    char hex[65];
} job;

static void *read_all(void *argument)
{
    job *j = argument;
    digest_of(by_kind(j->e, j->kind, 0), j->hex);
    return NULL;
}

static void loaders_do_not_disturb_each_other(void **state)
{
    (void)state;
    examples e = examples_new();
    write_examples(true);
    assert_true(tarn_set_threads(1));
    job jobs[2] = {{&e, 1, ""}, {&e, 5, ""}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &jobs[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 2; i++) {
        char alone[65];
        digest_of(by_kind(&e, jobs[i].kind, -1), alone);
        assert_string_equal(jobs[i].hex, alone);
    }
    /* In turn, from one thread, over one dataset. */
    tarn_loader *a = by_kind(&e, 1, 0), *b = by_kind(&e, 1, -1);
    tarn_tape *t = tarn_tape_new();
    for (int i = 0; i < 60; i++, tarn_tape_reset(t)) {
        tarn_batch x, y;
        assert_int_equal(tarn_loader_next(a, t, &x), tarn_loader_next(b, t, &y));
        if (x.x)
            assert_memory_equal(tarn_data(x.x), tarn_data(y.x), tarn__bytes(x.x));
    }
    tarn_loader_free(a);
    tarn_loader_free(b);
    tarn_tape_free(t);
    assert_true(tarn_set_threads(0));
    examples_free(&e);
}

static void a_child_of_fork_is_told_that_the_thread_is_not_there(void **state)
{
    (void)state;
    examples e = examples_new();
    tarn_loader *l = by_kind(&e, 1, 0);
    tarn_tape *t = tarn_tape_new();
    tarn_batch b;
    assert_true(tarn_loader_next(l, t, &b));
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool told = !tarn_loader_next(l, t, &b) && tarn_error() &&
                    strstr(tarn_error(), "tarn_loader_next: this loader's thread is in the process that fork()");
        tarn_error_clear();
        told = told && !tarn_loader_seek(l, 0, 0) && tarn_error() && strstr(tarn_error(), "tarn_loader_seek: this");
        tarn_error_clear();
        tarn_loader_free(l);
        _exit(told ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(tarn_loader_next(l, t, &b));
    tarn_loader_free(l);
    tarn_tape_free(t);
    examples_free(&e);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(the_next_batches_are_made_while_the_step_computes),
        T(no_more_is_made_than_there_is_room_for),
        T(slow_sources_and_slow_steps_keep_the_order),
        T(without_a_thread_batches_are_made_by_the_caller),
        T(batches_have_the_same_bits_as_without),
        T(large_batches_are_whole),
        T(an_error_comes_with_its_batch),
        T(an_epoch_that_cannot_begin_is_an_error_of_its_first_batch),
        T(an_error_ahead_can_be_left_behind),
        T(a_loader_can_be_freed_at_any_time),
        T(seeking_drops_what_was_made),
        T(loaders_do_not_disturb_each_other),
        T(a_child_of_fork_is_told_that_the_thread_is_not_there),
    };
    return cmocka_run_group_tests_name("data_ahead", tests, folder_make, folder_remove);
}
