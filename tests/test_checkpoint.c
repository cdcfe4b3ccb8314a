/* Segments whose values are computed again for the gradient. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tests/tape_fixture.h"

enum { ROWS = 12, WIDTH = 20, DEPTH = 6 };

typedef struct network {
    tarn_params *params;
    tarn_tensor *w[DEPTH], *gamma, *beta;
    tarn_running_stats running;
    tarn_rng noise;
    int checkpoints; /* 0: none; 1: around each block; 2: around all of them too */
    int first, blocks;
} network;

static void network_new(network *m)
{
    tarn_rng rng = tarn_rng_seed(1);
    char name[16];
    *m = (network){.params = tarn_params_new(TARN_F64), .noise = tarn_rng_seed(2)};
    for (int i = 0; i < DEPTH; i++) {
        snprintf(name, sizeof name, "w%d", i);
        m->w[i] = tarn_params_add(m->params, name, TARN_SHAPE(WIDTH, WIDTH));
        assert_true(tarn_rng_fill_normal_f64(&rng, WIDTH * WIDTH, tarn_mutable_data(m->w[i]), 0, 0.3));
    }
    m->gamma = tarn_params_add(m->params, "gamma", TARN_SHAPE(WIDTH));
    m->beta = tarn_params_add(m->params, "beta", TARN_SHAPE(WIDTH));
    assert_true(tarn_fill(m->gamma, 1));
    m->running = (tarn_running_stats){tarn_params_add_buffer(m->params, "mean", TARN_SHAPE(WIDTH)),
                                      tarn_params_add_buffer(m->params, "var", TARN_SHAPE(WIDTH)),
                                      tarn_params_add_buffer(m->params, "batches", 0, NULL)};
}

/* A block reads a parameter, a batch's statistics, random numbers, and its input through views and twice. */
static tarn_tensor *block(tarn_tape *tape, void *context, tarn_tensor *x)
{
    network *m = context;
    tarn_tensor *y = tarn_matmul(tape, x, tarn_transpose(tape, m->w[m->first], 0, 1));
    y = tarn_relu(tape, tarn_batchnorm(tape, y, m->gamma, m->beta, &m->running, NULL));
    y = tarn_dropout(tape, tarn_tanh(tape, tarn_add(tape, y, x)), 0.2, &m->noise);
    return tarn_reshape(tape, tarn_mul(tape, y, tarn_sigmoid(tape, y)), TARN_SHAPE(ROWS, WIDTH));
}

static tarn_tensor *some_blocks(tarn_tape *tape, void *context, tarn_tensor *x)
{
    network *m = context;
    for (int i = 0; i < m->blocks; i++, m->first++)
        x = m->checkpoints > 0 ? tarn_checkpoint(tape, block, m, x) : block(tape, m, x);
    return x;
}

static tarn_tensor *forward(network *m, tarn_tensor *x)
{
    m->blocks = DEPTH / 2;
    m->first = 0;
    for (int half = 0; half < 2; half++)
        x = m->checkpoints > 1 ? tarn_checkpoint(t, some_blocks, m, x) : some_blocks(t, m, x);
    return x;
}

static tarn_tensor *input(void)
{
    tarn_rng rng = tarn_rng_seed(7);
    return tarn_normal(t, TARN_F64, TARN_SHAPE(ROWS, WIDTH), &rng, 0, 1);
}

/* What a step leaves behind, in a row. */
static size_t collect(network *m, tarn_tensor *const *more, int n_more, double *out)
{
    size_t n = 0;
    for (size_t i = 0; i < tarn_params_count(m->params); i++) {
        tarn_tensor *p = tarn_params_at(m->params, i), *g = tarn_param_grad(p);
        memcpy(out + n, tarn_data(p), (size_t)tarn_numel(p) * sizeof *out);
        n += (size_t)tarn_numel(p);
        if (g) {
            memcpy(out + n, tarn_data(g), (size_t)tarn_numel(g) * sizeof *out);
            n += (size_t)tarn_numel(g);
        }
    }
    for (int i = 0; i < n_more; i++) {
        memcpy(out + n, tarn_data(more[i]), (size_t)tarn_numel(more[i]) * sizeof *out);
        n += (size_t)tarn_numel(more[i]);
    }
    expect_no_error();
    return n;
}

