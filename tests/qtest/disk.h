/*
 * A driver for the virtio-blk storage function, as a test needs it: requests
 * as a guest makes them, and descriptor chains as no guest should.
 *
 * One request at a time and queue: chains always start at descriptor 0 unless
 * the test places them itself.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QTEST_DISK_H
#define SMARTNIC_QTEST_DISK_H

#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"

#include "machine.h"

#define SECTOR 512

/* What disk_status() returns before the device wrote a status. */
#define STATUS_NONE 0xff

/* Guest memory for the parts of requests. */
#define DISK_BUFFER_SIZE (1024 * 1024)
#define DISK_MAX_QUEUES 8

typedef struct Disk {
    Machine *m;
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    QVirtQueue *vq[DISK_MAX_QUEUES];
    unsigned queues;
    uint64_t header;            /* guest addresses: 16 bytes, */
    uint64_t buffer;            /* DISK_BUFFER_SIZE, */
    uint64_t status;            /* 1 byte */
} Disk;

/* A descriptor as the ring has it (virtio 1.2 section 2.7.5). */
typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
} Desc;

/* The function at @devfn, not yet started. */
void disk_open(Disk *disk, Machine *m, int devfn);
void disk_close(Disk *disk);

/*
 * Resets the device and starts it again with @queues queues and every feature
 * that it offers but those in @without.
 */
void disk_start(Disk *disk, uint64_t without, unsigned queues);
/* The first half of that: up to the features. */
void disk_negotiate(Disk *disk, uint64_t without);

/*
 * A whole request on queue @q. @data is @len bytes, copied to guest memory
 * before and back from it afterwards. Returns the status; *@written, if not
 * NULL, is what the used ring says that the device wrote.
 */
uint8_t disk_request(Disk *disk, unsigned q, uint32_t type, uint64_t sector,
                     void *data, size_t len, uint32_t *written);

/* Pieces of it. */
void disk_put_header(Disk *disk, uint32_t type, uint64_t sector);
void disk_put_desc(Disk *disk, unsigned q, unsigned index, Desc desc);
/* @count descriptors from index 0 on, their links filled in. */
void disk_put_chain(Disk *disk, unsigned q, const Desc *descs, unsigned count);
/* Puts @head in the available ring and notifies the device. */
void disk_offer(Disk *disk, unsigned q, unsigned head);
/*
 * Offers @count reads on queue 0, each of a sector of its own of the buffer.
 * Header and status are the same for all.
 */
void disk_offer_reads(Disk *disk, unsigned count);
/* Waits until chain @head is used; returns the length in the used ring. */
uint32_t disk_wait(Disk *disk, unsigned q, unsigned head);
/* Waits for any chain; *@head says which. */
uint32_t disk_wait_any(Disk *disk, unsigned q, uint32_t *head);
uint8_t disk_status(Disk *disk);

/* The device status register (virtio 1.2 section 2.1). */
uint8_t disk_device_status(Disk *disk);

/* Starts the disk and writes, reads and compares; fails the test if not. */
void disk_assert_works(Disk *disk);

#endif
