/* The tape as a whole: laziness, gradients of gradients, and errors that stick. */
#include "tensor/memory.h"
#include "tensor/params.h"
#include "tests/ops_check.h"

static tarn_tensor *vector_new(int64_t n, const double *values)
{
    tarn_tensor *x = tarn_tensor_from(TARN_F64, 1, &n, values);
    assert_non_null(x);
    return x;
}

static tarn_tensor *total(tarn_tape *t, tarn_tensor *x)
{
    return tarn_sum(t, x, TARN_ALL_AXES, false);
}

static tarn_tensor *gradient(tarn_tape *t, tarn_tensor *y, tarn_tensor *x)
{
    tarn_tensor *g = NULL;
    assert_true(tarn_grad(t, 1, &y, NULL, 1, &x, &g) == (g != NULL));
    return g;
}

static void assert_elements(tarn_tensor *x, int n, const double *expected)
{
    const double *v = tarn_data(x);
    assert_non_null(v);
    assert_int_equal(tarn_numel(x), n);
    for (int i = 0; i < n; i++)
        if (!(fabs(v[i] - expected[i]) <= 1e-12 * fmax(1, fabs(expected[i]))))
            fail_msg("element %d is %.17g, expected %.17g", i, v[i], expected[i]);
}

/* ---- recording and running ---- */

static void recording_computes_nothing(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(3, (double[]){0, 1, 2});
    tarn_tensor *y = tarn_exp(t, x), *z = tarn_square(t, y), *unrelated = tarn_sin(t, x);
    assert_int_equal(tarn_tape_nodes(t), 3);
    assert_false(y->ready || z->ready || unrelated->ready);
    tarn_tensor *loss = total(t, z), *g = gradient(t, loss, x);
    assert_true(tarn_tape_nodes(t) > 4);
    assert_false(y->ready || loss->ready || g->ready);

    assert_true(fabs(tarn_item(loss) - (1 + exp(2) + exp(4))) < 1e-12 * exp(4));
    assert_true(y->ready && z->ready && loss->ready);
    assert_false(unrelated->ready || g->ready);
    const void *computed = y->data;
    assert_true(tarn_run(g) && tarn_run(unrelated));
    assert_ptr_equal(y->data, computed); /* not a second time */
    assert_elements(g, 3, (double[]){2, 2 * exp(2), 2 * exp(4)});
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

static void eager_runs_at_once(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){1, 2});
    assert_false(tarn_tape_eager(t));
    tarn_tape_set_eager(t, true);
    assert_true(tarn_tape_eager(t));
    tarn_tensor *y = tarn_square(t, x), *g = gradient(t, y, x);
    assert_true(y->ready && g->ready);
    tarn_tensor *view = tarn_reshape(t, y, TARN_SHAPE(2, 1));
    assert_true(view->ready);
    ((double *)tarn_mutable_data(x))[0] = 7; /* nothing is pending, so that is fine */
    assert_elements(g, 2, (double[]){2, 4});
    /* an error in running comes out of the op itself */
    tarn_tensor *index = tarn_constant(t, TARN_I32, TARN_SHAPE(1), (int32_t[]){5});
    assert_null(tarn_index_select(t, y, 0, index));
    ops_expect_error("tarn_index_select: index 5 is out of range");
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

static void a_changed_leaf_is_an_error(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_params *params = tarn_params_new(TARN_F64);
    tarn_tensor *w = tarn_params_add(params, "layer.weight", TARN_SHAPE(2));
    tarn_tensor *done = tarn_exp(t, w), *pending = tarn_exp(t, w);
    tarn_tensor *of_view = tarn_exp(t, tarn_reshape(t, w, TARN_SHAPE(2, 1)));
    assert_true(tarn_run(done));
    assert_true(tarn_fill(w, 3));
    assert_elements(done, 2, (double[]){1, 1});
    assert_null(tarn_data(pending));
    ops_expect_error("tarn_exp: input 0 (layer.weight [2]) changed between recording and running");
    assert_null(tarn_data(of_view));
    ops_expect_error("(layer.weight [2]) changed");
    tarn_tape_reset(t);
    assert_elements(tarn_exp(t, w), 2, (double[]){exp(3), exp(3)});
    tarn_tape_free(t);
    tarn_params_free(params);
}

