/* tests/faults/refuse.h: a library, loaded with LD_PRELOAD, that refuses what the program's libraries ask the system for. */
#ifndef TARN_TESTS_FAULTS_REFUSE_H
#define TARN_TESTS_FAULTS_REFUSE_H

#include <stdatomic.h>

enum {
    REFUSE_HEAP =
        1, /* malloc, calloc, realloc, memalign, aligned_alloc, posix_memalign, the C library's own calls too */
    REFUSE_MAPS = 2,   /* mmap; not those behind malloc, nor a thread's stack */
    REFUSE_THREADS = 4 /* pthread_create */
};

typedef struct refusals {
    int kinds;     /* that are counted and refused */
    long from, to; /* the calls that are refused, counted from 1 */
    atomic_long calls, refused;
    atomic_long threads_refused; /* by whomever */
} refusals;

/* From now on; NULL: nothing is refused. Not there without LD_PRELOAD. */
extern void refuse(refusals *plan) __attribute__((weak, visibility("default")));

#endif
