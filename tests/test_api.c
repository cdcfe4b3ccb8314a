/* Every public function, given what it cannot use: NULL, wrong shapes and dtypes, sizes that overflow, a pending
 * error, no memory. The rows stand in tests/api_*.def, one a function:
 *
 *     ROW(name, kind, TRY(a call that succeeds) TRY(one that fails) TRY(another) ...)
 *
 * Each TRY is true when the call succeeded. TRY_AS(start, call) says how the message begins, where that is not
 * with the function's name. */
#include "tests/api_world.h"
#include "tests/check.h"
#include "tests/files.h"
#include "tests/small_cnn.h"

#include <limits.h>
#include <math.h>

typedef enum kind {
    MAKES, /* makes or changes something: does nothing while an error is pending */
    PURE,  /* may fail, and works while an error is pending */
    ASKS   /* never fails: 0 for what it cannot use */
} kind;

enum { FAILED, SUCCEEDED, NO_SUCH_CALL };

typedef struct row {
    const char *name;
    kind kind;
    int (*call)(world *w, int k);
} row;

/* ---- what the rows say ---- */

#define T             (w->t)
#define X             (w->x)
#define Y             (w->y)
#define Z             (w->z)
#define D             (w->d)
#define I             (w->i)
#define U             (w->u)
#define S             (w->s)
#define BOMB          bomb(w)
#define STALE         stale(w)
#define LOSS          loss(w)
#define WIDE          wide(w, (int64_t)1 << 40)
#define TALL          tall(w, (int64_t)1 << 40)
#define LONG_ROW      tarn_expand(T, S, TARN_SHAPE((int64_t)1 << 59))
#define FILE_AT(name) files_path(name)
#define NEW_FILE      files_path("new")
#define PAIR          tarn_constant(w->other, TARN_F64, TARN_SHAPE(2), (double[]){1, 2})
#define IMAGES        files_path("train-images-idx3-ubyte")
#define LABELS        files_path("train-labels-idx1-ubyte")

static const int64_t SHAPE[] = {4, 6}, NINE[] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, EIGHT[] = {1, 1, 1, 1, 1, 1, 1, 1};
static const int64_t NEGATIVE[] = {3, -2}, HUGE_SHAPE[] = {INT64_MAX, 2}, MORE_THAN_THERE_IS[] = {1 << 20, 1 << 20};
static const int64_t WRAPPING[] = {(int64_t)1 << 32, (int64_t)1 << 32, 3}; /* the product of two is 0 mod 2^64 */
static char LONG_NAME[257];

static tarn_tensor *sines(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    return tarn_sin(t, inputs[0]);
}

static tarn_tensor *wrong_slope(tarn_tape *t, tarn_tensor *const *inputs, void *context)
{
    (void)context;
    tarn_tape_set_grad(t, false);
    tarn_tensor *constant = tarn_square(t, inputs[0]);
    tarn_tape_set_grad(t, true);
    return tarn_mul(t, inputs[0], constant);
}

/* The context says what goes wrong. */
static tarn_tensor *segment(tarn_tape *t, void *context, tarn_tensor *x)
{
    const char *how = context ? context : "";
    if (strcmp(how, "null") == 0)
        return NULL;
    if (strcmp(how, "error") == 0)
        return tarn_matmul(t, x, x);
    if (strcmp(how, "reset") == 0)
        tarn_tape_reset(t);
    return tarn_square(t, tarn_sin(t, x));
}

/* Objectives, right and wrong; the context is the world. */
static tarn_tensor *loss_of(tarn_tape *t, void *context)
{
    const world *w = context;
    return tarn_mean(t, tarn_square(t, tarn_add_scalar(t, w->w, 1)), TARN_ALL_AXES, false);
}

static tarn_tensor *no_loss(tarn_tape *t, void *context)
{
    (void)t, (void)context;
    return NULL;
}

static tarn_tensor *a_matrix(tarn_tape *t, void *context)
{
    return tarn_square(t, ((world *)context)->w);
}

static tarn_tensor *a_bomb(tarn_tape *t, void *context)
{
    return tarn_sum(t, tarn_mul(t, bomb(context), loss_of(t, context)), TARN_ALL_AXES, false);
}

/* A loss of two parameters, curved by 1 and -1/4, as right or wrong as asked for; in a store of its own. */
typedef enum bowl_kind {
    GOOD,
    NO_LOSS,
    NO_PARAMS,
    NO_TAPE,
    NULL_LOSS,
    MATRIX_LOSS,
    BOMB_LOSS,
    NAN_LOSS,
    EMPTY_STORE,
    LARGE_STORE
} bowl_kind;

