#!/usr/bin/python3
"""The card as a network card: the guest's own traffic, without storage.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import unittest

import netns
from bed import CARD, HOST_IP, STORAGE_IP, STORAGE_MAC, GuestTest
from machine import Machine

# Bits of struct virtio_net's features (virtio 1.2 section 5.1.3)
OFFLOADS = {"CSUM": 0, "GUEST_CSUM": 1, "GUEST_TSO4": 7, "HOST_TSO4": 11}

# A file goes to the guest, which gives it back; compared byte by byte.
SERVE = rf"""
mkdir /run/www
dd if=/dev/urandom of=/run/www/data bs=64k count=64 2>/dev/null
httpd -p 8080 -h /run/www
say SERVING
until wget -q -O /run/back http://{HOST_IP}:8080/data; do usleep 100000; done \
    2>/dev/null
cmp /run/www/data /run/back && say SAME || say DIFFERENT
"""
TRANSFER = rf"""
mkdir /run/www
wget -q -O /run/data http://{STORAGE_IP}:8080/data || fail wget
mv /run/data /run/www/data
errors=$(awk '/^Tcp:/ {{v = $NF}} END {{print v}}' /proc/net/snmp)
[ "$errors" = 0 ] || fail "segments with a wrong checksum: $errors"
httpd -p 8080 -h /run/www
say "FEATURES $(cat /sys/class/net/eth0/device/features)"
read -r _ </dev/ttyS0
say OK
"""


class Net(GuestTest):

    def check_transfer(self, storage, guest, offloads):
        features = guest.wait_for("@@ FEATURES ([01]+)").group(1)
        for name, bit in OFFLOADS.items():
            self.assertEqual(features[bit], "1" if name in offloads else "0",
                             name)
        self.assertEqual(storage.wait_for("@@ (SAME|DIFFERENT)").group(1),
                         "SAME")
        size = 4 << 20
        for counter in ("host-rx-bytes", "host-tx-bytes", "uplink-rx-bytes",
                        "uplink-tx-bytes"):
            self.assertGreater(guest.property(CARD, counter), size, counter)
        guest.write("\n")
        self.finish(guest)

    def test_transfer(self):
        storage = self.bed.storage(job=SERVE)
        storage.wait_for("@@ SERVING")
        guest = self.bed.guest(TRANSFER, volume=None)
        self.check_transfer(storage, guest, offloads=())

    def over_taps(self, offloads, extra=()):
        if netns.why_not():
            self.skipTest(netns.why_not())
        net = netns.NetNs(["storage", "card"], "10.77.0.9/24")
        self.addCleanup(net.close)
        storage = self.bed.add(Machine.linux(
            "storage", f"sn.role=storage sn.ip={STORAGE_IP}/24",
            ["-netdev", netns.tap("storage"), "-device",
             f"virtio-net-pci,netdev=n0,romfile=,mac={STORAGE_MAC}"],
            self.bed.folder, job=SERVE, memory=768, wrapper=net.wrapper()))
        storage.wait_for("@@ SERVING")
        guest = self.bed.guest(TRANSFER, volume=None,
                               netdev=netns.tap("card"),
                               wrapper=net.wrapper(), extra=extra)
        self.check_transfer(storage, guest, offloads)

    def test_transfer_with_offloads(self):
        self.over_taps(OFFLOADS)

    def test_transfer_to_a_plain_driver(self):
        # The tap goes on handing over long segments: the card cuts them.
        off = [f"virtio-net-pci.guest_{name}=off"
               for name in ("csum", "tso4", "tso6", "ecn", "ufo", "uso4",
                            "uso6")]
        self.over_taps(["CSUM", "HOST_TSO4"],
                       [word for o in off for word in ("-global", o)])

    def test_link(self):
        # With somebody at the other end: QEMU 10.0 itself ends in a crash
        # when the link of a stream netdev goes up that is not connected.
        self.bed.storage()
        guest = self.bed.guest(r"""
carrier() {
    until [ "$(cat /sys/class/net/eth0/carrier)" = $1 ]; do usleep 20000; done
    say "CARRIER $1"
}
carrier 1
carrier 0
carrier 1
say OK
""", volume=None)
        guest.wait_for("@@ CARRIER 1")
        guest.qmp("set_link", name="n0", up=False)
        guest.wait_for("@@ CARRIER 0")
        guest.qmp("set_link", name="n0", up=True)
        guest.wait_for("@@ CARRIER 1")
        self.finish(guest)


if __name__ == "__main__":
    unittest.main(verbosity=2)
