/* BatchNorm together with relu, a residual and max pooling: the same bits as one op after the other, in training and in
 * evaluation, to the second order; what the program looks at is there; and the ops are indeed run together. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tensor/threads.h"
#include "tests/tape_fixture.h"

#include <stdio.h>

/* ---- networks of one or two blocks, between a product and a 1x1 convolution ---- */

typedef struct net {
    tarn_params *p;
    tarn_tensor *x, *w, *r, *gamma[2], *beta[2], *head; /* x is data; the others are parameters */
    tarn_running_stats running[2];
    tarn_tensor *y; /* what the last block gave, on the tape */
} net;

static tarn_tensor *parameter(net *m, const char *name, tarn_rng *rng, int ndim, const int64_t *shape, double low,
                              double high)
{
    tarn_tensor *x = tarn_params_add(m->p, name, ndim, shape);
    assert_non_null(x);
    for (int64_t i = 0; i < tarn_numel(x); i++)
        tarn__store(x, i, low + (high - low) * tarn_rng_uniform(rng));
    return x;
}

static tarn_running_stats running_new(net *m, const char *names[3], int64_t channels)
{
    tarn_running_stats r = {tarn_params_add_buffer(m->p, names[0], 1, &channels),
                            tarn_params_add_buffer(m->p, names[1], 1, &channels),
                            tarn_params_add_buffer(m->p, names[2], 0, NULL)};
    for (int64_t c = 0; c < channels; c++) {
        tarn__store(r.mean, c, 0.1 * (double)c);
        tarn__store(r.var, c, 1 + 0.01 * (double)c);
    }
    return r;
}

static net net_new(tarn_dtype dtype, const int64_t *shape)
{
    net m = {.p = tarn_params_new(dtype)};
    int64_t channels = shape[3];
    tarn_rng rng = tarn_rng_seed(3);
    m.x = parameter(&m, "x", &rng, 4, shape, -2, 3);
    m.w = parameter(&m, "w", &rng, 4, shape, -1, 2);
    m.r = parameter(&m, "r", &rng, 4, shape, -1, 1);
    m.gamma[0] = parameter(&m, "gamma0", &rng, 1, &channels, -1, 2);
    m.gamma[1] = parameter(&m, "gamma1", &rng, 1, &channels, -1, 2);
    m.beta[0] = parameter(&m, "beta0", &rng, 1, &channels, -1, 1);
    m.beta[1] = parameter(&m, "beta1", &rng, 1, &channels, -1, 1);
    m.head = parameter(&m, "head", &rng, 4, (const int64_t[]){1, 1, channels, 2}, -1, 1);
    m.running[0] = running_new(&m, (const char *[]){"mean0", "var0", "batches0"}, channels);
    m.running[1] = running_new(&m, (const char *[]){"mean1", "var1", "batches1"}, channels);
    return m;
}

static tarn_tensor *normal(net *m, int i, tarn_tensor *x)
{
    return tarn_batchnorm(t, x, m->gamma[i], m->beta[i], &m->running[i], &(tarn_batchnorm_opts){.eps = i ? 1e-3 : 0});
}

/* A tensor that is no leaf and no parameter. */
static tarn_tensor *product(net *m)
{
    return tarn_mul(t, m->x, m->w);
}

static tarn_tensor *plain(net *m)
{
    return tarn_relu(t, normal(m, 0, product(m)));
}

static tarn_tensor *residual(net *m)
{
    return tarn_relu(t, tarn_add(t, normal(m, 0, product(m)), m->r));
}

static tarn_tensor *residual_first(net *m)
{
    tarn_tensor *r = tarn_sin(t, m->r);
    return tarn_relu(t, tarn_add(t, r, normal(m, 0, product(m))));
}

static tarn_tensor *two_normals(net *m)
{
    tarn_tensor *x = product(m), *a = normal(m, 0, x), *b = normal(m, 1, tarn_mul(t, x, m->r));
    return tarn_relu(t, tarn_add(t, a, b));
}

