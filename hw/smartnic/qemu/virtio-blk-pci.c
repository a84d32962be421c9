/*
 * The virtio-blk storage function as a PCI function.
 *
 * A driver reads size and features as soon as it has reset the function, and
 * at boot the volume may need a moment more to connect. virtio lets a device
 * take its time there: the driver has to wait until device_status reads 0
 * (virtio 1.2 section 4.1.4.3.2), and Linux, BSD and Windows do. So the status
 * register is the one thing that this file does differently from QEMU's
 * virtio-blk-pci.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/pci/msix.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-pci.h"
#include "standard-headers/linux/virtio_pci.h"

#include "ioeventfd.h"
#include "msi-address.h"
#include "virtio-blk-pci.h"
#include "volume-stats.h"

static uint64_t common_read(void *opaque, hwaddr addr, unsigned size)
{
    SnVirtioBlkPci *dev = SN_VIRTIO_BLK_PCI(opaque);
    uint64_t val = dev->pci_ops->read(opaque, addr, size);

    if (addr == VIRTIO_PCI_COMMON_STATUS && val == 0 &&
        sn_virtio_blk_must_wait(&dev->vdev)) {
        /* Any value but 0 says that the reset is still going on. */
        return VIRTIO_CONFIG_S_NEEDS_RESET;
    }
    return val;
}

/* INTx is a wire. */
static bool interrupt_is_direct(SnVirtioBlk *s, unsigned queue)
{
    SnVirtioBlkPci *dev = container_of(s, SnVirtioBlkPci, vdev);
    PCIDevice *pci = PCI_DEVICE(dev);
    uint16_t vector = virtio_queue_vector(VIRTIO_DEVICE(s), queue);

    if (!msix_enabled(pci) || vector == VIRTIO_NO_VECTOR) {
        return true;
    }
    return vector < msix_nr_vectors_allocated(pci) &&
           sn_msi_is_interrupt(msix_get_message(pci, vector));
}

static void virtio_blk_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    SnVirtioBlkPci *dev = SN_VIRTIO_BLK_PCI(proxy);
    MemoryRegion *common = &proxy->common.mr;

    dev->vdev.interrupt_is_direct = interrupt_is_direct;
    if (sn_ioeventfd(dev->ioeventfd)) {
        proxy->flags |= VIRTIO_PCI_FLAG_USE_IOEVENTFD;
    }
    /* Legacy drivers neither wait for a reset nor know little endian. */
    virtio_pci_force_virtio_1(proxy);
    if (proxy->nvectors == DEV_NVECTORS_UNSPECIFIED) {
        proxy->nvectors = dev->vdev.num_queues + 1;
    }
    if (!qdev_realize(DEVICE(&dev->vdev), BUS(&proxy->bus), errp)) {
        return;
    }
    dev->pci_ops = common->ops;
    dev->common_ops = *common->ops;
    dev->common_ops.read = common_read;
    common->ops = &dev->common_ops;
}

static const Property virtio_blk_pci_properties[] = {
    DEFINE_PROP_ON_OFF_AUTO("ioeventfd", SnVirtioBlkPci, ioeventfd,
                            ON_OFF_AUTO_AUTO),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors,
                       DEV_NVECTORS_UNSPECIFIED),
};

static void virtio_blk_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    set_bit(DEVICE_CATEGORY_STORAGE, dc->categories);
    dc->desc = "SmartNIC virtio-blk function (made by smartnic-storage)";
    dc->user_creatable = false;
    device_class_set_props(dc, virtio_blk_pci_properties);
    VIRTIO_PCI_CLASS(klass)->realize = virtio_blk_pci_realize;
    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = PCI_DEVICE_ID_VIRTIO_BLOCK;
    pc->revision = VIRTIO_PCI_ABI_VERSION;
    pc->class_id = PCI_CLASS_STORAGE_SCSI;
}

static void virtio_blk_pci_instance_init(Object *obj)
{
    SnVirtioBlkPci *dev = SN_VIRTIO_BLK_PCI(obj);

    virtio_instance_init_common(obj, &dev->vdev, sizeof(dev->vdev),
                                TYPE_SN_VIRTIO_BLK);
    object_property_add_alias(obj, "bootindex", OBJECT(&dev->vdev),
                              "bootindex");
    sn_volume_stats_alias(obj, OBJECT(&dev->vdev));
}

static const VirtioPCIDeviceTypeInfo virtio_blk_pci_type = {
    .generic_name = TYPE_SN_VIRTIO_BLK_PCI,
    .instance_size = sizeof(SnVirtioBlkPci),
    .instance_init = virtio_blk_pci_instance_init,
    .class_init = virtio_blk_pci_class_init,
};

void sn_virtio_blk_pci_register_types(void)
{
    virtio_pci_types_register(&virtio_blk_pci_type);
}
