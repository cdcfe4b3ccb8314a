/* Batches from a feed: gathered, and converted to the loader's dtype and scale. */
#include "data/loader_impl.h"
#include "tensor/parallel.h"
#include "tensor/tensor_impl.h"

enum { EPOCH_SHIFT = 40, TILE = 1 << 16 };

void tarn__batcher_init(tarn__batcher *b, tarn__feed *feed, const tarn_loader_opts *opts)
{
    *b = (tarn__batcher){.feed = feed, .opts = *opts};
    b->batches = feed->count / opts->batch_size + (!opts->drop_last && feed->count % opts->batch_size != 0);
    for (int i = 0; i < 256; i++)
        b->of_byte_f32[i] = (float)(b->of_byte[i] = (i / 255.0 - opts->mean) / opts->std);
}

int64_t tarn__batch_examples(const tarn__batcher *b, int64_t batch)
{
    int64_t left = b->feed->count - batch * b->opts.batch_size;
    return left < b->opts.batch_size ? left : b->opts.batch_size;
}

/* ---- conversion */

typedef struct conversion {
    const tarn__batcher *batcher;
    void *x;
    int64_t n, grain; /* examples in the batch, and in a tile */
} conversion;

static double value_at(const tarn__batcher *b, const void *in, int64_t i)
{
    switch (b->feed->shape.dtype) {
    case TARN_U8:
        return b->of_byte[((const uint8_t *)in)[i]];
    case TARN_F32:
        return ((double)((const float *)in)[i] - b->opts.mean) / b->opts.std;
    default:
        return (((const double *)in)[i] - b->opts.mean) / b->opts.std;
    }
}

static void convert_example(const tarn__batcher *b, const void *in, void *x, int64_t first, int64_t n)
{
    if (b->opts.dtype == TARN_F64)
        for (int64_t j = 0; j < n; j++)
            ((double *)x)[first + j] = value_at(b, in, j);
    else if (b->feed->shape.dtype == TARN_U8)
        for (int64_t j = 0; j < n; j++)
            ((float *)x)[first + j] = b->of_byte_f32[((const uint8_t *)in)[j]];
    else
        for (int64_t j = 0; j < n; j++)
            ((float *)x)[first + j] = (float)value_at(b, in, j);
}

static void convert_tile(void *context, int64_t tile)
{
    const conversion *c = context;
    const tarn__feed *feed = c->batcher->feed;
    int64_t numel = feed->shape.numel, first = tile * c->grain;
    int64_t last = first + c->grain < c->n ? first + c->grain : c->n;
    for (int64_t i = first; i < last; i++)
        convert_example(c->batcher, feed->example(feed, i), c->x, i * numel, numel);
}

static void convert(const tarn__batcher *b, void *x, int64_t n, bool parallel)
{
    int64_t numel = b->feed->shape.numel, grain = numel > 0 && numel < TILE ? TILE / numel : 1;
    if (!parallel)
        convert_tile(&(conversion){b, x, n, n}, 0);
    else
        tarn__parallel_for(tarn__tiles(n, grain), convert_tile, &(conversion){b, x, n, grain});
}

/* ---- one after the other */

void tarn__batcher_place(tarn__batcher *b, int64_t epoch, int64_t batch)
{
    b->epoch = epoch;
    b->batch = batch;
    b->begun = false;
}

/* Each epoch draws from a part of the seed's stream that no other epoch, and no user who starts at its
 * beginning, reaches. */
bool tarn__batcher_begin(tarn__batcher *b)
{
    bool ok = b->feed->begin(b->feed, (tarn_rng){b->opts.seed, ((uint64_t)b->epoch + 1) << EPOCH_SHIFT});
    for (int64_t i = 0; ok && i < b->batch; i++)
        ok = b->feed->fetch(b->feed, tarn__batch_examples(b, i));
    return b->begun = ok;
}

bool tarn__batcher_next(tarn__batcher *b, void *x, int32_t *labels, bool parallel)
{
    if (b->batch == b->batches)
        tarn__batcher_place(b, b->epoch + 1, 0);
    if (!b->begun && !tarn__batcher_begin(b))
        return false;
    int64_t n = tarn__batch_examples(b, b->batch);
    if (!b->feed->fetch(b->feed, n)) {
        b->begun = false;
        return false;
    }
    convert(b, x, n, parallel);
    for (int64_t i = 0; i < n; i++)
        labels[i] = b->feed->label(b->feed, i);
    b->batch++;
    return true;
}
