#!/usr/bin/python3
"""The wire itself: what it does to frames, and that a seed tells all of it.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import select
import socket
import subprocess
import sys
import tempfile
import unittest

WIRE = os.environ.get("LOSSY_WIRE")
FRAMES = 2000


class Wire(unittest.TestCase):

    def start(self, *options):
        folder = tempfile.TemporaryDirectory(prefix="smartnic-")
        self.addCleanup(folder.cleanup)
        self.ends = []
        ends = []
        for name in "ab":
            local, remote = (os.path.join(folder.name, name + side)
                             for side in ("-wire", "-qemu"))
            end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(end.close)
            end.settimeout(60)
            end.bind(remote)
            self.ends.append((end, local))
            ends += ["--" + name, f"{local},{remote}"]
        control = os.path.join(folder.name, "control")
        process = subprocess.Popen([WIRE, *ends, "--control", control,
                                    *options], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        self.process = process
        client = socket.socket(socket.AF_UNIX)
        client.connect(control)
        self.control = client.makefile("rw")
        self.addCleanup(client.close)
        self.addCleanup(self.control.close)

    def command(self, line):
        self.control.write(line + "\n")
        self.control.flush()
        answer = self.control.readline()
        return self.control.readline() if answer == "spent\n" else answer

    def send(self, end, frame):
        sock, to = self.ends[end]
        sock.sendto(frame, to)

    def receive(self, end):
        return self.ends[end][0].recv(65536)

    def frames_through(self, direction=0):
        """What comes out at the far end for frames 0, 1, 2, ...

        Clean frames behind them tell when all have come: the last of them
        can be overtaken by three.
        """
        out = []
        end = b"end".ljust(64, b"\xff")
        for number in range(FRAMES):
            self.send(direction, number.to_bytes(4, "big") + bytes(60))
            if number % 5 == 4:         # no more than its socket takes
                self.assertTrue(self.command("stats").startswith("ok"))
                out += self.received_now(1 - direction)
        self.assertEqual(self.command("faults off"), "ok\n")
        for _ in range(4):
            self.send(direction, end)
        ends = 0
        while ends < 4:
            frame = self.receive(1 - direction)
            if frame == end:
                ends += 1
            else:
                out.append(frame)
        return out

    def received_now(self, end):
        frames = []
        while select.select([self.ends[end][0]], [], [], 0)[0]:
            frames.append(self.receive(end))
        return frames

    def stats(self):
        words = self.command("stats").split()[1:]
        return {k: int(v) for k, v in (word.split("=") for word in words)}

    def clean(self):
        return [n.to_bytes(4, "big") + bytes(60) for n in range(FRAMES)]

    def test_clean(self):
        self.start()
        self.assertEqual(self.frames_through(), self.clean())

    def test_drop(self):
        self.start("--drop", "1/20", "--seed", "1")
        out = self.frames_through()
        dropped = self.stats()["drop"]
        self.assertGreater(dropped, 50)
        self.assertEqual(len(out), FRAMES - dropped)
        self.assertEqual(out, sorted(out))

    def test_double(self):
        self.start("--double", "1/20")
        out = self.frames_through()
        self.assertEqual(len(out), FRAMES + self.stats()["double"])
        self.assertEqual(sorted(set(out)), self.clean())

    def test_reorder(self):
        self.start("--reorder", "1/20")
        out = self.frames_through(1)
        self.assertNotEqual(out, self.clean())
        self.assertEqual(sorted(out), self.clean())

    def test_delay(self):
        self.start("--delay", "1/100", "--max-delay", "5")
        self.assertEqual(self.frames_through(), self.clean())
        self.assertGreater(self.stats()["delay"], 5)

    def test_corrupt(self):
        self.start("--corrupt", "1/20")
        out = self.frames_through()
        flipped = [bin(int.from_bytes(a, "big") ^ int.from_bytes(b, "big"))
                   .count("1") for a, b in zip(out, self.clean())]
        self.assertEqual(len(out), FRAMES)
        self.assertEqual(flipped.count(1), self.stats()["corrupt"])
        self.assertEqual(flipped.count(0) + flipped.count(1), FRAMES)

    def test_seed_tells_all(self):
        outs = []
        for seed in ("7", "7", "8"):
            self.start("--drop", "1/20", "--corrupt", "1/20", "--double",
                       "1/20", "--seed", seed)
            outs.append(self.frames_through())
        self.assertEqual(outs[0], outs[1])
        self.assertNotEqual(outs[0], outs[2])

    def test_limit(self):
        self.start("--drop", "1/10", "--faults", "7")
        self.assertEqual(len(self.frames_through()), FRAMES - 7)

    def test_spent(self):
        self.start("--drop", "1", "--faults", "0")
        self.assertEqual(self.command("faults 2"), "ok\n")
        for _ in range(3):
            self.send(0, b"frame")
        self.assertEqual(self.control.readline(), "spent\n")
        self.assertEqual(self.receive(1), b"frame")

    def test_cut(self):
        self.start()
        self.assertEqual(self.command("cut on"), "ok\n")
        self.send(0, b"lost")
        while not self.stats()["swallowed"]:
            pass
        self.assertEqual(self.command("cut off"), "ok\n")
        self.send(0, b"passed")
        self.assertEqual(self.receive(1), b"passed")

    def test_control_errors(self):
        self.start()
        for line in ("", "what", "faults", "faults some", "cut", "cut 1",
                     "plan drop", "plan drop=2", "plan lose=1/2",
                     "plan drop=1 double=1"):
            self.assertTrue(self.command(line).startswith("error"), line)
        self.assertEqual(self.command("plan drop=1/2 delay=0.5"), "ok\n")

    def test_says_what_it_did(self):
        self.start("--seed", "5")
        self.process.terminate()
        self.assertEqual(self.process.stdout.readline(), b"seed 5 drop 0 "
                         b"double 0 reorder 0 delay 0 corrupt 0\n")


if __name__ == "__main__":
    if not WIRE:
        sys.exit("LOSSY_WIRE is to name the program")
    unittest.main(verbosity=2)
