/*
 * The card on its cable: what the firmware answers, what reaches the guest's
 * network function, and what neither may send. Frames are built by hand here,
 * so that nothing of the card's own code checks itself.
 *
 * That something is *not* answered is seen by a question after it which is:
 * its answer must be the next one.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_net.h"

#include "peer.h"

#define ADDRESSES "mac=52:54:00:00:00:11,storage-mac=52:54:00:00:00:22," \
                  "ip=10.0.0.2/24"

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t peer_mac[6] = { 0x52, 0x54, 0, 0, 0, 0x99 };
static const uint8_t host_mac[6] = { 0x52, 0x54, 0, 0, 0, 0x11 };
static const uint8_t fw_mac[6] = { 0x52, 0x54, 0, 0, 0, 0x22 };
static const uint8_t peer_ip[4] = { 10, 0, 0, 9 };
static const uint8_t fw_ip[4] = { 10, 0, 0, 2 };
static const uint8_t other_ip[4] = { 10, 0, 0, 3 };

enum {
    TYPE_IP4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_VLAN = 0x8100,
    TYPE_IP6 = 0x86dd,
};

typedef struct Cable {
    Machine m;
    Peer peer;
    unsigned vlan;              /* of the firmware; 0: untagged */
    QVirtioPCIDevice *net;      /* the host function, when started */
    QVirtQueue *rx, *tx;
} Cable;

static void cable_open(Cable *c, PeerKind kind, unsigned vlan)
{
    *c = (Cable) { .vlan = vlan };
    peer_open(&c->peer, kind);
    machine_start(&c->m, "%s-device 'smartnic-storage,id=nic0,netdev=n0,"
                  "addr=4,storage-vlan=%u," ADDRESSES "'", c->peer.netdev,
                  vlan);
    peer_started(&c->peer);
}

static void cable_close(Cable *c)
{
    machine_assert_alive(&c->m);
    if (c->net) {
        qvirtqueue_cleanup(c->net->vdev.bus, c->rx, &c->m.alloc);
        qvirtqueue_cleanup(c->net->vdev.bus, c->tx, &c->m.alloc);
        qvirtio_pci_device_disable(c->net);
        g_free(c->net->pdev);
        g_free(c->net);
    }
    machine_stop(&c->m);
    peer_close(&c->peer);
}

/* ---- frames ---- */

static void put(Frame *f, const void *data, size_t len)
{
    g_assert_cmpuint(f->len + len, <=, sizeof(f->data));
    memcpy(f->data + f->len, data, len);
    f->len += len;
}

static void put8(Frame *f, uint8_t v)
{
    put(f, &v, 1);
}

static void put16(Frame *f, uint16_t v)
{
    put8(f, v >> 8);
    put8(f, v);
}

static uint16_t get16(const Frame *f, size_t at)
{
    return f->data[at] << 8 | f->data[at + 1];
}

/* Starts a frame; @vlan 0 is untagged. */
static void put_eth(Frame *f, const uint8_t *dst, const uint8_t *src,
                    unsigned vlan, uint16_t type)
{
    f->len = 0;
    put(f, dst, 6);
    put(f, src, 6);
    if (vlan) {
        put16(f, TYPE_VLAN);
        put16(f, vlan);
    }
    put16(f, type);
}

/* Where the frame's payload begins if it is of @type in @vlan, or 0. */
static size_t payload(const Frame *f, unsigned vlan, uint16_t type)
{
    if (vlan) {
        return f->len >= 18 && get16(f, 12) == TYPE_VLAN &&
               get16(f, 14) == vlan && get16(f, 16) == type ? 18 : 0;
    }
    return get16(f, 12) == type ? 14 : 0;
}

static void put_arp(Frame *f, uint16_t op, const uint8_t *sender_mac,
                    const uint8_t *sender_ip, const uint8_t *target_ip)
{
    put16(f, 1);                /* Ethernet */
    put16(f, TYPE_IP4);
    put8(f, 6);
    put8(f, 4);
    put16(f, op);
    put(f, sender_mac, 6);
    put(f, sender_ip, 4);
    put(f, (uint8_t[6]) { }, 6);
    put(f, target_ip, 4);
    while (f->len < 60) {
        put8(f, 0);
    }
}

