"""The host: what it is, which threads a process has, and where they run.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import platform
import re
import subprocess


def threads(pid):
    """The ids of a process' threads."""
    return {int(tid) for tid in os.listdir(f"/proc/{pid}/task")}


def cpu_ns(pid):
    """The CPU time that each thread of a process has used, by its id."""
    times = {}
    for tid in threads(pid):
        try:
            with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                times[tid] = int(f.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass                                # it has just ended
    return times


class CpuTime:
    """CPU time of a machine's vCPUs and other threads, and of the target's
    process if there is one, from one moment on."""

    def __init__(self, machine, vcpus, target_pid=None):
        self._pid = machine.process.pid
        self._vcpus = vcpus
        self._target = target_pid
        self._start = self._now()

    def _now(self):
        own = cpu_ns(self._pid)
        vcpus = sum(ns for tid, ns in own.items() if tid in self._vcpus)
        target = sum(cpu_ns(self._target).values()) if self._target else 0
        return vcpus, sum(own.values()) - vcpus, target

    def us(self):
        """(vCPUs, other threads, target) in microseconds since then.

        A thread that ended meanwhile is missing; none of those that work
        for a disk does.
        """
        return [(now - start) / 1000
                for now, start in zip(self._now(), self._start)]


class Pinning:
    """vCPUs on the last processor, everything else on the others.

    A vCPU that polls takes a processor of its own; threads that wake each
    other are best off together.
    """

    def __init__(self, wanted=True):
        cpus = sorted(os.sched_getaffinity(0))
        self._vcpu = cpus[-1:] if wanted and len(cpus) > 1 else cpus
        self._others = cpus[:-1] if wanted and len(cpus) > 1 else cpus

        # What to put before a command so that it runs with the others.
        self.wrapper = ["taskset", "-c", ",".join(map(str, self._others))]

    def place_vcpus(self, tids):
        """Moves a machine's vCPUs to their place."""
        for tid in tids:
            os.sched_setaffinity(tid, self._vcpu)

    def __str__(self):
        if self._vcpu == self._others:
            return "no pinning"
        return (f"vCPU on processor {self._vcpu[0]}, all other threads and "
                f"the target on {','.join(map(str, self._others))}")


def vcpu_threads(machine):
    """The thread ids of a machine's vCPUs."""
    return {cpu["thread-id"] for cpu in machine.qmp("query-cpus-fast")}


def describe(qemu, accelerator, pinning):
    """Lines that say what was measured on."""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    version = subprocess.run([qemu, "--version"], capture_output=True,
                             text=True, check=True).stdout.splitlines()[0]
    return [f"processor: {model.group(1) if model else platform.machine()}, "
            f"{os.cpu_count()} of them",
            f"kernel: {platform.release()}",
            f"emulator: {version}",
            f"guest on: {' '.join(accelerator)}",
            f"pinning: {pinning}",
            "load before: {:.1f}".format(os.getloadavg()[0])]
