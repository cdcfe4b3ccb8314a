# tarn: make help
CC      ?= gcc
BUILD   ?= build
WARN     = -Wall -Wextra -Wpedantic -Wshadow -Wconversion
CFLAGS  ?= -O3 -g
CPPFLAGS = -D_POSIX_C_SOURCE=200809L -I. -MMD -MP
ALLFLAGS = -std=c17 $(WARN) $(CFLAGS) -fopenmp -fPIC -fvisibility=hidden
LDLIBS   = -lopenblas -lz -lm

LIB_SRC  = $(wildcard tensor/*.c autograd/*.c layers/*.c optim/*.c data/*.c) tensor/kernels/dispatch.c
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/tensor/kernels/kernels_baseline.o \
           $(BUILD)/tensor/kernels/kernels_avx2.o $(BUILD)/tensor/kernels/kernels_avx512.o
TESTS    = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
EXAMPLES = $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))

all: $(BUILD)/libtarn.a $(EXAMPLES)
$(BUILD)/libtarn.a: $(LIB_OBJ)
	rm -f $@; ar rcs $@ $^
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) $(CPPFLAGS) -c -o $@ $<
$(BUILD)/tensor/kernels/kernels_baseline.o: ISA = -march=x86-64
$(BUILD)/tensor/kernels/kernels_avx2.o: ISA = -march=x86-64-v3
$(BUILD)/tensor/kernels/kernels_avx512.o: ISA = -march=x86-64-v4 -mprefer-vector-width=512
$(BUILD)/tensor/kernels/kernels_%.o: tensor/kernels/kernels.c
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) $(CPPFLAGS) $(ISA) -DTARN__ISA=$* -c -o $@ $<
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(BUILD)/libtarn.a
	$(CC) $(ALLFLAGS) -o $@ $< -Wl,--whole-archive $(BUILD)/libtarn.a -Wl,--no-whole-archive -lcmocka $(LDLIBS)
$(BUILD)/examples/%: $(BUILD)/examples/%.o $(BUILD)/libtarn.a
	$(CC) $(ALLFLAGS) -o $@ $^ $(LDLIBS)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
