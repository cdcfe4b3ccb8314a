/* Hessian-vector products through every layer and loss of the library, held against finite differences of gradients. */
#include "autograd/curvature.h"
#include "layers/layers.h"
#include "tests/tape_fixture.h"

#include <dirent.h>
#include <stdio.h>

/* What the cases choose from. */
typedef struct model {
    tarn_params *params;
    tarn_rng rng, drawn;  /* dropout's stream, and where each evaluation begins it */
    tarn_tensor *input;   /* a parameter too: the derivative goes all the way */
    tarn_tensor *weights; /* of the sum that makes a loss of the layer's output; drawn at the first call */
    tarn_tensor *labels, *target;
    const char *still; /* in training the direction leaves this parameter alone; NULL: none */
    tarn_linear_layer linear;
    tarn_conv2d_layer conv;
    tarn_batchnorm_layer norm;
    tarn_layernorm_layer layernorm;
    tarn_rmsnorm_layer rmsnorm;
    tarn_groupnorm_layer groupnorm;
    tarn_instancenorm_layer instancenorm;
    tarn_batch_renorm_layer renorm;
    tarn_weightnorm_linear_layer weightnorm_linear;
    tarn_weightnorm_conv2d_layer weightnorm_conv;
    tarn_spectralnorm_linear_layer spectral_linear;
    tarn_spectralnorm_conv2d_layer spectral_conv;
    tarn_dropout_layer drop;
    tarn_activation_layer act;
    tarn_max_pool2d_layer max;
    tarn_avg_pool2d_layer avg;
    tarn_flatten_layer flat;
    tarn_sequential chain;
    tarn_layer parts[4];
    tarn_tensor *(*apply)(tarn_tape *t, struct model *m, tarn_tensor *x);
} model;

typedef struct layer_case {
    const char *applies; /* the function that the case is for; or what else it shows */
    int ndim;
    int64_t shape[4];
    bool (*init)(model *m);
    tarn_tensor *(*apply)(tarn_tape *t, model *m, tarn_tensor *x);
} layer_case;

#define NOTHING NULL
#define INIT(name, call)                                                                                               \
    static bool name(model *m)                                                                                         \
    {                                                                                                                  \
        return call;                                                                                                   \
    }
#define APPLY(name, call)                                                                                              \
    static tarn_tensor *name(tarn_tape *tape, model *m, tarn_tensor *x)                                                \
    {                                                                                                                  \
        (void)m;                                                                                                       \
        return call;                                                                                                   \
    }
#define CONV(name, in, out, kernel, ...)                                                                               \
    INIT(name, tarn_conv2d_init(&m->conv, m->params, "conv", &m->rng, in, out, kernel,                                 \
                                &(tarn_conv2d_layer_opts){__VA_ARGS__}))
#define ACTIVATION(name, kind, p) INIT(name, tarn_activation_init(&m->act, kind, p))

INIT(linear_new, tarn_linear_init(&m->linear, m->params, "linear", &m->rng, 4, 3, NULL))
CONV(conv_plain, 2, 3, 3, .padding = 1)
CONV(conv_strided, 2, 3, 3, .stride = 2, .dilation = 2, .padding = 2)
CONV(conv_grouped, 4, 6, 3, .groups = 2, .no_bias = true)
CONV(conv_depthwise, 4, 4, 3, .groups = 4, .padding = 1)
CONV(conv_point, 3, 5, 1, .no_bias = true)
CONV(conv_winograd, 16, 16, 3, .padding = 1)
INIT(norm_new, tarn_batchnorm_init(&m->norm, m->params, "norm", 3, NULL))
INIT(layernorm_new, tarn_layernorm_init(&m->layernorm, m->params, "norm", 3, NULL))
INIT(rmsnorm_new, tarn_rmsnorm_init(&m->rmsnorm, m->params, "norm", 3, NULL))
INIT(groupnorm_new, tarn_groupnorm_init(&m->groupnorm, m->params, "norm", 2, 4, NULL))
INIT(instancenorm_new, tarn_instancenorm_init(&m->instancenorm, m->params, "norm", 3, NULL))
INIT(weightnorm_linear_new, tarn_weightnorm_linear_init(&m->weightnorm_linear, m->params, "w", &m->rng, 4, 3, NULL))
INIT(weightnorm_conv_new, tarn_weightnorm_conv2d_init(&m->weightnorm_conv, m->params, "w", &m->rng, 2, 3, 3, NULL))
INIT(drop_new, tarn_dropout_init(&m->drop, 0.4, &m->drawn))
INIT(flat_new, tarn_flatten_init(&m->flat, 1))
INIT(max_new, tarn_max_pool2d_init(&m->max, 2, NULL))
INIT(avg_new, tarn_avg_pool2d_init(&m->avg, 3, &(tarn_pool2d_opts){.stride = 2, .padding = 1}))
ACTIVATION(act_identity, TARN_IDENTITY, 0)
ACTIVATION(act_relu, TARN_RELU, 0)
ACTIVATION(act_leaky_relu, TARN_LEAKY_RELU, 0.2)
ACTIVATION(act_elu, TARN_ELU, 1.3)
ACTIVATION(act_gelu, TARN_GELU, 0)
ACTIVATION(act_silu, TARN_SILU, 0)
ACTIVATION(act_sigmoid, TARN_SIGMOID, 0)
ACTIVATION(act_softplus, TARN_SOFTPLUS, 0)
ACTIVATION(act_tanh, TARN_TANH, 0)

