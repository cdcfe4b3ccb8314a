#include "tests/small_cnn.h"
#include "tests/check.h"

#include <math.h>

bool cnn_new(cnn *m, tarn_dtype dtype, const cnn_size *size, uint64_t seed)
{
    *m = (cnn){.size = *size, .dtype = dtype};
    m->init = tarn_rng_seed(seed);
    m->noise = tarn_rng_seed(seed + 1000);
    m->images = tarn_rng_seed(seed + 2000);
    m->params = tarn_params_new(dtype);
    int64_t side = size->side / 2 / 2;
    return m->params &&
           tarn_conv2d_init(&m->conv1, m->params, "conv1", &m->init, size->channels, size->width, 3,
                            &(tarn_conv2d_layer_opts){.padding = 1}) &&
           tarn_batchnorm_init(&m->norm1, m->params, "norm1", size->width, NULL) &&
           tarn_conv2d_init(&m->conv2, m->params, "conv2", &m->init, size->width, 2 * size->width, 3,
                            &(tarn_conv2d_layer_opts){.padding = 1, .no_bias = true}) &&
           tarn_batchnorm_init(&m->norm2, m->params, "norm2", 2 * size->width,
                               &(tarn_batchnorm_opts){.cumulative = true}) &&
           tarn_dropout_init(&m->drop, 0.25, &m->noise) &&
           tarn_linear_init(&m->hidden, m->params, "hidden", &m->init, side * side * 2 * size->width, size->hidden,
                            NULL) &&
           tarn_linear_init(&m->out, m->params, "out", &m->init, size->hidden, size->classes, NULL) &&
           (m->optim = tarn_adam_new(m->params, &(tarn_adam_opts){.lr = 3e-3}));
}

void cnn_free(cnn *m)
{
    tarn_optim_free(m->optim);
    tarn_params_free(m->params);
    *m = (cnn){0};
}

tarn_tensor *cnn_forward(tarn_tape *t, const cnn *m, tarn_tensor *x)
{
    x = tarn_relu(t, tarn_batchnorm_apply(t, &m->norm1, tarn_conv2d_apply(t, &m->conv1, x)));
    x = tarn_max_pool2d(t, x, 2, NULL);
    x = tarn_dropout_apply(t, &m->drop, x);
    x = tarn_relu(t, tarn_batchnorm_apply(t, &m->norm2, tarn_conv2d_apply(t, &m->conv2, x)));
    x = tarn_avg_pool2d(t, x, 2, NULL);
    x = tarn_dropout_apply(t, &m->drop, tarn_relu(t, tarn_linear_apply(t, &m->hidden, tarn_flatten(t, x))));
    return tarn_linear_apply(t, &m->out, x);
}

static double stripe(const cnn *m, int64_t label, int64_t row, int64_t column, int64_t channel)
{
    double angle = 3.14159 * (double)label / (double)m->size.classes;
    double along = cos(angle) * (double)row + sin(angle) * (double)column;
    return sin(along * (0.5 + 0.3 * (double)(label % 3)) + (double)channel);
}

bool cnn_batch(tarn_tape *t, cnn *m, tarn_tensor **x, tarn_tensor **labels)
{
    const cnn_size *s = &m->size;
    *x = tarn_normal(t, m->dtype, TARN_SHAPE(s->batch, s->side, s->side, s->channels), &m->images, 0, 0.5);
    *labels = tarn_zeros(t, TARN_I32, TARN_SHAPE(s->batch));
    void *pixels = tarn_mutable_data(*x);
    int32_t *classes = tarn_mutable_data(*labels);
    if (!pixels || !classes)
        return false;
    for (int64_t i = 0, at = 0; i < s->batch; i++) {
        classes[i] = (int32_t)tarn_rng_below(&m->images, (uint64_t)s->classes);
        for (int64_t row = 0; row < s->side; row++)
            for (int64_t column = 0; column < s->side; column++)
                for (int64_t channel = 0; channel < s->channels; channel++, at++) {
                    double value = stripe(m, classes[i], row, column, channel);
                    if (m->dtype == TARN_F64)
                        ((double *)pixels)[at] += value;
                    else
                        ((float *)pixels)[at] += (float)value;
                }
    }
    return true;
}

double cnn_step(tarn_tape *t, cnn *m)
{
    tarn_tensor *x, *labels;
    if (!cnn_batch(t, m, &x, &labels))
        return NAN;
    tarn_tensor *loss = tarn_cross_entropy(t, cnn_forward(t, m, x), labels);
    return tarn_backward(t, loss) && tarn_optim_step(m->optim) ? tarn_item(loss) : NAN;
}

void cnn_hash(const cnn *m, char hex[65])
{
    check_sha256 s;
    check_sha256_start(&s);
    for (size_t i = 0; i < tarn_params_count(m->params); i++) {
        tarn_tensor *x = tarn_params_at(m->params, i);
        check_sha256_add(&s, tarn_data(x), (size_t)tarn_numel(x) * tarn_dtype_size(m->dtype));
    }
    check_sha256_finish(&s, hex);
}
