/* tests/comma_locale.h: a locale whose decimal point is a comma, on any machine with glibc: the file that localedef
 * would write for it, in the test's own folder. */
#ifndef TARN_TESTS_COMMA_LOCALE_H
#define TARN_TESTS_COMMA_LOCALE_H

#include "tests/check.h"

#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sets it for numbers. False where the C library does not take it: skip(). */
static inline bool comma_locale_begin(void)
{
    /* A magic number, the count of items, where each is, and: point, thousands' separator, grouping, the first two as
     * wide characters, the character set. */
    static const uint32_t head[] = {0x20031114, 6, 32, 34, 35, 36, 40, 44};
    static const unsigned char items[] = {',', 0, 0, 0, ',', 0, 0, 0, 0, 0, 0, 0, 'U', 'T', 'F', '-', '8', 0};
    char folder[] = "/tmp/tarn-locale-XXXXXX", name[64], path[80], text[16];
    assert_non_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/comma", folder);
    snprintf(path, sizeof path, "%s/LC_NUMERIC", name);
    assert_int_equal(mkdir(name, 0700), 0);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(head, sizeof head, 1, f);
    fwrite(items, sizeof items, 1, f);
    assert_int_equal(fclose(f), 0);
    setenv("LOCPATH", folder, 1);
    setlocale(LC_NUMERIC, "comma");
    unsetenv("LOCPATH");
    unlink(path);
    rmdir(name);
    rmdir(folder);
    snprintf(text, sizeof text, "%.1f", 1.5);
    return strcmp(text, "1,5") == 0;
}

static inline void comma_locale_end(void)
{
    setlocale(LC_NUMERIC, "C");
}

#endif
