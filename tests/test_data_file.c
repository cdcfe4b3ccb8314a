/* Paths and messages: what went wrong can be read however long the path is, and a save finds a name. */
#include "data/data.h"
#include "tensor/tensor_impl.h"
#include "tests/data_files.h"

#include <limits.h>

/* `length` bytes: a folder that is not there, again and again. */
static char *long_path(size_t length)
{
    char *path = malloc(length + 1);
    assert_non_null(path);
    for (size_t i = 0; i < length; i++)
        path[i] = i + 1 < length ? "/nowhere"[i % 8] : 'x';
    path[length] = '\0';
    return path;
}

static void the_reason_survives_a_long_path(void **state)
{
    (void)state;
    static const size_t lengths[] = {900, 1000, 1100, 3000, PATH_MAX - 1, PATH_MAX, 20000};
    tarn_params *p = tarn_params_new(TARN_F32);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *path = long_path(lengths[i]);
        const char *why = lengths[i] < PATH_MAX ? "No such file or directory" : "expected at most 4095";
        assert_null(tarn_safetensors_open(path));
        expect_error("tarn_safetensors_open: /nowhere/nowhere", why);
        assert_false(tarn_params_save(p, path));
        expect_error("tarn_params_save: /nowhere/nowhere", why);
        assert_false(tarn_params_load(p, path));
        expect_error("tarn_params_load: /nowhere/nowhere", why);
        assert_null(tarn_image_load(path, 0));
        expect_error("tarn_image_load: /nowhere/nowhere", why);
        assert_null(tarn_idx_load(path));
        expect_error("tarn_idx_load: /nowhere/nowhere", why);
        free(path);
    }
    tarn_params_free(p);
}

/* What is wrong with the bytes, too. */
static void the_reason_survives_in_what_a_file_holds(void **state)
{
    (void)state;
    char path[1500];
    size_t at = (size_t)snprintf(path, sizeof path, "%s", test_folder);
    while (at < 1300)
        at += (size_t)snprintf(path + at, sizeof path - at, "/././././.");
    snprintf(path + at, sizeof path - at, "/x");
    write_file(path, "GIF89a and more", 15);
    assert_null(tarn_image_load(path, 0));
    expect_error("tarn_image_load: /tmp", ": neither a PNG nor a JPEG");
    assert_null(tarn_safetensors_open(path));
    expect_error("tarn_safetensors_open: /tmp", "a header of ");
    assert_null(tarn_idx_load(path));
    expect_error("tarn_idx_load: /tmp", "starts with 47 49 46 38");
}

static void messages_lose_their_middle(void **state)
{
    (void)state;
    for (int length = 1000; length <= 8191; length += length < 1040 ? 1 : 97) {
        char *text = malloc((size_t)length + 1);
        for (int i = 0; i < length; i++)
            text[i] = (char)('a' + i % 23);
        text[length] = '\0';
        tarn_fail("%s", text);
        const char *message = tarn_error();
        size_t kept = strlen(message);
        if (length < 1024)
            assert_string_equal(message, text);
        else {
            const char *gap = strstr(message, "...");
            assert_int_equal(kept, 1023);
            assert_true(gap && gap - message > 500 && strlen(gap) > 500);
            assert_memory_equal(message, text, (size_t)(gap - message));
            assert_string_equal(gap + 3, text + length - strlen(gap + 3));
        }
        tarn_error_clear();
        free(text);
    }
}

/* Such files stay when programs are killed while they save, and process ids come again. */
static void a_save_finds_a_name_that_is_free(void **state)
{
    (void)state;
    enum { TAKEN = 1000 };
    char name[64];
    tarn_params *p = tarn_params_new(TARN_F32);
    for (int i = 0; i < TAKEN; i++) {
        snprintf(name, sizeof name, ".tarn-%ld-%d.tmp", (long)getpid(), i);
        write_file(file_at(name), "", 0);
    }
    for (int i = 0; i < 3; i++)
        assert_true(tarn_params_save(p, file_at("weights")));
    assert_int_equal(count_files(), TAKEN + 1);
    assert_true(tarn_params_load(p, file_at("weights")));
    tarn_params_free(p);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, test_end)
    const struct CMUnitTest tests[] = {
        T(the_reason_survives_a_long_path),
        T(the_reason_survives_in_what_a_file_holds),
        T(messages_lose_their_middle),
        T(a_save_finds_a_name_that_is_free),
    };
    return cmocka_run_group_tests_name("data_file", tests, folder_make, folder_remove);
}