/* b is wanted as it is, too. */
static tarn_tensor *one_of_two(net *m)
{
    tarn_tensor *x = product(m), *a = normal(m, 0, x), *b = normal(m, 1, tarn_mul(t, x, m->r));
    return tarn_max_pool2d(t, tarn_add(t, tarn_relu(t, tarn_add(t, a, b)), b), 2, NULL);
}

static tarn_tensor *same_twice(net *m)
{
    tarn_tensor *a = normal(m, 0, product(m));
    return tarn_relu(t, tarn_add(t, a, a));
}

static tarn_tensor *pooled(net *m)
{
    return tarn_max_pool2d(t, plain(m), 2, NULL);
}

static tarn_tensor *pooled_sum(net *m)
{
    return tarn_max_pool2d(t, residual(m), 2, NULL);
}

static tarn_tensor *pooled_alone(net *m)
{
    return tarn_max_pool2d(t, normal(m, 0, product(m)), 2, NULL);
}

static tarn_tensor *overlapping(net *m)
{
    return tarn_max_pool2d(t, plain(m), 2, &(tarn_pool2d_opts){.stride = 1});
}

static tarn_tensor *two_blocks(net *m)
{
    tarn_tensor *h = plain(m);
    return tarn_relu(t, tarn_add(t, normal(m, 1, tarn_mul(t, h, m->r)), h));
}

static tarn_tensor *views(net *m)
{
    static const int turned[] = {0, 2, 1, 3};
    tarn_tensor *x = tarn_permute(t, product(m), turned);
    tarn_tensor *y = normal(m, 0, x), *r = tarn_permute(t, tarn_sin(t, m->r), turned);
    return tarn_relu(t, tarn_add(t, y, r));
}

static tarn_tensor *broadcast(net *m)
{
    tarn_tensor *y = normal(m, 0, product(m)), *r = tarn_slice(t, m->r, 0, 0, 1, 1);
    return tarn_relu(t, tarn_add(t, y, r));
}

/* `together`: how many nodes run together with others, forward and backward; narrow: with fewer than 16 channels. */
typedef struct row {
    const char *name;
    tarn_tensor *(*forward)(net *m);
    int together, narrow;
} row;

static const row rows[] = {
    {"plain", plain, 2, 2},
    {"residual", residual, 2, 2},
    {"residual_first", residual_first, 2, 2},
    {"two_normals", two_normals, 2, 2}, /* relu's gradient is made by the first that wants it */
    {"one_of_two", one_of_two, 1, 1},
    {"same_twice", same_twice, 0, 0},
    {"pooled", pooled, 2, 2},
    {"pooled_sum", pooled_sum, 2, 2},
    {"pooled_alone", pooled_alone, 2, 1},
    {"overlapping", overlapping, 2, 2},
    {"two_blocks", two_blocks, 4, 4},
    {"views", views, 1, 1}, /* relu's gradient is wanted twice, and not made next to BatchNorm's */
    {"broadcast", broadcast, 0, 0},
};

enum { ROWS = sizeof rows / sizeof *rows };

static tarn_tensor *loss_of(net *m, const row *r)
{
    m->y = r->forward(m);
    tarn_tensor *loss = sum(tarn_square(t, tarn_conv2d(t, m->y, m->head, NULL)));
    if (!loss)
        fail_msg("%s: %s", r->name, tarn_error());
    return loss;
}

/* A chain of elementwise ops, as these two are, runs as one loop as well, but that is not meant here. */
static bool is_chain(const row *r)
{
    return r->forward == same_twice || r->forward == broadcast;
}

