/* The dtypes of the format, and how those that tarn does not have become tarn's. */
#include "data/safetensors_impl.h"

#include <string.h>

/* ---- elements: every f16 and bf16 is an f32, to the bit */

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) /* a subnormal, which f32 has as a normal number */
        return sign ? -(float)fraction * 0x1p-24f : (float)fraction * 0x1p-24f;
    exponent = exponent == 31 ? 255 : exponent + 127 - 15;
    return float_of(sign | exponent << 23 | fraction << 13);
}

static float from_bf16(uint16_t half)
{
    return float_of((uint32_t)half << 16);
}

/* TO elements of n FROM elements; how many there are before the first that does not fit. */
#define CONVERT(name, FROM, TO, FITS, VALUE)                                                                           \
    static size_t name(const char *from, size_t n, void *to)                                                           \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                               \
            FROM x;                                                                                                    \
            memcpy(&x, from + i * sizeof x, sizeof x);                                                                 \
            if (!(FITS))                                                                                               \
                return i;                                                                                              \
            ((TO *)to)[i] = (TO)(VALUE);                                                                               \
        }                                                                                                              \
        return n;                                                                                                      \
    }

CONVERT(f16_to_f32, uint16_t, float, true, from_f16(x))
CONVERT(bf16_to_f32, uint16_t, float, true, from_bf16(x))
CONVERT(i8_to_i32, int8_t, int32_t, true, x)
CONVERT(i16_to_i32, int16_t, int32_t, true, x)
CONVERT(u16_to_i32, uint16_t, int32_t, true, x)
CONVERT(u32_to_i32, uint32_t, int32_t, x <= INT32_MAX, x)
CONVERT(i64_to_i32, int64_t, int32_t, x >= INT32_MIN && x <= INT32_MAX, x)
CONVERT(u64_to_i32, uint64_t, int32_t, x <= INT32_MAX, x)
CONVERT(bool_to_u8, uint8_t, uint8_t, x <= 1, x)

/* ---- the table, in the reference library's order, which is that of writing, backwards */

#define NONE TARN_DTYPE_COUNT, NULL

static const tarn__st_dtype dtypes[] = {
    {"BOOL", 8, TARN_U8, bool_to_u8},
    {"F4", 4, NONE},
    {"F6_E2M3", 6, NONE},
    {"F6_E3M2", 6, NONE},
    {"U8", 8, TARN_U8, NULL},
    {"I8", 8, TARN_I32, i8_to_i32},
    {"F8_E5M2", 8, NONE},
    {"F8_E4M3", 8, NONE},
    {"F8_E8M0", 8, NONE},
    {"F8_E4M3FNUZ", 8, NONE},
    {"F8_E5M2FNUZ", 8, NONE},
    {"I16", 16, TARN_I32, i16_to_i32},
    {"U16", 16, TARN_I32, u16_to_i32},
    {"F16", 16, TARN_F32, f16_to_f32},
    {"BF16", 16, TARN_F32, bf16_to_f32},
    {"I32", 32, TARN_I32, NULL},
    {"U32", 32, TARN_I32, u32_to_i32},
    {"F32", 32, TARN_F32, NULL},
    {"C64", 64, NONE},
    {"F64", 64, TARN_F64, NULL},
    {"I64", 64, TARN_I32, i64_to_i32},
    {"U64", 64, TARN_I32, u64_to_i32},
};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

const tarn__st_dtype *tarn__st_dtype_named(const char *name)
{
    for (int i = 0; i < DTYPES; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

const tarn__st_dtype *tarn__st_dtype_of(tarn_dtype dtype)
{
    for (int i = 0; i < DTYPES; i++)
        if (dtypes[i].ours == dtype && !dtypes[i].convert)
            return &dtypes[i];
    return NULL;
}
