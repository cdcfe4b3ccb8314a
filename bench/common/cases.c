#include "bench/common/cases.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static op_case *put(op_case *cases, size_t *count, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The next case, to be filled in. */
static op_case *put(op_case *cases, size_t *count, const char *name, const char *format, ...)
{
    op_case *c = &cases[*count < CASE_MAX ? (*count)++ : CASE_MAX - 1];
    va_list arguments;
    memset(c, 0, sizeof *c);
    c->grad_of = -1;
    snprintf(c->name, sizeof c->name, "%s", name);
    va_start(arguments, format);
    vsnprintf(c->shape, sizeof c->shape, format, arguments);
    va_end(arguments);
    return c;
}

static void input(op_case *c, int ndim, int64_t a, int64_t b, int64_t h, int64_t d)
{
    c->in[c->n_in].ndim = ndim;
    c->in[c->n_in].shape[0] = a;
    c->in[c->n_in].shape[1] = b;
    c->in[c->n_in].shape[2] = h;
    c->in[c->n_in++].shape[3] = d;
}

static double numel(const op_case *c, int i)
{
    double n = 1;
    for (int axis = 0; axis < c->in[i].ndim; axis++)
        n *= (double)c->in[i].shape[axis];
    return n;
}

/* ---- the ops ---- */

static tarn_tensor *record_conv(tarn_tape *t, const op_case *c, tarn_tensor *const *in)
{
    return tarn_conv2d(t, in[0], in[1], &c->conv);
}

static tarn_tensor *record_batchnorm(tarn_tape *t, const op_case *c, tarn_tensor *const *in)
{
    (void)c;
    return tarn_batchnorm(t, in[0], in[1], in[2], NULL, NULL);
}

static tarn_tensor *record_unary(tarn_tape *t, const op_case *c, tarn_tensor *const *in)
{
    return c->unary(t, in[0]);
}

static tarn_tensor *record_binary(tarn_tape *t, const op_case *c, tarn_tensor *const *in)
{
    return c->binary(t, in[0], in[1]);
}

static tarn_tensor *record_reduce(tarn_tape *t, const op_case *c, tarn_tensor *const *in)
{
    return c->axis == CASE_ALL_AXES ? c->reduce(t, in[0], 0, NULL, false) : c->reduce(t, in[0], 1, &c->axis, false);
}

static tarn_tensor *record_argmax(tarn_tape *t, const op_case *c, tarn_tensor *const *in)
{
    return tarn_argmax(t, in[0], c->axis);
}

static tarn_tensor *max_pool(tarn_tape *t, tarn_tensor *x)
{
    return tarn_max_pool2d(t, x, 2, NULL);
}

/* Each pixel as 2x2: its gradient sums short runs along two axes. */
static tarn_tensor *upsample(tarn_tape *t, tarn_tensor *x)
{
    const int64_t n = tarn_dim(x, 0), h = tarn_dim(x, 1), w = tarn_dim(x, 2), k = tarn_dim(x, 3);
    tarn_tensor *pixels = tarn_reshape(t, x, TARN_SHAPE(n, h, 1, w, 1, k));
    return tarn_reshape(t, tarn_expand(t, pixels, TARN_SHAPE(n, h, 2, w, 2, k)), TARN_SHAPE(n, 2 * h, 2 * w, k));
}

static tarn_tensor *leaky_relu(tarn_tape *t, tarn_tensor *x)
{
    return tarn_leaky_relu(t, x, 0.01);
}

static tarn_tensor *elu(tarn_tape *t, tarn_tensor *x)
{
    return tarn_elu(t, x, 1);
}

static tarn_tensor *clamp(tarn_tape *t, tarn_tensor *x)
{
    return tarn_clamp(t, x, 0.25, 1.5);
}

static tarn_tensor *mul_scalar(tarn_tape *t, tarn_tensor *x)
{
    return tarn_mul_scalar(t, x, 1.5);
}

static tarn_tensor *pow_scalar(tarn_tape *t, tarn_tensor *x)
{
    return tarn_pow_scalar(t, x, 2.5);
}

/* ---- layers ---- */

typedef struct layer {
    int64_t batch, side, in, out;
    int kernel, stride;
    bool first; /* of its network: no input gradient */
} layer;

