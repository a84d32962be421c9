#!/bin/bash
# Makes of QEMU's source what building and testing the plugin needs. No part
# of QEMU that emulates anything is compiled: the QEMU that runs is Debian's.
#
#   scripts/qemu-build.sh SRC BUILD
#
#   SRC    unpacked QEMU source of the version that is installed (two of its
#          build files are edited, see below)
#   BUILD  folder for the result; a second run does only what is missing
#
# The result, for meson.build files:
#
#   headers   -I BUILD -I BUILD/qapi -I SRC/include -I SRC, and as in
#             hw/smartnic/qemu/meson.build: config-host.h and the generated
#             QAPI and trace headers
#   libqos    BUILD/tests/qtest/libqos/libqos.a (libqtest is in it) and
#             BUILD/libqemuutil.a and libqom.a, which it needs; headers in
#             SRC/tests/qtest
#   qtest     BUILD/modules/accel-qtest-x86_64.so: `-accel qtest` for the
#             installed QEMU, to be named by QEMU_MODULE_DIR=BUILD/modules.
#             Debian builds this module but does not ship it.
#
# Debian packages: gcc libc6-dev binutils meson (1.5 or newer) ninja-build
# pkg-config python3 python3-venv libglib2.0-dev zlib1g-dev qemu-system-x86
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail

die() { echo "qemu-build.sh: error: $*" >&2; exit 1; }

[ $# = 2 ] || die "usage: qemu-build.sh SRC BUILD"
[ -x "$1/configure" ] || die "$1 is not an unpacked QEMU source"
mkdir -p "$2"
src=$(cd "$1" && pwd)
build=$(cd "$2" && pwd)
qemu=${QEMU:-qemu-system-x86_64}
log=$build/qemu-build.log

# What changes a structure's layout must be as in Debian's build; in the
# headers that a device includes nothing depends on these features.
flags=(
    --target-list=x86_64-softmmu --enable-modules
    --without-default-features --enable-system --enable-tcg --enable-kvm
    --enable-plugins --disable-tools --disable-docs --disable-download
    --disable-install-blobs --disable-werror --python=/usr/bin/python3
    -Doptimization=0 -Ddebug=false      # only test code is compiled here
)

# quietly COMMAND... : output goes to the log, and its end is shown on failure
quietly() {
    "$@" >"$log" 2>&1 && return 0
    tail -n 20 "$log" >&2
    die "$1 failed, see $log"
}

# edit SCRIPT FILE : with sed; a file that needs no change keeps its date, so
# that ninja does not build all again
edit() {
    sed "$1" "$2" >"$2.edited"
    if cmp -s "$2" "$2.edited"; then rm "$2.edited"
    else mv "$2.edited" "$2"
    fi
}

# A module loads only into a QEMU that was built with it: both carry a stamp.
stamp=$(grep -ao 'qemu_stamp_[0-9a-f]*' "$(command -v "$qemu")" |
        sort -u | head -n 1) || true
[ -n "$stamp" ] || die "$qemu was built without modules: -accel qtest cannot" \
    "be added to it"

# pycotap serves QEMU's functional tests only and would be downloaded; the
# UEFI images are not in Debian's source package.
edit '/^pycotap/d' "$src/pythondeps.toml"
edit 's/^if unpack_edk2_blobs/if false/' "$src/pc-bios/meson.build"

cd "$build"
if ! { [ -e build.ninja ] && [ "$(cat qemu-build.flags 2>/dev/null)" = \
       "$src ${flags[*]}" ]; }; then
    quietly "$src/configure" "${flags[@]}"
    echo "$src ${flags[*]}" >qemu-build.flags
fi
quietly ninja build.ninja
edit "s/^\(#define CONFIG_STAMP\) .*/\1 ${stamp#qemu_stamp}/" config-host.h

quietly ninja tests/qtest/libqos/libqos.a libqemuutil.a libqom.a \
    accel-qtest-x86_64.so
nm -D accel-qtest-x86_64.so | grep -q " $stamp\$" ||
    die "accel-qtest-x86_64.so did not get the stamp of $qemu"

# A folder of its own: QEMU looks there for every module before its own.
mkdir -p modules
cp accel-qtest-x86_64.so modules/
