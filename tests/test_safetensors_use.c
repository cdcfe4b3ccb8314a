/* Weights files in use: bits, views, tapes, stores, orders, and what a caller may do wrong. */
#include "autograd/ops.h"
#include "data/safetensors.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#define FIXTURE(name) "tests/fixtures/" name ".safetensors"

enum { REFERENCE_COUNT = 8 }; /* tensors in reference.safetensors */

static void expect_same(tarn_tensor *have, tarn_tensor *want)
{
    expect_no_error();
    assert_non_null(have);
    assert_int_equal(have->dtype, want->dtype);
    assert_true(tarn__same_shape(have, want));
    if (tarn_numel(want))
        assert_memory_equal(tarn_data(have), tarn_data(want), tarn__bytes(want));
}

/* ---- what is written ---- */

static void every_bit_is_kept(void **state)
{
    (void)state;
    /* NaN of both kinds with payloads, infinities, -0, the smallest */
    static const uint64_t f64[6] = {0x7FF8000000000001, 0x7FF0000000000001, 0xFFF8DEADBEEF0001,
                                    0x7FF0000000000000, 0x8000000000000000, 1};
    static const uint32_t f32[6] = {0x7FC00001, 0x7F800001, 0xFFC12345, 0xFF800000, 0x80000000, 1};
    static const int32_t i32[4] = {INT32_MIN, INT32_MAX, -1, 0};
    static const char *const names[] = {"f64", "f32", "i32", "u8", "none", "scalar"};
    uint8_t u8[256];
    for (int i = 0; i < 256; i++)
        u8[i] = (uint8_t)i;
    tarn_tensor *const x[] = {
        tarn_tensor_from(TARN_F64, TARN_SHAPE(6), f64),       tarn_tensor_from(TARN_F32, TARN_SHAPE(2, 3), f32),
        tarn_tensor_from(TARN_I32, TARN_SHAPE(1, 4, 1), i32), tarn_tensor_from(TARN_U8, TARN_SHAPE(16, 16), u8),
        tarn_tensor_new(TARN_F32, TARN_SHAPE(3, 0, 2)),       tarn_tensor_from(TARN_F64, 0, NULL, &f64[1])};
    assert_true(tarn_safetensors_save(file_at("a"), 6, names, x));
    tarn_safetensors *f = tarn_safetensors_open(file_at("a"));
    for (int i = 0; i < 6; i++) {
        tarn_tensor *have = tarn_safetensors_load(f, names[i]);
        expect_same(have, x[i]);
        tarn_tensor_free(have);
        tarn_tensor_free(x[i]);
    }
    tarn_safetensors_close(f);
}

static void no_tensors_as_the_reference_writes_them(void **state)
{
    (void)state;
    assert_true(tarn_safetensors_save(file_at("a"), 0, NULL, NULL));
    assert_same_bytes(file_at("a"), FIXTURE("reference_empty"));
}

