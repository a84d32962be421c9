#!/bin/bash
# Shows the card at its main job: a guest uses a remote volume as a local disk,
# while its own traffic goes through the same port. Ends with "demo: ok", or with
# one line that says what failed.
#
#   make demo
#   make demo PROTOCOL=iscsi|nfs|all
#   make demo GUEST_CMD='lsblk; ping -c 1 10.77.0.1'
#
#   PROTOCOL   of the volume: nvme-tcp (default), iscsi, nfs; or all, each of
#              them a namespace of one controller
#   GUEST_CMD  what the guest runs instead, with the disk at /dev/nvme0n1
#
# Copyright (c) 2026 the smartnic-storage authors
# SPDX-License-Identifier: GPL-2.0-or-later
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHONDONTWRITEBYTECODE=1 exec python3 "$top/scripts/demo.py"