static int together(const row *r)
{
    int found = 0;
    for (size_t i = 0; i < t->count; i++) {
        const char *name = t->nodes[i]->op->name;
        bool counts = strcmp(name, "max_pool2d") == 0 || strcmp(name, "batchnorm_grad") == 0 ||
                      (strcmp(name, "relu") == 0 && !is_chain(r));
        found += counts && t->nodes[i]->fusion_data;
    }
    return found;
}

/* ---- values that can be compared after the tape has gone ---- */

typedef struct snapshot {
    char *bytes;
    size_t size;
} snapshot;

static void snapshot_add(snapshot *s, tarn_tensor *x)
{
    const void *data = tarn_data(x);
    size_t bytes = tarn__bytes(x);
    if (!data)
        fail_msg("%s", tarn_error());
    s->bytes = realloc(s->bytes, s->size + bytes + 1);
    assert_non_null(s->bytes);
    memcpy(s->bytes + s->size, data, bytes);
    s->size += bytes;
}

static void expect_same(const char *what, const row *r, const int64_t *shape, snapshot *a, const snapshot *b)
{
    if (a->size != b->size || memcmp(a->bytes, b->bytes, a->size) != 0)
        fail_msg("%s of %s [%d,%d,%d,%d] differ", what, r->name, (int)shape[0], (int)shape[1], (int)shape[2],
                 (int)shape[3]);
    free(a->bytes);
    *a = (snapshot){NULL, 0};
}

/* The store: gradients, and what a step leaves in the running statistics. */
static void snapshot_store(snapshot *s, const net *m)
{
    for (size_t i = 0; i < tarn_params_count(m->p); i++) {
        tarn_tensor *x = tarn_params_at(m->p, i), *grad = tarn_param_grad(x);
        snapshot_add(s, x);
        if (grad)
            snapshot_add(s, grad);
    }
}

static const int64_t shapes[][4] = {{2, 5, 7, 1}, {2, 4, 6, 3}, {3, 6, 5, 16}, {2, 9, 11, 17}, {2, 6, 6, 64}};

enum { SHAPES = sizeof shapes / sizeof *shapes };

static void for_each_net(void (*check)(tarn_dtype dtype, const int64_t *shape, const row *r))
{
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++)
        for (int i = 0; i < SHAPES; i++)
            for (int k = 0; k < ROWS; k++)
                check(dtype, shapes[i], &rows[k]);
}

/* ---- a training step ---- */

static snapshot step(tarn_dtype dtype, const int64_t *shape, const row *r, bool fusion, int threads)
{
    net m = net_new(dtype, shape);
    snapshot s = {NULL, 0};
    tarn_tape_set_fusion(t, fusion);
    t->keep_below = 0;
    tarn_set_threads(threads);
    for (int i = 0; i < 2; i++) { /* in the second step memory is used again */
        tarn_tensor *loss = loss_of(&m, r);
        if (!tarn_backward(t, loss))
            fail_msg("%s: %s", r->name, tarn_error());
        int expected = fusion ? shape[3] < 16 ? r->narrow : r->together : 0;
        if (together(r) != expected)
            fail_msg("%s [%d channels]: %d nodes ran together with others, expected %d", r->name, (int)shape[3],
                     together(r), expected);
        assert_true(tarn_item(m.running[0].batches) == i + 1);
        snapshot_add(&s, loss);
        snapshot_store(&s, &m);
        tarn_tape_reset(t);
    }
    tarn_set_threads(0);
    tarn_params_free(m.p);
    return s;
}

static void check_step(tarn_dtype dtype, const int64_t *shape, const row *r)
{
    snapshot apart = step(dtype, shape, r, false, 1);
    for (int threads = 1; threads <= 3; threads++) {
        snapshot fused = step(dtype, shape, r, true, threads);
        expect_same("loss, gradients or statistics", r, shape, &fused, &apart);
    }
    free(apart.bytes);
}

static void a_step_has_the_same_bits(void **state)
{
    (void)state;
    for_each_net(check_step);
}

/* ---- evaluation, gradients off ---- */

