#include "autograd/gradcheck.h"
#include "tensor/arena.h"
#include "tensor/range.h"
#include "tensor/sort.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct check {
    tarn_gradcheck_fn *f;
    void *context;
    tarn_gradcheck_opts opts;
    int n_inputs;
    tarn_tensor *const *inputs;
    tarn_tape *tape;

    int count;               /* the f64 inputs: x[0..count), and the cotangent behind them */
    int *number;             /* which input each of them is */
    tarn_tensor **x;         /* not owned, but for the cotangent */
    tarn_tensor **direction; /* of order 2: the v_j */
    tarn_tensor **grads;     /* dF1/dx, on the tape */
    tarn_tensor **found;     /* dF/dx of the order at hand, on the tape */
    tarn_tensor **analytic;  /* copies of what the tape gives */
    tarn_gradcheck_report worst;
} check;

/* ---- setting up ---- */

static bool fill_opts(tarn_gradcheck_opts *o, const tarn_gradcheck_opts *given)
{
    *o = given ? *given : (tarn_gradcheck_opts){0};
    o->order = o->order ? o->order : 1;
    o->step = o->step != 0 ? o->step : 1e-3;
    o->rtol = o->rtol != 0 ? o->rtol : 1e-6;
    o->atol = o->atol != 0 ? o->atol : 1e-8;
    static const char who[] = "tarn_gradcheck";
    return tarn__is_count(who, "order", o->order, 1, 2) && tarn__is_in(who, "step", o->step, '(', 0, 1, ')') &&
           tarn__is_in(who, "rtol", o->rtol, '(', 0, 1, ')') && tarn__is_in(who, "atol", o->atol, TARN__POSITIVE);
}

static bool inputs_fit(int n_inputs, tarn_tensor *const *inputs, int *count)
{
    if (n_inputs < 1)
        return tarn_fail("tarn_gradcheck: %d inputs, expected 1 or more", n_inputs);
    *count = 0;
    for (int i = 0; i < n_inputs; i++) {
        if (!inputs[i])
            return tarn_fail("tarn_gradcheck: input %d is NULL", i);
        if (inputs[i]->tape)
            return tarn_fail("tarn_gradcheck: input %d lives on a tape, expected a leaf of the caller's", i);
        *count += inputs[i]->dtype == TARN_F64;
    }
    if (*count == 0)
        return tarn_fail("tarn_gradcheck: none of the %d inputs is f64", n_inputs);
    return true;
}

static bool check_init(check *k)
{
    size_t slots = (size_t)k->count + 1;
    k->number = tarn__allocate_zeroed(slots * sizeof *k->number);
    k->x = tarn__allocate_zeroed(5 * slots * sizeof *k->x);
    if (!k->number || !k->x)
        return tarn_fail("tarn_gradcheck: no memory");
    k->direction = k->x + slots;
    k->grads = k->direction + slots;
    k->found = k->grads + slots;
    k->analytic = k->found + slots;
    for (int i = 0, at = 0; i < k->n_inputs; i++)
        if (k->inputs[i]->dtype == TARN_F64) {
            k->number[at] = i;
            k->x[at++] = k->inputs[i];
        }
    k->number[k->count] = k->n_inputs;
    k->tape = tarn_tape_new();
    if (k->tape)
        tarn_tape_set_training(k->tape, !k->opts.evaluation);
    return k->tape != NULL;
}

static void check_free(check *k)
{
    tarn_tape_free(k->tape);
    for (int i = 0; k->direction && i <= k->count; i++) {
        tarn_tensor_free(k->direction[i]);
        tarn_tensor_free(k->analytic[i]);
    }
    if (k->x)
        tarn_tensor_free(k->x[k->count]);
    tarn__release(k->x);
    tarn__release(k->number);
}

/* Values in 0.5..1 of either sign: none so small that its element goes unchecked. */
static tarn_tensor *signed_new(tarn_rng *rng, int ndim, const int64_t *shape)
{
    tarn_tensor *x = tarn_tensor_new(TARN_F64, ndim, shape);
    for (int64_t i = 0; x && i < x->numel; i++) {
        double u = 2 * tarn_rng_uniform(rng) - 1;
        ((double *)x->data)[i] = copysign(0.5 + 0.5 * fabs(u), u);
    }
    return x;
}