/* order 1: backward. 2: a loss of gradients, by x and by a parameter, and backward of that. 3: once more. */
static size_t step(int checkpoints, int order, bool read_before, double *out)
{
    network m;
    network_new(&m);
    m.checkpoints = checkpoints;
    tarn_tensor *x = input(), *g[2], *loss = tarn_mean(t, forward(&m, x), TARN_ALL_AXES, false);
    if (read_before)
        assert_true(isfinite(tarn_item(loss)));
    for (int k = 1; k < order; k++) {
        assert_true(tarn_grad(t, 1, &loss, NULL, 2, (tarn_tensor *[]){x, m.w[1]}, g));
        loss = tarn_add(t, sum(tarn_square(t, g[0])), sum(tarn_mul(t, g[1], m.w[2])));
    }
    assert_true(tarn_backward(t, loss));
    size_t n = collect(&m, &loss, 1, out);
    assert_true(tarn_item(m.running.batches) == DEPTH);
    tarn_tape_reset(t);
    tarn_params_free(m.params);
    return n;
}

static void same_bits_with_and_without(void **state)
{
    (void)state;
    enum { MOST = 2 * (DEPTH * WIDTH * WIDTH + 4 * WIDTH + 10) };
    static double without[MOST], with[MOST];
    t->keep_below = 0;
    for (int order = 1; order <= 3; order++)
        for (int way = 0; way < 8; way++) {
            size_t n = step(0, order, false, without);
            assert_true(n < MOST && n > 2 * DEPTH * WIDTH * WIDTH);
            double norm = 0;
            for (size_t i = 0; i < n; i++)
                norm += without[i] * without[i];
            assert_true(norm > 1 && isfinite(norm));
            tarn_tape_set_fusion(t, way & 4);
            assert_int_equal(step(1 + way % 2, order, way & 2, with), n);
            tarn_tape_set_fusion(t, true);
            assert_memory_equal(without, with, n * sizeof *with);
        }
}

static void eager_tapes_too(void **state)
{
    (void)state;
    static double without[8000], with[8000];
    tarn_tape_set_eager(t, true);
    size_t n = step(0, 2, false, without);
    assert_int_equal(step(2, 2, false, with), n);
    assert_memory_equal(without, with, n * sizeof *with);
}

/* ---- memory ---- */

enum { BIG = 20000, LAYERS = 64, SEGMENT = 8 };

static tarn_tensor *deep_segment(tarn_tape *tape, void *context, tarn_tensor *x)
{
    (void)context;
    for (int i = 0; i < SEGMENT; i++)
        x = tarn_sin(tape, tarn_matmul(tape, x, tarn_ones(tape, TARN_F64, TARN_SHAPE(1, 1))));
    return x;
}

static size_t peak_of(bool checkpoints, tarn_params *p, bool read_before)
{
    tarn_tape *own = tarn_tape_new();
    size_t peak = 0;
    for (int round = 0; round < 3; round++) {
        tarn_tensor *x = tarn_reshape(own, tarn_params_at(p, 0), TARN_SHAPE(BIG, 1));
        for (int i = 0; i < LAYERS / SEGMENT; i++)
            x = checkpoints ? tarn_checkpoint(own, deep_segment, NULL, x) : deep_segment(own, NULL, x);
        tarn_tensor *loss = tarn_sum(own, x, TARN_ALL_AXES, false);
        assert_true(!read_before || isfinite(tarn_item(loss)));
        assert_true(tarn_backward(own, loss));
        assert_true(peak == 0 || tarn_tape_memory(own).peak == peak);
        peak = tarn_tape_memory(own).peak;
        long calls = check_memory_calls();
        tarn_tape_reset(own);
        assert_true(round == 0 || check_memory_calls() == calls);
    }
    tarn_tape_free(own);
    return peak;
}

static void deep_chains_take_less_memory(void **state)
{
    (void)state;
    size_t value = BIG * sizeof(double);
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(BIG));
    assert_true(tarn_fill(w, 0.5));
    size_t without = peak_of(false, p, false), with = peak_of(true, p, false), read = peak_of(true, p, true);
    assert_true(without > LAYERS * value);
    assert_true(with < (LAYERS / SEGMENT + 2 * SEGMENT + 6) * value);
    assert_true(read < (LAYERS / SEGMENT + 2 * SEGMENT + 6) * value);
    tarn_params_free(p);
}

/* Each op once forwards, and once more for the gradient, also when the loss was read before. */
static int squares;

