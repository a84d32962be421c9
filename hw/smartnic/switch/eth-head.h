/*
 * The start of an Ethernet frame, copied and taken apart.
 *
 * A guest can change its memory while the switch looks at a frame in it. So
 * what was checked is this copy, and the copy is what travels on.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_SWITCH_ETH_HEAD_H
#define SMARTNIC_SWITCH_ETH_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smartnic/port.h"

#define SN_ETH_MACS     12      /* bytes of the two addresses */
#define SN_ETH_HLEN     14
#define SN_ETH_TAG      4       /* bytes of one VLAN tag */
#define SN_ETH_MAX_TAGS 4

/*
 * Bytes that are copied: enough for every header that the guard looks into,
 * with all the tags and about 100 bytes of IPv6 extension headers.
 */
#define SN_ETH_HEAD_MAX 256

enum {
    SN_ETHERTYPE_IP4   = 0x0800,
    SN_ETHERTYPE_ARP   = 0x0806,
    SN_ETHERTYPE_CTAG  = 0x8100,        /* 802.1Q */
    SN_ETHERTYPE_IP6   = 0x86dd,
    SN_ETHERTYPE_STAG  = 0x88a8,        /* 802.1ad */
    SN_ETHERTYPE_QINQ  = 0x9100,        /* before 802.1ad */
};

typedef struct SnEthHead {
    uint8_t bytes[SN_ETH_HEAD_MAX];     /* destination MAC, source MAC, ... */
    size_t len;                 /* of them in use */
    size_t frame_len;           /* the rest is not in bytes[] */
    uint16_t vids[SN_ETH_MAX_TAGS];     /* of the tags, outermost first */
    unsigned n_tags;
    bool c_tag;                 /* the outermost tag is 802.1Q's */
    uint16_t type;              /* EtherType of what follows the tags ... */
    size_t payload;             /* ... and where that starts */
} SnEthHead;

/* False: too short for its own headers, or with too many tags. */
bool sn_eth_head_parse(SnEthHead *head, const SnFrame *frame);

/* Whether @type announces a VLAN tag. */
bool sn_eth_is_tag(uint16_t type);

static inline const uint8_t *sn_eth_dst(const SnEthHead *head)
{
    return head->bytes;
}

static inline const uint8_t *sn_eth_src(const SnEthHead *head)
{
    return head->bytes + 6;
}

/* Group addresses, the broadcast address among them. */
static inline bool sn_mac_is_multicast(const uint8_t *mac)
{
    return mac[0] & 1;
}

static inline uint16_t sn_get_be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

#endif