/* Every ASCII character but NUL, and the first and last of each length of UTF-8. */
static void a_name_as_the_reference_writes_it(void **state)
{
    (void)state;
    char name[160];
    for (int c = 1; c < 128; c++)
        name[c - 1] = (char)c;
    strcpy(name + 127, "\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    tarn_tensor *x = tarn_tensor_from(TARN_U8, TARN_SHAPE(1), (const uint8_t[]){7});
    assert_true(tarn_safetensors_save(file_at("a"), 1, (const char *[]){name}, &x));
    assert_same_bytes(file_at("a"), FIXTURE("reference_name"));
    tarn_safetensors *f = tarn_safetensors_open(FIXTURE("reference_name"));
    assert_string_equal(tarn_safetensors_name(f, 0), name);
    tarn_safetensors_close(f);
    tarn_tensor_free(x);
}

static void every_dtype_of_the_reference(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"U64",     "I64",     "F64", "C64", "F32",         "U32",         "I32",
                                         "BF16",    "F16",     "U16", "I16", "F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0",
                                         "F8_E4M3", "F8_E5M2", "I8",  "U8",  "F4",          "BOOL"};
    enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };
    tarn_safetensors *f = tarn_safetensors_open(FIXTURE("reference_dtypes"));
    expect_no_error();
    assert_int_equal(tarn_safetensors_count(f), DTYPES);
    int kept = 0, converted = 0;
    for (size_t i = 0; i < DTYPES; i++) {
        const char *dtype = tarn_safetensors_dtype(f, i), *name = tarn_safetensors_name(f, i);
        assert_string_equal(dtype, dtypes[i]);
        assert_int_equal(tarn_safetensors_ndim(f, i), 1);
        assert_int_equal(tarn_safetensors_shape(f, i)[0], strcmp(dtype, "F4") == 0 ? 6 : 3);
        tarn_tensor *x = tarn_safetensors_load(f, name);
        const bool wide = strcmp(dtype, "I64") == 0 || strcmp(dtype, "U64") == 0, truth = strcmp(dtype, "BOOL") == 0;
        if (!x && (wide || truth)) /* the bytes count up, over all bounds */
            expect_error("tarn_safetensors_load: " FIXTURE("reference_dtypes"), name, dtype,
                         wide ? "element 0 is out of range" : "element 2 is out of range");
        else if (!x)
            expect_error("tarn_safetensors_load: " FIXTURE("reference_dtypes"), name, dtype, "no dtype of tarn's");
        else if (strcmp(dtype, "F64") == 0 || strcmp(dtype, "F32") == 0 || strcmp(dtype, "I32") == 0 ||
                 strcmp(dtype, "U8") == 0) {
            const uint8_t *bytes = tarn_data(x);
            for (size_t b = 1; b < tarn__bytes(x); b++)
                assert_int_equal(bytes[b], bytes[0] + b);
            kept++;
        } else
            converted++;
        tarn_tensor_free(x);
    }
    assert_int_equal(kept, 4);
    assert_int_equal(converted, 6);
    tarn_safetensors_close(f);
}

static void tensors_outlive_the_file(void **state)
{
    (void)state;
    tarn_safetensors *f = tarn_safetensors_open(FIXTURE("reference"));
    tarn_tensor *x = tarn_safetensors_load(f, "scalar");
    tarn_safetensors_close(f);
    expect_no_error();
    assert_true(tarn_item(x) == 1.0 / 5 - 1);
    tarn_mutable_data(x); /* the caller's, to be written */
    expect_no_error();
    tarn_tensor_free(x);
}

static void pending_tensors_and_views_are_written(void **state)
{
    (void)state;
    static const float from[6] = {1, 2, 3, 4, 5, 6}, turned[6] = {1, 4, 2, 5, 3, 6};
    static const char *const names[] = {"turned", "sum"};
    const char *path = file_at("views");
    tarn_tensor *x = tarn_tensor_from(TARN_F32, TARN_SHAPE(2, 3), from);
    tarn_tape *tape = tarn_tape_new();
    tarn_tensor *const outputs[] = {tarn_transpose(tape, x, 0, 1), tarn_add(tape, x, x)};
    assert_true(tarn_safetensors_save(path, 2, names, outputs));
    expect_no_error();
    tarn_safetensors *f = tarn_safetensors_open(path);
    tarn_tensor *a = tarn_safetensors_load(f, "turned"), *b = tarn_safetensors_load(f, "sum");
    expect_no_error();
    assert_int_equal(tarn_dim(a, 0), 3);
    assert_memory_equal(tarn_data(a), turned, sizeof turned);
    for (int i = 0; i < 6; i++)
        assert_true(((const float *)tarn_data(b))[i] == 2 * from[i]);
    tarn_safetensors_close(f);
    tarn_tensor_free(a);
    tarn_tensor_free(b);
    tarn_tape_free(tape);
    tarn_tensor_free(x);
}

/* The same bytes, in whichever order the tensors come. */
static void order_does_not_matter(void **state)
{
    (void)state;
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}};
    static const char *const names[] = {"b", "a", "c", "a/b"};
    static const tarn_dtype dtypes[] = {TARN_F32, TARN_F32, TARN_F64, TARN_U8};
    for (int o = 0; o < 3; o++) {
        const char *name[4];
        tarn_tensor *x[4];
        for (int i = 0; i < 4; i++) {
            name[i] = names[orders[o][i]];
            x[i] = tarn_tensor_new(dtypes[orders[o][i]], TARN_SHAPE(3));
            tarn_fill(x[i], orders[o][i]);
        }
        assert_true(tarn_safetensors_save(file_at(o ? "b" : "a"), 4, name, x));
        assert_same_bytes(file_at(o ? "b" : "a"), file_at("a"));
        for (int i = 0; i < 4; i++)
            tarn_tensor_free(x[i]);
    }
}

