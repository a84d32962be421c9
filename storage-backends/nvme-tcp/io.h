/*
 * One block request as an NVMe command.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SN_NVMETCP_IO_H
#define SN_NVMETCP_IO_H

#include "association.h"

/* In the request's scratch space while it is in flight. */
typedef struct SnNvmeIo {
    SnBackend *be;
    SnNvmeQueue *q;
    SnNvmeCmd *cmd;             /* NULL: waits on the backend's retry list */
    unsigned retries;
    int64_t path_since;         /* refused for the path since; ns, 0: not */
    int64_t due;                /* in the retry list: until when, ns */
    GList link;                 /* in the retry list; data is the SnIo */
    struct nvme_dsm_range range;
    struct iovec range_iov;
} SnNvmeIo;
G_STATIC_ASSERT(sizeof(SnNvmeIo) <= SN_IO_SCRATCH);

/* The blocks that @io, which is not for the admin queue, touches. */
SnNvmeScope sn_nvmetcp_io_scope(const SnIo *io, uint32_t block_size);

/*
 * Fills @req, all but done and opaque, with the command for @io on namespace
 * @nsid, which is as @info says. Data of the command may be in @nio.
 */
void sn_nvmetcp_io_request(SnNvmeRequest *req, SnNvmeIo *nio, const SnIo *io,
                           uint32_t nsid, const SnVolumeInfo *info);

#endif
