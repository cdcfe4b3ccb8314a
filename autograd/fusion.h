/* autograd/fusion.h (internal): what convolution, BatchNorm, relu and max pooling know of each other's nodes, so that several
 * run in the same passes over memory. */
#ifndef TARN__FUSION_H
#define TARN__FUSION_H

#include "autograd/op.h"
#include "tensor/batchnorm.h"
#include "tensor/conv2d.h"

/* The tensors that a normalized y, or its gradient, is made from. */
typedef struct tarn__batchnorm_parts {
    const tarn__batchnorm *b;
    tarn_tensor *x, *gamma, *beta, *mean, *var;
} tarn__batchnorm_parts;

/* Whether n is tarn_batchnorm's, in training or in evaluation; and its parts. */
bool tarn__is_batchnorm(const tarn_node *n, tarn__batchnorm_parts *parts);

/* The same of the gradient's node: its parts have no beta. */
bool tarn__is_batchnorm_grad(const tarn_node *n, tarn_tensor **g, tarn__batchnorm_parts *parts);

/* The parts as arrays, packed, mean and var in f64, for the run of n. False with an error when there is no memory. */
bool tarn__batchnorm_arrays(const tarn_node *n, const tarn__batchnorm_parts *parts, tarn__normalized *arrays);

/* What is left of the run of tarn_batchnorm in training, when mean and variance of x are known: y, if it is needed, and
 * the running statistics. */
bool tarn__batchnorm_finish(tarn_node *n, const void *x, const double *mean, const double *var);

/* For a gradient rule that reads x: x itself; or, of a large x = relu(BN(z)) in training, the same computed again from z,
 * so that x need not be kept until then. Only where nobody will differentiate that gradient: mean and variance are
 * constants to the second computation. */
tarn_tensor *tarn__computed_again(tarn_tape *t, tarn_tensor *x);

/* The convolution of a tarn_conv2d node; NULL of any other. (autograd/conv2d.c) */
const tarn__conv2d *tarn__is_conv2d(const tarn_node *n);

/* The window of a max pooling node, or of its gradient's node, if it is 2x2, stride 2, without padding; else NULL. */
const tarn__window *tarn__is_max_pool2d(const tarn_node *n);
const tarn__window *tarn__is_max_pool2d_grad(const tarn_node *n);

/* (autograd/elementwise.c) */
bool tarn__is_elementwise(const tarn_node *n);
bool tarn__is_unary(const tarn_node *n, tarn__unary loop);
bool tarn__is_binary(const tarn_node *n, tarn__binary loop);

/* The hooks: relu(BN(x)), relu(BN(x) + r), relu(BN(x) + BN(x2)); max_pool2d(BN(x)), max_pool2d(relu(BN(x))); the
 * gradient of BatchNorm behind those of relu and max_pool2d. Same bits as unfused. */
bool tarn__relu_fuse(tarn_node *n);
bool tarn__max_pool2d_fuse(tarn_node *n);
bool tarn__batchnorm_grad_fuse(tarn_node *n);

/* BatchNorm in training of conv2d(x, w), or of that plus a bias: the convolution adds the bias and sums mean and variance
 * as it writes. Same bits as unfused. (autograd/conv2d_fusion.c) */
bool tarn__batchnorm_fuse(tarn_node *n);

#endif
