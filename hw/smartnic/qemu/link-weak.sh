#!/bin/sh
# link-weak.sh LD OBJCOPY NM QEMU ARCHIVE OUTPUT: joins the archive's objects
# and makes those references weak that the QEMU binary has to satisfy.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
ld=$1 objcopy=$2 nm=$3 qemu=$4 archive=$5 output=$6

"$ld" -r -o "$output" --whole-archive "$archive"
"$nm" -D --defined-only "$qemu" | awk '{ print $NF }' | sort >"$output.qemu"
"$nm" -u "$output" | awk '{ print $NF }' | sort |
    comm -12 - "$output.qemu" >"$output.weak"
"$objcopy" --weaken-symbols="$output.weak" "$output"
