/*
 * smartnic-volume: a namespace of an NVMe function, as a device that comes and
 * goes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/hotplug.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/error.h"

#include "nvme-pci.h"
#include "volume-stats.h"

#define TYPE_SN_NVME_VOLUME "smartnic-volume"
OBJECT_DECLARE_SIMPLE_TYPE(SnNvmeVolume, SN_NVME_VOLUME)

struct SnNvmeVolume {
    DeviceState parent_obj;

    /* properties */
    uint32_t nsid;
    char *url;

    SnNvmePci *function;        /* NULL: not realized */
};

static void nvme_volume_realize(DeviceState *dev, Error **errp)
{
    SnNvmeVolume *v = SN_NVME_VOLUME(dev);
    SnNvmePci *function = SN_NVME_PCI(qdev_get_parent_bus(dev)->parent);
    uint32_t nsid;

    if (!v->url) {
        error_setg(errp, "url is missing: give one such as "
                   "nvme+tcp://host/nqn or mem://?size=1G");
        return;
    }
    nsid = sn_nvme_pci_add_volume(function, v->nsid, v->url, dev->id, errp);
    if (nsid) {
        v->nsid = nsid;
        v->function = function;
    }
}

static void nvme_volume_unrealize(DeviceState *dev)
{
    SnNvmeVolume *v = SN_NVME_VOLUME(dev);

    /*
     * A guest can unplug the function from within anything; its controller,
     * which may be on the stack then, takes the namespace with it later.
     */
    if (DEVICE(v->function)->realized) {
        sn_nvme_pci_remove_volume(v->function, v->nsid);
    }
    v->function = NULL;
}

static SnVolume *volume_of(Object *obj)
{
    SnNvmeVolume *v = SN_NVME_VOLUME(obj);

    return v->function ? sn_nvme_pci_volume(v->function, v->nsid) : NULL;
}

static void nvme_volume_instance_init(Object *obj)
{
    sn_volume_stats_add(obj, volume_of);
}

static const Property nvme_volume_properties[] = {
    DEFINE_PROP_UINT32("nsid", SnNvmeVolume, nsid, 0),
    DEFINE_PROP_STRING("url", SnNvmeVolume, url),
};

static const VMStateDescription vmstate_nvme_volume = {
    .name = TYPE_SN_NVME_VOLUME,
    .unmigratable = 1,
};

static void nvme_volume_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->desc = "SmartNIC volume: a namespace of an NVMe function";
    dc->bus_type = TYPE_SN_NVME_BUS;
    dc->realize = nvme_volume_realize;
    dc->unrealize = nvme_volume_unrealize;
    dc->vmsd = &vmstate_nvme_volume;
    set_bit(DEVICE_CATEGORY_STORAGE, dc->categories);
    device_class_set_props(dc, nvme_volume_properties);
}

static const TypeInfo nvme_volume_type = {
    .name = TYPE_SN_NVME_VOLUME,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(SnNvmeVolume),
    .instance_init = nvme_volume_instance_init,
    .class_init = nvme_volume_class_init,
};

/* ---- the bus ---- */

static void nvme_bus_class_init(ObjectClass *klass, void *data)
{
    HOTPLUG_HANDLER_CLASS(klass)->unplug = qdev_simple_device_unplug_cb;
}

static const TypeInfo nvme_bus_type = {
    .name = TYPE_SN_NVME_BUS,
    .parent = TYPE_BUS,
    .instance_size = sizeof(SnNvmeBus),
    .class_init = nvme_bus_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_HOTPLUG_HANDLER },
        { }
    },
};

void sn_nvme_bus_init(SnNvmeBus *bus, DeviceState *function, const char *name)
{
    qbus_init(bus, sizeof(*bus), TYPE_SN_NVME_BUS, function, name);
    qbus_set_bus_hotplug_handler(BUS(bus));
}

void sn_nvme_volume_register_types(void)
{
    type_register_static(&nvme_bus_type);
    type_register_static(&nvme_volume_type);
}