/* u and v are constants to the gradient and move, in training, when the weight does: there a difference of gradients
 * would be another thing. */
static bool spectral_linear_new(model *m)
{
    m->still = "w.weight";
    return tarn_spectralnorm_linear_init(&m->spectral_linear, m->params, "w", &m->rng, 4, 3, NULL, NULL);
}

static bool spectral_conv_new(model *m)
{
    m->still = "w.weight";
    return tarn_spectralnorm_conv2d_init(&m->spectral_conv, m->params, "w", &m->rng, 2, 3, 3, NULL, NULL);
}

/* Moving averages so far off that r and d, which are constants to the gradient, stay at their limits. */
static bool renorm_new(model *m)
{
    const tarn_batch_renorm_opts opts = {.r_max = 1.5, .d_max = 0.1, .unscheduled = true};
    return tarn_batch_renorm_init(&m->renorm, m->params, "norm", 3, &opts) && tarn_fill(m->renorm.running.mean, 9) &&
           tarn_fill(m->renorm.running.std, 9);
}

/* A strided view of the input, too: what layers read need not be contiguous. */
APPLY(apply_linear, tarn_linear_apply(tape, &m->linear, x))
APPLY(apply_linear_view, tarn_linear_apply(tape, &m->linear, tarn_transpose(tape, x, 0, 1)))
APPLY(apply_conv, tarn_conv2d_apply(tape, &m->conv, x))
APPLY(apply_norm, tarn_batchnorm_apply(tape, &m->norm, x))
APPLY(apply_layernorm, tarn_layernorm_apply(tape, &m->layernorm, x))
APPLY(apply_rmsnorm, tarn_rmsnorm_apply(tape, &m->rmsnorm, x))
APPLY(apply_groupnorm, tarn_groupnorm_apply(tape, &m->groupnorm, x))
APPLY(apply_instancenorm, tarn_instancenorm_apply(tape, &m->instancenorm, x))
APPLY(apply_renorm, tarn_batch_renorm_apply(tape, &m->renorm, x))
APPLY(apply_weightnorm_linear, tarn_weightnorm_linear_apply(tape, &m->weightnorm_linear, x))
APPLY(apply_weightnorm_conv, tarn_weightnorm_conv2d_apply(tape, &m->weightnorm_conv, x))
APPLY(apply_spectral_linear, tarn_spectralnorm_linear_apply(tape, &m->spectral_linear, x))
APPLY(apply_spectral_conv, tarn_spectralnorm_conv2d_apply(tape, &m->spectral_conv, x))
APPLY(apply_drop, tarn_dropout_apply(tape, &m->drop, tarn_square(tape, x)))
APPLY(apply_flat, tarn_flatten_apply(tape, &m->flat, x))
APPLY(apply_max, tarn_max_pool2d_apply(tape, &m->max, x))
APPLY(apply_avg, tarn_avg_pool2d_apply(tape, &m->avg, x))
APPLY(apply_act, tarn_activation_apply(tape, &m->act, x))
APPLY(apply_chain, tarn_sequential_apply(tape, &m->chain, x))
APPLY(apply_softmax, tarn_softmax(tape, x))
APPLY(apply_cross_entropy, tarn_cross_entropy(tape, x, m->labels))
APPLY(apply_mse, tarn_mse(tape, tarn_tanh(tape, x), m->target))
APPLY(apply_bce, tarn_bce_with_logits(tape, x, m->target))

