/* layers/layers.h: layers are structs of parameters with an _init, which adds them to a store, and an _apply, which
 * records ops over them. */
#ifndef TARN_LAYERS_H
#define TARN_LAYERS_H

#include "layers/batchnorm.h"
#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/init.h"
#include "layers/linear.h"

#endif
