#include "tensor/lanczos.h"
#include "tensor/arena.h"
#include "tensor/eigen_impl.h"
#include "tensor/kernels/kernels.h"
#include "tensor/rng.h"
#include "tensor/vector.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16 }; /* rows of the basis that lie together */

/* A vector whose rest, after orthogonalisation, is so small a part of it consists of roundings. */
static const double ROUNDINGS = 1e-12;

typedef struct process {
    tarn__lanczos *l;
    int64_t count, capacity; /* vectors of the basis */
    double **chunks;
    int64_t steps;            /* products so far */
    int64_t *order;           /* which vector was multiplied at each step */
    bool *multiplied;         /* per vector */
    double *products;         /* [step, vector]: the product's part along each vector of the basis */
    double *w;                /* the product, then its rest */
    double *parts;            /* of one orthogonalisation */
    double *ritz, *theta;     /* [steps, steps] and [steps], of the last Rayleigh-Ritz */
    double *before;           /* the wanted values when the last process had converged */
    int64_t head;             /* the vector to be multiplied next; -1: none follows from what there is */
    int64_t pass, pass_start; /* which process it is, from 1, and its first step */
    bool seen;                /* its own ends have converged, or it has come to its end */
    double scale;             /* |product| at most */
    tarn_rng rng;
} process;

static int64_t wanted(const tarn__lanczos *l)
{
    return l->smallest + l->largest;
}

static double *vector_at(const process *p, int64_t i)
{
    return p->chunks[i / CHUNK] + i % CHUNK * p->l->n;
}

static bool process_init(process *p, tarn__lanczos *l)
{
    int64_t capacity = l->max_steps + wanted(l) + 3;
    capacity = capacity < l->n ? capacity : l->n;
    size_t vectors = (size_t)capacity, steps = (size_t)l->max_steps;
    *p = (process){.l = l, .capacity = capacity, .head = -1, .pass = 1, .seen = true, .rng = tarn_rng_seed(l->seed)};
    if (vectors > SIZE_MAX / sizeof(double) / steps)
        return false;
    p->chunks = tarn__allocate_zeroed((vectors / CHUNK + 1) * sizeof *p->chunks);
    p->order = tarn__allocate(steps * sizeof *p->order);
    p->multiplied = tarn__allocate_zeroed(vectors);
    p->products = tarn__allocate_zeroed(steps * vectors * sizeof(double));
    p->w = tarn__allocate((size_t)l->n * sizeof(double));
    p->parts = tarn__allocate((2 * vectors + CHUNK) * sizeof(double));
    p->theta = tarn__allocate(steps * sizeof(double));
    p->before = tarn__allocate((size_t)wanted(l) * sizeof(double));
    return p->chunks && p->order && p->multiplied && p->products && p->w && p->parts && p->theta && p->before;
}

static void process_free(process *p)
{
    for (int64_t i = 0; p->chunks && i <= p->capacity / CHUNK; i++)
        tarn__release(p->chunks[i]);
    void *const all[] = {p->chunks, p->order, p->multiplied, p->products, p->w, p->parts, p->ritz, p->theta, p->before};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tarn__release(all[i]);
}

/* ---- the basis ---- */

/* Takes from w its parts along the basis, and adds them to `sums` if that is not NULL. */
static void orthogonalise(process *p, double *sums)
{
    const tarn__loops *loops = tarn__loops_of(TARN_F64);
    int64_t n = p->l->n;
    for (int64_t from = 0; from < p->count; from += CHUNK) {
        int64_t rows = p->count - from < CHUNK ? p->count - from : CHUNK;
        double *parts = p->parts + from;
        loops->row_dots(rows, n, p->w, vector_at(p, from), n, parts, 1, false);
        for (int64_t i = 0; i < rows; i++) {
            if (sums)
                sums[from + i] += parts[i];
            parts[i] = -parts[i];
        }
        loops->combine_rows(rows, n, parts, 1, vector_at(p, from), n, p->w, true);
    }
}