/* cnn28, vgg8, resnet20: every convolution that is not the same as one before it */
static const layer layers[] = {
    {64, 28, 1, 32, 3, 1, true},    {64, 14, 32, 64, 3, 1, false},  {64, 32, 3, 64, 3, 1, true},
    {64, 32, 64, 64, 3, 1, false},  {64, 16, 64, 128, 3, 1, false}, {64, 16, 128, 128, 3, 1, false},
    {64, 8, 128, 256, 3, 1, false}, {64, 8, 256, 256, 3, 1, false}, {128, 32, 3, 16, 3, 1, true},
    {128, 32, 16, 16, 3, 1, false}, {128, 32, 16, 32, 3, 2, false}, {128, 32, 16, 32, 1, 2, false},
    {128, 16, 32, 32, 3, 1, false}, {128, 16, 32, 64, 3, 2, false}, {128, 16, 32, 64, 1, 2, false},
    {128, 8, 64, 64, 3, 1, false},
};

static void put_conv(op_case *cases, size_t *count, const layer *l, int grad_of)
{
    static const char *const names[] = {"conv2d", "conv2d input gradient", "conv2d weight gradient"};
    op_case *c = put(cases, count, names[grad_of + 1], "%lldx%lldx%lldx%lld k%d s%d -> %lld", (long long)l->batch,
                     (long long)l->side, (long long)l->side, (long long)l->in, l->kernel, l->stride, (long long)l->out);
    const int64_t side = (l->side - 1) / l->stride + 1;
    input(c, 4, l->batch, l->side, l->side, l->in);
    input(c, 4, l->kernel, l->kernel, l->in, l->out);
    c->conv = (tarn_conv2d_opts){.stride = l->stride, .padding = l->kernel / 2};
    c->record = record_conv;
    c->grad_of = grad_of;
    c->flops = 2.0 * (double)(l->batch * side * side * l->out) * (double)(l->kernel * l->kernel * l->in);
    c->bytes = 4 * (numel(c, 0) + numel(c, 1) + (double)(l->batch * side * side * l->out));
}

static void put_convs(op_case *cases, size_t *count)
{
    for (int grad_of = -1; grad_of <= 1; grad_of++)
        for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
            if (grad_of != 0 || !layers[i].first)
                put_conv(cases, count, &layers[i], grad_of);
}

/* An op over the result of a convolution: images of `side`, and `channels`. */
static op_case *put_image(op_case *cases, size_t *count, const char *name, int64_t batch, int64_t side,
                          int64_t channels)
{
    op_case *c = put(cases, count, name, "%lldx%lldx%lldx%lld", (long long)batch, (long long)side, (long long)side,
                     (long long)channels);
    input(c, 4, batch, side, side, channels);
    return c;
}

/* `moved`: how often the op and its gradient read or write a whole image */
static void put_images(op_case *cases, size_t *count, const char *name, case_unary *unary, double moved,
                       double grad_moved, bool batchnorm)
{
    static const int64_t images[][3] = {{64, 28, 32},  {64, 32, 64},  {64, 16, 128}, {64, 8, 256},
                                        {128, 32, 16}, {128, 16, 32}, {128, 8, 64}};
    for (int grad = 0; grad < 2; grad++)
        for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
            char title[32];
            snprintf(title, sizeof title, "%s%s", name, grad ? " gradient" : "");
            op_case *c = put_image(cases, count, title, images[i][0], images[i][1], images[i][2]);
            c->bytes = 4 * numel(c, 0) * (grad ? grad_moved : moved);
            c->stream = grad ? CEILING_TRIAD : CEILING_COPY;
            c->record = batchnorm ? record_batchnorm : record_unary;
            c->unary = unary;
            c->grad_of = grad - 1;
            c->forward_first = true;
            for (int k = 0; batchnorm && k < 2; k++)
                input(c, 1, images[i][2], 0, 0, 0);
        }
}

