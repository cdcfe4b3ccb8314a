#include "tests/random_ops.h"
#include "tensor/tensor_impl.h"
#include "tests/check.h"

static tarn_tensor *parameter(random_world *w, const char *name, tarn_rng *rng, int ndim, const int64_t *shape,
                              double mean, double spread)
{
    tarn_tensor *p = tarn_params_add(w->params, name, ndim, shape);
    assert_non_null(p);
    for (int64_t i = 0; i < tarn_numel(p); i++)
        tarn__store(p, i, mean + spread * tarn_rng_normal(rng));
    return p;
}

void random_world_new(random_world *w, bool images)
{
    static const char *const names[RANDOM_PARAMS] = {"a", "b", "c"};
    tarn_rng rng = tarn_rng_seed(5);
    *w = (random_world){.dtype = images ? TARN_F32 : TARN_F64, .images = images, .noise = tarn_rng_seed(6)};
    w->params = tarn_params_new(w->dtype);
    w->ndim = images ? 4 : 2;
    memcpy(w->shape, images ? (const int64_t[]){3, 12, 16, 32} : (const int64_t[]){48, 52, 0, 0}, sizeof w->shape);
    w->channels = w->shape[w->ndim - 1];
    for (int i = 0; i < RANDOM_PARAMS; i++)
        parameter(w, names[i], &rng, w->ndim, w->shape, 0, 1);
    w->running = (tarn_running_stats){tarn_params_add_buffer(w->params, "mean", 1, &w->channels),
                                      tarn_params_add_buffer(w->params, "var", 1, &w->channels),
                                      tarn_params_add_buffer(w->params, "batches", 0, NULL)};
    assert_true(tarn_fill(w->running.var, 1));
    w->frozen =
        (tarn_running_stats){tarn_params_add_buffer(w->params, "frozen mean", 1, &w->channels),
                             tarn_params_add_buffer(w->params, "frozen var", 1, &w->channels), w->running.batches};
    assert_true(tarn_fill(w->frozen.mean, 0.1) && tarn_fill(w->frozen.var, 0.7));
    int64_t c = w->channels;
    w->gamma = parameter(w, "gamma", &rng, 1, &c, 0.5, 0.2);
    w->beta = tarn_params_add_buffer(w->params, "beta", 1, &c);
    assert_true(tarn_fill(w->beta, 0.3));
    if (images) {
        w->w = parameter(w, "w", &rng, 4, (const int64_t[]){3, 3, c, c}, 0, 0.06);
        w->w1 = parameter(w, "w1", &rng, 4, (const int64_t[]){1, 1, c, c}, 0, 0.2);
    }
}

void random_world_free(random_world *w)
{
    tarn_params_free(w->params);
}

void random_world_start(random_world *w)
{
    for (w->count = 0; w->count < RANDOM_PARAMS; w->count++)
        w->xs[w->count] = tarn_params_at(w->params, (size_t)w->count);
}

static tarn_tensor *batchnorm(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *x)
{
    tarn_tensor *(*function)(tarn_tape *, tarn_tensor *, tarn_tensor *, tarn_tensor *, const tarn_running_stats *,
                             const tarn_batchnorm_opts *) =
        tarn_rng_below(rng, 8) ? tarn_batchnorm : tarn_batchnorm_composed;
    tarn_tensor *gamma = tarn_rng_below(rng, 2) ? w->gamma : w->frozen.var;
    return function(t, x, gamma, w->beta, tarn_tape_training(t) ? &w->running : &w->frozen, NULL);
}

/* y can be read by name from here on. */
static tarn_tensor *named(random_world *w, tarn_tensor *y)
{
    if (y && w->count < RANDOM_LENGTH)
        w->xs[w->count++] = y;
    return y;
}

/* ---- [48,52] ---- */

static tarn_tensor *vector_op(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *a, tarn_tensor *b)
{
    int64_t rows = w->shape[0], columns = w->shape[1];
    switch (tarn_rng_below(rng, 3)) {
    case 0: { /* views of views */
        tarn_tensor *v = tarn_transpose(t, tarn_reshape(t, a, TARN_SHAPE(columns, rows)), 0, 1);
        return tarn_add(t, v, b);
    }
    case 1: {
        tarn_tensor *y = batchnorm(w, t, rng, a);
        if (tarn_rng_below(rng, 3) == 0)
            named(w, y);
        return tarn_rng_below(rng, 3) ? tarn_relu(t, tarn_rng_below(rng, 2) ? tarn_add(t, y, b) : y) : y;
    }
    default:
        return tarn_tanh(t, tarn_matmul(t, a, tarn_matmul(t, tarn_transpose(t, b, 0, 1), b)));
    }
}

