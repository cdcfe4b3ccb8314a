/* L9: the measurements by which internal covariate shift was put into question, on a small deep network with BatchNorm
 * and without: the loss along the gradient, the gradient before and after the layers below move, and the distributions
 * of what the activations get. */
#include "autograd/surface.h"
#include "tensor/statistics.h"
#include "tests/layers_cases.h"

enum { DEPTH = 6, WIDTH = 32, FEATURES = 8, EXAMPLES = 64, CLASSES_HERE = 4, TRAINING_STEPS = 30, MIDDLE = 3 };

#define LR 0.1

typedef struct net {
    tarn_linear_layer linear[DEPTH], out;
    tarn_batchnorm_layer norm[DEPTH];
    bool normalized;
    tarn_params *params;
    tarn_tensor *x, *labels;
    tarn_tensor *inputs; /* what the middle activation got at last */
} net;

static void net_init(net *m, bool normalized)
{
    tarn_rng rng = tarn_rng_seed(11);
    const tarn_linear_opts opts = {.init = {.kind = TARN_INIT_KAIMING_NORMAL, .activation = TARN_RELU}};
    *m = (net){.normalized = normalized, .params = tarn_params_new(TARN_F64)};
    for (int i = 0; i < DEPTH; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        tarn_linear_init(&m->linear[i], m->params, name, &rng, i ? WIDTH : FEATURES, WIDTH, &opts);
        if (normalized)
            tarn_batchnorm_init(&m->norm[i], m->params, name, WIDTH, NULL);
    }
    tarn_linear_init(&m->out, m->params, "out", &rng, WIDTH, CLASSES_HERE, NULL);
    m->x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &rng, -1, 1);
    tarn_tensor *map = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(FEATURES, CLASSES_HERE), &rng, -1, 1);
    m->labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, m->x, map), 1));
    tarn_tape_reset(f.t);
    tarn_tensor_free(map);
    assert_null(tarn_error());
}

static void net_free(net *m)
{
    tarn_tape_reset(f.t);
    tarn_tensor_free(m->x), tarn_tensor_free(m->labels);
    tarn_params_free(m->params);
}

static tarn_tensor *net_loss(tarn_tape *t, void *context)
{
    net *m = context;
    tarn_tensor *x = m->x;
    for (int i = 0; i < DEPTH; i++) {
        x = tarn_linear_apply(t, &m->linear[i], x);
        if (m->normalized)
            x = tarn_batchnorm_apply(t, &m->norm[i], x);
        if (i == MIDDLE)
            m->inputs = x;
        x = tarn_relu(t, x);
    }
    return tarn_cross_entropy(t, tarn_linear_apply(t, &m->out, x), m->labels);
}

static void step(net *m, tarn_optim *sgd)
{
    tarn_tape_reset(f.t);
    assert_true(tarn_backward(f.t, net_loss(f.t, m)));
    assert_true(tarn_optim_step(sgd));
    tarn_tape_reset(f.t);
}

/* Sums over a training, and how far the median of what the middle activation gets came from where it began, in units of
 * the distance between its 15 and 85 % then. */
typedef struct measured {
    double range, change, beta, least_cosine, largest_shift, first_loss, last_loss, median_moved;
} measured;

static measured measure(bool normalized)
{
    static const double q[] = {0.15, 0.5, 0.85};
    measured sum = {.least_cosine = 1};
    double first[3], now[3];
    net m;
    net_init(&m, normalized);
    tarn_tape *t = tarn_tape_new();
    const tarn_objective loss = {net_loss, &m, m.params, t};
    tarn_optim *sgd = tarn_sgd_new(m.params, &(tarn_sgd_opts){.lr = LR});
    for (int i = 0; i < TRAINING_STEPS; i++) {
        tarn_gradient_probe_report probe;
        tarn_gradient_shift_report shift;
        assert_true(tarn_gradient_probe(&loss, &(tarn_gradient_probe_opts){LR / 2, 4 * LR, 4}, &probe));
        assert_true(tarn_gradient_shift(&loss, "3.", NULL, LR, &shift));
        sum.range += probe.highest_loss - probe.lowest_loss;
        sum.change += probe.farthest;
        sum.beta += probe.beta;
        sum.least_cosine = fmin(sum.least_cosine, shift.cosine);
        sum.largest_shift = fmax(sum.largest_shift, shift.relative);
        net_loss(f.t, &m);
        assert_true(tarn_quantiles(tarn_slice(f.t, m.inputs, -1, 0, 1, 1), 3, q, now));
        if (i == 0) {
            memcpy(first, now, sizeof first);
            sum.first_loss = probe.loss;
        }
        sum.last_loss = probe.loss;
        sum.median_moved = fmax(sum.median_moved, fabs(now[1] - first[1]) / (first[2] - first[0]));
        step(&m, sgd);
    }
    tarn_optim_free(sgd);
    tarn_tape_free(t);
    net_free(&m);
    return sum;
}

static void it_smooths_the_loss_along_the_gradient(void **state)
{
    (void)state;
    const measured plain = measure(false), normalized = measure(true);
    assert_true(plain.last_loss < plain.first_loss && normalized.last_loss < normalized.first_loss);
    assert_true(normalized.range < 0.5 * plain.range);
    assert_true(normalized.change < 0.5 * plain.change);
    assert_true(normalized.beta < plain.beta);
}

/* The layers below do move the gradient, with BatchNorm too; but on the whole it goes on pointing the same way. */
static void a_gradient_outlives_the_step_of_the_layers_below(void **state)
{
    (void)state;
    const measured plain = measure(false), normalized = measure(true);
    assert_true(normalized.largest_shift > 0.1);
    assert_true(plain.least_cosine > 0.5 && normalized.least_cosine > 0.5);
}

static void what_activations_get_hardly_moves_either_way(void **state)
{
    (void)state;
    assert_true(measure(false).median_moved < 0.5);
    assert_true(measure(true).median_moved < 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_smooths_the_loss_along_the_gradient),
        TEST(a_gradient_outlives_the_step_of_the_layers_below),
        TEST(what_activations_get_hardly_moves_either_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
