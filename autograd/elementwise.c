/* The ops of tensor/elementwise.def, comparisons, where and cast. */
#include "autograd/fusion.h"
#include "autograd/ops.h"
#include "tensor/range.h"

/* ---- what every row shares ---- */

typedef struct elementwise_attr {
    int loop; /* tarn__unary, tarn__binary or tarn__comparison */
    double p, q;
} elementwise_attr;

static bool broadcast_output(tarn_node *n, tarn_dtype dtype, int first)
{
    int64_t shape[TARN_MAX_DIMS];
    int ndim = n->in[first]->ndim;
    for (int i = 0; i < ndim; i++)
        shape[i] = n->in[first]->shape[i];
    for (int i = first + 1; i < n->n_in; i++) {
        int64_t joint[TARN_MAX_DIMS];
        int joint_ndim = tarn__broadcast(ndim, shape, n->in[i]->ndim, n->in[i]->shape, joint);
        if (joint_ndim < 0)
            return tarn__node_fail(n, "%s and %s do not broadcast", tarn__shape_text_of(ndim, shape).text,
                                   TARN__SHAPE_TEXT(n->in[i]));
        ndim = joint_ndim;
        for (int axis = 0; axis < ndim; axis++)
            shape[axis] = joint[axis];
    }
    return tarn__output(n, dtype, ndim, shape);
}

static bool float_shape(tarn_node *n)
{
    return tarn__same_float(n) && broadcast_output(n, n->in[0]->dtype, 0);
}

static bool unary_run(tarn_node *n)
{
    const elementwise_attr *attr = n->attr;
    tarn__unary_run((tarn__unary)attr->loop, n->out[0], n->in[0], attr->p, attr->q);
    return true;
}

static bool binary_run(tarn_node *n)
{
    const elementwise_attr *attr = n->attr;
    tarn__binary_run((tarn__binary)attr->loop, n->out[0], n->in[0], n->in[1], attr->p, attr->q);
    return true;
}

/* ---- chains: ops whose results only the next one reads, as one loop ---- */

enum { CHAIN_FROM = 2048 }; /* elements: fewer stay in the cache anyway */

typedef struct chain {
    tarn_node *last;
    tarn__program program;
    tarn_tensor *reads[TARN__PROGRAM_INPUTS];
    int leaves, steps; /* as many as there will be if no further op joins */
    unsigned busy;     /* slots, a bit each */
} chain;

static bool chain_fuse(tarn_node *n);

static bool joins(const chain *c, tarn_node *reader, tarn_tensor *x)
{
    return tarn__only_use(reader, x) && x->node->op->fuse == chain_fuse && tarn__same_shape(x, c->last->out[0]) &&
           c->steps < TARN__PROGRAM_STEPS && c->leaves - 1 + x->node->n_in <= TARN__PROGRAM_INPUTS;
}

static int chain_leaf(chain *c, tarn_tensor *x)
{
    int i = 0;
    while (i < c->program.n_in && c->reads[i] != x)
        i++;
    c->reads[i] = x;
    if (i == c->program.n_in)
        c->program.n_in++;
    return i;
}

/* Appends the steps that compute n; returns the slot of its result, as an operand. */
static int chain_add(chain *c, tarn_node *n)
{
    const elementwise_attr *attr = n->attr;
    int operand[2] = {0, 0}, slot = 0;
    for (int i = 0; i < n->n_in; i++) {
        tarn_tensor *x = n->in[i];
        if (!joins(c, n, x)) {
            operand[i] = chain_leaf(c, x);
            continue;
        }
        c->steps++;
        c->leaves += x->node->n_in - 1;
        operand[i] = chain_add(c, x->node);
    }
    while (c->busy >> slot & 1)
        slot++;
    c->busy |= 1u << slot;
    for (int i = 0; i < n->n_in; i++)
        if (operand[i] < 0)
            c->busy &= ~(1u << ~operand[i]);
    c->program.steps[c->program.n_steps++] =
        (tarn__step){n->n_in == 2, attr->loop, operand[0], operand[1], slot, attr->p, attr->q};
    return ~slot;
}

bool tarn__is_elementwise(const tarn_node *n)
{
    return n->op->fuse == chain_fuse;
}

bool tarn__is_unary(const tarn_node *n, tarn__unary loop)
{
    return n->op->fuse == chain_fuse && n->n_in == 1 && ((const elementwise_attr *)n->attr)->loop == (int)loop;
}

bool tarn__is_binary(const tarn_node *n, tarn__binary loop)
{
    return n->op->fuse == chain_fuse && n->n_in == 2 && ((const elementwise_attr *)n->attr)->loop == (int)loop;
}

