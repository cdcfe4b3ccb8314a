/* A loss as a function of a store's parameters: its value, its gradient, and the store left as it was. */
#include "tests/layers_cases.h"

#include "autograd/curvature.h"

enum { IN = 3, HIDDEN = 4, BATCH = 5 };

/* A network with everything that a loss can move: BatchNorm's running statistics. */
typedef struct problem {
    tarn_linear_layer f1, f2;
    tarn_batchnorm_layer norm;
    tarn_tensor *x, *labels;
    int calls;
} problem;

static tarn_tensor *loss_of(tarn_tape *t, void *context)
{
    problem *p = context;
    p->calls++;
    tarn_tensor *h = tarn_tanh(t, tarn_batchnorm_apply(t, &p->norm, tarn_linear_apply(t, &p->f1, p->x)));
    return tarn_cross_entropy(t, tarn_linear_apply(t, &p->f2, h), p->labels);
}

static problem problem_new(tarn_params *params)
{
    problem p = {0};
    tarn_rng rng = tarn_rng_seed(3);
    tarn_linear_init(&p.f1, params, "f1", &rng, IN, HIDDEN, NULL);
    tarn_batchnorm_init(&p.norm, params, "norm", HIDDEN, NULL);
    tarn_linear_init(&p.f2, params, "f2", &rng, HIDDEN, 2, NULL);
    p.x = tarn_tensor_uniform_new(tarn_params_dtype(params), TARN_SHAPE(BATCH, IN), &rng, -1, 1);
    p.labels = tarn_tensor_from(TARN_I32, TARN_SHAPE(BATCH), (int32_t[]){0, 1, 1, 0, 1});
    assert_null(tarn_error());
    return p;
}

static void problem_free(problem *p)
{
    tarn_tensor_free(p->x);
    tarn_tensor_free(p->labels);
}

/* Every tensor and gradient of the store, as bytes. */
static void *everything(const tarn_params *params, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < tarn_params_count(params); i++)
        *bytes += 2 * tarn__bytes(tarn_params_at(params, i));
    char *all = malloc(*bytes), *at = all;
    assert_non_null(all);
    memset(all, 0, *bytes);
    for (size_t i = 0; i < tarn_params_count(params); i++) {
        const tarn_tensor *x = tarn_params_at(params, i);
        memcpy(at, x->data, tarn__bytes(x));
        at += tarn__bytes(x);
        if (x->grad)
            memcpy(at, x->grad->data, tarn__bytes(x));
        at += tarn__bytes(x);
    }
    return all;
}

static void a_vector_is_the_store_in_order(void **state)
{
    (void)state;
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *p = tarn_params_new((tarn_dtype)dtype);
        tarn_tensor *a = tarn_params_add(p, "a", TARN_SHAPE(2, 3));
        assert_non_null(tarn_params_add_buffer(p, "kept", TARN_SHAPE(4)));
        assert_non_null(tarn_params_add(p, "none", TARN_SHAPE(0, 3)));
        tarn_tensor *b = tarn_params_add(p, "b", 0, NULL);
        double given[7] = {0.1, -2, 3, 1e-30, 5, 6, -7};
        tarn_tensor *v = tarn_tensor_from(TARN_F64, TARN_SHAPE(7), given);
        assert_true(tarn_params_set_vector(p, v));
        for (int i = 0; i < 6; i++)
            assert_true(tarn__load(a, i) == (dtype == TARN_F32 ? (double)(float)given[i] : given[i]));
        assert_true(tarn_item(b) == -7);
        tarn_tensor *back = tarn_params_vector_new(p);
        expect_shape(back, TARN_SHAPE(7));
        for (int i = 0; i < 7; i++)
            assert_true(tarn__load(back, i) == (dtype == TARN_F32 ? (double)(float)given[i] : given[i]));
        assert_true(tarn_fill(b, 4));
        assert_true(tarn__load(back, 6) == -7); /* a copy */

        tarn_tensor *loss = tarn_sum(f.t, tarn_square(f.t, a), TARN_ALL_AXES, false);
        assert_true(tarn_backward(f.t, loss));
        tarn_tensor *grad = tarn_params_grad_vector_new(p);
        for (int i = 0; i < 6; i++)
            assert_true(tarn__load(grad, i) == 2 * tarn__load(a, i));
        assert_true(tarn__load(grad, 6) == 0);
        tarn_tape_reset(f.t);
        tarn_tensor_free(v), tarn_tensor_free(back), tarn_tensor_free(grad);
        tarn_params_free(p);
    }
}

