#!/usr/bin/python3
"""A guest's disk on a real NVMe/TCP target (the Linux kernel's nvmet).

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import (CARD, FIRMWARE_IP, NVME, STORAGE_IP, VIRTIO_BLK, VOLUME,
                 GuestTest)

FILESYSTEM = r"""
wait_for $disk || exit
mkfs.ext4 -q -F $disk && mount -t ext4 $disk /mnt || fail mkfs
dd if=/dev/urandom of=/run/data bs=64k count=320 2>/dev/null
cp /run/data /mnt/data && sync && umount /mnt || fail write
mount -t ext4 $disk /mnt && cmp /run/data /mnt/data || fail compare
rm /mnt/data && sync && /bin/fstrim -v /mnt && umount /mnt || fail trim
say OK
"""

OPERATIONS = r"""
wait_for $disk || exit
q=$block/queue
say "SIZE $(cat $block/size)"
say "BLOCK $(cat $q/logical_block_size) CACHE $(cat $q/write_cache)"
say "IDENTITY $(cat $block/serial 2>/dev/null || cat $block/wwid)"
for bs in $sizes; do verify $disk $bs 24m; done
dd if=/dev/zero of=/run/zero bs=1M count=8 2>/dev/null
/bin/blkdiscard -o 0 -l 8M $disk || fail discard
dd if=$disk of=/run/back bs=1M count=8 iflag=direct 2>/dev/null
cmp /run/zero /run/back || fail "discarded blocks"
verify $disk 64k 8m
/bin/blkdiscard -z -o 1M -l 4M $disk || fail "write zeroes"
dd if=$disk of=/run/back bs=1M skip=1 count=4 iflag=direct 2>/dev/null
head -c 4194304 /run/zero | cmp - /run/back || fail "zeroed blocks"
say OK
"""


class NvmeDisk(GuestTest):
    """What a disk can do."""

    function = NVME
    identity = "uuid.5a000000-0000-4000-8000-000000000001"

    def check_operations(self, cmdline="", parameters="", card="",
                         sizes="4k 128k", block=512, size_mb=256):
        self.bed.storage(cmdline)
        guest = self.bed.guest(f"sizes='{sizes}'\n" + OPERATIONS,
                               volume=VOLUME + parameters, card=card)
        sectors = guest.wait_for(r"@@ SIZE (\d+)").group(1)
        self.assertEqual(int(sectors), size_mb * 2048)
        seen = guest.wait_for(r"@@ BLOCK (\d+) CACHE (.*)")
        self.assertEqual(seen.groups(), (str(block), "write back"))
        guest.wait_for(f"@@ IDENTITY {self.identity}$")
        self.finish(guest)

    def test_filesystem(self):
        self.bed.storage()
        self.finish(self.bed.guest(FILESYSTEM))

    def test_operations(self):
        self.check_operations(sizes="4k 20k 128k 1m")

    def test_digests_and_queues(self):
        self.check_operations(parameters="?hdgst=on&ddgst=on&queues=4",
                              card=",num-queues=4")

    def test_block_size_4096(self):
        self.check_operations("sn.block=4096", block=4096, size_mb=256)


class VirtioBlkDisk(NvmeDisk):
    function = VIRTIO_BLK
    identity = "SN0123456789"


class Path(GuestTest):
    """The way to it."""

    def test_second_namespace(self):
        self.bed.storage("sn.namespaces=2 sn.size=64")
        self.finish(self.bed.guest(r"""
wait_for $disk || exit
[ $(cat $block/size) = 131072 ] || fail "size $(cat $block/size)"
wwid=$(cat $block/wwid)
[ $wwid = uuid.5a000000-0000-4000-8000-000000000002 ] || fail "wwid $wwid"
verify $disk 4k 4m
say OK
""", volume=VOLUME + "?nsid=2"))

    def test_host_traffic_at_the_same_time(self):
        self.bed.storage()
        guest = self.bed.guest(rf"""
wait_for $disk || exit
iperf3 -c {STORAGE_IP} -t 8 >/run/iperf.out 2>&1 &
verify $disk 16k 32m
ping -c 3 -W 5 {STORAGE_IP} || fail "ping of the storage machine"
ping -c 3 -W 5 {FIRMWARE_IP} || fail "ping of the firmware"
wait
grep -q receiver /run/iperf.out || {{ cat /run/iperf.out; fail iperf3; }}
say OK
""")
        self.finish(guest)

    def test_address_of_the_firmware_is_its_own(self):
        self.bed.storage()
        guest = self.bed.guest(rf"""
wait_for $disk || exit
ip addr add {FIRMWARE_IP}/24 dev eth0
arping -c 2 -U -I eth0 -s {FIRMWARE_IP} {FIRMWARE_IP}
verify $disk 4k 4m
say CLAIMED
sleep 1000
""")
        guest.wait_for("@@ CLAIMED")
        self.assertGreater(guest.property(CARD, "host-rx-dropped"), 0)
        self.assertEqual(self.bed.volume(guest, "state"), "ready")

    def test_link_flap(self):
        self.bed.storage()
        guest = self.bed.guest(r"""
wait_for $disk || exit
say "CARRIER $(cat /sys/class/net/eth0/carrier)"
until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do usleep 20000; done
say DOWN
verify $disk 4k 16m
say "CARRIER $(cat /sys/class/net/eth0/carrier)"
say OK
""")
        guest.wait_for("@@ CARRIER 1")
        guest.qmp("set_link", name="n0", up=False)
        guest.wait_for("@@ DOWN")
        guest.qmp("set_link", name="n0", up=True)
        guest.wait_for("@@ CARRIER 1")
        self.finish(guest)

    def test_target_restarts(self):
        storage = self.bed.storage()
        guest = self.bed.guest(r"""
wait_for $disk || exit
verify $disk 4k 4m
say "BEFORE"
dd if=$disk of=/dev/null bs=1M count=64 iflag=direct 2>/dev/null || fail read
say "DURING"
verify $disk 4k 4m
say OK
""")
        guest.wait_for("@@ BEFORE")
        storage.kill()
        self.bed.storage()
        guest.wait_for("@@ DURING")
        self.finish(guest)
        self.assertIn("reconnected", guest.stderr())

    def test_target_comes_late(self):
        guest = self.bed.guest(r"""
wait_for $disk 2000 || exit
until [ "$(cat $block/size)" != 0 ]; do usleep 50000; done
verify $disk 4k 4m
say OK
""")
        self.bed.storage()
        self.finish(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