static void many_tensors(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    static char text[MANY][16];
    const char **names = calloc(MANY, sizeof *names);
    tarn_tensor **x = calloc(MANY, sizeof *x);
    const char *path = file_at("many");
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "w%d", (i * 1009) % MANY);
        names[i] = text[i];
        x[i] = tarn_tensor_from(i % 3 ? TARN_F32 : TARN_F64, 0, NULL, (const float[]){(float)i, (float)-i});
    }
    assert_true(tarn_safetensors_save(path, MANY, names, x));
    tarn_safetensors *f = tarn_safetensors_open(path);
    expect_no_error();
    assert_int_equal(tarn_safetensors_count(f), MANY);
    for (int i = 0; i < MANY; i++) {
        tarn_tensor *have = tarn_safetensors_load(f, names[i]);
        expect_same(have, x[i]);
        tarn_tensor_free(have);
        tarn_tensor_free(x[i]);
    }
    tarn_safetensors_close(f);
    free(names);
    free(x);
}

/* ---- a store ---- */

static tarn_params *store_new(tarn_dtype dtype, double first)
{
    tarn_params *p = tarn_params_new(dtype);
    tarn_params_add(p, "fc.weight", TARN_SHAPE(2, 3));
    tarn_params_add(p, "fc.bias", TARN_SHAPE(3));
    tarn_params_add_buffer(p, "bn.mean", 0, NULL);
    for (size_t i = 0; i < tarn_params_count(p); i++) {
        tarn_fill(tarn_params_at(p, i), first + (double)i);
        tarn_fill(tarn_param_grad(tarn_params_at(p, i)) ? tarn_param_grad(tarn_params_at(p, i)) : tarn_params_at(p, i),
                  first + (double)i);
    }
    expect_no_error();
    return p;
}

static void expect_store(tarn_params *p, double first)
{
    for (size_t i = 0; i < tarn_params_count(p); i++) {
        tarn_tensor *x = tarn_params_at(p, i);
        for (int64_t j = 0; j < tarn_numel(x); j++)
            assert_true(tarn__load(x, j) == first + (double)i);
    }
}

static void store_comes_back(void **state)
{
    (void)state;
    const char *path = file_at("store");
    for (tarn_dtype dtype = TARN_F32; dtype <= TARN_F64; dtype++) {
        tarn_params *p = store_new(dtype, 1), *q = store_new(dtype, 50);
        tarn_tensor *w = tarn_params_at(q, 0);
        uint64_t version = w->version;
        assert_true(tarn_params_save(p, path));
        assert_true(tarn_params_load(q, path));
        expect_no_error();
        expect_store(q, 1);
        assert_true(w->version > version);
        assert_true(tarn__load(tarn_param_grad(w), 0) == 50); /* gradients are left alone */
        tarn_params_free(p);
        tarn_params_free(q);
    }
}

/* What was recorded from the old weights, and not yet computed, must not see the new ones. */
static void loading_is_seen_by_the_tape(void **state)
{
    (void)state;
    const char *path = file_at("store");
    tarn_params *p = store_new(TARN_F32, 1);
    tarn_tape *tape = tarn_tape_new();
    assert_true(tarn_params_save(p, path));
    tarn_tensor *y = tarn_sum(tape, tarn_params_at(p, 0), TARN_ALL_AXES, false);
    assert_true(tarn_params_load(p, path));
    expect_no_error();
    assert_null(tarn_data(y));
    assert_non_null(tarn_error());
    tarn_error_clear();
    tarn_tape_free(tape);
    tarn_params_free(p);
}

/* Loads a file of these tensors into a store, which must refuse and stay what it was. */
static void expect_refused(size_t n, const char *const *names, tarn_tensor *const *tensors, const char *why,
                           const char *which)
{
    const char *path = file_at("other");
    tarn_params *p = store_new(TARN_F32, 50);
    uint64_t versions[3];
    for (size_t i = 0; i < 3; i++)
        versions[i] = tarn_params_at(p, i)->version;
    assert_true(tarn_safetensors_save(path, n, names, tensors));
    assert_false(tarn_params_load(p, path));
    expect_error("tarn_params_load: ", path, why, which);
    expect_store(p, 50);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tarn_params_at(p, i)->version, versions[i]);
    tarn_params_free(p);
}

