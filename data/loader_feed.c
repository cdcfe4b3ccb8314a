#include "data/file.h"
#include "data/idx.h"
#include "data/loader_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <string.h>

/* ---- from memory: an order, and a place in it */

typedef struct dataset_feed {
    tarn__feed feed;
    tarn_tensor *images, *labels;
    const char *image_data;
    const void *label_data;
    size_t example_bytes;
    int64_t *order; /* NULL: as they stand */
    int64_t first, next;
} dataset_feed;

static bool dataset_begin(tarn__feed *feed, tarn_rng rng)
{
    dataset_feed *f = (dataset_feed *)feed;
    f->first = f->next = 0;
    return !f->order || tarn_rng_permutation(&rng, (size_t)feed->count, f->order);
}

static bool dataset_fetch(tarn__feed *feed, int64_t n)
{
    dataset_feed *f = (dataset_feed *)feed;
    f->first = f->next;
    f->next += n;
    return true;
}

static int64_t dataset_index(const dataset_feed *f, int64_t i)
{
    return f->order ? f->order[f->first + i] : f->first + i;
}

static const void *dataset_example(const tarn__feed *feed, int64_t i)
{
    const dataset_feed *f = (const dataset_feed *)feed;
    return f->image_data + (size_t)dataset_index(f, i) * f->example_bytes;
}

static int32_t dataset_label(const tarn__feed *feed, int64_t i)
{
    const dataset_feed *f = (const dataset_feed *)feed;
    return tarn__label(f->labels, f->label_data, dataset_index(f, i));
}

static void dataset_feed_free(tarn__feed *feed)
{
    tarn__release(((dataset_feed *)feed)->order);
    tarn__release(feed);
}

tarn__feed *tarn__dataset_feed(const char *who, tarn_dataset *dataset, bool shuffle)
{
    tarn_tensor *images = tarn_dataset_images(dataset), *labels = tarn_dataset_labels(dataset);
    dataset_feed *f = tarn__allocate_zeroed(sizeof *f);
    if (!f) {
        tarn_fail("%s: no memory", who);
        return NULL;
    }
    f->feed = (tarn__feed){.begin = dataset_begin,
                           .fetch = dataset_fetch,
                           .example = dataset_example,
                           .label = dataset_label,
                           .free = dataset_feed_free,
                           .count = images->shape[0]};
    f->labels = labels;
    f->image_data = tarn_data(images);
    f->label_data = tarn_data(labels);
    bool ok = f->image_data && f->label_data &&
              tarn__example_of(who, images->dtype, images->ndim, images->shape, &f->feed.shape);
    f->example_bytes = (size_t)f->feed.shape.numel * tarn_dtype_size(images->dtype);
    if (ok && shuffle && !(f->order = tarn__allocate((size_t)f->feed.count * sizeof f->order[0])))
        ok = tarn_fail("%s: no memory for an order of %lld examples", who, (long long)f->feed.count);
    if (ok)
        return &f->feed;
    dataset_feed_free(&f->feed);
    return NULL;
}

/* ---- from a file: a batch is read, or drawn from a buffer that is kept full, into `batch` */

typedef struct stream_feed {
    tarn__feed feed;
    tarn_idx_reader *reader;
    tarn_tensor *labels;
    size_t example_bytes;
    char *batch; /* [batch_size] examples */
    int64_t *batch_index;
    int64_t next; /* example to be read */

    char *buffer; /* [capacity] examples, of which `held` are there; NULL without shuffling */
    int64_t *buffer_index;
    int64_t capacity, held;
    tarn_rng rng;
} stream_feed;

static bool read_examples(stream_feed *f, int64_t n, char *data, int64_t *index)
{
    if (tarn_idx_read(f->reader, n, data) != n)
        return false;
    for (int64_t i = 0; i < n; i++)
        index[i] = f->next++;
    return true;
}

static bool stream_begin(tarn__feed *feed, tarn_rng rng)
{
    stream_feed *f = (stream_feed *)feed;
    f->rng = rng;
    f->next = f->held = 0;
    if (!tarn_idx_rewind(f->reader))
        return false;
    if (!f->buffer)
        return true;
    f->held = f->capacity < feed->count ? f->capacity : feed->count;
    return read_examples(f, f->held, f->buffer, f->buffer_index);
}

