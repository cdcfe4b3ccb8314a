/* What the examples draw and print: figures that any reader of SVG takes, whatever the numbers, and tables. */
#include "tests/check.h"
#include "tests/comma_locale.h"
#include "tests/files.h"

#include "examples/common/cli.h"
#include "examples/common/plot.h"
#include "examples/common/table.h"
#include "tarn.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 32, SIDE = 30 };

/* ---- a small reader of SVG ---- */

typedef struct page {
    double width, height;
    int circles;
    int clipped; /* the depth below which things may stand outside of the page; 0: none */
} page;

static char *read_text(const char *path)
{
    size_t bytes;
    char *text = (char *)files_read(path, &bytes); /* it has room for one byte more */
    text[bytes] = '\0';
    assert_int_equal(strlen(text), bytes);
    return text;
}

/* The number behind name=" in the tag, or NaN. */
static double attribute(const char *tag, const char *end, const char *name)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, " %s=\"", name);
    const char *at = strstr(tag, wanted);
    return at && at < end ? strtod(at + strlen(wanted), NULL) : (double)NAN;
}

/* No attribute but names of files and texts may hold what printf makes of NaN and infinity. */
static void check_numbers(const char *tag, const char *end)
{
    for (const char *c = tag; c < end; c++)
        if ((strncmp(c, "nan", 3) == 0 || strncmp(c, "inf", 3) == 0) && !isalpha((unsigned char)c[-1]))
            fail_msg("not a number: %.*s", (int)(end - tag), tag);
}

static void check_inside(const page *p, double x, double y, const char *tag, const char *end)
{
    if (!(x >= 0 && x <= p->width && y >= 0 && y <= p->height))
        fail_msg("outside of the page: %.*s", (int)(end - tag), tag);
}

/* The text does not leave the page either, wherever it is anchored and however it is turned; half of its size is the
 * mean width of a letter. */
static void check_text(const page *p, const char *tag, const char *end)
{
    static const double degree = 3.14159265358979 / 180;
    double width = 0, angle = 0;
    const double x = attribute(tag, end, "x"), y = attribute(tag, end, "y"), size = attribute(tag, end, "font-size");
    const char *anchor = strstr(tag, "text-anchor=\"") + 13, *turn = strstr(tag, "rotate(");
    for (const char *c = end + 1; *c != '<'; c++)
        width += (*c & 0xc0) == 0x80 ? 0 : size / 2;
    if (turn && turn < end)
        angle = strtod(turn + 7, NULL) * degree;
    const double before = *anchor == 's' ? 0 : *anchor == 'm' ? width / 2 : width, after = width - before;
    check_inside(p, x - before * cos(angle), y - before * sin(angle), tag, end);
    check_inside(p, x + after * cos(angle), y + after * sin(angle), tag, end);
}

static void check_tag(page *p, const char *tag, const char *end, int depth)
{
    check_numbers(tag, end);
    if (strncmp(tag, "svg ", 4) == 0) {
        p->width = attribute(tag, end, "width");
        p->height = attribute(tag, end, "height");
    } else if (strncmp(tag, "g clip-path", 11) == 0 && p->clipped == 0) {
        p->clipped = depth;
    } else if (strncmp(tag, "text ", 5) == 0) {
        check_text(p, tag, end);
    } else if (strncmp(tag, "rect x", 6) == 0) {
        const double x = attribute(tag, end, "x"), y = attribute(tag, end, "y");
        check_inside(p, x, y, tag, end);
        check_inside(p, x + attribute(tag, end, "width"), y + attribute(tag, end, "height"), tag, end);
    } else if (strncmp(tag, "circle ", 7) == 0) {
        p->circles++;
        if (p->clipped == 0)
            check_inside(p, attribute(tag, end, "cx"), attribute(tag, end, "cy"), tag, end);
    }
}

static size_t name_length(const char *tag)
{
    return strcspn(tag, " />\n");
}