static void send_arp(Cable *c, unsigned vlan, const uint8_t *target_ip)
{
    Frame f;

    put_eth(&f, broadcast, peer_mac, vlan, TYPE_ARP);
    put_arp(&f, 1, peer_mac, peer_ip, target_ip);
    peer_send(&c->peer, f.data, f.len);
}

static bool is_arp_reply(const Frame *f, const void *opaque)
{
    const Cable *c = opaque;
    size_t at = payload(f, c->vlan, TYPE_ARP);

    return at && f->len >= at + 28 && get16(f, at + 6) == 2;
}

/* Any ARP reply: in the wrong VLAN, or of another address. */
static bool is_any_arp_reply(const Frame *f, const void *opaque)
{
    size_t at = get16(f, 12) == TYPE_VLAN ? 18 : 14;

    return get16(f, at - 2) == TYPE_ARP && get16(f, at + 6) == 2;
}

/* The firmware's answer to a question about its address, and no other. */
static void expect_arp_reply(Cable *c)
{
    Frame f;
    size_t at;

    peer_receive_matching(&c->peer, &f, is_arp_reply, is_any_arp_reply, c);
    at = payload(&f, c->vlan, TYPE_ARP);
    g_assert_cmpmem(f.data, 6, peer_mac, 6);
    g_assert_cmpmem(f.data + 6, 6, fw_mac, 6);
    g_assert_cmpmem(f.data + at + 8, 6, fw_mac, 6);
    g_assert_cmpmem(f.data + at + 14, 4, fw_ip, 4);
    g_assert_cmpmem(f.data + at + 24, 4, peer_ip, 4);
}

/* RFC 1071, over what is in the frame from @at on */
static uint16_t checksum(const Frame *f, size_t at, uint32_t sum)
{
    for (; at < f->len; at += 2) {
        sum += f->data[at] << 8 | (at + 1 < f->len ? f->data[at + 1] : 0);
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum;
}

static void set16(Frame *f, size_t at, uint16_t v)
{
    f->data[at] = v >> 8;
    f->data[at + 1] = v;
}

/* An ICMP echo request with @n bytes of data. */
static void put_ping(Frame *f, const uint8_t *src_ip, const uint8_t *dst_ip,
                     size_t n)
{
    size_t ip = f->len, icmp = ip + 20;

    put(f, (uint8_t[]) { 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 1, 0, 0 }, 12);
    put(f, src_ip, 4);
    put(f, dst_ip, 4);
    set16(f, ip + 2, 20 + 8 + n);
    set16(f, ip + 10, checksum(f, ip, 0));
    put(f, (uint8_t[]) { 8, 0, 0, 0, 0x12, 0x34, 0, 7 }, 8);
    for (size_t i = 0; i < n; i++) {
        put8(f, i * 7);
    }
    set16(f, icmp + 2, checksum(f, icmp, 0));
}

static bool is_echo_reply(const Frame *f, const void *opaque)
{
    const Cable *c = opaque;
    size_t at = payload(f, c->vlan, TYPE_IP4);

    return at && f->len >= at + 28 && f->data[at + 9] == 1 &&
           f->data[at + 20] == 0;
}

/* ---- the firmware ---- */

static const PeerKind kinds[] = { PEER_STREAM, PEER_DGRAM };

static void test_arp(void)
{
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        Cable c;

        cable_open(&c, kinds[k], 0);
        send_arp(&c, 0, fw_ip);
        expect_arp_reply(&c);
        send_arp(&c, 0, other_ip);
        send_arp(&c, 0, fw_ip);
        expect_arp_reply(&c);
        cable_close(&c);
    }
}