static bool square_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool square_run(tarn_node *n)
{
    squares++;
    for (int64_t i = 0; i < n->in[0]->numel; i++) {
        double x = ((const double *)n->in[0]->data)[i];
        ((double *)n->out[0]->data)[i] = x * x;
    }
    return true;
}

static bool square_vjp(tarn_tape *tape, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0])
        gx[0] = tarn_mul_scalar(tape, tarn_mul(tape, gy[0], n->in[0]), 2);
    return true;
}

static const tarn_op square_op = {.name = "counted_square", square_shape, square_run, square_vjp};

static tarn_tensor *squares_segment(tarn_tape *tape, void *context, tarn_tensor *x)
{
    (void)context;
    x = tarn_neg(tape, x); /* its gradient does not read x: the segment's copy alone does */
    for (int i = 0; i < SEGMENT; i++)
        x = tarn__apply(tape, &square_op, 1, &x, NULL, 0);
    return x;
}

static void each_op_runs_twice(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(BIG));
    assert_true(tarn_fill(w, 1));
    for (int read_before = 0; read_before < 2; read_before++) {
        tarn_tensor *x = w;
        for (int i = 0; i < 4; i++)
            x = tarn_checkpoint(t, squares_segment, NULL, x);
        tarn_tensor *loss = sum(x);
        squares = 0;
        assert_true(!read_before || tarn_item(loss) == BIG);
        assert_true(tarn_backward(t, loss));
        assert_int_equal(squares, 4 * SEGMENT + 4 * (SEGMENT - 1)); /* no gradient reads a segment's last result */
        assert_true(((const double *)tarn_data(tarn_param_grad(w)))[7] == pow(2, 4 * SEGMENT));
        tarn_params_zero_grad(p);
        tarn_tape_reset(t);
    }
    tarn_params_free(p);
}

/* ---- segments inside each other ---- */

/* Each lies inside the one before: a square, and what is left of the depth. */
static tarn_tensor *nested(tarn_tape *tape, void *context, tarn_tensor *x)
{
    int *left = context;
    x = tarn__apply(tape, &square_op, 1, &x, NULL, 0);
    return x && --*left > 0 ? tarn_checkpoint(tape, nested, left, x) : x;
}

/* So many squares, halved again and again. */
static tarn_tensor *halved(tarn_tape *tape, void *context, tarn_tensor *x)
{
    int count = *(int *)context, first = count / 2, second = count - first;
    if (count == 1)
        return tarn__apply(tape, &square_op, 1, &x, NULL, 0);
    return tarn_checkpoint(tape, halved, &second, tarn_checkpoint(tape, halved, &first, x));
}

typedef struct cost {
    long nodes, runs;
} cost;

/* Of the gradient alone. */
static cost cost_of(tarn_tensor *(*segment)(tarn_tape *, void *, tarn_tensor *), int count)
{
    tarn_tensor *x = tarn_full(t, TARN_F64, TARN_SHAPE(100), 1), *g;
    int left = count;
    tarn_tensor *y = tarn_checkpoint(t, segment, &left, x);
    assert_true(tarn_run(y));
    size_t nodes = tarn_tape_nodes(t);
    squares = 0;
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g) && tarn_run(g));
    assert_true(tarn_at(g, (int64_t[]){50}) == pow(2, count));
    cost c = {(long)(tarn_tape_nodes(t) - nodes), squares};
    tarn_tape_reset(t);
    return c;
}

static void what_nesting_costs(void **state)
{
    (void)state;
    t->keep_below = 0;
    for (int count = 1, log2 = 0; count <= 256; count *= 2, log2++) {
        cost c = cost_of(nested, count);
        assert_true(c.nodes <= count * (count + 1) / 2 + 2 * count + 1); /* and two for each rule */
        assert_true(c.runs <= count * (count + 1) / 2);
        c = cost_of(halved, count);
        assert_true(c.nodes <= count * (log2 + 1) + 2 * count + 1);
        assert_true(c.runs <= count * (log2 + 1));
    }
}

static void nesting_too_deep_is_an_error(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1);
    for (int round = 0; round < 2; round++) {
        int depth = round == 0 ? 257 : 1000000;
        assert_null(tarn_checkpoint(t, nested, &depth, x));
        expect_error("tarn_checkpoint: more than 256 segments inside each other");
        assert_true(tarn_tape_nodes(t) < 600);
    }
    int depth = 256; /* the tape is as usable as before */
    tarn_tensor *y = tarn_checkpoint(t, nested, &depth, x), *g;
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g) && tarn_item(g) == pow(2, 256));
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

