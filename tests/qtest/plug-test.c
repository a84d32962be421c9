/*
 * Cards that come and go: behind a PCI Express port, in every state of the
 * volume, with requests in flight, and from within what the card itself does.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/pci_regs.h"

#include "disk.h"
#include "slot.h"

#define NETDEV "-netdev hubport,id=n0,hubid=0 "
#define MEM "mem://?size=64M"
/* An address that nobody answers for: connecting for ever. */
#define UNREACHABLE "nvme+tcp://10.0.0.9/nqn.2026-11.test:none"
/* Its first two bytes, as a little-endian number, take a slot's power away. */
#define SERIAL "a\a"
#define PATIENT "-global smartnic-virtio-blk-device.ready-timeout=3600000 "

static void plug(Machine *m, Slot *slot, const char *volume)
{
    qtest_qmp_device_add(m->qts, "smartnic-storage", "nic0",
                         "{ 'netdev': 'n0', 'bus': 'port0',"
                         "'function': 'virtio-blk',"
                         "'ip': '10.0.0.2/24', 'volume': %s,"
                         "'serial': %s }", volume, SERIAL);
    slot_set_power(slot, true);
}

/* The driver of a disk that is gone: only its own memory is left. */
static void forget_disk(Disk *disk)
{
    g_free(disk->pci->pdev);
    g_free(disk->vq[0]);
    g_free(disk->pci);
}

/* device_del asks, and the guest lets go, with requests in flight. */
static void test_root_port(void)
{
    static const char *const volumes[] = { MEM, UNREACHABLE, MEM };
    Machine m;
    Slot slot;

    machine_start(&m, PATIENT SLOT NETDEV);
    slot_open(&slot, &m);
    for (unsigned i = 0; i < 3 * G_N_ELEMENTS(volumes); i++) {
        Disk disk;

        plug(&m, &slot, volumes[i % G_N_ELEMENTS(volumes)]);
        disk_open(&disk, &m, SLOT_DEVFN(2));
        disk_start(&disk, 0, 1);
        disk_offer_reads(&disk, 4);
        qtest_qmp_device_del_send(m.qts, "nic0");
        machine_assert_alive(&m);
        slot_set_power(&slot, false);
        machine_wait_deleted(&m, "nic0");
        g_assert_null(qpci_device_find(m.bus, SLOT_DEVFN(2)));
        forget_disk(&disk);
    }
    slot_close(&slot);
    machine_stop(&m);
}

/* What else may be going on in the moment of the unplugging. */
static void test_meanwhile(void)
{
    static const char *const commands[] = {
        "{ 'execute': 'stop' }",
        "{ 'execute': 'set_link', 'arguments': { 'name': 'n0', 'up': false }}",
        "{ 'execute': 'set_link', 'arguments': { 'name': 'n0', 'up': true }}",
        "{ 'execute': 'cont' }",
    };
    Machine m;
    Slot slot;

    machine_start(&m, PATIENT SLOT NETDEV);
    slot_open(&slot, &m);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(commands); i++) {
        Disk disk;

        plug(&m, &slot, i % 2 ? UNREACHABLE : MEM);
        disk_open(&disk, &m, SLOT_DEVFN(2));
        disk_start(&disk, 0, 1);
        disk_offer_reads(&disk, 4);
        qtest_qmp_assert_success(m.qts, commands[i % G_N_ELEMENTS(commands)]);
        slot_set_power(&slot, false);
        machine_wait_deleted(&m, "nic0");
        forget_disk(&disk);
    }
    machine_assert_alive(&m);
    slot_close(&slot);
    machine_stop(&m);
}

/* A reset of the machine leaves a card that works. */
static void test_system_reset(void)
{
    Machine m;
    Slot slot;
    Disk disk;

    machine_start(&m, PATIENT SLOT NETDEV "-device smartnic-storage,id=nic0,"
                  "netdev=n0,bus=port0,function=virtio-blk,"
                  "volume=" MEM);
    for (unsigned i = 0; i < 5; i++) {
        slot_open(&slot, &m);
        disk_open(&disk, &m, SLOT_DEVFN(2));
        disk_assert_works(&disk);
        disk_offer_reads(&disk, 4);
        qtest_system_reset(m.qts);
        forget_disk(&disk);
        slot_close(&slot);
    }
    machine_stop(&m);
}

