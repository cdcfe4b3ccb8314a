/* train_step.c: the time of one training step (forward, loss, backward, optimiser) of a small network, on
 * random data.
 *
 *   mlp       784-256-BN-ReLU-128-BN-ReLU-10                                              Adam
 *   cnn28     [28,28,1]  conv3x3x32 BN ReLU pool2  conv3x3x64 BN ReLU pool2  fc128 ReLU fc10   Adam
 *   vgg8      [32,32,3]  (conv3x3 BN ReLU)x2 pool2 at 64, 128, 256 channels, global mean, fc10   SGD,
 * momentum 0.9 resnet20  [32,32,3]  He et al. 2015 (1512.03385), 16/32/64 channels, 1x1 projection shortcuts,
 * BN   SGD, momentum 0.9
 *
 * Prints one line: net=.. batch=.. threads=.. layout=nhwc compile=0 ms=<median ms a step> img_per_s=..
 * rss_mb=<peak> version=.. */
#include "examples/common/cli.h"
#include "examples/common/progress.h"
#include "tarn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { WARM_UP = 3, MAX_UNITS = 24, MAX_STEPS = 100000 };

/* A convolution and its BatchNorm. */
typedef struct unit {
    tarn_conv2d_layer conv;
    tarn_batchnorm_layer norm;
} unit;

/* What any of the networks is made of, in the order in which it is applied. */
typedef struct net {
    unit units[MAX_UNITS];
    tarn_linear_layer linear[3];
    tarn_batchnorm_layer norm[2];
    tarn_params *params;
    tarn_rng *rng;
    int n_units;
} net;

static void add_unit(net *m, int64_t in, int64_t out, int kernel, int stride, bool bias)
{
    const tarn_conv2d_layer_opts opts = {.stride = stride, .padding = kernel / 2, .no_bias = !bias};
    unit *u = &m->units[m->n_units];
    char name[32];
    snprintf(name, sizeof name, "conv%d", m->n_units);
    tarn_conv2d_init(&u->conv, m->params, name, m->rng, in, out, kernel, &opts);
    snprintf(name, sizeof name, "norm%d", m->n_units++);
    tarn_batchnorm_init(&u->norm, m->params, name, out, NULL);
}

static tarn_tensor *apply_unit(tarn_tape *t, const unit *u, tarn_tensor *x)
{
    return tarn_batchnorm_apply(t, &u->norm, tarn_conv2d_apply(t, &u->conv, x));
}

static void add_linear(net *m, int i, int64_t in, int64_t out)
{
    char name[32];
    snprintf(name, sizeof name, "linear%d", i);
    tarn_linear_init(&m->linear[i], m->params, name, m->rng, in, out, NULL);
}

/* ---- mlp ---- */

static void mlp_init(net *m)
{
    add_linear(m, 0, 784, 256);
    tarn_batchnorm_init(&m->norm[0], m->params, "norm0", 256, NULL);
    add_linear(m, 1, 256, 128);
    tarn_batchnorm_init(&m->norm[1], m->params, "norm1", 128, NULL);
    add_linear(m, 2, 128, 10);
}

static tarn_tensor *mlp_forward(tarn_tape *t, const net *m, tarn_tensor *x)
{
    for (int i = 0; i < 2; i++)
        x = tarn_relu(t, tarn_batchnorm_apply(t, &m->norm[i], tarn_linear_apply(t, &m->linear[i], x)));
    return tarn_linear_apply(t, &m->linear[2], x);
}

/* ---- cnn28 ---- */

static void cnn28_init(net *m)
{
    add_unit(m, 1, 32, 3, 1, true);
    add_unit(m, 32, 64, 3, 1, true);
    add_linear(m, 0, 7 * 7 * 64, 128);
    add_linear(m, 1, 128, 10);
}

static tarn_tensor *cnn28_forward(tarn_tape *t, const net *m, tarn_tensor *x)
{
    for (int i = 0; i < 2; i++)
        x = tarn_max_pool2d(t, tarn_relu(t, apply_unit(t, &m->units[i], x)), 2, NULL);
    x = tarn_relu(t, tarn_linear_apply(t, &m->linear[0], tarn_flatten(t, x)));
    return tarn_linear_apply(t, &m->linear[1], x);
}

/* ---- vgg8 ---- */

static void vgg8_init(net *m)
{
    for (int64_t in = 3, out = 64; out <= 256; in = out, out *= 2) {
        add_unit(m, in, out, 3, 1, false);
        add_unit(m, out, out, 3, 1, false);
    }
    add_linear(m, 0, 256, 10);
}

static tarn_tensor *vgg8_forward(tarn_tape *t, const net *m, tarn_tensor *x)
{
    for (int i = 0; i < m->n_units; i++) {
        x = tarn_relu(t, apply_unit(t, &m->units[i], x));
        if (i % 2)
            x = tarn_max_pool2d(t, x, 2, NULL);
    }
    return tarn_linear_apply(t, &m->linear[0], tarn_global_avg_pool2d(t, x));
}

/* ---- resnet20 ---- */

static void resnet20_init(net *m)
{
    add_unit(m, 3, 16, 3, 1, false);
    for (int64_t in = 16, out = 16; out <= 64; out *= 2)
        for (int block = 0; block < 3; block++, in = out) {
            add_unit(m, in, out, 3, in == out ? 1 : 2, false);
            add_unit(m, out, out, 3, 1, false);
            if (in != out)
                add_unit(m, in, out, 1, 2, false);
        }
    add_linear(m, 0, 64, 10);
}

