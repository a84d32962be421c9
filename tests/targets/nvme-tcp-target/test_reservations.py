#!/usr/bin/python3
"""Reservations of the native target, by the letter of NVMe Base section 8.19.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import struct
import unittest

from test_target import (BLOCK, C2H, DNR, RESP, TargetTest, block_command,
                         capsule, in_capsule, read, sqe, write)

CONFLICT = 0x83
WE, EA, WERO, EARO, WEAR, EAAR = range(1, 7)
IEKEY = 8


class Reservations(TargetTest):
    """Base section 8.19, with three hosts whose keys are 0xa, 0xb, 0xc."""

    def setUp(self):
        super().setUp()
        self.hosts = {}
        for name in "abc":
            admin, self.hosts[name] = self.association(
                hostid=name.encode() * 16)
            self.addCleanup(admin.close)

    def run_command(self, name, opcode, cdw10, *keys):
        data = struct.pack(f"<{len(keys)}Q", *keys)
        host = self.hosts[name]
        host.send(capsule(sqe(opcode, 1, 1, in_capsule(len(data)), (cdw10,)),
                          data))
        return host.pdu().status

    def register(self, name, action=0, old=0, new=None, flags=0):
        new = int(name, 16) if new is None else new
        return self.run_command(name, 0x0d, action | flags, old, new)

    def acquire(self, name, rtype, action=0, key=None, preempted=0, flags=0):
        key = int(name, 16) if key is None else key
        return self.run_command(name, 0x11, action | flags | rtype << 8, key,
                                preempted)

    def release(self, name, rtype, action=0, key=None, flags=0):
        key = int(name, 16) if key is None else key
        return self.run_command(name, 0x15, action | flags | rtype << 8, key)

    def report(self, name="a", dwords=64, eds=1):
        host = self.hosts[name]
        host.send(capsule(sqe(0x0e, 2, 1, (0, dwords * 4, 0x5a),
                              (dwords - 1, eds))))
        pdu = host.pdu()
        if pdu.kind == RESP:
            return pdu.status
        page = pdu.data[pdu.pdo:]
        generation, rtype, count, ptpls = struct.unpack_from("<IBHxxB", page)
        registrants = {}
        for i in range(min(count, (len(page) - 64) // 64)):
            cntlid, holds, key, hostid = struct.unpack_from(
                "<HB5xQ16s", page, 64 + 64 * i)
            self.assertEqual(cntlid, 0xffff)
            registrants[hostid[:1].decode()] = (key, holds)
        return generation, rtype, ptpls, registrants

    def access(self):
        """Who may read, and who may write: "abc abc"."""
        def may(name, pdu):
            self.hosts[name].send(pdu)
            answer = self.hosts[name].pdu()
            if answer.kind == C2H:
                return True
            self.assertIn(answer.status, (0, CONFLICT | DNR))
            return not answer.status

        reads = [read(1), capsule(block_command(0x0c, 1, (0, 0, 0x5a))),
                 capsule(block_command(5, 1, in_capsule(BLOCK)),
                         bytes(BLOCK))]
        writes = [write(1, bytes(BLOCK)), capsule(sqe(0, 1, 1)),
                  capsule(block_command(8, 1, (0, 0, 0x5a))),
                  capsule(sqe(9, 1, 1, in_capsule(16), (0, 4)), bytes(16)),
                  capsule(block_command(4, 1, (0, 0, 0x5a), slba=9))]
        result = []
        for commands in (reads, writes):
            results = {name: {may(name, pdu) for pdu in commands}
                       for name in "abc"}
            for each in results.values():
                self.assertEqual(len(each), 1)      # all alike
            result.append("".join(n for n in "abc" if results[n] == {True}))
        return " ".join(result)

    def test_registration(self):
        self.assertEqual(self.register("a"), 0)
        self.assertEqual(self.register("a"), 0)
        self.assertEqual(self.register("a", new=5), CONFLICT)
        self.assertEqual(self.register("b", 2, 0xb, 5), CONFLICT)
        self.assertEqual(self.register("b", 2, 0xb, 5, IEKEY), CONFLICT)
        self.assertEqual(self.register("a", 2, 1, 5), CONFLICT)
        self.assertEqual(self.report()[3], {"a": (0xa, 0)})
        self.assertEqual(self.register("a", 2, 0xa, 5), 0)
        self.assertEqual(self.report()[3], {"a": (5, 0)})
        self.assertEqual(self.register("a", 2, 1, 0xa, IEKEY), 0)
        self.assertEqual(self.register("b"), 0)
        self.assertEqual(self.report()[3], {"a": (0xa, 0), "b": (0xb, 0)})
        self.assertEqual(self.register("b", 1, 1), CONFLICT)
        self.assertEqual(self.register("b", 1, 1, flags=IEKEY), 0)
        self.assertEqual(self.register("b", 1, 0xb), CONFLICT)
        self.assertEqual(self.register("a", 1, 0xa), 0)
        self.assertEqual(self.report()[1:], (0, 0, {}))
        self.assertEqual(self.register("a", 3), 0x02 | DNR)
        self.assertEqual(self.access(), "abc abc")

    def test_power_loss(self):
        self.assertEqual(self.register("a", flags=1 << 30), 0x02 | DNR)
        self.assertEqual(self.register("a", flags=3 << 30), 0)
        self.assertEqual(self.report()[2], 1)
        self.assertEqual(self.register("b"), 0)
        self.assertEqual(self.report()[2], 1)
        self.assertEqual(self.register("c", flags=2 << 30), 0)
        self.assertEqual(self.report()[2], 0)

    def test_types(self):
        self.register("a")
        self.register("b")
        for rtype, access, others in (
                (WE, "abc a", CONFLICT), (EA, "a a", CONFLICT),
                (WERO, "abc ab", CONFLICT), (EARO, "ab ab", CONFLICT),
                (WEAR, "abc ab", 0), (EAAR, "ab ab", 0)):
            with self.subTest(rtype):
                self.assertEqual(self.acquire("c", rtype), CONFLICT)
                self.assertEqual(self.acquire("a", rtype, key=5), CONFLICT)
                self.assertEqual(
                    self.acquire("a", rtype, key=5, flags=IEKEY), 0)
                self.assertEqual(self.acquire("a", rtype), 0)
                self.assertEqual(self.acquire("a", rtype % 6 + 1), CONFLICT)
                self.assertEqual(self.acquire("b", rtype), others)
                self.assertEqual(self.access(), access)
                self.assertEqual(self.report()[1], rtype)
                self.assertEqual(
                    self.report()[3],
                    {"a": (0xa, 1), "b": (0xb, int(rtype >= WEAR))})
                # Everybody may look.
                self.assertEqual(self.report("c"), self.report("a"))
                self.assertEqual(self.release("a", rtype, key=5), CONFLICT)
                self.assertEqual(self.release("c", rtype), CONFLICT)
                self.assertEqual(self.release("a", rtype % 6 + 1), 2 | DNR)
                if rtype < WEAR:
                    self.assertEqual(self.release("b", rtype), 0)
                    self.assertEqual(self.report()[1], rtype)
                self.assertEqual(self.release("a", rtype), 0)
                self.assertEqual(self.access(), "abc abc")
        for rtype in (0, 7, 0xff):
            self.assertEqual(self.acquire("a", rtype), 0x02 | DNR)
        self.assertEqual(self.acquire("a", WE, action=3), 0x02 | DNR)

    def test_unregistering_releases(self):
        for rtype, left in ((WE, 0), (WERO, 0), (WEAR, WEAR)):
            with self.subTest(rtype):
                self.register("a")
                self.register("b")
                self.acquire("a", rtype)
                self.assertEqual(self.register("a", 1, 0xa), 0)
                self.assertEqual(self.report()[1], left)
                self.assertEqual(self.register("b", 1, 0xb), 0)
                self.assertEqual(self.report()[1], 0)

    def test_preempt(self):
        for action in (1, 2):
            for name in "abc":
                self.register(name)
            self.acquire("a", WE)
            generation = self.report()[0]
            # Those who hold nothing are only unregistered.
            self.assertEqual(self.acquire("b", EA, action, preempted=0xc), 0)
            self.assertEqual(self.report()[1:], (
                WE, 0, {"a": (0xa, 1), "b": (0xb, 0)}))
            self.assertEqual(self.acquire("b", EA, action, preempted=0xd),
                             CONFLICT)
            self.assertEqual(self.acquire("b", EA, action), 0x02 | DNR)
            self.assertEqual(self.acquire("c", EA, action, preempted=0xa),
                             CONFLICT)
            self.assertEqual(self.acquire("b", EA, action, preempted=0xa), 0)
            self.assertEqual(self.report(), (generation + 2, EA, 0,
                                             {"b": (0xb, 1)}))
            self.assertEqual(self.access(), "b b")
            # Of oneself: another type.
            self.assertEqual(self.acquire("b", WE, action, preempted=0xb), 0)
            self.assertEqual(self.report()[1], WE)
            self.assertEqual(self.release("b", 0, 1), 0)

    def test_preempt_all_registrants(self):
        for name in "abc":
            self.register(name)
        self.acquire("a", EAAR)
        self.assertEqual(self.acquire("b", WE, 1, preempted=0xc), 0)
        self.assertEqual(self.report()[1:], (
            EAAR, 0, {"a": (0xa, 1), "b": (0xb, 1)}))
        self.assertEqual(self.acquire("b", WE, 1, preempted=0), 0)
        self.assertEqual(self.report()[1:], (WE, 0, {"b": (0xb, 1)}))

    def test_preempt_without_reservation(self):
        self.register("a")
        self.register("b")
        self.assertEqual(self.acquire("a", WE, 1, preempted=0xb), 0)
        self.assertEqual(self.report()[1:], (0, 0, {"a": (0xa, 0)}))

    def test_clear(self):
        self.register("a")
        self.register("b")
        self.acquire("a", EARO)
        self.assertEqual(self.release("c", 0, 1), CONFLICT)
        self.assertEqual(self.release("b", 0, 1), 0)
        self.assertEqual(self.report()[1:], (0, 0, {}))
        self.assertEqual(self.release("b", 0, 1), CONFLICT)
        self.register("b")
        self.assertEqual(self.release("b", WE, 2), 0x02 | DNR)

    def test_report(self):
        self.assertEqual(self.report(eds=0), 0x18 | DNR)
        self.register("a")
        self.assertEqual(self.report(dwords=4)[1:], (0, 0, {}))
        host = self.hosts["a"]
        host.send(capsule(sqe(0x0e, 2, 1, (0, 4096, 0x5a), (2047, 1))))
        self.assertEqual(host.pdu().status, 0x0f | DNR)
        host.send(capsule(sqe(0x0e, 2, 1, (0, 0xffffffff, 0x5a),
                              (0x3fffffff, 1))))
        self.assertEqual(host.pdu().status, 0x02 | DNR)
        host.send(capsule(sqe(0x0d, 2, 1, in_capsule(8)), bytes(8)))
        self.assertEqual(host.pdu().status, 0x0f | DNR)
        host.send(capsule(sqe(0x15, 2, 1)))
        self.assertEqual(host.pdu().status, 0x0f | DNR)
        host.send(capsule(sqe(0x0d, 2, 7, in_capsule(16)), bytes(16)))
        self.assertEqual(host.pdu().status, 0x0b | DNR)

    def test_a_registration_outlives_its_association(self):
        self.register("a")
        self.acquire("a", WE)
        self.hosts["a"].close()
        self.target.wait_stats(connections=5)
        self.assertEqual(self.report("b")[1], WE)
        _, self.hosts["a"] = self.association(hostid=b"a" * 16)
        self.assertEqual(self.access(), "abc a")
        self.assertEqual(self.release("a", WE), 0)

    def test_too_many_registrants(self):
        for i in range(17):
            admin, host = self.association(hostid=bytes([i]) * 16)
            self.hosts["x"] = host
            self.assertEqual(self.register("x", new=i), 0x06 if i == 16
                             else 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
