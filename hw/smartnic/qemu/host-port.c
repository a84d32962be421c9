/*
 * The switch's host port.
 *
 * A guest that does not take its packets must not stop the storage traffic
 * behind the same uplink, so what virtio-net cannot take waits in a bounded
 * queue and is dropped beyond it, as on a real switch port.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "net/checksum.h"

#include "host-port.h"
#include "loop.h"
#include "smartnic/gso.h"
#include "vnet-hdr.h"

#define MAX_FRAME_IOV 128
#define MAX_QUEUED    128

typedef struct HostClient {
    NetClientState nc;
    SnHostPort *hp;
} HostClient;

struct SnHostPort {
    SnPort port;
    NetClientState *nc;
    SnUplink *uplink;
    size_t vnet_hdr_len;        /* virtio-net's; 0: frames without header */
    /* What the guest takes: unfilled checksums, long TCP segments. */
    bool rx_csum, rx_tso4, rx_tso6, rx_ecn;
    unsigned queued;            /* frames in virtio-net's queue */
    const SnHostPortEvents *events;
    void *opaque;
};

static SnHostPort *nc_to_host_port(NetClientState *nc)
{
    return container_of(nc, HostClient, nc)->hp;
}

static void host_port_sent(NetClientState *nc, ssize_t ret)
{
    SnHostPort *hp = nc_to_host_port(nc);

    hp->queued--;
}

/*
 * Fills the checksum that an earlier sender left to its receiver, for a guest
 * that did not negotiate it.
 */
static uint8_t *fill_checksum(const SnFrame *frame)
{
    uint8_t *buf = g_malloc(frame->len);
    size_t start = frame->offload.csum_start;
    size_t at = start + frame->offload.csum_offset;

    iov_to_buf(frame->iov, frame->iovcnt, 0, buf, frame->len);
    if (at + 2 <= frame->len) {
        uint32_t sum = net_checksum_add(frame->len - start, buf + start);

        stw_be_p(buf + at, net_checksum_finish_nozero(sum));
    }
    return buf;
}

static bool send_frame(SnHostPort *hp, const struct iovec *data, unsigned cnt,
                       const SnOffload *offload)
{
    struct virtio_net_hdr_v1_hash hdr = { };
    struct iovec iov[MAX_FRAME_IOV + 1];
    unsigned first = 0;

    if (hp->queued >= MAX_QUEUED) {
        return false;
    }
    if (hp->vnet_hdr_len) {
        struct virtio_net_hdr_mrg_rxbuf h = sn_offload_to_vnet(offload);

        memcpy(&hdr, &h, sizeof(h));
        iov[first++] = (struct iovec) { &hdr, hp->vnet_hdr_len };
    }
    memcpy(iov + first, data, cnt * sizeof(*iov));
    /* The guest says where its receive buffers are. */
    sn_qemu_loop_hold();
    if (qemu_sendv_packet_async(hp->nc, iov, first + cnt,
                                host_port_sent) == 0) {
        hp->queued++;
    }
    sn_qemu_loop_release();
    return true;
}

/* Whether the guest takes this kind of long frame; only TCP's can be cut. */
static bool guest_takes(const SnHostPort *hp, const SnOffload *offload)
{
    bool ecn = offload->gso_type & SN_GSO_ECN;

    switch (offload->gso_type & ~SN_GSO_ECN) {
    case SN_GSO_TCPV4:
        return hp->rx_tso4 && (hp->rx_ecn || !ecn);
    case SN_GSO_TCPV6:
        return hp->rx_tso6 && (hp->rx_ecn || !ecn);
    default:
        return true;
    }
}

/* Sends a long TCP frame as the segments that it was made of. */
static bool send_cut(SnHostPort *hp, const SnFrame *frame)
{
    uint8_t head[SN_GSO_HEAD_MAX];
    size_t got = iov_to_buf(frame->iov, frame->iovcnt, 0, head, sizeof(head));
    bool sent = true;
    SnGso gso;

    if (!sn_gso_read(&gso, head, got, frame->len, &frame->offload)) {
        return false;
    }
    for (unsigned i = 0; sent && i < sn_gso_parts(&gso); i++) {
        size_t len = gso.head_len + sn_gso_payload(&gso, i);
        g_autofree uint8_t *part = g_malloc(len);
        struct iovec iov = { part, len };

        sn_gso_header(&gso, i, head, part);
        iov_to_buf(frame->iov, frame->iovcnt, gso.head_len + i * gso.step,
                   part + gso.head_len, len - gso.head_len);
        sn_gso_fill_checksum(&gso, part, len);
        sent = send_frame(hp, &iov, 1, &(SnOffload) { });
    }
    return sent;
}

static bool host_port_deliver(SnPort *port, const SnFrame *frame)
{
    SnHostPort *hp = container_of(port, SnHostPort, port);
    g_autofree uint8_t *filled = NULL;

    if (frame->iovcnt > MAX_FRAME_IOV) {
        return false;
    }
    if (!guest_takes(hp, &frame->offload)) {
        return send_cut(hp, frame);
    }
    if (hp->rx_csum || !frame->offload.flags) {
        return send_frame(hp, frame->iov, frame->iovcnt, &frame->offload);
    }
    if (!(frame->offload.flags & SN_OFFLOAD_NEEDS_CSUM)) {
        return send_frame(hp, frame->iov, frame->iovcnt, &(SnOffload) { });
    }
    filled = fill_checksum(frame);
    return send_frame(hp, &(struct iovec) { filled, frame->len }, 1,
                      &(SnOffload) { });
}