static tarn_tensor *bowl_loss(tarn_tape *t, void *context)
{
    tarn_tensor *x = tarn_params_at(context, 0);
    tarn_tensor *curvature = tarn_constant(t, TARN_F32, TARN_SHAPE(2), (float[]){0.5f, -0.125f});
    return tarn_sum(t, tarn_mul(t, tarn_square(t, x), curvature), TARN_ALL_AXES, false);
}

static tarn_tensor *bowl_of_nan(tarn_tape *t, void *context)
{
    return tarn_mul_scalar(t, bowl_loss(t, context), NAN);
}

static tarn_tensor *bowl_of_bombs(tarn_tape *t, void *context)
{
    tarn_tensor *wild = tarn_full(t, TARN_I32, TARN_SHAPE(1), 1000);
    tarn_tensor *bombs = tarn_index_select(t, tarn_square(t, tarn_params_at(context, 0)), 0, wild);
    return tarn_sum(t, tarn_mul(t, bombs, bowl_loss(t, context)), TARN_ALL_AXES, false);
}

static const tarn_objective *bowl(world *w, bowl_kind how)
{
    static tarn_tensor *(*const losses[])(tarn_tape * t, void *context) = {
        [NO_LOSS] = NULL,          [NULL_LOSS] = no_loss,     [MATRIX_LOSS] = a_matrix, [BOMB_LOSS] = bowl_of_bombs,
        [GOOD] = bowl_loss,        [NO_PARAMS] = bowl_loss,   [NO_TAPE] = bowl_loss,    [NAN_LOSS] = bowl_of_nan,
        [EMPTY_STORE] = bowl_loss, [LARGE_STORE] = bowl_loss,
    };
    static tarn_objective f;
    tarn_params *params = tarn_params_new(TARN_F32);
    kept_params(w, params);
    if (how != EMPTY_STORE)
        tarn_params_add(params, "x", TARN_SHAPE(how == LARGE_STORE ? TARN_HESSIAN_MAX + 1 : 2));
    f = (tarn_objective){.loss = losses[how],
                         .context = how == MATRIX_LOSS ? (void *)w : params,
                         .params = how == NO_PARAMS ? NULL : params,
                         .tape = how == NO_TAPE ? NULL : w->t};
    return &f;
}

static bool kept_extremes(world *w, const tarn_objective *f, int smallest, int largest, const tarn_lanczos_opts *opts)
{
    tarn_extremes e;
    if (!tarn_hessian_extremes(f, smallest, largest, opts, &e))
        return !tarn_error() || e.values || e.residuals || e.vectors; /* should have been set to zeros */
    return kept_tensor(w, e.values) && kept_tensor(w, e.residuals) && kept_tensor(w, e.vectors);
}

static bool every_batch(void *context, int64_t batch)
{
    (void)context, (void)batch;
    return true;
}

static bool no_second_batch(void *context, int64_t batch)
{
    (void)context;
    return batch == 0;
}

#define TRY(...)                                                                                                       \
    if (k == at++)                                                                                                     \
        return (__VA_ARGS__) ? SUCCEEDED : FAILED;
#define TRY_AS(start, ...)                                                                                             \
    if (k == at++) {                                                                                                   \
        w->who = start;                                                                                                \
        return (__VA_ARGS__) ? SUCCEEDED : FAILED;                                                                     \
    }
#define ROW(name, its_kind, ...)                                                                                       \
    static int call_##name(world *w, int k)                                                                            \
    {                                                                                                                  \
        (void)w;                                                                                                       \
        int at = 0;                                                                                                    \
        __VA_ARGS__                                                                                                    \
        return NO_SUCH_CALL;                                                                                           \
    }
#include "tests/api_curvature.def"
#include "tests/api_data.def"
#include "tests/api_layers.def"
#include "tests/api_ops.def"
#include "tests/api_surface.def"
#include "tests/api_tensor.def"
#undef ROW
#define ROW(name, its_kind, ...) {#name, its_kind, call_##name},
static const row rows[] = {
#include "tests/api_curvature.def"
#include "tests/api_data.def"
#include "tests/api_layers.def"
#include "tests/api_ops.def"
#include "tests/api_surface.def"
#include "tests/api_tensor.def"
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

/* ---- the table is whole ---- */

typedef struct headers {
    char seen[64][128];
    int n_seen;
    bool in_table[N_ROWS];
    int functions;
} headers;

static void look_up(headers *h, const char *header, const char *name)
{
    h->functions++;
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) {
            if (h->in_table[i])
                fail_msg("%s: %s is declared twice", header, name);
            h->in_table[i] = true;
            return;
        }
    fail_msg("%s: %s has no row in tests/api_*.def", header, name);
}

