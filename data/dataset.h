/* data/dataset.h: labelled images in memory. */
#ifndef TARN_DATASET_H
#define TARN_DATASET_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_dataset tarn_dataset;

/* A data set over images u8 [N,H,W,C] or [N,H,W] (one channel) and labels u8 or i32 [N], none negative. On success the set owns
 * both tensors, which must be the caller's own; on error they stay the caller's. */
TARN_API tarn_dataset *tarn_dataset_new(tarn_tensor *images, tarn_tensor *labels);

/* MNIST's files in a folder, as MNIST, Fashion-MNIST, KMNIST and others are published: PART-images-idx3-ubyte and
 * PART-labels-idx1-ubyte, with .gz or without (the plain file is taken when both are there); part is "train" or "t10k".
 * NULL with an error that names the file. */
TARN_API tarn_dataset *tarn_dataset_load_mnist(const char *folder, const char *part);

/* Frees the set and its tensors. NULL is fine. */
TARN_API void tarn_dataset_free(tarn_dataset *dataset);

/* Images [N,H,W,C] and labels [N], the set's own; how many there are; and the largest label plus one. Of NULL: NULL, 0. */
TARN_API tarn_tensor *tarn_dataset_images(const tarn_dataset *dataset);
TARN_API tarn_tensor *tarn_dataset_labels(const tarn_dataset *dataset);
TARN_API int64_t tarn_dataset_size(const tarn_dataset *dataset);
TARN_API int64_t tarn_dataset_classes(const tarn_dataset *dataset);

#ifdef __cplusplus
}
#endif
#endif
