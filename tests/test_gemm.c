/* Matrix products against plain sums in f64 (f64: long double): every kind of edge, transposed or not, rows that stand apart,
 * one row, one column, nothing; and any number of threads. */
#include "tensor/gemm.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tests/check.h"

#include <math.h>

enum { GAP = 3 }; /* elements behind each row, which belong to nobody */

typedef struct matrix {
    int64_t rows, columns, line;
    double *data; /* of either dtype, or as f64 */
} matrix;

static matrix matrix_new(tarn_rng *rng, int64_t rows, int64_t columns)
{
    matrix m = {rows, columns, columns + GAP, NULL};
    const size_t count = (size_t)(rows * m.line + GAP);
    m.data = malloc(count * sizeof *m.data);
    assert_non_null(m.data);
    assert_true(tarn_rng_fill_uniform_f64(rng, count, m.data, -1, 1));
    for (int64_t i = 0; i < rows; i++) /* what is not the matrix must not be read */
        for (int64_t j = columns; j < m.line; j++)
            m.data[i * m.line + j] = NAN;
    for (size_t i = 0; i < count; i++)
        m.data[i] = (float)m.data[i];
    return m;
}

static void *as_dtype(const matrix *m, tarn_dtype dtype)
{
    const size_t count = (size_t)(m->rows * m->line + GAP);
    char *data = malloc(count * tarn_dtype_size(dtype));
    assert_non_null(data);
    for (size_t i = 0; i < count; i++)
        if (dtype == TARN_F32)
            ((float *)(void *)data)[i] = (float)m->data[i];
        else
            ((double *)(void *)data)[i] = m->data[i];
    return data;
}

typedef struct shape {
    int64_t m, n, k;
    bool transpose_a, transpose_b, accumulate;
} shape;

