/* ceiling.h: what the machine can do at best, measured: the rates that the tables are fractions of. */
#ifndef BENCH_CEILING_H
#define BENCH_CEILING_H

#include <stdbool.h>
#include <stddef.h>

/* Instruction sets whose multiply-add loop this processor can run, in rising order; how many there are. */
size_t ceiling_isas(const char *names[4]);

/* f32 GFLOP/s (a multiplication and an addition are two) of a loop that touches registers only, on `threads` threads; the
 * best of several runs. `isa`: "baseline", "avx2" or "avx512"; 0 for one that the processor lacks. */
double ceiling_gflops(const char *isa, int threads, bool quick);

typedef enum ceiling_stream {
    CEILING_READ,  /* a sum over x */
    CEILING_WRITE, /* y = a */
    CEILING_COPY,  /* y = a * x */
    CEILING_TRIAD, /* z = x + a * y */
    CEILING_STREAMS
} ceiling_stream;

const char *ceiling_stream_name(ceiling_stream stream);

/* GB/s read and written (10^9 bytes; what a store reads of the line that it replaces is not counted) over tensors of 128 MB
 * each, 16 MB if quick, with plain loads and stores; the best of several runs. 0 when there is no memory. */
double ceiling_bandwidth(ceiling_stream stream, int threads, bool quick);

#endif
