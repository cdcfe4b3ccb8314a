/* schedules.c: learning rates that change with the step: a deep network on Fashion-MNIST, trained by RMSProp under
 * seven schedules. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { SCHEDULES = 7, SEEDS = 3, BATCH = 64 };

typedef struct settings {
    int64_t depth, width, steps, every, images, validation;
    double lr;
} settings;

typedef enum schedule { CONSTANT, STEP, INVERSE_SQRT, COSINE, WARMUP_COSINE, ONE_CYCLE, PLATEAU } schedule;

static const char *const names[SCHEDULES] = {"constant",        "step decay", "1/sqrt(t+1)", "cosine",
                                             "warm-up, cosine", "one cycle",  "plateau"};
static const char *const ticks[SCHEDULES] = {"constant", "step", "1/sqrt", "cosine", "warm-up", "1 cycle", "plateau"};

typedef struct rates {
    schedule kind;
    const settings *o;
    tarn_plateau *plateau;
    int64_t checks; /* that the plateau has seen */
} rates;

static double rate_at(int64_t step, const training_log *log, void *context)
{
    rates *r = context;
    const int64_t total = r->o->steps;
    const double lr = r->o->lr;
    switch (r->kind) {
    case STEP:
        return tarn_lr_step_decay(lr, step, (total + 3) / 4, 0.3);
    case INVERSE_SQRT:
        return tarn_lr_inverse_sqrt(lr, step);
    case COSINE:
        return tarn_lr_cosine(lr, step, total, 0);
    case WARMUP_COSINE:
        return tarn_lr_warmup_cosine(lr, step, total / 10, total, 0);
    case ONE_CYCLE:
        return tarn_lr_one_cycle(lr, step, total, NULL);
    case PLATEAU:
        for (; r->checks < log->checks; r->checks++)
            tarn_plateau_step(r->plateau, log->valid_loss[r->checks]);
        return tarn_plateau_lr(r->plateau);
    default:
        return lr;
    }
}

static tarn_optim *new_rmsprop(tarn_params *params, double lr, void *context)
{
    (void)context;
    return tarn_rmsprop_new(params, &(tarn_rmsprop_opts){.lr = lr});
}

static bool train(const study *s, const settings *o, schedule kind, int seed, training_log *log)
{
    stack net;
    char label[64];
    snprintf(label, sizeof label, "%s, seed %d", names[kind], seed);
    rates r = {
        .kind = kind, .o = o, .plateau = tarn_plateau_new(o->lr, &(tarn_plateau_opts){.factor = 0.3, .patience = 2})};
    const stack_opts shape = {.depth = (int)o->depth, .width = o->width, .activation = TARN_RELU};
    const training_opts opts = {.steps = o->steps,
                                .batch_size = BATCH,
                                .check_every = o->every,
                                .seed = (uint64_t)seed,
                                .lr = o->lr,
                                .optim_new = new_rmsprop,
                                .lr_at = rate_at,
                                .context = &r,
                                .label = s->quiet ? NULL : label};
    if (stack_init(&net, &shape, (uint64_t)seed))
        training_run(log, &net, s->train, s->valid, &opts);
    stack_free(&net);
    tarn_plateau_free(r.plateau);
    return !tarn_error();
}

/* Over the seeds. */
typedef struct outcome {
    double low[SCHEDULES], median[SCHEDULES], high[SCHEDULES], last_rate[SCHEDULES], loss[SCHEDULES];
} outcome;

static bool summarise(training_log (*logs)[SCHEDULES], outcome *found)
{
    tarn_tape *t = tarn_tape_new();
    for (int i = 0; i < SCHEDULES; i++) {
        double accuracy[SEEDS], loss[SEEDS], q[3] = {NAN, NAN, NAN};
        for (int k = 0; k < SEEDS; k++) {
            accuracy[k] = training_last(&logs[k][i]);
            loss[k] = logs[k][i].valid_loss[logs[k][i].checks - 1];
        }
        const double quantiles[] = {0, 0.5, 1};
        tarn_quantiles(tarn_constant(t, TARN_F64, TARN_SHAPE(SEEDS), accuracy), 3, quantiles, q);
        tarn_quantiles(tarn_constant(t, TARN_F64, TARN_SHAPE(SEEDS), loss), 1, &quantiles[1], &found->loss[i]);
        found->low[i] = q[0], found->median[i] = q[1], found->high[i] = q[2];
        found->last_rate[i] = logs[0][i].lr[logs[0][i].steps - 1];
    }
    tarn_tape_free(t);
    return !tarn_error();
}

