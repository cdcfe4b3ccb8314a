/* overhead.c: what tarn costs beyond the arithmetic, on one thread: nanoseconds for each of 1000 ops on a scalar, recorded
 * and run, alone and with their gradients; and the time of a whole process that builds the mlp and trains one step. */
#include "bench/common/nets.h"
#include "examples/common/cli.h"
#include "examples/common/progress.h"

#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

enum { OPS = 1000, WARM_UP = 3, SAMPLES = 400, QUICK_SAMPLES = 10, PROCESSES = 40, QUICK_PROCESSES = 3 };

/* Multiplications and additions in turn: x -> a x + b, again and again. */
static tarn_tensor *chain(tarn_tape *t, tarn_tensor *x, tarn_tensor *a, tarn_tensor *b)
{
    for (int i = 0; i < OPS; i += 2)
        x = tarn_add(t, tarn_mul(t, x, a), b);
    return x;
}

typedef enum part { RECORDED, RUN, WITH_GRADIENT } part;

/* Median nanoseconds an op. */
static double chain_ns(part what, bool quick)
{
    static double seconds[SAMPLES];
    const int samples = quick ? QUICK_SAMPLES : SAMPLES;
    tarn_params *params = tarn_params_new(TARN_F32);
    tarn_tensor *x = tarn_params_add(params, "x", 0, NULL);
    const float factor = 0.999f, term = 1e-3f;
    tarn_tensor *a = tarn_tensor_from(TARN_F32, 0, NULL, &factor), *b = tarn_tensor_from(TARN_F32, 0, NULL, &term);
    tarn_tape *t = tarn_tape_new();
    for (int i = -WARM_UP; i < samples && !tarn_error(); i++) {
        const double start = progress_now();
        tarn_tensor *y = chain(t, x, a, b);
        if (what == RUN)
            tarn_run(y);
        if (what == WITH_GRADIENT)
            tarn_backward(t, y);
        if (i >= 0)
            seconds[i] = progress_now() - start;
        tarn_tape_reset(t);
    }
    tarn_tape_free(t);
    tarn_tensor_free(a);
    tarn_tensor_free(b);
    tarn_params_free(params);
    return tarn_error() ? NAN : 1e9 * net_median(seconds, samples) / OPS;
}

/* What the timed process does. */
static int one_step(void)
{
    tarn_rng rng = tarn_rng_seed(0);
    net m = {.params = tarn_params_new(TARN_F32), .rng = &rng};
    const net_recipe *r = net_find("mlp");
    r->init(&m);
    tarn_tensor *x = net_inputs_new(r, 64, &rng), *labels = net_labels_new(r, 64, &rng);
    tarn_optim *adam = tarn_adam_new(m.params, NULL);
    tarn_tape *t = tarn_tape_new();
    tarn_backward(t, tarn_cross_entropy(t, r->forward(t, &m, x), labels));
    tarn_optim_step(adam);
    tarn_tape_free(t);
    tarn_optim_free(adam);
    tarn_params_free(m.params);
    tarn_tensor_free(x);
    tarn_tensor_free(labels);
    return tarn_error() ? 1 : 0;
}

/* Median milliseconds from starting such a process to its end. */
static double process_ms(char *program, bool quick)
{
    static double seconds[PROCESSES];
    const int samples = quick ? QUICK_PROCESSES : PROCESSES;
    char option[] = "--one-step", *arguments[] = {program, option, NULL};
    for (int i = 0; i < samples; i++) {
        pid_t child;
        int status = 1;
        const double start = progress_now();
        if (posix_spawn(&child, program, NULL, NULL, arguments, environ) != 0 || waitpid(child, &status, 0) != child ||
            status != 0) {
            tarn_fail("cannot run %s --one-step", program);
            return NAN;
        }
        seconds[i] = progress_now() - start;
    }
    return 1e3 * net_median(seconds, samples);
}

int main(int argc, char **argv)
{
    int64_t threads = 1;
    bool quick = false, step = false;
    const cli_option options[] = {
        {"--threads", "N", CLI_INT, &threads, 0, 256, "accepted and ignored: this is measured on one thread"},
        {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "a few samples, for a test"},
        {"--one-step", NULL, CLI_FLAG, &step, 0, 0, "do what the timed process does, and print nothing"},
    };
    const int status = cli_parse("overhead", "Times what tarn costs beyond the arithmetic.", options,
                                 sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    tarn_set_threads(1);
    if (step)
        return one_step();
    const double recorded = chain_ns(RECORDED, quick), run = chain_ns(RUN, quick),
                 gradient = chain_ns(WITH_GRADIENT, quick), process = process_ms(argv[0], quick);
    if (!tarn_error())
        printf("overhead, 1 thread\n"
               "  an op on a scalar, recorded             %8.0f ns\n"
               "  recorded and run                        %8.0f ns\n"
               "  recorded and run, and its gradient      %8.0f ns\n"
               "  process: start, mlp, one step, end      %8.1f ms\n",
               recorded, run, gradient, process);
    return cli_end("overhead");
}