static bool chain_run(tarn_node *n)
{
    const tarn__program *program = n->fusion_data;
    tarn__program_run(program, n->out[0], n->fusion->reads);
    return true;
}

static bool chain_fuse(tarn_node *n)
{
    if (tarn__is_unary(n, TARN__UNARY_relu) && tarn__relu_fuse(n))
        return true;
    if (n->out[0]->numel < CHAIN_FROM)
        return false;
    chain c = {.last = n, .leaves = n->n_in, .steps = 1};
    bool any = false;
    for (int i = 0; i < n->n_in; i++)
        any |= joins(&c, n, n->in[i]);
    if (!any)
        return false;
    chain_add(&c, n);
    tarn__program *program = tarn__fusion_data(n, sizeof *program);
    if (!program)
        return false;
    *program = c.program;
    return tarn__fuse(n, chain_run, c.program.n_in, c.reads, 0, NULL);
}

/* ---- longer gradient rules ---- */

/* d gelu / dx = Phi(x) + x phi(x), phi and Phi the standard normal density and distribution */
static tarn_tensor *gelu_slope(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *whole = tarn_erf(t, tarn_mul_scalar(t, x, 0.7071067811865476));
    tarn_tensor *density = tarn_exp(t, tarn_mul_scalar(t, tarn_square(t, x), -0.5));
    return tarn_add(t, tarn_mul_scalar(t, tarn_add_scalar(t, whole, 1), 0.5),
                    tarn_mul_scalar(t, tarn_mul(t, x, density), 0.3989422804014327));
}

static tarn_tensor *tarn__pow_log(tarn_tape *t, tarn_tensor *a, tarn_tensor *b, double p, double q);
static tarn_tensor *tarn__pow_base(tarn_tape *t, tarn_tensor *a, tarn_tensor *b, double p, double q);

/* d a^b / da = b a^(b-1), 0 for 0^0 */
static tarn_tensor *pow_slope(tarn_tape *t, tarn_tensor *a, tarn_tensor *b)
{
    return tarn_mul(t, b, tarn_pow(t, tarn__pow_base(t, a, b, 0, 0), tarn_add_scalar(t, b, -1)));
}

/* d a^b (ln a)^p / da = a^(b-1) (b (ln a)^p + p (ln a)^(p-1)) */
static tarn_tensor *pow_log_slope(tarn_tape *t, tarn_tensor *a, tarn_tensor *b, double p)
{
    tarn_tensor *less = tarn_add_scalar(t, b, -1);
    tarn_tensor *last = p == 1 ? tarn_pow(t, a, less) : tarn__pow_log(t, a, less, p - 1, 0);
    return tarn_add(t, tarn_mul(t, b, tarn__pow_log(t, a, less, p, 0)), tarn_mul_scalar(t, last, p));
}

/* d silu / dx = s + x s (1 - s), s = sigmoid(x) and 1 - s = sigmoid(-x) */
static tarn_tensor *silu_slope(tarn_tape *t, tarn_tensor *x)
{
    tarn_tensor *s = tarn_sigmoid(t, x);
    return tarn_add(t, s, tarn_mul(t, x, tarn_mul(t, s, tarn_sigmoid(t, tarn_neg(t, x)))));
}

/* ---- the table's ops ---- */