/* Every tag is closed, in order; attributes are quoted; text has no bare & or <. */
static page check_svg(const char *path)
{
    char *text = read_text(path), *open[DEPTH];
    int depth = 0;
    page p = {0};
    for (char *c = text; *c; c++) {
        if (*c == '&' && strncmp(c, "&amp;", 5) != 0 && strncmp(c, "&lt;", 4) != 0 && strncmp(c, "&gt;", 4) != 0)
            fail_msg("bare &: %.40s", c);
        if (*c != '<')
            continue;
        char *end = strpbrk(c + 1, "<>");
        if (!end || *end != '>')
            fail_msg("a tag does not end: %.40s", c);
        if (c[1] == '/') {
            assert_true(depth > 0);
            depth--;
            assert_int_equal(name_length(open[depth]), name_length(c + 2));
            assert_memory_equal(open[depth], c + 2, name_length(c + 2));
            if (depth < p.clipped)
                p.clipped = 0;
        } else {
            assert_true(depth < DEPTH);
            open[depth] = c + 1;
            depth += end[-1] != '/';
            check_tag(&p, c + 1, end, depth);
        }
        c = end;
    }
    assert_int_equal(depth, 0);
    assert_true(p.width > 0 && p.height > 0);
    free(text);
    return p;
}

static page draw(const plot_figure *figure)
{
    const char *path = files_path("figure.svg");
    const bool done = plot_write(path, figure);
    expect_no_error();
    assert_true(done);
    return check_svg(path);
}

static page draw_panel(plot_panel panel)
{
    return draw(&(plot_figure){.title = "A finding", .n_panels = 1, .panels = &panel});
}

static int count(const char *path, const char *what)
{
    char *text = read_text(path);
    int n = 0;
    for (const char *c = text; (c = strstr(c, what)); c++)
        n++;
    free(text);
    return n;
}

/* ---- hostile numbers ---- */

static const double one_value[] = {3, 3, 3, 3}, zeros[] = {0, 0, 0, 0}, nans[] = {NAN, NAN, NAN, NAN},
                    mixed[] = {1, NAN, INFINITY, -2}, huge[] = {-DBL_MAX, DBL_MAX, 0, -INFINITY},
                    tiny[] = {DBL_TRUE_MIN, DBL_MIN, 0, -DBL_MIN}, wide[] = {1e-300, 1e300, 1, 0};
static const double *const hostile[] = {one_value, zeros, nans, mixed, huge, tiny, wide};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static void test_series_of_hostile_numbers(void **state)
{
    (void)state;
    static const plot_style styles[] = {PLOT_LINE, PLOT_POINTS, PLOT_LINE_AND_POINTS, PLOT_BARS};
    for (int h = 0; h < HOSTILE; h++)
        for (int style = 0; style < 4; style++)
            for (int logs = 0; logs < 4; logs++)
                for (int n = 0; n <= 4; n += n ? 3 : 1) {
                    const plot_series s[] = {
                        {.name = "a", .n = n, .y = hostile[h], .style = styles[style], .ends = true},
                        {.name = "b",
                         .n = n,
                         .x = hostile[h],
                         .y = one_value,
                         .low = hostile[h],
                         .high = hostile[(h + 1) % HOSTILE],
                         .style = styles[style]}};
                    const plot_note notes[] = {{hostile[h][0], hostile[h][1], "here"}, {1, 3, "there"}};
                    draw_panel((plot_panel){.x = {.label = "x", .log = logs % 2},
                                            .y = {.label = "y", .log = logs / 2},
                                            .n_series = 2,
                                            .series = s,
                                            .n_notes = 2,
                                            .notes = notes});
                }
}

static void test_fields_of_hostile_numbers(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {4, 1}, {1, 4}, {2, 2}};
    for (int h = 0; h < HOSTILE; h++)
        for (int shape = 0; shape < 4; shape++)
            for (int flags = 0; flags < 64; flags++) {
                const plot_field field = {.columns = shapes[shape][0],
                                          .rows = shapes[shape][1],
                                          .values = hostile[h],
                                          .label = "value",
                                          .log = flags & 1,
                                          .diverging = flags & 2,
                                          .contours = true,
                                          .cells = flags & 4,
                                          .x_low = flags & 8 ? 0.5 : 0,
                                          .x_high = flags & 8 ? 2 : 0};
                draw_panel((plot_panel){
                    .x = {.log = flags & 16}, .y = {.reversed = flags & 32}, .field = &field, .equal = true});
            }
}

/* ---- what is drawn ---- */

