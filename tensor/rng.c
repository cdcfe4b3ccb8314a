#include "tensor/rng.h"
#include "tensor/parallel.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"

#include <math.h>

/* Philox4x32: the multipliers and the key's Weyl steps of the paper, section 3.3 and its reference code. */
enum { ROUNDS = 10, TILE_BLOCKS = 4096 };
static const uint32_t M0 = 0xD2511F53u, M1 = 0xCD9E8D57u, W0 = 0x9E3779B9u, W1 = 0xBB67AE85u;
static const double TWO_PI = 6.283185307179586476925287;

tarn_rng tarn_rng_seed(uint64_t seed)
{
    return (tarn_rng){seed, 0};
}

static inline void philox_rounds(uint32_t k0, uint32_t k1, uint32_t c[4])
{
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)M0 * c[0], p1 = (uint64_t)M1 * c[2];
        uint32_t c1 = c[1], c3 = c[3];
        c[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c[3] = (uint32_t)p0;
        k0 += W0;
        k1 += W1;
    }
}

void tarn__philox4x32(const uint32_t key[2], uint32_t counter[4])
{
    philox_rounds(key[0], key[1], counter);
}

void tarn_philox(uint64_t key, uint64_t counter, uint32_t words[4])
{
    if (!words) {
        tarn_fail("tarn_philox: words is NULL");
        return;
    }
    words[0] = (uint32_t)counter;
    words[1] = (uint32_t)(counter >> 32);
    words[2] = words[3] = 0;
    philox_rounds((uint32_t)key, (uint32_t)(key >> 32), words);
}

/* [0,1) with 24 and 53 random bits: every value is a multiple of 2^-24, 2^-53. */
static inline float unit_f32(uint32_t w)
{
    return (float)(w >> 8) * 0x1p-24f;
}

static inline double unit_f64(uint32_t low, uint32_t high)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

/* ---- one at a time ---- */

static bool next_block(const char *who, tarn_rng *rng, uint32_t words[4])
{
    if (!rng)
        return tarn_fail("%s: rng is NULL", who);
    if (tarn_error())
        return false;
    tarn_philox(rng->key, rng->counter++, words);
    return true;
}

double tarn_rng_uniform(tarn_rng *rng)
{
    uint32_t w[4] = {0};
    return next_block("tarn_rng_uniform", rng, w) ? unit_f64(w[0], w[1]) : NAN;
}

static inline void box_muller(double u, double v, double *first, double *second)
{
    double radius = sqrt(-2 * log(1 - u));
    *first = radius * cos(TWO_PI * v);
    *second = radius * sin(TWO_PI * v);
}

double tarn_rng_normal(tarn_rng *rng)
{
    uint32_t w[4] = {0};
    if (!next_block("tarn_rng_normal", rng, w))
        return NAN;
    double first, second;
    box_muller(unit_f64(w[0], w[1]), unit_f64(w[2], w[3]), &first, &second);
    return first;
}

uint64_t tarn_rng_below(tarn_rng *rng, uint64_t bound)
{
    if (bound == 0) {
        tarn_fail("tarn_rng_below: bound is 0, expected 1 or more");
        return 0;
    }
    uint64_t rest = (UINT64_MAX % bound + 1) % bound; /* 2^64 mod bound: values above the last whole multiple repeat */
    uint32_t w[4] = {0};
    while (next_block("tarn_rng_below", rng, w)) {
        uint64_t value = (uint64_t)w[1] << 32 | w[0];
        if (rest == 0 || value < UINT64_MAX - rest + 1)
            return value % bound;
    }
    return 0;
}

/* ---- many at a time ---- */

typedef struct fill {
    tarn_rng rng;
    size_t n, per_block;
    const void *in; /* of dropout: what is kept or dropped */
    void *out;
    double a, b; /* low and span, mean and std, or the probability */
    void (*block)(const struct fill *f, const uint32_t w[4], size_t count, size_t at);
} fill;

static void fill_tile(void *context, int64_t tile)
{
    const fill *f = context;
    size_t blocks = (f->n + f->per_block - 1) / f->per_block;
    size_t first = (size_t)tile * TILE_BLOCKS, last = first + TILE_BLOCKS < blocks ? first + TILE_BLOCKS : blocks;
    for (size_t i = first; i < last; i++) {
        uint32_t w[4];
        tarn_philox(f->rng.key, f->rng.counter + i, w);
        size_t at = i * f->per_block, left = f->n - at;
        f->block(f, w, left < f->per_block ? left : f->per_block, at);
    }
}

static bool fill_run(const char *who, tarn_rng *rng, fill f)
{
    if (tarn_error())
        return false;
    if (!rng || (!f.out && f.n > 0))
        return tarn_fail("%s: %s is NULL", who, rng ? "out" : "rng");
    f.rng = *rng;
    size_t blocks = f.n / f.per_block + (f.n % f.per_block != 0);
    tarn__parallel_for((int64_t)((blocks + TILE_BLOCKS - 1) / TILE_BLOCKS), fill_tile, &f);
    rng->counter += blocks;
    return true;
}

