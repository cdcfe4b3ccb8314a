/* The arena, and what a training loop takes from the heap: nothing. */
#include "tensor/arena.h"
#include "tensor/memory.h"
#include "tensor/threads.h"
#include "tests/check.h"
#include "tests/small_cnn.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>

/* ---- every allocation of the process, OpenBLAS's too ---- */

static atomic_long heap_calls;

#if defined(__GLIBC__) && !CHECK_ASAN
#define HEAP_IS_WATCHED 1
#define SEEN_BY_ALL     __attribute__((visibility("default")))

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

SEEN_BY_ALL void *malloc(size_t bytes)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_malloc(bytes);
}

SEEN_BY_ALL void *calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_calloc(count, bytes);
}

SEEN_BY_ALL void *realloc(void *block, size_t bytes)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_realloc(block, bytes);
}

SEEN_BY_ALL void *memalign(size_t align, size_t bytes);
SEEN_BY_ALL void *memalign(size_t align, size_t bytes)
{
    atomic_fetch_add(&heap_calls, 1);
    return __libc_memalign(align, bytes);
}

SEEN_BY_ALL void *aligned_alloc(size_t align, size_t bytes)
{
    return memalign(align, bytes);
}

SEEN_BY_ALL int posix_memalign(void **block, size_t align, size_t bytes)
{
    *block = memalign(align, bytes);
    return *block ? 0 : ENOMEM;
}
#else
#define HEAP_IS_WATCHED 0
#endif

static void the_watch_sees_every_kind(void **state)
{
    (void)state;
    if (!HEAP_IS_WATCHED)
        skip();
    void *volatile block;
    long before = atomic_load(&heap_calls);
    block = malloc(100);
    block = realloc(block, 200);
    free(block);
    block = calloc(3, 30);
    free(block);
    block = aligned_alloc(64, 128);
    free(block);
    void *aligned;
    assert_int_equal(posix_memalign(&aligned, 256, 100), 0);
    assert_int_equal((uintptr_t)aligned % 256, 0);
    free(aligned);
    assert_int_equal(atomic_load(&heap_calls) - before, 5);
    before = atomic_load(&heap_calls);
    FILE *file = tmpfile(); /* the C library's own */
    assert_non_null(file);
    fclose(file);
    assert_true(atomic_load(&heap_calls) > before);
}

/* ---- training ---- */

static const cnn_size size = {.batch = 16, .side = 20, .channels = 3, .width = 8, .hidden = 32, .classes = 10};

static void train(int threads, bool eager, const cnn_size *s)
{
    cnn m;
    assert_true(tarn_set_threads(threads));
    tarn_tape *t = tarn_tape_new();
    tarn_tape_set_eager(t, eager);
    assert_true(cnn_new(&m, TARN_F32, s, 3));
    assert_true(isfinite(cnn_step(t, &m)));
    tarn_tape_reset(t); /* here the arena becomes one block */
    long before = atomic_load(&heap_calls);
    size_t held = 0, peak = 0, nodes = 0;
    for (int step = 1; step < 8; step++) {
        assert_true(isfinite(cnn_step(t, &m)));
        assert_int_equal(atomic_load(&heap_calls), before);
        if (step > 1) {
            assert_int_equal(tarn_tape_bytes(t), held);
            assert_int_equal(tarn_tape_peak_bytes(t), peak);
            assert_int_equal(tarn_tape_nodes(t), nodes);
        }
        held = tarn_tape_bytes(t), peak = tarn_tape_peak_bytes(t), nodes = tarn_tape_nodes(t);
        assert_true(held > 0 && peak >= held && nodes > 20);
        tarn_tape_reset(t);
        assert_int_equal(tarn_tape_bytes(t), 0);
        assert_int_equal(tarn_tape_nodes(t), 0);
        assert_int_equal(tarn_tape_peak_bytes(t), peak);
    }
    cnn_free(&m);
    tarn_tape_free(t);
    expect_no_error();
    assert_true(tarn_set_threads(0));
}

static void a_training_loop_takes_nothing_from_the_heap(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++)
        train(threads, threads == 2, &size);
}

/* All but the scratch memory fits into the arena's first block. */
static void nor_does_a_tiny_one(void **state)
{
    (void)state;
    static const cnn_size tiny = {.batch = 2, .side = 4, .channels = 1, .width = 1, .hidden = 2, .classes = 2};
    train(1, false, &tiny);
    train(2, true, &tiny);
}

/* Evaluation, batch after batch on the same tape, and the reading of strided views. */
static void an_evaluation_loop_neither(void **state)
{
    (void)state;
    cnn m;
    tarn_tape *t = tarn_tape_new();
    assert_true(cnn_new(&m, TARN_F64, &size, 4));
    tarn_tape_set_training(t, false);
    tarn_tape_set_grad(t, false);
    long before = 0;
    for (int step = 0; step < 5; step++) {
        tarn_tensor *x, *labels;
        assert_true(cnn_batch(t, &m, &x, &labels));
        tarn_tensor *logits = cnn_forward(t, &m, x);
        assert_true(tarn_item(tarn_accuracy(t, logits, labels)) >= 0);
        assert_non_null(tarn_data(tarn_transpose(t, logits, 0, 1)));
        tarn_tape_reset(t);
        if (step == 0)
            before = atomic_load(&heap_calls);
    }
    assert_int_equal(atomic_load(&heap_calls), before);
    cnn_free(&m);
    tarn_tape_free(t);
    expect_no_error();
}

