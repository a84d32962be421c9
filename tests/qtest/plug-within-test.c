/*
 * Cards that a guest unplugs from within what the card does for it, where that
 * is deep in QEMU: while a packet is delivered, and with a main loop in
 * between, as the reset of a stock disk with a request in flight has one.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_net.h"
#include "standard-headers/linux/virtio_pci.h"

#include "disk.h"
#include "peer.h"
#include "slot.h"
#include "target.h"

/* A disk of QEMU's own whose requests take a while. */
#define SLOW_DISK \
    "-blockdev null-co,node-name=slow,size=1048576,latency-ns=200000000 " \
    "-device virtio-blk-pci,drive=slow,addr=7 "
#define SLOW_DEVFN QPCI_DEVFN(7, 0)

/*
 * A frame to it begins with what takes a slot's power away, as a little-endian
 * number, and goes on with a zero.
 */
#define MAC "00:07:00:00:00:01"
static const uint8_t frame[64] = {
    SLOT_POWER_OFF & 0xff, SLOT_POWER_OFF >> 8, 0, 0, 0, 1,
    0x52, 0x54, 0, 0x12, 0x34, 0x99, 0x88, 0xb5,
};
#define MEM "mem://?size=1M"
#define NET_HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)

typedef struct Bed {
    Machine m;
    Peer peer;
    Slot slot;
    uint64_t control;           /* address of the slot's control register */
    Disk slow;
    uint64_t status;            /* address of its device_status */
    Disk net;                   /* the card's network function; queue 0 */
} Bed;

static void bed_open(Bed *b)
{
    peer_open(&b->peer, PEER_DGRAM);
    machine_start(&b->m, SLOT SLOW_DISK "-netdev user,id=n1 %s",
                  b->peer.netdev);
    peer_started(&b->peer);
    slot_open(&b->slot, &b->m);
    b->control = slot_control_address(&b->slot);
    disk_open(&b->slow, &b->m, SLOW_DEVFN);
    b->status = b->slow.pci->bar.addr + b->slow.pci->common_cfg_offset +
                offsetof(struct virtio_pci_common_cfg, device_status);
}

static void bed_close(Bed *b)
{
    machine_assert_alive(&b->m);
    disk_close(&b->slow);
    slot_close(&b->slot);
    machine_stop(&b->m);
    peer_close(&b->peer);
}

static void plug(Bed *b, const char *netdev, const char *volume)
{
    qtest_qmp_device_add(b->m.qts, "smartnic-storage", "nic0",
                         "{ 'netdev': %s, 'bus': 'port0', 'mac': %s,"
                         "'function': 'virtio-blk', 'volume': %s }", netdev,
                         MAC, volume);
    slot_set_power(&b->slot, true);
    machine_wait_string(&b->m, VOLUME_PATH, "volume-state", "ready");
}

/* Its reset has something to wait for. */
static void keep_slow_disk_busy(Bed *b)
{
    disk_start(&b->slow, 0, 1);
    disk_offer_reads(&b->slow, 1);
}

static void wait_gone(Bed *b, Disk *disk)
{
    machine_wait_deleted(&b->m, "nic0");
    machine_assert_alive(&b->m);
    /* Only the driver's own memory is left. */
    g_free(disk->pci->pdev);
    g_free(disk->vq[0]);
    g_free(disk->pci);
}

static void start_net(Bed *b)
{
    Disk *net = &b->net;

    disk_open(net, &b->m, SLOT_DEVFN(1));
    net->dev->bus->set_status(net->dev, 0);
    net->dev->bus->set_status(net->dev, VIRTIO_CONFIG_S_ACKNOWLEDGE |
                                        VIRTIO_CONFIG_S_DRIVER);
    qvirtio_set_features(net->dev, qvirtio_get_features(net->dev) &
                         (1ULL << VIRTIO_F_VERSION_1 |
                          1ULL << VIRTIO_NET_F_MAC));
    net->vq[0] = qvirtqueue_setup(net->dev, &b->m.alloc, 0);
    net->queues = 1;
}

