/*
 * What a host port must not send.
 *
 * A guest could claim the firmware's addresses in the Ethernet source, in the
 * sender fields of ARP (RFC 826), as source of IP packets, as a client of DHCP
 * (RFC 2131) and in Neighbor Discovery (RFC 4861): the target of an
 * advertisement or a redirect, or the link-layer address options. Asking for them is no claim: ARP probes and
 * duplicate address detection pass, and the firmware answers them.
 *
 * What is too short or too nested to be judged is dropped, and so is a frame
 * whose checksum is to be filled in among the judged bytes: whoever fills it
 * would write there, after the check, a value that the guest can choose by the
 * bytes it is the sum of.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "guard.h"

#define ARP_LEN        28       /* with 6 and 4 byte addresses */
#define IP4_MIN_LEN    20
#define IP6_LEN        40
#define UDP_LEN        8
#define UDP_PORTS_LEN  4
#define DHCP_SERVER    67       /* UDP ports (RFC 2131 section 4.1) */
#define DHCP_CLIENT    68
#define DHCP_CHADDR    28       /* where a message has its client's address */
#define LINK_OPT_LEN   8        /* with an Ethernet address (RFC 2464, 6) */

#define NO_FILL SIZE_MAX

/* Whose addresses are protected, and what is left to read of the packet. */
typedef struct Judge {
    const SnStation *stations;
    unsigned n;
    const uint8_t *p;
    size_t len;                 /* readable bytes at p */
    size_t total;               /* bytes that the packet has there */
    size_t fill;                /* from p: the checksum to fill, or NO_FILL */
} Judge;

bool sn_guard_is_station(const SnStation *stations, unsigned n,
                         const uint8_t *mac)
{
    for (unsigned i = 0; i < n; i++) {
        if (!memcmp(stations[i].mac, mac, 6)) {
            return true;
        }
    }
    return false;
}

static bool is_station(const Judge *j, const uint8_t *mac)
{
    return sn_guard_is_station(j->stations, j->n, mac);
}

static bool is_protected_ip4(const Judge *j, const uint8_t *ip)
{
    for (unsigned i = 0; i < j->n; i++) {
        if (j->stations[i].has_ip4 && !memcmp(j->stations[i].ip4, ip, 4)) {
            return true;
        }
    }
    return false;
}

static bool is_protected_ip6(const Judge *j, const uint8_t *ip)
{
    for (unsigned i = 0; i < j->n; i++) {
        const SnStation *station = &j->stations[i];

        for (unsigned k = 0; k < station->n_ip6; k++) {
            if (!memcmp(station->ip6[k], ip, 16)) {
                return true;
            }
        }
    }
    return false;
}

static SnGuardVerdict drop_if(bool bad)
{
    return bad ? SN_GUARD_DROP : SN_GUARD_PASS;
}

/* Whether a checksum will be written over the next @n bytes. */
static bool fills_within(const Judge *j, size_t n)
{
    return j->fill < n;
}

/*
 * Steps over the first @n bytes. False when there are fewer to read, or when
 * they are not what will leave.
 */
static bool advance(Judge *j, size_t n)
{
    if (n > j->len || fills_within(j, n)) {
        return false;
    }
    j->p += n;
    j->len -= n;
    j->total -= n;
    j->fill -= j->fill != NO_FILL ? n : 0;
    return true;
}

/* ------------------------------------------------------- IPv4 */

static SnGuardVerdict judge_arp(const Judge *j)
{
    const uint8_t *p = j->p;

    /* Only 6 and 4 byte addresses are ARP for IPv4 on Ethernet. */
    if (j->len < ARP_LEN || sn_get_be16(p + 2) != SN_ETHERTYPE_IP4 ||
        p[4] != 6 || p[5] != 4 || fills_within(j, ARP_LEN)) {
        return SN_GUARD_DROP;
    }
    return drop_if(is_station(j, p + 8) || is_protected_ip4(j, p + 14));
}

/* DHCP answers; what is fragmented may be one. @ihl: header length. */
static bool configures_ip4(const Judge *j, size_t ihl)
{
    if (j->p[9] != IPPROTO_UDP) {
        return false;
    }
    if (sn_get_be16(j->p + 6) & 0x3fff || j->len < ihl + UDP_LEN) {
        return true;
    }
    return sn_get_be16(j->p + ihl + 2) == DHCP_CLIENT;
}

/*
 * What a DHCP server may take for a station's: RELEASE, DECLINE and the like
 * say whose they are in the message (RFC 2131 section 2, chaddr). Where that
 * cannot be seen, it may be. No decent sender's fragment ends before it.
 */
static bool asks_as_station(const Judge *j, size_t ihl)
{
    size_t at = ihl + UDP_LEN + DHCP_CHADDR, end = at + 6;
    size_t fragment = (sn_get_be16(j->p + 6) & 0x1fff) * 8;

    if (j->p[9] != IPPROTO_UDP) {
        return false;
    }
    if (fragment) {
        return fragment < end - ihl;
    }
    if (j->len < ihl + UDP_PORTS_LEN || fills_within(j, ihl + UDP_PORTS_LEN)) {
        return true;
    }
    return sn_get_be16(j->p + ihl + 2) == DHCP_SERVER &&
           (j->len < end || (fills_within(j, end) && j->fill + 1 >= at) ||
            is_station(j, j->p + at));
}

static SnGuardVerdict judge_ip4(const Judge *j)
{
    size_t ihl;

    if (j->len < IP4_MIN_LEN || j->p[0] >> 4 != 4) {
        return SN_GUARD_DROP;
    }
    ihl = (j->p[0] & 0xf) * 4;
    if (ihl < IP4_MIN_LEN || fills_within(j, ihl) ||
        is_protected_ip4(j, j->p + 12) || asks_as_station(j, ihl)) {
        return SN_GUARD_DROP;
    }
    return configures_ip4(j, ihl) ? SN_GUARD_NOT_TO_FIRMWARE : SN_GUARD_PASS;
}

