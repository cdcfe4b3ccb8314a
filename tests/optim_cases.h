/* tests/optim_cases.h: a store, gradients for it, and an optimiser of each kind, for the tests of optim/. Gradients
 * are filled by hand, so that nothing of autograd/ is needed. */
#ifndef TARN_TESTS_OPTIM_CASES_H
#define TARN_TESTS_OPTIM_CASES_H

#include "optim/optim.h"
#include "tensor/memory.h"
#include "tensor/tensor_impl.h"
#include "tensor/threads.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 7, LARGEST = 40000, N_PARAMS = 4 };

/* One weight, several tiles, a scalar, and nothing. */
static const struct {
    const char *name;
    int ndim;
    int64_t shape[2];
} specs[N_PARAMS] = {{"one", 1, {1}}, {"large", 2, {200, 200}}, {"scalar", 0, {0}}, {"empty", 2, {0, 3}}};

static inline double first_weight(int param, int64_t i)
{
    return sin(1.7 * (double)i + param) + 0.1;
}

/* Of every size and both signs, another one each step. */
static inline double gradient(int step, int param, int64_t i)
{
    return cos(0.37 * (double)i + 1.3 * step + param) * (1 + 3 * (double)(i % 5)) + 0.05 * step;
}

static inline tarn_params *store_new(tarn_dtype dtype)
{
    tarn_params *p = tarn_params_new(dtype);
    for (int k = 0; k < N_PARAMS; k++) {
        tarn_tensor *x = tarn_params_add(p, specs[k].name, specs[k].ndim, specs[k].shape);
        assert_non_null(x);
        for (int64_t i = 0; i < x->numel; i++)
            tarn__store(x, i, first_weight(k, i));
        if (k == 1)
            assert_non_null(tarn_params_add_buffer(p, "buffer", TARN_SHAPE(5)));
    }
    return p;
}

static inline tarn_tensor *param(const tarn_params *p, int k)
{
    return tarn_params_find(p, specs[k].name);
}

static inline void fill_one(tarn_params *p, int k, int step)
{
    tarn_tensor *x = param(p, k);
    for (int64_t i = 0; i < x->numel; i++)
        tarn__store(x->grad, i, gradient(step, k, i));
    x->has_grad = true;
}

static inline void fill_all(tarn_params *p, int step)
{
    for (int k = 0; k < N_PARAMS; k++)
        fill_one(p, k, step);
}

static inline void expect_error(const char *part)
{
    assert_non_null(tarn_error());
    if (!strstr(tarn_error(), part))
        fail_msg("\"%s\" does not contain \"%s\"", tarn_error(), part);
    tarn_error_clear();
}

#define assert_near(got, want, tolerance) expect_near(got, want, tolerance, __LINE__)
static inline void expect_near(double got, double want, double tolerance, int line)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("line %d: %.17g, expected %.17g", line, got, want);
}

static inline int nothing_pending(void **state)
{
    (void)state;
    tarn_error_clear();
    tarn_set_threads(0);
    tarn_set_allocator(NULL);
    return 0;
}

typedef enum kind { SGD, ADAM, ADAMW, ADAGRAD, RMSPROP, RADAM, NADAM } kind;

typedef struct rule {
    const char *name;
    kind kind;
    tarn_sgd_opts sgd;
    tarn_adam_opts adam;
    tarn_adagrad_opts adagrad;
    tarn_rmsprop_opts rmsprop;
    tarn_nadam_opts nadam;
} rule;

