#include "data/loader.h"
#include "autograd/op.h"
#include "data/loader_impl.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>

enum { DEFAULT_BATCH = 64, DEFAULT_BUFFER = 1024, DEFAULT_AHEAD = 2, MAX_BATCH = 1 << 24, MAX_AHEAD = 64 };
enum { MAX_EPOCH = (1 << 24) - 2 }; /* the last with random numbers of its own */

struct tarn_loader {
    tarn__batcher batcher;
    tarn__ahead *ahead;   /* NULL: batches are made when they are asked for */
    int64_t epoch, batch; /* under way; given in it */
};

/* ---- making */

static bool check_opts(const char *who, tarn_loader_opts *o)
{
    o->batch_size = o->batch_size ? o->batch_size : DEFAULT_BATCH;
    o->std = o->std != 0 ? o->std : 1;
    o->shuffle_buffer = o->shuffle_buffer ? o->shuffle_buffer : DEFAULT_BUFFER;
    o->ahead = o->ahead ? o->ahead : DEFAULT_AHEAD;
    if (!tarn__is_float(o->dtype))
        return tarn_fail("%s: dtype %s, expected f32 or f64", who, tarn_dtype_name(o->dtype));
    return tarn__is_count(who, "batch_size", o->batch_size, 1, MAX_BATCH) &&
           tarn__is_count(who, "shuffle_buffer", o->shuffle_buffer, 1, MAX_BATCH) &&
           tarn__is_count(who, "ahead", o->ahead, -1, MAX_AHEAD) && tarn__is_in(who, "mean", o->mean, TARN__FINITE) &&
           tarn__is_in(who, "std", o->std, TARN__POSITIVE);
}

tarn_loader *tarn__loader_over(const char *who, tarn__feed *feed, const tarn_loader_opts *opts)
{
    if (!feed)
        return NULL;
    tarn_loader *l = tarn__allocate_zeroed(sizeof *l);
    if (!l) {
        tarn_fail("%s: no memory", who);
        feed->free(feed);
        return NULL;
    }
    tarn__batcher_init(&l->batcher, feed, opts);
    if (l->batcher.batches == 0)
        tarn_fail("%s: %" PRId64 " examples make no batch of %" PRId64, who, feed->count, opts->batch_size);
    else if (opts->ahead < 0 || (l->ahead = tarn__ahead_new(who, &l->batcher)))
        return l;
    tarn_loader_free(l);
    return NULL;
}

tarn_loader *tarn_loader_new(tarn_dataset *dataset, const tarn_loader_opts *opts)
{
    const char *who = "tarn_loader_new";
    tarn_loader_opts o = opts ? *opts : (tarn_loader_opts){0};
    if (!tarn__usable(who, dataset, "dataset") || !check_opts(who, &o))
        return NULL;
    return tarn__loader_over(who, tarn__dataset_feed(who, dataset, o.shuffle), &o);
}

tarn_loader *tarn_loader_new_streamed(const char *images_path, const char *labels_path, const tarn_loader_opts *opts)
{
    const char *who = "tarn_loader_new_streamed";
    tarn_loader_opts o = opts ? *opts : (tarn_loader_opts){0};
    if (!tarn__usable(who, images_path, "images_path") || !tarn__usable(who, labels_path, "labels_path") ||
        !check_opts(who, &o))
        return NULL;
    return tarn__loader_over(who, tarn__stream_feed(who, images_path, labels_path, &o), &o);
}

void tarn_loader_free(tarn_loader *l)
{
    if (!l)
        return;
    tarn__ahead_free(l->ahead); /* before what its thread reads */
    l->batcher.feed->free(l->batcher.feed);
    tarn__release(l);
}

/* ---- batches */

/* Where no thread can be had, batches are made here. */
static bool make_batch(tarn_loader *l, int64_t n, void *x, int32_t *labels)
{
    if (l->ahead && !tarn__ahead_run(l->ahead)) {
        tarn__ahead_free(l->ahead);
        l->ahead = NULL;
    }
    return l->ahead ? tarn__ahead_take(l->ahead, n, x, labels) : tarn__batcher_next(&l->batcher, x, labels, true);
}

bool tarn_loader_next(tarn_loader *l, tarn_tape *t, tarn_batch *b)
{
    const char *who = "tarn_loader_next";
    if (b)
        *b = (tarn_batch){NULL, NULL};
    if (!tarn__usable(who, l, "loader") || !tarn__usable(who, t, "tape") || !tarn__usable(who, b, "batch") ||
        !tarn__ahead_is_here(who, l->ahead))
        return false;
    if (l->batch == l->batcher.batches) {
        l->epoch++;
        l->batch = 0;
        return false;
    }
    const tarn__example *example = &l->batcher.feed->shape;
    int64_t n = tarn__batch_examples(&l->batcher, l->batch), shape[TARN_MAX_DIMS] = {n};
    for (int i = 0; i < example->ndim; i++)
        shape[i + 1] = example->shape[i];
    tarn_tensor *x = tarn__tape_leaf(who, t, l->batcher.opts.dtype, example->ndim + 1, shape);
    tarn_tensor *labels = tarn__tape_leaf(who, t, TARN_I32, 1, &n);
    if (!x || !labels || !make_batch(l, n, x->data, labels->data))
        return false;
    l->batch++;
    *b = (tarn_batch){x, labels};
    return true;
}

/* ---- where it is */

int64_t tarn_loader_examples(const tarn_loader *l)
{
    if (!l)
        return 0;
    int64_t whole = l->batcher.batches * l->batcher.opts.batch_size, count = l->batcher.feed->count;
    return whole < count ? whole : count;
}

int64_t tarn_loader_batches(const tarn_loader *l)
{
    return l ? l->batcher.batches : 0;
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
    if (!tarn__usable("tarn_loader_seek", l, "loader") || !tarn__ahead_is_here("tarn_loader_seek", l->ahead))
        return false;
    if (epoch < 0 || epoch > MAX_EPOCH || batch < 0 || batch > l->batcher.batches)
        return tarn_fail("tarn_loader_seek: batch %" PRId64 " of epoch %" PRId64 ", expected 0 to %" PRId64
                         " of 0 to %d",
                         batch, epoch, l->batcher.batches, MAX_EPOCH);
    tarn__ahead_halt(l->ahead);
    tarn__batcher_place(&l->batcher, epoch, batch);
    if (!tarn__batcher_begin(&l->batcher)) {
        tarn__batcher_place(&l->batcher, l->epoch, l->batch);
        return false;
    }
    l->epoch = epoch;
    l->batch = batch;
    return true;
}
