#include "autograd/tape_impl.h"

static const char who[] = "tarn_hessian_vector";

static bool arguments_valid(const tarn_tape *t, const tarn_tensor *loss, int n, tarn_tensor *const *inputs,
                            tarn_tensor *const *vectors, tarn_tensor *const *products)
{
    if (!tarn__usable(who, t, "tape") || !tarn__lives_on(who, "loss", t, loss) ||
        !tarn__usable(who, inputs, "inputs") || !tarn__usable(who, vectors, "vectors") ||
        !tarn__usable(who, products, "products"))
        return false;
    if (n < 1)
        return tarn_fail("%s: %d inputs, expected 1 or more", who, n);
    if (loss->numel != 1 || !tarn__is_float(loss->dtype))
        return tarn_fail("%s: the loss is %s%s, expected one f32 or f64 element", who, tarn_dtype_name(loss->dtype),
                         TARN__SHAPE_TEXT(loss));
    for (int j = 0; j < n; j++) {
        if (!tarn__is_differentiable(who, "input", j, t, inputs[j]) ||
            !tarn__is_differentiable(who, "vector", j, t, vectors[j]))
            return false;
        if (!tarn__same_shape(vectors[j], inputs[j]) || vectors[j]->dtype != inputs[j]->dtype)
            return tarn_fail("%s: vector %d is %s%s, expected its input's %s%s", who, j,
                             tarn_dtype_name(vectors[j]->dtype), TARN__SHAPE_TEXT(vectors[j]),
                             tarn_dtype_name(inputs[j]->dtype), TARN__SHAPE_TEXT(inputs[j]));
    }
    return true;
}

/* The Hessian is symmetric: H v is the gradient's own vector-Jacobian product, with v as the cotangent. */
bool tarn_hessian_vector(tarn_tape *t, tarn_tensor *loss, int n, tarn_tensor *const *inputs,
                         tarn_tensor *const *vectors, tarn_tensor **products)
{
    tarn_tensor **gradient = NULL;
    bool ok = arguments_valid(t, loss, n, inputs, vectors, products);
    if (ok) {
        gradient = tarn__arena_allocate_small(&t->arena, (size_t)n * sizeof *gradient);
        ok = gradient || tarn_fail("%s: no memory", who);
    }
    if (ok) {
        bool grad = t->grad;
        t->grad = true; /* or the gradient would be a constant, and its derivative 0 */
        ok = tarn_grad(t, 1, &loss, NULL, n, inputs, gradient);
        t->grad = grad;
    }
    ok = ok && tarn_grad(t, n, gradient, vectors, n, inputs, products);
    for (int j = 0; products && j < n && !ok; j++)
        products[j] = NULL;
    return ok;
}
