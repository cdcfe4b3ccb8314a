#include "tensor/eigen.h"
#include "tensor/arena.h"
#include "tensor/eigen_impl.h"
#include "tensor/lapack.h"
#include "tensor/tensor_impl.h"
#include "tensor/tridiagonal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char who[] = "tarn_symmetric_eigen_new";
static const double SYMMETRIC_TO = 1e-10;

enum { MAX_N = 32000 }; /* a matrix of 8 GB */

/* a's lower triangle over 2^exponent, so that its largest element is near 1: no square overflows, or loses its digits. */
static int normalize(int64_t n, double *a)
{
    double largest = 0;
    int exponent = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            largest = fmax(largest, fabs(a[i * n + j]));
    frexp(largest, &exponent);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            a[i * n + j] = ldexp(a[i * n + j], -exponent);
    return exponent;
}

/* rows [n,n], where asked for, work [5n]. */
static bool solve(int64_t n, double *a, double *values, double *rows, double *work)
{
    double *e = work, *tau = work + n, *more = work + 2 * n;
    const int exponent = normalize(n, a);
    tarn__tridiagonal_reduce(n, a, values, e, tau, more);
    if (!tarn__tridiagonal_eigen(n, values, e, rows, more))
        return false;
    if (rows) {
        tarn__tridiagonal_back(n, a, tau, rows);
        memcpy(a, rows, (size_t)(n * n) * sizeof *a);
    }
    for (int64_t i = 0; i < n; i++)
        values[i] = ldexp(values[i], exponent);
    return true;
}

bool tarn__symmetric_eigen(const char *whose, int64_t n, double *a, double *values, bool vectors)
{
    if (n == 0)
        return true;
    if (n > MAX_N)
        return tarn_fail("%s: %" PRId64 " rows, expected at most %d", whose, n, MAX_N);
    double *work = tarn__allocate((size_t)(5 * n) * sizeof *work);
    double *rows = vectors ? tarn__allocate((size_t)(n * n) * sizeof *rows) : NULL;
    bool ok = work && (rows || !vectors);
    if (!ok)
        tarn_fail("%s: no memory", whose);
    else if (!solve(n, a, values, rows, work))
        ok = tarn_fail("%s: no convergence", whose);
    tarn__release(work);
    tarn__release(rows);
    return ok;
}

/* The symmetric part of a into s: the mean of each two mirrored elements. */
static bool symmetric_part(int64_t n, const double *a, double *s)
{
    double largest = 0;
    for (int64_t i = 0; i < n * n; i++) {
        if (!isfinite(a[i]))
            return tarn_fail("%s: element [%" PRId64 ",%" PRId64 "] is %g, expected finite ones", who, i / n, i % n,
                             a[i]);
        largest = fmax(largest, fabs(a[i]));
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double lower = a[i * n + j], upper = a[j * n + i];
            if (!(fabs(lower / 2 - upper / 2) <= SYMMETRIC_TO / 2 * largest))
                return tarn_fail("%s: elements [%" PRId64 ",%" PRId64 "] and [%" PRId64 ",%" PRId64
                                 "] are %g and %g, expected a symmetric matrix",
                                 who, i, j, j, i, lower, upper);
            s[i * n + j] = s[j * n + i] = lower / 2 + upper / 2;
        }
    return true;
}

tarn_tensor *tarn_symmetric_eigen_new(tarn_tensor *a, tarn_tensor **vectors)
{
    if (vectors)
        *vectors = NULL;
    if (!tarn__tensor_usable(who, a, "a"))
        return NULL;
    if (a->dtype != TARN_F64 || a->ndim != 2 || a->shape[0] != a->shape[1]) {
        tarn_fail("%s: a is %s %s, expected f64 and square", who, tarn_dtype_name(a->dtype), TARN__SHAPE_TEXT(a));
        return NULL;
    }
    int64_t n = a->shape[0];
    const double *elements = tarn_data(a);
    tarn_tensor *values = elements ? tarn_tensor_new(TARN_F64, TARN_SHAPE(n)) : NULL;
    tarn_tensor *work = values ? tarn_tensor_new(TARN_F64, TARN_SHAPE(n, n)) : NULL;
    bool ok = work && symmetric_part(n, elements, work->data) &&
              tarn__symmetric_eigen(who, n, work->data, values->data, vectors != NULL);
    if (ok && vectors)
        *vectors = work;
    else
        tarn_tensor_free(work);
    if (ok)
        return values;
    tarn_tensor_free(values);
    return NULL;
}
