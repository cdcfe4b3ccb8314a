/* cases [-l LIBRARY] [-e] [-u] SUBJECT FOLDER THREADS: work (work.h) where the system refuses something, once for each thing to
 * refuse, each time in a child of its own. The result must be the right one, or an error of tarn's that says what was
 * wanting; then the same child, no longer refused anything, must do the work and come to the right result. Nothing else may
 * be printed, and nothing may hang.
 *
 *     data       makes the data, and refuses nothing
 *     digest     prints the digest; refuses nothing
 *     memory     each allocation, by itself and with all later ones
 *     threads    each pthread_create(), likewise; an error will not do
 *     space      address space: RLIMIT_AS from what is there at the start to what is needed
 *     processes  RLIMIT_NPROC from 1 on, as another user; an error will not do
 *     files      RLIMIT_NOFILE, from none beside the standard ones on
 *     sizes      RLIMIT_FSIZE, from an empty file to what the weights take
 *
 *     -l  the work, and tarn, are in a library that is loaded with dlopen()
 *     -e  eigenvalues only
 *     -u  the process that forks has done the work before, with all its threads
 *
 * Prints a line for each case that fails, up to MANY, and one with the sums. Status 0, 1 if a case failed, 77 for a subject
 * that this machine does not have. Loaded together with the library of refuse.c. */
#define _DEFAULT_SOURCE /* RLIMIT_NPROC */
#include "tests/faults/refuse.h"
#include "tests/faults/work.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    HANGS_S = 120,
    SPACES = 50,
    MANY = 10,
    STACK = 256 << 10,
    STRANGER = 65534,
    SKIPPED = 77,
    FAILED = 3,
    WRONG = 4
};

/* What the children tell the parent. */
typedef struct report {
    refusals plan;
    long space_at_start, space_at_most; /* bytes */
} report;

typedef struct test {
    const char *subject, *folder;
    const work *work;
    bool (*run)(const char *folder, int threads, uint64_t *digest); /* of the work: what is done */
    int threads;
    uint64_t right;
    report *report;
    long cases, rights, errors, failures;
} test;

typedef struct outcome {
    int status;
    bool hung;
    char said[2048];
} outcome;

/* ---- in the child */

static void say(const char *text)
{
    for (size_t length = strlen(text); length > 0;) {
        const ssize_t put = write(STDOUT_FILENO, text, length);
        if (put <= 0)
            return;
        text += put, length -= (size_t)put;
    }
}

/* A line of /proc/self/status, in bytes; 0 if it is not there. */
static long status_of(const char *name)
{
    char text[4096];
    const int fd = open("/proc/self/status", O_RDONLY);
    const ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, name);
    return line ? 1024 * strtol(line + strlen(name), NULL, 10) : 0;
}

/* The stack of the main thread grows as it is used, and its growth counts as address space. */
__attribute__((noinline)) static void touch_stack(void)
{
    volatile char stack[STACK];
    for (size_t i = 0; i < sizeof stack; i += 1024)
        stack[i] = 1;
}

static void limit(int resource, long most)
{
    struct rlimit old;
    getrlimit(resource, &old);
    old.rlim_cur = most < 0 ? old.rlim_max : (rlim_t)most;
    setrlimit(resource, &old);
}

typedef void step(const test *t, long n);

/* With what the library may have printed. */
static void leave(int status)
{
    fflush(NULL);
    _exit(status);
}

static void work_and_tell(const test *t, step *begin, long n, step *end)
{
    char line[1100];
    uint64_t digest;
    begin(t, n);
    const bool ok = t->run(t->folder, t->threads, &digest);
    end(t, n);
    if (ok) {
        snprintf(line, sizeof line, "%016" PRIx64 "\n", digest);
        say(line);
        leave(0);
    }
    snprintf(line, sizeof line, "error: %s\n", t->work->error());
    say(line);
    t->work->error_clear();
    if (t->run(t->folder, t->threads, &digest) && digest == t->right)
        leave(FAILED);
    snprintf(line, sizeof line, "then %s%016" PRIx64 "\n", t->work->error() ? t->work->error() : "", digest);
    say(line);
    leave(WRONG);
}

/* ---- in the parent */

static int64_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* All that the child says, up to the end of it; false if the time is over before. */
static bool listen_to(int fd, outcome *o)
{
    const int64_t end = seconds() + HANGS_S;
    for (size_t length = 0; seconds() < end;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 1000) <= 0)
            continue;
        char rest[256];
        const size_t room = sizeof o->said - 1 - length;
        const ssize_t got = room > 0 ? read(fd, o->said + length, room) : read(fd, rest, sizeof rest);
        if (got <= 0)
            return true;
        length += room > 0 ? (size_t)got : 0;
    }
    return false;
}

