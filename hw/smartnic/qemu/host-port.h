/*
 * The switch's host port: an internal net client that the guest's virtio-net
 * function is connected to, as if it were a netdev.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_HOST_PORT_H
#define SMARTNIC_QEMU_HOST_PORT_H

#include "smartnic/port.h"
#include "uplink.h"

typedef struct SnHostPort SnHostPort;

typedef struct SnHostPortEvents {
    /* The guest sent a frame. */
    void (*receive)(void *opaque, const SnFrame *frame);
} SnHostPortEvents;

/*
 * @name: what virtio-net's `netdev` property is set to. Offloads that the
 * guest negotiates are those of @uplink (borrowed; outlives the port).
 */
SnHostPort *sn_host_port_new(const char *name, SnUplink *uplink,
                             const SnHostPortEvents *events, void *opaque);
/* The virtio-net function must be gone already. */
void sn_host_port_free(SnHostPort *hp);

/* The port to attach to the switch. */
SnPort *sn_host_port_port(SnHostPort *hp);

/* Tells the guest's driver; the port's own state is the switch's to set. */
void sn_host_port_set_link(SnHostPort *hp, bool up);

/* The uplink has room again: frames that the guest queued may go on. */
void sn_host_port_wake(SnHostPort *hp);

#endif