static snapshot evaluation(tarn_dtype dtype, const int64_t *shape, const row *r, bool fusion)
{
    net m = net_new(dtype, shape);
    snapshot s = {NULL, 0};
    tarn_tape_set_fusion(t, fusion);
    tarn_tape_set_training(t, false);
    tarn_tape_set_grad(t, false);
    tarn_tensor *y = r->forward(&m);
    snapshot_add(&s, y);
    bool last = fusion && r->forward != pooled_sum && r->forward != one_of_two && r->forward != overlapping;
    assert_true(is_chain(r) || (y->node->fusion_data != NULL) == last);
    assert_true(tarn_item(m.running[0].batches) == 0);
    tarn_tape_set_training(t, true);
    tarn_tape_set_grad(t, true);
    tarn_tape_reset(t);
    tarn_params_free(m.p);
    return s;
}

static void check_evaluation(tarn_dtype dtype, const int64_t *shape, const row *r)
{
    snapshot apart = evaluation(dtype, shape, r, false), fused = evaluation(dtype, shape, r, true);
    expect_same("y", r, shape, &fused, &apart);
    free(apart.bytes);
}

static void evaluation_has_the_same_bits(void **state)
{
    (void)state;
    for_each_net(check_evaluation);
}

/* ---- the second order: the gradient of the sum of squared gradients ---- */

static snapshot second_order(tarn_dtype dtype, const int64_t *shape, const row *r, bool fusion)
{
    net m = net_new(dtype, shape);
    snapshot s = {NULL, 0};
    tarn_tape_set_fusion(t, fusion);
    t->keep_below = 0;
    tarn_tensor *loss = loss_of(&m, r), *in[] = {m.w, m.gamma[0]}, *g[2];
    assert_true(tarn_grad(t, 1, &loss, NULL, 2, in, g));
    tarn_tensor *again = tarn_add(t, sum(tarn_square(t, g[0])), sum(tarn_square(t, g[1])));
    if (!tarn_backward(t, again))
        fail_msg("%s: %s", r->name, tarn_error());
    assert_true(tarn_item(m.running[0].batches) == 1);
    snapshot_store(&s, &m);
    tarn_tape_reset(t);
    tarn_params_free(m.p);
    return s;
}

static void check_second_order(tarn_dtype dtype, const int64_t *shape, const row *r)
{
    snapshot apart = second_order(dtype, shape, r, false), fused = second_order(dtype, shape, r, true);
    expect_same("second derivatives", r, shape, &fused, &apart);
    free(apart.bytes);
}

static void second_derivatives_have_the_same_bits(void **state)
{
    (void)state;
    for_each_net(check_second_order);
}

/* ---- the program looks ---- */

/* At everything on the tape: after backward (way 0), or before it (1), or having kept it (2). */
static snapshot looked_at(tarn_dtype dtype, const int64_t *shape, const row *r, bool fusion, int way)
{
    net m = net_new(dtype, shape);
    snapshot s = {NULL, 0};
    tarn_tape_set_fusion(t, fusion);
    t->keep_below = 0;
    tarn_tensor *loss = loss_of(&m, r);
    size_t forward = t->count;
    for (size_t i = 0; i < forward; i++)
        for (int k = 0; k < t->nodes[i]->n_out; k++) {
            if (way == 1)
                snapshot_add(&s, t->nodes[i]->out[k]);
            else if (way == 2)
                assert_true(tarn_keep(t->nodes[i]->out[k]));
        }
    if (!tarn_backward(t, loss))
        fail_msg("%s: %s", r->name, tarn_error());
    for (size_t i = 0; i < t->count; i++)
        for (int k = 0; k < t->nodes[i]->n_out; k++)
            snapshot_add(&s, t->nodes[i]->out[k]);
    snapshot_store(&s, &m);
    assert_true(tarn_item(m.running[0].batches) == 1);
    tarn_tape_reset(t);
    tarn_params_free(m.p);
    return s;
}

