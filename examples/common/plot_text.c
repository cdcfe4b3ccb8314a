#include "examples/common/plot_impl.h"

#include <math.h>
#include <string.h>

/* Of a letter of Helvetica, in units of the font's size, and a little more. */
static double glyph_width(unsigned char c)
{
    if (strchr("ijl.,:;'|! ", c))
        return 0.31;
    if (strchr("ftr()[]/-\"", c))
        return 0.38;
    if (strchr("mwMW%@", c))
        return 0.95;
    return c >= 'A' && c <= 'Z' ? 0.76 : 0.61;
}

double plot__text_width(const char *text, double size)
{
    double width = 0;
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80)
            width += glyph_width((unsigned char)*text);
    return width * size;
}

/* The bytes of the UTF-8 character that the text starts with; 0 if it is none. */
static int character_bytes(const char *text)
{
    const unsigned char first = (unsigned char)*text;
    const int n = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : 4;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4)
        return 0;
    for (int i = 1; i < n; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static void put_escaped(FILE *f, const char *text)
{
    while (*text) {
        const int n = character_bytes(text);
        if (*text == '&')
            fputs("&amp;", f);
        else if (*text == '<')
            fputs("&lt;", f);
        else if (*text == '>')
            fputs("&gt;", f);
        else if (n == 0 || (unsigned char)*text < ' ')
            fputc('?', f);
        else
            fwrite(text, 1, (size_t)n, f);
        text += n ? n : 1;
    }
}

void plot__text(FILE *f, double x, double y, double size, double room, const char *anchor, const char *style,
                const char *text)
{
    const double width = plot__text_width(text, size);
    if (width > room)
        size *= fmax(room, 1) / width;
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.3g\" text-anchor=\"%s\" %s>", x, y, size, anchor, style);
    put_escaped(f, text);
    fputs("</text>\n", f);
}

double plot__paragraph(FILE *f, double x, double y, double width, double size, const char *style, const char *text)
{
    char line[512];
    while (*text) {
        size_t fits = 0, n = 0;
        for (; n < sizeof line - 1; n++) {
            if (text[n] == ' ' || text[n] == '\0') {
                memcpy(line, text, n);
                line[n] = '\0';
                if (fits && plot__text_width(line, size) > width)
                    break;
                fits = n;
            }
            if (text[n] == '\0')
                break;
        }
        fits = fits ? fits : n;
        memcpy(line, text, fits);
        line[fits] = '\0';
        if (f)
            plot__text(f, x, y + size, size, width, "start", style, line);
        y += size * 1.35;
        for (text += fits; *text == ' ';)
            text++;
    }
    return y;
}
