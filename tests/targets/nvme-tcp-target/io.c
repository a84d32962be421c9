/*
 * I/O commands: see io.h. What is read is sent from where it is, so a read and
 * a write of the same blocks at the same time may mix, as the host asked for.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "io.h"

#include <string.h>

#include "controller.h"
#include "namespace.h"

#define FUA (1u << 30)
#define DSM_DEALLOCATE (1u << 2)

Op io_op(const Sqe *sqe)
{
    switch (sqe->opcode) {
    case nvme_cmd_flush:
        return OP_FLUSH;
    case nvme_cmd_write:
        return OP_WRITE;
    case nvme_cmd_read:
        return OP_READ;
    case nvme_cmd_compare:
        return OP_COMPARE;
    case nvme_cmd_write_zeroes:
        return OP_WRITE_ZEROES;
    case nvme_cmd_dsm:
        return OP_DISCARD;
    case nvme_cmd_verify:
        return OP_VERIFY;
    case nvme_cmd_write_uncor:
        return OP_WRITE_UNCORRECTABLE;
    case nvme_cmd_resv_register:
        return OP_RESV_REGISTER;
    case nvme_cmd_resv_report:
        return OP_RESV_REPORT;
    case nvme_cmd_resv_acquire:
        return OP_RESV_ACQUIRE;
    case nvme_cmd_resv_release:
        return OP_RESV_RELEASE;
    default:
        return OP_OTHER;
    }
}

static bool in_range(const Ns *ns, uint64_t slba, uint64_t blocks)
{
    uint64_t all = ns->size >> ns->shift;

    return slba <= all && blocks <= all - slba;
}

static unsigned flush(Request *r)
{
    bool good = true;

    for (uint32_t nsid = 1; nsid <= NS_MAX; nsid++) {
        Ns *ns = ns_find(nsid);

        if (ns && (r->sqe.nsid == nsid || r->sqe.nsid == NSID_ALL)) {
            good &= ns_flush(ns);
        }
    }
    return good ? 0 : STATUS_IO(NVME_SC_INTERNAL);
}

static unsigned discard(Request *r, Ns *ns)
{
    unsigned count = (r->sqe.cdw10 & 0xff) + 1;
    struct nvme_dsm_range range;

    if (r->len < count * sizeof(range)) {
        return STATUS_IO(NVME_SC_SGL_INVALID_DATA) | STATUS_DNR;
    }
    for (unsigned i = 0; i < count; i++) {
        memcpy(&range, r->data + i * sizeof(range), sizeof(range));
        if (!in_range(ns, range.slba, range.nlb)) {
            return STATUS_IO(NVME_SC_LBA_RANGE) | STATUS_DNR;
        }
        /* Without this bit it is all about hints. */
        if (r->sqe.cdw11 & DSM_DEALLOCATE &&
            (!bad_blocks_set(&ns->bad, range.slba, range.nlb, false) ||
             !ns_zero(ns, range.slba << ns->shift,
                      (uint64_t)range.nlb << ns->shift))) {
            return STATUS_IO(NVME_SC_INTERNAL);
        }
    }
    return 0;
}

static bool is_read(Op op)
{
    return op == OP_READ || op == OP_COMPARE || op == OP_VERIFY;
}

/* What the blocks being bad, or becoming it, means for the command. */
static unsigned check_bad(Request *r, Ns *ns, uint64_t slba, uint32_t blocks)
{
    if (is_read(r->op)) {
        return bad_blocks_among(&ns->bad, slba, blocks)
               ? STATUS_READ_ERROR | STATUS_DNR : 0;
    }
    return bad_blocks_set(&ns->bad, slba, blocks,
                          r->op == OP_WRITE_UNCORRECTABLE)
           ? 0 : STATUS_IO(NVME_SC_INTERNAL) | STATUS_DNR;
}

/* A command with SLBA and NLB; reads answer by themselves on success. */
static unsigned access_blocks(Request *r, Ns *ns, bool *answered)
{
    uint64_t slba = r->sqe.cdw10 | (uint64_t)r->sqe.cdw11 << 32;
    uint32_t blocks = (r->sqe.cdw12 & 0xffff) + 1;
    uint64_t len = (uint64_t)blocks << ns->shift;
    bool from_host = r->op == OP_WRITE || r->op == OP_COMPARE;
    unsigned status;
    uint8_t *at;

    if (!in_range(ns, slba, blocks)) {
        return STATUS_IO(NVME_SC_LBA_RANGE) | STATUS_DNR;
    }
    if (options.mdts && len > options.mdts &&
        (from_host || r->op == OP_READ)) {
        return STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR;
    }
    if (from_host && r->len != len) {
        return STATUS_IO(NVME_SC_SGL_INVALID_DATA) | STATUS_DNR;
    }
    if (ns->bad.count || r->op == OP_WRITE_UNCORRECTABLE) {
        status = check_bad(r, ns, slba, blocks);
        if (status) {
            return status;
        }
    }
    at = ns->data + (slba << ns->shift);
    switch (r->op) {
    case OP_WRITE:
        memcpy(at, r->data, len);
        break;
    case OP_WRITE_ZEROES:
        if (!ns_zero(ns, slba << ns->shift, len)) {
            return STATUS_IO(NVME_SC_INTERNAL);
        }
        break;
    case OP_COMPARE:
        return memcmp(at, r->data, len) ? STATUS_COMPARE_FAILURE | STATUS_DNR
                                        : 0;
    case OP_READ:
        *answered = true;
        if (r->conn->ddgst) {
            answer_copy(r, at, len);    /* it must stay as it was summed */
        } else {
            answer_data(r, at, len, NULL);
        }
        return 0;
    default:
        return 0;
    }
    return r->sqe.cdw12 & FUA && !ns_flush(ns) ? STATUS_IO(NVME_SC_INTERNAL)
                                               : 0;
}

static bool is_reservation(Op op)
{
    return op == OP_RESV_REGISTER || op == OP_RESV_REPORT ||
           op == OP_RESV_ACQUIRE || op == OP_RESV_RELEASE;
}

void io_command(Request *r)
{
    Ns *ns = ns_find(r->sqe.nsid);
    bool answered = false;
    unsigned status;

    if (!NVME_CC_EN(r->conn->ctrl->cc)) {
        status = STATUS_IO(NVME_SC_CMD_SEQ_ERROR) | STATUS_DNR;
    } else if (r->op == OP_OTHER) {
        status = STATUS_IO(NVME_SC_INVALID_OPCODE) | STATUS_DNR;
    } else if (!ns && !(r->op == OP_FLUSH && r->sqe.nsid == NSID_ALL)) {
        status = STATUS_IO(NVME_SC_INVALID_NS) | STATUS_DNR;
    } else if (is_reservation(r->op)) {
        status = reservation_command(r, &ns->reservations, &answered);
    } else if (ns && !reservations_allow(&ns->reservations,
                                         r->conn->ctrl->hostid,
                                         !is_read(r->op))) {
        status = STATUS_IO(NVME_SC_RESERVATION_CONFLICT) | STATUS_DNR;
    } else if (r->op == OP_FLUSH) {
        status = flush(r);
    } else if (r->op == OP_DISCARD) {
        status = discard(r, ns);
    } else {
        status = access_blocks(r, ns, &answered);
    }
    if (!answered) {
        answer(r, status);
    }
}
