/* tests/random_ops.h: parameters and results of one shape, and a random op over them. */
#ifndef TARN_TESTS_RANDOM_OPS_H
#define TARN_TESTS_RANDOM_OPS_H

#include "autograd/ops.h"
#include "tensor/params.h"

enum { RANDOM_PARAMS = 3, RANDOM_LENGTH = 100 };

typedef struct random_world random_world;
struct random_world {
    tarn_params *params;
    tarn_rng noise;
    tarn_running_stats running, frozen; /* of training, which moves; of evaluation */
    tarn_tensor *w, *w1, *gamma,
        *beta; /* of images; w [3,3,C,C] and w1 [1,1,C,C] are parameters, as gamma is, not beta */
    bool images;
    tarn_dtype dtype;
    int ndim;
    int64_t shape[4], channels;
    tarn_tensor *xs[RANDOM_LENGTH]; /* all of the shape; the first are the parameters */
    int count;
};

/* f64 [48,52], or images, f32 [3,12,16,32]: more than 64 KiB. */
void random_world_new(random_world *w, bool images);
void random_world_free(random_world *w);

/* Only the parameters are left. */
void random_world_start(random_world *w);

/* One more op over x and what there is; the same for the same rng. Of the world's shape; NULL on error. The caller adds it
 * to xs; some of what it is made of is there already. */
tarn_tensor *random_op(random_world *w, tarn_tape *t, tarn_rng *rng, tarn_tensor *x);

#endif
