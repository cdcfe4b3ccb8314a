/* How long values live, what is computed again, and the pool that they lie in. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tests/tape_fixture.h"

#if CHECK_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum { BIG = 20000 }; /* f64 elements: more than stays for being small */

static tarn_tensor *big_new(void)
{
    tarn_tensor *x = tarn_tensor_new(TARN_F64, TARN_SHAPE(BIG));
    for (int i = 0; i < BIG; i++)
        ((double *)tarn_mutable_data(x))[i] = sin(i);
    return x;
}

static tarn_tensor *big_parameter(tarn_params *p)
{
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(BIG)), *x = big_new();
    assert_true(tarn_copy(w, x));
    tarn_tensor_free(x);
    return w;
}

/* An op that counts its runs: y = x + 1. */
static int runs;

static bool counted_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool counted_run(tarn_node *n)
{
    runs++;
    for (int64_t i = 0; i < n->in[0]->numel; i++)
        ((double *)n->out[0]->data)[i] = ((const double *)n->in[0]->data)[i] + 1;
    return true;
}

static bool counted_vjp(tarn_tape *tape, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)tape, (void)n;
    if (need[0])
        gx[0] = gy[0];
    return true;
}

static const tarn_op counted_op = {.name = "counted", counted_shape, counted_run, counted_vjp};

static tarn_tensor *counted(tarn_tensor *x)
{
    return tarn__apply(t, &counted_op, 1, &x, NULL, 0);
}

static void expect_first(tarn_tensor *x, double expected)
{
    double found = tarn_at(x, (int64_t[]){0});
    expect_no_error();
    assert_true(found == expected);
}

/* ---- what goes ---- */

