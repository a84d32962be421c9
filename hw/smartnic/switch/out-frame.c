/*
 * A frame as it leaves the switch.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "out-frame.h"

bool sn_out_frame_needs_buffer(const SnFrame *in)
{
    /* One piece is the head. */
    return in->iovcnt > SN_SWITCH_MAX_IOV - 1;
}

/* Copies the start of the frame; the addresses and what follows the tag. */
static size_t build_head(uint8_t *out, const SnEthHead *head,
                         SnTagChange change, uint16_t vlan)
{
    size_t from = SN_ETH_MACS, to = SN_ETH_MACS;

    memcpy(out, head->bytes, SN_ETH_MACS);
    if (change == SN_TAG_INSERT) {
        out[to++] = SN_ETHERTYPE_CTAG >> 8;
        out[to++] = SN_ETHERTYPE_CTAG & 0xff;
        out[to++] = vlan >> 8;
        out[to++] = vlan & 0xff;
    } else if (change == SN_TAG_STRIP) {
        from += SN_ETH_TAG;
    }
    memcpy(out + to, head->bytes + from, head->len - from);
    return to + head->len - from;
}

/* Adds what comes after the first @skip bytes of @in. */
static void add_rest(SnOutFrame *out, const SnFrame *in, size_t skip,
                     uint8_t *buffer)
{
    size_t buffered = 0;

    for (unsigned i = 0; i < in->iovcnt; i++) {
        uint8_t *base = in->iov[i].iov_base;
        size_t len = in->iov[i].iov_len;
        size_t cut = MIN(skip, len);

        skip -= cut;
        len -= cut;
        if (!len) {
            continue;
        }
        if (sn_out_frame_needs_buffer(in)) {
            memcpy(buffer + buffered, base + cut, len);
            buffered += len;
        } else {
            out->iov[out->frame.iovcnt++] = (struct iovec) { base + cut, len };
            out->frame.len += len;
        }
    }
    if (buffered) {
        out->iov[out->frame.iovcnt++] = (struct iovec) { buffer, buffered };
        out->frame.len += buffered;
    }
}

/*
 * Moves what the offload state says about positions. A checksum cannot start
 * inside of the Ethernet header; hdr_len is only a hint to receivers, and 0 is
 * no hint (virtio 1.2 section 5.1.6.2.2).
 */
static bool move_offload(SnOffload *offload, SnTagChange change)
{
    bool csum = offload->flags & SN_OFFLOAD_NEEDS_CSUM;

    if (change == SN_TAG_INSERT) {
        if (csum && offload->csum_start > UINT16_MAX - SN_ETH_TAG) {
            return false;
        }
        offload->csum_start += csum ? SN_ETH_TAG : 0;
        if (offload->hdr_len) {
            offload->hdr_len = MIN(offload->hdr_len + SN_ETH_TAG, UINT16_MAX);
        }
    } else if (change == SN_TAG_STRIP) {
        if (csum && offload->csum_start < SN_ETH_HLEN + SN_ETH_TAG) {
            return false;
        }
        offload->csum_start -= csum ? SN_ETH_TAG : 0;
        offload->hdr_len = MAX(offload->hdr_len, SN_ETH_TAG) - SN_ETH_TAG;
    }
    return true;
}

bool sn_out_frame_build(SnOutFrame *out, const SnFrame *in,
                        const SnEthHead *head, SnTagChange change,
                        uint16_t vlan, uint8_t *buffer)
{
    size_t len = build_head(out->head, head, change, vlan);

    out->iov[0] = (struct iovec) { out->head, len };
    out->frame = (SnFrame) {
        .iov = out->iov,
        .iovcnt = 1,
        .len = len,
        .offload = in->offload,
    };
    add_rest(out, in, head->len, buffer);
    return move_offload(&out->frame.offload, change);
}
