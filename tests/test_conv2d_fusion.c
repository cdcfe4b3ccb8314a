/* A convolution with its bias and the statistics of the BatchNorm behind it, and relu computed again for the gradient
 * of the next one: the same bits as one op after the other, and indeed run together. */
#include "autograd/tape_impl.h"
#include "tensor/params.h"
#include "tensor/threads.h"
#include "tests/tape_fixture.h"

enum { TENSORS = 13 };

/* What a step leaves: y, the running statistics, and the gradients. */
typedef struct result {
    size_t bytes[TENSORS];
    void *data[TENSORS];
    int count;
    bool together; /* the convolution ran with BatchNorm */
} result;

static void result_add(result *r, tarn_tensor *x)
{
    const size_t bytes = tarn__bytes(x);
    assert_true(r->count < TENSORS);
    r->bytes[r->count] = bytes;
    r->data[r->count] = malloc(bytes + 1);
    const void *data = tarn_data(x);
    expect_no_error();
    memcpy(r->data[r->count++], data, bytes);
}

typedef struct shape {
    int64_t n, h, w, c, k;
    int kernel, stride, padding;
    bool bias, together;
} shape;

static tarn_tensor *parameter(tarn_params *p, const char *name, tarn_rng *rng, int ndim, const int64_t *sizes)
{
    tarn_tensor *x = tarn_params_add(p, name, ndim, sizes);
    assert_non_null(x);
    for (int64_t i = 0; i < tarn_numel(x); i++)
        tarn__store(x, i, 2 * tarn_rng_uniform(rng) - 1);
    return x;
}

static result step(tarn_dtype dtype, const shape *s, bool fusion, int threads)
{
    tarn_set_threads(threads);
    tarn_tape_set_fusion(t, fusion);
    tarn_params *p = tarn_params_new(dtype);
    tarn_rng rng = tarn_rng_seed(1);
    tarn_tensor *x = parameter(p, "x", &rng, 4, (const int64_t[]){s->n, s->h, s->w, s->c});
    tarn_tensor *w = parameter(p, "w", &rng, 4, (const int64_t[]){s->kernel, s->kernel, s->c, s->k});
    tarn_tensor *w2 = parameter(p, "w2", &rng, 4, (const int64_t[]){3, 3, s->k, 4});
    tarn_tensor *bias = parameter(p, "bias", &rng, 1, &s->k);
    tarn_tensor *gamma = parameter(p, "gamma", &rng, 1, &s->k), *beta = parameter(p, "beta", &rng, 1, &s->k);
    const tarn_running_stats running = {tarn_params_add_buffer(p, "mean", 1, &s->k),
                                        tarn_params_add_buffer(p, "var", 1, &s->k),
                                        tarn_params_add_buffer(p, "batches", 0, NULL)};
    tarn_tensor *z = tarn_conv2d(t, x, w, &(tarn_conv2d_opts){.stride = s->stride, .padding = s->padding});
    if (s->bias)
        z = tarn_add(t, z, bias);
    tarn_tensor *normal = tarn_batchnorm(t, z, gamma, beta, &running, NULL);
    tarn_tensor *y = tarn_relu(t, normal);
    /* whose gradient reads y, which is then computed again */
    tarn_tensor *last = tarn_conv2d(t, y, w2, &(tarn_conv2d_opts){.padding = 1});
    assert_true(tarn_backward(t, tarn_sum(t, tarn_square(t, last), 0, NULL, false)));
    expect_no_error();
    result r = {.together = normal->node->fusion_data != NULL};
    tarn_tensor *grads[] = {tarn_param_grad(x), tarn_param_grad(w), tarn_param_grad(w2), tarn_param_grad(gamma),
                            tarn_param_grad(beta)};
    for (size_t i = 0; i < sizeof grads / sizeof *grads; i++)
        result_add(&r, grads[i]);
    result_add(&r, running.mean);
    result_add(&r, running.var);
    result_add(&r, running.batches);
    result_add(&r, y);
    result_add(&r, normal); /* computed again: it was never stored, and nothing moves a second time */
    result_add(&r, z);
    result_add(&r, running.var);
    tarn_tape_reset(t);
    tarn_params_free(p);
    tarn_set_threads(0);
    return r;
}

static void result_free(result *r)
{
    for (int i = 0; i < r->count; i++)
        free(r->data[i]);
}

