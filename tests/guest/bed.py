"""The standard bed: a storage machine and a guest with the card, on one wire.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import os
import tempfile
import unittest

from machine import PLUGIN, Machine, require_testbed

NQN = "nqn.2026-11.org.smartnic:vol0"
STORAGE_IP = "10.77.0.1"
HOST_IP = "10.77.0.2"           # the guest's network function
FIRMWARE_IP = "10.77.0.3"
STORAGE_MAC = "52:54:00:77:00:01"
HOST_MAC = "52:54:00:77:00:02"
FIRMWARE_MAC = "52:54:00:77:00:03"
VOLUME = f"nvme+tcp://{STORAGE_IP}/{NQN}"
ISCSI_TARGET = "iqn.2026-11.org.smartnic:vol0"
ISCSI_VOLUME = f"iscsi://{STORAGE_IP}/{ISCSI_TARGET}/0"
NFS_VOLUME = f"nfs://{STORAGE_IP}/srv/nfs/disk.img"
CARD = "/machine/peripheral/nic0"

# A storage function: its name, that of its disk in the guest, and where QOM
# tells about the volume, below the card.
Function = collections.namedtuple("Function", "name disk stats")
NVME = Function("nvme", "nvme0n1", "/storage")
VIRTIO_BLK = Function("virtio-blk", "vda", "/storage/virtio-backend")
DEFAULT = NVME


class Bed:
    """A folder for sockets and logs, and the machines in it.

    Their cards have the storage function @function.
    """

    def __init__(self, function=DEFAULT):
        self.function = function
        self._folder = tempfile.TemporaryDirectory(prefix="smartnic-")
        self.folder = self._folder.name
        self._machines = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def add(self, machine):
        self._machines.append(machine)
        return machine

    def netdev(self, end, kind):
        """The -netdev of one end, 'storage' or 'guest', of the wire."""
        if kind == "stream":
            role = "server=on" if end == "storage" else \
                   "server=off,reconnect-ms=100"
            return (f"stream,id=n0,{role},addr.type=unix,"
                    f"addr.path={self.path('wire')}")
        if kind == "lossy":         # wire.LossyWire is in between
            other = "wire-" + end
        else:
            other = "guest" if end == "storage" else "storage"
        return (f"dgram,id=n0,local.type=unix,local.path={self.path(end)},"
                f"remote.type=unix,remote.path={self.path(other)}")

    def storage(self, cmdline="", wire="stream", args=(), **kwargs):
        """Starts the storage machine and waits until it serves."""
        machine = self.add(Machine.linux(
            "storage", f"sn.role=storage sn.ip={STORAGE_IP}/24 "
            f"sn.ip6=fd00:77::1/64 {cmdline}",
            ["-netdev", self.netdev("storage", wire), "-device",
             f"virtio-net-pci,netdev=n0,romfile=,mac={STORAGE_MAC}", *args],
            self.folder, memory=768, **kwargs))
        machine.wait_for("@@ STORAGE-READY")
        return machine

    def card_args(self, volume=VOLUME, card="", netdev=None, wire="stream",
                  ip=f"{FIRMWARE_IP}/24", place="addr=4",
                  function=None, trace=None):
        """QEMU's arguments for a card; @function: a name, if not the bed's."""
        return ["-plugin", PLUGIN + (f",trace={trace}" if trace else ""),
                "-netdev", netdev or self.netdev("guest", wire), "-device",
                f"smartnic-storage,id=nic0,netdev=n0,{place},mac={HOST_MAC},"
                f"storage-mac={FIRMWARE_MAC},ip={ip}"
                f",function={function or self.function.name}"
                + (f",volume={volume}" if volume else "") + card]

    def guest(self, job, args=None, cmdline=f"sn.ip={HOST_IP}/24", **kwargs):
        """Starts a guest with the card; it runs @job and powers off.

        The job finds the disk's node in $disk, its folder of sysfs in $block.
        """
        machine_args = {k: kwargs.pop(k) for k in ("memory", "wrapper", "echo")
                        if k in kwargs}
        extra = kwargs.pop("extra", [])
        args = self.card_args(**kwargs) if args is None else args
        disk = self.function.disk
        job = f"disk=/dev/{disk} block=/sys/block/{disk}\n" + job
        return self.add(Machine.linux(
            "guest", f"sn.role=guest {cmdline}", [*args, *extra], self.folder,
            job=JOB_HELPERS + job, **machine_args))

    def volume(self, guest, name, card=CARD):
        """What QOM tells of a card's volume: "state", "error", ..."""
        return guest.property(card + self.function.stats, "volume-" + name)

    def close(self):
        for machine in reversed(self._machines):
            machine.close()
        self._folder.cleanup()


# Shell functions for jobs. A job says "@@ OK" at its end when all went well.
JOB_HELPERS = r"""
fail() { say "FAIL $*"; poweroff -f; }
step() { say "$1"; read -r _ </dev/ttyS0; }     # and waits to be told
works() { "$@" >/run/out 2>&1 || { cat /run/out; fail "$*"; }; }
refused() {  # refused PATTERN COMMAND... : it fails and says this
    _what=$1; shift
    "$@" >/run/out 2>&1 && fail "not refused: $*"
    grep -Eiq "$_what" /run/out || { cat /run/out; fail "$* and $_what"; }
}
check() {  # check WHAT PATTERN TEXT : a line of the text matches
    echo "$3" | grep -Eq "$2" || { echo "$3"; fail "$1 and $2"; }
}
node_of() {  # node_of NSID : waits for it, and makes $node of its name
    # Newer kernels scan namespaces in parallel, so the names of nodes vary.
    until _file=$(grep -lx $1 /sys/block/nvme0n*/nsid 2>/dev/null); do
        usleep 20000
    done
    node=$(basename $(dirname $_file))
    wait_for /dev/$node || poweroff -f
}
verify() {  # verify DEVICE BLOCKSIZE SIZE [FIO OPTION]...
    _dev=$1 _bs=$2 _size=$3; shift 3
    fio --name=verify --filename=$_dev --rw=randwrite --bs=$_bs \
        --size=$_size --iodepth=16 --ioengine=libaio --direct=1 \
        --verify=crc32c --do_verify=1 --verify_fatal=1 --minimal "$@" \
        >/run/fio.out 2>&1 || { cat /run/fio.out; fail "fio $_bs"; }
    say "VERIFIED $_bs"
}
verify_until_told() {  # until a line comes; arguments as for verify
    say VERIFYING
    (read -r _ </dev/ttyS0; touch /run/enough) &
    until [ -e /run/enough ]; do
        verify "$@" --randseed=$(date +%s)
    done
}
"""

# Shell for the storage machine: carries out the lines that come.
OBEY = r"""
say OBEYING
while read -r line </dev/ttyS0; do
    eval "$line" && say "DID $line" || say "FAILED $line"
done
"""


class GuestTest(unittest.TestCase):
    """A test with a bed of its own."""

    function = DEFAULT

    @classmethod
    def setUpClass(cls):
        require_testbed()

    def setUp(self):
        self.bed = Bed(self.function)
        self.addCleanup(self.bed.close)

    def tell(self, storage, line):
        """Has a storage machine with the job OBEY carry out a line."""
        storage.write(line + "\n")
        result = storage.wait_for("^@@ (DID|FAILED) ")
        self.assertEqual(result.group(1), "DID", storage.report())

    def finish(self, guest, timeout=240):
        """The guest's job must end well, and QEMU in order."""
        result = guest.wait_for("^@@ (OK|FAIL.*|MISSING.*)$", timeout)
        self.assertEqual(result.group(1), "OK", guest.report())
        guest.wait_end()
