/* The f32 functions of tensor/kernels/math.inc against libm in f64: over a sweep of all floats, in units of the last
 * place, and at the limits. By every instruction set of the processor. */
#include "tensor/kernels/kernels.h"
#include "tests/check.h"

#include <math.h>

extern const tarn__kernels tarn__kernels_baseline;
#ifdef __x86_64__
extern const tarn__kernels tarn__kernels_avx2, tarn__kernels_avx512;
#endif

/* BLOCK is not a multiple of any vector's length: the loops' ends are tried too. */
enum { BLOCK = 4093, MAX_TABLES = 3 };

static size_t tables_here(const tarn__kernels *tables[MAX_TABLES])
{
    size_t count = 0;
    tables[count++] = &tarn__kernels_baseline;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        tables[count++] = &tarn__kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        tables[count++] = &tarn__kernels_avx512;
#endif
    return count;
}

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double silu(double x)
{
    return x == -(double)INFINITY ? 0 : x * sigmoid(x);
}

static double gelu(double x)
{
    return x == -(double)INFINITY ? 0 : 0.5 * x * erfc(-0.70710678118654752440 * x);
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double elu(double x)
{
    return x > 0 ? x : 1.5 * expm1(x);
}

/* The bounds are what the formulae's roundings add up to, not what one processor happens to show. */
static const struct function {
    const char *name;
    tarn__unary loop;
    double (*exact)(double x);
    double ulps, p;
} functions[] = {
    {"exp", TARN__UNARY_exp, exp, 1.5, 0},    {"expm1", TARN__UNARY_expm1, expm1, 2, 0},
    {"log", TARN__UNARY_log, log, 1.5, 0},    {"log1p", TARN__UNARY_log1p, log1p, 2, 0},
    {"tanh", TARN__UNARY_tanh, tanh, 2.5, 0}, {"sigmoid", TARN__UNARY_sigmoid, sigmoid, 2.5, 0},
    {"silu", TARN__UNARY_silu, silu, 3, 0},   {"softplus", TARN__UNARY_softplus, softplus, 2.5, 0},
    {"erf", TARN__UNARY_erf, erf, 2, 0},      {"gelu", TARN__UNARY_gelu, gelu, 6, 0},
    {"elu", TARN__UNARY_elu, elu, 2.5, 1.5},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* How far y is from the exact value, in steps between floats there. */
static double distance(float y, double exact)
{
    if (isnan(exact) || isnan(y))
        return isnan(exact) && isnan(y) ? 0 : INFINITY;
    if (isinf(y) || isinf((float)exact)) { /* the last step before infinity rounds to it, or not */
        double beyond = ldexp(1, 128), step = ldexp(1, 104);
        double from = isinf(y) ? copysign(beyond, (double)y) : (double)y;
        double to = fabs(exact) > beyond ? copysign(beyond, exact) : exact;
        return fabs(from - to) / step;
    }
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void sweep(const tarn__kernels *table, const struct function *f, uint64_t stride)
{
    static float x[BLOCK], y[BLOCK];
    double worst = 0, at = 0;
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        size_t n = 0;
        for (; n < BLOCK && bits < (uint64_t)1 << 32; bits += stride)
            x[n++] = float_of((uint32_t)bits);
        table->f32->unary[f->loop](n, x, y, f->p, 0);
        for (size_t i = 0; i < n; i++) {
            double d = distance(y[i], f->exact((double)x[i]));
            if (d > worst) {
                worst = d;
                at = (double)x[i];
            }
        }
    }
    print_message("%-8s %-16s %.3f ulp, at %.9g\n", table->isa, f->name, worst, at);
    if (!(worst <= f->ulps))
        fail_msg("%s, %s: %.3f ulp at %.9g, expected at most %g", f->name, table->isa, worst, at, f->ulps);
}

static void functions_are_accurate_over_all_floats(void **state)
{
    (void)state;
    const tarn__kernels *tables[MAX_TABLES];
    size_t count = tables_here(tables);
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < FUNCTIONS; i++)
            sweep(tables[t], &functions[i], 5003);
}

/* The same float, and a zero of the same sign, or both NaN. */
static bool same(float a, float b)
{
    return (isnan(a) && isnan(b)) || (a == b && !signbit(a) == !signbit(b));
}

static void limits_are_exact(void **state)
{
    (void)state;
    static const float at[] = {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 1.0f};
    static const struct limits {
        tarn__unary loop;
        float y[6];
    } rows[] = {
        {TARN__UNARY_exp, {INFINITY, 0, NAN, 1, 1, 2.71828183f}},
        {TARN__UNARY_expm1, {INFINITY, -1, NAN, 0, -0.0f, 1.71828183f}},
        {TARN__UNARY_log, {INFINITY, NAN, NAN, -INFINITY, -INFINITY, 0}},
        {TARN__UNARY_log1p, {INFINITY, NAN, NAN, 0, -0.0f, 0.693147181f}},
        {TARN__UNARY_tanh, {1, -1, NAN, 0, -0.0f, 0.761594156f}},
        {TARN__UNARY_sigmoid, {1, 0, NAN, 0.5f, 0.5f, 0.731058579f}},
        {TARN__UNARY_silu, {INFINITY, -0.0f, NAN, 0, -0.0f, 0.731058579f}},
        {TARN__UNARY_softplus, {INFINITY, 0, NAN, 0.693147181f, 0.693147181f, 1.31326169f}},
        {TARN__UNARY_erf, {1, -1, NAN, 0, -0.0f, 0.842700793f}},
        {TARN__UNARY_gelu, {INFINITY, -0.0f, NAN, 0, -0.0f, 0.841344746f}},
    };
    const tarn__kernels *tables[MAX_TABLES];
    size_t count = tables_here(tables);
    for (size_t t = 0; t < count; t++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t i = 0; i < sizeof at / sizeof *at; i++)
                for (size_t n = 1; n <= 33; n += 16) { /* in the vector loop and in its end */
                    float x[33], y[33];
                    for (size_t k = 0; k < n; k++)
                        x[k] = at[i];
                    tables[t]->f32->unary[rows[r].loop](n, x, y, 0, 0);
                    float tolerance = i == 5 ? 2.4e-7f : 0;
                    for (size_t k = 0; k < n; k++)
                        if (!same(y[k], rows[r].y[i]) && !(fabsf(y[k] - rows[r].y[i]) <= tolerance && y[k] != 0))
                            fail_msg("%s, row %zu, of %g: %g, expected %g", tables[t]->isa, r, (double)at[i],
                                     (double)y[k], (double)rows[r].y[i]);
                }
}

/* f64 goes through libm, but the formulae around it are tarn's. */
static void f64_keeps_its_digits(void **state)
{
    (void)state;
    static const tarn__unary loops[] = {TARN__UNARY_sigmoid, TARN__UNARY_silu, TARN__UNARY_softplus, TARN__UNARY_gelu};
    static double (*const exact[])(double) = {sigmoid, silu, softplus, gelu};
    static const double at[] = {-INFINITY, -700, -30, -5, -1, -1e-9, 0, 1e-9, 1, 5, 30, 700, INFINITY};
    const tarn__kernels *tables[MAX_TABLES];
    size_t count = tables_here(tables);
    for (size_t t = 0; t < count; t++)
        for (size_t f = 0; f < 4; f++)
            for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
                double y, expected = exact[f](at[i]);
                tables[t]->f64->unary[loops[f]](1, &at[i], &y, 0, 0);
                if (!(y == expected || fabs(y - expected) <= 1e-15 * fabs(expected)))
                    fail_msg("%s, row %zu, of %g: %.17g, expected %.17g", tables[t]->isa, f, at[i], y, expected);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_accurate_over_all_floats),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(f64_keeps_its_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