/* tarn asks its allocator for everything that it takes, and gives everything back. */
static void tarn_asks_its_own_allocator(void **state)
{
    (void)state;
    check_memory_install();
    cnn m;
    tarn_tape *t = tarn_tape_new();
    assert_true(cnn_new(&m, TARN_F32, &size, 3));
    assert_true(isfinite(cnn_step(t, &m)));
    tarn_tape_reset(t);
    assert_true(check_memory_blocks() > 30);
    long heap = atomic_load(&heap_calls), own = check_memory_calls();
    tarn_tensor *copy = tarn_tensor_clone(m.out.weight);
    if (HEAP_IS_WATCHED)
        assert_int_equal(atomic_load(&heap_calls) - heap, 1);
    assert_int_equal(check_memory_calls() - own, 1);
    tarn_tensor_free(copy);
    cnn_free(&m);
    tarn_tape_free(t);
    assert_true(isnan(tarn_item(NULL)));
    tarn_error_clear();
    check_memory_remove();
}

/* ---- blocks ---- */

static void *never(size_t bytes, void *context)
{
    (void)bytes, (void)context;
    return NULL;
}

static void allocator_needs_both_functions(void **state)
{
    (void)state;
    assert_false(tarn_set_allocator(&(tarn_allocator){.allocate = never}));
    expect_error("tarn_set_allocator: both");
    void *block = tarn__allocate(1); /* still malloc */
    assert_non_null(block);
    tarn__release(block);
}

static void blocks_are_aligned(void **state)
{
    (void)state;
    check_memory_install();
    void *blocks[40];
    for (size_t i = 0; i < 40; i++) {
        blocks[i] = i % 2 ? tarn__allocate(i * i) : tarn__allocate_zeroed(i * i);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % TARN__ALIGN, 0);
        for (size_t k = 0; k < i * i && i % 2 == 0; k++)
            assert_int_equal(((char *)blocks[i])[k], 0);
        memset(blocks[i], 0x33, i * i);
    }
    for (size_t i = 0; i < 40; i++)
        tarn__release(blocks[i]);
    tarn__release(NULL);
    assert_null(tarn__allocate(SIZE_MAX));
    assert_null(tarn__allocate(PTRDIFF_MAX));
    assert_null(tarn__allocate_zeroed(SIZE_MAX - 100));
    char *copy = tarn__copy_string("");
    assert_string_equal(copy, "");
    tarn__release(copy);
    check_memory_remove();
}

/* ---- the arena ---- */

static void arena_gives_aligned_memory_of_its_own(void **state)
{
    (void)state;
    check_memory_install();
    tarn__arena a = {0};
    enum { N = 300 };
    unsigned char *parts[N];
    for (size_t i = 0; i < N; i++) {
        size_t bytes = i * 37 % 911;
        parts[i] = i % 3 == 0 ? tarn__arena_allocate_small(&a, bytes) : tarn__arena_allocate(&a, bytes);
        assert_non_null(parts[i]);
        assert_int_equal((uintptr_t)parts[i] % (i % 3 == 0 ? 16 : TARN__ALIGN), 0);
        for (size_t k = 0; k < bytes && i % 3 == 0; k++)
            assert_int_equal(parts[i][k], 0);
        memset(parts[i], (int)(i % 251), bytes);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i * 37 % 911; k++)
            assert_int_equal(parts[i][k], i % 251);
    assert_true(a.used >= 100000 && a.peak == a.used);
    tarn__arena_free(&a);
    assert_null(a.current);
    assert_int_equal(a.used, 0);
    tarn__arena_free(&a);
    check_memory_remove();
}

static void arena_takes_no_bytes_and_far_too_many(void **state)
{
    (void)state;
    check_memory_install();
    tarn__arena a = {0};
    tarn__arena_reset(&a);
    assert_non_null(tarn__arena_allocate(&a, 0)); /* also of an arena without a block */
    assert_non_null(tarn__arena_allocate(&a, 0));
    assert_int_equal(a.used, 0);
    assert_null(tarn__arena_allocate(&a, SIZE_MAX));
    assert_null(tarn__arena_allocate(&a, SIZE_MAX - 63));
    assert_null(tarn__arena_allocate(&a, PTRDIFF_MAX));
    assert_null(tarn__arena_allocate(&a, PTRDIFF_MAX - 128));
    assert_null(tarn__arena_allocate_small(&a, SIZE_MAX));
    assert_int_equal(a.used, 0);
    unsigned char *still = tarn__arena_allocate(&a, 10);
    assert_non_null(still);
    memset(still, 1, 10);
    tarn__arena_free(&a);
    check_memory_remove();
}

