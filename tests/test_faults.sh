#!/bin/sh
# The library where the system refuses it memory, address space or threads: the right result or a clear error, never an
# end, a hang or a word. tests/faults/cases.c says what is done; it takes a second for some hundred cases. Then what OpenBLAS
# may have to do with it, for each kind of processor that it knows and this one can be. Reads CC and BUILD; speaks as
# cmocka does.
# shellcheck disable=SC2086,SC3045 # the flags are lists; ulimit -s is in every shell that is /bin/sh somewhere
set -u
CC=${CC:-gcc}
BUILD=${BUILD:-build}
tests="allocations allocations_of_a_loaded_library threads_that_cannot_be_had address_space numbers_of_processes
numbers_and_sizes_of_files stack_limits children_of_one_that_has_worked each_processor_of_openblas"
[ -d /dev/shm ] && [ -w /dev/shm ] && TMPDIR=${TMPDIR:-/dev/shm} && export TMPDIR # files are synced, thousands of times
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
data=$here/data

case $(getconf GNU_LIBC_VERSION 2>/dev/null) in
glibc*) ;;
*)
    echo "skipped: tests/faults/refuse.c is written for glibc"
    exit 0
    ;;
esac

compile() {
    $CC ${CFLAGS--O1 -g} -std=c17 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror \
        -I. -pthread -fPIC "$@"
}

# A program with the library in it, and one that loads it.
builds() {
    compile -shared -o "$here/refuse.so" tests/faults/refuse.c -ldl &&
        compile -shared -o "$here/work.so" tests/faults/work.c ${LDFLAGS-} "$BUILD/libtarn.so" &&
        compile -o "$here/loading" tests/faults/cases.c ${LDFLAGS-} -lm -ldl &&
        compile -o "$here/cases" tests/faults/cases.c tests/faults/work.c ${LDFLAGS-} "$BUILD/libtarn.a" \
            ${OPENBLAS--lopenblas} -lz -lm -ldl &&
        mkdir -m 777 "$data" && chmod 755 "$here" && cp tests/fixtures/*.png tests/fixtures/*.jpg "$data" &&
        with cases data "$data" 1 && gzip "$data/train-images-idx3-ubyte" && find "$data" | sort >"$here/files"
}

# with PROGRAM ARGUMENTS: cases or loading.
with() {
    program=$here/$1
    shift
    LD_PRELOAD=$here/refuse.so LD_LIBRARY_PATH=$BUILD "$program" "$@" 2>&1
}

# Nothing is left behind either.
folder_is_clean() {
    find "$data" | sort >"$here/files_now"
    diff "$here/files" "$here/files_now" && return 0
    echo "> was left behind"
    mv "$here/files_now" "$here/files"
    return 1
}

# each "1 4" PROGRAM [OPTIONS] SUBJECT: for so many threads, at the same time.
each() {
    counts=$1 status=0 pids=
    shift
    for count in $counts; do
        with "$@" "$data" "$count" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid"
        case $? in
        0) ;;
        77) [ $status -ne 0 ] || status=77 ;;
        *) status=1 ;;
        esac
    done
    folder_is_clean && return $status
}

allocations() {
    each "1 4" cases memory
}

allocations_of_a_loaded_library() {
    each "2 4" loading -l "$here/work.so" memory
}

threads_that_cannot_be_had() {
    each "1 4 32" cases threads
}

address_space() {
    each "1 4 32" cases space && each "1 4" loading -l "$here/work.so" space
}

numbers_of_processes() {
    each "1" cases processes && each "4" cases processes && each "32" cases processes
}

numbers_and_sizes_of_files() {
    each "1 4" cases files && each "1 4" cases sizes
}

stack_limits() {
    digest=$(with cases digest "$data" 1) || { echo "$digest"; return 1; }
    for size in 128 unlimited; do
        for count in 1 4; do
            said=$(ulimit -s $size && with cases digest "$data" $count)
            [ "$said" = "$digest" ] || { echo "ulimit -s $size, $count threads: $said"; return 1; }
        done
    done
}

children_of_one_that_has_worked() {
    each "1 4" cases -u memory && each "4 32" cases -u threads && each "4 32" cases -u space
}

# What the processor must have for OpenBLAS to take it for a $1.
flags_of() {
    case $1 in
    Haswell | Zen) echo "avx2 fma" ;;
    SkylakeX) echo "avx512f avx512bw avx512cd avx512dq avx512vl" ;;
    Cooperlake) echo "avx512f avx512bw avx512cd avx512dq avx512vl avx512_bf16" ;;
    esac
}

can_be() {
    for flag in $(flags_of "$1"); do
        grep -m 1 '^flags' /proc/cpuinfo 2>/dev/null | grep -qw "$flag" || return 1
    done
    [ "$(OPENBLAS_CORETYPE=$1 "$here/core")" = "$1" ]
}

each_processor_of_openblas() {
    printf '%s\n' '#include <stdio.h>' 'char *openblas_get_corename(void);' \
        'int main(void) { return puts(openblas_get_corename()) < 0; }' >"$here/core.c"
    compile -o "$here/core" "$here/core.c" ${LDFLAGS-} ${OPENBLAS--lopenblas} || return 1
    found=0
    for core in Haswell Zen SkylakeX Cooperlake; do
        can_be $core || continue
        found=$((found + 1))
        for program in memory eigen lanczos; do
            OPENBLAS_CORETYPE=$core "$BUILD/tests/test_$program" >"$here/log" 2>&1 ||
                { echo "$core: test_$program:"; cat "$here/log"; return 1; }
        done
        for subject in memory space; do
            OPENBLAS_CORETYPE=$core each "1 4" cases -e $subject || { echo "on a $core"; return 1; }
        done
    done
    [ $found -gt 0 ] || { echo "skipped: no kind of processor that OpenBLAS can be told to take this one for"; return 77; }
}

echo "[==========] Running $(echo "$tests" | wc -w) test(s)."
passed=0 failed='' skipped=''
builds || tests='' failed=' builds'
for name in $tests; do
    echo "[ RUN      ] $name"
    "$name" 2>&1
    case $? in
    0) echo "[       OK ] $name" && passed=$((passed + 1)) ;;
    77) echo "[  SKIPPED ] $name" && skipped="$skipped $name" ;;
    *) echo "[  FAILED  ] $name" && failed="$failed $name" ;;
    esac
done
echo "[==========] $(echo "$tests" | wc -w) test(s) run."
echo "[  PASSED  ] $passed test(s)."
[ -z "$skipped" ] || echo "[  SKIPPED ] $(echo "$skipped" | wc -w) test(s), listed below:$skipped"
[ -z "$failed" ] || echo "[  FAILED  ] $(echo "$failed" | wc -w) test(s), listed below:$failed"
[ -z "$failed" ]