static double element(const void *data, tarn_dtype dtype, int64_t i)
{
    return dtype == TARN_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

/* Two products that share B, the second A and C right behind the first. */
static void *products(const shape *s, tarn_dtype dtype, const matrix *a, const matrix *b, const matrix *c, int threads)
{
    void *pa = as_dtype(a, dtype), *pb = as_dtype(b, dtype), *pc = as_dtype(c, dtype);
    const int64_t size = (int64_t)tarn_dtype_size(dtype);
    const int64_t a_offset[2] = {0, a->rows / 2 * a->line * size}, none[2] = {0, 0};
    const int64_t c_offset[2] = {0, s->m * c->line * size};
    const tarn__gemm g = {dtype, s->transpose_a, s->transpose_b, s->accumulate, s->m, s->n, s->k, pa, pb,
                          pc,    a->line,        b->line,        c->line};
    assert_true(tarn_set_threads(threads));
    const size_t bytes = tarn__gemm_scratch(&g, 2);
    char *scratch = aligned_alloc(64, bytes + 64);
    assert_non_null(scratch);
    memset(scratch, 0x7f, bytes + 64);
    tarn__gemm_batch(&g, 2, a_offset, none, c_offset, scratch);
    for (int i = 0; i < 64; i++)
        assert_int_equal(scratch[bytes + (size_t)i], 0x7f);
    free(scratch), free(pa), free(pb);
    return pc;
}

static void expect_product(tarn_rng *rng, const shape *s, tarn_dtype dtype)
{
    matrix a = matrix_new(rng, 2 * (s->transpose_a ? s->k : s->m), s->transpose_a ? s->m : s->k);
    matrix b = matrix_new(rng, s->transpose_b ? s->n : s->k, s->transpose_b ? s->k : s->n);
    matrix c = matrix_new(rng, 2 * s->m, s->n);
    void *got = products(s, dtype, &a, &b, &c, 1), *again = products(s, dtype, &a, &b, &c, 3);
    assert_memory_equal(got, again, (size_t)(c.rows * c.line) * tarn_dtype_size(dtype));
    const double rounding = dtype == TARN_F32 ? 0x1p-24 : 0x1p-53;
    for (int64_t i = 0; i < c.rows; i++)
        for (int64_t j = 0; j < c.line; j++) {
            const int64_t at = i * c.line + j, first = i < s->m ? 0 : a.rows / 2 * a.line, row = i % s->m;
            const double value = element(got, dtype, at);
            if (j >= s->n) {
                assert_true(isnan(value)); /* untouched */
                continue;
            }
            long double sum = s->accumulate ? (long double)c.data[at] : 0, size = fabsl(sum);
            for (int64_t k = 0; k < s->k; k++) {
                const long double term =
                    (long double)a.data[first + (s->transpose_a ? k * a.line + row : row * a.line + k)] *
                    b.data[s->transpose_b ? j * b.line + k : k * b.line + j];
                sum += term, size += fabsl(term);
            }
            if (!(fabsl(value - sum) <= (double)(s->k + 3) * rounding * size))
                fail_msg("%s [%lld,%lld] x [%lld,%lld]%s%s%s: element [%lld,%lld] is %.17g, expected %.17Lg",
                         tarn_dtype_name(dtype), (long long)s->m, (long long)s->k, (long long)s->k, (long long)s->n,
                         s->transpose_a ? ", A transposed" : "", s->transpose_b ? ", B transposed" : "",
                         s->accumulate ? ", added" : "", (long long)i, (long long)j, value, sum);
        }
    free(got), free(again), free(a.data), free(b.data), free(c.data);
}

static void expect_kinds(tarn_rng *rng, int64_t m, int64_t n, int64_t k)
{
    for (int kind = 0; kind < 8; kind++) {
        const shape s = {m, n, k, kind & 1, kind & 2, kind & 4};
        expect_product(rng, &s, TARN_F32);
        expect_product(rng, &s, TARN_F64);
    }
}

static void every_small_shape(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(1);
    for (int64_t m = 1; m <= 8; m++)
        for (int64_t n = 1; n <= 8; n++)
            for (int64_t k = 0; k <= 3; k++)
                expect_kinds(&rng, m, n, k);
}

static void panels_and_their_edges(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(2);
    static const int64_t columns[] = {15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 100};
    static const int64_t rows[] = {1, 2, 5, 6, 7, 13};
    static const int64_t depth[] = {1, 15, 16, 33, 70};
    for (size_t n = 0; n < sizeof columns / sizeof columns[0]; n++)
        for (size_t m = 0; m < sizeof rows / sizeof rows[0]; m++)
            for (size_t k = 0; k < sizeof depth / sizeof depth[0]; k++) {
                expect_kinds(&rng, rows[m], columns[n], depth[k]);
                if (rows[m] == 1)
                    expect_kinds(&rng, columns[n], 1, depth[k]);
            }
}

/* Tiles of C, blocks of k, rows that are copied because they lie 4 KB apart or more. */
static void tiles_and_blocks(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(3);
    static const shape shapes[] = {
        {400, 300, 20, 0, 0, 0}, {60, 270, 530, 0, 0, 0}, {390, 66, 260, 0, 0, 0},  {10, 70, 1100, 0, 0, 0},
        {1, 600, 700, 0, 0, 0},  {800, 1, 600, 0, 0, 0},  {100, 1030, 40, 0, 0, 0}, {1040, 40, 30, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int kind = 0; kind < 4; kind++) {
            shape s = shapes[i];
            s.transpose_a = kind & 1, s.transpose_b = kind & 2, s.accumulate = kind == 1;
            expect_product(&rng, &s, i % 2 ? TARN_F64 : TARN_F32);
        }
}

static void nothing_is_a_shape(void **state)
{
    (void)state;
    float c[6] = {1, 2, 3, 4, 5, 6};
    tarn__gemm g = {.dtype = TARN_F32, .m = 2, .n = 2, .k = 0, .a = c, .b = c, .c = c, .lda = 1, .ldb = 2, .ldc = 3};
    g.accumulate = true;
    assert_int_equal(tarn__gemm_scratch(&g, 1), 0);
    tarn__gemm_batch(&g, 1, NULL, NULL, NULL, NULL);
    assert_true(c[0] == 1 && c[4] == 5);
    g.accumulate = false; /* a sum of nothing is 0 */
    tarn__gemm_batch(&g, 1, NULL, NULL, NULL, NULL);
    assert_true(c[0] == 0 && c[1] == 0 && c[2] == 3 && c[3] == 0 && c[4] == 0 && c[5] == 6);
    g.m = 0, g.k = 5;
    tarn__gemm_batch(&g, 1, NULL, NULL, NULL, NULL);
    assert_true(c[2] == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_small_shape),
        cmocka_unit_test(panels_and_their_edges),
        cmocka_unit_test(tiles_and_blocks),
        cmocka_unit_test(nothing_is_a_shape),
    };
    return cmocka_run_group_tests_name("gemm", tests, NULL, NULL);
}
