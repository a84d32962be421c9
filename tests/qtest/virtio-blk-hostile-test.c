/*
 * The virtio-blk storage function and a guest that breaks every rule. After
 * each case QEMU is alive, and the disk works once the guest has reset it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_pci.h"

#include "disk.h"

#define W VRING_DESC_F_WRITE
#define NEXT VRING_DESC_F_NEXT
#define TABLE VRING_DESC_F_INDIRECT

/* Far beyond the machine's memory and its PCI windows. */
#define NOWHERE 0x7fff00000000ULL

/* What the device makes of a broken chain. */
typedef enum Outcome {
    BROKEN,             /* nothing more until it is reset: section 2.1.2 */
    IOERR,              /* completes with that status */
    ANY,                /* either of these, or success, or a reset */
} Outcome;

static bool is_broken(Disk *disk)
{
    return disk_device_status(disk) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* A guest may let the device write into its own registers, and reset it. */
static bool was_reset(Disk *disk)
{
    return !(disk_device_status(disk) & VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Waits until the device has either used a chain or given up. */
static Outcome outcome(Disk *disk)
{
    gint64 deadline = machine_deadline();
    QVirtQueue *vq = disk->vq[0];

    for (;;) {
        if (is_broken(disk)) {
            return BROKEN;
        }
        if (qvirtqueue_get_buf(disk->m->qts, vq, NULL, NULL)) {
            return IOERR;
        }
        if (was_reset(disk)) {
            return ANY;
        }
        if (!machine_before(deadline)) {
            g_error("the disk neither answers nor asks for a reset");
        }
    }
}

static void check_outcome(Disk *disk, const char *name, Outcome expected)
{
    static const char *const did[] = {
        [BROKEN] = "gave up", [IOERR] = "answered", [ANY] = "was reset",
    };
    Outcome got = outcome(disk);

    g_test_message("%s: the device %s", name, did[got]);
    if (expected != ANY && got != expected) {
        g_error("%s: the device %s", name, did[got]);
    }
    disk_assert_works(disk);
}

static void open_disk(Disk *disk, Machine *m)
{
    machine_start(m, CARD_DISK(""));
    disk_open(disk, m, STORAGE_DEVFN);
}

static void close_all(Disk *disk)
{
    Machine *m = disk->m;

    disk_assert_works(disk);
    disk_close(disk);
    machine_stop(m);
}

/* ---- chains of the wrong form ---- */

/* Addresses are offsets: the header is at 0, the data at 16. */
typedef struct Form {
    const char *name;
    uint32_t type;
    Outcome expected;
    Desc chain[5];              /* up to the first of length 0 */
} Form;

#define HEADER { 0, 16 }

static const Form forms[] = {
    { "nothing to write to", VIRTIO_BLK_T_IN, BROKEN, { HEADER } },
    { "write without status", VIRTIO_BLK_T_OUT, BROKEN,
      { HEADER, { 16, 512 } } },
    { "status not writable", VIRTIO_BLK_T_OUT, BROKEN,
      { HEADER, { 16, 512 }, { 528, 1 } } },
    { "status not writable after data that is", VIRTIO_BLK_T_IN, BROKEN,
      { HEADER, { 16, 512, W }, { 528, 1 } } },
    { "no header", VIRTIO_BLK_T_IN, BROKEN,
      { { 16, 512, W }, { 528, 1, W } } },
    { "short header", VIRTIO_BLK_T_IN, BROKEN,
      { { 0, 15 }, { 16, 512, W }, { 528, 1, W } } },
    { "header of one byte", VIRTIO_BLK_T_OUT, BROKEN,
      { { 0, 1 }, { 528, 1, W } } },
    { "short header in two pieces", VIRTIO_BLK_T_IN, BROKEN,
      { { 0, 4 }, { 4, 8 }, { 16, 512, W }, { 528, 1, W } } },
    { "readable after writable", VIRTIO_BLK_T_OUT, BROKEN,
      { { 528, 1, W }, HEADER, { 16, 512 } } },
    { "read into readable memory", VIRTIO_BLK_T_IN, ANY,
      { HEADER, { 16, 512 }, { 528, 1, W } } },
    { "write from writable memory", VIRTIO_BLK_T_OUT, ANY,
      { HEADER, { 16, 512, W }, { 528, 1, W } } },
    { "read without data", VIRTIO_BLK_T_IN, ANY, { HEADER, { 528, 1, W } } },
    { "write without data", VIRTIO_BLK_T_OUT, ANY, { HEADER, { 528, 1, W } } },
    { "flush with data", VIRTIO_BLK_T_FLUSH, ANY,
      { HEADER, { 16, 512 }, { 528, 1, W } } },
    { "flush with data to write", VIRTIO_BLK_T_FLUSH, ANY,
      { HEADER, { 16, 512, W }, { 528, 1, W } } },
    { "unknown type with data", 77, IOERR,
      { HEADER, { 16, 512 }, { 528, 512, W } } },
    { "header and data at the same place", VIRTIO_BLK_T_IN, ANY,
      { HEADER, { 0, 512, W }, { 0, 1, W } } },
};

static void test_forms(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned f = 0; f < G_N_ELEMENTS(forms); f++) {
        struct virtio_blk_outhdr hdr = {
            .type = GUINT32_TO_LE(forms[f].type),
        };
        Desc chain[5];
        unsigned n;

        disk_start(&disk, 0, 1);
        qtest_memwrite(m.qts, disk.buffer, &hdr, sizeof(hdr));
        for (n = 0; n < 5 && forms[f].chain[n].len; n++) {
            chain[n] = forms[f].chain[n];
            chain[n].addr += disk.buffer;
        }
        disk_put_chain(&disk, 0, chain, n);
        disk_offer(&disk, 0, 0);
        check_outcome(&disk, forms[f].name, forms[f].expected);
    }
    close_all(&disk);
}

/* ---- descriptors that lead nowhere ---- */

/*
 * Each gets a started disk with a good header, and offers something bad. QEMU
 * lends up to a page of bounce buffer for memory that is not there, so those
 * cases may be answered.
 */

static void zero_length(Disk *disk)
{
    disk_put_desc(disk, 0, 0, (Desc) { disk->header, 16, NEXT, 1 });
    disk_put_desc(disk, 0, 1, (Desc) { disk->buffer, 0, NEXT | W, 2 });
    disk_put_desc(disk, 0, 2, (Desc) { disk->status, 1, W });
    disk_offer(disk, 0, 0);
}

static void loop_of_one(Disk *disk)
{
    disk_put_desc(disk, 0, 0, (Desc) { disk->header, 16, NEXT, 0 });
    disk_offer(disk, 0, 0);
}

static void loop_of_three(Disk *disk)
{
    disk_put_desc(disk, 0, 0, (Desc) { disk->header, 16, NEXT, 1 });
    disk_put_desc(disk, 0, 1, (Desc) { disk->buffer, 512, NEXT | W, 2 });
    disk_put_desc(disk, 0, 2, (Desc) { disk->buffer, 512, NEXT | W, 1 });
    disk_offer(disk, 0, 0);
}

static void next_beyond_ring(Disk *disk)
{
    disk_put_desc(disk, 0, 0, (Desc) { disk->header, 16, NEXT, 0xffff });
    disk_offer(disk, 0, 0);
}

static void head_beyond_ring(Disk *disk)
{
    disk_offer(disk, 0, disk->vq[0]->size);
}

static void available_jumps(Disk *disk)
{
    qtest_writew(disk->m->qts, disk->vq[0]->avail + 2,
                 disk->vq[0]->size + 1);
    disk->dev->bus->virtqueue_kick(disk->dev, disk->vq[0]);
}

static void available_jumps_back(Disk *disk)
{
    qtest_writew(disk->m->qts, disk->vq[0]->avail + 2, 0xffff);
    disk->dev->bus->virtqueue_kick(disk->dev, disk->vq[0]);
}

static void table(Disk *disk, uint64_t addr, uint32_t len, uint16_t flags)
{
    disk_put_desc(disk, 0, 0, (Desc) { addr, len, TABLE | flags, 1 });
    disk_put_desc(disk, 0, 1, (Desc) { disk->status, 1, W });
    disk_offer(disk, 0, 0);
}

static void table_of_length_0(Disk *disk)
{
    table(disk, disk->buffer, 0, 0);
}

static void table_of_length_17(Disk *disk)
{
    table(disk, disk->buffer, 17, 0);
}

static void table_nowhere(Disk *disk)
{
    table(disk, NOWHERE, 48, 0);
}

static void table_of_4_gib(Disk *disk)
{
    table(disk, disk->buffer, 0xfffffff0, 0);
}

static void table_that_continues(Disk *disk)
{
    table(disk, disk->buffer, 48, NEXT);
}

static void table_in_itself(Disk *disk)
{
    Desc nested = { GUINT64_TO_LE(disk->buffer), GUINT32_TO_LE(16),
                    GUINT16_TO_LE(TABLE) };

    qtest_memwrite(disk->m->qts, disk->buffer, &nested, sizeof(nested));
    table(disk, disk->buffer, 16, 0);
}

static void table_that_loops(Disk *disk)
{
    Desc looped = { GUINT64_TO_LE(disk->header), GUINT32_TO_LE(16),
                    GUINT16_TO_LE(NEXT), 0 };

    qtest_memwrite(disk->m->qts, disk->buffer, &looped, sizeof(looped));
    table(disk, disk->buffer, 16, 0);
}

static void chain3(Disk *disk, Desc header, Desc data, Desc status)
{
    disk_put_chain(disk, 0, (Desc[]) { header, data, status }, 3);
    disk_offer(disk, 0, 0);
}

static void header_nowhere(Disk *disk)
{
    chain3(disk, (Desc) { NOWHERE, 16 }, (Desc) { disk->buffer, 512, W },
           (Desc) { disk->status, 1, W });
}

static void data_nowhere(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 }, (Desc) { NOWHERE, 512, W },
           (Desc) { disk->status, 1, W });
}