static void arena_marks_nest(void **state)
{
    (void)state;
    check_memory_install();
    tarn__arena a = {0};
    tarn__arena_mark empty = tarn__arena_set_mark(&a);
    unsigned char *kept = tarn__arena_allocate(&a, 1000);
    memset(kept, 7, 1000);
    size_t used = a.used;
    tarn__arena_mark outer = tarn__arena_set_mark(&a);
    void *first = tarn__arena_allocate(&a, 5000);
    tarn__arena_mark inner = tarn__arena_set_mark(&a);
    for (int i = 0; i < 5; i++)
        assert_non_null(tarn__arena_allocate(&a, 100000)); /* further blocks */
    assert_true(check_memory_blocks() > 1);
    size_t peak = a.used;
    tarn__arena_release(&a, inner);
    tarn__arena_release(&a, inner); /* again: nothing changes */
    assert_int_equal(check_memory_blocks(), 1);
    tarn__arena_release(&a, outer);
    assert_int_equal(a.used, used);
    assert_int_equal(a.peak, peak);
    assert_ptr_equal(tarn__arena_allocate(&a, 5000), first); /* the same place again */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(kept[i], 7);
    tarn__arena_release(&a, empty);
    assert_int_equal(a.used, 0);
    assert_int_equal(check_memory_blocks(), 0);
    tarn__arena_free(&a);
    check_memory_remove();
}

static void arena_reset_merges(void **state)
{
    (void)state;
    check_memory_install();
    tarn__arena a = {0};
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 50; i++) {
            unsigned char *part = tarn__arena_allocate(&a, 30000);
            assert_non_null(part);
            memset(part, i, 30000);
        }
        if (round == 0)
            assert_true(check_memory_blocks() > 1);
        else
            assert_int_equal(check_memory_blocks(), 1);
        tarn__arena_reset(&a);
        assert_int_equal(a.used, 0);
        assert_true(a.peak >= 1500000 && a.peak < 1600000);
        assert_int_equal(check_memory_blocks(), 1);
    }
    long calls = check_memory_calls();
    tarn__arena_reset(&a);
    assert_int_equal(check_memory_calls(), calls);
    tarn__arena_free(&a);
    check_memory_remove();
}

/* Scratch memory that went back before the reset counts too: it will be asked for again. */
static void arena_reset_makes_room_for_scratch(void **state)
{
    (void)state;
    check_memory_install();
    tarn__arena a = {0};
    long calls = 0;
    for (int round = 0; round < 3; round++) {
        assert_non_null(tarn__arena_allocate(&a, 1000));
        tarn__arena_mark mark = tarn__arena_set_mark(&a);
        assert_non_null(tarn__arena_allocate(&a, 1 << 20));
        tarn__arena_release(&a, mark);
        assert_non_null(tarn__arena_allocate(&a, 1000));
        tarn__arena_reset(&a);
        if (round == 0)
            calls = check_memory_calls();
    }
    assert_int_equal(check_memory_calls(), calls);
    tarn__arena_free(&a);
    check_memory_remove();
}

static void arena_survives_want_of_memory(void **state)
{
    (void)state;
    check_memory_install();
    tarn__arena a = {0};
    check_memory_fail(1, true);
    assert_null(tarn__arena_allocate(&a, 10));
    check_memory_succeed();
    check_memory_refuse(20001, SIZE_MAX); /* no block of the usual size: one that is just large enough */
    assert_non_null(tarn__arena_allocate(&a, 100));
    unsigned char *first = tarn__arena_allocate(&a, 10000);
    assert_non_null(first);
    memset(first, 5, 10000);
    size_t used = a.used;
    assert_null(tarn__arena_allocate(&a, 30000));
    assert_int_equal(a.used, used);
    assert_int_equal(first[9999], 5);
    check_memory_fail(1, true);
    tarn__arena_reset(&a); /* no memory for one block: it begins anew */
    assert_int_equal(check_memory_blocks(), 0);
    assert_null(tarn__arena_allocate(&a, 10));
    check_memory_succeed();
    assert_non_null(tarn__arena_allocate(&a, 10));
    tarn__arena_free(&a);
    check_memory_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watch_sees_every_kind),
        cmocka_unit_test(a_training_loop_takes_nothing_from_the_heap),
        cmocka_unit_test(nor_does_a_tiny_one),
        cmocka_unit_test(an_evaluation_loop_neither),
        cmocka_unit_test(tarn_asks_its_own_allocator),
        cmocka_unit_test(allocator_needs_both_functions),
        cmocka_unit_test(blocks_are_aligned),
        cmocka_unit_test(arena_gives_aligned_memory_of_its_own),
        cmocka_unit_test(arena_takes_no_bytes_and_far_too_many),
        cmocka_unit_test(arena_marks_nest),
        cmocka_unit_test(arena_reset_merges),
        cmocka_unit_test(arena_reset_makes_room_for_scratch),
        cmocka_unit_test(arena_survives_want_of_memory),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
