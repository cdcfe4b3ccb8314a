#!/bin/sh
# The library as others get it: what the shared one imports and exports, the installed headers, and a program
# outside this folder built against an installation with pkg-config. Reads CC and BUILD; speaks as cmocka does.
set -u
CC=${CC:-gcc}
BUILD=${BUILD:-build}
MAKE=${MAKE:-make}
PKG_CONFIG=${PKG_CONFIG:-pkg-config}
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
root=$here/root
lib=$root/opt/tarn/lib
library=$lib/libtarn.so.0
tests="ends_no_process takes_no_memory_unasked thread_local_memory_is_there names_one_thing_each exports_only_its_api
headers_stand_alone headers_suit_cpp shared_program static_program program_in_a_folder_with_a_space uninstall_leaves_nothing"

fail() {
    echo "$*"
    return 1
}

pkg() {
    PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root "$PKG_CONFIG" "$@" tarn
}

installs() {
    "$MAKE" -s install CC="$CC" BUILD="$BUILD" DESTDIR="$root" PREFIX=/opt/tarn LIBDIR=/opt/tarn/lib \
        INCLUDEDIR=/opt/tarn/include 2>&1 && [ -e "$library" ] || fail "make install failed"
}

ends_no_process() {
    bad=$(nm -D --undefined-only "$library" |
        grep -wE 'exit|_exit|_Exit|quick_exit|abort|__assert_fail|__assert|raise|kill|pthread_exit|longjmp')
    [ -z "$bad" ] || fail "the library must leave the process alone, but calls: $bad"
}

# Its memory comes through tarn_set_allocator(); these take their own.
takes_no_memory_unasked() {
    bad=$(nm -D --undefined-only "$library" |
        grep -wE 'qsort|qsort_r|strdup|strndup|asprintf|vasprintf|getline|getdelim|open_memstream|realpath|scandir')
    [ -z "$bad" ] || fail "the library must take memory from its allocator only, but calls: $bad"
}

# Where a program loads the library, glibc has 1664 bytes for such variables of all its libraries; those that do not ask for
# a part of them get memory at a thread's first use, and the process ends where there is none.
thread_local_memory_is_there() {
    case $(getconf GNU_LIBC_VERSION 2>/dev/null) in glibc*) ;; *) return 77 ;; esac
    readelf -dW "$library" | grep -q 'FLAGS.*STATIC_TLS' || fail "thread-local variables may be taken from the heap" || return 1
    size=$(readelf -lW "$library" | awk '$1 == "TLS" { print $6 }')
    [ $((size)) -le 64 ] || fail "$((size)) bytes of thread-local variables, expected at most 64"
}