static void halving_keeps_few_values(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(BIG));
    assert_true(tarn_fill(w, 1));
    for (int count = 8, log2 = 3; count <= 1024; count *= 2, log2++) {
        tarn_tape *own = tarn_tape_new();
        assert_true(tarn_backward(own, tarn_sum(own, tarn_checkpoint(own, halved, &count, w), TARN_ALL_AXES, false)));
        assert_true(own->pool.extent <= (size_t)(log2 + 8) * BIG * sizeof(double)); /* without the records */
        tarn_tape_free(own);
    }
    tarn_params_free(p);
}

/* ---- the rest ---- */

static int blocks_seen;

static tarn_tensor *seen_block(tarn_tape *tape, void *context, tarn_tensor *x)
{
    blocks_seen++;
    return context ? context : tarn_exp(tape, x);
}

static void what_a_segment_returns(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *outside = tarn_neg(t, x), *g;
    blocks_seen = 0;
    assert_ptr_equal(tarn_checkpoint(t, seen_block, x, outside), x);
    assert_ptr_equal(tarn_checkpoint(t, seen_block, outside, x), outside);
    tarn_tensor *y = tarn_checkpoint(t, seen_block, NULL, x);
    EXPECT_VALUES(y, exp(1), exp(2));
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    EXPECT_VALUES(g, exp(1), exp(2));
    assert_int_equal(blocks_seen, 3); /* its nodes are run again, not the function */
    tarn_tape *other = tarn_tape_new();
    assert_null(tarn_checkpoint(t, seen_block, tarn_ones(other, TARN_F64, 0, NULL), x));
    expect_error("tarn_checkpoint: what the segment returned lives on another tape");
    tarn_tape_free(other);
    tarn_tape_reset(t);
    tarn_tensor_free(x);
}

/* What a segment's function keeps for itself can be read and differentiated too. */
static tarn_tensor *inner;

static tarn_tensor *leaking(tarn_tape *tape, void *context, tarn_tensor *x)
{
    (void)context;
    inner = tarn_square(tape, x);
    tarn_tensor *y = tarn_sin(tape, inner), *g;
    assert_true(tarn_grad(tape, 1, &y, NULL, 1, &x, &g)); /* a gradient inside */
    return tarn_add(tape, y, g);
}

static void values_inside_and_gradients_inside(void **state)
{
    (void)state;
    double found[2][4];
    t->keep_below = 0;
    for (int with = 0; with < 2; with++) {
        tarn_tensor *x = tarn_full(t, TARN_F64, TARN_SHAPE(100), 0.7), *g, *gi, *gg;
        tarn_tensor *y = with ? tarn_checkpoint(t, leaking, NULL, x) : leaking(t, NULL, x);
        y = tarn_mul(t, y, inner);
        assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
        assert_true(tarn_grad(t, 1, &y, NULL, 1, &inner, &gi));
        assert_true(tarn_grad(t, 1, &g, NULL, 1, &x, &gg));
        tarn_tensor *const all[] = {g, gi, gg, inner};
        for (int i = 0; i < 4; i++)
            found[with][i] = tarn_at(all[i], (int64_t[]){50});
        tarn_tape_reset(t);
    }
    expect_no_error();
    assert_memory_equal(found[0], found[1], sizeof found[0]);
}

static void a_changed_parameter_is_an_error(void **state)
{
    (void)state;
    network m;
    network_new(&m);
    m.checkpoints = 1;
    tarn_tensor *loss = sum(forward(&m, input()));
    t->keep_below = 0;
    assert_true(isfinite(tarn_item(loss)));
    assert_true(tarn_fill(m.w[0], 0));
    assert_false(tarn_backward(t, loss));
    expect_error("tarn_", "(w0 [20,20]) changed between recording and running");
    tarn_tape_reset(t);
    tarn_params_free(m.params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_bits_with_and_without, setup, teardown),
        cmocka_unit_test_setup_teardown(eager_tapes_too, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_chains_take_less_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(each_op_runs_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nesting_costs, setup, teardown),
        cmocka_unit_test_setup_teardown(halving_keeps_few_values, setup, teardown),
        cmocka_unit_test_setup_teardown(nesting_too_deep_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_segment_returns, setup, teardown),
        cmocka_unit_test_setup_teardown(values_inside_and_gradients_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_parameter_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