static void test_texts_are_escaped(void **state)
{
    (void)state;
    static const double y[] = {1, 2};
    const plot_series s = {.name = "a < b & \"c\"", .n = 2, .y = y};
    const plot_panel panel = {.title = "<g>", .x = {.label = "&"}, .n_series = 1, .series = &s};
    const char *path = files_path("escaped.svg");
    assert_true(plot_write(
        path, &(plot_figure){.title = "R&D > 1 \x01\xff\xc3", .note = "</svg>", .n_panels = 1, .panels = &panel}));
    check_svg(path);
    assert_int_equal(count(path, ">R&amp;D &gt; 1 ?"
                                 "?"
                                 "?<"),
                     1);
    assert_int_equal(count(path, ">&lt;/svg&gt;<"), 1);
    assert_int_equal(count(path, ">a &lt; b &amp; \"c\"<"), 1);
}

static void test_long_texts_stay_on_the_page(void **state)
{
    (void)state;
    static const char words[] = "a sentence of many words that goes on and on until nobody can read it in a line "
                                "of a page that is as narrow as this one is, and some more";
    static const char *const names[] = {words, "b"};
    static const double y[] = {1, 2};
    plot_series s[8];
    for (int i = 0; i < 8; i++)
        s[i] = (plot_series){.name = words, .n = 2, .y = y};
    for (int n = 1; n <= 8; n += 7) {
        const plot_panel panel = {.title = words,
                                  .x = {.label = words, .n_ticks = 2, .tick_names = names},
                                  .y = {.label = words, .n_ticks = 2, .tick_names = names},
                                  .n_series = n,
                                  .series = s};
        draw(&(plot_figure){.title = words, .note = words, .n_panels = 1, .panels = &panel});
        const char *path = files_path("figure.svg");
        assert_int_equal(count(path, ">a sentence of many words"), 7 + n);
        assert_true(count(path, "font-weight=\"bold\"") >= 4); /* both titles have several lines */
    }
}

static void fill_bowl(double *values)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        const double x = i % SIDE - SIDE / 2 + 0.5, y = i / SIDE - SIDE / 2 + 0.5;
        values[i] = x * x + y * y;
    }
}

/* A contour of a bowl is closed: it starts as often as it must, and every point has the level's distance from the
 * middle. */
static void test_contours_lie_on_their_level(void **state)
{
    (void)state;
    static double values[SIDE * SIDE];
    fill_bowl(values);
    const double edge = SIDE / 2 - 0.5;
    const plot_field field = {.columns = SIDE,
                              .rows = SIDE,
                              .values = values,
                              .x_low = -edge,
                              .x_high = edge,
                              .y_low = -edge,
                              .y_high = edge,
                              .contours = true,
                              .high = 400};
    draw_panel((plot_panel){.field = &field, .equal = true});
    char *text = read_text(files_path("figure.svg")), *c = strstr(text, "opacity=\"0.5\" d=\"M"), *clip, *next;
    double left, top, side, last = 0;
    assert_non_null(clip = strstr(text, "<clipPath id=\"field0\"><rect "));
    assert_int_equal(
        sscanf(clip, "<clipPath id=\"field0\"><rect x=\"%lf\" y=\"%lf\" width=\"%lf\"", &left, &top, &side), 3);
    assert_non_null(c);
    double x = 0, y = 0;
    int points = 0;
    for (c = strchr(c, 'M'); *c != '"'; c = next, points++) {
        const bool from_here = *c == 'l';
        const double a = strtod(c + 1, &next), b = strtod(next, &next);
        x = from_here ? x + a : a;
        y = from_here ? y + b : b;
        const double u = ((x - left) / side * 2 - 1) * edge, v = ((y - top) / side * 2 - 1) * edge;
        if (points)
            assert_true(fabs(u * u + v * v - last) < 1.5);
        last = points ? last : round((u * u + v * v) / 10) * 10;
    }
    assert_true(points > 20 && last > 0);
    free(text);
}

/* Each colour stands where its values are: the strokes of a table of four cells. */
static void test_cells_have_their_colours(void **state)
{
    (void)state;
    static const double values[] = {0, 1, 1, NAN};
    const plot_field field = {.columns = 2, .rows = 2, .values = values, .cells = true};
    draw_panel((plot_panel){.field = &field});
    const char *path = files_path("figure.svg");
    assert_int_equal(count(path, "d=\"M0 0.5h1\"/>"), 1 + 1); /* low left; and of the colour bar */
    assert_int_equal(count(path, "d=\"M1 0.5h1M0 1.5h1\"/>"), 1);
}

