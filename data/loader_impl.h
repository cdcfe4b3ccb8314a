/* data/loader_impl.h (internal): a loader from the inside. A feed gives examples, a batcher makes batches of them, and
 * what is ahead holds batches that a thread has made before they are asked for. */
#ifndef TARN__LOADER_IMPL_H
#define TARN__LOADER_IMPL_H

#include "data/dataset_impl.h"
#include "data/loader.h"

/* ---- examples */

/* Examples in the order of an epoch. What is fetched stays readable until the next fetch. */
typedef struct tarn__feed {
    /* To the first example of an epoch, whose random numbers are rng's. */
    bool (*begin)(struct tarn__feed *feed, tarn_rng rng);

    /* The next n examples. */
    bool (*fetch)(struct tarn__feed *feed, int64_t n);

    /* Example i of those fetched, and its label. */
    const void *(*example)(const struct tarn__feed *feed, int64_t i);
    int32_t (*label)(const struct tarn__feed *feed, int64_t i);

    void (*free)(struct tarn__feed *feed);
    tarn__example shape;
    int64_t count;
} tarn__feed;

/* NULL with an error. */
tarn__feed *tarn__dataset_feed(const char *who, tarn_dataset *dataset, bool shuffle);
tarn__feed *tarn__stream_feed(const char *who, const char *images_path, const char *labels_path,
                              const tarn_loader_opts *opts);

/* A loader over a feed, which it takes, also when it fails; NULL, for a feed that failed, gives NULL. */
tarn_loader *tarn__loader_over(const char *who, tarn__feed *feed, const tarn_loader_opts *opts);

/* ---- batches */

/* Makes one epoch's batches after the other. One thread at a time. */
typedef struct tarn__batcher {
    tarn__feed *feed;
    tarn_loader_opts opts;
    int64_t batches;      /* in an epoch */
    int64_t epoch, batch; /* of the batch to be made next; batch may be `batches` */
    bool begun;           /* the feed stands there */
    double of_byte[256];  /* x of each u8 value */
    float of_byte_f32[256];
} tarn__batcher;

/* The opts are complete and within their ranges. */
void tarn__batcher_init(tarn__batcher *b, tarn__feed *feed, const tarn_loader_opts *opts);

/* Examples in batch number `batch` of an epoch. */
int64_t tarn__batch_examples(const tarn__batcher *b, int64_t batch);

/* The batch made next is this one. The feed goes there when that batch is made, or in tarn__batcher_begin. */
void tarn__batcher_place(tarn__batcher *b, int64_t epoch, int64_t batch);

/* Sends the feed to where the batcher was placed. */
bool tarn__batcher_begin(tarn__batcher *b);

/* The next batch into x and labels, which have room for it: an epoch's end goes over into the next epoch. On error
 * it is still the next. With `parallel`, on tarn's threads. */
bool tarn__batcher_next(tarn__batcher *b, void *x, int32_t *labels, bool parallel);

/* ---- batches ahead */

typedef struct tarn__ahead tarn__ahead;

/* Room for the opts' number of batches; the thread comes with the first batch that is asked for. NULL with an
 * error when there is no memory. */
tarn__ahead *tarn__ahead_new(const char *who, tarn__batcher *batcher);

/* Ends the thread, after the batch that it is at. NULL is fine. */
void tarn__ahead_free(tarn__ahead *a);

/* Whether there is no thread (ahead NULL), or it is in this process; an error, if fork() has left it behind. */
bool tarn__ahead_is_here(const char *who, const tarn__ahead *a);

/* Has the thread run, beginning with the batcher's next batch. False, without an error, if no thread can be had. */
bool tarn__ahead_run(tarn__ahead *a);

/* The next batch, of n examples, as soon as it is there; a thread must run. On error, the one that the thread met
 * with this batch, the thread halts. */
bool tarn__ahead_take(tarn__ahead *a, int64_t n, void *x, int32_t *labels);

/* Halts the thread, after the batch that it is at, and drops what it made: the batcher is the caller's again, somewhere
 * ahead. NULL is fine. */
void tarn__ahead_halt(tarn__ahead *a);

#endif
