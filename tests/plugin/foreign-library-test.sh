#!/bin/sh
# foreign-library-test.sh PLUGIN QEMU LOOKUPS MODULE: with the module's library
# loaded before the module, a volume says so, and no name is looked up by the
# host.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
plugin=$1 qemu=$2 lookups=$3 module=$4
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
library=$(ldd "$module" | awk '/libiscsi/ { print $3 }')

LD_PRELOAD="$lookups $library" "$qemu" -plugin "$plugin" -machine q35 \
    -accel tcg -nodefaults -display none -netdev user,id=n0 -device \
    smartnic-storage,netdev=n0,volume=iscsi://portal.invalid/iqn.2026-11.x:y/0 \
    >"$tmp/out" 2>&1 &
pid=$!
for _ in $(seq 300); do
    grep -q "loaded by somebody else" "$tmp/out" && break
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
done
kill $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
cat "$tmp/out"
grep -q "loaded by somebody else" "$tmp/out" || exit 1
! grep -q "look-up of" "$tmp/out"
