/*
 * Frames for the firmware: beginnings of many kinds, for the fuzzer to change,
 * and the checksums put right afterwards, without which nothing gets far.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <glib.h>
#include <stdint.h>

#define FW_IP   0xc0000201      /* 192.0.2.1 */
#define PEER_IP 0xc0000202

extern const uint8_t fw_mac[6], peer_mac[6];

typedef struct Segment {
    uint16_t fw_port, peer_port;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    const uint8_t *options;     /* of a multiple of 4 bytes, at most 40 */
    size_t options_len;
    size_t len;                 /* bytes of payload */
} Segment;

/* Some kind of frame to the firmware. The caller frees it. */
GByteArray *frame_of_kind(uint8_t kind);
/* A TCP segment from the peer, over IPv4. */
GByteArray *frame_of_segment(const Segment *seg);
/* Sets the checksums that a frame of this kind has, as far as it goes. */
void frame_fix(GByteArray *frame);

#endif
