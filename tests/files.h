/* tests/files.h: a folder for the files of a test, and files as bytes. */
#ifndef TARN_TESTS_FILES_H
#define TARN_TESTS_FILES_H

#include <stddef.h>

/* A new folder in $TMPDIR or /tmp; removed with what is in it. Group setup and teardown for cmocka: 0 is
 * success. */
int files_setup(void **state);
int files_teardown(void **state);

/* The path of `name` in the folder; good until the fourth call from now. */
const char *files_path(const char *name);

/* How many files the folder has now. */
int files_count(void);

/* What the file holds, to be freed; a test that cannot read or write fails. */
unsigned char *files_read(const char *path, size_t *bytes);
void files_write(const char *path, const void *data, size_t bytes);

/* The file holds exactly these bytes. */
void files_expect(const char *path, const void *data, size_t bytes);

#endif