/* The name before the first parenthesis of each TARN_API declaration. */
static void functions_of(headers *h, const char *header, const char *text)
{
    for (const char *at = text; (at = strstr(at, "TARN_API ")); at++) {
        if (at != text && at[-1] != '\n')
            continue;
        const char *end = at + strcspn(at, "(;"), *start;
        while (end[-1] == ' ')
            end--;
        for (start = end;
             (start[-1] >= '0' && start[-1] <= '9') || (start[-1] >= 'a' && start[-1] <= 'z') || start[-1] == '_';)
            start--;
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)(end - start), start);
        look_up(h, header, name);
    }
}

static void read_header(headers *h, const char *path)
{
    for (int i = 0; i < h->n_seen; i++)
        if (strcmp(h->seen[i], path) == 0)
            return;
    assert_true(h->n_seen < 64);
    snprintf(h->seen[h->n_seen++], sizeof h->seen[0], "%s", path);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened: run this from the folder of tarn.h", path);
    static char buffer[1 << 17];
    size_t bytes = fread(buffer, 1, sizeof buffer - 1, file);
    fclose(file);
    assert_true(bytes < sizeof buffer - 1);
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    memcpy(text, buffer, bytes);
    text[bytes] = '\0';
    functions_of(h, path, text);
    for (const char *at = text; (at = strstr(at, "#include \"")); at++) {
        char name[128];
        const char *start = at + strlen("#include \"");
        snprintf(name, sizeof name, "%.*s", (int)strcspn(start, "\""), start);
        read_header(h, name);
    }
    free(text);
}

static void every_public_function_has_a_row(void **state)
{
    (void)state;
    static headers h;
    read_header(&h, "tarn.h");
    assert_true(h.functions > 200);
    for (int i = 0; i < N_ROWS; i++)
        if (!h.in_table[i])
            fail_msg("%s has a row, and is in no public header", rows[i].name);
}

/* ---- calls ---- */

/* Tests go on after a problem, so that all rows are heard of at once. */
static int problems;

