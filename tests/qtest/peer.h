/*
 * The other end of the card's cable: the test sends and receives Ethernet
 * frames through a QEMU netdev on a socket pair.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QTEST_PEER_H
#define SMARTNIC_QTEST_PEER_H

#include "machine.h"

#define FRAME_MAX 2048
#define ETH_HLEN 14

typedef enum PeerKind {
    PEER_STREAM,        /* -netdev stream: a 4-byte length before each frame */
    PEER_DGRAM,         /* -netdev dgram: a datagram is a frame */
} PeerKind;

typedef struct Peer {
    PeerKind kind;
    int fd;             /* the test's end */
    int qemu_fd;        /* QEMU inherits it */
    char *netdev;       /* the -netdev argument, id n0 */
} Peer;

typedef struct Frame {
    size_t len;
    uint8_t data[FRAME_MAX];
} Frame;

void peer_open(Peer *peer, PeerKind kind);
/* After QEMU has started: only QEMU keeps its end. */
void peer_started(Peer *peer);
void peer_close(Peer *peer);

void peer_send(Peer *peer, const void *frame, size_t len);
/* Fails the test when no frame comes. */
void peer_receive(Peer *peer, Frame *frame);

/*
 * Receives until @match says yes; frames before that are dropped, but must
 * not be ones that @never says yes to (NULL: anything may come).
 */
typedef bool FrameMatch(const Frame *frame, const void *opaque);
void peer_receive_matching(Peer *peer, Frame *frame, FrameMatch *match,
                           FrameMatch *never, const void *opaque);

#endif
