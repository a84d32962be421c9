/*
 * The virtio-blk storage function as a well-behaved guest sees it: features,
 * configuration, rings, interrupts and every operation (virtio 1.2 section
 * 5.2). The volumes are in memory.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_ids.h"
#include "standard-headers/linux/virtio_pci.h"

#include "disk.h"

#define VOLUME_SECTORS (64 * 1024 * 1024 / SECTOR)
#define INDIRECT (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_IDX (1ULL << VIRTIO_RING_F_EVENT_IDX)

static uint64_t config_field(Disk *disk, size_t offset, size_t size)
{
    switch (size) {
    case 1:
        return qvirtio_config_readb(disk->dev, offset);
    case 2:
        return qvirtio_config_readw(disk->dev, offset);
    case 4:
        return qvirtio_config_readl(disk->dev, offset);
    default:
        return qvirtio_config_readq(disk->dev, offset);
    }
}

#define CONFIG(disk, field) \
    config_field(disk, offsetof(struct virtio_blk_config, field), \
                 sizeof(((struct virtio_blk_config *)0)->field))

static bool offers(Disk *disk, unsigned feature)
{
    return qvirtio_get_features(disk->dev) & (1ULL << feature);
}

static uint8_t request(Disk *disk, uint32_t type, uint64_t sector, void *data,
                       size_t len)
{
    return disk_request(disk, 0, type, sector, data, len, NULL);
}

static void open_started(Disk *disk, Machine *m, uint64_t without)
{
    machine_start(m, CARD_DISK(""));
    disk_open(disk, m, STORAGE_DEVFN);
    disk_start(disk, without, 1);
}

static void close_all(Disk *disk)
{
    Machine *m = disk->m;

    machine_assert_alive(m);
    disk_close(disk);
    machine_stop(m);
}

/* A byte pattern that differs in every sector. */
static void fill(uint8_t *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = seed + i + i / SECTOR * 3;
    }
}

/* ---- what it is ---- */

static void test_identity(void)
{
    Machine m;
    Disk disk;
    QPCIDevice *pdev;

    open_started(&disk, &m, 0);
    pdev = disk.pci->pdev;
    g_assert_cmpint(disk.dev->device_type, ==, VIRTIO_ID_BLOCK);
    /* Not transitional: section 4.1.2.1 */
    g_assert_cmphex(qpci_config_readw(pdev, PCI_DEVICE_ID), ==, 0x1042);
    g_assert_cmphex(qpci_config_readw(pdev, PCI_CLASS_DEVICE), ==, 0x0100);
    close_all(&disk);
}

static void test_config(void)
{
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    g_assert_cmpuint(CONFIG(&disk, capacity), ==, VOLUME_SECTORS);
    g_assert_cmpuint(CONFIG(&disk, blk_size), ==, SECTOR);
    g_assert_cmpuint(CONFIG(&disk, num_queues), ==, 1);
    /*
     * Header and status take one descriptor each. QEMU 10.0.13 makes every
     * virtqueue longer than it was asked for.
     */
    g_assert_cmpuint(CONFIG(&disk, seg_max), ==, 256 - 2);
    g_assert_cmpuint(CONFIG(&disk, seg_max), <=, disk.vq[0]->size - 2);
    g_assert_cmpuint(CONFIG(&disk, max_discard_seg), ==, 1);
    g_assert_cmpuint(CONFIG(&disk, max_discard_sectors), >, 0);
    g_assert_cmpuint(CONFIG(&disk, max_write_zeroes_seg), ==, 1);
    g_assert_cmpuint(CONFIG(&disk, max_write_zeroes_sectors), >, 0);
    g_assert_cmpuint(CONFIG(&disk, discard_sector_alignment), >, 0);
    close_all(&disk);
}

static void test_features(void)
{
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    g_assert_true(offers(&disk, VIRTIO_F_VERSION_1));
    g_assert_true(offers(&disk, VIRTIO_RING_F_INDIRECT_DESC));
    g_assert_true(offers(&disk, VIRTIO_RING_F_EVENT_IDX));
    g_assert_true(offers(&disk, VIRTIO_BLK_F_SEG_MAX));
    g_assert_true(offers(&disk, VIRTIO_BLK_F_BLK_SIZE));
    g_assert_true(offers(&disk, VIRTIO_BLK_F_TOPOLOGY));
    g_assert_true(offers(&disk, VIRTIO_BLK_F_DISCARD));
    g_assert_true(offers(&disk, VIRTIO_BLK_F_WRITE_ZEROES));
    g_assert_false(offers(&disk, VIRTIO_BLK_F_RO));
    g_assert_false(offers(&disk, VIRTIO_BLK_F_MQ));
    /* A write cache is reported exactly when there is one. */
    g_assert_false(offers(&disk, VIRTIO_BLK_F_FLUSH));
    close_all(&disk);
}

