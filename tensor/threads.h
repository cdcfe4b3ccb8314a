/* tensor/threads.h: how many threads tarn's loops use.
 *
 * Work is cut into tiles, and partial sums are combined, by the shapes alone. So every result has the same
 * bits with 1, 2 or 8 threads. (Another processor type may choose another instruction set, and with it other
 * roundings.) */
#ifndef TARN_THREADS_H
#define TARN_THREADS_H

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1 to 256 threads for all later work; 0 goes back to the default: what the environment variable OMP_NUM_THREADS says,
 * or one for each processor that the process may use. Call it while no other thread is computing.
 *
 * Threads are started when the first loop wants them. Where the system has fewer to give, work goes on with those: the
 * results are the same. Several threads of a program may compute at once, each on tapes of its own; they share the
 * threads that are counted here. A thread works in the floating-point mode (rounding, flushing to zero) of the one that it
 * works for, and takes no signals from outside. While there is nothing to do, threads sleep. After fork(), the child
 * starts threads of its own. */
TARN_API bool tarn_set_threads(int count);
TARN_API int tarn_threads(void);

/* The instruction set that the kernels were chosen for: "avx512", "avx2" or "baseline". It is the best that
 * the processor has, or what the environment variable TARN_ISA names when it is first asked for. Where TARN_ISA
 * names none that the processor has, this is the best, and whatever makes or changes something is an error. */
TARN_API const char *tarn_isa(void);

#ifdef __cplusplus
}
#endif
#endif
