/* hello.c: the derivative of a function, and the derivative of that. */
#include "tarn.h"

int main(void)
{
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = tarn_scalar(t, TARN_F64, 2), *dy, *ddy;
    tarn_tensor *y = tarn_mul(t, x, tarn_sin(t, x)); /* y = x sin x */

    tarn_grad(t, 1, &y, NULL, 1, &x, &dy);   /* y'  = sin x + x cos x */
    tarn_grad(t, 1, &dy, NULL, 1, &x, &ddy); /* y'' = 2 cos x - x sin x: a gradient is tape like any other */

    printf("at x = %g:  y = %.6f  y' = %.6f  y'' = %.6f\n", tarn_item(x), tarn_item(y), tarn_item(dy), tarn_item(ddy));
    if (fflush(stdout) != 0)
        tarn_fail("the line could not be printed");
    if (tarn_error())
        fprintf(stderr, "hello: %s\n", tarn_error());
    tarn_tape_free(t);
    return tarn_error() ? 1 : 0;
}
