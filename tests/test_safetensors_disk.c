/* Saving and loading while the system fails: each of its calls in turn, a full disk, folders that cannot be
 * written. Whatever happens, the file holds all of the old weights or all of the new ones. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_NEXT */
#endif
#include "data/safetensors.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- the system's calls, of which one may fail ---- */
/* The library is linked statically, so its calls come here first. */

enum { OPEN, PREAD, WRITE, FSYNC, FCHMOD, RENAME, CLOSE };
static const char TRACE[] = "oPwsmrc";

static struct {
    bool on;
    int calls, fail_at; /* the fail_at-th call fails; 0: none */
    int code;           /* with this errno; 0: it does half of what was asked */
    int which;          /* call failed; -1: none yet */
    char trace[64];     /* the calls, by TRACE's letters */
} faults;

static void faults_start(int fail_at, int code)
{
    faults.calls = 0;
    faults.fail_at = fail_at;
    faults.code = code;
    faults.which = -1;
    faults.on = true;
}

static bool fails(int call)
{
    if (!faults.on)
        return false;
    if (faults.calls + 1 < (int)sizeof faults.trace)
        memcpy(faults.trace + faults.calls, (char[]){TRACE[call], '\0'}, 2);
    if (++faults.calls != faults.fail_at)
        return false;
    faults.which = call;
    errno = faults.code;
    return true;
}

/* As POSIX has it: ISO C knows no cast from an object's address to a function's. */
#define REAL(name)                                                                                                     \
    __typeof__(name) *real;                                                                                            \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(OPEN) && faults.code ? -1 : real(path, flags, mode);
}

ssize_t pread(int fd, void *data, size_t bytes, off_t offset)
{
    REAL(pread);
    if (!fails(PREAD))
        return real(fd, data, bytes, offset);
    return faults.code ? -1 : real(fd, data, bytes / 2 + bytes % 2, offset);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    REAL(write);
    if (!fails(WRITE))
        return real(fd, data, bytes);
    return faults.code ? -1 : real(fd, data, bytes / 2 + bytes % 2);
}

int fsync(int fd)
{
    REAL(fsync);
    return fails(FSYNC) && faults.code ? -1 : real(fd);
}

int fchmod(int fd, mode_t mode)
{
    REAL(fchmod);
    return fails(FCHMOD) && faults.code ? -1 : real(fd, mode);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    return fails(RENAME) && faults.code ? -1 : real(from, to);
}

int close(int fd)
{
    REAL(close);
    bool failed = fails(CLOSE) && faults.code;
    int status = real(fd); /* gone, as on Linux, even when it says otherwise */
    errno = failed ? faults.code : errno;
    return failed ? -1 : status;
}

/* ---- stores ---- */

static tarn_params *store_new(double value)
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_params_add(p, "w", TARN_SHAPE(40, 5));
    tarn_params_add_buffer(p, "mean", TARN_SHAPE(7));
    for (size_t i = 0; i < tarn_params_count(p); i++)
        tarn_fill(tarn_params_at(p, i), value);
    expect_no_error();
    return p;
}

/* Whether every element is `value`; a mixture fails the test. */
static bool store_is(tarn_params *p, double value)
{
    int64_t equal = 0, all = 0;
    for (size_t i = 0; i < tarn_params_count(p); i++)
        for (int64_t j = 0; j < tarn_numel(tarn_params_at(p, i)); j++, all++)
            equal += tarn__load(tarn_params_at(p, i), j) == value;
    assert_true(equal == 0 || equal == all);
    return equal == all;
}

/* Whether the file holds `value` throughout. */
static bool file_is(const char *path, double value)
{
    tarn_params *p = store_new(-1);
    assert_true(tarn_params_load(p, path));
    bool is = store_is(p, value);
    tarn_params_free(p);
    return is;
}

static int lowest_free_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* ---- each call in turn ---- */

static const int codes[] = {EIO, ENOSPC, EINTR, 0};
enum { CODES = sizeof codes / sizeof codes[0], OLD = 1, NEW = 2 };

/* What is only cut short, or interrupted before it began, is done again. */
static bool is_survived(int call, int code)
{
    return code == 0 || (code == EINTR && (call == PREAD || call == WRITE || call == FSYNC || call == CLOSE));
}