static void values_go_when_nobody_will_read_them(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *y[20] = {tarn_relu(t, w)};
    for (int i = 1; i < 20; i++)
        y[i] = counted(y[i - 1]);
    tarn_tensor *small = tarn_slice(t, y[19], 0, 0, 10, 1), *sums = tarn_square(t, small);
    tarn_tensor *loss = tarn_add(t, sum(sums), sum(y[19]));
    size_t before = tarn_tape_memory(t).bytes;
    assert_true(tarn_backward(t, loss));
    for (int i = 0; i < 20; i++)
        assert_false(y[i]->ready);
    assert_true(sums->ready && loss->ready); /* few bytes */
    tarn_memory memory = tarn_tape_memory(t);
    assert_true(memory.bytes - before < BIG * sizeof(double));
    assert_true(memory.peak - before < 7 * BIG * sizeof(double)); /* of more than 20 */
    assert_int_equal(tarn_tape_peak_bytes(t), memory.peak);
    assert_int_equal(tarn_tape_bytes(t), memory.bytes);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void values_stay_while_backward_may_come(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *a = counted(w), *b = counted(a), *loss = sum(tarn_square(t, b));
    runs = 0;
    assert_true(tarn_item(loss) > 0);
    assert_true(a->ready && b->ready);
    assert_int_equal(runs, 2);
    assert_true(tarn_backward(t, loss));
    assert_int_equal(runs, 2);
    assert_false(a->ready); /* nobody was going to read it: the run before could not know */
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void values_without_gradients_go_at_once(void **state)
{
    (void)state;
    tarn_tensor *x = big_new(), *y = x;
    tarn_tape_set_grad(t, false);
    for (int i = 0; i < 50; i++)
        y = counted(y);
    expect_first(y, 50);
    assert_true(tarn_tape_memory(t).peak < 3 * BIG * sizeof(double) + 100000);
    tarn_tape_set_grad(t, true);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* A pointer that is read too late is found by AddressSanitizer. */
static void what_has_gone_is_poisoned(void **state)
{
    (void)state;
#if CHECK_ASAN
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p);
    for (int round = 0; round < 2; round++) { /* in heap blocks, then in the pool's */
        tarn_tensor *gone = tarn_exp(t, w), *loss = sum(tarn_square(t, gone));
        assert_true(isfinite(tarn_item(loss)));
        const char *there = gone->data;
        assert_false(__asan_address_is_poisoned(there + 100));
        assert_true(tarn_backward(t, loss));
        assert_false(gone->ready);
        assert_true(__asan_address_is_poisoned(there + 100));
        tarn_tape_reset(t);
        assert_int_equal(t->pool.capacity > 0, 1);
    }
    tarn_params_free(p);
#else
    skip();
#endif
}

/* ---- what stays ---- */

static void kept_values_stay(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *kept = tarn_exp(t, w), *gone = tarn_neg(t, kept);
    assert_true(tarn_keep(kept) && tarn_keep(w));
    assert_true(tarn_backward(t, sum(tarn_mul(t, gone, tarn_sin(t, gone)))));
    assert_true(kept->ready);
    assert_false(gone->ready);
    assert_true(tarn_fill(w, 5));
    expect_first(kept, 1);
    expect_first(gone, -1); /* from what is kept */
    assert_false(tarn_keep(NULL));
    expect_error("tarn_keep: x is NULL");
    tarn_fail("pending");
    assert_false(tarn_keep(kept));
    tarn_error_clear();
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void a_pointer_stays_valid(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *y = tarn_cos(t, w);
    const double *data = tarn_data(y);
    assert_non_null(data);
    assert_true(tarn_backward(t, sum(tarn_square(t, tarn_square(t, y)))));
    assert_true(data[0] == 1 && data == tarn_data(y));
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void small_values_can_be_read_after_a_change(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(8192)); /* 64 KiB */
    tarn_tensor *y = tarn_cos(t, w), *z = tarn_neg(t, y), *loss = sum(tarn_square(t, z));
    assert_true(tarn_backward(t, loss));
    assert_true(tarn_fill(w, 1));
    expect_first(y, 1);
    expect_first(z, -1);
    assert_true(tarn_item(loss) == 8192);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* tarn_run computes; tarn_keep and tarn_data keep. */
static void to_have_run_is_not_to_be_kept(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *ran = tarn_exp(t, w), *kept = tarn_cos(t, w), *seen = tarn_neg(t, w);
    assert_true(tarn_run(ran) && tarn_keep(kept) && tarn_data(seen));
    tarn_tensor *all = tarn_mul(t, tarn_mul(t, ran, kept), seen);
    assert_true(tarn_backward(t, sum(tarn_square(t, all))));
    assert_true(tarn_fill(w, 1));
    expect_first(kept, 1);
    expect_first(seen, 0);
    assert_true(isnan(tarn_at(ran, (int64_t[]){0})));
    expect_error("tarn_exp: input 0 (w [20000]) changed between recording and running", "tarn_keep(x)");
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* ---- what is computed again ---- */

static void gone_values_come_again(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *a = counted(w), *b = tarn_exp(t, a), *c = counted(b);
    tarn_tensor *loss = sum(tarn_square(t, c));
    runs = 0;
    assert_true(tarn_backward(t, loss));
    assert_int_equal(runs, 2);
    assert_false(a->ready || b->ready || c->ready);
    expect_first(c, exp(1) + 1);
    assert_int_equal(runs, 4);
    tarn_tensor *grad = tarn_tensor_clone(tarn_param_grad(w));
    tarn_params_zero_grad(p);
    assert_true(tarn_backward(t, loss)); /* again, over what has gone */
    assert_memory_equal(tarn_data(grad), tarn_data(tarn_param_grad(w)), BIG * sizeof(double));
    assert_true(tarn_fill(w, 3));
    assert_true(isnan(tarn_at(a, (int64_t[]){0})));
    expect_error("tarn_counted: input 0 (w [20000]) changed between recording and running", "tarn_keep(x)");
    tarn_tensor_free(grad);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

static void running_statistics_move_once(void **state)
{
    (void)state;
    double mean = 0, var = 1, batches = 0;
    tarn_running_stats running = {tarn_tensor_wrap(TARN_F64, TARN_SHAPE(1), &mean),
                                  tarn_tensor_wrap(TARN_F64, TARN_SHAPE(1), &var),
                                  tarn_tensor_wrap(TARN_F64, 0, NULL, &batches)};
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_rng rng = tarn_rng_seed(4);
    tarn_tensor *w = tarn_reshape(t, big_parameter(p), TARN_SHAPE(BIG, 1)),
                *one = tarn_ones(t, TARN_F64, TARN_SHAPE(1));
    for (int composed = 0; composed < 2; composed++) {
        tarn_tensor *norm = (composed ? tarn_batchnorm_composed : tarn_batchnorm)(t, w, one, one, &running, NULL);
        tarn_tensor *y = tarn_dropout(t, norm, 0.5, &rng), *loss = sum(tarn_square(t, y));
        tarn_tensor *first = tarn_tensor_clone(y);
        double moved = mean;
        assert_true(tarn_backward(t, loss));
        assert_false(y->ready || norm->ready);
        assert_memory_equal(tarn_data(first), tarn_data(y), BIG * sizeof(double));
        assert_true(batches == composed + 1 && mean == moved);
        tarn_tensor_free(first);
    }
    tarn_tape_reset(t);
    tarn_params_free(p);
    tarn_tensor_free(running.mean), tarn_tensor_free(running.var), tarn_tensor_free(running.batches);
}

static void deep_chains_come_again(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    t->keep_below = 0;
    tarn_tensor *x = tarn_tensor_new(TARN_F64, TARN_SHAPE(40)), *y = x, *early = NULL;
    tarn_tape_set_grad(t, false);
    for (int i = 0; i < DEEP; i++) {
        y = i % 3 == 2 ? tarn_slice(t, y, 0, 0, 40, 1) : counted(y);
        early = i == DEEP - 10 ? y : early;
    }
    runs = 0;
    expect_first(y, DEEP - DEEP / 3);
    assert_false(early->ready);
    expect_first(early, DEEP - 9 - (DEEP - 9) / 3);
    assert_in_range(runs, DEEP, 2 * DEEP);
    tarn_tape_set_grad(t, true);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* A loop that reads each of its states by name would otherwise compute all of them again for each. */
static void what_is_read_on_is_computed_twice_at_most(void **state)
{
    (void)state;
    tarn_tensor *x = big_new(), *y = x;
    tarn_tape_set_grad(t, false);
    runs = 0;
    for (int i = 1; i <= 30; i++) {
        y = counted(y);
        assert_true(tarn_item(sum(tarn_neg(t, y))) < 0);
    }
    assert_in_range(runs, 30, 60);
    expect_first(y, 30);
    tarn_tape_set_grad(t, true);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* ---- views ---- */

static void a_view_holds_what_it_shows(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *base = tarn_exp(t, w);
    tarn_tensor *view = tarn_transpose(t, tarn_reshape(t, base, TARN_SHAPE(100, BIG / 100)), 0, 1);
    tarn_tensor *late = counted(tarn_contiguous(t, view)), *kept = tarn_slice(t, tarn_neg(t, base), 0, 3, 5, 1);
    assert_true(tarn_keep(kept));
    assert_true(tarn_backward(t, tarn_add(t, sum(tarn_square(t, late)), sum(kept))));
    assert_false(base->ready || view->ready || late->ready);
    assert_true(kept->ready && kept->node->in[0]->ready);
    assert_true(tarn_at(view, (int64_t[]){7, 2}) == exp(sin(2 * (BIG / 100) + 7)));
    assert_true(view->ready && base->ready); /* as long as it is shown */
    EXPECT_VALUES(kept, -exp(sin(3)), -exp(sin(4)));
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* ---- errors ---- */

static void a_failed_run_loses_nothing(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = big_parameter(p), *a = counted(w), *b = tarn_square(t, a);
    tarn_tensor *bad = tarn_mul(t, sum(b), sum(bomb(tarn_slice(t, b, 0, 0, 10, 1))));
    runs = 0;
    for (int round = 0; round < 2; round++) {
        assert_false(tarn_backward(t, bad));
        expect_error("tarn_index_select: index 1000");
    }
    assert_false(tarn_param_has_grad(w));
    expect_first(a, 1);
    assert_true(tarn_backward(t, sum(b)));
    assert_true(((const double *)tarn_data(tarn_param_grad(w)))[0] == 2);
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* ---- the pool ---- */

enum { PLACES = 200 };

typedef struct place {
    tarn__chunk *chunk;
    size_t bytes;
    unsigned char mark;
} place;

static void fill(place *p, size_t bytes, unsigned char mark)
{
    assert_non_null(p->chunk);
    assert_int_equal((uintptr_t)p->chunk->data % TARN__ALIGN, 0);
    p->bytes = bytes;
    p->mark = mark;
    memset(p->chunk->data, mark, bytes);
}

static void expect_whole(const place *p)
{
    for (size_t i = 0; i < p->bytes; i++)
        assert_int_equal(((const unsigned char *)p->chunk->data)[i], p->mark);
}

/* The same sequence each time. */
static size_t take_and_give(tarn__pool *pool, tarn__arena *records)
{
    static place places[PLACES];
    size_t sum_used = 0, most = 0;
    tarn_rng rng = tarn_rng_seed(9);
    memset(places, 0, sizeof places);
    for (int round = 0; round < 20000; round++) {
        place *p = &places[tarn_rng_below(&rng, PLACES)];
        if (p->chunk) {
            expect_whole(p);
            sum_used -= p->chunk->bytes;
            tarn__pool_give(pool, p->chunk);
            p->chunk = NULL;
        } else {
            size_t bytes = (size_t)tarn_rng_below(&rng, (uint64_t)1 << tarn_rng_below(&rng, 14));
            p->chunk = tarn__pool_take(pool, records, bytes);
            fill(p, bytes, (unsigned char)round);
            sum_used += p->chunk->bytes;
        }
        assert_int_equal(pool->used, sum_used);
        most = sum_used > most ? sum_used : most;
    }
    for (int i = 0; i < PLACES; i++)
        if (places[i].chunk) {
            expect_whole(&places[i]);
            tarn__pool_give(pool, places[i].chunk);
        }
    assert_int_equal(pool->used, 0);
    assert_null(pool->last); /* gaps have joined, and the last is none */
    return most;
}

static void the_pool_takes_nothing_from_the_heap_twice(void **state)
{
    (void)state;
    tarn__arena records = {0};
    tarn__pool pool = {0};
    size_t most = take_and_give(&pool, &records), extent = pool.extent;
    assert_true(extent >= most && extent < most + most / 2);
    tarn__pool_reset(&pool);
    tarn__arena_reset(&records);
    long calls = check_memory_calls();
    for (int round = 0; round < 3; round++) {
        take_and_give(&pool, &records);
        assert_int_equal(pool.extent, extent);
        tarn__pool_take(&pool, &records, 1000); /* is still out */
        tarn__pool_reset(&pool);
        tarn__arena_reset(&records);
        assert_int_equal(pool.used, 0);
    }
    assert_int_equal(check_memory_calls(), calls);
    tarn__pool_free(&pool);
    tarn__arena_free(&records);
}

static void the_pool_survives_want_of_memory(void **state)
{
    (void)state;
    tarn__arena records = {0};
    tarn__pool pool = {0};
    assert_null(tarn__pool_take(&pool, &records, SIZE_MAX));
    assert_null(tarn__pool_take(&pool, &records, PTRDIFF_MAX));
    tarn__chunk *a = tarn__pool_take(&pool, &records, 0), *b = tarn__pool_take(&pool, &records, 5000);
    assert_true(a && b && a->data != b->data);
    check_memory_fail(1, true);
    assert_null(tarn__pool_take(&pool, &records, 5000));
    assert_int_equal(pool.used, a->bytes + b->bytes);
    assert_int_equal(pool.extent, pool.used);
    tarn__pool_reset(&pool); /* no block */
    assert_int_equal(pool.capacity, 0);
    check_memory_succeed();
    tarn__arena_reset(&records);
    b = tarn__pool_take(&pool, &records, 5000);
    assert_non_null(b);
    memset(b->data, 1, 5000);
    tarn__pool_reset(&pool);
    assert_true(pool.capacity >= 5000);
    tarn__pool_free(&pool);
    tarn__arena_free(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_go_when_nobody_will_read_them, setup, teardown),
        cmocka_unit_test_setup_teardown(values_stay_while_backward_may_come, setup, teardown),
        cmocka_unit_test_setup_teardown(values_without_gradients_go_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_gone_is_poisoned, setup, teardown),
        cmocka_unit_test_setup_teardown(kept_values_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pointer_stays_valid, setup, teardown),
        cmocka_unit_test_setup_teardown(small_values_can_be_read_after_a_change, setup, teardown),
        cmocka_unit_test_setup_teardown(to_have_run_is_not_to_be_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(gone_values_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(running_statistics_move_once, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_chains_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_read_on_is_computed_twice_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(a_view_holds_what_it_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_run_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pool_takes_nothing_from_the_heap_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(the_pool_survives_want_of_memory, setup, teardown),
    };
    return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
