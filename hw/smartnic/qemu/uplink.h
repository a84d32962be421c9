/*
 * The switch's uplink port: a QEMU netdev.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_UPLINK_H
#define SMARTNIC_QEMU_UPLINK_H

#include "net/net.h"
#include "smartnic/port.h"

typedef struct SnUplink SnUplink;

typedef struct SnUplinkEvents {
    /* A frame came in. */
    void (*receive)(void *opaque, const SnFrame *frame);
    /* Whether receive() may be called now; if not, call sn_uplink_wake(). */
    bool (*can_receive)(void *opaque);
    /* `set_link`, or the netdev's own link. */
    void (*link_changed)(void *opaque, bool up);
    /* The netdev takes frames again after sn_uplink_busy() was true. */
    void (*drained)(void *opaque);
} SnUplinkEvents;

/*
 * Becomes the peer of the netdev in @conf (borrowed; outlives the uplink).
 * @dev: the card, for names and the re-entrancy guard.
 */
SnUplink *sn_uplink_new(DeviceState *dev, NICConf *conf,
                        const SnUplinkEvents *events, void *opaque);
void sn_uplink_free(SnUplink *up);

/* The port to attach to the switch. */
SnPort *sn_uplink_port(SnUplink *up);

/* The netdev, for its offloads; it stays there for us when it is deleted. */
NetClientState *sn_uplink_peer(SnUplink *up);
/* Frames pass with offload state (checksums to be filled, large segments). */
bool sn_uplink_has_offload(SnUplink *up);
/*
 * Which long UDP frames it delivers; none at first. Long TCP frames come
 * always, where it has offload at all. Harmless without.
 */
void sn_uplink_set_udp_offload(SnUplink *up, bool ufo, bool uso4, bool uso6);
/* Frames wait in the netdev's queue: stop giving it more if possible. */
bool sn_uplink_busy(SnUplink *up);
/* can_receive() would say yes again. */
void sn_uplink_wake(SnUplink *up);

#endif