static bool tabulate(const study *s, const outcome *found)
{
    const table_column columns[] = {
        {.name = "schedule", .texts = names},
        {.name = "last rate", .numbers = found->last_rate},
        {.name = "validation accuracy, median", .numbers = found->median, .decimals = 4},
        {.name = "lowest", .numbers = found->low, .decimals = 4},
        {.name = "highest", .numbers = found->high, .decimals = 4},
        {.name = "validation loss, median", .numbers = found->loss, .decimals = 4},
    };
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, SCHEDULES) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, SCHEDULES);
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const outcome *found)
{
    int best = CONSTANT, worst = CONSTANT;
    for (int i = 1; i < SCHEDULES; i++) {
        if (found->median[i] > found->median[best])
            best = i;
        if (found->median[i] < found->median[worst])
            worst = i;
    }
    int n = snprintf(title, size, "Validation accuracy is %.3f at a constant rate", found->median[CONSTANT]);
    if (best != CONSTANT)
        n += snprintf(title + n, size - (size_t)n, ", %.3f with the best schedule, %s%s", found->median[best],
                      names[best], found->low[best] > found->high[CONSTANT] ? " (better on every seed)" : "");
    if (worst != CONSTANT)
        snprintf(title + n, size - (size_t)n, "; with %s it is only %.3f", names[worst], found->median[worst]);
}

static bool draw(const study *s, const settings *o, training_log *logs, const outcome *found)
{
    plot_series rate[SCHEDULES], loss[SCHEDULES];
    plot_note above[SCHEDULES];
    char texts[SCHEDULES][16];
    for (int i = 0; i < SCHEDULES; i++) {
        rate[i] = (plot_series){.name = names[i], .n = logs[i].steps, .y = logs[i].lr, .dashed = i == PLATEAU};
        loss[i] = (plot_series){
            .n = logs[i].checks, .x = logs[i].check_step, .y = logs[i].valid_loss, .dashed = i == PLATEAU};
        snprintf(texts[i], sizeof texts[i], "%.3f", found->median[i]);
        above[i] = (plot_note){i, found->high[i], texts[i]};
    }
    const plot_series bars = {
        .n = SCHEDULES, .y = found->median, .low = found->low, .high = found->high, .style = PLOT_POINTS};
    const plot_panel panels[] = {
        {.title = "The schedules",
         .x = {.label = "steps"},
         .y = {.label = "learning rate"},
         .n_series = SCHEDULES,
         .series = rate},
        {.title = "What they do",
         .x = {.label = "training steps"},
         .y = {.label = "validation loss", .low = 0.3, .high = 1},
         .n_series = SCHEDULES,
         .series = loss},
        {.title = "What is reached",
         .x = {.label = "schedule", .n_ticks = SCHEDULES, .tick_names = ticks, .low = -0.5, .high = SCHEDULES - 0.5},
         .y = {.label = "validation accuracy"},
         .n_series = 1,
         .series = &bars,
         .n_notes = SCHEDULES,
         .notes = above,
         .notes_place = PLOT_ABOVE},
    };
    char title[256], note[512];
    write_title(title, sizeof title, found);
    snprintf(note, sizeof note,
             "Fashion-MNIST, %lld images, %lld ReLU layers of %lld, batches of %d, RMSProp at %g; %lld images held "
             "out. Curves: "
             "seed %lld; points: median of %d seeds, whiskers: lowest and highest",
             (long long)o->images, (long long)o->depth, (long long)o->width, BATCH, o->lr, (long long)o->validation,
             (long long)s->seed, SEEDS);
    return plot_write(
        study_path(s, ".svg"),
        &(plot_figure){.title = title, .note = note, .n_panels = 3, .panels = panels, .width = 520, .height = 420});
}

static void run(study *s, const settings *o)
{
    training_log logs[SEEDS][SCHEDULES] = {0};
    outcome found;
    bool ok = study_load(s, o->images, o->validation);
    for (int k = 0; k < SEEDS && ok; k++)
        for (int i = 0; i < SCHEDULES && ok; i++)
            ok = train(s, o, (schedule)i, (int)s->seed + k, &logs[k][i]);
    if (ok && summarise(logs, &found) && tabulate(s, &found))
        draw(s, o, logs[0], &found);
    for (int i = 0; i < SEEDS * SCHEDULES; i++)
        training_free(&logs[i / SCHEDULES][i % SCHEDULES]);
}

int main(int argc, char **argv)
{
    study s = {.name = "schedules", .about = "Trains under seven learning-rate schedules."};
    settings o = {
        .depth = 6, .width = 64, .steps = 1500, .every = 50, .images = 50000, .validation = 2000, .lr = 0.003};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 1, STACK_MAX_DEPTH, "hidden layers"},
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "training steps of each network"},
        {"--lr", "X", CLI_REAL, &o.lr, 1e-6, 10, "the rate that the schedules start from, or rise to"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 2, .width = 8, .steps = 20, .every = 10, .images = 2000, .validation = 100, .lr = o.lr};
    run(&s, &o);
    return study_end(&s);
}
