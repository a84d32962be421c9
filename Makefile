# smartnic-storage: everything from a fresh Debian 12 or 13 machine.
#
#   make demo     set-up, build, and the main job on real storage:
#                 PROTOCOL=nvme-tcp|iscsi|nfs|all
#   make check    set-up, build, and all tests
#   make build    set-up for building, and build
#   make bench    set-up, build, and measure (docs/performance.rst):
#                 BENCH="null tcp fio fio-null iscsi nfs" RUNS=3 TIME=0.5
#                 NET=auto OUT=folder
#   make soak     set-up, build, and faults under load: FAULTS=1000, SEED=n
#   make fuzz     set-up, build with clang, and fuzz: TIME=60 (seconds each),
#                 FUZZ="switch url volume nvme-tcp nvme-ctrl firmware"
#
#   make check-unit check-qtest check-guest      one suite
#   make clean    remove the build; make distclean also what was fetched
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later

DEPS  ?= $(CURDIR)/.deps
BUILD ?= $(CURDIR)/build
export DEPS

MESON_OPTIONS = -Dqemu_src=$(DEPS)/qemu -Dqemu_build=$(DEPS)/qemu-build \
                -Dlwip_src=$(DEPS)/lwip
BENCH   ?= null tcp fio fio-null iscsi nfs
RUNS    ?= 3
TIME    ?= 0.5
NET     ?= auto
OUT     ?= $(BUILD)/bench-results

MESON_TEST = meson test -C $(BUILD) --no-rebuild --print-errorlogs

.PHONY: build demo check check-unit check-qtest check-guest clean distclean
.PHONY: setup setup-all test-programs bench soak fuzz

build: setup
	@test -e $(BUILD)/build.ninja || meson setup $(BUILD) $(MESON_OPTIONS)
	@ninja -C $(BUILD)

setup:
	@scripts/setup.sh build

setup-all:
	@scripts/setup.sh all

demo: setup-all build
	@SMARTNIC_PLUGIN=$(BUILD)/smartnic.so scripts/demo.sh

test-programs: build
	@ninja -C $(BUILD) test-programs

check: setup-all test-programs
	$(MESON_TEST)

check-unit: test-programs
	$(MESON_TEST) --suite unit

check-qtest: test-programs
	$(MESON_TEST) --suite qtest

check-guest: setup-all test-programs
	$(MESON_TEST) --suite guest

bench: setup-all build
	@ninja -C $(BUILD) bench-programs
	@SMARTNIC_PLUGIN=$(BUILD)/smartnic.so \
	 BARE_GUEST=$(BUILD)/bench/bare/bare-guest.elf \
	 NVME_TCP_TARGET=$(BUILD)/tests/targets/nvme-tcp-target \
	 bench/bench.py $(BENCH) --runs $(RUNS) --seconds $(TIME) \
	     --net $(NET) --out $(OUT)

soak: FAULTS = 1000
soak: setup-all test-programs
	@SMARTNIC_PLUGIN=$(BUILD)/smartnic.so FAULTS=$(FAULTS) SEED=$(SEED) \
	 LOSSY_WIRE=$(BUILD)/tests/targets/wire/lossy-wire \
	 NVME_TCP_TARGET=$(BUILD)/tests/targets/nvme-tcp-target \
	 python3 tests/guest/test_soak.py

fuzz: TIME = 60
fuzz:
	@scripts/setup.sh fuzz
	@tests/fuzz/run.sh $(BUILD)-fuzz $(TIME) $(FUZZ)

clean:
	rm -rf $(BUILD) $(BUILD)-fuzz

distclean: clean
	rm -rf $(DEPS)
