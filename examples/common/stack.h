/* stack.h: the networks of the experiments: equal layers on top of each other, with a normalization of choice between
 * each and its activation, or behind it. */
#ifndef EXAMPLES_STACK_H
#define EXAMPLES_STACK_H

#include "tarn.h"

enum { STACK_MAX_DEPTH = 32 };

typedef enum stack_norm {
    STACK_PLAIN,
    STACK_BATCHNORM,
    STACK_BATCH_RENORM,
    STACK_LAYERNORM,    /* over all of an example's values in a layer, positions and channels */
    STACK_INSTANCENORM, /* convolutions only */
    STACK_GROUPNORM,    /* groups of STACK_GROUP channels; of all when they do not divide */
    STACK_RMSNORM,      /* over the channels of each position */
    STACK_WEIGHTNORM,   /* of the layer's weight, so that norm_after says nothing */
    STACK_SPECTRALNORM, /* likewise */
    STACK_NORM_COUNT
} stack_norm;

enum { STACK_GROUP = 4 };

typedef struct stack_opts {
    /* Fully connected layers of `width`, or 3x3 convolutions, then the average over positions: of `width` channels and
     * 14x14 positions in the first third of the layers, twice as many and 7x7 in the second, four times and 4x4. */
    bool convolutions;
    int depth; /* hidden layers, 1 to STACK_MAX_DEPTH */
    int64_t width;
    tarn_activation activation;
    stack_norm norm;
    bool norm_after;               /* the activation, not before it */
    tarn_batch_renorm_opts renorm; /* of STACK_BATCH_RENORM */

    /* Not NULL: in training, behind its normalization, each channel is scaled by 1 to 1.25 and shifted by up to 0.5 in
     * either direction, drawn anew for every layer and batch: the disturbed BatchNorm of Santurkar et al. 2018
     * (1805.11604, section 2.2), with their ranges. */
    tarn_rng *disturbance;
} stack_opts;

/* A layer's weights, by stack_opts.convolutions and whether they are normalized. */
typedef union stack_weights {
    tarn_linear_layer linear;
    tarn_conv2d_layer conv;
    tarn_weightnorm_linear_layer weightnorm_linear;
    tarn_weightnorm_conv2d_layer weightnorm_conv;
    tarn_spectralnorm_linear_layer spectralnorm_linear;
    tarn_spectralnorm_conv2d_layer spectralnorm_conv;
} stack_weights;

typedef union stack_normalization {
    tarn_batchnorm_layer batchnorm;
    tarn_batch_renorm_layer batch_renorm;
    tarn_layernorm_layer layernorm;
    tarn_instancenorm_layer instancenorm;
    tarn_groupnorm_layer groupnorm;
    tarn_rmsnorm_layer rmsnorm;
} stack_normalization;

typedef struct stack {
    stack_opts opts;
    tarn_params *params; /* f32: "1.weight", "1.gamma", ..., "out.weight" */
    stack_weights weights[STACK_MAX_DEPTH];
    tarn_linear_layer out;
    stack_normalization norm[STACK_MAX_DEPTH];
    tarn_activation_layer activation;
} stack;

/* "BatchNorm", "no normalization". */
const char *stack_norm_name(stack_norm norm);

/* For images [N,28,28,1] of 10 classes. Weights start as He et al. advise for ReLU and its kin, and as Glorot and
 * Bengio do for the others. False with tarn's error set; stack_free() in any case. */
bool stack_init(stack *s, const stack_opts *opts, uint64_t seed);
void stack_free(stack *s);

/* x [N,28,28,1] -> logits [N,10]. */
tarn_tensor *stack_apply(tarn_tape *t, const stack *s, tarn_tensor *x);

/* The same; hidden[i] receives what layer i hands on, inputs[i] what its activation gets. Either may be NULL. */
tarn_tensor *stack_apply_and_show(tarn_tape *t, const stack *s, tarn_tensor *x, tarn_tensor **inputs,
                                  tarn_tensor **hidden);

/* A stack and a batch (the caller's tensors), as a tarn_objective's loss: the cross-entropy. */
typedef struct stack_problem {
    const stack *net;
    tarn_tensor *images, *labels;
} stack_problem;

tarn_tensor *stack_loss(tarn_tape *t, void *problem);

#endif
