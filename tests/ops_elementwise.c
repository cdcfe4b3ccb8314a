/* Rows of the elementwise ops. */
#include "tests/ops_check.h"

/* ---- one input ---- */

#define FUNCTION(id, tarn_expression, c_expression)                                                                    \
    EXPRESSION(id##_x, tarn_expression)                                                                                \
    static double id##_ref(double x)                                                                                   \
    {                                                                                                                  \
        return c_expression;                                                                                           \
    }
#define UNARY(id, c_expression) FUNCTION(id, tarn_##id(t, x[0]), c_expression)

static const double SQRT_HALF = 0.70710678118654752440;

UNARY(neg, -x)
UNARY(abs, fabs(x))
UNARY(sign, x > 0 ? 1 : x < 0 ? -1 : 0)
UNARY(square, x *x)
UNARY(sqrt, sqrt(x))
UNARY(rsqrt, 1 / sqrt(x))
UNARY(reciprocal, 1 / x)
UNARY(exp, exp(x))
UNARY(expm1, expm1(x))
UNARY(log, log(x))
UNARY(log1p, log1p(x))
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(tanh, tanh(x))
UNARY(sigmoid, 1 / (1 + exp(-x)))
UNARY(erf, erf(x))
UNARY(relu, x > 0 ? x : 0)
UNARY(gelu, 0.5 * x * erfc(-x * SQRT_HALF))
UNARY(silu, x / (1 + exp(-x)))
UNARY(softplus, log1p(exp(x)))
FUNCTION(leaky_relu, tarn_leaky_relu(t, x[0], 0.1), x > 0 ? x : 0.1 * x)
FUNCTION(elu, tarn_elu(t, x[0], 1.3), x > 0 ? x : 1.3 * (exp(x) - 1))
FUNCTION(clamp, tarn_clamp(t, x[0], -0.5, 0.375), x<-0.5 ? -0.5 : x> 0.375 ? 0.375 : x)
FUNCTION(add_scalar, tarn_add_scalar(t, x[0], -0.75), x - 0.75)
FUNCTION(mul_scalar, tarn_mul_scalar(t, x[0], -2.5), x * -2.5)
FUNCTION(pow_scalar, tarn_pow_scalar(t, x[0], 2.5), x *x *sqrt(x))
FUNCTION(cube, tarn_pow_scalar(t, x[0], 3), x *x *x)
FUNCTION(power_0, tarn_pow_scalar(t, x[0], 0), 1 + 0 * x)
FUNCTION(power_1, tarn_pow_scalar(t, x[0], 1), x)
FUNCTION(power_minus_1, tarn_pow_scalar(t, x[0], -1), 1 / x)

/* The order, the range, and then kinks. Every one also long and odd (the ends of vector loops), alone, and empty. */
#define ROWS(id, ord, from, to, ...)                                                                                   \
    {#id, "[3,5]", id##_x, ord, 1, {WITHIN(from, to, 3, 5)}, .unary = id##_ref, __VA_ARGS__},                          \
        {#id, "[]", id##_x, ord, 1, {SCALAR(from, to)}, .unary = id##_ref, __VA_ARGS__},                               \
        {#id, "[3,0]", id##_x, ord, 1, {WITHIN(from, to, 3, 0)}, .unary = id##_ref, __VA_ARGS__},                      \
    {                                                                                                                  \
#id, "[1031]", id##_x, 0, 1, {WITHIN(from, to, 1031) }, .unary = id##_ref, __VA_ARGS__                         \
    }
#define SMOOTH  .n_kinks = 0
#define KINK(k) .n_kinks = 1, .kinks = {k}

/* ---- two inputs, broadcast ---- */

#define BINARY(id, c_expression)                                                                                       \
    EXPRESSION(id##_x, tarn_##id(t, x[0], x[1]))                                                                       \
    static double id##_ref(double a, double b)                                                                         \
    {                                                                                                                  \
        return c_expression;                                                                                           \
    }
#define BINARY_ROW(id, ord, text, a, b, ...)                                                                           \
    {                                                                                                                  \
#id, text, id##_x, ord, 2, {a, b }, .binary = id##_ref, __VA_ARGS__                                            \
    }
/* Each range must suit both inputs: some rows give one tensor for both. */
#define BINARY_ROWS(id, from, to, ...)                                                                                 \
    BINARY_ROW(id, 2, "[3,4] [3,4]", WITHIN(from, to, 3, 4), WITHIN(from, to, 3, 4), __VA_ARGS__),                     \
        BINARY_ROW(id, 2, "[3,1] [4]", WITHIN(from, to, 3, 1), WITHIN(from, to, 4), __VA_ARGS__),                      \
        BINARY_ROW(id, 2, "[4] [2,3,1]", WITHIN(from, to, 4), WITHIN(from, to, 2, 3, 1), __VA_ARGS__),                 \
        BINARY_ROW(id, 2, "[] [2,3]", SCALAR(from, to), WITHIN(from, to, 2, 3), __VA_ARGS__),                          \
        BINARY_ROW(id, 2, "[2,3] [1,1]", WITHIN(from, to, 2, 3), WITHIN(from, to, 1, 1), __VA_ARGS__),                 \
        BINARY_ROW(id, 2, "[] []", SCALAR(from, to), SCALAR(from, to), __VA_ARGS__),                                   \
        BINARY_ROW(id, 2, "[2,0] [1]", WITHIN(from, to, 2, 0), WITHIN(from, to, 1), __VA_ARGS__),                      \
        BINARY_ROW(id, 0, "[1031] [1031]", WITHIN(from, to, 1031), WITHIN(from, to, 1031), .n_kinks = 0),              \
        BINARY_ROW(id, 0, "[7,1031] [7,1]", WITHIN(from, to, 7, 1031), WITHIN(from, to, 7, 1), .n_kinks = 0)

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(pow, pow(a, b))
BINARY(minimum, a < b ? a : b)
BINARY(maximum, a > b ? a : b)
BINARY(eq, a == b)
BINARY(ne, a != b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(gt, a > b)
BINARY(ge, a >= b)

/* Whole numbers, so that there are ties; i32 against i32, u8 against u8, and floats. */
#define COMPARISON_ROWS(id)                                                                                            \
    BINARY_ROW(id, 0, "f [3,40] [40]", REAL(3, 40), REAL(40), .n_kinks = 0),                                           \
        BINARY_ROW(id, 0, "f [67] [67]", REAL(67), REAL(67), .n_kinks = 0),                                            \
        BINARY_ROW(id, 0, "i32 [3,1] [40]", INDEX(OPS_I32, 4, 3, 1), INDEX(OPS_I32, 4, 40), .n_kinks = 0),             \
        BINARY_ROW(id, 0, "u8 [40] [2,40]", INDEX(OPS_U8, 4, 40), INDEX(OPS_U8, 4, 2, 40), .n_kinks = 0)

/* ---- where and cast ---- */

EXPRESSION(where_x, tarn_where(t, x[0], x[1], x[2]))

/* The condition is [3,1] or [3,4], a [3,4], b [4] or [3,4]. */
static void where_ref(const ops_array *in, ops_array *out)
{
    ops_out(out, 2, in[1].shape);
    for (int64_t i = 0; i < out->numel; i++) {
        double condition = in[0].v[in[0].numel == out->numel ? i : i / 4];
        out->v[i] = condition != 0 ? in[1].v[i] : in[2].v[in[2].numel == out->numel ? i : i % 4];
    }
}

EXPRESSION(to_f64_x, tarn_cast(t, x[0], TARN_F64))
EXPRESSION(to_f32_x, tarn_cast(t, x[0], TARN_F32))
EXPRESSION(to_i32_x, tarn_cast(t, x[0], TARN_I32))
EXPRESSION(to_u8_x, tarn_cast(t, x[0], TARN_U8))
EXPRESSION(back_and_forth_x, tarn_cast(t, tarn_cast(t, tarn_mul(t, x[0], x[0]), TARN_F64), x[0]->dtype))

static double same_ref(double x)
{
    return x;
}

static double square_of_ref(double x)
{
    return x * x;
}

static double rounded_ref(double x)
{
    return (double)(float)x;
}

static double truncated_ref(double x)
{
    return trunc(x);
}

#define CAST_ROW(expression, ord, text, input, ref)                                                                    \
    {                                                                                                                  \
        "cast", text, expression, ord, 1, {input}, .unary = ref                                                        \
    }

/* The gradient of elu as an expression of its own, x[1] its cotangent: what its second gradient is made of is
 * differentiated as well. */
static tarn_tensor *elu_gradient_x(tarn_tape *t, tarn_tensor *const *x, void *context)
{
    tarn_tensor *g, *y = elu_x(t, x, context);
    return tarn_grad(t, 1, &y, &x[1], 1, &x[0], &g) ? g : NULL;
}

static double elu_gradient_ref(double x, double g)
{
    return x > 0 ? g : 1.3 * exp(x) * g;
}

const ops_row ops_elementwise_rows[] = {
    ROWS(neg, 2, -1, 1, SMOOTH),
    ROWS(abs, 2, -1, 1, KINK(0)),
    ROWS(sign, 2, -1, 1, KINK(0)),
    ROWS(square, 2, -1, 1, SMOOTH),
    ROWS(sqrt, 2, 0.4, 3, SMOOTH),
    ROWS(rsqrt, 2, 0.4, 3, SMOOTH),
    ROWS(reciprocal, 2, -2, -0.4, SMOOTH),
    ROWS(exp, 2, -2, 2, SMOOTH),
    ROWS(expm1, 2, -1, 1, SMOOTH),
    ROWS(log, 2, 0.4, 4, SMOOTH),
    ROWS(log1p, 2, -0.5, 2, SMOOTH),
    ROWS(sin, 2, -4, 4, SMOOTH),
    ROWS(cos, 2, -4, 4, SMOOTH),
    ROWS(tanh, 2, -2, 2, SMOOTH),
    ROWS(sigmoid, 2, -4, 4, SMOOTH),
    ROWS(erf, 2, -2, 2, SMOOTH),
    ROWS(relu, 2, -1, 1, KINK(0)),
    ROWS(gelu, 2, -3, 3, SMOOTH),
    ROWS(silu, 2, -4, 4, SMOOTH),
    ROWS(softplus, 2, -4, 4, SMOOTH),
    ROWS(leaky_relu, 2, -1, 1, KINK(0)),
    ROWS(elu, 2, -2, 2, KINK(0)),
    {"elu_grad",
     "second and third derivative of elu",
     elu_gradient_x,
     2,
     2,
     {WITHIN(-2, 2, 3, 5), REAL(3, 5)},
     .binary = elu_gradient_ref,
     .n_kinks = 1,
     .kinks = {0}},
    ROWS(clamp, 2, -1, 1, .n_kinks = 2, .kinks = {-0.5, 0.375}),
    ROWS(add_scalar, 2, -1, 1, SMOOTH),
    ROWS(mul_scalar, 2, -1, 1, SMOOTH),
    ROWS(pow_scalar, 2, 0.4, 2, SMOOTH),
    {"pow_scalar", "cube", cube_x, 2, 1, {REAL(3, 5)}, .unary = cube_ref},
    {"pow_scalar", "to the 0", power_0_x, 2, 1, {REAL(3, 5)}, .unary = power_0_ref},
    {"pow_scalar", "to the 1", power_1_x, 2, 1, {REAL(3, 5)}, .unary = power_1_ref},
    {"pow_scalar", "to the -1", power_minus_1_x, 2, 1, {WITHIN(-2, -0.4, 3, 5)}, .unary = power_minus_1_ref},

    BINARY_ROWS(add, -1, 1, .n_kinks = 0),
    BINARY_ROWS(sub, -1, 1, .n_kinks = 0),
    BINARY_ROWS(mul, -1, 1, .n_kinks = 0),
    BINARY_ROWS(div, 0.5, 2, .n_kinks = 0),
    BINARY_ROWS(pow, 0.5, 2, .n_kinks = 0),
    BINARY_ROW(pow, 2, "negative exponents", WITHIN(0.5, 2, 3, 1), WITHIN(-2, 0, 4), .n_kinks = 0),
    BINARY_ROWS(minimum, -3, 3, .distinct = true),
    BINARY_ROWS(maximum, -3, 3, .distinct = true),

    COMPARISON_ROWS(eq),
    COMPARISON_ROWS(ne),
    COMPARISON_ROWS(lt),
    COMPARISON_ROWS(le),
    COMPARISON_ROWS(gt),
    COMPARISON_ROWS(ge),

    {"where", "[3,1] [3,4] [4]", where_x, 2, 3, {INDEX(OPS_U8, 2, 3, 1), REAL(3, 4), REAL(4)}, .reference = where_ref},
    {"where",
     "[3,4] [3,4] [3,4]",
     where_x,
     2,
     3,
     {INDEX(OPS_U8, 3, 3, 4), REAL(3, 4), REAL(3, 4)},
     .reference = where_ref},
    {"where",
     "of i32",
     where_x,
     0,
     3,
     {INDEX(OPS_U8, 2, 3, 1), INDEX(OPS_I32, 99, 3, 4), INDEX(OPS_I32, 99, 4)},
     .reference = where_ref},
    {"where",
     "of u8",
     where_x,
     0,
     3,
     {INDEX(OPS_U8, 2, 3, 1), INDEX(OPS_U8, 99, 3, 4), INDEX(OPS_U8, 99, 4)},
     .reference = where_ref},

    CAST_ROW(to_f64_x, 2, "to f64", REAL(3, 5), same_ref),
    CAST_ROW(back_and_forth_x, 2, "to f64 and back", REAL(3, 5), square_of_ref),
    CAST_ROW(to_f32_x, 0, "to f32", REAL(3, 5), rounded_ref),
    CAST_ROW(to_i32_x, 0, "to i32", WITHIN(-9, 9, 3, 5), truncated_ref),
    CAST_ROW(to_u8_x, 0, "to u8", WITHIN(0, 255, 3, 5), truncated_ref),
    CAST_ROW(to_f64_x, 0, "i32 to f64", INDEX(OPS_I32, 999, 3, 5), same_ref),
    CAST_ROW(to_f32_x, 0, "u8 to f32", INDEX(OPS_U8, 255, 3, 5), same_ref),
    CAST_ROW(to_i32_x, 0, "u8 to i32", INDEX(OPS_U8, 255, 3, 5), same_ref),
    CAST_ROW(to_f64_x, 2, "no elements", REAL(0), same_ref),
    {.name = NULL},
};