static void store_takes_only_its_own(void **state)
{
    (void)state;
    const char *const names[] = {"fc.weight", "fc.bias", "bn.mean", "more"}, *const wrong[] = {"fc.weight", "fc.Bias",
                                                                                               "bn.mean"};
    tarn_tensor *w = tarn_tensor_new(TARN_F32, TARN_SHAPE(2, 3)), *b = tarn_tensor_new(TARN_F32, TARN_SHAPE(3)),
                *m = tarn_tensor_new(TARN_F32, 0, NULL), *turned = tarn_tensor_new(TARN_F32, TARN_SHAPE(3, 2)),
                *one = tarn_tensor_new(TARN_F32, TARN_SHAPE(1)), *wide = tarn_tensor_new(TARN_F64, TARN_SHAPE(3)),
                *head = tarn_tensor_new(TARN_F32, TARN_SHAPE(2)), *same_size = tarn_tensor_new(TARN_I32, TARN_SHAPE(3)),
                *deep = tarn_tensor_new(TARN_F32, TARN_SHAPE(3, 1, 1));
    expect_refused(0, NULL, NULL, "no tensor", "fc.weight");
    expect_refused(2, names, (tarn_tensor *[]){w, b}, "no tensor", "bn.mean");
    expect_refused(3, wrong, (tarn_tensor *[]){w, b, m}, "no tensor", "fc.bias");
    expect_refused(4, names, (tarn_tensor *[]){w, b, m, one}, "which the store does not", "\"more\"");
    expect_refused(3, names, (tarn_tensor *[]){turned, b, m}, "\"fc.weight\" is F32[3,2]", "expected F32[2,3]");
    expect_refused(3, names, (tarn_tensor *[]){head, b, m}, "\"fc.weight\" is F32[2]", "expected F32[2,3]");
    expect_refused(3, names, (tarn_tensor *[]){w, b, one}, "\"bn.mean\" is F32[1]", "expected F32[]");
    expect_refused(3, names, (tarn_tensor *[]){w, wide, m}, "\"fc.bias\" is F64[3]", "expected F32[3]");
    expect_refused(3, names, (tarn_tensor *[]){w, same_size, m}, "\"fc.bias\" is I32[3]", "expected F32[3]");
    expect_refused(3, names, (tarn_tensor *[]){w, deep, m}, "\"fc.bias\" is F32[3,1,1]", "expected F32[3]");
    tarn_tensor *const all[] = {w, b, m, head, turned, one, wide, same_size, deep};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tarn_tensor_free(all[i]);
}

static void empty_store_comes_back(void **state)
{
    (void)state;
    const char *path = file_at("empty");
    tarn_params *p = tarn_params_new(TARN_F64);
    assert_true(tarn_params_save(p, path));
    assert_true(tarn_params_load(p, path));
    assert_false(tarn_params_load(p, FIXTURE("reference")));
    expect_error("tarn_params_load: ", "which the store does not");
    tarn_params_free(p);
}

/* ---- what the caller may do wrong ---- */