static void each_call_of_a_save_fails(void **state)
{
    (void)state;
    const char *path = file_at("weights");
    int seen[CLOSE + 1] = {0}, descriptor = lowest_free_descriptor();
    tarn_params *old = store_new(OLD), *new = store_new(NEW);
    for (int c = 0; c < CODES; c++)
        for (int k = 1;; k++) {
            assert_true(k < 100);
            assert_true(tarn_params_save(old, path));
            faults_start(k, codes[c]);
            bool ok = tarn_params_save(new, path);
            faults.on = false;
            if (faults.which >= 0)
                seen[faults.which]++;
            assert_int_equal(ok, !tarn_error());
            bool synced = !tarn_error() || !strstr(tarn_error(), "folder could not be synced");
            tarn_error_clear();
            assert_int_equal(count_files(), 1);
            assert_int_equal(lowest_free_descriptor(), descriptor);
            assert_true(file_is(path, ok || !synced ? NEW : OLD));
            if (faults.which < 0) {
                assert_true(ok);
                break;
            }
            if (is_survived(faults.which, codes[c]))
                assert_true(ok);
            else if (faults.which != CLOSE)
                assert_false(ok);
        }
    for (int call = 0; call <= CLOSE; call++)
        assert_true(call == PREAD ? seen[call] == 0 : seen[call] >= CODES);
    tarn_params_free(old);
    tarn_params_free(new);
}

static void each_call_of_a_load_fails(void **state)
{
    (void)state;
    const char *path = file_at("weights");
    int seen = 0, descriptor = lowest_free_descriptor();
    tarn_params *saved = store_new(NEW), *p = store_new(OLD);
    assert_true(tarn_params_save(saved, path));
    for (int c = 0; c < CODES; c++)
        for (int k = 1;; k++) {
            assert_true(k < 100);
            for (size_t i = 0; i < tarn_params_count(p); i++)
                tarn_fill(tarn_params_at(p, i), OLD);
            faults_start(k, codes[c]);
            bool ok = tarn_params_load(p, path);
            faults.on = false;
            seen += faults.which == PREAD;
            assert_int_equal(ok, !tarn_error());
            tarn_error_clear();
            assert_int_equal(lowest_free_descriptor(), descriptor);
            assert_true(store_is(p, ok ? NEW : OLD));
            if (faults.which < 0) {
                assert_true(ok);
                break;
            }
            if (faults.which != CLOSE) /* of a file that was only read, it says nothing */
                assert_int_equal(ok, is_survived(faults.which, codes[c]));
        }
    assert_true(seen >= 3 * CODES); /* length, header, data */
    tarn_params_free(saved);
    tarn_params_free(p);
}

/* On disk before it gets the name, and the name too before the save returns. */
static void the_new_file_is_synced_before_it_counts(void **state)
{
    (void)state;
    tarn_params *p = store_new(OLD);
    for (int i = 0; i < 2; i++) {
        faults_start(0, 0);
        bool ok = tarn_params_save(p, file_at("weights"));
        faults.on = false;
        assert_true(ok);
        if (!strstr(faults.trace, "wscrs"))
            fail_msg("the calls were %s", faults.trace);
    }
    tarn_params_free(p);
}

/* Closing the new file may be what tells that it could not be written. */
static void a_close_that_fails_is_an_error(void **state)
{
    (void)state;
    const char *path = file_at("weights");
    tarn_params *old = store_new(OLD), *new = store_new(NEW);
    int refused = 0;
    for (int k = 1; k < 100; k++) {
        assert_true(tarn_params_save(old, path));
        faults_start(k, EIO);
        bool ok = tarn_params_save(new, path);
        faults.on = false;
        refused += faults.which == CLOSE && !ok;
        tarn_error_clear();
    }
    assert_int_equal(refused, 1);
    tarn_params_free(old);
    tarn_params_free(new);
}

/* ---- a real full disk, real folders ---- */

