/*
 * The start of an Ethernet frame, copied and taken apart.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "eth-head.h"

#define MIN_ETHERTYPE 0x0600    /* less is a length (IEEE 802.3, 3.2.6) */

bool sn_eth_is_tag(uint16_t type)
{
    return type == SN_ETHERTYPE_CTAG || type == SN_ETHERTYPE_STAG ||
           type == SN_ETHERTYPE_QINQ;
}

static void copy_head(SnEthHead *head, const SnFrame *frame)
{
    head->len = 0;
    for (unsigned i = 0; i < frame->iovcnt; i++) {
        size_t n = MIN(frame->iov[i].iov_len, SN_ETH_HEAD_MAX - head->len);

        if (n) {
            memcpy(head->bytes + head->len, frame->iov[i].iov_base, n);
            head->len += n;
        }
        if (head->len == SN_ETH_HEAD_MAX) {
            break;
        }
    }
}

/* IP and ARP may also travel in 802.2 frames (RFC 1042). */
static void skip_snap(SnEthHead *head)
{
    static const uint8_t snap[] = { 0xaa, 0xaa, 0x03, 0, 0, 0 };
    size_t end = head->payload + sizeof(snap) + 2;

    if (head->type < MIN_ETHERTYPE && end <= head->len &&
        !memcmp(head->bytes + head->payload, snap, sizeof(snap))) {
        head->type = sn_get_be16(head->bytes + end - 2);
        head->payload = end;
    }
}

bool sn_eth_head_parse(SnEthHead *head, const SnFrame *frame)
{
    copy_head(head, frame);
    head->frame_len = frame->len;
    if (head->len < SN_ETH_HLEN) {
        return false;
    }
    head->type = sn_get_be16(head->bytes + SN_ETH_MACS);
    head->payload = SN_ETH_HLEN;
    head->n_tags = 0;
    head->c_tag = head->type == SN_ETHERTYPE_CTAG;

    while (sn_eth_is_tag(head->type)) {
        const uint8_t *tag = head->bytes + head->payload;

        if (head->n_tags == SN_ETH_MAX_TAGS ||
            head->payload + SN_ETH_TAG > head->len) {
            return false;
        }
        head->vids[head->n_tags++] = sn_get_be16(tag) & 0xfff;
        head->type = sn_get_be16(tag + 2);
        head->payload += SN_ETH_TAG;
    }
    skip_snap(head);
    return true;
}
