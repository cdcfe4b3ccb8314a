/* Several ops as one run: the mechanism, with ops of its own, and chains of elementwise ops. */
#include "autograd/tape_impl.h"
#include "tensor/elementwise.h"
#include "tensor/params.h"
#include "tensor/threads.h"
#include "tests/tape_fixture.h"

#include <stdio.h>

/* ---- the mechanism: `pair` gives x + 1 and x + 2 and counts; `times` multiplies, and can do both at once ---- */

enum { N = 20000 };

static int pair_runs, times_runs, fused_runs, counter;
static bool made[2], use_also;

static double *elements(const tarn_tensor *x)
{
    return x->data;
}

static bool like_input(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool pair_shape(tarn_node *n)
{
    return like_input(n) && like_input(n);
}

static void pair_compute(tarn_node *n, const double *x)
{
    for (int k = 0; k < 2; k++) {
        made[k] = n->out[k]->data != NULL;
        for (int i = 0; i < N && made[k]; i++)
            elements(n->out[k])[i] = x[i] + 1 + k;
    }
    if (tarn__first_run(n))
        counter++;
}

static bool pair_run(tarn_node *n)
{
    pair_runs++;
    pair_compute(n, elements(n->in[0]));
    return true;
}

static bool pair_vjp(tarn_tape *tape, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    (void)n;
    if (need[0])
        gx[0] = gy[0] && gy[1] ? tarn_add(tape, gy[0], gy[1]) : gy[0] ? gy[0] : gy[1];
    return true;
}

static bool times_run(tarn_node *n)
{
    times_runs++;
    for (int i = 0; i < N; i++)
        elements(n->out[0])[i] = elements(n->in[0])[i] * elements(n->in[1])[i];
    return true;
}

static bool times_fused_run(tarn_node *n)
{
    const tarn__fusion *f = n->fusion;
    fused_runs++;
    const double *x = elements(f->reads[0]), *b = elements(f->reads[1]);
    for (int i = 0; i < f->n_also; i++)
        pair_compute(f->also[i], x);
    for (int i = 0; i < N; i++)
        elements(n->out[0])[i] = (x[i] + *(const double *)n->fusion_data) * b[i];
    return true;
}

static const tarn_op pair_op;

static bool times_fuse(tarn_node *n)
{
    tarn_tensor *y = n->in[0];
    if (!tarn__only_use(n, y) || y->node->op != &pair_op)
        return false;
    double *shift = tarn__fusion_data(n, sizeof *shift);
    if (!shift)
        return false;
    *shift = 1 + y->output;
    return tarn__fuse(n, times_fused_run, 2, (tarn_tensor *[]){y->node->in[0], n->in[1]}, use_also, &y->node);
}

static bool times_vjp(tarn_tape *tape, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn_mul(tape, gy[0], n->in[1]);
    if (need[1])
        gx[1] = tarn_mul(tape, gy[0], n->in[0]);
    return true;
}

static const tarn_op pair_op = {.name = "pair", pair_shape, pair_run, pair_vjp, .partial = true};
static const tarn_op times_op = {.name = "times", like_input, times_run, times_vjp, .fuse = times_fuse};

static tarn_tensor *pair(tarn_tensor *x)
{
    return tarn__apply(t, &pair_op, 1, &x, NULL, 0);
}

static tarn_tensor *times(tarn_tensor *a, tarn_tensor *b)
{
    return tarn__apply(t, &times_op, TARN__IN(a, b), NULL, 0);
}

static void start(bool also)
{
    use_also = also;
    pair_runs = times_runs = fused_runs = counter = 0;
    made[0] = made[1] = false;
}

static tarn_params *params;
static tarn_tensor *w, *v;

static int setup_params(void **state)
{
    if (setup(state) != 0)
        return -1;
    params = tarn_params_new(TARN_F64);
    w = tarn_params_add(params, "w", TARN_SHAPE(N));
    v = tarn_params_add(params, "v", TARN_SHAPE(N));
    for (int i = 0; i < N; i++) {
        ((double *)tarn_mutable_data(w))[i] = cos(i);
        ((double *)tarn_mutable_data(v))[i] = sin(i);
    }
    return 0;
}

static int teardown_params(void **state)
{
    tarn_tape_reset(t);
    tarn_params_free(params);
    return teardown(state);
}

/* Nothing of the producer is needed: it does not run. */
static void an_absorbed_node_does_not_run(void **state)
{
    (void)state;
    start(false);
    tarn_tape_set_grad(t, false);
    tarn_tensor *x = tarn_neg(t, w), *first = pair(x), *y = times(first, v), *z = sum(y);
    assert_true(isfinite(tarn_item(z)));
    assert_true(fused_runs == 1 && times_runs == 0 && pair_runs == 0 && counter == 0);
    assert_false(x->ready || first->ready || y->ready || first->node->done);
    assert_true(tarn_at(first, (int64_t[]){1}) == 1 - cos(1)); /* and runs when it is asked for */
    assert_int_equal(pair_runs, 1);
    assert_true(tarn_at(y, (int64_t[]){2}) == (1 - cos(2)) * sin(2));
    tarn_tape_set_grad(t, true);
}

/* The other output is needed, and only that is computed. */
static void a_producer_runs_for_what_is_needed(void **state)
{
    (void)state;
    start(false);
    tarn_tape_set_grad(t, false);
    tarn_tensor *first = pair(tarn_neg(t, w)), *y = times(first, v), *other = tarn_cos(t, first->node->out[1]);
    tarn_tensor *z = tarn_add(t, sum(y), sum(other));
    assert_true(isfinite(tarn_item(z)));
    assert_true(fused_runs == 1 && pair_runs == 1 && counter == 1);
    assert_true(!made[0] && made[1]);
    tarn_tape_set_grad(t, true);
}

static void a_fusion_computes_others_outputs(void **state)
{
    (void)state;
    start(true);
    tarn_tape_set_grad(t, false);
    tarn_tensor *first = pair(tarn_neg(t, w)), *y = times(first, v), *other = tarn_cos(t, first->node->out[1]);
    assert_true(isfinite(tarn_item(tarn_add(t, sum(y), sum(other)))));
    assert_true(fused_runs == 1 && pair_runs == 0 && counter == 1);
    assert_true(!made[0] && made[1]);
    assert_true(first->node->done);
    assert_true(tarn_at(first, (int64_t[]){0}) == 0);
    assert_true(pair_runs == 1 && counter == 1); /* again, without what it does besides */
    tarn_tape_set_grad(t, true);
}

/* Something lies between the two: it could read what is not there yet. */
static void only_neighbours_are_computed_along(void **state)
{
    (void)state;
    start(true);
    tarn_tape_set_grad(t, false);
    tarn_tensor *first = pair(tarn_neg(t, w)), *between = tarn_cos(t, first->node->out[1]), *y = times(first, v);
    assert_true(isfinite(tarn_item(tarn_add(t, sum(y), sum(between)))));
    assert_true(fused_runs == 0 && pair_runs == 1 && times_runs == 1);
    assert_true(made[0] && made[1]);
    tarn_tape_set_grad(t, true);
}

static void what_others_read_is_not_absorbed(void **state)
{
    (void)state;
    start(false);
    tarn_tape_set_grad(t, false);
    for (int way = 0; way < 5; way++) {
        tarn_tensor *first = pair(tarn_neg(t, w)), *y = way == 4 ? times(first, first) : times(first, v);
        tarn_tensor *more = way == 0 ? tarn_sin(t, first) : NULL; /* which is not wanted yet */
        tarn_tape_set_fusion(t, way != 1);
        assert_int_equal(tarn_tape_fusion(t), way != 1);
        assert_true(way != 2 || tarn_keep(first));
        tarn_tape_set_eager(t, way == 3);
        if (way == 3)
            y = times(pair(tarn_neg(t, w)), v);
        assert_true(isfinite(tarn_item(sum(y))));
        tarn_tape_set_eager(t, false);
        tarn_tape_set_fusion(t, true);
        assert_int_equal(fused_runs, 0);
        assert_int_equal(times_runs, way + 1);
        assert_true(!more || tarn_run(more));
    }
    assert_int_equal(pair_runs, 5);
    tarn_tape_set_grad(t, true);
}

/* With gradients on, a run that is not tarn_backward's cannot know what backward will need. */
static void gradients_need_what_they_need(void **state)
{
    (void)state;
    for (int also = 0; also < 2; also++) {
        start(also);
        tarn_params_zero_grad(params);
        tarn_tensor *first = pair(tarn_neg(t, w)), *y = times(first, v), *loss = sum(y);
        assert_true(isfinite(tarn_item(loss)));
        assert_int_equal(fused_runs, 0);
        assert_true(tarn_backward(t, loss));
        tarn_tensor *frozen = tarn_neg(t, v), *c = tarn_neg(t, w);
        tarn_tape_set_grad(t, false);
        tarn_tensor *constant = tarn_neg(t, frozen);
        tarn_tape_set_grad(t, true);
        start(also);
        tarn_tensor *second = pair(c); /* its value is needed for no gradient */
        assert_true(tarn_backward(t, sum(times(second, constant))));
        assert_int_equal(fused_runs, 1);
        for (int i = 0; i < N; i++)
            assert_true(((const double *)tarn_data(tarn_param_grad(w)))[i] == -sin(i) - sin(i));
        tarn_tape_reset(t);
    }
}

static void a_changed_leaf_is_found_behind_a_fusion(void **state)
{
    (void)state;
    for (int also = 0; also < 2; also++) {
        start(also);
        tarn_tape_set_grad(t, false);
        tarn_tensor *y = times(pair(w), v), *z = sum(y);
        assert_true(tarn_fill(w, 2));
        assert_true(isnan(tarn_item(z)));
        expect_error("tarn_pair: input 0 (w [20000]) changed between recording and running");
        assert_true(isnan(tarn_item(z))); /* as often as it is asked */
        expect_error("tarn_pair: input 0 (w [20000]) changed between recording and running");
        assert_int_equal(fused_runs, 0);
        tarn_tape_set_grad(t, true);
        tarn_tape_reset(t);
    }
}

/* Also when it is computed again, after it has gone. */
static void a_changed_leaf_is_found_again(void **state)
{
    (void)state;
    start(false);
    tarn_tape_set_grad(t, false);
    tarn_tensor *y = times(pair(w), v), *z = tarn_sin(t, tarn_mul(t, tarn_neg(t, tarn_cos(t, w)), v));
    assert_true(isfinite(tarn_item(sum(tarn_concat(t, 2, (tarn_tensor *[]){y, z}, 0)))));
    assert_false(y->ready || z->ready);
    assert_int_equal(fused_runs, 1);
    assert_true(tarn_fill(w, 2));
    assert_true(isnan(tarn_at(y, (int64_t[]){3})));
    expect_error("tarn_pair: input 0 (w [20000]) changed", "tarn_keep(x)");
    assert_true(isnan(tarn_at(z, (int64_t[]){3})));
    expect_error("tarn_cos: input 0 (w [20000]) changed", "tarn_keep(x)");
    assert_int_equal(fused_runs, 1);
    tarn_tape_set_grad(t, true);
}

/* Two fusions of one run do the work of the same node. What the first does besides is not lost from sight by that. */
static void a_node_is_absorbed_twice(void **state)
{
    (void)state;
    start(false);
    tarn_tape_set_grad(t, false);
    tarn_tensor *shared = tarn_exp(t, w), *early = tarn_neg(t, shared);
    assert_true(tarn_run(tarn_sin(t, early))); /* so that neither of the two waits for a run */
    assert_false(shared->ready || early->ready);
    tarn_tensor *late = tarn_neg(t, tarn_mul(t, shared, v));
    tarn_tensor *both = tarn_concat(t, 2, (tarn_tensor *[]){early, late}, 0);
    assert_true(tarn_fill(v, 2));
    assert_false(tarn_run(both));
    expect_error("tarn_mul: input 1 (v [20000]) changed between recording and running");
    assert_false(tarn_run(both));
    expect_error("tarn_mul: input 1 (v [20000]) changed between recording and running");
    tarn_tape_set_grad(t, true);
}

static void fusion_without_memory(void **state)
{
    (void)state;
    long failures = 0;
    for (long k = 1;; k++) {
        start(true);
        tarn_tape_set_grad(t, false);
        tarn_tensor *y = times(pair(tarn_neg(t, w)), v), *z = sum(y);
        check_memory_fail(k, false);
        double found = tarn_item(z);
        bool failed = check_memory_failed();
        check_memory_succeed();
        if (isnan(found))
            expect_error("tarn_", "no memory");
        failures += isnan(found);
        double again = tarn_item(z);
        assert_true(isfinite(again) && (isnan(found) || again == found));
        tarn_tape_free(t);
        t = tarn_tape_new();
        if (!failed)
            break;
    }
    assert_true(failures > 2);
}

/* ---- chains of elementwise ops ---- */

static tarn_tensor *leaves[5];

/* A random expression over leaves of several shapes and layouts, whose inner results have one reader each. */
static tarn_tensor *expression(tarn_rng *rng, int depth)
{
    if (depth == 0 || tarn_rng_below(rng, 8) == 0)
        return leaves[tarn_rng_below(rng, 5)];
    tarn_tensor *a = expression(rng, depth - 1), *b;
    switch (tarn_rng_below(rng, 12)) {
    case 0:
        return tarn_tanh(t, a);
    case 1:
        return tarn_relu(t, a);
    case 2:
        return tarn_mul_scalar(t, a, 0.3);
    case 3:
        return tarn_neg(t, a);
    case 4:
        return tarn_clamp(t, a, -0.7, 0.8);
    case 5:
        return tarn_sigmoid(t, a);
    case 6:
        return tarn_leaky_relu(t, a, tarn_rng_below(rng, 2) ? 0.1 : -0.2);
    default:
        b = expression(rng, depth - 1);
        switch (tarn_rng_below(rng, 4)) {
        case 0:
            return tarn_add(t, a, b);
        case 1:
            return tarn_sub(t, a, b);
        case 2:
            return tarn_maximum(t, a, b);
        default:
            return tarn_mul(t, a, b);
        }
    }
}

enum { ROWS = 90, COLUMNS = 130 };

static void leaves_new(tarn_params *p, tarn_dtype dtype)
{
    tarn_rng rng = tarn_rng_seed(3);
    const int64_t shapes[5][3] = {
        {1, ROWS, COLUMNS}, {1, COLUMNS, ROWS}, {1, 1, COLUMNS}, {1, ROWS, 1}, {2, ROWS, COLUMNS}};
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        tarn_tensor *x = tarn_tensor_uniform_new(dtype, 3, shapes[i], &rng, -1.5, 1.5);
        assert_true(tarn_copy(tarn_params_add(p, name, 3, shapes[i]), x));
        tarn_tensor_free(x);
    }
}