static bool chain_new(model *m)
{
    if (!linear_new(m) || !norm_new(m) || !act_tanh(m) || !flat_new(m))
        return false;
    m->parts[0] = tarn_linear_as_layer(&m->linear);
    m->parts[1] = tarn_batchnorm_as_layer(&m->norm);
    m->parts[2] = tarn_activation_as_layer(&m->act);
    m->parts[3] = tarn_flatten_as_layer(&m->flat);
    return tarn_sequential_init(&m->chain, 4, m->parts);
}

static tarn_tensor *chain_segment(tarn_tape *tape, void *context, tarn_tensor *x)
{
    return apply_chain(tape, context, x);
}

APPLY(apply_checkpoint, tarn_checkpoint(tape, chain_segment, m, x))

/* Convolution, BatchNorm, relu and pooling, which run as one. */
static bool block_new(model *m)
{
    return conv_plain(m) && norm_new(m) && max_new(m);
}
APPLY(apply_block, tarn_max_pool2d_apply(tape, &m->max, tarn_silu(tape, apply_norm(tape, m, apply_conv(tape, m, x)))))

/* One row a layer; a layer with several ways to compute has several. */
static const layer_case cases[] = {
    {"tarn_linear_apply", 2, {5, 4}, linear_new, apply_linear},
    {"tarn_linear_apply", 2, {4, 5}, linear_new, apply_linear_view},
    {"tarn_linear_apply", 2, {1, 4}, linear_new, apply_linear},
    {"tarn_conv2d_apply", 4, {2, 5, 4, 2}, conv_plain, apply_conv},
    {"tarn_conv2d_apply", 4, {2, 6, 5, 2}, conv_strided, apply_conv},
    {"tarn_conv2d_apply", 4, {1, 5, 5, 4}, conv_grouped, apply_conv},
    {"tarn_conv2d_apply", 4, {2, 4, 5, 4}, conv_depthwise, apply_conv},
    {"tarn_conv2d_apply", 4, {2, 3, 3, 3}, conv_point, apply_conv},
    {"tarn_conv2d_apply", 4, {2, 12, 12, 16}, conv_winograd, apply_conv},
    {"tarn_batchnorm_apply", 2, {6, 3}, norm_new, apply_norm},
    {"tarn_batchnorm_apply", 4, {2, 3, 2, 3}, norm_new, apply_norm},
    {"tarn_layernorm_apply", 2, {4, 3}, layernorm_new, apply_layernorm},
    {"tarn_layernorm_apply", 4, {2, 2, 2, 3}, layernorm_new, apply_layernorm},
    {"tarn_rmsnorm_apply", 2, {4, 3}, rmsnorm_new, apply_rmsnorm},
    {"tarn_groupnorm_apply", 2, {3, 4}, groupnorm_new, apply_groupnorm},
    {"tarn_groupnorm_apply", 4, {2, 3, 2, 4}, groupnorm_new, apply_groupnorm},
    {"tarn_instancenorm_apply", 4, {2, 3, 2, 3}, instancenorm_new, apply_instancenorm},
    {"tarn_batch_renorm_apply", 2, {6, 3}, renorm_new, apply_renorm},
    {"tarn_batch_renorm_apply", 4, {2, 3, 2, 3}, renorm_new, apply_renorm},
    {"tarn_weightnorm_linear_apply", 2, {5, 4}, weightnorm_linear_new, apply_weightnorm_linear},
    {"tarn_weightnorm_conv2d_apply", 4, {2, 5, 4, 2}, weightnorm_conv_new, apply_weightnorm_conv},
    {"tarn_spectralnorm_linear_apply", 2, {5, 4}, spectral_linear_new, apply_spectral_linear},
    {"tarn_spectralnorm_conv2d_apply", 4, {2, 5, 4, 2}, spectral_conv_new, apply_spectral_conv},
    {"tarn_dropout_apply", 2, {6, 5}, drop_new, apply_drop},
    {"tarn_flatten_apply", 3, {2, 3, 2}, flat_new, apply_flat},
    {"tarn_max_pool2d_apply", 4, {2, 4, 4, 2}, max_new, apply_max},
    {"tarn_avg_pool2d_apply", 4, {2, 5, 4, 2}, avg_new, apply_avg},
    {"tarn_activation_apply", 2, {3, 4}, act_identity, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_relu, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_leaky_relu, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_elu, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_gelu, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_silu, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_sigmoid, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_softplus, apply_act},
    {"tarn_activation_apply", 2, {3, 4}, act_tanh, apply_act},
    {"tarn_sequential_apply", 2, {6, 4}, chain_new, apply_chain},
    {"a checkpointed segment", 2, {6, 4}, chain_new, apply_checkpoint},
    {"a fused block", 4, {2, 4, 4, 2}, block_new, apply_block},
    {"softmax", 2, {3, 5}, NOTHING, apply_softmax},
    {"cross-entropy", 2, {3, 5}, NOTHING, apply_cross_entropy},
    {"mean squared error", 2, {3, 5}, NOTHING, apply_mse},
    {"binary cross-entropy", 2, {3, 5}, NOTHING, apply_bce},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* ---- the table is whole ---- */

static bool has_row(const char *name)
{
    for (size_t i = 0; i < CASES; i++)
        if (strcmp(cases[i].applies, name) == 0)
            return true;
    return false;
}

/* The functions tarn_..._apply that a header declares. */
static int look_into(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    int found = 0;
    char line[512], name[128];
    while (fgets(line, sizeof line, file)) {
        const char *at = strncmp(line, "TARN_API ", 9) == 0 ? strstr(line, "_apply(") : NULL, *start = at;
        if (!at)
            continue;
        while (start[-1] != ' ' && start[-1] != '*')
            start--;
        snprintf(name, sizeof name, "%.*s", (int)(at - start) + 6, start);
        if (!has_row(name))
            fail_msg("%s: %s has no row in tests/test_hessian.c", path, name);
        found++;
    }
    fclose(file);
    return found;
}

static void every_layer_has_a_row(void **state)
{
    (void)state;
    DIR *folder = opendir("layers");
    if (!folder)
        fail_msg("layers/ cannot be opened: run this from the folder of tarn.h");
    int found = 0;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        char path[300];
        snprintf(path, sizeof path, "layers/%s", entry->d_name);
        if (length > 2 && strcmp(entry->d_name + length - 2, ".h") == 0)
            found += look_into(path);
    }
    closedir(folder);
    assert_true(found >= 9);
}