static size_t heap_calls;

static void *counted_allocate(size_t bytes, void *context)
{
    (void)context;
    heap_calls++;
    return malloc(bytes);
}

static void counted_release(void *block, size_t bytes, void *context)
{
    (void)bytes, (void)context;
    free(block);
}

static double one_step(tarn_tape *t, tarn_tensor *w, tarn_tensor *x)
{
    tarn_tensor *y = tarn_gelu(t, tarn_matmul(t, x, w));
    tarn_tensor *loss = tarn_mean(t, tarn_square(t, tarn_softmax(t, y)), TARN_ALL_AXES, false);
    assert_true(tarn_backward(t, loss));
    double value = tarn_item(loss);
    tarn_tape_reset(t);
    return value;
}

static void a_loop_takes_nothing_from_the_heap(void **state)
{
    (void)state;
    assert_true(tarn_set_allocator(&(tarn_allocator){counted_allocate, counted_release, NULL}));
    tarn_tape *t = tarn_tape_new();
    tarn_params *params = tarn_params_new(TARN_F32);
    tarn_tensor *w = tarn_params_add(params, "w", TARN_SHAPE(20, 30));
    tarn_tensor *x = ops_random_new(1, TARN_F32, TARN_SHAPE(40, 20));
    double first = one_step(t, w, x);
    one_step(t, w, x);
    size_t before = heap_calls;
    for (int i = 0; i < 5; i++)
        assert_true(one_step(t, w, x) == first);
    assert_int_equal(heap_calls, before);
    assert_int_equal(tarn_tape_nodes(t), 0);
    assert_int_equal(tarn_tape_bytes(t), 0);
    assert_true(tarn_tape_peak_bytes(t) > 40 * 30 * sizeof(float));
    tarn_tape_free(t);
    tarn_tensor_free(x);
    tarn_params_free(params);
    assert_true(tarn_set_allocator(NULL));
}

/* ---- gradients ---- */

static void a_constant_region_has_no_gradient(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){3, -4});
    tarn_tape_set_grad(t, false);
    assert_false(tarn_tape_grad(t));
    tarn_tensor *frozen = tarn_square(t, x);
    tarn_tape_set_grad(t, true);
    tarn_tensor *y = tarn_mul(t, x, frozen); /* x * stop(x^2): the gradient is x^2, not 3x^2 */
    assert_elements(y, 2, (double[]){27, -64});
    assert_elements(gradient(t, y, x), 2, (double[]){9, 16});
    assert_null(gradient(t, frozen, x)); /* not a quiet 0 */
    ops_expect_error("tarn_grad: input 0 (f64[2]) is reached only through tarn_square, recorded with gradients off");
    assert_elements(gradient(t, y, frozen), 2, (double[]){3, -4});
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

static void gradients_of_anything_by_anything(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){2, 3}), *other = vector_new(3, (double[]){1, 1, 1});
    tarn_tensor *middle = tarn_square(t, x), *y = tarn_mul(t, middle, x); /* x^3 */
    tarn_tensor *outputs[] = {y, middle}, *inputs[] = {x, middle, x, other, y}, *g[5];
    assert_true(tarn_grad(t, 1, outputs, NULL, 5, inputs, g));
    assert_elements(g[0], 2, (double[]){12, 27});
    assert_elements(g[1], 2, (double[]){2, 3});
    assert_elements(g[2], 2, (double[]){12, 27});
    assert_elements(g[3], 3, (double[]){0, 0, 0});
    assert_elements(g[4], 2, (double[]){1, 1});

    /* several outputs, one of them twice, with cotangents of their own */
    tarn_tensor *c[] = {tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){1, 10}),
                        tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){100, 1000}),
                        tarn_constant(t, TARN_F64, TARN_SHAPE(2), (double[]){-1, 0})};
    assert_true(tarn_grad(t, 3, (tarn_tensor *[]){y, middle, y}, c, 2, inputs, g));
    assert_elements(g[0], 2, (double[]){100 * 4, 10 * 27 + 1000 * 6});
    assert_elements(g[1], 2, (double[]){100, 10 * 3 + 1000});

    /* a leaf by itself, and a cotangent that is differentiated in turn */
    assert_true(tarn_grad(t, 1, &x, &c[1], 1, &x, g));
    assert_elements(g[0], 2, (double[]){100, 1000});
    assert_true(tarn_grad(t, 1, &y, &c[0], 1, &x, g));
    assert_elements(gradient(t, g[0], c[0]), 2, (double[]){12, 27});
    tarn_tape_free(t);
    tarn_tensor_free(x);
    tarn_tensor_free(other);
}

