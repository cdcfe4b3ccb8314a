/* ceiling.c: what this machine can do at best, measured: multiply-adds in registers, and memory's speed. Prints a table
 * for one thread and for all. */
#include "bench/common/ceiling.h"
#include "examples/common/cli.h"
#include "tarn.h"

#include <string.h>

int main(int argc, char **argv)
{
    int64_t threads = 0;
    bool quick = false;
    const cli_option options[] = {
        {"--threads", "N", CLI_INT, &threads, 0, 256, "threads of the second column; 0: the default number"},
        {"--quick", NULL, CLI_FLAG, &quick, 0, 0, "a few runs over little memory, for a test"},
    };
    const int status = cli_parse("ceiling", "Measures the machine's arithmetic and memory ceilings.", options,
                                 sizeof options / sizeof *options, argc, argv);
    if (status >= 0)
        return status;
    const int all = threads ? (int)threads : tarn_threads();
    printf("%-34s %12s %11d thr\n", "ceilings of this machine", "1 thread", all);
    const char *names[4];
    for (size_t i = 0, count = ceiling_isas(names); i < count; i++)
        printf("  multiply-add f32, %-8s GFLOP/s %12.1f %15.1f%s\n", names[i], ceiling_gflops(names[i], 1, quick),
               ceiling_gflops(names[i], all, quick), strcmp(names[i], tarn_isa()) ? "" : "  <- tarn's loops");
    for (ceiling_stream s = 0; s < CEILING_STREAMS; s++)
        printf("  memory, %-18s GB/s    %12.1f %15.1f\n", ceiling_stream_name(s), ceiling_bandwidth(s, 1, quick),
               ceiling_bandwidth(s, all, quick));
    return cli_end("ceiling");
}
