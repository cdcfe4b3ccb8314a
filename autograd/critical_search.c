#include "autograd/curvature_impl.h"
#include "tensor/arena.h"
#include "tensor/eigen.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>

enum { DEFAULT_STEPS = 100, TRIES = 16, WORK = 4 };

typedef struct search {
    tarn__evaluation *e;
    tarn_tensor *hessian, *values, *vectors;
    tarn_tensor *work[WORK];
    tarn_tensor *point, *next;        /* of work */
    double *gradient, *next_gradient; /* the elements of work */
    double length, damping, scale;    /* |gradient|; mu; max |lambda| */
} search;

static double length_of(int64_t n, const double *x)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += x[i] * x[i];
    return sqrt(square);
}

/* next = point - sum over k of lambda_k / (lambda_k^2 + mu^2) (v_k.g) v_k */
static void take_step(const search *s)
{
    const int64_t n = s->e->numel;
    const double *values = s->values->data, *point = s->point->data;
    double *next = s->next->data;
    for (int64_t i = 0; i < n; i++)
        next[i] = point[i];
    for (int64_t k = 0; k < n; k++) {
        const double *v = (const double *)s->vectors->data + k * n;
        double along = 0;
        for (int64_t i = 0; i < n; i++)
            along += v[i] * s->gradient[i];
        const double by = along * values[k] / (values[k] * values[k] + s->damping * s->damping);
        for (int64_t i = 0; i < n; i++)
            next[i] -= by * v[i];
    }
}

static bool decompose(search *s, int64_t step)
{
    const int64_t n = s->e->numel;
    tarn_tensor_free(s->values);
    tarn_tensor_free(s->vectors);
    s->values = s->vectors = NULL;
    if (!tarn__hessian_fill(s->e, s->hessian->data))
        return false;
    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(((const double *)s->hessian->data)[i]))
            return tarn_fail("%s: the Hessian is not finite, after %" PRId64 " steps", s->e->who, step);
    s->values = tarn_symmetric_eigen_new(s->hessian, &s->vectors);
    if (!s->values)
        return false;
    const double *values = s->values->data;
    s->scale = fmax(fabs(values[0]), fabs(values[n - 1]));
    if (step == 0)
        s->damping = 0.1 * s->scale;
    return true;
}

/* Moves to where the gradient is shorter. False, without an error, when there is no such step. */
static bool approach(search *s)
{
    double value;
    for (int i = 0; i < TRIES; i++) {
        take_step(s);
        if (!tarn_params_set_vector(s->e->f->params, s->next) ||
            !tarn__objective_gradient(s->e, s->next_gradient, &value))
            return false;
        const double length = length_of(s->e->numel, s->next_gradient);
        if (length < s->length) {
            tarn_tensor *point = s->point;
            double *gradient = s->gradient;
            s->point = s->next, s->next = point;
            s->gradient = s->next_gradient, s->next_gradient = gradient;
            s->length = length;
            s->damping = fmax(0.2 * s->damping, 1e-12 * s->scale);
            return true;
        }
        s->damping *= 4;
    }
    return false;
}

static bool begin(search *s)
{
    const int64_t n = s->e->numel;
    double value;
    if (n > TARN_HESSIAN_MAX)
        return tarn__hessian_fill(s->e, NULL); /* says why not */
    s->hessian = tarn_tensor_new(TARN_F64, TARN_SHAPE(n, n));
    for (int i = 0; i < WORK; i++)
        s->work[i] = i ? tarn_tensor_new(TARN_F64, TARN_SHAPE(n)) : tarn_params_vector_new(s->e->f->params);
    if (tarn_error())
        return false;
    s->point = s->work[0], s->next = s->work[1];
    s->gradient = s->work[2]->data, s->next_gradient = s->work[3]->data;
    if (!tarn__objective_gradient(s->e, s->gradient, &value))
        return false;
    s->length = length_of(n, s->gradient);
    return isfinite(s->length) || tarn_fail("%s: the gradient is not finite", s->e->who);
}

static tarn_tensor *run(search *s, int64_t max_steps)
{
    const double tol = tarn_params_dtype(s->e->f->params) == TARN_F32 ? 1e-6 : 1e-12;
    bool going = begin(s);
    for (int64_t step = 0; going && step < max_steps && s->length > 0; step++)
        going = decompose(s, step) && s->length > tol * s->scale && approach(s);
    if (tarn_error() || !tarn_params_set_vector(s->e->f->params, s->point))
        return NULL;
    return tarn_params_vector_new(s->e->f->params); /* rounded as the store is */
}

tarn_tensor *tarn_critical_search_new(const tarn_objective *f, int64_t max_steps, double *gradient_norm)
{
    static const char who[] = "tarn_critical_search_new";
    tarn__evaluation e;
    if (gradient_norm)
        *gradient_norm = NAN;
    if (!tarn__objective_begin(&e, who, f))
        return NULL;
    tarn_tensor *found = NULL;
    search s = {.e = &e};
    if (max_steps < 0)
        tarn_fail("%s: max_steps %" PRId64 ", expected 0 or more", who, max_steps);
    else
        found = run(&s, max_steps ? max_steps : DEFAULT_STEPS);
    if (found && gradient_norm)
        *gradient_norm = s.length;
    tarn__objective_end(&e);
    tarn_tensor_free(s.hessian), tarn_tensor_free(s.values), tarn_tensor_free(s.vectors);
    for (int i = 0; i < WORK; i++)
        tarn_tensor_free(s.work[i]);
    return found;
}
