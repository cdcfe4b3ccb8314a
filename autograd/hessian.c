#include "autograd/curvature_impl.h"
#include "autograd/tape_impl.h"
#include "tensor/arena.h"
#include "tensor/lanczos.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"
#include "tensor/vector.h"

#include <inttypes.h>
#include <math.h>

/* ---- one product ---- */

/* v cut into tensors as the parameters are, in e->grads. */
static bool scatter(tarn__evaluation *e, const double *v)
{
    for (int i = 0; i < e->count; i++) {
        const tarn_tensor *x = e->params[i];
        tarn_tensor *part = tarn__tape_leaf(e->who, e->f->tape, x->dtype, x->ndim, x->shape);
        if (!part)
            return false;
        tarn_tensor source = {.data = (void *)v};
        tarn__set_shape(&source, TARN_F64, x->ndim, x->shape);
        tarn__copy_elements(part, &source);
        e->grads[i] = part;
        v += x->numel;
    }
    return true;
}

bool tarn__hessian_times(tarn__evaluation *e, const double *v, double *product)
{
    tarn_tape *t = e->f->tape;
    tarn_tensor *y = tarn__objective_record(e, true);
    if (!y || !scatter(e, v))
        return false;
    t->grad = false; /* the products are read once */
    return tarn_hessian_vector(t, y, e->count, e->params, e->grads, e->grads) &&
           tarn__gather_parts(e->count, e->grads, product);
}

/* A result that is given away if all went well. */
static tarn_tensor *finish(tarn__evaluation *e, bool ok, tarn_tensor *result)
{
    tarn__objective_end(e);
    if (ok && !tarn_error())
        return result;
    tarn_tensor_free(result);
    return NULL;
}

tarn_tensor *tarn_hessian_times_new(const tarn_objective *f, tarn_tensor *v)
{
    static const char who[] = "tarn_hessian_times_new";
    tarn__evaluation e;
    if (f && v && v->tape && v->tape == f->tape) { /* which is about to be reset */
        tarn_fail("%s: v lies on the objective's tape", who);
        return NULL;
    }
    if (!tarn__objective_begin(&e, who, f))
        return NULL;
    const double *elements = tarn__vector_of(who, "v", v, e.numel);
    tarn_tensor *product = elements ? tarn_tensor_new(TARN_F64, TARN_SHAPE(e.numel)) : NULL;
    return finish(&e, product && tarn__hessian_times(&e, elements, product->data), product);
}

/* ---- the whole ---- */

bool tarn__hessian_fill(tarn__evaluation *e, double *hessian)
{
    int64_t n = e->numel;
    if (n > TARN_HESSIAN_MAX)
        return tarn_fail("%s: %" PRId64 " parameters, expected at most %d (tarn_hessian_extremes takes any number)",
                         e->who, n, TARN_HESSIAN_MAX);
    double *unit = tarn__allocate_zeroed((size_t)n * sizeof *unit);
    bool ok = unit || tarn_fail("%s: no memory", e->who);
    for (int64_t i = 0; ok && i < n; i++) {
        unit[i] = 1;
        ok = tarn__hessian_times(e, unit, hessian + i * n);
        unit[i] = 0;
    }
    for (int64_t i = 0; ok && i < n; i++)
        for (int64_t j = 0; j < i; j++)
            hessian[i * n + j] = hessian[j * n + i] = hessian[i * n + j] / 2 + hessian[j * n + i] / 2;
    tarn__release(unit);
    return ok;
}

tarn_tensor *tarn_hessian_new(const tarn_objective *f)
{
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, "tarn_hessian_new", f))
        return NULL;
    bool fits = e.numel <= TARN_HESSIAN_MAX || tarn__hessian_fill(&e, NULL); /* says why not */
    tarn_tensor *hessian = fits ? tarn_tensor_new(TARN_F64, TARN_SHAPE(e.numel, e.numel)) : NULL;
    return finish(&e, hessian && tarn__hessian_fill(&e, hessian->data), hessian);
}

/* ---- the sum of the eigenvalues ---- */

/* z.H z for a z of random signs. */
static bool sample(tarn__evaluation *e, tarn_rng *rng, double *z, double *product, double *result)
{
    for (int64_t i = 0; i < e->numel; i++)
        z[i] = tarn_rng_uniform(rng) < 0.5 ? -1 : 1;
    if (!tarn__hessian_times(e, z, product))
        return false;
    *result = tarn__dot(e->numel, z, product);
    return true;
}