static void data_wraps_around(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 },
           (Desc) { UINT64_MAX - 511, 1024, W },
           (Desc) { disk->status, 1, W });
}

static void data_of_4_gib(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 },
           (Desc) { disk->buffer, 0xfffffe00, W },
           (Desc) { disk->status, 1, W });
}

static void status_nowhere(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 },
           (Desc) { disk->buffer, 512, W }, (Desc) { NOWHERE, 1, W });
}

/* The device's own registers as its data: a loop through the bus. */
static void data_in_registers(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 },
           (Desc) { disk->pci->bar.addr, 4096, W },
           (Desc) { disk->status, 1, W });
}

/* A status byte that lands in the notification area of the device. */
static void status_is_a_notification(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 },
           (Desc) { disk->buffer, 512, W },
           (Desc) { disk->pci->bar.addr + disk->pci->notify_cfg_offset, 1,
                    W });
}

/* The used ring as the target of a read. */
static void data_in_the_ring(Disk *disk)
{
    chain3(disk, (Desc) { disk->header, 16 },
           (Desc) { disk->vq[0]->desc, 4096, W },
           (Desc) { disk->status, 1, W });
}

static const struct {
    const char *name;
    void (*offer)(Disk *disk);
    Outcome expected;
} offers[] = {
    { "zero length", zero_length, BROKEN },
    { "loop of one", loop_of_one, BROKEN },
    { "loop of three", loop_of_three, BROKEN },
    { "next beyond the ring", next_beyond_ring, BROKEN },
    { "head beyond the ring", head_beyond_ring, BROKEN },
    { "available index jumps", available_jumps, ANY },
    { "available index jumps back", available_jumps_back, ANY },
    { "indirect table of length 0", table_of_length_0, BROKEN },
    { "indirect table of length 17", table_of_length_17, BROKEN },
    { "indirect table nowhere", table_nowhere, BROKEN },
    { "indirect table of 4 GiB", table_of_4_gib, BROKEN },
    { "indirect table with NEXT", table_that_continues, ANY },
    { "indirect table in itself", table_in_itself, ANY },
    { "indirect table that loops", table_that_loops, BROKEN },
    { "header nowhere", header_nowhere, ANY },
    { "data nowhere", data_nowhere, ANY },
    { "data wraps around", data_wraps_around, ANY },
    { "data of 4 GiB", data_of_4_gib, ANY },
    { "status nowhere", status_nowhere, ANY },
    { "data in registers", data_in_registers, ANY },
    { "status is a notification", status_is_a_notification, ANY },
    { "data in the ring", data_in_the_ring, ANY },
};

