/* data/dataset_impl.h (internal): what datasets and loaders share. */
#ifndef TARN__DATASET_IMPL_H
#define TARN__DATASET_IMPL_H

#include "data/dataset.h"

/* The shape of one example, without the first axis: u8 [N,H,W] gains a channel axis. Fails for dtypes and
 * shapes that no dataset may have. */
typedef struct tarn__example {
    tarn_dtype dtype;
    int ndim;
    int64_t shape[TARN_MAX_DIMS];
    int64_t numel;
} tarn__example;

bool tarn__example_of(const char *who, tarn_dtype dtype, int ndim, const int64_t *shape, tarn__example *out);

/* u8 or i32 [count], each label 0 or more; *classes gets the largest plus 1. */
bool tarn__labels_usable(const char *who, tarn_tensor *labels, int64_t count, int64_t *classes);

/* Label i of a tensor that is usable. */
int32_t tarn__label(const tarn_tensor *labels, const void *data, int64_t i);

#endif
