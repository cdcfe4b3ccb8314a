/* Ops and optimisers against PyTorch's: values, gradients, gradients of gradients, and fifty steps.
 * tests/torch_fixture.h says how they are compared. To add an op: a function and a row here, a line of the
 * same name in tests/torch_reference.py, and tests/torch_reference.py --record. */
#include "tests/torch_derivatives.h"

enum { STEPS = 50 };

typedef enum input_kind {
    NO_INPUT,
    REAL,   /* uniform in [low, high); differentiated */
    LABELS, /* whole numbers below `high`, as i32 */
    STATE   /* uniform in [low, high), and changed by the op: its last value is a result */
} input_kind;

typedef struct input {
    input_kind kind;
    double low, high;
    int ndim;
    int64_t shape[4];
} input;

typedef struct op_case {
    const char *name;
    tarn_tensor *(*f)(tarn_tape *t, tarn_tensor *const *in);
    input in[MAX_INPUTS];
    bool evaluation;
} op_case;

#define OP(name, ...)                                                                                                  \
    static tarn_tensor *name(tarn_tape *t, tarn_tensor *const *in)                                                     \
    {                                                                                                                  \
        return __VA_ARGS__;                                                                                            \
    }

OP(relu, tarn_relu(t, in[0]))
OP(leaky_relu, tarn_leaky_relu(t, in[0], 0.1))
OP(elu, tarn_elu(t, in[0], 0.7))
OP(gelu, tarn_gelu(t, in[0]))
OP(silu, tarn_silu(t, in[0]))
OP(softplus, tarn_softplus(t, in[0]))
OP(sigmoid, tarn_sigmoid(t, in[0]))
OP(tanh_op, tarn_tanh(t, in[0]))
OP(erf_op, tarn_erf(t, in[0]))
OP(clamp, tarn_clamp(t, in[0], -1, 0.5))
OP(pow_op, tarn_pow(t, in[0], in[1]))
OP(div_op, tarn_div(t, in[0], in[1]))
OP(var, tarn_var(t, in[0], TARN_AXES(0, 2), 1, false))
OP(max_op, tarn_max(t, in[0], TARN_AXES(1), false))
OP(matmul, tarn_matmul(t, in[0], in[1]))
OP(softmax, tarn_softmax(t, in[0]))
OP(log_softmax, tarn_log_softmax(t, in[0]))
OP(logsumexp, tarn_logsumexp(t, in[0]))
OP(embedding, tarn_index_select(t, in[0], 0, in[1]))
OP(conv2d, tarn_conv2d(t, in[0], in[1], &(tarn_conv2d_opts){.padding = 1}))
OP(conv2d_stride, tarn_conv2d(t, in[0], in[1], &(tarn_conv2d_opts){.stride = 2, .padding = 1}))
OP(conv2d_dilation, tarn_conv2d(t, in[0], in[1], &(tarn_conv2d_opts){.padding = 2, .dilation = 2}))
OP(conv2d_groups, tarn_conv2d(t, in[0], in[1], &(tarn_conv2d_opts){.stride = 2, .padding = 1, .groups = 2}))
OP(conv2d_depthwise, tarn_conv2d(t, in[0], in[1], &(tarn_conv2d_opts){.padding = 1, .groups = 4}))
OP(conv2d_point, tarn_conv2d(t, in[0], in[1], NULL))
OP(conv2d_oblong, tarn_conv2d(t, in[0], in[1], &(tarn_conv2d_opts){.stride = 3, .padding = 2}))
OP(max_pool, tarn_max_pool2d(t, in[0], 2, NULL))
OP(max_pool_padding, tarn_max_pool2d(t, in[0], 3, &(tarn_pool2d_opts){.stride = 2, .padding = 1}))
OP(avg_pool, tarn_avg_pool2d(t, in[0], 2, NULL))
OP(avg_pool_padding, tarn_avg_pool2d(t, in[0], 3, &(tarn_pool2d_opts){.stride = 2, .padding = 1}))
OP(global_avg_pool, tarn_global_avg_pool2d(t, in[0]))
OP(global_max_pool, tarn_global_max_pool2d(t, in[0]))
OP(cross_entropy, tarn_cross_entropy(t, in[0], in[1]))
OP(bce_with_logits, tarn_bce_with_logits(t, in[0], in[1]))
OP(mse, tarn_mse(t, in[0], in[1]))

