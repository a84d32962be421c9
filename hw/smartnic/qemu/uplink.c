/*
 * The switch's uplink port: a QEMU netdev.
 *
 * Backpressure follows net/queue.c: what the netdev cannot take now waits in
 * its queue, and nothing that the firmware sent is dropped. The queue stays
 * short because the host function stops sending while it is not empty, and
 * TCP's window bounds the firmware.
 *
 * But the firmware's clock runs on: towards a netdev that takes nothing for
 * long, or of a VM that is stopped, what it adds is old data once more and one
 * attempt to connect after the other. So beyond what windows can fill, and
 * soon in a stopped VM, frames are dropped and counted: the oldest ones in the
 * queue are those that bring a connection on when they can leave.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"

#include "system/runstate.h"

#include "uplink.h"
#include "vnet-hdr.h"

/* Frames are built from few pieces: headers and the pages of one write. */
#define MAX_FRAME_IOV 128

/* In frames. The first is more than two full windows of TCP at 1500 bytes. */
#define MAX_QUEUED_RUNNING 4096
#define MAX_QUEUED_STOPPED 64

struct SnUplink {
    SnPort port;
    NICState *nic;
    bool has_vnet_hdr;
    unsigned queued;            /* frames waiting in the netdev's queue */
    const SnUplinkEvents *events;
    void *opaque;
};

static SnUplink *port_to_uplink(SnPort *port)
{
    return container_of(port, SnUplink, port);
}

static void uplink_sent(NetClientState *nc, ssize_t ret)
{
    SnUplink *up = qemu_get_nic_opaque(nc);

    if (up->queued && --up->queued == 0) {
        up->events->drained(up->opaque);
    }
}

static bool queue_full(SnUplink *up)
{
    return up->queued >= (runstate_is_running() ? MAX_QUEUED_RUNNING
                                                : MAX_QUEUED_STOPPED);
}

static bool uplink_deliver(SnPort *port, const SnFrame *frame)
{
    SnUplink *up = port_to_uplink(port);
    struct virtio_net_hdr_mrg_rxbuf hdr;
    struct iovec iov[MAX_FRAME_IOV + 1];
    unsigned cnt = 0;

    if (frame->iovcnt > MAX_FRAME_IOV || queue_full(up)) {
        return false;
    }
    if (up->has_vnet_hdr) {
        hdr = sn_offload_to_vnet(&frame->offload);
        iov[cnt++] = (struct iovec) { &hdr, sizeof(hdr) };
    }
    memcpy(&iov[cnt], frame->iov, frame->iovcnt * sizeof(*iov));
    cnt += frame->iovcnt;

    if (qemu_sendv_packet_async(qemu_get_queue(up->nic), iov, cnt,
                                uplink_sent) == 0) {
        up->queued++;
    }
    return true;
}

static const SnPortOps uplink_port_ops = {
    .deliver = uplink_deliver,
};

static ssize_t uplink_receive(NetClientState *nc, const uint8_t *buf,
                              size_t len)
{
    SnUplink *up = qemu_get_nic_opaque(nc);
    struct iovec iov = { (void *)buf, len };
    SnFrame frame = { .iov = &iov, .iovcnt = 1 };

    if (up->has_vnet_hdr) {
        struct virtio_net_hdr hdr;

        if (len < SN_VNET_HDR_LEN) {
            return len;
        }
        memcpy(&hdr, buf, sizeof(hdr));
        frame.offload = sn_offload_from_vnet(&hdr);
        iov.iov_base = (void *)(buf + SN_VNET_HDR_LEN);
        iov.iov_len -= SN_VNET_HDR_LEN;
    }
    frame.len = iov.iov_len;
    up->events->receive(up->opaque, &frame);
    return len;
}

static bool uplink_can_receive(NetClientState *nc)
{
    SnUplink *up = qemu_get_nic_opaque(nc);

    return up->events->can_receive(up->opaque);
}

static void uplink_link_status_changed(NetClientState *nc)
{
    SnUplink *up = qemu_get_nic_opaque(nc);

    up->events->link_changed(up->opaque, !nc->link_down);
}

static NetClientInfo uplink_info = {
    .type = NET_CLIENT_DRIVER_NIC,
    .size = sizeof(NICState),
    .receive = uplink_receive,
    .can_receive = uplink_can_receive,
    .link_status_changed = uplink_link_status_changed,
};

SnUplink *sn_uplink_new(DeviceState *dev, NICConf *conf,
                        const SnUplinkEvents *events, void *opaque)
{
    NetClientState *peer = conf->peers.ncs[0];
    SnUplink *up = g_new0(SnUplink, 1);

    up->events = events;
    up->opaque = opaque;
    up->port = (SnPort) {
        .ops = &uplink_port_ops,
        .name = "uplink",
        .role = SN_PORT_UPLINK,
    };
    up->nic = qemu_new_nic(&uplink_info, conf, object_get_typename(OBJECT(dev)),
                           dev->id, &dev->mem_reentrancy_guard, up);
    qemu_format_nic_info_str(qemu_get_queue(up->nic), conf->macaddr.a);
    up->has_vnet_hdr = qemu_has_vnet_hdr(peer) &&
                       qemu_has_vnet_hdr_len(peer, SN_VNET_HDR_LEN);
    if (up->has_vnet_hdr) {
        qemu_set_vnet_hdr_len(peer, SN_VNET_HDR_LEN);
    }
    sn_uplink_set_udp_offload(up, false, false, false);
    up->port.link_up = !qemu_get_queue(up->nic)->link_down;
    return up;
}

void sn_uplink_free(SnUplink *up)
{
    /* What waits in the netdev's queue must not name a sender that is gone. */
    up->queued = 0;
    qemu_purge_queued_packets(qemu_get_queue(up->nic));
    qemu_del_nic(up->nic);
    g_free(up);
}

SnPort *sn_uplink_port(SnUplink *up)
{
    return &up->port;
}

NetClientState *sn_uplink_peer(SnUplink *up)
{
    return qemu_get_queue(up->nic)->peer;
}

bool sn_uplink_has_offload(SnUplink *up)
{
    return up->has_vnet_hdr;
}

void sn_uplink_set_udp_offload(SnUplink *up, bool ufo, bool uso4, bool uso6)
{
    if (up->has_vnet_hdr) {
        qemu_set_offload(sn_uplink_peer(up), true, true, true, true, ufo,
                         uso4, uso6);
    }
}

bool sn_uplink_busy(SnUplink *up)
{
    return up->queued > 0;
}

void sn_uplink_wake(SnUplink *up)
{
    qemu_flush_queued_packets(qemu_get_queue(up->nic));
}
