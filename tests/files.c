#include "tests/files.h"
#include "tests/check.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST = 512, PATHS = 4 };

static char folder[LONGEST];

int files_setup(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    int n = snprintf(folder, sizeof folder, "%s/tarn-test-XXXXXX", parent && *parent ? parent : "/tmp");
    return n < 0 || (size_t)n >= sizeof folder / 2 || !mkdtemp(folder);
}

/* Calls `use` for each name in the folder, and returns how many there are. */
static int each_file(void (*use)(const char *path))
{
    int count = 0;
    DIR *open = opendir(folder);
    assert_non_null(open);
    for (const struct dirent *entry; (entry = readdir(open));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        if (use)
            use(files_path(entry->d_name));
    }
    closedir(open);
    return count;
}

static void remove_one(const char *path)
{
    chmod(path, 0700);
    remove(path);
}

int files_teardown(void **state)
{
    (void)state;
    each_file(remove_one);
    return rmdir(folder);
}

const char *files_path(const char *name)
{
    static char paths[PATHS][LONGEST];
    static int next;
    char *path = paths[next++ % PATHS];
    int n = snprintf(path, LONGEST, "%s/%s", folder, name);
    assert_true(n > 0 && n < LONGEST);
    return path;
}

int files_count(void)
{
    return each_file(NULL);
}

unsigned char *files_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    unsigned char *data = malloc((size_t)size + 1);
    assert_non_null(data);
    *bytes = fread(data, 1, (size_t)size + 1, file);
    assert_int_equal(*bytes, size);
    fclose(file);
    return data;
}

void files_write(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        fail_msg("%s cannot be written", path);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

void files_expect(const char *path, const void *data, size_t bytes)
{
    size_t have;
    unsigned char *found = files_read(path, &have);
    bool same = have == bytes && memcmp(found, data, bytes) == 0;
    free(found);
    if (!same)
        fail_msg("%s holds %zu bytes that are not the %zu expected", path, have, bytes);
}
