# Builds tarn. `make help` lists what there is; these may be set on the command line or in the environment:
#   CC CFLAGS CPPFLAGS LDFLAGS   as usual; tarn's own flags are added to them
#   BUILD                        where everything built goes (build)
#   SANITIZE=1                   with AddressSanitizer and UndefinedBehaviorSanitizer, in build/sanitize
#   SANITIZE=thread              with ThreadSanitizer, in build/thread
#   WERROR=1                     warnings are errors
#   OPENBLAS                     how OpenBLAS is linked (-lopenblas)
#   RUN                          a program that runs the tests, such as an emulator
#   V=1                          print the commands
#   PREFIX LIBDIR DESTDIR        for install

VERSION = 0.1.0
SONAME  = libtarn.so.0

ifeq ($(origin CC),default)
CC = gcc
endif
PKG_CONFIG ?= pkg-config
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATA       ?= /usr/share/datasets/fashion-mnist

ifeq ($(SANITIZE),1)
BUILD    ?= build/sanitize
CFLAGS   ?= -O1 -g -fno-omit-frame-pointer
SANITIZER = -fsanitize=address,undefined -fno-sanitize-recover=all -DTARN__ASSERTS
ifeq ($(findstring clang,$(CC)),)
SANITIZER += -Wno-maybe-uninitialized # the sanitizers mislead it
endif
else ifeq ($(SANITIZE),thread)
BUILD    ?= build/thread
CFLAGS   ?= -O1 -g -fno-omit-frame-pointer
SANITIZER = -fsanitize=thread -DTARN__ASSERTS
# A test forks after work on several threads.
SANITIZED_ENV = TSAN_OPTIONS="$${TSAN_OPTIONS-die_after_fork=0}"
else
BUILD    ?= build
CFLAGS   ?= -O3 -g
endif
ifneq ($(V),1)
Q   = @
say = @printf '  %-5s %s\n' $(1) $(2:$(BUILD)/%=%)
endif

# ---- flags

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(if $(filter 1,$(WERROR)),-Werror)

# Headers of other libraries are system headers: their warnings are not ours to mend.
pkg_cflags = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null))
STB_CFLAGS      := $(or $(call pkg_cflags,stb),-isystem /usr/include/stb)

ALL_CPPFLAGS = -D_POSIX_C_SOURCE=200809L -I. $(STB_CFLAGS) $(CPPFLAGS) -MMD -MP
# A product and a sum are joined where the sources say so (tensor/kernels/fma.inc), and nowhere else: so all compilers
# round alike, whatever CFLAGS holds.
ALL_CFLAGS   = -std=c17 $(WARNINGS) -pthread -fPIC -fvisibility=hidden $(TLS) $(CFLAGS) -ffp-contract=off $(SANITIZER)
# glibc takes a loaded library's thread-local variables from the heap at a thread's first use, and ends the process where
# that has nothing to give; these are so few that they fit into what it keeps for the purpose.
GLIBC       := $(filter 2,$(shell echo __GLIBC__ | $(CC) -include features.h -E -P -x c - 2>/dev/null))
TLS          = $(if $(GLIBC),-ftls-model=initial-exec)
# The OpenBLAS that starts no threads of its own, where Debian puts it; elsewhere the one that is there.
OPENBLAS_DIR := $(wildcard /usr/lib/$(subst -pc-,-,$(shell $(CC) -dumpmachine 2>/dev/null))/openblas-serial)
OPENBLAS     ?= $(foreach folder,$(OPENBLAS_DIR),-L$(folder) -Wl,-rpath,$(folder)) -lopenblas
LDLIBS       = $(OPENBLAS) -lz -lm

# The loops get one object per instruction set. They neither set errno nor raise traps, which would keep loops from
# being vectorised.
# Infinities, NaN and the order of additions stay as written: no -ffast-math.
LOOPS        = -fno-math-errno -fno-trapping-math
ISA_baseline =
ISA_avx2     = -march=x86-64-v3
ISA_avx512   = -march=x86-64-v4 -mprefer-vector-width=512
X86_64      := $(shell echo __x86_64__ | $(CC) $(CFLAGS) -E -P -x c - 2>/dev/null)
ifeq ($(X86_64),1)
ISAS         = baseline avx2 avx512
ISA_baseline = -march=x86-64
else
ISAS         = baseline
endif

