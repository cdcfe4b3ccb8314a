#include "data/loader.h"
#include "autograd/op.h"
#include "data/idx.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { DEFAULT_BATCH = 64, DEFAULT_BUFFER = 4096, LEVELS = 256 };

/* An example as it is stored. */
typedef struct example {
    const uint8_t *pixels;
    int32_t label;
} example;

struct tarn_loader {
    tarn_loader_opts opts;
    int64_t count;    /* examples */
    int64_t shape[4]; /* of one example, behind the batch axis: shape[1..3] */
    int64_t pixels;   /* of one example */
    double levels[LEVELS];
    int64_t epoch, drawn; /* the epoch under way, and how many of its examples have been drawn */
    bool begun;           /* the epoch's order is there */

    const tarn_dataset *dataset; /* NULL: streamed */
    int64_t *order;

    tarn_idx_reader *images, *labels;
    uint8_t *buffer; /* examples that were read and not yet drawn, then the one that is being drawn */
    int32_t *buffer_labels;
    int64_t buffered;
    tarn_rng rng;
};

static bool options_valid(const tarn_loader_opts *o)
{
    if (o->batch_size < 1 || o->shuffle_buffer < 1)
        return tarn_fail("tarn_loader_new: batch_size %" PRId64 " and shuffle_buffer %" PRId64 ", expected 1 or more",
                         o->batch_size, o->shuffle_buffer);
    if (!tarn__is_float(o->dtype))
        return tarn_fail("tarn_loader_new: dtype %s, expected f32 or f64", tarn_dtype_name(o->dtype));
    if (!isfinite(o->mean) || !isfinite(o->std) || o->std < 0)
        return tarn_fail("tarn_loader_new: mean %g and std %g, expected finite numbers and std >= 0", o->mean, o->std);
    return true;
}

/* A loader without its source. */
static tarn_loader *loader_new(const tarn_loader_opts *opts)
{
    tarn_loader_opts o = opts ? *opts : (tarn_loader_opts){0};
    o.batch_size = o.batch_size ? o.batch_size : DEFAULT_BATCH;
    o.shuffle_buffer = o.shuffle_buffer ? o.shuffle_buffer : DEFAULT_BUFFER;
    o.std = o.std != 0 ? o.std : 1;
    if (!options_valid(&o))
        return NULL;
    tarn_loader *l = tarn__allocate_zeroed(sizeof *l);
    if (!l) {
        tarn_fail("tarn_loader_new: no memory");
        return NULL;
    }
    l->opts = o;
    for (int i = 0; i < LEVELS; i++)
        l->levels[i] = (i / 255.0 - o.mean) / o.std;
    return l;
}

/* count examples of [h,w,c] */
static bool set_size(tarn_loader *l, int64_t count, int64_t h, int64_t w, int64_t c)
{
    l->count = count;
    memcpy(l->shape, (const int64_t[]){0, h, w, c}, sizeof l->shape);
    l->pixels = h * w * c;
    return count > 0 && l->pixels > 0 ? true : tarn_fail("tarn_loader_new: the data set is empty");
}

tarn_loader *tarn_loader_new(const tarn_dataset *dataset, const tarn_loader_opts *opts)
{
    if (!tarn__usable("tarn_loader_new", dataset, "dataset"))
        return NULL;
    tarn_loader *l = loader_new(opts);
    if (!l)
        return NULL;
    const int64_t *shape = tarn_shape(tarn_dataset_images(dataset));
    l->dataset = dataset;
    bool ok = set_size(l, shape[0], shape[1], shape[2], shape[3]);
    if (ok && !(l->order = tarn__allocate((size_t)l->count * sizeof *l->order)))
        ok = tarn_fail("tarn_loader_new: no memory for the order of %" PRId64 " examples", l->count);
    if (ok)
        return l;
    tarn_loader_free(l);
    return NULL;
}

