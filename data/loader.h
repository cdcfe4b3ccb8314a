/* data/loader.h: mini-batches.
 *
 * An epoch shows every example once, in batches; the next epoch shows them again, in a new order when
 * shuffling. The order is a function of the seed and the epoch's number alone, so a run can be resumed: save
 * tarn_loader_epoch() and tarn_loader_batch(), and give them to tarn_loader_seek().
 *
 *     tarn_loader *train = tarn_loader_new(dataset, &(tarn_loader_opts){.shuffle = true, .seed = 1});
 *     for (int epoch = 0; epoch < 10 && !tarn_error(); epoch++)
 *         while (tarn_loader_next(train, t, &batch)) {
 *             ... batch.x, batch.labels ...
 *             tarn_tape_reset(t);
 *         }
 *
 * Batches are made ahead: while a step computes, a thread of the loader's reads, gathers and converts the next `ahead`
 * batches, over the end of an epoch into the next. It begins with the first tarn_loader_next() and ends in
 * tarn_loader_free(). Batches, their order and errors are the same without it: what goes wrong with a batch is reported
 * by the tarn_loader_next() that would have returned it. (An error hook is called twice, by the thread too.) Where no
 * thread can be had, batches are made when they are asked for.
 *
 * One thread at a time uses a loader; different loaders are independent, also over one dataset. After a fork(), the
 * child must not use one whose thread has begun. */
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
    bool shuffle;           /* each epoch in a new order; of a stream, see below */
    uint64_t seed;          /* of the orders */
    bool drop_last;         /* leave out a last batch that is short */
    tarn_dtype dtype;       /* of batch.x: TARN_F32 (the default) or TARN_F64 */
    double mean, std;       /* u8: x = (v/255 - mean)/std; f32, f64: x = (v - mean)/std. std 0 means 1 */
    int64_t shuffle_buffer; /* of a stream: how many examples to draw among; 0 means 1024 */
    int64_t ahead;          /* batches made ahead by a thread, 1 to 64; 0 means 2; -1: none, and no thread */
} tarn_loader_opts;

/* Both live on the tape, until its reset. */
typedef struct tarn_batch {
    tarn_tensor *x;      /* [B,H,W,C], or [B,...]: B is batch_size, or less in the last batch */
    tarn_tensor *labels; /* i32 [B] */
} tarn_batch;

/* A loader over a dataset, which must outlive it; with a thread, images must not change while it lives. opts NULL:
 * every default. NULL with an error for an option out of range, a dataset without examples, drop_last with less than
 * one batch, no memory. */
TARN_API tarn_loader *tarn_loader_new(tarn_dataset *dataset, const tarn_loader_opts *opts);

/* A loader over IDX files, of which the images (u8, f32 or f64 [N,...]) stay on disk and are read as they are
 * needed; the labels (u8 or i32 [N]) are held. With shuffle, each example is drawn at random among the
 * shuffle_buffer that were read last and not yet shown: an order less thorough than a dataset's, in bounded
 * memory. Errors as above, and of the files. */
TARN_API tarn_loader *tarn_loader_new_streamed(const char *images_path, const char *labels_path,
                                               const tarn_loader_opts *opts);

/* NULL is fine. Batches stay on their tapes. Waits for the batch that the thread is at. */
TARN_API void tarn_loader_free(tarn_loader *loader);

/* The next batch, on tape t. False, and a batch of NULLs, at the end of an epoch, after which the next call
 * begins the next epoch; false with an error pending when something went wrong, after which the same batch is
 * still the next. Waits for the thread if the batch is not ready. Takes nothing from the heap but what the tape needs to
 * grow, and at the first call what the system needs for a thread. In a process that was forked off after that call it is an
 * error: the thread is not there. */
TARN_API bool tarn_loader_next(tarn_loader *loader, tarn_tape *t, tarn_batch *batch);

/* Examples, and batches, in an epoch. Of NULL: 0. */
TARN_API int64_t tarn_loader_examples(const tarn_loader *loader);
TARN_API int64_t tarn_loader_batches(const tarn_loader *loader);

/* The epoch under way, or about to begin, from 0; and how many of its batches have been given. Of NULL: 0. */
TARN_API int64_t tarn_loader_epoch(const tarn_loader *loader);
TARN_API int64_t tarn_loader_batch(const tarn_loader *loader);

/* The next batch will be number `batch` (0 to tarn_loader_batches(); that: the epoch's end) of `epoch` (below 2^24 - 1).
 * tarn_loader_seek(l, tarn_loader_epoch(l), 0) begins the epoch again. A stream reads up to there. On error the
 * loader is where it was. */
TARN_API bool tarn_loader_seek(tarn_loader *loader, int64_t epoch, int64_t batch);

#ifdef __cplusplus
}
#endif
#endif
