/*
 * The modern PCI transport of virtio devices (virtio 1.2 section 4.1).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "console.h"
#include "pci.h"
#include "virtio-pci.h"

#define PCI_CAPABILITIES 0x34

#define VENDOR 0x1af4
#define MODERN_ID 0x1040        /* plus the type */
#define CAP_VENDOR 0x09
#define CAP_COMMON_CFG 1
#define CAP_NOTIFY_CFG 2
#define CAP_DEVICE_CFG 4
#define F_VERSION_1 (1u << 0)   /* of feature word 1 */

/* Transitional devices have ids of their own (section 4.1.2.1). */
static uint32_t transitional_id(unsigned type)
{
    return type == 2 ? 0x1001 : 0x1000;
}

static void map_capability(VirtioPci *dev, uint32_t address, unsigned at)
{
    uint8_t type = pci_read(address, at) >> 24;
    uint8_t *mem;

    if (type != CAP_COMMON_CFG && type != CAP_NOTIFY_CFG &&
        type != CAP_DEVICE_CFG) {
        return;
    }
    mem = pci_bar(address, pci_read(address, at + 4) & 0xff) +
          pci_read(address, at + 8);
    if (type == CAP_COMMON_CFG) {
        dev->common = (VirtioCommon *)mem;
    } else if (type == CAP_DEVICE_CFG) {
        dev->device = (uint32_t *)mem;
    } else {
        dev->notify = mem;
        dev->notify_multiplier = pci_read(address, at + 16);
    }
}

static void map_capabilities(VirtioPci *dev, uint32_t address)
{
    uint8_t at = pci_read(address, PCI_CAPABILITIES) & 0xfc;

    for (unsigned i = 0; at && i < 48; i++) {
        uint32_t head = pci_read(address, at);

        if ((head & 0xff) == CAP_VENDOR) {
            map_capability(dev, address, at);
        }
        at = head >> 8 & 0xfc;
    }
    if (!dev->common || !dev->notify || !dev->device) {
        fail("the function lacks a modern virtio capability");
    }
}

bool virtio_find(VirtioPci *dev, unsigned type)
{
    uint32_t address;

    if (!pci_find((MODERN_ID + type) << 16 | VENDOR,
                  transitional_id(type) << 16 | VENDOR, &address)) {
        return false;
    }
    pci_enable(address);
    *dev = (VirtioPci) { 0 };
    map_capabilities(dev, address);
    return true;
}

void virtio_negotiate(VirtioPci *dev, uint32_t wanted)
{
    VirtioCommon *common = dev->common;
    uint32_t mask[2] = { wanted, F_VERSION_1 };
    uint32_t agreed = 0;

    common->device_status = 0;
    while (common->device_status != 0) {
        /* section 4.1.4.3.2: a reset may take a while */
    }
    common->device_status = VIRTIO_ACKNOWLEDGE;
    common->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;
    for (unsigned i = 0; i < 2; i++) {
        common->device_feature_select = i;
        agreed = common->device_feature & mask[i];
        common->driver_feature_select = i;
        common->driver_feature = agreed;
    }
    common->device_status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER |
                            VIRTIO_FEATURES_OK;
    if (!agreed || !(common->device_status & VIRTIO_FEATURES_OK)) {
        fail("the device does not do virtio 1");
    }
}
