#!/bin/sh
# The programs that compute, once with each instruction set that the kernels are built for. The set must be the one
# that was asked for; one that the processor lacks is skipped. Reads CC and BUILD; speaks as cmocka does.
set -u
CC=${CC:-gcc}
BUILD=${BUILD:-build}
programs="batchnorm clip conv2d fusion gemm grad gradcheck init layers math means nan optim softmax torch torch_ops
torch_optim views"
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT

builds_probe() {
    # shellcheck disable=SC2086 # the flags are lists
    printf '%s\n' '#include "tarn.h"' '#include <stdio.h>' 'int main(void) {' \
        'tarn_tape_free(tarn_tape_new()); if (tarn_error()) puts(tarn_error()); tarn_error_clear();' \
        'tarn_rng r = tarn_rng_seed(1);' \
        'tarn_tensor_free(tarn_tensor_uniform_new(TARN_F32, 0, NULL, &r, 0, 1)); if (tarn_error()) puts(tarn_error());' \
        'return puts(tarn_isa()) < 0; }' |
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

# What no processor has is an error, of whatever comes first and of all that comes after it.
refuses() {
    said=$(TARN_ISA=$1 "$here/probe") || return 1
    for who in tarn_tape_new tarn_tensor_uniform_new; do
        echo "$said" | grep -q "^$who: .* TARN_ISA is \"$1\", expected one of .*baseline$" ||
            { echo "TARN_ISA=$1 said: $said"; return 1; }
    done
    best=$(TARN_ISA='' "$here/probe")
    [ "$(echo "$said" | tail -n 1)" = "$best" ] || { echo "TARN_ISA=$1: not $best"; return 1; }
}

refuses_a_name_that_is_none() {
    refuses garbage && refuses AVX2 && refuses baseline2
}

tests="baseline avx2 avx512 refuses_a_name_that_is_none"
echo "[==========] Running 4 test(s)."
passed=0 failed='' skipped=''
builds_probe || { tests=; failed=' probe'; }
for name in $tests; do
    echo "[ RUN      ] $name"
    case $name in
    refuses*) "$name" 2>&1 ;;
    *) runs_with "$name" 2>&1 ;;
    esac
    case $? in
    0) echo "[       OK ] $name" && passed=$((passed + 1)) ;;
    77) echo "[  SKIPPED ] $name" && skipped="$skipped $name" ;;
    *) echo "[  FAILED  ] $name" && failed="$failed $name" ;;
    esac
done
echo "[==========] 4 test(s) run."
echo "[  PASSED  ] $passed test(s)."
[ -z "$skipped" ] || echo "[  SKIPPED ] $(echo "$skipped" | wc -w) test(s), listed below:$skipped"
[ -z "$failed" ] || echo "[  FAILED  ] $(echo "$failed" | wc -w) test(s), listed below:$failed"
[ -z "$failed" ]
