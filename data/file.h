/* data/file.h (internal): whole and safe reads and writes of files, and a reader of plain or gzip bytes.
 *
 * `who` is the public function that the messages begin with. */
#ifndef TARN__FILE_H
#define TARN__FILE_H

#include "tensor/error.h"

#include <zlib.h>

/* Text from a file, fit for a message: at most 80 bytes, anything but printable ASCII replaced by '?'. */
typedef struct tarn__safe_text {
    char text[84];
} tarn__safe_text;

tarn__safe_text tarn__safe_text_of(const char *text);

/* What errno `code` means. */
typedef struct tarn__errno_text {
    char text[96];
} tarn__errno_text;

tarn__errno_text tarn__errno_text_of(int code);

/* ---- files */

/* A regular file for reading, and its size. -1 with an error otherwise. */
int tarn__file_open(const char *who, const char *path, uint64_t *size);

/* Exactly `bytes` bytes from `offset`. */
bool tarn__file_read(const char *who, const char *path, int fd, uint64_t offset, void *data, size_t bytes);

void tarn__file_close(int fd);

typedef struct tarn__piece {
    const void *data;
    size_t bytes;
} tarn__piece;

/* The file at `path` becomes the pieces, one after the other, or stays what it was: they go to a new file in
 * the same folder, which is synced and then renamed. An old file's permissions are kept. A path that names
 * something other than a regular file is an error. */
bool tarn__file_replace(const char *who, const char *path, size_t count, const tarn__piece *pieces);

/* ---- zlib's memory, from tarn__allocate */

voidpf tarn__zlib_allocate(voidpf opaque, uInt items, uInt size);
void tarn__zlib_release(voidpf opaque, voidpf block);

/* ---- a plain or gzip file, read from its start */

typedef struct tarn__stream {
    int fd;
    char *path;
    uint64_t size, offset; /* of the file; how much of it has been read */
    bool gzip;
    bool member_open; /* of gzip: within a member, so that the end of the file would be too early */
    z_stream z;
    unsigned char *buffer;
} tarn__stream;

/* False with an error, and nothing to close, when the file cannot be opened. */
bool tarn__stream_open(const char *who, tarn__stream *s, const char *path);
void tarn__stream_close(tarn__stream *s);
bool tarn__stream_rewind(const char *who, tarn__stream *s);

/* The next `bytes` bytes, no fewer; data NULL passes over them. */
bool tarn__stream_read(const char *who, tarn__stream *s, void *data, uint64_t bytes);

/* True when nothing is left (and, of gzip, the checksum was right). */
bool tarn__stream_finish(const char *who, tarn__stream *s);

#endif
