/* sheet.h: a contact sheet: small grey images in a grid, enlarged, each with two lines of text, as a PNG
 * file. */
#ifndef EXAMPLES_SHEET_H
#define EXAMPLES_SHEET_H

#include <stdbool.h>
#include <stdint.h>

enum { SHEET_TEXT = 32 };

typedef struct sheet_cell {
    const uint8_t *pixels;                      /* height * width, row by row */
    char first[SHEET_TEXT], second[SHEET_TEXT]; /* the lines below it: green, and red */
} sheet_cell;

typedef struct sheet {
    const char *title; /* one line above all; cut at the right edge */
    const char *note;  /* a second one, or NULL */
    int height, width; /* of an image */
    int columns;
    int n;
    const sheet_cell *cells;
} sheet;

/* Each pixel becomes a square, so that an image is about 200 pixels wide. False, with tarn's error set, when
 * there is nothing to draw, no memory, or the file cannot be written. */
bool sheet_write(const char *path, const sheet *s);

#endif
