/*
 * A PCI Express slot with native hot-plug, and the guest's part in it.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "standard-headers/linux/pci_regs.h"

#include "slot.h"

#define POWER_OFF (PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)
#define POWER_ON  PCI_EXP_SLTCTL_PWR_IND_ON

/* The q35 host bridge's PCIEXBAR register, and a free place in memory. */
#define PCIEXBAR      0x60
#define CONFIG_MEMORY 0xb0000000

G_STATIC_ASSERT(SLOT_POWER_OFF == POWER_OFF);

void slot_open(Slot *slot, Machine *m)
{
    slot->m = m;
    slot->port = qpci_device_find(m->bus, QPCI_DEVFN(5, 0));
    g_assert_nonnull(slot->port);
    qpci_device_enable(slot->port);
    qpci_config_writeb(slot->port, PCI_SECONDARY_BUS, 1);
    qpci_config_writeb(slot->port, PCI_SUBORDINATE_BUS, 1);
    /* Where libqos puts BARs */
    qpci_config_writew(slot->port, PCI_MEMORY_BASE, 0xe000);
    qpci_config_writew(slot->port, PCI_MEMORY_LIMIT, 0xefff);
    slot->cap = qpci_find_capability(slot->port, PCI_CAP_ID_EXP, 0);
    g_assert_cmpuint(slot->cap, !=, 0);
}

void slot_close(Slot *slot)
{
    g_free(slot->port);
}

bool slot_is_occupied(Slot *slot)
{
    return qpci_config_readw(slot->port, slot->cap + PCI_EXP_SLTSTA) &
        PCI_EXP_SLTSTA_PDS;
}

void slot_set_power(Slot *slot, bool on)
{
    qpci_config_writew(slot->port, slot->cap + PCI_EXP_SLTCTL,
                       on ? POWER_ON : POWER_OFF);
}

uint64_t slot_control_address(Slot *slot)
{
    QPCIDevice *host = qpci_device_find(slot->m->bus, QPCI_DEVFN(0, 0));

    qpci_config_writel(host, PCIEXBAR, CONFIG_MEMORY | 1);
    g_free(host);
    return CONFIG_MEMORY + ((uint64_t)slot->port->devfn << 12) + slot->cap +
        PCI_EXP_SLTCTL;
}
