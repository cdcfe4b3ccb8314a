#!/bin/sh
# The benchmarks run, and print what docs/performance.md and the scripts that read them expect. Their times are not
# looked at. Reads BUILD, where they are built; speaks as cmocka does.
set -u
BUILD=${BUILD:-build}
tests="ceiling_prints_rates ops_fills_its_columns ops_check_is_close ops_refuses_an_unknown_kernel inference_lists_the_nets
overhead_counts train_step_ends_in_its_line train_step_knows_every_net busy_fills_its_rows tell_of_a_full_disk"

# Every line of the output that matches the first pattern matches the second, and there are $3 of them or more.
lines() {
    awk -v some="$1" -v all="$2" -v least="$3" '
        $0 ~ some { n++; if ($0 !~ all) { print "unexpected: " $0; bad = 1 } }
        END { if (n < least) print n + 0 " lines, expected " least " or more"; exit bad || n < least }'
}

number='[0-9]+(\.[0-9]+)?'

ceiling_prints_rates() {
    "$BUILD/bench/ceiling" --quick --threads 2 | lines 'GFLOP/s|GB/s' "  *[1-9][0-9]*\.[0-9] +$number" 5
}

ops_fills_its_columns() {
    for kernel in 'add' 'sum of' 'max_pool2d' 'adam' '64x784'; do
        "$BUILD/bench/ops" --quick --threads 2 --filter "$kernel" >"$here/ops" || return 1
        lines '% of' " $number +$number +[0-9]+% of (multiply-add|read|copy|triad)$" 1 <"$here/ops" || return 1
    done
}

# A shape whose sums have at most 576 terms, each of a rounding or two.
ops_check_is_close() {
    "$BUILD/bench/ops" --quick --check --filter '8x8x64 k3' | lines 'conv2d' ' [0-9]\.[0-9]e-0[67]$' 3
}

ops_refuses_an_unknown_kernel() {
    ! "$BUILD/bench/ops" --quick --filter nothing 2>"$here/said" && grep -q "contains 'nothing'" "$here/said"
}

inference_lists_the_nets() {
    "$BUILD/bench/inference" --quick --threads 1 | lines '^  ' "^  (mlp|cnn28|vgg8|resnet20|lstm) +$number +$number$" 5
}

overhead_counts() {
    "$BUILD/bench/overhead" --quick | lines '^  ' " $number (ns|ms)$" 4
}

result="^net=(mlp|cnn28|vgg8|resnet20|lstm) batch=8 threads=1 layout=nhwc compile=0 ms=$number img_per_s=$number rss_mb=$number version=tarn-"

train_step_ends_in_its_line() {
    "$BUILD/bench/train_step" --net mlp --batch 8 --threads 1 --steps 2 --rate >"$here/step" || return 1
    lines 'GFLOP' "^mlp: $number GFLOP/s of $number .*: [0-9]+%$" 1 <"$here/step" &&
        tail -n 1 "$here/step" | lines . "$result" 1
}

train_step_knows_every_net() {
    "$BUILD/bench/train_step" --net all --batch 8 --threads 1 --quick | lines '^net' "$result" 5
}

busy_fills_its_rows() {
    "$BUILD/bench/busy" --quick >"$here/busy" || return 1
    lines '^  [mcl]' "^  (mlp|cnn28|lstm) +$number +$number +$number +$number +$number +$number$" 5 <"$here/busy"
}

# What nobody can read has not been measured.
tell_of_a_full_disk() {
    [ -c /dev/full ] || return 0
    for call in 'ceiling --help' 'ops --help' 'inference --help' 'overhead --quick' 'busy --quick' 'train_step --net mlp --quick' \
        'train_step --net all --batch 8 --quick'; do
        # shellcheck disable=SC2086
        "$BUILD"/bench/$call >/dev/full 2>"$here/said"
        [ $? -eq 1 ] && grep -q "^${call%% *}: the output could not be printed" "$here/said" ||
            { echo "$call >/dev/full: no message"; return 1; }
    done
}

here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
echo "[==========] Running $(echo "$tests" | wc -w) test(s)."
passed=0 failed=''
for name in $tests; do
    echo "[ RUN      ] $name"
    if "$name" 2>&1; then
        echo "[       OK ] $name"
        passed=$((passed + 1))
    else
        echo "[  FAILED  ] $name"
        failed="$failed $name"
    fi
done
echo "[==========] $(echo "$tests" | wc -w) test(s) run."
echo "[  PASSED  ] $passed test(s)."
[ -z "$failed" ] || echo "[  FAILED  ] $(echo "$failed" | wc -w) test(s), listed below:$failed"
[ -z "$failed" ]