/* ---- F1 and F2 ---- */

/* f on a tape that holds nothing else. */
static tarn_tensor *record(check *k)
{
    tarn_tape_reset(k->tape);
    tarn_tensor *y = k->f(k->tape, k->inputs, k->context);
    const tarn_tensor *c = k->x[k->count];
    if (!y)
        tarn_fail("tarn_gradcheck: the function returned NULL");
    else if (y->dtype != TARN_F64)
        tarn_fail("tarn_gradcheck: the function gives %s, expected f64", tarn_dtype_name(y->dtype));
    else if (c && !tarn__same_shape(y, c))
        tarn_fail("tarn_gradcheck: the function gives %s and then %s", TARN__SHAPE_TEXT(c), TARN__SHAPE_TEXT(y));
    return tarn_error() ? NULL : y;
}

/* The tensors whose products with known ones add up to F: y with c, or each gradient with its v. */
static bool record_terms(check *k, int order)
{
    tarn_tensor *y = record(k);
    if (!y)
        return false;
    if (order == 2)
        return tarn_grad(k->tape, 1, &y, &k->x[k->count], k->count, k->x, k->grads);
    k->grads[0] = y;
    return true;
}

static bool value(check *k, int order, long double *total)
{
    if (!record_terms(k, order))
        return false;
    *total = 0;
    for (int j = 0; j < (order == 2 ? k->count : 1); j++) {
        const double *a = tarn_data(k->grads[j]);
        const tarn_tensor *factor = order == 2 ? k->direction[j] : k->x[k->count];
        const double *b = factor->data;
        for (int64_t i = 0; a && i < factor->numel; i++)
            *total += (long double)a[i] * (long double)b[i];
    }
    return !tarn_error();
}

/* The derivatives of F with respect to everything it depends on, from the tape, copied. */
static bool find_analytic(check *k, int order)
{
    int n = order == 2 ? k->count + 1 : k->count;
    if (!record_terms(k, order))
        return false;
    bool ok = order == 2 ? tarn_grad(k->tape, k->count, k->grads, k->direction, n, k->x, k->found)
                         : tarn_grad(k->tape, 1, k->grads, &k->x[k->count], n, k->x, k->found);
    for (int j = 0; ok && j < n; j++) {
        tarn_tensor_free(k->analytic[j]);
        k->analytic[j] = tarn_tensor_clone(k->found[j]);
        ok = k->analytic[j] != NULL;
    }
    return ok;
}

/* ---- comparing ---- */

static bool find_numeric(check *k, int order, tarn_tensor *x, int64_t element, double *numeric)
{
    static const double place[4] = {-2, -1, 1, 2}, weight[4] = {1, -8, 8, -1};
    double *p = (double *)x->data + element, at = *p, h = k->opts.step * fmax(1, fabs(at));
    uint64_t version = x->version;
    long double sum = 0, one = 0;
    bool ok = true;
    for (int i = 0; i < 4 && ok; i++) {
        *p = at + place[i] * h;
        x->version++;
        ok = value(k, order, &one);
        sum += (long double)weight[i] * one;
    }
    *p = at;
    tarn_tape_reset(k->tape);
    x->version = version; /* as nothing changed, what other tapes have recorded from x still holds */
    *numeric = (double)(sum / (12 * (long double)h));
    return ok;
}

static void compare(check *k, int order, int j, int64_t element, double numeric)
{
    double analytic = ((const double *)k->analytic[j]->data)[element];
    double excess = fabs(analytic - numeric) / (k->opts.atol + k->opts.rtol * fabs(numeric));
    if (isnan(excess))
        excess = INFINITY;
    if (k->worst.order == 0 || excess > k->worst.excess)
        k->worst = (tarn_gradcheck_report){.order = order,
                                           .input = k->number[j],
                                           .element = element,
                                           .analytic = analytic,
                                           .numeric = numeric,
                                           .excess = excess};
}

