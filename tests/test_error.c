/* Errors of many threads at once. */
#include "tensor/error.h"
#include "tests/check.h"

#include <pthread.h>
#include <stdio.h>

enum { TEXTS = 256, CROWD = TEXTS + 20 };

static pthread_barrier_t all_have_failed, all_have_looked;
static bool own[CROWD], lost[CROWD];

static void *fail_and_look(void *argument)
{
    const long i = (long)((bool *)argument - own);
    char expected[80];
    tarn_fail("thread: %ld has failed", i);
    snprintf(expected, sizeof expected, "thread: %ld has failed", i);
    pthread_barrier_wait(&all_have_failed);
    const char *text = tarn_error();
    own[i] = text && strcmp(text, expected) == 0;
    lost[i] = text && strncmp(text, "tarn_fail: the error's text is lost", 35) == 0;
    pthread_barrier_wait(&all_have_looked);
    if (i % 2)
        tarn_error_clear();
    return NULL; /* half of them with the error pending */
}

static void run_crowd(unsigned count, long *owns, long *losses)
{
    pthread_t threads[CROWD];
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 1 << 18), 0);
    assert_int_equal(pthread_barrier_init(&all_have_failed, NULL, count), 0);
    assert_int_equal(pthread_barrier_init(&all_have_looked, NULL, count), 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], &attributes, fail_and_look, &own[i]), 0);
    *owns = *losses = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        *owns += own[i], *losses += lost[i];
    }
    pthread_barrier_destroy(&all_have_looked);
    pthread_barrier_destroy(&all_have_failed);
    pthread_attr_destroy(&attributes);
}

/* Again and again, whether they clear their errors or end with them. */
static void each_of_many_threads_has_its_text(void **state)
{
    (void)state;
    long owns, losses;
    for (int i = 0; i < 3; i++) {
        run_crowd(TEXTS, &owns, &losses);
        assert_int_equal(owns, TEXTS);
    }
}

static void of_too_many_each_has_an_error(void **state)
{
    (void)state;
    long owns, losses;
    run_crowd(CROWD, &owns, &losses);
    assert_int_equal(owns, TEXTS);
    assert_int_equal(losses, CROWD - TEXTS);
    run_crowd(TEXTS, &owns, &losses);
    assert_int_equal(owns, TEXTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_many_threads_has_its_text),
        cmocka_unit_test(of_too_many_each_has_an_error),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