double tarn_hessian_trace(const tarn_objective *f, int samples, uint64_t seed, double *standard_error)
{
    static const char who[] = "tarn_hessian_trace";
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, who, f))
        return NAN;
    double *z = samples < 1 ? NULL : tarn__allocate(2 * (size_t)e.numel * sizeof *z), mean = 0, squares = 0, one;
    if (samples < 1)
        tarn_fail("%s: %d samples, expected 1 or more", who, samples);
    else if (!z)
        tarn_fail("%s: no memory", who);
    tarn_rng rng = tarn_rng_seed(seed);
    for (int i = 1; i <= samples && !tarn_error() && sample(&e, &rng, z, z + e.numel, &one); i++) {
        double from_mean = one - mean; /* Welford 1962 */
        mean += from_mean / i;
        squares += from_mean * (one - mean);
    }
    tarn__release(z);
    tarn__objective_end(&e);
    if (tarn_error())
        return NAN;
    if (standard_error)
        *standard_error = samples > 1 ? sqrt(squares / (samples - 1) / samples) : NAN;
    return mean;
}

/* ---- the ends of the spectrum ---- */

static bool times(void *context, const double *v, double *product)
{
    return tarn__hessian_times(context, v, product);
}

double tarn__zero_tol(const tarn__evaluation *e)
{
    return tarn_params_dtype(e->f->params) == TARN_F32 ? 1e-4 : 1e-6;
}

static bool fill_opts(const tarn__evaluation *e, int smallest, int largest, const tarn_lanczos_opts *given,
                      tarn_lanczos_opts *o)
{
    *o = given ? *given : (tarn_lanczos_opts){0};
    if (o->tol == 0)
        o->tol = tarn_params_dtype(e->f->params) == TARN_F32 ? 1e-6 : 1e-10;
    if (o->max_steps == 0)
        o->max_steps = 1000;
    if (!tarn__is_in(e->who, "tol", o->tol, '(', 0, 1, ')'))
        return false;
    if (smallest < 0 || largest < 0 || (smallest == 0 && largest == 0))
        return tarn_fail("%s: %d smallest and %d largest, expected 0 or more of each, and one at least", e->who,
                         smallest, largest);
    if ((int64_t)smallest + largest > e->numel || (int64_t)smallest + largest > o->max_steps)
        return tarn_fail("%s: %d smallest and %d largest of %" PRId64 " eigenvalues in %" PRId64
                         " steps, expected as many of both or more",
                         e->who, smallest, largest, e->numel, o->max_steps);
    o->max_steps = o->max_steps < e->numel ? o->max_steps : e->numel;
    return true;
}

bool tarn__hessian_extremes(tarn__evaluation *e, int smallest, int largest, const tarn_lanczos_opts *opts,
                            tarn_extremes *result)
{
    tarn_lanczos_opts o;
    *result = (tarn_extremes){0};
    if (!fill_opts(e, smallest, largest, opts, &o))
        return false;
    int64_t count = (int64_t)smallest + largest;
    result->values = tarn_tensor_new(TARN_F64, TARN_SHAPE(count));
    result->residuals = tarn_tensor_new(TARN_F64, TARN_SHAPE(count));
    result->vectors = tarn_tensor_new(TARN_F64, TARN_SHAPE(count, e->numel));
    bool ok = !tarn_error();
    if (ok) {
        tarn__lanczos l = {.who = e->who,
                           .n = e->numel,
                           .multiply = times,
                           .context = e,
                           .smallest = smallest,
                           .largest = largest,
                           .max_steps = o.max_steps,
                           .tol = o.tol,
                           .seed = o.seed,
                           .once = o.once,
                           .progress = o.progress,
                           .progress_context = o.progress_context,
                           .values = result->values->data,
                           .residuals = result->residuals->data,
                           .vectors = result->vectors->data};
        ok = tarn__lanczos_run(&l);
        result->steps = l.steps;
        result->converged = l.converged;
    }
    if (!ok)
        tarn_extremes_free(result);
    return ok;
}

bool tarn_hessian_extremes(const tarn_objective *f, int smallest, int largest, const tarn_lanczos_opts *opts,
                           tarn_extremes *result)
{
    static const char who[] = "tarn_hessian_extremes";
    if (result)
        *result = (tarn_extremes){0};
    tarn__evaluation e;
    if (!tarn__usable(who, result, "result") || !tarn__objective_begin(&e, who, f))
        return false;
    bool ok = tarn__hessian_extremes(&e, smallest, largest, opts, result);
    tarn__objective_end(&e);
    return ok;
}

void tarn_extremes_free(tarn_extremes *result)
{
    if (!result)
        return;
    tarn_tensor_free(result->values);
    tarn_tensor_free(result->residuals);
    tarn_tensor_free(result->vectors);
    *result = (tarn_extremes){0};
}
