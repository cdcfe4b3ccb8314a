#include "layers/activation.h"
#include "layers/layers_impl.h"
#include "tensor/range.h"

bool tarn_activation_init(tarn_activation_layer *l, tarn_activation kind, double p)
{
    static const char who[] = "tarn_activation_init";
    if (!l)
        return tarn_fail("%s: layer is NULL", who);
    *l = (tarn_activation_layer){0};
    if (tarn_error())
        return false;
    if ((unsigned)kind >= TARN_ACTIVATION_COUNT)
        return tarn_fail("%s: %d is not one of tarn_activation's", who, (int)kind);
    if (!tarn__is_in(who, "p", p, TARN__FINITE))
        return false;
    double standard = kind == TARN_LEAKY_RELU ? 0.01 : kind == TARN_ELU ? 1 : 0;
    *l = (tarn_activation_layer){.kind = kind, .p = p == 0 ? standard : p};
    return true;
}

tarn_tensor *tarn_activation_apply(tarn_tape *t, const tarn_activation_layer *l, tarn_tensor *x)
{
    if (!tarn__applicable("tarn_activation_apply", t, l, true, x))
        return NULL;
    switch (l->kind) {
    case TARN_IDENTITY:
        return x;
    case TARN_RELU:
        return tarn_relu(t, x);
    case TARN_LEAKY_RELU:
        return tarn_leaky_relu(t, x, l->p);
    case TARN_ELU:
        return tarn_elu(t, x, l->p);
    case TARN_GELU:
        return tarn_gelu(t, x);
    case TARN_SILU:
        return tarn_silu(t, x);
    case TARN_SIGMOID:
        return tarn_sigmoid(t, x);
    case TARN_SOFTPLUS:
        return tarn_softplus(t, x);
    case TARN_TANH:
        return tarn_tanh(t, x);
    default:
        tarn_fail("tarn_activation_apply: %d is not one of tarn_activation's", (int)l->kind);
        return NULL;
    }
}