static void test_4k_blocks(void)
{
    Machine m;
    Disk disk;
    uint8_t data[4096], back[sizeof(data)] = { };

    machine_start(&m, CARD_DISK("&block-size=4096"));
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, 1);
    g_assert_cmpuint(CONFIG(&disk, blk_size), ==, 4096);
    g_assert_cmpuint(CONFIG(&disk, capacity), ==, VOLUME_SECTORS);
    fill(data, sizeof(data), 1);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, 8, data, sizeof(data)),
                     ==, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 8, back, sizeof(back)),
                     ==, VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data, sizeof(data), back, sizeof(back));
    /* In sectors, but not in blocks */
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 1, back, sizeof(back)),
                     ==, VIRTIO_BLK_S_IOERR);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, 8, data, SECTOR),
                     ==, VIRTIO_BLK_S_IOERR);
    close_all(&disk);
}

/* ---- operations ---- */

static void test_read_write(void)
{
    Machine m;
    Disk disk;
    size_t len = 256 * 1024;
    g_autofree uint8_t *data = g_malloc(len);
    g_autofree uint8_t *back = g_malloc0(len);
    const uint64_t last = VOLUME_SECTORS - len / SECTOR;
    uint32_t written;

    open_started(&disk, &m, 0);
    fill(data, len, 1);
    g_assert_cmpuint(disk_request(&disk, 0, VIRTIO_BLK_T_OUT, 3, data, len,
                                  &written), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(written, ==, 1);
    g_assert_cmpuint(disk_request(&disk, 0, VIRTIO_BLK_T_IN, 3, back, len,
                                  &written), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(written, ==, len + 1);
    g_assert_cmpmem(data, len, back, len);

    /* One sector out of the middle, and the volume's last sectors */
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 3 + 100, back, SECTOR),
                     ==, VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data + 100 * SECTOR, SECTOR, back, SECTOR);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, last, data, len), ==,
                     VIRTIO_BLK_S_OK);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, last, back, len), ==,
                     VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data, len, back, len);
    close_all(&disk);
}

static void test_beyond_end(void)
{
    static const uint64_t sectors[] = {
        VOLUME_SECTORS - 1,         /* begins inside, ends outside */
        VOLUME_SECTORS, VOLUME_SECTORS + 1,
        UINT64_MAX / SECTOR,        /* offset + length overflows */
        UINT64_MAX / SECTOR + 1,    /* the offset overflows */
        UINT64_MAX / SECTOR + 2, INT64_MAX, 1ULL << 63, UINT64_MAX,
    };
    uint8_t data[2 * SECTOR] = { };
    uint32_t written;
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(sectors); i++) {
        g_assert_cmpuint(disk_request(&disk, 0, VIRTIO_BLK_T_IN, sectors[i],
                                      data, sizeof(data), &written), ==,
                         VIRTIO_BLK_S_IOERR);
        /* All of the device's part, up to the status at its end */
        g_assert_cmpuint(written, ==, sizeof(data) + 1);
        g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, sectors[i], data,
                                 sizeof(data)), ==, VIRTIO_BLK_S_IOERR);
    }
    disk_assert_works(&disk);
    close_all(&disk);
}

static void test_odd_lengths(void)
{
    static const size_t lengths[] = { 1, SECTOR - 1, SECTOR + 1, 1000 };
    uint8_t data[2 * SECTOR] = { };
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 0, data, lengths[i]),
                         ==, VIRTIO_BLK_S_IOERR);
        g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, 0, data,
                                 lengths[i]), ==, VIRTIO_BLK_S_IOERR);
    }
    disk_assert_works(&disk);
    close_all(&disk);
}

