/*
 * Commands whose meaning only an NVMe namespace at the far side knows: they go
 * there as they are, and so do the answers.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define NSID_ALL 0xffffffffu

/* What this side has to know of such a command. */
typedef struct Meaning {
    SnNvmeDir dir;
    size_t len;                 /* bytes of data */
    bool blocks;                /* it names blocks */
    bool once;                  /* it changes something: see SN_IO_ONCE */
} Meaning;

/* Lengths: NVMe Base 1.4 section 6.10 to 6.13. */
static bool io_meaning(const SnCtrlReq *req, Meaning *m)
{
    uint64_t dwords = (uint64_t)GUINT32_FROM_LE(req->sqe.cdw10) + 1;

    switch (req->sqe.opcode) {
    case nvme_cmd_write_uncor:
        *m = (Meaning){ .blocks = true, .once = true };
        break;
    case nvme_cmd_verify:
        *m = (Meaning){ .blocks = true };
        break;
    case nvme_cmd_resv_register:
    case nvme_cmd_resv_acquire:
        *m = (Meaning){ .dir = SN_NVME_OUT, .len = 16, .once = true };
        break;
    case nvme_cmd_resv_release:
        *m = (Meaning){ .dir = SN_NVME_OUT, .len = 8, .once = true };
        break;
    case nvme_cmd_resv_report:
        *m = (Meaning){ .dir = SN_NVME_IN, .len = dwords * 4 };
        break;
    default:
        return false;
    }
    return true;
}

static void done(SnCtrlReq *req, int ret)
{
    if (!ret) {
        req->result = GUINT32_FROM_LE(req->nvme.cqe.dw0);
    }
    sn_ctrl_io_done(req, ret);
}

/*
 * An admin command does not wait for a path: a driver for which one takes too
 * long (Linux's waits a minute) resets the controller, and with it every other
 * disk.
 */
static SnCtrlStatus send(SnCtrlReq *req, const Meaning *m, bool admin,
                         void (*then)(SnCtrlReq *req, int ret))
{
    SnCtrlStatus status;

    if (!sn_ctrl_ns_info(req->ns)->nvme.passthrough) {
        return SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    }
    if (m->len > SN_CTRL_MAX_TRANSFER) {
        return SN_CTRL_INVALID_FIELD;
    }
    if (admin && sn_volume_state(req->ns->vol) == SN_VOLUME_LOST) {
        return SN_CTRL_PATH_LOST;
    }
    status = sn_ctrl_data_map(req, m->len, m->dir);
    if (status) {
        return status;
    }
    req->nvme.sqe = req->sqe;
    req->nvme.admin = admin;
    req->nvme.dir = m->dir;
    req->io.op = SN_IO_NVME;
    req->io.flags = m->once ? SN_IO_ONCE : 0;
    req->io.offset = 0;
    req->io.len = m->len;
    req->io.iov = req->data.iov;
    req->io.iovcnt = req->data.iovcnt;
    req->io.nvme = &req->nvme;
    sn_ctrl_req_submit(req, then);
    return SN_CTRL_PENDING;
}

SnCtrlStatus sn_ctrl_io_passthrough(SnCtrlReq *req)
{
    SnCtrlStatus status = 0;
    Meaning m;

    if (!io_meaning(req, &m)) {
        return SN_CTRL_GENERIC_DNR(NVME_SC_INVALID_OPCODE);
    }
    if (m.blocks) {
        status = sn_ctrl_check_blocks(req, sn_ctrl_slba(req),
                                      sn_ctrl_nlb(req));
    }
    return status ? status : send(req, &m, false, done);
}

/* Get LBA Status (NVM Command Set 1.0 section 4.2): MNDW is dword 12. */
SnCtrlStatus sn_ctrl_admin_passthrough(SnCtrlReq *req)
{
    uint64_t dwords = (uint64_t)GUINT32_FROM_LE(req->sqe.cdw12) + 1;
    Meaning m = { .dir = SN_NVME_IN, .len = dwords * 4 };
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    req->ns = sn_ctrl_ns(req->ctrl, nsid);
    return req->ns ? send(req, &m, true, done)
                   : sn_ctrl_no_namespace(req->ctrl, nsid);
}

/* The next namespace after req->at that has feature 83h (RESCAP bit 0). */
static SnCtrlNs *next_to_set(SnCtrlReq *req)
{
    while (++req->at <= SN_CTRL_MAX_NSID) {
        SnCtrlNs *ns = sn_ctrl_ns(req->ctrl, req->at);

        if (ns && sn_ctrl_ns_has_reservations(ns) &&
            sn_ctrl_ns_info(ns)->nvme.rescap & NVME_NS_RESCAP_PTPL) {
            return ns;
        }
    }
    return NULL;
}

static void set_one(SnCtrlReq *req, int ret);

/* One after the other. What it sets in the first stays if the next fails. */
static SnCtrlStatus set_next(SnCtrlReq *req)
{
    req->ns = next_to_set(req);
    return req->ns ? send(req, &(Meaning){ .once = true }, true, set_one) : 0;
}

static void set_one(SnCtrlReq *req, int ret)
{
    SnCtrlStatus status = ret ? sn_ctrl_status_of(req, ret) : set_next(req);

    if (status == SN_CTRL_PENDING) {
        sn_ctrl_wake(req->ctrl);        /* which kicks the other volume */
    } else {
        sn_ctrl_complete(req, status);
    }
}

SnCtrlStatus sn_ctrl_pass_feature(SnCtrlReq *req)
{
    const Meaning m = { .once = req->sqe.opcode == nvme_admin_set_features };
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    if (nsid == NSID_ALL) {
        req->at = 0;
        return set_next(req);
    }
    req->ns = sn_ctrl_ns(req->ctrl, nsid);
    return send(req, &m, true, done);
}

uint16_t sn_ctrl_oncs(SnCtrl *ctrl)
{
    uint16_t oncs = NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM |
                    NVME_CTRL_ONCS_WRITE_ZEROES | NVME_CTRL_ONCS_SAVE_FEATURES |
                    NVME_CTRL_ONCS_TIMESTAMP | NVME_CTRL_ONCS_VERIFY;

    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        SnCtrlNs *ns = sn_ctrl_ns(ctrl, i);

        if (!ns || !sn_ctrl_ns_info(ns)->nvme.passthrough) {
            continue;
        }
        oncs |= sn_ctrl_ns_info(ns)->nvme.oncs &
                NVME_CTRL_ONCS_WRITE_UNCORRECTABLE;
        if (sn_ctrl_ns_has_reservations(ns)) {
            oncs |= NVME_CTRL_ONCS_RESERVATIONS;
        }
    }
    return oncs;
}
