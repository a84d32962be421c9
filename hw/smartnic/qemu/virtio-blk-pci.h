/*
 * The virtio-blk storage function as a PCI function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_VIRTIO_BLK_PCI_H
#define SMARTNIC_QEMU_VIRTIO_BLK_PCI_H

#include "hw/virtio/virtio-pci.h"
#include "virtio-blk.h"

#define TYPE_SN_VIRTIO_BLK_PCI "smartnic-virtio-blk"
OBJECT_DECLARE_SIMPLE_TYPE(SnVirtioBlkPci, SN_VIRTIO_BLK_PCI)

struct SnVirtioBlkPci {
    VirtIOPCIProxy parent_obj;
    SnVirtioBlk vdev;
    OnOffAuto ioeventfd;            /* property */
    MemoryRegionOps common_ops;     /* virtio-pci's, with our read */
    const MemoryRegionOps *pci_ops; /* virtio-pci's own */
};

void sn_virtio_blk_pci_register_types(void);

#endif