static void assert_same(const result *a, const result *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++)
        assert_memory_equal(a->data[i], b->data[i], a->bytes[i]);
}

static const shape shapes[] = {
    {3, 28, 28, 1, 32, 3, 1, 1, true, true},   /* direct, bands of rows */
    {40, 14, 14, 16, 32, 3, 1, 1, true, true}, /* Winograd, 14 = 3 * 4 + 2 */
    {33, 7, 9, 8, 17, 3, 1, 1, false, true},   /* one image a band, odd sizes */
    {70, 3, 5, 4, 16, 3, 1, 1, true, true},    /* several images a band, a rest */
    {3, 32, 32, 16, 16, 3, 2, 1, false, true}, /* a stride */
    {2, 30, 40, 8, 64, 1, 1, 0, true, true},   /* 1x1 */
    {1, 6, 6, 3, 100, 3, 1, 1, true, false},   /* few pixels: channels are cut into groups */
    {2, 9, 600, 2, 16, 3, 1, 1, true, false},  /* rows longer than a tile */
    {2, 9, 9, 16, 8, 3, 1, 1, true, false},    /* few channels */
};

static void fused_has_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
            result plain = step(dtype, &shapes[i], false, 1);
            for (int threads = 1; threads <= 3; threads++) {
                result fused = step(dtype, &shapes[i], true, threads);
                assert_same(&plain, &fused);
                assert_int_equal(fused.together, shapes[i].together);
                result_free(&fused);
            }
            assert_false(plain.together);
            result_free(&plain);
        }
}

/* Winograd's weights are transformed once for all convolutions with them, however many; and again when they change. */
static void weights_are_transformed_once(void **state)
{
    (void)state;
    const tarn_conv2d_opts opts = {.padding = 1};
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_rng rng = tarn_rng_seed(2);
    tarn_tensor *w = parameter(p, "w", &rng, 4, (const int64_t[]){3, 3, 8, 8});
    tarn_tensor *x = parameter(p, "x", &rng, 4, (const int64_t[]){2, 16, 16, 8});
    tarn_tensor *y = tarn_conv2d(t, x, w, &opts);
    const size_t one = tarn_tape_nodes(t);
    tarn_tensor *z = tarn_conv2d(t, tarn_conv2d(t, y, w, &opts), w, &opts);
    assert_int_equal(tarn_tape_nodes(t), one + 2);
    assert_ptr_equal(y->node->in[2], z->node->in[2]);
    assert_true(tarn_backward(t, tarn_sum(t, tarn_square(t, z), 0, NULL, false)));
    size_t transformations = 0;
    for (size_t i = 0; i < tarn_tape_nodes(t); i++)
        transformations += strcmp(t->nodes[i]->op->name, "conv2d_weights") == 0;
    assert_int_equal(transformations, 2); /* as they are, and turned */

    assert_non_null(tarn_mutable_data(w));
    assert_ptr_not_equal(tarn_conv2d(t, x, w, &opts)->node->in[2], y->node->in[2]);
    tarn_tape_reset(t);
    assert_non_null(tarn_data(tarn_conv2d(t, x, w, &opts)));
    expect_no_error();
    tarn_tape_reset(t);
    tarn_params_free(p);
}

/* tanh(z) BN(z)^2, z = conv(x, w) + bias, BN(z) a constant. Of the copies that the gradient makes, tanh's is asked
 * first, and takes bias and convolution with it; BatchNorm's must not take that for its own convolution. */
static tarn_tensor *shared_sum(tarn_tape *tape, void *context, tarn_tensor *x)
{
    tarn_tensor *const *p = context;
    tarn_tensor *z = tarn_add(tape, tarn_conv2d(tape, x, p[0], &(tarn_conv2d_opts){.padding = 1}), p[1]);
    tarn_tape_set_grad(tape, false); /* else its gradient reads z too */
    tarn_tensor *y = tarn_batchnorm(tape, z, p[2], p[1], NULL, NULL);
    tarn_tape_set_grad(tape, true);
    return tarn_mul(tape, tarn_mul(tape, tarn_tanh(tape, z), y), y);
}

