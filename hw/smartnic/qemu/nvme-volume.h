/*
 * smartnic-volume: a namespace of an NVMe function, as a device that comes and
 * goes; and the bus of a function that such devices are plugged into.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_NVME_VOLUME_H
#define SMARTNIC_QEMU_NVME_VOLUME_H

#include "hw/qdev-core.h"

#define TYPE_SN_NVME_BUS "smartnic-nvme-bus"
OBJECT_DECLARE_SIMPLE_TYPE(SnNvmeBus, SN_NVME_BUS)

struct SnNvmeBus {
    BusState parent_obj;
};

/* The bus @name of @function, an SnNvmePci that is being realized. */
void sn_nvme_bus_init(SnNvmeBus *bus, DeviceState *function, const char *name);

void sn_nvme_volume_register_types(void);

#endif