/* ---- images ---- */

/* Twice as high and as wide. */
static tarn_tensor *enlarged(tarn_tape *t, tarn_tensor *x)
{
    int64_t n = tarn_dim(x, 0), h = tarn_dim(x, 1), w = tarn_dim(x, 2), c = tarn_dim(x, 3);
    tarn_tensor *y = tarn_expand(t, tarn_reshape(t, x, TARN_SHAPE(n, h, 1, w, 1, c)), TARN_SHAPE(n, h, 2, w, 2, c));
    return tarn_reshape(t, y, TARN_SHAPE(n, 2 * h, 2 * w, c));
}

static tarn_tensor *product(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *x)
{
    uint64_t kind = tarn_rng_below(rng, 4);
    tarn_tensor *y = kind == 0 ? tarn_conv2d(t, x, w->w1, NULL)
                               : tarn_conv2d(t, x, w->w, &(tarn_conv2d_opts){.padding = 1, .exact = kind == 1});
    return tarn_rng_below(rng, 2) ? tarn_add(t, y, w->beta) : y;
}

/* conv (+ bias), and most times BatchNorm, a residual, relu and a pool. */
static tarn_tensor *block(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *a, tarn_tensor *b)
{
    tarn_tensor *y = product(w, t, rng, a);
    if (tarn_rng_below(rng, 3) == 0)
        named(w, y);
    if (tarn_rng_below(rng, 5))
        y = batchnorm(w, t, rng, y);
    if (tarn_rng_below(rng, 3) == 0)
        named(w, y);
    switch (tarn_rng_below(rng, 5)) {
    case 0:
        y = tarn_add(t, y, b);
        break;
    case 1:
        y = tarn_add(t, b, y);
        break;
    case 2:
        y = tarn_add(t, y, batchnorm(w, t, rng, product(w, t, rng, b)));
        break;
    default:
        break;
    }
    if (tarn_rng_below(rng, 5))
        y = tarn_relu(t, y);
    if (tarn_rng_below(rng, 3) == 0)
        named(w, y);
    if (tarn_rng_below(rng, 3) == 0)
        y = enlarged(t, tarn_rng_below(rng, 4) ? tarn_max_pool2d(t, y, 2, NULL) : tarn_avg_pool2d(t, y, 2, NULL));
    return y;
}

static tarn_tensor *image_op(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *a, tarn_tensor *b)
{
    bool grad = tarn_tape_grad(t);
    if (tarn_rng_below(rng, 4) == 0)
        tarn_tape_set_grad(t, false); /* as of the part of a net that is not trained */
    tarn_tensor *y = block(w, t, rng, a, b);
    tarn_tape_set_grad(t, grad);
    return tarn_rng_below(rng, 2) ? block(w, t, rng, y, a) : y;
}

tarn_tensor *random_op(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *a)
{
    tarn_tensor *b = w->xs[tarn_rng_below(rng, (uint64_t)w->count)];
    int64_t half = w->shape[0] / 2, rows = w->shape[0];
    switch (tarn_rng_below(rng, w->images ? 18 : 14)) {
    case 0:
        return tarn_tanh(t, a);
    case 1:
        return tarn_relu(t, a);
    case 2:
        return tarn_mul_scalar(t, a, 0.7);
    case 3:
        return tarn_sigmoid(t, a);
    case 4:
        return tarn_add(t, a, tarn_mean(t, b, TARN_AXES(0), true));
    case 5:
        return tarn_sub(t, a, b);
    case 6:
        return tarn_tanh(t, tarn_mul(t, a, b));
    case 7: {
        tarn_tensor *upper = tarn_slice(t, a, 0, 0, half, 1), *lower = tarn_slice(t, b, 0, half, rows, 1);
        return tarn_concat(t, 2, (tarn_tensor *[]){lower, upper}, 0);
    }
    case 8:
        return tarn_dropout(t, a, 0.3, &w->noise);
    case 9:
        return tarn_softmax(t, a);
    case 10:
        return tarn_slice(t, a, 0, 0, rows, 1);
    default:
        return (w->images ? image_op : vector_op)(w, t, rng, a, b);
    }
}
