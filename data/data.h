/* data/data.h: what comes from outside, and what goes there: arrays, pictures, batches, weights. */
#ifndef TARN_DATA_H
#define TARN_DATA_H

#include "data/dataset.h"
#include "data/idx.h"
#include "data/image.h"
#include "data/loader.h"
#include "data/safetensors.h"

#endif