/* ---- the comparison ---- */

/* sum(weights y^2 + y): curved even where the layer is not. */
static tarn_tensor *model_loss(tarn_tape *tape, void *context)
{
    model *m = context;
    m->drawn = tarn_rng_seed(77);
    tarn_tensor *y = m->apply(tape, m, m->input);
    if (y && !m->weights) {
        tarn_rng rng = tarn_rng_seed(78);
        m->weights = tarn_tensor_uniform_new(TARN_F64, tarn_ndim(y), tarn_shape(y), &rng, 0.5, 1.5);
    }
    tarn_tensor *curved = tarn_add(tape, tarn_mul(tape, tarn_square(tape, y), m->weights), y);
    return tarn_sum(tape, curved, TARN_ALL_AXES, false);
}

/* Values apart from each other and from 0, so that no step crosses a kink or a tie. */
static void model_init(model *m, const layer_case *c)
{
    *m = (model){.params = tarn_params_new(TARN_F64), .rng = tarn_rng_seed(21), .apply = c->apply};
    m->input = tarn_params_add(m->params, "input", c->ndim, c->shape);
    int64_t n = tarn_numel(m->input), *order = malloc((size_t)n * sizeof *order);
    assert_non_null(order);
    assert_true(tarn_rng_permutation(&m->rng, (size_t)n, order));
    double *x = tarn_mutable_data(m->input);
    for (int64_t i = 0; i < n; i++)
        x[i] = 3 * ((double)order[i] + 0.5) / (double)n - 1.5 + (n % 2 ? 0.1 / (double)n : 0);
    free(order);
    m->labels = tarn_tensor_from(TARN_I32, TARN_SHAPE(3), (int32_t[]){1, 0, 4});
    m->target = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(3, 5), &m->rng, 0, 1);
    assert_true(!c->init || c->init(m));
    expect_no_error();
}

