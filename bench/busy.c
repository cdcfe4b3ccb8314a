/* busy.c: what a training step costs while another process keeps one processor busy, and what two threads are worth on the
 * smallest networks. In each round every net takes some steps with one thread and with two, alone and beside the busy
 * process; each figure is the median over the rounds of its ratio within the round. */
#include "bench/common/nets.h"
#include "examples/common/cli.h"
#include "examples/common/progress.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 64, WARM_UP = 3, MAX_ROUNDS = 50, MAX_STEPS = 1000 };

/* Median milliseconds of a step. */
static double step_ms(const net_recipe *r, int64_t batch, int threads, int64_t steps)
{
    static double ms[MAX_STEPS];
    tarn_rng rng = tarn_rng_seed(0);
    net m = {.params = tarn_params_new(TARN_F32), .rng = &rng};
    r->init(&m);
    tarn_set_threads(threads);
    tarn_tensor *x = net_inputs_new(r, batch, &rng), *labels = net_labels_new(r, batch, &rng);
    tarn_optim *adam = tarn_adam_new(m.params, NULL);
    tarn_tape *t = tarn_tape_new();
    for (int64_t i = -WARM_UP; i < steps && !tarn_error(); i++) {
        const double start = progress_now();
        tarn_backward(t, tarn_cross_entropy(t, r->forward(t, &m, x), labels));
        tarn_optim_step(adam);
        tarn_tape_reset(t);
        if (i >= 0)
            ms[i] = 1e3 * (progress_now() - start);
    }
    tarn_tape_free(t);
    tarn_optim_free(adam);
    tarn_params_free(m.params);
    tarn_tensor_free(x);
    tarn_tensor_free(labels);
    return tarn_error() ? NAN : net_median(ms, steps);
}

/* A process that does nothing, as fast as it can, until it is killed, or its parent is gone. */
static pid_t busy_process(void)
{
    const pid_t parent = getpid(), child = fork();
    if (child != 0)
        return child;
    for (volatile unsigned i = 0; i != 0 || getppid() == parent; i++)
        continue;
    _exit(0);
}

typedef struct figures {
    double alone[2], beside[2]; /* with one thread, and two */
} figures;

static bool measure(const net_recipe *r, int64_t batch, int64_t steps, figures *f)
{
    for (int threads = 1; threads <= 2; threads++)
        f->alone[threads - 1] = step_ms(r, batch, threads, steps);
    const pid_t busy = busy_process();
    if (busy < 0)
        return tarn_fail("busy: no second process");
    for (int threads = 1; threads <= 2; threads++)
        f->beside[threads - 1] = step_ms(r, batch, threads, steps);
    kill(busy, SIGKILL);
    waitpid(busy, NULL, 0);
    return !tarn_error();
}

static double median_ratio(const figures *f, int64_t rounds, double (*ratio)(const figures *f))
{
    double values[MAX_ROUNDS];
    for (int64_t i = 0; i < rounds; i++)
        values[i] = ratio(&f[i]);
    return net_median(values, rounds);
}

static double beside_one(const figures *f)
{
    return f->beside[0] / f->alone[0];
}

static double beside_two(const figures *f)
{
    return f->beside[1] / f->alone[1];
}

static double two_alone(const figures *f)
{
    return f->alone[1] / f->alone[0];
}

static double two_beside(const figures *f)
{
    return f->beside[1] / f->beside[0];
}

static void print_row(const char *name, int64_t batch, const figures *f, int64_t rounds)
{
    double ms[MAX_ROUNDS];
    for (int64_t i = 0; i < rounds; i++)
        ms[i] = f[i].alone[1];
    printf("  %-9s %4lld %10.3f %15.2f %11.2f %18.2f %11.2f\n", name, (long long)batch, net_median(ms, rounds),
           median_ratio(f, rounds, beside_one), median_ratio(f, rounds, beside_two), median_ratio(f, rounds, two_alone),
           median_ratio(f, rounds, two_beside));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int64_t rounds = 7, steps = 30;
    bool quick = false;
    const cli_option options[] = {
        {"--rounds", "N", CLI_INT, &rounds, 1, MAX_ROUNDS, "rounds"},
        {"--steps", "N", CLI_INT, &steps, 1, MAX_STEPS, "timed steps of each net in a round"},
        {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "one round of two steps, for a test"},
    };
    const int status = cli_parse("busy", "Times training steps beside a busy process, with one thread and two.",
                                 options, sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    if (quick)
        rounds = 1, steps = 2;
    static const struct {
        const char *net;
        int64_t batch;
    } rows[] = {{"mlp", 2}, {"mlp", 8}, {"mlp", BATCH}, {"cnn28", BATCH}, {"lstm", 32}};
    printf("step                 ms    beside / alone            two threads / one\n"
           "  net      batch  2 threads    1 thread   2 threads       alone      beside\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !tarn_error(); i++) {
        figures f[MAX_ROUNDS];
        const net_recipe *r = net_find(rows[i].net);
        bool ok = true;
        for (int64_t round = 0; round < rounds && ok; round++)
            ok = measure(r, rows[i].batch, steps, &f[round]);
        if (ok)
            print_row(r->name, rows[i].batch, f, rounds);
    }
    return cli_end("busy");
}
