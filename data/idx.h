/* data/idx.h: the IDX files of the MNIST family, plain or compressed by gzip.
 *
 * The format (LeCun, Cortes, Burges, "The MNIST database"): two zero bytes, a byte for the element type, a byte for the
 * number of dimensions, each size as a big-endian u32, then the elements, row-major and big-endian. A file must hold
 * exactly the elements that it declares; behind compressed data there may be zeros, which gzip(1) passes over too. u8 is
 * read as TARN_U8; s8, s16 and s32 as TARN_I32; f32 and f64 as they are. */
#ifndef TARN_IDX_H
#define TARN_IDX_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The whole file as a tensor, the caller's. NULL with an error when it cannot be opened or read, is no IDX file, or is
 * shorter, longer or otherwise not what it declares. */
TARN_API tarn_tensor *tarn_idx_load(const char *path);

/* A file that is read a few records at a time; a record is one entry of the first axis. */
typedef struct tarn_idx_reader tarn_idx_reader;

/* Opens the file and reads its header. NULL with an error, as above. */
TARN_API tarn_idx_reader *tarn_idx_open(const char *path);
TARN_API void tarn_idx_close(tarn_idx_reader *reader);

/* What the header declares. Of NULL: TARN_F32, 0, NULL. */
TARN_API tarn_dtype tarn_idx_dtype(const tarn_idx_reader *reader);
TARN_API int tarn_idx_ndim(const tarn_idx_reader *reader);
TARN_API const int64_t *tarn_idx_shape(const tarn_idx_reader *reader);

/* Reads the next n records, or as many as are left, into `records`, which has room for n. Returns how
 * many: 0 at the end, where the end of the file and its checksum have been verified; -1 with an error, after which only
 * tarn_idx_rewind() helps. */
TARN_API int64_t tarn_idx_read(tarn_idx_reader *reader, int64_t n, void *records);

/* Back to the first record. */
TARN_API bool tarn_idx_rewind(tarn_idx_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
