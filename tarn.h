/* tarn.h: the one header to include. The parts, in reading order. */
#ifndef TARN_H
#define TARN_H

#include "tensor/error.h"
#include "tensor/memory.h"
#include "tensor/threads.h"
#include "tensor/rng.h"
#include "tensor/tensor.h"
#include "tensor/params.h"
#include "tensor/eigen.h"
#include "tensor/statistics.h"
#include "autograd/tape.h"
#include "autograd/ops.h"
#include "autograd/gradcheck.h"
#include "autograd/objective.h"
#include "autograd/draw.h"
#include "autograd/curvature.h"
#include "autograd/surface.h"
#include "layers/layers.h"
#include "optim/optim.h"
#include "data/data.h"

#endif
