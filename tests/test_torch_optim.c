/* Optimisers and schedules against PyTorch's. tests/torch_fixture.h says how they are compared. To add one: a
 * row here, one of the same name in tests/torch_optim_reference.py, and tests/torch_reference.py --record. */
#include "tests/torch_fixture.h"

enum { STEPS = 50, EPOCHS = 300 };

/* Adds a vector of n numbers. */
static void keep_numbers(tarn_params *r, int64_t n, double *numbers, const char *format, const char *name)
{
    tarn_tensor *x = tarn_tensor_wrap(TARN_F64, TARN_SHAPE(n), numbers);
    keep(r, x, format, name);
    tarn_tensor_free(x);
}

/* ---- schedules */

static double inverse_sqrt(int64_t step)
{
    return tarn_lr_inverse_sqrt(0.3, step);
}

static double inverse(int64_t step)
{
    return tarn_lr_inverse(0.3, step, 0.07);
}

static double one_cycle(int64_t step)
{
    return tarn_lr_one_cycle(0.5, step, STEPS, NULL);
}

static double one_cycle_opts(int64_t step)
{
    return tarn_lr_one_cycle(0.5, step, STEPS,
                             &(tarn_one_cycle_opts){.div_factor = 4, .final_div_factor = 10, .pct_start = 0.45});
}

static double one_cycle_rising(int64_t step)
{
    return tarn_lr_one_cycle(0.5, step, STEPS, &(tarn_one_cycle_opts){.pct_start = 0.99});
}

static double one_cycle_falling(int64_t step)
{
    return tarn_lr_one_cycle(0.5, step, STEPS, &(tarn_one_cycle_opts){.pct_start = 0.01});
}

typedef struct schedule_case {
    const char *name;
    double (*rate)(int64_t step);
} schedule_case;

static const schedule_case schedules[] = {
    {"inverse_sqrt/", inverse_sqrt},
    {"inverse/", inverse},
    {"one_cycle/", one_cycle},
    {"one_cycle_opts/", one_cycle_opts},
    {"one_cycle_rising/", one_cycle_rising},
    {"one_cycle_falling/", one_cycle_falling},
};
enum { N_SCHEDULES = sizeof schedules / sizeof schedules[0] };

static void compute_schedule(tarn_params *r, const schedule_case *c)
{
    double rates[STEPS];
    for (int step = 0; step < STEPS; step++)
        rates[step] = c->rate(step);
    keep_numbers(r, STEPS, rates, "%slr", c->name);
}

/* ---- plateau: random metrics, of which ever fewer are better than all before */

typedef struct plateau_case {
    const char *name;
    tarn_plateau_opts opts;
} plateau_case;

static const plateau_case plateaus[] = {
    {"plateau/", {.factor = 0}},
    {"plateau_absolute/", {.absolute = true, .threshold = 0.05, .factor = 0.7, .patience = 3}},
    {"plateau_relative/", {.threshold = 0.1, .factor = 0.8, .patience = 5, .cooldown = 4}},
    {"plateau_maximize/", {.maximize = true, .threshold = 0.02, .factor = 0.9, .patience = 4, .cooldown = 7}},
    {"plateau_both/", {.maximize = true, .absolute = true, .threshold = 0.01, .factor = 0.6, .patience = 20}},
    {"plateau_impatient/", {.threshold = 1e-300, .factor = 0.95, .patience = -1, .cooldown = 1}},
    {"plateau_floor/", {.factor = 0.5, .patience = 2, .min_lr = 0.03}},
    {"plateau_eps/", {.factor = 0.5, .patience = 6, .eps = 0.1}},
};
enum { N_PLATEAUS = sizeof plateaus / sizeof plateaus[0] };

static void compute_plateau(tarn_params *r, const plateau_case *c, const char *metric)
{
    double rates[EPOCHS];
    tarn_tensor *metrics = tarn_params_find(r, metric);
    tarn_plateau *plateau = tarn_plateau_new(1, &c->opts);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        rates[epoch] = tarn_plateau_step(plateau, element(metrics, epoch));
    tarn_plateau_free(plateau);
    keep_numbers(r, EPOCHS, rates, strcmp(metric, "in/metric") == 0 ? "%slr" : "%slr_signed", c->name);
}

/* ---- optimisers: mean((tanh(x w + b) - y)^2), with other x and y at each step */

typedef struct optim_case {
    const char *name;
    tarn_optim *(*make)(tarn_params *p);
} optim_case;

