/* tests/check.h: what the test programs share. */
#ifndef TARN_TESTS_CHECK_H
#define TARN_TESTS_CHECK_H

#include "tensor/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define CHECK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECK_ASAN 1
#endif
#endif
#ifndef CHECK_ASAN
#define CHECK_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__)
#define CHECK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHECK_TSAN 1
#endif
#endif
#ifndef CHECK_TSAN
#define CHECK_TSAN 0
#endif

enum { CHECK_MAX_PARTS = 4 };

/* The pending error starts with the first text and contains each of the others; then it is cleared. */
#define expect_error(...) check_error(__FILE__, __LINE__, (const char *const[CHECK_MAX_PARTS + 1]){__VA_ARGS__})
#define expect_no_error() check_no_error(__FILE__, __LINE__)

void check_error(const char *file, int line, const char *const parts[]);
void check_no_error(const char *file, int line);

/* An allocator for tarn that counts, checks what comes back, and fails on demand. Install it while nothing of
 * tarn's is alive, and take it away before the test ends. */
void check_memory_install(void);

/* What was installed. */
const tarn_allocator *check_memory_allocator(void);

/* Back to malloc. Fails the test when a block is still out. */
void check_memory_remove(void);

/* The k-th call from now on (1: the next) gets nothing; with `from_then_on` all later ones too. */
void check_memory_fail(long k, bool from_then_on);

/* Calls for `from` to `to` bytes get nothing, and are not counted by check_memory_fail(). The arena makes do
 * with what it needs when it cannot have a large block, so that it then asks for almost each of its pieces. */
void check_memory_refuse(size_t from, size_t to);

/* Neither of the two any more. */
void check_memory_succeed(void);

/* Whether the k-th call came. */
bool check_memory_failed(void);

long check_memory_blocks(void); /* that are out now */
long check_memory_calls(void);  /* since check_memory_install() */

/* SHA-256 of `bytes` bytes as 64 hexadecimal digits. */
typedef struct check_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} check_sha256;
void check_sha256_start(check_sha256 *s);
void check_sha256_add(check_sha256 *s, const void *data, size_t bytes);
void check_sha256_finish(check_sha256 *s, char hex[65]);

#endif
