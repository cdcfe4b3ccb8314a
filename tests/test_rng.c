/* Random numbers: the generator's known answers, the streams, and the distributions. */
#include "tensor/rng.h"
#include "tensor/threads.h"
#include "tests/check.h"

#include <math.h>

void tarn__philox4x32(const uint32_t key[2], uint32_t counter[4]);

enum { MANY = 400000 };

static float *floats, *other_floats;
static double *doubles, *other_doubles;
static uint8_t *bytes, *other_bytes;

static int group_setup(void **state)
{
    (void)state;
    floats = malloc(MANY * sizeof *floats), other_floats = malloc(MANY * sizeof *floats);
    doubles = malloc(MANY * sizeof *doubles), other_doubles = malloc(MANY * sizeof *doubles);
    bytes = malloc(MANY), other_bytes = malloc(MANY);
    return floats && other_floats && doubles && other_doubles && bytes && other_bytes ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    free(floats), free(other_floats), free(doubles), free(other_doubles), free(bytes), free(other_bytes);
    return 0;
}

/* ---- the generator ---- */

/* The vectors that come with Random123. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t words[4];
        memcpy(words, vectors[i].counter, sizeof words);
        tarn__philox4x32(vectors[i].key, words);
        assert_memory_equal(words, vectors[i].expected, sizeof words);
    }
    uint32_t words[4];
    tarn_philox(0, 0, words);
    assert_memory_equal(words, vectors[0].expected, sizeof words);
}

static void key_and_counter_fill_their_words_low_first(void **state)
{
    (void)state;
    uint32_t words[4], expected[4] = {0x89abcdef, 0x01234567, 0, 0};
    const uint32_t key[2] = {0x76543210, 0xfedcba98};
    tarn_philox(0xfedcba9876543210, 0x0123456789abcdef, words);
    tarn__philox4x32(key, expected);
    assert_memory_equal(words, expected, sizeof words);
}

/* ---- streams ---- */

typedef struct filler {
    const char *name;
    size_t per_block, size;
    bool (*fill)(tarn_rng *rng, size_t n, void *out);
} filler;

static bool fill_uniform_f32(tarn_rng *rng, size_t n, void *out)
{
    return tarn_rng_fill_uniform_f32(rng, n, out, -2, 3);
}

static bool fill_uniform_f64(tarn_rng *rng, size_t n, void *out)
{
    return tarn_rng_fill_uniform_f64(rng, n, out, -2, 3);
}

static bool fill_normal_f32(tarn_rng *rng, size_t n, void *out)
{
    return tarn_rng_fill_normal_f32(rng, n, out, 1, 2);
}

static bool fill_normal_f64(tarn_rng *rng, size_t n, void *out)
{
    return tarn_rng_fill_normal_f64(rng, n, out, 1, 2);
}

static bool fill_bernoulli(tarn_rng *rng, size_t n, void *out)
{
    return tarn_rng_fill_bernoulli(rng, n, out, 0.3);
}

static const filler fillers[] = {
    {"uniform_f32", 4, sizeof(float), fill_uniform_f32}, {"uniform_f64", 2, sizeof(double), fill_uniform_f64},
    {"normal_f32", 4, sizeof(float), fill_normal_f32},   {"normal_f64", 2, sizeof(double), fill_normal_f64},
    {"bernoulli", 4, sizeof(uint8_t), fill_bernoulli},
};
enum { N_FILLERS = sizeof fillers / sizeof fillers[0] };

static void same_stream_for_every_thread_count(void **state)
{
    (void)state;
    for (int i = 0; i < N_FILLERS; i++)
        for (int threads = 1; threads <= 4; threads++) {
            assert_true(tarn_set_threads(threads));
            tarn_rng rng = tarn_rng_seed(5);
            assert_true(fillers[i].fill(&rng, MANY - 3, threads == 1 ? doubles : other_doubles));
            assert_int_equal(rng.counter, (MANY - 3 + fillers[i].per_block - 1) / fillers[i].per_block);
            if (threads > 1)
                assert_memory_equal(doubles, other_doubles, (MANY - 3) * fillers[i].size);
        }
    assert_true(tarn_set_threads(0));
}

