/*
 * Splits a TCP frame that segmentation offload made too long for lwIP.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "gso.h"

enum {
    GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_ECN = 0x80,   /* virtio 1.2, 5.1.6 */
    ETH_LEN = 14,
    IP6_LEN = 40,
    IPPROTO_IS_TCP = 6,
    TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80,
    FRAME_MAX = 65535,
};

static unsigned get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

/* RFC 791: the header checksum. */
static void set_ip4_checksum(uint8_t *ip)
{
    size_t len = (ip[0] & 15) * 4;
    uint32_t sum = 0;

    put16(ip + 10, 0);
    for (size_t i = 0; i < len; i += 2) {
        sum += get16(ip + i);
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    put16(ip + 10, ~sum);
}

/* Finds the headers; false when they are not whole and plain. */
static bool find_headers(GsoSplit *s, const uint8_t *head, size_t len,
                         size_t frame_len)
{
    const uint8_t *ip = head + ETH_LEN;
    size_t ip_len;

    s->ip = ETH_LEN;
    if (s->v6) {
        if (len < ETH_LEN + IP6_LEN + 20 || get16(head + 12) != 0x86dd ||
            ip[0] >> 4 != 6 || ip[6] != IPPROTO_IS_TCP) {
            return false;
        }
        ip_len = IP6_LEN;
        if (frame_len != ETH_LEN + IP6_LEN + get16(ip + 4)) {
            return false;
        }
    } else {
        if (len < ETH_LEN + 20 + 20 || get16(head + 12) != 0x0800 ||
            ip[0] >> 4 != 4 || ip[9] != IPPROTO_IS_TCP ||
            (get16(ip + 6) & 0x3fff)) {         /* a fragment */
            return false;
        }
        ip_len = (ip[0] & 15) * 4;
        if (ip_len < 20 || frame_len != ETH_LEN + get16(ip + 2)) {
            return false;
        }
    }
    s->tcp = ETH_LEN + ip_len;
    if (len < s->tcp + 20) {
        return false;
    }
    s->head_len = s->tcp + (head[s->tcp + 12] >> 4) * 4;
    return s->head_len >= s->tcp + 20 && s->head_len <= len;
}

bool sn_fw_gso_split(GsoSplit *s, const uint8_t *head, size_t head_len,
                     size_t frame_len, const SnOffload *offload)
{
    unsigned type = offload->gso_type & ~GSO_ECN;
    size_t mss = offload->gso_size;
    size_t total, half;

    s->v6 = type == GSO_TCPV6;
    if ((type != GSO_TCPV4 && type != GSO_TCPV6) || mss == 0 ||
        !find_headers(s, head, head_len, frame_len)) {
        return false;
    }
    total = frame_len - s->head_len;
    /* Between two segments of the sender, near the middle. */
    half = total / 2 / mss * mss;
    if (half == 0 || s->head_len + total - half > FRAME_MAX) {
        return false;
    }
    s->payload[0] = half;
    s->payload[1] = total - half;
    return true;
}

void sn_fw_gso_header(const GsoSplit *s, int part, const uint8_t *head,
                      uint8_t *out)
{
    uint8_t *ip = out + s->ip, *tcp = out + s->tcp;
    size_t ip_total = s->head_len - s->ip + s->payload[part];

    memcpy(out, head, s->head_len);
    if (s->v6) {
        put16(ip + 4, ip_total - IP6_LEN);
    } else {
        put16(ip + 2, ip_total);
        put16(ip + 4, get16(ip + 4) + part);    /* identification */
        set_ip4_checksum(ip);
    }
    if (part == 0) {
        tcp[13] &= ~(TCP_FIN | TCP_PSH);
    } else {
        tcp[13] &= ~TCP_CWR;
        put32(tcp + 4, get32(tcp + 4) + s->payload[0]);
    }
}
