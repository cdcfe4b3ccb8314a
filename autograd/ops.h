/* autograd/ops.h: every op.
 *
 * Each function takes the tape first, checks shapes and dtypes at once, records, and returns a tensor that
 * lives on the tape until tarn_tape_reset(). It returns NULL with an error for a NULL tape or input, a shape
 * or dtype that does not fit, no memory, or when an error is already pending. g stands for the gradient of
 * the result.
 *
 * Shapes broadcast as in NumPy: aligned at the last axis, and a size of 1 is repeated. The inputs of one op
 * have the same dtype, f32 or f64, unless stated otherwise. All ops have gradients of every order unless
 * stated otherwise. Axes of size 0 are fine, and give results without elements or empty sums, unless stated
 * otherwise.
 *
 * A NaN is never lost. Values: what is computed of a NaN is NaN. Gradients: an op that lets g through at some x and holds
 * it back at others (relu, leaky_relu, elu, clamp, abs, minimum and maximum, the largest and smallest along axes, max
 * pooling) gives g or NaN where x is NaN, and never 0; a minimum or maximum of two gives g to both if one is NaN.
 *
 * A number among the parameters that is out of its range is an error that names it. Where none is given it is finite; what
 * is only added, multiplied or stored (tarn_full, tarn_arange, tarn_pad, and the _scalar ops) may be any number. */
#ifndef TARN_OPS_H
#define TARN_OPS_H

#include "autograd/tape.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- leaves on the tape ---- */

/* A copy of the row-major elements at `data`. */
TARN_API tarn_tensor *tarn_constant(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, const void *data);

TARN_API tarn_tensor *tarn_full(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, double value);
TARN_API tarn_tensor *tarn_zeros(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape);
TARN_API tarn_tensor *tarn_ones(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape);

/* A scalar: shape []. */
TARN_API tarn_tensor *tarn_scalar(tarn_tape *t, tarn_dtype dtype, double value);

/* [n]: start, start+step, ... */
TARN_API tarn_tensor *tarn_arange(tarn_tape *t, tarn_dtype dtype, int64_t n, double start, double step);

/* f32 or f64 values in [low, high), low <= high, and normal ones, std 0 or more. rng moves on. */
TARN_API tarn_tensor *tarn_uniform(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, tarn_rng *rng,
                                   double low, double high);
TARN_API tarn_tensor *tarn_normal(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, tarn_rng *rng,
                                  double mean, double std);

/* ---- elementwise, one input: y has x's shape and dtype ---- */

TARN_API tarn_tensor *tarn_neg(tarn_tape *t, tarn_tensor *x);        /* -x */
TARN_API tarn_tensor *tarn_abs(tarn_tape *t, tarn_tensor *x);        /* |x|; gradient 0 at 0 */
TARN_API tarn_tensor *tarn_sign(tarn_tape *t, tarn_tensor *x);       /* -1, 0 or 1; gradient 0 */
TARN_API tarn_tensor *tarn_square(tarn_tape *t, tarn_tensor *x);     /* x^2 */
TARN_API tarn_tensor *tarn_sqrt(tarn_tape *t, tarn_tensor *x);       /* x^(1/2); NaN below 0 */
TARN_API tarn_tensor *tarn_rsqrt(tarn_tape *t, tarn_tensor *x);      /* x^(-1/2) */
TARN_API tarn_tensor *tarn_reciprocal(tarn_tape *t, tarn_tensor *x); /* 1/x */
TARN_API tarn_tensor *tarn_exp(tarn_tape *t, tarn_tensor *x);        /* e^x */
TARN_API tarn_tensor *tarn_expm1(tarn_tape *t, tarn_tensor *x);      /* e^x - 1, accurate near 0 */
TARN_API tarn_tensor *tarn_log(tarn_tape *t, tarn_tensor *x);        /* ln x */
TARN_API tarn_tensor *tarn_log1p(tarn_tape *t, tarn_tensor *x);      /* ln(1+x), accurate near 0 */
TARN_API tarn_tensor *tarn_sin(tarn_tape *t, tarn_tensor *x);
TARN_API tarn_tensor *tarn_cos(tarn_tape *t, tarn_tensor *x);
TARN_API tarn_tensor *tarn_tanh(tarn_tape *t, tarn_tensor *x);
TARN_API tarn_tensor *tarn_sigmoid(tarn_tape *t, tarn_tensor *x);  /* 1/(1+e^-x) */
TARN_API tarn_tensor *tarn_erf(tarn_tape *t, tarn_tensor *x);      /* 2/sqrt(pi) * integral of e^(-u^2) over 0..x */
TARN_API tarn_tensor *tarn_relu(tarn_tape *t, tarn_tensor *x);     /* max(x, 0); gradient 0 at 0 */
TARN_API tarn_tensor *tarn_gelu(tarn_tape *t, tarn_tensor *x);     /* x*(1+erf(x/sqrt 2))/2 (1606.08415, exact form) */
TARN_API tarn_tensor *tarn_silu(tarn_tape *t, tarn_tensor *x);     /* x*sigmoid(x) (1702.03118) */
TARN_API tarn_tensor *tarn_softplus(tarn_tape *t, tarn_tensor *x); /* ln(1+e^x), without overflow */