static void test_ping(void)
{
    static const size_t sizes[] = { 0, 1, 56, 1472 };
    Cable c;

    cable_open(&c, PEER_STREAM, 0);
    send_arp(&c, 0, fw_ip);         /* the firmware now knows us */
    expect_arp_reply(&c);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Frame f, reply;

        /* First one that is not for the firmware */
        put_eth(&f, fw_mac, peer_mac, 0, TYPE_IP4);
        put_ping(&f, peer_ip, other_ip, 5);
        peer_send(&c.peer, f.data, f.len);
        put_eth(&f, fw_mac, peer_mac, 0, TYPE_IP4);
        put_ping(&f, peer_ip, fw_ip, sizes[i]);
        peer_send(&c.peer, f.data, f.len);
        peer_receive_matching(&c.peer, &reply, is_echo_reply, NULL, &c);
        g_assert_cmpmem(reply.data + 6, 6, fw_mac, 6);
        g_assert_cmpmem(reply.data + 26, 4, fw_ip, 4);
        g_assert_cmpmem(reply.data + 30, 4, peer_ip, 4);
        reply.len = MIN(reply.len, f.len);          /* padding */
        g_assert_cmpuint(checksum(&reply, 34, 0), ==, 0);
        g_assert_cmpmem(reply.data + 38, reply.len - 38, f.data + 38,
                        f.len - 38);
    }
    cable_close(&c);
}

/* fe80::5054:ff:fe00:22, from the firmware's MAC (RFC 4291 appendix A) */
static const uint8_t fw_ip6[16] = {
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0, 0, 0x22,
};
static const uint8_t peer_ip6[16] = {
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0, 0, 0x99,
};

static bool is_advertisement(const Frame *f, const void *opaque)
{
    const Cable *c = opaque;
    size_t at = payload(f, c->vlan, TYPE_IP6);

    return at && f->len >= at + 64 && f->data[at + 6] == 58 &&
           f->data[at + 40] == 136 && !memcmp(f->data + at + 24, peer_ip6, 16);
}

/* RFC 4861 section 4.3: who has the firmware's link-local address? */
static void send_solicitation(Cable *c)
{
    size_t icmp = ETH_HLEN + 40;
    Frame f;

    put_eth(&f, (uint8_t[]) { 0x33, 0x33, 0xff, 0, 0, 0x22 }, peer_mac, 0,
            TYPE_IP6);
    put(&f, (uint8_t[]) { 0x60, 0, 0, 0, 0, 32, 58, 255 }, 8);
    put(&f, peer_ip6, 16);
    put(&f, (uint8_t[]) { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0,
                          0x22 }, 16);
    put(&f, (uint8_t[]) { 135, 0, 0, 0, 0, 0, 0, 0 }, 8);
    put(&f, fw_ip6, 16);
    put(&f, (uint8_t[]) { 1, 1 }, 2);       /* source link-layer address */
    put(&f, peer_mac, 6);
    /* Pseudo header (RFC 8200 section 8.1): addresses, length, protocol */
    set16(&f, icmp + 2, checksum(&f, ETH_HLEN + 8, 32 + 58));
    peer_send(&c->peer, f.data, f.len);
}

static bool is_any(const Frame *f, const void *opaque)
{
    return true;
}

static void test_neighbour(void)
{
    Cable c;
    Frame f;

    cable_open(&c, PEER_STREAM, 0);
    /*
     * The firmware first asks whether somebody else has its address (RFC 4862
     * section 5.4) and answers only then. So ask again at each frame it sends
     * by itself, and whenever the question is over.
     */
    do {
        send_solicitation(&c);
        send_arp(&c, 0, fw_ip);
        peer_receive_matching(&c.peer, &f, is_any, NULL, NULL);
    } while (!is_advertisement(&f, &c));
    g_assert_cmpmem(f.data + 6, 6, fw_mac, 6);
    g_assert_cmpmem(f.data + ETH_HLEN + 8, 16, fw_ip6, 16);
    g_assert_cmpmem(f.data + ETH_HLEN + 48, 16, fw_ip6, 16);
    g_assert_cmpmem(f.data + ETH_HLEN + 64 + 2, 6, fw_mac, 6);
    cable_close(&c);
}

static void test_vlan(void)
{
    Cable c;
    Frame f, reply;

    cable_open(&c, PEER_STREAM, 100);
    send_arp(&c, 0, fw_ip);             /* not in the firmware's VLAN */
    send_arp(&c, 101, fw_ip);
    send_arp(&c, 100, fw_ip);
    expect_arp_reply(&c);               /* tagged */
    put_eth(&f, fw_mac, peer_mac, 100, TYPE_IP4);
    put_ping(&f, peer_ip, fw_ip, 100);
    peer_send(&c.peer, f.data, f.len);
    peer_receive_matching(&c.peer, &reply, is_echo_reply, NULL, &c);
    g_assert_cmpuint(checksum(&reply, 38, 0), ==, 0);
    cable_close(&c);
}