static bool disagreement(const check *k)
{
    const tarn_gradcheck_report *r = &k->worst;
    const tarn_tensor *x = r->input < k->n_inputs ? k->inputs[r->input] : k->x[k->count];
    int64_t index[TARN_MAX_DIMS], rest = r->element;
    for (int axis = x->ndim - 1; axis >= 0; axis--) {
        index[axis] = rest % x->shape[axis];
        rest /= x->shape[axis];
    }
    char where[32] = "the cotangent";
    if (r->input < k->n_inputs)
        snprintf(where, sizeof where, "input %d", r->input);
    return tarn_fail("tarn_gradcheck: derivative %d of %s %s at %s: the tape gives %.12g, finite differences %.12g",
                     r->order, where, TARN__SHAPE_TEXT(x), tarn__shape_text_of(x->ndim, index).text, r->analytic,
                     r->numeric);
}

static bool check_order(check *k, int order)
{
    if (!find_analytic(k, order))
        return false;
    int n = order == 2 ? k->count + 1 : k->count;
    for (int j = 0; j < n; j++)
        for (int64_t i = 0; i < k->x[j]->numel; i++) {
            double numeric;
            if (!find_numeric(k, order, k->x[j], i, &numeric))
                return false;
            compare(k, order, j, i, numeric);
        }
    return k->worst.excess <= 1 || disagreement(k);
}

static bool check_run(check *k)
{
    tarn_rng rng = tarn_rng_seed(k->opts.seed);
    tarn_tensor *y = record(k);
    if (!y || !(k->x[k->count] = signed_new(&rng, y->ndim, y->shape)))
        return false;
    for (int j = 0; j < k->count; j++)
        if (!(k->direction[j] = signed_new(&rng, k->x[j]->ndim, k->x[j]->shape)))
            return false;
    long double first, again;
    if (!value(k, 1, &first) || !value(k, 1, &again))
        return false;
    if (first != again && !(isnan(first) && isnan(again)))
        return tarn_fail("tarn_gradcheck: the function gives other values when called again with the same inputs");
    return check_order(k, 1) && (k->opts.order == 1 || check_order(k, 2));
}

bool tarn_gradcheck(tarn_gradcheck_fn *f, void *context, int n_inputs, tarn_tensor *const *inputs,
                    const tarn_gradcheck_opts *opts, tarn_gradcheck_report *report)
{
    check k = {.f = f, .context = context, .n_inputs = n_inputs, .inputs = inputs};
    if (report)
        *report = k.worst;
    if (tarn_error())
        return false;
    if (!f || !inputs)
        return tarn_fail("tarn_gradcheck: %s is NULL", f ? "inputs" : "f");
    if (!fill_opts(&k.opts, opts) || !inputs_fit(n_inputs, inputs, &k.count))
        return false;
    bool ok = check_init(&k) && check_run(&k);
    k.worst.ok = ok;
    check_free(&k);
    if (report)
        *report = k.worst;
    return ok;
}

/* ---- samples away from kinks ---- */

typedef struct segment {
    double from, to;
} segment;

/* What is left of [low, high) without the neighbourhoods of the kinks, which are in order: at most n_kinks + 1 segments. */
static int cut_range(double low, double high, int n_kinks, const double *kinks, double margin, segment *out)
{
    int count = 0;
    double from = low;
    for (int i = 0; i < n_kinks; i++) {
        double to = fmin(kinks[i] - margin, high);
        if (to > from)
            out[count++] = (segment){from, to};
        from = fmax(from, kinks[i] + margin);
    }
    if (high > from)
        out[count++] = (segment){from, high};
    return count;
}