static void test_descriptors(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(offers); i++) {
        disk_start(&disk, 0, 1);
        disk_put_header(&disk, VIRTIO_BLK_T_IN, 0);
        offers[i].offer(&disk);
        check_outcome(&disk, offers[i].name, offers[i].expected);
    }
    close_all(&disk);
}

/* A broken chain among good ones: those before it are answered. */
static void test_good_then_bad(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    disk_start(&disk, 1ULL << VIRTIO_RING_F_EVENT_IDX, 1);
    disk_put_header(&disk, VIRTIO_BLK_T_IN, 0);
    disk_put_chain(&disk, 0,
                   (Desc[]) { { disk.header, 16 }, { disk.buffer, 512, W },
                              { disk.status, 1, W } }, 3);
    disk_put_desc(&disk, 0, 3, (Desc) { disk.header, 16 });
    qtest_writew(m.qts, disk.vq[0]->avail + 4, 0);
    qtest_writew(m.qts, disk.vq[0]->avail + 6, 3);
    qtest_writew(m.qts, disk.vq[0]->avail + 2, 2);
    disk.dev->bus->virtqueue_kick(disk.dev, disk.vq[0]);
    while (!is_broken(&disk)) {
        machine_assert_alive(&m);
    }
    close_all(&disk);
}