/* Flush, with a write cache to flush and without. */
static void test_flush(void)
{
    static const char *const volumes[] = { "", "&cache=on" };

    for (unsigned i = 0; i < G_N_ELEMENTS(volumes); i++) {
        Machine m;
        Disk disk;

        machine_start(&m, CARD_DISK("%s"), volumes[i]);
        disk_open(&disk, &m, STORAGE_DEVFN);
        disk_start(&disk, 0, 1);
        g_assert_cmpint(offers(&disk, VIRTIO_BLK_F_FLUSH), ==, i);
        g_assert_cmpuint(CONFIG(&disk, wce), ==, i);
        g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), ==,
                         VIRTIO_BLK_S_OK);
        disk_assert_works(&disk);
        /* A driver without flush gets durable writes: section 5.2.6.2 */
        disk_start(&disk, 1ULL << VIRTIO_BLK_F_FLUSH, 1);
        g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, 0,
                                 (uint8_t[SECTOR]) { 1 }, SECTOR), ==,
                         VIRTIO_BLK_S_OK);
        close_all(&disk);
    }
}

static void test_get_id(void)
{
    static const size_t lengths[] = { 20, 8, 1, 40 };
    Machine m;
    Disk disk;

    machine_start(&m, CARD_DISK(",serial=twelve-bytes"));
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        size_t n = MIN(lengths[i], VIRTIO_BLK_ID_BYTES);
        char id[64], expected[64];
        uint32_t written;

        memset(id, 0x55, sizeof(id));
        memset(expected, 0x55, sizeof(expected));
        strncpy(expected, "twelve-bytes", n);       /* pads with NULs */
        g_assert_cmpuint(disk_request(&disk, 0, VIRTIO_BLK_T_GET_ID, 0, id,
                                      lengths[i], &written), ==,
                         VIRTIO_BLK_S_OK);
        g_assert_cmpmem(id, sizeof(id), expected, sizeof(expected));
        g_assert_cmpuint(written, ==, lengths[i] + 1);
    }
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_GET_ID, 0, NULL, 0), ==,
                     VIRTIO_BLK_S_OK);
    close_all(&disk);
}

static void test_unsupported(void)
{
    /* SCSI commands were in legacy virtio; 6 was never anything. */
    static const uint32_t types[] = {
        2, 3, 6, 15, VIRTIO_BLK_T_SECURE_ERASE, 99, 0x80000000, UINT32_MAX,
    };
    uint8_t data[SECTOR] = { };
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        g_assert_cmpuint(request(&disk, types[i], 0, data, sizeof(data)), ==,
                         VIRTIO_BLK_S_UNSUPP);
        g_assert_cmpuint(request(&disk, types[i], 0, NULL, 0), ==,
                         VIRTIO_BLK_S_UNSUPP);
    }
    disk_assert_works(&disk);
    close_all(&disk);
}

static uint8_t range_request(Disk *disk, uint32_t type, uint64_t sector,
                             uint32_t count, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes seg = {
        .sector = GUINT64_TO_LE(sector),
        .num_sectors = GUINT32_TO_LE(count),
        .flags = GUINT32_TO_LE(flags),
    };

    return request(disk, type, 0, &seg, sizeof(seg));
}

static bool is_zero(const uint8_t *data, size_t len)
{
    return data[0] == 0 && !memcmp(data, data + 1, len - 1);
}

