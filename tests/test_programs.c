/* Random programs on a tape that lets values go, fuses, checkpoints and computes again, against one that keeps
 * everything: the same bits, whatever is read when, whatever changes, and whatever memory is missing. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tensor/threads.h"
#include "tests/random_ops.h"
#include "tests/tape_fixture.h"

enum { LENGTH = 60, SIDES = 2, LOSSES = 8 };

typedef struct side {
    random_world w;
    tarn_tape *t;
    tarn_tensor *losses[LOSSES];
    int n_losses;
} side;

static side sides[SIDES]; /* 0: keeps everything */

static void side_new(side *s, bool images)
{
    *s = (side){.t = tarn_tape_new()};
    random_world_new(&s->w, images);
    s->t->keep_below = 0;
}

static void side_free(side *s)
{
    tarn_tape_free(s->t);
    random_world_free(&s->w);
}

static void side_start(side *s)
{
    tarn_tape_reset(s->t);
    tarn_tape_set_training(s->t, true);
    tarn_tape_set_eager(s->t, false);
    s->n_losses = 0;
    random_world_start(&s->w);
}

static bool keeps(const side *s)
{
    return s == &sides[0];
}

static void keep_everything(side *s)
{
    for (size_t id = 0; keeps(s) && id < s->t->count; id++)
        for (int i = 0; i < s->t->nodes[id]->n_out; i++)
            s->t->nodes[id]->out[i]->kept = true;
}

/* So that it is seen that something has happened. */
static int failures, changes[3]; /* acts without memory; acts after a change, by how many sides could do them */

/* ---- comparing ---- */

static void same_elements(tarn_tensor *const x[SIDES])
{
    tarn_tensor *copy[SIDES];
    for (int k = 0; k < SIDES; k++) {
        copy[k] = tarn_tensor_clone(x[k]); /* tarn_data would pin it */
        expect_no_error();
    }
    assert_memory_equal(tarn_data(copy[0]), tarn_data(copy[1]), tarn__bytes(copy[0]));
    for (int k = 0; k < SIDES; k++)
        tarn_tensor_free(copy[k]);
}

static void same_parameters(void)
{
    for (size_t i = 0; i < tarn_params_count(sides[0].w.params); i++) {
        tarn_tensor *p[SIDES], *g[SIDES];
        for (int k = 0; k < SIDES; k++) {
            p[k] = tarn_params_at(sides[k].w.params, i);
            g[k] = tarn_param_grad(p[k]);
        }
        same_elements(p);
        assert_int_equal(tarn_param_has_grad(p[0]), tarn_param_has_grad(p[1]));
        if (g[0])
            same_elements(g);
    }
}

static void make_running_equal(void)
{
    const tarn_running_stats *from = &sides[0].w.running, *to = &sides[1].w.running;
    assert_true(tarn_copy(to->mean, from->mean) && tarn_copy(to->var, from->var) &&
                tarn_copy(to->batches, from->batches));
}

/* What the program says decides that, on both sides alike: a gradient has no way but one that it has cut. */
static bool there_is_no_way(void)
{
    if (!tarn_error() || !(strstr(tarn_error(), "recorded with gradients off") || strstr(tarn_error(), "no parameter")))
        return false;
    tarn_error_clear();
    return true;
}

/* ---- what happens next ---- */

enum { LOSS, KEEP, CHECKPOINT, READ, CONSTANT, LOSS_AGAIN, POINTER, MODE, OP, ACTIONS = 18 };

typedef struct step {
    int what;
    uint64_t chosen, other;
    tarn_rng rng; /* as it is before */
} step;

typedef struct stretch {
    side *s;
    tarn_rng *rng;
    int ops;
} stretch;

static tarn_tensor *several_ops(tarn_tape *tape, void *context, tarn_tensor *x)
{
    stretch *c = context;
    for (int i = 0; x && i < c->ops; i++) {
        if (tarn_rng_below(c->rng, 8) == 0) { /* a gradient inside */
            tarn_tensor *square = tarn_square(tape, x), *g = NULL;
            tarn_grad(tape, 1, &square, NULL, 1, &x, &g);
            x = tarn_tanh(tape, g);
        }
        if (tarn_rng_below(c->rng, 8) == 0) {
            stretch inner = {c->s, c->rng, 2};
            x = keeps(c->s) ? several_ops(tape, &inner, x) : tarn_checkpoint(tape, several_ops, &inner, x);
        }
        x = random_op(&c->s->w, tape, c->rng, x);
    }
    return x;
}

