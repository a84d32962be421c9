#!/bin/bash
# Fetches further storage servers for tests and benches, tgt and nfs-ganesha,
# and QEMU's own initiators, from Debian's packages, unpacked in $DEPS/peers and
# not installed. A second run does nothing.
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
sn_apt_init
say "fetching tgt, nfs-ganesha and QEMU's own initiators"
# shellcheck disable=SC2046
sn_apt_unpack "$dir/root" "${servers[@]}" $(sn_apt_libraries "${servers[@]}")
# The archive may have a newer QEMU by now.
(sn_apt_unpack "$dir/root" "qemu-block-extra=$version") ||
    say "the benches iscsi and nfs have no QEMU $version to compare with"
echo "$version" >"$dir/stamp"