static bool sample_anywhere(tarn_rng *rng, int n_segments, const segment *segments, tarn_tensor *x)
{
    double room = 0;
    for (int i = 0; i < n_segments; i++)
        room += segments[i].to - segments[i].from;
    if (x->numel > 0 && !(room > 0))
        return tarn_fail("tarn_gradcheck_sample_new: the kinks and their margin leave no room");
    for (int64_t e = 0; e < x->numel; e++) {
        double at = tarn_rng_uniform(rng) * room;
        int i = 0;
        while (i < n_segments - 1 && at >= segments[i].to - segments[i].from) {
            at -= segments[i].to - segments[i].from;
            i++;
        }
        double value = segments[i].from + at;
        ((double *)x->data)[e] = value < segments[i].to ? value : segments[i].from;
    }
    return true;
}

static int64_t slots_of(const segment *s, double width)
{
    return (int64_t)fmin(floor((s->to - s->from) / width), 1e15);
}

/* The range is cut into slots, of which each takes at most one value, in its first width - margin: so
 * neighbours are `margin` apart. The slots are as wide as n of them may be, give or take a tenth. */
static bool sample_distinct(tarn_rng *rng, int n_segments, const segment *segments, double margin, tarn_tensor *x)
{
    double width = 0;
    int64_t slots = 0;
    for (int i = 0; i < n_segments; i++)
        width += segments[i].to - segments[i].from;
    margin *= 1 + 1e-12;
    while (slots < x->numel && width > margin) {
        width = fmax(width * 0.9, margin);
        slots = 0;
        for (int i = 0; i < n_segments; i++)
            slots += slots_of(&segments[i], width);
    }
    if (slots < x->numel)
        return tarn_fail("tarn_gradcheck_sample_new: no room for %" PRId64 " values %g apart", x->numel, margin);
    int64_t *order = tarn__allocate((size_t)(slots > 0 ? slots : 1) * sizeof *order);
    if (!order)
        return tarn_fail("tarn_gradcheck_sample_new: no memory");
    bool ok = tarn_rng_permutation(rng, (size_t)slots, order);
    for (int64_t e = 0; ok && e < x->numel; e++) {
        int64_t slot = order[e];
        int i = 0;
        for (; slot >= slots_of(&segments[i], width); i++)
            slot -= slots_of(&segments[i], width);
        ((double *)x->data)[e] = segments[i].from + width * (double)slot + tarn_rng_uniform(rng) * (width - margin);
    }
    tarn__release(order);
    return ok;
}

tarn_tensor *tarn_gradcheck_sample_new(tarn_rng *rng, int ndim, const int64_t *shape, double low, double high,
                                       int n_kinks, const double *kinks, double margin, bool distinct)
{
    static const char who[] = "tarn_gradcheck_sample_new";
    if (!tarn__usable(who, rng, "rng") || !tarn__is_uniform(who, true, low, high) ||
        !tarn__is_in(who, "margin", margin, TARN__NOT_NEGATIVE) ||
        !tarn__is_count(who, "n_kinks", n_kinks, 0, INT64_MAX) || (n_kinks > 0 && !tarn__usable(who, kinks, "kinks")))
        return NULL;
    if (low == high) {
        tarn_fail("%s: low %g, expected a number below high", who, low);
        return NULL;
    }
    tarn_tensor *x = tarn_tensor_new(TARN_F64, ndim, shape);
    if (!x)
        return NULL;
    size_t count = (size_t)n_kinks + 1;
    double *numbers = tarn__allocate(count * (2 * sizeof *numbers + sizeof(segment)));
    bool ok = numbers != NULL;
    if (ok) {
        segment *segments = (segment *)(void *)(numbers + 2 * count);
        if (n_kinks > 0)
            memcpy(numbers, kinks, (size_t)n_kinks * sizeof *numbers);
        const double *sorted = tarn__sort_numbers(numbers, numbers + count, n_kinks);
        int n = cut_range(low, high, n_kinks, sorted, margin, segments);
        ok = distinct ? sample_distinct(rng, n, segments, margin, x) : sample_anywhere(rng, n, segments, x);
    } else {
        tarn_fail("tarn_gradcheck_sample_new: no memory");
    }
    tarn__release(numbers);
    if (ok)
        return x;
    tarn_tensor_free(x);
    return NULL;
}
