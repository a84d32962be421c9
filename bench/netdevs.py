"""What joins a machine and the target: a tap in a network namespace of its
own, or QEMU's user network.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import netns


class Tap:
    """A tap with vnet_hdr behind a bridge; the target is on the bridge."""
    name = "tap"
    target_address = listen = "10.77.0.1"
    card_ip = "10.77.0.3/24"
    guest_ip = "10.77.0.2/24"
    netdev = netns.tap("tap0")

    def __init__(self, pinning):
        self._ns = netns.NetNs(["tap0"], self.listen + "/24")
        self.wrapper = [*self._ns.wrapper(), *pinning.wrapper]

    def close(self):
        self._ns.close()


class User:
    """QEMU's user network: the target is on the host's loopback."""
    name = "user"
    target_address = "10.0.2.2"
    listen = "127.0.0.1"
    card_ip = "dhcp"
    guest_ip = "10.0.2.15/24"
    netdev = "user,id=n0"

    def __init__(self, pinning):
        self.wrapper = pinning.wrapper

    def close(self):
        pass


def open_netdev(kind, pinning):
    """A wire of that kind: "tap", "user", or "auto" for what is possible."""
    reason = netns.why_not()
    if kind == "user" or (kind == "auto" and reason):
        if reason and kind == "auto":
            print(f"no tap: {reason}; using the user network")
        return User(pinning)
    if reason:
        raise RuntimeError(reason)
    return Tap(pinning)
