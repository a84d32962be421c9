/*
 * A network function: what it takes to receive (virtio 1.2 section 5.1.3).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "virtio-net.h"
#include "virtio-pci.h"

#define TYPE_NET 1
#define F_GUEST_CSUM (1u << 1)
#define F_GUEST_TSO4 (1u << 7)
#define F_GUEST_TSO6 (1u << 8)
#define F_GUEST_ECN (1u << 9)

void net_accept_offloads(void)
{
    VirtioPci net;

    if (virtio_find(&net, TYPE_NET)) {
        virtio_negotiate(&net, F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 |
                         F_GUEST_ECN);
    }
}
