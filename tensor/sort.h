/* tensor/sort.h (internal): numbers in order. */
#ifndef TARN__SORT_H
#define TARN__SORT_H

#include <stdint.h>

/* The n numbers in ascending order (no NaN among them), by merging, with as much room beside them: C's qsort() may
 * take memory of its own, which no allocator of the caller's sees. Returns which of the two arrays holds them. */
double *tarn__sort_numbers(double *values, double *room, int64_t n);

#endif
