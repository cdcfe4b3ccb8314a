#include "tensor/lapack.h"

/* OpenBLAS has the Fortran routine and, as packaged, no header for it. The last argument is the length of the text. */
void dsteqr_(const char *compz, const int32_t *n, double *d, double *e, double *z, const int32_t *ldz, double *work,
             int32_t *info, size_t);

bool tarn__tridiagonal_eigen(int64_t n, double *d, double *e, double *z, double *work)
{
    const int32_t order = (int32_t)n;
    int32_t info = 0;
    double none;
    dsteqr_(z ? "I" : "N", &order, d, e, z ? z : &none, &order, work, &info, 1);
    return info == 0;
}
