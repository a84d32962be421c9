#!/bin/sh
# trace-test.sh PLUGIN QEMU: the argument trace=, and SMARTNIC_TRACE for a
# preloaded plugin.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
plugin=$1 qemu=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

fail() { echo "$*"; status=1; }

card=smartnic-storage,id=nic0,netdev=n0,function=virtio-blk
card=$card,volume=mem://?size=1M

# run ARGUMENTS...: a QEMU with a card, which ends at once
run() {
    echo quit | timeout 50 "$qemu" -S -nodefaults -display none \
        -netdev hubport,id=n0,hubid=0 -monitor stdio "$@" \
        -device "$card" \
        >"$tmp/out" 2>"$tmp/err" || fail "$*: status $?, $(cat "$tmp/err")"
}

# refused ARGUMENT WORD: one line that has WORD in it
refused() {
    if "$qemu" -display none -plugin "$plugin,$1" >"$tmp/out" 2>"$tmp/err"
    then fail "$1 is accepted"; fi
    [ "$(wc -l <"$tmp/err")" = 1 ] || fail "$1: $(cat "$tmp/err")"
    grep -qF -- "$2" "$tmp/err" || fail "$1: $(cat "$tmp/err")"
}

run -plugin "$plugin"
! grep -q smartnic_ "$tmp/err" || fail "traces without being asked"

run -plugin "$plugin,trace=card_realize,trace=smartnic_virtio_blk_conf*"
grep -q '^smartnic_card_realize id=nic0 ' "$tmp/err" || fail "no card_realize"
grep -q '^smartnic_virtio_blk_config_changed id=nic0 state=ready ' \
    "$tmp/err" || fail "no config_changed"
! grep -q smartnic_card_link "$tmp/err" || fail "more than was asked for"

# Where QEMU's own log goes, and with its time
run -plugin "$plugin,trace=*" -D "$tmp/log" -msg timestamp=on
grep -Eq '^[0-9]+@[0-9]+[.][0-9]{6}:smartnic_card_realize ' "$tmp/log" ||
    fail "-D: $(cat "$tmp/log")"
! grep -q smartnic_card "$tmp/err" || fail "-D: also on stderr"

LD_PRELOAD=$plugin SMARTNIC_TRACE='card_link,card_re*' run -D "$tmp/log2"
grep -q '^smartnic_card_realize ' "$tmp/log2" || fail "preloaded: no realize"
grep -q '^smartnic_card_link ' "$tmp/log2" || fail "preloaded: no link"

refused trace=nothing_like_it nothing_like_it
refused color=red color=red
"$qemu" -display none -plugin "$plugin,trace=list" >"$tmp/out" 2>&1 ||
    fail "list: status $?"
grep -qx smartnic_card_realize "$tmp/out" || fail "list: $(cat "$tmp/out")"
sort -c "$tmp/out" || fail "the list is not in order"
if LD_PRELOAD=$plugin SMARTNIC_TRACE=nope "$qemu" -version >"$tmp/out" 2>&1
then fail "SMARTNIC_TRACE=nope is accepted"; fi
exit $status
