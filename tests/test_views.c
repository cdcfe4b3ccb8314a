/* tarn__view_strides() against every stride vector that there could be. */
#include "tensor/tensor_impl.h"
#include "tests/check.h"

static int64_t product(int n, const int64_t *shape)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p *= shape[i];
    return p;
}

/* Where each element lies, in row-major order. */
static void addresses(int ndim, const int64_t *shape, const int64_t *stride, int64_t *out)
{
    int64_t index[8] = {0}, count = product(ndim, shape);
    for (int64_t i = 0; i < count; i++) {
        out[i] = 0;
        for (int k = 0; k < ndim; k++)
            out[i] += index[k] * stride[k];
        for (int k = ndim - 1; k >= 0 && ++index[k] == shape[k]; k--)
            index[k] = 0;
    }
}

/* The stride of a new axis must be the distance that its second element has from its first. So there is at most
 * one candidate: it is built, and compared everywhere. */
static bool view_exists(int ndim, const int64_t *shape, const int64_t *stride, int new_ndim, const int64_t *new_shape)
{
    static int64_t from[4096], to[4096];
    int64_t candidate[8], inner = 1, count = product(ndim, shape);
    addresses(ndim, shape, stride, from);
    for (int i = new_ndim - 1; i >= 0; i--) {
        candidate[i] = new_shape[i] > 1 ? from[inner] : 0;
        inner *= new_shape[i];
    }
    addresses(new_ndim, new_shape, candidate, to);
    return memcmp(from, to, (size_t)count * sizeof *from) == 0;
}

static int split(tarn_rng *rng, int64_t numel, int64_t *shape) /* numel as a random product */
{
    int ndim = 0;
    while (ndim < 6 && (numel > 1 || tarn_rng_below(rng, 3) == 0)) {
        int64_t size = 1 + (int64_t)tarn_rng_below(rng, (uint64_t)(numel < 6 ? numel : 6));
        if (numel % size || (ndim == 5 && size != numel))
            size = ndim == 5 ? numel : 1;
        shape[ndim++] = size;
        numel /= size;
    }
    if (numel > 1) { /* what is left goes to some axis */
        if (ndim == 0)
            shape[ndim++] = 1;
        shape[tarn_rng_below(rng, (uint64_t)ndim)] *= numel;
    }
    return ndim;
}

static int random_strides(tarn_rng *rng, int ndim, int64_t *shape, int64_t *stride)
{
    int64_t order[8], step = 1 + (int64_t)tarn_rng_below(rng, 2), new_shape[8];
    tarn_rng_permutation(rng, (size_t)ndim, order);
    if (tarn_rng_below(rng, 3)) /* mostly in order, so that axes often join */
        for (int i = 0; i < ndim; i++)
            order[i] = ndim - 1 - i;
    for (int i = 0; i < ndim; i++) {
        int64_t axis = order[i];
        stride[axis] = step;
        new_shape[axis] = shape[axis];
        step *= shape[axis];
        if (tarn_rng_below(rng, 4) == 0)
            step *= 2; /* a slice */
        if (tarn_rng_below(rng, 8) == 0)
            stride[axis] = 0; /* expanded */
        if (shape[axis] == 1 && tarn_rng_below(rng, 2))
            stride[axis] = 777; /* never used */
    }
    memcpy(shape, new_shape, (size_t)ndim * sizeof *shape);
    return ndim;
}

static void view_strides_against_brute_force(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 2, 4, 6, 8, 12, 16, 24, 36, 48, 60, 72, 96, 120};
    static int64_t from[4096], to[4096];
    tarn_rng rng = tarn_rng_seed(2);
    int found = 0, refused = 0;
    for (int round = 0; round < 60000; round++) {
        int64_t numel = counts[tarn_rng_below(&rng, sizeof counts / sizeof counts[0])];
        int64_t shape[8] = {0}, stride[8] = {0}, new_shape[8] = {0}, new_stride[8] = {0};
        int ndim = split(&rng, numel, shape), new_ndim = split(&rng, numel, new_shape);
        assert_int_equal(product(ndim, shape), numel);
        assert_int_equal(product(new_ndim, new_shape), numel);
        random_strides(&rng, ndim, shape, stride);
        bool possible = view_exists(ndim, shape, stride, new_ndim, new_shape);
        bool made = tarn__view_strides(ndim, shape, stride, new_ndim, new_shape, new_stride);
        if (made != possible)
            fail_msg("round %d: %s -> %s, strides %s: %s", round, tarn__shape_text_of(ndim, shape).text,
                     tarn__shape_text_of(new_ndim, new_shape).text, tarn__shape_text_of(ndim, stride).text,
                     made ? "there is no such view" : "the view was not found");
        if (made) {
            addresses(ndim, shape, stride, from);
            addresses(new_ndim, new_shape, new_stride, to);
            assert_memory_equal(from, to, (size_t)numel * sizeof *from);
        }
        *(made ? &found : &refused) += 1;
    }
    assert_true(found > 10000 && refused > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view_strides_against_brute_force),
    };
    return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}
