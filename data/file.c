#include "data/file.h"
#include "tensor/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TRANSFER = 1 << 30, TEMPORARY_TRIES = 10000 };

tarn__safe_text tarn__safe_text_of(const char *text)
{
    tarn__safe_text out;
    size_t n = 0;
    for (; text[n] && n < 80; n++)
        out.text[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    memcpy(out.text + n, text[n] ? "..." : "", text[n] ? 4 : 1);
    return out;
}

tarn__errno_text tarn__errno_text_of(int code)
{
    tarn__errno_text out;
    if (strerror_r(code, out.text, sizeof out.text) != 0)
        snprintf(out.text, sizeof out.text, "error %d", code);
    return out;
}

/* ---- reading */

/* A longer one cannot be opened, and would not leave room in a message for the reason. */
static bool path_fits(const char *who, const char *path)
{
    size_t length = strlen(path);
    return length < PATH_MAX ? true
                             : tarn_fail("%s: %s: a path of %zu bytes, expected at most %d", who,
                                         tarn__safe_text_of(path).text, length, PATH_MAX - 1);
}

int tarn__file_open(const char *who, const char *path, uint64_t *size)
{
    if (!path_fits(who, path))
        return -1;
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        tarn_fail("%s: %s: %s", who, path, tarn__errno_text_of(errno).text);
        return -1;
    }
    struct stat info;
    if (fstat(fd, &info) != 0)
        tarn_fail("%s: %s: %s", who, path, tarn__errno_text_of(errno).text);
    else if (!S_ISREG(info.st_mode))
        tarn_fail("%s: %s: not a regular file", who, path);
    else {
        *size = (uint64_t)info.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

bool tarn__file_read(const char *who, const char *path, int fd, uint64_t offset, void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        size_t wanted = bytes - done < MAX_TRANSFER ? bytes - done : MAX_TRANSFER;
        ssize_t got = pread(fd, (char *)data + done, wanted, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tarn_fail("%s: %s: %s", who, path, tarn__errno_text_of(errno).text);
        if (got == 0)
            return tarn_fail("%s: %s: ends after %" PRIu64 " bytes, expected %" PRIu64, who, path, offset + done,
                             offset + bytes);
        done += (size_t)got;
    }
    return true;
}

void tarn__file_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* ---- writing */

static bool write_all(int fd, const tarn__piece *piece)
{
    for (size_t done = 0; done < piece->bytes;) {
        size_t wanted = piece->bytes - done < MAX_TRANSFER ? piece->bytes - done : MAX_TRANSFER;
        ssize_t put = write(fd, (const char *)piece->data + done, wanted);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put < 0 ? errno : EIO;
            return false;
        }
        done += (size_t)put;
    }
    return true;
}

static bool sync_all(int fd)
{
    int failed;
    do
        failed = fsync(fd);
    while (failed && errno == EINTR);
    return !failed;
}

/* ---- the temporary file
 *
 * Its name follows from the one it will have, and whoever writes it holds a lock on it (flock) from before the first byte until
 * it is closed. So the next save of that file finds what a writer left that was killed: a file by that name that nobody holds.
 * A lock belongs to a file and not to its name: who has got one looks whether the name still stands for that file. */

static bool is_named(int fd, const char *name)
{
    struct stat here, there;
    return fstat(fd, &here) == 0 && stat(name, &there) == 0 && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino;
}

/* Removes what a dead writer left by that name, if there is something. */
static void remove_leftover(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    struct stat info;
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_named(fd, name))
        unlink(name);
    close(fd);
}

/* A new file by that name, locked. Negative, with errno, if it cannot be made; with EEXIST if there is one, or if somebody took
 * this one for a leftover between its making and its locking. Where files cannot be locked it goes without. */
static int open_locked(const char *name, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return fd;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if ((locked && is_named(fd, name)) || (!locked && errno != EWOULDBLOCK))
        return fd;
    close(fd);
    errno = EEXIST;
    return -1;
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return hash;
}

