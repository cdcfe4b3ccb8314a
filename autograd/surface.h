/* autograd/surface.h: the surface of a loss, seen from a point: slices through it, the loss and the gradient along a
 * step, how the layers below move a gradient, and the noise of mini-batches.
 *
 * For what an objective is, what stays as it was, and the errors that all have in common, see autograd/objective.h.
 * Points, directions and gradients are vectors f64 [P]; at each point the parameters are rounded to the store's dtype.
 * Losses and gradients that are not finite are no errors here: they are results, and NaN goes through. */
#ifndef TARN_SURFACE_H
#define TARN_SURFACE_H

#include "autograd/objective.h"
#include "tensor/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- directions ---- */

/* Filter normalisation (Li, Xu, Taylor, Studer & Goldstein 2018, Visualizing the Loss Landscape of Neural Nets,
 * 1712.09913, section 4): a network with relu or BatchNorm computes the same with its filters scaled, so a step of a
 * given length means little for large filters and much for small ones. Each filter d_i of the direction gets the
 * length of the parameter's own: d_i <- d_i |theta_i| / |d_i|. A filter is what makes one output: all weights with one
 * index on the last axis, for convolutions [R,S,C,K] and Linear [in,out] alike. Parameters of fewer than two axes
 * (biases, BatchNorm's gamma and beta) get zeros, as in the authors' program. A filter that is 0 in either becomes 0. */
typedef struct tarn_direction_opts {
    bool plain;   /* no filter normalisation: every element as it was drawn */
    bool vectors; /* parameters of fewer than two axes take part too, each as one filter */
    /* f64 [P] or NULL: be orthogonal to this one. Filter by filter before normalisation (so that both hold, and a filter of one
     * element becomes 0), or with `plain` as a whole. */
    tarn_tensor *orthogonal_to;
} tarn_direction_opts;

/* A random direction: P normal entries from rng, which moves on; then as opts (NULL: the defaults) say. f64 [P], the
 * caller's. NULL with an error: NULL, a store without trained elements, orthogonal_to of another shape, no memory. */
TARN_API tarn_tensor *tarn_direction_random_new(tarn_params *params, tarn_rng *rng, const tarn_direction_opts *opts);

/* The same for the caller's own direction, f64 [P], in place. */
TARN_API bool tarn_direction_normalize(tarn_params *params, tarn_tensor *direction, const tarn_direction_opts *opts);

/* to - from, both f64 [P]: the line through two points. The caller's. */
TARN_API tarn_tensor *tarn_direction_between_new(tarn_tensor *from, tarn_tensor *to);

/* ---- slices ---- */

typedef struct tarn_slice_axis {
    tarn_tensor *direction; /* f64 [P], finite; not on the objective's tape */
    double low, high;       /* finite; in units of the direction */
    int64_t count;          /* of coordinates, evenly from low to high with both ends; one: low */
} tarn_slice_axis;

/* Coordinate i of the axis, 0 <= i < count; exactly 0 in the middle when high = -low. NaN with an error. */
TARN_API double tarn_slice_coordinate(const tarn_slice_axis *axis, int64_t i);

typedef struct tarn_slice_opts {
    /* Told after every evaluation. May be NULL. */
    void (*progress)(void *context, int64_t done, int64_t total);
    void *progress_context;
} tarn_slice_opts;

/* The losses at theta + a d, theta the store's parameters, over the coordinates a: f64 [count], the caller's. opts may
 * be NULL. NULL with an error; besides the common ones, an axis that is not as above. */
TARN_API tarn_tensor *tarn_slice1d_new(const tarn_objective *f, const tarn_slice_axis *axis,
                                       const tarn_slice_opts *opts);

/* The losses at theta + a d + b e: f64 [rows->count, columns->count], the caller's; row i has coordinate i of `rows`. */
TARN_API tarn_tensor *tarn_slice2d_new(const tarn_objective *f, const tarn_slice_axis *rows,
                                       const tarn_slice_axis *columns, const tarn_slice_opts *opts);

/* Where a point lies on a slice through `origin`: the (a, b) for which origin + a d + b e is nearest to it. All are
 * f64 [P]; e may be NULL, then b is 0. Returns how far the point is from there, 0 when it lies in the plane. NaN with
 * an error: NULL, another shape, d or e zero, not finite, or along one line. */
TARN_API double tarn_slice_project(tarn_tensor *origin, tarn_tensor *d, tarn_tensor *e, tarn_tensor *point,
                                   double coordinates[2]);

