#!/usr/bin/python3
"""One port, two kinds of traffic: a capture of the uplink shows the guest's
packets and the firmware's NVMe/TCP side by side.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import shutil
import subprocess
import unittest

from bed import (FIRMWARE_IP, FIRMWARE_MAC, HOST_IP, HOST_MAC, STORAGE_IP,
                 GuestTest)


def count(capture, expression):
    """How many frames of the file match tcpdump's expression."""
    output = subprocess.run(["tcpdump", "-nr", capture, expression],
                            check=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL).stdout
    return len(output.splitlines())


@unittest.skipUnless(shutil.which("tcpdump"), "tcpdump is not installed")
class Capture(GuestTest):

    def test_both_on_one_port(self):
        self.bed.storage()
        capture = self.bed.path("port.pcap")
        guest = self.bed.guest(rf"""
wait_for $disk || exit
dd if=/dev/urandom of=$disk bs=64k count=16 oflag=direct 2>/dev/null ||
    fail write
ping -c 3 -W 5 {STORAGE_IP} || fail ping
say OK
""", extra=["-object", f"filter-dump,id=dump,netdev=n0,file={capture}"])
        self.finish(guest)

        # 1 MiB in segments of at most 1460 bytes
        self.assertGreater(count(
            capture, f"ether src {FIRMWARE_MAC} and tcp dst port 4420 and "
            f"src host {FIRMWARE_IP} and greater 1000"), 1024 * 1024 // 1460)
        self.assertGreater(count(
            capture, f"ether dst {FIRMWARE_MAC} and tcp src port 4420"), 0)
        self.assertEqual(count(
            capture, f"ether src {HOST_MAC} and icmp[icmptype] = icmp-echo "
            f"and src host {HOST_IP}"), 3)
        self.assertEqual(count(
            capture, f"ether dst {HOST_MAC} and "
            "icmp[icmptype] = icmp-echoreply"), 3)
        # Neither ever speaks for the other.
        self.assertEqual(count(
            capture, f"ether src {HOST_MAC} and src host {FIRMWARE_IP}"), 0)
        self.assertEqual(count(
            capture, f"ether src {FIRMWARE_MAC} and src host {HOST_IP}"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
