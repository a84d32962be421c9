/*
 * Frames for the firmware.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "frames.h"
#include "smartnic/be.h"

#define TO_FW  "525400010203" "525400010204"
#define TO_ALL "ffffffffffff" "525400010204"
#define MCAST6 "333300000001" "525400010204"
#define IP4(len, proto) "080045" "00" len "00010000" "40" proto "0000" \
    "c0000202" "c0000201"
#define FW_LL   "fe800000000000005054" "00fffe010203"
#define PEER_LL "fe800000000000005054" "00fffe010204"
#define ALL6    "ff020000000000000000" "000000000001"
#define IP6(len, next, dst) "86dd60000000" len next "ff" PEER_LL dst
#define ZERO8   "0000000000000000"
#define ZERO64  ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8

const uint8_t fw_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
const uint8_t peer_mac[6] = { 0x52, 0x54, 0, 1, 2, 4 };

static const char *const kinds[] = {
    /* ARP: request, reply */
    TO_ALL "08060001080006040001" "525400010204c0000202" "000000000000c0000201",
    TO_FW "08060001080006040002" "525400010204c0000202" "525400010203c0000201",
    /* ping; first and last fragment of one */
    TO_FW IP4("0024", "01") "0800000000010001" ZERO8,
    TO_FW "080045" "00" "002400022000" "4001" "0000" "c0000202c0000201"
        "0800000000010001" ZERO8,
    TO_FW "080045" "00" "001c00020002" "4001" "0000" "c0000202c0000201" ZERO8,
    /* destination unreachable, about a TCP segment */
    TO_FW IP4("0038", "01") "0303000000000000"
        "45000028000100004006" "0000" "c0000201c0000202" ZERO8,
    /* UDP to nobody */
    TO_FW IP4("001c", "11") "0035003500080000",
    /* DHCP offer, lease of 60 s with router and name server */
    TO_ALL "08004500" "0133" "000100004011" "0000" "c0000202ffffffff"
        "00430044" "011f" "0000"
        "0201060001020304" "00000000" "00000000" "c0000201" "c0000202"
        "00000000" "525400010203" "00000000000000000000"
        ZERO64 ZERO64 ZERO64 "63825363"
        "350102" "3604c0000202" "33040000003c" "0104ffffff00"
        "0304c0000202" "0604c0000202" "ff" ZERO8,
    /* the same as an acknowledgement */
    TO_ALL "08004500" "0133" "000100004011" "0000" "c0000202ffffffff"
        "00430044" "011f" "0000"
        "0201060001020304" "00000000" "00000000" "c0000201" "c0000202"
        "00000000" "525400010203" "00000000000000000000"
        ZERO64 ZERO64 ZERO64 "63825363"
        "350105" "3604c0000202" "33040000003c" "0104ffffff00"
        "0304c0000202" "0604c0000202" "ff" ZERO8,
    /* DNS answer: "a" is the peer's address */
    TO_FW IP4("003b", "11") "0035" "0000" "0027" "0000"
        "0304" "8180" "0001000100000000" "0161" "00" "00010001"
        "c00c" "00010001" "0000003c" "0004" "c0000202",
    /* Neighbor Solicitation, Advertisement, for the link-local address */
    TO_FW IP6("0020", "3a", FW_LL) "87000000" "00000000" FW_LL
        "0101525400010204",
    TO_FW IP6("0020", "3a", FW_LL) "88000000" "60000000" PEER_LL
        "0201525400010204",
    /* Router Advertisement with a prefix, MTU and name server */
    MCAST6 IP6("0050", "3a", ALL6) "86000000" "40000708" ZERO8
        "0101525400010204" "0501000000000514"
        "030440c0" "00000e10" "00000708" "00000000"
        "20010db8000000000000000000000000"
        "19030000000003e8" "20010db8000000000000000000000053",
    /* ping6, with a hop-by-hop header; a first and a last fragment */
    TO_FW IP6("0018", "00", FW_LL) "3a00010400000000" "8000000000010001"
        ZERO8,
    TO_FW IP6("0018", "2c", FW_LL) "3a00000100000007" "8000000000010001"
        ZERO8,
    TO_FW IP6("0010", "2c", FW_LL) "3a00001000000007" ZERO8,
    /* MLD query; packet too big; redirect */
    MCAST6 IP6("0020", "00", ALL6) "3a00050200000100" "8200000027100000"
        ZERO8 ZERO8,
    TO_FW IP6("0038", "3a", FW_LL) "02000000" "00000500"
        "6000000000080640" FW_LL PEER_LL ZERO8,
    TO_FW IP6("0028", "3a", FW_LL) "89000000" "00000000" PEER_LL PEER_LL,
    /* an 802.1Q tag */
    TO_FW "81000005" "0806" ZERO8 ZERO8 ZERO8 ZERO8,
    /* nothing but addresses */
    TO_FW,
};

