#include "data/dataset.h"
#include "data/dataset_impl.h"
#include "data/idx.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { MNIST_CLASSES = 10 };

struct tarn_dataset {
    tarn_tensor *images, *labels;
    bool owns;
    int64_t needed, classes; /* the largest label plus 1; at least that */
    char **names;            /* [classes], or NULL */
};

/* ---- what a dataset may hold */

bool tarn__example_of(const char *who, tarn_dtype dtype, int ndim, const int64_t *shape, tarn__example *out)
{
    if (ndim < 1 || dtype == TARN_I32)
        return tarn_fail("%s: images %s%s, expected u8, f32 or f64 [N,...]", who, tarn_dtype_name(dtype),
                         tarn__shape_text_of(ndim, shape).text);
    *out = (tarn__example){.dtype = dtype, .ndim = ndim - 1, .numel = 1};
    for (int i = 1; i < ndim; i++) {
        out->shape[i - 1] = shape[i];
        out->numel *= shape[i];
    }
    if (dtype == TARN_U8 && ndim == 3)
        out->shape[out->ndim++] = 1;
    return true;
}

int32_t tarn__label(const tarn_tensor *labels, const void *data, int64_t i)
{
    return labels->dtype == TARN_U8 ? ((const uint8_t *)data)[i] : ((const int32_t *)data)[i];
}

bool tarn__labels_usable(const char *who, tarn_tensor *labels, int64_t count, int64_t *classes)
{
    if ((labels->dtype != TARN_U8 && labels->dtype != TARN_I32) || labels->ndim != 1)
        return tarn_fail("%s: labels %s%s, expected u8 or i32 [N]", who, tarn_dtype_name(labels->dtype),
                         TARN__SHAPE_TEXT(labels));
    if (labels->shape[0] != count)
        return tarn_fail("%s: %" PRId64 " images and %" PRId64 " labels", who, count, labels->shape[0]);
    const void *data = tarn_data(labels);
    if (!data)
        return false;
    *classes = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t label = tarn__label(labels, data, i);
        if (label < 0)
            return tarn_fail("%s: label %" PRId64 " is %d, expected 0 or more", who, i, label);
        *classes = label >= *classes ? (int64_t)label + 1 : *classes;
    }
    return true;
}

/* ---- making */

static tarn_dataset *dataset_over(const char *who, tarn_tensor *images, tarn_tensor *labels)
{
    int64_t classes;
    tarn__example example;
    if (images->tape || labels->tape) {
        tarn_fail("%s: %s live on a tape, whose reset would take them: clone them first", who,
                  images->tape ? "the images" : "the labels");
        return NULL;
    }
    if (!tarn__example_of(who, images->dtype, images->ndim, images->shape, &example) ||
        !tarn__labels_usable(who, labels, images->shape[0], &classes))
        return NULL;
    tarn_dataset *d = tarn__allocate_zeroed(sizeof *d);
    if (!d) {
        tarn_fail("%s: no memory", who);
        return NULL;
    }
    d->images = images;
    d->labels = labels;
    d->needed = d->classes = classes;
    return d;
}

tarn_dataset *tarn_dataset_new(tarn_tensor *images, tarn_tensor *labels)
{
    const char *who = "tarn_dataset_new";
    return tarn__usable(who, images, "images") && tarn__usable(who, labels, "labels")
               ? dataset_over(who, images, labels)
               : NULL;
}

static void free_names(tarn_dataset *d)
{
    for (int64_t i = 0; d->names && i < d->classes; i++)
        tarn__release(d->names[i]);
    tarn__release(d->names);
    d->names = NULL;
}

void tarn_dataset_free(tarn_dataset *d)
{
    if (!d)
        return;
    free_names(d);
    if (d->owns) {
        tarn_tensor_free(d->images);
        tarn_tensor_free(d->labels);
    }
    tarn__release(d);
}

/* ---- MNIST */

/* DIR/PART-KIND, plain or else ".gz"; NULL with an error when there is no memory. */
static char *mnist_path(const char *dir, const char *part, const char *kind)
{
    size_t room = strlen(dir) + strlen(part) + strlen(kind) + 8;
    char *path = tarn__allocate(room);
    if (!path) {
        tarn_fail("tarn_dataset_load_mnist: no memory");
        return NULL;
    }
    snprintf(path, room, "%s/%s-%s", dir, part, kind);
    if (access(path, F_OK) != 0)
        strcat(path, ".gz");
    return path;
}

static tarn_tensor *load_mnist_file(const char *dir, const char *part, const char *kind, int ndim)
{
    char *path = mnist_path(dir, part, kind);
    tarn_tensor *x = path ? tarn_idx_load(path) : NULL;
    if (x && (x->dtype != TARN_U8 || x->ndim != ndim)) {
        tarn_fail("tarn_dataset_load_mnist: %s: %s%s, expected u8 with %d axes", path, tarn_dtype_name(x->dtype),
                  TARN__SHAPE_TEXT(x), ndim);
        tarn_tensor_free(x);
        x = NULL;
    }
    tarn__release(path);
    return x;
}

