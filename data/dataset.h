/* data/dataset.h: examples and their labels, in memory. */
#ifndef TARN_DATASET_H
#define TARN_DATASET_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_dataset tarn_dataset;

/* A dataset over the caller's tensors, which are neither copied nor freed, must outlive it, and must not
 * change their labels. `images`: u8, f32 or f64, the first axis counts the examples: [N,H,W,C], or [N,...]
 * for features of any shape. u8 [N,H,W] is taken as [N,H,W,1]. `labels`: u8 or i32 [N], each 0 or more. NULL
 * with an error for other shapes, dtypes or labels, for counts that differ, and for tensors on a tape. */
TARN_API tarn_dataset *tarn_dataset_new(tarn_tensor *images, tarn_tensor *labels);

/* MNIST, or any dataset in its four files (Fashion-MNIST, KMNIST): `part` is "train" or "t10k", and dir holds
 * PART-images-idx3-ubyte and PART-labels-idx1-ubyte, plain or with ".gz" (plain is looked for first). Ten
 * classes; u8 images [N,H,W,1]. The tensors belong to the dataset. NULL with an error that names the file:
 * not there, not IDX, not u8 of 3 and 1 axes, counts that differ, a label above 9.
 *
 * Debian's package dataset-fashion-mnist puts them into /usr/share/datasets/fashion-mnist. */
TARN_API tarn_dataset *tarn_dataset_load_mnist(const char *dir, const char *part);

/* The `count` examples from number `first` on (count 1 or more), such as those held out for validation: over the memory
 * of `dataset`, which must outlive it; its classes and their names stay the same. NULL with an error when the dataset
 * has no such examples. */
TARN_API tarn_dataset *tarn_dataset_slice_new(tarn_dataset *dataset, int64_t first, int64_t count);

/* Frees the dataset, with the tensors that belong to it. NULL is fine. Free its loaders first. */
TARN_API void tarn_dataset_free(tarn_dataset *dataset);

/* N; 0 for NULL. */
TARN_API int64_t tarn_dataset_count(const tarn_dataset *dataset);

/* The tensors; they stay whose they are. NULL for NULL. */
TARN_API tarn_tensor *tarn_dataset_images(const tarn_dataset *dataset);
TARN_API tarn_tensor *tarn_dataset_labels(const tarn_dataset *dataset);

/* How many classes: the largest label plus 1, 10 for MNIST, or what was set. 0 for NULL. */
TARN_API int64_t tarn_dataset_classes(const tarn_dataset *dataset);

/* Names the classes; the texts are copied. n is at least the largest label plus 1. */
TARN_API bool tarn_dataset_set_classes(tarn_dataset *dataset, int64_t n, const char *const *names);

/* The name of a class; NULL when classes have no names or there is no such class. */
TARN_API const char *tarn_dataset_class_name(const tarn_dataset *dataset, int64_t i);

#ifdef __cplusplus
}
#endif
#endif
