/* Built once per instruction set, with TARN__ISA as its name: see the Makefile. */
#include "tensor/kernels/kernels.h"

#include <math.h>
#include <string.h>

extern const tarn__kernels tarn__kernels_baseline, tarn__kernels_avx2, tarn__kernels_avx512;

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define TEXT_(a)    #a
#define TEXT(a)     TEXT_(a)

#include "tensor/kernels/fma.inc"
#include "tensor/kernels/shuffle.inc"
#include "tensor/kernels/math.inc"

#define real    float
#define integer int32_t
#define F(name) JOIN(name, f)
#define K(name) JOIN(name, _f32)
#include "tensor/kernels/loops.inc"
#undef real
#undef integer
#undef F
#undef K

#define real    double
#define integer int64_t
#define F(name) name
#define K(name) JOIN(name, _f64)
#include "tensor/kernels/loops.inc"
#undef real
#undef integer
#undef F
#undef K

#define COMPARE(dtype, type, name, relation)                                                                           \
    static void name##_##dtype(size_t n, const void *a, const void *b, uint8_t *y)                                     \
    {                                                                                                                  \
        const type *pa = a, *pb = b;                                                                                   \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[i] = pa[i] relation pb[i];                                                                               \
    }
#define COMPARE_ALL(dtype, type)                                                                                       \
    COMPARE(dtype, type, eq, ==)                                                                                       \
    COMPARE(dtype, type, ne, !=)                                                                                       \
    COMPARE(dtype, type, lt, <)                                                                                        \
    COMPARE(dtype, type, le, <=)                                                                                       \
    COMPARE(dtype, type, gt, >)                                                                                        \
    COMPARE(dtype, type, ge, >=)
COMPARE_ALL(f32, float)
COMPARE_ALL(f64, double)
COMPARE_ALL(i32, int32_t)
COMPARE_ALL(u8, uint8_t)
#define COMPARE_TABLE(dtype)                                                                                           \
    {                                                                                                                  \
        eq_##dtype, ne_##dtype, lt_##dtype, le_##dtype, gt_##dtype, ge_##dtype                                         \
    }

#define WHERE(dtype, type)                                                                                             \
    static void where_##dtype(size_t n, const uint8_t *condition, const void *a, const void *b, void *y)               \
    {                                                                                                                  \
        const type *pa = a, *pb = b;                                                                                   \
        type *py = y;                                                                                                  \
        for (size_t i = 0; i < n; i++)                                                                                 \
            py[i] = condition[i] ? pa[i] : pb[i];                                                                      \
    }
WHERE(f32, float)
WHERE(f64, double)
WHERE(i32, int32_t)
WHERE(u8, uint8_t)

const tarn__kernels JOIN(tarn__kernels_, TARN__ISA) = {
    .isa = TEXT(TARN__ISA),
    .f32 = &loops_f32,
    .f64 = &loops_f64,
    .compare = {COMPARE_TABLE(f32), COMPARE_TABLE(f64), COMPARE_TABLE(i32), COMPARE_TABLE(u8)},
    .where = {where_f32, where_f64, where_i32, where_u8},
};
