#include "bench/common/nets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `results` numbers, each of `terms` products, forward and in each gradient. */
static void count(const net *m, bool first, int64_t results, int64_t terms)
{
    *m->flops += (first ? 2 : 3) * 2.0 * (double)results * (double)terms;
}

static void add_unit(net *m, int64_t in, int64_t out, int kernel, int stride, bool bias)
{
    const tarn_conv2d_layer_opts opts = {.stride = stride, .padding = kernel / 2, .no_bias = !bias};
    net_unit *u = &m->units[m->n_units];
    char name[32];
    snprintf(name, sizeof name, "conv%d", m->n_units);
    tarn_conv2d_init(&u->conv, m->params, name, m->rng, in, out, kernel, &opts);
    snprintf(name, sizeof name, "norm%d", m->n_units++);
    tarn_batchnorm_init(&u->norm, m->params, name, out, NULL);
}

static tarn_tensor *apply_unit(tarn_tape *t, const net *m, const net_unit *u, tarn_tensor *x)
{
    tarn_tensor *y = tarn_conv2d_apply(t, &u->conv, x);
    if (m->flops && y) /* each result is a sum over kernel, kernel, and channels in */
        count(m, u == m->units, tarn_numel(y), tarn_numel(u->conv.weight) / tarn_dim(y, -1));
    return tarn_batchnorm_apply(t, &u->norm, y);
}

static void add_linear(net *m, int i, int64_t in, int64_t out)
{
    char name[32];
    snprintf(name, sizeof name, "linear%d", i);
    tarn_linear_init(&m->linear[i], m->params, name, m->rng, in, out, NULL);
}

static tarn_tensor *apply_linear(tarn_tape *t, const net *m, int i, tarn_tensor *x)
{
    tarn_tensor *y = tarn_linear_apply(t, &m->linear[i], x);
    if (m->flops && y)
        count(m, i == 0 && m->n_units == 0, tarn_numel(y), tarn_dim(x, -1));
    return y;
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
        x = tarn_relu(t, tarn_batchnorm_apply(t, &m->norm[i], apply_linear(t, m, i, x)));
    return apply_linear(t, m, 2, x);
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
        x = tarn_max_pool2d(t, tarn_relu(t, apply_unit(t, m, &m->units[i], x)), 2, NULL);
    x = tarn_relu(t, apply_linear(t, m, 0, tarn_flatten(t, x)));
    return apply_linear(t, m, 1, x);
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
        x = tarn_relu(t, apply_unit(t, m, &m->units[i], x));
        if (i % 2)
            x = tarn_max_pool2d(t, x, 2, NULL);
    }
    return apply_linear(t, m, 0, tarn_global_avg_pool2d(t, x));
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
    const net_unit *u = m->units;
    x = tarn_relu(t, apply_unit(t, m, u++, x));
    for (int stage = 0; stage < 3; stage++)
        for (int block = 0; block < 3; block++) {
            tarn_tensor *y = tarn_relu(t, apply_unit(t, m, u++, x));
            y = apply_unit(t, m, u++, y);
            if (stage > 0 && block == 0)
                x = apply_unit(t, m, u++, x);
            x = tarn_relu(t, tarn_add(t, y, x));
        }
    return apply_linear(t, m, 0, tarn_global_avg_pool2d(t, x));
}

/* ---- lstm ---- */

enum { LSTM_STEPS = 64, LSTM_VOCABULARY = 96, LSTM_EMBEDDING = 64, LSTM_WIDTH = 256, LSTM_GATES = 4 * LSTM_WIDTH };

static tarn_tensor *add_uniform(net *m, const char *name, int64_t rows, int64_t columns, double bound)
{
    tarn_tensor *w = tarn_params_add(m->params, name, 2, (const int64_t[]){rows, columns});
    if (w)
        tarn_rng_fill_uniform_f32(m->rng, (size_t)(rows * columns), tarn_mutable_data(w), -bound, bound);
    return w;
}

static void lstm_init(net *m)
{
    const double bound = 1 / sqrt(LSTM_WIDTH);
    m->embedding = add_uniform(m, "embedding", LSTM_VOCABULARY, LSTM_EMBEDDING, 1);
    m->input_weight = add_uniform(m, "input", LSTM_EMBEDDING, LSTM_GATES, bound);
    m->state_weight = add_uniform(m, "state", LSTM_WIDTH, LSTM_GATES, bound);
    m->bias = add_uniform(m, "bias", 1, LSTM_GATES, bound);
    add_linear(m, 0, LSTM_WIDTH, LSTM_VOCABULARY);
}

