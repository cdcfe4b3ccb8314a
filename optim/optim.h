/* optim/optim.h: everything that turns gradients into better parameters. */
#ifndef TARN_OPTIM_H
#define TARN_OPTIM_H

#include "optim/clip.h"
#include "optim/optimizer.h"
#include "optim/plateau.h"
#include "optim/schedule.h"

#endif