static bool open_stream(tarn_loader *l, const char *images, const char *labels)
{
    if (!(l->images = tarn_idx_open(images)) || !(l->labels = tarn_idx_open(labels)))
        return false;
    int ndim = tarn_idx_ndim(l->images);
    const int64_t *shape = tarn_idx_shape(l->images), *label_shape = tarn_idx_shape(l->labels);
    tarn_dtype label_dtype = tarn_idx_dtype(l->labels);
    if (tarn_idx_dtype(l->images) != TARN_U8 || (ndim != 3 && ndim != 4))
        return tarn_fail("tarn_loader_new_streamed: %s: expected u8 images with 3 or 4 dimensions", images);
    if (tarn_idx_ndim(l->labels) != 1 || (label_dtype != TARN_U8 && label_dtype != TARN_I32))
        return tarn_fail("tarn_loader_new_streamed: %s: expected integer labels with 1 dimension", labels);
    if (shape[0] != label_shape[0])
        return tarn_fail("tarn_loader_new_streamed: %" PRId64 " images and %" PRId64 " labels", shape[0],
                         label_shape[0]);
    return set_size(l, shape[0], shape[1], shape[2], ndim == 4 ? shape[3] : 1);
}

tarn_loader *tarn_loader_new_streamed(const char *images, const char *labels, const tarn_loader_opts *opts)
{
    if (!tarn__usable("tarn_loader_new_streamed", images, "images") ||
        !tarn__usable("tarn_loader_new_streamed", labels, "labels"))
        return NULL;
    tarn_loader *l = loader_new(opts);
    if (!l)
        return NULL;
    bool ok = open_stream(l, images, labels);
    if (ok) {
        int64_t room = l->opts.shuffle ? l->opts.shuffle_buffer : 1;
        l->opts.shuffle_buffer = room < l->count ? room : l->count;
        size_t slots = (size_t)l->opts.shuffle_buffer + 1;
        if ((size_t)l->pixels < SIZE_MAX / slots) {
            l->buffer = tarn__allocate(slots * (size_t)l->pixels);
            l->buffer_labels = tarn__allocate(slots * sizeof *l->buffer_labels);
        }
        if (!l->buffer || !l->buffer_labels)
            ok = tarn_fail("tarn_loader_new_streamed: no memory for %zu examples", slots);
    }
    if (ok)
        return l;
    tarn_loader_free(l);
    return NULL;
}

void tarn_loader_free(tarn_loader *l)
{
    if (!l)
        return;
    tarn__release(l->order);
    tarn_idx_close(l->images);
    tarn_idx_close(l->labels);
    tarn__release(l->buffer);
    tarn__release(l->buffer_labels);
    tarn__release(l);
}

/* ---- drawing examples ---- */

static bool read_into(tarn_loader *l, int64_t slot)
{
    int32_t *label = &l->buffer_labels[slot];
    uint8_t narrow;
    bool wide = tarn_idx_dtype(l->labels) == TARN_I32;
    if (tarn_idx_read(l->images, 1, l->buffer + slot * l->pixels) != 1 ||
        tarn_idx_read(l->labels, 1, wide ? (void *)label : (void *)&narrow) != 1)
        return tarn_fail("tarn_loader_next: a streamed file ended early");
    if (!wide)
        *label = narrow;
    return *label >= 0 ? true : tarn_fail("tarn_loader_next: label %" PRId32 ", expected 0 or more", *label);
}

/* Every epoch draws from a stretch of the stream of random numbers that begins at its number. */
static bool begin_epoch(tarn_loader *l)
{
    l->rng = (tarn_rng){l->opts.seed, (uint64_t)l->epoch << 32};
    l->drawn = 0;
    if (l->dataset) {
        for (int64_t i = 0; i < l->count; i++)
            l->order[i] = i;
        l->begun = !l->opts.shuffle || tarn_rng_permutation(&l->rng, (size_t)l->count, l->order);
        return l->begun;
    }
    l->buffered = 0;
    if (!tarn_idx_rewind(l->images) || !tarn_idx_rewind(l->labels))
        return false;
    while (l->buffered < l->opts.shuffle_buffer) {
        if (!read_into(l, l->buffered))
            return false;
        l->buffered++;
    }
    l->begun = true;
    return true;
}

static void move_slot(tarn_loader *l, int64_t to, int64_t from)
{
    memmove(l->buffer + to * l->pixels, l->buffer + from * l->pixels, (size_t)l->pixels);
    l->buffer_labels[to] = l->buffer_labels[from];
}

