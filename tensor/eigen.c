#include "tensor/eigen.h"
#include "tensor/lapack.h"
#include "tensor/tensor_impl.h"

#include <inttypes.h>
#include <math.h>

static const char who[] = "tarn_symmetric_eigen_new";
static const double SYMMETRIC_TO = 1e-10;

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
    if (!tarn__usable(who, a, "a"))
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
