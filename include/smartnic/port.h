/*
 * A port of the card's embedded switch, and the frames that pass through it.
 *
 * Ports are the uplink (a QEMU netdev), the host function (virtio-net) and the
 * firmware. Whoever implements a port owns it and keeps it alive while it is
 * attached. All calls happen in the card's thread.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_PORT_H
#define SMARTNIC_PORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct SnPort SnPort;

/*
 * Offload state of a frame: virtio's struct virtio_net_hdr (virtio 1.2 section
 * 5.1.6), in host byte order. All zeroes for an ordinary frame.
 */
typedef struct SnOffload {
    uint8_t flags;              /* SN_OFFLOAD_* */
    uint8_t gso_type;           /* 0: none; else VIRTIO_NET_HDR_GSO_* */
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;        /* from the first byte of the frame */
    uint16_t csum_offset;
} SnOffload;

/* Values of gso_type that the boxes know; ECN is a bit beside the others. */
enum {
    SN_GSO_TCPV4 = 1,
    SN_GSO_TCPV6 = 4,
    SN_GSO_ECN = 0x80,
};

enum {
    SN_OFFLOAD_NEEDS_CSUM = 1,  /* checksum from csum_start is to be filled */
    SN_OFFLOAD_DATA_VALID = 2,  /* checksum was verified */
};

/*
 * An Ethernet frame without FCS, by reference: the memory is valid during the
 * call that passes the frame. A receiver that needs it longer copies it.
 */
typedef struct SnFrame {
    const struct iovec *iov;
    unsigned iovcnt;
    size_t len;                 /* sum of the iovec's lengths */
    SnOffload offload;
} SnFrame;

typedef struct SnPortCounters {
    uint64_t rx_frames, rx_bytes;       /* from the port into the switch */
    uint64_t tx_frames, tx_bytes;       /* from the switch to the port */
    uint64_t rx_dropped;                /* refused by the switch's rules */
    uint64_t tx_dropped;                /* the port could not take it */
} SnPortCounters;

typedef struct SnPortOps {
    /*
     * The switch delivers a frame. True: taken (sent, queued or consumed).
     * False: dropped because the port is down or its queue is full. A netdev
     * may answer while it is being sent to, so sn_switch_input() can be called
     * again from inside this call.
     */
    bool (*deliver)(SnPort *port, const SnFrame *frame);
} SnPortOps;

typedef enum SnPortRole {
    SN_PORT_UPLINK,             /* everything unknown goes there */
    SN_PORT_HOST,               /* the guest's network function */
    SN_PORT_FIRMWARE,           /* its MAC is static and protected */
} SnPortRole;

struct SnPort {
    const SnPortOps *ops;
    const char *name;           /* "uplink", "host", "firmware" */
    SnPortRole role;
    uint8_t mac[6];             /* firmware: its station address */
    uint16_t vlan;              /* firmware: 0 untagged, or 1..4094 */
    bool link_up;
    SnPortCounters counters;    /* kept by the switch */

    /* private to the switch */
    unsigned index;
};

#endif
