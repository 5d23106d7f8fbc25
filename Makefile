# coppice: pruning sweeps on clusters. `make help` prints the targets.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
SAN ?=
DEV ?= 0
# V=1 shows the commands
Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))
# CUDA=0 and SLURM=0 leave a part out that would be found; CUDNN_HOME (environment) is where cuDNN is if not beside nvcc
CUDA ?= auto
SLURM ?= auto
# what `check` and `sanitize` build, and tests that run, at once
JOBS ?= $(shell nproc)
# to make's own, but where a -j was given
at_once = $(if $(filter --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))

CC = gcc
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings
CFLAGS ?= -O3 -g
CXX = g++
NVCC = nvcc
CPPFLAGS += -D_GNU_SOURCE -Ilib
# -fno-math-errno: nobody reads errno after sqrtf, and loops with it can be vectorised; values stay exact
ALLFLAGS = -std=c11 -fno-math-errno $(WARN) $(CFLAGS) -fopenmp $(if $(filter 1,$(DEV)),-Werror) \
           $(if $(SAN),-DCOP_NO_CLONES -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)

SANFLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
# the kernels for the host, where tests stand in for CUDA: they read memory as whatever they like
EMUFLAGS = -std=c++17 -fPIC -DCOP_EMULATE -D_GNU_SOURCE -Ilib -I. -Ikernels -Itests/cuda -Itests/cuda/include -O2 -g -Wall \
           -Wextra -Wno-unknown-pragmas -ffp-contract=fast -fno-strict-aliasing $(if $(filter 1,$(DEV)),-Werror) $(SANFLAGS)
NVCCFLAGS = -std=c++17 -O3 -lineinfo -D_GNU_SOURCE -Ilib -Ikernels -gencode arch=compute_80,code=sm_80 \
            -gencode arch=compute_90,code=[sm_90,compute_90] -Xcompiler -fPIC,-Wall,-Wextra \
            $(if $(filter 1,$(DEV)),-Werror all-warnings)

# What was found is kept in one file; these goals work before it exists, the others make it.
CONFIG = $(BUILD)/config.mk
ifneq ($(filter-out help deps clean format demo check ci bench fuzz,$(or $(MAKECMDGOALS),all)),)
include $(CONFIG)
endif

