/* tests/faults/work.h: what the library is for, in little: data and pictures are read, a network with BatchNorm is trained
 * from batches made ahead, evaluated, saved and loaded, and a Hessian and its spectrum computed. */
#ifndef TARN_TESTS_FAULTS_WORK_H
#define TARN_TESTS_FAULTS_WORK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct work {
    /* Puts the data set that the work reads into `folder`. It wants the images as .gz, and the pictures of tests/fixtures. */
    bool (*make_data)(const char *folder);

    /* With so many threads; files come and go in `folder`. *digest becomes a hash of every result. False with an error of
     * tarn's. By itself, it takes no memory and no threads. */
    bool (*everything)(const char *folder, int threads, uint64_t *digest);

    /* The same of what asks OpenBLAS for something. */
    bool (*spectra)(const char *folder, int threads, uint64_t *digest);

    const char *(*error)(void);
    void (*error_clear)(void);
} work;

/* Linked to the program that asks for it, or in a library that it loads. */
extern const work the_work __attribute__((weak, visibility("default")));

#endif
