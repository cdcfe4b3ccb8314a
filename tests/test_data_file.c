/* Paths and messages: what went wrong can be read however long the path is, and a save finds a name. */
#include "data/data.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* `length` bytes: a folder that is not there, again and again. */
static char *long_path(size_t length)
{
    char *path = malloc(length + 1);
    assert_non_null(path);
    for (size_t i = 0; i < length; i++)
        path[i] = i + 1 < length ? "/nowhere"[i % 8] : 'x';
    path[length] = '\0';
    return path;
}

static void the_reason_survives_a_long_path(void **state)
{
    (void)state;
    static const size_t lengths[] = {900, 1000, 1100, 3000, PATH_MAX - 1, PATH_MAX, 20000};
    tarn_params *p = tarn_params_new(TARN_F32);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *path = long_path(lengths[i]);
        const char *why = lengths[i] < PATH_MAX ? "No such file or directory" : "expected at most 4095";
        assert_null(tarn_safetensors_open(path));
        expect_error("tarn_safetensors_open: /nowhere/nowhere", why);
        assert_false(tarn_params_save(p, path));
        expect_error("tarn_params_save: /nowhere/nowhere", why);
        assert_false(tarn_params_load(p, path));
        expect_error("tarn_params_load: /nowhere/nowhere", why);
        assert_null(tarn_image_load(path, 0));
        expect_error("tarn_image_load: /nowhere/nowhere", why);
        assert_null(tarn_idx_load(path));
        expect_error("tarn_idx_load: /nowhere/nowhere", why);
        free(path);
    }
    tarn_params_free(p);
}

/* What is wrong with the bytes, too. */
static void the_reason_survives_in_what_a_file_holds(void **state)
{
    (void)state;
    char path[1500];
    size_t at = (size_t)snprintf(path, sizeof path, "%s", test_folder);
    while (at < 1300)
        at += (size_t)snprintf(path + at, sizeof path - at, "/././././.");
    snprintf(path + at, sizeof path - at, "/x");
    write_file(path, "GIF89a and more", 15);
    assert_null(tarn_image_load(path, 0));
    expect_error("tarn_image_load: /tmp", ": neither a PNG nor a JPEG");
    assert_null(tarn_safetensors_open(path));
    expect_error("tarn_safetensors_open: /tmp", "a header of ");
    assert_null(tarn_idx_load(path));
    expect_error("tarn_idx_load: /tmp", "starts with 47 49 46 38");
}

static void messages_lose_their_middle(void **state)
{
    (void)state;
    for (int length = 1000; length <= 8191; length += length < 1040 ? 1 : 97) {
        char *text = malloc((size_t)length + 1);
        for (int i = 0; i < length; i++)
            text[i] = (char)('a' + i % 23);
        text[length] = '\0';
        tarn_fail("%s", text);
        const char *message = tarn_error();
        size_t kept = strlen(message);
        if (length < 1024)
            assert_string_equal(message, text);
        else {
            const char *gap = strstr(message, "...");
            assert_int_equal(kept, 1023);
            assert_true(gap && gap - message > 500 && strlen(gap) > 500);
            assert_memory_equal(message, text, (size_t)(gap - message));
            assert_string_equal(gap + 3, text + length - strlen(gap + 3));
        }
        tarn_error_clear();
        free(text);
    }
}

/* ---- temporary files ---- */

/* The name that the next save of "weights" tries first. */
static void temporary_of_weights(char *name, size_t room, int i)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (const char *c = "weights"; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
    snprintf(name, room, ".tarn-%016llx-%d.tmp", (unsigned long long)hash, i);
}

/* A writer that is killed leaves its temporary file, which the next save removes. */
static void what_a_dead_writer_left_is_removed(void **state)
{
    (void)state;
    enum { ROWS = 300000 };
    tarn_params *p = tarn_params_new(TARN_F32);
    assert_non_null(tarn_params_add(p, "w", TARN_SHAPE(ROWS)));
    int left = 0;
    for (int i = 0; i < 400 && left < 5; i++) {
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        while (child == 0)
            if (!tarn_params_save(p, file_at("weights")))
                _exit(1);
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + 100000 * (i % 37)}, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        const int count = count_files();
        assert_true(count <= 2);
        left += count == 2;
        assert_true(tarn_params_save(p, file_at("weights")));
        assert_int_equal(count_files(), 1);
        assert_true(tarn_params_load(p, file_at("weights")));
    }
    assert_true(left > 0);
    tarn_params_free(p);
}

/* A file that a living writer holds, and what is no file at all, are left alone. */
static void a_save_finds_a_name_that_is_free(void **state)
{
    (void)state;
    enum { TAKEN = 1000, HELD = 3 };
    char name[64];
    int held[HELD];
    tarn_params *p = tarn_params_new(TARN_F32);
    for (int i = 0; i < TAKEN; i++) {
        temporary_of_weights(name, sizeof name, i);
        if (i >= HELD) {
            assert_int_equal(mkdir(file_at(name), 0700), 0);
            continue;
        }
        write_file(file_at(name), "", 0);
        held[i] = open(file_at(name), O_RDONLY);
        assert_int_equal(flock(held[i], LOCK_EX | LOCK_NB), 0);
    }
    for (int i = 0; i < 3; i++)
        assert_true(tarn_params_save(p, file_at("weights")));
    assert_int_equal(count_files(), TAKEN + 1);
    for (int i = 0; i < HELD; i++)
        close(held[i]);
    assert_true(tarn_params_save(p, file_at("weights")));
    assert_int_equal(count_files(), TAKEN); /* the first was free to go; who writes alone looks no further */
    assert_true(tarn_params_load(p, file_at("weights")));
    for (int i = 0; i < TAKEN; i++) {
        temporary_of_weights(name, sizeof name, i);
        remove(file_at(name));
    }
    tarn_params_free(p);
}

typedef struct saver {
    tarn_params *p;
    const char *path;
    int failed;
} saver;

static void *save_often(void *argument)
{
    saver *s = argument;
    for (int i = 0; i < 60; i++)
        s->failed += !tarn_params_save(s->p, s->path);
    return NULL;
}

/* In one process and in several: each save succeeds, and the file is always a whole one. */
static void writers_of_one_file_do_not_disturb_each_other(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    assert_non_null(tarn_params_add(p, "w", TARN_SHAPE(5000)));
    assert_true(tarn_params_save(p, file_at("weights")));
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    const char *path = file_at("weights");
    saver savers[3] = {{p, path, 0}, {p, path, 0}, {p, path, 0}};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, save_often, &savers[i]) != 0)
            _exit(2);
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        failed += savers[i].failed;
    }
    if (child == 0)
        _exit(failed != 0);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(failed, 0);
    assert_int_equal(count_files(), 1);
    assert_true(tarn_params_load(p, file_at("weights")));
    tarn_params_free(p);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(the_reason_survives_a_long_path),  T(the_reason_survives_in_what_a_file_holds),
        T(messages_lose_their_middle),       T(what_a_dead_writer_left_is_removed),
        T(a_save_finds_a_name_that_is_free), T(writers_of_one_file_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests_name("data_file", tests, folder_make, folder_remove);
}