static void what_a_chain_has_taken_is_not_taken_again(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_rng rng = tarn_rng_seed(1);
    tarn_tensor *x = parameter(p, "x", &rng, 4, (const int64_t[]){3, 24, 24, 16});
    tarn_tensor *context[] = {parameter(p, "w", &rng, 4, (const int64_t[]){3, 3, 16, 16}),
                              parameter(p, "bias", &rng, 1, (const int64_t[]){16}),
                              tarn_params_add_buffer(p, "gamma", 1, (const int64_t[]){16})};
    tarn_tensor *before[3];
    assert_true(tarn_fill(context[2], 1));
    for (int fusion = 0; fusion < 2; fusion++) {
        tarn_tape_set_fusion(t, fusion);
        tarn_tensor *y = tarn_checkpoint(t, shared_sum, context, x);
        assert_true(tarn_backward(t, tarn_sum(t, y, TARN_ALL_AXES, false)));
        for (size_t i = 0; i < 3; i++) {
            tarn_tensor *g = tarn_param_grad(tarn_params_at(p, i));
            if (fusion)
                assert_memory_equal(tarn_data(before[i]), tarn_data(g), tarn__bytes(g));
            else
                before[i] = tarn_tensor_clone(g);
        }
        tarn_params_zero_grad(p);
        tarn_tape_reset(t);
    }
    for (size_t i = 0; i < 3; i++)
        tarn_tensor_free(before[i]);
    tarn_params_free(p);
}

/* A weight may be freed when its convolution has been computed, and the next one may lie where it lay. */
static void another_weight_in_the_same_place(void **state)
{
    (void)state;
    tarn_tensor *x = tarn_ones(t, TARN_F32, TARN_SHAPE(2, 16, 16, 8));
    for (int round = 1; round <= 3; round++) {
        tarn_tensor *w = tarn_tensor_new(TARN_F32, TARN_SHAPE(3, 3, 8, 8));
        assert_true(tarn_fill(w, round));
        const float *y = tarn_data(tarn_conv2d(t, x, w, NULL));
        expect_no_error();
        assert_true(fabsf(y[0] - 72 * (float)round) < 0.01f);
        tarn_tensor_free(w);
    }
}

/* Nothing may be computed again from what is younger than the value: then the value itself is read, or there is an error. */
static void what_has_changed_is_not_computed_again(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_rng rng = tarn_rng_seed(1);
    tarn_tensor *w = parameter(p, "w", &rng, 4, (const int64_t[]){3, 3, 24, 8});
    tarn_tensor *gamma = tarn_tensor_new(TARN_F32, TARN_SHAPE(24)); /* no parameter: its gradient is not asked for */
    tarn_tensor *before = NULL;
    for (int round = 0; round < 3; round++) {
        assert_true(tarn_fill(gamma, 1));
        rng = tarn_rng_seed(2);
        tarn_tensor *x = tarn_normal(t, TARN_F32, TARN_SHAPE(4, 16, 16, 24), &rng, 0, 1);
        tarn_tensor *y = tarn_relu(t, tarn_batchnorm(t, tarn_tanh(t, x), gamma, gamma, NULL, NULL));
        tarn_tensor *loss = tarn_mean(t, tarn_conv2d(t, y, w, NULL), TARN_ALL_AXES, false);
        assert_true(tarn__bytes(y) > TARN__SMALL);
        assert_true(round == 2 ? tarn_backward(t, loss) : tarn_run(loss));
        assert_int_equal(y->ready, round < 2);
        if (round > 0)
            assert_true(tarn_fill(gamma, 7));
        tarn_params_zero_grad(p);
        if (round == 2) {
            assert_false(tarn_backward(t, loss));
            expect_error("tarn_batchnorm: input 1 (a leaf [24]) changed between recording and running");
            break;
        }
        assert_true(tarn_backward(t, loss));
        if (round == 0)
            before = tarn_tensor_clone(tarn_param_grad(w));
        else
            assert_memory_equal(tarn_data(before), tarn_data(tarn_param_grad(w)), tarn__bytes(before));
        tarn_tape_reset(t);
    }
    tarn_tensor_free(before);
    tarn_tape_reset(t);
    tarn_tensor_free(gamma);
    tarn_params_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fused_has_the_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_are_transformed_once, setup, teardown),
        cmocka_unit_test_setup_teardown(another_weight_in_the_same_place, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_chain_has_taken_is_not_taken_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_changed_is_not_computed_again, setup, teardown),
    };
    return cmocka_run_group_tests_name("conv2d fusion", tests, NULL, NULL);
}
