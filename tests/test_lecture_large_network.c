/* L4 to L7: BatchNorm makes one large network of a batch; gamma and beta; what testing uses; images. */
#include "tests/layers_cases.h"

enum { N = 5, IN = 3, HIDDEN = 4, OUT = 2 };

typedef struct net {
    tarn_linear_layer f1, f2;
    tarn_batchnorm_layer norm;
} net;

static net net_new(void)
{
    net m;
    tarn_linear_init(&m.f1, f.p, "f1", &f.rng, IN, HIDDEN, NULL);
    tarn_batchnorm_init(&m.norm, f.p, "norm", HIDDEN, NULL);
    tarn_linear_init(&m.f2, f.p, "f2", &f.rng, HIDDEN, OUT, NULL);
    assert_null(tarn_error());
    return m;
}

static tarn_tensor *apply(const net *m, tarn_tensor *x)
{
    x = tarn_batchnorm_apply(f.t, &m->norm, tarn_linear_apply(f.t, &m->f1, x));
    return tarn_linear_apply(f.t, &m->f2, tarn_sigmoid(f.t, x));
}

/* L4. */
static void a_batch_is_one_large_network_in_training_only(void **state)
{
    (void)state;
    const net m = net_new();
    for (int training = 1; training >= 0; training--) {
        tarn_tape_set_training(f.t, training == 1);
        tarn_tensor *x = random_input(TARN_SHAPE(N, IN));
        tarn_tensor *jacobian = tarn_jacobian_new(f.t, apply(&m, x), x);
        expect_shape(jacobian, TARN_SHAPE(N * OUT, N * IN));
        const double *d = tarn_data(jacobian);
        for (int i = 0; i < N * OUT; i++)
            for (int j = 0; j < N * IN; j++) {
                if (training || i / OUT == j / IN)
                    assert_true(fabs(d[i * N * IN + j]) > 1e-9); /* every output depends on every input */
                else
                    assert_true(d[i * N * IN + j] == 0);
            }
        tarn_tensor_free(jacobian);
    }
}

/* L5. */
static void gamma_is_one_and_beta_zero_and_one_example_is_too_few(void **state)
{
    (void)state;
    const net m = net_new();
    for (int i = 0; i < HIDDEN; i++) {
        assert_true(tarn_at(m.norm.gamma, (int64_t[]){i}) == 1);
        assert_true(tarn_at(m.norm.beta, (int64_t[]){i}) == 0);
    }
    assert_non_null(tarn_param_grad(m.norm.gamma)); /* both are learned */
    assert_non_null(tarn_param_grad(m.norm.beta));
    assert_null(apply(&m, random_input(TARN_SHAPE(1, IN))));
    expect_error("tarn_batchnorm: x [1,4] has 1 value a channel");
}

/* L6: mu_bar <- p*mu_bar + (1-p)*mu_t, and an example alone is as it is in company. */
static void testing_uses_moving_averages(void **state)
{
    (void)state;
    enum { BATCHES = 3 };
    const net m = net_new();
    const double p = 0.9;
    double mean[HIDDEN] = {0}, var[HIDDEN] = {1, 1, 1, 1};
    for (int step = 0; step < BATCHES; step++) {
        tarn_tensor *x = random_input(TARN_SHAPE(N, IN)), *z = tarn_linear_apply(f.t, &m.f1, x);
        const double *mu = tarn_data(tarn_mean(f.t, z, TARN_AXES(0), false));
        const double *sigma2 = tarn_data(tarn_var(f.t, z, TARN_AXES(0), 1, false));
        assert_true(tarn_run(apply(&m, x)));
        for (int c = 0; c < HIDDEN; c++) {
            mean[c] = p * mean[c] + (1 - p) * mu[c];
            var[c] = p * var[c] + (1 - p) * sigma2[c];
            assert_true(fabs(tarn_at(m.norm.running.mean, (int64_t[]){c}) - mean[c]) < 1e-14);
            assert_true(fabs(tarn_at(m.norm.running.var, (int64_t[]){c}) - var[c]) < 1e-14);
        }
    }
    tarn_tape_set_training(f.t, false);
    tarn_tensor *x = random_input(TARN_SHAPE(N, IN)), *together = apply(&m, x);
    for (int i = 0; i < N; i++) {
        tarn_tensor *alone = apply(&m, tarn_slice(f.t, x, 0, i, i + 1, 1));
        expect_equal(alone, tarn_slice(f.t, together, 0, i, i + 1, 1), 1e-15);
    }
}

/* L7. */
static void images_have_statistics_per_channel(void **state)
{
    (void)state;
    enum { SIDE = 3, CHANNELS = 2 };
    tarn_batchnorm_layer norm;
    assert_true(tarn_batchnorm_init(&norm, f.p, "images", CHANNELS, NULL));
    tarn_tensor *x = random_input(TARN_SHAPE(N, SIDE, SIDE, CHANNELS)), *y = tarn_batchnorm_apply(f.t, &norm, x);
    const double *mean = tarn_data(tarn_mean(f.t, y, TARN_AXES(0, 1, 2), false));
    const double *var = tarn_data(tarn_var(f.t, y, TARN_AXES(0, 1, 2), 0, false));
    const double *x_mean = tarn_data(tarn_mean(f.t, x, TARN_AXES(0, 1, 2), false));
    const double *x_var = tarn_data(tarn_var(f.t, x, TARN_AXES(0, 1, 2), 0, false));
    for (int c = 0; c < CHANNELS; c++) {
        assert_true(fabs(mean[c]) < 1e-14);
        assert_true(fabs(var[c] - x_var[c] / (x_var[c] + 1e-5)) < 1e-14);
        const double one = tarn_at(x, (int64_t[]){2, 1, 0, c});
        assert_true(fabs(tarn_at(y, (int64_t[]){2, 1, 0, c}) - (one - x_mean[c]) / sqrt(x_var[c] + 1e-5)) < 1e-14);
    }
    assert_non_null(tarn_batchnorm_apply(f.t, &norm, tarn_slice(f.t, x, 0, 0, 1, 1))); /* one image has positions */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_is_one_large_network_in_training_only),
        TEST(gamma_is_one_and_beta_zero_and_one_example_is_too_few),
        TEST(testing_uses_moving_averages),
        TEST(images_have_statistics_per_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