static void a_vector_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    tarn_tensor *a = tarn_params_add(f.p, "a", TARN_SHAPE(2));
    tarn_tensor *wrong[] = {tarn_tensor_new(TARN_F64, TARN_SHAPE(3)), tarn_tensor_new(TARN_F32, TARN_SHAPE(2)),
                            tarn_tensor_new(TARN_F64, TARN_SHAPE(2, 1))};
    assert_true(tarn_fill(a, 5));
    for (int i = 0; i < 3; i++) {
        assert_false(tarn_params_set_vector(f.p, wrong[i]));
        expect_error("expected f64 [2]");
        assert_true(tarn__load(a, 0) == 5 && tarn__load(a, 1) == 5);
        tarn_tensor_free(wrong[i]);
    }
    tarn_tensor *y = tarn_exp(f.t, a), *v = tarn_params_vector_new(f.p);
    assert_true(tarn_params_set_vector(f.p, v));
    assert_false(tarn_run(y)); /* a has been written since y was recorded */
    expect_error("tarn_exp");
    tarn_tensor_free(v);
}

static void gradients_are_those_of_backward(void **state)
{
    (void)state;
    problem p = problem_new(f.p);
    const tarn_objective o = {loss_of, &p, f.p, f.t};
    tarn_tensor *loss = loss_of(f.t, &p);
    double value = tarn_item(loss), got = 0;
    assert_true(tarn_backward(f.t, loss));
    tarn_tape_reset(f.t);
    tarn_tensor *want = tarn_params_grad_vector_new(f.p);
    assert_true(tarn_objective_value(&o) == value);
    tarn_tensor *grad = tarn_objective_gradient_new(&o, &got);
    assert_true(got == value);
    expect_equal(grad, want, 0);
    tarn_tape_set_grad(f.t, false); /* the tape's own setting does not take the gradient away */
    tarn_tensor *again = tarn_objective_gradient_new(&o, NULL);
    expect_equal(again, want, 0);
    assert_false(tarn_tape_grad(f.t));
    tarn_tensor_free(grad), tarn_tensor_free(again), tarn_tensor_free(want);
    problem_free(&p);
}

static void the_store_stays_as_it_was(void **state)
{
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        const bool training = mode == 1;
        tarn_params *params = tarn_params_new(TARN_F64);
        problem p = problem_new(params);
        const tarn_objective o = {loss_of, &p, params, f.t};
        tarn_tape_set_training(f.t, true);
        assert_true(tarn_backward(f.t, loss_of(f.t, &p))); /* gradients and running statistics worth keeping */
        tarn_tape_reset(f.t);
        tarn_tape_set_training(f.t, training);
        size_t bytes;
        void *before = everything(params, &bytes);
        assert_true(!isnan(tarn_objective_value(&o)));
        tarn_tensor_free(tarn_objective_gradient_new(&o, NULL));
        void *after = everything(params, &bytes);
        assert_memory_equal(before, after, bytes);
        assert_true(tarn_tape_training(f.t) == training);
        assert_int_equal(tarn_tape_nodes(f.t), 0);
        free(before), free(after);
        tarn_tape_reset(f.t);
        tarn_params_free(params);
        problem_free(&p);
    }
}

static void what_lies_on_the_tape_stays(void **state)
{
    (void)state;
    problem p = problem_new(f.p);
    const tarn_objective o = {loss_of, &p, f.p, f.t};
    for (int node = 0; node < 2; node++) {
        tarn_tensor *leaf = tarn_arange(f.t, TARN_F64, 1000, 0, 1);
        const double *values = tarn_data(node ? tarn_exp(f.t, leaf) : leaf);
        assert_true(isnan(tarn_objective_value(&o)));
        expect_error("tarn_objective_value: something lies on the objective's tape");
        assert_true(values[0] == node);
        tarn_tape_reset(f.t);
        assert_true(!isnan(tarn_objective_value(&o)));
    }
    problem_free(&p);
}

static tarn_tensor *fails_when_it_runs(tarn_tape *t, void *context)
{
    tarn_tape_set_training(t, false); /* and leaves the tape otherwise than it was */
    tarn_tensor *wild = tarn_full(t, TARN_I32, TARN_SHAPE(1), 1000);
    return tarn_sum(t, tarn_mul(t, loss_of(t, context), tarn_index_select(t, ((problem *)context)->x, 0, wild)),
                    TARN_ALL_AXES, false);
}

static void after_an_error_too(void **state)
{
    (void)state;
    problem p = problem_new(f.p);
    const tarn_objective o = {fails_when_it_runs, &p, f.p, f.t};
    size_t bytes;
    void *before = everything(f.p, &bytes);
    assert_true(isnan(tarn_objective_value(&o)));
    expect_error("tarn_index_select");
    assert_null(tarn_objective_gradient_new(&o, NULL));
    expect_error("tarn_index_select");
    void *after = everything(f.p, &bytes);
    assert_memory_equal(before, after, bytes);
    assert_true(tarn_tape_training(f.t));
    assert_int_equal(tarn_tape_nodes(f.t), 0);
    free(before), free(after);
    problem_free(&p);
}

