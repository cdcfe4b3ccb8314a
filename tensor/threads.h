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

/* 1 to 256 threads for all later work; 0 goes back to the default, OMP_NUM_THREADS or one a processor. Call
 * it while no other thread is computing. */
TARN_API bool tarn_set_threads(int count);
TARN_API int tarn_threads(void);

/* The instruction set that the kernels were chosen for: "avx512", "avx2" or "baseline". It is the best that
 * the processor has, or what the environment variable TARN_ISA names when it is first asked for. */
TARN_API const char *tarn_isa(void);

#ifdef __cplusplus
}
#endif
#endif
