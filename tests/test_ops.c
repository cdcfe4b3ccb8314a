/* The table of ops: every op's values and gradients.
 *
 * To add a row, for a new op `foo` or another case of one: in the file of its kind (tests/ops_elementwise.c,
 * ops_reduce.c, ops_shape.c, ops_image.c, ops_norm.c)
 *   1. write the expression over the inputs:   EXPRESSION(foo_x, tarn_foo(t, x[0], x[1]))
 *   2. write the values in plain C, by another way than the library's: a function of doubles, or of whole arrays;
 *   3. add  {"foo", "what is special", foo_x, order, n_in, {REAL(3, 5), REAL(5)}, .reference = foo_ref}
 *      with order 2, or 0 if foo has no gradient; WITHIN(low, high, shape...) for a domain, INDEX for whole numbers,
 *      kinks and `distinct` where a derivative jumps.
 * Each row then runs in f64 and f32, by every instruction set of the processor, with inputs that are contiguous,
 * permuted, strided, expanded, the same, and functions of each other; its gradients of both orders are compared with
 * finite differences (rtol 1e-6, atol 1e-8); and it must give the same bits with 1 to 4 threads, and lazily and
 * eagerly.
 *
 * An op of the library that no row covers fails the suite. An op that only a gradient uses is covered by the rows whose
 * gradient it is, when their order is 2. */
#include "tests/ops_check.h"

#include "tensor/threads.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- gradients ---- */

static void check_gradients(const ops_row *row, void *covered)
{
    ops_check_gradients(row, covered);
}

static void every_gradient_is_right(void **state)
{
    (void)state;
    size_t count;
    const tarn_op *const *ops = tarn__all_ops(&count);
    assert_true(count > 50);
    bool *covered = calloc(count, sizeof *covered);
    assert_non_null(covered);
    ops_for_each_row(check_gradients, covered);
    int without = 0;
    for (size_t i = 0; i < count; i++)
        if (!covered[i]) {
            print_error("op %s has no row that checks its %s\n", ops[i]->name, ops[i]->vjp ? "gradient" : "values");
            without++;
        }
    free(covered);
    ops_fail_on_complaints();
    if (without > 0)
        fail_msg("%d ops have no row", without);
}

static void every_op_has_a_name_of_its_own(void **state)
{
    (void)state;
    size_t count;
    const tarn_op *const *ops = tarn__all_ops(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ops[i]->name, ops[j]->name);
}

/* ---- values, by instruction set ---- */

enum { LACKING = 77 };

static const char *program;

static void check_values(const ops_row *row, void *context)
{
    (void)context;
    ops_check_values(row);
}

static void every_value_is_right(void **state)
{
    (void)state;
    ops_for_each_row(check_values, NULL);
    ops_fail_on_complaints();
}

/* In a process of its own, since the instruction set is chosen once. */
static int values_program(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_value_is_right)};
    const char *asked = getenv("TARN_ISA");
    if (!asked || strcmp(asked, tarn_isa()) != 0)
        return LACKING;
    char name[64];
    snprintf(name, sizeof name, "values with %s", tarn_isa());
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

static void values_with(const char *isa)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("TARN_ISA", isa, 1);
        const char *run = getenv("RUN"); /* an emulator, without which the system cannot start this program */
        if (run && *run)
            execlp(run, run, program, "values", (char *)NULL);
        else
            execl(program, program, "values", (char *)NULL);
        _exit(126);
    }
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == LACKING && strcmp(isa, "baseline") != 0)
        print_message("skipped: this processor lacks %s\n", isa);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void values_with_baseline(void **state)
{
    (void)state;
    values_with("baseline");
}

static void values_with_avx2(void **state)
{
    (void)state;
    values_with("avx2");
}

static void values_with_avx512(void **state)
{
    (void)state;
    values_with("avx512");
}

/* ---- the same bits ---- */

static void same_bits(ops_case *c, const ops_result *first, ops_result again, const char *how)
{
    if (first->size != again.size || (again.size > 0 && memcmp(first->bytes, again.bytes, again.size) != 0))
        ops_complain(c, "other bits %s", how);
    free(again.bytes);
}

static void with_threads(const ops_row *row)
{
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        ops_case c;
        assert_true(ops_case_init(&c, row, OPS_PLAIN, dtype));
        assert_true(tarn_set_threads(1));
        ops_result one = ops_case_run(&c, false);
        for (int threads = 2; threads <= 4; threads++) {
            assert_true(tarn_set_threads(threads));
            same_bits(&c, &one, ops_case_run(&c, false), "with more threads");
        }
        assert_true(tarn_set_threads(1));
        free(one.bytes);
        ops_case_free(&c);
    }
}

static void threads_of_row(const ops_row *row, void *context)
{
    (void)context;
    with_threads(row);
}

