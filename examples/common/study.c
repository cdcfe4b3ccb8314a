#include "examples/common/study.h"
#include "examples/common/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 16, PATHS = 4 };

int study_begin(study *s, const cli_option *more, int n, int argc, char **argv)
{
    s->data = "/usr/share/datasets/fashion-mnist";
    s->out = "out";
    s->seed = s->seed ? s->seed : 1;
    s->start = progress_now();
    const cli_option common[] = {
        {"--data", "DIR", CLI_TEXT, &s->data, 0, 0, "a folder with Fashion-MNIST's four files"},
        {"--out", "DIR", CLI_TEXT, &s->out, 0, 0, "where the picture and its numbers go"},
        {"--seed", "N", CLI_INT, &s->seed, 1, 1e15, "of everything that is drawn at random"},
        {"--threads", "N", CLI_INT, &s->threads, 0, 256, "0: OMP_NUM_THREADS, or one a processor"},
        {"--quick", NULL, CLI_FLAG, &s->quick, 0, 0, "a small run that takes seconds, to see that it works"},
        {"--quiet", NULL, CLI_FLAG, &s->quiet, 0, 0, "print results only"},
    };
    enum { COMMON = sizeof common / sizeof *common };
    cli_option options[MAX_OPTIONS];
    if (n > MAX_OPTIONS - COMMON)
        n = MAX_OPTIONS - COMMON;
    memcpy(options, common, sizeof common);
    if (n > 0)
        memcpy(options + COMMON, more, (size_t)n * sizeof *more);
    int status = cli_parse(s->name, s->about, options, COMMON + n, argc, argv);
    if (status >= 0)
        return status;
    if (s->threads > 0)
        tarn_set_threads((int)s->threads);
    return cli_make_folder(s->out) ? -1 : study_end(s);
}

int study_end(study *s)
{
    tarn_dataset_free(s->train);
    tarn_dataset_free(s->valid);
    tarn_dataset_free(s->source);
    tarn_dataset_free(s->test);
    const int status = cli_end(s->name);
    if (status == 0 && !s->quiet)
        fprintf(stderr, "%s: %.0f s, the picture is in %s/\n", s->name, progress_now() - s->start, s->out);
    return status;
}

bool study_load(study *s, int64_t n_train, int64_t n_valid)
{
    s->source = tarn_dataset_load_mnist(s->data, "train");
    s->test = tarn_dataset_load_mnist(s->data, "t10k");
    if (tarn_error())
        fputs("Fashion-MNIST comes with Debian's package dataset-fashion-mnist\n", stderr);
    const int64_t count = tarn_dataset_count(s->source);
    if (!tarn_error() && n_train + n_valid > count)
        tarn_fail("%lld examples to train and %lld to validate with, of %lld", (long long)n_train, (long long)n_valid,
                  (long long)count);
    s->train = tarn_dataset_slice_new(s->source, 0, n_train);
    s->valid = tarn_dataset_slice_new(s->source, count - n_valid, n_valid);
    return !tarn_error();
}

bool study_examples(tarn_dataset *data, int64_t n, tarn_tensor **images, tarn_tensor **labels)
{
    const tarn_loader_opts opts = {.batch_size = n, .mean = STUDY_PIXEL_MEAN, .std = STUDY_PIXEL_STD, .ahead = -1};
    tarn_tape *t = tarn_tape_new();
    tarn_loader *loader = tarn_loader_new(data, &opts);
    tarn_batch batch = {0};
    tarn_loader_next(loader, t, &batch);
    *images = tarn_tensor_clone(batch.x);
    *labels = tarn_tensor_clone(batch.labels);
    tarn_loader_free(loader);
    tarn_tape_free(t);
    return !tarn_error();
}

const char *study_path(const study *s, const char *suffix)
{
    static char paths[PATHS][STUDY_PATH];
    static int next;
    char name[256];
    char *path = paths[next++ % PATHS];
    snprintf(name, sizeof name, "%s%s", s->name, suffix);
    return cli_join(path, STUDY_PATH, s->out, name) ? path : NULL;
}
