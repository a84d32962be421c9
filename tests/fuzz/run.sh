#!/bin/bash
# Builds the fuzz targets with clang and libFuzzer and runs them one after
# another. Stops at the first crash and says how to see it again.
#
#   tests/fuzz/run.sh BUILD SECONDS [TARGET...]
#
#   BUILD    build folder, made when it is not there; new inputs are collected
#            in BUILD/corpus/TARGET and used again by the next run
#   SECONDS  for each target
#
# Environment: DEPS, what scripts/setup.sh unpacked.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1
seconds=$2
shift 2
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    targets=(switch url volume nvme-tcp iscsi nvme-ctrl firmware)
fi

# clang 14 does not say that AddressSanitizer is on as gcc does.
if [ ! -e "$build/build.ninja" ]; then
    CC=clang meson setup "$build" "$top" -Dwerror=false -Db_lundef=false \
        "-Dc_args=-fsanitize=fuzzer-no-link -D__SANITIZE_ADDRESS__=1" \
        -Dqemu_src="$DEPS/qemu" -Dqemu_build="$DEPS/qemu-build" \
        -Dlwip_src="$DEPS/lwip"
fi
ninja -C "$build" fuzz-programs

for target in "${targets[@]}"; do
    program=$build/tests/fuzz/fuzz-$target
    log=$build/fuzz-$target.log
    mkdir -p "$build/corpus/$target" "$build/crashes"
    echo "fuzz: $target for $seconds s"
    if ! "$program" -max_total_time="$seconds" -timeout=20 -max_len=1000 \
            -len_control=20 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$build/crashes/$target-" \
            "$build/corpus/$target" "$top/tests/fuzz/corpus/$target" \
            >"$log" 2>&1; then
        tail -n 60 "$log"
        # Without one, the program did not get so far.
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "fuzz: $target crashed, log: $log"
        echo "fuzz: again: $program ${input:-(no input was written)}"
        exit 1
    fi
    grep -E '^Done |^stat::(average|new_units)' "$log"
done
echo "fuzz: no crash"