static void null_is_an_error(void **state)
{
    (void)state;
    tarn_params *p = tarn_params_new(TARN_F32);
    tarn_safetensors *f = tarn_safetensors_open(FIXTURE("reference"));
    tarn_tensor *x = tarn_tensor_new(TARN_F32, 0, NULL);
    const char *path = file_at("never"), *const name[] = {"x"}, *const no_name[] = {NULL};
    assert_false(tarn_params_save(NULL, path));
    expect_error("tarn_params_save: ", "params");
    assert_false(tarn_params_save(p, NULL));
    expect_error("tarn_params_save: ", "path");
    assert_false(tarn_params_load(NULL, path));
    expect_error("tarn_params_load: ", "params");
    assert_false(tarn_params_load(p, NULL));
    expect_error("tarn_params_load: ", "path");
    assert_null(tarn_safetensors_open(NULL));
    expect_error("tarn_safetensors_open: ", "path");
    assert_null(tarn_safetensors_load(NULL, "x"));
    expect_error("tarn_safetensors_load: ", "file");
    assert_null(tarn_safetensors_load(f, NULL));
    expect_error("tarn_safetensors_load: ", "name");
    assert_false(tarn_safetensors_save(NULL, 1, name, &x));
    expect_error("tarn_safetensors_save: ", "path");
    assert_false(tarn_safetensors_save(path, 1, NULL, &x));
    expect_error("tarn_safetensors_save: ", "names");
    assert_false(tarn_safetensors_save(path, 1, name, NULL));
    expect_error("tarn_safetensors_save: ", "tensors");
    assert_false(tarn_safetensors_save(path, 1, no_name, &x));
    expect_error("tarn_safetensors_save: ", "name 0 is NULL");
    assert_false(tarn_safetensors_save(path, 1, name, (tarn_tensor *[]){NULL}));
    expect_error("tarn_safetensors_save: ", "tensor 0", "is NULL");
    assert_false(tarn_safetensors_save_with(path, 1, name, &x, 1, NULL, name));
    expect_error("tarn_safetensors_save_with: ", "keys");
    assert_false(tarn_safetensors_save_with(path, 1, name, &x, 1, name, NULL));
    expect_error("tarn_safetensors_save_with: ", "values");
    assert_false(tarn_safetensors_save_with(path, 1, name, &x, 1, name, no_name));
    expect_error("tarn_safetensors_save_with: ", "value 0 is NULL");
    assert_int_equal(count_files(), 0);
    tarn_safetensors_close(NULL);
    tarn_safetensors_close(f);
    tarn_tensor_free(x);
    tarn_params_free(p);
}

static void getters_of_nothing(void **state)
{
    (void)state;
    tarn_safetensors *f = tarn_safetensors_open(FIXTURE("reference"));
    tarn_safetensors *const files[] = {NULL, f};
    assert_int_equal(tarn_safetensors_count(NULL), 0);
    assert_int_equal(tarn_safetensors_metadata_count(NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_null(tarn_safetensors_name(files[i], REFERENCE_COUNT));
        assert_null(tarn_safetensors_dtype(files[i], REFERENCE_COUNT));
        assert_int_equal(tarn_safetensors_ndim(files[i], REFERENCE_COUNT), 0);
        assert_null(tarn_safetensors_shape(files[i], REFERENCE_COUNT));
        assert_null(tarn_safetensors_metadata_key(files[i], 2));
        assert_null(tarn_safetensors_metadata(files[i], NULL));
        assert_null(tarn_safetensors_metadata(files[i], "zzz"));
    }
    expect_no_error();
    assert_null(tarn_safetensors_load(f, "no\nsuch"));
    expect_error("tarn_safetensors_load: ", "no tensor \"no?such\"");
    tarn_safetensors_close(f);
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "a\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"};
    const char *path = file_at("never"), *const good[] = {"a", "b", "a"};
    tarn_tensor *x = tarn_tensor_new(TARN_F32, 0, NULL), *const all[] = {x, x, x};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tarn_safetensors_save(path, 1, &bad[i], &x));
        expect_error("tarn_safetensors_save: name 0 is not UTF-8");
        assert_false(tarn_safetensors_save_with(path, 1, good, &x, 1, &bad[i], good));
        expect_error("tarn_safetensors_save_with: key 0 is not UTF-8");
        assert_false(tarn_safetensors_save_with(path, 1, good, &x, 1, good, &bad[i]));
        expect_error("tarn_safetensors_save_with: value 0 is not UTF-8");
    }
    assert_false(tarn_safetensors_save(path, 3, good, all));
    expect_error("tarn_safetensors_save: \"a\" is given twice");
    assert_false(tarn_safetensors_save_with(path, 1, good, all, 3, good, good));
    expect_error("tarn_safetensors_save_with: key \"a\" is given twice");
    assert_false(tarn_safetensors_save(path, 1, (const char *[]){"__metadata__"}, &x));
    expect_error("tarn_safetensors_save: \"__metadata__\" cannot");
    assert_int_equal(count_files(), 0);
    assert_true(tarn_safetensors_save(path, 1, (const char *[]){""}, &x)); /* legal in the format */
    tarn_tensor_free(x);
}

