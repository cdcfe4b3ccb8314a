/* tensor/lanczos.h (internal): the ends of the spectrum of a symmetric operator that is only known by its products.
 *
 * Lanczos's process (Golub & Van Loan, Matrix Computations, 4th ed., 10.1 to 10.3) in f64, every new vector
 * orthogonalised twice against all others, so that no copies of an eigenvalue appear that are not there. What is there
 * several times, one process cannot see, since all that it computes follows from its first vector: so once the wanted
 * values have converged, another process starts from a random vector orthogonal to everything, and goes on until its
 * own ends have converged. If that changes a wanted value, there is another. The values are those of the operator on
 * the space of all of them (Rayleigh-Ritz). After at most n products the space is the whole one, and the values are
 * exact. */
#ifndef TARN__LANCZOS_H
#define TARN__LANCZOS_H

#include "tensor/error.h"

typedef struct tarn__lanczos {
    const char *who; /* how messages begin */
    int64_t n;
    bool (*multiply)(void *context, const double *v, double *product); /* false, with an error, to end it */
    void *context;
    int64_t smallest, largest; /* how many of each: one or more together, at most n */
    int64_t max_steps;         /* products; from smallest + largest to n */
    double tol;                /* every residual at most tol * |largest eigenvalue| */
    uint64_t seed;
    bool once; /* one process: what is there several times may be found once */
    void (*progress)(void *context, int64_t steps, double smallest, double largest); /* NULL, or now and then */
    void *progress_context;

    double *values, *residuals,
        *vectors; /* [smallest + largest], ascending, the same, and [.., n] or NULL: filled in */
    int64_t steps;
    bool converged;
} tarn__lanczos;

/* False, with an error, when a product fails or is not finite, or there is no memory. */
bool tarn__lanczos_run(tarn__lanczos *l);

#endif
