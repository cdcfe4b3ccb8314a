/* tensor/reduce.h (internal): sums and extremes over any axes. */
#ifndef TARN__REDUCE_H
#define TARN__REDUCE_H

#include "tensor/cuts.h"
#include "tensor/kernels/kernels.h"

/* Which axes a reduction removes. */
typedef struct tarn__axes {
    bool reduced[TARN_MAX_DIMS];
    int64_t count; /* elements behind each result */
} tarn__axes;

/* Bytes of scratch memory that tarn__reduce_run needs for x row-major of this shape. */
size_t tarn__reduce_scratch(int ndim, const int64_t *shape, const tarn__axes *axes);

/* y = scale * the reduction of x (row-major, of the given shape) over the axes; y row-major, its elements in
 * the order of the axes that are left. Partial results are cut and combined by shape alone, in double. */
void tarn__reduce_run(tarn__reduction kind, tarn_dtype dtype, int ndim, const int64_t *shape, const tarn__axes *axes,
                      const void *x, void *y, double scale, tarn__cuts *scratch);

#endif
