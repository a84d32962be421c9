#!/bin/sh
# sanitized.sh PLUGIN QEMU PROGRAM...: a qtest with the plugin that has
# AddressSanitizer in it, in the stock QEMU, which has not.
#
# A use of freed memory aborts QEMU, and the test fails. Leaks are looked for
# when QEMU ends. It has some of its own then, so only those count that were
# allocated by the plugin or by what it called.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
plugin=$1 qemu=$2
shift 2
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT

asan=$(ldd "$plugin" | awk '/libasan/ { print $3 }')
[ -n "$asan" ] || { echo "Bail out! $plugin has no AddressSanitizer"; exit 1; }

export SMARTNIC_PLUGIN="$plugin"
export QTEST_QEMU_BINARY="env LD_PRELOAD=$asan $qemu"
# Debian's libraries keep no frame pointers: unwind by their tables.
ASAN_OPTIONS="log_path=$reports/report:abort_on_error=1"
ASAN_OPTIONS="$ASAN_OPTIONS:fast_unwind_on_malloc=0:malloc_context_size=12"
# With the name of the module, also where the line of source is known.
ASAN_OPTIONS="$ASAN_OPTIONS:stack_trace_format='    #%n %f %S %m'"
export ASAN_OPTIONS
export LSAN_OPTIONS=exitcode=0

status=0
"$@" || status=$?

for report in "$reports"/*; do
    [ -e "$report" ] || continue
    if grep -q 'ERROR: AddressSanitizer' "$report"; then
        sed 's/^/# /' "$report"
        status=1
    elif awk -v RS= -v module="$(basename "$plugin")" '
        / leak of / && index($0, module) { print; found = 1 }
        END { exit !found }' "$report" >"$reports/leaks"; then
        sed 's/^/# /' "$reports/leaks"
        status=1
    fi
    rm -f "$reports/leaks"
done
exit $status
