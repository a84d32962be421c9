#!/usr/bin/env python3
"""The monitor answers whatever the target does.

There is no guest: a QEMU with a card on `-netdev user`, and a target that
stops at one step of connecting. QEMU's main loop has to answer at once in each
of these states, also while the card is unplugged, reset, stopped or cut off.

This is the one test that measures time, on a machine that may be busy. What
a thread waited for a processor is the machine's doing and does not count. And
when something took too long, all is done once more, from the plugging of the
card on: a busy machine is late now and then, and a main loop that waits for
the network somewhere is late every time.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

from machine import PLUGIN, Machine, MachineError

LIMIT = 0.100                   # seconds that one command may take
ROUNDS = 5                      # of which one has to be in time throughout
CARD = "/machine/peripheral/nic0"
STORAGE = CARD + "/storage"
NQN = "nqn.2026-11.org.smartnic:half"
UNTIL = 60                      # seconds for what the network brings about

EVERY = 1 << 30                 # more PDUs than there will be

# NVMe/TCP transport specification 1.0, section 3.6: types of PDUs
ICREQ, ICRESP, CAPSULE_CMD, CAPSULE_RESP, C2H_DATA = 0, 1, 4, 5, 7


def pdu(kind, flags, hlen, pdo, body):
    return struct.pack("<BBBBI", kind, flags, hlen, pdo, 8 + len(body)) + body


ICRESP_PDU = pdu(ICRESP, 0, 128, 0,
                 struct.pack("<HBBI", 0, 0, 0, 131072).ljust(120, b"\0"))


class Target:
    """A target that answers so many PDUs of a connection, and then goes quiet.

    @steps is for every other connection, the admin queue's, and @io_steps for
    the I/O queue's in between. As for the @ending: `silent` accepts and says
    nothing, `full` does not even accept, `half` sends a piece of its first
    answer, `reset` breaks the connection there, and `close` ends it in order.
    """

    def __init__(self, steps, io_steps=0, ending="silent"):
        self._steps = [steps, io_steps]
        self._ending = ending
        self._open = []
        self._reached = threading.Event()
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        # One connection of our own fills the shortest backlog.
        self._listener.listen(0 if ending == "full" else 16)
        self.port = self._listener.getsockname()[1]
        if ending == "full":
            self._open.append(socket.create_connection(
                self._listener.getsockname()))
            return
        threading.Thread(target=self._accept, daemon=True).start()

    def wait(self, watch):
        """Looks until one more connection came as far as this target goes."""
        deadline = time.monotonic() + UNTIL
        while self._ending != "full" and not self._reached.is_set():
            if time.monotonic() > deadline:
                raise AssertionError("the card did not come to this step")
            watch.look_for(0.02)
        self._reached.clear()

    def close(self):
        for s in [self._listener, *self._open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def _accept(self):
        while True:
            try:
                conn = self._listener.accept()[0]
            except OSError:
                return                  # closed
            steps = self._steps[len(self._open) % 2]
            self._open.append(conn)
            threading.Thread(target=self._serve, args=(conn, steps),
                             daemon=True).start()

    def _serve(self, conn, steps):
        try:
            for _ in range(steps):
                self._answer(conn, *self._receive(conn))
            if self._ending == "half":
                self._receive(conn)
                conn.sendall(ICRESP_PDU[:60])
            elif self._ending == "reset":
                self._receive(conn)
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
                conn.close()
            elif self._ending == "close":
                self._receive(conn)
                conn.shutdown(socket.SHUT_RDWR)
            else:
                self._receive(conn)     # and say nothing to it
            self._reached.set()
        except (OSError, EOFError):
            pass

    @staticmethod
    def _receive(conn):
        """The next PDU: its type and what follows the common header."""
        def exactly(size):
            data = b""
            while len(data) < size:
                piece = conn.recv(size - len(data))
                if not piece:
                    raise EOFError
                data += piece
            return data
        kind, _, _, _, plen = struct.unpack("<BBBBI", exactly(8))
        return kind, exactly(plen - 8)

    def _answer(self, conn, kind, body):
        if kind == ICREQ:
            conn.sendall(ICRESP_PDU)
            return
        opcode, _, cid = struct.unpack_from("<BBH", body)
        fctype = body[4]
        result = 0
        if opcode == 0x7f and fctype == 0x01:           # Connect
            result = 1                                  # controller id
        elif opcode == 0x7f and fctype == 0x04:         # Property Get
            offset = struct.unpack_from("<I", body, 44)[0]
            result = {0x00: 1 << 37 | 10 << 24 | 1 << 16 | 127,  # CAP
                      0x08: 0x10400,                    # VS
                      0x1c: 1}.get(offset, 0)           # CSTS: ready
        elif opcode == 0x06:                            # Identify
            self._identify(conn, cid, body[40])
            return
        elif opcode == 0x09:                            # Set Features
            result = 0
        elif opcode == 0x0c:                            # Async Event Request
            return
        conn.sendall(pdu(CAPSULE_RESP, 0, 24, 0,
                         struct.pack("<QHHHH", result, 0, 0, cid, 0)))

    @staticmethod
    def _identify(conn, cid, cns):
        data = bytearray(4096)
        if cns == 1:                                    # controller
            data[78:80] = struct.pack("<H", 1)          # CNTLID
            data[80:84] = struct.pack("<I", 0x10400)    # VER
            data[111] = 1                               # CNTRLTYPE: I/O
            data[512:514] = b"\x66\x44"                 # SQES, CQES
            data[514:516] = struct.pack("<H", 64)       # MAXCMD
            data[516:520] = struct.pack("<I", 1)        # NN
            data[536:540] = struct.pack("<I", 1)        # SGLS
            data[768:768 + len(NQN)] = NQN.encode()
            data[1792:1800] = struct.pack("<II", 4, 1)  # IOCCSZ, IORCSZ
        elif cns == 0:                                  # namespace
            data[0:24] = struct.pack("<QQQ", *[131072] * 3)
            data[128 + 2] = 9                           # LBAF0: 512 bytes
        conn.sendall(pdu(C2H_DATA, 0x0c, 24, 24,
                         struct.pack("<HHII", cid, 0, 0, 4096) + b"\0" * 4 +
                         bytes(data)))


def waited_for_processor(pid):
    """Seconds in which the main thread of @pid could run and did not."""
    try:
        with open(f"/proc/{pid}/schedstat") as f:
            return int(f.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0                        # a kernel that does not tell


class Watch:
    """Gives commands to a QEMU and looks at the clock."""

    def __init__(self, machine):
        self._machine = machine
        self._late = []
        self._worst = (0, "")           # seconds, command

    def _clock(self):
        return time.monotonic() - waited_for_processor("self") - \
            waited_for_processor(self._machine.process.pid)

    def _time(self, command, **arguments):
        start = self._clock()
        try:
            self._machine.qmp(command, **arguments)
        except MachineError:
            if command != "qom-get":    # the card may be unplugged: an answer
                raise
        took = self._clock() - start
        self._worst = max(self._worst, (took, command))
        if took >= LIMIT:
            self._late.append(f"{command} took {took * 1000:.0f} ms")

    def rounds(self, action):
        """Does @action until nothing was late in it.

        Returns the longest time that a command of that round took, and which.
        """
        tried = []
        for _ in range(ROUNDS):
            self._late = []
            self._worst = (0, "")
            action()
            if not self._late:
                return self._worst
            tried.append(", ".join(self._late))
        raise AssertionError("late every time: " + "; ".join(tried))

    def command(self, command, **arguments):
        self._time(command, **arguments)
        self.look(3)

    def look(self, times=1):
        for _ in range(times):
            self._time("query-status")
            self._time("qom-get", path=STORAGE, property="volume-state")

    def look_for(self, seconds):
        """Looks all the time, so that a timer that waits is met."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.01)