EXPRESSION(conv_x, tarn_conv2d(t, x[0], x[1], &(tarn_conv2d_opts){.padding = 1}))
EXPRESSION(conv_strided_x, tarn_conv2d(t, x[0], x[1], &(tarn_conv2d_opts){.stride = 2, .groups = 2}))
EXPRESSION(batchnorm_x, tarn_batchnorm(t, x[0], x[1], x[2], NULL, NULL))
EXPRESSION(matmul_x, tarn_matmul(t, x[0], x[1]))
EXPRESSION(sum_x, tarn_sum(t, x[0], TARN_ALL_AXES, false))
EXPRESSION(sum_0_x, tarn_sum(t, x[0], TARN_AXES(0), false))
EXPRESSION(var_1_x, tarn_var(t, x[0], TARN_AXES(1), 1, false))
EXPRESSION(gelu_x, tarn_gelu(t, x[0]))
EXPRESSION(mul_x, tarn_mul(t, x[0], x[1]))
EXPRESSION(softmax_x, tarn_softmax(t, x[0]))
EXPRESSION(max_pool_x, tarn_max_pool2d(t, x[0], 3, &(tarn_pool2d_opts){.stride = 2, .padding = 1}))
EXPRESSION(avg_pool_x, tarn_avg_pool2d(t, x[0], 2, NULL))
EXPRESSION(cross_entropy_x, tarn_cross_entropy(t, x[0], x[1]))
EXPRESSION(select_x, tarn_index_select(t, x[0], 0, x[1]))

/* Large enough to be cut into several tiles along every axis. */
#define LARGE_ROW(op, text, expression, ...)                                                                           \
    {                                                                                                                  \
        .name = op, .what = "large" text, .f = expression, .order = 1, .n_in = OPS_INPUT_COUNT(__VA_ARGS__), .in = {   \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
static const ops_row LARGE[] = {
    LARGE_ROW("conv2d", "", conv_x, REAL(9, 23, 21, 16), REAL(3, 3, 16, 72)),
    LARGE_ROW("conv2d", ", strided", conv_strided_x, REAL(5, 33, 31, 8), REAL(3, 3, 4, 300)),
    LARGE_ROW("conv2d", ", 1x1", conv_x, REAL(3, 19, 17, 130), REAL(1, 1, 130, 70)),
    LARGE_ROW("batchnorm", "", batchnorm_x, REAL(16, 23, 21, 35), REAL(35), REAL(35)),
    LARGE_ROW("batchnorm", ", many channels", batchnorm_x, REAL(301, 700), REAL(700), REAL(700)),
    LARGE_ROW("batchnorm", ", one channel", batchnorm_x, REAL(200001, 1), REAL(1), REAL(1)),
    LARGE_ROW("matmul", "", matmul_x, REAL(301, 530), REAL(530, 777)),
    LARGE_ROW("matmul", ", tall", matmul_x, REAL(20011, 9), REAL(9, 5)),
    LARGE_ROW("matmul", ", a batch", matmul_x, REAL(33, 40, 50), REAL(33, 50, 60)),
    LARGE_ROW("sum", "", sum_x, REAL(400009)),
    LARGE_ROW("sum", ", axis 0", sum_0_x, REAL(3001, 301)),
    LARGE_ROW("sum", ", axis 0 of few columns", sum_0_x, REAL(100003, 3)),
    LARGE_ROW("var", "", var_1_x, REAL(7, 20011, 3)),
    LARGE_ROW("gelu", "", gelu_x, REAL(301, 1031)),
    LARGE_ROW("mul", ", broadcast", mul_x, REAL(301, 1031), REAL(1031)),
    LARGE_ROW("mul", ", broadcast the other way", mul_x, REAL(301, 1), REAL(301, 1031)),
    LARGE_ROW("softmax", "", softmax_x, REAL(3001, 37)),
    LARGE_ROW("max_pool2d", "", max_pool_x, REAL(7, 41, 43, 17)),
    LARGE_ROW("avg_pool2d", "", avg_pool_x, REAL(7, 41, 43, 17)),
    LARGE_ROW("cross_entropy", "", cross_entropy_x, REAL(3001, 37), INDEX(OPS_I32, 37, 3001)),
    LARGE_ROW("index_select", "", select_x, REAL(301, 130), INDEX(OPS_I32, 301, 5003)),
};

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    ops_for_each_row(threads_of_row, NULL);
    for (size_t i = 0; i < sizeof LARGE / sizeof LARGE[0]; i++)
        with_threads(&LARGE[i]);
    ops_fail_on_complaints();
}

static void eager_row(const ops_row *row, void *context)
{
    (void)context;
    ops_case c;
    assert_true(ops_case_init(&c, row, OPS_PLAIN, TARN_F64));
    ops_result lazy = ops_case_run(&c, false);
    same_bits(&c, &lazy, ops_case_run(&c, true), "when eager");
    free(lazy.bytes);
    ops_case_free(&c);
}

static void eager_gives_the_same_bits(void **state)
{
    (void)state;
    ops_for_each_row(eager_row, NULL);
    ops_fail_on_complaints();
}

static size_t count_of(const struct CMUnitTest *tests)
{
    size_t count = 0;
    while (tests[count].name)
        count++;
    return count;
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "values") == 0)
        return values_program();
    const struct CMUnitTest table[] = {
        cmocka_unit_test(every_op_has_a_name_of_its_own),
        cmocka_unit_test(every_gradient_is_right),
        cmocka_unit_test(values_with_baseline),
        cmocka_unit_test(values_with_avx2),
        cmocka_unit_test(values_with_avx512),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(eager_gives_the_same_bits),
    };
    tarn_set_threads(1); /* small tensors; one test sets others, which makes no difference to a bit */
    int failed = cmocka_run_group_tests_name("ops", table, NULL, NULL);
    failed += _cmocka_run_group_tests("tape", ops_tape_tests, count_of(ops_tape_tests), NULL, NULL);
    failed += _cmocka_run_group_tests("single ops", ops_single_tests, count_of(ops_single_tests), NULL, NULL);
    return failed;
}
