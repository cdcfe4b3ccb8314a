/* autograd/surface_impl.h (internal): what the files of autograd/surface.h share. */
#ifndef TARN__SURFACE_IMPL_H
#define TARN__SURFACE_IMPL_H

#include "autograd/objective_impl.h"
#include "autograd/surface.h"
#include "tensor/vector.h"

/* Sets the store's parameters. */
void tarn__move_to(tarn__evaluation *e, double *point);

#endif