GByteArray *frame_of_kind(uint8_t kind)
{
    GByteArray *frame = g_byte_array_new();
    const char *hex = kinds[kind % G_N_ELEMENTS(kinds)];

    for (; *hex; hex += 2) {
        uint8_t byte = g_ascii_xdigit_value(hex[0]) << 4 |
                       g_ascii_xdigit_value(hex[1]);

        g_byte_array_append(frame, &byte, 1);
    }
    return frame;
}

GByteArray *frame_of_segment(const Segment *seg)
{
    size_t head = 54 + seg->options_len;
    GByteArray *frame = g_byte_array_new();
    uint8_t *p;

    g_byte_array_set_size(frame, head + seg->len);
    p = frame->data;
    memset(p, 0x77, frame->len);
    memset(p, 0, 54);
    memcpy(p, fw_mac, 6);
    memcpy(p + 6, peer_mac, 6);
    sn_put_be16(p + 12, 0x0800);
    p[14] = 0x45;
    sn_put_be16(p + 16, MIN(frame->len - 14, UINT16_MAX));
    p[22] = 64;
    p[23] = 6;
    sn_put_be32(p + 26, PEER_IP);
    sn_put_be32(p + 30, FW_IP);
    sn_put_be16(p + 34, seg->peer_port);
    sn_put_be16(p + 36, seg->fw_port);
    sn_put_be32(p + 38, seg->seq);
    sn_put_be32(p + 42, seg->ack);
    p[46] = (20 + seg->options_len) / 4 << 4;
    p[47] = seg->flags;
    sn_put_be16(p + 48, seg->window);
    if (seg->options_len) {
        memcpy(p + 54, seg->options, seg->options_len);
    }
    return frame;
}

/* ------------------------------------------------------- checksums */

static uint32_t add(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i & 1 ? p[i] : p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static void set_sum(uint8_t *p, size_t len, size_t at, uint32_t sum)
{
    if (at + 2 <= len) {
        sn_put_be16(p + at, 0);
        sum = add(sum, p, len);
        sn_put_be16(p + at, ~sum);
    }
}

/* The upper layer's; @sum: of the addresses. */
static void fix_payload(uint8_t *p, size_t len, uint8_t proto, uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16) + proto + len;
    switch (proto) {
    case 1:
        set_sum(p, len, 2, 0);
        break;
    case 6:
        set_sum(p, len, 16, sum);
        break;
    case 17:
        set_sum(p, len, 6, sum);
        break;
    case 58:
        set_sum(p, len, 2, sum);
        break;
    default:
        break;
    }
}

static void fix_ip4(uint8_t *p, size_t len)
{
    size_t head = len ? (p[0] & 15) * 4 : 0, total;

    if (head < 20 || head > len) {
        return;
    }
    set_sum(p, head, 10, 0);
    total = MIN(len, sn_get_be16(p + 2));
    if (total > head && !(sn_get_be16(p + 6) & 0x3fff)) {
        fix_payload(p + head, total - head, p[9], add(0, p + 12, 8));
    }
}

static void fix_ip6(uint8_t *p, size_t len)
{
    size_t at = 40, total;
    uint8_t next;

    if (len < 40) {
        return;
    }
    next = p[6];
    total = MIN(len, 40u + sn_get_be16(p + 4));
    while ((next == 0 || next == 60) && at + 8 <= total) {
        next = p[at];
        at += (p[at + 1] + 1) * 8;
    }
    if (at < total) {
        fix_payload(p + at, total - at, next, add(0, p + 8, 32));
    }
}

void frame_fix(GByteArray *frame)
{
    if (frame->len < 14) {
        return;
    }
    if (sn_get_be16(frame->data + 12) == 0x0800) {
        fix_ip4(frame->data + 14, frame->len - 14);
    } else if (sn_get_be16(frame->data + 12) == 0x86dd) {
        fix_ip6(frame->data + 14, frame->len - 14);
    }
}