static outcome in_child(const test *t, step *begin, long n, step *end)
{
    outcome o = {.status = -1};
    int ends[2];
    if (pipe(ends) != 0)
        return o;
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO), dup2(ends[1], STDERR_FILENO);
        close(ends[0]), close(ends[1]);
        work_and_tell(t, begin, n, end);
    }
    close(ends[1]);
    if (child > 0) {
        o.hung = !listen_to(ends[0], &o);
        if (o.hung)
            kill(child, SIGKILL);
        waitpid(child, &o.status, 0);
    }
    close(ends[0]);
    return o;
}

static bool is_right(const test *t, const outcome *o)
{
    char line[32];
    snprintf(line, sizeof line, "%016" PRIx64 "\n", t->right);
    return !o->hung && WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0 && strcmp(o->said, line) == 0;
}

/* One line, of tarn's, that names what there was too little of. */
static bool is_error(const outcome *o, const char *wanting)
{
    static const char begins[] = "error: tarn_";
    const char *line_end = strchr(o->said, '\n');
    return !o->hung && WIFEXITED(o->status) && WEXITSTATUS(o->status) == FAILED &&
           strncmp(o->said, begins, strlen(begins)) == 0 && line_end && !line_end[1] && strstr(o->said, wanting);
}

/* wanting: what an error must speak of; NULL where there may be none. */
static outcome run_case(test *t, step *begin, long n, step *end, const char *wanting)
{
    t->report->plan.calls = t->report->plan.refused = t->report->plan.threads_refused = 0;
    outcome o = in_child(t, begin, n, end);
    const bool right = is_right(t, &o), error = wanting && is_error(&o, wanting);
    t->cases++;
    t->rights += right, t->errors += error;
    if (!right && !error && t->failures++ < MANY) {
        printf("%s, %d threads, case %ld: status %#x%s: %s\n", t->subject, t->threads, n, (unsigned)o.status,
               o.hung ? " (hung)" : "", o.said);
        fflush(stdout);
    }
    return o;
}

static void fail(test *t, const char *why)
{
    t->failures++;
    printf("%s, %d threads: %s\n", t->subject, t->threads, why);
}

static void nothing(const test *t, long n)
{
    (void)t, (void)n;
}

/* ---- allocations and threads */

static void refuse_one(const test *t, long n)
{
    t->report->plan.from = t->report->plan.to = n;
    refuse(&t->report->plan);
}

static void refuse_from_then_on(const test *t, long n)
{
    t->report->plan.from = n, t->report->plan.to = LONG_MAX;
    refuse(&t->report->plan);
}

static void refuse_nothing(const test *t, long n)
{
    (void)t, (void)n;
    refuse(NULL);
}

static void each_call(test *t, int kinds, const char *wanting)
{
    t->report->plan.kinds = kinds;
    for (int all = 0; all < 2; all++) {
        long n = 0, refused = 1;
        while (refused > 0 && t->failures <= MANY) {
            const outcome o = run_case(t, all ? refuse_from_then_on : refuse_one, ++n, refuse_nothing, wanting);
            refused = t->report->plan.refused;
            if (refused == 0 && !is_right(t, &o))
                fail(t, "an error where nothing was refused");
        }
        if (n < 2)
            fail(t, "there was nothing to refuse");
    }
}

/* ---- address space */

static void measure_space(const test *t, long n)
{
    (void)n;
    t->report->space_at_start = status_of("VmSize:");
}

static void measure_most(const test *t, long n)
{
    (void)n;
    t->report->space_at_most = status_of("VmPeak:");
}

static void limit_space(const test *t, long n)
{
    (void)t;
    limit(RLIMIT_AS, status_of("VmSize:") + n);
}

static void unlimit_space(const test *t, long n)
{
    (void)t, (void)n;
    limit(RLIMIT_AS, -1);
}

/* Steps that grow, so that the first are as small as a page. */
static void each_space(test *t)
{
    run_case(t, measure_space, 0, measure_most, NULL);
    const double most = (double)(t->report->space_at_most - t->report->space_at_start);
    if (most <= 0 || t->report->space_at_start == 0) {
        fail(t, "no sizes in /proc/self/status");
        return;
    }
    for (int i = 0; i <= SPACES; i++)
        run_case(t, limit_space, (long)(4096 * pow(most / 4096, (double)i / SPACES)), unlimit_space, "memory");
    if (t->errors == 0)
        fail(t, "no limit was too low");
    run_case(t, limit_space, (long)(2 * most), unlimit_space, NULL);
}

/* ---- processes */

static void limit_processes(const test *t, long n)
{
    (void)t;
    if (getuid() == 0 && (setgid(STRANGER) != 0 || setuid(STRANGER) != 0))
        _exit(SKIPPED);
    limit(RLIMIT_NPROC, n);
    refuse(&t->report->plan);
}

