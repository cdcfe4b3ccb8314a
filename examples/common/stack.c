#include "examples/common/stack.h"

#include <stdio.h>
#include <string.h>

#define DISTURBED_SCALE 1.25
#define DISTURBED_SHIFT 0.5

enum { SIDE = 28, CLASSES = 10, STAGES = 3 };

const char *stack_norm_name(stack_norm norm)
{
    static const char *const names[STACK_NORM_COUNT] = {"no normalization", "BatchNorm",    "BatchRenorm",
                                                        "LayerNorm",        "InstanceNorm", "GroupNorm",
                                                        "RMSNorm",          "weight norm",  "spectral norm"};
    return (unsigned)norm < STACK_NORM_COUNT ? names[norm] : "?";
}

static tarn_init init_for(tarn_activation activation)
{
    const bool one_sided = activation == TARN_RELU || activation == TARN_LEAKY_RELU;
    return one_sided ? (tarn_init){.kind = TARN_INIT_KAIMING_NORMAL, .activation = activation}
                     : (tarn_init){.kind = TARN_INIT_XAVIER_NORMAL};
}

/* Which third of the layers layer i is in. */
static int stage_of(const stack *s, int i)
{
    return STAGES * i / s->opts.depth;
}

static int64_t width_of(const stack *s, int i)
{
    return s->opts.convolutions ? s->opts.width << stage_of(s, i) : s->opts.width;
}

static bool add_norm(stack *s, const char *name, int i)
{
    stack_normalization *l = &s->norm[i];
    const int64_t width = width_of(s, i), groups = width % STACK_GROUP ? 1 : width / STACK_GROUP;
    switch (s->opts.norm) {
    case STACK_BATCHNORM:
        return tarn_batchnorm_init(&l->batchnorm, s->params, name, width, NULL);
    case STACK_BATCH_RENORM:
        return tarn_batch_renorm_init(&l->batch_renorm, s->params, name, width, &s->opts.renorm);
    case STACK_LAYERNORM: /* with positions, one group of GroupNorm is what LayerNorm means by a layer */
        return s->opts.convolutions ? tarn_groupnorm_init(&l->groupnorm, s->params, name, 1, width, NULL)
                                    : tarn_layernorm_init(&l->layernorm, s->params, name, width, NULL);
    case STACK_INSTANCENORM:
        return tarn_instancenorm_init(&l->instancenorm, s->params, name, width, NULL);
    case STACK_GROUPNORM:
        return tarn_groupnorm_init(&l->groupnorm, s->params, name, groups, width, NULL);
    case STACK_RMSNORM:
        return tarn_rmsnorm_init(&l->rmsnorm, s->params, name, width, NULL);
    default:
        return !tarn_error();
    }
}

static bool add_conv(stack *s, const char *name, int i, tarn_rng *rng, tarn_init init)
{
    stack_weights *l = &s->weights[i];
    const bool halves = i == 0 || stage_of(s, i) != stage_of(s, i - 1);
    const int64_t in = i ? width_of(s, i - 1) : 1, out = width_of(s, i);
    const tarn_conv2d_layer_opts opts = {.stride = halves ? 2 : 1, .padding = 1, .init = init};
    if (s->opts.norm == STACK_WEIGHTNORM)
        return tarn_weightnorm_conv2d_init(&l->weightnorm_conv, s->params, name, rng, in, out, 3, &opts);
    if (s->opts.norm == STACK_SPECTRALNORM)
        return tarn_spectralnorm_conv2d_init(&l->spectralnorm_conv, s->params, name, rng, in, out, 3, &opts, NULL);
    return tarn_conv2d_init(&l->conv, s->params, name, rng, in, out, 3, &opts);
}

static bool add_linear(stack *s, const char *name, int i, tarn_rng *rng, tarn_init init)
{
    stack_weights *l = &s->weights[i];
    const int64_t in = i ? s->opts.width : SIDE * SIDE, out = s->opts.width;
    const tarn_linear_opts opts = {.init = init};
    if (s->opts.norm == STACK_WEIGHTNORM)
        return tarn_weightnorm_linear_init(&l->weightnorm_linear, s->params, name, rng, in, out, &opts);
    if (s->opts.norm == STACK_SPECTRALNORM)
        return tarn_spectralnorm_linear_init(&l->spectralnorm_linear, s->params, name, rng, in, out, &opts, NULL);
    return tarn_linear_init(&l->linear, s->params, name, rng, in, out, &opts);
}

static bool add_layer(stack *s, int i, tarn_rng *rng)
{
    char name[16];
    snprintf(name, sizeof name, "%d", i + 1);
    const tarn_init init = init_for(s->opts.activation);
    return (s->opts.convolutions ? add_conv : add_linear)(s, name, i, rng, init) && add_norm(s, name, i);
}

