#include "tensor/lapack.h"
#include "tensor/arena.h"
#include "tensor/blas.h"

#include <cblas.h>
#include <inttypes.h>

/* OpenBLAS has the Fortran routine and, as packaged, no header for it. The last two are the lengths of the texts. */
void dsyevd_(const char *jobz, const char *uplo, const blasint *n, double *a, const blasint *lda, double *w,
             double *work, const blasint *lwork, blasint *iwork, const blasint *liwork, blasint *info, size_t, size_t);

typedef struct dsyevd_job {
    const char *jobz;
    blasint n, lwork, liwork;
    double *a, *values, *work;
    blasint *iwork, *info;
} dsyevd_job;

static void dsyevd(const void *context)
{
    const dsyevd_job *j = context;
    dsyevd_(j->jobz, "L", &j->n, j->a, &j->n, j->values, j->work, &j->lwork, j->iwork, &j->liwork, j->info, 1, 1);
}

/* More than so many, and 1 + 6n + 2n^2, the size of the workspace, does not fit into 32 bits. */
enum { MAX_N = 32000 };

bool tarn__symmetric_eigen(const char *who, int64_t n, double *a, double *values, bool vectors)
{
    if (n == 0)
        return true;
    if (n > MAX_N)
        return tarn_fail("%s: %" PRId64 " rows, expected at most %d", who, n, MAX_N);
    double lwork;
    blasint liwork, info = 0;
    dsyevd_job job = {vectors ? "V" : "N", (blasint)n, -1, -1, a, values, &lwork, &liwork, &info};
    tarn__blas_alone(dsyevd, &job); /* asks for the sizes */
    job.lwork = (blasint)lwork;
    job.liwork = liwork;
    job.work = tarn__allocate((size_t)job.lwork * sizeof *job.work);
    job.iwork = tarn__allocate((size_t)job.liwork * sizeof *job.iwork);
    bool ok = job.work && job.iwork;
    if (ok)
        tarn__blas_alone(dsyevd, &job);
    else
        tarn_fail("%s: no memory", who);
    if (info != 0)
        ok = tarn_fail("%s: no convergence", who);
    tarn__release(job.work);
    tarn__release(job.iwork);
    return ok;
}
