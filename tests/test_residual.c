/* A small residual network, in which everything meets that runs together: the weights after some steps have the same bits
 * for every number of threads, fused and not, eagerly, and with checkpoints; and it learns. */
#include "layers/layers.h"
#include "optim/optim.h"
#include "tensor/threads.h"
#include "tests/check.h"

#include <math.h>

enum { BATCH = 16, SIDE = 18, WIDTH = 16, CLASSES = 4, STEPS = 6 };

typedef struct unit {
    tarn_conv2d_layer conv;
    tarn_batchnorm_layer norm;
} unit;

/* y = relu(second(relu(first(x))) + shortcut(x)) */
typedef struct block {
    unit first, second, shortcut;
    bool has_shortcut;
} block;

typedef struct net {
    tarn_params *params;
    unit stem;
    block blocks[2];
    tarn_dropout_layer drop;
    tarn_linear_layer out;
    tarn_rng noise;
    bool checkpoints;
} net;

static bool unit_new(unit *u, tarn_params *p, const char *name, tarn_rng *rng, int64_t in, int64_t out, int kernel,
                     int stride, bool bias)
{
    char norm[32];
    snprintf(norm, sizeof norm, "%s.norm", name);
    const tarn_conv2d_layer_opts opts = {.stride = stride, .padding = kernel / 2, .no_bias = !bias};
    return tarn_conv2d_init(&u->conv, p, name, rng, in, out, kernel, &opts) &&
           tarn_batchnorm_init(&u->norm, p, norm, out, NULL);
}

static bool net_new(net *m, tarn_dtype dtype)
{
    tarn_rng rng = tarn_rng_seed(3);
    *m = (net){.params = tarn_params_new(dtype), .noise = tarn_rng_seed(4)};
    m->blocks[1].has_shortcut = true;
    return unit_new(&m->stem, m->params, "stem", &rng, 3, WIDTH, 3, 1, true) &&
           unit_new(&m->blocks[0].first, m->params, "a1", &rng, WIDTH, WIDTH, 3, 1, false) &&
           unit_new(&m->blocks[0].second, m->params, "a2", &rng, WIDTH, WIDTH, 3, 1, false) &&
           unit_new(&m->blocks[1].first, m->params, "b1", &rng, WIDTH, 2 * WIDTH, 3, 2, false) &&
           unit_new(&m->blocks[1].second, m->params, "b2", &rng, 2 * WIDTH, 2 * WIDTH, 3, 1, true) &&
           unit_new(&m->blocks[1].shortcut, m->params, "bs", &rng, WIDTH, 2 * WIDTH, 1, 2, false) &&
           tarn_dropout_init(&m->drop, 0.2, &m->noise) &&
           tarn_linear_init(&m->out, m->params, "out", &rng, 2 * WIDTH, CLASSES, NULL);
}

static tarn_tensor *unit_apply(tarn_tape *t, const unit *u, tarn_tensor *x)
{
    return tarn_batchnorm_apply(t, &u->norm, tarn_conv2d_apply(t, &u->conv, x));
}

static tarn_tensor *block_apply(tarn_tape *t, void *context, tarn_tensor *x)
{
    const block *b = context;
    tarn_tensor *y = unit_apply(t, &b->second, tarn_relu(t, unit_apply(t, &b->first, x)));
    return tarn_relu(t, tarn_add(t, y, b->has_shortcut ? unit_apply(t, &b->shortcut, x) : x));
}

static tarn_tensor *net_forward(tarn_tape *t, net *m, tarn_tensor *x)
{
    x = tarn_dropout_apply(t, &m->drop, tarn_relu(t, unit_apply(t, &m->stem, x)));
    for (int i = 0; i < 2; i++)
        x = m->checkpoints ? tarn_checkpoint(t, block_apply, &m->blocks[i], x) : block_apply(t, &m->blocks[i], x);
    return tarn_linear_apply(t, &m->out, tarn_global_avg_pool2d(t, x));
}

typedef struct setting {
    int threads;
    bool fusion, eager, checkpoints;
} setting;

typedef struct run {
    char weights[65];
    double first, last; /* losses */
} run;

static void hash(const net *m, char hex[65])
{
    check_sha256 s;
    check_sha256_start(&s);
    for (size_t i = 0; i < tarn_params_count(m->params); i++) {
        tarn_tensor *x = tarn_params_at(m->params, i);
        check_sha256_add(&s, tarn_data(x), (size_t)tarn_numel(x) * tarn_dtype_size(tarn_tensor_dtype(x)));
    }
    check_sha256_finish(&s, hex);
}

static run train(tarn_dtype dtype, setting s)
{
    run r = {.first = NAN, .last = NAN};
    net m;
    assert_true(tarn_set_threads(s.threads) && net_new(&m, dtype));
    m.checkpoints = s.checkpoints;
    tarn_optim *sgd = tarn_sgd_new(m.params, &(tarn_sgd_opts){.lr = 0.05, .momentum = 0.9});
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_fusion(t, s.fusion);
    tarn_tape_set_eager(t, s.eager);
    tarn_rng images = tarn_rng_seed(9);
    tarn_tensor *x = tarn_tensor_new(dtype, TARN_SHAPE(BATCH, SIDE, SIDE, 3));
    tarn_tensor *labels = tarn_tensor_new(TARN_I32, TARN_SHAPE(BATCH));
    const int64_t pixels = SIDE * SIDE * 3;
    int32_t *label = tarn_mutable_data(labels);
    void *pixel = tarn_mutable_data(x);
    for (int64_t i = 0; i < BATCH * pixels; i++) {
        label[i / pixels] = (int32_t)(i / pixels % CLASSES);
        const double value = tarn_rng_uniform(&images) + 0.3 * (double)(i / pixels % CLASSES);
        if (dtype == TARN_F64)
            ((double *)pixel)[i] = value;
        else
            ((float *)pixel)[i] = (float)value;
    }
    for (int step = 0; step < STEPS; step++) {
        tarn_tensor *loss = tarn_cross_entropy(t, net_forward(t, &m, x), labels);
        assert_true(tarn_backward(t, loss) && tarn_optim_step(sgd));
        r.last = tarn_item(loss);
        if (step == 0)
            r.first = r.last;
        tarn_tape_reset(t);
    }
    expect_no_error();
    hash(&m, r.weights);
    tarn_tensor_free(x);
    tarn_tensor_free(labels);
    tarn_tape_free(t);
    tarn_optim_free(sgd);
    tarn_params_free(m.params);
    assert_true(tarn_set_threads(0));
    return r;
}

static void expect_same(run a, run b)
{
    assert_string_equal(a.weights, b.weights);
    assert_true(a.first == b.first && a.last == b.last);
}

static void every_way_has_the_same_bits(void **state)
{
    (void)state;
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        const run one = train(dtype, (setting){.threads = 1, .fusion = true});
        assert_true(isfinite(one.last) && one.last < 0.8 * one.first); /* it did learn */
        for (int threads = 2; threads <= 8; threads += threads < 4 ? 1 : 4)
            expect_same(train(dtype, (setting){.threads = threads, .fusion = true}), one);
        expect_same(train(dtype, (setting){.threads = 2}), one);
        expect_same(train(dtype, (setting){.threads = 1, .eager = true}), one);
        expect_same(train(dtype, (setting){.threads = 2, .fusion = true, .checkpoints = true}), one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_way_has_the_same_bits)};
    return cmocka_run_group_tests_name("residual", tests, NULL, NULL);
}