static void problem(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void problem(const char *format, ...)
{
    char text[1500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error("%s\n", text);
    problems++;
    tarn_error_clear();
}

static void expect_message(const world *w, const row *r, int k)
{
    char start[128];
    snprintf(start, sizeof start, "%s:", r->name);
    const char *message = tarn_error(), *expected = w->who ? w->who : start;
    if (!message)
        problem("%s, call %d: failed without an error", r->name, k);
    if (strncmp(message, expected, strlen(expected)) != 0 || strlen(message) < strlen(expected) + 8)
        problem("%s, call %d: the error is \"%s\", expected one that begins with \"%s\"", r->name, k, message,
                expected);
}

/* The first call, with all that it needs. */
static void expect_success(world *w, const row *r, const char *when)
{
    w->who = NULL;
    int result = r->call(w, 0);
    if (result != SUCCEEDED || tarn_error())
        problem("%s, %s: %s: %s", r->name, when, result == SUCCEEDED ? "succeeded" : "failed",
                tarn_error() ? tarn_error() : "no error");
}

static void good_calls_succeed(void **state)
{
    (void)state;
    problems = 0;
    for (int i = 0; i < N_ROWS; i++) {
        world w;
        check_memory_install();
        world_new(&w);
        expect_success(&w, &rows[i], "called well");
        world_free(&w);
        check_memory_remove();
    }
    assert_int_equal(problems, 0);
}

/* Bad calls fail with a message, leave nothing behind, and the good call succeeds after them. */
static void bad_calls_fail(void **state)
{
    (void)state;
    problems = 0;
    int calls = 0;
    for (int i = 0; i < N_ROWS; i++)
        for (int k = 1;; k++) {
            world w;
            check_memory_install();
            world_new(&w);
            int result = rows[i].call(&w, k);
            if (result == SUCCEEDED)
                problem("%s, call %d: succeeded", rows[i].name, k);
            if (result == FAILED && rows[i].kind == ASKS && tarn_error())
                problem("%s, call %d: set the error \"%s\"", rows[i].name, k, tarn_error());
            if (result == FAILED && rows[i].kind != ASKS)
                expect_message(&w, &rows[i], k);
            calls += result == FAILED;
            tarn_error_clear();
            expect_success(&w, &rows[i], "after a bad call");
            world_free(&w);
            check_memory_remove();
            if (result == NO_SUCH_CALL)
                break;
        }
    assert_true(calls > 1000);
    assert_int_equal(problems, 0);
}

/* ---- with an error pending ---- */

typedef struct snapshot {
    long blocks;
    size_t nodes, bytes;
    int files;
    bool training, grad, eager, has_grad;
    tarn_rng rng;
    size_t params;
    int64_t steps, batch, epoch;
    double lr;
    unsigned char x[96], w[72], g[72], mean[16];
    int threads;
} snapshot;

static snapshot take(const world *w)
{
    static snapshot s; /* static: its padding is always 0 */
    memset(&s, 0, sizeof s);
    s.blocks = check_memory_blocks();
    s.nodes = tarn_tape_nodes(w->t), s.bytes = tarn_tape_bytes(w->t);
    s.files = files_count();
    s.training = tarn_tape_training(w->t), s.grad = tarn_tape_grad(w->t), s.eager = tarn_tape_eager(w->t);
    s.has_grad = tarn_param_has_grad(w->w);
    s.rng = w->rng;
    s.params = tarn_params_count(w->p);
    s.steps = tarn_optim_steps(w->o), s.lr = tarn_optim_lr(w->o);
    s.batch = tarn_loader_batch(w->loader), s.epoch = tarn_loader_epoch(w->loader);
    s.threads = tarn_threads();
    return s;
}

/* What tarn_data() gives cannot be asked for while an error is pending: the pointers are taken before. */
static void elements(snapshot *s, const void *const data[4])
{
    memcpy(s->x, data[0], sizeof s->x);
    memcpy(s->w, data[1], sizeof s->w);
    memcpy(s->g, data[2], sizeof s->g);
    memcpy(s->mean, data[3], sizeof s->mean);
}

static void nothing_happens_while_an_error_is_pending(void **state)
{
    (void)state;
    problems = 0;
    for (int i = 0; i < N_ROWS; i++) {
        world w;
        check_memory_install();
        world_new(&w);
        const void *const data[] = {tarn_data(w.x), tarn_data(w.w), tarn_data(tarn_param_grad(w.w)),
                                    tarn_data(w.stats.mean)};
        snapshot before = take(&w);
        elements(&before, data);
        bool clears = strcmp(rows[i].name, "tarn_error_clear") == 0;
        for (int k = 0; !clears; k++) {
            tarn_fail("the first error");
            int result = rows[i].call(&w, k);
            if (result == NO_SUCH_CALL)
                break;
            if (k == 0 && result != (rows[i].kind == MAKES ? FAILED : SUCCEEDED) &&
                strcmp(rows[i].name, "tarn_params_grad_norm") != 0)
                problem("%s: %s with an error pending", rows[i].name, result == FAILED ? "failed" : "succeeded");
            if (!tarn_error() || strcmp(tarn_error(), "the first error") != 0)
                problem("%s, call %d: the error is \"%s\", which came later", rows[i].name, k, tarn_error());
            if (rows[i].kind != MAKES)
                continue;
            snapshot after = take(&w);
            elements(&after, data);
            if (memcmp(&before, &after, sizeof before) != 0)
                problem("%s, call %d: changed something with an error pending", rows[i].name, k);
        }
        tarn_error_clear();
        expect_success(&w, &rows[i], "after an error");
        world_free(&w);
        check_memory_remove();
    }
    assert_int_equal(problems, 0);
}

/* ---- without memory ---- */

/* The arena's block sizes that are refused, so that it asks for its pieces one by one, or nearly. Large scratch
 * memory it may have. The second and the third give other pieces a call of their own. */
static const struct {
    size_t from, to;
} refused[] = {{SIZE_MAX, 0}, {2400, 200000}, {2700, 200000}, {3300, 200000}};
enum { N_REFUSED = sizeof refused / sizeof refused[0] };

/* The good call, with the k-th allocation failing. Whether that allocation came. */
static bool without_memory(const row *r, int sizes, long k, bool from_then_on)
{
    world w;
    check_memory_install();
    world_new(&w);
    check_memory_refuse(refused[sizes].from, refused[sizes].to);
    check_memory_fail(k, from_then_on);
    int result = r->call(&w, 0);
    bool failed = check_memory_failed();
    check_memory_succeed();
    if (result == FAILED) {
        const char *message = tarn_error();
        if (!message || strncmp(message, "tarn_", 5) != 0 || !strstr(message, "no memory"))
            problem("%s, allocation %ld: the error is \"%s\"", r->name, k, message ? message : "(none)");
        tarn_error_clear();
        expect_success(&w, r, "when there is memory again");
    } else if (tarn_error()) {
        problem("%s, allocation %ld: succeeded with the error \"%s\"", r->name, k, tarn_error());
    }
    world_free(&w);
    check_memory_remove();
    return failed;
}

/* Some functions need a block of a size that is refused: they are tried with all sizes only. */
static bool works_with(const row *r, int sizes)
{
    world w;
    check_memory_install();
    world_new(&w);
    check_memory_refuse(refused[sizes].from, refused[sizes].to);
    bool works = r->call(&w, 0) == SUCCEEDED;
    check_memory_succeed();
    if (!works)
        expect_error("tarn_", "no memory");
    world_free(&w);
    check_memory_remove();
    return works;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    problems = 0;
    long failures = 0;
    for (int i = 0; i < N_ROWS; i++)
        for (int sizes = 0; sizes < N_REFUSED; sizes++) {
            if (!works_with(&rows[i], sizes))
                continue;
            for (int on = 0; on < 2; on++)
                for (long k = 1; without_memory(&rows[i], sizes, k, on); k++)
                    failures++;
        }
    assert_true(failures > 3000);
    assert_int_equal(problems, 0);
}

/* ---- a whole program without memory ---- */

static const cnn_size tiny = {.batch = 2, .side = 4, .channels = 1, .width = 2, .hidden = 3, .classes = 2};

/* Two steps, saving, and loading into another network, which then agrees with the first. */
static bool program(cnn *a, cnn *b, tarn_tape **t)
{
    *t = tarn_tape_new();
    if (!cnn_new(a, TARN_F32, &tiny, 1) || !cnn_new(b, TARN_F32, &tiny, 2))
        return false;
    for (int step = 0; step < 2; step++) {
        if (isnan(cnn_step(*t, a)))
            return false;
        tarn_tape_reset(*t);
    }
    if (!tarn_params_save(a->params, files_path("cnn")) || !tarn_params_load(b->params, files_path("cnn")))
        return false;
    tarn_tape_set_training(*t, false);
    tarn_tensor *x, *labels;
    if (!cnn_batch(*t, a, &x, &labels))
        return false;
    tarn_tensor *apart = tarn_sub(*t, cnn_forward(*t, a, x), cnn_forward(*t, b, x));
    return tarn_item(tarn_max(*t, tarn_abs(*t, apart), TARN_ALL_AXES, false)) == 0;
}

static bool program_without_memory(int sizes, long k, bool from_then_on)
{
    cnn a = {0}, b = {0};
    tarn_tape *t = NULL;
    check_memory_install();
    check_memory_refuse(refused[sizes].from, refused[sizes].to);
    check_memory_fail(k, from_then_on);
    bool done = program(&a, &b, &t), failed = check_memory_failed();
    check_memory_succeed();
    if (!done) {
        expect_error("tarn_", "no memory");
        cnn_free(&a), cnn_free(&b); /* the tape is still of use */
        tarn_tape_reset(t);
        tarn_tensor *still = tarn_exp(t, tarn_scalar(t, TARN_F64, 0));
        assert_true(!t || tarn_item(still) == 1);
        tarn_error_clear();
    }
    cnn_free(&a), cnn_free(&b);
    tarn_tape_free(t);
    expect_no_error();
    check_memory_remove();
    return failed;
}

static void a_program_survives_every_failed_allocation(void **state)
{
    (void)state;
    long failures = 0;
    for (int sizes = 0; sizes < N_REFUSED; sizes++)
        for (int on = 0; on < 2; on++)
            for (long k = 1; program_without_memory(sizes, k, on); k++)
                failures++;
    assert_true(failures > 500);
}

static int setup(void **state)
{
    memset(LONG_NAME, 'n', sizeof LONG_NAME - 1);
    if (files_setup(state) != 0 || !world_files())
        return -1;
    return tarn_set_threads(1) ? 0 : -1;
}

static int teardown(void **state)
{
    world_files_free();
    return files_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_public_function_has_a_row),
        cmocka_unit_test(good_calls_succeed),
        cmocka_unit_test(bad_calls_fail),
        cmocka_unit_test(nothing_happens_while_an_error_is_pending),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_program_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("api", tests, setup, teardown);
}
