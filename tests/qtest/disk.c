/*
 * A driver for the virtio-blk storage function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "disk.h"

G_STATIC_ASSERT(sizeof(Desc) == sizeof(struct vring_desc));

void disk_open(Disk *disk, Machine *m, int devfn)
{
    QPCIAddress addr = { .devfn = devfn };

    *disk = (Disk) { .m = m };
    disk->pci = virtio_pci_new(m->bus, &addr);
    g_assert_nonnull(disk->pci);
    disk->dev = &disk->pci->vdev;
    qvirtio_pci_device_enable(disk->pci);
    disk->header = guest_alloc(&m->alloc, 16);
    disk->buffer = guest_alloc(&m->alloc, DISK_BUFFER_SIZE);
    disk->status = guest_alloc(&m->alloc, 1);
}

static void free_queues(Disk *disk)
{
    for (unsigned q = 0; q < disk->queues; q++) {
        qvirtqueue_cleanup(disk->dev->bus, disk->vq[q], &disk->m->alloc);
    }
    disk->queues = 0;
}

void disk_close(Disk *disk)
{
    free_queues(disk);
    guest_free(&disk->m->alloc, disk->status);
    guest_free(&disk->m->alloc, disk->buffer);
    guest_free(&disk->m->alloc, disk->header);
    qvirtio_pci_device_disable(disk->pci);
    g_free(disk->pci->pdev);
    g_free(disk->pci);
}

void disk_negotiate(Disk *disk, uint64_t without)
{
    uint64_t features;

    /* As a boot firmware does, which does not wait for the end of a reset. */
    disk->dev->bus->set_status(disk->dev, 0);
    disk->dev->features_negotiated = false;
    disk->dev->bus->set_status(disk->dev, VIRTIO_CONFIG_S_ACKNOWLEDGE |
                                          VIRTIO_CONFIG_S_DRIVER);
    free_queues(disk);
    features = qvirtio_get_features(disk->dev);
    qvirtio_set_features(disk->dev,
                         features & ~(without | QVIRTIO_F_BAD_FEATURE));
}

void disk_start(Disk *disk, uint64_t without, unsigned queues)
{
    /* Without EVENT_IDX each request is notified, and interrupts. */
    disk_negotiate(disk, without);
    for (unsigned q = 0; q < queues; q++) {
        disk->vq[q] = qvirtqueue_setup(disk->dev, &disk->m->alloc, q);
    }
    disk->queues = queues;
    qvirtio_set_driver_ok(disk->dev);
}

void disk_put_header(Disk *disk, uint32_t type, uint64_t sector)
{
    struct virtio_blk_outhdr hdr = {
        .type = GUINT32_TO_LE(type),
        .sector = GUINT64_TO_LE(sector),
    };

    qtest_memwrite(disk->m->qts, disk->header, &hdr, sizeof(hdr));
    qtest_writeb(disk->m->qts, disk->status, STATUS_NONE);
}

void disk_put_desc(Disk *disk, unsigned q, unsigned index, Desc desc)
{
    Desc le = {
        .addr = GUINT64_TO_LE(desc.addr),
        .len = GUINT32_TO_LE(desc.len),
        .flags = GUINT16_TO_LE(desc.flags),
        .next = GUINT16_TO_LE(desc.next),
    };

    qtest_memwrite(disk->m->qts, disk->vq[q]->desc + index * sizeof(le), &le,
                   sizeof(le));
}

void disk_put_chain(Disk *disk, unsigned q, const Desc *descs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        Desc d = descs[i];

        if (i + 1 < count) {
            d.flags |= VRING_DESC_F_NEXT;
            d.next = i + 1;
        }
        disk_put_desc(disk, q, i, d);
    }
}

void disk_offer(Disk *disk, unsigned q, unsigned head)
{
    qvirtqueue_kick(disk->m->qts, disk->dev, disk->vq[q], head);
}

uint32_t disk_wait_any(Disk *disk, unsigned q, uint32_t *head)
{
    QVirtQueue *vq = disk->vq[q];
    gint64 deadline = machine_deadline();
    uint64_t elem = vq->used + offsetof(struct vring_used, ring) +
        vq->last_used_idx % vq->size * sizeof(struct vring_used_elem);

    while (!qvirtqueue_get_buf(disk->m->qts, vq, head, NULL)) {
        if (!machine_before(deadline)) {
            g_error("no answer from the disk");
        }
    }
    /* libqos would give 16 of its 32 bits. */
    return qtest_readl(disk->m->qts,
                       elem + offsetof(struct vring_used_elem, len));
}

void disk_offer_reads(Disk *disk, unsigned count)
{
    disk_put_header(disk, VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < count; i++) {
        unsigned d = i * 3;

        disk_put_desc(disk, 0, d, (Desc) { disk->header, 16,
                                           VRING_DESC_F_NEXT, d + 1 });
        disk_put_desc(disk, 0, d + 1,
                      (Desc) { disk->buffer + i * SECTOR, SECTOR,
                               VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
                               d + 2 });
        disk_put_desc(disk, 0, d + 2, (Desc) { disk->status, 1,
                                               VRING_DESC_F_WRITE });
        disk_offer(disk, 0, d);
    }
}

uint32_t disk_wait(Disk *disk, unsigned q, unsigned head)
{
    uint32_t used_head;
    uint32_t len = disk_wait_any(disk, q, &used_head);

    g_assert_cmpuint(used_head, ==, head);
    return len;
}

uint8_t disk_status(Disk *disk)
{
    return qtest_readb(disk->m->qts, disk->status);
}

uint8_t disk_device_status(Disk *disk)
{
    return disk->dev->bus->get_status(disk->dev);
}

uint8_t disk_request(Disk *disk, unsigned q, uint32_t type, uint64_t sector,
                     void *data, size_t len, uint32_t *written)
{
    bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    Desc chain[3] = { { disk->header, sizeof(struct virtio_blk_outhdr) } };
    unsigned count = 1;
    uint32_t used_len;

    g_assert_cmpuint(len, <=, DISK_BUFFER_SIZE);
    disk_put_header(disk, type, sector);
    if (len) {
        qtest_memwrite(disk->m->qts, disk->buffer, data, len);
        chain[count++] = (Desc) { disk->buffer, len,
                                  in ? VRING_DESC_F_WRITE : 0 };
    }
    chain[count++] = (Desc) { disk->status, 1, VRING_DESC_F_WRITE };
    disk_put_chain(disk, q, chain, count);
    disk_offer(disk, q, 0);
    used_len = disk_wait(disk, q, 0);
    if (written) {
        *written = used_len;
    }
    if (in && len) {
        qtest_memread(disk->m->qts, disk->buffer, data, len);
    }
    return disk_status(disk);
}

void disk_assert_works(Disk *disk)
{
    static unsigned salt;
    uint8_t data[2 * SECTOR], back[sizeof(data)] = { };

    machine_assert_alive(disk->m);
    disk_start(disk, 0, 1);
    memset(data, 0xa0 + ++salt % 16, sizeof(data));
    g_assert_cmpuint(disk_request(disk, 0, VIRTIO_BLK_T_OUT, 7, data,
                                  sizeof(data), NULL), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpuint(disk_request(disk, 0, VIRTIO_BLK_T_IN, 7, back,
                                  sizeof(back), NULL), ==, VIRTIO_BLK_S_OK);
    g_assert_cmpmem(data, sizeof(data), back, sizeof(back));
}
