/* autograd/normalize.h (internal): what normalizations share. */
#ifndef TARN__NORMALIZE_H
#define TARN__NORMALIZE_H

#include "autograd/op.h"
#include "autograd/ops.h"

/* What a mean is taken over: some axes, which stay with size 1; and, of [N,P,C], with so many groups, also over the
 * channels of a group, each of which gets the group's mean. */
typedef struct tarn__over {
    int count, axes[TARN_MAX_DIMS];
    int64_t groups; /* 0: none */
} tarn__over;

/* The mean in two parts: `near`, a constant to the gradient, is what one mean gives; `rest` is small, and may be summed
 * up with it where there are digits enough. */
typedef struct tarn__mean {
    tarn_tensor *near, *rest;
} tarn__mean;

tarn_tensor *tarn__mean_over(tarn_tape *t, tarn_tensor *x, const tarn__over *over);

/* x minus its mean, to the rounding of the difference: in f32 the mean of values near 1000 is off by 3e-5, and so would
 * be each difference from it. mean NULL: not asked for. */
tarn_tensor *tarn__centred(tarn_tape *t, tarn_tensor *x, const tarn__over *over, tarn__mean *mean);

/* The options with the defaults filled in; and whether such can be used. */
tarn_batch_renorm_opts tarn__batch_renorm_opts(const tarn_batch_renorm_opts *opts);
bool tarn__batch_renorm_usable(const char *who, const tarn_batch_renorm_opts *opts);

#endif
