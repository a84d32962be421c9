/*
 * Interrupts of the network function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_NET_NOTIFY_H
#define SMARTNIC_QEMU_NET_NOTIFY_H

#include "hw/pci/pci_device.h"

typedef struct SnNetNotify SnNetNotify;

/*
 * Takes over the messages of @net, which is realized: those that are not known
 * to go to an interrupt controller leave from a bottom half. The caller frees.
 */
SnNetNotify *sn_net_notify_new(PCIDevice *net);

/*
 * What waits is dropped. The device must still exist; it may be unplugged. From
 * wherever a guest can unplug it.
 */
void sn_net_notify_free(SnNetNotify *n);

#endif
