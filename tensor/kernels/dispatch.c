#include "tensor/kernels/kernels.h"
#include "tensor/tensor_impl.h"
#include "tensor/threads.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const tarn__kernels tarn__kernels_baseline;
#ifdef __x86_64__
extern const tarn__kernels tarn__kernels_avx2, tarn__kernels_avx512;
#endif

static size_t available(const tarn__kernels *out[3])
{
    size_t count = 0;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[count++] = &tarn__kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2"))
        out[count++] = &tarn__kernels_avx2;
#endif
    out[count++] = &tarn__kernels_baseline;
    return count;
}

static atomic_bool asked_in_vain; /* written before the choice, and read after it */

/* A name that the processor lacks, or that is none, leaves the best. */
static const tarn__kernels *choose(void)
{
    const tarn__kernels *tables[3];
    size_t count = available(tables);
    const char *asked = getenv("TARN_ISA");
    bool named = asked && *asked;
    for (size_t i = 0; named && i < count; i++)
        if (strcmp(asked, tables[i]->isa) == 0)
            return tables[i];
    atomic_store_explicit(&asked_in_vain, named, memory_order_relaxed);
    return tables[0];
}

const tarn__kernels *tarn__kernels_chosen(void)
{
    static _Atomic(const tarn__kernels *) chosen;
    const tarn__kernels *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (!table) {
        table = choose();
        atomic_store_explicit(&chosen, table, memory_order_release);
    }
    return table;
}

bool tarn__isa_is_known(const char *who)
{
    tarn__kernels_chosen();
    if (!atomic_load_explicit(&asked_in_vain, memory_order_relaxed))
        return true;
    const tarn__kernels *tables[3];
    size_t count = available(tables);
    const char *asked = getenv("TARN_ISA"); /* unless it was changed since */
    return tarn_fail("%s: the environment variable TARN_ISA is \"%.40s\", expected one of what this processor has: "
                     "%s%s%s%s%s",
                     who, asked ? asked : "", tables[0]->isa, count > 1 ? ", " : "", count > 1 ? tables[1]->isa : "",
                     count > 2 ? ", " : "", count > 2 ? tables[2]->isa : "");
}

const char *tarn_isa(void)
{
    return tarn__kernels_chosen()->isa;
}