/* What lies behind the last element is not written, and a short fill is the start of a long one. */
static void any_length(void **state)
{
    (void)state;
    for (int i = 0; i < N_FILLERS; i++) {
        tarn_rng whole = tarn_rng_seed(77);
        assert_true(fillers[i].fill(&whole, 40, doubles));
        for (size_t n = 0; n <= 33; n++) {
            tarn_rng rng = tarn_rng_seed(77);
            memset(other_doubles, 0x5A, 400);
            assert_true(fillers[i].fill(&rng, n, other_doubles));
            assert_int_equal(rng.counter, (n + fillers[i].per_block - 1) / fillers[i].per_block);
            if (n > 0)
                assert_memory_equal(other_doubles, doubles, n * fillers[i].size);
            for (size_t at = n * fillers[i].size; at < 400; at++)
                assert_int_equal(((uint8_t *)other_doubles)[at], 0x5A);
        }
        tarn_rng rng = tarn_rng_seed(77);
        assert_true(fillers[i].fill(&rng, 0, NULL));
    }
}

static void saved_state_goes_on(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(123);
    assert_int_equal(rng.key, 123);
    assert_int_equal(rng.counter, 0);
    for (int i = 0; i < 1000; i++)
        tarn_rng_normal(&rng);
    tarn_rng saved = rng;
    for (int i = 0; i < 100; i++) {
        double next = tarn_rng_uniform(&rng);
        assert_true(next == tarn_rng_uniform(&saved));
    }
    /* blocks drawn at once or in two goes are the same stream */
    for (int i = 0; i < N_FILLERS; i++) {
        tarn_rng at_once = tarn_rng_seed(9), split = tarn_rng_seed(9);
        assert_true(fillers[i].fill(&at_once, 1000, doubles));
        assert_true(fillers[i].fill(&split, 600, other_doubles));
        tarn_rng restored = {split.key, split.counter};
        assert_true(fillers[i].fill(&restored, 400, (char *)other_doubles + 600 * fillers[i].size));
        assert_memory_equal(doubles, other_doubles, 1000 * fillers[i].size);
    }
}

static void seeds_differ(void **state)
{
    (void)state;
    for (uint64_t a = 0; a < 4; a++)
        for (uint64_t b = 0; b < a; b++) {
            tarn_rng x = tarn_rng_seed(a << 31), y = tarn_rng_seed(b << 31);
            int equal = 0;
            for (int i = 0; i < 1000; i++)
                equal += tarn_rng_below(&x, 1000) == tarn_rng_below(&y, 1000);
            assert_true(equal < 10); /* 1 expected */
        }
}

/* ---- distributions ---- */

/* |found - expected| within k standard deviations of the estimate. The seeds are fixed: 4.5 says that the
 * distribution is wrong, not that the draw was unlucky. */
static void within_sigma(double found, double expected, double sigma)
{
    if (!(fabs(found - expected) <= 4.5 * sigma)) /* a NaN fails too */
        fail_msg("found %.17g, expected %.17g within 4.5 times %.3g", found, expected, sigma);
}

static double value_at(bool f64, size_t i)
{
    return f64 ? doubles[i] : (double)floats[i];
}

static double moment(bool f64, double about, int power)
{
    double total = 0;
    for (size_t i = 0; i < MANY; i++)
        total += pow(value_at(f64, i) - about, power);
    return total / MANY;
}

static void uniform_moments(void **state)
{
    (void)state;
    const double low = -2, high = 3, w = high - low, root = sqrt(MANY);
    for (int f64 = 0; f64 < 2; f64++) {
        tarn_rng rng = tarn_rng_seed(2024);
        assert_true(f64 ? tarn_rng_fill_uniform_f64(&rng, MANY, doubles, low, high)
                        : tarn_rng_fill_uniform_f32(&rng, MANY, floats, low, high));
        int bins[20] = {0};
        for (size_t i = 0; i < MANY; i++) {
            double x = value_at(f64, i);
            assert_true(x >= low && x < high);
            bins[(int)((x - low) / w * 20)]++;
        }
        within_sigma(moment(f64, 0, 1), (low + high) / 2, w / sqrt(12) / root);
        within_sigma(moment(f64, 0.5, 2), w * w / 12, w * w / sqrt(180) / root);
        within_sigma(moment(f64, 0.5, 4), pow(w, 4) / 80, pow(w, 4) / 256 * sqrt(256. / 9 - 10.24) / root);
        for (int i = 0; i < 20; i++)
            within_sigma(bins[i], MANY / 20., sqrt(MANY * 0.05 * 0.95));
        double lag = 0; /* neighbours, in the same block and across */
        for (size_t i = 0; i + 1 < MANY; i++)
            lag += (value_at(f64, i) - 0.5) * (value_at(f64, i + 1) - 0.5);
        within_sigma(lag / MANY, 0, w * w / 12 / root);
    }
}

