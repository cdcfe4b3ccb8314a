#include "examples/common/table.h"
#include "tensor/c_locale.h"
#include "tensor/error.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { MOST = 32 };

static bool check_columns(const char *who, int n_columns, const table_column *columns)
{
    for (int c = 0; c < n_columns; c++)
        if (!columns[c].name || (!columns[c].numbers && !columns[c].texts))
            return tarn_fail("%s: column %d has no name, or neither numbers nor texts", who, c);
    return true;
}

/* The text of one cell; `buffer` is for numbers. */
static const char *cell_text(char *buffer, size_t size, const table_column *column, int64_t row)
{
    if (column->texts)
        return column->texts[row] ? column->texts[row] : "";
    const double value = column->numbers[row];
    if (isnan(value))
        return "-";
    if (column->decimals == 0)
        snprintf(buffer, size, "%.4g", value);
    else
        snprintf(buffer, size, "%.*f", column->decimals > 0 ? column->decimals : 0, value);
    return buffer;
}

static int glyphs(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Padded by glyphs, which printf's width does not count. */
static void print_cell(FILE *file, const char *text, int width, bool right, bool last)
{
    const int pad = width - glyphs(text);
    fprintf(file, "%*s%s%*s%s", right ? pad : 0, "", text, right || last ? 0 : pad, "", last ? "\n" : "  ");
}

static void print_rows(FILE *file, int n_columns, const table_column *columns, int64_t n_rows)
{
    int width[MOST];
    char buffer[400]; /* the longest "%f" of a double, with decimals */
    for (int c = 0; c < n_columns; c++) {
        width[c] = glyphs(columns[c].name);
        for (int64_t r = 0; r < n_rows; r++) {
            const int need = glyphs(cell_text(buffer, sizeof buffer, &columns[c], r));
            width[c] = need > width[c] ? need : width[c];
        }
    }
    for (int64_t r = -1; r < n_rows; r++)
        for (int c = 0; c < n_columns; c++)
            print_cell(file, r < 0 ? columns[c].name : cell_text(buffer, sizeof buffer, &columns[c], r), width[c],
                       !columns[c].texts, c + 1 == n_columns);
}

bool table_print(FILE *file, int n_columns, const table_column *columns, int64_t n_rows)
{
    if (n_columns < 1 || n_columns > MOST)
        return tarn_fail("table_print: %d columns, expected 1 to %d", n_columns, MOST);
    if (!check_columns("table_print", n_columns, columns))
        return false;
    tarn__c_locale locale = tarn__c_locale_begin();
    print_rows(file, n_columns, columns, n_rows);
    tarn__c_locale_end(locale);
    return !ferror(file) || tarn_fail("table_print: cannot write: %s", strerror(errno));
}

/* Quoted where a comma, a quote or a new line would be taken for the table's. */
static void put_text(FILE *f, const char *text)
{
    const bool quoted = strpbrk(text, ",\"\n\r") != NULL;
    fputs(quoted ? "\"" : "", f);
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (char[]){*text, '\0'}, f);
    fputs(quoted ? "\"" : "", f);
}

bool table_write_csv(const char *path, int n_columns, const table_column *columns, int64_t n_rows)
{
    if (!check_columns("table_write_csv", n_columns, columns))
        return false;
    FILE *f = fopen(path, "w");
    if (!f)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    tarn__c_locale locale = tarn__c_locale_begin();
    for (int64_t r = -1; r < n_rows; r++)
        for (int c = 0; c < n_columns; c++) {
            if (r < 0)
                put_text(f, columns[c].name);
            else if (columns[c].texts)
                put_text(f, columns[c].texts[r] ? columns[c].texts[r] : "");
            else if (!isnan(columns[c].numbers[r]))
                fprintf(f, "%.9g", columns[c].numbers[r]);
            fputc(c + 1 < n_columns ? ',' : '\n', f);
        }
    tarn__c_locale_end(locale);
    const bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return tarn_fail("%s: cannot write: %s", path, strerror(errno));
    return true;
}
