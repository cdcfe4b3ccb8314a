/* tests/tape_fixture.h: a tape for each test, over an allocator that counts; a test must leave no error and no memory. */
#ifndef TARN_TESTS_TAPE_FIXTURE_H
#define TARN_TESTS_TAPE_FIXTURE_H

#include "autograd/ops.h"
#include "tests/check.h"

#include <math.h>

static tarn_tape *t;

static int setup(void **state)
{
    (void)state;
    check_memory_install();
    t = tarn_tape_new();
    return t ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    tarn_tape_free(t);
    bool clean = !tarn_error();
    tarn_error_clear();
    check_memory_remove();
    return clean ? 0 : -1;
}

static inline tarn_tensor *values(int64_t n, const double *data)
{
    return tarn_tensor_from(TARN_F64, TARN_SHAPE(n), data);
}
#define VALUES(...) values((int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})

static inline void expect_values(tarn_tensor *x, int64_t n, const double *expected)
{
    const double *found = tarn_data(x);
    expect_no_error();
    assert_int_equal(tarn_numel(x), n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(found[i] - expected[i]) <= 1e-12 * (1 + fabs(expected[i])))) /* a NaN fails too */
            fail_msg("element %d is %.17g, expected %.17g", (int)i, found[i], expected[i]);
}
#define EXPECT_VALUES(x, ...)                                                                                          \
    expect_values(x, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})

static inline tarn_tensor *sum(tarn_tensor *x)
{
    return tarn_sum(t, x, TARN_ALL_AXES, false);
}

/* An index that is out of range is found when it runs: so a run can be seen. */
static inline tarn_tensor *bomb(tarn_tensor *x)
{
    return tarn_index_select(t, x, 0, tarn_full(t, TARN_I32, TARN_SHAPE(1), 1000));
}

#endif
