/* What an optimiser keeps, and what it costs: state, counts, memory, threads. */
#include "tests/optim_cases.h"

/* ---- state ---- */

static void the_state_is_a_store_of_named_buffers(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F32);
    tarn_optim *adam = tarn_adam_new(p, NULL), *adamw = tarn_adamw_new(p, NULL), *sgd = tarn_sgd_new(p, NULL);
    tarn_optim *momentum = tarn_sgd_new(p, &(tarn_sgd_opts){.momentum = 0.9});
    assert_int_equal(tarn_params_count(tarn_optim_state(adam)), 2 * N_PARAMS + 1);
    assert_int_equal(tarn_params_count(tarn_optim_state(sgd)), 1);
    assert_int_equal(tarn_params_count(tarn_optim_state(momentum)), N_PARAMS + 1);
    assert_int_equal(tarn_params_numel(tarn_optim_state(adam)), 0);
    tarn_tensor *m = tarn_params_find(tarn_optim_state(adam), "adam.m.large");
    assert_true(tarn_ndim(m) == 2 && tarn_dim(m, 0) == 200 && tarn_tensor_dtype(m) == TARN_F32);
    assert_non_null(tarn_params_find(tarn_optim_state(adam), "adam.v.scalar"));
    assert_non_null(tarn_params_find(tarn_optim_state(adamw), "adamw.v.scalar"));
    assert_non_null(tarn_params_find(tarn_optim_state(momentum), "sgd.velocity.one"));
    tarn_tensor *steps = tarn_params_find(tarn_optim_state(adam), "adam.steps");
    assert_true(tarn_dim(steps, 0) == 1 + N_PARAMS && tarn_dim(steps, 1) == 2);
    fill_one(p, 2, 0);
    uint64_t version = m->version;
    assert_true(tarn_optim_step(adam));
    assert_int_equal(m->version, version);
    const float *count = tarn_data(steps);
    const float want[2 * (1 + N_PARAMS)] = {0, 1, 0, 0, 0, 0, 0, 1, 0, 0};
    assert_memory_equal(count, want, sizeof want);
    assert_true(fabs(tarn_item(tarn_params_find(tarn_optim_state(adam), "adam.m.scalar")) - 0.1 * gradient(0, 2, 0)) <
                1e-7);
    tarn_optim_free(adam);
    tarn_optim_free(adamw);
    tarn_optim_free(sgd);
    tarn_optim_free(momentum);
    tarn_params_free(p);
}

static void copy_store(tarn_params *to, const tarn_params *from)
{
    assert_int_equal(tarn_params_count(to), tarn_params_count(from));
    for (size_t i = 0; i < tarn_params_count(from); i++) {
        tarn_tensor *x = tarn_params_at(from, i), *y = tarn_params_find(to, tarn_param_name(x));
        assert_non_null(y);
        assert_true(tarn_copy(y, x));
    }
}

static void a_run_resumes_to_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < N_RULES; i++) {
        tarn_params *p = store_new(TARN_F32), *q = store_new(TARN_F32);
        tarn_optim *whole = optim_new(&rules[i], p);
        for (int step = 0; step < STEPS; step++) {
            if (step == 3)
                copy_store(q, p);
            fill_all(p, step);
            if (step != 3) {
                assert_true(tarn_optim_step(whole));
                continue;
            }
            tarn_optim *resumed = optim_new(&rules[i], q);
            copy_store(tarn_optim_state(resumed), tarn_optim_state(whole));
            assert_int_equal(tarn_optim_steps(resumed), 3);
            for (int later = 3; later < STEPS; later++) {
                fill_all(q, later);
                assert_true(tarn_optim_step(resumed));
            }
            tarn_optim_free(resumed);
            assert_true(tarn_optim_step(whole));
        }
        assert_same_bits(p, q);
        tarn_optim_free(whole);
        tarn_params_free(p);
        tarn_params_free(q);
    }
}

static void counts_stay_exact_beyond_a_float(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F32);
    tarn_optim *o = tarn_sgd_new(p, NULL);
    float *count = tarn_mutable_data(tarn_params_find(tarn_optim_state(o), "sgd.steps"));
    count[0] = 100, count[1] = (1 << 20) - 2; /* 101 * 2^20 - 2 is above 2^24 */
    for (int step = 0; step < 4; step++) {
        assert_int_equal(tarn_optim_steps(o), 101 * (INT64_C(1) << 20) - 2 + step);
        assert_true(tarn_optim_step(o));
    }
    count[0] = (1 << 24) - 1, count[1] = (1 << 20) - 1;
    assert_true(tarn_optim_step(o));
    assert_int_equal(tarn_optim_steps(o), (INT64_C(1) << 44) - 1);
    tarn_optim_free(o);
    tarn_params_free(p);
}

static void a_count_that_is_none_is_an_error(void **state)
{
    (void)state;
    const float bad[] = {-1, 0.5f, NAN, INFINITY, 1 << 20};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tarn_params *p = store_new(TARN_F32);
        tarn_optim *o = tarn_sgd_new(p, NULL);
        ((float *)tarn_mutable_data(tarn_params_find(tarn_optim_state(o), "sgd.steps")))[5] = bad[i];
        fill_all(p, 0);
        assert_false(tarn_optim_step(o));
        expect_error("row 2 of \"sgd.steps\" is not a count");
        assert_true(tarn_param_has_grad(param(p, 0)));
        assert_true(tarn_item(param(p, 0)) == (double)(float)first_weight(0, 0));
        tarn_optim_free(o);
        tarn_params_free(p);
    }
}

