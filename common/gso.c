/*
 * Cutting a TCP frame that segmentation offload made long (RFC 9293, 791 and
 * 8200).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include <glib.h>

#include "smartnic/be.h"
#include "smartnic/gso.h"

enum {
    ETH_LEN = 14, TAG_LEN = 4, TAGS_MAX = 2,
    TAG_8021Q = 0x8100, TAG_8021AD = 0x88a8,
    IP6_LEN = 40,
    IPPROTO_IS_TCP = 6,
    TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80,
};

/* RFC 1071: adds 16-bit words; an odd last byte is one with a zero behind. */
static uint64_t add_words(uint64_t sum, const uint8_t *p, size_t len)
{
    for (; len >= 2; p += 2, len -= 2) {
        sum += sn_get_be16(p);
    }
    return len ? sum + (p[0] << 8) : sum;
}

static unsigned finish_sum(uint64_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum & 0xffff;
}

/* RFC 791: the header checksum. */
static void set_ip4_checksum(uint8_t *ip)
{
    sn_put_be16(ip + 10, 0);
    sn_put_be16(ip + 10, finish_sum(add_words(0, ip, (ip[0] & 15) * 4)));
}

/* Where the IP header starts and what it says it is; 0: not to be known. */
static unsigned skip_tags(const uint8_t *head, size_t len, size_t *ip)
{
    unsigned type;

    *ip = ETH_LEN;
    for (unsigned tags = 0; ; tags++) {
        if (len < *ip) {
            return 0;
        }
        type = sn_get_be16(head + *ip - 2);
        if (type != TAG_8021Q && type != TAG_8021AD) {
            return type;
        }
        if (tags == TAGS_MAX) {
            return 0;
        }
        *ip += TAG_LEN;
    }
}

/* Finds the headers; false when they are not whole and plain. */
static bool find_headers(SnGso *g, const uint8_t *head, size_t len,
                         size_t frame_len)
{
    unsigned type = skip_tags(head, len, &g->ip);
    const uint8_t *ip = head + g->ip;
    size_t ip_len;

    if (g->v6) {
        if (len < g->ip + IP6_LEN + 20 || type != 0x86dd ||
            ip[0] >> 4 != 6 || ip[6] != IPPROTO_IS_TCP) {
            return false;
        }
        ip_len = IP6_LEN;
        if (frame_len != g->ip + IP6_LEN + sn_get_be16(ip + 4)) {
            return false;
        }
    } else {
        if (len < g->ip + 20 + 20 || type != 0x0800 ||
            ip[0] >> 4 != 4 || ip[9] != IPPROTO_IS_TCP ||
            (sn_get_be16(ip + 6) & 0x3fff)) {         /* a fragment */
            return false;
        }
        ip_len = (ip[0] & 15) * 4;
        if (ip_len < 20 || frame_len != g->ip + sn_get_be16(ip + 2)) {
            return false;
        }
    }
    g->tcp = g->ip + ip_len;
    if (len < g->tcp + 20) {
        return false;
    }
    g->head_len = g->tcp + (head[g->tcp + 12] >> 4) * 4;
    return g->head_len >= g->tcp + 20 && g->head_len <= len;
}

bool sn_gso_read(SnGso *g, const uint8_t *head, size_t head_len,
                 size_t frame_len, const SnOffload *offload)
{
    unsigned type = offload->gso_type & ~SN_GSO_ECN;

    g->v6 = type == SN_GSO_TCPV6;
    g->step = offload->gso_size;
    if ((type != SN_GSO_TCPV4 && type != SN_GSO_TCPV6) || g->step == 0 ||
        !find_headers(g, head, head_len, frame_len)) {
        return false;
    }
    g->payload = frame_len - g->head_len;
    return g->payload > 0;
}

unsigned sn_gso_parts(const SnGso *g)
{
    return (g->payload + g->step - 1) / g->step;
}

size_t sn_gso_payload(const SnGso *g, unsigned part)
{
    return MIN(g->step, g->payload - part * g->step);
}

void sn_gso_header(const SnGso *g, unsigned part, const uint8_t *head,
                   uint8_t *out)
{
    uint8_t *ip = out + g->ip, *tcp = out + g->tcp;
    size_t ip_total = g->head_len - g->ip + sn_gso_payload(g, part);

    memcpy(out, head, g->head_len);
    if (g->v6) {
        sn_put_be16(ip + 4, ip_total - IP6_LEN);
    } else {
        sn_put_be16(ip + 2, ip_total);
        sn_put_be16(ip + 4, sn_get_be16(ip + 4) + part);    /* identification */
        set_ip4_checksum(ip);
    }
    if (part + 1 < sn_gso_parts(g)) {
        tcp[13] &= ~(TCP_FIN | TCP_PSH);
    }
    if (part > 0) {
        tcp[13] &= ~TCP_CWR;
        sn_put_be32(tcp + 4, sn_get_be32(tcp + 4) + part * g->step);
    }
}

void sn_gso_fill_checksum(const SnGso *g, uint8_t *frame, size_t len)
{
    const uint8_t *addrs = frame + g->ip + (g->v6 ? 8 : 12);
    uint64_t sum = IPPROTO_IS_TCP + (len - g->tcp);

    sum = add_words(sum, addrs, g->v6 ? 32 : 8);
    sn_put_be16(frame + g->tcp + 16, 0);
    sum = add_words(sum, frame + g->tcp, len - g->tcp);
    sn_put_be16(frame + g->tcp + 16, finish_sum(sum));
}