static void check_looks(tarn_dtype dtype, const int64_t *shape, const row *r)
{
    for (int way = 0; way < 3; way++) {
        snapshot apart = looked_at(dtype, shape, r, false, way), fused = looked_at(dtype, shape, r, true, way);
        expect_same("intermediates", r, shape, &fused, &apart);
        free(apart.bytes);
    }
}

static void what_is_looked_at_is_there(void **state)
{
    (void)state;
    for_each_net(check_looks);
}

/* ---- a leaf that changes ---- */

static void a_changed_leaf_is_found(void **state)
{
    (void)state;
    net m = net_new(TARN_F32, (const int64_t[]){2, 6, 6, 16});
    t->keep_below = 0;
    tarn_tensor *y = plain(&m), *loss = sum(tarn_square(t, tarn_conv2d(t, y, m.head, NULL)));
    assert_true(tarn_backward(t, loss));
    tarn_tensor *normalized = y->node->in[0];
    assert_false(normalized->ready);
    assert_true(tarn_fill(m.beta[0], 5));
    assert_null(tarn_data(normalized));
    expect_error("tarn_batchnorm: input 2 (beta0 [16]) changed between recording and running");
    assert_null(tarn_data(y));
    expect_error("tarn_batchnorm: input 2 (beta0 [16]) changed between recording and running");
    tarn_tape_reset(t);

    /* y is older than beta, and stays what it was, in the gradient too */
    tarn_tensor *before = NULL;
    for (int i = 0; i < 2; i++) {
        y = tarn_relu(t, normal(&m, 0, m.x));
        loss = sum(tarn_square(t, tarn_conv2d(t, y, m.head, NULL)));
        tarn_tensor *g = NULL;
        assert_true(tarn_run(y) && tarn_grad(t, 1, &loss, NULL, 1, &m.x, &g));
        if (i == 1)
            assert_true(tarn_fill(m.beta[0], -50));
        assert_non_null(tarn_data(g));
        assert_non_null(g->node->fusion_data);
        if (i == 1)
            assert_memory_equal(tarn_data(g), tarn_data(before), tarn__bytes(g));
        else
            before = tarn_tensor_clone(g);
        tarn_tape_reset(t);
    }
    tarn_tensor_free(before);
    tarn_params_free(m.p);
}

/* ---- memory ---- */

static void nothing_is_taken_after_the_first_step(void **state)
{
    (void)state;
    net m = net_new(TARN_F32, (const int64_t[]){4, 16, 16, 17});
    long calls = 0;
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < ROWS; k++)
            assert_true(tarn_backward(t, loss_of(&m, &rows[k])));
        tarn_tape_reset(t);
        if (i == 1)
            calls = check_memory_calls();
    }
    assert_int_equal(check_memory_calls(), calls);
    tarn_params_free(m.p);
}

static void every_failure_to_get_memory_is_an_error(void **state)
{
    (void)state;
    for (int k = 0; k < ROWS; k++) {
        net m = net_new(TARN_F32, (const int64_t[]){2, 5, 5, 16});
        for (long call = 1;; call++) {
            check_memory_fail(call, true);
            tarn_tensor *y = rows[k].forward(&m), *loss = y ? sum(tarn_square(t, y)) : NULL;
            bool ok = loss && tarn_backward(t, loss), failed = check_memory_failed();
            check_memory_succeed();
            assert_int_equal(ok, !failed);
            if (failed)
                expect_error("tarn_", "no memory");
            tarn_tape_free(t);
            assert_non_null(t = tarn_tape_new());
            if (!failed)
                break;
        }
        tarn_params_free(m.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_has_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(evaluation_has_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(second_derivatives_have_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_looked_at_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_leaf_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_taken_after_the_first_step, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failure_to_get_memory_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests_name("batchnorm_fusion", tests, NULL, NULL);
}
