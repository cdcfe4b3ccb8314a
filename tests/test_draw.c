/* tarn_tape_write_dot(): the text is read back, and given to Graphviz where it is installed. */
#include "tests/files.h"
#include "tests/tape_fixture.h"

#include "tarn.h"

#include <stdio.h>

/* ---- the text ---- */

/* What the tape is written as; to be freed. */
static char *draw(const tarn_dot_opts *opts)
{
    const char *path = files_path("tape.dot");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    const bool done = tarn_tape_write_dot(t, file, opts);
    fclose(file);
    expect_no_error();
    assert_true(done);
    size_t bytes;
    char *text = (char *)files_read(path, &bytes);
    text[bytes] = '\0'; /* there is room for it */
    return text;
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *c = text; (c = strstr(c, what)); c++)
        n++;
    return n;
}

static void expect_count(const char *text, const char *what, int expected)
{
    if (count(text, what) != expected)
        fail_msg("%d times '%s', expected %d, in\n%s", count(text, what), what, expected, text);
}

/* The whole text between the head and the tail. */
static void expect_body(char *text, const char *expected)
{
    char *body = strstr(text, "  edge [");
    assert_non_null(body);
    body = strchr(body, '\n') + 1;
    if (strcmp(body, expected) != 0)
        fail_msg("found\n%s\nexpected\n%s", body, expected);
    free(text);
}

/* Graphviz takes it. */
static void check_with_dot(const char *path)
{
    char command[1024];
    if (system("command -v dot >/dev/null 2>&1") != 0) {
        print_message("dot is not installed: what it says of %s is not known\n", path);
        return;
    }
    snprintf(command, sizeof command, "dot -Tsvg '%s' -o '%s.svg' 2>'%s.err' && ! [ -s '%s.err' ]", path, path, path,
             path);
    assert_int_equal(system(command), 0);
}

#define NODE "fillcolor=\"#dbe9f6\""

/* ---- a small net ---- */

typedef struct net {
    tarn_params *p;
    tarn_tensor *w, *b, *seen, *x, *z, *y;
} net;

/* y = relu(x w + b) * seen, twice the same in a product */
static net net_new(void)
{
    net n = {.p = tarn_params_new(TARN_F32)};
    n.w = tarn_params_add(n.p, "w", 2, (int64_t[]){3, 2});
    n.b = tarn_params_add(n.p, "b", 1, (int64_t[]){2});
    n.seen = tarn_params_add_buffer(n.p, "seen", 1, (int64_t[]){2});
    n.x = tarn_tensor_new(TARN_F32, 2, (int64_t[]){4, 3});
    n.z = tarn_add(t, tarn_matmul(t, n.x, n.w), n.b);
    tarn_tensor *a = tarn_mul(t, tarn_relu(t, n.z), n.seen);
    n.y = tarn_mul(t, a, a);
    expect_no_error();
    return n;
}

static void net_free(net *n)
{
    tarn_params_free(n->p);
    tarn_tensor_free(n->x);
}

static void test_text_of_a_net(void **state)
{
    (void)state;
    net n = net_new();
    const tarn_dot_name names[] = {{n.z, "z"}, {n.x, "x"}};
    expect_body(draw(&(tarn_dot_opts){.n_names = 2, .names = names, .n_outputs = 1, .outputs = &n.y}),
                "  leaf0 [shape=ellipse, fillcolor=\"#ffffff\", label=\"x\\nf32 [4,3]\"];\n"
                "  leaf1 [shape=ellipse, fillcolor=\"#cfe8cf\", label=\"w\\nf32 [3,2]\"];\n"
                "  node0 [" NODE ", label=\"matmul\\nf32 [4,2]\"];\n"
                "  leaf0 -> node0;\n"
                "  leaf1 -> node0;\n"
                "  leaf2 [shape=ellipse, fillcolor=\"#cfe8cf\", label=\"b\\nf32 [2]\"];\n"
                "  node1 [" NODE ", label=\"add\\nz: f32 [4,2]\"];\n"
                "  node0 -> node1;\n"
                "  leaf2 -> node1;\n"
                "  node2 [" NODE ", label=\"relu\\nf32 [4,2]\"];\n"
                "  node1 -> node2;\n"
                "  leaf3 [shape=ellipse, fillcolor=\"#e4e4e4\", label=\"seen\\nf32 [2]\"];\n"
                "  node3 [" NODE ", label=\"mul\\nf32 [4,2]\"];\n"
                "  node2 -> node3;\n"
                "  leaf3 -> node3;\n"
                "  node4 [" NODE ", peripheries=2, label=\"mul\\nf32 [4,2]\"];\n"
                "  node3 -> node4;\n"
                "  node3 -> node4;\n"
                "}\n");
    check_with_dot(files_path("tape.dot"));
    net_free(&n);
}