static const SnPortOps host_port_ops = {
    .deliver = host_port_deliver,
};

static ssize_t host_port_receive_iov(NetClientState *nc,
                                     const struct iovec *iov, int iovcnt)
{
    SnHostPort *hp = nc_to_host_port(nc);
    size_t total = iov_size(iov, iovcnt);
    g_autofree struct iovec *heap = NULL;
    struct iovec stack[MAX_FRAME_IOV];
    struct iovec *dst = stack;
    struct virtio_net_hdr hdr = { };
    SnFrame frame;

    if (total < hp->vnet_hdr_len) {
        return total;
    }
    if (iovcnt > MAX_FRAME_IOV) {
        dst = heap = g_new(struct iovec, iovcnt);
    }
    if (hp->vnet_hdr_len) {
        iov_to_buf(iov, iovcnt, 0, &hdr, sizeof(hdr));
    }
    frame = (SnFrame) {
        .iov = dst,
        .iovcnt = iov_copy(dst, iovcnt, iov, iovcnt, hp->vnet_hdr_len,
                           total - hp->vnet_hdr_len),
        .len = total - hp->vnet_hdr_len,
        .offload = sn_offload_from_vnet(&hdr),
    };
    hp->events->receive(hp->opaque, &frame);
    return total;
}

static ssize_t host_port_receive(NetClientState *nc, const uint8_t *buf,
                                 size_t len)
{
    struct iovec iov = { (void *)buf, len };

    return host_port_receive_iov(nc, &iov, 1);
}

static bool host_port_can_receive(NetClientState *nc)
{
    return !sn_uplink_busy(nc_to_host_port(nc)->uplink);
}

static bool host_port_has_vnet_hdr(NetClientState *nc)
{
    return sn_uplink_has_offload(nc_to_host_port(nc)->uplink);
}

static bool host_port_has_vnet_hdr_len(NetClientState *nc, int len)
{
    return len == sizeof(struct virtio_net_hdr) ||
           len == sizeof(struct virtio_net_hdr_mrg_rxbuf) ||
           len == sizeof(struct virtio_net_hdr_v1_hash);
}

static void host_port_set_vnet_hdr_len(NetClientState *nc, int len)
{
    nc_to_host_port(nc)->vnet_hdr_len = len;
}

static bool host_port_has_ufo(NetClientState *nc)
{
    return qemu_has_ufo(sn_uplink_peer(nc_to_host_port(nc)->uplink));
}

static bool host_port_has_uso(NetClientState *nc)
{
    return qemu_has_uso(sn_uplink_peer(nc_to_host_port(nc)->uplink));
}

/*
 * The uplink delivers long TCP frames whatever the guest takes, because the
 * firmware does, and storage traffic is to be fast before the guest has a
 * driver, too. UDP's cannot be cut again, so they come only if the guest asks.
 */
static void host_port_set_offload(NetClientState *nc, int csum, int tso4,
                                  int tso6, int ecn, int ufo, int uso4,
                                  int uso6)
{
    SnHostPort *hp = nc_to_host_port(nc);

    hp->rx_csum = csum;
    hp->rx_tso4 = tso4;
    hp->rx_tso6 = tso6;
    hp->rx_ecn = ecn;
    sn_uplink_set_udp_offload(hp->uplink, ufo, uso4, uso6);
}

static NetClientInfo host_port_info = {
    /*
     * What it is to virtio-net. QEMU attaches no meaning of its own to this
     * type, as it does to hub ports and taps.
     */
    .type = NET_CLIENT_DRIVER_BRIDGE,
    .size = sizeof(HostClient),
    .receive = host_port_receive,
    .receive_iov = host_port_receive_iov,
    .can_receive = host_port_can_receive,
    .has_vnet_hdr = host_port_has_vnet_hdr,
    .has_vnet_hdr_len = host_port_has_vnet_hdr_len,
    .set_vnet_hdr_len = host_port_set_vnet_hdr_len,
    .has_ufo = host_port_has_ufo,
    .has_uso = host_port_has_uso,
    .set_offload = host_port_set_offload,
};

SnHostPort *sn_host_port_new(const char *name, SnUplink *uplink,
                             const SnHostPortEvents *events, void *opaque)
{
    SnHostPort *hp = g_new0(SnHostPort, 1);

    hp->uplink = uplink;
    hp->events = events;
    hp->opaque = opaque;
    hp->port = (SnPort) {
        .ops = &host_port_ops,
        .name = "host",
        .role = SN_PORT_HOST,
        .link_up = true,
    };
    hp->nc = qemu_new_net_client(&host_port_info, NULL, "smartnic-host-port",
                                 name);
    container_of(hp->nc, HostClient, nc)->hp = hp;
    return hp;
}

void sn_host_port_free(SnHostPort *hp)
{
    qemu_del_net_client(hp->nc);
    g_free(hp);
}

SnPort *sn_host_port_port(SnHostPort *hp)
{
    return &hp->port;
}

void sn_host_port_set_link(SnHostPort *hp, bool up)
{
    NetClientState *peer = hp->nc->peer;

    hp->nc->link_down = !up;
    if (peer) {
        peer->link_down = !up;
        if (peer->info->link_status_changed) {
            peer->info->link_status_changed(peer);
        }
    }
}

void sn_host_port_wake(SnHostPort *hp)
{
    qemu_flush_queued_packets(hp->nc);
}
