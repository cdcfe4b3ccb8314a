#include "examples/common/cli.h"
#include "tensor/c_locale.h"
#include "tensor/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void print_default(const cli_option *o)
{
    if (o->kind == CLI_INT)
        printf(" (default %lld)", (long long)*(const int64_t *)o->value);
    else if (o->kind == CLI_REAL)
        printf(" (default %g)", *(const double *)o->value);
    else if (o->kind == CLI_TEXT && *(const char *const *)o->value)
        printf(" (default %s)", *(const char *const *)o->value);
}

static void print_help(const char *program, const char *about, const cli_option *options, int count)
{
    printf("usage: %s [options]\n%s\n\noptions:\n", program, about);
    for (int i = 0; i < count; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", options[i].name, options[i].operand ? options[i].operand : "");
        printf("  %-20s %s", left, options[i].help);
        print_default(&options[i]);
        putchar('\n');
    }
    printf("  %-20s %s\n", "--help", "print this, and exit");
}

static int bad_value(const char *program, const cli_option *o, const char *text)
{
    if (o->kind == CLI_TEXT)
        fprintf(stderr, "%s: %s: the value is empty\n", program, o->name);
    else
        fprintf(stderr, "%s: %s: '%s' is not %s from %.12g to %.12g\n", program, o->name, text,
                o->kind == CLI_INT ? "a whole number" : "a number", o->low, o->high);
    return 2;
}

static bool store_value(const cli_option *o, const char *text)
{
    char *end = NULL;
    errno = 0;
    if (o->kind == CLI_TEXT) {
        *(const char **)o->value = text;
        return *text != '\0';
    }
    if (o->kind == CLI_INT) {
        const long long number = strtoll(text, &end, 10);
        if (end == text || *end || errno || (double)number < o->low || (double)number > o->high)
            return false;
        *(int64_t *)o->value = number;
        return true;
    }
    const double number = strtod(text, &end);
    if (end == text || *end || errno || !(number >= o->low && number <= o->high))
        return false;
    *(double *)o->value = number;
    return true;
}

static const cli_option *find_option(const cli_option *options, int count, const char *text, size_t length)
{
    for (int i = 0; i < count; i++)
        if (strlen(options[i].name) == length && !memcmp(options[i].name, text, length))
            return &options[i];
    return NULL;
}

/* Takes the option's arguments, which start at argv[i]; returns how many, or -1 when there is none. */
static int take_list(const cli_option *o, int argc, char **argv, int i)
{
    cli_list *list = o->value;
    int n = 0;
    while (i + n < argc && strncmp(argv[i + n], "--", 2) != 0)
        n++;
    *list = (cli_list){&argv[i], n};
    return n ? n : -1;
}

static int parse(const char *program, const char *about, const cli_option *options, int count, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i], *equals = strchr(text, '=');
        if (!strcmp(text, "--help") || !strcmp(text, "-h")) {
            print_help(program, about, options, count);
            return cli_end(program);
        }
        const size_t length = equals ? (size_t)(equals - text) : strlen(text);
        const cli_option *o = find_option(options, count, text, length);
        if (!o || (equals && (o->kind == CLI_FLAG || o->kind == CLI_LIST))) {
            fprintf(stderr, "%s: unknown option '%s'; see --help\n", program, text);
            return 2;
        }
        if (o->kind == CLI_FLAG) {
            *(bool *)o->value = true;
            continue;
        }
        const int taken = o->kind == CLI_LIST ? take_list(o, argc, argv, i + 1) : equals ? 0 : i + 1 < argc ? 1 : -1;
        if (taken < 0) {
            fprintf(stderr, "%s: %s needs %s; see --help\n", program, o->name, o->operand);
            return 2;
        }
        i += taken;
        if (o->kind != CLI_LIST && !store_value(o, equals ? equals + 1 : argv[i]))
            return bad_value(program, o, equals ? equals + 1 : argv[i]);
    }
    return -1;
}

int cli_parse(const char *program, const char *about, const cli_option *options, int count, int argc, char **argv)
{
    tarn__c_locale locale = tarn__c_locale_begin();
    const int status = parse(program, about, options, count, argc, argv);
    tarn__c_locale_end(locale);
    return status;
}

int cli_end(const char *program)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        tarn_fail("the output could not be printed");
    if (tarn_error())
        fprintf(stderr, "%s: %s\n", program, tarn_error());
    return tarn_error() ? 1 : 0;
}

bool cli_make_folder(const char *path)
{
    char part[4096];
    const size_t length = strlen(path);
    if (length >= sizeof part)
        return tarn_fail("%.60s...: the path is longer than %zu bytes", path, sizeof part - 1);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return tarn_fail("%s: cannot make the folder: %s", part, strerror(errno));
    }
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return tarn_fail("%s: not a folder", path);
    return true;
}

bool cli_check_writable(const char *path)
{
    const bool was_there = access(path, F_OK) == 0;
    FILE *f = fopen(path, "ab");
    if (!f)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    fclose(f);
    if (!was_there)
        remove(path);
    return true;
}

bool cli_join(char *out, size_t size, const char *folder, const char *name)
{
    const int length = snprintf(out, size, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= size)
        return tarn_fail("%.60s.../%s: the path is longer than %zu bytes", folder, name, size - 1);
    return true;
}