/* ---- memory and threads ---- */

typedef struct heap {
    int64_t taken, alive, left; /* left: how many more are granted; negative: all */
} heap;

static void *heap_allocate(size_t bytes, void *context)
{
    heap *h = context;
    if (h->left == 0)
        return NULL;
    h->left--;
    h->taken++;
    h->alive++;
    return malloc(bytes);
}

static void heap_release(void *block, size_t bytes, void *context)
{
    (void)bytes;
    ((heap *)context)->alive--;
    free(block);
}

static void a_step_takes_nothing_from_the_heap(void **state)
{
    (void)state;
    heap h = {.left = -1};
    assert_true(tarn_set_allocator(&(tarn_allocator){heap_allocate, heap_release, &h}));
    tarn_params *p = store_new(TARN_F32);
    tarn_optim *o = tarn_adam_new(p, NULL);
    int64_t taken = h.taken;
    assert_true(taken > 0);
    for (int step = 0; step < 3; step++) {
        fill_all(p, step);
        assert_true(tarn_clip_grad_norm(p, 1) > 1);
        assert_true(tarn_optim_step(o));
    }
    assert_int_equal(h.taken, taken);
    tarn_optim_free(o);
    tarn_params_free(p);
    assert_int_equal(h.alive, 0);
}

static void no_memory_is_an_error_that_leaks_nothing(void **state)
{
    (void)state;
    heap h = {.left = -1};
    assert_true(tarn_set_allocator(&(tarn_allocator){heap_allocate, heap_release, &h}));
    tarn_params *p = store_new(TARN_F32);
    int64_t before = h.alive, granted = 0;
    for (;; granted++) {
        h.left = granted;
        tarn_optim *o = tarn_adam_new(p, NULL);
        h.left = -1;
        if (o) {
            tarn_optim_free(o);
            break;
        }
        expect_error("no memory");
        assert_int_equal(h.alive, before);
    }
    assert_true(granted > 10);
    assert_int_equal(h.alive, before);
    tarn_params_free(p);
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    tarn_params *stores[3];
    const int threads[3] = {1, 2, 8};
    double norms[3];
    for (int i = 0; i < 3; i++) {
        assert_true(tarn_set_threads(threads[i]));
        stores[i] = store_new(TARN_F32);
        tarn_optim *o = tarn_adam_new(stores[i], NULL);
        for (int step = 0; step < 3; step++) {
            fill_all(stores[i], step);
            norms[i] = tarn_clip_grad_norm(stores[i], 0.5);
            assert_true(tarn_optim_step(o));
        }
        tarn_optim_free(o);
    }
    for (int i = 1; i < 3; i++) {
        assert_true(norms[i] == norms[0]);
        assert_same_bits(stores[i], stores[0]);
    }
    for (int i = 0; i < 3; i++)
        tarn_params_free(stores[i]);
}

static void no_rule_depends_on_threads(void **state)
{
    (void)state;
    for (int i = 0; i < N_RULES; i++) {
        tarn_params *stores[2];
        for (int k = 0; k < 2; k++) {
            assert_true(tarn_set_threads(k == 0 ? 1 : 3));
            stores[k] = store_new(TARN_F32);
            tarn_optim *o = optim_new(&rules[i], stores[k]);
            for (int step = 0; step < 3; step++) {
                fill_all(stores[k], step);
                assert_true(tarn_optim_step(o));
            }
            tarn_optim_free(o);
        }
        assert_same_bits(stores[0], stores[1]);
        tarn_params_free(stores[0]);
        tarn_params_free(stores[1]);
    }
}

static void rmsprop_keeps_what_it_uses(void **state)
{
    (void)state;
    tarn_params *p = store_new(TARN_F64);
    for (int i = 0; i < 4; i++) {
        const bool centered = i & 1, momentum = i & 2;
        tarn_optim *o = tarn_rmsprop_new(p, &(tarn_rmsprop_opts){.centered = centered, .momentum = momentum ? 0.9 : 0});
        tarn_params *kept = tarn_optim_state(o);
        assert_non_null(tarn_params_find(kept, "rmsprop.v.large"));
        assert_true((tarn_params_find(kept, "rmsprop.m.large") != NULL) == centered);
        assert_true((tarn_params_find(kept, "rmsprop.velocity.large") != NULL) == momentum);
        assert_int_equal(tarn_params_count(kept), 1 + N_PARAMS * (1 + centered + momentum));
        tarn_optim_free(o);
    }
    tarn_params_free(p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nothing_pending, nothing_pending)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_state_is_a_store_of_named_buffers),
        TEST(a_run_resumes_to_the_same_bits),
        TEST(counts_stay_exact_beyond_a_float),
        TEST(a_count_that_is_none_is_an_error),
        TEST(a_step_takes_nothing_from_the_heap),
        TEST(no_memory_is_an_error_that_leaks_nothing),
        TEST(threads_do_not_change_a_bit),
        TEST(no_rule_depends_on_threads),
        TEST(rmsprop_keeps_what_it_uses),
    };
    return cmocka_run_group_tests_name("optim_state", tests, NULL, NULL);
}