/* ---- along the gradient ---- */

typedef struct tarn_gradient_probe_opts {
    double low,
        high; /* step lengths: multiples of the gradient, as learning rates are; 0 < low <= high. Both 0: 0.05 to 0.4 */
    int64_t count; /* how many, evenly from low to high; 0 means 8 */
} tarn_gradient_probe_opts;

/* NaN in one of the values makes their minimum and maximum NaN. */
typedef struct tarn_gradient_probe_report {
    double loss, gradient_norm;           /* L(theta), |g(theta)| */
    double lowest_loss, highest_loss;     /* of L(theta - eta g): the loss's variation */
    double nearest, farthest;             /* |g(theta) - g(theta - eta g)|: gradient predictiveness */
    double lowest_cosine, highest_cosine; /* between those two; NaN where one is 0 */
    double beta; /* effective smoothness: the largest |g(theta) - g(theta - eta g)| / |eta g|; NaN where g is 0 */
} tarn_gradient_probe_report;

/* Steps from theta along the gradient g there, eta over the step lengths: how well does the gradient foretell what
 * comes? (Santurkar, Tsipras, Ilyas & Madry 2018, How Does Batch Normalization Help Optimization?, 1805.11604, section
 * 3 and figure 4.) opts may be NULL. False with an error, and the report all zeros: besides the common ones, low or
 * high not as above, count below 0. */
TARN_API bool tarn_gradient_probe(const tarn_objective *f, const tarn_gradient_probe_opts *opts,
                                  tarn_gradient_probe_report *report);

/* ---- when the layers below move ---- */

typedef struct tarn_gradient_shift_report {
    double before, after; /* |G|, |G'| */
    double shift;         /* |G - G'| */
    double relative;      /* |G - G'| / |G|; NaN when both are 0 */
    double cosine;        /* between them; NaN when one is 0 */
} tarn_gradient_shift_report;

/* Internal covariate shift (1805.11604, definition 2.1). G is the gradient with respect to a layer's parameters, G'
 * the same after the parameters below have taken one step of plain gradient descent, of length lr, and the layer
 * itself and what lies above have not. The layer is every parameter whose name starts with `layer` ("f3."); below lies
 * every one whose name starts with one of `below`, a list that ends with NULL, or with below = NULL every parameter
 * that was added to the store before the layer's first. (The layer's own never move.) With nothing below, the shift is
 * 0. False with an error, and the report all zeros: besides the common ones, layer NULL, no such parameter, lr not
 * finite. */
TARN_API bool tarn_gradient_shift(const tarn_objective *f, const char *layer, const char *const *below, double lr,
                                  tarn_gradient_shift_report *report);

/* ---- from batch to batch ---- */

typedef struct tarn_gradient_noise_report {
    double loss;       /* mean over the batches */
    double mean_norm;  /* |m|, m the mean of the batches' gradients g_i */
    double noise_norm; /* S, S^2 = sum_i |g_i - m|^2 / (batches - 1): the usual distance from the mean */
    double
        gradient_squared; /* estimate of |G|^2, of the gradient without noise: |m|^2 - S^2/batches. May come out below 0 */
    double noise_scale; /* batch_size S^2 / gradient_squared, in examples; infinity when that is not above 0 */
} tarn_gradient_noise_report;

/* The gradient noise of mini-batches at the store's parameters, and the simple noise scale tr(Sigma)/|G|^2: the batch
 * size at which noise and gradient are equally large, and beyond which larger batches gain little (McCandlish, Kaplan,
 * Amodei et al. 2018, An Empirical Model of Large-Batch Training, 1812.06162). Sigma is the covariance of one
 * example's gradient, estimated as batch_size S^2 for batches drawn independently. Both estimates are the unbiased
 * ones of its appendix A.1 with B_small = batch_size and B_big = batches * batch_size; the ratio of the two is not
 * unbiased, as there.
 *
 * select(f->context, i), i < batches, makes f's loss that of batch i, each the mean over batch_size examples; it
 * returns false to stop, which is an error. False with an error, and the report all zeros: besides the common ones,
 * select NULL, batches below 2, batch_size below 1. */
TARN_API bool tarn_gradient_noise(const tarn_objective *f, int64_t batches, int64_t batch_size,
                                  bool (*select)(void *context, int64_t batch), tarn_gradient_noise_report *report);

#ifdef __cplusplus
}
#endif
#endif
