/*
 * Doorbells of the NVMe function as eventfds: a write wakes the main loop, and
 * the processor that rang does not wait for its turn.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"

#include "ioeventfd.h"
#include "nvme-pci.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_doorbell_event);

#define DOORBELL_SIZE 4         /* bytes: a write of any other is ordinary */
#define DOORBELL_IS_CQ 4        /* in the offset */
#define DOORBELLS (2 * (SN_CTRL_MAX_QUEUE_PAIRS + 1))

typedef struct Doorbell {
    EventNotifier notifier;
    SnNvmePci *function;
    unsigned offset;            /* in the register block */
    bool on;
} Doorbell;

struct SnNvmeDoorbells {
    Doorbell doorbells[DOORBELLS];
};

static void rung(EventNotifier *notifier)
{
    Doorbell *d = container_of(notifier, Doorbell, notifier);

    if (event_notifier_test_and_clear(notifier)) {
        sn_ctrl_doorbell_event(d->function->ctrl, d->offset);
    }
}

static void doorbell_on(SnNvmePci *s, Doorbell *d, unsigned offset)
{
    if (event_notifier_init(&d->notifier, false) < 0) {
        return;                 /* out of descriptors: ordinary writes */
    }
    d->function = s;
    d->offset = offset;
    d->on = true;
    event_notifier_set_handler(&d->notifier, rung);
    memory_region_add_eventfd(&s->regs, offset, DOORBELL_SIZE, false, 0,
                              &d->notifier);
}

/* May be called with rung() on the stack. */
static void doorbell_off(SnNvmePci *s, Doorbell *d)
{
    memory_region_del_eventfd(&s->regs, d->offset, DOORBELL_SIZE, false, 0,
                              &d->notifier);
    event_notifier_set_handler(&d->notifier, NULL);
    event_notifier_cleanup(&d->notifier);
    d->on = false;
}

/*
 * The pin is a level, and goes down with the doorbell of a completion queue. A
 * guest whose handler returned before that would be interrupted again.
 */
static bool must_be_write(SnNvmePci *s, unsigned offset)
{
    PCIDevice *pci = PCI_DEVICE(s);

    return (offset & DOORBELL_IS_CQ) && !msix_enabled(pci) &&
           !msi_enabled(pci);
}

void sn_nvme_doorbell_event(void *opaque, unsigned offset, bool on)
{
    SnNvmePci *s = opaque;
    unsigned index = (offset - SN_CTRL_DOORBELLS) / DOORBELL_SIZE;
    Doorbell *d;

    if (!s->plugged || !sn_ioeventfd(s->ioeventfd) || index >= DOORBELLS) {
        return;
    }
    if (!s->doorbells) {
        s->doorbells = g_new0(SnNvmeDoorbells, 1);
    }
    d = &s->doorbells->doorbells[index];
    if (on == d->on || (on && must_be_write(s, offset))) {
        return;
    }
    sn_trace(nvme_doorbell_event, "id=%s offset=0x%x on=%d", s->name, offset,
             on);
    if (on) {
        doorbell_on(s, d, offset);
    } else {
        doorbell_off(s, d);
    }
}

void sn_nvme_doorbells_free(SnNvmePci *s)
{
    for (unsigned i = 0; s->doorbells && i < DOORBELLS; i++) {
        if (s->doorbells->doorbells[i].on) {
            doorbell_off(s, &s->doorbells->doorbells[i]);
        }
    }
    g_clear_pointer(&s->doorbells, g_free);
}