/* A random slot goes out; the next example of the files takes its place, or, when they have ended, the last slot does. */
static bool draw_streamed(tarn_loader *l, example *out)
{
    int64_t out_slot = l->opts.shuffle_buffer, slot = 0;
    if (l->opts.shuffle)
        slot = (int64_t)tarn_rng_below(&l->rng, (uint64_t)l->buffered);
    move_slot(l, out_slot, slot);
    if (l->drawn + l->buffered < l->count) {
        if (!read_into(l, slot))
            return false;
    } else {
        move_slot(l, slot, --l->buffered);
    }
    *out = (example){l->buffer + out_slot * l->pixels, l->buffer_labels[out_slot]};
    return true;
}

static bool draw(tarn_loader *l, example *out)
{
    if (l->dataset) {
        const tarn_tensor *images = tarn_dataset_images(l->dataset), *labels = tarn_dataset_labels(l->dataset);
        int64_t i = l->order[l->drawn];
        *out = (example){(const uint8_t *)images->data + i * l->pixels, (int32_t)tarn__load(labels, i)};
    } else if (!draw_streamed(l, out)) {
        return false;
    }
    l->drawn++;
    return true;
}

static int64_t epoch_examples(const tarn_loader *l)
{
    return l->opts.drop_last ? l->count - l->count % l->opts.batch_size : l->count;
}

static void normalize(const tarn_loader *l, const uint8_t *pixels, tarn_tensor *x, int64_t row)
{
    if (x->dtype == TARN_F64) {
        double *to = (double *)x->data + row * l->pixels;
        for (int64_t i = 0; i < l->pixels; i++)
            to[i] = l->levels[pixels[i]];
    } else {
        float *to = (float *)x->data + row * l->pixels;
        for (int64_t i = 0; i < l->pixels; i++)
            to[i] = (float)l->levels[pixels[i]];
    }
}

bool tarn_loader_next(tarn_loader *l, tarn_tape *t, tarn_batch *batch)
{
    if (!tarn__usable("tarn_loader_next", l, "loader") || !tarn__usable("tarn_loader_next", t, "tape") ||
        !tarn__usable("tarn_loader_next", batch, "batch"))
        return false;
    *batch = (tarn_batch){NULL, NULL};
    if (!l->begun && !begin_epoch(l))
        return false;
    int64_t left = epoch_examples(l) - l->drawn;
    if (left <= 0) {
        l->epoch++;
        l->begun = false;
        l->drawn = 0;
        return false;
    }
    int64_t n = left < l->opts.batch_size ? left : l->opts.batch_size;
    l->shape[0] = n;
    tarn_batch b = {tarn__tape_leaf("tarn_loader_next", t, l->opts.dtype, 4, l->shape),
                    tarn__tape_leaf("tarn_loader_next", t, TARN_I32, 1, &n)};
    for (int64_t i = 0; i < n && b.x && b.labels; i++) {
        example drawn;
        if (!draw(l, &drawn))
            return false;
        normalize(l, drawn.pixels, b.x, i);
        ((int32_t *)b.labels->data)[i] = drawn.label;
    }
    if (!b.x || !b.labels)
        return false;
    *batch = b;
    return true;
}

/* ---- where it stands ---- */

int64_t tarn_loader_batches(const tarn_loader *l)
{
    return l ? epoch_examples(l) / l->opts.batch_size + (epoch_examples(l) % l->opts.batch_size != 0) : 0;
}

int64_t tarn_loader_epoch(const tarn_loader *l)
{
    return l ? l->epoch : 0;
}

int64_t tarn_loader_position(const tarn_loader *l)
{
    return l && l->begun ? (l->drawn + l->opts.batch_size - 1) / l->opts.batch_size : 0;
}

bool tarn_loader_seek(tarn_loader *l, int64_t epoch, int64_t position)
{
    if (!tarn__usable("tarn_loader_seek", l, "loader"))
        return false;
    if (epoch < 0 || epoch > INT32_MAX || position < 0 || position > tarn_loader_batches(l))
        return tarn_fail("tarn_loader_seek: epoch %" PRId64 ", batch %" PRId64 ": expected 0 to 2^31-1, and 0 to %" PRId64,
                         epoch, position, tarn_loader_batches(l));
    l->epoch = epoch;
    if (!begin_epoch(l))
        return false;
    int64_t target = position * l->opts.batch_size, last = epoch_examples(l);
    target = target < last ? target : last;
    if (l->dataset) {
        l->drawn = target;
        return true;
    }
    for (example skipped; l->drawn < target;)
        if (!draw(l, &skipped))
            return false;
    return true;
}
