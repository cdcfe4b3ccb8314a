/* Prints a digest of what networks compute, a line each, and fails where fused differs from unfused: the same with every
 * compiler, at every level of optimisation. test_compilers.sh builds and compares. */
#include "tarn.h"

#include <stdint.h>
#include <stdio.h>

static tarn_tape *t;
static uint64_t hash;
static bool failed;

static void add(tarn_tensor *x)
{
    const uint8_t *bytes = tarn_data(x);
    if (!bytes) {
        printf("%s\n", tarn_error());
        failed = true;
        return;
    }
    for (size_t i = 0; i < (size_t)tarn_numel(x) * tarn_dtype_size(tarn_tensor_dtype(x)); i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
}

static void report(const char *name, tarn_dtype dtype, void (*network)(tarn_dtype dtype))
{
    uint64_t found[2];
    for (int fused = 0; fused < 2; fused++) {
        hash = 14695981039346656037u;
        tarn_tape_set_fusion(t, fused);
        network(dtype);
        tarn_tape_reset(t);
        found[fused] = hash;
    }
    printf("%s %s %016llx\n", dtype == TARN_F64 ? "f64" : "f32", name, (unsigned long long)found[0]);
    if (found[0] != found[1]) {
        printf("%s %s: fused and unfused differ\n", dtype == TARN_F64 ? "f64" : "f32", name);
        failed = true;
    }
}

/* relu(BatchNorm(x) [+ r]), gradients off, rows shorter and longer than a vector. */
static void normalized(tarn_dtype dtype)
{
    static const int64_t widths[] = {5, 16, 35, 71};
    tarn_rng rng = tarn_rng_seed(1);
    tarn_tape_set_grad(t, false);
    for (size_t i = 0; i < 8; i++) {
        const int64_t c = widths[i / 2];
        tarn_tensor *x = tarn_normal(t, dtype, TARN_SHAPE(2, 5, 5, c), &rng, 1, 2);
        tarn_tensor *gamma = tarn_uniform(t, dtype, TARN_SHAPE(c), &rng, 0.5, 2);
        tarn_tensor *beta = tarn_normal(t, dtype, TARN_SHAPE(c), &rng, 0, 1);
        tarn_tensor *y = tarn_batchnorm(t, tarn_mul_scalar(t, x, 0.7), gamma, beta, NULL, NULL);
        if (i % 2)
            y = tarn_add(t, y, tarn_normal(t, dtype, TARN_SHAPE(2, 5, 5, c), &rng, 0, 1));
        add(tarn_relu(t, y));
    }
    tarn_tape_set_grad(t, true);
}

/* A row of ops that run as one loop, and its gradient. */
static void chain(tarn_dtype dtype)
{
    tarn_rng rng = tarn_rng_seed(2);
    tarn_tensor *x = tarn_normal(t, dtype, TARN_SHAPE(3, 411), &rng, 0, 2), *g;
    tarn_tensor *y = tarn_gelu(t, tarn_silu(t, tarn_add_scalar(t, tarn_mul_scalar(t, x, 1.3), 0.1)));
    y = tarn_add(t, tarn_mul(t, tarn_tanh(t, y), x), tarn_exp(t, tarn_neg(t, tarn_square(t, x))));
    y = tarn_sub(t, tarn_softplus(t, y), tarn_log1p(t, tarn_square(t, tarn_erf(t, y))));
    y = tarn_mean(t, tarn_log_softmax(t, y), TARN_ALL_AXES, false);
    add(y);
    if (tarn_grad(t, 1, &y, NULL, 1, &x, &g))
        add(g);
}

/* Two steps of training with convolutions of each kind. */
static void training(tarn_dtype dtype)
{
    static const int32_t labels[] = {0, 2, 1};
    tarn_conv2d_layer direct, winograd, depthwise;
    tarn_batchnorm_layer first, second;
    tarn_layernorm_layer norm;
    tarn_linear_layer last;
    tarn_rng rng = tarn_rng_seed(3);
    tarn_params *p = tarn_params_new(dtype);
    const tarn_conv2d_layer_opts padded = {.padding = 1}, own = {.padding = 1, .groups = 17};
    tarn_conv2d_init(&direct, p, "direct", &rng, 3, 17, 3, &padded);
    tarn_conv2d_init(&winograd, p, "winograd", &rng, 17, 17, 3, &padded);
    tarn_conv2d_init(&depthwise, p, "depthwise", &rng, 17, 17, 3, &own);
    tarn_batchnorm_init(&first, p, "first", 17, NULL), tarn_batchnorm_init(&second, p, "second", 17, NULL);
    tarn_layernorm_init(&norm, p, "norm", 17, NULL), tarn_linear_init(&last, p, "last", &rng, 17, 3, NULL);
    tarn_optim *adam = tarn_adam_new(p, &(tarn_adam_opts){.lr = 1e-3});
    for (int step = 0; step < 2; step++) {
        tarn_tensor *x = tarn_normal(t, dtype, TARN_SHAPE(3, 17, 18, 3), &rng, 0, 1);
        tarn_tensor *h = tarn_relu(t, tarn_batchnorm_apply(t, &first, tarn_conv2d_apply(t, &direct, x)));
        h = tarn_max_pool2d(t, h, 2, NULL);
        tarn_tensor *side = tarn_conv2d_apply(t, &depthwise, h);
        h = tarn_batchnorm_apply(t, &second, tarn_conv2d_apply(t, &winograd, h));
        h = tarn_global_avg_pool2d(t, tarn_relu(t, tarn_add(t, h, side)));
        h = tarn_linear_apply(t, &last, tarn_layernorm_apply(t, &norm, h));
        tarn_tensor *loss = tarn_cross_entropy(t, h, tarn_constant(t, TARN_I32, TARN_SHAPE(3), labels));
        tarn_backward(t, loss), add(loss);
        tarn_optim_step(adam);
        tarn_tape_reset(t);
    }
    for (size_t i = 0; i < tarn_params_count(p); i++)
        add(tarn_params_at(p, i));
    tarn_optim_free(adam);
    tarn_params_free(p);
}

int main(void)
{
    t = tarn_tape_new();
    for (int pass = 0; pass < 2; pass++) {
        const tarn_dtype dtype = pass ? TARN_F64 : TARN_F32;
        report("normalized", dtype, normalized);
        report("chain", dtype, chain);
        report("training", dtype, training);
    }
    if (tarn_error()) {
        printf("%s\n", tarn_error());
        failed = true;
    }
    tarn_tape_free(t);
    return failed;
}
