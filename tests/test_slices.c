/* The gradients of slices of one tensor: what they cost, in which order they are added, and the same bits however the
 * tape runs. The values are tests/ops_shape.c's. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tests/tape_fixture.h"

enum { BATCH = 2, WIDTH = 3, LONGEST = 64 };

typedef enum spelling { SLICES, SPLIT, UNBIND, SPELLINGS } spelling;

/* Step i of a sequence [BATCH, steps, WIDTH]: [BATCH, 1, WIDTH] or [BATCH, WIDTH]. */
static tarn_tensor *step_of(tarn_tensor *sequence, int i, int steps, spelling how)
{
    static tarn_tensor *parts[LONGEST];
    if (how == SLICES)
        return tarn_slice(t, sequence, 1, i, i + 1, 1);
    if (i == 0)
        assert_true(how == SPLIT ? tarn_split(t, sequence, 1, steps, NULL, parts)
                                 : tarn_unbind(t, sequence, -2, steps, parts));
    return parts[i];
}

/* h = sin(h + x_i), as a recurrent network. */
static tarn_tensor *last_state(tarn_tensor *sequence, int steps, spelling how)
{
    tarn_tensor *h = tarn_scalar(t, TARN_F64, 0.5);
    for (int i = 0; i < steps; i++)
        h = tarn_sin(t, tarn_add(t, h, step_of(sequence, i, steps, how)));
    return sum(h);
}

typedef struct cost {
    int64_t nodes, elements; /* elements: written by what ran */
    size_t bytes;
} cost;

static cost cost_of(int steps, spelling how, int order)
{
    tarn_rng rng = tarn_rng_seed(1);
    tarn_tensor *x = tarn_normal(t, TARN_F64, TARN_SHAPE(BATCH, steps, WIDTH), &rng, 0, 1), *g = NULL;
    tarn_tensor *y = last_state(tarn_mul_scalar(t, x, 1.5), steps, how);
    for (int k = 0; k < order; k++) {
        assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
        y = sum(tarn_square(t, g));
    }
    assert_true(isfinite(tarn_item(y)));
    cost c = {(int64_t)t->count, 0, tarn_tape_peak_bytes(t)};
    for (size_t id = 0; id < t->count; id++)
        for (int k = 0; k < t->nodes[id]->n_out && t->nodes[id]->done && !t->nodes[id]->is_view; k++)
            c.elements += t->nodes[id]->out[k]->numel;
    tarn_tape_free(t);
    t = tarn_tape_new();
    return c;
}

/* Twice the steps cost twice as much, and not four times. */
static void costs_grow_with_the_length(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++)
        for (int order = 1; order <= 2; order++)
            for (spelling how = SLICES; how < SPELLINGS; how++) {
                cost c[3];
                for (int k = 0; k < 3; k++) {
                    tarn_tape_set_fusion(t, false);
                    tarn_tape_set_eager(t, eager);
                    c[k] = cost_of(16 << k, how, order);
                }
                assert_int_equal(c[2].nodes - c[1].nodes, 2 * (c[1].nodes - c[0].nodes));
                assert_int_equal(c[2].elements - c[1].elements, 2 * (c[1].elements - c[0].elements));
                assert_true((double)(c[2].bytes - c[1].bytes) < 2.1 * (double)(c[1].bytes - c[0].bytes));
            }
}

/* ---- bits ---- */

enum { ROWS = 7, COLUMNS = 5 };

/* Slices that overlap, a step, single rows, a column and all of it, in f32, where each order of adding has other bits. */
static tarn_tensor *mixed(tarn_tape *tape, void *context, tarn_tensor *x)
{
    (void)context;
    tarn_tensor *parts[4], *rows[ROWS];
    if (!tarn_split(tape, x, 0, 4, (const int64_t[]){3, 0, 1, 3}, parts) || !tarn_unbind(tape, x, 0, ROWS, rows))
        return NULL;
    tarn_tensor *y = tarn_mul(tape, parts[0], tarn_exp(tape, parts[3]));
    y = tarn_add(tape, y, tarn_slice(tape, x, 0, 0, ROWS, 3));
    y = tarn_mul(tape, y, tarn_add(tape, rows[6], tarn_square(tape, rows[1])));
    y = tarn_add(tape, y, tarn_slice(tape, tarn_mul(tape, tarn_sin(tape, x), x), 0, 1, 4, 1));
    return tarn_mul(tape, y, tarn_slice(tape, tarn_slice(tape, x, 1, 4, 5, 1), 0, 2, 5, 1));
}

enum { EAGER = 1, UNFUSED = 2, CHECKPOINTED = 4, WAYS = 8 };

static void gradients_of_mixed(int way, float *out)
{
    tarn_tape_set_eager(t, way & EAGER);
    tarn_tape_set_fusion(t, !(way & UNFUSED));
    tarn_rng rng = tarn_rng_seed(3);
    tarn_tensor *x = tarn_normal(t, TARN_F32, TARN_SHAPE(COLUMNS, ROWS), &rng, 0, 1), *g;
    x = tarn_transpose(t, x, 0, 1);
    tarn_tensor *y = way & CHECKPOINTED ? tarn_checkpoint(t, mixed, NULL, x) : mixed(t, NULL, x);
    for (int order = 0; order < 2; order++) {
        y = sum(tarn_square(t, y));
        assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
        memcpy(out + order * ROWS * COLUMNS, tarn_data(g), ROWS * COLUMNS * sizeof *out);
        y = g;
    }
    tarn_tape_reset(t);
}

