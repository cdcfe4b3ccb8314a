/* study.h: what the programs about the lecture share: options, data, and where they write.
 *
 *     int main(int argc, char **argv)
 *     {
 *         study s = {.name = "landscape", .about = "Draws ..."};
 *         int status = study_begin(&s, NULL, 0, argc, argv);
 *         if (status >= 0)
 *             return status;
 *         run(&s);
 *         return study_end(&s);
 *     }
 */
#ifndef EXAMPLES_STUDY_H
#define EXAMPLES_STUDY_H

#include "examples/common/cli.h"
#include "tarn.h"

enum { STUDY_SIDE = 28, STUDY_CLASSES = 10, STUDY_PATH = 4096 };

/* Mean and standard deviation of Fashion-MNIST's pixels, 0 to 1. */
#define STUDY_PIXEL_MEAN 0.2860
#define STUDY_PIXEL_STD  0.3530

typedef struct study {
    const char *name, *about; /* of the program */
    const char *data, *out;   /* folders */
    int64_t seed, threads;
    bool quick, quiet; /* a small run that takes seconds; no progress on stderr */
    double start;      /* progress_now() */

    tarn_dataset *train, *valid; /* after study_load() */
    tarn_dataset *source, *test; /* what they are slices of */
} study;

/* Reads the options (--data --out --seed --threads --quick --quiet, and n more), and makes the folder for what is
 * written. Returns -1 to go on, or the status to exit with. */
int study_begin(study *s, const cli_option *more, int n, int argc, char **argv);

/* Frees the data, says on stderr what went wrong, or how long it took, and returns the status to exit with. */
int study_end(study *s);

/* Fashion-MNIST: the first n_train training images to train on, and the last n_valid of them, which are not trained
 * on, to validate with; all test images. */
bool study_load(study *s, int64_t n_train, int64_t n_valid);

/* The first n examples of a dataset as the caller's tensors: images f32 [n,28,28,1], normalised as the training sees
 * them, and labels i32 [n]. */
bool study_examples(tarn_dataset *data, int64_t n, tarn_tensor **images, tarn_tensor **labels);

/* "OUT/NAME<suffix>" in a buffer that the next call but three uses again; NULL with tarn's error set when it does not
 * fit. */
const char *study_path(const study *s, const char *suffix);

#endif
