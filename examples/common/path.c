#include "examples/common/path.h"

#include <math.h>
#include <stdlib.h>

enum { PER_POINT = 5 };

static bool place(tarn_params *params, double x, double y)
{
    tarn_tensor *point = tarn_tensor_from(TARN_F64, TARN_SHAPE(2), (const double[]){x, y});
    const bool ok = tarn_params_set_vector(params, point);
    tarn_tensor_free(point);
    return ok;
}

static bool record(path *p, const tarn_objective *f, tarn_tensor *loss)
{
    tarn_tensor *point = tarn_params_vector_new(f->params);
    p->step[p->n] = (double)p->n;
    p->x[p->n] = tarn_at(point, (const int64_t[]){0});
    p->y[p->n] = tarn_at(point, (const int64_t[]){1});
    p->loss[p->n] = tarn_item(loss);
    p->grad_norm[p->n] = tarn_params_grad_norm(f->params);
    tarn_tensor_free(point);
    p->n += !tarn_error();
    return !tarn_error();
}

bool path_walk(path *p, const tarn_objective *f, tarn_optim *optim, const path_opts *opts)
{
    const size_t room = (size_t)opts->steps + 1;
    const double hopeless = opts->hopeless > 0 ? opts->hopeless : 1e12;
    *p = (path){.step = calloc(PER_POINT * room, sizeof(double))};
    if (!p->step)
        return tarn_fail("path_walk: no memory for %lld steps", (long long)opts->steps);
    p->x = p->step + room;
    p->y = p->x + room;
    p->loss = p->y + room;
    p->grad_norm = p->loss + room;
    place(f->params, opts->x, opts->y);
    for (int64_t step = 0; step <= opts->steps && !tarn_error(); step++) {
        tarn_tensor *loss = f->loss(f->tape, f->context);
        tarn_backward(f->tape, loss);
        if (record(p, f, loss) && !(p->loss[step] > opts->enough && p->loss[step] <= hopeless))
            break;
        tarn_optim_step(optim);
        tarn_tape_reset(f->tape);
    }
    tarn_tape_reset(f->tape);
    tarn_params_zero_grad(f->params);
    return !tarn_error();
}

void path_free(path *p)
{
    free(p->step);
    *p = (path){0};
}

double path_steps_to(const path *p, double loss)
{
    int64_t first = p->n;
    while (first > 0 && p->loss[first - 1] <= loss)
        first--;
    return first < p->n ? (double)first : NAN;
}

void path_thin(path *p, int64_t most)
{
    if (p->n <= most)
        return;
    for (int64_t i = 0; i < most; i++) {
        const int64_t even = llround(pow((double)p->n, (double)i / (double)(most - 1))) - 1; /* on a log axis */
        const int64_t from = even > i ? even : i;
        p->step[i] = p->step[from];
        p->x[i] = p->x[from];
        p->y[i] = p->y[from];
        p->loss[i] = p->loss[from];
        p->grad_norm[i] = p->grad_norm[from];
    }
    p->n = most;
}

bool path_surface(plot_field *field, const tarn_objective *f, int64_t n)
{
    double *values = calloc((size_t)(n * n), sizeof *values);
    field->columns = field->rows = n;
    field->values = values;
    if (!values)
        return tarn_fail("path_surface: no memory for %lld x %lld points", (long long)n, (long long)n);
    for (int64_t i = 0; i < n * n && !tarn_error(); i++) {
        const double u = (double)(i % n) / (double)(n - 1), v = (double)(i / n) / (double)(n - 1);
        place(f->params, field->x_low + u * (field->x_high - field->x_low),
              field->y_low + v * (field->y_high - field->y_low));
        values[i] = tarn_objective_value(f);
    }
    return !tarn_error();
}

void path_surface_free(plot_field *field)
{
    free((double *)(uintptr_t)field->values);
    field->values = NULL;
}
