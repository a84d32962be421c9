"""The demo's machines and what is shown of them; see demo.sh.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess
import sys
import time

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(SCRIPTS), "tests", "guest"))

from bed import (CARD, FIRMWARE_IP, FIRMWARE_MAC, NVME,  # noqa: E402
                 HOST_IP, HOST_MAC, NQN, STORAGE_IP, VOLUME, Bed)
from machine import MachineError, require_testbed  # noqa: E402

# Longer than the demo takes on a slow and busy machine, by far.
TIMEOUT = 300


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


def guest_job():
    """The guest's script: the demo's own, or GUEST_CMD."""
    # It waits for a line first, so that it cannot end while we look at it.
    ready = "wait_for /dev/nvme0n1 || fail 'no disk'\nread -r _ </dev/ttyS0\n"
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


def show_capture(capture):
    section("The uplink's capture: both kinds of traffic on the one port")
    rows = [("guest, iperf3", HOST_MAC, "tcp port 5201"),
            ("guest, ping", HOST_MAC, "icmp"),
            ("firmware, NVMe/TCP", FIRMWARE_MAC, "tcp port 4420")]
    print(f"   {'':24}{'MAC address':20}{'sent':>8}{'received':>10}")
    for label, mac, what in rows:
        sent, received = (tcpdump_count(capture, f"ether {way} {mac} and "
                                        f"{what}") for way in ("src", "dst"))
        print(f"   {label:24}{mac:20}{sent:8}{received:10}", flush=True)
        if not sent or not received:
            raise DemoError(f"the capture has no {label} in both directions")
    strangers = tcpdump_count(capture, f"ether src {HOST_MAC} and port 4420")
    if strangers:
        raise DemoError("the guest itself spoke NVMe/TCP")
    print("   The guest sent no NVMe/TCP packet: the card did.")


def show_card(guest):
    """What QMP tells, while the card is still there."""
    state = guest.property(CARD + NVME.stats, "volume-state")
    address = guest.property(CARD, "ip-address")
    print(f"   volume {state}; firmware at {address}, guest at {HOST_IP}")


def demo(bed):
    section("Storage machine: the Linux kernel's NVMe/TCP target")
    since = time.monotonic()
    bed.storage()
    print(f"   {NQN}\n   at {STORAGE_IP}:4420, {started(since)}")

    section("Guest with the card")
    print(f"   -device smartnic-storage,netdev=n0,ip={FIRMWARE_IP}/24,\n"
          f"           volume={VOLUME}", flush=True)
    capture = bed.path("port.pcap")
    console = Console()
    since = time.monotonic()
    guest = bed.guest(guest_job(), echo=console, extra=[
        "-object", f"filter-dump,id=dump,netdev=n0,file={capture},maxlen=96"])
    guest.wait_for("^@@ GUEST-READY", TIMEOUT)
    print(f"   {started(since)}")
    show_card(guest)
    guest.write("\n")
    result = guest.wait_for("^@@ (OK|FAIL.*|MISSING.*)$", TIMEOUT).group(1)
    if result != "OK":
        raise DemoError("in the guest: " + result.split(" ", 1)[1])
    guest.wait_end()
    if not os.environ.get("GUEST_CMD"):
        show_capture(capture)


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