/* ---- the transport ---- */

#define COMMON(disk, field) \
    (disk).pci->pdev, (disk).pci->bar, (disk).pci->common_cfg_offset + \
        offsetof(struct virtio_pci_modern_common_cfg, field)

static void test_queue_sizes(void)
{
    static const uint16_t sizes[] = { 0, 1, 3, 512, 0x400, 0x8000, 0xffff };
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        disk_negotiate(&disk, 0);
        qpci_io_writew(COMMON(disk, cfg.queue_select), 0);
        qpci_io_writew(COMMON(disk, cfg.queue_size), sizes[i]);
        qpci_io_writel(COMMON(disk, cfg.queue_desc_lo), disk.buffer);
        qpci_io_writel(COMMON(disk, cfg.queue_avail_lo), disk.buffer + 0x8000);
        qpci_io_writel(COMMON(disk, cfg.queue_used_lo), disk.buffer + 0x10000);
        qpci_io_writew(COMMON(disk, cfg.queue_enable), 1);
        qvirtio_set_driver_ok(disk.dev);
        qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                       disk.pci->notify_cfg_offset, 0);
        machine_assert_alive(&m);
        disk_assert_works(&disk);
    }
    close_all(&disk);
}

static void test_ring_nowhere(void)
{
    static const uint64_t places[] = { NOWHERE, UINT64_MAX & ~4095ULL, 0 };
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < 3 * G_N_ELEMENTS(places); i++) {
        uint64_t addr[3] = { disk.buffer, disk.buffer + 0x8000,
                             disk.buffer + 0x10000 };

        addr[i % 3] = places[i / 3];
        disk_negotiate(&disk, 0);
        qpci_io_writew(COMMON(disk, cfg.queue_select), 0);
        qpci_io_writel(COMMON(disk, cfg.queue_desc_lo), addr[0]);
        qpci_io_writel(COMMON(disk, cfg.queue_desc_hi), addr[0] >> 32);
        qpci_io_writel(COMMON(disk, cfg.queue_avail_lo), addr[1]);
        qpci_io_writel(COMMON(disk, cfg.queue_avail_hi), addr[1] >> 32);
        qpci_io_writel(COMMON(disk, cfg.queue_used_lo), addr[2]);
        qpci_io_writel(COMMON(disk, cfg.queue_used_hi), addr[2] >> 32);
        qpci_io_writew(COMMON(disk, cfg.queue_enable), 1);
        /* The device may refuse by asking for a reset. */
        disk.dev->bus->set_status(disk.dev,
                                  disk_device_status(&disk) |
                                  VIRTIO_CONFIG_S_DRIVER_OK);
        qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                       disk.pci->notify_cfg_offset, 0);
        machine_assert_alive(&m);
        disk_assert_works(&disk);
    }
    close_all(&disk);
}