#define UNARY(name, loop, rule)                                                                                        \
    static tarn_tensor *name##_rule(tarn_tape *t, tarn_tensor *g, tarn_tensor *x, tarn_tensor *y, double p, double q); \
    static bool name##_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,                 \
                           tarn_tensor **gx)                                                                           \
    {                                                                                                                  \
        const elementwise_attr *attr = n->attr;                                                                        \
        if (need[0])                                                                                                   \
            gx[0] = name##_rule(t, gy[0], n->in[0], n->out[0], attr->p, attr->q);                                      \
        return true;                                                                                                   \
    }                                                                                                                  \
    TARN__OP(name##_op, #name, float_shape, unary_run, name##_vjp, .fuse = chain_fuse);
#define UNARY_P(name, loop, rule, valid)  UNARY(name, loop, rule)
#define UNARY_PQ(name, loop, rule, valid) UNARY(name, loop, rule)
#define BINARY(name, loop, rule_a, rule_b)                                                                             \
    static tarn_tensor *name##_rule_a(tarn_tape *t, tarn_tensor *g, tarn_tensor *a, tarn_tensor *b, tarn_tensor *y,    \
                                      double p, double q);                                                             \
    static tarn_tensor *name##_rule_b(tarn_tape *t, tarn_tensor *g, tarn_tensor *a, tarn_tensor *b, tarn_tensor *y,    \
                                      double p, double q);                                                             \
    static bool name##_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need,                 \
                           tarn_tensor **gx)                                                                           \
    {                                                                                                                  \
        const elementwise_attr *attr = n->attr;                                                                        \
        tarn_tensor *a = n->in[0], *b = n->in[1], *g = NULL;                                                           \
        if (need[0] && (g = name##_rule_a(t, gy[0], a, b, n->out[0], attr->p, attr->q)))                               \
            gx[0] = tarn__sum_to(t, g, a);                                                                             \
        if (need[1] && (g = name##_rule_b(t, gy[0], a, b, n->out[0], attr->p, attr->q)))                               \
            gx[1] = tarn__sum_to(t, g, b);                                                                             \
        return true;                                                                                                   \
    }                                                                                                                  \
    TARN__OP(name##_op, #name, float_shape, binary_run, name##_vjp, .fuse = chain_fuse);
#define RULE(name, loop, rule_a, rule_b)                                                                               \
    static tarn_tensor *tarn__##name(tarn_tape *t, tarn_tensor *a, tarn_tensor *b, double p, double q);                \
    BINARY(name, loop, rule_a, rule_b)
#include "tensor/elementwise.def"
#undef UNARY
#undef UNARY_P
#undef UNARY_PQ
#undef BINARY
#undef RULE

/* the gradient rules themselves, and the functions that record */
static tarn_tensor *record_unary(tarn_tape *t, const tarn_op *op, tarn_tensor *x, tarn__unary loop, double p, double q)
{
    elementwise_attr attr = {(int)loop, p, q};
    return tarn__apply(t, op, 1, &x, &attr, sizeof attr);
}

static tarn_tensor *record_binary(tarn_tape *t, const tarn_op *op, tarn_tensor *a, tarn_tensor *b, int loop, double p,
                                  double q)
{
    elementwise_attr attr = {loop, p, q};
    return tarn__apply(t, op, TARN__IN(a, b), &attr, sizeof attr);
}

#define UNARY_RULE(name, rule)                                                                                         \
    static tarn_tensor *name##_rule(tarn_tape *t, tarn_tensor *g, tarn_tensor *x, tarn_tensor *y, double p, double q)  \
    {                                                                                                                  \
        (void)t, (void)g, (void)x, (void)y, (void)p, (void)q;                                                          \
        return rule;                                                                                                   \
    }
#define BINARY_RULE(name, rule)                                                                                        \
    static tarn_tensor *name(tarn_tape *t, tarn_tensor *g, tarn_tensor *a, tarn_tensor *b, tarn_tensor *y, double p,   \
                             double q)                                                                                 \
    {                                                                                                                  \
        (void)t, (void)g, (void)a, (void)b, (void)y, (void)p, (void)q;                                                 \
        return rule;                                                                                                   \
    }
#define UNARY(name, loop, rule)                                                                                        \
    UNARY_RULE(name, rule)                                                                                             \
    tarn_tensor *tarn_##name(tarn_tape *t, tarn_tensor *x)                                                             \
    {                                                                                                                  \
        return record_unary(t, &name##_op, x, TARN__UNARY_##name, 0, 0);                                               \
    }
#define UNARY_P(name, loop, rule, valid)                                                                               \
    UNARY_RULE(name, rule)                                                                                             \
    tarn_tensor *tarn_##name(tarn_tape *t, tarn_tensor *x, double p)                                                   \
    {                                                                                                                  \
        static const char who[] = "tarn_" #name;                                                                       \
        (void)who;                                                                                                     \
        return (valid) ? record_unary(t, &name##_op, x, TARN__UNARY_##name, p, 0) : NULL;                              \
    }
#define UNARY_PQ(name, loop, rule, valid)                                                                              \
    UNARY_RULE(name, rule)                                                                                             \
    tarn_tensor *tarn_##name(tarn_tape *t, tarn_tensor *x, double p, double q)                                         \
    {                                                                                                                  \
        static const char who[] = "tarn_" #name;                                                                       \
        return (valid) ? record_unary(t, &name##_op, x, TARN__UNARY_##name, p, q) : NULL;                              \
    }
#define BINARY(name, loop, rule_a, rule_b)                                                                             \
    BINARY_RULE(name##_rule_a, rule_a)                                                                                 \
    BINARY_RULE(name##_rule_b, rule_b)                                                                                 \
    tarn_tensor *tarn_##name(tarn_tape *t, tarn_tensor *a, tarn_tensor *b)                                             \
    {                                                                                                                  \
        return record_binary(t, &name##_op, a, b, TARN__BINARY_##name, 0, 0);                                          \
    }
#define RULE(name, loop, rule_a, rule_b)                                                                               \
    BINARY_RULE(name##_rule_a, rule_a)                                                                                 \
    BINARY_RULE(name##_rule_b, rule_b)                                                                                 \
    static tarn_tensor *tarn__##name(tarn_tape *t, tarn_tensor *a, tarn_tensor *b, double p, double q)                 \
    {                                                                                                                  \
        return record_binary(t, &name##_op, a, b, TARN__BINARY_##name, p, q);                                          \
    }
#include "tensor/elementwise.def"
#undef UNARY
#undef UNARY_P
#undef UNARY_PQ
#undef BINARY
#undef RULE

/* ---- comparisons ---- */

static bool compare_shape(tarn_node *n)
{
    if (n->in[0]->dtype != n->in[1]->dtype)
        return tarn__node_fail(n, "inputs are %s and %s: cast one of them", tarn_dtype_name(n->in[0]->dtype),
                               tarn_dtype_name(n->in[1]->dtype));
    return broadcast_output(n, TARN_U8, 0);
}

static bool compare_run(tarn_node *n)
{
    const elementwise_attr *attr = n->attr;
    tarn__compare_run((tarn__comparison)attr->loop, n->out[0], n->in[0], n->in[1]);
    return true;
}

#define COMPARISON(name, number)                                                                                       \
    TARN__OP(name##_op, #name, compare_shape, compare_run, NULL);                                                      \
    tarn_tensor *tarn_##name(tarn_tape *t, tarn_tensor *a, tarn_tensor *b)                                             \
    {                                                                                                                  \
        return record_binary(t, &name##_op, a, b, number, 0, 0);                                                       \
    }
COMPARISON(eq, TARN__EQ)
COMPARISON(ne, TARN__NE)
COMPARISON(lt, TARN__LT)
COMPARISON(le, TARN__LE)
COMPARISON(gt, TARN__GT)
COMPARISON(ge, TARN__GE)

/* ---- where: y = condition ? a : b.   ga = condition ? g : 0,   gb = condition ? 0 : g ---- */

static bool where_shape(tarn_node *n)
{
    if (n->in[0]->dtype != TARN_U8)
        return tarn__node_fail(n, "the condition is %s, expected u8", tarn_dtype_name(n->in[0]->dtype));
    if (n->in[1]->dtype != n->in[2]->dtype)
        return tarn__node_fail(n, "a is %s and b is %s: cast one of them", tarn_dtype_name(n->in[1]->dtype),
                               tarn_dtype_name(n->in[2]->dtype));
    return broadcast_output(n, n->in[1]->dtype, 0);
}

static bool where_run(tarn_node *n)
{
    tarn__where_run(n->out[0], n->in[0], n->in[1], n->in[2]);
    return true;
}

static bool where_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    tarn_tensor *condition = n->in[0], *zero = tarn__scalar_like(t, gy[0], 0);
    if (need[1])
        gx[1] = tarn__sum_to(t, tarn_where(t, condition, gy[0], zero), n->in[1]);
    if (need[2])
        gx[2] = tarn__sum_to(t, tarn_where(t, condition, zero, gy[0]), n->in[2]);
    return true;
}

TARN__OP(where_op, "where", where_shape, where_run, where_vjp);

tarn_tensor *tarn_where(tarn_tape *t, tarn_tensor *condition, tarn_tensor *a, tarn_tensor *b)
{
    return tarn__apply(t, &where_op, TARN__IN(condition, a, b), NULL, 0);
}

/* ---- cast ---- */

static bool cast_shape(tarn_node *n)
{
    return tarn__output(n, *(const tarn_dtype *)n->attr, n->in[0]->ndim, n->in[0]->shape);
}

static bool cast_run(tarn_node *n)
{
    tarn__copy_elements(n->out[0], n->in[0]);
    return true;
}

static bool cast_vjp(tarn_tape *t, const tarn_node *n, tarn_tensor *const *gy, const bool *need, tarn_tensor **gx)
{
    if (need[0] && tarn__is_float(n->in[0]->dtype) && tarn__is_float(gy[0]->dtype))
        gx[0] = tarn_cast(t, gy[0], n->in[0]->dtype);
    return true;
}

TARN__OP(cast_op, "cast", cast_shape, cast_run, cast_vjp);

tarn_tensor *tarn_cast(tarn_tape *t, tarn_tensor *x, tarn_dtype dtype)
{
    return tarn__apply(t, &cast_op, 1, &x, &dtype, sizeof dtype);
}
