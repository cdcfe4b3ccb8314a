/* tensor/rng.h: random numbers from a counter.
 *
 * The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3",
 * SC 2011): a block of four 32-bit words is a pure function of (key, counter). So a stream does not depend on
 * the number of threads that draw it, and the two integers below are the whole state: save them, and the
 * stream goes on. */
#ifndef TARN_RNG_H
#define TARN_RNG_H

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_rng {
    uint64_t key;     /* which stream: the seed */
    uint64_t counter; /* the next block of four words */
} tarn_rng;

/* The stream of `seed`, from its start. */
TARN_API tarn_rng tarn_rng_seed(uint64_t seed);

/* Block `counter` of stream `key`: four words, each uniform over 0..2^32-1. The two upper counter words are
 * 0. */
TARN_API void tarn_philox(uint64_t key, uint64_t counter, uint32_t words[4]);

/* One value, and the stream moves on by one block. NULL rng: NaN (or 0) with an error. */
TARN_API double tarn_rng_uniform(tarn_rng *rng);                 /* in [0, 1), 53 random bits */
TARN_API double tarn_rng_normal(tarn_rng *rng);                  /* mean 0, variance 1 (Box-Muller) */
TARN_API uint64_t tarn_rng_below(tarn_rng *rng, uint64_t bound); /* in [0, bound), unbiased; bound > 0 */

/* n values into `out` (f32 or f64 by the name), drawn in parallel; the stream moves on by ceil(n/4) blocks
 * for f32 and ceil(n/2) for f64, so element i is the same whatever the thread count. False with an error on
 * NULL, and unless low <= high, 0 <= std, all of them and high - low are finite, and f32 holds those of f32. */
TARN_API bool tarn_rng_fill_uniform_f32(tarn_rng *rng, size_t n, float *out, double low, double high);
TARN_API bool tarn_rng_fill_uniform_f64(tarn_rng *rng, size_t n, double *out, double low, double high);
TARN_API bool tarn_rng_fill_normal_f32(tarn_rng *rng, size_t n, float *out, double mean, double std);
TARN_API bool tarn_rng_fill_normal_f64(tarn_rng *rng, size_t n, double *out, double mean, double std);

/* n truth values, each 1 with probability p (0 <= p <= 1); moves on by ceil(n/4) blocks. */
TARN_API bool tarn_rng_fill_bernoulli(tarn_rng *rng, size_t n, uint8_t *out, double p);

/* 0..n-1 in a random order, every order equally likely (Fisher-Yates; Knuth, TAOCP vol. 2, 3.4.2, algorithm
 * P). */
TARN_API bool tarn_rng_permutation(tarn_rng *rng, size_t n, int64_t *out);

#ifdef __cplusplus
}
#endif
#endif
