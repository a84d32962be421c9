#!/bin/bash
# Fetches what the iscsi and nfs benches compare with and measure against, from
# Debian's packages, unpacked in $DEPS/peers and not installed: QEMU's own
# initiators, tgt and nfs-ganesha. A second run does nothing.
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=${DEPS:-$top/.deps}
. "$top/scripts/apt.sh"

version=$(dpkg-query -W -f '${Version}' qemu-system-x86)
servers=(tgt nfs-ganesha nfs-ganesha-vfs rpcbind)
dir=$DEPS/peers
[ "$(cat "$dir/stamp" 2>/dev/null)" = "$version" ] && exit 0
rm -rf "$dir"
mkdir -p "$dir/debs"
sn_apt_init
say "fetching the peers of the iscsi and nfs benches"
mapfile -t libraries < <(sn_apt_libraries "${servers[@]}")
# One by one: what is virtual, or not there, is not needed by all of them.
sn_apt_download "$dir/debs" "qemu-block-extra=$version" "${servers[@]}"
for p in "${libraries[@]}"; do
    (sn_apt_download "$dir/debs" "$p") 2>/dev/null >&2 || true
done
for deb in "$dir"/debs/*.deb; do
    dpkg-deb -x "$deb" "$dir/root"
done
rm -rf "$dir/debs"
echo "$version" >"$dir/stamp"