static void put_matmul(op_case *cases, size_t *count, int64_t m, int64_t k, int64_t n, int grad_of)
{
    static const char *const names[] = {"matmul", "matmul, gradient of a", "matmul, gradient of b"};
    op_case *c = put(cases, count, names[grad_of + 1], "%lldx%lld * %lldx%lld", (long long)m, (long long)k,
                     (long long)k, (long long)n);
    input(c, 2, m, k, 0, 0);
    input(c, 2, k, n, 0, 0);
    c->record = record_binary;
    c->binary = tarn_matmul;
    c->grad_of = grad_of;
    c->flops = 2.0 * (double)(m * k) * (double)n;
    c->bytes = 4 * (double)(m * k + k * n + m * n);
}

static void put_layers(op_case *cases, size_t *count)
{
    put_images(cases, count, "batchnorm", NULL, 3, 5, true);
    put_images(cases, count, "relu", tarn_relu, 2, 3, false);
    put_images(cases, count, "max_pool2d", max_pool, 1.25, 1.5, false);
    put_images(cases, count, "upsample", upsample, 5, 5, false);
    static const int64_t linear[][3] = {{64, 784, 256}, {64, 256, 128}, {64, 128, 10}, {64, 3136, 128}};
    for (int grad_of = -1; grad_of <= 1; grad_of++)
        for (size_t i = 0; i < sizeof linear / sizeof *linear; i++)
            put_matmul(cases, count, linear[i][0], linear[i][1], linear[i][2], grad_of);
    put_matmul(cases, count, 1024, 1024, 1024, -1);
    for (int i = 0; i < 3; i++) {
        op_case *c = put_image(cases, count, "add", 128, 32 >> i, 16 << i);
        input(c, 4, 128, 32 >> i, 32 >> i, 16 << i);
        c->record = record_binary;
        c->binary = tarn_add;
        c->bytes = 4 * 3 * numel(c, 0);
        c->stream = CEILING_TRIAD;
    }
}

static void put_losses(op_case *cases, size_t *count, int64_t rows, int64_t classes)
{
    for (int grad = 0; grad < 2; grad++) {
        op_case *c = put(cases, count, grad ? "cross_entropy gradient" : "cross_entropy", "%lldx%lld", (long long)rows,
                         (long long)classes);
        input(c, 2, rows, classes, 0, 0);
        input(c, 1, rows, 0, 0, 0);
        c->in[1].classes = classes;
        c->record = record_binary;
        c->binary = tarn_cross_entropy;
        c->grad_of = grad - 1;
        c->forward_first = true;
        c->bytes = 4 * numel(c, 0) * (1 + grad);
        c->stream = grad ? CEILING_COPY : CEILING_READ;
    }
    static const struct {
        const char *name;
        case_unary *f;
    } softmaxes[] = {{"softmax", tarn_softmax}, {"log_softmax", tarn_log_softmax}};
    for (int i = 0; i < 2; i++) {
        op_case *c = put(cases, count, softmaxes[i].name, "%lldx%lld", (long long)rows, (long long)classes);
        input(c, 2, rows, classes, 0, 0);
        c->record = record_unary;
        c->unary = softmaxes[i].f;
        c->bytes = 4 * 2 * numel(c, 0);
        c->stream = CEILING_COPY;
    }
}

static void put_steps(op_case *cases, size_t *count, int64_t weights)
{
    static const struct {
        const char *name;
        double moved; /* weight, gradient and moments read and written; the gradient set to zero */
        case_step step;
    } steps[] = {{"adam step", 8, ADAM_STEP}, {"sgd step, momentum", 6, SGD_STEP}, {"clip_grad_norm", 3, CLIP_STEP}};
    for (size_t i = 0; i < 3; i++) {
        op_case *c = put(cases, count, steps[i].name, "%lld weights", (long long)weights);
        input(c, 1, weights, 0, 0, 0);
        c->step = steps[i].step;
        c->bytes = 4 * steps[i].moved * (double)weights;
        c->stream = CEILING_TRIAD;
    }
}

/* ---- tensors larger than the caches ---- */