# stb_image relies on signed overflow wrapping.
IMAGE = -fwrapv
$(BUILD)/data/image.o: OWN_CFLAGS = $(IMAGE)

# ---- what there is to build

LOOPS_SRC = tensor/kernels/kernels.c
LIB_SRC   = $(filter-out $(LOOPS_SRC),$(wildcard $(addsuffix /*.c,tensor tensor/kernels autograd layers optim data)))
LOOPS_OBJ = $(ISAS:%=$(BUILD)/tensor/kernels/kernels_%.o)
LIB_OBJ   = $(LIB_SRC:%.c=$(BUILD)/%.o) $(LOOPS_OBJ)

# A program each; examples and benchmarks share examples/common. In tests/, a test_*.c is a test program, a
# torch_*.c any other program, and the rest is shared by the tests. What is shared is linked where it is used.
EXAMPLES  = $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
BENCHES   = $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))
TESTS     = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c))
TORCHES   = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/torch_*.c))
COMMON    = $(patsubst %.c,$(BUILD)/%.o,$(wildcard examples/common/*.c))
BENCH_HELP = $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/common/*.c))
TEST_HELP = $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/test_%.c tests/torch_%.c,$(wildcard tests/*.c)))

STATIC    = $(BUILD)/libtarn.a
SHARED    = $(BUILD)/libtarn.so.$(VERSION)
OBJECTS   = $(LIB_OBJ) $(COMMON) $(BENCH_HELP) $(TEST_HELP) $(addsuffix .o,$(EXAMPLES) $(BENCHES) $(TESTS) $(TORCHES))

.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
.PHONY: all tests cnn lecture test test-aarch64 bench valgrind deps install uninstall format check-format clean help FORCE

# Building starts in another make, so that it finds what was installed; with every processor, unless -j says
# otherwise.
build = +@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)) only ONLY='$(1)'
.PHONY: only
only: $(ONLY)
	@:
NEED = @CC='$(CC)' CPPFLAGS='$(CPPFLAGS)' CFLAGS='$(CFLAGS)' LDFLAGS='$(LDFLAGS)' DATA='$(DATA)' \
       OPENBLAS='$(OPENBLAS)' OPENBLAS_FROM='$(origin OPENBLAS)' STB_CFLAGS='$(STB_CFLAGS)' tools/need

all: ## build the library, the examples and the benchmarks
	$(NEED) --check build
	$(call build,$(STATIC) $(SHARED) $(EXAMPLES) $(BENCHES))

tests: ## build the tests
	$(NEED) --check build test
	$(call build,$(TESTS) $(TORCHES))

# ---- building

# What is built depends on the compiler, the flags and the list of sources: two files that are written when these
# change.
$(BUILD)/flags: TEXT   = $(shell $(CC) --version 2>/dev/null | head -n 1) $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) \
                         $(LDFLAGS) $(LDLIBS) $(LOOPS) $(foreach isa,$(ISAS),$(ISA_$(isa))) $(IMAGE)
$(BUILD)/sources: TEXT = $(LIB_OBJ) $(COMMON) $(BENCH_HELP) $(TEST_HELP)
$(BUILD)/flags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@text='$(subst ','\'',$(TEXT))'; echo "$$text" | cmp -s - $@ || echo "$$text" >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(OWN_CFLAGS) -c -o $@ $<

$(LOOPS_OBJ): $(BUILD)/tensor/kernels/kernels_%.o: $(LOOPS_SRC) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LOOPS) $(ISA_$*) -DTARN__ISA=$* -c -o $@ $<

$(SHARED): $(LIB_OBJ) tarn.map $(BUILD)/sources
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=tarn.map \
	    -Wl,-z,nodelete $(if $(SANITIZER),,-Wl,-z,defs) $(LDFLAGS) -o $@ $(LIB_OBJ) $(LDLIBS)
	$(Q)ln -sf $(@F) $(BUILD)/$(SONAME) && ln -sf $(SONAME) $(BUILD)/libtarn.so

$(BUILD)/examples/libcommon.a: $(COMMON)
$(BUILD)/bench/libcommon.a: $(BENCH_HELP)
$(BUILD)/tests/libcommon.a: $(TEST_HELP)
$(STATIC): $(LIB_OBJ)
$(STATIC) $(foreach folder,examples bench tests,$(BUILD)/$(folder)/libcommon.a): $(BUILD)/sources
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BENCHES): $(BUILD)/bench/libcommon.a
$(EXAMPLES) $(BENCHES): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/examples/libcommon.a $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %/bench/libcommon.a,$^) \
	    $(filter %/examples/libcommon.a,$^) $(STATIC) $(LDLIBS)

# The whole archive, because the tests ask for the list of all ops.
$(TESTS) $(TORCHES): $(BUILD)/%: $(BUILD)/%.o $(STATIC)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter-out $(STATIC),$^) -Wl,--whole-archive $(STATIC) \
	    -Wl,--no-whole-archive $(TEST_LIBS) $(LDLIBS)
$(TESTS): TEST_LIBS = -lcmocka
$(BUILD)/tests/test_data_ahead $(BUILD)/tests/test_threads: TEST_LIBS += -Wl,--wrap=pthread_create # they refuse threads
$(TESTS): $(BUILD)/tests/libcommon.a
$(BUILD)/tests/test_plot: $(BUILD)/examples/libcommon.a

-include $(OBJECTS:.o=.d)

# ---- running

cnn: ## train the example network on Fashion-MNIST and draw what happened; options in ARGS="..."
	$(NEED) build $(if $(findstring --data,$(ARGS)),,data)
	$(call build,$(BUILD)/examples/cnn)
	$(BUILD)/examples/cnn $(ARGS)

# P="surface landscape" runs these two only.
LECTURE = $(filter-out cnn hello,$(EXAMPLES:$(BUILD)/examples/%=%))
P      ?= $(LECTURE)
lecture: ## run the programs of docs/lecture.md, or those named in P="surface landscape"; options in ARGS="..."
	$(NEED) build $(if $(findstring --data,$(ARGS)),,data)
	$(call build,$(P:%=$(BUILD)/examples/%))
	@set -e; for program in $(P); do echo "$$program"; $(BUILD)/examples/$$program $(ARGS); echo; done

# T="rng ops" runs tests/test_rng.c and tests/test_ops.c only. The scripts look at the plain build.
SCRIPTS   = $(patsubst tests/test_%.sh,%,$(wildcard tests/test_*.sh))
T        ?= $(TESTS:$(BUILD)/tests/test_%=%) $(if $(SANITIZER)$(RUN),,$(SCRIPTS))
T_BUILT   = $(filter-out $(SCRIPTS),$(T))
RUN_TESTS = $(T_BUILT:%=$(BUILD)/tests/test_%) $(patsubst %,tests/test_%.sh,$(filter $(SCRIPTS),$(T)))
TEST_ENV  = CC='$(CC)' OPENBLAS='$(OPENBLAS)' RUN='$(RUN)' BUILD='$(BUILD)' DATA='$(DATA)' PKG_CONFIG='$(PKG_CONFIG)' \
            ASAN_OPTIONS="$${ASAN_OPTIONS-allocator_may_return_null=1}" \
            LSAN_OPTIONS="$${LSAN_OPTIONS-suppressions=tests/lsan.supp:print_suppressions=0}" \
            UBSAN_OPTIONS="$${UBSAN_OPTIONS-print_stacktrace=1}" $(SANITIZED_ENV)
test: ## run every test, or those named in T="rng ops"; the last line counts them
	$(NEED) build test data
	$(call build,$(T_BUILT:%=$(BUILD)/tests/test_%) $(if $(filter $(SCRIPTS),$(T)),\
	    $(STATIC) $(SHARED) $(EXAMPLES) $(BENCHES) $(TESTS) $(TORCHES)))
	@$(TEST_ENV) tests/run $(if $(RUN),-w '$(RUN)') $(RUN_TESTS)

# Emulated, a program takes 10 to 50 times as long.
test-aarch64: ## build for aarch64, and run the tests with qemu-user, or those named in T="rng ops"
	$(NEED) qemu
	+@PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig TEST_TIMEOUT=$${TEST_TIMEOUT-7200} \
	    $(MAKE) --no-print-directory test CC=aarch64-linux-gnu-gcc RUN=qemu-aarch64 \
	    $(if $(filter file,$(origin BUILD)),BUILD=build/aarch64) $(if $(filter file,$(origin T)),,T='$(T)')

# valgrind knows no AVX-512.
VALGRIND_ISA = $(if $(shell grep -m 1 -w avx2 /proc/cpuinfo 2>/dev/null),avx2,baseline)
valgrind: ## run the tests under valgrind, or those named in T="rng ops"
	$(NEED) build test data valgrind
	$(call build,$(T_BUILT:%=$(BUILD)/tests/test_%))
	@$(TEST_ENV) TARN_ISA=$(VALGRIND_ISA) OPENBLAS_CORETYPE=Haswell TEST_TIMEOUT=$${TEST_TIMEOUT-3600} tests/run \
	    -w 'valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99' \
	    $(T_BUILT:%=$(BUILD)/tests/test_%)

bench: ## build and run the benchmarks; options in ARGS="..."
	$(NEED) build
	$(call build,$(BENCHES))
	@set -e; for bench in ceiling ops inference overhead busy; do $(BUILD)/bench/$$bench $(ARGS); echo; done
	@$(BUILD)/bench/train_step --net all --rate $(ARGS)

# ---- the rest

deps: ## install what building, testing and checking need (apt-get)
	$(NEED) build test data format valgrind

# What tarn.h includes is public.
install: ## install under PREFIX (/usr/local), in DESTDIR if set
	$(NEED) --check build
	$(call build,$(STATIC) $(SHARED))
	$(Q)mkdir -p '$(DESTDIR)$(LIBDIR)/pkgconfig'
	$(Q)set -e; headers=$$($(CC) -I. -MM -MT : tarn.h); \
	for header in $$(echo "$$headers" | tr -d ':\\\n'); do \
	    mkdir -p "$(DESTDIR)$(INCLUDEDIR)/tarn/$$(dirname $$header)"; \
	    cp $$header "$(DESTDIR)$(INCLUDEDIR)/tarn/$$header"; \
	    chmod 644 "$(DESTDIR)$(INCLUDEDIR)/tarn/$$header"; \
	done
	$(Q)cp $(STATIC) $(SHARED) '$(DESTDIR)$(LIBDIR)/'
	$(Q)chmod 644 '$(DESTDIR)$(LIBDIR)/libtarn.a'
	$(Q)ln -sf $(notdir $(SHARED)) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	$(Q)ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libtarn.so'
	$(Q)sed -e 's|@PREFIX@|$(call for_sed,$(PREFIX))|' -e 's|@LIBDIR@|$(call for_sed,$(LIBDIR))|' \
	    -e 's|@INCLUDEDIR@|$(call for_sed,$(INCLUDEDIR))|' \
	    -e 's|@VERSION@|$(VERSION)|' -e 's|@REQUIRES@|zlib|' -e 's|@LIBS@|$(OPENBLAS) -lm -pthread|' \
	    tarn.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/tarn.pc'
for_sed = $(subst |,\|,$(subst &,\&,$(1)))

uninstall: ## remove what install put there
	$(Q)rm -rf '$(DESTDIR)$(INCLUDEDIR)/tarn'
	$(Q)rm -f '$(DESTDIR)$(LIBDIR)/libtarn.a' '$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED))' \
	    '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/libtarn.so' '$(DESTDIR)$(LIBDIR)/pkgconfig/tarn.pc'

CLANG_FORMAT ?= clang-format
SOURCES       = $(wildcard *.h $(foreach folder,tensor tensor/kernels autograd layers optim data tests \
                tests/compilers tests/faults bench bench/common examples examples/common,\
                $(addprefix $(folder)/,*.c *.h *.inc)))
format: ## lay out the sources as .clang-format says
	$(NEED) format
	$(Q)$(CLANG_FORMAT) -i $(SOURCES)

check-format: ## say which sources are laid out differently
	$(NEED) format
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1 /p' Makefile | while read -r name text; do printf '  %-14s %s\n' $$name "$$text"; done
