#include "bench/common/ceiling.h"
#include "examples/common/progress.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Each loop keeps CHAINS sums going, enough to hide the latency of a multiply-add on any processor so far. */
enum { CHAINS = 12, ROUNDS = 100000 };

typedef float rounds_loop(int64_t rounds, float m, float c);

typedef struct isa {
    const char *name;
    rounds_loop *loop;
    int lanes;
} isa;

typedef float vector16 __attribute__((vector_size(16), aligned(4), may_alias));

static float multiply_add(int64_t rounds, float m, float c)
{
    vector16 sum[CHAINS], factor = {m, m, m, m}, term = {c, c, c, c};
    float total = 0;
    memset(sum, 0, sizeof sum);
    for (int64_t i = 0; i < rounds; i++)
        for (int k = 0; k < CHAINS; k++)
            sum[k] = sum[k] * factor + term;
    for (int k = 0; k < CHAINS; k++)
        total += sum[k][0];
    return total;
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static float multiply_add_avx2(int64_t rounds, float m, float c)
{
    __m256 sum[CHAINS], factor = _mm256_set1_ps(m), term = _mm256_set1_ps(c);
    float total = 0;
    for (int k = 0; k < CHAINS; k++)
        sum[k] = _mm256_setzero_ps();
    for (int64_t i = 0; i < rounds; i++)
        for (int k = 0; k < CHAINS; k++)
            sum[k] = _mm256_fmadd_ps(sum[k], factor, term);
    for (int k = 0; k < CHAINS; k++)
        total += _mm256_cvtss_f32(sum[k]);
    return total;
}

__attribute__((target("avx512f"))) static float multiply_add_avx512(int64_t rounds, float m, float c)
{
    __m512 sum[CHAINS], factor = _mm512_set1_ps(m), term = _mm512_set1_ps(c);
    float total = 0;
    for (int k = 0; k < CHAINS; k++)
        sum[k] = _mm512_setzero_ps();
    for (int64_t i = 0; i < rounds; i++)
        for (int k = 0; k < CHAINS; k++)
            sum[k] = _mm512_fmadd_ps(sum[k], factor, term);
    for (int k = 0; k < CHAINS; k++)
        total += _mm512_cvtss_f32(sum[k]);
    return total;
}
#endif

static size_t isas(isa list[4])
{
    size_t count = 0;
    list[count++] = (isa){"baseline", multiply_add, 4};
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        list[count++] = (isa){"avx2", multiply_add_avx2, 8};
    if (__builtin_cpu_supports("avx512f"))
        list[count++] = (isa){"avx512", multiply_add_avx512, 16};
#endif
    return count;
}

size_t ceiling_isas(const char *names[4])
{
    isa list[4];
    size_t count = isas(list);
    for (size_t i = 0; i < count; i++)
        names[i] = list[i].name;
    return count;
}

/* ---- the same work on several threads ---- */

enum { MAX_THREADS = 256 };

static volatile float sink[MAX_THREADS]; /* where sums go, so that no loop is left out */

typedef struct team {
    void (*work)(void *context, int thread);
    void *context;
    int runs;
    pthread_mutex_t gate; /* until all are there */
    pthread_barrier_t line;
} team;

typedef struct member {
    team *of;
    int index;
} member;

static void *run_member(void *argument)
{
    const member *m = argument;
    pthread_mutex_lock(&m->of->gate);
    pthread_mutex_unlock(&m->of->gate);
    for (int run = 0; run < m->of->runs; run++) {
        pthread_barrier_wait(&m->of->line);
        m->of->work(m->of->context, m->index);
        pthread_barrier_wait(&m->of->line);
    }
    return NULL;
}

/* The fastest of `runs` runs, in seconds, between a line that all threads start from and one at which all arrive. Infinite
 * where there are not so many threads to be had. */
static double time_team(int threads, int runs, void (*work)(void *context, int thread), void *context)
{
    static pthread_t thread[MAX_THREADS];
    static member members[MAX_THREADS];
    team all = {work, context, runs, PTHREAD_MUTEX_INITIALIZER, {{0}}};
    double best = INFINITY;
    int count = 1;
    pthread_mutex_lock(&all.gate);
    for (; count < threads && count < MAX_THREADS; count++) {
        members[count] = (member){&all, count};
        if (pthread_create(&thread[count], NULL, run_member, &members[count]) != 0)
            break;
    }
    if (count < threads || pthread_barrier_init(&all.line, NULL, (unsigned)threads) != 0)
        runs = all.runs = 0;
    pthread_mutex_unlock(&all.gate);
    for (int run = 0; run < runs; run++) {
        pthread_barrier_wait(&all.line);
        const double start = progress_now();
        work(context, 0);
        pthread_barrier_wait(&all.line);
        best = fmin(best, progress_now() - start);
    }
    for (int i = 1; i < count; i++)
        pthread_join(thread[i], NULL);
    if (runs > 0)
        pthread_barrier_destroy(&all.line);
    return best;
}

static void rounds_work(void *context, int thread)
{
    static volatile float factor = 0.999f, term = 1e-3f;
    sink[thread] = ((const isa *)context)->loop(ROUNDS, factor, term);
}

double ceiling_gflops(const char *name, int threads, bool quick)
{
    isa list[4], found = {0};
    for (size_t i = 0, count = isas(list); i < count; i++)
        if (!strcmp(list[i].name, name))
            found = list[i];
    if (!found.loop)
        return 0;
    const double best = time_team(threads, quick ? 3 : 60, rounds_work, &found);
    return 2e-9 * ROUNDS * CHAINS * found.lanes * threads / best;
}

const char *ceiling_stream_name(ceiling_stream stream)
{
    static const char *const names[] = {"read", "write", "copy", "triad"};
    return names[stream];
}

/* One thread's part: n vectors. */
static float stream_part(ceiling_stream stream, size_t n, const vector16 *x, const vector16 *y, vector16 *z, float a)
{
    const vector16 factor = {a, a, a, a};
    vector16 sum[8];
    memset(sum, 0, sizeof sum);
    switch (stream) {
    case CEILING_READ:
        for (size_t i = 0; i + 8 <= n; i += 8)
            for (size_t k = 0; k < 8; k++)
                sum[k] += x[i + k];
        break;
    case CEILING_WRITE:
        for (size_t i = 0; i < n; i++)
            z[i] = factor;
        break;
    case CEILING_COPY:
        for (size_t i = 0; i < n; i++)
            z[i] = factor * x[i];
        break;
    default:
        for (size_t i = 0; i < n; i++)
            z[i] = x[i] + factor * y[i];
    }
    for (int k = 1; k < 8; k++)
        sum[0] += sum[k];
    return sum[0][0];
}

typedef struct stream_job {
    ceiling_stream stream;
    size_t part; /* of a thread, in vectors */
    const vector16 *x, *y;
    vector16 *z;
} stream_job;

static void stream_work(void *context, int thread)
{
    static volatile float factor = 1.5f;
    const stream_job *j = context;
    const size_t from = j->part * (size_t)thread;
    sink[thread] = stream_part(j->stream, j->part, j->x + from, j->y + from, j->z + from, factor);
}

double ceiling_bandwidth(ceiling_stream stream, int threads, bool quick)
{
    static const int moved[] = {1, 1, 2, 3};
    const size_t bytes = (size_t)(quick ? 16 : 128) << 20, vectors = bytes / sizeof(vector16);
    char *block = malloc(3 * bytes);
    if (!block)
        return 0;
    memset(block, 1, 3 * bytes); /* not 0: untouched pages would all be one */
    stream_job job = {stream, vectors / (size_t)threads, (vector16 *)(void *)block, (vector16 *)(void *)(block + bytes),
                      (vector16 *)(void *)(block + 2 * bytes)};
    const double best = time_team(threads, quick ? 3 : 25, stream_work, &job);
    free(block);
    return 1e-9 * (double)bytes * moved[stream] / best;
}
