/* data/loader_impl.h (internal): a loader, and where its examples come from. */
#ifndef TARN__LOADER_IMPL_H
#define TARN__LOADER_IMPL_H

#include "data/dataset_impl.h"
#include "data/loader.h"

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

#endif