static void model_free(model *m)
{
    tarn_tensor_free(m->labels), tarn_tensor_free(m->target), tarn_tensor_free(m->weights);
    tarn_params_free(m->params);
}

/* The gradient at x + h v, x the store's. */
static tarn_tensor *gradient_at(const tarn_objective *o, tarn_tensor *x, tarn_tensor *v, double h)
{
    int64_t n = tarn_numel(x);
    const double *from = tarn_data(x), *along = tarn_data(v);
    tarn_tensor *point = tarn_tensor_new(TARN_F64, TARN_SHAPE(n));
    double *to = tarn_mutable_data(point);
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i] + h * along[i];
    assert_true(tarn_params_set_vector(o->params, point));
    tarn_tensor *gradient = tarn_objective_gradient_new(o, NULL);
    assert_true(tarn_params_set_vector(o->params, x));
    tarn_tensor_free(point);
    if (!gradient)
        fail_msg("%s", tarn_error());
    return gradient;
}

/* Central differences of fourth order: (8 (g(h) - g(-h)) - (g(2h) - g(-2h))) / 12h. */
static void expect_product(const layer_case *c, const tarn_objective *o, tarn_tensor *v)
{
    const double h = 1e-3;
    tarn_tensor *x = tarn_params_vector_new(o->params), *product = tarn_hessian_times_new(o, v), *g[4];
    if (!product)
        fail_msg("%s: %s", c->applies, tarn_error());
    for (int i = 0; i < 4; i++)
        g[i] = gradient_at(o, x, v, (i < 2 ? i - 2 : i - 1) * h);
    const double *far_below = tarn_data(g[0]), *below = tarn_data(g[1]), *above = tarn_data(g[2]),
                 *far_above = tarn_data(g[3]), *found = tarn_data(product);
    double largest = 0, error = 0;
    for (int64_t i = 0; i < tarn_numel(x); i++) {
        double numeric = (8 * (above[i] - below[i]) - (far_above[i] - far_below[i])) / (12 * h);
        largest = fmax(largest, fabs(numeric));
        error = fabs(found[i] - numeric) <= error ? error : fabs(found[i] - numeric);
    }
    if (!(error <= 1e-7 * fmax(1, largest)) || !(largest > 0.01))
        fail_msg("%s, %s: the product is off by %g of %g", c->applies,
                 tarn_tape_training(o->tape) ? "training" : "evaluation", error, largest);
    for (int i = 0; i < 4; i++)
        tarn_tensor_free(g[i]);
    tarn_tensor_free(x), tarn_tensor_free(product);
}

/* A random direction, with short steps for the inputs, which are near to each other when there are many. */
static tarn_tensor *direction_new(model *m, bool training)
{
    tarn_tensor *v = tarn_tensor_new(TARN_F64, TARN_SHAPE(tarn_params_numel(m->params)));
    double *along = tarn_mutable_data(v), reach = 0.4 / (double)tarn_numel(m->input) / 2e-3;
    for (size_t i = 0; i < tarn_params_count(m->params); i++) {
        const tarn_tensor *part = tarn_params_at(m->params, i);
        if (!tarn_param_grad(part))
            continue;
        double length = part == m->input && reach < 1 ? reach : 1;
        if (training && m->still && strcmp(tarn_param_name(part), m->still) == 0)
            length = 0;
        for (int64_t k = 0; k < tarn_numel(part); k++)
            *along++ = (2 * tarn_rng_uniform(&m->rng) - 1) * length;
    }
    return v;
}

static void products_are_differences_of_gradients(void **state)
{
    (void)state;
    for (size_t c = 0; c < CASES; c++)
        for (int mode = 0; mode < 2; mode++) {
            const bool training = mode == 1;
            model m;
            model_init(&m, &cases[c]);
            tarn_tape_set_training(t, training);
            const tarn_objective o = {model_loss, &m, m.params, t};
            tarn_tensor *v = direction_new(&m, training);
            expect_product(&cases[c], &o, v);
            tarn_tensor_free(v);
            model_free(&m);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_layer_has_a_row),
        TEST(products_are_differences_of_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
