/* tests/api_world.h: something of everything that the public functions take, for test_api.c. */
#ifndef TARN_TESTS_API_WORLD_H
#define TARN_TESTS_API_WORLD_H

#include "tarn.h"

#include <stdio.h>

enum { WORLD_KEPT = 8 };

typedef struct world {
    tarn_tape *t, *other;
    tarn_rng rng;
    tarn_tensor *x, *y, *z;                    /* f32 [4,6], [4,6] and [5,7], positive */
    tarn_tensor *d, *i, *u;                    /* [4,6] in f64, i32 (0 to 3) and u8 (0 or 1) */
    tarn_tensor *s, *row;                      /* f32 [] and [6] */
    tarn_tensor *label, *index;                /* i32 [4] and [3] */
    tarn_tensor *image, *kernel;               /* f32 [1,4,4,4] and [3,3,4,2] */
    tarn_tensor *gamma, *beta;                 /* f32 [4] */
    tarn_running_stats stats;                  /* f32 [4], [4] and [] */
    tarn_tensor *pictures, *classes, *picture; /* u8 [6,3,3], [6] and [5,4,3] */
    tarn_tensor *foreign;                      /* f32 [4,6] on the other tape */
    tarn_params *p;                            /* f32: w [6,3], b [3], and a buffer */
    tarn_tensor *w;
    tarn_tensor *point;                             /* f64: p's parameters as a vector */
    tarn_linear_layer linear;                       /* 6 -> 3 */
    tarn_conv2d_layer conv;                         /* 4 -> 2, 3x3 */
    tarn_batchnorm_layer norm;                      /* 4 */
    tarn_batch_renorm_layer renorm;                 /* 4 */
    tarn_renorm_stats renorm_stats;                 /* of it */
    tarn_layernorm_layer layernorm;                 /* 4 */
    tarn_rmsnorm_layer rmsnorm;                     /* 4 */
    tarn_groupnorm_layer groupnorm;                 /* 4, in 2 groups */
    tarn_instancenorm_layer instancenorm;           /* 4 */
    tarn_weightnorm_linear_layer weight_linear;     /* 6 -> 3 */
    tarn_weightnorm_conv2d_layer weight_conv;       /* 4 -> 2, 3x3 */
    tarn_spectralnorm_linear_layer spectral_linear; /* 6 -> 3 */
    tarn_spectralnorm_conv2d_layer spectral_conv;   /* 4 -> 2, 3x3 */
    tarn_dropout_layer drop;
    tarn_flatten_layer flat;
    tarn_activation_layer act;
    tarn_max_pool2d_layer max;
    tarn_avg_pool2d_layer avg;
    tarn_layer part;       /* the activation */
    tarn_sequential chain; /* of it */
    tarn_optim *o;
    tarn_plateau *plateau;
    tarn_dataset *data;
    tarn_loader *loader;
    tarn_idx_reader *idx;
    tarn_safetensors *file, *tagged; /* with "w" [6,3]; with metadata */
    tarn_dataset *named;             /* data whose classes have names */
    tarn_tape *modes;                /* eager, with a node on it */
    tarn_params *empty;
    tarn_tensor *grads[2]; /* room for what tarn_grad gives */
    tarn_batch batch;
    _Alignas(16) unsigned char memory[256];
    unsigned char *png; /* a picture's file */
    size_t png_bytes;
    const char *folder;
    FILE *sink;
    void *kept[WORLD_KEPT];
    void (*kept_free[WORLD_KEPT])(void *);
    int n_kept;
    const char *who; /* how the message of the call that failed begins; NULL: with the function's name */
} world;

/* Files that the worlds share, in the folder of tests/files.h. False with an error of tarn's. */
bool world_files(void);
void world_files_free(void);

/* A world, everything of tarn's in it fresh. Fails the test when it cannot be made. */
void world_new(world *w);
void world_free(world *w);

/* Keeps what a call returned until world_free(). True when it is not NULL. */
bool kept_tensor(world *w, tarn_tensor *x);
bool kept_tape(world *w, tarn_tape *t);
bool kept_params(world *w, tarn_params *p);
bool kept_optim(world *w, tarn_optim *o);
bool kept_plateau(world *w, tarn_plateau *p);
bool kept_dataset(world *w, tarn_dataset *d);
bool kept_loader(world *w, tarn_loader *l);
bool kept_idx(world *w, tarn_idx_reader *r);
bool kept_file(world *w, tarn_safetensors *f);

/* What fails when it runs: an index that is out of range; an exp of x, which has changed since. */
tarn_tensor *bomb(world *w);
tarn_tensor *stale(world *w);

/* A sum over x times the parameter w. */
tarn_tensor *loss(world *w);

/* s as [size,1] or [1,size]. */
tarn_tensor *tall(world *w, int64_t size);
tarn_tensor *wide(world *w, int64_t size);

/* Runs y, and its gradient with respect to x. */
bool used(world *w, tarn_tensor *y, tarn_tensor *x);

#endif
