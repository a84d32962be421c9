/*
 * Retransmission times of TCP, in slow ticks of 50 ms.
 *
 * A timeout of n ticks fires after more than n - 1 and at most n of them.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_FIRMWARE_TCP_TIMING_H
#define SMARTNIC_FIRMWARE_TCP_TIMING_H

enum {
    TCP_RTO_MIN = 4,            /* above a peer's delayed ACK of 40 ms */
    TCP_RTO_FIRST = 5,          /* of a SYN, doubled with every repetition */
    TCP_RTO_MAX = 40,           /* so a path that is back is noticed soon */
};

#endif
