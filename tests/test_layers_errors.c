/* Layers: what they refuse, and that nothing is left of it. */
#include "tests/layers_cases.h"

static bool is_zero(const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++)
        if (b[i])
            return false;
    return true;
}

/* These two have padding, which keeps what was there. */
static bool activation_is_zero(const void *layer, size_t n)
{
    const tarn_activation_layer *l = layer;
    return n == sizeof *l && l->kind == 0 && l->p == 0;
}

static bool batchnorm_is_zero(const void *layer, size_t n)
{
    const tarn_batchnorm_layer *l = layer;
    return n == sizeof *l && !l->gamma && !l->beta && !l->running.mean && !l->running.var && !l->running.batches &&
           l->opts.eps == 0 && l->opts.momentum == 0 && !l->opts.cumulative;
}

/* clang-format off */
#define IS_ZERO(layer)                                                                                       \
    _Generic(&(layer), tarn_activation_layer *: activation_is_zero,                                          \
                       tarn_batchnorm_layer *: batchnorm_is_zero,                                            \
                       default: is_zero)(&(layer), sizeof(layer))
/* clang-format on */

/* The init fails with that text, leaves zeros in the layer, nothing in the store, and the stream where it was. */
#define REFUSED(layer, part, call)                                                                                     \
    do {                                                                                                               \
        size_t count = tarn_params_count(f.p);                                                                         \
        uint64_t counter = f.rng.counter;                                                                              \
        memset(&(layer), 0x5a, sizeof(layer));                                                                         \
        assert_false(call);                                                                                            \
        expect_error(part);                                                                                            \
        assert_true(IS_ZERO(layer));                                                                                   \
        assert_int_equal(tarn_params_count(f.p), count);                                                               \
        assert_int_equal(f.rng.counter, counter);                                                                      \
    } while (0)

static void linear_refuses(void **state)
{
    (void)state;
    tarn_linear_layer l;
    tarn_rng *r = &f.rng;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_non_null(tarn_params_add(f.p, "taken.bias", TARN_SHAPE(1)));
    assert_false(tarn_linear_init(NULL, f.p, "l", r, 2, 2, NULL));
    expect_error("tarn_linear_init: layer is NULL");
    REFUSED(l, "params is NULL", tarn_linear_init(&l, NULL, "l", r, 2, 2, NULL));
    REFUSED(l, "name is NULL", tarn_linear_init(&l, f.p, NULL, r, 2, 2, NULL));
    REFUSED(l, "rng is NULL", tarn_linear_init(&l, f.p, "l", NULL, 2, 2, NULL));
    REFUSED(l, "tarn_linear_init: in 0", tarn_linear_init(&l, f.p, "l", r, 0, 2, NULL));
    REFUSED(l, "tarn_linear_init: out -1", tarn_linear_init(&l, f.p, "l", r, 2, -1, NULL));
    REFUSED(l, "too large", tarn_linear_init(&l, f.p, "l", r, INT64_MAX / 2, 3, NULL));
    REFUSED(l, "the name is empty", tarn_linear_init(&l, f.p, "", r, 2, 2, NULL));
    REFUSED(l, "has 262 bytes", tarn_linear_init(&l, f.p, name, r, 2, 2, NULL));
    REFUSED(l, "printable ASCII", tarn_linear_init(&l, f.p, "a\nb", r, 2, 2, NULL));
    REFUSED(l, "\"taken.bias\" is already", tarn_linear_init(&l, f.p, "taken", r, 2, 2, NULL));
    REFUSED(l, "tarn_init_kind",
            tarn_linear_init(&l, f.p, "l", r, 2, 2, &(tarn_linear_opts){.init = {.kind = (tarn_init_kind)99}}));
    REFUSED(l, "no gain",
            tarn_linear_init(&l, f.p, "l", r, 2, 2,
                             &(tarn_linear_opts){.init = {TARN_INIT_XAVIER_NORMAL, TARN_GELU, 0, 0}}));
    tarn_fail("before");
    REFUSED(l, "before", tarn_linear_init(&l, f.p, "l", r, 2, 2, NULL));
    assert_true(tarn_linear_init(&l, f.p, "taken", r, 2, 2, &(tarn_linear_opts){.no_bias = true}));
}