static void leaves_record(tarn_params *p)
{
    for (int i = 0; i < 5; i++)
        leaves[i] = tarn_params_at(p, (size_t)i);
    leaves[1] = tarn_transpose(t, leaves[1], 1, 2);
    leaves[4] = tarn_slice(t, leaves[4], 0, 1, 2, 1);
}

static void gradients(tarn_params *p, uint64_t seed, bool fusion, int threads, tarn_tensor **grads)
{
    tarn_rng rng = tarn_rng_seed(seed);
    assert_true(tarn_set_threads(threads));
    tarn_tape_set_fusion(t, fusion);
    leaves_record(p);
    tarn_tensor *full = tarn_add(t, expression(&rng, 6), leaves[0]), *loss = tarn_mean(t, full, TARN_ALL_AXES, false);
    assert_true(tarn_backward(t, loss));
    grads[0] = tarn_tensor_clone(loss);
    for (int i = 0; i < 5; i++) {
        grads[i + 1] = tarn_tensor_clone(tarn_param_grad(tarn_params_at(p, (size_t)i)));
        assert_non_null(grads[i + 1]);
    }
    tarn_params_zero_grad(p);
    tarn_tape_reset(t);
    assert_true(tarn_set_threads(0));
}

static void chains_have_the_same_bits(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 2; dtype++) {
        tarn_params *p = tarn_params_new(dtype ? TARN_F64 : TARN_F32);
        leaves_new(p, dtype ? TARN_F64 : TARN_F32);
        for (uint64_t seed = 0; seed < 60; seed++) {
            tarn_tensor *apart[6], *fused[6];
            gradients(p, seed, false, 1, apart);
            gradients(p, seed, true, 1 + (int)(seed % 3), fused);
            for (int i = 0; i < 6; i++) {
                assert_memory_equal(tarn_data(apart[i]), tarn_data(fused[i]),
                                    (size_t)tarn_numel(apart[i]) * tarn_dtype_size(tarn_tensor_dtype(apart[i])));
                tarn_tensor_free(apart[i]), tarn_tensor_free(fused[i]);
            }
        }
        tarn_params_free(p);
    }
}