static void derivatives_of_a_power(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(3, (double[]){1.5, -2, 0});
    tarn_tensor *y[] = {tarn_pow_scalar(t, x, 4), tarn_square(t, tarn_square(t, x)),
                        tarn_mul(t, tarn_mul(t, x, x), tarn_mul(t, x, x))};
    const double expected[][3] = {{4 * 3.375, -32, 0}, {12 * 2.25, 48, 0}, {36, -48, 0}, {24, 24, 24}, {0, 0, 0}};
    for (int spelling = 0; spelling < 3; spelling++) {
        tarn_tensor *d = y[spelling];
        for (int order = 1; order <= 5; order++) {
            d = gradient(t, d, x);
            assert_elements(d, 3, expected[order - 1]);
        }
    }
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

/* f = x0^2 x1 + x1 x2^3, whose Hessian is {2x1, 2x0, 0; 2x0, 0, 3x2^2; 0, 3x2^2, 6 x1 x2}. */
static tarn_tensor *two_terms(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *x0 = tarn_slice(t, x, 0, 0, 1, 1), *x1 = tarn_slice(t, x, 0, 1, 2, 1),
                *x2 = tarn_slice(t, x, 0, 2, 3, 1);
    return total(t, tarn_add(t, tarn_mul(t, tarn_square(t, x0), x1), tarn_mul(t, x1, tarn_pow_scalar(t, x2, 3))));
}

static void a_hessian_times_a_vector(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(3, (double[]){2, -1, 0.5}), *v = vector_new(3, (double[]){1, 3, -2});
    tarn_tensor *g = gradient(t, two_terms(t, x), x), *hv = NULL;
    assert_elements(g, 3, (double[]){2 * 2 * -1, 4 + 0.125, 3 * -1 * 0.25});
    assert_true(tarn_grad(t, 1, &g, &v, 1, &x, &hv));
    const double expected[] = {2 * -1 * 1 + 4 * 3, 4 * 1 + 0.75 * -2, 0.75 * 3 + 6 * -1 * 0.5 * -2};
    assert_elements(hv, 3, expected);
    assert_elements(gradient(t, total(t, tarn_mul(t, g, v)), x), 3, expected);
    tarn_tape_free(t);
    tarn_tensor_free(x);
    tarn_tensor_free(v);
}

static void backward_adds_to_the_parameters(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_params *params = tarn_params_new(TARN_F64);
    tarn_tensor *a = tarn_params_add(params, "a", TARN_SHAPE(2)), *b = tarn_params_add(params, "b", TARN_SHAPE(2)),
                *unused = tarn_params_add(params, "unused", TARN_SHAPE(1));
    assert_true(tarn_fill(a, 2) && tarn_fill(b, 5));
    tarn_tensor *loss = total(t, tarn_mul(t, tarn_mul(t, a, b), a)); /* a^2 b */
    assert_true(tarn_backward(t, loss));
    assert_true(loss->ready && tarn_param_has_grad(a) && tarn_param_has_grad(b));
    assert_false(tarn_param_has_grad(unused));
    assert_elements(tarn_param_grad(a), 2, (double[]){20, 20});
    assert_elements(tarn_param_grad(b), 2, (double[]){4, 4});
    assert_true(tarn_backward(t, total(t, b)));
    assert_elements(tarn_param_grad(b), 2, (double[]){5, 5});
    assert_elements(tarn_param_grad(a), 2, (double[]){20, 20});

    /* through a region without gradients: nothing moves */
    tarn_tape_set_grad(t, false);
    tarn_tensor *frozen = total(t, a);
    tarn_tape_set_grad(t, true);
    assert_false(tarn_backward(t, frozen));
    ops_expect_error("tarn_backward: parameter a (f64[2]) is reached only through tarn_sum");
    assert_elements(tarn_param_grad(a), 2, (double[]){20, 20});
    tarn_tape_free(t);
    tarn_params_free(params);
}

static void backward_says_what_does_not_fit(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new(), *u = tarn_tape_new();
    tarn_params *params = tarn_params_new(TARN_F64);
    tarn_tensor *a = tarn_params_add(params, "a", TARN_SHAPE(2));
    assert_false(tarn_backward(t, tarn_square(t, a)));
    ops_expect_error("tarn_backward: the loss is f64[2], expected one f32 or f64 element");
    assert_false(tarn_backward(u, total(t, a)));
    ops_expect_error("tarn_backward: loss lives on another tape");
    assert_false(tarn_backward(NULL, total(t, a)));
    ops_expect_error("tarn_backward: tape is NULL");
    assert_false(tarn_backward(t, NULL));
    ops_expect_error("tarn_backward: loss is NULL");
    /* an error while it runs: no gradient is touched */
    tarn_tensor *index = tarn_constant(t, TARN_I32, TARN_SHAPE(1), (int32_t[]){9});
    assert_false(tarn_backward(t, tarn_add(t, total(t, tarn_square(t, a)), total(t, tarn_gather(t, a, 0, index)))));
    ops_expect_error("tarn_gather: index 9 is out of range");
    assert_false(tarn_param_has_grad(a));
    assert_elements(tarn_param_grad(a), 2, (double[]){0, 0});
    tarn_tape_free(t);
    tarn_tape_free(u);
    tarn_params_free(params);
}

/* ---- errors ---- */

static void grad_says_what_does_not_fit(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new(), *u = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){1, 2}), *y = tarn_square(t, x), *on_u = tarn_square(u, x), *null = NULL,
                *labels = tarn_constant(t, TARN_I32, TARN_SHAPE(2), (int32_t[]){1, 2}),
                *scalar = tarn_scalar(t, TARN_F64, 1), *g = x;
    const struct {
        const char *message;
        int n_outputs;
        tarn_tensor **outputs, **cotangents;
        int n_inputs;
        tarn_tensor **inputs;
    } cases[] = {
        {"tarn_grad: output 0 lives on another tape", 1, &on_u, NULL, 1, &x},
        {"tarn_grad: input 0 lives on another tape", 1, &y, NULL, 1, &on_u},
        {"tarn_grad: cotangent 0 lives on another tape", 1, &y, &on_u, 1, &x},
        {"tarn_grad: output 0 is NULL", 1, &null, NULL, 1, &x},
        {"tarn_grad: input 0 is NULL", 1, &y, NULL, 1, &null},
        {"tarn_grad: input 0 is i32, expected f32 or f64", 1, &y, NULL, 1, &labels},
        {"tarn_grad: cotangent 0 is f64[], expected its output's f64[2]", 1, &y, &scalar, 1, &x},
        {"tarn_grad: 0 outputs and 1 inputs", 0, &y, NULL, 1, &x},
        {"tarn_grad: 1 outputs and 0 inputs", 1, &y, NULL, 0, &x},
        {"tarn_grad: outputs is NULL", 1, NULL, NULL, 1, &x},
        {"tarn_grad: inputs is NULL", 1, &y, NULL, 1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(tarn_grad(t, cases[i].n_outputs, cases[i].outputs, cases[i].cotangents, cases[i].n_inputs,
                               cases[i].inputs, &g));
        ops_expect_error(cases[i].message);
        assert_true(g == NULL || cases[i].n_inputs == 0);
    }
    assert_false(tarn_grad(t, 1, &y, NULL, 1, &x, NULL));
    ops_expect_error("tarn_grad: grads is NULL");
    assert_false(tarn_grad(NULL, 1, &y, NULL, 1, &x, &g));
    ops_expect_error("tarn_grad: tape is NULL");
    tarn_tape_free(t);
    tarn_tape_free(u);
    tarn_tensor_free(x);
}

