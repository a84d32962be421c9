/*
 * The NVMe storage function: the controller of hw/smartnic/nvme as a PCI
 * function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_NVME_PCI_H
#define SMARTNIC_QEMU_NVME_PCI_H

#include "hw/pci/pci_device.h"

#include "card.h"
#include "ctrl.h"
#include "nvme-volume.h"

#define TYPE_SN_NVME_PCI "smartnic-nvme"
OBJECT_DECLARE_SIMPLE_TYPE(SnNvmePci, SN_NVME_PCI)

typedef struct SnNvmeDoorbells SnNvmeDoorbells;

struct SnNvmePci {
    PCIDevice parent_obj;

    /* properties */
    char *nic;
    char *url;                  /* of namespace 1, or NULL */
    char *serial;
    uint16_t queue_pairs;
    uint16_t queue_entries;
    uint32_t ready_timeout;     /* ms */
    OnOffAuto ioeventfd;
    int32_t bootindex;

    /*
     * The card, which sets it before it realizes its own function; NULL once
     * that is gone: there are no namespaces then.
     */
    SnCard *card;
    SnCardUser user;
    char *name;                 /* the function's id, the card's, or made up */

    MemoryRegion bar;           /* registers, MSI-X table and PBA */
    MemoryRegion regs;
    SnNvmeBus bus;              /* of smartnic-volume devices */
    SnDma *dma;
    SnCtrl *ctrl;               /* NULL: unplugged a while ago */
    SnCtrlNs *ns[SN_CTRL_MAX_NSID + 1];         /* by nsid; 0 is not used */
    uint32_t last_nsid;         /* that was chosen here; 0: none was */

    bool plugged;
    bool vm_running;
    bool running;               /* what the controller was told */
    VMChangeStateEntry *vmstate;

    /* nvme-notify.c */
    uint64_t notify[DIV_ROUND_UP(SN_CTRL_MAX_VECTORS, 64)];
    SnBh *notify_bh;

    SnNvmeDoorbells *doorbells; /* nvme-doorbell.c */
};

/*
 * Namespaces of the function, for its volume= and for smartnic-volume devices.
 * @nsid 0: the next that is free after the one that was chosen last. Returns its number, or 0 and @errp.
 */
uint32_t sn_nvme_pci_add_volume(SnNvmePci *s, uint32_t nsid, const char *url,
                                const char *id, Error **errp);
/* Harmless when it is gone already. */
void sn_nvme_pci_remove_volume(SnNvmePci *s, uint32_t nsid);
/* The volume of namespace @nsid; NULL when there is none. */
SnVolume *sn_nvme_pci_volume(SnNvmePci *s, uint32_t nsid);

/*
 * nvme-notify.c: interrupts. As SnCtrlOps says; a message that may come back to
 * this function leaves from a bottom half.
 */
void sn_nvme_notify_init(SnNvmePci *s);
void sn_nvme_notify_free(SnNvmePci *s);
void sn_nvme_notify(void *opaque, unsigned vector);
void sn_nvme_notify_forget(void *opaque);
void sn_nvme_set_pin(void *opaque, bool level);
/* The guest may have changed which kind of interrupt it takes. */
void sn_nvme_choose_interrupt(SnNvmePci *s);
/* What waits can leave: the virtual machine runs. */
void sn_nvme_notify_wake(SnNvmePci *s);

/* nvme-doorbell.c: doorbells as eventfds. */
void sn_nvme_doorbell_event(void *opaque, unsigned offset, bool on);
/* Back to ordinary writes, all of them; frees. */
void sn_nvme_doorbells_free(SnNvmePci *s);

/* nvme-stats.c: what the monitor can ask. */
void sn_nvme_stats_init(Object *obj);

void sn_nvme_pci_register_types(void);

#endif
