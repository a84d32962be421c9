"""fio in a Linux guest: on the card's disk and on what else there is.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os

import host
from bare_bench import card_null, qemu_nvme
from bed import JOB_HELPERS
from machine import INITRAMFS, Machine
from results import Sample

CASES = ["randread:4k:1", "randwrite:4k:1", "randread:4k:32",
         "randwrite:4k:32", "read:128k:8", "write:128k:8"]

# Prints for each case the fields of fio's terse output (version 3), and what
# /proc/stat counted meanwhile.
JOB = r"""
{connect}
wait_for {disk} || exit
cpu() {{ head -n 1 /proc/stat; }}
for case in {cases}; do
    kind=${{case%%:*}} depth=${{case##*:}} size=${{case#*:}} size=${{size%:*}}
    say "BEGIN $case"
    before=$(cpu)
    fio --name=bench --filename={disk} --rw=$kind --bs=$size \
        --iodepth=$depth --ioengine=libaio --direct=1 --time_based \
        --runtime={ms}ms --norandommap --randrepeat=0 --minimal \
        --terse-version=3 >/run/fio.out 2>&1 || {{
        cat /run/fio.out; fail "fio $case"; }}
    say "END $(cat /run/fio.out)"
    say "CPU $before - $(cpu)"
done
say OK
"""

CONNECT = r"""
load initiator
nvme connect -t tcp -a {address} -s {port} -n {nqn} || fail "nvme connect"
"""

NVME_DISK = "/dev/nvme0n1"

# Room for a second processor, which is not there: only then does QEMU's TCG
# keep the kernel's memory barriers (see docs/performance.rst).
ROOM = ["-smp", "1,maxcpus=2"]

# Fields of fio's terse output, from 0; a write's are 41 after a read's.
RUNTIME_MS = 8
IOPS = 7
LATENCY_MEAN = 39
WRITE = 41


def _guest_busy(text):
    """The share of the guest's processor time that was not idle."""
    before, after = ([int(n) for n in half.split()[1:9]]
                     for half in text.split("-"))
    spent = [b - a for a, b in zip(before, after)]
    return 100 * (1 - (spent[3] + spent[4]) / sum(spent))


class Fio:
    """A variant is (QEMU's arguments, shell that makes the disk, disk)."""
    serves = True               # whether the target works for it

    def why_not(self, lab):
        """A reason why it cannot run, or None."""
        if not os.path.exists(INITRAMFS):
            return f"{INITRAMFS} is missing: run scripts/setup.sh all"
        return None

    def prepare(self, lab):
        """Nothing: the target's disk was filled before."""

    def run(self, lab, variant, how, number):
        """Boots once and measures every case; yields samples."""
        args, connect, disk = how
        cases = lab.wanted(CASES)
        job = JOB_HELPERS + JOB.format(connect=connect, disk=disk,
                                       cases=" ".join(cases),
                                       ms=int(lab.seconds * 1000))
        with Machine.linux("fio", f"sn.role=guest sn.ip={lab.wire.guest_ip}",
                           [*ROOM, *args], lab.bed.folder, job=job,
                           wrapper=lab.wire.wrapper) as machine:
            vcpus = host.vcpu_threads(machine)
            lab.pinning.place_vcpus(vcpus)
            for case in cases:
                machine.wait_for(f"^@@ BEGIN {case}$")
                cpu = host.CpuTime(machine, vcpus, lab.target_pid())
                end = machine.wait_for("^@@ (END|FAIL) (.*)$")
                vcpu, device, served = cpu.us()
                if end.group(1) == "FAIL":
                    raise RuntimeError(machine.report())
                first = WRITE if "write" in case else 0
                terse = end.group(2).split(";")
                iops = float(terse[first + IOPS])
                count = iops * float(terse[first + RUNTIME_MS]) / 1000
                busy = _guest_busy(machine.wait_for("^@@ CPU (.*)$").group(1))
                yield Sample(self.name, case, variant, number, iops=iops,
                             latency=float(terse[first + LATENCY_MEAN]),
                             device_cpu=device / count, vcpu=vcpu / count,
                             target_cpu=served / count if self.serves
                             else None, guest_busy=busy)
            machine.wait_for("^@@ OK")
            machine.wait_end()


class Initiator(Fio):
    """The card, and the guest kernel's own NVMe/TCP initiator over a plain
    virtio-net, on the same target."""
    name = "fio"

    def why_not(self, lab):
        return super().why_not(lab) or (
            None if lab.target else "there is no target")

    def variants(self, lab):
        """By name; the others are compared with the first."""
        net = ["-netdev", lab.wire.netdev, "-device",
               "virtio-net-pci,netdev=n0,romfile="]
        connect = CONNECT.format(address=lab.wire.target_address,
                                 port=lab.target.port, nqn=lab.target.nqn)
        return {
            "guest-initiator": (net, connect, NVME_DISK),
            "card-nvme": (lab.card_args("nvme"), "", NVME_DISK),
            "card-virtio-blk": (lab.card_args("virtio-blk"), "", "/dev/vda"),
        }


class Null(Fio):
    """NVMe functions on backends that do nothing."""
    name = "fio-null"
    serves = False

    def variants(self, lab):
        return {
            "qemu-nvme": (qemu_nvme("off"), "", NVME_DISK),
            "qemu-nvme-ioeventfd": (qemu_nvme("on"), "", NVME_DISK),
            "card-nvme": (card_null(lab, "nvme"), "", NVME_DISK),
        }
