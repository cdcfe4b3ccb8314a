/* mistakes.h: what a classifier got wrong, as a contact sheet. */
#ifndef EXAMPLES_MISTAKES_H
#define EXAMPLES_MISTAKES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct guess {
    int64_t image; /* which of the images */
    int label, predicted;
    float probability; /* of the predicted class, as the classifier sees it */
} guess;

/* Writes a PNG of up to 30 wrongly classified images, those first of which the classifier was surest, each
 * with its true and its predicted class; no file when there is no mistake. Sorts the n guesses. `pixels`
 * holds grey images of height x width, one after the other. False, with tarn's error set, when the file
 * cannot be written. */
bool mistakes_draw(const char *path, guess *guesses, int64_t n, const uint8_t *pixels, int height, int width,
                   const char *const *classes);

#endif
