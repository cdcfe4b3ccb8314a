/* Sums over several short axes, as the gradient of an expand takes them (nearest upsampling): their order of adding, to
 * the bit, and that nothing is stored in between. */
#include "tensor/reduce.h"
#include "tests/tape_fixture.h"

/* [outer, again, middle, length, inner], summed over `again` and `length`. */
typedef struct shape {
    int64_t outer, again, middle, length, inner;
} shape;

static const shape shapes[] = {
    {6, 2, 28, 2, 32},  {3, 2, 16, 2, 128},  {3, 2, 8, 2, 64},   {2, 3, 5, 3, 7},
    {1, 2, 1, 2, 2},    {5, 1, 9, 2, 33},    {4, 2, 3, 8, 1024}, {2, 2, 3, 2, 5000},
    {2, 4, 100, 2, 48}, {7, 2, 2000, 2, 16}, {1, 1, 300, 4, 17}, {3, 9, 4, 2, 600},
};
static const shape empty[] = {{2, 2, 0, 2, 3}, {0, 2, 4, 2, 3}, {2, 0, 3, 2, 4}, {2, 2, 3, 0, 4}, {2, 2, 3, 2, 0}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], EMPTY = sizeof empty / sizeof empty[0] };

/* The short run in f32 from the first to the last, those sums in f64 in order, rounded once. */
static float sum_at(const float *x, const shape *s, int64_t outer, int64_t middle, int64_t inner)
{
    double total = 0;
    for (int64_t a = 0; a < s->again; a++) {
        float run = 0;
        for (int64_t l = 0; l < s->length; l++)
            run += x[((((outer * s->again + a) * s->middle + middle) * s->length) + l) * s->inner + inner];
        total += (double)run;
    }
    return (float)total;
}

static void the_order_of_adding(void **state)
{
    (void)state;
    tarn_rng rng = tarn_rng_seed(2);
    for (int k = 0; k < SHAPES + EMPTY; k++) {
        const shape *s = k < SHAPES ? &shapes[k] : &empty[k - SHAPES];
        tarn_tensor *x =
            tarn_normal(t, TARN_F32, TARN_SHAPE(s->outer, s->again, s->middle, s->length, s->inner), &rng, 0, 1);
        tarn_tensor *pixels = tarn_zeros(t, TARN_F32, TARN_SHAPE(s->outer, 1, s->middle, 1, s->inner)), *g;
        tarn_tensor *y =
            tarn_expand(t, pixels, 5, (const int64_t[]){s->outer, s->again, s->middle, s->length, s->inner});
        assert_true(tarn_grad(t, 1, &y, &x, 1, &pixels, &g));
        const float *found = tarn_data(g), *from = tarn_data(x);
        for (int64_t i = 0; i < tarn_numel(g); i++) {
            int64_t inner = i % s->inner, middle = i / s->inner % s->middle, outer = i / s->inner / s->middle;
            float expected = sum_at(from, s, outer, middle, inner);
            if (memcmp(&found[i], &expected, sizeof expected) != 0)
                fail_msg("shape %d, element %d is %.9g, expected %.9g", k, (int)i, (double)found[i], (double)expected);
        }
        tarn_tape_reset(t);
    }
}

/* A row of pixels is read once, and its sums are written once. */
static void nothing_is_stored_in_between(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        const shape *s = &shapes[k];
        const tarn__axes axes = {{false, true, false, true, false}, s->again * s->length};
        const int64_t sizes[] = {s->outer, s->again, s->middle, s->length, s->inner};
        assert_int_equal(tarn__reduce_scratch(5, sizes, &axes), 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(the_order_of_adding), TEST(nothing_is_stored_in_between)};
    return cmocka_run_group_tests_name("short_sums", tests, NULL, NULL);
}
