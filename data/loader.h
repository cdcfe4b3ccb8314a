/* data/loader.h: mini-batches. One epoch sees every example once; each epoch has an order of its own. */
#ifndef TARN_LOADER_H
#define TARN_LOADER_H

#include "autograd/tape.h"
#include "data/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_loader tarn_loader;

typedef struct tarn_loader_opts {
    int64_t batch_size;     /* 0 means 64 */
    bool shuffle;           /* a new order each epoch: a function of the seed and the epoch's number alone */
    uint64_t seed;          /* of the orders */
    bool drop_last;         /* leave out the last batch when it is short */
    tarn_dtype dtype;       /* of the batches: TARN_F32 (the default) or TARN_F64 */
    double mean, std;       /* a pixel p of 0..255 becomes (p/255 - mean) / std; std 0 means 1 */
    int64_t shuffle_buffer; /* of a streamed loader: how many examples it draws from; 0 means 4096 */
} tarn_loader_opts;

typedef struct tarn_batch {
    tarn_tensor *x;      /* [B,H,W,C], on the tape */
    tarn_tensor *labels; /* i32 [B], on the tape */
} tarn_batch;

/* Batches of a data set in memory, which must outlive the loader. opts NULL: every default. */
TARN_API tarn_loader *tarn_loader_new(const tarn_dataset *dataset, const tarn_loader_opts *opts);

/* Batches read from a pair of IDX files (u8 images, integer labels) as they are needed: for data larger than memory. Shuffling
 * keeps shuffle_buffer examples, and puts a random one of them out for each one that comes in. */
TARN_API tarn_loader *tarn_loader_new_streamed(const char *images, const char *labels, const tarn_loader_opts *opts);

TARN_API void tarn_loader_free(tarn_loader *loader);

/* Puts the next batch on the tape, where it lives until the tape is reset. False at the end of an epoch, once: the call after
 * that begins the next epoch. False also on error: ask tarn_error(). Takes nothing from the heap but through the tape. */
TARN_API bool tarn_loader_next(tarn_loader *loader, tarn_tape *tape, tarn_batch *batch);

/* How many batches an epoch has. Of NULL: 0. */
TARN_API int64_t tarn_loader_batches(const tarn_loader *loader);

/* The number of the epoch (from 0) and of the batch in it that the next call gives. */
TARN_API int64_t tarn_loader_epoch(const tarn_loader *loader);
TARN_API int64_t tarn_loader_position(const tarn_loader *loader);

/* The next call gives batch `position` of epoch `epoch`: how training goes on where it stopped. A streamed loader reads what lies
 * before it. */
TARN_API bool tarn_loader_seek(tarn_loader *loader, int64_t epoch, int64_t position);

#ifdef __cplusplus
}
#endif
#endif
