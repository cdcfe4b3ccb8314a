/* optim/clip.h: gradients kept within bounds, between tarn_backward() and tarn_optim_step(). */
#ifndef TARN_CLIP_H
#define TARN_CLIP_H

#include "tensor/params.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scales all filled gradients together by c = max_norm / (norm + 1e-6), if c < 1, where norm is
 * tarn_params_grad_norm(params), and returns the norm as it was before (Pascanu, Mikolov & Bengio 2013, 1211.5063,
 * algorithm 1; the 1e-6 is torch's). max_norm is 0 or more; INFINITY only measures. A norm that is not finite is
 * returned and changes nothing: the caller decides, by tarn_params_zero_grad() for instance. NaN with an error on
 * NULL or a max_norm out of range. */
TARN_API double tarn_clip_grad_norm(tarn_params *params, double max_norm);

/* Puts each element of each filled gradient into [-limit, limit]; limit is 0 or more. A NaN stays. */
TARN_API bool tarn_clip_grad_value(tarn_params *params, double limit);

#ifdef __cplusplus
}
#endif
#endif
