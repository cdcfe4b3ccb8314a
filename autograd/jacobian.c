#include "autograd/tape_impl.h"

static const char who[] = "tarn_jacobian_new";

static bool arguments_valid(const tarn_tape *t, const tarn_tensor *output, const tarn_tensor *input)
{
    if (!tarn__usable(who, t, "tape") || !tarn__lives_on(who, "output", t, output) ||
        !tarn__lives_on(who, "input", t, input))
        return false;
    if (!tarn__is_float(output->dtype) || !tarn__is_float(input->dtype))
        return tarn_fail("%s: output %s and input %s, expected f32 or f64", who, tarn_dtype_name(output->dtype),
                         tarn_dtype_name(input->dtype));
    return true;
}

/* d output[element] / d input into row. */
static bool fill_row(tarn_tape *t, tarn_tensor *output, int64_t element, tarn_tensor *input, double *row)
{
    tarn_tensor *cotangent = tarn__tape_leaf(who, t, output->dtype, output->ndim, output->shape), *g;
    if (!cotangent)
        return false;
    for (int64_t i = 0; i < output->numel; i++)
        tarn__store(cotangent, i, i == element);
    if (!tarn_grad(t, 1, &output, &cotangent, 1, &input, &g) || !tarn__realize(g))
        return false;
    tarn_tensor target = {.data = row};
    tarn__set_shape(&target, TARN_F64, g->ndim, g->shape);
    tarn__copy_elements(&target, g);
    return true;
}

tarn_tensor *tarn_jacobian_new(tarn_tape *t, tarn_tensor *output, tarn_tensor *input)
{
    if (!arguments_valid(t, output, input))
        return NULL;
    tarn_tensor *jacobian = tarn_tensor_new(TARN_F64, TARN_SHAPE(output->numel, input->numel));
    if (!jacobian)
        return NULL;
    bool ok = tarn__realize(output), grad = t->grad;
    t->grad = false; /* the gradients are constants, and go when they have been read */
    for (int64_t i = 0; ok && i < output->numel; i++)
        ok = fill_row(t, output, i, input, (double *)jacobian->data + i * input->numel);
    t->grad = grad;
    if (ok)
        return jacobian;
    tarn_tensor_free(jacobian);
    return NULL;
}
