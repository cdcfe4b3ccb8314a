/* Schedules against PyTorch's. tests/torch_fixture.h says how they are compared. To add one: a row here, one
 * of the same name in tests/torch_optim_reference.py, and tests/torch_reference.py --record. */
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

static void compute_all(tarn_params *r)
{
    tarn_rng rng = tarn_rng_seed(17);
    add_input(r, &rng, 0.5, 1, TARN_SHAPE(EPOCHS), "in/metric");
    add_input(r, &rng, -1, 1, TARN_SHAPE(EPOCHS), "in/signed");
    for (size_t i = 0; i < N_SCHEDULES; i++)
        compute_schedule(r, &schedules[i]);
    for (size_t i = 0; i < N_PLATEAUS; i++) {
        compute_plateau(r, &plateaus[i], "in/metric");
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
    return torch_main(argc, argv, &suite);
}
