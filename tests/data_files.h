/* tests/data_files.h: files for the tests of data/, in a folder of their own. */
#ifndef TARN_TESTS_DATA_FILES_H
#define TARN_TESTS_DATA_FILES_H

#include "tests/check.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static char test_folder[] = "/tmp/tarn-test-XXXXXX";

/* The path of `name` in the folder; the text is good until the fourth call from now. */
static inline const char *file_at(const char *name)
{
    static char path[4][512];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", test_folder, name);
    return path[next];
}

static inline void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

typedef struct file_bytes {
    unsigned char *data; /* for free() */
    size_t bytes;
} file_bytes;

static inline file_bytes read_file(const char *path)
{
    file_bytes b = {NULL, 0};
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s cannot be read: are the tests run from the top folder?", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    b.bytes = (size_t)ftell(f);
    rewind(f);
    b.data = malloc(b.bytes + 1);
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.bytes, f), b.bytes);
    fclose(f);
    return b;
}

static inline void assert_same_bytes(const char *path, const char *other)
{
    file_bytes a = read_file(path), b = read_file(other);
    assert_int_equal(a.bytes, b.bytes);
    assert_memory_equal(a.data, b.data, a.bytes);
    free(a.data);
    free(b.data);
}

/* How many files the folder holds. */
static inline int count_files(void)
{
    int count = 0;
    DIR *d = opendir(test_folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

static inline void empty_folder(void)
{
    DIR *d = opendir(test_folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(file_at(e->d_name));
    closedir(d);
}

/* For cmocka: a folder for the group; and, for each test, an empty one and no error left behind. */
static inline int folder_make(void **state)
{
    (void)state;
    return mkdtemp(test_folder) ? 0 : -1;
}

static inline int folder_remove(void **state)
{
    (void)state;
    empty_folder();
    return rmdir(test_folder);
}

static inline int test_end(void **state)
{
    (void)state;
    expect_no_error();
    empty_folder();
    return 0;
}

/* Runs `attempt`, which makes and frees things of tarn's and returns whether all went well, with each of its
 * allocations failing: alone, and with all after it. It must fail with an error, and leak nothing. With `tape`, a
 * failure alone may go well, since a tape that gets no large block makes do with a small one. */
static inline void fail_each_allocation(bool (*attempt)(void), bool tape)
{
    for (int onward = 0; onward < 2; onward++) {
        bool reached = true;
        for (long k = 1; reached; k++) {
            assert_true(k < 10000);
            check_memory_install();
            check_memory_fail(k, onward);
            bool ok = attempt();
            reached = check_memory_failed();
            check_memory_remove();
            if (reached && !(ok && tape && !onward)) {
                assert_false(ok);
                expect_error("tarn_", "no memory");
            } else {
                assert_true(ok && k > 1);
                expect_no_error();
            }
        }
    }
    expect_no_error();
}

#endif
