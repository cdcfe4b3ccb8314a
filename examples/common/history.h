/* history.h: what happened while a classifier was trained: every step and every epoch, drawn and written as
 * tables. */
#ifndef EXAMPLES_HISTORY_H
#define EXAMPLES_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct history {
    int64_t steps, epochs, steps_per_epoch; /* of steps and epochs: how many are recorded */
    int64_t max_steps, max_epochs;
    double *memory; /* holds all that follows */
    double *step_epoch, *step_lr, *step_loss;
    double *middle, *epoch, *train_loss, *train_accuracy, *test_loss, *test_accuracy, *seconds;
} history;

/* Room for that many steps. False, with tarn's error set, when there is no memory. */
bool history_init(history *h, int64_t epochs, int64_t steps_per_epoch);
void history_free(history *h);

/* One more step, one more epoch. Beyond the room that was asked for, nothing is recorded. */
void history_step(history *h, double lr, double loss);
void history_epoch(history *h, double train_loss, double train_accuracy, double test_loss, double test_accuracy,
                   double seconds);

/* Writes training.svg, steps.csv and epochs.csv into the folder. `what` names the network or the data: "A
 * small CNN"; `note` says how it was trained. False, with tarn's error set, when a file cannot be written or
 * there is no epoch. */
bool history_write(const history *h, const char *folder, const char *what, const char *note);

#endif