static void test_a_path_has_its_ends(void **state)
{
    (void)state;
    static const double x[] = {NAN, 1, 2, 3}, y[] = {1, 2, 3, NAN};
    const plot_series s = {.n = 4, .x = x, .y = y, .ends = true};
    assert_int_equal(draw_panel((plot_panel){.n_series = 1, .series = &s}).circles, 4);
    assert_int_equal(count(files_path("figure.svg"), "fill=\"#fff\" stroke=\"#0072b2\""), 1);
    assert_int_equal(count(files_path("figure.svg"), "fill=\"#0072b2\" stroke=\"#0072b2\""), 1);
}

/* Where the text starts, or its middle is. False if it is not there. */
static bool find_text(const char *wanted, double *x, double *y)
{
    char *text = read_text(files_path("figure.svg")), whole[64];
    snprintf(whole, sizeof whole, ">%s</text>", wanted);
    const char *at = strstr(text, whole);
    while (at && *at != '<')
        at--;
    const bool found = at && sscanf(at, "<text x=\"%lf\" y=\"%lf\"", x, y) == 2;
    free(text);
    return found;
}

/* Notes keep off the edges and off each other, or stand where they were asked to. */
static void test_notes(void **state)
{
    (void)state;
    static const plot_note notes[] = {{10, 10, "corner"}, {5, 5, "first"}, {5, 5, "second"}, {11, 2, "outside"}};
    plot_panel p = {.x = {.high = 10}, .y = {.high = 10}, .n_notes = 4, .notes = notes};
    double x[3], y[3], above[2], on[2];
    draw_panel(p);
    assert_true(find_text("corner", &x[0], &y[0]) && find_text("first", &x[1], &y[1]));
    assert_true(find_text("second", &x[2], &y[2]) && !find_text("outside", &x[2], &y[2]));
    assert_true(x[0] > x[1] && x[0] < 536 - 30); /* the panel ends at 536 */
    assert_true(x[1] > x[2] && y[1] == y[2]);    /* right and left of their point */
    p.notes_place = PLOT_ABOVE;
    draw_panel(p);
    assert_true(find_text("first", &above[0], &above[1]));
    p.notes_place = PLOT_ON;
    draw_panel(p);
    assert_true(find_text("first", &on[0], &on[1]));
    assert_true(above[0] == on[0] && above[1] < on[1] - 8 && on[0] > x[2] && on[0] < x[1]);
}

static void test_size_of_a_file(void **state)
{
    (void)state;
    enum { N = 100 };
    static double values[N * N];
    for (int i = 0; i < N * N; i++)
        values[i] = sin(i % N * 0.1) * cos((double)(i / N) * 0.13) + 0.01 * (i % N);
    const plot_field field = {.columns = N, .rows = N, .values = values, .contours = true};
    draw_panel((plot_panel){.field = &field});
    size_t bytes;
    free(files_read(files_path("figure.svg"), &bytes));
    assert_true(bytes < 150000);
}

/* ---- errors ---- */

static void test_errors(void **state)
{
    (void)state;
    static const double y[] = {1, 2};
    const char *path = files_path("never.svg");
    plot_series s = {.n = 2};
    plot_field field = {.columns = 0, .rows = 1, .values = y};
    plot_panel panel = {.n_series = 1, .series = &s};
    const plot_figure figure = {.n_panels = 1, .panels = &panel};
    assert_false(plot_write(path, &(plot_figure){0}));
    expect_error("plot_write", "needs a panel");
    assert_false(plot_write(path, &figure));
    expect_error("plot_write", "series 0 has no y");
    s.y = s.low = y;
    assert_false(plot_write(path, &figure));
    expect_error("plot_write", "expected both");
    s.low = NULL;
    panel.field = &field;
    assert_false(plot_write(path, &figure));
    expect_error("plot_write", "no values");
    panel.field = NULL;
    panel.x.n_ticks = 2;
    assert_false(plot_write(path, &figure));
    expect_error("plot_write", "without names");
    panel.x.n_ticks = 0;
    assert_false(plot_write("/nowhere/at/all.svg", &figure));
    expect_error("/nowhere/at/all.svg", "cannot write");
    assert_false(plot_write("/dev/full", &figure));
    expect_error("/dev/full", "cannot write");
}

/* ---- tables ---- */

static const char *const names[] = {"Adam", NULL, "\xce\xb2, \"two\""};
static const double steps[] = {10, 200, NAN}, loss[] = {0.123456789012, 1e-9, -3};
static const table_column columns[] = {{.name = "optimiser", .texts = names},
                                       {.name = "n", .numbers = steps, .decimals = TABLE_WHOLE},
                                       {.name = "loss", .numbers = loss},
                                       {.name = "rounded", .numbers = loss, .decimals = 2}};

