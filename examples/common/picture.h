/* picture.h: a picture from anywhere, made to look like a training image. */
#ifndef EXAMPLES_PICTURE_H
#define EXAMPLES_PICTURE_H

#include "tarn.h"

/* A PNG or JPEG file of any size as [1,side,side,1], f32, 0 (black) to 1, on the tape: grey, its longer side
 * scaled to `side`, in the middle of a square filled with the colour of its border. A picture whose border is
 * light is turned into its negative, and *inverted says so: photographs of things mostly have a light
 * background, the images of MNIST and its kin a dark one. NULL, with tarn's error set, when the file cannot
 * be read. */
tarn_tensor *picture_load(tarn_tape *t, const char *path, int64_t side, bool *inverted);

/* Prints a line to stdout: the path, the three likeliest of n classes with their probabilities p[n] (fewer when n is
 * smaller), and whether the picture was inverted. */
void picture_print_classes(const char *path, const float *p, int n, const char *const *classes, bool inverted);

#endif