/* Longer than a program may be, and with more inputs: several loops, and still most results are not stored. */
static void long_and_wide_chains(void **state)
{
    (void)state;
    enum { LONG = 100 };
    double *found[2];
    tarn_tape_set_grad(t, false);
    for (int fusion = 0; fusion < 2; fusion++) {
        tarn_tensor *y = w, *inner[LONG], *zs[30], *wide = v;
        tarn_tape_set_fusion(t, fusion);
        for (int i = 0; i < LONG; i++)
            y = inner[i] = i % 2 ? tarn_tanh(t, y) : tarn_add(t, i % 4 ? v : y, i % 4 ? y : v);
        for (int i = 0; i < 30; i++) {
            zs[i] = tarn_full(t, TARN_F64, TARN_SHAPE(N), i);
            wide = i % 2 ? tarn_sub(t, wide, zs[i]) : tarn_mul(t, tarn_cos(t, zs[i]), wide);
        }
        tarn_tensor *result = tarn_add(t, y, wide);
        assert_true(tarn_run(result));
        int stored = 0;
        for (int i = 0; i < LONG; i++)
            stored += inner[i]->node->done;
        if (fusion)
            assert_in_range(stored, LONG / TARN__PROGRAM_STEPS, LONG / TARN__PROGRAM_STEPS + LONG / 7);
        else
            assert_int_equal(stored, LONG);
        found[fusion] = malloc(N * sizeof(double));
        memcpy(found[fusion], tarn_data(result), N * sizeof(double));
    }
    assert_memory_equal(found[0], found[1], N * sizeof(double));
    free(found[0]), free(found[1]);
    tarn_tape_set_grad(t, true);
}