/* [N,H,W] becomes [N,H,W,1]. */
static void add_channel_axis(tarn_tensor *x)
{
    int64_t shape[4] = {x->shape[0], x->shape[1], x->shape[2], 1};
    tarn__set_shape(x, x->dtype, 4, shape);
}

tarn_dataset *tarn_dataset_load_mnist(const char *dir, const char *part)
{
    const char *who = "tarn_dataset_load_mnist";
    if (!tarn__usable(who, dir, "dir") || !tarn__usable(who, part, "part"))
        return NULL;
    if (strcmp(part, "train") != 0 && strcmp(part, "t10k") != 0) {
        tarn_fail("%s: part \"%s\", expected \"train\" or \"t10k\"", who, part);
        return NULL;
    }
    tarn_dataset *d = NULL;
    tarn_tensor *images = load_mnist_file(dir, part, "images-idx3-ubyte", 3);
    tarn_tensor *labels = images ? load_mnist_file(dir, part, "labels-idx1-ubyte", 1) : NULL;
    if (labels) {
        add_channel_axis(images);
        d = dataset_over(who, images, labels);
    }
    if (d && d->needed > MNIST_CLASSES) {
        tarn_fail("%s: %s/%s-labels: label %" PRId64 ", expected 0 to %d", who, dir, part, d->needed - 1,
                  MNIST_CLASSES - 1);
        tarn_dataset_free(d);
        d = NULL;
    }
    if (d) {
        d->owns = true;
        d->classes = MNIST_CLASSES;
        return d;
    }
    tarn_tensor_free(images);
    tarn_tensor_free(labels);
    return NULL;
}

/* ---- a part of another */

/* Examples first to first+count-1 of x, which is row-major in memory. */
static tarn_tensor *rows_of(tarn_tensor *x, int64_t first, int64_t count)
{
    int64_t shape[TARN_MAX_DIMS];
    if (!tarn_data(x))
        return NULL;
    memcpy(shape, x->shape, sizeof shape);
    shape[0] = count;
    size_t row = tarn__bytes(x) / (size_t)x->shape[0];
    return tarn_tensor_wrap(x->dtype, x->ndim, shape, (char *)x->data + (size_t)first * row);
}

tarn_dataset *tarn_dataset_slice_new(tarn_dataset *dataset, int64_t first, int64_t count)
{
    const char *who = "tarn_dataset_slice_new";
    if (!tarn__usable(who, dataset, "dataset"))
        return NULL;
    int64_t n = tarn_dataset_count(dataset);
    if (first < 0 || first > n || count < 1 || count > n - first) {
        tarn_fail("%s: %" PRId64 " examples from %" PRId64 " on, of a dataset of %" PRId64, who, count, first, n);
        return NULL;
    }
    tarn_tensor *images = rows_of(dataset->images, first, count);
    tarn_tensor *labels = images ? rows_of(dataset->labels, first, count) : NULL;
    tarn_dataset *d = labels ? dataset_over(who, images, labels) : NULL;
    if (!d) {
        tarn_tensor_free(images);
        tarn_tensor_free(labels);
        return NULL;
    }
    d->owns = true;
    d->classes = dataset->classes;
    if (!dataset->names || tarn_dataset_set_classes(d, dataset->classes, (const char *const *)dataset->names))
        return d;
    tarn_dataset_free(d);
    return NULL;
}

/* ---- asking */

int64_t tarn_dataset_count(const tarn_dataset *d)
{
    return d ? d->images->shape[0] : 0;
}

tarn_tensor *tarn_dataset_images(const tarn_dataset *d)
{
    return d ? d->images : NULL;
}

tarn_tensor *tarn_dataset_labels(const tarn_dataset *d)
{
    return d ? d->labels : NULL;
}

int64_t tarn_dataset_classes(const tarn_dataset *d)
{
    return d ? d->classes : 0;
}

static char **copy_names(int64_t n, const char *const *names)
{
    char **copies = tarn__allocate_zeroed((size_t)n * sizeof *copies);
    for (int64_t i = 0; copies && i < n; i++) {
        copies[i] = tarn__copy_string(names[i]);
        if (copies[i])
            continue;
        while (i-- > 0)
            tarn__release(copies[i]);
        tarn__release(copies);
        return NULL;
    }
    return copies;
}

bool tarn_dataset_set_classes(tarn_dataset *d, int64_t n, const char *const *names)
{
    const char *who = "tarn_dataset_set_classes";
    if (!tarn__usable(who, d, "dataset") || !tarn__usable(who, names, "names"))
        return false;
    if (n < 1 || n < d->needed || n > INT32_MAX)
        return tarn_fail("%s: %" PRId64 " classes, expected at least %" PRId64, who, n, d->needed ? d->needed : 1);
    for (int64_t i = 0; i < n; i++)
        if (!names[i])
            return tarn_fail("%s: name %" PRId64 " is NULL", who, i);
    char **copies = copy_names(n, names);
    if (!copies)
        return tarn_fail("%s: no memory", who);
    free_names(d);
    d->names = copies;
    d->classes = n;
    return true;
}

const char *tarn_dataset_class_name(const tarn_dataset *d, int64_t i)
{
    return d && d->names && i >= 0 && i < d->classes ? d->names[i] : NULL;
}
