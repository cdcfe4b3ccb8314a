#!/bin/sh
# Every program about the lecture runs with --quick, prints a table, and leaves a picture and its numbers. What they say
# is the matter of tests/test_lecture_*.c. Reads BUILD, where they are built, and DATA; speaks as cmocka does.
set -u
BUILD=${BUILD:-build} DATA=${DATA:-/usr/share/datasets/fashion-mnist}
programs=$(for source in examples/*.c; do basename "$source" .c; done | grep -vxE 'cnn|hello')

# Each tag that opens closes, in order, and nothing stands outside the one element; numbers are numbers.
is_picture() {
    [ -s "$1" ] || { echo "there is no $1"; return 1; }
    ! grep -w 'nan' "$1" || return 1
    awk -v file="$1" '
        BEGIN { RS = "<" }
        function bad(what) { print file ": " what; failed = 1; exit }
        NR == 1 { if ($0 ~ /[^ \n]/) bad("text before the first tag"); next }
        /^[?!]/ { next }
        index($0, ">") == 0 { bad("a tag does not end: " $0) }
        { tag = substr($0, 1, index($0, ">") - 1); name = tag; sub(/[ \n\/].*/, "", name) }
        tag ~ /[="( ,]-?(nan|inf)/ { bad("not a number in <" tag ">") }
        tag ~ /^\// { name = substr(tag, 2); if (depth == 0 || open[depth--] != name) bad("</" name "> closes nothing"); next }
        depth == 0 && roots++ { bad("a second element, " name) }
        tag !~ /\/$/ { open[++depth] = name }
        END { if (!failed && (depth > 0 || !roots)) { print file ": not closed"; failed = 1 } exit failed }' "$1"
}

# A header, rows, and as many columns in each; a quoted text may hold commas.
is_table() {
    [ -s "$1" ] || { echo "there is no $1"; return 1; }
    awk -v file="$1" '
        { line = $0; gsub(/"[^"]*"/, "", line); columns = gsub(/,/, "", line) + 1 }
        NR == 1 { first = columns }
        columns != first || first < 2 { print file ":" NR ": " columns " columns, the header has " first; failed = 1 }
        END { if (NR < 3) { print file ": " NR " lines"; failed = 1 } exit failed }' "$1"
}

runs() {
    "$BUILD/examples/$1" --quick --quiet --threads 2 --data "$DATA" --out "$here/$1" >"$here/printed" 2>"$here/said" || {
        echo "$1: status $?"; cat "$here/said"; return 1; }
    [ ! -s "$here/said" ] || { echo "$1 --quiet said:"; cat "$here/said"; return 1; }
    [ "$(wc -l <"$here/printed")" -ge 3 ] || { echo "$1 printed no table"; return 1; }
    ! grep -qi 'nan' "$here/printed" || { echo "$1 printed nan"; return 1; }
    for file in "$here/$1"/*; do
        case $file in
        */"$1"*.svg) is_picture "$file" || return 1 ;;
        */"$1"*.csv) is_table "$file" || return 1 ;;
        */"$1"*.png | */"$1"*.dot) [ -s "$file" ] || return 1 ;;
        *) echo "$1 wrote $file"; return 1 ;;
        esac
    done
    [ -s "$here/$1/$1.csv" ] && { [ -s "$here/$1/$1.svg" ] || [ -s "$here/$1/$1.png" ]; } || {
        echo "$1 left no $1.csv, or no $1.svg"; return 1; }
}

# The table is a result: it is not lost without a word.
tells_of_a_full_disk() {
    [ -c /dev/full ] || return 0
    "$BUILD/examples/$1" --quick --quiet --threads 2 --data "$DATA" --out "$here/$1" >/dev/full 2>"$here/said"
    [ $? -eq 1 ] && grep -q "^$1: " "$here/said" || { echo "$1 >/dev/full: no message"; return 1; }
}

help_needs_room() {
    [ -c /dev/full ] || return 0
    "$BUILD/examples/$1" --help >/dev/full 2>"$here/said"
    [ $? -eq 1 ] && grep -q "^$1: " "$here/said" || { echo "$1 --help >/dev/full: no message"; return 1; }
}

says_how_it_is_used() {
    "$BUILD/examples/$1" --help >"$here/printed" && grep -q "^usage: $1 " "$here/printed" &&
        grep -q -- '--quick' "$here/printed" || return 1
    help_needs_room "$1" || return 1
    "$BUILD/examples/$1" --no-such-option >"$here/printed" 2>&1
    [ $? -eq 2 ] || { echo "$1 --no-such-option: not status 2"; return 1; }
    "$BUILD/examples/$1" --quick --quiet --out /dev/null/folder >"$here/printed" 2>"$here/said"
    [ $? -eq 1 ] && grep -q "^$1: " "$here/said" || { echo "$1 --out /dev/null/folder: no message"; return 1; }
}

here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
total=0 passed=0 failed=''
echo "[==========] Running $(($(echo "$programs" | wc -w) * 3 + 1)) test(s)."
for program in $programs cnn; do
    checks='runs says_how_it_is_used tells_of_a_full_disk'
    [ "$program" != cnn ] || checks=help_needs_room
    for check in $checks; do
        name=${program}_$check
        total=$((total + 1))
        echo "[ RUN      ] $name"
        if "$check" "$program" 2>&1; then
            echo "[       OK ] $name"
            passed=$((passed + 1))
        else
            echo "[  FAILED  ] $name"
            failed="$failed $name"
        fi
    done
done
echo "[==========] $total test(s) run."
echo "[  PASSED  ] $passed test(s)."
[ -z "$failed" ] || echo "[  FAILED  ] $(echo "$failed" | wc -w) test(s), listed below:$failed"
[ -z "$failed" ]