#define OPTIM(name, function, ...)                                                                                     \
    static tarn_optim *name(tarn_params *p)                                                                            \
    {                                                                                                                  \
        return function(p, &(function##_opts){__VA_ARGS__});                                                           \
    }
#define tarn_adagrad_new_opts tarn_adagrad_opts
#define tarn_radam_new_opts   tarn_adam_opts
#define tarn_nadam_new_opts   tarn_nadam_opts
#define tarn_rmsprop_new_opts tarn_rmsprop_opts

OPTIM(adagrad, tarn_adagrad_new, .lr = 0)
OPTIM(adagrad_lr_decay, tarn_adagrad_new, .lr = 0.3, .lr_decay = 0.05)
OPTIM(adagrad_start, tarn_adagrad_new, .lr = 0.2, .initial_accumulator = 0.1, .eps = 1e-3)
OPTIM(adagrad_opts, tarn_adagrad_new, .lr = 0.3, .lr_decay = 0.01, .weight_decay = 0.05, .initial_accumulator = 0.02)
OPTIM(adagrad_mean, tarn_adagrad_new, .lr = 0.02, .eps = 1e-300, .mean = true)
OPTIM(rmsprop, tarn_rmsprop_new, .lr = 0)
OPTIM(rmsprop_decay, tarn_rmsprop_new, .lr = 0.02, .alpha = 0.9, .eps = 1e-3, .weight_decay = 0.1)
OPTIM(rmsprop_momentum, tarn_rmsprop_new, .lr = 0.01, .momentum = 0.8)
OPTIM(rmsprop_centered, tarn_rmsprop_new, .lr = 0.01, .alpha = 0.95, .centered = true)
OPTIM(rmsprop_opts, tarn_rmsprop_new, .lr = 0.01, .alpha = 0.9, .eps = 1e-4, .weight_decay = 0.05, .momentum = 0.6,
      .centered = true)
OPTIM(radam, tarn_radam_new, .lr = 0)
OPTIM(radam_opts, tarn_radam_new, .lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1)
OPTIM(radam_short, tarn_radam_new, .lr = 0.02, .beta2 = 0.5)
OPTIM(nadam, tarn_nadam_new, .lr = 0)
OPTIM(nadam_opts, tarn_nadam_new, .lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-4, .weight_decay = 0.1)
OPTIM(nadam_momentum, tarn_nadam_new, .lr = 0.02, .momentum_decay = 0.3)

#define CASE(name)                                                                                                     \
    {                                                                                                                  \
        "steps/" #name "/", name                                                                                       \
    }
static const optim_case optims[] = {
    CASE(adagrad),
    CASE(adagrad_lr_decay),
    CASE(adagrad_start),
    CASE(adagrad_opts),
    CASE(adagrad_mean),
    CASE(rmsprop),
    CASE(rmsprop_decay),
    CASE(rmsprop_momentum),
    CASE(rmsprop_centered),
    CASE(rmsprop_opts),
    CASE(radam),
    CASE(radam_opts),
    CASE(radam_short),
    CASE(nadam),
    CASE(nadam_opts),
    CASE(nadam_momentum),
};
enum { N_OPTIMS = sizeof optims / sizeof optims[0] };

static void compute_optim(tarn_params *r, const optim_case *c)
{
    tarn_params *p = tarn_params_new(tarn_params_dtype(r));
    tarn_tensor *w = tarn_params_add(p, "w", TARN_SHAPE(6, 5)), *b = tarn_params_add(p, "b", TARN_SHAPE(5));
    tarn_copy(w, tarn_params_find(r, "in/w"));
    tarn_copy(b, tarn_params_find(r, "in/b"));
    tarn_optim *optim = c->make(p);
    tarn_tape *t = tarn_tape_new();
    for (int step = 0; step < STEPS; step++) {
        tarn_tensor *x = tarn_slice(t, tarn_params_find(r, "in/x"), 0, 4 * step, 4 * step + 4, 1);
        tarn_tensor *y = tarn_slice(t, tarn_params_find(r, "in/y"), 0, 4 * step, 4 * step + 4, 1);
        tarn_backward(t, tarn_mse(t, tarn_tanh(t, tarn_add(t, tarn_matmul(t, x, w), b)), y));
        tarn_optim_step(optim);
        tarn_tape_reset(t);
    }
    keep(r, w, "%sw", c->name);
    keep(r, b, "%sb", c->name);
    tarn_tape_free(t);
    tarn_optim_free(optim);
    tarn_params_free(p);
}

static void compute_all(tarn_params *r)
{
    tarn_rng rng = tarn_rng_seed(17);
    add_input(r, &rng, 0.5, 1, TARN_SHAPE(EPOCHS), "in/metric");
    add_input(r, &rng, -1, 1, TARN_SHAPE(EPOCHS), "in/signed");
    add_input(r, &rng, -1, 1, TARN_SHAPE(6, 5), "in/w");
    add_input(r, &rng, -1, 1, TARN_SHAPE(5), "in/b");
    add_input(r, &rng, -1, 1, TARN_SHAPE(4 * STEPS, 6), "in/x");
    add_input(r, &rng, -1, 1, TARN_SHAPE(4 * STEPS, 5), "in/y");
    for (size_t i = 0; i < N_OPTIMS; i++)
        compute_optim(r, &optims[i]);
    for (size_t i = 0; i < N_SCHEDULES; i++)
        compute_schedule(r, &schedules[i]);
    for (size_t i = 0; i < N_PLATEAUS; i++) {
        compute_plateau(r, &plateaus[i], "in/metric");
        if (plateaus[i].opts.absolute) /* of a negative best a relative threshold is torch's own */
            compute_plateau(r, &plateaus[i], "in/signed");
    }
}

int main(int argc, char **argv)
{
    torch_suite suite = {"torch_optim", compute_all, 0, {0}};
    for (size_t i = 0; i < N_SCHEDULES; i++)
        suite.sections[suite.n_sections++] = schedules[i].name;
    for (size_t i = 0; i < N_PLATEAUS; i++)
        suite.sections[suite.n_sections++] = plateaus[i].name;
    for (size_t i = 0; i < N_OPTIMS; i++)
        suite.sections[suite.n_sections++] = optims[i].name;
    return torch_main(argc, argv, &suite);
}
