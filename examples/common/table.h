/* table.h: the numbers behind a picture, on the screen and as a file.
 *
 *     const table_column columns[] = {{.name = "optimiser", .texts = names},
 *                                     {.name = "steps", .numbers = steps, .decimals = TABLE_WHOLE},
 *                                     {.name = "accuracy", .numbers = accuracy, .decimals = 3}};
 *     table_print(stdout, 3, columns, n) && table_write_csv("out/optimisers.csv", 3, columns, n); */
#ifndef EXAMPLES_TABLE_H
#define EXAMPLES_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_WHOLE = -1 };

typedef struct table_column {
    const char *name;         /* with the unit */
    const double *numbers;    /* numbers, or texts: */
    const char *const *texts; /* NULL: as empty */
    int decimals;             /* on the screen; 0: four significant digits; TABLE_WHOLE: none */
} table_column;

/* Prints the table with a header, texts to the left and numbers to the right; NaN is "-". False, with tarn's error set,
 * when a column has neither numbers nor texts, or the file cannot be written. */
bool table_print(FILE *file, int n_columns, const table_column *columns, int64_t n_rows);

/* The same as comma-separated values, names in the first line; numbers with nine significant digits, NaN left empty. */
bool table_write_csv(const char *path, int n_columns, const table_column *columns, int64_t n_rows);

#endif