static void conv2d_refuses(void **state)
{
    (void)state;
    tarn_conv2d_layer l;
    tarn_rng *r = &f.rng;
    assert_non_null(tarn_params_add(f.p, "taken.weight", TARN_SHAPE(1)));
    assert_false(tarn_conv2d_init(NULL, f.p, "l", r, 2, 2, 3, NULL));
    expect_error("tarn_conv2d_init: layer is NULL");
    REFUSED(l, "params is NULL", tarn_conv2d_init(&l, NULL, "l", r, 2, 2, 3, NULL));
    REFUSED(l, "name is NULL", tarn_conv2d_init(&l, f.p, NULL, r, 2, 2, 3, NULL));
    REFUSED(l, "rng is NULL", tarn_conv2d_init(&l, f.p, "l", NULL, 2, 2, 3, NULL));
    REFUSED(l, "in 0", tarn_conv2d_init(&l, f.p, "l", r, 0, 2, 3, NULL));
    REFUSED(l, "out 0", tarn_conv2d_init(&l, f.p, "l", r, 2, 0, 3, NULL));
    REFUSED(l, "kernel 0", tarn_conv2d_init(&l, f.p, "l", r, 2, 2, 0, NULL));
    REFUSED(l, "\"taken.weight\" is already", tarn_conv2d_init(&l, f.p, "taken", r, 2, 2, 3, NULL));
    static const struct {
        tarn_conv2d_layer_opts opts;
        const char *part;
    } bad[] = {
        {{.groups = 4}, "4 groups do not divide in 6 and out 4"},
        {{.groups = 3}, "3 groups do not divide"},
        {{.groups = -1}, "groups -1"},
        {{.stride = -1}, "stride -1"},
        {{.padding = -1}, "padding -1"},
        {{.dilation = -2}, "dilation -2"},
        {{.init = {TARN_INIT_KAIMING_NORMAL, TARN_RELU, 0, (tarn_fan)7}}, "tarn_fan"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REFUSED(l, bad[i].part, tarn_conv2d_init(&l, f.p, "l", r, 6, 4, 3, &bad[i].opts));
}

static void other_layers_refuse(void **state)
{
    (void)state;
    tarn_batchnorm_layer b;
    tarn_dropout_layer d;
    tarn_activation_layer a;
    tarn_max_pool2d_layer m;
    tarn_avg_pool2d_layer v;
    tarn_flatten_layer l;
    tarn_sequential s;
    assert_non_null(tarn_params_add_buffer(f.p, "taken.batches", 0, NULL));
    REFUSED(b, "params is NULL", tarn_batchnorm_init(&b, NULL, "b", 2, NULL));
    REFUSED(b, "name is NULL", tarn_batchnorm_init(&b, f.p, NULL, 2, NULL));
    REFUSED(b, "channels 0", tarn_batchnorm_init(&b, f.p, "b", 0, NULL));
    REFUSED(b, "\"taken.batches\" is already", tarn_batchnorm_init(&b, f.p, "taken", 2, NULL));
    REFUSED(b, "eps -1", tarn_batchnorm_init(&b, f.p, "b", 2, &(tarn_batchnorm_opts){.eps = -1}));
    REFUSED(b, "eps", tarn_batchnorm_init(&b, f.p, "b", 2, &(tarn_batchnorm_opts){.eps = NAN}));
    REFUSED(b, "momentum 1.5", tarn_batchnorm_init(&b, f.p, "b", 2, &(tarn_batchnorm_opts){.momentum = 1.5}));
    REFUSED(d, "rng is NULL", tarn_dropout_init(&d, 0.5, NULL));
    REFUSED(d, "p 1,", tarn_dropout_init(&d, 1, &f.rng));
    REFUSED(d, "p -0.1", tarn_dropout_init(&d, -0.1, &f.rng));
    REFUSED(d, "p", tarn_dropout_init(&d, NAN, &f.rng));
    REFUSED(a, "tarn_activation's", tarn_activation_init(&a, TARN_ACTIVATION_COUNT, 0));
    REFUSED(a, "p inf", tarn_activation_init(&a, TARN_ELU, INFINITY));
    REFUSED(m, "tarn_max_pool2d_init: window 0", tarn_max_pool2d_init(&m, 0, NULL));
    REFUSED(m, "stride -1", tarn_max_pool2d_init(&m, 2, &(tarn_pool2d_opts){.stride = -1}));
    REFUSED(m, "padding 2", tarn_max_pool2d_init(&m, 2, &(tarn_pool2d_opts){.padding = 2}));
    REFUSED(v, "tarn_avg_pool2d_init: window -3", tarn_avg_pool2d_init(&v, -3, NULL));
    REFUSED(v, "padding -1", tarn_avg_pool2d_init(&v, 2, &(tarn_pool2d_opts){.padding = -1}));
    REFUSED(l, "kept 0", tarn_flatten_init(&l, 0));
    REFUSED(l, "kept 8", tarn_flatten_init(&l, TARN_MAX_DIMS));
    REFUSED(s, "layers is NULL", tarn_sequential_init(&s, 1, NULL));
    REFUSED(s, "layer 0 has no apply", tarn_sequential_init(&s, 1, &(tarn_layer){0}));
    assert_false(tarn_batchnorm_init(NULL, f.p, "b", 2, NULL) || tarn_dropout_init(NULL, 0, &f.rng) ||
                 tarn_activation_init(NULL, TARN_RELU, 0) || tarn_max_pool2d_init(NULL, 2, NULL) ||
                 tarn_avg_pool2d_init(NULL, 2, NULL) || tarn_flatten_init(NULL, 1) ||
                 tarn_sequential_init(NULL, 0, NULL));
    expect_error("tarn_batchnorm_init: layer is NULL");
}

static void a_pending_error_stops_every_init(void **state)
{
    (void)state;
    tarn_batchnorm_layer b;
    tarn_dropout_layer d;
    tarn_activation_layer a;
    tarn_max_pool2d_layer m;
    tarn_flatten_layer l;
    tarn_sequential s;
#define STOPPED(layer, call)                                                                                           \
    tarn_fail("before");                                                                                               \
    REFUSED(layer, "before", call)
    STOPPED(b, tarn_batchnorm_init(&b, f.p, "b", 2, NULL));
    STOPPED(d, tarn_dropout_init(&d, 0.5, &f.rng));
    STOPPED(a, tarn_activation_init(&a, TARN_RELU, 0));
    STOPPED(m, tarn_max_pool2d_init(&m, 2, NULL));
    STOPPED(l, tarn_flatten_init(&l, 1));
    STOPPED(s, tarn_sequential_init(&s, 0, NULL));
}

#define NO_RESULT(part, call)                                                                                          \
    do {                                                                                                               \
        assert_null(call);                                                                                             \
        expect_error(part);                                                                                            \
    } while (0)

static void applies_refuse(void **state)
{
    (void)state;
    tarn_linear_layer lin, no_lin = {0};
    tarn_conv2d_layer conv, no_conv = {0};
    tarn_batchnorm_layer norm, no_norm = {0};
    tarn_dropout_layer no_drop = {0};
    tarn_max_pool2d_layer no_max = {0};
    tarn_avg_pool2d_layer no_avg = {0};
    tarn_flatten_layer no_flat = {0};
    assert_true(tarn_linear_init(&lin, f.p, "lin", &f.rng, 3, 2, NULL) &&
                tarn_conv2d_init(&conv, f.p, "conv", &f.rng, 4, 2, 3, &(tarn_conv2d_layer_opts){.groups = 2}) &&
                tarn_batchnorm_init(&norm, f.p, "norm", 3, NULL));
    tarn_tensor *x = random_input(TARN_SHAPE(2, 3)), *wide = random_input(TARN_SHAPE(2, 4));
    tarn_tensor *image = random_input(TARN_SHAPE(1, 5, 5, 3)), *scalar = tarn_scalar(f.t, TARN_F64, 1);
    NO_RESULT("tarn_linear_apply: tape is NULL", tarn_linear_apply(NULL, &lin, x));
    NO_RESULT("tarn_linear_apply: layer is NULL", tarn_linear_apply(f.t, NULL, x));
    NO_RESULT("tarn_linear_apply: x is NULL", tarn_linear_apply(f.t, &lin, NULL));
    NO_RESULT("tarn_linear_apply: the layer was not initialized", tarn_linear_apply(f.t, &no_lin, x));
    NO_RESULT("tarn_linear_apply: x is f64[2,4], expected f64[...,3] for lin.weight",
              tarn_linear_apply(f.t, &lin, wide));
    NO_RESULT("tarn_linear_apply: x is f64[], expected", tarn_linear_apply(f.t, &lin, scalar));
    NO_RESULT("f32", tarn_linear_apply(f.t, &lin, tarn_cast(f.t, x, TARN_F32)));
    NO_RESULT("tarn_conv2d_apply: the layer was not", tarn_conv2d_apply(f.t, &no_conv, image));
    NO_RESULT("tarn_conv2d_apply: layer is NULL", tarn_conv2d_apply(f.t, NULL, image));
    NO_RESULT("x is f64[1,5,5,3], expected f64[N,H,W,4] for conv.weight", tarn_conv2d_apply(f.t, &conv, image));
    NO_RESULT("x is f64[2,4], expected f64[N,H,W,4]", tarn_conv2d_apply(f.t, &conv, wide));
    NO_RESULT("tarn_batchnorm_apply: the layer was not", tarn_batchnorm_apply(f.t, &no_norm, x));
    NO_RESULT("x is f64[2,4], expected f64[...,3] for norm.gamma", tarn_batchnorm_apply(f.t, &norm, wide));
    NO_RESULT("tarn_dropout_apply: the layer was not", tarn_dropout_apply(f.t, &no_drop, x));
    NO_RESULT("tarn_max_pool2d_apply: the layer was not", tarn_max_pool2d_apply(f.t, &no_max, image));
    NO_RESULT("tarn_avg_pool2d_apply: the layer was not", tarn_avg_pool2d_apply(f.t, &no_avg, image));
    NO_RESULT("tarn_flatten_apply: the layer was not", tarn_flatten_apply(f.t, &no_flat, x));
    NO_RESULT("tarn_activation_apply: layer is NULL", tarn_activation_apply(f.t, NULL, x));
    NO_RESULT("tarn_activation_apply: 77",
              tarn_activation_apply(f.t, &(tarn_activation_layer){.kind = (tarn_activation)77}, x));
    NO_RESULT("tarn_sequential_apply: layer is NULL", tarn_sequential_apply(f.t, NULL, x));
}

/* The layer is named, and what it takes: not the op inside that would not have it. */
static void every_layer_names_itself(void **state)
{
    (void)state;
    tarn_rng *r = &f.rng;
    struct {
        tarn_linear_layer linear;
        tarn_conv2d_layer conv2d;
        tarn_batchnorm_layer batchnorm;
        tarn_batch_renorm_layer batch_renorm;
        tarn_layernorm_layer layernorm, plain;
        tarn_rmsnorm_layer rmsnorm;
        tarn_groupnorm_layer groupnorm;
        tarn_instancenorm_layer instancenorm;
        tarn_weightnorm_linear_layer weightnorm_linear;
        tarn_weightnorm_conv2d_layer weightnorm_conv2d;
        tarn_spectralnorm_linear_layer spectralnorm_linear;
        tarn_spectralnorm_conv2d_layer spectralnorm_conv2d;
    } m;
    assert_true(tarn_linear_init(&m.linear, f.p, "a", r, 4, 2, NULL) &&
                tarn_conv2d_init(&m.conv2d, f.p, "b", r, 4, 2, 3, NULL) &&
                tarn_batchnorm_init(&m.batchnorm, f.p, "c", 4, NULL) &&
                tarn_batch_renorm_init(&m.batch_renorm, f.p, "d", 4, NULL) &&
                tarn_layernorm_init(&m.layernorm, f.p, "e", 4, NULL) &&
                tarn_layernorm_init(&m.plain, f.p, "p", 4, &(tarn_layernorm_opts){.no_affine = true}) &&
                tarn_rmsnorm_init(&m.rmsnorm, f.p, "g", 4, NULL) &&
                tarn_groupnorm_init(&m.groupnorm, f.p, "h", 2, 4, NULL) &&
                tarn_instancenorm_init(&m.instancenorm, f.p, "i", 4, NULL) &&
                tarn_weightnorm_linear_init(&m.weightnorm_linear, f.p, "j", r, 4, 2, NULL) &&
                tarn_weightnorm_conv2d_init(&m.weightnorm_conv2d, f.p, "k", r, 4, 2, 3, NULL) &&
                tarn_spectralnorm_linear_init(&m.spectralnorm_linear, f.p, "l", r, 4, 2, NULL, NULL) &&
                tarn_spectralnorm_conv2d_init(&m.spectralnorm_conv2d, f.p, "m", r, 4, 2, 3, NULL, NULL));
    const struct {
        tarn_layer layer;
        const char *name, *expected;
    } cases[] = {
        {tarn_linear_as_layer(&m.linear), "linear", "f64[...,4] for a.weight"},
        {tarn_conv2d_as_layer(&m.conv2d), "conv2d", "f64[N,H,W,4] for b.weight"},
        {tarn_batchnorm_as_layer(&m.batchnorm), "batchnorm", "f64[...,4] for c.gamma"},
        {tarn_batch_renorm_as_layer(&m.batch_renorm), "batch_renorm", "f64[...,4] for d.gamma"},
        {tarn_layernorm_as_layer(&m.layernorm), "layernorm", "f64[...,4] for e.gamma"},
        {tarn_rmsnorm_as_layer(&m.rmsnorm), "rmsnorm", "f64[...,4] for g.gamma"},
        {tarn_groupnorm_as_layer(&m.groupnorm), "groupnorm", "f64[...,4] for h.gamma"},
        {tarn_instancenorm_as_layer(&m.instancenorm), "instancenorm", "f64[...,4] for i.gamma"},
        {tarn_weightnorm_linear_as_layer(&m.weightnorm_linear), "weightnorm_linear", "f64[...,4] for j.weight"},
        {tarn_weightnorm_conv2d_as_layer(&m.weightnorm_conv2d), "weightnorm_conv2d", "f64[N,H,W,4] for k.weight"},
        {tarn_spectralnorm_linear_as_layer(&m.spectralnorm_linear), "spectralnorm_linear", "f64[...,4] for l.weight"},
        {tarn_spectralnorm_conv2d_as_layer(&m.spectralnorm_conv2d), "spectralnorm_conv2d", "f64[N,H,W,4] for m.weight"},
        {tarn_layernorm_as_layer(&m.plain), "layernorm", "f32 or f64 [...,4]"}, /* has no parameters: any dtype */
    };
    const int plain = sizeof cases / sizeof cases[0] - 1;
    const struct {
        tarn_tensor *x;
        const char *text;
    } inputs[] = {
        {tarn_cast(f.t, random_input(TARN_SHAPE(2, 5, 5, 4)), TARN_F32), "x is f32[2,5,5,4], expected "},
        {tarn_cast(f.t, random_input(TARN_SHAPE(2, 5, 5, 4)), TARN_I32), "x is i32[2,5,5,4], expected "},
        {random_input(TARN_SHAPE(2, 5, 5, 3)), "x is f64[2,5,5,3], expected "},
        {random_input(0, NULL), "x is f64[], expected "},
    };
    for (int i = 0; i <= plain; i++) {
        for (int k = 0; k < 4; k++) {
            char message[200];
            snprintf(message, sizeof message, "tarn_%s_apply: %s%s", cases[i].name, inputs[k].text, cases[i].expected);
            tarn_tensor *y = cases[i].layer.apply(f.t, cases[i].layer.self, inputs[k].x);
            if (i == plain && k == 0) {
                assert_int_equal(tarn_tensor_dtype(y), TARN_F32);
                continue;
            }
            assert_null(y);
            expect_error(message);
        }
        assert_non_null(cases[i].layer.apply(f.t, cases[i].layer.self, random_input(TARN_SHAPE(2, 5, 5, 4))));
    }
}

/* ---- no memory ---- */

typedef struct heap {
    int64_t alive, left; /* left: how many more allocations are granted; negative: all */
} heap;

static void *heap_allocate(size_t bytes, void *context)
{
    heap *h = context;
    if (h->left == 0)
        return NULL;
    h->left--;
    h->alive++;
    return malloc(bytes);
}

static void heap_release(void *block, size_t bytes, void *context)
{
    (void)bytes;
    ((heap *)context)->alive--;
    free(block);
}

static void no_memory_leaves_an_empty_layer(void **state)
{
    (void)state;
    end(state);
    heap h = {.left = -1};
    assert_true(tarn_set_allocator(&(tarn_allocator){heap_allocate, heap_release, &h}));
    int64_t granted = 0;
    for (bool made = false; !made; granted++) {
        tarn_params *p = tarn_params_new(TARN_F32);
        tarn_batchnorm_layer b;
        h.left = granted;
        made = tarn_batchnorm_init(&b, p, "b", 4, NULL);
        h.left = -1;
        if (!made) {
            expect_error("no memory");
            assert_true(IS_ZERO(b));
        }
        tarn_params_free(p);
        assert_int_equal(h.alive, 0);
    }
    assert_true(granted > 10);
    assert_true(tarn_set_allocator(NULL));
    assert_int_equal(begin(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(linear_refuses),
        TEST(conv2d_refuses),
        TEST(other_layers_refuse),
        TEST(a_pending_error_stops_every_init),
        TEST(applies_refuse),
        TEST(every_layer_names_itself),
        TEST(no_memory_leaves_an_empty_layer),
    };
    return cmocka_run_group_tests_name("layers_errors", tests, NULL, NULL);
}