/* Frames that are too short, too long or nonsense; then a question. */
static void test_malformed(void)
{
    Cable c;
    Frame f;

    cable_open(&c, PEER_DGRAM, 0);
    for (size_t len = 1; len <= 64; len++) {
        put_eth(&f, fw_mac, peer_mac, 0, len % 2 ? TYPE_IP4 : TYPE_ARP);
        put_ping(&f, peer_ip, fw_ip, 64);
        peer_send(&c.peer, f.data, len);
    }
    for (unsigned i = 0; i < 500; i++) {
        put_eth(&f, g_test_rand_bit() ? fw_mac : broadcast, peer_mac, 0,
                (uint16_t[]) { TYPE_IP4, TYPE_ARP, TYPE_IP6, TYPE_VLAN,
                               0x0600 }[g_test_rand_int_range(0, 5)]);
        if (g_test_rand_bit()) {
            put_ping(&f, peer_ip, fw_ip, 20);
            f.data[g_test_rand_int_range(14, f.len)] = g_test_rand_int();
        }
        while (f.len < g_test_rand_int_range(20, 1514)) {
            put8(&f, g_test_rand_int());
        }
        peer_send(&c.peer, f.data, f.len);
        if (i % 50 == 0) {              /* do not overfill the socket */
            machine_assert_alive(&c.m);
        }
    }
    memset(&f, 0xff, sizeof(f));
    peer_send(&c.peer, f.data, FRAME_MAX);
    send_arp(&c, 0, fw_ip);
    expect_arp_reply(&c);
    cable_close(&c);
}

/* A link that is down carries nothing; afterwards all is as before. */
static void test_link_down(void)
{
    Cable c;

    cable_open(&c, PEER_STREAM, 0);
    for (unsigned i = 0; i < 3; i++) {
        qtest_qmp_assert_success(c.m.qts, "{ 'execute': 'set_link',"
                                 "'arguments': { 'name': 'n0',"
                                 "'up': false } }");
        qtest_qmp_assert_success(c.m.qts, "{ 'execute': 'set_link',"
                                 "'arguments': { 'name': 'n0',"
                                 "'up': true } }");
        send_arp(&c, 0, fw_ip);
        expect_arp_reply(&c);
    }
    cable_close(&c);
}

/*
 * While the VM is stopped the netdev takes nothing, but the firmware's clock
 * runs on. What it sends then (here: what it says whenever its link comes up)
 * must not pile up, nor all leave when the VM continues.
 */
static void test_stopped(void)
{
    const unsigned limit = 64;
    uint64_t sent;
    Cable c;

    cable_open(&c, PEER_STREAM, 0);
    qtest_qmp_assert_success(c.m.qts, "{ 'execute': 'stop' }");
    for (unsigned i = 0; i < 200; i++) {
        qtest_qmp_assert_success(c.m.qts, "{ 'execute': 'set_link',"
                                 "'arguments': { 'name': 'n0', 'up': %i } }",
                                 i % 2);
    }
    g_assert_cmpuint(machine_get_uint(&c.m, "/machine/peripheral/nic0",
                                      "uplink-tx-dropped"), >, 0);
    sent = machine_get_uint(&c.m, "/machine/peripheral/nic0",
                            "uplink-tx-frames");
    g_assert_cmpuint(sent, <=, limit + 20);     /* some left before */
    qtest_qmp_assert_success(c.m.qts, "{ 'execute': 'cont' }");
    send_arp(&c, 0, fw_ip);
    expect_arp_reply(&c);
    cable_close(&c);
}

/* ---- the host function ---- */

#define RX_BUFFERS 8

