#!/bin/sh
# preload-test.sh PLUGIN QEMU: preloaded, the card is in QEMU's own help, and
# other programs do not notice the plugin.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
plugin=$1 qemu=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

fail() { echo "$*"; status=1; }

LD_PRELOAD=$plugin "$qemu" -device smartnic-storage,help \
    >"$tmp/out" 2>"$tmp/err" || fail "help ends with status $?"
for property in netdev mac storage-mac ip gateway ip6 dns storage-vlan mtu \
    function volume serial num-queues bootindex; do
    grep -q "^  $property=<" "$tmp/out" || fail "help lacks $property"
done
[ ! -s "$tmp/err" ] || fail "help says on stderr: $(cat "$tmp/err")"

LD_PRELOAD=$plugin "$qemu" -device help >"$tmp/out" 2>"$tmp/err" ||
    fail "-device help ends with status $?"
grep -q '^name "smartnic-storage"' "$tmp/out" ||
    fail "-device help does not list the card"

# Both ways at once: the types are registered once.
LD_PRELOAD=$plugin "$qemu" -plugin "$plugin" -display none -machine none \
    -monitor stdio </dev/null -device smartnic-storage,help \
    >"$tmp/out" 2>"$tmp/err" || fail "preloaded and -plugin: status $?"

out=$(LD_PRELOAD=$plugin /bin/echo fine 2>&1) || fail "echo ends with $?"
[ "$out" = fine ] || fail "preloaded into another program: $out"
exit $status