static void put_elementwise(op_case *cases, size_t *count, int64_t n)
{
#define U(f)                                                                                                           \
    {                                                                                                                  \
#f, f, NULL, false                                                                                             \
    }
#define T(f)                                                                                                           \
    {                                                                                                                  \
#f, tarn_##f, NULL, false                                                                                      \
    }
#define G(f)                                                                                                           \
    {                                                                                                                  \
#f " gradient", tarn_##f, NULL, true                                                                           \
    }
#define B(f)                                                                                                           \
    {                                                                                                                  \
#f, NULL, tarn_##f, false                                                                                      \
    }
    static const struct {
        const char *name;
        case_unary *unary;
        case_binary *binary;
        bool grad;
    } all[] = {T(neg),        T(abs),  T(sign),    T(square),     T(sqrt),       T(rsqrt), T(reciprocal),
               T(relu),       G(relu), T(exp),     T(expm1),      T(log),        T(log1p), T(tanh),
               T(sigmoid),    T(erf),  T(gelu),    T(silu),       T(softplus),   T(sin),   T(cos),
               U(leaky_relu), U(elu),  U(clamp),   U(mul_scalar), U(pow_scalar), B(add),   B(sub),
               B(mul),        B(div),  B(minimum), B(maximum),    B(pow)};
#undef U
#undef T
#undef G
#undef B
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        op_case *c = put(cases, count, all[i].name, "%lld", (long long)n);
        const bool two = all[i].binary || all[i].grad;
        input(c, 1, n, 0, 0, 0);
        if (all[i].binary)
            input(c, 1, n, 0, 0, 0);
        c->record = all[i].binary ? record_binary : record_unary;
        c->unary = all[i].unary;
        c->binary = all[i].binary;
        c->grad_of = all[i].grad ? 0 : -1;
        c->bytes = 4 * (two ? 3.0 : 2.0) * (double)n;
        c->stream = two ? CEILING_TRIAD : CEILING_COPY;
    }
}

static void put_reductions(op_case *cases, size_t *count, int64_t n)
{
    static const struct {
        const char *name;
        tarn_tensor *(*f)(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep);
    } all[] = {{"sum", tarn_sum}, {"mean", tarn_mean}, {"max", tarn_max}, {"argmax", NULL}};
    static const struct {
        const char *what;
        int axis;
        int64_t last;
    } ways[] = {
        {"all", CASE_ALL_AXES, 1024}, {"rows", 1, 1024}, {"rows", 1, 10}, {"columns", 0, 1024}, {"columns", 0, 16}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            if (!all[i].f && ways[k].axis == CASE_ALL_AXES)
                continue;
            char name[32];
            snprintf(name, sizeof name, "%s of %s", all[i].name, ways[k].what);
            const int64_t rows = n / ways[k].last;
            op_case *c = put(cases, count, name, "%lldx%lld", (long long)rows, (long long)ways[k].last);
            input(c, 2, rows, ways[k].last, 0, 0);
            c->record = all[i].f ? record_reduce : record_argmax;
            c->reduce = all[i].f;
            c->axis = ways[k].axis;
            c->bytes = 4 * numel(c, 0);
            c->stream = CEILING_READ;
        }
}

size_t cases_list(op_case *cases, int64_t large)
{
    size_t count = 0;
    put_convs(cases, &count);
    put_layers(cases, &count);
    put_losses(cases, &count, 64, 10);
    put_steps(cases, &count, 1 << 20);
    put_elementwise(cases, &count, large);
    put_reductions(cases, &count, large);
    put_losses(cases, &count, large / 1024, 1024);
    put_losses(cases, &count, large / 10, 10);
    put_steps(cases, &count, large);
    return count;
}

bool case_is_conv(const op_case *c)
{
    return c->record == record_conv;
}

bool case_inputs(const op_case *c, tarn_dtype dtype, tarn_tensor *in[CASE_INPUTS])
{
    tarn_rng rng = tarn_rng_seed(7);
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i].classes == 0) {
            in[i] = tarn_tensor_uniform_new(dtype, c->in[i].ndim, c->in[i].shape, &rng, 0.1, 2);
            continue;
        }
        in[i] = tarn_tensor_new(TARN_I32, c->in[i].ndim, c->in[i].shape);
        int32_t *label = tarn_mutable_data(in[i]);
        for (int64_t k = 0; label && k < tarn_numel(in[i]); k++)
            label[k] = (int32_t)tarn_rng_below(&rng, (uint64_t)c->in[i].classes);
    }
    return !tarn_error();
}
