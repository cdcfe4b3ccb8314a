/* layers/layers.h: layers are structs of parameters with an _init, which adds them to a store, and an _apply, which
 * records ops over them.
 *
 *     tarn_linear_layer f1;
 *     tarn_linear_init(&f1, params, "f1", &rng, 784, 128, NULL);    adds "f1.weight" and "f1.bias"
 *     x = tarn_linear_apply(t, &f1, x);
 *
 * The caller owns the struct, may read its fields, and keeps it as long as it is applied; the store owns the tensors
 * in it. An _init that fails returns false with an error, and leaves the struct all zeros. An _apply returns a tensor
 * on the tape, or NULL with an error: for a NULL argument, a layer that was not initialized, or an x that does not
 * fit: in shape, or in dtype, which is that of the store (a layer without parameters takes f32 and f64). A layer's
 * options follow the rule that 0 means the default and NULL every default. */
#ifndef TARN_LAYERS_H
#define TARN_LAYERS_H

#include "layers/activation.h"
#include "layers/batch_renorm.h"
#include "layers/batchnorm.h"
#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/groupnorm.h"
#include "layers/init.h"
#include "layers/instancenorm.h"
#include "layers/layernorm.h"
#include "layers/linear.h"
#include "layers/pool2d.h"
#include "layers/rmsnorm.h"
#include "layers/sequential.h"
#include "layers/spectralnorm.h"
#include "layers/weightnorm.h"

#endif