static bool like_input_shape(tarn_node *n)
{
    return tarn__output(n, n->in[0]->dtype, n->in[0]->ndim, n->in[0]->shape);
}

static bool copy_run(tarn_node *n)
{
    tarn__copy_elements(n->out[0], n->in[0]);
    return true;
}

static const tarn_op no_rule_op = {.name = "no_rule", like_input_shape, copy_run, NULL};

static void an_op_without_a_gradient_is_named(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){1, 2}), *g = x;
    tarn_tensor *y = tarn_square(t, tarn__apply(t, &no_rule_op, TARN__IN(tarn_square(t, x)), NULL, 0));
    assert_elements(y, 2, (double[]){1, 16});
    assert_false(tarn_grad(t, 1, &y, NULL, 1, &x, &g));
    assert_null(g);
    ops_expect_error("tarn_no_rule: has no gradient");

    /* but what does not depend on the input does not mind */
    tarn_tensor *other = vector_new(2, (double[]){3, 4});
    tarn_tensor *mixed = tarn_mul(t, tarn__apply(t, &no_rule_op, TARN__IN(other), NULL, 0), x);
    assert_elements(gradient(t, mixed, x), 2, (double[]){3, 4});
    tarn_tape_free(t);
    tarn_tensor_free(x);
    tarn_tensor_free(other);
}

