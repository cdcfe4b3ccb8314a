/* mistakes.h: what a classifier got wrong, as a contact sheet. */
#ifndef EXAMPLES_MISTAKES_H
#define EXAMPLES_MISTAKES_H

#include "tarn.h"

typedef struct guess {
    int64_t image; /* which of the images */
    int label, predicted;
    float probability; /* of the predicted class, as the classifier sees it */
} guess;

/* Writes a PNG of up to 30 wrongly classified images, those first of which the classifier was surest, each with its true
 * and its predicted class; no file when there is no mistake. images: u8 [N,H,W,1]; guesses: N of them, which get
 * sorted. False, with tarn's error set, when the file cannot be written. */
bool mistakes_draw(const char *path, guess *guesses, tarn_tensor *images, const char *const *classes);

#endif
