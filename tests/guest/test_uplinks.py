#!/usr/bin/python3
"""The same volume through every kind of netdev, and by every kind of address.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import subprocess
import sys
import unittest

import netns
from bed import CARD, NQN, STORAGE_IP, STORAGE_MAC, GuestTest
from machine import Machine

VERIFY = r"""
wait_for $disk || exit
verify $disk 4k 4m
verify $disk 128k 16m
"""
PING = f"ping -c 2 -W 5 {STORAGE_IP} || fail ping\n"


class Uplinks(GuestTest):

    def check(self, job=VERIFY + PING + "say OK\n", **kwargs):
        guest = self.bed.guest(job, **kwargs)
        self.finish(guest)

    def test_stream(self):
        self.bed.storage(wire="stream")
        self.check(wire="stream")

    def test_dgram(self):
        self.bed.storage(wire="dgram")
        self.check(wire="dgram")

    def test_hubport(self):
        self.bed.storage()
        self.check(netdev="hubport,id=n0,hubid=0", extra=[
            "-netdev", f"stream,id=wire,server=off,reconnect-ms=100,"
            f"addr.type=unix,addr.path={self.bed.path('wire')}",
            "-netdev", "hubport,id=hub,hubid=0,netdev=wire"])

    def test_user_with_dhcp(self):
        # Two slirps back to back, as a host's user meets a remote target.
        storage = self.bed.add(Machine.linux(
            "storage", "sn.role=storage sn.ip=10.0.2.15/24",
            ["-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:4420", "-device",
             f"virtio-net-pci,netdev=n0,romfile=,mac={STORAGE_MAC}"],
            self.bed.folder, memory=768))
        storage.wait_for("@@ STORAGE-READY")
        forwards = storage.qmp("human-monitor-command",
                               **{"command-line": "info usernet"})
        port = re.search(r"127\.0\.0\.1\s+(\d+)", forwards).group(1)

        guest = self.bed.guest(
            VERIFY + "say LOOK; read -r _ </dev/ttyS0; say OK\n",
            netdev="user,id=n0", ip="dhcp", cmdline="",
            volume=f"nvme+tcp://10.0.2.2:{port}/{NQN}")
        guest.wait_for("@@ LOOK", 240)
        self.assertEqual(guest.property(CARD, "ip-address"), "10.0.2.15")
        guest.write("\n")
        self.finish(guest)

    def test_ipv6(self):
        self.bed.storage()
        self.check(volume=f"nvme+tcp://[fd00:77::1]/{NQN}", ip="none",
                   card=",ip6=fd00:77::3/64")


@unittest.skipIf(netns.why_not(), netns.why_not())
class Tap(GuestTest):
    """A tap hands over segments larger than the MTU (vnet_hdr)."""

    def setUp(self):
        super().setUp()
        self.net = netns.NetNs(["storage", "card"], "10.77.0.9/24")
        self.addCleanup(self.net.close)
        storage = self.bed.add(Machine.linux(
            "storage", f"sn.role=storage sn.ip={STORAGE_IP}/24",
            ["-netdev", netns.tap("storage"), "-device",
             f"virtio-net-pci,netdev=n0,romfile=,mac={STORAGE_MAC}"],
            self.bed.folder, memory=768, wrapper=self.net.wrapper()))
        storage.wait_for("@@ STORAGE-READY")

    def check(self, **kwargs):
        guest = self.bed.guest(VERIFY + PING + "say OK\n",
                               netdev=netns.tap("card"),
                               wrapper=self.net.wrapper(), **kwargs)
        self.finish(guest)

    def test_tap(self):
        self.check()

    def test_by_name(self):
        server = subprocess.Popen(
            [*self.net.wrapper(), sys.executable,
             os.path.join(os.path.dirname(__file__), "name_server.py"),
             "10.77.0.9", STORAGE_IP], stdout=subprocess.PIPE)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.assertEqual(server.stdout.readline(), b"ready\n")
        self.check(volume=f"nvme+tcp://target.example/{NQN}",
                   card=",dns=10.77.0.9")


if __name__ == "__main__":
    unittest.main(verbosity=2)
