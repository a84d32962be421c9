"""Disks driven by the bare guest (bench/bare), without an operating system.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import time

import host
from machine import BARE_GUEST, Machine
from results import Sample

SIZE = 1 << 30
DBBUF = "dbbuf"                 # shadow doorbells: a word for the guest


def cases_at(depths):
    """What the bare guest does, with so many requests in flight."""
    return [f"{kind}:{depth}" for kind in ("read:4096", "write:4096",
                                           "read:131072")
            for depth in depths]


# QEMU's null backend
QEMU_NULL = ["-blockdev",
             f"null-co,node-name=disk,size={SIZE},read-zeroes=off"]


def qemu_virtio(disk):
    """Variants of QEMU's virtio-blk, of one queue as the card's is, on @disk:
    arguments that make a drive of that name."""
    device = ("virtio-blk-pci,drive=disk,disable-legacy=on,num-queues=1,"
              "queue-size=256")
    return {
        "qemu-virtio-blk": ("", [*disk, "-device", device]),
        "qemu-virtio-blk-iothread": (
            "", ["-object", "iothread,id=io", *disk, "-device",
                 device + ",iothread=io"]),
    }


def qemu_nvme(ioeventfd):
    return [*QEMU_NULL, "-device",
            f"nvme,serial=null,ioeventfd={ioeventfd},drive=disk"]


def card_null(lab, function):
    """The card with its null backend; nothing goes through its port."""
    return lab.bed.card_args(f"null://?size={SIZE}", netdev="user,id=n0",
                             ip="dhcp", card=f",function={function}")


class Bare:
    """Runs of the bare guest; a variant is (words for it, arguments)."""
    cases = cases_at((1, 4, 16, 64))

    def why_not(self, lab):
        """A reason why it cannot run, or None."""
        if not os.path.exists(BARE_GUEST):
            return f"{BARE_GUEST} is missing: run ninja bench-programs"
        return None

    def prepare(self, lab):
        """What has to be done once."""

    def server_pid(self, lab):
        """The process that serves it, if one does."""
        return None

    @staticmethod
    def boot(lab, words, args, ms, cases):
        return Machine("bare", ["-kernel", BARE_GUEST, "-append",
                                f"ms={ms} {words} " + " ".join(cases), *args],
                       lab.bed.folder, memory=128, wrapper=lab.wire.wrapper)

    def fill(self, lab, args):
        """Writes all over a disk: pages never written are all one."""
        with self.boot(lab, "", args, 1000, ["write:131072:16"]) as machine:
            machine.wait_for("^@@ BEGIN")
            machine.write("xx")
            machine.wait_for("^@@ DONE")

    def run(self, lab, variant, how, number):
        """Boots once and measures every case; yields samples."""
        words, args = how
        cases = lab.wanted(self.cases)
        with self.boot(lab, words, args, int(lab.seconds * 1000),
                       cases) as machine:
            vcpus = host.vcpu_threads(machine)
            lab.pinning.place_vcpus(vcpus)
            # The name of a variant is what it says it is.
            driver = "virtio-blk" if "virtio" in variant else "nvme"
            machine.wait_for(f"^@@ READY driver={driver} ")
            for case in cases:
                yield self._measure(lab, machine, vcpus, case, variant,
                                    number)
            machine.wait_for("^@@ DONE")
            machine.wait_end()

    def _measure(self, lab, machine, vcpus, case, variant, number):
        machine.wait_for(f"^@@ BEGIN {case}$")
        server = self.server_pid(lab)
        cpu = host.CpuTime(machine, vcpus, server)
        start = time.monotonic()
        machine.write("x")
        end = machine.wait_for(r"^@@ END requests=(\d+) us=(\d+)$")
        seconds = time.monotonic() - start
        count, us = map(int, end.groups())
        vcpu, device, target = cpu.us()
        machine.write("x")
        lab.check_clock(us / 1e6, seconds)
        return Sample(self.name, case, variant, number,
                      iops=count / us * 1e6,
                      latency=us * int(case.rsplit(":", 1)[1]) / count,
                      device_cpu=device / count, vcpu=vcpu / count,
                      target_cpu=target / count if server else None)


class Null(Bare):
    """Every function there is, on backends that do nothing."""
    name = "null"

    def variants(self, lab):
        """By name; the others are compared with the first."""
        return {
            "card-nvme": ("", card_null(lab, "nvme")),
            "card-nvme-dbbuf": (DBBUF, card_null(lab, "nvme")),
            "card-virtio-blk": ("", card_null(lab, "virtio-blk")),
            # Its ioeventfd works with shadow doorbells only.
            "qemu-nvme": ("", qemu_nvme("off")),
            "qemu-nvme-dbbuf": (DBBUF, qemu_nvme("off")),
            "qemu-nvme-dbbuf-ioeventfd": (DBBUF, qemu_nvme("on")),
            **qemu_virtio(QEMU_NULL),
        }


class Tcp(Bare):
    """The card's functions over NVMe/TCP."""
    name = "tcp"

    def why_not(self, lab):
        return super().why_not(lab) or (
            None if lab.target else "there is no target")

    def server_pid(self, lab):
        return lab.target_pid()

    def prepare(self, lab):
        self.fill(lab, lab.card_args("virtio-blk"))

    def variants(self, lab):
        return {
            "card-virtio-blk": ("", lab.card_args("virtio-blk")),
            "card-nvme": ("", lab.card_args("nvme")),
            "card-nvme-dbbuf": (DBBUF, lab.card_args("nvme")),
        }