static void same_bits_in_every_way(void **state)
{
    (void)state;
    float first[2 * ROWS * COLUMNS], other[2 * ROWS * COLUMNS];
    t->keep_below = 0;
    gradients_of_mixed(0, first);
    for (int way = 1; way < WAYS; way++) {
        gradients_of_mixed(way, other);
        assert_memory_equal(first, other, sizeof first);
    }
}

/* From the slice recorded last to the first; what reads all of it in the order of recording, too. */
static void the_order_of_adding(void **state)
{
    (void)state;
    enum { N = 12 };
    static const float factor[4] = {1e8f, 1, -1e8f, 3};
    for (int whole = 0; whole < 4; whole++) { /* which of them is not a slice */
        tarn_tensor *x = tarn_ones(t, TARN_F32, TARN_SHAPE(N)), *y = tarn_scalar(t, TARN_F32, 0), *g;
        float expected[N] = {0};
        for (int i = 0; i < 4; i++) {
            tarn_tensor *part = i == whole ? x : tarn_slice(t, x, 0, i, N - i, 1 + i % 2);
            y = tarn_add(t, y, sum(tarn_mul_scalar(t, part, (double)factor[i])));
        }
        for (int i = 3; i >= 0; i--)
            for (int at = i == whole ? 0 : i; at < (i == whole ? N : N - i); at += i == whole ? 1 : 1 + i % 2)
                expected[at] += factor[i];
        assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
        assert_memory_equal(tarn_data(g), expected, sizeof expected);
    }
}

/* Parts of several tiles, along each axis, in pieces and one alone: as by zeros and addition, at any number of threads. */
static void large_parts(void **state)
{
    (void)state;
    static const int64_t shapes[3][3] = {{300, 41, 17}, {3, 1000, 40}, {2, 5, 40000}};
    for (int k = 0; k < 9; k++) {
        const int64_t *shape = shapes[k / 3];
        tarn_rng rng = tarn_rng_seed(5);
        tarn_tensor *g = tarn_normal(t, TARN_F64, 3, shape, &rng, 0, 1), *gx[2];
        int axis = k % 3;
        int64_t n = shape[axis];
        tarn_tensor *x = tarn_zeros(t, TARN_F64, 3, shape), *parts[3];
        assert_true(tarn_split(t, x, axis, 3, (const int64_t[]){n / 3, 1, n - n / 3 - 1}, parts));
        tarn_tensor *outputs[] = {parts[2], parts[0], tarn_slice(t, x, axis, 0, n, 2)};
        tarn_tensor *cotangents[] = {tarn_slice(t, g, axis, n / 3 + 1, n, 1), tarn_slice(t, g, axis, 0, n / 3, 1),
                                     tarn_slice(t, g, axis, 0, n, 2)};
        for (int m = 2; m <= 3; m++) /* apart; and overlapping */
            assert_true(tarn_grad(t, m, outputs, cotangents, 1, &x, &gx[m - 2]));
        tarn_tensor *twice = tarn_sub(t, gx[1], gx[0]);
        for (int64_t i = 0; i < 1000; i++) {
            int64_t at[3] = {i * 7 % shape[0], i * 11 % shape[1], i * 13 % shape[2]};
            double value = tarn_at(g, at);
            assert_true(tarn_at(gx[0], at) == (at[axis] == n / 3 ? 0 : value));
            assert_true(tarn_at(twice, at) == (at[axis] % 2 == 0 ? value : 0));
        }
        tarn_tape_reset(t);
    }
}

static void a_parameter_in_parts(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(4)), *parts[2];
    assert_true(tarn_fill(w, 2) && tarn_split(t, w, 0, 2, NULL, parts));
    assert_true(tarn_backward(t, sum(tarn_mul(t, parts[1], tarn_add(t, parts[0], parts[1])))));
    EXPECT_VALUES(tarn_param_grad(w), 2, 2, 6, 6);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void all_parts_or_none(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2, 3, 4, 5), *parts[5];
    for (int i = 0; i < 5; i++)
        parts[i] = x;
    assert_false(tarn_split(t, x, 0, 5, (const int64_t[]){1, 1, 1, 3, 1}, parts));
    expect_error("tarn_split: size 3 is 3, expected 0 to 2: what is left of axis 0 of [5]");
    for (int i = 0; i < 5; i++)
        assert_null(parts[i]);
    assert_false(tarn_split(t, x, 0, 2, NULL, parts));
    expect_error("tarn_split: axis 0 of [5] in 2 equal parts");
    assert_false(tarn_split(t, x, 0, 2, (const int64_t[]){1, 2}, parts));
    expect_error("tarn_split: the sizes leave 2 of axis 0 of [5]");
    assert_false(tarn_unbind(t, x, 0, 4, parts));
    expect_error("tarn_unbind: 4 parts, expected 5: the size of axis 0 of [5]");
    tarn_tensor *none = tarn_zeros(t, TARN_F64, TARN_SHAPE(2, 0));
    assert_true(tarn_unbind(t, none, 1, 0, parts));
    assert_true(tarn_split(t, none, 1, 3, NULL, parts));
    assert_int_equal(tarn_dim(parts[2], 1), 0);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(costs_grow_with_the_length), TEST(same_bits_in_every_way), TEST(the_order_of_adding), TEST(large_parts),
        TEST(a_parameter_in_parts),       TEST(all_parts_or_none),
    };
    return cmocka_run_group_tests_name("slices", tests, NULL, NULL);
}