/* w, which is `norm` long, becomes the last vector of the basis, and the next to be multiplied. */
static bool append(process *p, double norm)
{
    int64_t n = p->l->n, chunk = p->count / CHUNK;
    if (!p->chunks[chunk])
        p->chunks[chunk] = tarn__allocate((size_t)(CHUNK * n) * sizeof(double));
    if (!p->chunks[chunk])
        return tarn_fail("%s: no memory", p->l->who);
    for (int64_t i = 0; i < n; i++)
        p->w[i] /= norm;
    orthogonalise(p, NULL); /* dividing has made a small rest's roundings large */
    norm = tarn__norm(n, p->w);
    double *vector = vector_at(p, p->count);
    for (int64_t i = 0; i < n; i++)
        vector[i] = p->w[i] / norm;
    p->head = p->count++;
    return true;
}

static bool append_random(process *p)
{
    if (!tarn_rng_fill_normal_f64(&p->rng, (size_t)p->l->n, p->w, 0, 1))
        return false;
    orthogonalise(p, NULL);
    orthogonalise(p, NULL);
    return append(p, tarn__norm(p->l->n, p->w));
}

static int64_t first_not_multiplied(const process *p)
{
    for (int64_t i = 0; i < p->count; i++)
        if (!p->multiplied[i])
            return i;
    return -1;
}

static bool step(process *p)
{
    tarn__lanczos *l = p->l;
    int64_t n = l->n, j = p->head;
    if (!l->multiply(l->context, vector_at(p, j), p->w))
        return false;
    double norm = tarn__norm(n, p->w);
    if (!isfinite(norm))
        return tarn_fail("%s: the product of the Hessian with a vector is not finite", l->who);
    p->scale = fmax(p->scale, norm);
    double *row = p->products + p->steps * p->capacity;
    orthogonalise(p, row);
    orthogonalise(p, row);
    p->multiplied[j] = true;
    p->order[p->steps++] = j;
    p->head = -1;
    norm = tarn__norm(n, p->w);
    if (p->count == p->capacity || norm <= ROUNDINGS * p->scale)
        return true;
    row[p->count] = norm;
    return append(p, norm);
}

/* ---- what it has found ---- */

/* The operator on the vectors multiplied since step `from`: its values into theta, its vectors into ritz. */
static bool rayleigh_ritz(process *p, int64_t from)
{
    int64_t m = p->steps - from;
    tarn__release(p->ritz);
    p->ritz = tarn__allocate((size_t)(m * m) * sizeof(double));
    if (!p->ritz)
        return tarn_fail("%s: no memory", p->l->who);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j <= i; j++) /* the later product: its basis had both vectors */
            p->ritz[i * m + j] = p->ritz[j * m + i] = p->products[(from + i) * p->capacity + p->order[from + j]];
    return tarn__symmetric_eigen(p->l->who, m, p->ritz, p->theta, true);
}

/* |A x - theta x| for the k-th Ritz vector x of all steps: what of A x lies along vectors that were not multiplied. */
static double residual(process *p, int64_t k)
{
    for (int64_t i = 0; i < p->count; i++) {
        p->parts[i] = 0;
        for (int64_t s = 0; s < p->steps && !p->multiplied[i]; s++)
            p->parts[i] += p->ritz[k * p->steps + s] * p->products[s * p->capacity + i];
    }
    return tarn__norm(p->count, p->parts);
}

/* Whether the ends of the last process by itself are where they stay. Their error is of the square of the residual. */
static bool ends_are_seen(process *p, double norm)
{
    int64_t m = p->steps - p->pass_start;
    if (p->head < 0)
        return true;
    if (m == 0 || !rayleigh_ritz(p, p->pass_start))
        return false;
    double last = p->products[(p->steps - 1) * p->capacity + p->head], enough = sqrt(p->l->tol) * norm;
    return (p->l->smallest == 0 || fabs(last * p->ritz[m - 1]) <= enough) &&
           (p->l->largest == 0 || fabs(last * p->ritz[m * m - 1]) <= enough);
}

