#!/usr/bin/python3
"""What befalls target, wire, and guest while fio verifies: no request is lost
and none done twice, and what was there before is there afterwards.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

from bed import (NVME, OBEY, STORAGE_IP, STORAGE_MAC, VIRTIO_BLK, VOLUME,
                 GuestTest)
from machine import Machine

KEEP_ALIVE = 2                  # seconds
FAST = f"{VOLUME}?queues=2&keep-alive-tmo={KEEP_ALIVE}&reconnect-delay=1"
WORK = """
wait_for $disk 1200 || exit
verify_until_told $disk 16k 8m
say OK
"""

# The namespace is on a disk of the storage machine, which outlives it. No
# address before that: nobody shall see the one in RAM meanwhile.
ON_DISK = rf"""
load guest
wait_for /dev/vda || exit
n=$config/nvmet/subsystems/$subsystem/namespaces/1
echo 0 >$n/enable
echo -n /dev/vda >$n/device_path
echo 1 >$n/enable
ip link set eth0 up
ip addr add {STORAGE_IP}/24 dev eth0
say SERVING
"""


class LifeCycle(GuestTest):

    def volume(self, name):
        return self.bed.volume(self.guest, name)

    def wait_state(self, state):
        self.guest.wait_until(lambda: self.volume("state") == state, state)

    def wait_progress(self):
        """Requests are answered, ones that came after this call too."""
        done = self.written() + 100
        self.guest.wait_until(lambda: self.written() > done, "working")

    def written(self):
        return self.volume("latency-write")["count"]

    def start(self, **kwargs):
        self.guest = self.bed.guest(WORK, volume=FAST,
                                    card=",num-queues=2", **kwargs)
        self.guest.wait_for("@@ VERIFYING")
        self.wait_progress()

    def end(self):
        """Some more work, then the guest's fio must have seen no error."""
        self.wait_progress()
        self.guest.write("\n")
        self.finish(self.guest)


