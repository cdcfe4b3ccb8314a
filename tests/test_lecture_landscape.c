/* L10: slices of the loss around what training found, along filter-normalised directions: by the
 * statistics of its batch, BatchNorm keeps the loss from rising far. */
#include "tests/layers_cases.h"

#include "autograd/surface.h"

enum { DEPTH = 12, WIDTH = 12, FEATURES = 8, EXAMPLES = 64, CLASSES_HERE = 4, GRID = 9 };

typedef struct net {
    tarn_linear_layer linear[DEPTH], out;
    tarn_batchnorm_layer norm[DEPTH];
    tarn_tensor *x, *labels;
    tarn_params *params;
    bool normalized;
} net;

static tarn_tensor *net_loss(tarn_tape *t, void *context)
{
    const net *m = context;
    tarn_tensor *x = m->x;
    for (int i = 0; i < DEPTH; i++) {
        x = tarn_linear_apply(t, &m->linear[i], x);
        if (m->normalized)
            x = tarn_batchnorm_apply(t, &m->norm[i], x);
        x = tarn_relu(t, x);
    }
    return tarn_cross_entropy(t, tarn_linear_apply(t, &m->out, x), m->labels);
}

/* Trained on one batch, whose classes a random linear map gives. */
static void net_init(net *m, bool normalized)
{
    tarn_rng rng = tarn_rng_seed(11);
    const tarn_linear_opts opts = {.init = {.kind = TARN_INIT_KAIMING_NORMAL, .activation = TARN_RELU}};
    *m = (net){.normalized = normalized, .params = tarn_params_new(TARN_F64)};
    m->x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &rng, -1, 1);
    tarn_tensor *map = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(FEATURES, CLASSES_HERE), &rng, -1, 1);
    m->labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, m->x, map), 1));
    tarn_tape_reset(f.t);
    tarn_tensor_free(map);
    for (int i = 0; i < DEPTH; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        tarn_linear_init(&m->linear[i], m->params, name, &rng, i ? WIDTH : FEATURES, WIDTH, &opts);
        if (normalized)
            tarn_batchnorm_init(&m->norm[i], m->params, name, WIDTH, NULL);
    }
    tarn_linear_init(&m->out, m->params, "out", &rng, WIDTH, CLASSES_HERE, NULL);
    tarn_optim *sgd = tarn_sgd_new(m->params, &(tarn_sgd_opts){.lr = 0.02, .momentum = 0.9});
    for (int step = 0; step < 60; step++) {
        assert_true(tarn_backward(f.t, net_loss(f.t, m)) && tarn_optim_step(sgd));
        tarn_tape_reset(f.t);
    }
    tarn_optim_free(sgd);
}

static void net_free(net *m)
{
    tarn_tensor_free(m->x), tarn_tensor_free(m->labels);
    tarn_params_free(m->params);
}

/* [GRID,GRID], from -1 to 1 along two directions. */
static tarn_tensor *slice_of(net *m)
{
    tarn_rng rng = tarn_rng_seed(5);
    const tarn_objective o = {net_loss, m, m->params, f.t};
    tarn_tensor *d = tarn_direction_random_new(m->params, &rng, NULL);
    tarn_tensor *e = tarn_direction_random_new(m->params, &rng, &(tarn_direction_opts){.orthogonal_to = d});
    const tarn_slice_axis across = {d, -1, 1, GRID}, up = {e, -1, 1, GRID};
    tarn_tensor *values = tarn_slice2d_new(&o, &up, &across, NULL);
    expect_shape(values, TARN_SHAPE(GRID, GRID));
    tarn_tensor_free(d), tarn_tensor_free(e);
    return values;
}

static void with_batchnorm_the_loss_does_not_rise_far(void **state)
{
    (void)state;
    double middle[2], highest[2];
    for (int normalized = 0; normalized < 2; normalized++) {
        net m;
        net_init(&m, normalized);
        tarn_tensor *values = slice_of(&m);
        middle[normalized] = tarn_at(values, (int64_t[]){GRID / 2, GRID / 2});
        highest[normalized] = tarn_item(tarn_max(f.t, values, TARN_ALL_AXES, false));
        tarn_tape_reset(f.t);
        const tarn_objective o = {net_loss, &m, m.params, f.t};
        assert_true(middle[normalized] == tarn_objective_value(&o));
        assert_true(middle[normalized] < 0.7 * log(CLASSES_HERE)); /* training did find something */
        tarn_tensor_free(values);
        net_free(&m);
    }
    assert_true(highest[0] > 10 * highest[1]);
}

/* Weights before BatchNorm may have any scale: the slice is the same, for the direction has the filters' scale too. */
static void the_slice_does_not_depend_on_the_filters_scale(void **state)
{
    (void)state;
    net m;
    net_init(&m, true);
    tarn_tensor *before = slice_of(&m);
    for (int i = 0; i < DEPTH; i++) {
        tarn_tensor *weight = tarn_tensor_clone(tarn_mul_scalar(f.t, m.linear[i].weight, 100));
        tarn_tensor *bias = tarn_tensor_clone(tarn_mul_scalar(f.t, m.linear[i].bias, 100));
        tarn_tape_reset(f.t);
        assert_true(tarn_copy(m.linear[i].weight, weight) && tarn_copy(m.linear[i].bias, bias));
        tarn_tensor_free(weight), tarn_tensor_free(bias);
    }
    tarn_tensor *after = slice_of(&m);
    expect_equal(after, before, 1e-2); /* eps is not scaled */
    tarn_tensor_free(before), tarn_tensor_free(after);
    net_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(with_batchnorm_the_loss_does_not_rise_far),
        TEST(the_slice_does_not_depend_on_the_filters_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