/* x, gamma, beta, and the running mean, variance and count of batches. */
static tarn_tensor *normalize(tarn_tape *t, tarn_tensor *const *in, const tarn_batchnorm_opts *opts)
{
    return tarn_batchnorm(t, in[0], in[1], in[2], &(tarn_running_stats){in[3], in[4], in[5]}, opts);
}

OP(batchnorm, normalize(t, in, NULL))
OP(batchnorm_composed,
   tarn_batchnorm_composed(t, in[0], in[1], in[2], &(tarn_running_stats){in[3], in[4], in[5]}, NULL))
OP(batchnorm_opts, normalize(t, in, &(tarn_batchnorm_opts){.eps = 1e-2, .momentum = 0.3}))
OP(batchnorm_cumulative, normalize(t, in, &(tarn_batchnorm_opts){.cumulative = true}))

#define SHAPE(n, ...)                                                                                                  \
    (n),                                                                                                               \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }
#define X(n, ...)                                                                                                      \
    {                                                                                                                  \
        REAL, -3, 3, SHAPE(n, __VA_ARGS__)                                                                             \
    }
#define UNARY(name, f)                                                                                                 \
    {                                                                                                                  \
        name, f, {X(2, 5, 7)}, false                                                                                   \
    }
#define IMAGE(h, w, c) X(4, 2, h, w, c)
#define WEIGHT(...)                                                                                                    \
    {                                                                                                                  \
        REAL, -1, 1, SHAPE(4, __VA_ARGS__)                                                                             \
    }
#define POSITIVE(...)                                                                                                  \
    {                                                                                                                  \
        REAL, 0.5, 2, SHAPE(__VA_ARGS__)                                                                               \
    }
#define NORM(c)                                                                                                        \
    POSITIVE(1, c), X(1, c), {STATE, -1, 1, SHAPE(1, c)}, {STATE, 0.5, 2, SHAPE(1, c)},                                \
    {                                                                                                                  \
        STATE, 2, 2, SHAPE(0, 0)                                                                                       \
    }
#define INDEX(bound, n)                                                                                                \
    {                                                                                                                  \
        LABELS, 0, bound, SHAPE(1, n)                                                                                  \
    }