/* y, or the sum of y and the tanh of its gradient, or of that one's gradient. */
static tarn_tensor *with_gradients(side *s, tarn_rng *rng, tarn_tensor *y)
{
    tarn_tensor *g = y, *both = y;
    for (uint64_t order = tarn_rng_below(rng, 4); order > 1; order--) {
        tarn_tensor *p = tarn_params_at(s->w.params, (size_t)tarn_rng_below(rng, RANDOM_PARAMS));
        tarn_tensor *scalar = tarn_mean(s->t, tarn_square(s->t, g), TARN_ALL_AXES, false);
        if (!tarn_grad(s->t, 1, &scalar, NULL, 1, &p, &g) && there_is_no_way())
            g = scalar;
        both = tarn_add(s->t, both, tarn_tanh(s->t, tarn_mean(s->t, g, TARN_ALL_AXES, false)));
        if (tarn_rng_below(rng, 3) == 0)
            tarn_run(g);
    }
    return both;
}

static void a_loss(side *s, const step *now, tarn_rng *rng)
{
    tarn_tensor *y = tarn_mul(s->t, s->w.xs[now->chosen], s->w.xs[now->other]);
    tarn_tensor *loss = tarn_mean(s->t, with_gradients(s, rng, y), TARN_ALL_AXES, false);
    keep_everything(s);
    if (tarn_rng_below(rng, 3) == 0)
        tarn_item(loss);
    if (loss && s->n_losses < LOSSES)
        s->losses[s->n_losses++] = loss;
    if (tarn_rng_below(rng, 4) && !tarn_backward(s->t, loss))
        there_is_no_way();
}

static tarn_tensor *mode(side *s, tarn_rng *rng)
{
    switch (tarn_rng_below(rng, 4)) {
    case 0:
        tarn_tape_set_training(s->t, !tarn_tape_training(s->t));
        break;
    case 1:
        tarn_tape_set_eager(s->t, !tarn_tape_eager(s->t)); /* both: running statistics move when BatchNorm runs */
        break;
    case 2:
        if (!keeps(s))
            tarn_tape_set_fusion(s->t, !tarn_tape_fusion(s->t));
        break;
    default:
        if (!keeps(s))
            tarn_set_threads(1 + (int)tarn_rng_below(rng, 4));
    }
    return NULL;
}

/* Returns what has been made. */
static tarn_tensor *act(side *s, const step *now)
{
    tarn_rng rng = now->rng;
    tarn_tensor *x = s->w.xs[now->chosen], *made = NULL;
    stretch c = {s, &rng, 1 + (int)(now->other % 5)};
    switch (now->what) {
    case LOSS:
        a_loss(s, now, &rng);
        break;
    case KEEP:
        tarn_keep(x);
        break;
    case CHECKPOINT:
        made = keeps(s) ? several_ops(s->t, &c, x) : tarn_checkpoint(s->t, several_ops, &c, x);
        break;
    case READ:
        break;
    case LOSS_AGAIN:
        if (s->n_losses > 0 && !tarn_backward(s->t, s->losses[now->other % (uint64_t)s->n_losses]))
            there_is_no_way();
        break;
    case POINTER:
        tarn_data(x);
        break;
    case MODE:
        mode(s, &rng);
        break;
    default:
        tarn_tape_set_grad(s->t, now->what != CONSTANT);
        made = random_op(&s->w, s->t, &rng, x);
        tarn_tape_set_grad(s->t, true);
    }
    keep_everything(s);
    return made;
}

/* Without memory at the k-th request, and then once more with it. */
static tarn_tensor *act_twice(side *s, const step *now, long k)
{
    tarn_rng noise = s->w.noise;
    bool training = tarn_tape_training(s->t);
    int n_losses = s->n_losses, count = s->w.count;
    check_memory_fail(k, k % 2);
    tarn_tensor *made = act(s, now);
    check_memory_succeed();
    if (!tarn_error())
        return made;
    failures++;
    assert_non_null(strstr(tarn_error(), "no memory"));
    tarn_error_clear();
    tarn_tape_set_grad(s->t, true);
    tarn_tape_set_training(s->t, training);
    s->w.noise = noise;
    s->n_losses = n_losses;
    s->w.count = count;
    made = act(s, now);
    make_running_equal(); /* what had run did not move them again */
    return made;
}

static step next_step(tarn_rng *rng, int what)
{
    uint64_t count = (uint64_t)sides[0].w.count;
    step s = {.what = what, .chosen = tarn_rng_below(rng, count), .other = tarn_rng_below(rng, count)};
    s.rng = tarn_rng_seed(tarn_rng_below(rng, (uint64_t)1 << 40));
    return s;
}

/* On both sides, short of memory at the second one's fail-th request (0: never). */
static void take(const step *now, long fail)
{
    tarn_tensor *x[SIDES];
    for (int k = 0; k < SIDES; k++) {
        x[k] = sides[k].w.xs[now->chosen];
        tarn_tensor *made = k == 1 && fail ? act_twice(&sides[k], now, fail) : act(&sides[k], now);
        expect_no_error();
        if (made && sides[k].w.count < RANDOM_LENGTH)
            sides[k].w.xs[sides[k].w.count++] = made;
    }
    if (now->what == READ)
        same_elements(x);
}

