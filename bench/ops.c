/* ops.c: the time of each kernel, as a fraction of what the machine can do.
 *
 * Compute-bound kernels are held against the multiply-add loop, a convolution by the operations of the direct formula,
 * whatever it does inside (so that it may go past 100%); the others against memory's speed in the pattern that is
 * nearest to theirs, by the bytes that they must read and write (what a store reads of the line that it replaces is not
 * counted; a tensor that fits in a cache may go past 100%). Both ceilings are measured first, in the same run.
 *
 * An op is timed from its recording on an empty tape to its value, a gradient from tarn_grad() to its value: medians, or
 * with --best the fastest samples.
 * --check prints how far f32 convolutions are from f64, at each shape. */
#include "bench/common/cases.h"
#include "examples/common/cli.h"
#include "examples/common/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_SAMPLES = 5, MAX_SAMPLES = 500 };

static int64_t threads = 0;
static bool quick = false, best = false;
static double peak, bandwidth[CEILING_STREAMS];

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- one sample ---- */

typedef struct bench {
    const op_case *c;
    tarn_tape *t;
    tarn_tensor *in[CASE_INPUTS], *cotangent;
    tarn_params *params;
    tarn_optim *optim;
} bench;

static bool bench_init(bench *b, const op_case *c)
{
    *b = (bench){.c = c, .t = tarn_tape_new()};
    if (c->step == NO_STEP)
        return case_inputs(c, TARN_F32, b->in);
    b->params = tarn_params_new(TARN_F32);
    tarn_params_add(b->params, "w", c->in[0].ndim, c->in[0].shape);
    if (c->step == ADAM_STEP)
        b->optim = tarn_adam_new(b->params, NULL);
    if (c->step == SGD_STEP)
        b->optim = tarn_sgd_new(b->params, &(tarn_sgd_opts){.momentum = 0.9});
    return !tarn_error();
}

static void bench_free(bench *b)
{
    tarn_tape_free(b->t);
    tarn_tensor_free(b->cotangent);
    for (int i = 0; i < CASE_INPUTS; i++)
        tarn_tensor_free(b->in[i]);
    tarn_optim_free(b->optim);
    tarn_params_free(b->params);
}

/* The gradient is all ones. */
static double step_sample(bench *b)
{
    tarn_params_zero_grad(b->params);
    tarn_backward(b->t, tarn_sum(b->t, tarn_params_at(b->params, 0), 0, NULL, false));
    tarn_tape_reset(b->t);
    const double start = progress_now();
    if (b->c->step == CLIP_STEP)
        tarn_clip_grad_norm(b->params, 1);
    else
        tarn_optim_step(b->optim);
    return progress_now() - start;
}

static bool make_cotangent(bench *b, tarn_tensor *y)
{
    tarn_rng rng = tarn_rng_seed(8);
    if (!b->cotangent && y)
        b->cotangent = tarn_tensor_uniform_new(tarn_tensor_dtype(y), tarn_ndim(y), tarn_shape(y), &rng, -1, 1);
    return b->cotangent != NULL;
}

/* Seconds; the tape is empty before and after. */
static double sample(bench *b)
{
    const op_case *c = b->c;
    if (c->step != NO_STEP)
        return step_sample(b);
    double start = progress_now();
    tarn_tensor *y = c->record(b->t, c, b->in);
    if (c->grad_of >= 0) {
        tarn_tensor *x = b->in[c->grad_of];
        if (!make_cotangent(b, y) || (c->forward_first && !tarn_run(y)))
            return NAN;
        start = progress_now();
        tarn_grad(b->t, 1, &y, &b->cotangent, 1, &x, &y);
    }
    tarn_run(y);
    const double seconds = progress_now() - start;
    tarn_tape_reset(b->t);
    return seconds;
}

static double typical_seconds(const op_case *c)
{
    static double seconds[MAX_SAMPLES];
    const double enough = quick ? 0.005 : 0.2;
    bench b;
    int count = 0;
    if (bench_init(&b, c)) {
        sample(&b); /* the arena grows */
        sample(&b);
        for (double spent = 0; count < MAX_SAMPLES && !tarn_error() && (count < MIN_SAMPLES || spent < enough);)
            spent += seconds[count++] = sample(&b);
    }
    bench_free(&b);
    if (count == 0)
        return NAN;
    qsort(seconds, (size_t)count, sizeof *seconds, compare_doubles);
    return seconds[best ? 0 : count / 2];
}

static void print_row(const op_case *c, double seconds)
{
    printf("%-24s %-28s %10.3f", c->name, c->shape, 1e3 * seconds);
    if (c->flops > 0)
        printf(" %9.1f %8s %6.0f%% of multiply-add\n", 1e-9 * c->flops / seconds, "",
               100e-9 * c->flops / seconds / peak);
    else
        printf(" %9s %8.1f %6.0f%% of %s\n", "", 1e-9 * c->bytes / seconds,
               100e-9 * c->bytes / seconds / bandwidth[c->stream], ceiling_stream_name(c->stream));
    fflush(stdout);
}

/* ---- f32 against f64 ---- */