static const op_case cases[] = {
    UNARY("relu/", relu),
    UNARY("leaky_relu/", leaky_relu),
    UNARY("elu/", elu),
    UNARY("gelu/", gelu),
    UNARY("silu/", silu),
    UNARY("softplus/", softplus),
    UNARY("sigmoid/", sigmoid),
    UNARY("tanh/", tanh_op),
    UNARY("erf/", erf_op),
    UNARY("clamp/", clamp),
    UNARY("softmax/", softmax),
    UNARY("log_softmax/", log_softmax),
    UNARY("logsumexp/", logsumexp),
    {"pow/", pow_op, {POSITIVE(2, 4, 1), X(2, 1, 5)}, false},
    {"div/", div_op, {X(2, 4, 5), POSITIVE(1, 5)}, false},
    {"var/", var, {X(3, 3, 4, 5)}, false},
    {"max/", max_op, {X(3, 3, 4, 5)}, false},
    {"matmul/", matmul, {X(3, 2, 3, 4), X(2, 4, 5)}, false},
    {"embedding/", embedding, {X(2, 6, 3), INDEX(6, 9)}, false},
    {"conv2d/", conv2d, {IMAGE(6, 5, 3), WEIGHT(3, 3, 3, 4)}, false},
    {"conv2d_stride/", conv2d_stride, {IMAGE(7, 8, 3), WEIGHT(3, 3, 3, 4)}, false},
    {"conv2d_dilation/", conv2d_dilation, {IMAGE(7, 6, 2), WEIGHT(3, 3, 2, 3)}, false},
    {"conv2d_groups/", conv2d_groups, {IMAGE(7, 6, 4), WEIGHT(3, 3, 2, 6)}, false},
    {"conv2d_depthwise/", conv2d_depthwise, {IMAGE(5, 6, 4), WEIGHT(3, 3, 1, 8)}, false},
    {"conv2d_point/", conv2d_point, {IMAGE(4, 5, 6), WEIGHT(1, 1, 6, 5)}, false},
    {"conv2d_oblong/", conv2d_oblong, {IMAGE(9, 7, 2), WEIGHT(4, 2, 2, 3)}, false},
    {"max_pool/", max_pool, {IMAGE(6, 7, 3)}, false},
    {"max_pool_padding/", max_pool_padding, {IMAGE(6, 7, 3)}, false},
    {"avg_pool/", avg_pool, {IMAGE(6, 7, 3)}, false},
    {"avg_pool_padding/", avg_pool_padding, {IMAGE(6, 7, 3)}, false},
    {"global_avg_pool/", global_avg_pool, {IMAGE(4, 5, 3)}, false},
    {"global_max_pool/", global_max_pool, {IMAGE(4, 5, 3)}, false},
    {"cross_entropy/", cross_entropy, {X(2, 9, 6), INDEX(6, 9)}, false},
    {"bce_with_logits/", bce_with_logits, {X(2, 5, 4), {REAL, 0, 1, SHAPE(2, 5, 4)}}, false},
    {"mse/", mse, {X(2, 5, 4), X(2, 5, 4)}, false},
    {"batchnorm_rows/", batchnorm, {X(2, 8, 5), NORM(5)}, false},
    {"batchnorm_images/", batchnorm, {IMAGE(3, 4, 5), NORM(5)}, false},
    {"batchnorm_composed/", batchnorm_composed, {IMAGE(3, 4, 5), NORM(5)}, false},
    {"batchnorm_opts/", batchnorm_opts, {IMAGE(3, 4, 5), NORM(5)}, false},
    {"batchnorm_cumulative/", batchnorm_cumulative, {X(2, 8, 5), NORM(5)}, false},
    {"batchnorm_evaluation/", batchnorm, {IMAGE(3, 4, 5), NORM(5)}, true},
};

enum { N_CASES = sizeof cases / sizeof cases[0] };

/* The op's inputs as it wants them; those to be differentiated also go to `real`. Returns how many. */
static int make_inputs(tarn_params *r, tarn_tape *t, tarn_rng *rng, const op_case *c, tarn_tensor **in,
                       tarn_tensor **real)
{
    int n = 0;
    for (int i = 0; i < MAX_INPUTS && c->in[i].kind != NO_INPUT; i++) {
        const input *spec = &c->in[i];
        char name[NAME];
        snprintf(name, sizeof name, "in/%s%d", c->name, i);
        if (spec->kind == LABELS)
            in[i] = tarn_cast(t, add_labels(r, rng, (uint64_t)spec->high, spec->shape[0], name), TARN_I32);
        else
            in[i] = add_input(r, rng, spec->low, spec->high, spec->ndim, spec->shape, name);
        if (spec->kind == STATE) {
            keep(r, in[i], "%sstate%d", c->name, i);
            in[i] = tarn_params_at(r, tarn_params_count(r) - 1);
        }
        if (spec->kind == REAL)
            real[n++] = in[i];
    }
    return n;
}

static void compute_case(tarn_params *r, const op_case *c)
{
    tarn_rng rng = stream(c->name);
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *in[MAX_INPUTS] = {0}, *real[MAX_INPUTS + 1];
    tarn_tape_set_training(t, !c->evaluation);
    const int n = make_inputs(r, t, &rng, c, in, real);
    keep_derivatives(r, t, &rng, c->name, c->f(t, in), n, real);
    tarn_tape_free(t);
}

/* ---- optimisers: mean((tanh(x w + b) - y)^2), with other x and y at each step */

typedef enum rule { SGD, ADAM, ADAMW } rule;

typedef struct optim_case {
    const char *name;
    rule rule;
    tarn_sgd_opts sgd;
    tarn_adam_opts adam;
    double max_norm; /* 0: the gradient is not clipped */
} optim_case;