static void normal_moments(void **state)
{
    (void)state;
    const double mean = 1, std = 2, root = sqrt(MANY);
    for (int f64 = 0; f64 < 2; f64++) {
        tarn_rng rng = tarn_rng_seed(31337);
        assert_true(f64 ? tarn_rng_fill_normal_f64(&rng, MANY, doubles, mean, std)
                        : tarn_rng_fill_normal_f32(&rng, MANY, floats, mean, std));
        within_sigma(moment(f64, 0, 1), mean, std / root);
        within_sigma(moment(f64, mean, 2), std * std, std * std * sqrt(2) / root);
        within_sigma(moment(f64, mean, 3), 0, pow(std, 3) * sqrt(15) / root);
        within_sigma(moment(f64, mean, 4), 3 * pow(std, 4), pow(std, 4) * sqrt(96) / root);
        for (int k = -3; k <= 3; k++) {
            double below = 0, p = erfc(-k / sqrt(2)) / 2;
            for (size_t i = 0; i < MANY; i++)
                below += value_at(f64, i) < mean + k * std;
            within_sigma(below / MANY, p, sqrt(p * (1 - p)) / root);
        }
        for (size_t apart = 1; apart <= 4; apart++) { /* the two halves of Box-Muller, and the next ones */
            double lag = 0;
            for (size_t i = 0; i + apart < MANY; i++)
                lag += (value_at(f64, i) - mean) * (value_at(f64, i + apart) - mean);
            within_sigma(lag / MANY, 0, std * std / root);
        }
    }
}

static void one_at_a_time_moments(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(4);
    double u1 = 0, u2 = 0, z1 = 0, z2 = 0, n = 100000;
    for (int i = 0; i < (int)n; i++) {
        double u = tarn_rng_uniform(&rng), z = tarn_rng_normal(&rng);
        assert_true(u >= 0 && u < 1);
        u1 += u / n, u2 += u * u / n, z1 += z / n, z2 += z * z / n;
    }
    assert_int_equal(rng.counter, 200000);
    within_sigma(u1, 0.5, sqrt(1. / 12 / n));
    within_sigma(u2, 1. / 3, sqrt(4. / 45 / n));
    within_sigma(z1, 0, sqrt(1 / n));
    within_sigma(z2, 1, sqrt(2 / n));
}

static void bernoulli_rate(void **state)
{
    (void)state;
    static const double rates[] = {0, 1e-3, 0.3, 0.5, 0.999, 1};
    for (size_t k = 0; k < sizeof rates / sizeof rates[0]; k++) {
        tarn_rng rng = tarn_rng_seed(60 + k);
        double p = rates[k], ones = 0;
        assert_true(tarn_rng_fill_bernoulli(&rng, MANY, bytes, p));
        for (size_t i = 0; i < MANY; i++) {
            assert_true(bytes[i] <= 1);
            ones += bytes[i];
        }
        within_sigma(ones / MANY, p, sqrt(p * (1 - p) / MANY));
    }
}

/* Rounding must not give `high` itself, nor leave a range of one value. */
static void half_open_range_of_few_floats(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(8);
    float low = 1e8f, high = nextafterf(nextafterf(low, INFINITY), INFINITY);
    assert_true(tarn_rng_fill_uniform_f32(&rng, 10000, floats, (double)low, (double)high));
    int at_low = 0;
    for (int i = 0; i < 10000; i++) {
        assert_true(floats[i] >= low && floats[i] < high);
        at_low += floats[i] == low;
    }
    assert_true(at_low > 1000 && at_low < 9000);
    assert_true(tarn_rng_fill_uniform_f64(&rng, 100, doubles, 0.7, 0.7));
    for (int i = 0; i < 100; i++)
        assert_true(doubles[i] == 0.7);
}

/* ---- whole numbers ---- */

/* For a bound of 3 * 2^62 a plain modulo would give the lower third twice as often as the others. */
static void below_is_unbiased(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(12);
    const uint64_t bound = (uint64_t)3 << 62, third = (uint64_t)1 << 62;
    int counts[3] = {0}, n = 60000;
    for (int i = 0; i < n; i++) {
        uint64_t value = tarn_rng_below(&rng, bound);
        assert_true(value < bound);
        counts[value / third]++;
    }
    for (int i = 0; i < 3; i++)
        within_sigma(counts[i], n / 3., sqrt(n * 2. / 9));
    assert_true(rng.counter > (uint64_t)n + 10000); /* a quarter of the words is drawn again */

    int faces[6] = {0};
    for (int i = 0; i < n; i++)
        faces[tarn_rng_below(&rng, 6)]++;
    for (int i = 0; i < 6; i++)
        within_sigma(faces[i], n / 6., sqrt(n * 5. / 36));
    for (int i = 0; i < 10; i++)
        assert_int_equal(tarn_rng_below(&rng, 1), 0);
    uint64_t all = 0;
    for (int i = 0; i < 200; i++)
        all |= tarn_rng_below(&rng, UINT64_MAX);
    assert_true(all == UINT64_MAX);
}