static tarn_tensor *gate(tarn_tape *t, tarn_tensor *gates, int64_t i)
{
    return tarn_slice(t, gates, 1, i * LSTM_WIDTH, (i + 1) * LSTM_WIDTH, 1);
}

/* x [N,64] -> [64 N,96], step by step; the state begins at 0. */
static tarn_tensor *lstm_forward(tarn_tape *t, const net *m, tarn_tensor *x)
{
    tarn_tensor *states[LSTM_STEPS], *h = NULL, *c = NULL;
    const int64_t batch = tarn_dim(x, 0);
    for (int64_t step = 0; step < LSTM_STEPS; step++) {
        tarn_tensor *now = tarn_reshape(t, tarn_slice(t, x, 1, step, step + 1, 1), 1, &batch);
        tarn_tensor *gates = tarn_matmul(t, tarn_index_select(t, m->embedding, 0, now), m->input_weight);
        if (h)
            gates = tarn_add(t, gates, tarn_matmul(t, h, m->state_weight));
        gates = tarn_add(t, gates, m->bias);
        tarn_tensor *in = tarn_sigmoid(t, gate(t, gates, 0)), *forget = tarn_sigmoid(t, gate(t, gates, 1));
        tarn_tensor *value = tarn_mul(t, in, tarn_tanh(t, gate(t, gates, 2)));
        c = c ? tarn_add(t, tarn_mul(t, forget, c), value) : value;
        h = states[step] = tarn_mul(t, tarn_sigmoid(t, gate(t, gates, 3)), tarn_tanh(t, c));
    }
    if (m->flops)
        count(m, false, batch * LSTM_STEPS * LSTM_GATES, LSTM_EMBEDDING + LSTM_WIDTH);
    return apply_linear(t, m, 0, tarn_concat(t, LSTM_STEPS, states, 0));
}

/* ---- all ---- */

const net_recipe net_recipes[NET_COUNT] = {
    {"mlp", mlp_init, mlp_forward, 1, {784}, true, 0},
    {"cnn28", cnn28_init, cnn28_forward, 3, {28, 28, 1}, true, 0},
    {"vgg8", vgg8_init, vgg8_forward, 3, {32, 32, 3}, false, 0},
    {"resnet20", resnet20_init, resnet20_forward, 3, {32, 32, 3}, false, 0},
    {"lstm", lstm_init, lstm_forward, 1, {LSTM_STEPS}, true, LSTM_VOCABULARY},
};

const net_recipe *net_find(const char *name)
{
    for (int i = 0; i < NET_COUNT; i++)
        if (!strcmp(net_recipes[i].name, name))
            return &net_recipes[i];
    return NULL;
}

static tarn_tensor *numbers_new(int ndim, const int64_t *shape, int64_t below, tarn_rng *rng)
{
    tarn_tensor *x = tarn_tensor_new(TARN_I32, ndim, shape);
    int32_t *number = tarn_mutable_data(x);
    for (int64_t i = 0; number && i < tarn_numel(x); i++)
        number[i] = (int32_t)tarn_rng_below(rng, (uint64_t)below);
    return x;
}

tarn_tensor *net_inputs_new(const net_recipe *r, int64_t batch, tarn_rng *rng)
{
    const int64_t shape[4] = {batch, r->shape[0], r->shape[1], r->shape[2]};
    if (r->vocabulary > 0)
        return numbers_new(r->ndim + 1, shape, r->vocabulary, rng);
    tarn_tensor *x = tarn_tensor_new(TARN_F32, r->ndim + 1, shape);
    tarn_rng_fill_normal_f32(rng, (size_t)tarn_numel(x), tarn_mutable_data(x), 0, 1);
    return x;
}

tarn_tensor *net_labels_new(const net_recipe *r, int64_t batch, tarn_rng *rng)
{
    const int64_t count = r->vocabulary > 0 ? batch * r->shape[0] : batch;
    return numbers_new(1, &count, r->vocabulary > 0 ? r->vocabulary : 10, rng);
}

double net_step_flops(const net_recipe *r, int64_t batch)
{
    double flops = 0;
    tarn_rng rng = tarn_rng_seed(0);
    net m = {.params = tarn_params_new(TARN_F32), .rng = &rng, .flops = &flops};
    r->init(&m);
    tarn_tensor *x = net_inputs_new(r, batch, &rng);
    tarn_tape *t = tarn_tape_new();
    r->forward(t, &m, x);
    tarn_tape_free(t);
    tarn_params_free(m.params);
    tarn_tensor_free(x);
    return tarn_error() ? NAN : flops;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double net_median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}
