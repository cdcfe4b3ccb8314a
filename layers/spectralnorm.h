/* layers/spectralnorm.h: Linear and Conv2d with spectral normalization (Miyato et al. 2018, 1802.05957; Yoshida &
 * Miyato 2017, 1705.10941): the weight is divided by its largest singular value. So a Linear lengthens no difference
 * between inputs. Of a Conv2d's weight it is that of the matrix [kernel*kernel*in/groups,out], as in the paper: by how
 * much the convolution as a whole can lengthen, this bounds, and does not give. */
#ifndef TARN_SPECTRALNORM_H
#define TARN_SPECTRALNORM_H

#include "layers/conv2d.h"
#include "layers/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tarn_spectralnorm_linear_layer {
    tarn_linear_layer linear; /* its weight is not divided yet */
    tarn_tensor *u, *v;       /* buffers: see _init */
    int iterations;
} tarn_spectralnorm_linear_layer;

typedef struct tarn_spectralnorm_conv2d_layer {
    tarn_conv2d_layer conv; /* its weight is not divided yet */
    tarn_tensor *u, *v;     /* buffers: see _init */
    int iterations;
} tarn_spectralnorm_conv2d_layer;

typedef struct tarn_spectralnorm_opts {
    int iterations; /* of the power iteration, each time the layer is applied in training; 0 means 1 */
} tarn_spectralnorm_opts;

/* As tarn_linear_init(), plus the buffers NAME.u [out] and NAME.v [in]: the state of the power iteration, which is
 * saved with the rest. It begins with a random u, and 15 steps. NAME.weight is the weight before it is divided; zeros
 * (TARN_INIT_ZEROS) are refused, since they cannot be. norm->iterations is 0 or more; NULL: the default. */
TARN_API bool tarn_spectralnorm_linear_init(tarn_spectralnorm_linear_layer *l, tarn_params *params, const char *name,
                                            tarn_rng *rng, int64_t in, int64_t out, const tarn_linear_opts *opts,
                                            const tarn_spectralnorm_opts *norm);

/* x [...,in] -> x w + bias, [...,out], w = tarn_spectralnorm(weight, u, v). */
TARN_API tarn_tensor *tarn_spectralnorm_linear_apply(tarn_tape *t, const tarn_spectralnorm_linear_layer *l,
                                                     tarn_tensor *x);

/* As tarn_conv2d_init(), and otherwise as above, with NAME.v [kernel*kernel*in/groups]. */
TARN_API bool tarn_spectralnorm_conv2d_init(tarn_spectralnorm_conv2d_layer *l, tarn_params *params, const char *name,
                                            tarn_rng *rng, int64_t in, int64_t out, int kernel,
                                            const tarn_conv2d_layer_opts *opts, const tarn_spectralnorm_opts *norm);

/* x [N,H,W,in] -> tarn_conv2d(x, w) + bias, w = tarn_spectralnorm(weight, u, v). */
TARN_API tarn_tensor *tarn_spectralnorm_conv2d_apply(tarn_tape *t, const tarn_spectralnorm_conv2d_layer *l,
                                                     tarn_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
