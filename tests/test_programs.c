/* Random programs on a tape that lets values go, fuses, checkpoints and computes again, against one that keeps
 * everything: the same bits, whatever is read when. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tests/tape_fixture.h"

enum { ROWS = 48, COLUMNS = 52, LENGTH = 60, SIDES = 2, PARAMS = 3 };

typedef struct side {
    tarn_tape *t;
    tarn_params *params;
    tarn_rng noise;
    tarn_running_stats running;
    tarn_tensor *xs[LENGTH];
    int count;
} side;

static side sides[SIDES]; /* 0: keeps everything */

static void side_new(side *s)
{
    tarn_rng rng = tarn_rng_seed(5);
    *s = (side){.t = tarn_tape_new(), .params = tarn_params_new(TARN_F64), .noise = tarn_rng_seed(6)};
    s->t->keep_below = 0;
    for (int i = 0; i < PARAMS; i++) {
        tarn_tensor *p = tarn_params_add(s->params, (const char *[]){"a", "b", "c"}[i], TARN_SHAPE(ROWS, COLUMNS));
        assert_true(tarn_rng_fill_normal_f64(&rng, ROWS * COLUMNS, tarn_mutable_data(p), 0, 1));
    }
    s->running = (tarn_running_stats){tarn_params_add_buffer(s->params, "mean", TARN_SHAPE(COLUMNS)),
                                      tarn_params_add_buffer(s->params, "var", TARN_SHAPE(COLUMNS)),
                                      tarn_params_add_buffer(s->params, "batches", 0, NULL)};
}

static void side_start(side *s)
{
    tarn_tape_reset(s->t);
    s->count = 0;
    for (int i = 0; i < PARAMS; i++)
        s->xs[s->count++] = tarn_params_at(s->params, (size_t)i);
}

/* One more op over what there is; the same for the same numbers. All results are [ROWS, COLUMNS]. */
static tarn_tensor *op(side *s, tarn_tape *tape, tarn_rng *rng, tarn_tensor *a)
{
    tarn_tensor *b = s->xs[tarn_rng_below(rng, (uint64_t)s->count)];
    switch (tarn_rng_below(rng, 16)) {
    case 0:
        return tarn_tanh(tape, a);
    case 1:
        return tarn_relu(tape, a);
    case 2:
        return tarn_mul_scalar(tape, a, 0.7);
    case 3:
        return tarn_sigmoid(tape, a);
    case 4:
        return tarn_add(tape, a, tarn_mean(tape, b, TARN_AXES(0), true));
    case 5:
        return tarn_sub(tape, a, b);
    case 6:
        return tarn_tanh(tape, tarn_mul(tape, a, b));
    case 7: { /* views of views */
        tarn_tensor *v = tarn_transpose(tape, tarn_reshape(tape, a, TARN_SHAPE(COLUMNS, ROWS)), 0, 1);
        return tarn_add(tape, v, b);
    }
    case 8: {
        tarn_tensor *upper = tarn_slice(tape, a, 0, 0, ROWS / 2, 1), *lower = tarn_slice(tape, b, 0, ROWS / 2, ROWS, 1);
        return tarn_concat(tape, 2, (tarn_tensor *[]){lower, upper}, 0);
    }
    case 9:
        return tarn_dropout(tape, a, 0.3, &s->noise);
    case 10: {
        tarn_tensor *gamma = tarn_full(tape, TARN_F64, TARN_SHAPE(COLUMNS), 0.5);
        tarn_tensor *y = tarn_batchnorm(tape, a, gamma, gamma, &s->running, NULL);
        return tarn_rng_below(rng, 3) ? tarn_relu(tape, tarn_rng_below(rng, 2) ? tarn_add(tape, y, b) : y) : y;
    }
    case 11:
        return tarn_softmax(tape, a);
    case 12:
        return tarn_tanh(tape, tarn_matmul(tape, a, tarn_matmul(tape, tarn_transpose(tape, b, 0, 1), b)));
    case 13:
        return tarn_slice(tape, a, 0, 0, ROWS, 1);
    default:
        return tarn_add(tape, a, b);
    }
}

typedef struct stretch {
    side *s;
    tarn_rng *rng;
    int ops;
} stretch;

static tarn_tensor *several_ops(tarn_tape *tape, void *context, tarn_tensor *x)
{
    stretch *c = context;
    for (int i = 0; i < c->ops; i++)
        x = op(c->s, tape, c->rng, x);
    return x;
}

