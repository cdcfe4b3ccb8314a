/* inference.c: the benchmark networks in evaluation mode with gradients off: the time from one example to its result, and
 * examples a second in batches of 64. Prints a table; medians. */
#include "bench/common/nets.h"
#include "examples/common/cli.h"
#include "examples/common/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WARM_UP = 3, MIN_SAMPLES = 5, MAX_SAMPLES = 2000, BATCH = 64 };

/* Median seconds of a forward pass of `batch` examples. */
static double forward_seconds(const net_recipe *r, int64_t batch, bool quick)
{
    static double seconds[MAX_SAMPLES];
    const double enough = quick ? 0.01 : 1;
    tarn_rng rng = tarn_rng_seed(0);
    net m = {.params = tarn_params_new(TARN_F32), .rng = &rng};
    r->init(&m);
    tarn_tensor *x = net_inputs_new(r, batch, &rng);
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_training(t, false);
    tarn_tape_set_grad(t, false);
    int count = -WARM_UP;
    for (double spent = 0; count < MAX_SAMPLES && !tarn_error() && (count < MIN_SAMPLES || spent < enough); count++) {
        const double start = progress_now();
        tarn_run(r->forward(t, &m, x));
        tarn_tape_reset(t);
        if (count >= 0)
            spent += seconds[count] = progress_now() - start;
    }
    tarn_tape_free(t);
    tarn_params_free(m.params);
    tarn_tensor_free(x);
    return tarn_error() ? NAN : net_median(seconds, count);
}

int main(int argc, char **argv)
{
    int64_t threads = 0;
    bool quick = false;
    const cli_option options[] = {
        {"--threads", "N", CLI_INT, &threads, 0, 256, "threads; 0: the default number"},
        {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "a few samples, for a test"},
    };
    const int status = cli_parse("inference", "Times the benchmark networks in evaluation mode.", options,
                                 sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    tarn_set_threads((int)threads);
    printf("inference, %d threads     one example, us    in batches of %d, examples/s\n", tarn_threads(), BATCH);
    progress p = progress_begin("inference", NET_COUNT, "networks", 1, false);
    for (int i = 0; i < NET_COUNT && !tarn_error(); i++) {
        progress_show(&p, i, net_recipes[i].name);
        const double one = forward_seconds(&net_recipes[i], 1, quick);
        const double many = forward_seconds(&net_recipes[i], BATCH, quick);
        if (p.live) /* the row takes the bar's place */
            fputs("\r\033[K", stderr);
        if (!tarn_error())
            printf("  %-10s %27.1f %31.0f\n", net_recipes[i].name, 1e6 * one, BATCH / many);
        fflush(stdout);
    }
    progress_end(&p, NULL);
    return cli_end("inference");
}