/* ------------------------------------------------------- IPv6 */

/* Bytes before the options of a Neighbor Discovery message; 0: it is none. */
static size_t nd_fixed_len(uint8_t type)
{
    switch (type) {
    case ND_ROUTER_SOLICIT:
        return 8;
    case ND_ROUTER_ADVERT:
        return 16;
    case ND_NEIGHBOR_SOLICIT:
    case ND_NEIGHBOR_ADVERT:
        return 24;
    case ND_REDIRECT:
        return 40;
    default:
        return 0;
    }
}

/* True when the options from @at on are well-formed and name no station. */
static bool options_are_good(const Judge *j, size_t at)
{
    while (at + 2 <= j->len) {
        const uint8_t *opt = j->p + at;

        if (opt[1] == 0) {
            return false;       /* RFC 4861 section 4.6 */
        }
        if ((opt[0] == ND_OPT_SOURCE_LINKADDR ||
             opt[0] == ND_OPT_TARGET_LINKADDR) &&
            at + LINK_OPT_LEN <= j->len && is_station(j, opt + 2)) {
            return false;
        }
        at += opt[1] * 8;
    }
    /* A router's messages may be longer than what is readable here. */
    return at == j->len || j->len < j->total;
}

static SnGuardVerdict judge_icmp6(const Judge *j, bool fragment)
{
    uint8_t type = j->len ? j->p[0] : 0;
    size_t fixed = nd_fixed_len(type);
    bool router = type == ND_ROUTER_ADVERT || type == ND_REDIRECT;

    if (!fixed) {
        return drop_if(!j->len || fills_within(j, 2));  /* type and code */
    }
    if (fragment || j->len < fixed || (j->len < j->total && !router) ||
        fills_within(j, j->total)) {
        return SN_GUARD_DROP;   /* fragments: RFC 6980 section 5 */
    }
    if ((type == ND_NEIGHBOR_ADVERT || type == ND_REDIRECT) &&
        is_protected_ip6(j, j->p + 8)) {
        return SN_GUARD_DROP;
    }
    if (type == ND_REDIRECT && is_protected_ip6(j, j->p + 24)) {
        return SN_GUARD_DROP;
    }
    if (!options_are_good(j, fixed)) {
        return SN_GUARD_DROP;
    }
    return router ? SN_GUARD_NOT_TO_FIRMWARE : SN_GUARD_PASS;
}

/* Goes through the header chain (RFC 8200 section 4), @next first. */
static SnGuardVerdict judge_chain(Judge j, uint8_t next)
{
    bool fragment = false;

    for (;;) {
        size_t len;

        if (next == IPPROTO_ICMPV6) {
            return judge_icmp6(&j, fragment);
        }
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
            next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT &&
            next != IPPROTO_AH) {
            return SN_GUARD_PASS;
        }
        if (j.len < 8) {
            return SN_GUARD_DROP;
        }
        len = (j.p[1] + 1) * 8;
        if (next == IPPROTO_FRAGMENT) {
            if (sn_get_be16(j.p + 2) & 0xfff8) {
                /* Useless without its first, which must have it all. */
                return drop_if(fills_within(&j, 8));
            }
            fragment = true;
            len = 8;
        } else if (next == IPPROTO_AH) {
            len = (j.p[1] + 2) * 4;     /* RFC 4302 section 2.2 */
        }
        next = j.p[0];
        if (!advance(&j, len)) {
            return SN_GUARD_DROP;
        }
    }
}

static SnGuardVerdict judge_ip6(Judge j)
{
    size_t payload;
    uint8_t next;

    if (j.len < IP6_LEN || j.p[0] >> 4 != 6 ||
        is_protected_ip6(&j, j.p + 8)) {
        return SN_GUARD_DROP;
    }
    next = j.p[6];
    payload = sn_get_be16(j.p + 4);
    if (!advance(&j, IP6_LEN)) {
        return SN_GUARD_DROP;
    }
    if (payload) {              /* 0: a jumbogram, or nothing anyway */
        j.total = MIN(j.total, payload);
        j.len = MIN(j.len, j.total);
    }
    return judge_chain(j, next);
}

/*
 * Where a checksum is to be filled in, in bytes from the start of the frame.
 * False when that is not a place in the frame.
 */
static bool find_fill(const SnOffload *offload, size_t frame_len, size_t *fill)
{
    *fill = NO_FILL;
    if (!(offload->flags & SN_OFFLOAD_NEEDS_CSUM)) {
        return true;
    }
    *fill = (size_t)offload->csum_start + offload->csum_offset;
    return *fill + 2 <= frame_len;
}

SnGuardVerdict sn_guard_check(const SnStation *stations, unsigned n,
                              const SnEthHead *head, const SnOffload *offload)
{
    Judge j = {
        .stations = stations,
        .n = n,
        .p = head->bytes,
        .len = head->len,
        .total = head->frame_len,
    };

    /* A tag can still be there, behind a SNAP header. */
    if (!find_fill(offload, head->frame_len, &j.fill) ||
        is_station(&j, sn_eth_src(head)) || sn_eth_is_tag(head->type) ||
        !advance(&j, head->payload)) {
        return SN_GUARD_DROP;
    }
    switch (head->type) {
    case SN_ETHERTYPE_ARP:
        return judge_arp(&j);
    case SN_ETHERTYPE_IP4:
        return judge_ip4(&j);
    case SN_ETHERTYPE_IP6:
        return judge_ip6(j);
    default:
        return SN_GUARD_PASS;
    }
}
