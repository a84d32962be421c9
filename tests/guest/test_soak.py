#!/usr/bin/python3
"""Fault upon fault while fio verifies, and nothing is lost.

The faults follow from a seed: SEED=n in the environment plays them again.
FAULTS=n says how many, half of them with each storage function.

    card - lossy wire - a second QEMU's user network - target

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import os
import sys
import unittest

import fault_plan
import wire
from bed import NVME, VIRTIO_BLK, GuestTest
from machine import SHARED_RAM, Machine
from native_target import NativeTarget

FAULTS = int(os.environ.get("FAULTS") or 60)
JOB = """
wait_for $disk 1200 || exit
verify_until_told $disk 4k 16m --bsrange=4k-64k --fsync=32 \
    --verify_backlog=64
say OK
"""
PARAMETERS = ("?queues=2&hdgst=on&ddgst=on&keep-alive-tmo=2&io-timeout=2"
              "&reconnect-delay=1")


class Soak(GuestTest):
    """The faults, and how each is known to have struck."""

    def setUp(self):
        super().setUp()
        self.seed = wire.seed()
        self.wire = wire.LossyWire(self.bed, "--faults", "0",
                                   "--seed", str(self.seed))
        # Two netdevs on a hub: frames become sockets of the host. The machine
        # has nothing to run.
        self.bed.add(Machine("gateway", [
            "-netdev", self.bed.netdev("storage", "lossy").replace(
                "id=n0", "id=a"), "-netdev", "user,id=b",
            "-netdev", "hubport,id=ha,hubid=0,netdev=a",
            "-netdev", "hubport,id=hb,hubid=0,netdev=b"],
            self.bed.folder, memory=16))
        self.target = self.bed.add(NativeTarget(
            self.bed.folder, [f"1,size=64M,file={self.bed.path('disk')}"],
            ["--r2t-size", "16384", "--queue-size", "32"]))
        self.guest = self.bed.guest(
            JOB, wire="lossy", volume=self.target.url(PARAMETERS), cmdline="",
            ip="dhcp", card=",num-queues=2", extra=SHARED_RAM)
        self.guest.wait_for("@@ VERIFYING")
        self.wait_working()

    # ---- what a fault is followed by ----

    def volume(self, name):
        return self.bed.volume(self.guest, name)

    def wait_state(self, state):
        self.guest.wait_until(lambda: self.volume("state") == state, state)

    def requests(self):
        return sum(self.volume("latency-" + op)["count"]
                   for op in ("read", "write", "flush"))

    def wait_working(self):
        """Requests that came after this call were answered."""
        self.wait_state("ready")
        least = self.requests() + 50
        self.guest.wait_until(lambda: self.requests() > least, "working")

    # ---- the faults: each returns when it has struck ----

    def do_frame(self, kind):
        self.wire.command(f"plan {kind}=1/8")
        self.wire.command("faults 1")
        self.wire.wait_spent()

    def do_target(self, fault):
        self.target.wait_fired(self.target.fault(fault))

    def do_connect(self, fault):
        number = self.target.fault(fault)
        self.target.command("drop")
        self.target.wait_fired(number)

    def do_drop(self, how):
        before = self.volume("reconnects")
        self.target.command(how)
        self.guest.wait_until(lambda: self.volume("reconnects") > before,
                              "reconnected")

    def do_refuse(self, _):
        self.target.command("refuse on")
        self.target.command("drop")
        self.wait_state("lost")
        self.target.command("refuse off")

    def do_restart(self, _):
        self.target.kill()
        self.wait_state("lost")
        self.target.start()

    def do_cut(self, _):
        self.wire.command("cut on")
        self.wait_state("lost")
        self.wire.command("cut off")

    def do_flap(self, _):
        self.guest.qmp("set_link", name="n0", up=False)
        self.guest.qmp("set_link", name="n0", up=True)

    def do_stop(self, _):
        self.guest.qmp("stop")
        self.guest.qmp("cont")

    def soak(self, faults):
        done = collections.Counter()
        print(f"SEED={self.seed} {self.function.name} {faults} faults",
              file=sys.stderr)
        for number, (name, what) in enumerate(
                fault_plan.steps(self.seed, faults), 1):
            try:
                getattr(self, "do_" + name)(what)
                self.wait_working()
            except Exception:
                print(f"SEED={self.seed}: fault {number} was {name} {what}",
                      file=sys.stderr)
                raise
            self.target.command("clear")
            done[name] += 1
            if number % 100 == 0:
                print(number, "faults,", self.volume("reconnects"),
                      "reconnects,", self.guest.own_memory(), "KiB",
                      file=sys.stderr)
        print("done:", dict(done), "reconnects:", self.volume("reconnects"),
              "requests:", self.requests(), "KiB:", self.guest.own_memory(),
              "wire:", self.wire.stats(),
              file=sys.stderr)
        self.assertEqual(self.volume("state"), "ready")
        self.guest.write("\n")
        self.finish(self.guest)


class Nvme(Soak):
    function = NVME

    def test_soak(self):
        self.soak(FAULTS - FAULTS // 2)


class VirtioBlk(Soak):
    function = VIRTIO_BLK

    def test_soak(self):
        self.soak(FAULTS // 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
