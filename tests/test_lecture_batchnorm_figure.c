/* L8: deep networks with BatchNorm train in fewer steps, at rates and with activations that without it do not work. */
#include "tests/layers_cases.h"

enum { DEPTH = 16, WIDTH = 16, FEATURES = 8, EXAMPLES = 64, CLASSES_HERE = 4, TRAINING_STEPS = 150 };

typedef struct net {
    tarn_linear_layer linear[DEPTH], out;
    tarn_batchnorm_layer norm[DEPTH];
    tarn_activation_layer activation;
    bool normalized;
} net;

static void net_init(net *m, tarn_params *p, tarn_activation activation, bool normalized)
{
    tarn_rng rng = tarn_rng_seed(11);
    const tarn_linear_opts opts = {
        .init = {.kind = activation == TARN_RELU ? TARN_INIT_KAIMING_NORMAL : TARN_INIT_XAVIER_NORMAL,
                 .activation = activation}};
    *m = (net){.normalized = normalized};
    tarn_activation_init(&m->activation, activation, 0);
    for (int i = 0; i < DEPTH; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        tarn_linear_init(&m->linear[i], p, name, &rng, i ? WIDTH : FEATURES, WIDTH, &opts);
        tarn_batchnorm_init(&m->norm[i], p, name, WIDTH, NULL);
    }
    tarn_linear_init(&m->out, p, "out", &rng, WIDTH, CLASSES_HERE, NULL);
}

static tarn_tensor *net_apply(tarn_tape *t, const net *m, tarn_tensor *x)
{
    for (int i = 0; i < DEPTH; i++) {
        x = tarn_linear_apply(t, &m->linear[i], x);
        if (m->normalized)
            x = tarn_batchnorm_apply(t, &m->norm[i], x);
        x = tarn_activation_apply(t, &m->activation, x);
    }
    return tarn_linear_apply(t, &m->out, x);
}

/* Loss before each step of gradient descent on one batch whose classes a random linear map gives. */
static void train(tarn_activation activation, bool normalized, double lr, double losses[TRAINING_STEPS])
{
    tarn_params *p = tarn_params_new(TARN_F64);
    tarn_rng rng = tarn_rng_seed(5);
    net m;
    net_init(&m, p, activation, normalized);
    tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(EXAMPLES, FEATURES), &rng, -1, 1);
    tarn_tensor *map = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(FEATURES, CLASSES_HERE), &rng, -1, 1);
    tarn_tensor *labels = tarn_tensor_clone(tarn_argmax(f.t, tarn_matmul(f.t, x, map), 1));
    tarn_optim *sgd = tarn_sgd_new(p, &(tarn_sgd_opts){.lr = lr});
    for (int step = 0; step < TRAINING_STEPS; step++) {
        tarn_tape_reset(f.t);
        tarn_tensor *loss = tarn_cross_entropy(f.t, net_apply(f.t, &m, x), labels);
        assert_true(tarn_backward(f.t, loss));
        losses[step] = tarn_item(loss);
        assert_true(tarn_optim_step(sgd));
    }
    tarn_tape_reset(f.t);
    tarn_optim_free(sgd);
    tarn_tensor_free(x), tarn_tensor_free(map), tarn_tensor_free(labels);
    tarn_params_free(p);
}

static int steps_to(const double *losses, double level)
{
    for (int step = 0; step < TRAINING_STEPS; step++)
        if (losses[step] <= level)
            return step;
    return TRAINING_STEPS;
}

static void batchnorm_needs_less_than_half_the_steps(void **state)
{
    (void)state;
    double plain[TRAINING_STEPS], same[TRAINING_STEPS], faster[TRAINING_STEPS];
    train(TARN_RELU, false, 0.02, plain);
    train(TARN_RELU, true, 0.02, same);
    train(TARN_RELU, true, 0.1, faster);
    const double reached = plain[TRAINING_STEPS - 1];
    assert_true(reached < 0.9 * plain[0]); /* the network without BatchNorm does train */
    assert_true(2 * steps_to(same, reached) < TRAINING_STEPS);
    assert_true(steps_to(faster, reached) < steps_to(same, reached));
}

static void sigmoid_trains_with_batchnorm_only(void **state)
{
    (void)state;
    double plain[TRAINING_STEPS], normalized[TRAINING_STEPS];
    train(TARN_SIGMOID, false, 0.25, plain);
    train(TARN_SIGMOID, true, 0.25, normalized);
    const double chance = log(CLASSES_HERE);
    assert_true(plain[TRAINING_STEPS - 1] > 0.95 * chance);
    assert_true(normalized[TRAINING_STEPS - 1] < 0.8 * chance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batchnorm_needs_less_than_half_the_steps),
        TEST(sigmoid_trains_with_batchnorm_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