static tarn_tensor *resnet20_forward(tarn_tape *t, const net *m, tarn_tensor *x)
{
    const unit *u = m->units;
    x = tarn_relu(t, apply_unit(t, u++, x));
    for (int stage = 0; stage < 3; stage++)
        for (int block = 0; block < 3; block++) {
            tarn_tensor *y = tarn_relu(t, apply_unit(t, u++, x));
            y = apply_unit(t, u++, y);
            if (stage > 0 && block == 0)
                x = apply_unit(t, u++, x);
            x = tarn_relu(t, tarn_add(t, y, x));
        }
    return tarn_linear_apply(t, &m->linear[0], tarn_global_avg_pool2d(t, x));
}

/* ---- the clock ---- */

static const struct recipe {
    const char *name;
    void (*init)(net *m);
    tarn_tensor *(*forward)(tarn_tape *t, const net *m, tarn_tensor *x);
    int ndim;
    int64_t shape[3];
    bool adam;
} recipes[] = {
    {"mlp", mlp_init, mlp_forward, 1, {784}, true},
    {"cnn28", cnn28_init, cnn28_forward, 3, {28, 28, 1}, true},
    {"vgg8", vgg8_init, vgg8_forward, 3, {32, 32, 3}, false},
    {"resnet20", resnet20_init, resnet20_forward, 3, {32, 32, 3}, false},
};

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static tarn_tensor *random_inputs(const struct recipe *r, int64_t batch, tarn_rng *rng)
{
    const int64_t shape[4] = {batch, r->shape[0], r->shape[1], r->shape[2]};
    tarn_tensor *x = tarn_tensor_new(TARN_F32, r->ndim + 1, shape);
    tarn_rng_fill_normal_f32(rng, (size_t)tarn_numel(x), tarn_mutable_data(x), 0, 1);
    return x;
}

static tarn_tensor *random_labels(int64_t batch, tarn_rng *rng)
{
    tarn_tensor *labels = tarn_tensor_new(TARN_I32, 1, &batch);
    int32_t *label = tarn_mutable_data(labels);
    for (int64_t i = 0; label && i < batch; i++)
        label[i] = (int32_t)tarn_rng_below(rng, 10);
    return labels;
}

/* Milliseconds of each of `steps` steps into ms, after the warm-up. */
static void time_steps(const struct recipe *r, int64_t batch, int64_t steps, double *ms)
{
    tarn_rng rng = tarn_rng_seed(0);
    net m = {.params = tarn_params_new(TARN_F32), .rng = &rng};
    r->init(&m);
    tarn_tensor *x = random_inputs(r, batch, &rng), *labels = random_labels(batch, &rng);
    tarn_optim *optim = r->adam ? tarn_adam_new(m.params, &(tarn_adam_opts){.lr = 1e-3})
                                : tarn_sgd_new(m.params, &(tarn_sgd_opts){.lr = 0.1, .momentum = 0.9});
    tarn_tape *t = tarn_tape_new();
    for (int64_t i = -WARM_UP; i < steps && !tarn_error(); i++) {
        const double start = progress_now();
        tarn_params_zero_grad(m.params);
        tarn_backward(t, tarn_cross_entropy(t, r->forward(t, &m, x), labels));
        tarn_optim_step(optim);
        tarn_tape_reset(t);
        if (i >= 0)
            ms[i] = 1e3 * (progress_now() - start);
    }
    tarn_tape_free(t);
    tarn_optim_free(optim);
    tarn_params_free(m.params);
    tarn_tensor_free(x);
    tarn_tensor_free(labels);
}

int main(int argc, char **argv)
{
    const char *name = "cnn28", *layout = "nhwc";
    int64_t batch = 64, threads = 2, steps = 15;
    const cli_option options[] = {
        {"--net", "NAME", CLI_TEXT, &name, 0, 0, "mlp, cnn28, vgg8 or resnet20"},
        {"--batch", "N", CLI_INT, &batch, 2, 65536, "images in a step"},
        {"--threads", "N", CLI_INT, &threads, 1, 256, "threads"},
        {"--steps", "N", CLI_INT, &steps, 1, MAX_STEPS, "timed steps"},
        {"--layout", "NAME", CLI_TEXT, &layout, 0, 0, "accepted and ignored: tarn's layout is nhwc"},
    };
    const int status = cli_parse("train_step", "Times one training step of a small network on random data.", options,
                                 sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    const struct recipe *r = NULL;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (!strcmp(recipes[i].name, name))
            r = &recipes[i];
    if (!r) {
        fprintf(stderr, "train_step: --net: '%s' is not mlp, cnn28, vgg8 or resnet20\n", name);
        return 2;
    }
    double *ms = calloc((size_t)steps, sizeof *ms);
    if (!ms || !tarn_set_threads((int)threads))
        tarn_fail("cannot start: no memory, or no threads");
    else
        time_steps(r, batch, steps, ms);
    if (tarn_error()) {
        fprintf(stderr, "train_step: %s\n", tarn_error());
        free(ms);
        return 1;
    }
    qsort(ms, (size_t)steps, sizeof *ms, compare_doubles);
    const double median = (ms[(steps - 1) / 2] + ms[steps / 2]) / 2;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("net=%s batch=%lld threads=%lld layout=nhwc compile=0 ms=%.3f img_per_s=%.0f rss_mb=%.0f "
           "version=tarn-%s\n",
           r->name, (long long)batch, (long long)threads, median, 1e3 * (double)batch / median,
           (double)usage.ru_maxrss / 1024, tarn_isa());
    free(ms);
    return 0;
}