static void each_number_of_processes(test *t)
{
    t->report->plan.kinds = 0;
    const outcome o = in_child(t, limit_processes, t->threads + 2, nothing);
    if (WIFEXITED(o.status) && WEXITSTATUS(o.status) == SKIPPED) {
        printf("skipped: this process may not become another user's\n");
        exit(SKIPPED);
    }
    for (long n = 1; n <= t->threads + 2 && t->failures <= MANY; n++) {
        run_case(t, limit_processes, n, nothing, NULL);
        if (n == 1 && t->report->plan.threads_refused == 0)
            fail(t, "a limit of one process, and no thread was refused");
    }
}

/* ---- files */

static void limit_files(const test *t, long n)
{
    (void)t;
    limit(RLIMIT_NOFILE, n);
}

static void unlimit_files(const test *t, long n)
{
    (void)t, (void)n;
    limit(RLIMIT_NOFILE, -1);
}

static void limit_sizes(const test *t, long n)
{
    (void)t;
    limit(RLIMIT_FSIZE, n);
}

static void unlimit_sizes(const test *t, long n)
{
    (void)t, (void)n;
    limit(RLIMIT_FSIZE, -1);
}

static void each_number_of_files(test *t)
{
    for (long n = STDERR_FILENO + 1; n <= 16; n++)
        run_case(t, limit_files, n, unlimit_files, "Too many open files");
    if (t->errors == 0 || t->rights == 0)
        fail(t, "no limit was too low, or all were");
}

static void each_size_of_files(test *t)
{
    for (long n = 0; n <= 1 << 16; n = n * 2 + 1)
        run_case(t, limit_sizes, n, unlimit_sizes, "File too large");
    if (t->errors == 0 || t->rights == 0)
        fail(t, "no limit was too low, or all were");
}

/* ---- */

static uint64_t digest_of(const test *t)
{
    const outcome o = in_child(t, nothing, 0, nothing);
    char *end;
    const uint64_t digest = strtoull(o.said, &end, 16);
    if (o.hung || o.status != 0 || end != o.said + 16 || strcmp(end, "\n") != 0) {
        printf("where nothing is refused: status %#x: %s\n", (unsigned)o.status, o.said);
        exit(1);
    }
    return digest;
}

static bool run_subject(test *t)
{
    const char *subject = t->subject;
    if (strcmp(subject, "memory") == 0)
        each_call(t, REFUSE_HEAP | REFUSE_MAPS, "memory");
    else if (strcmp(subject, "threads") == 0)
        each_call(t, REFUSE_THREADS, NULL);
    else if (strcmp(subject, "space") == 0)
        each_space(t);
    else if (strcmp(subject, "processes") == 0)
        each_number_of_processes(t);
    else if (strcmp(subject, "files") == 0)
        each_number_of_files(t);
    else if (strcmp(subject, "sizes") == 0)
        each_size_of_files(t);
    else
        return false;
    printf("%s, %d threads: %ld cases, %ld right, %ld errors, %ld failed\n", subject, t->threads, t->cases, t->rights,
           t->errors, t->failures);
    return true;
}

static const work *load(const char *path)
{
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    return !path ? &the_work : library ? dlsym(library, "the_work") : NULL;
}

static bool prepare(test *t, bool used)
{
    test alone = *t;
    alone.threads = 1;
    touch_stack();
    t->right = digest_of(&alone);
    uint64_t before = t->right;
    return !used || (t->run(t->folder, t->threads, &before) && before == t->right);
}

int main(int argc, char **argv)
{
    const char *library = NULL;
    bool used = false, only_spectra = false;
    for (int option; (option = getopt(argc, argv, "l:eu")) != -1;)
        if (option == 'l')
            library = optarg;
        else if (option == 'e')
            only_spectra = true;
        else if (option == 'u')
            used = true;
        else
            return 2;
    const work *w = load(library);
    if (argc - optind != 3 || !w || !refuse)
        return 2;
    test t = {.subject = argv[optind], .folder = argv[optind + 1], .threads = atoi(argv[optind + 2]), .work = w};
    t.run = only_spectra ? w->spectra : w->everything;
    if (strcmp(t.subject, "data") == 0)
        return w->make_data(t.folder) ? 0 : 1;
    t.report = mmap(NULL, sizeof *t.report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t.report == MAP_FAILED)
        return 2;
    if (strcmp(t.subject, "digest") == 0) {
        printf("%016" PRIx64 "\n", digest_of(&t));
        return 0;
    }
    return prepare(&t, used) && run_subject(&t) ? t.failures > 0 : 2;
}