static void uniform_f32(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    float high = (float)(f->a + f->b);
    for (size_t i = 0; i < count; i++) {
        float value = (float)(f->a + f->b * (double)unit_f32(w[i]));
        ((float *)f->out)[at + i] = value < high || f->b <= 0 ? value : nextafterf(high, (float)f->a);
    }
}

static void uniform_f64(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    double high = f->a + f->b;
    for (size_t i = 0; i < count; i++) {
        double value = f->a + f->b * unit_f64(w[2 * i], w[2 * i + 1]);
        ((double *)f->out)[at + i] = value < high || f->b <= 0 ? value : nextafter(high, f->a);
    }
}

static void normal_f32(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    double z[4];
    box_muller((double)unit_f32(w[0]), (double)unit_f32(w[1]), &z[0], &z[1]);
    box_muller((double)unit_f32(w[2]), (double)unit_f32(w[3]), &z[2], &z[3]);
    for (size_t i = 0; i < count; i++)
        ((float *)f->out)[at + i] = (float)(f->a + f->b * z[i]);
}

static void normal_f64(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    double z[2];
    box_muller(unit_f64(w[0], w[1]), unit_f64(w[2], w[3]), &z[0], &z[1]);
    for (size_t i = 0; i < count; i++)
        ((double *)f->out)[at + i] = f->a + f->b * z[i];
}

static void bernoulli(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    for (size_t i = 0; i < count; i++)
        ((uint8_t *)f->out)[at + i] = (double)w[i] * 0x1p-32 < f->a;
}

bool tarn_rng_fill_uniform_f32(tarn_rng *rng, size_t n, float *out, double low, double high)
{
    return tarn__is_uniform(__func__, false, low, high) &&
           fill_run(__func__, rng,
                    (fill){.n = n, .per_block = 4, .out = out, .a = low, .b = high - low, .block = uniform_f32});
}

bool tarn_rng_fill_uniform_f64(tarn_rng *rng, size_t n, double *out, double low, double high)
{
    return tarn__is_uniform(__func__, true, low, high) &&
           fill_run(__func__, rng,
                    (fill){.n = n, .per_block = 2, .out = out, .a = low, .b = high - low, .block = uniform_f64});
}

bool tarn_rng_fill_normal_f32(tarn_rng *rng, size_t n, float *out, double mean, double std)
{
    return tarn__is_normal(__func__, false, mean, std) &&
           fill_run(__func__, rng,
                    (fill){.n = n, .per_block = 4, .out = out, .a = mean, .b = std, .block = normal_f32});
}

bool tarn_rng_fill_normal_f64(tarn_rng *rng, size_t n, double *out, double mean, double std)
{
    return tarn__is_normal(__func__, true, mean, std) &&
           fill_run(__func__, rng,
                    (fill){.n = n, .per_block = 2, .out = out, .a = mean, .b = std, .block = normal_f64});
}

bool tarn_rng_fill_bernoulli(tarn_rng *rng, size_t n, uint8_t *out, double p)
{
    return tarn__is_in(__func__, "p", p, '[', 0, 1, ']') &&
           fill_run(__func__, rng, (fill){.n = n, .per_block = 4, .out = out, .a = p, .block = bernoulli});
}

bool tarn_rng_permutation(tarn_rng *rng, size_t n, int64_t *out)
{
    if (tarn_error())
        return false;
    if (!rng || (!out && n > 0))
        return tarn_fail("tarn_rng_permutation: %s is NULL", rng ? "out" : "rng");
    for (size_t i = 0; i < n; i++)
        out[i] = (int64_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)tarn_rng_below(rng, i);
        int64_t swapped = out[i - 1];
        out[i - 1] = out[j];
        out[j] = swapped;
    }
    return true;
}

/* ---- dropout: kept with probability 1-a, times b ---- */

static void drop_f32(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    for (size_t i = 0; i < count; i++)
        ((float *)f->out)[at + i] = (double)w[i] * 0x1p-32 < f->a ? 0 : ((const float *)f->in)[at + i] * (float)f->b;
}

static void drop_f64(const fill *f, const uint32_t w[4], size_t count, size_t at)
{
    for (size_t i = 0; i < count; i++)
        ((double *)f->out)[at + i] = (double)w[i] * 0x1p-32 < f->a ? 0 : ((const double *)f->in)[at + i] * f->b;
}

void tarn__rng_drop(tarn_rng rng, double p, bool f64, size_t n, const void *x, void *y)
{
    fill f = {.rng = rng,
              .n = n,
              .per_block = 4,
              .in = x,
              .out = y,
              .a = p,
              .b = 1 / (1 - p),
              .block = f64 ? drop_f64 : drop_f32};
    size_t blocks = n / f.per_block + (n % f.per_block != 0);
    tarn__parallel_for((int64_t)((blocks + TILE_BLOCKS - 1) / TILE_BLOCKS), fill_tile, &f);
}
