/* The same bits whatever the number of threads, and run after run. */
#include "tensor/threads.h"
#include "tests/check.h"
#include "tests/small_cnn.h"

#include <math.h>

enum { STEPS = 20 };

/* Every loop has several tiles in it. */
static const cnn_size size = {.batch = 32, .side = 28, .channels = 3, .width = 16, .hidden = 64, .classes = 10};

static void hash_of(const void *data, size_t bytes, char hex[65])
{
    check_sha256 s;
    check_sha256_start(&s);
    check_sha256_add(&s, data, bytes);
    check_sha256_finish(&s, hex);
}

static void sha256_known_answers(void **state)
{
    (void)state;
    char hex[65];
    hash_of("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_of("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    static char many[1000000];
    memset(many, 'a', sizeof many);
    hash_of(many, sizeof many, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

typedef struct run {
    char weights[65];
    double first, last; /* losses */
} run;

static run train(int threads, uint64_t seed, tarn_dtype dtype, bool eager)
{
    run r = {.first = NAN, .last = NAN};
    cnn m;
    assert_true(tarn_set_threads(threads));
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_eager(t, eager);
    assert_true(cnn_new(&m, dtype, &size, seed));
    for (int step = 0; step < STEPS; step++) {
        r.last = cnn_step(t, &m);
        if (step == 0)
            r.first = r.last;
        tarn_tape_reset(t);
    }
    expect_no_error();
    cnn_hash(&m, r.weights);
    cnn_free(&m);
    tarn_tape_free(t);
    assert_true(tarn_set_threads(0));
    return r;
}

static void expect_same(run a, run b)
{
    assert_string_equal(a.weights, b.weights);
    assert_true(a.first == b.first && a.last == b.last);
}

static void training_has_the_same_bits_for_every_thread_count(void **state)
{
    (void)state;
    run one = train(1, 7, TARN_F32, false);
    assert_true(isfinite(one.last) && one.last < 0.8 * one.first); /* it did learn */
    for (int threads = 2; threads <= 4; threads++)
        expect_same(train(threads, 7, TARN_F32, false), one);
    expect_same(train(8, 7, TARN_F32, false), one);
    expect_same(train(3, 7, TARN_F64, false), train(1, 7, TARN_F64, false));
}

static void a_seed_is_a_run(void **state)
{
    (void)state;
    run first = train(2, 11, TARN_F32, false), other = train(2, 12, TARN_F32, false);
    expect_same(train(2, 11, TARN_F32, false), first);
    assert_string_not_equal(first.weights, other.weights);
    assert_true(first.first != other.first);
}

static void eager_has_the_same_bits(void **state)
{
    (void)state;
    expect_same(train(3, 5, TARN_F32, true), train(2, 5, TARN_F32, false));
}

/* ---- ops that the classifier does not use, on shapes with many tiles ---- */

static tarn_tensor *normal(tarn_tape *t, tarn_dtype dtype, int ndim, const int64_t *shape, uint64_t seed)
{
    tarn_rng rng = tarn_rng_seed(seed);
    return tarn_normal(t, dtype, ndim, shape, &rng, 0, 1);
}

typedef struct op_case {
    const char *name;
    tarn_tensor *(*f)(tarn_tape *t, tarn_tensor *x); /* of x [96,500,7] */
} op_case;

static tarn_tensor *sum_all(tarn_tape *t, tarn_tensor *x)
{
    return tarn_sum(t, x, TARN_ALL_AXES, false);
}

static tarn_tensor *sum_first(tarn_tape *t, tarn_tensor *x)
{
    return tarn_sum(t, x, TARN_AXES(0), false);
}

static tarn_tensor *mean_last(tarn_tape *t, tarn_tensor *x)
{
    return tarn_mean(t, x, TARN_AXES(-1), false);
}

static tarn_tensor *mean_of_view(tarn_tape *t, tarn_tensor *x)
{
    return tarn_mean(t, tarn_slice(t, tarn_transpose(t, x, 0, 1), 0, 1, -1, 3), TARN_AXES(0, 2), true);
}

static tarn_tensor *var_middle(tarn_tape *t, tarn_tensor *x)
{
    return tarn_var(t, x, TARN_AXES(0, 1), 1, false);
}

static tarn_tensor *max_first(tarn_tape *t, tarn_tensor *x)
{
    return tarn_max(t, x, TARN_AXES(0), false);
}

static tarn_tensor *softmax(tarn_tape *t, tarn_tensor *x)
{
    return tarn_softmax(t, tarn_reshape(t, x, TARN_SHAPE(96, 3500)));
}

static tarn_tensor *log_softmax(tarn_tape *t, tarn_tensor *x)
{
    return tarn_log_softmax(t, x);
}

static tarn_tensor *logsumexp(tarn_tape *t, tarn_tensor *x)
{
    return tarn_logsumexp(t, tarn_permute(t, x, (const int[]){2, 0, 1}));
}

static tarn_tensor *batched_product(tarn_tape *t, tarn_tensor *x)
{
    x = tarn_slice(t, x, 1, 0, 140, 1);
    return tarn_matmul(t, x, tarn_transpose(t, x, 1, 2)); /* [96,140,140] */
}

static tarn_tensor *long_product(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *a = tarn_reshape(t, x, TARN_SHAPE(48000, 7));
    return tarn_matmul(t, tarn_transpose(t, a, 0, 1), a); /* a long inner dimension */
}

static tarn_tensor *broadcast_product(tarn_tape *t, tarn_tensor *x)
{
    return tarn_mul(t, x, tarn_mean(t, x, TARN_AXES(0, 1), false));
}

static tarn_tensor *many_functions(tarn_tape *t, tarn_tensor *x)
{
    return tarn_pow_scalar(t, tarn_add_scalar(t, tarn_gelu(t, tarn_tanh(t, tarn_exp(t, x))), 2), 1.5);
}

static tarn_tensor *dropped(tarn_tape *t, tarn_tensor *x)
{
    tarn_rng rng = tarn_rng_seed(3);
    return tarn_dropout(t, x, 0.4, &rng);
}

static tarn_tensor *selected(tarn_tape *t, tarn_tensor *x)
{
    int32_t index[300];
    for (int i = 0; i < 300; i++)
        index[i] = i * i % 96;
    return tarn_index_select(t, x, 0, tarn_constant(t, TARN_I32, TARN_SHAPE(300), index));
}

static tarn_tensor *labelled(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *labels = tarn_cast(t, tarn_arange(t, TARN_F32, 48000, 0, 1e-4), TARN_I32); /* 0..4 */
    return tarn_cross_entropy(t, tarn_reshape(t, x, TARN_SHAPE(48000, 7)), labels);
}

static tarn_tensor *pooled(tarn_tape *t, tarn_tensor *x)
{
    x = tarn_reshape(t, x, TARN_SHAPE(12, 50, 40, 14));
    return tarn_add(t, tarn_avg_pool2d(t, x, 3, &(tarn_pool2d_opts){.stride = 2, .padding = 1}),
                    tarn_max_pool2d(t, x, 3, &(tarn_pool2d_opts){.stride = 2, .padding = 1}));
}

static tarn_tensor *convolved(tarn_tape *t, tarn_tensor *x)
{
    x = tarn_reshape(t, x, TARN_SHAPE(12, 50, 40, 14));
    tarn_tensor *w = normal(t, tarn_tensor_dtype(x), TARN_SHAPE(3, 5, 7, 6), 9);
    return tarn_conv2d(t, x, w, &(tarn_conv2d_opts){.stride = 2, .padding = 2, .dilation = 2, .groups = 2});
}

static tarn_tensor *normalized(tarn_tape *t, tarn_tensor *x)
{
    tarn_dtype dtype = tarn_tensor_dtype(x);
    return tarn_batchnorm(t, x, tarn_ones(t, dtype, TARN_SHAPE(7)), tarn_zeros(t, dtype, TARN_SHAPE(7)), NULL, NULL);
}

static tarn_tensor *layer_normalized(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *wide = tarn_reshape(t, x, TARN_SHAPE(96, 3500)), *narrow = tarn_rmsnorm(t, x, NULL, 0);
    return tarn_mul(t, tarn_layernorm(t, wide, NULL, NULL, 0), tarn_reshape(t, narrow, TARN_SHAPE(96, 3500)));
}

static tarn_tensor *group_normalized(tarn_tape *t, tarn_tensor *x)
{
    return tarn_groupnorm(t, tarn_reshape(t, x, TARN_SHAPE(96, 10, 25, 14)), 2, NULL, NULL, 0);
}

static tarn_tensor *instance_normalized(tarn_tape *t, tarn_tensor *x)
{
    return tarn_instancenorm(t, x, NULL, NULL, 0);
}

static tarn_tensor *renormalized(tarn_tape *t, tarn_tensor *x)
{
    tarn_dtype dtype = tarn_tensor_dtype(x);
    tarn_tensor *ones = tarn_ones(t, dtype, TARN_SHAPE(7));
    const tarn_renorm_stats running = {tarn_full(t, dtype, TARN_SHAPE(7), 0.1), tarn_full(t, dtype, TARN_SHAPE(7), 1.1),
                                       tarn_zeros(t, dtype, 0, NULL)};
    return tarn_batch_renorm(t, x, ones, ones, &running, &(tarn_batch_renorm_opts){.unscheduled = true});
}

static tarn_tensor *weights_normalized(tarn_tape *t, tarn_tensor *x)
{
    tarn_dtype dtype = tarn_tensor_dtype(x);
    tarn_tensor *u = tarn_ones(t, dtype, TARN_SHAPE(7)), *v = tarn_zeros(t, dtype, TARN_SHAPE(48000));
    return tarn_weightnorm(t, tarn_spectralnorm(t, x, u, v, 1), tarn_ones(t, dtype, TARN_SHAPE(7)));
}

static const op_case ops[] = {
    {"sum of all", sum_all},
    {"sum of the first axis", sum_first},
    {"mean of the last", mean_last},
    {"mean of a view", mean_of_view},
    {"var", var_middle},
    {"max", max_first},
    {"softmax", softmax},
    {"log softmax", log_softmax},
    {"logsumexp", logsumexp},
    {"batched product", batched_product},
    {"long product", long_product},
    {"broadcast product", broadcast_product},
    {"functions", many_functions},
    {"dropout", dropped},
    {"index_select", selected},
    {"cross-entropy", labelled},
    {"pools", pooled},
    {"convolution", convolved},
    {"batchnorm", normalized},
    {"layernorm and rmsnorm", layer_normalized},
    {"groupnorm", group_normalized},
    {"instancenorm", instance_normalized},
    {"batch_renorm", renormalized},
    {"weightnorm of spectralnorm", weights_normalized},
};
enum { N_OPS = sizeof ops / sizeof ops[0] };

/* The bits of x, mixed into a number: a change of any of them changes it. */
static uint64_t mix(uint64_t h, tarn_tensor *x)
{
    const unsigned char *data = tarn_data(x);
    size_t bytes = (size_t)tarn_numel(x) * tarn_dtype_size(tarn_tensor_dtype(x));
    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, data + i, sizeof word);
        h = (h ^ word) * 0x9E3779B97F4A7C15u; /* odd: no two states become one */
        h ^= h >> 29;
    }
    return h;
}

/* Of the value, the gradient, and the gradient of a product with the gradient. */
static uint64_t op_bits(const op_case *c, tarn_dtype dtype, int threads)
{
    assert_true(tarn_set_threads(threads));
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = normal(t, dtype, TARN_SHAPE(96, 500, 7), 1), *y = c->f(t, x), *g = NULL, *gg = NULL;
    assert_true(y && tarn_grad(t, 1, &y, (tarn_tensor *[]){tarn_sin(t, y)}, 1, &x, &g));
    assert_true(tarn_grad(t, 1, &g, (tarn_tensor *[]){tarn_cos(t, x)}, 1, &x, &gg));
    uint64_t h = mix(mix(mix(1, y), g), gg);
    expect_no_error();
    tarn_tape_free(t);
    return h;
}

static void every_op_has_the_same_bits_for_every_thread_count(void **state)
{
    (void)state;
    for (int i = 0; i < N_OPS; i++)
        for (int dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
            uint64_t one = op_bits(&ops[i], (tarn_dtype)dtype, 1);
            for (int threads = 2; threads <= 4; threads++)
                if (op_bits(&ops[i], (tarn_dtype)dtype, threads) != one)
                    fail_msg("%s in %s: %d threads give other bits than one", ops[i].name,
                             tarn_dtype_name((tarn_dtype)dtype), threads);
        }
    assert_true(tarn_set_threads(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(training_has_the_same_bits_for_every_thread_count),
        cmocka_unit_test(a_seed_is_a_run),
        cmocka_unit_test(eager_has_the_same_bits),
        cmocka_unit_test(every_op_has_the_same_bits_for_every_thread_count),
    };
    return cmocka_run_group_tests_name("determinism", tests, NULL, NULL);
}