# What files share: no two of them may give one name to two things.
names_one_thing_each() {
    twice=$(find tensor autograd layers optim data -name '*.[ch]' | sort | xargs awk '
        function note(name, kind) {
            kind = kind " in " FILENAME
            if (!(name in first)) first[name] = kind
            else if (first[name] != kind) print name ": " first[name] ", " kind
        }
        { name = $0 }
        /(struct|enum|union) tarn__[a-z0-9_]+ \{/ { sub(/ \{.*/, "", name); sub(/.* /, "", name); note(name, "a type") }
        /^\} tarn__[a-z0-9_]+;/ { gsub(/[} ;]/, "", name); note(name, "a type") }
        FILENAME ~ /\.h$/ && /^[a-z].*[ *]tarn__[a-z0-9_]+\(/ {
            sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); note(name, "a function") }')
    [ -z "$twice" ] || fail "$twice"
}

# The functions that tarn.h declares for users, and those that the library has: the same.
exports_only_its_api() {
    readelf -d "$library" | grep -q 'SONAME.*\[libtarn\.so\.0\]' || fail "no SONAME libtarn.so.0" || return 1
    nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$here/has"
    # shellcheck disable=SC2046
    echo '#include <tarn.h>' | $CC $(pkg --cflags) -E -P -x c - | tr '\n' ' ' | tr ';' '\n' |
        sed -n 's/.*visibility *( *"default" *)[^(]*) *)[^(]*\(tarn_[a-z0-9_]*\) *(.*/\1/p' | sort >"$here/says"
    [ -s "$here/says" ] || fail "no public function in tarn.h" || return 1
    if grep -q '^tarn__' "$here/has"; then fail "internal names are exported"; return 1; fi
    diff "$here/says" "$here/has" || fail "< is declared in tarn.h and not exported, > the other way round"
}

headers_stand_alone() {
    [ -e "$root/opt/tarn/include/tarn/tarn.h" ] || fail "tarn.h is not installed" || return 1
    for header in $(cd "$root/opt/tarn/include/tarn" && find . -name '*.h'); do
        # shellcheck disable=SC2046
        echo "#include <$header>" | $CC -std=c17 -Wall -Wextra -Wpedantic -Werror $(pkg --cflags) -fsyntax-only -x c - ||
            fail "$header does not compile on its own" || return 1
    done
    internal=$(find "$root/opt/tarn/include" -name '*_impl.h' -o -name op.h -o -name kernels.h)
    [ -z "$internal" ] || fail "internal headers are installed: $internal"
}

headers_suit_cpp() {
    found=77
    cat >"$here/program.cpp" <<'END'
#include <cstddef>
#include <cstdint>
#include <tarn.h>
int main()
{
    int rows = 2, axis = 0;
    long columns = 3;
    std::size_t channels = 4;
    tarn_tape *t = tarn_tape_new();
    tarn_tensor *x = tarn_zeros(t, TARN_F32, TARN_SHAPE(rows++, columns, channels));
    tarn_tensor *y = tarn_sum(t, x, TARN_AXES(axis, 1), false);
    tarn_tensor *all = tarn_sum(t, tarn_reshape(t, x, TARN_SHAPE(24)), TARN_ALL_AXES, false);
    const std::int64_t at[] = {3};
    const bool right = rows == 3 && tarn_dim(x, 0) == 2 && tarn_dim(x, 1) == 3 && tarn_dim(x, 2) == 4 &&
                       tarn_ndim(y) == 1 && tarn_dim(y, 0) == 4 && tarn_at(y, at) == 0 && tarn_item(all) == 0;
    tarn_tape_free(t);
    return right ? 0 : 1;
}
END
    for compiler in g++ clang++; do
        command -v "$compiler" >/dev/null || continue
        found=0
        for standard in c++11 c++14 c++17 c++20; do
            for pedantic in -Wpedantic -pedantic-errors; do
                # shellcheck disable=SC2046
                "$compiler" -std=$standard -Wall -Wextra -Wconversion -Wshadow -Werror $pedantic $(pkg --cflags) \
                    "$here/program.cpp" $(pkg --libs) -o "$here/program" ||
                    fail "$compiler -std=$standard $pedantic does not take the headers" || return 1
            done
            LD_LIBRARY_PATH=$lib "$here/program" || fail "$compiler -std=$standard: a wrong shape" || return 1
        done
    done
    return $found
}

hello() {
    cp examples/hello.c "$here/hello.c" && cd "$here" && $CC -std=c17 -Werror "$@" -o hello || return 1
    said=$(LD_LIBRARY_PATH=$lib ./hello) || return 1
    echo "$said"
    case $said in *"y = 1.818595"*) ;; *) fail "2 sin 2 is 1.818595" || return 1 ;; esac
    if [ -c /dev/full ] && LD_LIBRARY_PATH=$lib ./hello >/dev/full 2>&1; then fail "hello >/dev/full: status 0"; fi
}

shared_program() {
    # shellcheck disable=SC2046
    (hello $(pkg --cflags) hello.c $(pkg --libs)) || return 1
    readelf -d "$here/hello" | grep -q 'NEEDED.*\[libtarn\.so\.0\]' || fail "the program does not ask for libtarn.so.0"
}

static_program() {
    mkdir "$here/shared" && mv "$lib"/libtarn.so* "$here/shared/" || return 1
    # shellcheck disable=SC2046
    (hello $(pkg --cflags) hello.c $(pkg --static --libs))
    status=$?
    mv "$here"/shared/* "$lib/"
    [ $status -eq 0 ] || return 1
    if readelf -d "$here/hello" | grep -q libtarn; then fail "the program asks for the shared library"; fi
}

# As the README has it, without a word to the loader at run time.
program_in_a_folder_with_a_space() (
    prefix="$here/a folder & more"
    "$MAKE" -s install CC="$CC" BUILD="$BUILD" PREFIX="$prefix" || fail "make install failed" || return 1
    unset PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
    export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
    cp examples/hello.c "$here/hello.c" && cd "$here" || return 1
    eval "$CC -std=c17 hello.c $("$PKG_CONFIG" --cflags --libs tarn)" \
        '-Wl,-rpath,"$("$PKG_CONFIG" --variable=libdir tarn)"' -o with_rpath || fail "no shared program" || return 1
    eval "$CC -std=c17 hello.c $("$PKG_CONFIG" --static --cflags --libs tarn | sed 's/-ltarn/-l:libtarn.a/')" \
        -o without || fail "no static program" || return 1
    readelf -d with_rpath | grep -q 'NEEDED.*\[libtarn\.so\.0\]' || fail "the program does not ask for libtarn.so.0" || return 1
    if readelf -d without | grep -q libtarn; then fail "the program asks for the shared library"; return 1; fi
    for program in with_rpath without; do
        case $(./$program) in *"y = 1.818595"*) ;; *) fail "$program does not run" || return 1 ;; esac
    done
)

uninstall_leaves_nothing() {
    "$MAKE" -s uninstall DESTDIR="$root" PREFIX=/opt/tarn LIBDIR=/opt/tarn/lib INCLUDEDIR=/opt/tarn/include || return 1
    left=$(find "$root" ! -type d)
    [ -z "$left" ] || fail "still there: $left"
}

echo "[==========] Running $(echo "$tests" | wc -w) test(s)."
passed=0 failed='' skipped=''
installs || tests=installs
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