/* Zeroes @count sectors in the middle of data, and looks at the borders. */
static void check_zeroing(Disk *disk, uint32_t type, uint32_t flags)
{
    enum { TOTAL = 64, FROM = 8, COUNT = 48 };
    uint8_t data[TOTAL * SECTOR], back[TOTAL * SECTOR];

    fill(data, sizeof(data), 5);
    g_assert_cmpuint(request(disk, VIRTIO_BLK_T_OUT, 64, data, sizeof(data)),
                     ==, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(range_request(disk, type, 64 + FROM, COUNT, flags), ==,
                     VIRTIO_BLK_S_OK);
    g_assert_cmpuint(request(disk, VIRTIO_BLK_T_IN, 64, back, sizeof(back)),
                     ==, VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data, FROM * SECTOR, back, FROM * SECTOR);
    g_assert_true(is_zero(back + FROM * SECTOR, COUNT * SECTOR));
    g_assert_cmpmem(data + (FROM + COUNT) * SECTOR,
                    (TOTAL - FROM - COUNT) * SECTOR,
                    back + (FROM + COUNT) * SECTOR,
                    (TOTAL - FROM - COUNT) * SECTOR);
}

static void test_write_zeroes(void)
{
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    check_zeroing(&disk, VIRTIO_BLK_T_WRITE_ZEROES, 0);
    check_zeroing(&disk, VIRTIO_BLK_T_WRITE_ZEROES,
                  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    g_assert_cmpuint(range_request(&disk, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1,
                                   2), ==, VIRTIO_BLK_S_UNSUPP);
    close_all(&disk);
}

static void test_discard(void)
{
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    check_zeroing(&disk, VIRTIO_BLK_T_DISCARD, 0);
    /* Section 5.2.6.2: unmap is for write zeroes only */
    g_assert_cmpuint(range_request(&disk, VIRTIO_BLK_T_DISCARD, 0, 1,
                                   VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP), ==,
                     VIRTIO_BLK_S_UNSUPP);
    close_all(&disk);
}

/* Discard and write zeroes with segments that make no sense. */
static void test_bad_ranges(void)
{
    static const struct {
        uint64_t sector;
        uint32_t count;
    } bad[] = {
        { VOLUME_SECTORS, 1 }, { VOLUME_SECTORS - 1, 2 },
        { 1, VOLUME_SECTORS }, { 0, UINT32_MAX }, { UINT64_MAX, 1 },
        { UINT64_MAX / SECTOR, UINT32_MAX }, { 1ULL << 63, 8 },
    };
    static const uint32_t types[] = {
        VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
    };
    static const size_t lengths[] = { 0, 1, 8, 15, 17, 32, 4096 };
    uint8_t junk[4096] = { };
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned t = 0; t < G_N_ELEMENTS(types); t++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            g_assert_cmpuint(range_request(&disk, types[t], bad[i].sector,
                                           bad[i].count, 0), ==,
                             VIRTIO_BLK_S_IOERR);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
            g_assert_cmpuint(request(&disk, types[t], 0, junk, lengths[i]),
                             ==, VIRTIO_BLK_S_IOERR);
        }
    }
    disk_assert_works(&disk);
    close_all(&disk);
}

static void test_read_only(void)
{
    Machine m;
    Disk disk;
    uint8_t data[SECTOR] = { };

    machine_start(&m, CARD_DISK("&read-only=on"));
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, 1);
    g_assert_true(offers(&disk, VIRTIO_BLK_F_RO));
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, 0, data, SECTOR), ==,
                     VIRTIO_BLK_S_IOERR);
    g_assert_cmpuint(range_request(&disk, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8,
                                   0), !=, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(range_request(&disk, VIRTIO_BLK_T_DISCARD, 0, 8, 0), !=,
                     VIRTIO_BLK_S_OK);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 0, data, SECTOR), ==,
                     VIRTIO_BLK_S_OK);
    close_all(&disk);
}

/* ---- rings and interrupts ---- */

/* Appends to a chain a descriptor, unless it would be empty. */
static unsigned append(Desc *chain, unsigned count, uint64_t addr,
                       uint32_t len, uint16_t flags)
{
    if (len) {
        chain[count++] = (Desc) { addr, len, flags };
    }
    return count;
}

/*
 * Section 2.7.4.1: how a message is cut into descriptors means nothing. Here
 * header, data and status follow each other in memory and are cut twice.
 */
