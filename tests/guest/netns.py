"""A network namespace with a bridge and taps, for as long as it is held.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess

# "ready" tells that all is there; the namespace ends with this shell, whose
# end comes with that of its standard input.
SETUP = """
set -e
ip link set lo up
ip link add br0 type bridge
ip addr add {address} dev br0
ip link set br0 up
for tap in {taps}; do
    ip tuntap add "$tap" mode tap vnet_hdr
    ip link set "$tap" master br0 up
done
echo ready
exec cat
"""


def why_not():
    """A reason why this machine cannot do it, or None."""
    if os.geteuid() != 0:
        return "a tap needs root"
    if not os.path.exists("/dev/net/tun"):
        return "this machine has no /dev/net/tun"
    for program in ("ip", "unshare", "nsenter"):
        if not shutil.which(program):
            return f"{program} is not installed"
    return None


class NetNs:
    """The taps, on one bridge that has an address of its own."""

    def __init__(self, taps, address):
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c",
             SETUP.format(address=address, taps=" ".join(taps))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        if self._holder.stdout.readline() != b"ready\n":
            error = self._holder.stderr.read().decode()
            self.close()
            raise RuntimeError("no namespace with taps: " + error)

    def wrapper(self):
        """What to put before a command so that it runs inside."""
        return ["nsenter", "-t", str(self._holder.pid), "-n"]

    def close(self):
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()
        self._holder.stderr.close()


def tap(name):
    """The -netdev for one of the taps."""
    return f"tap,id=n0,ifname={name},script=no,downscript=no"