/* One of the buffer's examples goes to `data`; the next of the file, or else the buffer's last, takes its
 * place. */
static bool draw(stream_feed *f, char *data, int64_t *index)
{
    size_t j = (size_t)tarn_rng_below(&f->rng, (uint64_t)f->held);
    char *drawn = f->buffer + j * f->example_bytes;
    memcpy(data, drawn, f->example_bytes);
    *index = f->buffer_index[j];
    if (f->next < f->feed.count)
        return read_examples(f, 1, drawn, &f->buffer_index[j]);
    f->held--;
    memmove(drawn, f->buffer + (size_t)f->held * f->example_bytes, f->example_bytes);
    f->buffer_index[j] = f->buffer_index[f->held];
    return true;
}

static bool stream_fetch(tarn__feed *feed, int64_t n)
{
    stream_feed *f = (stream_feed *)feed;
    if (!f->buffer)
        return read_examples(f, n, f->batch, f->batch_index);
    for (int64_t i = 0; i < n; i++)
        if (!draw(f, f->batch + (size_t)i * f->example_bytes, &f->batch_index[i]))
            return false;
    return true;
}

static const void *stream_example(const tarn__feed *feed, int64_t i)
{
    const stream_feed *f = (const stream_feed *)feed;
    return f->batch + (size_t)i * f->example_bytes;
}

static int32_t stream_label(const tarn__feed *feed, int64_t i)
{
    const stream_feed *f = (const stream_feed *)feed;
    return tarn__label(f->labels, f->labels->data, f->batch_index[i]);
}

static void stream_feed_free(tarn__feed *feed)
{
    stream_feed *f = (stream_feed *)feed;
    tarn_idx_close(f->reader);
    tarn_tensor_free(f->labels);
    tarn__release(f->batch);
    tarn__release(f->batch_index);
    tarn__release(f->buffer);
    tarn__release(f->buffer_index);
    tarn__release(f);
}

static bool open_files(const char *who, stream_feed *f, const char *images_path, const char *labels_path)
{
    int64_t classes;
    if (!(f->reader = tarn_idx_open(images_path)) || !(f->labels = tarn_idx_load(labels_path)))
        return false;
    f->feed.count = tarn_idx_shape(f->reader)[0];
    return tarn__example_of(who, tarn_idx_dtype(f->reader), tarn_idx_ndim(f->reader), tarn_idx_shape(f->reader),
                            &f->feed.shape) &&
           tarn__labels_usable(who, f->labels, f->feed.count, &classes);
}

/* Room for n examples and their numbers. */
static bool make_room(const char *who, const stream_feed *f, int64_t n, char **data, int64_t **index)
{
    bool fits = f->example_bytes == 0 || (uint64_t)n <= PTRDIFF_MAX / f->example_bytes;
    *data = fits ? tarn__allocate((size_t)n * f->example_bytes) : NULL;
    *index = tarn__allocate((size_t)n * sizeof **index);
    return *data && *index ? true : tarn_fail("%s: no memory for %lld examples", who, (long long)n);
}

tarn__feed *tarn__stream_feed(const char *who, const char *images_path, const char *labels_path,
                              const tarn_loader_opts *opts)
{
    stream_feed *f = tarn__allocate_zeroed(sizeof *f);
    if (!f) {
        tarn_fail("%s: no memory", who);
        return NULL;
    }
    f->feed = (tarn__feed){.begin = stream_begin,
                           .fetch = stream_fetch,
                           .example = stream_example,
                           .label = stream_label,
                           .free = stream_feed_free};
    bool ok = open_files(who, f, images_path, labels_path);
    f->example_bytes = (size_t)f->feed.shape.numel * tarn_dtype_size(f->feed.shape.dtype);
    int64_t count = f->feed.count;
    f->capacity = opts->shuffle_buffer < count ? opts->shuffle_buffer : count;
    ok = ok && make_room(who, f, opts->batch_size < count ? opts->batch_size : count, &f->batch, &f->batch_index);
    if (ok && opts->shuffle)
        ok = make_room(who, f, f->capacity, &f->buffer, &f->buffer_index);
    if (ok)
        return &f->feed;
    stream_feed_free(&f->feed);
    return NULL;
}
