/*
 * The far end of the benchmark's wire.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "smartnic/be.h"
#include "wire-peer.h"

enum {
    ETH = 14, IP = ETH, TCP = ETH + 20, HEAD = TCP + 20,
    SYN = 2, PSH = 8, ACK = 16,
    WINDOW_SHIFT = 7, GSO_MAX = 65535 - 40,
    FRAMES_PER_FLUSH = 64,
};

static const uint8_t mac_card[6] = { 0x52, 0x54, 0, 1, 2, 3 };
static const uint8_t mac_peer[6] = { 0x52, 0x54, 0, 1, 2, 4 };
static const uint8_t ip_card[4] = { 192, 0, 2, 1 };
static const uint8_t ip_peer[4] = { 192, 0, 2, 2 };
static const uint8_t payload[GSO_MAX];

static uint16_t checksum(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i += 2) {
        sum += sn_get_be16(p + i);
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum;
}

static void send_frame(WirePeer *p, const uint8_t *head, size_t head_len,
                       size_t len, const SnOffload *offload)
{
    struct iovec iov[2] = {
        { (void *)head, head_len }, { (void *)payload, len },
    };
    SnFrame frame = { iov, len ? 2 : 1, head_len + len, *offload };

    p->frames_out++;
    sn_fw_input(p->fw, &frame);
}

/* A segment with @len bytes, which are zero and need no sum of their own. */
static void send_segment(WirePeer *p, unsigned flags, size_t len)
{
    uint8_t f[HEAD + 8] = { 0 };
    size_t head = HEAD + (flags & SYN ? 8 : 0), mss = p->mtu - 40;
    SnOffload o = { 0 };

    memcpy(f, mac_card, 6);
    memcpy(f + 6, mac_peer, 6);
    sn_put_be16(f + 12, 0x0800);
    f[IP] = 0x45;
    sn_put_be16(f + IP + 2, head - IP + len);
    f[IP + 8] = 64;
    f[IP + 9] = 6;
    memcpy(f + IP + 12, ip_peer, 4);
    memcpy(f + IP + 16, ip_card, 4);
    sn_put_be16(f + IP + 10, checksum(f + IP, 20, 0));
    sn_put_be16(f + TCP, 4420);
    sn_put_be16(f + TCP + 2, p->port);
    sn_put_be32(f + TCP + 4, p->snd_nxt);
    sn_put_be32(f + TCP + 8, p->rcv_nxt);
    f[TCP + 12] = (head - TCP) / 4 << 4;
    f[TCP + 13] = flags;
    sn_put_be16(f + TCP + 14, 0xffff);
    if (flags & SYN) {
        sn_put_be32(f + HEAD, 0x02040000 | mss);
        sn_put_be32(f + HEAD + 4, 0x01030300 | WINDOW_SHIFT);
    }
    if (p->offload) {
        o.flags = SN_OFFLOAD_DATA_VALID;
        if (len > mss) {
            o.flags = SN_OFFLOAD_NEEDS_CSUM;
            o.gso_type = 1;
            o.gso_size = mss;
            o.hdr_len = head;
            o.csum_start = TCP;
            o.csum_offset = 16;
        }
    } else {
        sn_put_be16(f + TCP + 16, checksum(f + TCP, head - TCP,
              6 + head - TCP + len + sn_get_be16(ip_peer) +
              sn_get_be16(ip_peer + 2) + sn_get_be16(ip_card) +
              sn_get_be16(ip_card + 2)));
    }
    send_frame(p, f, head, len, &o);
    p->snd_nxt += len + (flags & SYN ? 1 : 0);
    p->ack_due = false;
}

static void answer_arp(WirePeer *p, const uint8_t *f)
{
    uint8_t a[42];

    memcpy(a, f, sizeof(a));
    memcpy(a, f + 6, 6);
    memcpy(a + 6, mac_peer, 6);
    a[21] = 2;
    memcpy(a + 22, mac_peer, 6);
    memcpy(a + 28, ip_peer, 4);
    memcpy(a + 32, f + 22, 10);
    send_frame(p, a, sizeof(a), 0, &(SnOffload){ 0 });
}

static void take_command(WirePeer *p)
{
    Command c;

    memcpy(&c, p->partial, sizeof(c));
    p->have = 0;
    p->write_left = c.write ? c.len : 0;
    if (!p->write_left) {
        p->to_send += ANSWER_LEN + c.len;
    }
}

static void take_bytes(WirePeer *p, const uint8_t *data, size_t len)
{
    while (len) {
        size_t n;

        if (p->write_left) {
            n = MIN(len, p->write_left);
            p->write_left -= n;
            if (!p->write_left) {
                p->to_send += ANSWER_LEN;
            }
        } else {
            n = MIN(len, COMMAND_LEN - p->have);
            memcpy(p->partial + p->have, data, n);
            p->have += n;
            if (p->have == COMMAND_LEN) {
                take_command(p);
            }
        }
        data += n;
        len -= n;
    }
}

static void take_tcp(WirePeer *p, const SnFrame *frame, const uint8_t *f)
{
    size_t skip = TCP + (f[TCP + 12] >> 4) * 4;

    if (f[TCP + 13] & SYN) {
        p->port = sn_get_be16(f + TCP);
        p->rcv_nxt = sn_get_be32(f + TCP + 4) + 1;
        p->snd_nxt = 1000;
        p->snd_una = 1001;
        send_segment(p, SYN | ACK, 0);
        return;
    }
    p->snd_una = sn_get_be32(f + TCP + 8);
    p->window = sn_get_be16(f + TCP + 14) << 6;
    p->rcv_nxt += frame->len - skip;
    if (frame->len > skip) {
        p->ack_due = true;
    } else {
        p->acks_in++;
    }
    for (unsigned i = 0; i < frame->iovcnt; i++) {
        size_t n = MIN(skip, frame->iov[i].iov_len);

        skip -= n;
        take_bytes(p, (const uint8_t *)frame->iov[i].iov_base + n,
                   frame->iov[i].iov_len - n);
    }
}

bool wire_peer_receive(void *opaque, const SnFrame *frame)
{
    WirePeer *p = opaque;
    const uint8_t *f = frame->iov[0].iov_base;

    p->frames_in++;
    if (sn_get_be16(f + 12) == 0x0806 && f[21] == 1 &&
        !memcmp(f + 38, ip_peer, 4)) {
        answer_arp(p, f);
    } else if (sn_get_be16(f + 12) == 0x0800 && f[IP + 9] == 6) {
        take_tcp(p, frame, f);
    }
    return true;
}

bool wire_peer_flush(WirePeer *p)
{
    bool did = p->ack_due;

    for (int i = 0; i < FRAMES_PER_FLUSH && p->to_send; i++) {
        size_t room = p->snd_una + p->window - p->snd_nxt;
        size_t n = MIN(p->offload ? GSO_MAX : p->mtu - 40, p->to_send);

        if (n > room) {
            break;
        }
        send_segment(p, PSH | ACK, n);
        p->to_send -= n;
        did = true;
    }
    if (p->ack_due) {
        send_segment(p, ACK, 0);
    }
    return did;
}