static const rule rules[] = {
    {.name = "sgd", .kind = SGD, .sgd = {.lr = 0.1}},
    {.name = "sgd default", .kind = SGD},
    {.name = "sgd decay", .kind = SGD, .sgd = {.lr = 0.1, .weight_decay = 0.3}},
    {.name = "momentum", .kind = SGD, .sgd = {.lr = 0.05, .momentum = 0.9}},
    {.name = "momentum decay", .kind = SGD, .sgd = {.lr = 0.05, .momentum = 0.9, .weight_decay = 0.2}},
    {.name = "dampening", .kind = SGD, .sgd = {.lr = 0.05, .momentum = 0.8, .dampening = 0.4}},
    {.name = "nesterov", .kind = SGD, .sgd = {.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 0.1}},
    {.name = "adam default", .kind = ADAM},
    {.name = "adam", .kind = ADAM, .adam = {.lr = 0.02, .beta1 = 0.7, .beta2 = 0.95, .eps = 1e-3}},
    {.name = "adam l2", .kind = ADAM, .adam = {.lr = 0.02, .weight_decay = 0.5}},
    {.name = "adamw default", .kind = ADAMW},
    {.name = "adamw", .kind = ADAMW, .adam = {.lr = 0.02, .weight_decay = 0.5, .eps = 1e-4}},
    {.name = "adagrad default", .kind = ADAGRAD},
    {.name = "adagrad", .kind = ADAGRAD, .adagrad = {.lr = 0.2, .lr_decay = 0.3, .weight_decay = 0.4, .eps = 1e-3}},
    {.name = "adagrad start", .kind = ADAGRAD, .adagrad = {.lr = 0.2, .initial_accumulator = 0.7}},
    {.name = "adagrad mean", .kind = ADAGRAD, .adagrad = {.lr = 0.05, .mean = true}},
    {.name = "adagrad mean, all",
     .kind = ADAGRAD,
     .adagrad = {.lr = 0.05, .lr_decay = 0.1, .weight_decay = 0.3, .initial_accumulator = 2, .eps = 0.1, .mean = true}},
    {.name = "rmsprop default", .kind = RMSPROP},
    {.name = "rmsprop", .kind = RMSPROP, .rmsprop = {.lr = 0.02, .alpha = 0.8, .eps = 1e-3, .weight_decay = 0.4}},
    {.name = "rmsprop momentum", .kind = RMSPROP, .rmsprop = {.lr = 0.01, .alpha = 0.9, .momentum = 0.8}},
    {.name = "rmsprop centred", .kind = RMSPROP, .rmsprop = {.lr = 0.01, .alpha = 0.9, .eps = 1e-2, .centered = true}},
    {.name = "rmsprop, all",
     .kind = RMSPROP,
     .rmsprop = {.lr = 0.01, .alpha = 0.7, .eps = 0.1, .weight_decay = 0.2, .momentum = 0.5, .centered = true}},
    {.name = "radam default", .kind = RADAM},
    {.name = "radam", .kind = RADAM, .adam = {.lr = 0.02, .beta1 = 0.7, .beta2 = 0.9, .eps = 1e-3}},
    {.name = "radam l2", .kind = RADAM, .adam = {.lr = 0.02, .beta2 = 0.95, .weight_decay = 0.5}},
    {.name = "radam never rectified", .kind = RADAM, .adam = {.lr = 0.02, .beta2 = 0.5}},
    {.name = "nadam default", .kind = NADAM},
    {.name = "nadam", .kind = NADAM, .nadam = {.lr = 0.02, .beta1 = 0.8, .beta2 = 0.9, .momentum_decay = 0.5}},
    {.name = "nadam l2", .kind = NADAM, .nadam = {.lr = 0.02, .eps = 1e-3, .weight_decay = 0.5}},
    {.name = "nadam constant momentum", .kind = NADAM, .nadam = {.lr = 0.02, .momentum_decay = 1e-30}},
};
enum { N_RULES = sizeof rules / sizeof rules[0] };

static inline tarn_optim *optim_new(const rule *r, tarn_params *p)
{
    switch (r->kind) {
    case SGD:
        return tarn_sgd_new(p, &r->sgd);
    case ADAM:
        return tarn_adam_new(p, &r->adam);
    case ADAMW:
        return tarn_adamw_new(p, &r->adam);
    case ADAGRAD:
        return tarn_adagrad_new(p, &r->adagrad);
    case RMSPROP:
        return tarn_rmsprop_new(p, &r->rmsprop);
    case RADAM:
        return tarn_radam_new(p, &r->adam);
    case NADAM:
        return tarn_nadam_new(p, &r->nadam);
    }
    return NULL;
}

static inline void assert_same_bits(const tarn_params *a, const tarn_params *b)
{
    for (size_t i = 0; i < tarn_params_count(a); i++)
        assert_memory_equal(tarn_params_at(a, i)->data, tarn_params_at(b, i)->data, tarn__bytes(tarn_params_at(a, i)));
}

#endif