/* ---- limits of what an op may be ---- */

static bool many_outputs_shape(tarn_node *n)
{
    const int *count = n->attr;
    for (int i = 0; i < *count; i++)
        if (!like_input_shape(n))
            return false;
    return true;
}

static bool many_outputs_run(tarn_node *n)
{
    for (int i = 0; i < n->n_out; i++)
        tarn__copy_elements(n->out[i], n->in[0]);
    return true;
}

static bool sum_run(tarn_node *n)
{
    double total = 0;
    for (int i = 0; i < n->n_in; i++)
        total += tarn__load(n->in[i], 0);
    tarn__store(n->out[0], 0, total);
    return true;
}

static bool sum_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    size_t first = tarn_tape_nodes(t);
    tarn_tensor *y = n->in[0];
    for (int i = 1; i < n->n_in; i++)
        y = tarn_add(t, y, n->in[i]);
    return tarn__vjp_composed(t, n, first, &y, gy, need, gx);
}

static const tarn_op many_outputs_op = {.name = "many_outputs", many_outputs_shape, many_outputs_run, NULL};
static const tarn_op sum_op = {.name = "sum_of_many", like_input_shape, sum_run, sum_vjp};

static void what_an_op_may_have_is_checked(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(1, (double[]){3}), *in[TARN__MAX_COMPOSED + 1];
    size_t bytes = tarn_tape_bytes(t);
    int count = TARN__MAX_OUTPUTS + 1;
    assert_null(tarn__apply(t, &many_outputs_op, 1, &x, &count, sizeof count));
    ops_expect_error("tarn_many_outputs: more than 4 outputs");
    assert_int_equal(tarn_tape_bytes(t), bytes);
    count = TARN__MAX_OUTPUTS;
    tarn_tensor *y = tarn__apply(t, &many_outputs_op, 1, &x, &count, sizeof count);
    assert_elements(y->node->out[TARN__MAX_OUTPUTS - 1], 1, (double[]){3});

    for (int i = 0; i <= TARN__MAX_COMPOSED; i++)
        in[i] = i ? tarn_mul_scalar(t, x, i) : x;
    y = tarn__apply(t, &sum_op, TARN__MAX_COMPOSED, in, NULL, 0);
    assert_elements(gradient(t, y, x), 1, (double[]){1 + 28});
    y = tarn__apply(t, &sum_op, TARN__MAX_COMPOSED + 1, in, NULL, 0);
    assert_null(gradient(t, y, x));
    ops_expect_error("tarn_sum_of_many: a composed gradient of 9 inputs, expected at most 8");
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

static void tapes_do_not_mix(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new(), *u = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){1, 2});
    assert_null(tarn_add(t, tarn_square(t, x), tarn_square(u, x)));
    ops_expect_error("tarn_add: input 1 lives on another tape");
    assert_null(tarn_reshape(u, tarn_square(t, x), TARN_SHAPE(2, 1)));
    ops_expect_error("tarn_reshape: input 0 lives on another tape");
    assert_non_null(tarn_add(t, tarn_square(t, x), x)); /* a leaf may be on both */
    tarn_tape_free(t);
    tarn_tape_free(u);
    tarn_tensor_free(x);
}

