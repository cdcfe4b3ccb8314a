/* Normalizations against PyTorch's: values, gradients and gradients of gradients. tests/torch_fixture.h says how they
 * are compared. To add one: a function and a row here, a line of the same name in NORMS of tests/torch_reference.py,
 * and tests/torch_reference.py --record. */
#include "tests/torch_derivatives.h"

typedef struct norm_input {
    double low, high; /* both 0: there is none */
    bool state;       /* changed by the op: its last value is a result; others are differentiated */
    int ndim;
    int64_t shape[4];
} norm_input;

typedef struct norm_case {
    const char *name;
    tarn_tensor *(*f)(tarn_tape *t, tarn_tensor *const *in);
    norm_input in[MAX_INPUTS];
    bool evaluation;
} norm_case;

#define NORM(name, ...)                                                                                                \
    static tarn_tensor *name(tarn_tape *t, tarn_tensor *const *in)                                                     \
    {                                                                                                                  \
        return __VA_ARGS__;                                                                                            \
    }
NORM(layernorm, tarn_layernorm(t, in[0], in[1], in[2], 0))
NORM(layernorm_eps, tarn_layernorm(t, in[0], in[1], in[2], 1e-2))
NORM(layernorm_plain, tarn_layernorm(t, in[0], NULL, NULL, 0))
NORM(rmsnorm, tarn_rmsnorm(t, in[0], in[1], 0))
NORM(groupnorm, tarn_groupnorm(t, in[0], 3, in[1], in[2], 0))
NORM(groupnorm_rows, tarn_groupnorm(t, in[0], 2, in[1], in[2], 1e-2))
NORM(instancenorm, tarn_instancenorm(t, in[0], in[1], in[2], 0))
NORM(instancenorm_plain, tarn_instancenorm(t, in[0], NULL, NULL, 0))
NORM(weightnorm, tarn_weightnorm(t, in[0], in[1]))
NORM(spectralnorm, tarn_spectralnorm(t, in[0], in[1], in[2], 1))
NORM(spectralnorm_steps, tarn_spectralnorm(t, in[0], in[1], in[2], 4))

#define WITHIN(from, to, n, ...)                                                                                       \
    {                                                                                                                  \
        .low = (from), .high = (to), .ndim = (n), .shape = { __VA_ARGS__ }                                             \
    }
#define X(n, ...) WITHIN(-3, 3, n, __VA_ARGS__)
#define STATE(n)                                                                                                       \
    {                                                                                                                  \
        .low = 0.1, .high = 1, .state = true, .ndim = 1, .shape = { n }                                                \
    }
#define AFFINE(c) WITHIN(0.5, 2, 1, c), X(1, c)

static const norm_case cases[] = {
    {"layernorm/", layernorm, {X(3, 4, 3, 6), AFFINE(6)}, false},
    {"layernorm_eps/", layernorm_eps, {X(2, 5, 7), AFFINE(7)}, false},
    {"layernorm_plain/", layernorm_plain, {X(2, 5, 7)}, false},
    {"rmsnorm/", rmsnorm, {X(3, 4, 3, 6), WITHIN(0.5, 2, 1, 6)}, false},
    {"groupnorm/", groupnorm, {X(4, 2, 3, 4, 6), AFFINE(6)}, false},
    {"groupnorm_rows/", groupnorm_rows, {X(2, 5, 6), AFFINE(6)}, false},
    {"instancenorm/", instancenorm, {X(4, 2, 3, 4, 5), AFFINE(5)}, false},
    {"instancenorm_plain/", instancenorm_plain, {X(4, 2, 3, 4, 5)}, false},
    {"weightnorm_linear/", weightnorm, {X(2, 6, 5), X(1, 5)}, false},
    {"weightnorm_conv2d/", weightnorm, {X(4, 3, 2, 4, 5), X(1, 5)}, false},
    {"spectralnorm_linear/", spectralnorm, {X(2, 6, 5), STATE(5), STATE(6)}, false},
    {"spectralnorm_conv2d/", spectralnorm, {X(4, 3, 2, 4, 5), STATE(5), STATE(24)}, false},
    {"spectralnorm_steps/", spectralnorm_steps, {X(2, 6, 5), STATE(5), STATE(6)}, false},
    {"spectralnorm_evaluation/", spectralnorm, {WITHIN(0.5, 2, 2, 6, 5), STATE(5), STATE(6)}, true},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* Returns how many are to be differentiated: those in `real`. */
static int make_inputs(tarn_params *r, tarn_rng *rng, const norm_case *c, tarn_tensor **in, tarn_tensor **real)
{
    int n = 0;
    for (int i = 0; i < MAX_INPUTS && c->in[i].low < c->in[i].high; i++) {
        const norm_input *spec = &c->in[i];
        char name[NAME];
        snprintf(name, sizeof name, "in/%s%d", c->name, i);
        in[i] = add_input(r, rng, spec->low, spec->high, spec->ndim, spec->shape, name);
        if (spec->state) {
            keep(r, in[i], "%sstate%d", c->name, i);
            in[i] = tarn_params_at(r, tarn_params_count(r) - 1);
        } else {
            real[n++] = in[i];
        }
    }
    return n;
}

static void compute_case(tarn_params *r, const norm_case *c)
{
    tarn_rng rng = stream(c->name);
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *in[MAX_INPUTS] = {0}, *real[MAX_INPUTS + 1];
    tarn_tape_set_training(t, !c->evaluation);
    const int n = make_inputs(r, &rng, c, in, real);
    keep_derivatives(r, t, &rng, c->name, c->f(t, in), n, real);
    tarn_tape_free(t);
}

static void compute_all(tarn_params *r)
{
    for (size_t i = 0; i < N_CASES; i++)
        compute_case(r, &cases[i]);
}

int main(int argc, char **argv)
{
    torch_suite suite = {"torch_norms", compute_all, N_CASES, {0}};
    for (size_t i = 0; i < N_CASES; i++)
        suite.sections[i] = cases[i].name;
    return torch_main(argc, argv, &suite);
}
