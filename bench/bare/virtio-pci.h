/*
 * The modern PCI transport of virtio devices (virtio 1.2 section 4.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_VIRTIO_PCI_H
#define BARE_VIRTIO_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_ACKNOWLEDGE 1
#define VIRTIO_DRIVER 2
#define VIRTIO_DRIVER_OK 4
#define VIRTIO_FEATURES_OK 8

/* Section 4.1.4.3 */
typedef volatile struct VirtioCommon {
    uint32_t device_feature_select;
    uint32_t device_feature;
    uint32_t driver_feature_select;
    uint32_t driver_feature;
    uint16_t config_msix_vector;
    uint16_t num_queues;
    uint8_t device_status;
    uint8_t config_generation;
    uint16_t queue_select;
    uint16_t queue_size;
    uint16_t queue_msix_vector;
    uint16_t queue_enable;
    uint16_t queue_notify_off;
    uint32_t queue_desc[2];
    uint32_t queue_driver[2];
    uint32_t queue_device[2];
} VirtioCommon;

/* Where the parts of a function are in memory. */
typedef struct VirtioPci {
    VirtioCommon *common;
    uint8_t *notify;
    uint32_t notify_multiplier;
    volatile uint32_t *device;          /* its own configuration */
} VirtioPci;

/*
 * Finds the first function of the device type @type (section 5) and lets it
 * use memory, but no interrupts. False when there is none.
 */
bool virtio_find(VirtioPci *dev, unsigned type);

/*
 * Resets the device and agrees on VERSION_1 and those features of @wanted,
 * bits 0 to 31, that it offers (section 3.1.1 up to step 6).
 */
void virtio_negotiate(VirtioPci *dev, uint32_t wanted);

#endif /* BARE_VIRTIO_PCI_H */
