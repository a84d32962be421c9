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


class HostsTest(TargetTest):
    """Three hosts whose keys are 0xa, 0xb, 0xc."""

    def setUp(self):
        super().setUp()
        self.hosts = {}
        self.admins = {}
        for name in "abc":
            self.admins[name], self.hosts[name] = self.association(
                hostid=name.encode() * 16)

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



class Reservations(HostsTest):
    """Base section 8.19."""

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


NONE, REGISTRATION_PREEMPTED, RELEASED, PREEMPTED = range(4)
PAGES = 16                      # that a controller keeps
RETAIN = 1 << 15
MASK, PERSISTENCE = 0x82, 0x83
NSID_ALL = 0xffffffff


class Notifications(HostsTest):
    """Base section 8.19: log page 80h, its event, features 82h and 83h."""

    def page(self, name, flags=0, admin=None):
        """(number, type, how many follow, namespace) of the next page."""
        admin = admin or self.admins[name]
        admin.send(capsule(sqe(2, 9, NSID_ALL, (0, 64, 0x5a),
                               (15 << 16 | flags | 0x80,))))
        pdu = admin.pdu()
        self.assertEqual(pdu.kind, C2H)
        page = pdu.data[pdu.pdo:]
        self.assertEqual(page[16:], bytes(48))
        return struct.unpack("<QBBxxI", page[:16])

    def ask(self, name, cid=0x100):
        self.admins[name].send(capsule(sqe(0x0c, cid)))

    def assert_event(self, name, cid=0x100):
        pdu = self.admins[name].pdu()
        self.assertEqual((pdu.kind, pdu.cid, pdu.status, pdu.result),
                         (RESP, cid, 0, 0x800006))

    def heard(self):
        """Types of all pages of each host, which are read."""
        result = {}
        for name in "abc":
            types = []
            while True:
                count, rnlpt, _, nsid = self.page(name)
                if not rnlpt:
                    self.assertEqual((count, nsid), (0, 0))
                    break
                self.assertEqual(nsid, 1)
                types.append(rnlpt)
            if types:
                result[name] = types
        return result

    def register_all(self):
        for name in "abc":
            self.assertEqual(self.register(name), 0)
        self.heard()

    def test_nobody_hears_of_what_takes_nothing(self):
        self.register_all()
        self.assertEqual(self.acquire("a", WERO), 0)
        self.assertEqual(self.register("b", 2, 0xb, 5), 0)
        self.assertEqual(self.register("b", 1, 5), 0)
        self.assertEqual(self.heard(), {})

    def test_release(self):
        """Registrants hear that one is over which had let them in."""
        for rtype in (WE, EA, WERO, EARO, WEAR, EAAR):
            with self.subTest(rtype):
                self.register_all()
                self.acquire("a", rtype)
                self.assertEqual(self.release("a", rtype), 0)
                self.assertEqual(self.heard(), {} if rtype <= EA else {
                    "b": [RELEASED], "c": [RELEASED]})

    def test_holder_unregisters(self):
        for rtype in (WE, EA, WERO, EARO, WEAR, EAAR):
            with self.subTest(rtype):
                self.register_all()
                self.acquire("a", rtype)
                self.assertEqual(self.register("a", 1, 0xa), 0)
                self.assertEqual(self.heard(), {
                    "b": [RELEASED], "c": [RELEASED]}
                    if rtype in (WERO, EARO) else {})
                self.assertEqual(self.release("b", 0, 1), 0)
                self.heard()

    def test_preempt(self):
        for action in (1, 2):
            self.register_all()
            self.acquire("a", WE)
            # One that holds nothing.
            self.acquire("b", WE, action, preempted=0xc)
            self.assertEqual(self.heard(), {"c": [REGISTRATION_PREEMPTED]})
            self.register("c")
            self.acquire("b", WE, action, preempted=0xd)        # nobody's
            self.assertEqual(self.heard(), {})
            self.acquire("b", WE, action, preempted=0xa)
            self.assertEqual(self.heard(), {"a": [REGISTRATION_PREEMPTED]})
            # Another type is another reservation for who is left.
            self.acquire("b", EA, action, preempted=0xb)
            self.assertEqual(self.heard(), {"c": [RELEASED]})
            self.register("a")
            self.acquire("c", EARO, action, preempted=0xb)
            self.assertEqual(self.heard(), {"a": [RELEASED],
                                            "b": [REGISTRATION_PREEMPTED]})
            self.assertEqual(self.release("c", 0, 1), 0)
            self.assertEqual(self.heard(), {"a": [PREEMPTED]})

    def test_preempt_all_registrants(self):
        self.register_all()
        self.acquire("a", WEAR)
        self.acquire("b", WEAR, 1, preempted=0)
        self.assertEqual(self.heard(), {"a": [REGISTRATION_PREEMPTED],
                                        "c": [REGISTRATION_PREEMPTED]})

    def test_clear(self):
        self.register_all()
        self.acquire("a", EARO)
        self.assertEqual(self.release("b", 0, 1), 0)
        self.assertEqual(self.heard(), {"a": [PREEMPTED], "c": [PREEMPTED]})

    def take_away(self, times=1):
        """Each time "b" preempts "a", who then registers again."""
        self.register("b")
        for _ in range(times):
            self.register("a")
            self.assertEqual(self.acquire("b", WE, 1, preempted=0xa), 0)

    def test_event(self):
        self.ask("a")
        self.take_away()
        self.assert_event("a")
        self.ask("a")
        self.take_away()                # masked, as the log was not read
        self.assertEqual(self.page("a", RETAIN), (1, 1, 1, 1))
        self.assertEqual(self.page("a", RETAIN), (2, 1, 0, 1))
        self.take_away(2)
        self.assertEqual(self.page("a"), (3, 1, 1, 1))
        self.assert_event("a")          # there is one more
        self.assertEqual(self.page("a"), (4, 1, 0, 1))
        self.assertEqual(self.page("a"), (0, 0, 0, 0))
        self.take_away()
        self.ask("a")
        self.assert_event("a")

    def test_lost_pages(self):
        self.take_away(PAGES + 3)
        for i in range(1, PAGES):
            self.assertEqual(self.page("a"), (i, 1, PAGES - i, 1))
        self.assertEqual(self.page("a"), (PAGES + 3, 1, 0, 1))
        self.assertEqual(self.page("a"), (0, 0, 0, 0))
        self.take_away()
        self.assertEqual(self.page("a"), (PAGES + 4, 1, 0, 1))

    def test_every_controller_of_the_host(self):
        second, _ = self.association(hostid=b"a" * 16)
        self.take_away()
        for admin in (second, self.admins["a"]):
            self.assertEqual(self.page("a", admin=admin), (1, 1, 0, 1))

    def feature(self, opcode, fid, value=0, nsid=1, select=0, name="a"):
        self.admins[name].send(capsule(
            sqe(opcode, 5, nsid, cdw=(select << 8 | fid, value))))
        pdu = self.admins[name].pdu()
        return pdu.status or ("is", pdu.result)

    def test_features(self):
        for fid, good, bad in ((MASK, 0xe, 0x1), (PERSISTENCE, 1, 2)):
            def get(nsid=1, select=0, name="a"):
                return self.feature(0x0a, fid, 0, nsid, select, name)

            def put(value, nsid=1):
                return self.feature(0x09, fid, value, nsid)

            self.assertEqual(get(), ("is", 0))
            self.assertEqual(get(select=3), ("is", 6))
            self.assertEqual(put(good), ("is", 0))
            self.assertEqual(get(), ("is", good))
            self.assertEqual(get(name="b"),
                             ("is", 0 if fid == MASK else good))
            self.assertEqual(put(bad), 0x02 | DNR)
            self.assertEqual(put(0, nsid=7), 0x0b | DNR)
            self.assertEqual(get(nsid=7), 0x0b | DNR)
            self.assertEqual(get(nsid=NSID_ALL), 0x02 | DNR)
            self.assertEqual(get(), ("is", good))
            self.assertEqual(put(0, nsid=NSID_ALL), ("is", 0))
            self.assertEqual(get(), ("is", 0))

    def test_masked(self):
        self.feature(0x09, MASK, 1 << REGISTRATION_PREEMPTED)
        self.take_away()
        self.assertEqual(self.heard(), {})
        self.register("a")
        self.release("b", 0, 1)
        self.assertEqual(self.page("a"), (1, PREEMPTED, 0, 1))

    def test_reset_forgets(self):
        self.take_away()
        self.feature(0x09, MASK, 0xe)
        for cc in (0x460000, 0x460001):
            self.admins["a"].send(capsule(sqe(0x7f, 1, 0,
                                              cdw=(0, 0x14, cc))))
            self.assertEqual(self.admins["a"].pdu().status, 0)
        self.assertEqual(self.page("a"), (0, 0, 0, 0))
        self.assertEqual(self.feature(0x0a, MASK), ("is", 0))


if __name__ == "__main__":
    unittest.main(verbosity=2)