static tarn_tensor *converted(tarn_tensor *x, tarn_dtype dtype)
{
    tarn_tensor *y = tarn_tensor_new(dtype, tarn_ndim(x), tarn_shape(x));
    tarn_copy(y, x);
    tarn_tensor_free(x);
    return y;
}

/* What is timed, of inputs that are the same f32 numbers in either dtype. The caller's. */
static tarn_tensor *value_new(const op_case *c, tarn_dtype dtype)
{
    bench b = {.c = c, .t = tarn_tape_new()};
    tarn_tensor *value = NULL;
    if (case_inputs(c, TARN_F32, b.in)) {
        for (int i = 0; i < c->n_in; i++)
            b.in[i] = converted(b.in[i], dtype);
        tarn_tensor *y = c->record(b.t, c, b.in);
        if (c->grad_of >= 0 && y) {
            tarn_rng rng = tarn_rng_seed(8);
            b.cotangent = converted(tarn_tensor_uniform_new(TARN_F32, tarn_ndim(y), tarn_shape(y), &rng, -1, 1), dtype);
            tarn_grad(b.t, 1, &y, &b.cotangent, 1, &b.in[c->grad_of], &y);
        }
        value = tarn_tensor_clone(y);
    }
    bench_free(&b);
    return value;
}

static void print_error(const op_case *c)
{
    tarn_tensor *f32 = value_new(c, TARN_F32), *f64 = value_new(c, TARN_F64);
    const float *a = tarn_data(f32);
    const double *b = tarn_data(f64);
    double worst = 0, largest = 0;
    for (int64_t i = 0; a && b && i < tarn_numel(f64); i++) {
        worst = fmax(worst, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs(b[i]));
    }
    if (!tarn_error())
        printf("%-24s %-28s %10.1e\n", c->name, c->shape, worst / largest);
    fflush(stdout);
    tarn_tensor_free(f32);
    tarn_tensor_free(f64);
}

/* ---- the table ---- */

static void measure_ceilings(void)
{
    peak = ceiling_gflops(tarn_isa(), (int)threads, quick);
    printf("ceilings, %lld threads: multiply-add f32 (%s) %.1f GFLOP/s", (long long)threads, tarn_isa(), peak);
    for (ceiling_stream s = 0; s < CEILING_STREAMS; s++) {
        bandwidth[s] = ceiling_bandwidth(s, (int)threads, quick);
        printf(", %s %.1f", ceiling_stream_name(s), bandwidth[s]);
    }
    printf(" GB/s\n");
}

static void print_tables(const op_case *cases, size_t count, bool check)
{
    progress p = progress_begin(check ? "check" : "ops", (int64_t)count, "kernels", 1, false);
    const char *last = "";
    for (size_t i = 0; i < count && !tarn_error(); i++) {
        progress_show(&p, (int64_t)i, cases[i].name);
        const double seconds = check ? 0 : typical_seconds(&cases[i]);
        if (p.live) /* the row takes the bar's place */
            fprintf(stderr, "\r\033[K");
        if (*last && strcmp(last, cases[i].name) != 0 && cases[i].flops + cases[i - 1].flops > 0)
            putchar('\n');
        last = cases[i].name;
        if (check)
            print_error(&cases[i]);
        else if (!tarn_error())
            print_row(&cases[i], seconds);
    }
    progress_end(&p, NULL);
}

int main(int argc, char **argv)
{
    const char *filter = NULL;
    bool check = false;
    const cli_option options[] = {
        {"--filter", "NAME", CLI_TEXT, &filter, 0, 0, "only the kernels whose name or shape contains this"},
        {"--threads", "N", CLI_INT, &threads, 0, 256, "threads; 0: the default number"},
        {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "a few samples of small tensors, for a test"},
        {"--best", NULL, CLI_FLAG, &best, 0, 0, "the fastest sample, not the median: for a machine that is not idle"},
        {"--check", NULL, CLI_FLAG, &check, 0, 0, "print the error of f32 convolutions against f64 instead"},
    };
    const int status = cli_parse("ops", "Times each kernel as a fraction of the machine's ceilings.", options,
                                 sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    static op_case cases[CASE_MAX];
    size_t count = 0, all = cases_list(cases, quick ? 1 << 16 : 1 << 24);
    for (size_t i = 0; i < all; i++)
        if ((!filter || strstr(cases[i].name, filter) || strstr(cases[i].shape, filter)) &&
            (!check || case_is_conv(&cases[i])))
            cases[count++] = cases[i];
    if (count == 0) {
        fprintf(stderr, "ops: --filter: no kernel's name or shape contains '%s'\n", filter);
        return 2;
    }
    threads = threads ? threads : tarn_threads();
    tarn_set_threads((int)threads);
    if (!check)
        measure_ceilings();
    printf(check ? "\n%-24s %-28s %10s\n" : "\n%-24s %-28s %10s %9s %8s %6s\n", "kernel", "shape",
           check ? "error/max" : "ms", "GFLOP/s", "GB/s", "of the ceiling");
    print_tables(cases, count, check);
    return cli_end("ops");
}