static void same_elements(tarn_tensor *const x[SIDES])
{
    tarn_tensor *copy[SIDES];
    for (int k = 0; k < SIDES; k++) {
        copy[k] = tarn_tensor_clone(x[k]); /* tarn_data would pin it */
        expect_no_error();
    }
    assert_memory_equal(tarn_data(copy[0]), tarn_data(copy[1]), (size_t)tarn_numel(copy[0]) * sizeof(double));
    for (int k = 0; k < SIDES; k++)
        tarn_tensor_free(copy[k]);
}

static void same_parameters(void)
{
    for (size_t i = 0; i < tarn_params_count(sides[0].params); i++) {
        tarn_tensor *p[SIDES], *g[SIDES];
        for (int k = 0; k < SIDES; k++) {
            p[k] = tarn_params_at(sides[k].params, i);
            g[k] = tarn_param_grad(p[k]);
        }
        same_elements(p);
        if (g[0])
            same_elements(g);
    }
}

static void keep_everything(side *s)
{
    for (size_t id = 0; id < s->t->count; id++)
        for (int i = 0; i < s->t->nodes[id]->n_out; i++)
            s->t->nodes[id]->out[i]->kept = true;
}

/* What happens next, on both sides. */
static void act(tarn_rng *rng, int what)
{
    tarn_tensor *x[SIDES];
    uint64_t chosen = tarn_rng_below(rng, (uint64_t)sides[0].count),
             other = tarn_rng_below(rng, (uint64_t)sides[0].count);
    tarn_rng before = *rng;
    for (int k = 0; k < SIDES; k++) {
        side *s = &sides[k];
        *rng = before;
        tarn_tensor *made = NULL;
        x[k] = s->xs[chosen];
        if (what == 0) { /* a loss of two values, or of a gradient */
            tarn_tensor *y = tarn_mul(s->t, x[k], s->xs[other]), *g = y, *p = tarn_params_at(s->params, 0);
            if (tarn_rng_below(rng, 3) == 0)
                assert_true(tarn_grad(s->t, 1, &y, NULL, 1, &p, &g));
            tarn_tensor *both = tarn_add(s->t, y, tarn_tanh(s->t, g));
            tarn_tensor *loss = tarn_mean(s->t, both, TARN_ALL_AXES, false);
            if (k == 0)
                keep_everything(s);
            if (tarn_rng_below(rng, 3) == 0)
                assert_true(isfinite(tarn_item(loss)));
            assert_true(loss && tarn_backward(s->t, loss));
        } else if (what == 1 && tarn_rng_below(rng, 2)) {
            assert_true(tarn_keep(x[k]));
        } else if (what == 2) {
            stretch c = {s, rng, 1 + (int)tarn_rng_below(rng, 5)};
            made = k == 1 ? tarn_checkpoint(s->t, several_ops, &c, x[k]) : several_ops(s->t, &c, x[k]);
        } else if (what > 3) {
            tarn_tape_set_grad(s->t, what > 4);
            made = op(s, s->t, rng, x[k]);
            tarn_tape_set_grad(s->t, true);
        }
        expect_no_error();
        if (k == 0)
            keep_everything(s);
        if (made)
            s->xs[s->count++] = made;
    }
    if (what == 3)
        same_elements(x);
}

static void random_programs_have_the_same_bits(void **state)
{
    (void)state;
    side_new(&sides[0]);
    side_new(&sides[1]);
    tarn_tape_set_fusion(sides[0].t, false);
    for (uint64_t seed = 0; seed < 150; seed++) {
        tarn_rng rng = tarn_rng_seed(seed);
        for (int k = 0; k < SIDES; k++)
            side_start(&sides[k]);
        tarn_tape_set_fusion(sides[1].t, seed % 4 > 0);
        while (sides[0].count < LENGTH)
            act(&rng, (int)tarn_rng_below(&rng, 16));
        act(&rng, 0);
        same_parameters();
        for (int i = 0; i < 10; i++)
            act(&rng, 3);
        for (int k = 0; k < SIDES; k++)
            tarn_params_zero_grad(sides[k].params);
    }
    for (int k = 0; k < SIDES; k++) {
        tarn_tape_free(sides[k].t);
        tarn_params_free(sides[k].params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_programs_have_the_same_bits, setup, teardown),
    };
    return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
