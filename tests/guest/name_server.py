#!/usr/bin/python3
"""A name server that knows one answer: name_server.py ADDRESS ANSWER

Prints "ready" when it listens. ANSWER is the IPv4 address of every name.

Copyright (c) 2026 the smartnic-storage authors
SPDX-License-Identifier: GPL-2.0-or-later
"""

import socket
import struct
import sys

TYPE_A = 1


def answer(query, address):
    """RFC 1035: the question again, and one A record for it."""
    end = query.index(b"\0", 12) + 5            # name, type, class
    question = query[12:end]
    kind, = struct.unpack_from("!H", question, len(question) - 4)
    records = 1 if kind == TYPE_A else 0
    header = query[:2] + struct.pack("!5H", 0x8180, 1, records, 0, 0)
    record = struct.pack("!HHHIH", 0xc00c, TYPE_A, 1, 60, 4) + address
    return header + question + record * records


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], 53))
    print("ready", flush=True)
    while True:
        query, peer = server.recvfrom(512)
        server.sendto(answer(query, socket.inet_aton(sys.argv[2])), peer)


if __name__ == "__main__":
    main()
