/*
 * Interrupts of the network function, which is QEMU's own virtio-net.
 *
 * It raises one in the middle of taking a frame, with the net layer's queue on
 * the stack. A guest can direct it at registers that unplug the card, and the
 * queue goes with the function.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"

#include "loop.h"
#include "msi-address.h"
#include "net-notify.h"

/* There are fewer vectors, and one that waits twice says no more than once. */
#define MAX_WAITING 16

struct SnNetNotify {
    PCIDevice *net;
    MSITriggerFunc *send;       /* QEMU's own */
    SnBh *bh;
    MSIMessage waiting[MAX_WAITING];
    unsigned count;
    SnNetNotify *next;
};

/* The hook tells the function only. There are a few cards. */
static SnNetNotify *all;

static SnNetNotify *find(PCIDevice *net)
{
    SnNetNotify *n = all;

    while (n->net != net) {
        n = n->next;
    }
    return n;
}

static bool waits(const SnNetNotify *n, MSIMessage msg)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->waiting[i].address == msg.address &&
            n->waiting[i].data == msg.data) {
            return true;
        }
    }
    return false;
}

static void trigger(PCIDevice *net, MSIMessage msg)
{
    SnNetNotify *n = find(net);

    if (sn_msi_is_interrupt(msg)) {
        n->send(net, msg);
    } else if (n->count < MAX_WAITING && !waits(n, msg)) {
        n->waiting[n->count++] = msg;
        sn_qemu_loop()->bh_schedule(n->bh);
    }
}

/* One at a time: it may be freed by what it sends. */
static void send_first(void *opaque)
{
    SnNetNotify *n = opaque;
    MSIMessage msg = n->waiting[0];

    memmove(n->waiting, n->waiting + 1, --n->count * sizeof(msg));
    if (n->count) {
        sn_qemu_loop()->bh_schedule(n->bh);
    }
    n->send(n->net, msg);
}

SnNetNotify *sn_net_notify_new(PCIDevice *net)
{
    SnNetNotify *n = g_new0(SnNetNotify, 1);

    n->net = net;
    n->send = net->msi_trigger;
    net->msi_trigger = trigger;
    n->bh = sn_qemu_loop()->bh_new(sn_qemu_loop(), send_first, n);
    n->next = all;
    all = n;
    return n;
}

void sn_net_notify_free(SnNetNotify *n)
{
    SnNetNotify **link = &all;

    while (*link != n) {
        link = &(*link)->next;
    }
    *link = n->next;
    n->net->msi_trigger = n->send;
    sn_qemu_loop()->bh_free(n->bh);
    g_free(n);
}