bool stack_init(stack *s, const stack_opts *opts, uint64_t seed)
{
    *s = (stack){.opts = *opts};
    if (opts->depth < 1 || opts->depth > STACK_MAX_DEPTH)
        return tarn_fail("stack_init: %d layers, expected 1 to %d", opts->depth, STACK_MAX_DEPTH);
    tarn_rng rng = tarn_rng_seed(seed);
    s->params = tarn_params_new(TARN_F32);
    tarn_activation_init(&s->activation, opts->activation, 0);
    for (int i = 0; i < opts->depth && !tarn_error(); i++)
        add_layer(s, i, &rng);
    tarn_linear_init(&s->out, s->params, "out", &rng, width_of(s, opts->depth - 1), CLASSES, NULL);
    return !tarn_error();
}

void stack_free(stack *s)
{
    tarn_params_free(s->params);
    *s = (stack){0};
}

static tarn_tensor *apply_weights(tarn_tape *t, const stack *s, int i, tarn_tensor *x)
{
    const stack_weights *l = &s->weights[i];
    const bool conv = s->opts.convolutions;
    switch (s->opts.norm) {
    case STACK_WEIGHTNORM:
        return conv ? tarn_weightnorm_conv2d_apply(t, &l->weightnorm_conv, x)
                    : tarn_weightnorm_linear_apply(t, &l->weightnorm_linear, x);
    case STACK_SPECTRALNORM:
        return conv ? tarn_spectralnorm_conv2d_apply(t, &l->spectralnorm_conv, x)
                    : tarn_spectralnorm_linear_apply(t, &l->spectralnorm_linear, x);
    default:
        return conv ? tarn_conv2d_apply(t, &l->conv, x) : tarn_linear_apply(t, &l->linear, x);
    }
}

static tarn_tensor *disturbed(tarn_tape *t, const stack *s, int i, tarn_tensor *x)
{
    tarn_rng *rng = s->opts.disturbance;
    if (!rng || !tarn_tape_training(t))
        return x;
    tarn_tensor *scale = tarn_uniform(t, TARN_F32, TARN_SHAPE(width_of(s, i)), rng, 1, DISTURBED_SCALE);
    tarn_tensor *shift = tarn_uniform(t, TARN_F32, TARN_SHAPE(width_of(s, i)), rng, -DISTURBED_SHIFT, DISTURBED_SHIFT);
    return tarn_add(t, tarn_mul(t, x, scale), shift);
}

static tarn_tensor *normalized(tarn_tape *t, const stack *s, int i, tarn_tensor *x)
{
    const stack_normalization *l = &s->norm[i];
    switch (s->opts.norm) {
    case STACK_BATCHNORM:
        return tarn_batchnorm_apply(t, &l->batchnorm, x);
    case STACK_BATCH_RENORM:
        return tarn_batch_renorm_apply(t, &l->batch_renorm, x);
    case STACK_LAYERNORM:
        return s->opts.convolutions ? tarn_groupnorm_apply(t, &l->groupnorm, x)
                                    : tarn_layernorm_apply(t, &l->layernorm, x);
    case STACK_INSTANCENORM:
        return tarn_instancenorm_apply(t, &l->instancenorm, x);
    case STACK_GROUPNORM:
        return tarn_groupnorm_apply(t, &l->groupnorm, x);
    case STACK_RMSNORM:
        return tarn_rmsnorm_apply(t, &l->rmsnorm, x);
    default:
        return x;
    }
}

static tarn_tensor *apply_norm(tarn_tape *t, const stack *s, int i, tarn_tensor *x)
{
    return disturbed(t, s, i, normalized(t, s, i, x));
}

tarn_tensor *stack_apply_and_show(tarn_tape *t, const stack *s, tarn_tensor *x, tarn_tensor **inputs,
                                  tarn_tensor **hidden)
{
    if (!s->opts.convolutions)
        x = tarn_flatten(t, x);
    for (int i = 0; i < s->opts.depth; i++) {
        x = apply_weights(t, s, i, x);
        if (!s->opts.norm_after)
            x = apply_norm(t, s, i, x);
        if (inputs)
            inputs[i] = x;
        x = tarn_activation_apply(t, &s->activation, x);
        if (s->opts.norm_after)
            x = apply_norm(t, s, i, x);
        if (hidden)
            hidden[i] = x;
    }
    if (s->opts.convolutions)
        x = tarn_global_avg_pool2d(t, x);
    return tarn_linear_apply(t, &s->out, x);
}

tarn_tensor *stack_apply(tarn_tape *t, const stack *s, tarn_tensor *x)
{
    return stack_apply_and_show(t, s, x, NULL, NULL);
}

tarn_tensor *stack_loss(tarn_tape *t, void *problem)
{
    const stack_problem *p = problem;
    return tarn_cross_entropy(t, stack_apply(t, p->net, p->images), p->labels);
}
