#!/usr/bin/python3
"""The NVMe function behind a vIOMMU: each piece of memory is translated.

The driver maps what a command may touch, and takes the mapping back when the
command is over (iommu.strict=1), so DMA that comes too late is a fault in the
kernel's log.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import signal
import unittest

from native_card import NativeCardTest

CMDLINE = "intel_iommu=on iommu.passthrough=0 iommu.strict=1"

JOB = r"""
wait_for $disk || exit
check translation '^DMA$' \
    "$(cat /sys/bus/pci/devices/0000:00:04.2/iommu_group/type)"
verify $disk 4k 8m
verify $disk 20k 8m
verify $disk 1m 16m
step STOP
fio --name=load --filename=$disk --rw=randread --bs=64k --iodepth=16 \
    --ioengine=libaio --direct=1 --size=16m >/run/load.out 2>&1 &
load=$!
until [ $(awk '{print $9}' /sys/block/nvme0n1/stat) -gt 0 ]; do
    usleep 10000
done
# It takes all mappings back, and goes on when the target does.
nvme reset /dev/nvme0 &
reset=$!
until [ $(dmesg | grep -c 'default/read/poll queues') -gt 1 ]; do
    usleep 10000
done
step RESET
wait $reset || fail reset
wait $load || { cat /run/load.out; fail load; }
verify $disk 16k 8m
dmesg | grep -iE 'DMAR.*fault' && fail "DMA to what is not mapped"
say OK
"""


class Iommu(NativeCardTest):

    def test_nvme(self):
        far = self.target("1,size=64M")
        guest = self.bed.guest(JOB, cmdline=CMDLINE, args=[
            "-device", "intel-iommu",
            *self.bed.card_args(far.url("?keep-alive-tmo=0"),
                                netdev="user,id=n0", ip="dhcp")])
        guest.wait_for("@@ STOP")
        os.kill(far.pid, signal.SIGSTOP)
        guest.write("\n")
        guest.wait_for("@@ RESET")
        os.kill(far.pid, signal.SIGCONT)
        guest.write("\n")
        self.finish(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
