#include "autograd/curvature_impl.h"
#include "tensor/arena.h"
#include "tensor/eigen.h"
#include "tensor/range.h"
#include "tensor/tensor_impl.h"
#include "tensor/vector.h"

#include <math.h>

const char *tarn_critical_kind_name(tarn_critical_kind kind)
{
    static const char *const names[] = {"not critical", "minimum", "maximum", "saddle", "degenerate"};
    return kind < 0 || kind >= TARN_CRITICAL_KIND_COUNT ? "?" : names[kind];
}

static bool fill_opts(const tarn__evaluation *e, const tarn_critical_point_opts *given, tarn_critical_point_opts *o)
{
    *o = given ? *given : (tarn_critical_point_opts){0};
    if (o->gradient_tol == 0)
        o->gradient_tol = tarn__zero_tol(e);
    if (o->zero_tol == 0)
        o->zero_tol = tarn__zero_tol(e);
    return tarn__is_in(e->who, "gradient_tol", o->gradient_tol, '(', 0, 1, ')') &&
           tarn__is_in(e->who, "zero_tol", o->zero_tol, '(', 0, 1, ')');
}

static tarn_critical_kind kind_of(const tarn_critical_point_report *r, bool critical)
{
    if (!critical)
        return TARN_NOT_CRITICAL;
    if (r->negative > 0 && r->positive > 0)
        return TARN_SADDLE;
    if (r->zero > 0)
        return TARN_DEGENERATE;
    return r->positive > 0 ? TARN_MINIMUM : TARN_MAXIMUM;
}

/* From the gradient's length and the eigenvalues, ascending. */
static void judge(tarn_critical_point_report *r, int64_t n, const double *values, const tarn_critical_point_opts *o)
{
    r->smallest = values[0];
    r->largest = values[n - 1];
    double scale = fmax(fabs(r->smallest), fabs(r->largest));
    for (int64_t i = 0; i < n; i++) {
        r->negative += values[i] < -o->zero_tol * scale;
        r->positive += values[i] > o->zero_tol * scale;
    }
    r->zero = n - r->negative - r->positive;
    r->minimum_ratio = (double)r->positive / (double)n;
    r->kind = kind_of(r, r->gradient_norm <= o->gradient_tol * scale);
}

static bool look(tarn__evaluation *e, const tarn_critical_point_opts *o, tarn_tensor *hessian,
                 tarn_critical_point_report *report)
{
    tarn_critical_point_report r = {0};
    double *gradient = hessian->data; /* not filled yet: its first row */
    if (!tarn__objective_gradient(e, gradient, &r.value))
        return false;
    r.gradient_norm = tarn__norm(e->numel, gradient);
    if (!isfinite(r.gradient_norm))
        return tarn_fail("%s: the gradient is not finite", e->who);
    if (!tarn__hessian_fill(e, hessian->data))
        return false;
    for (int64_t i = 0; i < hessian->numel; i++)
        if (!isfinite(((double *)hessian->data)[i]))
            return tarn_fail("%s: the Hessian is not finite", e->who);
    tarn_tensor *values = tarn_symmetric_eigen_new(hessian, NULL);
    if (!values)
        return false;
    judge(&r, e->numel, values->data, o);
    tarn_tensor_free(values);
    *report = r;
    return true;
}

bool tarn_critical_point(const tarn_objective *f, const tarn_critical_point_opts *opts,
                         tarn_critical_point_report *report)
{
    static const char who[] = "tarn_critical_point";
    tarn__evaluation e;
    tarn_critical_point_opts o;
    if (report)
        *report = (tarn_critical_point_report){0};
    if (!tarn__usable(who, report, "report") || !tarn__objective_begin(&e, who, f))
        return false;
    bool ok = fill_opts(&e, opts, &o) && (e.numel <= TARN_HESSIAN_MAX || tarn__hessian_fill(&e, NULL));
    tarn_tensor *hessian = ok ? tarn_tensor_new(TARN_F64, TARN_SHAPE(e.numel, e.numel)) : NULL;
    ok = hessian && look(&e, &o, hessian, report);
    tarn__objective_end(&e);
    tarn_tensor_free(hessian);
    return ok;
}

/* ---- the way down ---- */

/* v, or -v, so that the loss does not rise along it at first. */
static void point_down(int64_t n, const double *gradient, double *v)
{
    double slope = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        slope += gradient[i] * v[i];
        largest = fabs(v[i]) > fabs(largest) ? v[i] : largest;
    }
    if (slope > 0 || (slope == 0 && largest < 0))
        for (int64_t i = 0; i < n; i++)
            v[i] = -v[i];
}

static tarn_tensor *direction(tarn__evaluation *e, const tarn_lanczos_opts *opts, double *curvature)
{
    tarn_extremes ends;
    if (!tarn__hessian_extremes(e, 1, e->numel > 1, opts, &ends))
        return NULL;
    const double *values = ends.values->data;
    double smallest = values[0], largest = values[ends.values->numel - 1], value;
    double scale = fmax(fabs(smallest), fabs(largest));
    tarn_tensor *v = NULL, *gradient = NULL;
    if (smallest < -tarn__zero_tol(e) * scale) {
        v = tarn_tensor_from(TARN_F64, TARN_SHAPE(e->numel), ends.vectors->data);
        gradient = tarn_tensor_new(TARN_F64, TARN_SHAPE(e->numel));
        if (v && gradient && tarn__objective_gradient(e, gradient->data, &value))
            point_down(e->numel, gradient->data, v->data);
    }
    if (curvature && !tarn_error())
        *curvature = smallest;
    tarn_tensor_free(gradient);
    tarn_extremes_free(&ends);
    return v;
}

tarn_tensor *tarn_escape_direction_new(const tarn_objective *f, const tarn_lanczos_opts *opts, double *curvature)
{
    if (curvature)
        *curvature = NAN;
    tarn__evaluation e;
    if (!tarn__objective_begin(&e, "tarn_escape_direction_new", f))
        return NULL;
    tarn_tensor *v = direction(&e, opts, curvature);
    tarn__objective_end(&e);
    if (!tarn_error())
        return v;
    tarn_tensor_free(v);
    return NULL;
}
