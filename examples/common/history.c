#include "examples/common/history.h"
#include "examples/common/cli.h"
#include "examples/common/plot.h"
#include "examples/common/table.h"
#include "tensor/error.h"

#include <stdio.h>
#include <stdlib.h>

bool history_init(history *h, int64_t epochs, int64_t steps_per_epoch)
{
    *h = (history){.steps_per_epoch = steps_per_epoch, .max_epochs = epochs, .max_steps = epochs * steps_per_epoch};
    double **const per_step[] = {&h->step_epoch, &h->step_lr, &h->step_loss};
    double **const per_epoch[] = {&h->middle,    &h->epoch,         &h->train_loss, &h->train_accuracy,
                                  &h->test_loss, &h->test_accuracy, &h->seconds};
    h->memory = calloc((size_t)(3 * h->max_steps + 7 * h->max_epochs), sizeof(double));
    if (!h->memory)
        return tarn_fail("history_init: no memory for %lld steps", (long long)h->max_steps);
    double *next = h->memory;
    for (int i = 0; i < 3; i++, next += h->max_steps)
        *per_step[i] = next;
    for (int i = 0; i < 7; i++, next += h->max_epochs)
        *per_epoch[i] = next;
    return true;
}

void history_free(history *h)
{
    free(h->memory);
    *h = (history){0};
}

void history_step(history *h, double lr, double loss)
{
    if (h->steps >= h->max_steps)
        return;
    h->step_epoch[h->steps] = (double)(h->steps + 1) / (double)h->steps_per_epoch;
    h->step_lr[h->steps] = lr;
    h->step_loss[h->steps++] = loss;
}

void history_epoch(history *h, double train_loss, double train_accuracy, double test_loss, double test_accuracy,
                   double seconds)
{
    if (h->epochs >= h->max_epochs)
        return;
    h->epoch[h->epochs] = (double)(h->epochs + 1);
    h->middle[h->epochs] = (double)h->epochs + 0.5;
    h->train_loss[h->epochs] = train_loss;
    h->train_accuracy[h->epochs] = train_accuracy;
    h->test_loss[h->epochs] = test_loss;
    h->test_accuracy[h->epochs] = test_accuracy;
    h->seconds[h->epochs++] = seconds;
}

static bool write_tables(const history *h, const char *folder)
{
    const table_column steps[] = {{.name = "epoch", .numbers = h->step_epoch},
                                  {.name = "learning_rate", .numbers = h->step_lr},
                                  {.name = "train_loss", .numbers = h->step_loss}};
    const table_column epochs[] = {{.name = "epoch", .numbers = h->epoch},
                                   {.name = "train_loss", .numbers = h->train_loss},
                                   {.name = "train_accuracy", .numbers = h->train_accuracy},
                                   {.name = "test_loss", .numbers = h->test_loss},
                                   {.name = "test_accuracy", .numbers = h->test_accuracy},
                                   {.name = "seconds", .numbers = h->seconds}};
    char path[4096];
    return cli_join(path, sizeof path, folder, "steps.csv") && table_write_csv(path, 3, steps, h->steps) &&
           cli_join(path, sizeof path, folder, "epochs.csv") && table_write_csv(path, 6, epochs, h->epochs);
}

/* An epoch's mean stands in its middle, a test at its end. */
static plot_series training_curve(const history *h, const double *y)
{
    return (plot_series){.name = "training, mean of the epoch",
                         .n = h->epochs,
                         .x = h->middle,
                         .y = y,
                         .style = PLOT_LINE_AND_POINTS,
                         .colour = 1};
}

static plot_series test_curve(const history *h, const double *y)
{
    return (plot_series){
        .name = "test", .n = h->epochs, .x = h->epoch, .y = y, .style = PLOT_LINE_AND_POINTS, .colour = 2};
}

static bool write_figure(const history *h, const char *folder, const char *what, const char *note)
{
    const plot_series loss[] = {
        {.name = "one batch",
         .n = h->steps,
         .x = h->step_epoch,
         .y = h->step_loss,
         .colour = 6,
         .width = 1,
         .faint = true},
        training_curve(h, h->train_loss),
        test_curve(h, h->test_loss),
    };
    const plot_series accuracy[] = {training_curve(h, h->train_accuracy), test_curve(h, h->test_accuracy)};
    const plot_axis x = {.label = "epoch", .high = (double)h->max_epochs};
    const plot_panel panels[] = {
        {.title = "Loss",
         .x = x,
         .y = {.label = "cross-entropy [nats], log scale", .log = true},
         .n_series = 3,
         .series = loss},
        {.title = "Accuracy", .x = x, .y = {.label = "fraction classified right"}, .n_series = 2, .series = accuracy},
    };
    char title[256], path[4096];
    snprintf(title, sizeof title, "%s classifies %.1f %% of the test images right after %lld epoch%s", what,
             100 * h->test_accuracy[h->epochs - 1], (long long)h->epochs, h->epochs == 1 ? "" : "s");
    return cli_join(path, sizeof path, folder, "training.svg") &&
           plot_write(path, &(plot_figure){.title = title, .note = note, .n_panels = 2, .panels = panels});
}

bool history_write(const history *h, const char *folder, const char *what, const char *note)
{
    if (h->epochs < 1)
        return tarn_fail("history_write: no epoch was recorded");
    return write_tables(h, folder) && write_figure(h, folder, what, note);
}