static void start_net(Cable *c)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(4, 1) };
    QVirtioDevice *dev;

    c->net = virtio_pci_new(c->m.bus, &addr);
    g_assert_nonnull(c->net);
    dev = &c->net->vdev;
    qvirtio_pci_device_enable(c->net);
    qvirtio_start_device(dev);
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                         (1ULL << VIRTIO_F_VERSION_1 |
                          1ULL << VIRTIO_NET_F_MAC |
                          1ULL << VIRTIO_NET_F_STATUS));
    c->rx = qvirtqueue_setup(dev, &c->m.alloc, 0);
    c->tx = qvirtqueue_setup(dev, &c->m.alloc, 1);
    qvirtio_set_driver_ok(dev);
    for (unsigned i = 0; i < RX_BUFFERS; i++) {
        uint64_t buf = guest_alloc(&c->m.alloc, FRAME_MAX);
        uint32_t head = qvirtqueue_add(c->m.qts, c->rx, buf, FRAME_MAX, true,
                                       false);

        qvirtqueue_kick(c->m.qts, dev, c->rx, head);
    }
}

/* Virtio 1.2 section 5.1.6: all zeroes for a plain frame */
#define NET_HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)

static void guest_receive(Cable *c, Frame *f)
{
    gint64 deadline = machine_deadline();
    uint32_t head, len;
    uint64_t addr;

    while (!qvirtqueue_get_buf(c->m.qts, c->rx, &head, &len)) {
        if (!machine_before(deadline)) {
            g_error("no frame for the guest");
        }
    }
    g_assert_cmpuint(len, >, NET_HEADER);
    addr = qtest_readq(c->m.qts, c->rx->desc + 16 * head);
    f->len = len - NET_HEADER;
    qtest_memread(c->m.qts, addr + NET_HEADER, f->data, f->len);
    qvirtqueue_kick(c->m.qts, &c->net->vdev, c->rx, head);
}

static void guest_send(Cable *c, const Frame *f)
{
    uint64_t buf = guest_alloc(&c->m.alloc, NET_HEADER + f->len);
    uint32_t head = qvirtqueue_add(c->m.qts, c->tx, buf, NET_HEADER + f->len,
                                   false, false);
    gint64 deadline = machine_deadline();

    qtest_memset(c->m.qts, buf, 0, NET_HEADER);
    qtest_memwrite(c->m.qts, buf + NET_HEADER, f->data, f->len);
    qvirtqueue_kick(c->m.qts, &c->net->vdev, c->tx, head);
    while (!qvirtqueue_get_buf(c->m.qts, c->tx, NULL, NULL)) {
        if (!machine_before(deadline)) {
            g_error("the guest's frame was not taken");
        }
    }
    guest_free(&c->m.alloc, buf);
}

/* A frame that only this test can mean. */
static void put_marked(Frame *f, const uint8_t *dst, const uint8_t *src,
                       unsigned vlan, uint8_t mark)
{
    put_eth(f, dst, src, vlan, 0x88b5);     /* for local experiments */
    while (f->len < 100) {
        put8(f, mark);
    }
}

static bool is_marked(const Frame *f, const void *opaque)
{
    return f->len == 100 && get16(f, 12) == 0x88b5;
}

/* Skips what the firmware says by itself. */
static void guest_receive_marked(Cable *c, Frame *f)
{
    do {
        guest_receive(c, f);
    } while (!is_marked(f, NULL) && get16(f, 12) != TYPE_VLAN);
}

static void test_to_guest(void)
{
    Cable c;
    Frame f, got;

    cable_open(&c, PEER_STREAM, 0);
    start_net(&c);
    put_marked(&f, host_mac, peer_mac, 0, 1);
    peer_send(&c.peer, f.data, f.len);
    guest_receive_marked(&c, &got);
    g_assert_cmpmem(f.data, f.len, got.data, got.len);

    /* For the firmware: not the guest's; a broadcast is for both */
    put_marked(&f, fw_mac, peer_mac, 0, 2);
    peer_send(&c.peer, f.data, f.len);
    put_marked(&f, broadcast, peer_mac, 0, 3);
    peer_send(&c.peer, f.data, f.len);
    guest_receive_marked(&c, &got);
    g_assert_cmpmem(f.data, f.len, got.data, got.len);
    cable_close(&c);
}

static void test_from_guest(void)
{
    Cable c;
    Frame f, got;

    cable_open(&c, PEER_STREAM, 0);
    start_net(&c);
    for (uint8_t i = 0; i < 5; i++) {
        put_marked(&f, i % 2 ? broadcast : peer_mac, host_mac, 0, i);
        guest_send(&c, &f);
        peer_receive_matching(&c.peer, &got, is_marked, NULL, NULL);
        g_assert_cmpmem(f.data, f.len, got.data, got.len);
    }
    cable_close(&c);
}

