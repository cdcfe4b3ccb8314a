#include "tensor/tridiagonal.h"
#include "tensor/kernels/kernels.h"
#include "tensor/parallel.h"
#include "tensor/vector.h"

#include <math.h>

enum { BACK_ROWS = 8 }; /* that one pass over the reflections serves */

/* Makes x [m] the v of a reflection that takes it to (0, ..., 0, *end); v's last element, which is 1, is not written. */
static double reflection(int64_t m, double *x, double *end)
{
    const double last = x[m - 1], rest = tarn__norm(m - 1, x);
    *end = last;
    if (rest == 0)
        return 0;
    *end = last > 0 ? -hypot(last, rest) : hypot(last, rest);
    for (int64_t i = 0; i < m - 1; i++)
        x[i] /= last - *end;
    return (*end - last) / *end;
}

/* y = A v for the symmetric A [m,m] in the first rows of a [n,n], of which the lower triangle is read. */
static void multiply(const tarn__loops *loops, int64_t n, int64_t m, const double *a, const double *v, double *y)
{
    for (int64_t i = 0; i < m; i++) {
        loops->row_dots(1, i + 1, v, a + i * n, n, &y[i], 1, false);
        loops->combine_rows(1, i, &v[i], 1, a + i * n, n, y, true);
    }
}

void tarn__tridiagonal_reduce(int64_t n, double *a, double *d, double *e, double *tau, double *work)
{
    const tarn__loops *loops = tarn__loops_of(TARN_F64);
    double *v = work, *w = work + n; /* two rows, for the update */
    for (int64_t i = n - 1; i > 0; i--) {
        double *row = a + i * n;
        d[i] = row[i];
        tau[i] = reflection(i, row, &e[i - 1]);
        if (tau[i] == 0)
            continue;
        for (int64_t j = 0; j < i - 1; j++)
            v[j] = row[j];
        v[i - 1] = 1;
        multiply(loops, n, i, a, v, w);
        const double half = tau[i] / 2 * tarn__dot(i, w, v);
        for (int64_t j = 0; j < i; j++)
            w[j] = tau[i] * (w[j] - half * v[j]);
        for (int64_t j = 0; j < i; j++) /* A -= v w^T + w v^T */
            loops->combine_rows(2, j + 1, (const double[]){-w[j], -v[j]}, 1, work, n, a + j * n, true);
    }
    if (n > 0)
        d[0] = a[0];
}

typedef struct back {
    const tarn__loops *loops;
    int64_t n;
    const double *a, *tau;
    double *rows;
} back;

static void back_tile(void *context, int64_t tile)
{
    const back *b = context;
    const int64_t n = b->n, first = tile * BACK_ROWS, count = n - first < BACK_ROWS ? n - first : BACK_ROWS;
    for (int64_t i = 1; i < n; i++)
        for (int64_t k = first; k < first + count && b->tau[i] != 0; k++) {
            double *z = b->rows + k * n, dot;
            b->loops->row_dots(1, i - 1, b->a + i * n, z, n, &dot, 1, false);
            const double part = -b->tau[i] * (dot + z[i - 1]);
            b->loops->combine_rows(1, i - 1, &part, 1, b->a + i * n, n, z, true);
            z[i - 1] += part;
        }
}

void tarn__tridiagonal_back(int64_t n, const double *a, const double *tau, double *rows)
{
    tarn__parallel_for(tarn__tiles(n, BACK_ROWS), back_tile, &(back){tarn__loops_of(TARN_F64), n, a, tau, rows});
}
