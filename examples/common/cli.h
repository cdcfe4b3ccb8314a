/* cli.h: command lines for the examples: a table of options, checked values, and --help made from the same
 * table. */
#ifndef EXAMPLES_CLI_H
#define EXAMPLES_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_kind {
    CLI_FLAG, /* bool *: true when given */
    CLI_INT,  /* int64_t *, low to high */
    CLI_REAL, /* double *, low to high */
    CLI_TEXT, /* const char **, not empty */
    CLI_LIST  /* cli_list *: every argument up to the next that starts with "--", at least one */
} cli_kind;

typedef struct cli_list {
    char **items;
    int count;
} cli_list;

typedef struct cli_option {
    const char *name;    /* "--epochs" */
    const char *operand; /* "N", for --help; NULL for a flag */
    cli_kind kind;
    void *value;      /* holds the default, and receives what was given */
    double low, high; /* of numbers, both included */
    const char *help; /* one line */
} cli_option;

/* Reads argv into the options' values; --name=value works too, and the last of two wins. Returns -1 to go on.
 * Otherwise it is the status to exit with: after --help or -h, which are answered on stdout, that of cli_end(); 2 after
 * a bad argument (told on stderr). */
int cli_parse(const char *program, const char *about, const cli_option *options, int count, int argc, char **argv);

/* The end of a program: flushes what it printed, says tarn's error on stderr if there is one, and returns the status to
 * exit with: 0, or 1 after an error. That the output could not be written is one. */
int cli_end(const char *program);

/* Makes a folder, and those above it, unless it is there. False, with tarn's error set, when it cannot. */
bool cli_make_folder(const char *path);

/* Whether a file can be written there, to be known before the work whose result it is to hold. What is there stays as it
 * is. False, with tarn's error set, when it cannot. */
bool cli_check_writable(const char *path);

/* "folder/name" into out. False, with tarn's error set, when it does not fit. */
bool cli_join(char *out, size_t size, const char *folder, const char *name);

#endif
