"""A virtio-blk function driven by the bare guest (bench/bare).

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import time

import host
from machine import TOP, Machine
from results import Sample

NAME = "bare"
GUEST = os.environ.get("BARE_GUEST") or os.path.join(
    TOP, "build", "bench", "bare", "bare-guest.elf")
CASES = [f"{kind}:{depth}" for kind in ("read:4096", "write:4096",
                                        "read:131072")
         for depth in (1, 4, 16, 64)]
SIZE = 1 << 30


def why_not(lab):
    """A reason why it cannot run, or None."""
    if not os.path.exists(GUEST):
        return f"{GUEST} is missing: run ninja test-programs"
    return None


def qemu_null(iothread):
    """QEMU's own virtio-blk, with its null backend."""
    args = ["-blockdev",
            f"null-co,node-name=disk,size={SIZE},read-zeroes=off",
            "-device", "virtio-blk-pci,drive=disk,disable-legacy=on,"
            "num-queues=1,queue-size=256"
            + (",iothread=io" if iothread else "")]
    return ["-object", "iothread,id=io", *args] if iothread else args


def variants(lab):
    """QEMU's arguments by name; the others are compared with the first."""
    found = {
        "qemu-null": qemu_null(False),
        "card-null": lab.bed.card_args(f"null://?size={SIZE}",
                                       netdev="user,id=n0", ip="dhcp"),
        "qemu-null-iothread": qemu_null(True),
    }
    if lab.target:
        found["card-nvme-tcp-" + lab.wire.name] = lab.card_args()
    return found


def _boot(lab, args, ms, cases):
    return Machine("bare", ["-kernel", GUEST, "-append",
                            f"ms={ms} " + " ".join(cases), *args],
                   lab.bed.folder, memory=128, wrapper=lab.wire.wrapper)


def prepare(lab):
    """Fills the target's disk: pages that were never written are all one."""
    if lab.target:
        with _boot(lab, lab.card_args(), 1000, ["write:131072:16"]) as m:
            m.wait_for("^@@ BEGIN")
            m.write("xx")
            m.wait_for("^@@ DONE")


def run(lab, variant, args, number):
    """Boots once and measures every case; yields samples."""
    with _boot(lab, args, int(lab.seconds * 1000), CASES) as machine:
        vcpus = host.vcpu_threads(machine)
        lab.pinning.place_vcpus(vcpus)
        for case in CASES:
            machine.wait_for(f"^@@ BEGIN {case}$")
            cpu = host.CpuTime(machine, vcpus, lab.target_pid())
            start = time.monotonic()
            machine.write("x")
            end = machine.wait_for(r"^@@ END requests=(\d+) us=(\d+)$")
            seconds = time.monotonic() - start
            count, us = map(int, end.groups())
            vcpu, device, target = cpu.us()
            machine.write("x")
            lab.check_clock(us / 1e6, seconds)
            yield Sample(NAME, case, variant, number,
                         iops=count / us * 1e6,
                         latency=us * int(case.rsplit(":", 1)[1]) / count,
                         device_cpu=device / count, vcpu=vcpu / count,
                         target_cpu=target / count
                         if "nvme-tcp" in variant else None)
        machine.wait_for("^@@ DONE")
        machine.wait_end()
