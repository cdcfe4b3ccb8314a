/* tensor/fp_mode.h (internal): a thread's floating-point mode: how results are rounded, whether subnormal numbers are
 * flushed to zero, which exceptions trap. */
#ifndef TARN__FP_MODE_H
#define TARN__FP_MODE_H

#include <fenv.h>
#include <stdint.h>

#if defined(__x86_64__)

typedef unsigned tarn__fp_mode;

/* The lower six bits are flags of what has happened, and no mode. */
static inline tarn__fp_mode tarn__fp_mode_get(void)
{
    return __builtin_ia32_stmxcsr() & ~0x3fu;
}

static inline void tarn__fp_mode_set(tarn__fp_mode mode)
{
    if (tarn__fp_mode_get() != mode)
        __builtin_ia32_ldmxcsr(mode);
}

#elif defined(__aarch64__)

typedef uint64_t tarn__fp_mode;

static inline tarn__fp_mode tarn__fp_mode_get(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}

static inline void tarn__fp_mode_set(tarn__fp_mode mode)
{
    if (tarn__fp_mode_get() != mode)
        __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}

#else

typedef int tarn__fp_mode;

static inline tarn__fp_mode tarn__fp_mode_get(void)
{
    return fegetround();
}

static inline void tarn__fp_mode_set(tarn__fp_mode mode)
{
    fesetround(mode);
}

#endif
#endif
