#include "tests/check.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- errors ---- */

void check_error(const char *file, int line, const char *const parts[])
{
    const char *text = tarn_error();
    if (!text) {
        print_error("no error, expected \"%s\"\n", parts[0]);
        _fail(file, line);
    }
    bool fits = strncmp(text, parts[0], strlen(parts[0])) == 0;
    for (int i = 1; fits && parts[i]; i++)
        fits = strstr(text, parts[i]) != NULL;
    if (!fits) {
        print_error("the error is \"%s\", expected \"%s\"", text, parts[0]);
        for (int i = 1; parts[i]; i++)
            print_error(" ... \"%s\"", parts[i]);
        print_error("\n");
        _fail(file, line);
    }
    tarn_error_clear();
}

void check_no_error(const char *file, int line)
{
    if (!tarn_error())
        return;
    print_error("unexpected error \"%s\"\n", tarn_error());
    tarn_error_clear();
    _fail(file, line);
}

/* ---- memory ---- */

/* In front of each block, so that a release of something else, or with another size, is seen. */
typedef union guard {
    struct {
        uint64_t mark;
        size_t bytes;
    } of;
    max_align_t align;
} guard;

static const uint64_t LIVE = 0x7461726E6C697665u, DEAD = 0x7461726E64656164u;

/* More than there is anywhere: malloc might promise it, and a sanitizer's ends the program. */
static const size_t NO_LIMIT = (size_t)1 << 36;

static atomic_long blocks, calls, counted, bad_releases;
static long fail_at;
static bool fail_on;
static atomic_bool failed;
static size_t refused_from, refused_to;

static void *counting_allocate(size_t bytes, void *context)
{
    (void)context;
    atomic_fetch_add(&calls, 1);
    if (bytes > NO_LIMIT || (bytes >= refused_from && bytes <= refused_to))
        return NULL;
    long k = atomic_fetch_add(&counted, 1) + 1;
    if (fail_at > 0 && (k == fail_at || (fail_on && k > fail_at))) {
        atomic_store(&failed, true);
        return NULL;
    }
    guard *g = malloc(sizeof *g + bytes);
    if (!g)
        return NULL;
    g->of.mark = LIVE;
    g->of.bytes = bytes;
    memset(g + 1, 0xAB, bytes); /* what relies on zeros without asking for them comes out wrong */
    atomic_fetch_add(&blocks, 1);
    return g + 1;
}

static void counting_release(void *block, size_t bytes, void *context)
{
    (void)context;
    guard *g = (guard *)block - 1;
    if (g->of.mark != LIVE || g->of.bytes != bytes) {
        atomic_fetch_add(&bad_releases, 1);
        return;
    }
    g->of.mark = DEAD;
    atomic_fetch_sub(&blocks, 1);
    free(g);
}

const tarn_allocator *check_memory_allocator(void)
{
    static const tarn_allocator counting = {counting_allocate, counting_release, NULL};
    return &counting;
}

void check_memory_install(void)
{
    atomic_store(&blocks, 0);
    atomic_store(&calls, 0);
    atomic_store(&bad_releases, 0);
    check_memory_succeed();
    assert_true(tarn_set_allocator(check_memory_allocator()));
}

void check_memory_remove(void)
{
    check_memory_succeed();
    long left = atomic_load(&blocks);
    tarn_set_allocator(NULL);
    assert_int_equal(atomic_load(&bad_releases), 0);
    assert_int_equal(left, 0);
}

void check_memory_fail(long k, bool from_then_on)
{
    atomic_store(&counted, 0);
    atomic_store(&failed, false);
    fail_at = k;
    fail_on = from_then_on;
}

void check_memory_refuse(size_t from, size_t to)
{
    refused_from = from;
    refused_to = to;
}

void check_memory_succeed(void)
{
    fail_at = 0;
    check_memory_refuse(SIZE_MAX, 0);
}

bool check_memory_failed(void)
{
    return atomic_load(&failed);
}

long check_memory_blocks(void)
{
    return atomic_load(&blocks);
}

long check_memory_calls(void)
{
    return atomic_load(&calls);
}

/* ---- SHA-256 (FIPS 180-4) ---- */

static uint32_t constants[64], first_state[8];

static uint32_t fraction_bits(double x)
{
    return (uint32_t)((x - floor(x)) * 0x1p32);
}

/* Of the roots of the first 64 primes: worked out, rather than listed. */
static void make_constants(void)
{
    int found = 0;
    for (int n = 2; found < 64; n++) {
        bool prime = true;
        for (int d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (!prime)
            continue;
        if (found < 8)
            first_state[found] = fraction_bits(sqrt(n));
        constants[found++] = fraction_bits(cbrt(n));
    }
}

static uint32_t rotate(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

static void compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] =
            w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t1 =
            v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + constants[i] + w[i];
        uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

void check_sha256_start(check_sha256 *s)
{
    if (!constants[0])
        make_constants();
    memcpy(s->state, first_state, sizeof s->state);
    s->bytes = 0;
}

void check_sha256_add(check_sha256 *s, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    for (size_t i = 0; i < bytes; i++) {
        s->block[s->bytes++ % 64] = from[i];
        if (s->bytes % 64 == 0)
            compress(s->state, s->block);
    }
}

void check_sha256_finish(check_sha256 *s, char hex[65])
{
    uint64_t bits = 8 * s->bytes;
    uint8_t length[8];
    check_sha256_add(s, "\x80", 1);
    while (s->bytes % 64 != 56)
        check_sha256_add(s, "", 1);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    check_sha256_add(s, length, sizeof length);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", s->state[i]);
}
