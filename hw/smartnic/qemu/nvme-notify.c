/*
 * Interrupts of the NVMe function.
 *
 * A message may be a write to an address of the guest's choice, which may reset
 * or unplug the function. So what is not known to go to an interrupt controller
 * comes from a bottom half, without the controller's code on the stack.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "hw/pci/msix.h"

#include "loop.h"
#include "msi-address.h"
#include "nvme-pci.h"

typedef enum Way {
    WAY_NONE,                   /* no such message is enabled */
    WAY_DIRECT,                 /* to an interrupt controller */
    WAY_MEMORY,                 /* to wherever the guest says */
} Way;

static Way way_of(MSIMessage msg)
{
    return sn_msi_is_interrupt(msg) ? WAY_DIRECT : WAY_MEMORY;
}

static Way vector_way(PCIDevice *pci, unsigned vector)
{
    if (msix_enabled(pci)) {
        return vector < msix_nr_vectors_allocated(pci)
               ? way_of(msix_get_message(pci, vector)) : WAY_NONE;
    }
    if (msi_enabled(pci)) {
        return vector < msi_nr_vectors_allocated(pci)
               ? way_of(msi_get_message(pci, vector)) : WAY_NONE;
    }
    return WAY_NONE;
}

static void send_message(PCIDevice *pci, unsigned vector)
{
    if (msix_enabled(pci)) {
        msix_notify(pci, vector);
    } else {
        msi_notify(pci, vector);
    }
}

static void notify_bh(void *opaque)
{
    SnNvmePci *s = opaque;
    PCIDevice *pci = PCI_DEVICE(s);
    unsigned long *bits = (unsigned long *)s->notify;

    for (unsigned i = 0;
         s->plugged && s->running && i < SN_CTRL_MAX_VECTORS; i++) {
        if (test_and_clear_bit(i, bits) && vector_way(pci, i) != WAY_NONE) {
            send_message(pci, i);
        }
    }
}

void sn_nvme_notify(void *opaque, unsigned vector)
{
    SnNvmePci *s = opaque;
    PCIDevice *pci = PCI_DEVICE(s);

    if (!s->plugged) {
        return;
    }
    switch (vector_way(pci, vector)) {
    case WAY_NONE:
        break;
    case WAY_DIRECT:
        send_message(pci, vector);
        break;
    case WAY_MEMORY:
        set_bit(vector, (unsigned long *)s->notify);
        sn_qemu_loop()->bh_schedule(s->notify_bh);
        break;
    }
}

void sn_nvme_set_pin(void *opaque, bool level)
{
    SnNvmePci *s = opaque;

    if (s->plugged) {
        pci_set_irq(PCI_DEVICE(s), level);
    }
}

void sn_nvme_choose_interrupt(SnNvmePci *s)
{
    PCIDevice *pci = PCI_DEVICE(s);

    /* PCI 3.0 section 6.8.3.3: with messages enabled, the pin is silent. */
    sn_ctrl_use_interrupts(s->ctrl, msix_enabled(pci) ? SN_CTRL_MSIX :
                           msi_enabled(pci) ? SN_CTRL_MSI : SN_CTRL_PIN);
}

void sn_nvme_notify_wake(SnNvmePci *s)
{
    sn_qemu_loop()->bh_schedule(s->notify_bh);
}

void sn_nvme_notify_forget(void *opaque)
{
    SnNvmePci *s = opaque;

    memset(s->notify, 0, sizeof(s->notify));
}

void sn_nvme_notify_init(SnNvmePci *s)
{
    s->notify_bh = sn_qemu_loop()->bh_new(sn_qemu_loop(), notify_bh, s);
}

void sn_nvme_notify_free(SnNvmePci *s)
{
    sn_qemu_loop()->bh_free(s->notify_bh);
    s->notify_bh = NULL;
}