static void test_without_leaves(void **state)
{
    (void)state;
    net n = net_new();
    expect_body(draw(&(tarn_dot_opts){.hide_leaves = true, .n_outputs = 1, .outputs = &n.z}),
                "  node0 [" NODE ", label=\"matmul\\nf32 [4,2]\"];\n"
                "  node1 [" NODE ", peripheries=2, label=\"add\\nf32 [4,2]\"];\n"
                "  node0 -> node1;\n"
                "}\n");
    net_free(&n);
}

/* Only what z needs, though more was recorded before and after; and a view, and an op with several outputs. */
static void test_only_what_an_output_needs(void **state)
{
    (void)state;
    net n = net_new();
    tarn_tensor *turned = tarn_permute(t, n.z, (int[]){1, 0}), *other = tarn_exp(t, n.z);
    char *text = draw(&(tarn_dot_opts){.n_outputs = 1, .outputs = &turned});
    assert_non_null(other);
    expect_count(text, "label=\"permute", 1);
    expect_count(text, "style=\"filled,dashed\", peripheries=2, label=\"permute\\nf32 [2,4]\"", 1);
    expect_count(text, "label=\"add", 1);
    expect_count(text, "label=\"relu", 0);
    expect_count(text, "label=\"exp", 0);
    expect_count(text, "seen", 0);
    free(text);
    net_free(&n);
}

/* ---- gradients ---- */

static void test_every_node_of_a_gradient(void **state)
{
    (void)state;
    net n = net_new();
    tarn_tensor *grads[2];
    const size_t forward = tarn_tape_nodes(t);
    tarn_tensor *l = sum(n.y);
    assert_true(tarn_grad(t, 1, &l, NULL, 2, (tarn_tensor *[]){n.x, n.w}, grads));
    const size_t all = tarn_tape_nodes(t);
    char *text = draw(NULL);
    assert_int_equal(tarn_tape_nodes(t), all);
    assert_int_equal(count(text, NODE), forward + 1);
    assert_int_equal(count(text, "fillcolor=\"#fbd9b5\""), all - forward - 1);
    for (size_t i = 0; i < all; i++) {
        char box[32];
        snprintf(box, sizeof box, "  node%zu [", i);
        expect_count(text, box, 1);
    }
    free(text);
    check_with_dot(files_path("tape.dot"));
    net_free(&n);
}

static tarn_tensor *segment(tarn_tape *tape, void *context, tarn_tensor *x)
{
    (void)context;
    return tarn_sin(tape, tarn_exp(tape, x));
}

static void test_what_a_checkpoint_computes_again(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *g, *y = sum(tarn_checkpoint(t, segment, NULL, x));
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    char *text = draw(NULL);
    expect_count(text, "fillcolor=\"#e4e4e4\", label=\"exp\\n", 1);
    free(text);
    tarn_tensor_free(x);
}

static void test_outputs_of_one_op(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_tensor *x = tarn_full(t, TARN_F32, TARN_SHAPE(4, 3), 1), *g, *y;
    tarn_batchnorm_layer norm;
    assert_true(tarn_batchnorm_init(&norm, p, "bn", 3, NULL));
    y = sum(tarn_batchnorm_apply(t, &norm, x));
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    char *text = draw(NULL);
    expect_count(text, "label=\"batchnorm\\nf32 [4,3]\\nf64 [3]\\nf64 [3]\"", 1);
    assert_true(count(text, " [label=\"0\"];\n") > 0 && count(text, " [label=\"1\"];\n") > 0);
    free(text);
    check_with_dot(files_path("tape.dot"));
    tarn_params_free(p);
}