/* An interrupt of the card is a write of SLOT_POWER_OFF to @address. */
static void direct_interrupt(QPCIDevice *pci, unsigned entry, uint64_t address)
{
    uint64_t at = pci->msix_table_off + entry * PCI_MSIX_ENTRY_SIZE;

    qpci_io_writel(pci, pci->msix_table_bar, at + PCI_MSIX_ENTRY_LOWER_ADDR,
                   address);
    qpci_io_writel(pci, pci->msix_table_bar, at + PCI_MSIX_ENTRY_UPPER_ADDR,
                   0);
    qpci_io_writel(pci, pci->msix_table_bar, at + PCI_MSIX_ENTRY_DATA,
                   SLOT_POWER_OFF);
}

/*
 * The interrupt of a request is a write to the slot's control register: the
 * card disappears while it raises it.
 */
static void test_from_interrupt(void)
{
    Machine m;
    Slot slot;

    machine_start(&m, SLOT NETDEV);
    slot_open(&slot, &m);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t address = slot_control_address(&slot);
        Disk disk;
        QPCIDevice *pci;

        plug(&m, &slot, MEM);
        machine_wait_string(&m, VOLUME_PATH, "volume-state", "ready");
        disk_open(&disk, &m, SLOT_DEVFN(2));
        pci = disk.pci->pdev;
        qpci_msix_enable(pci);
        disk_start(&disk, 0, 1);
        qvirtqueue_pci_msix_setup(disk.pci,
                                  container_of(disk.vq[0], QVirtQueuePCI, vq),
                                  &m.alloc, 1);
        direct_interrupt(pci, 1, address);
        disk_offer_reads(&disk, i % 2 ? 1 : 4);
        machine_wait_deleted(&m, "nic0");
        machine_assert_alive(&m);
        forget_disk(&disk);
    }
    slot_close(&slot);
    machine_stop(&m);
}

/* A request that breaks the device, which raises an interrupt to say so. */
static void test_from_error(void)
{
    uint64_t address;
    Machine m;
    Slot slot;
    Disk disk;

    machine_start(&m, SLOT NETDEV);
    slot_open(&slot, &m);
    address = slot_control_address(&slot);
    plug(&m, &slot, MEM);
    machine_wait_string(&m, VOLUME_PATH, "volume-state", "ready");
    disk_open(&disk, &m, SLOT_DEVFN(2));
    qpci_msix_enable(disk.pci->pdev);
    disk_start(&disk, 0, 1);
    qvirtio_pci_set_msix_configuration_vector(disk.pci, &m.alloc, 0);
    direct_interrupt(disk.pci->pdev, 0, address);
    disk_put_desc(&disk, 0, 0, (Desc) { disk.status, 1, VRING_DESC_F_WRITE });
    disk_offer(&disk, 0, 0);
    machine_wait_deleted(&m, "nic0");
    machine_assert_alive(&m);
    forget_disk(&disk);
    slot_close(&slot);
    machine_stop(&m);
}

/* A chain of @type whose first two bytes of data go to @address. */
static void put_split_chain(Disk *disk, unsigned d, uint64_t address,
                            uint32_t type)
{
    uint32_t len = type == VIRTIO_BLK_T_IN ? SECTOR : VIRTIO_BLK_ID_BYTES;
    Desc chain[] = {
        { disk->header, 16 },
        { address, 2, VRING_DESC_F_WRITE },
        { disk->buffer, len - 2, VRING_DESC_F_WRITE },
        { disk->status, 1, VRING_DESC_F_WRITE },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(chain); i++) {
        if (i + 1 < G_N_ELEMENTS(chain)) {
            chain[i].flags |= VRING_DESC_F_NEXT;
            chain[i].next = d + i + 1;
        }
        disk_put_desc(disk, 0, d + i, chain[i]);
    }
}

/*
 * Data goes to the slot's control register: what the device wrote is brought
 * there when QEMU unmaps the request, in the middle of completing it, with more
 * requests behind it. A read completes out of the volume, the question for the
 * serial number while the queue is being handled.
 */
