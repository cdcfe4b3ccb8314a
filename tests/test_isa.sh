#!/bin/sh
# The programs that compute, once with each instruction set that the kernels are built for. The set must be the one
# that was asked for; one that the processor lacks is skipped. Reads CC and BUILD; speaks as cmocka does.
set -u
CC=${CC:-gcc}
BUILD=${BUILD:-build}
programs="batchnorm clip conv2d fusion gemm grad gradcheck init layers math optim torch torch_ops torch_optim views"
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT

builds_probe() {
    # shellcheck disable=SC2086 # the flags are lists
    printf '#include "tarn.h"\n#include <stdio.h>\nint main(void) { return puts(tarn_isa()) < 0; }\n' |
        $CC ${CFLAGS-} -I. -pthread -x c - -x none -o "$here/probe" ${LDFLAGS-} "$BUILD/libtarn.a" \
            ${OPENBLAS--lopenblas} -lz -lm
}

# 77: the processor lacks the set.
runs_with() {
    case $1 in
    baseline) flags= ;;
    avx2) flags="avx2 fma bmi1 bmi2" ;;
    avx512) flags="avx512f avx512bw avx512cd avx512dq avx512vl" ;;
    esac
    for flag in $flags; do
        grep -qw "$flag" /proc/cpuinfo || {
            echo "skipped: the processor lacks $flag"
            return 77
        }
    done
    chosen=$(TARN_ISA=$1 "$here/probe")
    [ "$chosen" = "$1" ] || { echo "TARN_ISA=$1 chose $chosen"; return 1; }
    for program in $programs; do
        [ -x "$BUILD/tests/test_$program" ] || { echo "$BUILD/tests/test_$program is not there"; return 1; }
        TARN_ISA=$1 "$BUILD/tests/test_$program" >"$here/log" 2>&1 || { cat "$here/log"; return 1; }
    done
}

tests="baseline avx2 avx512"
echo "[==========] Running 3 test(s)."
passed=0 failed='' skipped=''
builds_probe || { tests=; failed=' probe'; }
for name in $tests; do
    echo "[ RUN      ] $name"
    runs_with "$name" 2>&1
    case $? in
    0) echo "[       OK ] $name" && passed=$((passed + 1)) ;;
    77) echo "[  SKIPPED ] $name" && skipped="$skipped $name" ;;
    *) echo "[  FAILED  ] $name" && failed="$failed $name" ;;
    esac
done
echo "[==========] 3 test(s) run."
echo "[  PASSED  ] $passed test(s)."
[ -z "$skipped" ] || echo "[  SKIPPED ] $(echo "$skipped" | wc -w) test(s), listed below:$skipped"
[ -z "$failed" ] || echo "[  FAILED  ] $(echo "$failed" | wc -w) test(s), listed below:$failed"
[ -z "$failed" ]