static void test_table_is_aligned(void **state)
{
    (void)state;
    const char *path = files_path("table.txt");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(table_print(f, 4, columns, 3));
    fclose(f);
    static const char expected[] = "optimiser    n    loss  rounded\n"
                                   "Adam        10  0.1235     0.12\n"
                                   "           200   1e-09     0.00\n"
                                   "\xce\xb2, \"two\"     -      -3    -3.00\n";
    files_expect(path, expected, sizeof expected - 1);
}

static void test_table_as_csv(void **state)
{
    (void)state;
    const char *path = files_path("table.csv");
    assert_true(table_write_csv(path, 3, columns, 3));
    static const char expected[] = "optimiser,n,loss\nAdam,10,0.123456789\n,200,1e-09\n\"\xce\xb2, \"\"two\"\"\",,-3\n";
    files_expect(path, expected, sizeof expected - 1);
}

static void test_table_errors(void **state)
{
    (void)state;
    assert_false(table_print(stdout, 0, columns, 3));
    expect_error("table_print", "0 columns");
    assert_false(table_print(stdout, 1, &(table_column){.name = "a"}, 3));
    expect_error("table_print", "column 0");
    assert_false(table_write_csv("/dev/full", 4, columns, 3));
    expect_error("/dev/full", "cannot write");
    assert_false(table_write_csv("/nowhere/at/all.csv", 4, columns, 3));
    expect_error("/nowhere", "cannot write");
}

/* ---- a locale with a decimal comma ---- */

/* A picture, a table and its numbers as files; their bytes are the same in every locale. */
static void write_all(unsigned char *bytes[3], size_t sizes[3])
{
    static const double x[] = {0.25, 1.5, 1e-3}, y[] = {0.125, -2.75, 1e4};
    const double values[] = {0.5, 1.5, 2.5, -0.5};
    plot_field field = {.columns = 2, .rows = 2, .values = values, .x_high = 1.5, .y_high = 0.5, .contours = true};
    plot_note note = {0.5, 0.5, "half"};
    plot_panel panel = {.n_series = 1,
                        .series = &(plot_series){.name = "s", .n = 3, .x = x, .y = y, .style = PLOT_LINE_AND_POINTS},
                        .field = &field,
                        .n_notes = 1,
                        .notes = &note};
    const char *paths[3] = {files_path("comma.svg"), files_path("comma.csv"), files_path("comma.txt")};
    assert_true(plot_write(paths[0], &(plot_figure){.title = "t", .n_panels = 1, .panels = &panel}));
    assert_true(table_write_csv(paths[1], 4, columns, 3));
    FILE *f = fopen(paths[2], "w");
    assert_true(table_print(f, 4, columns, 3));
    fclose(f);
    for (int i = 0; i < 3; i++)
        bytes[i] = files_read(paths[i], &sizes[i]);
}

static void test_files_in_a_locale_with_a_comma(void **state)
{
    (void)state;
    unsigned char *want[3], *have[3];
    size_t want_sizes[3], have_sizes[3];
    double rate = 0;
    const cli_option option = {"--rate", "X", CLI_REAL, &rate, 0, 10, "a number"};
    char program[] = "p", name[] = "--rate", value[] = "0.5", *words[] = {program, name, value};
    write_all(want, want_sizes);
    if (!comma_locale_begin())
        skip();
    write_all(have, have_sizes);
    const int status = cli_parse("p", "about", &option, 1, 3, words);
    comma_locale_end();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(have_sizes[i], want_sizes[i]);
        assert_memory_equal(have[i], want[i], want_sizes[i]);
        free(have[i]);
        free(want[i]);
    }
    assert_int_equal(status, -1);
    assert_true(rate == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_of_hostile_numbers),
        cmocka_unit_test(test_fields_of_hostile_numbers),
        cmocka_unit_test(test_texts_are_escaped),
        cmocka_unit_test(test_long_texts_stay_on_the_page),
        cmocka_unit_test(test_contours_lie_on_their_level),
        cmocka_unit_test(test_cells_have_their_colours),
        cmocka_unit_test(test_a_path_has_its_ends),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_size_of_a_file),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_table_is_aligned),
        cmocka_unit_test(test_table_as_csv),
        cmocka_unit_test(test_table_errors),
        cmocka_unit_test(test_files_in_a_locale_with_a_comma),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
