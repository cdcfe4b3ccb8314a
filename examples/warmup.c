/* warmup.c: at the start Adam's sigma rests on few gradients, and the first steps may be far too bold (Liu et al.
 * 2020, 1908.03265). Adam, Adam with warm-up, and RAdam, which corrects for it, over a range of learning rates: a deep
 * network on Fashion-MNIST. Warm-up is short, or as long as Ma & Yarats (2021, 1910.04209) advise, 2/(1-beta2) = 2000
 * steps, which here is longer than the training. */
#include "examples/common/plot.h"
#include "examples/common/study.h"
#include "examples/common/table.h"
#include "examples/common/training.h"

#include <math.h>
#include <stdio.h>

enum { METHODS = 4, RATES = 6, SEEDS = 3, ADAM = 0, WARMUP = 1, LONG_WARMUP = 2, RADAM = 3, BATCH = 64, LONG = 2000 };

static const char *const names[METHODS] = {"Adam", "Adam, warm-up", "Adam, long warm-up", "RAdam"};
static const double rates[RATES] = {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2};

typedef struct settings {
    int64_t depth, width, steps, every, warmup, images, validation;
} settings;

/* ---- training ---- */

typedef struct method {
    int kind;
    double lr;
    const settings *o;
} method;

static tarn_optim *new_optim(tarn_params *params, double lr, void *context)
{
    const method *m = context;
    return (m->kind == RADAM ? tarn_radam_new : tarn_adam_new)(params, &(tarn_adam_opts){.lr = lr});
}

static double rate_at(int64_t step, const training_log *log, void *context)
{
    (void)log;
    const method *m = context;
    if (m->kind == WARMUP)
        return m->lr * tarn_lr_warmup(step, m->o->warmup);
    return m->kind == LONG_WARMUP ? m->lr * tarn_lr_warmup(step, LONG) : m->lr;
}

static bool train(const study *s, const settings *o, method m, int64_t seed, training_log *log)
{
    stack net;
    char label[64];
    snprintf(label, sizeof label, "%s, rate %g, seed %lld", names[m.kind], m.lr, (long long)seed);
    const stack_opts shape = {.depth = (int)o->depth, .width = o->width, .activation = TARN_RELU};
    const training_opts opts = {.steps = o->steps,
                                .batch_size = BATCH,
                                .check_every = o->every,
                                .seed = (uint64_t)seed,
                                .lr = m.lr,
                                .hopeless = INFINITY,
                                .optim_new = new_optim,
                                .lr_at = rate_at,
                                .context = &m,
                                .label = s->quiet ? NULL : label};
    if (stack_init(&net, &shape, (uint64_t)seed))
        training_run(log, &net, s->train, s->valid, &opts);
    stack_free(&net);
    return !tarn_error();
}

/* ---- what is shown ---- */

typedef struct outcome {
    double low[METHODS][RATES], median[METHODS][RATES], high[METHODS][RATES]; /* validation accuracy over the seeds */
    double worst_loss[METHODS][RATES]; /* median of a run's largest training loss */
} outcome;

typedef training_log runs[METHODS][RATES][SEEDS];

static bool summarise(runs logs, outcome *found)
{
    tarn_tape *t = tarn_tape_new();
    for (int m = 0; m < METHODS; m++)
        for (int k = 0; k < RATES; k++) {
            double accuracy[SEEDS], worst[SEEDS], q[3] = {NAN, NAN, NAN};
            const double quantiles[] = {0, 0.5, 1};
            for (int i = 0; i < SEEDS; i++) {
                const training_log *log = &logs[m][k][i];
                accuracy[i] = training_last(log);
                tarn_quantiles(tarn_constant(t, TARN_F64, TARN_SHAPE(log->steps), log->loss), 1, &quantiles[2],
                               &worst[i]);
            }
            tarn_quantiles(tarn_constant(t, TARN_F64, TARN_SHAPE(SEEDS), accuracy), 3, quantiles, q);
            tarn_quantiles(tarn_constant(t, TARN_F64, TARN_SHAPE(SEEDS), worst), 1, &quantiles[1],
                           &found->worst_loss[m][k]);
            found->low[m][k] = q[0], found->median[m][k] = q[1], found->high[m][k] = q[2];
        }
    tarn_tape_free(t);
    return !tarn_error();
}

static bool tabulate(const study *s, const outcome *found)
{
    table_column columns[1 + 2 * METHODS] = {{.name = "learning rate", .numbers = rates}};
    char headers[METHODS][64];
    for (int m = 0; m < METHODS; m++) {
        snprintf(headers[m], sizeof headers[m], "%s, largest loss", names[m]);
        columns[1 + m] = (table_column){.name = names[m], .numbers = found->median[m], .decimals = 4};
        columns[1 + METHODS + m] = (table_column){.name = headers[m], .numbers = found->worst_loss[m], .decimals = 2};
    }
    enum { COLUMNS = sizeof columns / sizeof *columns };
    return table_print(stdout, COLUMNS, columns, RATES) &&
           table_write_csv(study_path(s, ".csv"), COLUMNS, columns, RATES);
}