static void test_any_layout(void)
{
    static const struct {
        unsigned header, data;      /* bytes before the cuts */
    } cuts[] = { { 16, 256 }, { 1, 1 }, { 15, 511 }, { 8, 512 } };
    uint8_t data[SECTOR], back[SECTOR];
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cuts); i++) {
        unsigned h = cuts[i].header, d = cuts[i].data, n;
        uint64_t header = disk.buffer, body = header + 16;
        Desc chain[4];

        fill(data, sizeof(data), i);
        qtest_memwrite(m.qts, header,
                       &(struct virtio_blk_outhdr) {
                           .type = GUINT32_TO_LE(VIRTIO_BLK_T_OUT),
                           .sector = GUINT64_TO_LE(i) }, 16);
        qtest_memwrite(m.qts, body, data, SECTOR);
        qtest_writeb(m.qts, disk.status, STATUS_NONE);
        n = append(chain, 0, header, h, 0);
        n = append(chain, n, header + h, 16 - h + d, 0);
        n = append(chain, n, body + d, SECTOR - d, 0);
        n = append(chain, n, disk.status, 1, VRING_DESC_F_WRITE);
        disk_put_chain(&disk, 0, chain, n);
        disk_offer(&disk, 0, 0);
        disk_wait(&disk, 0, 0);
        g_assert_cmpuint(disk_status(&disk), ==, VIRTIO_BLK_S_OK);

        qtest_memset(m.qts, body, 0xee, SECTOR + 1);
        disk_put_header(&disk, VIRTIO_BLK_T_IN, i);
        n = append(chain, 0, disk.header, h, 0);
        n = append(chain, n, disk.header + h, 16 - h, 0);
        n = append(chain, n, body, d, VRING_DESC_F_WRITE);
        n = append(chain, n, body + d, SECTOR - d + 1, VRING_DESC_F_WRITE);
        disk_put_chain(&disk, 0, chain, n);
        disk_offer(&disk, 0, 0);
        g_assert_cmpuint(disk_wait(&disk, 0, 0), ==, SECTOR + 1);
        qtest_memread(m.qts, body, back, SECTOR);
        g_assert_cmpmem(data, SECTOR, back, SECTOR);
        g_assert_cmpuint(qtest_readb(m.qts, body + SECTOR), ==,
                         VIRTIO_BLK_S_OK);
    }
    close_all(&disk);
}

static void test_indirect(void)
{
    uint8_t data[SECTOR];
    Machine m;
    Disk disk;

    open_started(&disk, &m, EVENT_IDX);
    for (unsigned i = 0; i < 2; i++) {
        bool write = i == 0;
        QVRingIndirectDesc *table =
            qvring_indirect_desc_setup(m.qts, disk.dev, &m.alloc, 3);
        uint32_t head;

        disk_put_header(&disk, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 2);
        qtest_memset(m.qts, disk.buffer, write ? 0x77 : 0, SECTOR);
        qvring_indirect_desc_add(disk.dev, m.qts, table, disk.header, 16,
                                 false);
        qvring_indirect_desc_add(disk.dev, m.qts, table, disk.buffer, SECTOR,
                                 !write);
        qvring_indirect_desc_add(disk.dev, m.qts, table, disk.status, 1, true);
        head = qvirtqueue_add_indirect(m.qts, disk.vq[0], table);
        disk_offer(&disk, 0, head);
        disk_wait(&disk, 0, head);
        g_assert_cmpuint(disk_status(&disk), ==, VIRTIO_BLK_S_OK);
        guest_free(&m.alloc, table->desc);
        g_free(table);
    }
    qtest_memread(m.qts, disk.buffer, data, SECTOR);
    g_assert_cmpuint(data[0], ==, 0x77);
    g_assert_cmpmem(data, SECTOR - 1, data + 1, SECTOR - 1);
    close_all(&disk);
}

/* Every descriptor of the ring in one request. */
static void test_long_chain(void)
{
    Machine m;
    Disk disk;
    unsigned n;
    g_autofree Desc *chain = NULL;

    open_started(&disk, &m, 0);
    n = disk.vq[0]->size;
    chain = g_new0(Desc, n);
    chain[0] = (Desc) { disk.header, 16 };
    for (unsigned i = 1; i < n - 1; i++) {
        chain[i] = (Desc) { disk.buffer + i * SECTOR, SECTOR };
    }
    chain[n - 1] = (Desc) { disk.status, 1, VRING_DESC_F_WRITE };
    disk_put_header(&disk, VIRTIO_BLK_T_OUT, 0);
    disk_put_chain(&disk, 0, chain, n);
    disk_offer(&disk, 0, 0);
    disk_wait(&disk, 0, 0);
    g_assert_cmpuint(disk_status(&disk), ==, VIRTIO_BLK_S_OK);
    close_all(&disk);
}

/* More requests than the ring has entries. */
static void test_many_requests(void)
{
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned i = 0; i < 3 * disk.vq[0]->size; i++) {
        g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), ==,
                         VIRTIO_BLK_S_OK);
    }
    close_all(&disk);
}

