#include "tensor/blas.h"
#include "tensor/parallel.h"
#include "tensor/tensor_impl.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>
#include <string.h>

enum { TILE_ROWS = 128, TILE_COLUMNS = 256 };

/* What openblas_get_parallel() answers. */
enum { SERIAL_BUILD = 0, PTHREAD_BUILD = 1, OPENMP_BUILD = 2 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t serial_build_lock = PTHREAD_MUTEX_INITIALIZER;
static int build;

static void set_up(void)
{
    build = openblas_get_parallel();
    openblas_set_num_threads(1);
}

static void multiply(const void *job)
{
    const tarn__gemm *g = job;
    enum CBLAS_TRANSPOSE ta = g->transpose_a ? CblasTrans : CblasNoTrans;
    enum CBLAS_TRANSPOSE tb = g->transpose_b ? CblasTrans : CblasNoTrans;
    blasint m = (blasint)g->m, n = (blasint)g->n, k = (blasint)g->k;
    blasint lda = (blasint)g->lda, ldb = (blasint)g->ldb, ldc = (blasint)g->ldc;
    if (g->dtype == TARN_F32)
        cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1, g->a, lda, g->b, ldb, g->accumulate ? 1 : 0, g->c, ldc);
    else
        cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1, g->a, lda, g->b, ldb, g->accumulate ? 1 : 0, g->c, ldc);
}

void tarn__blas_alone(void (*work)(const void *job), const void *job)
{
    pthread_once(&once, set_up);
    if (build == OPENMP_BUILD) { /* sets its thread count anew from OpenMP's at each call */
        int threads = omp_get_max_threads();
        omp_set_num_threads(1);
        work(job);
        omp_set_num_threads(threads);
    } else if (build == SERIAL_BUILD) { /* is not safe to call from several threads */
        pthread_mutex_lock(&serial_build_lock);
        work(job);
        pthread_mutex_unlock(&serial_build_lock);
    } else {
        work(job);
    }
}

void tarn__gemm_serial(const tarn__gemm *g)
{
    if (g->m == 0 || g->n == 0)
        return;
    if (g->k == 0) {
        for (int64_t i = 0; i < g->m && !g->accumulate; i++)
            memset((char *)g->c + (size_t)(i * g->ldc) * tarn_dtype_size(g->dtype), 0,
                   (size_t)g->n * tarn_dtype_size(g->dtype));
        return;
    }
    tarn__blas_alone(multiply, g);
}

typedef struct batch {
    const tarn__gemm *g;
    const int64_t *a, *b, *c;
    int64_t row_tiles, column_tiles;
} batch;

static void batch_tile(void *context, int64_t tile)
{
    const batch *job = context;
    tarn__gemm g = *job->g;
    int64_t size = (int64_t)tarn_dtype_size(g.dtype);
    int64_t column = tile % job->column_tiles * TILE_COLUMNS;
    int64_t row = tile / job->column_tiles % job->row_tiles * TILE_ROWS;
    int64_t i = tile / job->column_tiles / job->row_tiles;
    g.a = (const char *)g.a + (job->a ? job->a[i] : 0) + row * size * (g.transpose_a ? 1 : g.lda);
    g.b = (const char *)g.b + (job->b ? job->b[i] : 0) + column * size * (g.transpose_b ? g.ldb : 1);
    g.c = (char *)g.c + (job->c ? job->c[i] : 0) + (row * g.ldc + column) * size;
    g.m = g.m - row < TILE_ROWS ? g.m - row : TILE_ROWS;
    g.n = g.n - column < TILE_COLUMNS ? g.n - column : TILE_COLUMNS;
    tarn__gemm_serial(&g);
}

void tarn__gemm_batch(const tarn__gemm *g, int64_t count, const int64_t *a_offset, const int64_t *b_offset,
                      const int64_t *c_offset)
{
    batch job = {g, a_offset, b_offset, c_offset, tarn__tiles(g->m, TILE_ROWS), tarn__tiles(g->n, TILE_COLUMNS)};
    tarn__parallel_for(count * job.row_tiles * job.column_tiles, batch_tile, &job);
}