class Nvme(LifeCycle):
    """What the function has a part in."""

    function = NVME

    def test_target_dies(self):
        """Killed as by a power failure, twice, and started again."""
        disk = self.bed.path("disk")
        with open(disk, "wb") as f:
            f.truncate(64 << 20)

        def start_storage():
            storage = self.bed.add(Machine.linux(
                "storage", "sn.role=storage",
                ["-netdev", self.bed.netdev("storage", "dgram"), "-device",
                 f"virtio-net-pci,netdev=n0,romfile=,mac={STORAGE_MAC}",
                 "-drive", f"file={disk},if=none,id=d0,format=raw",
                 "-device", "virtio-blk-pci,drive=d0"],
                self.bed.folder, job=ON_DISK, memory=512))
            storage.wait_for("@@ SERVING")
            return storage

        storage = start_storage()
        self.start(wire="dgram")
        for times in range(1, 3):
            storage.kill()
            self.wait_state("lost")
            storage = start_storage()
            self.wait_state("ready")
            self.assertEqual(self.volume("reconnects"), times)
            self.wait_progress()
        self.end()

    def test_stop_and_cont(self):
        """Briefly, and for longer than the keep alive timeout.

        No frame reaches the card meanwhile, so it gives the path up itself.
        """
        self.storage = self.bed.storage()
        self.start()
        for _ in range(10):
            self.guest.qmp("stop")
            self.guest.qmp("cont")
            self.wait_progress()
        self.guest.qmp("stop")
        self.wait_state("lost")
        self.guest.qmp("cont")
        self.wait_state("ready")
        self.end()

    def test_driver_goes_and_comes(self):
        """unbind and bind under load: fio may tell an error, but not hang."""
        self.storage = self.bed.storage()
        guest = self.bed.guest(r"""
wait_for $disk || exit
case $disk in
*/vda) driver=/sys/bus/virtio/drivers/virtio_blk
       device=$(basename $(readlink $block/device)) ;;
*)     driver=/sys/bus/pci/drivers/nvme
       device=0000:00:04.2 ;;
esac
dd if=/dev/urandom of=/run/data bs=64k count=64 2>/dev/null
for round in 1 2 3 4 5; do
    dd if=/run/data of=$disk bs=64k oflag=direct conv=fsync 2>/dev/null ||
        fail write
    fio --name=load --filename=$disk --offset=16m --size=16m \
        --rw=randwrite --bs=4k --iodepth=32 --ioengine=libaio --direct=1 \
        --time_based --runtime=1000 >/dev/null 2>&1 &
    load=$!
    until [ $(awk '{print $9}' $block/stat) -gt 8 ]; do :; done
    echo $device >$driver/unbind || fail unbind
    wait $load
    echo $device >$driver/bind || fail bind
    wait_for $disk || exit
    dd if=$disk of=/run/back bs=64k count=64 iflag=direct 2>/dev/null
    cmp /run/data /run/back || fail "round $round"
    say "ROUND $round"
done
verify $disk 4k 4m
say OK
""", volume=FAST, card=",num-queues=2")
        self.finish(guest)

    def test_reset_and_reboot(self):
        """The machine's reset button under load, and a reboot under load."""
        self.storage = self.bed.storage()
        guest = self.bed.guest(r"""
wait_for $disk || exit
dd if=$disk of=/run/mark bs=512 count=1 iflag=direct 2>/dev/null
boot=$(head -c 5 /run/mark)
case $boot in BOOT*) ;; *) boot=BOOT0 ;; esac
say "$boot"
if [ $boot != BOOT0 ]; then
    dd if=$disk of=/run/back bs=64k skip=1 count=64 iflag=direct 2>/dev/null
    sum=$(md5sum </run/back)
    dd if=$disk bs=512 skip=1 count=1 iflag=direct 2>/dev/null |
        grep -q "^$sum" || fail "what was synced before $boot"
    verify $disk 16k 4m --offset=16m
fi
[ $boot = BOOT2 ] && { say OK; poweroff -f; }
dd if=/dev/urandom of=/run/data bs=64k count=64 2>/dev/null
dd if=/run/data of=$disk bs=64k seek=1 oflag=direct 2>/dev/null
{ printf 'BOOT%-507d\n' $((${boot#BOOT} + 1)); md5sum </run/data; } |
    dd of=$disk bs=512 count=2 conv=sync,fsync iflag=fullblock 2>/dev/null
fio --name=load --filename=$disk --offset=16m --size=16m --rw=randwrite \
    --bs=4k --iodepth=32 --ioengine=libaio --direct=1 --time_based \
    --runtime=1000 >/dev/null 2>&1 &
until [ $(awk '{print $9}' $block/stat) -gt 8 ]; do :; done
say SYNCED
[ $boot = BOOT1 ] && reboot -f
sleep 1000
""", volume=FAST, card=",num-queues=2", extra=["-action", "reboot=reset"])
        guest.wait_for("@@ SYNCED")
        guest.qmp("system_reset")
        guest.wait_for("@@ BOOT1")
        guest.wait_for("@@ SYNCED")
        guest.wait_for("@@ BOOT2")
        self.finish(guest)


class VirtioBlk(Nvme):
    function = VIRTIO_BLK


class Path(LifeCycle):
    """What only the volume knows of."""

    def test_target_refuses(self):
        """Nobody listens for a while; RST to whoever knocks."""
        self.storage = self.bed.storage(job=OBEY)
        self.storage.wait_for("@@ OBEYING")
        self.start()
        port = "$config/nvmet/ports/1/subsystems/$subsystem"
        self.tell(self.storage, f"rm {port}")
        self.guest.wait_until(lambda: "refused" in self.volume("error"),
                              "refused")
        self.assertEqual(self.volume("state"), "lost")
        self.tell(self.storage,
                  f"ln -s $config/nvmet/subsystems/$subsystem {port}")
        self.wait_state("ready")
        self.end()

    def test_target_hangs(self):
        """Silent for longer than the keep alive timeout, then back."""
        self.storage = self.bed.storage()
        self.start()
        self.storage.qmp("stop")
        self.wait_state("lost")
        self.storage.qmp("cont")
        self.wait_state("ready")
        self.end()

    def test_link_flaps(self):
        self.storage = self.bed.storage()
        self.start()
        for _ in range(20):
            self.guest.qmp("set_link", name="n0", up=False)
            self.guest.qmp("set_link", name="n0", up=True)
            self.wait_progress()
        self.guest.qmp("set_link", name="n0", up=False)
        self.wait_state("lost")
        self.guest.qmp("set_link", name="n0", up=True)
        self.wait_state("ready")
        self.end()


if __name__ == "__main__":
    unittest.main(verbosity=2)
