/* layers/init_impl.h (internal): what the layers' own _init need of layers/init.c. */
#ifndef TARN__INIT_IMPL_H
#define TARN__INIT_IMPL_H

#include "layers/init.h"

/* Whether tarn_init_weight() takes this choice, so that a layer can ask before it adds anything to its store. */
bool tarn__init_usable(const char *who, const tarn_init *init);

/* A weight by the choice, and its bias (may be NULL) uniform in [-a, a), a = 1/sqrt(fan_in), or zero beside zeros. */
bool tarn__init_weight_and_bias(tarn_tensor *w, tarn_tensor *bias, tarn_rng *rng, const tarn_init *init);

#endif
