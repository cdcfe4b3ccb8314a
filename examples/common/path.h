/* path.h: a loss of two parameters: its surface as a field, and the paths of optimisers on it. */
#ifndef EXAMPLES_PATH_H
#define EXAMPLES_PATH_H

#include "examples/common/plot.h"
#include "tarn.h"

typedef struct path {
    int64_t n;                               /* points: 1 more than steps taken, fewer when the walk ended early */
    double *step, *x, *y, *loss, *grad_norm; /* [n]; x and y are the parameters */
} path;

typedef struct path_opts {
    double x, y;             /* the start */
    double enough, hopeless; /* a loss not above the one, or above the other (0 means 1e12), ends the walk */
    int64_t steps;
} path_opts;

/* Walks with the optimiser, which works on f's parameters: two elements in all. A walk that diverges is no error.
 * False with tarn's error set; path_free() in any case. */
bool path_walk(path *p, const tarn_objective *f, tarn_optim *optim, const path_opts *opts);
void path_free(path *p);

/* The first step from which on the loss stays at or below this; NaN when there is none. */
double path_steps_to(const path *p, double loss);

/* Leaves `most` of the points, for drawing: the first ones, then at ever larger distances, and the last. */
void path_thin(path *p, int64_t most);

/* f on n x n points of the range in `field`, which is the caller's and gets everything else from here. False with
 * tarn's error set; path_surface_free() in any case. */
bool path_surface(plot_field *field, const tarn_objective *f, int64_t n);
void path_surface_free(plot_field *field);

#endif