static void permutation_is_one(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(40);
    int64_t *order = malloc(10000 * sizeof *order);
    uint8_t *seen = malloc(10000);
    for (size_t n = 0; n <= 10000; n = n < 5 ? n + 1 : n * 12 / 5) {
        assert_true(tarn_rng_permutation(&rng, n, order));
        memset(seen, 0, 10000);
        size_t moved = 0;
        for (size_t i = 0; i < n; i++) {
            assert_true(order[i] >= 0 && (size_t)order[i] < n);
            assert_false(seen[order[i]]);
            seen[order[i]] = 1;
            moved += (size_t)order[i] != i;
        }
        if (n > 100)
            assert_true(moved > n - 20);
    }
    free(order), free(seen);
}

/* The 24 orders of 4: chi-square with 23 degrees of freedom stays below 58 but once in 10^4 seeds. */
static void permutations_are_equally_likely(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(41);
    int counts[256] = {0}, n = 48000, orders = 0;
    for (int i = 0; i < n; i++) {
        int64_t p[4];
        assert_true(tarn_rng_permutation(&rng, 4, p));
        counts[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6]++;
    }
    double expected = n / 24., chi = 0;
    for (int i = 0; i < 256; i++)
        if (counts[i]) {
            orders++;
            chi += (counts[i] - expected) * (counts[i] - expected) / expected;
        }
    assert_int_equal(orders, 24);
    assert_true(chi < 58);
    assert_true(chi > 5); /* nor more even than chance */
}

/* ---- errors ---- */

static void bad_arguments(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(1);
    assert_true(isnan(tarn_rng_uniform(NULL)));
    expect_error("tarn_rng_uniform: rng is NULL");
    assert_true(isnan(tarn_rng_normal(NULL)));
    expect_error("tarn_rng_normal: rng is NULL");
    assert_int_equal(tarn_rng_below(NULL, 5), 0);
    expect_error("tarn_rng_below: rng is NULL");
    assert_int_equal(tarn_rng_below(&rng, 0), 0);
    expect_error("tarn_rng_below: bound is 0");
    tarn_philox(1, 2, NULL);
    expect_error("tarn_philox: words is NULL");
    static const double bad[] = {-0.001, 1.001, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        assert_false(tarn_rng_fill_bernoulli(&rng, 1, bytes, bad[i]));
        expect_error("tarn_rng_fill_bernoulli: p ");
    }
    assert_false(tarn_rng_fill_uniform_f32(&rng, 1, floats, 0, INFINITY));
    expect_error("tarn_rng_fill_uniform_f32:");
    assert_false(tarn_rng_fill_normal_f64(&rng, 1, doubles, NAN, 1));
    expect_error("tarn_rng_fill_normal_f64:");
    assert_false(tarn_rng_fill_uniform_f64(&rng, 1, doubles, -1.5e308, 1.5e308));
    expect_error("tarn_rng_fill_uniform_f64:");
    assert_false(tarn_rng_permutation(&rng, 3, NULL));
    expect_error("tarn_rng_permutation: out is NULL");
    assert_int_equal(rng.counter, 0);
}

static void pending_error_stops_the_stream(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(1);
    int64_t order[3] = {7, 7, 7};
    tarn_fail("first");
    for (int i = 0; i < N_FILLERS; i++)
        assert_false(fillers[i].fill(&rng, 5, doubles));
    assert_false(tarn_rng_permutation(&rng, 3, order));
    assert_int_equal(order[0], 7);
    assert_true(isnan(tarn_rng_uniform(&rng)));
    assert_true(isnan(tarn_rng_normal(&rng)));
    assert_int_equal(tarn_rng_below(&rng, 5), 0);
    assert_int_equal(rng.counter, 0);
    expect_error("first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(key_and_counter_fill_their_words_low_first),
        cmocka_unit_test(same_stream_for_every_thread_count),
        cmocka_unit_test(any_length),
        cmocka_unit_test(saved_state_goes_on),
        cmocka_unit_test(seeds_differ),
        cmocka_unit_test(uniform_moments),
        cmocka_unit_test(normal_moments),
        cmocka_unit_test(one_at_a_time_moments),
        cmocka_unit_test(bernoulli_rate),
        cmocka_unit_test(half_open_range_of_few_floats),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(permutation_is_one),
        cmocka_unit_test(permutations_are_equally_likely),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(pending_error_stops_the_stream),
    };
    return cmocka_run_group_tests_name("rng", tests, group_setup, group_teardown);
}