/* Several requests behind one notification. */
static void test_batch(void)
{
    enum { N = 32 };
    bool used[N] = { };
    Machine m;
    Disk disk;

    open_started(&disk, &m, EVENT_IDX);
    disk_put_header(&disk, VIRTIO_BLK_T_IN, 1);
    for (unsigned i = 0; i < N; i++) {
        unsigned d = i * 3;

        disk_put_desc(&disk, 0, d, (Desc) { disk.header, 16,
                                            VRING_DESC_F_NEXT, d + 1 });
        disk_put_desc(&disk, 0, d + 1,
                      (Desc) { disk.buffer + i * SECTOR, SECTOR,
                               VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
                               d + 2 });
        disk_put_desc(&disk, 0, d + 2, (Desc) { disk.status, 1,
                                                VRING_DESC_F_WRITE });
        qtest_writew(m.qts, disk.vq[0]->avail + 4 + 2 * i, d);
    }
    qtest_writew(m.qts, disk.vq[0]->avail + 2, N);
    disk.dev->bus->virtqueue_kick(disk.dev, disk.vq[0]);
    for (unsigned i = 0; i < N; i++) {
        uint32_t head;      /* in any order, each once */

        g_assert_cmpuint(disk_wait_any(&disk, 0, &head), ==, SECTOR + 1);
        g_assert_cmpuint(head % 3, ==, 0);
        g_assert_cmpuint(head / 3, <, N);
        g_assert_false(used[head / 3]);
        used[head / 3] = true;
    }
    g_assert_cmpuint(qtest_readw(m.qts, disk.vq[0]->used + 2), ==, N);
    close_all(&disk);
}

static void test_interrupt(void)
{
    Machine m;
    Disk disk;
    QVirtQueue *vq;
    gint64 deadline = machine_deadline();

    open_started(&disk, &m, EVENT_IDX);
    vq = disk.vq[0];
    g_assert_false(disk.dev->bus->get_queue_isr_status(disk.dev, vq));
    request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    while (!disk.dev->bus->get_queue_isr_status(disk.dev, vq)) {
        g_assert_true(machine_before(deadline));
    }
    g_assert_false(disk.dev->bus->get_queue_isr_status(disk.dev, vq));

    /* Section 2.7.7: none when the driver does not want one */
    qtest_writew(m.qts, vq->avail, VRING_AVAIL_F_NO_INTERRUPT);
    request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    g_assert_false(disk.dev->bus->get_queue_isr_status(disk.dev, vq));
    close_all(&disk);
}

/* MSI-X with one vector per queue; the used_event index delays them. */
static void test_msix_event_idx(void)
{
    Machine m;
    Disk disk;
    QVirtQueue *vq;

    machine_start(&m, CARD_DISK(""));
    disk_open(&disk, &m, STORAGE_DEVFN);
    qpci_msix_enable(disk.pci->pdev);
    g_assert_cmpuint(qpci_msix_table_size(disk.pci->pdev), ==, 2);
    disk_negotiate(&disk, INDIRECT);
    qvirtio_pci_set_msix_configuration_vector(disk.pci, &m.alloc, 0);
    vq = disk.vq[0] = qvirtqueue_setup(disk.dev, &m.alloc, 0);
    disk.queues = 1;
    qvirtqueue_pci_msix_setup(disk.pci, (QVirtQueuePCI *)vq, &m.alloc, 1);
    qvirtio_set_driver_ok(disk.dev);

    request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    qvirtio_wait_queue_isr(m.qts, disk.dev, vq, MACHINE_TIMEOUT_US);

    /* Interrupt only when used idx passes 2, the third request. */
    qvirtqueue_set_used_event(m.qts, vq, 2);
    request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    g_assert_false(disk.dev->bus->get_queue_isr_status(disk.dev, vq));
    request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0);
    qvirtio_wait_queue_isr(m.qts, disk.dev, vq, MACHINE_TIMEOUT_US);

    qpci_msix_disable(disk.pci->pdev);
    close_all(&disk);
}

