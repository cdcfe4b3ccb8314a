#include "examples/common/training.h"
#include "examples/common/progress.h"
#include "examples/common/study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PER_STEP = 3, PER_CHECK = 4, EVALUATION_BATCH = 500 };

static bool log_init(training_log *log, const training_opts *opts)
{
    const int64_t every = opts->check_every > 0 ? opts->check_every : opts->steps, checks = opts->steps / every + 2;
    *log = (training_log){.memory = calloc((size_t)(PER_STEP * opts->steps + PER_CHECK * checks), sizeof(double))};
    if (!log->memory)
        return tarn_fail("training_run: no memory for %lld steps", (long long)opts->steps);
    double *next = log->memory;
    double **const per_step[PER_STEP] = {&log->loss, &log->lr, &log->grad_norm};
    double **const per_check[PER_CHECK] = {&log->check_step, &log->valid_loss, &log->valid_accuracy,
                                           &log->train_accuracy};
    for (int i = 0; i < PER_STEP; i++, next += opts->steps)
        *per_step[i] = next;
    for (int i = 0; i < PER_CHECK; i++, next += checks)
        *per_check[i] = next;
    return true;
}

void training_free(training_log *log)
{
    free(log->memory);
    *log = (training_log){0};
}

tarn_tensor *training_squared_error(tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels, void *context)
{
    (void)context;
    tarn_tensor *target = tarn_one_hot(t, labels, tarn_dim(outputs, -1), tarn_tensor_dtype(outputs));
    tarn_tensor *e = tarn_square(t, tarn_sub(t, tarn_softmax(t, outputs), target));
    return tarn_mean(t, tarn_sum(t, e, TARN_AXES(-1), false), TARN_ALL_AXES, false);
}

static tarn_tensor *loss_of(const training_opts *o, tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels)
{
    return o->loss_of ? o->loss_of(t, outputs, labels, o->context) : tarn_cross_entropy(t, outputs, labels);
}

static tarn_tensor *accuracy_of(const training_opts *o, tarn_tape *t, tarn_tensor *outputs, tarn_tensor *labels)
{
    return tarn_accuracy(t, o->scores_of ? o->scores_of(t, outputs, o->context) : outputs, labels);
}

static training_score evaluate(const stack *net, tarn_dataset *data, const training_opts *o)
{
    const tarn_loader_opts opts = {
        .batch_size = EVALUATION_BATCH, .mean = STUDY_PIXEL_MEAN, .std = STUDY_PIXEL_STD, .ahead = -1};
    tarn_loader *loader = tarn_loader_new(data, &opts);
    tarn_tape *t = tarn_tape_new();
    tarn_batch batch;
    training_score sum = {0, 0};
    tarn_tape_set_training(t, false);
    tarn_tape_set_grad(t, false);
    while (tarn_loader_next(loader, t, &batch)) {
        tarn_tensor *outputs = stack_apply(t, net, batch.x);
        const double n = (double)tarn_dim(outputs, 0);
        sum.loss += n * tarn_item(loss_of(o, t, outputs, batch.labels));
        sum.accuracy += n * tarn_item(accuracy_of(o, t, outputs, batch.labels));
        tarn_tape_reset(t);
    }
    const double n = (double)tarn_dataset_count(data);
    tarn_tape_free(t);
    tarn_loader_free(loader);
    return (training_score){sum.loss / n, sum.accuracy / n};
}

training_score training_evaluate(const stack *net, tarn_dataset *data)
{
    return evaluate(net, data, &(training_opts){0});
}

typedef struct running {
    training_log *log;
    const stack *net;
    const training_opts *opts;
    tarn_tape *tape;
    tarn_optim *optim;
    tarn_dataset *valid;
    progress bar;
    double hits, seen; /* training accuracy since the last look */
} running;

static void look(running *r)
{
    training_log *log = r->log;
    const training_score score = evaluate(r->net, r->valid, r->opts);
    log->check_step[log->checks] = (double)log->steps;
    log->valid_loss[log->checks] = score.loss;
    log->train_accuracy[log->checks] = r->seen > 0 ? r->hits / r->seen : NAN;
    log->valid_accuracy[log->checks++] = score.accuracy;
    r->hits = r->seen = 0;
}

