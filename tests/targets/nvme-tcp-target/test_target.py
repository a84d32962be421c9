#!/usr/bin/python3
"""Hosts that are wrong against the native target, and its faults as they are on
the wire. Whether it is right is what tests/guest/test_native_target.py tells.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import random
import socket
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../guest"))
from native_target import NQN, NativeTarget  # noqa: E402

ICREQ, ICRESP, H2C_TERM, C2H_TERM, CMD, RESP, H2C, C2H, R2T = \
    0, 1, 2, 3, 4, 5, 6, 7, 9
LAST, SUCCESS = 4, 8
INLINE = 8192
BLOCK = 512
DNR = 0x4000


def head(kind, hlen, plen, flags=0, pdo=0):
    return struct.pack("<BBBBI", kind, flags, hlen, pdo, plen)


def icreq(pfv=0, hpda=0, dgst=0, maxr2t=0, **fields):
    fields = {"kind": ICREQ, "hlen": 128, "plen": 128, **fields}
    return head(**fields) + struct.pack("<HBBI112x", pfv, hpda, dgst, maxr2t)


def sqe(opcode, cid, nsid=0, sgl=(0, 0, 0x5a), cdw=(), flags=0x40):
    address, length, kind = sgl
    cdw = (*cdw, *[0] * (6 - len(cdw)))
    return struct.pack("<BBHI16xQI3xB6I", opcode, flags, cid, nsid, address,
                       length, kind, *cdw)


def capsule(entry, data=b"", **fields):
    fields = {"kind": CMD, "hlen": 72, "plen": 72 + len(data),
              "pdo": 72 if data else 0, **fields}
    return head(**fields) + entry + data


def in_capsule(length):
    return (0, length, 0x01)


def connect(qid=0, cntlid=0xffff, nqn=NQN, size=32, cid=0, hostid=bytes(16)):
    data = (hostid + struct.pack("<H238x", cntlid) +
            nqn.encode().ljust(256, b"\0") +
            b"nqn.2026-11.org.smartnic:host".ljust(512, b"\0"))
    cdw = (qid << 16, (size - 1) | 1 << 18)     # without flow control
    return capsule(sqe(0x7f, cid, 1, in_capsule(len(data)), cdw), data)


def block_command(opcode, cid, sgl, slba=0, blocks=1, nsid=1):
    return sqe(opcode, cid, nsid, sgl, (slba, 0, blocks - 1))


def read(cid, slba=0, blocks=1, **kwargs):
    return capsule(block_command(2, cid, (0, blocks * BLOCK, 0x5a), slba,
                                 blocks, **kwargs))


def write(cid, data, slba=0):
    return capsule(block_command(1, cid, in_capsule(len(data)), slba,
                                 len(data) // BLOCK), data)


def big_write(cid, length, slba=0):
    return capsule(block_command(1, cid, (0, length, 0x5a), slba,
                                 length // BLOCK))


def h2c(cid, ttag, offset, data, length=None, flags=LAST, **fields):
    fields = {"kind": H2C, "hlen": 24, "plen": 24 + len(data), "pdo": 24,
              "flags": flags, **fields}
    return head(**fields) + struct.pack(
        "<HHII4x", cid, ttag, offset,
        len(data) if length is None else length) + data


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xffffffff)


def with_digests(pdu):
    """The same PDU with both digests; only for capsules and data."""
    kind, flags, hlen, pdo, _ = struct.unpack_from("<BBBBI", pdu)
    data = pdu[pdo:] if pdo else b""
    plen = hlen + 4 + (len(data) + 4 if data else 0)
    pdu = head(kind, hlen, plen, flags | (3 if data else 1),
               hlen + 4 if data else 0) + pdu[8:hlen]
    return pdu + crc32c(pdu) + data + (crc32c(data) if data else b"")


class Pdu:
    def __init__(self, data):
        self.data = data
        self.kind, self.flags, self.hlen, self.pdo, self.plen = \
            struct.unpack_from("<BBBBI", data)
        if self.kind == RESP:
            self.result, self.cid, status = struct.unpack_from("<Q4xHH", data,
                                                               8)
            self.status = status >> 1
        elif self.kind in (R2T, C2H):
            self.cid, self.ttag, self.offset, self.length = \
                struct.unpack_from("<HHII", data, 8)
        elif self.kind == C2H_TERM:
            self.fes, self.fei = struct.unpack_from("<HI", data, 8)

    def hdgst_is_right(self):
        digest = self.data[self.hlen:self.hlen + 4]
        return digest == crc32c(self.data[:self.hlen])

    def ddgst_is_right(self):
        return self.data[-4:] == crc32c(self.data[self.pdo:-4])

    def __repr__(self):
        return f"Pdu({vars(self)})"


class Host:
    """A connection to the target."""

    def __init__(self, port, ready=True, **fields):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.buffer = b""
        self.digests = False
        if ready:
            self.send(icreq(**fields))
            assert self.pdu().kind == ICRESP
            self.digests = fields.get("dgst") == 3

    def send(self, *pdus):
        if self.digests:
            pdus = map(with_digests, pdus)
        self.socket.sendall(b"".join(pdus))

    def _need(self, n):
        while len(self.buffer) < n:
            data = self.socket.recv(max(n - len(self.buffer), 4096))
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data

    def take(self, n):
        self._need(n)
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def pdu(self):
        self._need(8)
        plen = struct.unpack_from("<I", self.buffer, 4)[0]
        return Pdu(self.take(plen))

    def close(self):
        self.socket.close()


class TargetTest(unittest.TestCase):
    args = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="smartnic-")
        self.addCleanup(folder.cleanup)
        self.target = NativeTarget(folder.name, ["1,size=1M"], self.args)
        self.addCleanup(self.target.close)

    def host(self, **kwargs):
        host = Host(self.target.port, **kwargs)
        self.addCleanup(host.close)
        return host

    def association(self, hostid=bytes(16), **fields):
        """An admin and an I/O queue, both connected, of an enabled
        controller."""
        admin = self.host(**fields)
        admin.send(connect(hostid=hostid))
        cntlid = admin.pdu().result
        enable = sqe(0x7f, 1, 0, cdw=(0, 0x14, 0x460001))
        admin.send(capsule(enable))
        self.assertEqual(admin.pdu().status, 0)
        io = self.host(**fields)
        io.send(connect(1, cntlid, size=64, hostid=hostid))
        self.assertEqual(io.pdu().status, 0)
        return admin, io

    def io(self, **fields):
        admin, self_io = self.association(**fields)
        self.admin = admin
        return self_io

    def assert_term(self, host, fes, fei):
        pdu = host.pdu()
        self.assertEqual((pdu.kind, pdu.fes, pdu.fei), (C2H_TERM, fes, fei))
        self.assertRaises(EOFError, host.pdu)


class WrongHosts(TargetTest):

    def test_before_the_first_pdu(self):
        for fields, fes, fei in (
                ({"kind": CMD, "hlen": 72, "plen": 72}, 2, 0),
                ({"kind": 0x44}, 1, 0), ({"hlen": 127}, 1, 2),
                ({"plen": 129}, 1, 4), ({"plen": 0xffffffff}, 1, 4),
                ({"pfv": 7}, 6, 8), ({"hpda": 32}, 1, 10)):
            with self.subTest(fields):
                host = self.host(ready=False)
                host.send(icreq(**fields))
                self.assert_term(host, fes, fei)

    def test_capsules(self):
        entry = block_command(2, 1, (0, BLOCK, 0x5a))
        for fields, data, fei in (
                ({"kind": 8}, b"", 0), ({"hlen": 64}, b"", 2),
                ({"plen": 71}, b"", 4), ({"plen": 1 << 31}, b"", 4),
                ({"pdo": 70}, bytes(8), 3), ({"pdo": 73}, bytes(8), 3),
                ({"pdo": 80}, bytes(8), 3), ({"flags": 1}, b"", 1)):
            with self.subTest(fields):
                host = self.io()
                host.send(capsule(entry, data, **fields))
                self.assert_term(host, 1, fei)

    def test_second_icreq(self):
        host = self.io()
        host.send(icreq())
        self.assert_term(host, 2, 0)

    def test_commands(self):
        host = self.io()
        for entry, status in (
                (block_command(2, 1, (0, BLOCK, 0x5a), slba=2048), 0x80),
                (block_command(2, 1, (0, BLOCK, 0x5a), nsid=2), 0x0b),
                (block_command(2, 1, (0, 0, 0x5a)), 0x0f),
                (block_command(2, 1, (0, BLOCK, 0x01)), 0x16),
                (block_command(1, 1, (8, BLOCK, 0x01)), 0x16),
                (block_command(1, 1, (0, 1 << 31, 0x5a)), 0x02),
                (block_command(0x66, 1, (0, 0, 0x5a)), 0x01),
                (sqe(2, 1, 1, flags=0), 0x02), (sqe(2, 1, 1, flags=0x41), 2)):
            with self.subTest(status):
                host.send(capsule(entry))
                self.assertEqual(host.pdu().status, status | DNR)

    def test_dsm_ranges_that_did_not_come(self):
        host = self.io()
        host.send(capsule(sqe(9, 1, 1, in_capsule(16), (255, 4)), bytes(16)))
        self.assertEqual(host.pdu().status, 0x0f | DNR)

    def test_command_before_connect(self):
        host = self.host()
        host.send(read(1))
        self.assertEqual(host.pdu().status, 0x0c | DNR)

    def test_connect(self):
        admin = self.host()
        for pdu, result in ((connect(nqn="nqn.x"), 0x10100),
                            (connect(cntlid=5), 0x10010),
                            (connect(qid=1, cntlid=500), 0x10010)):
            admin.send(pdu)
            answer = admin.pdu()
            self.assertEqual(answer.status, 0x182 | DNR)
            self.assertEqual(answer.result, result)
        admin.send(connect())
        cntlid = admin.pdu().result
        io = self.host()
        io.send(connect(1, cntlid))             # is not enabled
        self.assertEqual(io.pdu().status, 0x0c | DNR)
        io.send(connect(17, cntlid))
        self.assertEqual(io.pdu().status, 0x182 | DNR)

    def test_data_that_nobody_asked_for(self):
        host = self.io()
        host.send(h2c(1, 0, 0, bytes(512)))
        self.assert_term(host, 1, 10)

    def test_data(self):
        length = 16 * 1024
        for change, fes, fei in (
                ({"cid": 9}, 1, 8), ({"ttag": 0x3ff}, 1, 10),
                ({"offset": 4}, 1, 12), ({"length": 4}, 4, 16),
                ({"flags": 0}, 1, 1), ({"data": bytes(length + 4)}, 4, 16),
                ({"data": bytes(8)}, 1, 1)):
            with self.subTest(list(change), fei=fei):
                host = self.io()
                host.send(big_write(3, length))
                r2t = host.pdu()
                self.assertEqual((r2t.kind, r2t.length), (R2T, length))
                host.send(h2c(**{"cid": 3, "ttag": r2t.ttag, "offset": 0,
                                 "data": bytes(length), **change}))
                self.assert_term(host, fes, fei)

    def test_more_than_the_queue_holds(self):
        host = self.io()
        host.send(*[big_write(cid, 65536) for cid in range(65)])
        kinds = [host.pdu().kind for _ in range(65)]
        self.assertEqual(kinds, [R2T] * 64 + [C2H_TERM])

    def test_host_that_does_not_read(self):
        host = self.io()
        requests = b"".join(read(0, 0, 128) for _ in range(64))
        host.socket.settimeout(0.2)
        sent = 0
        try:
            while sent < 1 << 26:
                sent += host.socket.send(requests[sent % len(requests):])
        except socket.timeout:
            pass
        self.assertLess(sent, 1 << 26)
        other = self.io()
        other.send(read(1))
        self.assertEqual(other.pdu().kind, C2H)
        # It is only late, and gets all in the end.
        host.socket.settimeout(20)
        for _ in range(sent // 72):
            self.assertEqual(host.pdu().length, 128 * BLOCK)

    def test_digests(self):
        host = self.io(dgst=3)
        host.digests = False
        wrong = bytearray(with_digests(write(1, bytes(512))))
        wrong[-1] ^= 1
        host.send(wrong)
        self.assertEqual(host.pdu().status, 0x22)
        wrong = bytearray(with_digests(read(1)))
        wrong[72] ^= 1
        host.send(wrong)
        self.assert_term(host, 3, struct.unpack("<I", wrong[72:76])[0])
        host = self.io(dgst=3)
        host.digests = False
        host.send(read(1))                      # has none
        self.assert_term(host, 1, 4)

    def test_noise(self):
        seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
        print(f"SEED={seed}")
        rng = random.Random(seed)
        block_and_status = (
            capsule(block_command(4, 10, (0, 0, 0x5a), slba=5)) +
            capsule(sqe(0x86, 11, 1, (0, 256, 0x5a), (0, 0, 63, 0x10 << 24))))
        good = [icreq(), connect(), read(1), write(2, bytes(1024)),
                big_write(3, 65536), h2c(3, 0, 0, bytes(4096)),
                capsule(sqe(6, 4, 1, (0, 4096, 0x5a), (1,))),
                capsule(sqe(2, 5, 0, (0, 64, 0x5a), (0x700002,))),
                capsule(sqe(9, 6, 1, in_capsule(16), (0, 4)), bytes(16)),
                capsule(sqe(0x0d, 7, 1, in_capsule(16)), bytes(16)),
                capsule(sqe(0x11, 8, 1, in_capsule(16), (0x100,)), bytes(16)),
                capsule(sqe(0x0e, 9, 1, (0, 256, 0x5a), (63, 1))),
                block_and_status]
        kinds = ["drop", "half-close", "stall", "delay ms=1", "garbage",
                 "truncated", "double", "lost-response", "short-data",
                 "r2t-extra", "r2t-order", "kato", "term-req", "bad-plen"]
        for _ in range(400):
            host, others = None, []
            self.target.command("clear")
            try:
                if rng.random() < 0.3:
                    *others, host = self.association()
                else:
                    host = self.host(ready=rng.random() < 0.9)
                self.target.fault(rng.choice(kinds))
                for _ in range(rng.randrange(1, 8)):
                    pdu = bytearray(rng.choice(good))
                    for _ in range(rng.randrange(4)):
                        at = rng.randrange(min(len(pdu), 128))
                        pdu[at] = rng.randrange(256)
                    host.send(pdu)
                # A host that closes with answers unread resets, and what it
                # has sent may not be looked at.
                host.socket.shutdown(socket.SHUT_WR)
                host.socket.settimeout(0.02)
                while host.socket.recv(1 << 16):
                    pass
            except OSError:
                pass
            for each in (host, *others):
                each.close()
        self.target.command("clear")
        # It may be reserved, or its blocks bad.
        self.target.command("remove 1")
        self.target.command("add 1 1M")
        other = self.io()
        other.send(read(1))
        self.assertEqual(other.pdu().kind, C2H)


class BadBlocks(TargetTest):

    def test_write_uncorrectable(self):
        host = self.io()

        def run(opcode, slba, blocks=1, status=0, data=b""):
            sgl = in_capsule(len(data)) if data else (0, 0, 0x5a)
            host.send(capsule(block_command(opcode, 1, sgl, slba, blocks),
                              data))
            self.assertEqual(host.pdu().status, status)

        def good(slba):
            host.send(read(1, slba))
            return host.pdu().kind == C2H

        def bad_ones(n=32):
            return [slba for slba in range(n) if not good(slba)]

        run(1, 8, 16, data=b"\x11" * 16 * BLOCK)
        run(4, 2047, 2, 0x80 | DNR)
        run(4, 4, 12)
        self.assertEqual(bad_ones(), list(range(4, 16)))
        host.send(read(1, 8, 1))
        self.assertEqual(host.pdu().status, 0x281 | DNR)
        run(0x0c, 0, 5, 0x281 | DNR)                            # Verify
        run(0x0c, 16, 8)
        run(5, 15, 1, 0x281 | DNR, b"\x11" * BLOCK)             # Compare
        run(1, 6, data=b"\x22" * BLOCK)
        run(8, 8, 2)                                            # zeroes
        host.send(capsule(sqe(9, 1, 1, in_capsule(16), (0, 4)),
                          struct.pack("<IIQ", 0, 2, 12)))       # DSM
        self.assertEqual(host.pdu().status, 0)
        run(4, 2, 3)
        self.assertEqual(bad_ones(), [2, 3, 4, 5, 7, 10, 11, 14, 15])
        run(5, 6, 1, 0, b"\x22" * BLOCK)
        for slba in range(100, 200, 2):
            run(4, slba)
        run(4, 100, 100)
        run(1, 0, 16, data=bytes(16 * BLOCK))
        self.assertEqual(bad_ones(), [])

    def test_too_many(self):
        host = self.io()
        for slba in range(0, 130, 2):
            host.send(capsule(block_command(4, 1, (0, 0, 0x5a), slba)))
            self.assertEqual(host.pdu().status,
                             0x06 | DNR if slba == 128 else 0)

    def lba_status(self, slba=0, dwords=256, action=0x10, length=0, nsid=1):
        self.admin.send(capsule(sqe(
            0x86, 3, nsid, (0, dwords * 4, 0x5a),
            (slba, 0, dwords - 1, length | action << 24))))
        pdu = self.admin.pdu()
        if pdu.kind == RESP:
            return pdu.status
        page = pdu.data[pdu.pdo:]
        n, why = struct.unpack_from("<IB", page)
        return why, [struct.unpack_from("<QI", page, 8 + 16 * i)
                     for i in range(n)]

    def test_get_lba_status(self):
        host = self.io()
        self.assertEqual(self.lba_status(), (2, []))
        for slba, blocks in ((10, 5), (20, 1), (40, 8)):
            host.send(capsule(block_command(4, 1, (0, 0, 0x5a), slba,
                                            blocks)))
            self.assertEqual(host.pdu().status, 0)
        everything = [(10, 5), (20, 1), (40, 8)]
        self.assertEqual(self.lba_status(), (2, everything))
        self.assertEqual(self.lba_status(action=0x11), (2, everything))
        self.assertEqual(self.lba_status(12, length=9), (2, [(12, 3),
                                                             (20, 1)]))
        self.assertEqual(self.lba_status(dwords=10), (1, everything[:2]))
        for wrong in ({"slba": 2048}, {"action": 0x12}, {"dwords": 1}):
            self.assertEqual(self.lba_status(**wrong), 0x02 | DNR, wrong)
        self.assertEqual(self.lba_status(nsid=2), 0x0b | DNR)
        self.assertEqual(self.lba_status(dwords=1 << 19), 0x02 | DNR)


class Faults(TargetTest):

    def fault(self, text):
        """An I/O queue, whose next command meets that fault."""
        host = self.io(**getattr(self, "fields", {}))
        self.number = self.target.fault(text)
        return host

    def read(self, text, blocks=2):
        host = self.fault(text)
        host.send(read(5, 0, blocks))
        pdu = host.pdu()
        self.target.wait_fired(self.number)
        return host, pdu

    def test_ends_of_connections(self):
        for text, ends in (("drop", ConnectionResetError),
                           ("half-close", EOFError), ("kato",
                                                      ConnectionResetError)):
            with self.subTest(text):
                host = self.fault(text + " op=read")
                host.send(read(5))
                self.assertRaises(ends, host.pdu)
                self.target.wait_fired(self.number)
        self.assertRaises(ConnectionResetError, self.admin.pdu)

    def test_nothing_comes(self):
        for text in ("stall", "lost-response"):
            with self.subTest(text):
                host = self.fault(text + " op=write")
                host.send(write(5, b"x" * BLOCK))
                self.target.wait_fired(self.number)
                host.socket.settimeout(0.1)
                self.assertRaises(socket.timeout, host.pdu)
        other = self.io()
        other.send(read(1))
        self.assertEqual(other.pdu().data[24:], b"x" * BLOCK)

    def test_delay(self):
        host = self.fault("delay op=write ms=50")
        host.send(write(5, b"y" * BLOCK), read(6))
        self.assertEqual([host.pdu().cid, host.pdu().cid], [6, 5])

    def test_status(self):
        _, pdu = self.read("status=0x4281 op=read")
        self.assertEqual(pdu.status, 0x4281)

    def test_term_req(self):
        _, pdu = self.read("term-req op=read")
        self.assertEqual(pdu.kind, C2H_TERM)

    def test_garbage_and_truncated(self):
        host = self.fault("garbage op=read bytes=100")
        host.send(read(5))
        self.assertEqual(len(host.take(100)), 100)
        host = self.fault("truncated op=read bytes=30")
        host.send(read(5))
        self.assertRaisesRegex(EOFError, "", host.pdu)
        self.assertEqual(len(host.buffer), 30)

    def test_identifiers(self):
        self.assertEqual(self.read("wrong-cid")[1].cid, 4)
        self.assertEqual(self.read("unknown-cid")[1].cid, 0xffff)
        self.assertEqual(self.read("unknown-cid step=response")[0].pdu().cid,
                         0xffff)

    def test_double(self):
        host = self.fault("double op=write")
        host.send(write(5, bytes(BLOCK)))
        self.assertEqual([host.pdu().cid, host.pdu().cid], [5, 5])

    def test_header_fields(self):
        for text, offset, value in (("bad-type", 0, 11), ("bad-hlen", 2, 28),
                                    ("bad-pdo", 3, 25)):
            with self.subTest(text):
                _, pdu = self.read(text + " op=read")
                self.assertEqual(pdu.data[offset], value)
        host = self.fault("bad-plen op=read bytes=-8")
        host.send(read(5))
        self.assertEqual(host.pdu().plen, 24 + BLOCK - 8)

    def test_data(self):
        _, pdu = self.read("short-data")
        self.assertEqual((pdu.length, pdu.flags), (512, LAST | SUCCESS))
        host, pdu = self.read("extra-data")
        pdu = host.pdu()
        self.assertEqual((pdu.offset, pdu.length), (1024, 512))
        host, pdu = self.read("data-order")
        self.assertEqual([pdu.offset, host.pdu().offset], [512, 0])
        _, pdu = self.read("success-without-last")
        self.assertEqual(pdu.flags, SUCCESS)

    def test_r2t(self):
        length = 65536
        for text, field, value in (
                ("r2t-range", "length", length + (1 << 30)),
                ("r2t-order", "offset", 512), ("r2t-length", "length", 0),
                ("wrong-cid step=r2t", "cid", 4)):
            with self.subTest(text):
                host = self.fault(text)
                host.send(big_write(5, length))
                self.assertEqual(getattr(host.pdu(), field), value)
        host = self.fault("r2t-extra")
        host.send(big_write(5, length))
        self.assertEqual([host.pdu().kind, host.pdu().kind], [R2T, R2T])

    def test_digests(self):
        self.fields = {"dgst": 3}
        for text, right in (("hdgst", (False, True)), ("ddgst", (True, False)),
                            ("double", (True, True))):
            with self.subTest(text):
                _, pdu = self.read(text + " op=read")
                self.assertEqual(
                    (pdu.hdgst_is_right(), pdu.ddgst_is_right()), right)

    def test_icresp(self):
        for step, at, value in (("pfv", 8, 1), ("cpda", 10, 32),
                                ("dgst", 11, 3), ("maxh2cdata", 12, 0)):
            with self.subTest(step):
                self.target.fault(f"bad-icresp step={step}")
                host = self.host(ready=False)
                host.send(icreq())
                self.assertEqual(host.pdu().data[at], value)
        number = self.target.fault("slow-icresp ms=50")
        self.host()
        self.target.wait_fired(number)

    def test_accept_and_connect(self):
        self.target.fault("drop op=accept")
        # The reset may come before connect() has returned, or later.
        self.assertRaises(ConnectionResetError,
                          lambda: self.host(ready=False).pdu())
        self.target.fault("refuse-connect status=0x181 queue=admin")
        host = self.host()
        host.send(connect())
        self.assertEqual(host.pdu().status, 0x181)

    def test_after_and_times(self):
        host = self.io()
        self.target.fault("status=0x6 op=read after=1 times=2")
        host.send(*[capsule(block_command(2, cid, (0, BLOCK, 0x5a)))
                    for cid in range(4)])
        self.assertEqual([host.pdu().kind for _ in range(4)],
                         [C2H, RESP, RESP, C2H])

    def test_refuse_and_stall(self):
        host = self.io()
        self.target.command("refuse on")
        self.assertRaises(ConnectionRefusedError, Host, self.target.port)
        self.target.command("stall on")
        host.send(read(1))
        host.socket.settimeout(0.1)
        self.assertRaises(socket.timeout, host.pdu)
        self.target.command("stall off")
        host.socket.settimeout(20)
        self.assertEqual(host.pdu().kind, C2H)
        self.target.command("refuse off")
        self.host()
        self.target.command("close")
        self.assertRaises(EOFError, host.pdu)


if __name__ == "__main__":
    unittest.main(verbosity=2)
