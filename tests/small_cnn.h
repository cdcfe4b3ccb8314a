/* tests/small_cnn.h: a classifier with one of everything that a training step is made of, and batches for it.
 * Two blocks of convolution, BatchNorm, ReLU, pooling and dropout, then two linear layers. */
#ifndef TARN_TESTS_SMALL_CNN_H
#define TARN_TESTS_SMALL_CNN_H

#include "layers/layers.h"
#include "optim/optim.h"

typedef struct cnn_size {
    int64_t batch, side, channels, width, hidden, classes; /* images are [batch,side,side,channels] */
} cnn_size;

typedef struct cnn {
    cnn_size size;
    tarn_dtype dtype;
    tarn_params *params;
    tarn_optim *optim;
    tarn_rng init, noise, images;
    tarn_conv2d_layer conv1, conv2;
    tarn_batchnorm_layer norm1, norm2;
    tarn_dropout_layer drop;
    tarn_linear_layer hidden, out;
} cnn;

/* False with an error of tarn's; cnn_free() in any case. */
bool cnn_new(cnn *m, tarn_dtype dtype, const cnn_size *size, uint64_t seed);
void cnn_free(cnn *m);

tarn_tensor *cnn_forward(tarn_tape *t, const cnn *m, tarn_tensor *x);

/* The next random batch on the tape: stripes whose direction and width say the class, under noise. */
bool cnn_batch(tarn_tape *t, cnn *m, tarn_tensor **x, tarn_tensor **labels);

/* A batch, its loss, backward, and one step of the optimiser; the tape is left as it is. NaN on error. */
double cnn_step(tarn_tape *t, cnn *m);

/* SHA-256 over every parameter and buffer. */
void cnn_hash(const cnn *m, char hex[65]);

#endif