/* One step; the tape holds the batch. */
static void step(running *r, const tarn_batch *batch)
{
    training_log *log = r->log;
    const training_opts *o = r->opts;
    const int64_t at = log->steps;
    log->lr[at] = o->lr_at ? o->lr_at(at, log, o->context) : o->lr;
    tarn_optim_set_lr(r->optim, log->lr[at]);
    if (o->before_step)
        o->before_step(at, r->net, batch, o->context);
    tarn_tensor *outputs = stack_apply(r->tape, r->net, batch->x);
    tarn_tensor *loss = loss_of(o, r->tape, outputs, batch->labels);
    tarn_backward(r->tape, loss);
    log->loss[at] = tarn_item(loss);
    log->grad_norm[at] = tarn_params_grad_norm(r->net->params);
    const double n = (double)tarn_dim(outputs, 0);
    r->hits += n * tarn_item(accuracy_of(o, r->tape, outputs, batch->labels));
    r->seen += n;
    if (tarn_error())
        return;
    log->steps++;
    log->diverged = !isfinite(log->loss[at]) || log->loss[at] > (o->hopeless > 0 ? o->hopeless : 1e4);
    if (!log->diverged)
        tarn_optim_step(r->optim);
}

static void steps(running *r, tarn_loader *loader)
{
    const training_opts *o = r->opts;
    tarn_batch batch;
    look(r);
    while (r->log->steps < o->steps && !r->log->diverged && !tarn_error()) {
        if (!tarn_loader_next(loader, r->tape, &batch))
            continue; /* an epoch's end */
        step(r, &batch);
        tarn_tape_reset(r->tape);
        if (r->log->steps == o->steps || r->log->diverged ||
            (o->check_every > 0 && r->log->steps % o->check_every == 0))
            look(r);
        char note[64];
        snprintf(note, sizeof note, "loss %.3f", r->log->steps ? r->log->loss[r->log->steps - 1] : NAN);
        progress_show(&r->bar, r->log->steps, note);
    }
}

bool training_run(training_log *log, const stack *net, tarn_dataset *train, tarn_dataset *valid,
                  const training_opts *opts)
{
    if (!log_init(log, opts))
        return false;
    const tarn_loader_opts loading = {.batch_size = opts->batch_size,
                                      .shuffle = true,
                                      .drop_last = true,
                                      .seed = opts->seed,
                                      .mean = STUDY_PIXEL_MEAN,
                                      .std = STUDY_PIXEL_STD};
    tarn_loader *loader = tarn_loader_new(train, &loading);
    running r = {.log = log, .net = net, .opts = opts, .tape = tarn_tape_new(), .valid = valid};
    r.optim = opts->optim_new ? opts->optim_new(net->params, opts->lr, opts->context)
                              : tarn_sgd_new(net->params, &(tarn_sgd_opts){.lr = opts->lr, .momentum = opts->momentum});
    r.bar = progress_begin(opts->label ? opts->label : "", opts->steps, "images", opts->batch_size, !opts->label);
    if (!tarn_error())
        steps(&r, loader);
    log->seconds = progress_now() - r.bar.start;
    progress_end(&r.bar, tarn_error() ? NULL : "%s: loss %.3f, validation accuracy %.4f%s, %.1f s", opts->label,
                 log->steps ? log->loss[log->steps - 1] : NAN, training_last(log), log->diverged ? " (diverged)" : "",
                 log->seconds);
    tarn_optim_free(r.optim);
    tarn_tape_free(r.tape);
    tarn_loader_free(loader);
    return !tarn_error();
}

double training_steps_to(const training_log *log, double accuracy)
{
    for (int64_t i = 0; i < log->checks; i++)
        if (log->valid_accuracy[i] >= accuracy)
            return log->check_step[i];
    return NAN;
}

double training_best(const training_log *log)
{
    double best = NAN;
    for (int64_t i = 0; i < log->checks; i++)
        best = fmax(best, log->valid_accuracy[i]);
    return best;
}

double training_last(const training_log *log)
{
    return log->checks > 0 ? log->valid_accuracy[log->checks - 1] : NAN;
}
