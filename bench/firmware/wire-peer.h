/*
 * The far end of the benchmark's wire: a target that costs next to nothing.
 *
 * It speaks just enough ARP, IPv4 and TCP to serve one connection over a wire
 * that loses nothing. Each command is 72 bytes, as in NVMe/TCP, and says how
 * many bytes are to be read or follow to be written; each answer begins with
 * 24 bytes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BENCH_FIRMWARE_WIRE_PEER_H
#define BENCH_FIRMWARE_WIRE_PEER_H

#include "smartnic/port.h"

#include "firmware.h"

enum { COMMAND_LEN = 72, ANSWER_LEN = 24 };

typedef struct Command {
    uint32_t write;             /* 0: read */
    uint32_t len;               /* bytes of data */
    uint8_t rest[COMMAND_LEN - 8];
} Command;

typedef struct WirePeer {
    /* Settings. */
    bool offload;               /* the wire has vnet_hdr: GSO, no checksums */
    unsigned mtu;
    SnFirmware *fw;

    /* The connection, as TCP sees it. */
    uint16_t port;              /* the card's */
    uint32_t rcv_nxt, snd_nxt, snd_una, window;
    bool ack_due;

    /* Commands. */
    uint8_t partial[COMMAND_LEN];
    unsigned have;              /* bytes of a command */
    uint32_t write_left;        /* data bytes of a write to come */
    uint64_t to_send;           /* bytes of answers that wait for the window */

    uint64_t frames_in, frames_out, acks_in;
} WirePeer;

/* A frame from the card. */
bool wire_peer_receive(void *opaque, const SnFrame *frame);
/* Sends to the card what is waiting. False when there was nothing. */
bool wire_peer_flush(WirePeer *p);

#endif
