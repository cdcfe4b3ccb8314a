/* nets.h: the networks that are timed, layer for layer those of the PyTorch programs that tarn is compared with.
 *
 *   mlp       784-256-BN-ReLU-128-BN-ReLU-10                                                        Adam
 *   cnn28     [28,28,1]  conv3x3x32 BN ReLU pool2  conv3x3x64 BN ReLU pool2  fc128 ReLU fc10          Adam
 *   vgg8      [32,32,3]  (conv3x3 BN ReLU)x2 pool2 at 64, 128, 256 channels, global mean, fc10        SGD, momentum 0.9
 *   resnet20  [32,32,3]  He et al. 2015 (1512.03385), 16/32/64 channels, 1x1 projection shortcuts, BN SGD, momentum 0.9
 *   lstm      [64] i32   embedding 64, one LSTM of 256, linear to a vocabulary of 96, from single ops Adam
 */
#ifndef BENCH_NETS_H
#define BENCH_NETS_H

#include "tarn.h"

enum { NET_MAX_UNITS = 24, NET_COUNT = 5 };

/* A convolution and its BatchNorm. */
typedef struct net_unit {
    tarn_conv2d_layer conv;
    tarn_batchnorm_layer norm;
} net_unit;

/* What any of the networks is made of, in the order in which it is applied. */
typedef struct net {
    net_unit units[NET_MAX_UNITS];
    tarn_linear_layer linear[3];
    tarn_batchnorm_layer norm[2];
    tarn_tensor *embedding, *input_weight, *state_weight, *bias; /* of the LSTM; the four gates side by side */
    tarn_params *params;
    tarn_rng *rng;
    int n_units;
    double *flops; /* NULL, or where a forward pass adds the operations of a training step: see net_step_flops() */
} net;

typedef struct net_recipe {
    const char *name;
    void (*init)(net *m);
    tarn_tensor *(*forward)(tarn_tape *t, const net *m, tarn_tensor *x);
    int ndim; /* of one example */
    int64_t shape[3];
    bool adam;
    int64_t vocabulary; /* not 0: an example is numbers below it, each with a label below it */
} net_recipe;

extern const net_recipe net_recipes[NET_COUNT];

/* The recipe of that name; NULL when there is none. */
const net_recipe *net_find(const char *name);

/* Normal inputs in f32, or i32 numbers of the vocabulary, and i32 labels below 10, or of the vocabulary; the caller's. NULL
 * with tarn's error. */
tarn_tensor *net_inputs_new(const net_recipe *r, int64_t batch, tarn_rng *rng);
tarn_tensor *net_labels_new(const net_recipe *r, int64_t batch, tarn_rng *rng);

/* Multiplications and additions of one training step's convolutions and linear layers, by the direct formulae: forward and
 * both gradients, without the gradient of the network's input. NaN with tarn's error. */
double net_step_flops(const net_recipe *r, int64_t batch);

/* The middle one of n numbers, which are sorted. */
double net_median(double *values, int64_t n);

#endif