/* A new file in the folder of length `folder` at the head of path; its name goes to `name`. */
static int open_temporary(const char *path, size_t folder, mode_t mode, char *name, size_t room)
{
    const uint64_t target = hash_of(path + folder);
    int fd = -1;
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        snprintf(name, room, "%.*s.tarn-%016" PRIx64 "-%d.tmp", (int)folder, path, target, i);
        fd = open_locked(name, mode);
        if (fd < 0 && errno == EEXIST) {
            remove_leftover(name);
            fd = open_locked(name, mode);
        }
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    return fd;
}

/* Where the process may not write so large a file (RLIMIT_FSIZE), the system sends a signal too, which by default ends the
 * process. It is taken back: the error is enough. */
static bool write_pieces(int fd, size_t count, const tarn__piece *pieces)
{
    sigset_t signal, old, pending;
    sigemptyset(&signal);
    sigaddset(&signal, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &signal, &old);
    sigpending(&pending);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = write_all(fd, &pieces[i]);
    int why = errno;
    if (!ok && why == EFBIG && !sigismember(&pending, SIGXFSZ))
        sigtimedwait(&signal, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = why;
    return ok;
}

/* Fills the temporary file and closes it; errno says what failed. */
static bool fill_temporary(int fd, const struct stat *old, size_t count, const tarn__piece *pieces)
{
    bool ok = !old || fchmod(fd, old->st_mode & 0777) == 0;
    ok = ok && write_pieces(fd, count, pieces) && sync_all(fd);
    int why = errno;
    if (close(fd) != 0 && ok && errno != EINTR)
        return false;
    errno = why;
    return ok;
}

/* Makes the rename last. Some file systems cannot sync a folder, and say EINVAL. */
static bool sync_folder(int fd)
{
    return sync_all(fd) || errno == EINVAL;
}

static bool replace_in(const char *who, const char *path, size_t folder, int folder_fd, const struct stat *old,
                       size_t count, const tarn__piece *pieces)
{
    size_t room = folder + 64;
    char *name = tarn__allocate(room);
    if (!name)
        return tarn_fail("%s: %s: no memory", who, path);
    bool ok = false;
    int fd = open_temporary(path, folder, old ? old->st_mode & 0777 : 0666, name, room);
    int lock = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0); /* the lock stays until the file has its name */
    if (fd < 0)
        tarn_fail("%s: %s: a new file in its folder: %s", who, path, tarn__errno_text_of(errno).text);
    else if (!fill_temporary(fd, old, count, pieces) || rename(name, path) != 0) {
        tarn_fail("%s: %s: could not be written: %s", who, path, tarn__errno_text_of(errno).text);
        unlink(name);
    } else if (!sync_folder(folder_fd))
        tarn_fail("%s: %s: written, but its folder could not be synced: %s", who, path,
                  tarn__errno_text_of(errno).text);
    else
        ok = true;
    tarn__file_close(lock);
    tarn__release(name);
    return ok;
}

bool tarn__file_replace(const char *who, const char *path, size_t count, const tarn__piece *pieces)
{
    struct stat old;
    if (!path_fits(who, path))
        return false;
    bool exists = stat(path, &old) == 0;
    if (exists && !S_ISREG(old.st_mode))
        return tarn_fail("%s: %s: exists, and is not a regular file", who, path);
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    if (!path[folder])
        return tarn_fail("%s: \"%s\" does not name a file", who, path);
    char *folder_path = tarn__allocate(folder + 2);
    if (!folder_path)
        return tarn_fail("%s: %s: no memory", who, path);
    memcpy(folder_path, folder ? path : ".", folder ? folder : 1);
    folder_path[folder ? folder : 1] = '\0';
    int folder_fd = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tarn__release(folder_path);
    if (folder_fd < 0)
        return tarn_fail("%s: %s: its folder: %s", who, path, tarn__errno_text_of(errno).text);
    bool ok = replace_in(who, path, folder, folder_fd, exists ? &old : NULL, count, pieces);
    close(folder_fd);
    return ok;
}