static void nothing_happens_while_an_error_is_pending(void **state)
{
    (void)state;
    const char *path = file_at("never");
    tarn_params *p = store_new(TARN_F32, 1);
    tarn_safetensors *f = tarn_safetensors_open(FIXTURE("reference"));
    tarn_fail("mine");
    assert_false(tarn_params_save(p, path));
    assert_false(tarn_safetensors_save(path, 0, NULL, NULL));
    assert_null(tarn_safetensors_open(FIXTURE("reference")));
    assert_null(tarn_safetensors_load(f, "scalar"));
    assert_int_equal(count_files(), 0);
    assert_int_equal(tarn_safetensors_count(f), REFERENCE_COUNT);
    tarn_error_clear();
    assert_true(tarn_params_save(p, path));
    tarn_fill(tarn_params_at(p, 0), 9);
    tarn_fail("mine");
    assert_false(tarn_params_load(p, path));
    assert_true(tarn__load(tarn_params_at(p, 0), 0) == 9);
    expect_error("mine");
    tarn_safetensors_close(f);
    tarn_params_free(p);
}

/* ---- no memory ---- */

/* More tensors and texts than the first room for them, a view, metadata. */
static bool save_and_read_many(void)
{
    enum { MANY = 40 };
    static char text[MANY][16];
    const char *names[MANY];
    tarn_tensor *x[MANY] = {NULL}, *one = tarn_tensor_new(TARN_F32, TARN_SHAPE(2));
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "t%d", i);
        names[i] = text[i];
        x[i] = one;
    }
    tarn_safetensors_save_with(file_at("many"), MANY, names, x, MANY, names, names);
    tarn_safetensors *f = tarn_safetensors_open(file_at("many"));
    tarn_tensor *y = tarn_safetensors_load(f, "t7");
    bool ok = !tarn_error() && y && tarn_safetensors_metadata_count(f) == MANY;
    tarn_tensor_free(y);
    tarn_safetensors_close(f);
    tarn_tensor_free(one);
    return ok;
}

static void no_memory_for_many(void **state)
{
    (void)state;
    fail_each_allocation(save_and_read_many, false);
}

static void no_memory_leaves_store_and_file(void **state)
{
    (void)state;
    bool reached = true;
    for (long k = 1; reached; k++) {
        check_memory_install();
        tarn_params *p = store_new(TARN_F32, 1), *q = store_new(TARN_F32, 50);
        assert_true(tarn_params_save(p, file_at("a")));
        check_memory_fail(k, false);
        bool saved = tarn_params_save(q, file_at("a"));
        reached = check_memory_failed();
        check_memory_succeed();
        tarn_error_clear();
        assert_int_equal(count_files(), 1);
        assert_true(tarn_params_load(q, file_at("a")));
        expect_store(q, saved ? 50 : 1);
        assert_true(tarn_params_save(p, file_at("a")));
        for (size_t i = 0; i < tarn_params_count(q); i++)
            tarn_fill(tarn_params_at(q, i), 50 + (double)i);
        check_memory_fail(k, false);
        bool loaded = tarn_params_load(q, file_at("a"));
        reached |= check_memory_failed();
        assert_int_equal(loaded, !check_memory_failed());
        check_memory_succeed();
        tarn_error_clear();
        expect_store(q, loaded ? 1 : 50);
        tarn_params_free(p);
        tarn_params_free(q);
        check_memory_remove();
        assert_true(k < 1000 && (reached || k > 5));
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(every_bit_is_kept),
        T(no_tensors_as_the_reference_writes_them),
        T(a_name_as_the_reference_writes_it),
        T(every_dtype_of_the_reference),
        T(tensors_outlive_the_file),
        T(pending_tensors_and_views_are_written),
        T(order_does_not_matter),
        T(many_tensors),
        T(store_comes_back),
        T(loading_is_seen_by_the_tape),
        T(store_takes_only_its_own),
        T(empty_store_comes_back),
        T(null_is_an_error),
        T(getters_of_nothing),
        T(bad_names_are_refused),
        T(nothing_happens_while_an_error_is_pending),
        T(no_memory_for_many),
        T(no_memory_leaves_store_and_file),
    };
    return cmocka_run_group_tests_name("safetensors_use", tests, folder_make, folder_remove);
}