static void start(uint64_t seed)
{
    for (int k = 0; k < SIDES; k++)
        side_start(&sides[k]);
    if (seed % 2) { /* memory of its own for each value */
        tarn_tape_free(sides[1].t);
        sides[1].t = tarn_tape_new();
    }
    tarn_tape_set_fusion(sides[1].t, seed % 4 > 0);
    sides[1].t->keep_below = seed % 3 ? 0 : TARN__SMALL;
}

/* What has been recorded and has not run will be an error on one side, when on the other one it has run: so what moves
 * running statistics runs on both. */
static void run_all(side *s)
{
    for (size_t id = 0; id < s->t->count; id++) {
        tarn_node *n = s->t->nodes[id];
        if (!n->done && !n->origin && (keeps(s) || strncmp(n->op->name, "batchnorm", 9) == 0))
            assert_true(tarn_run(n->out[n->n_out - 1]));
    }
}

/* When leaves have changed, a value is the one from before, or there is an error: never another value. */
static void after_a_change(tarn_rng *rng)
{
    for (int k = 0; k < SIDES; k++) {
        side *s = &sides[k];
        run_all(s);
        tarn_tape_set_eager(s->t, false);
        tarn_tape_set_training(s->t, false);
        tarn_params_zero_grad(s->w.params);
        assert_true(tarn_fill(s->w.beta, 0.7));
    }
    make_running_equal(); /* there may be nodes of BatchNorm that a want of memory has left unused */
    for (int i = 0; i < 12; i++) {
        static const int what[] = {LOSS, LOSS, LOSS_AGAIN, READ, OP, CHECKPOINT};
        step now = next_step(rng, what[tarn_rng_below(rng, 6)]);
        tarn_tensor *made[SIDES], *copy[SIDES];
        bool ok[SIDES];
        int n_losses = sides[0].n_losses, count = sides[0].w.count;
        for (int k = 0; k < SIDES; k++) {
            sides[k].w.noise = tarn_rng_seed((uint64_t)i);
            made[k] = act(&sides[k], &now);
            copy[k] = now.what == READ ? tarn_tensor_clone(sides[k].w.xs[now.chosen]) : NULL;
            ok[k] = !tarn_error();
            if (!ok[k])
                assert_non_null(strstr(tarn_error(), "changed between recording and running"));
            tarn_error_clear();
        }
        assert_true(ok[0] || !ok[1]);
        changes[ok[0] + ok[1]]++;
        if (ok[1])
            same_parameters();
        if (ok[1] && copy[0])
            same_elements(copy);
        for (int k = 0; k < SIDES; k++) {
            if (!ok[1]) {
                tarn_params_zero_grad(sides[k].w.params);
                sides[k].n_losses = n_losses;
                sides[k].w.count = count;
            } else if (made[k] && sides[k].w.count < RANDOM_LENGTH)
                sides[k].w.xs[sides[k].w.count++] = made[k];
            tarn_tensor_free(copy[k]);
        }
    }
    for (int k = 0; k < SIDES; k++)
        assert_true(tarn_fill(sides[k].w.beta, 0.3));
}

static void programs(bool images, uint64_t count, int length)
{
    failures = changes[0] = changes[1] = changes[2] = 0;
    side_new(&sides[0], images);
    side_new(&sides[1], images);
    tarn_tape_set_fusion(sides[0].t, false);
    for (uint64_t seed = 0; seed < count; seed++) {
        tarn_rng rng = tarn_rng_seed(seed);
        start(seed);
        while (sides[0].w.count < length) {
            step now = next_step(&rng, (int)tarn_rng_below(&rng, ACTIONS));
            take(&now, tarn_rng_below(&rng, 4) ? 0 : 1 + (long)tarn_rng_below(&rng, 1 + tarn_rng_below(&rng, 60)));
        }
        step last = next_step(&rng, LOSS);
        take(&last, 0);
        same_parameters();
        for (int i = 0; i < 10; i++) {
            step now = next_step(&rng, READ);
            take(&now, 0);
        }
        after_a_change(&rng);
        for (int k = 0; k < SIDES; k++)
            tarn_params_zero_grad(sides[k].w.params);
        sides[1].w.noise = sides[0].w.noise;
    }
    side_free(&sides[0]);
    side_free(&sides[1]);
    tarn_set_threads(0);
    assert_true(failures > 0 && changes[0] > 0 && changes[1] > 0 && changes[2] > 0);
}

static void vectors_have_the_same_bits(void **state)
{
    (void)state;
    programs(false, 150, LENGTH);
}

static void images_have_the_same_bits(void **state)
{
    (void)state;
    programs(true, 30, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vectors_have_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(images_have_the_same_bits, setup, teardown),
    };
    return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