/* Where RAdam has most to give. */
static int most_helped(const outcome *found)
{
    int most = 0;
    for (int k = 1; k < RATES; k++)
        if (found->median[RADAM][k] - found->median[ADAM][k] > found->median[RADAM][most] - found->median[ADAM][most])
            most = k;
    return most;
}

static double best(const double *accuracy)
{
    double highest = accuracy[0];
    for (int k = 1; k < RATES; k++)
        highest = fmax(highest, accuracy[k]);
    return highest;
}

/* The finding, as far as the numbers bear it out. */
static void write_title(char *title, size_t size, const outcome *found)
{
    const int k = most_helped(found);
    const double adam = found->median[ADAM][k], radam = found->median[RADAM][k];
    const double slow = found->median[LONG_WARMUP][k], ahead = best(found->median[RADAM]) - best(found->median[ADAM]);
    if (radam - adam > 0.05)
        snprintf(
            title, size,
            "%s rates at which Adam fails (%g: %.2f and %.2f, Adam %.2f); at its best rate RAdam is %s Adam (%.3f, "
            "%.3f)",
            slow - adam > 0.05 ? "RAdam and long warm-up bear" : "RAdam, but not long warm-up, bears", rates[k], radam,
            slow, adam,
            ahead > 0.005    ? "better than"
            : ahead < -0.005 ? "worse than"
                             : "as good as",
            best(found->median[RADAM]), best(found->median[ADAM]));
    else
        snprintf(title, size, "RAdam gains little over Adam: at most %.3f to %.3f, at a rate of %g", radam, adam,
                 rates[k]);
}

static bool draw(const study *s, const settings *o, runs logs, const outcome *found)
{
    const int shown = most_helped(found);
    plot_series accuracy[METHODS], loss[METHODS];
    for (int m = 0; m < METHODS; m++) {
        const training_log *log = &logs[m][shown][0];
        accuracy[m] = (plot_series){.name = names[m],
                                    .n = RATES,
                                    .x = rates,
                                    .y = found->median[m],
                                    .low = found->low[m],
                                    .high = found->high[m],
                                    .style = PLOT_LINE_AND_POINTS};
        loss[m] = (plot_series){.name = names[m], .n = log->steps, .y = log->loss, .width = 1.5};
    }
    char title[256], note[512], early[64];
    snprintf(early, sizeof early, "The loss at a rate of %g, seed %lld", rates[shown], (long long)s->seed);
    const plot_panel panels[] = {
        {.title = "Validation accuracy by learning rate",
         .x = {.label = "learning rate", .log = true},
         .y = {.label = "validation accuracy", .low = 0, .high = 1},
         .n_series = METHODS,
         .series = accuracy},
        {.title = early,
         .x = {.label = "training steps"},
         .y = {.label = "training loss of the batch", .log = true},
         .n_series = METHODS,
         .series = loss},
    };
    write_title(title, sizeof title, found);
    snprintf(note, sizeof note,
             "Fashion-MNIST, %lld images, %lld ReLU layers of %lld without BatchNorm, batches of %d, %lld steps, of "
             "which warm-up takes %lld; long: %d, not finished. Median, lowest and highest of %d seeds, from %lld",
             (long long)o->images, (long long)o->depth, (long long)o->width, BATCH, (long long)o->steps,
             (long long)o->warmup, LONG, SEEDS, (long long)s->seed);
    return plot_write(study_path(s, ".svg"),
                      &(plot_figure){.title = title, .note = note, .n_panels = 2, .panels = panels});
}

static void run(study *s, const settings *o)
{
    runs logs = {0};
    outcome found;
    bool ok = study_load(s, o->images, o->validation);
    for (int i = 0; i < SEEDS && ok; i++)
        for (int k = 0; k < RATES && ok; k++)
            for (int m = 0; m < METHODS && ok; m++)
                ok = train(s, o, (method){m, rates[k], o}, s->seed + i, &logs[m][k][i]);
    if (ok && summarise(logs, &found) && tabulate(s, &found))
        draw(s, o, logs, &found);
    for (int i = 0; i < METHODS * RATES * SEEDS; i++)
        training_free(&logs[i / (RATES * SEEDS)][i / SEEDS % RATES][i % SEEDS]);
}

int main(int argc, char **argv)
{
    study s = {.name = "warmup", .about = "Trains by Adam, by Adam with warm-up and by RAdam, over learning rates."};
    settings o = {
        .depth = 16, .width = 64, .steps = 600, .every = 0, .warmup = 100, .images = 50000, .validation = 2000};
    const cli_option more[] = {
        {"--depth", "N", CLI_INT, &o.depth, 1, STACK_MAX_DEPTH, "hidden layers"},
        {"--steps", "N", CLI_INT, &o.steps, 10, 1000000, "training steps of each network"},
        {"--warmup", "N", CLI_INT, &o.warmup, 0, 1000000, "steps in which the rate rises"},
    };
    int status = study_begin(&s, more, sizeof more / sizeof *more, argc, argv);
    if (status >= 0)
        return status;
    if (s.quick)
        o = (settings){.depth = 3, .width = 8, .steps = 5, .warmup = 3, .images = 2000, .validation = 50};
    run(&s, &o);
    return study_end(&s);
}
