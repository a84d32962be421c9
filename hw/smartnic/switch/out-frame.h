/*
 * A frame as it leaves: the checked copy of its start, with a VLAN tag more or
 * less, and the rest by reference.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SWITCH_OUT_FRAME_H
#define SMARTNIC_SWITCH_OUT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "eth-head.h"
#include "switch.h"

typedef enum SnTagChange {
    SN_TAG_KEEP,
    SN_TAG_INSERT,              /* an 802.1Q tag with priority 0 */
    SN_TAG_STRIP,               /* the outermost tag; there must be one */
} SnTagChange;

/* Large; lives on the stack while the frame is delivered. */
typedef struct SnOutFrame {
    SnFrame frame;
    struct iovec iov[SN_SWITCH_MAX_IOV];
    uint8_t head[SN_ETH_HEAD_MAX + SN_ETH_TAG];
} SnOutFrame;

/* Whether @in has so many pieces that it needs a buffer to leave. */
bool sn_out_frame_needs_buffer(const SnFrame *in);

/*
 * Fills @out with @in, whose start is @head. It refers to @in's memory, and to
 * @buffer (of @in->len bytes) when one is needed. @vlan: for SN_TAG_INSERT.
 * False when the offload state does not fit the change.
 */
bool sn_out_frame_build(SnOutFrame *out, const SnFrame *in,
                        const SnEthHead *head, SnTagChange change,
                        uint16_t vlan, uint8_t *buffer);

#endif