static void test_multi_queue(void)
{
    enum { QUEUES = 4 };
    uint8_t data[SECTOR], back[SECTOR];
    Machine m;
    Disk disk;

    machine_start(&m, CARD_DISK(",num-queues=4"));
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, QUEUES);
    g_assert_true(offers(&disk, VIRTIO_BLK_F_MQ));
    g_assert_cmpuint(CONFIG(&disk, num_queues), ==, QUEUES);
    for (unsigned q = 0; q < QUEUES; q++) {
        fill(data, sizeof(data), q);
        g_assert_cmpuint(disk_request(&disk, q, VIRTIO_BLK_T_OUT, q, data,
                                      sizeof(data), NULL), ==,
                         VIRTIO_BLK_S_OK);
        g_assert_cmpuint(disk_request(&disk, QUEUES - 1 - q, VIRTIO_BLK_T_IN,
                                      q, back, sizeof(back), NULL), ==,
                         VIRTIO_BLK_S_OK);
        g_assert_cmpmem(data, SECTOR, back, SECTOR);
    }
    /* A driver may use fewer: section 5.2.5 */
    disk_assert_works(&disk);
    close_all(&disk);
}

/* The data stays when the function, or the machine, is reset. */
static void test_resets(void)
{
    uint8_t data[SECTOR], back[SECTOR] = { };
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    fill(data, sizeof(data), 9);
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_OUT, 1, data, SECTOR), ==,
                     VIRTIO_BLK_S_OK);
    for (unsigned i = 0; i < 20; i++) {
        disk_start(&disk, 0, 1);
    }
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 1, back, SECTOR), ==,
                     VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data, SECTOR, back, SECTOR);
    disk_close(&disk);

    qtest_system_reset(m.qts);
    disk_open(&disk, &m, STORAGE_DEVFN);
    disk_start(&disk, 0, 1);
    memset(back, 0, sizeof(back));
    g_assert_cmpuint(request(&disk, VIRTIO_BLK_T_IN, 1, back, SECTOR), ==,
                     VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data, SECTOR, back, SECTOR);
    close_all(&disk);
}

/* Requests that a stopped VM left are done when it runs again. */
static void test_stop_cont(void)
{
    Machine m;
    Disk disk;

    open_started(&disk, &m, 0);
    for (unsigned i = 0; i < 10; i++) {
        Desc chain[] = { { disk.header, 16 },
                         { disk.buffer, SECTOR, VRING_DESC_F_WRITE },
                         { disk.status, 1, VRING_DESC_F_WRITE } };

        disk_put_header(&disk, VIRTIO_BLK_T_IN, i);
        disk_put_chain(&disk, 0, chain, 3);
        disk_offer(&disk, 0, 0);
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(m.qts, "{ 'execute': 'cont' }");
        g_assert_cmpuint(disk_wait(&disk, 0, 0), ==, SECTOR + 1);
        g_assert_cmpuint(disk_status(&disk), ==, VIRTIO_BLK_S_OK);
    }
    close_all(&disk);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-blk/identity", test_identity);
    g_test_add_func("/virtio-blk/config", test_config);
    g_test_add_func("/virtio-blk/features", test_features);
    g_test_add_func("/virtio-blk/4k-blocks", test_4k_blocks);
    g_test_add_func("/virtio-blk/read-write", test_read_write);
    g_test_add_func("/virtio-blk/beyond-end", test_beyond_end);
    g_test_add_func("/virtio-blk/odd-lengths", test_odd_lengths);
    g_test_add_func("/virtio-blk/flush", test_flush);
    g_test_add_func("/virtio-blk/get-id", test_get_id);
    g_test_add_func("/virtio-blk/unsupported", test_unsupported);
    g_test_add_func("/virtio-blk/write-zeroes", test_write_zeroes);
    g_test_add_func("/virtio-blk/discard", test_discard);
    g_test_add_func("/virtio-blk/bad-ranges", test_bad_ranges);
    g_test_add_func("/virtio-blk/read-only", test_read_only);
    g_test_add_func("/virtio-blk/any-layout", test_any_layout);
    g_test_add_func("/virtio-blk/indirect", test_indirect);
    g_test_add_func("/virtio-blk/long-chain", test_long_chain);
    g_test_add_func("/virtio-blk/many-requests", test_many_requests);
    g_test_add_func("/virtio-blk/batch", test_batch);
    g_test_add_func("/virtio-blk/interrupt", test_interrupt);
    g_test_add_func("/virtio-blk/msix-event-idx", test_msix_event_idx);
    g_test_add_func("/virtio-blk/multi-queue", test_multi_queue);
    g_test_add_func("/virtio-blk/resets", test_resets);
    g_test_add_func("/virtio-blk/stop-cont", test_stop_cont);
    return g_test_run();
}