LIB_SRC := $(filter-out %_module.c,$(wildcard lib/*/*.c))
BIN_SRC := $(wildcard bin/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
SLURM_TEST_SRC := $(wildcard tests/slurm/*.c)
GPU_TEST_SRC := $(wildcard tests/gpu/test_*.c)
# these open the module; the others are linked with the kernels
MODULE_TEST_SRC := $(patsubst %,tests/gpu/test_%.c,feed networks training)
MODULE_TEST_HELP := tests/gpu/module.c tests/gpu/images.c
GPU_TEST_HELP := $(filter-out $(GPU_TEST_SRC) $(MODULE_TEST_HELP),$(wildcard tests/gpu/*.c))
UNIT_HELP := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
ASSETS := $(wildcard jobs/*) $(wildcard configs/demo.json)

# objects of different flags never meet: their folder is named by the flags' hash
FLAGS_HASH := $(shell printf '%s' '$(ALLFLAGS) $(CPPFLAGS) $(DEP_CFLAGS) $(EMUFLAGS)' | cksum | cut -d' ' -f1)
OBJ := $(BUILD)/obj-$(FLAGS_HASH)
LIB_OBJ := $(LIB_SRC:%.c=$(OBJ)/%.o)
# the kernels are built for three kinds of processor on x86-64; the program chooses when it starts
KERNELS = $(addprefix $(OBJ)/lib/compute/kernels_,products rows panels)
ifeq ($(shell uname -m),x86_64)
LIB_OBJ += $(KERNELS:=-v3.o) $(KERNELS:=-v4.o)
$(OBJ)/lib/compute/kernels_choice.o: CPPFLAGS += -DCOP_KERNELS_X86
endif
# a product and a sum in one rounding, which the hand-made loops count on
$(KERNELS:=.o) $(KERNELS:=-v3.o) $(KERNELS:=-v4.o): CPPFLAGS += -ffp-contract=fast
BIN_OBJ := $(BIN_SRC:%.c=$(OBJ)/%.o)
TOOL_BIN := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c))
FAULT_SO := $(BUILD)/tests/fault_shim.so
FAKE_SO := $(patsubst tests/fake/%.c,$(BUILD)/tests/fake_%.so,$(wildcard tests/fake/*.c))
CUDA_OBJ := $(patsubst kernels/%.cu,$(BUILD)/cuda/%.o,$(wildcard kernels/*.cu))
EMU_OBJ := $(patsubst kernels/%.cu,$(OBJ)/emulated/%.o,$(wildcard kernels/*.cu)) \
           $(patsubst tests/cuda/%,$(OBJ)/emulated/%.o,$(basename $(wildcard tests/cuda/*.cpp tests/cuda/*.cu)))
MODULE_TEST_BIN := $(MODULE_TEST_SRC:tests/gpu/test_%.c=$(BUILD)/tests/gpu_test_%)
GPU_TEST_BIN := $(filter-out $(MODULE_TEST_BIN),$(GPU_TEST_SRC:tests/gpu/%.c=$(BUILD)/tests/gpu_%))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY_BIN := $(FUZZ_BIN:$(BUILD)/fuzz/%=$(BUILD)/tests/%)
SLURM_TEST_BIN := $(SLURM_TEST_SRC:tests/slurm/%.c=$(BUILD)/tests/%)
MODULE_OBJ := $(patsubst %.c,$(OBJ)/module/%.o,$(wildcard cuda/*.c))
# the sanitizers are not for what NVIDIA's compiler and libraries do
WITH_CUDA := $(if $(SAN),,$(filter 1,$(HAVE_CUDA)))
PLANS_BIN := $(if $(WITH_CUDA),$(BUILD)/tests/cuda_plans)
# the tests that hold the emulation against itself want no GPU
REAL_TEST_BIN := $(if $(WITH_CUDA),$(patsubst tests/gpu/%.c,$(BUILD)/gpu/%,$(filter-out %/test_emulation.c $(MODULE_TEST_SRC),$(GPU_TEST_SRC))))
BUNDLED := $(addprefix $(BUILD)/bundled/,coppice same_tensors near_tensors $(if $(WITH_CUDA),coppice-cuda.so))
MODULES := $(if $(filter 1,$(HAVE_SLURM)),$(BUILD)/coppice-slurm.so) $(if $(WITH_CUDA),$(BUILD)/coppice-cuda.so)

.PHONY: all demo check check-unit check-cli check-slurm check-fault fault-all bench sanitize lint format fuzz install doctor deps clean help ci tests
.DELETE_ON_ERROR:

all: $(BUILD)/coppice $(MODULES) ## build the program and its modules (the default)

demo: ## train, sweep and report on synthetic digits, in under two minutes
	@tools/deps.sh build
	@$(MAKE) --no-print-directory all
	@$(BUILD)/coppice run configs/demo.json -o results/demo

check: ## every test: units, command line, a real SLURM cluster, sanitizers, lint
	@tools/deps.sh build check
	@$(MAKE) --no-print-directory $(at_once) all tests
	@tests/run.sh

ci: check

tests: all $(BUILD)/emulated/coppice-cuda.so $(UNIT_BIN) $(GPU_TEST_BIN) $(MODULE_TEST_BIN) $(PLANS_BIN) $(TOOL_BIN) $(FAKE_SO) $(FAULT_SO) $(REPLAY_BIN) $(SLURM_TEST_BIN)

check-unit: tests ## the unit tests alone
	@BUILD=$(BUILD) tests/run.sh unit

check-cli: tests ## the command-line tests alone
	@BUILD=$(BUILD) tests/run.sh cli

check-slurm: tests ## the tests on a SLURM cluster alone
	@BUILD=$(BUILD) tests/run.sh slurm

check-fault: tests ## one library call made to fail, in turn, alone
	@BUILD=$(BUILD) tests/run.sh fault

fault-all: tests ## the same with every call, where `check` takes a sample: an hour
	@COPPICE_FAULT_ALL=1 TEST_LIMIT=36000 BUILD=$(BUILD) tests/run.sh fault

bench: ## coppice beside numpy and PyTorch, in turn
	@tools/deps.sh build bench
	@$(MAKE) --no-print-directory all
	@tests/bench/run.sh

# less in quarantine than its 256 MB: programs that fork for each file take less time over their pages
sanitize: ## unit and command-line tests with the address and undefined-behaviour sanitizers, both at once
	@$(MAKE) --no-print-directory $(at_once) BUILD=build/sanitize SAN=address,undefined CFLAGS='-O1 -g' tests
	@SAN=address,undefined ASAN_OPTIONS=quarantine_size_mb=16 OMP_WAIT_POLICY=passive BUILD=build/sanitize tests/run.sh unit cli

fuzz: ## libFuzzer on IDX, JSON and images, FUZZ_SECONDS (600) for each; wants clang
	@tools/deps.sh build fuzz
	@$(MAKE) --no-print-directory $(FUZZ_BIN)
	@BUILD=$(BUILD) tests/fuzz/run.sh

lint: $(CONFIG) ## floors, foreign headers, format, headers that stand alone
	@DEP_CFLAGS='$(DEP_CFLAGS)' tools/lint.sh

format: ## put every source file into the house's format
	@clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cpp')

install: all ## copy the program, its modules and manual below PREFIX (DESTDIR in front)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/coppice $(DESTDIR)$(PREFIX)/share/man/man1 \
	           $(DESTDIR)$(PREFIX)/share/coppice/configs
	install -m 755 $(BUILD)/coppice $(DESTDIR)$(PREFIX)/bin/coppice
	$(if $(MODULES),install -m 644 $(MODULES) $(DESTDIR)$(PREFIX)/lib/coppice/)
	install -m 644 configs/*.json $(DESTDIR)$(PREFIX)/share/coppice/configs/
	$(if $(wildcard docs/*.1),install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(PREFIX)/share/man/man1/)

.PHONY: bundle gpu-check gpu-bench
VERSION := $(shell sed -n 's/.*return "\([0-9.]*\) .*/\1/p' lib/base/version.c)
BUNDLE ?= $(BUILD)/bundle/coppice-$(VERSION)-$(shell uname -m)
# BUNDLE_CUDA=0 leaves cuDNN and cuBLASLt out, BUNDLE_TESTS=1 adds the tests for a GPU
BUNDLE_CUDA ?= 1
BUNDLE_TESTS ?= 0

bundle: all $(BUNDLED) $(if $(filter 1,$(BUNDLE_TESTS)),$(REAL_TEST_BIN) $(MODULE_TEST_BIN)) ## a folder, packed too, that runs where nothing can be installed
	@CUDA=$(BUNDLE_CUDA) TESTS=$(BUNDLE_TESTS) ARCHIVE=1 tools/bundle.sh $(BUILD) $(BUNDLE)

tests: $(if $(SAN),,$(BUNDLED))

gpu-check: all $(TOOL_BIN) $(REAL_TEST_BIN) $(MODULE_TEST_BIN) ## the tests that want a GPU: kernels, steps, the same bits, NVIDIA's sanitizer
	@BUILD=$(BUILD) tests/run.sh gpu

gpu-bench: all ## coppice on a GPU beside PyTorch, in turn
	@BUILD=$(BUILD) tests/bench/gpu.sh

doctor: all ## what the build found, and what the program finds
	@sed 's/^/  /' $(CONFIG)
	@$(BUILD)/coppice doctor

deps: ## install what building and testing need (Debian packages)
	@tools/deps.sh build check

clean: ## remove everything made
	rm -rf build

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

$(CONFIG): tools/detect.sh
	@mkdir -p $(@D)
	@CUDA=$(CUDA) SLURM=$(SLURM) tools/detect.sh > $@.tmp && mv $@.tmp $@

$(BUILD)/coppice: $(BIN_OBJ) $(BUILD)/libcoppice.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $(BIN_OBJ) $(BUILD)/libcoppice.a $(DEP_LIBS) $(LDFLAGS)

$(BUILD)/libcoppice.a: $(LIB_OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# The module is alone with libslurm: a new SLURM means building this one file again.
$(BUILD)/coppice-slurm.so: lib/sched/slurm_module.c $(wildcard lib/sched/*.h lib/base/*.h)
	$(call say,SO,$@)
	$(Q)$(CC) $(ALLFLAGS) $(CPPFLAGS) -fPIC -shared -o $@ $< $(SLURM_CFLAGS) $(SLURM_LIBS)

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALLFLAGS) $(CPPFLAGS) $(DEP_CFLAGS) -MMD -MP -c -o $@ $<

$(KERNELS:=-v3.o): MARCH = x86-64-v3
$(KERNELS:=-v4.o): MARCH = x86-64-v4
$(KERNELS:=-v3.o): $(OBJ)/%-v3.o: %.c
$(KERNELS:=-v4.o): $(OBJ)/%-v4.o: %.c
$(KERNELS:=-v3.o) $(KERNELS:=-v4.o):
	@mkdir -p $(@D)
	$(call say,CC,"$< ($(MARCH))")
	$(Q)$(CC) $(ALLFLAGS) -march=$(MARCH) $(CPPFLAGS) $(DEP_CFLAGS) -MMD -MP -c -o $@ $<

# What speaks to CUDA, in C, and the kernels. A symbol that neither has nor the libraries is an error here, not when the
# module is opened.
$(BUILD)/coppice-cuda.so: $(MODULE_OBJ) $(CUDA_OBJ)
	$(call say,SO,$@)
	$(Q)$(CXX) -shared -o $@ $^ -Wl,--no-undefined -Wl,-Bsymbolic $(CUDA_LIBS) -Wl,-rpath,'$(CUDA_PATH)'

$(OBJ)/module/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALLFLAGS) -fPIC -I. $(CPPFLAGS) $(CUDA_CFLAGS) -MMD -MP -c -o $@ $<

# the plans that cuDNN makes for a GPU that is described to it
PLANS_OBJ := $(addprefix $(OBJ)/module/,tests/cuda/plans.o $(patsubst %,cuda/%.o,products cudnn dnn_graph cublas fail))
CUDA_STUB := $(patsubst -L%,%,$(firstword $(filter -L%,$(CUDA_LIBS))))/stubs/libcuda.so
$(OBJ)/module/tests/cuda/plans.o: CPPFLAGS += -DCUDA_STUB='"$(CUDA_STUB)"'
$(PLANS_BIN): $(PLANS_OBJ) $(BUILD)/cuda/widen.o $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) -fopenmp -o $@ $^ $(DEP_LIBS) $(CMOCKA_LIBS) $(CUDA_LIBS) -Wl,-rpath,'$(CUDA_PATH)'

# For a bundle: libraries are looked for in its folder lib/coppice-libs first. What a program opens at run time and what
# libraries need themselves is looked for there only with DT_RPATH, the older kind of path.
$(BUILD)/bundled/coppice: $(BIN_OBJ) $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $(BIN_OBJ) $(BUILD)/libcoppice.a $(DEP_LIBS) $(LDFLAGS) \
	    -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../lib/coppice-libs'

$(filter %_tensors,$(BUNDLED)): $(BUILD)/bundled/%: $(OBJ)/tests/tools/%.o $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $^ $(DEP_LIBS) $(LDFLAGS) \
	    -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../../../lib/coppice-libs'

$(BUILD)/bundled/coppice-cuda.so: $(MODULE_OBJ) $(CUDA_OBJ)
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CXX) -shared -o $@ $^ -Wl,--no-undefined -Wl,-Bsymbolic $(CUDA_LIBS) \
	    -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../coppice-libs'

# the tests of the kernels with the CUDA runtime, kernels and libraries themselves, in a bundle too
$(REAL_TEST_BIN): $(BUILD)/gpu/%: $(OBJ)/module/tests/gpu/%.o $(GPU_TEST_HELP:%.c=$(OBJ)/module/%.o) $(CUDA_OBJ) \
                                  $(patsubst %,$(OBJ)/module/cuda/%.o,products cudnn dnn_graph cublas fail) $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) -g -fopenmp -o $@ $^ $(DEP_LIBS) $(CMOCKA_LIBS) $(CUDA_LIBS) \
	    -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../../lib/coppice-libs:$(CUDA_PATH)'

$(OBJ)/module/tests/gpu/%.o: CPPFLAGS += -Ikernels

# the kernels, for GPUs from Ampere on
$(BUILD)/cuda/%.o: kernels/%.cu
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

# the kernels as C++, what runs them on the host, and a CUDA runtime of the tests' own
define emulate
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(EMUFLAGS) -x c++ -MMD -MP -c -o $@ $<
	$(Q)objcopy --rename-section .bss=cop_shared,alloc,load,data,contents $@
endef
$(OBJ)/emulated/%.o: kernels/%.cu
	$(emulate)

$(OBJ)/emulated/%.o: tests/cuda/%.cu
	$(emulate)

$(OBJ)/emulated/%.o: tests/cuda/%.cpp
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(EMUFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libemulated.a: $(EMU_OBJ)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# the whole module on the host
EMU_MODULE_OBJ := $(patsubst %,$(OBJ)/emulated/cuda/%.o,device table fusion module fail measure)
$(EMU_MODULE_OBJ): $(OBJ)/emulated/cuda/%.o: cuda/%.c
	@mkdir -p $(@D)
	$(call say,CC,"$< (emulated)")
	$(Q)$(CC) $(ALLFLAGS) -fPIC -I. -Itests/cuda/include $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/emulated/coppice-cuda.so: $(EMU_MODULE_OBJ) $(BUILD)/libemulated.a
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CXX) $(SANFLAGS) -shared -o $@ $(EMU_MODULE_OBJ) $(BUILD)/libemulated.a -lpthread

$(OBJ)/tests/gpu/%.o: CPPFLAGS += -I. -Ikernels -Itests/cuda/include

$(GPU_TEST_BIN): $(BUILD)/tests/gpu_%: $(OBJ)/tests/gpu/%.o $(GPU_TEST_HELP:%.c=$(OBJ)/%.o) $(BUILD)/libemulated.a \
                                       $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(SANFLAGS) -g -fopenmp -o $@ $^ $(DEP_LIBS) $(CMOCKA_LIBS) $(LDFLAGS)

$(MODULE_TEST_SRC:%.c=$(OBJ)/%.o) $(MODULE_TEST_HELP:%.c=$(OBJ)/%.o): CPPFLAGS += -Itests/unit

# the tests that open a module: whichever there is, in a bundle too
$(MODULE_TEST_BIN): $(BUILD)/tests/gpu_%: $(OBJ)/tests/gpu/%.o $(MODULE_TEST_HELP:%.c=$(OBJ)/%.o) \
                                          $(UNIT_HELP:%.c=$(OBJ)/%.o) $(BUILD)/libcoppice.a | $(BUILD)/emulated/coppice-cuda.so
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $^ $(DEP_LIBS) $(CMOCKA_LIBS) $(LDFLAGS) \
	    -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../../lib/coppice-libs'

# the commit goes into one small object, made again when it changes
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
$(OBJ)/lib/base/version.o: CPPFLAGS += -DCOP_COMMIT='"$(COMMIT)"'
$(OBJ)/lib/base/version.o: $(BUILD)/commit-$(COMMIT)
$(BUILD)/commit-$(COMMIT):
	@mkdir -p $(@D)
	@rm -f $(BUILD)/commit-* && touch $@

# files carried inside the program
$(OBJ)/lib/sweep/assets.o: $(ASSETS)

# programs that the tests on a cluster run
$(SLURM_TEST_BIN): $(BUILD)/tests/%: $(OBJ)/tests/slurm/%.o $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $^ $(DEP_LIBS) $(LDFLAGS)

# what the test scripts use beside coppice itself
$(BUILD)/tests/tools/%: $(OBJ)/tests/tools/%.o $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(CC) $(ALLFLAGS) -o $@ $^ $(DEP_LIBS) $(LDFLAGS)

# libraries that stand in for others
$(FAKE_SO): $(BUILD)/tests/fake_%.so: tests/fake/%.c
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CC) $(ALLFLAGS) $(CPPFLAGS) -fPIC -shared -o $@ $<

# makes a library call fail; goes before all others into programs that have a sanitizer's flags or not
$(FAULT_SO): tests/fault/shim.c
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CC) -std=c11 $(WARN) $(CFLAGS) $(CPPFLAGS) -fPIC -shared -o $@ $<

# the fuzzers' targets with their seeds alone, for any compiler
$(REPLAY_BIN): $(BUILD)/tests/%: $(OBJ)/tests/fuzz/%.o $(OBJ)/tests/fuzz/replay.o $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $^ $(DEP_LIBS) $(LDFLAGS)

# What the fuzzers reach, compiled by clang all at once: the instruments want every file, and without OpenMP.
FUZZ_SRC := $(wildcard lib/base/*.c lib/nn/models*.c) lib/nn/graph.c lib/sweep/experiment.c lib/data/idx.c \
            lib/data/image.c lib/data/fit.c lib/data/png.c $(wildcard lib/data/jpeg*.c)
$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_SRC) $(wildcard lib/*/*.h)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)clang -std=c11 $(WARN) -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address -DCOP_COMMIT='"fuzz"' \
	    -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION $(CPPFLAGS) $(DEP_CFLAGS) -o $@ $< $(FUZZ_SRC) $(DEP_LIBS)

# it stands in for a disk that fails, and is slow
$(BUILD)/tests/test_staging: LDFLAGS += -Wl,--wrap=read,--wrap=write,--wrap=statvfs,--wrap=flock
# they stand in for the allocator
$(BUILD)/tests/test_memory: LDFLAGS += -Wl,--wrap=aligned_alloc
$(BUILD)/tests/test_steady: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc

$(BUILD)/tests/%: $(OBJ)/tests/unit/%.o $(UNIT_HELP:%.c=$(OBJ)/%.o) $(BUILD)/libcoppice.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALLFLAGS) -o $@ $^ $(DEP_LIBS) $(CMOCKA_LIBS) $(LDFLAGS)

-include $(shell find $(OBJ) $(BUILD)/cuda -name '*.d' 2>/dev/null)
