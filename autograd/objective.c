#include "autograd/objective_impl.h"
#include "autograd/tape_impl.h"
#include "tensor/arena.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

static bool is_usable(const char *who, const tarn_objective *f)
{
    if (!tarn__usable(who, f, "objective") || !tarn__usable(who, f->params, "objective's params") ||
        !tarn__usable(who, f->tape, "objective's tape"))
        return false;
    return f->loss ? true : tarn_fail("%s: objective's loss is NULL", who);
}

static bool take_memory(tarn__evaluation *e, size_t count)
{
    if (count > INT_MAX)
        return false;
    e->snapshot = tarn__params_snapshot(e->f->params);
    e->params = tarn__allocate_zeroed(2 * count * sizeof(tarn_tensor *));
    if (e->params)
        e->grads = e->params + count;
    return e->params && e->snapshot;
}

bool tarn__objective_begin(tarn__evaluation *e, const char *who, const tarn_objective *f)
{
    *e = (tarn__evaluation){.who = who, .f = f};
    if (!is_usable(who, f))
        return false;
    if (tarn_tape_bytes(f->tape) > 0)
        return tarn_fail(
            "%s: something lies on the objective's tape, and would go: reset it, or give the objective another", who);
    e->numel = tarn_params_numel(f->params);
    if (e->numel == 0)
        return tarn_fail("%s: the objective's store has no trained elements", who);
    if (!take_memory(e, tarn_params_count(f->params))) {
        tarn__release(e->params);
        tarn__release(e->snapshot);
        return tarn_fail("%s: no memory", who);
    }
    for (size_t i = 0; i < tarn_params_count(f->params); i++) {
        tarn_tensor *x = tarn_params_at(f->params, i);
        if (x->grad)
            e->params[e->count++] = x;
    }
    e->training = f->tape->training;
    e->grad = f->tape->grad;
    return true;
}

void tarn__objective_end(tarn__evaluation *e)
{
    tarn_tape *t = e->f->tape;
    tarn_tape_reset(t);
    t->training = e->training;
    t->grad = e->grad;
    tarn__params_restore(e->f->params, e->snapshot, false);
    tarn__release(e->params);
    tarn__release(e->snapshot);
}

tarn_tensor *tarn__objective_record(tarn__evaluation *e, bool with_grad)
{
    tarn_tape *t = e->f->tape;
    tarn_tape_reset(t);
    t->training = e->training;
    t->grad = with_grad;
    tarn__params_restore(e->f->params, e->snapshot, true);
    tarn_tensor *y = e->f->loss(t, e->f->context);
    if (!y)
        tarn_fail("%s: the loss function returned NULL", e->who);
    else if (y->numel != 1 || !tarn__is_float(y->dtype))
        tarn_fail("%s: the loss is %s %s, expected one element, f32 or f64", e->who, tarn_dtype_name(y->dtype),
                  TARN__SHAPE_TEXT(y));
    return tarn_error() ? NULL : y;
}

bool tarn__objective_record_grads(tarn__evaluation *e, tarn_tensor *y)
{
    return tarn_grad(e->f->tape, 1, &y, NULL, e->count, e->params, e->grads);
}

bool tarn__gather_parts(int n, tarn_tensor *const *parts, double *vector)
{
    for (int i = 0; i < n; i++) {
        if (!tarn__realize(parts[i]))
            return false;
        tarn_tensor target = {.data = vector};
        tarn__set_shape(&target, TARN_F64, parts[i]->ndim, parts[i]->shape);
        tarn__copy_elements(&target, parts[i]);
        vector += parts[i]->numel;
    }
    return true;
}

bool tarn__objective_gradient(tarn__evaluation *e, double *gradient, double *value)
{
    tarn_tensor *y = tarn__objective_record(e, true);
    if (!y || !tarn__objective_record_grads(e, y) || !tarn__gather_parts(e->count, e->grads, gradient))
        return false;
    *value = tarn_item(y);
    return !tarn_error();
}

bool tarn__is_point(const char *who, const char *what, const tarn_tensor *x, int64_t numel)
{
    if (!tarn__tensor_usable(who, x, what))
        return false;
    if (x->dtype == TARN_F64 && x->ndim == 1 && x->shape[0] == numel)
        return true;
    return tarn_fail("%s: %s is %s %s, expected f64 [%" PRId64 "]", who, what, tarn_dtype_name(x->dtype),
                     TARN__SHAPE_TEXT(x), numel);
}

const double *tarn__vector_of(const char *who, const char *what, tarn_tensor *x, int64_t numel)
{
    return tarn__is_point(who, what, x, numel) ? tarn_data(x) : NULL;
}

double tarn_objective_value(const tarn_objective *f)
{
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, "tarn_objective_value", f))
        return NAN;
    tarn_tensor *y = tarn__objective_record(&e, false);
    double value = y ? tarn_item(y) : NAN;
    tarn__objective_end(&e);
    return value;
}

tarn_tensor *tarn_objective_gradient_new(const tarn_objective *f, double *value)
{
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, "tarn_objective_gradient_new", f))
        return NULL;
    double loss;
    tarn_tensor *gradient = tarn_tensor_new(TARN_F64, TARN_SHAPE(e.numel));
    bool ok = gradient && tarn__objective_gradient(&e, gradient->data, &loss);
    tarn__objective_end(&e);
    if (ok && value)
        *value = loss;
    if (ok)
        return gradient;
    tarn_tensor_free(gradient);
    return NULL;
}
