#include "tensor/kernels/kernels.h"
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

/* A name that the processor lacks, or that is none, leaves the best. */
static const tarn__kernels *choose(void)
{
    const tarn__kernels *tables[3];
    size_t count = available(tables);
    const char *asked = getenv("TARN_ISA");
    for (size_t i = 0; asked && i < count; i++)
        if (strcmp(asked, tables[i]->isa) == 0)
            return tables[i];
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

const char *tarn_isa(void)
{
    return tarn__kernels_chosen()->isa;
}