static void check_from_completion(uint32_t type)
{
    uint8_t data[SECTOR] = {
        SLOT_POWER_OFF & 0xff, SLOT_POWER_OFF >> 8,
    };
    Machine m;
    Slot slot;

    machine_start(&m, SLOT NETDEV);
    slot_open(&slot, &m);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t address = slot_control_address(&slot);
        Disk disk;

        plug(&m, &slot, MEM);
        machine_wait_string(&m, VOLUME_PATH, "volume-state", "ready");
        disk_open(&disk, &m, SLOT_DEVFN(2));
        disk_start(&disk, 0, 1);
        g_assert_cmpuint(disk_request(&disk, 0, VIRTIO_BLK_T_OUT, 0, data,
                                      SECTOR, NULL), ==, VIRTIO_BLK_S_OK);
        disk_put_header(&disk, type, 0);
        for (unsigned r = 0; r < 3; r++) {
            put_split_chain(&disk, 4 * r, r == i % 3 ? address : disk.buffer,
                            type);
            /* All in one batch, behind the write */
            qtest_writew(m.qts, disk.vq[0]->avail + 4 + 2 * (1 + r), 4 * r);
        }
        qtest_writew(m.qts, disk.vq[0]->avail + 2, 4);
        disk.dev->bus->virtqueue_kick(disk.dev, disk.vq[0]);
        machine_wait_deleted(&m, "nic0");
        machine_assert_alive(&m);
        forget_disk(&disk);
    }
    slot_close(&slot);
    machine_stop(&m);
}

static void test_from_completion(void)
{
    check_from_completion(VIRTIO_BLK_T_IN);
}

static void test_from_queue(void)
{
    check_from_completion(VIRTIO_BLK_T_GET_ID);
}

/*
 * QEMU's pool has 169 addresses, and a card that is gone, or was refused, has
 * none of them; nor is it in the slot.
 */
static void test_macs_come_back(void)
{
    g_autofree char *first = NULL;
    Machine m;
    Slot slot;

    machine_start(&m, SLOT NETDEV);
    slot_open(&slot, &m);
    for (unsigned i = 0; i < 10; i++) {
        g_autofree char *mac = NULL;

        /* One that is given and one that is refused take none either. */
        if (i % 3 == 1) {
            qtest_qmp_device_add(m.qts, "smartnic-storage", "nic0",
                                 "{ 'netdev': 'n0', 'bus': 'port0',"
                                 "'mac': '52:54:00:12:34:56',"
                                 "'storage-mac': '52:54:00:12:34:57' }");
        } else if (i % 3 == 2) {
            QDict *rsp = qtest_qmp(m.qts, "{ 'execute': 'device_add',"
                "'arguments': { 'driver': 'smartnic-storage', 'id': 'nic0',"
                "'netdev': 'n0', 'bus': 'port0', 'volume': 'x' } }");

            g_assert_true(qdict_haskey(rsp, "error"));
            qobject_unref(rsp);
            g_assert_false(slot_is_occupied(&slot));
            continue;
        } else {
            plug(&m, &slot, MEM);
        }
        mac = machine_get_string(&m, CARD_PATH, "storage-mac-address");
        if (!first) {
            first = g_strdup(mac);
        }
        g_assert_cmpstr(mac, ==, first);
        g_assert_true(slot_is_occupied(&slot));
        slot_set_power(&slot, true);
        slot_set_power(&slot, false);
        machine_wait_deleted(&m, "nic0");
    }
    slot_close(&slot);
    machine_stop(&m);
}

/* Cards on one wire and in one subnet; one goes, the others go on. */
static void test_neighbours(void)
{
    Machine m;
    Disk disk;
    Slot slot;

    machine_start(&m, SLOT NETDEV "-netdev hubport,id=n1,hubid=0 "
                  "-netdev hubport,id=n2,hubid=0 "
                  "-device smartnic-storage,id=nic1,netdev=n1,addr=6,"
                  "ip=10.0.0.3/24,function=virtio-blk,volume=" UNREACHABLE " "
                  "-device smartnic-storage,id=nic2,netdev=n2,addr=7,"
                  "ip=10.0.0.4/24,function=virtio-blk,volume=" MEM);
    slot_open(&slot, &m);
    for (unsigned i = 0; i < 4; i++) {
        plug(&m, &slot, i % 2 ? UNREACHABLE : MEM);
        disk_open(&disk, &m, QPCI_DEVFN(7, 2));
        disk_assert_works(&disk);
        slot_set_power(&slot, false);
        machine_wait_deleted(&m, "nic0");
        disk_assert_works(&disk);
        disk_close(&disk);
    }
    slot_close(&slot);
    machine_stop(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plug/root-port", test_root_port);
    g_test_add_func("/plug/meanwhile", test_meanwhile);
    g_test_add_func("/plug/system-reset", test_system_reset);
    g_test_add_func("/plug/from-interrupt", test_from_interrupt);
    g_test_add_func("/plug/from-completion", test_from_completion);
    g_test_add_func("/plug/from-queue", test_from_queue);
    g_test_add_func("/plug/from-error", test_from_error);
    g_test_add_func("/plug/macs-come-back", test_macs_come_back);
    g_test_add_func("/plug/neighbours", test_neighbours);
    return g_test_run();
}