static void the_first_error_sticks(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_params *params = tarn_params_new(TARN_F64);
    tarn_tensor *a = tarn_params_add(params, "a", TARN_SHAPE(2, 3)), *g = a;
    assert_true(tarn_fill(a, 1));
    tarn_tensor *good = total(t, a);
    size_t nodes = tarn_tape_nodes(t), bytes = tarn_tape_bytes(t);

    tarn_tensor *y = tarn_matmul(t, a, a);
    assert_null(y);
    const char *first = "tarn_matmul: [2,3] x [2,3]: inner dimensions 3 and 2 differ";
    assert_string_equal(tarn_error(), first);
    y = tarn_relu(t, tarn_batchnorm(t, y, a, a, NULL, NULL));
    y = tarn_max_pool2d(t, tarn_conv2d(t, y, a, NULL), 2, NULL);
    y = tarn_cross_entropy(t, tarn_flatten(t, tarn_concat(t, 2, (tarn_tensor *[]){y, a}, 0)), a);
    assert_null(y);
    assert_null(tarn_exp(t, a)); /* not even what would be right */
    assert_null(tarn_tensor_new(TARN_F32, 0, NULL));
    assert_false(tarn_backward(t, good));
    assert_false(tarn_grad(t, 1, &good, NULL, 1, &a, &g));
    assert_null(g);
    assert_null(tarn_data(good));
    assert_true(isnan(tarn_item(good)));
    assert_false(tarn_fill(a, 9));
    assert_false(tarn_fail("another"));
    assert_string_equal(tarn_error(), first);
    assert_int_equal(tarn_tape_nodes(t), nodes);
    assert_int_equal(tarn_tape_bytes(t), bytes);
    assert_false(tarn_param_has_grad(a));

    tarn_error_clear();
    assert_true(tarn_item(good) == 6 && tarn_backward(t, good));
    assert_elements(tarn_param_grad(a), 6, (double[]){1, 1, 1, 1, 1, 1});
    tarn_tape_free(t);
    tarn_params_free(params);
}

static void a_tape_is_reset_in_spite_of_an_error(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(2, (double[]){1, 2});
    tarn_exp(t, x);
    tarn_fail("something");
    tarn_tape_reset(t);
    assert_int_equal(tarn_tape_nodes(t), 0);
    assert_int_equal(tarn_tape_bytes(t), 0);
    assert_string_equal(tarn_error(), "something");
    tarn_error_clear();
    assert_true(tarn_item(total(t, x)) == 3);
    tarn_tape_reset(NULL);
    tarn_tape_free(NULL);
    tarn_fail("something");
    tarn_tape_free(t);
    tarn_error_clear();
    tarn_tensor_free(x);
}

static void a_tape_with_many_nodes(void **state)
{
    (void)state;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = vector_new(1, (double[]){1}), *y = x;
    for (int i = 0; i < 5000; i++)
        y = tarn_add_scalar(t, y, 0.5);
    assert_int_equal(tarn_tape_nodes(t), 5000);
    assert_elements(y, 1, (double[]){2501});
    assert_elements(gradient(t, y, x), 1, (double[]){1});
    tarn_tape_free(t);
    tarn_tensor_free(x);
}

const struct CMUnitTest ops_tape_tests[] = {
    cmocka_unit_test(recording_computes_nothing),
    cmocka_unit_test(eager_runs_at_once),
    cmocka_unit_test(a_changed_leaf_is_an_error),
    cmocka_unit_test(a_loop_takes_nothing_from_the_heap),
    cmocka_unit_test(a_constant_region_has_no_gradient),
    cmocka_unit_test(gradients_of_anything_by_anything),
    cmocka_unit_test(derivatives_of_a_power),
    cmocka_unit_test(a_hessian_times_a_vector),
    cmocka_unit_test(backward_adds_to_the_parameters),
    cmocka_unit_test(backward_says_what_does_not_fit),
    cmocka_unit_test(grad_says_what_does_not_fit),
    cmocka_unit_test(an_op_without_a_gradient_is_named),
    cmocka_unit_test(what_an_op_may_have_is_checked),
    cmocka_unit_test(tapes_do_not_mix),
    cmocka_unit_test(the_first_error_sticks),
    cmocka_unit_test(a_tape_is_reset_in_spite_of_an_error),
    cmocka_unit_test(a_tape_with_many_nodes),
    {.name = NULL},
};
