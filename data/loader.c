#include "data/loader.h"
#include "autograd/op.h"
#include "data/loader_impl.h"
#include "tensor/arena.h"
#include "tensor/parallel.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>

enum { DEFAULT_BATCH = 64, DEFAULT_BUFFER = 1024, MAX_BATCH = 1 << 24, EPOCH_SHIFT = 40, TILE = 1 << 16 };

struct tarn_loader {
    tarn__feed *feed;
    tarn_loader_opts opts;
    int64_t batches, epoch, batch; /* in an epoch; under way; given in it */
    bool begun;                    /* the feed stands at `batch` of `epoch` */
    double of_byte[256];           /* x of each u8 value */
    float of_byte_f32[256];
};

/* ---- making */

static bool check_opts(const char *who, tarn_loader_opts *o)
{
    o->batch_size = o->batch_size ? o->batch_size : DEFAULT_BATCH;
    o->std = o->std != 0 ? o->std : 1;
    o->shuffle_buffer = o->shuffle_buffer ? o->shuffle_buffer : DEFAULT_BUFFER;
    if (o->batch_size < 1 || o->batch_size > MAX_BATCH)
        return tarn_fail("%s: batch_size %" PRId64 ", expected 1 to %d", who, o->batch_size, MAX_BATCH);
    if (o->shuffle_buffer < 1 || o->shuffle_buffer > MAX_BATCH)
        return tarn_fail("%s: shuffle_buffer %" PRId64 ", expected 1 to %d", who, o->shuffle_buffer, MAX_BATCH);
    if (!tarn__is_float(o->dtype))
        return tarn_fail("%s: dtype %s, expected f32 or f64", who, tarn_dtype_name(o->dtype));
    if (!isfinite(o->mean) || !isfinite(o->std) || o->std < 0)
        return tarn_fail("%s: mean %g and std %g, expected a finite mean and a std above 0", who, o->mean, o->std);
    return true;
}

static int64_t batches_of(int64_t count, const tarn_loader_opts *o)
{
    return count / o->batch_size + (!o->drop_last && count % o->batch_size != 0);
}

/* Takes the feed, which may be NULL. */
static tarn_loader *loader_over(const char *who, tarn__feed *feed, const tarn_loader_opts *opts)
{
    if (!feed)
        return NULL;
    tarn_loader *l = NULL;
    if (batches_of(feed->count, opts) == 0)
        tarn_fail("%s: %" PRId64 " examples make no batch of %" PRId64, who, feed->count, opts->batch_size);
    else if (!(l = tarn__allocate_zeroed(sizeof *l)))
        tarn_fail("%s: no memory", who);
    if (!l) {
        feed->free(feed);
        return NULL;
    }
    l->feed = feed;
    l->opts = *opts;
    l->batches = batches_of(feed->count, opts);
    for (int i = 0; i < 256; i++)
        l->of_byte_f32[i] = (float)(l->of_byte[i] = (i / 255.0 - opts->mean) / opts->std);
    return l;
}

tarn_loader *tarn_loader_new(tarn_dataset *dataset, const tarn_loader_opts *opts)
{
    const char *who = "tarn_loader_new";
    tarn_loader_opts o = opts ? *opts : (tarn_loader_opts){0};
    if (!tarn__usable(who, dataset, "dataset") || !check_opts(who, &o))
        return NULL;
    return loader_over(who, tarn__dataset_feed(who, dataset, o.shuffle), &o);
}

tarn_loader *tarn_loader_new_streamed(const char *images_path, const char *labels_path, const tarn_loader_opts *opts)
{
    const char *who = "tarn_loader_new_streamed";
    tarn_loader_opts o = opts ? *opts : (tarn_loader_opts){0};
    if (!tarn__usable(who, images_path, "images_path") || !tarn__usable(who, labels_path, "labels_path") ||
        !check_opts(who, &o))
        return NULL;
    return loader_over(who, tarn__stream_feed(who, images_path, labels_path, &o), &o);
}

void tarn_loader_free(tarn_loader *l)
{
    if (!l)
        return;
    l->feed->free(l->feed);
    tarn__release(l);
}

/* ---- batches */

typedef struct conversion {
    const tarn_loader *loader;
    void *x;
    int64_t n, grain; /* examples in the batch, and in a tile */
} conversion;

static double value_at(const tarn_loader *l, const void *in, int64_t i)
{
    switch (l->feed->shape.dtype) {
    case TARN_U8:
        return l->of_byte[((const uint8_t *)in)[i]];
    case TARN_F32:
        return ((double)((const float *)in)[i] - l->opts.mean) / l->opts.std;
    default:
        return (((const double *)in)[i] - l->opts.mean) / l->opts.std;
    }
}