static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = file_at("weights");
    tarn_params *old = store_new(OLD), *new = store_new(NEW);
    struct rlimit before, limit;
    struct stat info;
    assert_true(tarn_params_save(old, path));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_DFL); /* which ends the process */
    const rlim_t size = (rlim_t)info.st_size, sizes[] = {0, 1, 7, 8, 9, 100, size / 2, size - 1, size};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        limit = before;
        limit.rlim_cur = sizes[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        bool ok = tarn_params_save(new, path);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(ok, sizes[i] == size);
        if (!ok)
            expect_error("tarn_params_save: ", path, "File too large");
        assert_int_equal(count_files(), 1);
        assert_true(file_is(path, ok ? NEW : OLD));
    }
    signal(SIGXFSZ, handler);
    sigset_t signals;
    assert_int_equal(sigpending(&signals), 0);
    assert_false(sigismember(&signals, SIGXFSZ));
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &signals), 0);
    assert_false(sigismember(&signals, SIGXFSZ));
    tarn_params_free(old);
    tarn_params_free(new);
}

static void a_folder_that_is_read_only(void **state)
{
    (void)state;
    enum { NOBODY = 65534 };
    char folder[512], path[520];
    snprintf(folder, sizeof folder, "%s", file_at("folder"));
    snprintf(path, sizeof path, "%s/weights", folder);
    tarn_params *old = store_new(OLD), *new = store_new(NEW);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_true(tarn_params_save(old, path));
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    assert_int_equal(chmod(test_folder, 0755), 0);
    bool root = geteuid() == 0; /* whom no permission stops */
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    bool ok = tarn_params_save(new, path);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_false(ok);
    expect_error("tarn_params_save: ", path, "Permission denied");
    assert_true(file_is(path, OLD));
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* fails if anything is left in it */
    tarn_params_free(old);
    tarn_params_free(new);
}

static void permissions_are_kept(void **state)
{
    (void)state;
    static const mode_t modes[] = {0600, 0644, 0400};
    const char *path = file_at("weights");
    tarn_params *p = store_new(OLD);
    struct stat info;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_true(tarn_params_save(p, path));
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_true(tarn_params_save(p, path));
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 07777, modes[i]);
    }
    tarn_params_free(p);
}

static void a_link_is_replaced(void **state)
{
    (void)state;
    const char *path = file_at("weights"), *link = file_at("link");
    tarn_params *old = store_new(OLD), *new = store_new(NEW);
    assert_true(tarn_params_save(old, path));
    assert_int_equal(symlink(path, link), 0);
    assert_true(tarn_params_save(new, link));
    assert_true(file_is(path, OLD));
    assert_true(file_is(link, NEW));
    tarn_params_free(old);
    tarn_params_free(new);
}

/* In the current folder; under the longest name that a folder takes; and next to an abandoned temporary. */
static void paths_of_every_kind(void **state)
{
    (void)state;
    char before[4096], name[256];
    tarn_params *p = store_new(OLD);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(test_folder), 0);
    memset(name, 'n', 255);
    name[255] = '\0';
    bool ok = tarn_params_save(p, "plain") && tarn_params_save(p, "./dotted") && tarn_params_save(p, name) &&
              tarn_params_load(p, name) && file_is("plain", OLD);
    assert_int_equal(chdir(before), 0);
    expect_no_error();
    assert_true(ok);
    assert_int_equal(count_files(), 3);
    tarn_params_free(p);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
    (void)state;
    const char *fifo = file_at("fifo");
    tarn_params *p = store_new(OLD);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(tarn_params_load(p, fifo)); /* and waits for nobody to write to it */
    expect_error("tarn_params_load: ", "not a regular file");
    assert_false(tarn_params_save(p, fifo));
    expect_error("tarn_params_save: ", "not a regular file");
    assert_false(tarn_params_load(p, test_folder));
    expect_error("tarn_params_load: ", "not a regular file");
    assert_false(tarn_params_load(p, ""));
    expect_error("tarn_params_load: ", "No such file");
    assert_false(tarn_params_save(p, ""));
    expect_error("tarn_params_save: ", "does not name a file");
    tarn_params_free(p);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(each_call_of_a_save_fails),
        T(each_call_of_a_load_fails),
        T(the_new_file_is_synced_before_it_counts),
        T(a_close_that_fails_is_an_error),
        T(a_full_disk_leaves_the_old_file),
        T(a_folder_that_is_read_only),
        T(permissions_are_kept),
        T(a_link_is_replaced),
        T(paths_of_every_kind),
        T(what_is_no_file_is_refused_at_once),
    };
    return cmocka_run_group_tests_name("safetensors_disk", tests, folder_make, folder_remove);
}
