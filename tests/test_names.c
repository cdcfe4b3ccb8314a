/* Many names: a store, an optimiser of it and a file's metadata compare each with a few others, not with all. */
#include "data/safetensors.h"
#include "optim/optimizer.h"
#include "tensor/tensor_impl.h"
#include "tests/files.h"
#include "tests/tape_fixture.h"

static long compared;

/* The library's calls end here, as it is linked statically. */
int strcmp(const char *a, const char *b)
{
    compared++;
    while (*a && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

enum { MANY = 4000, LONG = 200 };

/* Of several kinds: counted, with a long beginning in common, with only a few bits that differ. */
static const char *name_of(int kind, int i)
{
    static char name[LONG + 20];
    if (kind == 0)
        snprintf(name, sizeof name, "layer%d.block%d.%s", i / 20, i / 2 % 10, i % 2 ? "weight" : "bias");
    else if (kind == 1)
        snprintf(name, sizeof name, "%0*d", LONG, i);
    else
        for (int bit = 0; bit < 13; bit++)
            name[bit] = i >> bit & 1 ? 'b' : 'a', name[bit + 1] = '\0';
    return name;
}

/* No more than so many a name. Half full, linear probing expects 2.5 where the name is not there, 1.5 where it is. */
static void expect_compared(double a_name)
{
    if ((double)compared > a_name * MANY)
        fail_msg("%ld comparisons for %d names", compared, MANY);
    compared = 0;
}

static tarn_params *store_of_many(int kind)
{
    tarn_params *p = tarn_params_new(TARN_F32);
    compared = 0;
    for (int i = 0; i < MANY; i++)
        assert_non_null(i % 8 ? tarn_params_add(p, name_of(kind, i), 0, NULL)
                              : tarn_params_add_buffer(p, name_of(kind, i), 0, NULL));
    return p;
}

static void a_store_looks_names_up(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        tarn_params *p = store_of_many(kind);
        expect_compared(5); /* twice what is expected: the table has grown on the way */
        for (int i = 0; i < MANY; i++)
            assert_ptr_equal(tarn_params_find(p, name_of(kind, i)), tarn_params_at(p, (size_t)i));
        expect_compared(3);
        assert_null(tarn_params_find(p, ""));
        assert_null(tarn_params_find(p, "layer"));
        assert_null(tarn_params_add(p, name_of(kind, 17), 0, NULL));
        expect_error("tarn_params_add: \"", "is already in the store");
        tarn_params_free(p);
    }
}

static void what_was_taken_out_is_forgotten(void **state)
{
    (void)state;
    tarn_params *p = store_of_many(0);
    for (size_t left = MANY - 1; left > MANY - 5; left--) {
        tarn__params_truncate(p, left);
        for (int i = MANY - 8; i < MANY; i++)
            assert_ptr_equal(tarn_params_find(p, name_of(0, i)), tarn_params_at(p, (size_t)i));
    }
    assert_non_null(tarn_params_add(p, name_of(0, MANY - 1), 0, NULL));
    assert_ptr_equal(tarn_params_find(p, name_of(0, MANY - 1)), tarn_params_at(p, MANY - 4));
    tarn__params_truncate(p, 0);
    assert_null(tarn_params_find(p, name_of(0, 0)));
    assert_non_null(tarn_params_add(p, name_of(0, 0), 0, NULL));
    tarn_params_free(p);
}

static void an_optimiser_looks_names_up(void **state)
{
    (void)state;
    tarn_params *p = store_of_many(0);
    compared = 0;
    tarn_optim *o = tarn_adam_new(p, NULL);
    assert_non_null(o);
    expect_compared(10); /* two moments for each */
    tarn_optim_free(o);
    tarn_params_free(p);
}

static void metadata_keys_are_not_compared_with_all(void **state)
{
    (void)state;
    static char text[MANY][32];
    static const char *keys[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "key %d", i);
        keys[i] = text[i];
    }
    const char *path = files_path("many.safetensors");
    compared = 0;
    assert_true(tarn_safetensors_save_with(path, 0, NULL, NULL, MANY, keys, keys));
    expect_compared(2 * 12 + 2); /* heapsort: 2 log2(n) */
    tarn_safetensors *f = tarn_safetensors_open(path);
    assert_non_null(f);
    expect_compared(2 * 12 + 3);
    for (int i = 0; i < MANY; i++)
        assert_string_equal(tarn_safetensors_metadata(f, keys[i]), keys[i]);
    tarn_safetensors_close(f);
    keys[MANY - 1] = keys[17];
    assert_false(tarn_safetensors_save_with(path, 0, NULL, NULL, MANY, keys, keys));
    expect_error("tarn_safetensors_save_with: key \"key 17\" is given twice");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_store_looks_names_up),
        TEST(what_was_taken_out_is_forgotten),
        TEST(an_optimiser_looks_names_up),
        TEST(metadata_keys_are_not_compared_with_all),
    };
    return cmocka_run_group_tests_name("names", tests, files_setup, files_teardown);
}