/* Queues that do not exist: select, set up, enable, notify, vectors. */
static void test_nonexistent_queue(void)
{
    static const uint16_t queues[] = { 1, 63, 1023, 1024, 0xffff };
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned i = 0; i < G_N_ELEMENTS(queues); i++) {
        disk_start(&disk, 0, 1);
        qpci_io_writew(COMMON(disk, cfg.queue_select), queues[i]);
        if (queues[i] < 1024) {         /* QEMU ignores larger numbers */
            g_assert_cmpuint(qpci_io_readw(COMMON(disk, cfg.queue_size)), ==,
                             0);
        }
        qpci_io_writel(COMMON(disk, cfg.queue_desc_lo), disk.buffer);
        qpci_io_writel(COMMON(disk, cfg.queue_avail_lo), disk.buffer);
        qpci_io_writel(COMMON(disk, cfg.queue_used_lo), disk.buffer);
        qpci_io_writew(COMMON(disk, cfg.queue_msix_vector), 1);
        qpci_io_writew(COMMON(disk, cfg.queue_enable), 1);
        qpci_io_writew(COMMON(disk, queue_reset), 1);
        qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                       disk.pci->notify_cfg_offset, queues[i]);
        qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                       disk.pci->notify_cfg_offset +
                       (uint32_t)queues[i] % 1024 *
                       disk.pci->notify_off_multiplier, queues[i]);
        disk_assert_works(&disk);
    }
    close_all(&disk);
}

/* Notifications before the driver is ready, and of a queue without rings. */
static void test_early_notify(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                   disk.pci->notify_cfg_offset, 0);
    disk_negotiate(&disk, 0);
    qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                   disk.pci->notify_cfg_offset, 0);
    qvirtio_set_driver_ok(disk.dev);
    qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                   disk.pci->notify_cfg_offset, 0);
    close_all(&disk);
}

/* Reads and writes all over the function's registers. */
static void test_registers(void)
{
    uint64_t size;
    Machine m;
    Disk disk;
    QPCIDevice *pdev;

    open_disk(&disk, &m);
    pdev = disk.pci->pdev;
    disk_start(&disk, 0, 1);
    size = disk.pci->notify_cfg_offset + 8;
    for (uint64_t off = 0; off < size; off += off < 64 ? 1 : 61) {
        static const uint64_t values[] = { 0, 1, UINT64_MAX };

        for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
            qpci_io_readb(pdev, disk.pci->bar, off);
            qpci_io_readl(pdev, disk.pci->bar, off & ~3ULL);
            qpci_io_readq(pdev, disk.pci->bar, off & ~7ULL);
            qpci_io_writeb(pdev, disk.pci->bar, off, values[i]);
            qpci_io_writel(pdev, disk.pci->bar, off & ~3ULL, values[i]);
            qpci_io_writeq(pdev, disk.pci->bar, off & ~7ULL, values[i]);
        }
    }
    disk_assert_works(&disk);
    close_all(&disk);
}

