#include "data/dataset.h"
#include "data/idx.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

struct tarn_dataset {
    tarn_tensor *images, *labels;
    int64_t classes;
};

static bool tensors_valid(const tarn_tensor *images, const tarn_tensor *labels)
{
    if (images->owner != TARN__OWNED_BY_CALLER || labels->owner != TARN__OWNED_BY_CALLER)
        return tarn_fail("tarn_dataset_new: the images and the labels must be the caller's own");
    if (images->dtype != TARN_U8 || (images->ndim != 3 && images->ndim != 4))
        return tarn_fail("tarn_dataset_new: images are %s%s, expected u8 [N,H,W,C] or [N,H,W]",
                         tarn_dtype_name(images->dtype), TARN__SHAPE_TEXT(images));
    if ((labels->dtype != TARN_U8 && labels->dtype != TARN_I32) || labels->ndim != 1)
        return tarn_fail("tarn_dataset_new: labels are %s%s, expected u8 or i32 [N]", tarn_dtype_name(labels->dtype),
                         TARN__SHAPE_TEXT(labels));
    if (images->shape[0] != labels->shape[0])
        return tarn_fail("tarn_dataset_new: %" PRId64 " images and %" PRId64 " labels", images->shape[0],
                         labels->shape[0]);
    return true;
}

tarn_dataset *tarn_dataset_new(tarn_tensor *images, tarn_tensor *labels)
{
    if (!tarn__usable("tarn_dataset_new", images, "images") || !tarn__usable("tarn_dataset_new", labels, "labels") ||
        !tensors_valid(images, labels))
        return NULL;
    int64_t classes = 0;
    for (int64_t i = 0; i < labels->numel; i++) {
        int64_t label = (int64_t)tarn__load(labels, i);
        if (label < 0) {
            tarn_fail("tarn_dataset_new: label %" PRId64 " of image %" PRId64 ", expected 0 or more", label, i);
            return NULL;
        }
        classes = label >= classes ? label + 1 : classes;
    }
    tarn_dataset *d = tarn__allocate_zeroed(sizeof *d);
    if (!d) {
        tarn_fail("tarn_dataset_new: no memory");
        return NULL;
    }
    if (images->ndim == 3)
        tarn__set_shape(images, TARN_U8, 4,
                        (const int64_t[]){images->shape[0], images->shape[1], images->shape[2], 1});
    d->images = images;
    d->labels = labels;
    d->classes = classes;
    return d;
}

/* PART-NAME, or PART-NAME.gz where that is what is there. */
static tarn_tensor *load_part(const char *folder, const char *part, const char *name)
{
    char path[MAX_PATH];
    int length = snprintf(path, sizeof path - 3, "%s/%s-%s", folder, part, name);
    if (length < 0 || (size_t)length >= sizeof path - 3) {
        tarn_fail("tarn_dataset_load_mnist: the path of %s-%s is too long", part, name);
        return NULL;
    }
    if (access(path, F_OK) != 0)
        memcpy(path + length, ".gz", sizeof ".gz");
    return tarn_idx_load(path);
}

tarn_dataset *tarn_dataset_load_mnist(const char *folder, const char *part)
{
    if (!tarn__usable("tarn_dataset_load_mnist", folder, "folder") ||
        !tarn__usable("tarn_dataset_load_mnist", part, "part"))
        return NULL;
    tarn_tensor *images = load_part(folder, part, "images-idx3-ubyte");
    tarn_tensor *labels = images ? load_part(folder, part, "labels-idx1-ubyte") : NULL;
    tarn_dataset *d = labels ? tarn_dataset_new(images, labels) : NULL;
    if (d)
        return d;
    tarn_tensor_free(images);
    tarn_tensor_free(labels);
    return NULL;
}

void tarn_dataset_free(tarn_dataset *d)
{
    if (!d)
        return;
    tarn_tensor_free(d->images);
    tarn_tensor_free(d->labels);
    tarn__release(d);
}

tarn_tensor *tarn_dataset_images(const tarn_dataset *d)
{
    return d ? d->images : NULL;
}

tarn_tensor *tarn_dataset_labels(const tarn_dataset *d)
{
    return d ? d->labels : NULL;
}

int64_t tarn_dataset_size(const tarn_dataset *d)
{
    return d ? d->images->shape[0] : 0;
}

int64_t tarn_dataset_classes(const tarn_dataset *d)
{
    return d ? d->classes : 0;
}