/* The place among m ascending values of the k-th wanted. */
static int64_t place(const tarn__lanczos *l, int64_t m, int64_t k)
{
    return k < l->smallest ? k : m - wanted(l) + k;
}

/* Notes the wanted values and residuals: false while there are not enough of them or one has not converged. */
static bool note_wanted(process *p, double *norm)
{
    tarn__lanczos *l = p->l;
    int64_t m = p->steps;
    if (!rayleigh_ritz(p, 0))
        return false;
    *norm = fmax(fabs(p->theta[0]), fabs(p->theta[m - 1]));
    if (l->progress)
        l->progress(l->progress_context, m, p->theta[0], p->theta[m - 1]);
    bool all = m >= wanted(l);
    for (int64_t k = 0; m >= wanted(l) && k < wanted(l); k++) {
        l->values[k] = p->theta[place(l, m, k)];
        l->residuals[k] = residual(p, place(l, m, k));
        all = all && l->residuals[k] <= l->tol * *norm;
    }
    return all;
}

static bool is_unchanged(const process *p, double norm)
{
    bool same = p->pass > 1;
    for (int64_t k = 0; same && k < wanted(p->l); k++)
        same = fabs(p->l->values[k] - p->before[k]) <= 4 * p->l->tol * norm;
    return same;
}

/* Whether that is all, or where to go on. */
static bool is_done(process *p)
{
    tarn__lanczos *l = p->l;
    double norm = 0;
    bool all = note_wanted(p, &norm), resume = false;
    if (tarn_error())
        return false;
    if (!p->seen && ends_are_seen(p, norm))
        p->seen = resume = true;
    if (all && p->seen) {
        l->converged = l->once || p->steps == l->n || is_unchanged(p, norm);
        memcpy(p->before, l->values, (size_t)wanted(l) * sizeof(double));
        p->pass++;
        p->pass_start = p->steps;
        p->seen = false;
        p->head = -1;
    } else if (resume) {
        p->head = first_not_multiplied(p);
    }
    return l->converged;
}

static bool find_head(process *p)
{
    if (p->head < 0 && p->count < p->capacity)
        return append_random(p);
    if (p->head < 0)
        p->head = first_not_multiplied(p);
    return p->head >= 0;
}

static bool run(process *p)
{
    tarn__lanczos *l = p->l;
    int64_t look = wanted(l);
    l->steps = 0;
    l->converged = false;
    while (!tarn_error() && p->steps < l->max_steps && find_head(p) && step(p)) {
        if (p->steps < look && p->head >= 0 && p->steps < l->max_steps)
            continue;
        if (is_done(p))
            break;
        look = p->steps + 1 + (p->steps - p->pass_start) / 8;
    }
    if (tarn_error())
        return false;
    double norm;
    note_wanted(p, &norm);
    l->steps = p->steps;
    return !tarn_error();
}

static void write_vectors(const process *p)
{
    const tarn__lanczos *l = p->l;
    memset(l->vectors, 0, (size_t)(wanted(l) * l->n) * sizeof(double));
    for (int64_t k = 0; k < wanted(l); k++)
        for (int64_t s = 0; s < p->steps; s++) {
            double part = p->ritz[place(l, p->steps, k) * p->steps + s];
            const double *vector = vector_at(p, p->order[s]);
            for (int64_t i = 0; i < l->n; i++)
                l->vectors[k * l->n + i] += part * vector[i];
        }
}

bool tarn__lanczos_run(tarn__lanczos *l)
{
    process p;
    bool ok = process_init(&p, l) || tarn_fail("%s: no memory", l->who);
    ok = ok && run(&p);
    if (ok && l->vectors)
        write_vectors(&p);
    process_free(&p);
    return ok;
}