static void chains_take_less_memory(void **state)
{
    (void)state;
    size_t peak[2];
    for (int fusion = 0; fusion < 2; fusion++) {
        tarn_tape *own = tarn_tape_new();
        tarn_tape_set_fusion(own, fusion);
        tarn_tensor *y = tarn_exp(own, w);
        for (int i = 0; i < 5; i++)
            y = tarn_add_scalar(own, tarn_mul_scalar(own, tarn_neg(own, y), 0.5), 1);
        assert_true(tarn_backward(own, tarn_sum(own, y, TARN_ALL_AXES, false)));
        peak[fusion] = tarn_tape_memory(own).peak;
        tarn_tape_free(own);
    }
    assert_true(peak[1] + (N - 1000) * sizeof(double) < peak[0]); /* the programs take room too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_absorbed_node_does_not_run, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(a_producer_runs_for_what_is_needed, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(a_fusion_computes_others_outputs, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(only_neighbours_are_computed_along, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(what_others_read_is_not_absorbed, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(gradients_need_what_they_need, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(a_changed_leaf_is_found_behind_a_fusion, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(a_changed_leaf_is_found_again, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(a_node_is_absorbed_twice, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(fusion_without_memory, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(chains_have_the_same_bits, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(long_and_wide_chains, setup_params, teardown_params),
        cmocka_unit_test_setup_teardown(chains_take_less_memory, setup_params, teardown_params),
    };
    return cmocka_run_group_tests_name("fusion", tests, NULL, NULL);
}