TARN_API tarn_tensor *tarn_leaky_relu(tarn_tape *t, tarn_tensor *x, double slope); /* x > 0 ? x : slope*x */
TARN_API tarn_tensor *tarn_elu(tarn_tape *t, tarn_tensor *x, double alpha); /* x > 0 ? x : alpha*(e^x-1) (1511.07289) */
TARN_API tarn_tensor *tarn_add_scalar(tarn_tape *t, tarn_tensor *x, double a); /* x + a */
TARN_API tarn_tensor *tarn_mul_scalar(tarn_tape *t, tarn_tensor *x, double a); /* x * a */
TARN_API tarn_tensor *tarn_pow_scalar(tarn_tape *t, tarn_tensor *x, double p); /* x^p */

/* x, and low or high where it lies beyond; low <= high, infinite too. Gradient 0 outside, 1 at the ends. */
TARN_API tarn_tensor *tarn_clamp(tarn_tape *t, tarn_tensor *x, double low, double high);

/* ---- elementwise, two inputs, broadcast ---- */

TARN_API tarn_tensor *tarn_add(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_sub(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_mul(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_div(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_pow(tarn_tape *t, tarn_tensor *a,
                               tarn_tensor *b); /* a^b; d/db = a^b ln a, 0 for a = 0 < b */
TARN_API tarn_tensor *tarn_minimum(tarn_tape *t, tarn_tensor *a, tarn_tensor *b); /* a tie gives each half of g */
TARN_API tarn_tensor *tarn_maximum(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);

/* u8 truth values (1 or 0) of a comparison, broadcast. a and b may be of any one dtype. Whole numbers:
 * constants to the gradient (autograd/tape.h has the rule). */
TARN_API tarn_tensor *tarn_eq(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_ne(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_lt(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_le(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_gt(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);
TARN_API tarn_tensor *tarn_ge(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);

/* condition (u8) != 0 ? a : b, broadcast over all three. */
TARN_API tarn_tensor *tarn_where(tarn_tape *t, tarn_tensor *condition, tarn_tensor *a, tarn_tensor *b);

/* x's elements as another dtype: fractions are cut, a value that does not fit goes to the nearest end, NaN to 0. The
 * gradient flows between f32 and f64; whole numbers are constants to it. */
TARN_API tarn_tensor *tarn_cast(tarn_tape *t, tarn_tensor *x, tarn_dtype dtype);

/* ---- reductions ---- */

/* Sugar for the (naxes, axes) pairs below: tarn_sum(t, x, TARN_AXES(0, 1), false); TARN_ALL_AXES reduces
 * everything. */
#define TARN_AXES(...) TARN_LIST(int, __VA_ARGS__)
#define TARN_ALL_AXES  0, NULL

/* Over the given axes (negative: from the end; each once; none: all of them). keep leaves each reduced axis
 * with size 1, otherwise it is gone. Sums are blocked, so that their error grows with the logarithm of the
 * count, and of f32 they overflow only where the result does. The sum of nothing is 0; its mean is an error, here and
 * in losses and pooling, as is its variance and its largest. */
TARN_API tarn_tensor *tarn_sum(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep);
TARN_API tarn_tensor *tarn_mean(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep);

/* sum((x - mean)^2) / (count - correction): 0 for the biased variance, 1 for the unbiased one. An error when
 * count is not larger than correction. */
TARN_API tarn_tensor *tarn_var(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, int correction, bool keep);

/* The gradient is shared equally by all elements that attain the extreme. At least one element a result; NaN
 * wins. */
TARN_API tarn_tensor *tarn_max(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep);
TARN_API tarn_tensor *tarn_min(tarn_tape *t, tarn_tensor *x, int naxes, const int *axes, bool keep);

/* i32 position of the largest element along one axis, the first of equals; a NaN counts as largest. The axis
 * is gone; it has 1 to 2^31-1 elements. A constant to the gradient. */
TARN_API tarn_tensor *tarn_argmax(tarn_tape *t, tarn_tensor *x, int axis);

/* ---- matrix product ---- */

/* a [...,M,K] x b [...,K,N] -> [...,M,N]; the axes before the last two broadcast. Both have 2 axes or more.
 * OpenBLAS multiplies. */
TARN_API tarn_tensor *tarn_matmul(tarn_tape *t, tarn_tensor *a, tarn_tensor *b);

/* ---- shape: views where the strides allow it, of any dtype ---- */

/* The same elements in row-major order under another shape; one size may be -1: what is left over, an
 * error where another size is 0 and anything would be. */
TARN_API tarn_tensor *tarn_reshape(tarn_tape *t, tarn_tensor *x, int ndim, const int64_t *shape);

/* [N,...] -> [N, product of the rest]; [N] -> [N,1]. A scalar is an error. */
TARN_API tarn_tensor *tarn_flatten(tarn_tape *t, tarn_tensor *x);

/* Axis i of the result is axis axes[i] of x; `axes` has tarn_ndim(x) entries. Never copies. */
TARN_API tarn_tensor *tarn_permute(tarn_tape *t, tarn_tensor *x, const int *axes);

/* Swaps two axes. */
TARN_API tarn_tensor *tarn_transpose(tarn_tape *t, tarn_tensor *x, int axis_a, int axis_b);

/* Entries start, start+step, ... below stop along one axis. start and stop may be negative (from the end);
 * step >= 1. Out-of-range limits are errors, an empty slice is not. Never copies. */
TARN_API tarn_tensor *tarn_slice(tarn_tape *t, tarn_tensor *x, int axis, int64_t start, int64_t stop, int64_t step);

/* parts[0..n-1]: x in n slices along an axis, one after the other, of sizes[0], sizes[1], ... (0 or more, in all the
 * axis's size), or of equal size, if sizes is NULL. Never copies. The gradient is written once, as that of slices of one
 * tensor always is: it takes time in the elements, however many slices there are. Where slices overlap, their gradients
 * are added from the one recorded last to the first. On error every part is NULL. */
TARN_API bool tarn_split(tarn_tape *t, tarn_tensor *x, int axis, int n, const int64_t *sizes, tarn_tensor **parts);

/* The entries of x along an axis, each without the axis: the steps of a sequence. n is the axis's size, for which parts
 * has room. Otherwise as tarn_split. */
TARN_API bool tarn_unbind(tarn_tape *t, tarn_tensor *x, int axis, int n, tarn_tensor **parts);

/* x as if it had the larger shape, by broadcasting. Never copies. */
TARN_API tarn_tensor *tarn_expand(tarn_tape *t, tarn_tensor *x, int ndim, const int64_t *shape);

/* The same elements in row-major order in memory: x itself when they are already. */
TARN_API tarn_tensor *tarn_contiguous(tarn_tape *t, tarn_tensor *x);

/* The n tensors one after the other along an axis; their other sizes and their dtypes are equal. 1 <= n <=
 * 4096. */
TARN_API tarn_tensor *tarn_concat(tarn_tape *t, int n, tarn_tensor *const *xs, int axis);

/* before[i] and after[i] entries of `value` on each side of axis i (tarn_ndim(x) entries each, 0 or more). */
TARN_API tarn_tensor *tarn_pad(tarn_tape *t, tarn_tensor *x, const int64_t *before, const int64_t *after, double value);

/* ---- indices (i32 or u8; out of range is an error when it runs) ---- */

/* y[i,j,k] = x[i,index[i,j,k],k] for axis 1, and so on. index has x's ndim, and x's sizes except along the
 * axis. */
TARN_API tarn_tensor *tarn_gather(tarn_tape *t, tarn_tensor *x, int axis, tarn_tensor *index);

/* y = x with the entries index[0], index[1], ... along the axis (index has one axis): the rows of an
 * embedding table. */
TARN_API tarn_tensor *tarn_index_select(tarn_tape *t, tarn_tensor *x, int axis, tarn_tensor *index);

/* index [...] -> dtype [...,classes], 1 at the index and 0 elsewhere. classes is 1 or more, and index has fewer than
 * TARN_MAX_DIMS axes. A constant to the gradient. */
TARN_API tarn_tensor *tarn_one_hot(tarn_tape *t, tarn_tensor *index, int64_t classes, tarn_dtype dtype);

/* ---- along the last axis, which has at least 1 element (others may be empty); a scalar is an error ---- */

/* e^(x_i) / sum_j e^(x_j), and its logarithm (x_i - m) - ln sum_j e^(x_j - m), m the largest: no overflow, and a few
 * roundings wherever the x lie, also where one is far above the others. Infinities are as the first formula says: where m
 * is +infinity, softmax is NaN where x is that too, and 0 elsewhere. */
TARN_API tarn_tensor *tarn_softmax(tarn_tape *t, tarn_tensor *x);
TARN_API tarn_tensor *tarn_log_softmax(tarn_tape *t, tarn_tensor *x);

/* ln sum_j e^(x_j), as m + ln sum_j e^(x_j - m); the last axis is gone. The gradient is g * softmax(x). */
TARN_API tarn_tensor *tarn_logsumexp(tarn_tape *t, tarn_tensor *x);

/* ---- images [N,H,W,C] ---- */

typedef struct tarn_conv2d_opts {
    int stride;   /* 0 means 1 */
    int padding;  /* zeros on each side */
    int dilation; /* distance between kernel taps; 0 means 1 */
    int groups;   /* channels are cut into this many independent groups; 0 means 1 */
    bool exact;   /* sum the products as they are: see below */
} tarn_conv2d_opts;

/* x [N,H,W,C] * w [R,S,C/groups,K] -> [N,P,Q,K], a cross-correlation:
 * y[n,p,q,k] = sum over r,s,c of x[n, p*stride + r*dilation - padding, q*stride + s*dilation - padding, c]
 * w[r,s,c,k], P = floor((H + 2*padding - dilation*(R-1) - 1) / stride) + 1, Q likewise from W. groups divides
 * C and K. A kernel that is empty or does not fit into the padded image is an error. opts NULL: stride 1, no padding.
 *
 * In f32 a 3x3 kernel of stride 1, without dilation or groups, is computed by Winograd's algorithm F(4x4,3x3) (Lavin and
 * Gray 2015, 1509.09308) where it pays: from 8 channels on both sides and 12 tiles of 4x4 outputs in the batch. Its error
 * is below 1e-5 of the largest output, where the plain sum's is about 1e-6; both are larger where the outputs are small
 * differences of large products. An infinity or NaN in x spreads to whole tiles of 4x4 outputs, those that it reaches; a
 * tile can overflow where x or its outputs pass 1e36, and loses digits where w is subnormal. `exact` asks for the plain
 * sum. The gradients follow the same rule, which tensor/conv2d.c states in full. */
TARN_API tarn_tensor *tarn_conv2d(tarn_tape *t, tarn_tensor *x, tarn_tensor *w, const tarn_conv2d_opts *opts);

typedef struct tarn_pool2d_opts {
    int stride;  /* 0 means the window's size */
    int padding; /* positions outside the image, which never win a maximum and do not count in an average */
} tarn_pool2d_opts;

/* The largest of each window x window patch, channel by channel: [N,H,W,C] -> [N,P,Q,C],
 * P = floor((H + 2*padding - window) / stride) + 1. padding <= window/2. The gradient goes to the first
 * largest. A window that does not fit into the padded image, or an image without positions, is an error. */
TARN_API tarn_tensor *tarn_max_pool2d(tarn_tape *t, tarn_tensor *x, int window, const tarn_pool2d_opts *opts);

/* The mean of the patch's positions that lie inside the image, summed in blocks as tarn_mean is. The same is refused. */
TARN_API tarn_tensor *tarn_avg_pool2d(tarn_tape *t, tarn_tensor *x, int window, const tarn_pool2d_opts *opts);

/* The mean, and the maximum, over all positions: [N,H,W,C] -> [N,C]. */
TARN_API tarn_tensor *tarn_global_avg_pool2d(tarn_tape *t, tarn_tensor *x);
TARN_API tarn_tensor *tarn_global_max_pool2d(tarn_tape *t, tarn_tensor *x);

/* ---- normalization and noise ---- */

/* Ops that keep a state (BatchNorm, batch renormalization and spectral normalization in training) move it once for each
 * recording, in the order of recording, and all states of a run move when the whole of it has succeeded (tarn_backward,
 * tarn_item, ...; on an eager tape each op is a run). A run that fails moves none: reset the tape and record the step again,
 * or ask for the same tensor again on the same tape, and they move as if nothing had been. But what an earlier run of the
 * step has computed, as tarn_item(loss) before a tarn_backward() that fails, has moved its states; recorded again it moves
 * them again. A state that the program has written since the failure stays as written. A tape with a run that failed is
 * reset before its states are freed. */

/* Where BatchNorm keeps its running statistics: f32 or f64 leaves of the caller's, of a store or of the tape. */
typedef struct tarn_running_stats {
    tarn_tensor *mean;    /* [C] */
    tarn_tensor *var;     /* [C], unbiased */
    tarn_tensor *batches; /* []: how many batches they have seen */
} tarn_running_stats;

typedef struct tarn_batchnorm_opts {
    double eps;      /* added to the variance; 0 means 1e-5 */
    double momentum; /* weight of the new batch in the running statistics; 0 means 0.1 */
    bool cumulative; /* the running statistics are the plain average of all batches; momentum is not used */
} tarn_batchnorm_opts;

/* Batch Normalization (Ioffe & Szegedy 2015, 1502.03167, algorithms 1 and 2), over every axis but the last:
 *   y = (x - mean) / sqrt(var + eps) * gamma + beta,   x [...,C], gamma and beta [C].
 * On a tape in training, mean and biased variance are those of x, every example's output depends on every
 * example, and gradients flow through the statistics, to any order. When it has run, the running statistics
 * move: running = (1-momentum)*running + momentum*batch, the variance unbiased (count-1). The lecture writes
 * mu_bar <- p*mu_bar + (1-p)*mu_t: p = 1-momentum. One value a channel is an error: its variance says
 * nothing. On a tape in evaluation, mean and var are the running ones, constants to the gradient of x, gamma
 * and beta. running NULL: nothing is kept, and evaluation is an error. opts NULL: every default. */
TARN_API tarn_tensor *tarn_batchnorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                                     const tarn_running_stats *running, const tarn_batchnorm_opts *opts);

/* The same function built from mean, sub, square, rsqrt, mul and add, one node each: the "large network" in
 * which every example feeds every other, to be looked at and to check the fused op against. */
TARN_API tarn_tensor *tarn_batchnorm_composed(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                                              const tarn_running_stats *running, const tarn_batchnorm_opts *opts);

/* Where Batch Renormalization keeps its moving averages: leaves of the caller's, of a store or of the tape. */
typedef struct tarn_renorm_stats {
    tarn_tensor *mean;    /* [C], mu, of x's dtype */
    tarn_tensor *std;     /* [C], sigma: the average of sqrt(var + eps), biased, not of the variance */
    tarn_tensor *batches; /* []: how many batches they have seen; f32 or f64 */
} tarn_renorm_stats;

typedef struct tarn_batch_renorm_opts {
    double eps;       /* 0 means 1e-5 */
    double momentum;  /* alpha, weight of the new batch in the moving averages; 0 means 0.01 */
    double r_max;     /* 1 or more; 0 means 3 */
    double d_max;     /* 0 means 5 */
    int64_t start;    /* up to so many batches r is 1 and d is 0: BatchNorm. 0 means 5000 */
    int64_t r_end;    /* the limit of r grows evenly from 1 at `start` to r_max here; 0 means 40000 */
    int64_t d_end;    /* that of d from 0 to d_max; 0 means 25000 */
    bool unscheduled; /* r_max and d_max hold from the first batch on; start and the ends are not used */
} tarn_batch_renorm_opts;

/* Batch Renormalization (Ioffe 2017, 1702.03275, algorithm 1, with the schedule of its section 4), over every axis but
 * the last: with the batch's mean_B and sigma_B = sqrt(var_B + eps), var_B biased, and the moving averages mu, sigma,
 *   r = clip(sigma_B / sigma, 1/r_max, r_max),   d = clip((mean_B - mu) / sigma, -d_max, d_max),
 *   y = ((x - mean_B) / sigma_B * r + d) * gamma + beta,   x [...,C], gamma and beta [C].
 * r and d are constants to the gradient; through mean_B and sigma_B it flows, to any order. So where the limits do not
 * bind, y is what evaluation would give, and small batches train the network that is used. When it has run, once, the
 * averages move: mu += momentum * (mean_B - mu), sigma likewise, batches by 1; r and d come from those before. The limits
 * follow from `batches`, and so go on where a saved state left off. One value a channel is an error in training.
 * In evaluation y = (x - mu) / sigma * gamma + beta. running is needed in both. opts NULL: every default. */
TARN_API tarn_tensor *tarn_batch_renorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                                        const tarn_renorm_stats *running, const tarn_batch_renorm_opts *opts);

/* Normalizations of each example by itself: the same in training and in evaluation, whatever else is in the batch. Each
 * takes values away by their mean and divides by their spread,
 *   y = (x - mean) / sqrt(var + eps) * gamma + beta,   x [...,C], gamma and beta [C],
 * mean and biased variance over some of one example's values; they differ in which. gamma or beta NULL: without it.
 * eps: 0 means 1e-5. x near 1000 with a spread of 0.02 comes out right in f32 as well. Fewer than 2 values to take the
 * variance of are an error. */

/* Layer Normalization (Ba, Kiros & Hinton 2016, 1607.06450, equation 3): over the last axis. */
TARN_API tarn_tensor *tarn_layernorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta, double eps);

/* x / sqrt(mean(x^2) + eps) * gamma over the last axis, which may have size 1: the mean stays (Zhang & Sennrich 2019,
 * 1910.07467, equation 4; eps as its usual implementations have it). */
TARN_API tarn_tensor *tarn_rmsnorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, double eps);

/* Group Normalization (Wu & He 2018, 1803.08494, equation 7): x [N,...,C], over all positions and the C/groups channels
 * of a group, which lie side by side. groups divides C. */
TARN_API tarn_tensor *tarn_groupnorm(tarn_tape *t, tarn_tensor *x, int64_t groups, tarn_tensor *gamma,
                                     tarn_tensor *beta, double eps);

/* Instance Normalization (Ulyanov, Vedaldi & Lempitsky 2016, 1607.08022, equation 2): x [N,...,C] with at least one axis
 * between, over the positions of each channel. */
TARN_API tarn_tensor *tarn_instancenorm(tarn_tape *t, tarn_tensor *x, tarn_tensor *gamma, tarn_tensor *beta,
                                        double eps);

/* Weight normalization (Salimans & Kingma 2016, 1602.07868, equation 2): w = g * v / ||v||, v [...,out] with 2 axes or
 * more, g [out], the length that of all that leads to one output. NaN where v is all zeros. */
TARN_API tarn_tensor *tarn_weightnorm(tarn_tape *t, tarn_tensor *v, tarn_tensor *g);

/* Spectral normalization (Miyato et al. 2018, 1802.05957, equation 8 and algorithm 1; the norm is Yoshida & Miyato's,
 * 2017, 1705.10941): w / sigma, w [...,out], with 2 axes or more and none empty, taken as a matrix W [in,out], in the
 * product of all sizes but the last, and sigma = v^T W u, which is W's largest singular value once u [out] and v [in]
 * have converged to its vectors. They are leaves of the caller's, of a store or of the tape, of w's dtype. On a tape in
 * training, when it runs, once, they take that many steps of the power iteration, v = W u / |W u|, u = W^T v / |W^T v|,
 * and sigma uses what comes out; in evaluation they are used as they are. To the gradient u and v are constants, as in the
 * paper's equation 9 (and in PyTorch). A w of zeros gives NaN. iterations is 0 or more. */
TARN_API tarn_tensor *tarn_spectralnorm(tarn_tape *t, tarn_tensor *w, tarn_tensor *u, tarn_tensor *v, int iterations);

/* Training: each element is 0 with probability p, else x/(1-p) (Srivastava et al. 2014, in its inverted
 * form). Evaluation, or p = 0: x. 0 <= p < 1. The mask is a function of rng's state, which moves on when the
 * op is recorded. */
TARN_API tarn_tensor *tarn_dropout(tarn_tape *t, tarn_tensor *x, double p, tarn_rng *rng);

/* ---- losses: scalars, means over the batch ---- */

/* -mean over n of log_softmax(logits[n])[labels[n]]: logits [N,C], labels [N] i32 or u8 in 0..C-1 (checked
 * when it runs). Neither N nor C is 0. The gradient keeps its digits where the network is sure: p - 1 at the label is not
 * made from p. */
TARN_API tarn_tensor *tarn_cross_entropy(tarn_tape *t, tarn_tensor *logits, tarn_tensor *labels);

/* mean of (x - y)^2 over all elements; one may be broadcast to the other's shape, but not both to a larger one, as [50,1]
 * and [50] would be. */
TARN_API tarn_tensor *tarn_mse(tarn_tape *t, tarn_tensor *x, tarn_tensor *y);

/* mean of -(y ln p + (1-y) ln(1-p)), p = sigmoid(logits), without overflow; y in [0,1], broadcast
 * as above. */
TARN_API tarn_tensor *tarn_bce_with_logits(tarn_tape *t, tarn_tensor *logits, tarn_tensor *y);

/* The fraction of rows whose largest logit is at the label: logits [N,C], labels [N], neither N nor C 0; a scalar, a
 * constant to the gradient. */
TARN_API tarn_tensor *tarn_accuracy(tarn_tape *t, tarn_tensor *logits, tarn_tensor *labels);

#ifdef __cplusplus
}
#endif
#endif
