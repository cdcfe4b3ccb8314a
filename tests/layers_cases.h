/* tests/layers_cases.h: what the tests of layers/ start with. */
#ifndef TARN_TESTS_LAYERS_CASES_H
#define TARN_TESTS_LAYERS_CASES_H

#include "layers/layers.h"
#include "optim/optim.h"
#include "tensor/memory.h"
#include "tensor/tensor_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What every test starts with. */
typedef struct fixture {
    tarn_tape *t;
    tarn_params *p;
    tarn_rng rng;
} fixture;

static fixture f;

static inline int begin(void **state)
{
    (void)state;
    tarn_error_clear();
    f = (fixture){tarn_tape_new(), tarn_params_new(TARN_F64), tarn_rng_seed(7)};
    return f.t && f.p ? 0 : 1;
}

static inline int end(void **state)
{
    (void)state;
    tarn_error_clear();
    tarn_tape_free(f.t);
    tarn_params_free(f.p);
    return 0;
}

static inline void expect_error(const char *part)
{
    assert_non_null(tarn_error());
    if (!strstr(tarn_error(), part))
        fail_msg("\"%s\" does not contain \"%s\"", tarn_error(), part);
    tarn_error_clear();
}

static inline void expect_shape(const tarn_tensor *x, int ndim, const int64_t *shape)
{
    if (!x)
        fail_msg("NULL: %s", tarn_error() ? tarn_error() : "no error");
    else if (tarn_ndim(x) != ndim || memcmp(tarn_shape(x), shape, (size_t)ndim * sizeof *shape) != 0)
        fail_msg("%s, expected %s", TARN__SHAPE_TEXT(x), tarn__shape_text_of(ndim, shape).text);
}

static inline void expect_equal(tarn_tensor *got, tarn_tensor *want, double tolerance)
{
    assert_non_null(want);
    expect_shape(got, tarn_ndim(want), tarn_shape(want));
    const double *a = tarn_data(got), *b = tarn_data(want);
    assert_null(tarn_error());
    for (int64_t i = 0; i < tarn_numel(want); i++)
        if (!(fabs(a[i] - b[i]) <= tolerance))
            fail_msg("element %ld is %.17g, expected %.17g", (long)i, a[i], b[i]);
}

static inline tarn_tensor *random_input(int ndim, const int64_t *shape)
{
    return tarn_uniform(f.t, TARN_F64, ndim, shape, &f.rng, -1, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
