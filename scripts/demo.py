"""The demo's machines and what is shown of them; see demo.sh.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import collections
import os
import shutil
import subprocess
import sys
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(SCRIPTS), "tests", "guest"))

from bed import (CARD, FIRMWARE_IP, FIRMWARE_MAC, NVME,  # noqa: E402
                 HOST_IP, HOST_MAC, ISCSI_VOLUME, NFS_VOLUME, VOLUME, Bed)
from machine import MachineError, require_testbed  # noqa: E402

# Longer than the demo takes on a slow and busy machine, by far.
TIMEOUT = 300


# What PROTOCOL may be: its name for people, the storage machine's service,
# the URL, and the port that shows in the capture.
Protocol = collections.namedtuple("Protocol", "name service url port")
PROTOCOLS = {
    "nvme-tcp": Protocol("NVMe/TCP", "nvme", VOLUME, 4420),
    "iscsi": Protocol("iSCSI", "iscsi", ISCSI_VOLUME, 3260),
    "nfs": Protocol("NFS", "nfs", NFS_VOLUME, 2049),
}


class DemoError(Exception):
    """What failed, in one line."""


def section(text):
    print(f"\n== {text}", flush=True)


class Console:
    """Shows the guest's serial port, line by line, with sections."""

    def __init__(self):
        self._rest = ""

    def __call__(self, text):
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.startswith("@@ == "):
                section(line[6:])
            elif line.startswith("@@ "):
                continue                # for the demo, not for the reader
            elif not line.startswith("[ "):
                print("   " + line, flush=True)     # and not the kernel's


def started(since):
    return f"ready after {time.monotonic() - since:.1f} s"


def chosen_protocols():
    choice = os.environ.get("PROTOCOL") or "nvme-tcp"
    if choice == "all":
        return list(PROTOCOLS.values())
    if choice not in PROTOCOLS:
        raise DemoError(f"PROTOCOL={choice} is not known: use "
                        f"{', '.join(PROTOCOLS)} or all")
    return [PROTOCOLS[choice]]


def guest_job(protocols):
    """The guest's script: the demo's own, or GUEST_CMD."""
    # It waits for a line first, so that it cannot end while we look at it.
    names = [p.name for p in protocols]
    ready = ("wait_for /dev/nvme0n1 || fail 'no disk'\nread -r _ </dev/ttyS0\n"
             f"protocols='{' '.join(names)}'\n")
    command = os.environ.get("GUEST_CMD")
    if command:
        # Its own shell: it may exit as it likes.
        return (ready + "cat >/run/cmd <<'@@END'\n" + command + "\n@@END\n"
                "say '== GUEST_CMD'\n"
                "sh /run/cmd 2>&1 || fail 'GUEST_CMD ended with status' $?\n"
                "say OK\n")
    with open(os.path.join(SCRIPTS, "demo-guest.sh")) as f:
        return ready + f.read()


def tcpdump_count(capture, expression):
    output = subprocess.run(["tcpdump", "-nr", capture, expression],
                            check=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL).stdout
    return len(output.splitlines())


def show_capture(capture, protocols):
    section("The uplink's capture: both kinds of traffic on the one port")
    rows = [("guest, iperf3", HOST_MAC, "tcp port 5201"),
            ("guest, ping", HOST_MAC, "icmp")]
    rows += [(f"firmware, {p.name}", FIRMWARE_MAC, f"tcp port {p.port}")
             for p in protocols]
    print(f"   {'':24}{'MAC address':20}{'sent':>8}{'received':>10}")
    for label, mac, what in rows:
        sent, received = (tcpdump_count(capture, f"ether {way} {mac} and "
                                        f"{what}") for way in ("src", "dst"))
        print(f"   {label:24}{mac:20}{sent:8}{received:10}", flush=True)
        if not sent or not received:
            raise DemoError(f"the capture has no {label} in both directions")
    for p in protocols:
        if tcpdump_count(capture, f"ether src {HOST_MAC} and port {p.port}"):
            raise DemoError(f"the guest itself spoke {p.name}")
        print(f"   The guest sent no {p.name} packet: the card did.")


def show_card(guest):
    """What QMP tells, while the card is still there."""
    state = guest.property(CARD + NVME.stats, "volume-state")
    address = guest.property(CARD, "ip-address")
    print(f"   volume {state}; firmware at {address}, guest at {HOST_IP}")


def demo(bed):
    protocols = chosen_protocols()
    section("Storage machine: the Linux kernel's servers for "
            + ", ".join(p.name for p in protocols))
    since = time.monotonic()
    bed.storage("sn.serve=" + ",".join(p.service for p in protocols))
    for p in protocols:
        print(f"   {p.url}")
    print(f"   {started(since)}")

    section("Guest with the card")
    print(f"   -device smartnic-storage,netdev=n0,ip={FIRMWARE_IP}/24,\n"
          f"           volume={protocols[0].url}", flush=True)
    # Namespace 1 is the card's own.
    more = [f"smartnic-volume,id=v{nsid},bus=nic0.0,nsid={nsid},url={p.url}"
            for nsid, p in enumerate(protocols, 1) if nsid > 1]
    for text in more:
        print(f"   -device {text}", flush=True)
    capture = bed.path("port.pcap")
    console = Console()
    since = time.monotonic()
    guest = bed.guest(guest_job(protocols), echo=console,
                      volume=protocols[0].url, extra=[
                          *(w for text in more for w in ("-device", text)),
                          "-object", "filter-dump,id=dump,netdev=n0,"
                          f"file={capture},maxlen=96"])
    guest.wait_for("^@@ GUEST-READY", TIMEOUT)
    print(f"   {started(since)}")
    show_card(guest)
    guest.write("\n")
    result = guest.wait_for("^@@ (OK|FAIL.*|MISSING.*)$", TIMEOUT).group(1)
    if result != "OK":
        raise DemoError("in the guest: " + result.split(" ", 1)[1])
    guest.wait_end()
    if not os.environ.get("GUEST_CMD"):
        show_capture(capture, protocols)


def main():
    require_testbed()
    if not shutil.which("tcpdump"):
        sys.exit("demo: tcpdump is missing: run scripts/setup.sh all")
    bed = Bed()
    try:
        demo(bed)
    except (DemoError, MachineError, OSError,
            subprocess.CalledProcessError) as error:
        # A machine's report follows its first line; the demo gives one line.
        sys.exit(f"demo: failed: {str(error).splitlines()[0]}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
    finally:
        bed.close()
    print("\ndemo: ok")


if __name__ == "__main__":
    main()