/* The interrupt for a packet is a write to the slot's control register. */
static void test_packet_interrupt(void)
{
    Bed b;

    bed_open(&b);
    for (unsigned i = 0; i < 3; i++) {
        QPCIDevice *pci;
        uint64_t entry;

        plug(&b, "n0", MEM);
        start_net(&b);
        pci = b.net.pci->pdev;
        qpci_msix_enable(pci);
        qvirtqueue_pci_msix_setup(b.net.pci,
                                  container_of(b.net.vq[0], QVirtQueuePCI, vq),
                                  &b.m.alloc, 1);
        entry = pci->msix_table_off + PCI_MSIX_ENTRY_SIZE;
        qpci_io_writel(pci, pci->msix_table_bar,
                       entry + PCI_MSIX_ENTRY_LOWER_ADDR, b.control);
        qpci_io_writel(pci, pci->msix_table_bar,
                       entry + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
        qpci_io_writel(pci, pci->msix_table_bar, entry + PCI_MSIX_ENTRY_DATA,
                       SLOT_POWER_OFF);
        qvirtio_set_driver_ok(b.net.dev);
        disk_put_chain(&b.net, 0, &(Desc) { b.net.buffer, FRAME_MAX,
                                            VRING_DESC_F_WRITE }, 1);
        disk_offer(&b.net, 0, 0);
        peer_send(&b.peer, frame, sizeof(frame));
        wait_gone(&b, &b.net);
    }
    bed_close(&b);
}

/*
 * The data of a read unplugs the card, and then resets the slow disk, whose
 * main loop must not take the card down: its volume is on the stack, and the
 * firmware that received the answer.
 */
static void test_data_and_reset(void)
{
    static const uint8_t data[SECTOR] = {
        SLOT_POWER_OFF & 0xff, SLOT_POWER_OFF >> 8, 0,
    };
    g_autofree char *remote = NULL;
    Target target;
    Bed b;

    target_start(&target);
    remote = g_strdup_printf("nvme+tcp://%s/" TARGET_NQN, target.address);
    bed_open(&b);
    for (unsigned i = 0; i < 4; i++) {
        Disk disk;

        plug(&b, "n1", i % 2 ? MEM : remote);
        keep_slow_disk_busy(&b);
        disk_open(&disk, &b.m, SLOT_DEVFN(2));
        disk_start(&disk, 0, 1);
        g_assert_cmpuint(disk_request(&disk, 0, VIRTIO_BLK_T_OUT, 0,
                                      (void *)data, SECTOR, NULL), ==,
                         VIRTIO_BLK_S_OK);
        disk_put_header(&disk, VIRTIO_BLK_T_IN, 0);
        disk_put_chain(&disk, 0, (Desc[]) {
            { disk.header, 16 },
            { b.control, 2, VRING_DESC_F_WRITE },
            { b.status, 1, VRING_DESC_F_WRITE },
            { disk.buffer, SECTOR - 3, VRING_DESC_F_WRITE },
            { disk.status, 1, VRING_DESC_F_WRITE },
        }, 5);
        disk_offer(&disk, 0, 0);
        wait_gone(&b, &disk);
    }
    bed_close(&b);
    target_stop(&target);
}

/* A frame that resets the slow disk while it is under way in the switch. */
static void test_packet_and_reset(void)
{
    Bed b;

    bed_open(&b);
    plug(&b, "n0", MEM);
    start_net(&b);
    qvirtio_set_driver_ok(b.net.dev);
    for (unsigned i = 0; i < 3; i++) {
        keep_slow_disk_busy(&b);
        disk_put_chain(&b.net, 0, (Desc[]) {
            { b.net.header, NET_HEADER, VRING_DESC_F_WRITE },
            { b.net.buffer, 2, VRING_DESC_F_WRITE },
            { b.status, 1, VRING_DESC_F_WRITE },
            { b.net.buffer, FRAME_MAX, VRING_DESC_F_WRITE },
        }, 4);
        disk_offer(&b.net, 0, 0);
        peer_send(&b.peer, frame, sizeof(frame));
        g_assert_cmpuint(disk_wait(&b.net, 0, 0), ==,
                         NET_HEADER + sizeof(frame));
        g_assert_cmphex(disk_device_status(&b.slow), ==, 0);
    }
    disk_close(&b.net);
    bed_close(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plug-within/packet-interrupt", test_packet_interrupt);
    g_test_add_func("/plug-within/data-and-reset", test_data_and_reset);
    g_test_add_func("/plug-within/packet-and-reset", test_packet_and_reset);
    return g_test_run();
}