/* DMA stops when the guest takes bus mastering away. */
static void test_bus_master(void)
{
    uint16_t cmd;
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    disk_start(&disk, 0, 1);
    cmd = qpci_config_readw(disk.pci->pdev, PCI_COMMAND);
    qpci_config_writew(disk.pci->pdev, PCI_COMMAND,
                       cmd & ~PCI_COMMAND_MASTER);
    disk_put_header(&disk, VIRTIO_BLK_T_IN, 0);
    disk_put_chain(&disk, 0,
                   (Desc[]) { { disk.header, 16 }, { disk.buffer, 512, W },
                              { disk.status, 1, W } }, 3);
    disk_offer(&disk, 0, 0);
    machine_assert_alive(&m);
    g_assert_cmpuint(disk_status(&disk), ==, STATUS_NONE);
    qpci_config_writew(disk.pci->pdev, PCI_COMMAND, cmd);
    close_all(&disk);
}

/* Feature bits that were not offered, and FEATURES_OK without any. */
static void test_features_refused(void)
{
    Machine m;
    Disk disk;
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                     VIRTIO_CONFIG_S_FEATURES_OK;

    open_disk(&disk, &m);
    qvirtio_start_device(disk.dev);
    qpci_io_writel(COMMON(disk, cfg.guest_feature_select), 0);
    qpci_io_writel(COMMON(disk, cfg.guest_feature), UINT32_MAX);
    qpci_io_writel(COMMON(disk, cfg.guest_feature_select), 7);
    qpci_io_writel(COMMON(disk, cfg.guest_feature), UINT32_MAX);
    disk.dev->bus->set_status(disk.dev, status);
    machine_assert_alive(&m);
    disk_assert_works(&disk);

    /* Not even VERSION_1: section 6.2 lets the device fail */
    qvirtio_start_device(disk.dev);
    qpci_io_writel(COMMON(disk, cfg.guest_feature_select), 0);
    qpci_io_writel(COMMON(disk, cfg.guest_feature), 0);
    qpci_io_writel(COMMON(disk, cfg.guest_feature_select), 1);
    qpci_io_writel(COMMON(disk, cfg.guest_feature), 0);
    disk.dev->bus->set_status(disk.dev, status);
    machine_assert_alive(&m);
    close_all(&disk);
}

/* Random rings: whatever they say, the device survives. Seeded by --seed. */
static void test_random_rings(void)
{
    Machine m;
    Disk disk;

    open_disk(&disk, &m);
    for (unsigned round = 0; round < 150; round++) {
        disk_start(&disk, 0, 1);
        disk_put_header(&disk, g_test_rand_int_range(0, 16), 0);
        for (unsigned i = 0; i < 16; i++) {
            uint64_t addr[] = { disk.header, disk.status, disk.buffer,
                                disk.buffer + i * 512, NOWHERE };
            uint32_t len[] = { 1, 16, 512, 48, g_test_rand_int() };

            disk_put_desc(&disk, 0, i, (Desc) {
                .addr = addr[g_test_rand_int_range(0, 5)],
                .len = len[g_test_rand_int_range(0, 5)],
                .flags = g_test_rand_int_range(0, 8),
                .next = g_test_rand_int_range(0, 17),
            });
        }
        for (unsigned i = 0; i < 8; i++) {
            qtest_writew(m.qts, disk.vq[0]->avail + 4 + 2 * i,
                         g_test_rand_int_range(0, 16));
        }
        qtest_writew(m.qts, disk.vq[0]->avail + 2, 8);
        disk.dev->bus->virtqueue_kick(disk.dev, disk.vq[0]);
    }
    close_all(&disk);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hostile/forms", test_forms);
    g_test_add_func("/hostile/descriptors", test_descriptors);
    g_test_add_func("/hostile/good-then-bad", test_good_then_bad);
    g_test_add_func("/hostile/queue-sizes", test_queue_sizes);
    g_test_add_func("/hostile/ring-nowhere", test_ring_nowhere);
    g_test_add_func("/hostile/nonexistent-queue", test_nonexistent_queue);
    g_test_add_func("/hostile/early-notify", test_early_notify);
    g_test_add_func("/hostile/registers", test_registers);
    g_test_add_func("/hostile/bus-master", test_bus_master);
    g_test_add_func("/hostile/features-refused", test_features_refused);
    g_test_add_func("/hostile/random-rings", test_random_rings);
    return g_test_run();
}
