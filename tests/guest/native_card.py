"""A guest with the card, and its volumes on the native target.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

from bed import GuestTest
from native_target import NativeTarget


class NativeCardTest(GuestTest):
    """The target is a process of the host: it is there at once."""

    def target(self, *namespaces, args=(), name="target"):
        """A target with these operands of --ns."""
        return self.bed.add(NativeTarget(
            self.bed.folder, namespaces or ("1,size=64M",), args, name=name))

    def guest(self, job, volume, cmdline="", **kwargs):
        """A guest whose card reaches the host's loopback."""
        return self.bed.guest(job, netdev="user,id=n0", ip="dhcp",
                              cmdline=cmdline, volume=volume, **kwargs)