/* The guest may not speak with the firmware's addresses. */
static void test_guest_spoofing(void)
{
    Cable c;
    Frame f, got;

    cable_open(&c, PEER_STREAM, 0);
    start_net(&c);
    put_marked(&f, peer_mac, fw_mac, 0, 1);         /* its MAC */
    guest_send(&c, &f);
    put_eth(&f, broadcast, host_mac, 0, TYPE_ARP);  /* its IP in ARP */
    put_arp(&f, 2, host_mac, fw_ip, peer_ip);
    guest_send(&c, &f);
    put_eth(&f, peer_mac, host_mac, 0, TYPE_IP4);   /* and in a packet */
    put_ping(&f, fw_ip, peer_ip, 10);
    guest_send(&c, &f);

    put_marked(&f, peer_mac, host_mac, 0, 2);
    guest_send(&c, &f);
    peer_receive_matching(&c.peer, &got, is_marked, is_any_arp_reply, NULL);
    g_assert_cmpmem(f.data, f.len, got.data, got.len);
    g_assert_cmpuint(machine_get_uint(&c.m, "/machine/peripheral/nic0",
                                      "host-rx-dropped"), ==, 3);
    cable_close(&c);
}

/* The storage VLAN is the firmware's alone; other VLANs are the guest's. */
static void test_guest_vlan(void)
{
    Cable c;
    Frame f, got;

    cable_open(&c, PEER_STREAM, 100);
    start_net(&c);
    put_marked(&f, host_mac, peer_mac, 100, 1);
    peer_send(&c.peer, f.data, f.len);
    put_marked(&f, broadcast, peer_mac, 100, 2);
    peer_send(&c.peer, f.data, f.len);
    put_marked(&f, host_mac, peer_mac, 101, 3);
    peer_send(&c.peer, f.data, f.len);
    guest_receive_marked(&c, &got);
    g_assert_cmpmem(f.data, f.len, got.data, got.len);

    put_marked(&f, peer_mac, host_mac, 100, 4);
    guest_send(&c, &f);
    put_marked(&f, peer_mac, host_mac, 0, 5);
    guest_send(&c, &f);
    peer_receive_matching(&c.peer, &got, is_marked, NULL, NULL);
    g_assert_cmpmem(f.data, f.len, got.data, got.len);
    g_assert_cmpuint(machine_get_uint(&c.m, "/machine/peripheral/nic0",
                                      "host-rx-dropped"), ==, 1);
    cable_close(&c);
}

/* A guest that takes no packets does not stop the firmware's. */
static void test_guest_stuck(void)
{
    Cable c;
    Frame f;

    cable_open(&c, PEER_STREAM, 0);
    start_net(&c);
    for (unsigned i = 0; i < 1000; i++) {
        put_marked(&f, host_mac, peer_mac, 0, i);
        peer_send(&c.peer, f.data, f.len);
        if (i % 50 == 0) {
            machine_assert_alive(&c.m);
        }
    }
    send_arp(&c, 0, fw_ip);
    expect_arp_reply(&c);
    g_assert_cmpuint(machine_get_uint(&c.m, "/machine/peripheral/nic0",
                                      "host-tx-dropped"), >, 0);
    cable_close(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/netdev/arp", test_arp);
    g_test_add_func("/netdev/ping", test_ping);
    g_test_add_func("/netdev/neighbour", test_neighbour);
    g_test_add_func("/netdev/vlan", test_vlan);
    g_test_add_func("/netdev/malformed", test_malformed);
    g_test_add_func("/netdev/link-down", test_link_down);
    g_test_add_func("/netdev/stopped", test_stopped);
    g_test_add_func("/netdev/to-guest", test_to_guest);
    g_test_add_func("/netdev/from-guest", test_from_guest);
    g_test_add_func("/netdev/guest-spoofing", test_guest_spoofing);
    g_test_add_func("/netdev/guest-vlan", test_guest_vlan);
    g_test_add_func("/netdev/guest-stuck", test_guest_stuck);
    return g_test_run();
}