static void f32_is_f64_rounded(void **state)
{
    (void)state;
    tarn_tensor *grads[2];
    double values[2];
    for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *params = tarn_params_new((tarn_dtype)dtype);
        problem p = problem_new(params);
        tarn_rng rng = tarn_rng_seed(9);
        tarn_tensor *point = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(tarn_params_numel(params)), &rng, -1, 1);
        tarn_tensor *x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(BATCH, IN), &rng, -1, 1);
        assert_true(tarn_params_set_vector(params, point) && tarn_copy(p.x, x));
        grads[dtype] = tarn_objective_gradient_new(&(tarn_objective){loss_of, &p, params, f.t}, &values[dtype]);
        tarn_tensor_free(point), tarn_tensor_free(x);
        problem_free(&p);
        tarn_params_free(params);
    }
    assert_true(fabs(values[TARN_F32] - values[TARN_F64]) < 1e-6);
    expect_equal(grads[TARN_F32], grads[TARN_F64], 2e-6);
    tarn_tensor_free(grads[0]), tarn_tensor_free(grads[1]);
}

/* ---- layers with a state of their own, each twice, and random numbers ---- */

typedef struct stateful {
    tarn_batchnorm_layer norm;
    tarn_batch_renorm_layer renorm;
    tarn_spectralnorm_linear_layer spectral;
    tarn_tensor *x;
    bool checkpoint;
} stateful;

static tarn_tensor *twice(tarn_tape *t, void *context, tarn_tensor *x)
{
    const stateful *s = context;
    tarn_rng rng = tarn_rng_seed(6);
    for (int i = 0; i < 2; i++) {
        x = tarn_batchnorm_apply(t, &s->norm, tarn_spectralnorm_linear_apply(t, &s->spectral, x));
        x = tarn_dropout(t, tarn_tanh(t, tarn_batch_renorm_apply(t, &s->renorm, x)), 0.25, &rng);
    }
    return x;
}

static tarn_tensor *stateful_loss(tarn_tape *t, void *context)
{
    stateful *s = context;
    tarn_tensor *y = s->checkpoint ? tarn_checkpoint(t, twice, s, s->x) : twice(t, s, s->x);
    return tarn_mean(t, tarn_square(t, tarn_add_scalar(t, y, -0.5)), TARN_ALL_AXES, false);
}

/* Value, gradient and curvature have the same bits at each call, with and without a checkpoint, and however the tape
 * runs; the state is what it was. */
static void a_state_counts_from_the_beginning(void **state)
{
    (void)state;
    stateful s = {.x = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(BATCH, IN), &f.rng, -1, 1)};
    assert_true(tarn_spectralnorm_linear_init(&s.spectral, f.p, "s", &f.rng, IN, IN, NULL, NULL) &&
                tarn_batchnorm_init(&s.norm, f.p, "n", IN, NULL) &&
                tarn_batch_renorm_init(&s.renorm, f.p, "r", IN, &(tarn_batch_renorm_opts){.unscheduled = true}));
    const tarn_objective o = {stateful_loss, &s, f.p, f.t};
    tarn_tensor *v = tarn_tensor_uniform_new(TARN_F64, TARN_SHAPE(tarn_params_numel(f.p)), &f.rng, -1, 1);
    tarn_tensor *grads[4], *products[4];
    double values[4];
    size_t bytes;
    void *before = everything(f.p, &bytes);
    for (int i = 0; i < 4; i++) {
        s.checkpoint = i & 1;
        tarn_tape_set_eager(f.t, i & 2);
        grads[i] = tarn_objective_gradient_new(&o, &values[i]);
        products[i] = tarn_hessian_times_new(&o, v);
        assert_null(tarn_error());
        assert_true(values[i] == tarn_objective_value(&o) && values[i] == values[0]);
        expect_equal(grads[i], grads[0], 0);
        expect_equal(products[i], products[0], 0);
    }
    void *after = everything(f.p, &bytes);
    assert_memory_equal(before, after, bytes);
    for (int i = 0; i < 4; i++)
        tarn_tensor_free(grads[i]), tarn_tensor_free(products[i]);
    free(before), free(after);
    tarn_tensor_free(v), tarn_tensor_free(s.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_vector_is_the_store_in_order),
        TEST(a_vector_that_does_not_fit_changes_nothing),
        TEST(gradients_are_those_of_backward),
        TEST(the_store_stays_as_it_was),
        TEST(what_lies_on_the_tape_stays),
        TEST(after_an_error_too),
        TEST(f32_is_f64_rounded),
        TEST(a_state_counts_from_the_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
