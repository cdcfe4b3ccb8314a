/* train_step.c: the time of one training step (forward, loss, backward, optimiser) of a network of bench/common/nets.h, on
 * random data. Its last line: net=.. batch=.. threads=.. layout=nhwc compile=0 ms=<median ms a step> img_per_s=..
 * rss_mb=<peak> version=.. */
#include "bench/common/ceiling.h"
#include "bench/common/nets.h"
#include "examples/common/cli.h"
#include "examples/common/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WARM_UP = 3, MAX_STEPS = 100000 };

/* Milliseconds of each of `steps` steps into ms, after the warm-up. */
static void time_steps(const net_recipe *r, int64_t batch, int64_t steps, double *ms)
{
    tarn_rng rng = tarn_rng_seed(0);
    net m = {.params = tarn_params_new(TARN_F32), .rng = &rng};
    r->init(&m);
    tarn_tensor *x = net_inputs_new(r, batch, &rng), *labels = net_labels_new(r, batch, &rng);
    tarn_optim *optim = r->adam ? tarn_adam_new(m.params, &(tarn_adam_opts){.lr = 1e-3})
                                : tarn_sgd_new(m.params, &(tarn_sgd_opts){.lr = 0.1, .momentum = 0.9});
    tarn_tape *t = tarn_tape_new();
    for (int64_t i = -WARM_UP; i < steps && !tarn_error(); i++) {
        const double start = progress_now();
        tarn_params_zero_grad(m.params);
        tarn_backward(t, tarn_cross_entropy(t, r->forward(t, &m, x), labels));
        tarn_optim_step(optim);
        tarn_tape_reset(t);
        if (i >= 0)
            ms[i] = 1e3 * (progress_now() - start);
    }
    tarn_tape_free(t);
    tarn_optim_free(optim);
    tarn_params_free(m.params);
    tarn_tensor_free(x);
    tarn_tensor_free(labels);
}

/* By the operations of the direct formulae, whatever is computed inside. */
static void print_rate(const net_recipe *r, int64_t batch, int threads, double ms)
{
    const double peak = ceiling_gflops(tarn_isa(), threads, false), gflops = 1e-6 * net_step_flops(r, batch) / ms;
    printf("%s: %.1f GFLOP/s of %.1f (multiply-add on %d threads): %.0f%%\n", r->name, gflops, peak, threads,
           100 * gflops / peak);
}

static int time_net(const net_recipe *r, int64_t batch, int64_t threads, int64_t steps, bool rate)
{
    double *ms = calloc((size_t)steps, sizeof *ms);
    if (!ms || !tarn_set_threads((int)threads))
        tarn_fail("cannot start: no memory, or no threads");
    else
        time_steps(r, batch, steps, ms);
    if (tarn_error()) {
        free(ms);
        return cli_end("train_step");
    }
    const double median = net_median(ms, steps);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (rate)
        print_rate(r, batch, (int)threads, median);
    printf("net=%s batch=%lld threads=%lld layout=nhwc compile=0 ms=%.3f img_per_s=%.0f rss_mb=%.0f "
           "version=tarn-%s\n",
           r->name, (long long)batch, (long long)threads, median, 1e3 * (double)batch / median,
           (double)usage.ru_maxrss / 1024, tarn_isa());
    free(ms);
    return cli_end("train_step");
}

/* Each in a process of its own, since the peak of memory is a process's. */
static int each_net(int64_t batch, int64_t threads, int64_t steps, bool rate)
{
    int worst = 0;
    for (int i = 0; i < NET_COUNT; i++) {
        fflush(NULL);
        const pid_t child = fork();
        int status = 1;
        if (child == 0) {
            status = time_net(&net_recipes[i], batch, threads, steps, rate);
            _exit(status);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            worst = 1;
    }
    return worst;
}

int main(int argc, char **argv)
{
    const char *name = "cnn28", *layout = "nhwc";
    int64_t batch = 64, threads = 2, steps = 15;
    bool rate = false, quick = false;
    const cli_option options[] = {
        {"--net", "NAME", CLI_TEXT, &name, 0, 0, "mlp, cnn28, vgg8, resnet20, lstm, or all"},
        {"--batch", "N", CLI_INT, &batch, 2, 65536, "images in a step"},
        {"--threads", "N", CLI_INT, &threads, 1, 256, "threads"},
        {"--steps", "N", CLI_INT, &steps, 1, MAX_STEPS, "timed steps"},
        {"--rate", NULL, CLI_FLAG, &rate, 0, 0, "a line before the last: the rate, as a fraction of multiply-add"},
        {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "two steps, for a test"},
        {"--layout", "NAME", CLI_TEXT, &layout, 0, 0, "accepted and ignored: tarn's layout is nhwc"},
    };
    const int status = cli_parse("train_step", "Times one training step of a small network on random data.", options,
                                 sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    steps = quick ? 2 : steps;
    if (!strcmp(name, "all"))
        return each_net(batch, threads, steps, rate);
    const net_recipe *r = net_find(name);
    if (!r) {
        fprintf(stderr, "train_step: --net: '%s' is not mlp, cnn28, vgg8, resnet20, lstm or all\n", name);
        return 2;
    }
    return time_net(r, batch, threads, steps, rate);
}
