/*
 * A network function: what it takes to receive.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BARE_VIRTIO_NET_H
#define BARE_VIRTIO_NET_H

/*
 * Tells the first virtio-net function that the guest takes frames without a
 * checksum and large ones, as the drivers of all common systems do. A card's
 * uplink is set by that. Nothing is received. Does nothing when there is none.
 */
void net_accept_offloads(void);

#endif /* BARE_VIRTIO_NET_H */