# name: how the target behaves
STATES = {
    "nobody-accepts": dict(steps=0, ending="full"),
    "half-an-icresp": dict(steps=0, ending="half"),
    "reset-at-icreq": dict(steps=0, ending="reset"),
    "reset-at-connect": dict(steps=1, ending="reset"),
    "closed-at-connect": dict(steps=1, ending="close"),
    # ICReq, Connect, Property Get and Set, Identify, ...
    **{f"silent-after-{n}": dict(steps=n) for n in range(9)},
    "io-silent-after-0": dict(steps=EVERY, io_steps=0),
    "io-silent-after-1": dict(steps=EVERY, io_steps=1),
}

# Of each round; a connection attempt and the first timers fall into it.
LOOK_SECONDS = 0.4


class MonitorTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        if not os.path.exists(PLUGIN):
            sys.exit(f"{PLUGIN} is missing: run make build")

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="smartnic-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, netdev, *args):
        """A machine that runs nothing, with a port for the card."""
        # Native PCIe hot-plug: a port that no guest has given power to lets
        # its card go at once.
        machine = Machine("monitor", [
            "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            "-device", "pcie-root-port,id=port0,chassis=1",
            "-plugin", PLUGIN, "-netdev", netdev, *args],
            self.folder, memory=64)
        self.addCleanup(machine.close)
        machine.qmp("set-action", reboot="reset")
        return machine

    def exercise(self, machine, props, reached=lambda watch: None):
        """Everything that a user may do, in the state that @reached waits for.

        Returns the longest time that a command took, and which.
        """
        watch = Watch(machine)

        def plug():
            watch.command("device_add", driver="smartnic-storage", **props)
            reached(watch)
            watch.look_for(LOOK_SECONDS)

        def come_and_go():
            plug()
            for up in (False, True):
                watch.command("set_link", name="n0", up=up)
            watch.command("stop")
            watch.command("cont")
            watch.command("device_del", id="nic0")
            self.wait_gone(machine)
            watch.look(3)

        def reset():
            watch.command("system_reset")
            watch.look_for(0.1)

        worst = max(watch.rounds(come_and_go), watch.rounds(come_and_go))
        plug()          # now the guest's firmware gives power, and it stays
        return max(worst, watch.rounds(reset))

    @staticmethod
    def wait_gone(machine):
        deadline = time.monotonic() + UNTIL
        while any(p["name"] == "nic0" for p in
                  machine.qmp("qom-list", path="/machine/peripheral")):
            if time.monotonic() > deadline:
                raise AssertionError("the card is not unplugged")
            time.sleep(0.01)

    def card(self, volume):
        return {"id": "nic0", "netdev": "n0", "bus": "port0",
                "volume": volume}

    def run_target(self, state):
        target = Target(**state)
        self.addCleanup(target.close)
        props = self.card(f"nvme+tcp://10.0.2.2:{target.port}/{NQN}")
        machine = self.start("user,id=n0")
        return self.exercise(machine, props, target.wait)

    def test_half_dead_target(self):
        for name, state in STATES.items():
            with self.subTest(name):
                took, command = self.run_target(state)
                print(f"{name}: at most {took * 1000:.1f} ms, {command}",
                      file=sys.stderr)

    def test_request_in_flight(self):
        """The boot firmware reads from the disk, and no answer comes."""
        target = Target(steps=EVERY, io_steps=2)
        self.addCleanup(target.close)
        machine = self.start(
            "user,id=n0", "-device", "smartnic-storage,id=nic0,netdev=n0,"
            f"bootindex=1,volume=nvme+tcp://10.0.2.2:{target.port}/{NQN}")
        watch = Watch(machine)
        target.wait(watch)

        def disturb():
            for up in (False, True):
                watch.command("set_link", name="n0", up=up)
            for command in ("stop", "cont", "system_reset"):
                watch.command(command)
                watch.look_for(0.1)

        watch.rounds(disturb)

    def test_nobody_listens(self):
        with socket.socket() as s:      # bound, so that nobody else is there
            s.bind(("127.0.0.1", 0))
            props = self.card(
                f"nvme+tcp://10.0.2.2:{s.getsockname()[1]}/{NQN}")
            machine = self.start("user,id=n0")
            self.exercise(machine, props)

    def test_names_and_addresses(self):
        for volume in (f"nvme+tcp://nobody.invalid/{NQN}",
                       f"nvme+tcp://10.0.2.99/{NQN}",
                       f"nvme+tcp://192.0.2.1/{NQN}"):
            with self.subTest(volume):
                props = self.card(volume)
                machine = self.start("user,id=n0")
                self.exercise(machine, props)

    def test_black_hole(self):
        """The wire's other end takes no frame until its buffers are full."""
        path = os.path.join(self.folder, "wire")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            props = dict(self.card(f"nvme+tcp://10.0.0.9/{NQN}"),
                         ip="10.0.0.2/24")
            machine = self.start("stream,id=n0,server=off,addr.type=unix,"
                                 f"addr.path={path}")
            conn = listener.accept()[0]
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            self.exercise(machine, props)
            conn.close()

    def test_baseline(self):
        """Without a card: what this machine and QEMU are able to do."""
        machine = self.start("user,id=n0")
        watch = Watch(machine)
        watch.rounds(lambda: watch.look_for(LOOK_SECONDS))


if __name__ == "__main__":
    unittest.main(verbosity=2)
