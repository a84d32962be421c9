# smartnic-storage: everything from a fresh Debian 12 or 13 machine.
#
#   make demo     set-up, build, and the main job on real storage
#   make check    set-up, build, and all tests
#   make build    set-up for building, and build
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
MESON_TEST = meson test -C $(BUILD) --no-rebuild --print-errorlogs

.PHONY: build demo check check-unit check-qtest check-guest clean distclean
.PHONY: setup setup-all test-programs

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

clean:
	rm -rf $(BUILD)

distclean: clean
	rm -rf $(DEPS)
