/*
 * Block requests as NVMe commands (NVM Command Set 1.0 section 3.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "io.h"

static const uint8_t opcodes[] = {
    [SN_IO_READ] = nvme_cmd_read,
    [SN_IO_WRITE] = nvme_cmd_write,
    [SN_IO_FLUSH] = nvme_cmd_flush,
    [SN_IO_DISCARD] = nvme_cmd_dsm,
    [SN_IO_WRITE_ZEROES] = nvme_cmd_write_zeroes,
    [SN_IO_COMPARE] = nvme_cmd_compare,
};
/* Compare and write is not offered. */
G_STATIC_ASSERT(G_N_ELEMENTS(opcodes) == SN_IO_COMPARE_AND_WRITE);

SnNvmeScope sn_nvmetcp_io_scope(const SnIo *io, uint32_t block_size)
{
    if (io->op == SN_IO_NVME) {
        return sn_nvme_scope(&io->nvme->sqe);
    }
    return (SnNvmeScope){ .slba = io->offset / block_size,
                          .nlb = io->len / block_size };
}

/* One range, which is the data of the command. */
static void set_range(SnNvmeRequest *req, SnNvmeIo *nio, uint64_t slba,
                      uint32_t nlb)
{
    nio->range = (struct nvme_dsm_range){ .nlb = GUINT32_TO_LE(nlb),
                                          .slba = GUINT64_TO_LE(slba) };
    nio->range_iov = (struct iovec){ &nio->range, sizeof(nio->range) };
    req->dir = SN_NVME_OUT;
    req->iov = &nio->range_iov;
    req->len = sizeof(nio->range);
    req->sqe.cdw11 = GUINT32_TO_LE(NVME_DSMGMT_AD);
}

static void set_blocks(SnNvmeRequest *req, const SnIo *io,
                       const SnVolumeInfo *info, uint64_t slba, uint32_t nlb)
{
    uint32_t cdw12 = nlb - 1;

    if (io->flags & SN_IO_FUA) {
        cdw12 |= (uint32_t)NVME_IO_FUA << 16;
    }
    if (io->op == SN_IO_WRITE_ZEROES && io->flags & SN_IO_UNMAP &&
        info->nvme.dlfeat & NVME_NS_DLFEAT_WRITE_ZEROES) {
        cdw12 |= (uint32_t)NVME_IO_DEAC << 16;
    }
    req->sqe.cdw10 = GUINT32_TO_LE((uint32_t)slba);
    req->sqe.cdw11 = GUINT32_TO_LE((uint32_t)(slba >> 32));
    req->sqe.cdw12 = GUINT32_TO_LE(cdw12);
    if (io->op != SN_IO_WRITE_ZEROES) {
        req->dir = io->op == SN_IO_READ ? SN_NVME_IN : SN_NVME_OUT;
        req->iov = io->iov;
        req->len = io->len;
    }
}

/* As it is. Whatever the queue does not set must not be the guest's. */
static void set_command(SnNvmeRequest *req, const SnIo *io, uint32_t nsid)
{
    req->sqe = io->nvme->sqe;
    req->sqe.nsid = GUINT32_TO_LE(nsid);
    req->sqe.mptr = 0;
    req->sqe.prp1 = req->sqe.prp2 = 0;
    req->dir = io->nvme->dir;
    if (io->len) {
        req->iov = io->iov;
        req->len = io->len;
    }
}

void sn_nvmetcp_io_request(SnNvmeRequest *req, SnNvmeIo *nio, const SnIo *io,
                           uint32_t nsid, const SnVolumeInfo *info)
{
    uint64_t slba = io->offset / info->block_size;
    uint64_t nlb = io->len / info->block_size;

    if (io->op == SN_IO_NVME) {
        *req = (SnNvmeRequest){ .dir = SN_NVME_NO_DATA };
        set_command(req, io, nsid);
        return;
    }
    *req = (SnNvmeRequest){
        .sqe = { .opcode = opcodes[io->op], .nsid = GUINT32_TO_LE(nsid) },
        .dir = SN_NVME_NO_DATA,
    };
    if (io->op == SN_IO_DISCARD) {
        set_range(req, nio, slba, nlb);
    } else if (io->op != SN_IO_FLUSH) {
        set_blocks(req, io, info, slba, nlb);
    }
}
