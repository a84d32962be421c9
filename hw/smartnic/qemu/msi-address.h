/*
 * Where a message signalled interrupt goes.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_MSI_ADDRESS_H
#define SMARTNIC_QEMU_MSI_ADDRESS_H

#include "hw/pci/msi.h"

/*
 * On a PC, messages to this range are interrupts, whatever else a guest maps
 * there (Intel SDM volume 3, section 11.11.1). Others may be writes to
 * registers of anything, also of the function that sends them.
 */
static inline bool sn_msi_is_interrupt(MSIMessage msg)
{
    return (msg.address & ~0xfffffULL) == 0xfee00000;
}

#endif
