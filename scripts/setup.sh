#!/bin/bash
# Installs and unpacks all that building and testing need, from Debian's
# packages only. A second run does nothing.
#
#   scripts/setup.sh [build|all|fuzz]
#
#   build  QEMU, compilers and libraries; QEMU's and lwIP's sources (default)
#   all    also the machines and tools of the tests and the demo
#   fuzz   also the compiler that has libFuzzer
#
# Environment: DEPS, where everything goes (default: .deps in the checkout).
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=${DEPS:-$top/.deps}
what=${1:-build}
mkdir -p "$DEPS"
. "$top/scripts/apt.sh"

build_packages=(
    ca-certificates gcc libc6-dev binutils make pkg-config 'meson>=1.5' ninja-build
    bison flex python3 python3-venv python3-setuptools xz-utils bzip2
    libglib2.0-dev libpixman-1-dev libnvme-dev libiscsi-dev libnfs-dev zlib1g-dev
    'qemu-system-x86>=1:10.0'
)
test_packages=(
    cpio kmod e2fsprogs iproute2 tcpdump patch mtools syslinux syslinux-common
)

# Version of the installed QEMU as Debian numbers its sources, like 10.0.2+ds
qemu_upstream() {
    local v
    v=$(dpkg-query -W -f '${source:Version}' qemu-system-x86)
    v=${v#*:}
    echo "${v%-*}"
}

# unpack ARCHIVE FOLDER : anew
unpack() {
    rm -rf "$2.new" "$2"
    mkdir -p "$2.new"
    tar -xf "$1" -C "$2.new" --strip-components=1
    mv "$2.new" "$2"
}

# The source of the installed QEMU, or of its stable series when the archive
# has moved on: its structures are the same as far as this project uses them.
fetch_qemu() {
    local version=$1 series archive other
    series=$(echo "$version" | cut -d. -f1,2)
    sn_apt_source "$DEPS/sources" \
        "qemu=$(dpkg-query -W -f '${source:Version}' qemu-system-x86)"
    archive=$DEPS/sources/qemu_$version.orig.tar.xz
    if [ ! -s "$archive" ]; then
        sn_apt_source "$DEPS/sources" "qemu/$(sn_apt_suite)"
        other=$(find "$DEPS/sources" -name "qemu_$series.*.orig.tar.xz" |
                sort -V | tail -n 1)
        [ -n "$other" ] || die "the archive has no QEMU $series source for" \
            "the installed $version, see $APT_LOG"
        say "QEMU $version's source is gone, using $(basename "$other")"
        archive=$other
    fi
    say "unpacking $(basename "$archive")"
    unpack "$archive" "$DEPS/qemu"
}

fetch_lwip() {
    local archive
    sn_apt_source "$DEPS/sources" lwip
    archive=$(find "$DEPS/sources" -name 'lwip_*.orig.tar.*' | sort -V |
              tail -n 1)
    [ -n "$archive" ] || die "the archive has no lwip source, see $APT_LOG"
    unpack "$archive" "$DEPS/lwip"
}

# once NAME KEY COMMAND... : runs COMMAND unless it ran for the same KEY
once() {
    local stamp=$DEPS/$1.stamp key=$2
    shift 2
    [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return 0
    "$@"
    echo "$key" >"$stamp"
}

sn_apt_install "${build_packages[@]}"
version=$(qemu_upstream)
once qemu-source "$version" fetch_qemu "$version"
once qemu-build "$version $(qemu-system-x86_64 --version | head -n 1) $(
    sha256sum <"$top/scripts/qemu-build.sh")" \
    "$top/scripts/qemu-build.sh" "$DEPS/qemu" "$DEPS/qemu-build"
once lwip "$(. /etc/os-release; echo "$VERSION_CODENAME")" fetch_lwip

if [ "$what" = all ]; then
    sn_apt_install "${test_packages[@]}"
    DEPS=$DEPS "$top/scripts/testbed.sh"
    DEPS=$DEPS "$top/scripts/peers.sh"
fi

if [ "$what" = fuzz ]; then
    sn_apt_install clang
    # libFuzzer comes apart from the compiler, under its version.
    sn_apt_install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
fi