/* ---- nothing runs; texts; errors ---- */

static void test_nothing_runs(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *y = bomb(x);
    assert_non_null(y);
    free(draw(NULL));
    assert_false(tarn_run(y));
    expect_error("tarn_index_select");
    tarn_tensor_free(x);
}

static void test_texts_are_escaped(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *y = tarn_exp(t, x);
    const tarn_dot_name names[] = {{x, "a \"b\" \\ c"}, {y, "z\n1\t<&"}};
    char *text = draw(&(tarn_dot_opts){.title = "\"; }\\", .n_names = 2, .names = names});
    expect_count(text, "label=\"\\\"; }\\\\\"];", 1);
    expect_count(text, "label=\"a \\\"b\\\" \\\\ c\\nf64 [2]\"", 1);
    expect_count(text, "label=\"exp\\nz\\n1 <&: f64 [2]\"", 1);
    free(text);
    check_with_dot(files_path("tape.dot"));
    tarn_tensor_free(x);
}

static void test_empty_tape(void **state)
{
    (void)state;
    expect_body(draw(NULL), "}\n");
    check_with_dot(files_path("tape.dot"));
}

/* Leaves of many sizes lie far apart, at irregular addresses. */
static void test_many_leaves(void **state)
{
    (void)state;
    enum { MANY = 300 };
    tarn_tensor *x[MANY], *y = tarn_full(t, TARN_F64, 0, NULL, 0);
    for (int i = 0; i < MANY; i++) {
        x[i] = tarn_tensor_new(TARN_F64, TARN_SHAPE(1 + i * i * 37 % 5003));
        y = tarn_add(t, y, tarn_mul(t, sum(x[i]), sum(x[i / 2])));
    }
    char *text = draw(NULL);
    expect_count(text, "shape=ellipse", MANY + 1);
    expect_count(text, "  leaf0 -> ", 3);
    expect_count(text, "  leaf1 -> ", 1);
    expect_count(text, "  leaf2 -> ", 3);
    expect_count(text, "  leaf300 -> ", 1);
    free(text);
    for (int i = 0; i < MANY; i++)
        tarn_tensor_free(x[i]);
}

static void test_errors(void **state)
{
    (void)state;
    tarn_tensor *x = VALUES(1, 2), *y = tarn_exp(t, x);
    FILE *full = fopen("/dev/full", "w");
    assert_false(tarn_tape_write_dot(NULL, stdout, NULL));
    expect_error("tarn_tape_write_dot: tape is NULL");
    assert_false(tarn_tape_write_dot(t, NULL, NULL));
    expect_error("tarn_tape_write_dot: file is NULL");
    assert_false(tarn_tape_write_dot(t, stdout, &(tarn_dot_opts){.n_outputs = 1, .outputs = &x}));
    expect_error("tarn_tape_write_dot", "outputs[0] is a leaf");
    assert_false(tarn_tape_write_dot(t, stdout, &(tarn_dot_opts){.n_names = 1, .names = &(tarn_dot_name){y, NULL}}));
    expect_error("tarn_tape_write_dot", "the name of names[0] is NULL");
    assert_non_null(full);
    assert_false(tarn_tape_write_dot(t, full, NULL));
    expect_error("tarn_tape_write_dot", "could not be written");
    fclose(full);
    tarn_tensor_free(x);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_text_of_a_net),
        TEST(test_without_leaves),
        TEST(test_only_what_an_output_needs),
        TEST(test_every_node_of_a_gradient),
        TEST(test_what_a_checkpoint_computes_again),
        TEST(test_outputs_of_one_op),
        TEST(test_nothing_runs),
        TEST(test_texts_are_escaped),
        TEST(test_empty_tape),
        TEST(test_many_leaves),
        TEST(test_errors),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
