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

# help DEVICE PROPERTIES...
help() {
    device=$1
    shift
    LD_PRELOAD=$plugin "$qemu" -device "$device,help" \
        >"$tmp/out" 2>"$tmp/err" || fail "help of $device ends with status $?"
    for property; do
        grep -q "^  $property=<" "$tmp/out" ||
            fail "help of $device lacks $property"
    done
    [ ! -s "$tmp/err" ] ||
        fail "help of $device says on stderr: $(cat "$tmp/err")"
}

help smartnic-storage netdev mac storage-mac ip gateway ip6 dns storage-vlan \
    mtu function volume serial num-queues bootindex
help smartnic-nvme nic volume serial max-queue-pairs queue-entries \
    ready-timeout ioeventfd bootindex
help smartnic-volume nsid url

LD_PRELOAD=$plugin "$qemu" -device help >"$tmp/out" 2>"$tmp/err" ||
    fail "-device help ends with status $?"
for device in smartnic-storage smartnic-nvme smartnic-volume; do
    grep -q "^name \"$device\"" "$tmp/out" ||
        fail "-device help does not list $device"
done

# Both ways at once: the types are registered once.
LD_PRELOAD=$plugin "$qemu" -plugin "$plugin" -display none -machine none \
    -monitor stdio </dev/null -device smartnic-storage,help \
    >"$tmp/out" 2>"$tmp/err" || fail "preloaded and -plugin: status $?"

out=$(LD_PRELOAD=$plugin /bin/echo fine 2>&1) || fail "echo ends with $?"
[ "$out" = fine ] || fail "preloaded into another program: $out"
exit $status
