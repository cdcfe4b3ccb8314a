#!/bin/sh
# The same bits from every compiler at every level of optimisation, for one instruction set: digests of what the loops
# and a few networks compute. At levels 0 and 1 the whole library is built, at 2 and 3 only the loops, which join the
# library in BUILD; and once with the sanitizers of clang, whose checks cut expressions into pieces. What is not
# installed is left out. Reads BUILD; speaks as cmocka does.
set -u
export ASAN_OPTIONS=detect_leaks=0
BUILD=${BUILD:-build}
MAKE=${MAKE:-make}
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
libraries="${OPENBLAS--lopenblas} -lz -lm"

# builds VARIANT COMPILER CFLAGS whole|loops
builds() {
    folder=$here/$1
    isas="baseline avx2 avx512"
    [ "$(uname -m)" = x86_64 ] || isas=baseline
    loops=$(for isa in $isas; do printf "%s " "$folder/tensor/kernels/kernels_$isa.o"; done)
    if [ "$4" = whole ]; then
        wanted=$folder/libtarn.a library=$wanted
    else
        wanted=$loops library="$loops $BUILD/libtarn.a"
    fi
    "$MAKE" -s -j"$(nproc)" only CC="$2" CFLAGS="$3" BUILD="$folder" SANITIZE= ONLY="$wanted" >"$here/log" 2>&1 ||
        { cat "$here/log"; return 1; }
    for program in loops networks; do
        # shellcheck disable=SC2086 # the flags and files are lists
        $2 -std=c17 -D_POSIX_C_SOURCE=200809L $3 -I. -pthread "tests/compilers/$program.c" -x none \
            $library $libraries -o "$folder/$program" || return 1
    done
    variants="$variants $1"
}

builds_all() {
    for compiler in gcc clang; do
        command -v $compiler >/dev/null || { echo "$compiler is not there"; continue; }
        for level in 0 1 2 3; do
            part=whole
            [ $level -lt 2 ] || part=loops
            builds $compiler-O$level $compiler -O$level $part || return 1
        done
    done
    checks="-fsanitize=address,undefined -fno-sanitize-recover=all"
    # shellcheck disable=SC2086 # a list
    if echo 'int main(void) { return 0; }' | clang $checks -x c - -o "$here/probe" 2>/dev/null; then
        builds clang-checked clang "-O1 $checks" loops || return 1
    else
        echo "clang has no sanitizers"
    fi
    [ -n "$variants" ]
}

# 77: the processor lacks the set.
agree_on() {
    case $1 in
    baseline) flag= ;;
    avx2) flag=fma ;;
    avx512) flag=avx512vl ;;
    esac
    [ -z "$flag" ] || grep -qw "$flag" /proc/cpuinfo || { echo "skipped: the processor lacks $flag"; return 77; }
    reference='' bad=0
    for variant in $variants; do
        found=$here/$variant/$1
        { TARN_ISA=$1 "$here/$variant/loops" && TARN_ISA=$1 "$here/$variant/networks"; } >"$found" 2>&1 ||
            { echo "$variant:"; grep -v '^f[0-9]* [a-z_0-9]* [0-9a-f]*$' "$found"; bad=1; }
        [ -n "$reference" ] || reference=$found
        diff "$reference" "$found" >"$here/diff" ||
            { echo "$variant differs from $(basename "$(dirname "$reference")"):"; grep '^[<>]' "$here/diff"; bad=1; }
    done
    return $bad
}

tests="baseline avx2 avx512"
echo "[==========] Running 3 test(s)."
passed=0 failed='' skipped='' variants=''
builds_all || { tests=; failed=' build'; }
for name in $tests; do
    echo "[ RUN      ] $name"
    agree_on "$name" 2>&1
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
