/* The states that ops keep (running statistics, singular vectors) move when a whole run has succeeded: so a step that failed
 * can be tried again. */
#include "tensor/params.h"
#include "tests/tape_fixture.h"

enum { STATES = 13 };

typedef struct model {
    tarn_params *p;
    tarn_tensor *x, *w, *v, *gamma, *beta;
    tarn_tensor
        *state[STATES]; /* mean, var, batches of two BatchNorms; of batch renormalization; u, v of two matrices */
} model;

static tarn_tensor *filled(tarn_tensor *x, double low, double high, tarn_rng *rng)
{
    tarn_tensor *values = tarn_tensor_uniform_new(tarn_tensor_dtype(x), tarn_ndim(x), tarn_shape(x), rng, low, high);
    assert_true(tarn_copy(x, values));
    tarn_tensor_free(values);
    return x;
}

static model model_new(void)
{
    tarn_rng rng = tarn_rng_seed(3);
    model m = {.p = tarn_params_new(TARN_F32)};
    m.x = filled(tarn_tensor_new(TARN_F32, TARN_SHAPE(4, 12, 12, 3)), -1, 1, &rng);
    m.w = filled(tarn_params_add(m.p, "w", TARN_SHAPE(3, 3, 3, 8)), -1, 1, &rng);
    m.v = filled(tarn_params_add(m.p, "v", TARN_SHAPE(8, 8)), -1, 1, &rng);
    m.gamma = filled(tarn_params_add(m.p, "gamma", TARN_SHAPE(8)), 0.5, 1, &rng);
    m.beta = filled(tarn_params_add(m.p, "beta", TARN_SHAPE(8)), -1, 1, &rng);
    for (int i = 0; i < STATES; i++) {
        char name[32];
        snprintf(name, sizeof name, "state%d", i);
        bool counter = i < 9 && i % 3 == 2;
        m.state[i] = tarn_params_add_buffer(m.p, name, counter ? 0 : 1, (int64_t[]){8});
        if (!counter)
            filled(m.state[i], 0.5, 1, &rng);
    }
    return m;
}

static void model_free(model *m)
{
    tarn_tape_reset(t);
    tarn_params_free(m->p);
    tarn_tensor_free(m->x);
}

/* Every op that keeps a state, the normalizations twice over the same one. */
static tarn_tensor *loss_of(const model *m)
{
    tarn_tensor *const *s = m->state;
    const tarn_running_stats fused = {s[0], s[1], s[2]}, composed = {s[3], s[4], s[5]};
    const tarn_renorm_stats renorm = {s[6], s[7], s[8]};
    const tarn_batch_renorm_opts unscheduled = {.unscheduled = true};
    tarn_tensor *y = tarn_conv2d(t, m->x, m->w, &(tarn_conv2d_opts){.padding = 1});
    y = tarn_relu(t, tarn_batchnorm(t, y, m->gamma, m->beta, &fused, NULL));
    y = tarn_batchnorm(t, y, m->gamma, m->beta, &fused, NULL);
    y = tarn_batchnorm_composed(t, y, m->gamma, m->beta, &composed, NULL);
    y = tarn_batchnorm_composed(t, tarn_tanh(t, y), m->gamma, m->beta, &composed, NULL);
    y = tarn_batch_renorm(t, y, m->gamma, m->beta, &renorm, &unscheduled);
    y = tarn_batch_renorm(t, tarn_tanh(t, y), m->gamma, m->beta, &renorm, &unscheduled);
    tarn_tensor *v = tarn_spectralnorm(t, m->v, s[9], s[10], 1);
    tarn_tensor *rows = tarn_reshape(t, y, TARN_SHAPE(4 * 12 * 12, 8));
    rows = tarn_matmul(t, tarn_tanh(t, tarn_matmul(t, rows, v)), tarn_spectralnorm(t, v, s[11], s[12], 2));
    rows = tarn_matmul(t, rows, tarn_spectralnorm(t, m->v, s[9], s[10], 1));
    return tarn_mean(t, tarn_square(t, rows), TARN_ALL_AXES, false);
}

/* All states, gradients and the loss after one step. */
typedef struct result {
    float state[STATES][8], w[3 * 3 * 3 * 8], v[64];
    double loss;
} result;

static result result_of(const model *m, tarn_tensor *loss)
{
    result r = {.loss = loss ? tarn_item(loss) : 0};
    for (int i = 0; i < STATES; i++)
        memcpy(r.state[i], tarn_data(m->state[i]), (size_t)tarn_numel(m->state[i]) * sizeof(float));
    memcpy(r.w, tarn_data(tarn_param_grad(m->w)), sizeof r.w);
    memcpy(r.v, tarn_data(tarn_param_grad(m->v)), sizeof r.v);
    expect_no_error();
    return r;
}

static void expect_same(const result *a, const result *b)
{
    for (int i = 0; i < STATES; i++)
        if (memcmp(a->state[i], b->state[i], sizeof a->state[i]) != 0)
            fail_msg("state %d is %g, expected %g", i, (double)a->state[i][0], (double)b->state[i][0]);
    assert_memory_equal(a, b, sizeof *a);
}

