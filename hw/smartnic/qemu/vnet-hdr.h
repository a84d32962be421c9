/*
 * Conversion between virtio's frame header and SnOffload.
 *
 * QEMU's netdevs and virtio-net pass frames with a struct virtio_net_hdr
 * (virtio 1.2 section 5.1.6) in front when both sides agreed on one. It is in
 * host byte order here: only little-endian hosts are supported.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMARTNIC_QEMU_VNET_HDR_H
#define SMARTNIC_QEMU_VNET_HDR_H

#include "standard-headers/linux/virtio_net.h"
#include "smartnic/port.h"

/* The header with num_buffers, which every netdev that has headers knows. */
#define SN_VNET_HDR_LEN sizeof(struct virtio_net_hdr_mrg_rxbuf)

static inline SnOffload sn_offload_from_vnet(const struct virtio_net_hdr *hdr)
{
    return (SnOffload) {
        .flags = hdr->flags & (SN_OFFLOAD_NEEDS_CSUM | SN_OFFLOAD_DATA_VALID),
        .gso_type = hdr->gso_type,
        .hdr_len = hdr->hdr_len,
        .gso_size = hdr->gso_size,
        .csum_start = hdr->csum_start,
        .csum_offset = hdr->csum_offset,
    };
}

static inline struct virtio_net_hdr_mrg_rxbuf
sn_offload_to_vnet(const SnOffload *offload)
{
    return (struct virtio_net_hdr_mrg_rxbuf) {
        .hdr = {
            .flags = offload->flags,
            .gso_type = offload->gso_type,
            .hdr_len = offload->hdr_len,
            .gso_size = offload->gso_size,
            .csum_start = offload->csum_start,
            .csum_offset = offload->csum_offset,
        },
        .num_buffers = 1,
    };
}

#endif