static const optim_case optims[] = {
    {.name = "steps/sgd/", .rule = SGD, .sgd = {.lr = 0.1}},
    {.name = "steps/sgd_decay/", .rule = SGD, .sgd = {.lr = 0.1, .weight_decay = 0.05}},
    {.name = "steps/sgd_momentum/", .rule = SGD, .sgd = {.lr = 0.05, .momentum = 0.9}},
    {.name = "steps/sgd_dampening/",
     .rule = SGD,
     .sgd = {.lr = 0.1, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.01}},
    {.name = "steps/sgd_nesterov/",
     .rule = SGD,
     .sgd = {.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01}},
    {.name = "steps/sgd_clipped/", .rule = SGD, .sgd = {.lr = 0.5, .momentum = 0.5}, .max_norm = 0.25},
    {.name = "steps/adam/", .rule = ADAM},
    {.name = "steps/adam_opts/",
     .rule = ADAM,
     .adam = {.lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1}},
    {.name = "steps/adamw/", .rule = ADAMW, .adam = {.lr = 0.01}},
    {.name = "steps/adamw_opts/", .rule = ADAMW, .adam = {.lr = 0.02, .beta2 = 0.99, .weight_decay = 0.2}},
};

enum { N_OPTIMS = sizeof optims / sizeof optims[0] };

static tarn_optim *optim_new(const optim_case *c, tarn_params *p)
{
    return c->rule == SGD    ? tarn_sgd_new(p, &c->sgd)
           : c->rule == ADAM ? tarn_adam_new(p, &c->adam)
                             : tarn_adamw_new(p, &c->adam);
}

static void compute_optim(tarn_params *r, const optim_case *c)
{
    tarn_params *p = tarn_params_new(tarn_params_dtype(r));
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(6, 5)), *b = tarn_params_add(p, "b", TARN_SHAPE(5));
    tarn_copy(w, tarn_params_find(r, "in/steps/w"));
    tarn_copy(b, tarn_params_find(r, "in/steps/b"));
    tarn_optim *optim = optim_new(c, p);
    tarn_tape *t = tarn_tape_new();
    double norms[STEPS];
    tarn_tensor *all = tarn_tensor_wrap(TARN_F64, TARN_SHAPE(STEPS), norms);
    for (int step = 0; step < STEPS; step++) {
        tarn_tensor *x = tarn_slice(t, tarn_params_find(r, "in/steps/x"), 0, 4 * step, 4 * step + 4, 1);
        tarn_tensor *y = tarn_slice(t, tarn_params_find(r, "in/steps/y"), 0, 4 * step, 4 * step + 4, 1);
        tarn_backward(t, tarn_mse(t, tarn_tanh(t, tarn_add(t, tarn_matmul(t, x, w), b)), y));
        norms[step] = tarn_clip_grad_norm(p, c->max_norm > 0 ? c->max_norm : INFINITY);
        tarn_optim_step(optim);
        tarn_tape_reset(t);
    }
    keep(r, all, "%snorms", c->name);
    keep(r, w, "%sw", c->name);
    keep(r, b, "%sb", c->name);
    tarn_tensor_free(all);
    tarn_tape_free(t);
    tarn_optim_free(optim);
    tarn_params_free(p);
}

static void compute_all(tarn_params *r)
{
    tarn_rng rng = stream("steps/");
    for (size_t i = 0; i < N_CASES; i++)
        compute_case(r, &cases[i]);
    add_input(r, &rng, -1, 1, TARN_SHAPE(6, 5), "in/steps/w");
    add_input(r, &rng, -1, 1, TARN_SHAPE(5), "in/steps/b");
    add_input(r, &rng, -1, 1, TARN_SHAPE(4 * STEPS, 6), "in/steps/x");
    add_input(r, &rng, -1, 1, TARN_SHAPE(4 * STEPS, 5), "in/steps/y");
    for (size_t i = 0; i < N_OPTIMS; i++)
        compute_optim(r, &optims[i]);
}

int main(int argc, char **argv)
{
    torch_suite suite = {"torch_ops", compute_all, N_CASES + N_OPTIMS, {0}};
    for (size_t i = 0; i < N_CASES + N_OPTIMS; i++)
        suite.sections[i] = i < N_CASES ? cases[i].name : optims[i - N_CASES].name;
    return torch_main(argc, argv, &suite);
}