/* One op at a time, each a run of its own: the order and the bits that a run of all has to have. */
static result one_step(bool eager, bool fusion)
{
    model m = model_new();
    tarn_tape_set_eager(t, eager);
    tarn_tape_set_fusion(t, fusion);
    tarn_tensor *loss = loss_of(&m);
    assert_true(tarn_backward(t, loss));
    result r = result_of(&m, loss);
    tarn_tape_set_eager(t, false);
    tarn_tape_set_fusion(t, true);
    model_free(&m);
    return r;
}

static void states_move_in_the_order_of_recording(void **state)
{
    (void)state;
    const result eager = one_step(true, false), lazy = one_step(false, true), unfused = one_step(false, false);
    expect_same(&lazy, &eager);
    expect_same(&unfused, &eager);
    model m = model_new();
    const result before = result_of(&m, NULL);
    for (int i = 0; i < STATES; i++)
        assert_true(memcmp(before.state[i], eager.state[i], sizeof before.state[i]) != 0);
    assert_true(eager.state[2][0] == 2 && eager.state[5][0] == 2 && eager.state[8][0] == 2);
    model_free(&m);
}

static tarn_tensor *failing(tarn_tensor *loss)
{
    return tarn_add(t, loss,
                    tarn_reshape(t, tarn_cast(t, bomb(tarn_zeros(t, TARN_F32, TARN_SHAPE(1))), TARN_F32), 0, NULL));
}

static void a_step_that_failed_has_not_moved_them(void **state)
{
    (void)state;
    const result expected = one_step(false, true);
    model m = model_new();
    const result before = result_of(&m, NULL);
    for (int i = 0; i < 3; i++) {
        assert_false(tarn_backward(t, failing(loss_of(&m))));
        expect_error("tarn_index_select: index 1000");
        const result after = result_of(&m, NULL);
        expect_same(&after, &before);
        tarn_tape_reset(t);
    }
    tarn_tensor *loss = loss_of(&m);
    assert_true(tarn_backward(t, loss));
    const result r = result_of(&m, loss);
    expect_same(&r, &expected);
    model_free(&m);
}

static void wherever_memory_is_missing(void **state)
{
    (void)state;
    const result expected = one_step(false, true);
    long failures = 0;
    for (int reset = 0; reset < 2; reset++)
        for (long k = 1;; k++) {
            tarn_tape_free(t); /* so that each value asks for memory of its own */
            t = tarn_tape_new();
            model m = model_new();
            const result before = result_of(&m, NULL);
            tarn_tensor *loss = loss_of(&m);
            check_memory_fail(k, false);
            bool ok = tarn_backward(t, loss);
            bool failed = check_memory_failed();
            check_memory_succeed();
            if (!ok) {
                failures++;
                expect_error("tarn_", "no memory");
                const result after = result_of(&m, NULL);
                expect_same(&after, &before);
                if (reset) {
                    tarn_tape_reset(t);
                    loss = loss_of(&m);
                }
                assert_true(
                    tarn_backward(t, loss)); /* without a reset: what had run is not done again, and counts now */
            }
            const result r = result_of(&m, loss);
            expect_same(&r, &expected);
            model_free(&m);
            if (!failed)
                break;
        }
    assert_true(failures > 100);
}

/* The program has written the state itself since: that stands. */
static void what_the_program_writes_stands(void **state)
{
    (void)state;
    model m = model_new();
    tarn_tensor *loss = loss_of(&m);
    assert_false(tarn_backward(t, failing(loss)));
    expect_error("tarn_index_select: index 1000");
    assert_true(tarn_fill(m.state[0], 7) && tarn_fill(m.state[10], 5));
    assert_true(tarn_backward(t, loss));
    const result r = result_of(&m, loss);
    for (int c = 0; c < 8; c++)
        assert_true(r.state[0][c] == 7 && r.state[10][c] == 5);
    assert_true(r.state[2][0] == 2);
    model_free(&m);
}

/* As when the statistics had moved at once: no value is computed from what they were. */
static void what_was_recorded_from_them_notices(void **state)
{
    (void)state;
    model m = model_new();
    const tarn_running_stats running = {m.state[0], m.state[1], m.state[2]};
    tarn_tensor *moving =
        tarn_batchnorm(t, m.x, tarn_slice(t, m.gamma, 0, 0, 3, 1), tarn_slice(t, m.beta, 0, 0, 3, 1), NULL, NULL);
    moving = tarn_batchnorm(t, tarn_conv2d(t, moving, m.w, NULL), m.gamma, m.beta, &running, NULL);
    tarn_tensor *seen = tarn_square(t, m.state[0]), *sum_of_both = tarn_add(t, sum(moving), sum(seen));
    assert_true(isnan(tarn_item(sum_of_both)));
    expect_error("tarn_square: input 0 (state0 [8]) changed between recording and running");
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(states_move_in_the_order_of_recording, setup, teardown),
        cmocka_unit_test_setup_teardown(a_step_that_failed_has_not_moved_them, setup, teardown),
        cmocka_unit_test_setup_teardown(wherever_memory_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_program_writes_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_recorded_from_them_notices, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