static void convert_example(const tarn_loader *l, const void *in, void *x, int64_t first, int64_t n)
{
    if (l->opts.dtype == TARN_F64)
        for (int64_t j = 0; j < n; j++)
            ((double *)x)[first + j] = value_at(l, in, j);
    else if (l->feed->shape.dtype == TARN_U8)
        for (int64_t j = 0; j < n; j++)
            ((float *)x)[first + j] = l->of_byte_f32[((const uint8_t *)in)[j]];
    else
        for (int64_t j = 0; j < n; j++)
            ((float *)x)[first + j] = (float)value_at(l, in, j);
}

static void convert_tile(void *context, int64_t tile)
{
    const conversion *c = context;
    int64_t numel = c->loader->feed->shape.numel, first = tile * c->grain;
    int64_t last = first + c->grain < c->n ? first + c->grain : c->n;
    for (int64_t i = first; i < last; i++)
        convert_example(c->loader, c->loader->feed->example(c->loader->feed, i), c->x, i * numel, numel);
}

static void convert(const tarn_loader *l, void *x, int64_t n)
{
    int64_t numel = l->feed->shape.numel, grain = numel > 0 && numel < TILE ? TILE / numel : 1;
    tarn__parallel_for(tarn__tiles(n, grain), convert_tile, &(conversion){l, x, n, grain});
}

/* Each epoch draws from a part of the seed's stream that no other epoch, and no user who starts at its
 * beginning, reaches. */
static bool begin_epoch(const tarn_loader *l)
{
    return l->feed->begin(l->feed, (tarn_rng){l->opts.seed, ((uint64_t)l->epoch + 1) << EPOCH_SHIFT});
}

static int64_t batch_size_at(const tarn_loader *l, int64_t batch)
{
    int64_t left = l->feed->count - batch * l->opts.batch_size;
    return left < l->opts.batch_size ? left : l->opts.batch_size;
}

bool tarn_loader_next(tarn_loader *l, tarn_tape *t, tarn_batch *b)
{
    const char *who = "tarn_loader_next";
    if (b)
        *b = (tarn_batch){NULL, NULL};
    if (!tarn__usable(who, l, "loader") || !tarn__usable(who, t, "tape") || !tarn__usable(who, b, "batch"))
        return false;
    if (l->batch == l->batches) {
        l->epoch++;
        l->batch = 0;
        l->begun = false;
        return false;
    }
    if (!l->begun && !tarn_loader_seek(l, l->epoch, l->batch))
        return false;
    int64_t n = batch_size_at(l, l->batch), shape[TARN_MAX_DIMS] = {n};
    for (int i = 0; i < l->feed->shape.ndim; i++)
        shape[i + 1] = l->feed->shape.shape[i];
    tarn_tensor *x = tarn__tape_leaf(who, t, l->opts.dtype, l->feed->shape.ndim + 1, shape);
    tarn_tensor *labels = tarn__tape_leaf(who, t, TARN_I32, 1, &n);
    if (!x || !labels)
        return false;
    if (!l->feed->fetch(l->feed, n)) {
        l->begun = false;
        return false;
    }
    convert(l, x->data, n);
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)labels->data)[i] = l->feed->label(l->feed, i);
    l->batch++;
    *b = (tarn_batch){x, labels};
    return true;
}

/* ---- where it is */

int64_t tarn_loader_examples(const tarn_loader *l)
{
    if (!l)
        return 0;
    int64_t whole = l->batches * l->opts.batch_size;
    return whole < l->feed->count ? whole : l->feed->count;
}

int64_t tarn_loader_batches(const tarn_loader *l)
{
    return l ? l->batches : 0;
}

int64_t tarn_loader_epoch(const tarn_loader *l)
{
    return l ? l->epoch : 0;
}

int64_t tarn_loader_batch(const tarn_loader *l)
{
    return l ? l->batch : 0;
}

bool tarn_loader_seek(tarn_loader *l, int64_t epoch, int64_t batch)
{
    if (!tarn__usable("tarn_loader_seek", l, "loader"))
        return false;
    if (epoch < 0 || batch < 0 || batch > l->batches)
        return tarn_fail("tarn_loader_seek: batch %" PRId64 " of epoch %" PRId64 ", expected 0 to %" PRId64
                         " of 0 or more",
                         batch, epoch, l->batches);
    int64_t old_epoch = l->epoch, old_batch = l->batch;
    l->epoch = epoch;
    bool ok = begin_epoch(l);
    for (int64_t i = 0; ok && i < batch; i++)
        ok = l->feed->fetch(l->feed, batch_size_at(l, i));
    l->begun = ok; /* if not, the next batch first finds its place again */
    l->epoch = ok ? epoch : old_epoch;
    l->batch = ok ? batch : old_batch;
    return ok;
}
