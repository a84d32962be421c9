/*
 * Admin commands about queues: create, delete, abort a command, shadow
 * doorbells (Base 1.4 sections 5.1 and 5.3 to 5.8).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_command_abort);
SN_TRACE_EVENT(nvme_dbbuf_config);

#define INVALID_QID SN_CTRL_SPECIFIC_DNR(NVME_SC_QID_INVALID)

enum {
    QUEUE_PC = 1 << 0,          /* CDW11: physically contiguous */
    QUEUE_IEN = 1 << 1,         /* of a completion queue */
    ABORT_NOT_DONE = 1 << 0,    /* dword 0 of Abort's completion */
};

/* How many queues of a kind the guest may have; @shift: see feature 07h. */
static unsigned queue_limit(const SnCtrl *ctrl, unsigned shift)
{
    if (!ctrl->features.queues_set) {
        return ctrl->config.queue_pairs;
    }
    return (ctrl->features.queues >> shift & 0xffff) + 1;
}

static unsigned sq_limit(const SnCtrl *ctrl)
{
    return queue_limit(ctrl, 0);
}

static unsigned cq_limit(const SnCtrl *ctrl)
{
    return queue_limit(ctrl, 16);
}

/*
 * What both kinds of Create have in common: QSIZE, PC and PRP1. An entry has
 * @entry bytes; CC.IOSQES or CC.IOCQES, log2 of it, must say the same.
 */
static SnCtrlStatus check_ring(SnCtrlReq *req, unsigned entry, unsigned log2,
                               bool writable)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t qsize = GUINT32_FROM_LE(req->sqe.cdw10) >> 16;     /* from 0 */
    uint64_t base = GUINT64_FROM_LE(req->sqe.prp1);

    if (!qsize || qsize >= ctrl->config.entries || 1u << log2 != entry) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_QUEUE_SIZE);
    }
    if (!(GUINT32_FROM_LE(req->sqe.cdw11) & QUEUE_PC)) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw11), 0);
    }
    if (base & (ctrl->page_size - 1)) {
        return SN_CTRL_GENERIC_DNR(NVME_SC_PRP_INVALID_OFFSET);
    }
    if (!sn_ctrl_is_ram(ctrl, base, (uint64_t)(qsize + 1) * entry, writable)) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, prp1), 0);
    }
    return 0;
}

SnCtrlStatus sn_ctrl_admin_create_cq(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t cdw10 = GUINT32_FROM_LE(req->sqe.cdw10);
    uint32_t cdw11 = GUINT32_FROM_LE(req->sqe.cdw11);
    uint64_t base = GUINT64_FROM_LE(req->sqe.prp1);
    uint16_t qid = cdw10, vector = cdw11 >> 16;
    unsigned entries = (cdw10 >> 16) + 1;
    SnCtrlStatus status;

    if (!qid || qid > cq_limit(ctrl) || ctrl->cqs[qid]) {
        return INVALID_QID;
    }
    status = check_ring(req, sizeof(SnNvmeCqe), NVME_CC_IOCQES(ctrl->cc),
                        true);
    if (status) {
        return status;
    }
    if (vector >= ctrl->config.vectors) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_INVALID_VECTOR);
    }
    sn_ctrl_cq_new(ctrl, qid, base, entries, vector, cdw11 & QUEUE_IEN);
    return 0;
}

SnCtrlStatus sn_ctrl_admin_create_sq(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t cdw10 = GUINT32_FROM_LE(req->sqe.cdw10);
    uint32_t cdw11 = GUINT32_FROM_LE(req->sqe.cdw11);
    uint64_t base = GUINT64_FROM_LE(req->sqe.prp1);
    uint16_t qid = cdw10, cqid = cdw11 >> 16;
    unsigned entries = (cdw10 >> 16) + 1;
    SnCtrlPrio prio = cdw11 >> 1 & 3;
    SnCtrlStatus status;

    if (!qid || qid > sq_limit(ctrl) || ctrl->sqs[qid]) {
        return INVALID_QID;
    }
    /* Section 5.4: out of range is another error than not created. */
    if (!cqid || cqid > cq_limit(ctrl)) {
        return INVALID_QID;
    }
    if (!ctrl->cqs[cqid]) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_CQ_INVALID);
    }
    status = check_ring(req, sizeof(SnNvmeSqe), NVME_CC_IOSQES(ctrl->cc),
                        false);
    if (status) {
        return status;
    }
    sn_ctrl_sq_new(ctrl, qid, base, entries, ctrl->cqs[cqid], prio);
    return 0;
}

SnCtrlStatus sn_ctrl_admin_delete_sq(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint16_t qid = GUINT32_FROM_LE(req->sqe.cdw10);

    if (!qid || qid > SN_CTRL_MAX_QUEUE_PAIRS || !ctrl->sqs[qid]) {
        return INVALID_QID;
    }
    sn_ctrl_sq_free(ctrl, ctrl->sqs[qid], true);
    return 0;
}

SnCtrlStatus sn_ctrl_admin_delete_cq(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint16_t qid = GUINT32_FROM_LE(req->sqe.cdw10);

    if (!qid || qid > SN_CTRL_MAX_QUEUE_PAIRS || !ctrl->cqs[qid]) {
        return INVALID_QID;
    }
    if (ctrl->cqs[qid]->users) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_INVALID_QUEUE);
    }
    sn_ctrl_cq_free(ctrl, ctrl->cqs[qid]);
    return 0;
}

/*
 * Section 5.1. What waits, for a volume or for an event, is over at once, with
 * its completion before Abort's. Anything else was not aborted, which is no
 * error.
 */
SnCtrlStatus sn_ctrl_admin_abort(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t cdw10 = GUINT32_FROM_LE(req->sqe.cdw10);
    uint16_t sqid = cdw10, cid = cdw10 >> 16;
    SnCtrlReq *victim = NULL;

    if (sqid <= SN_CTRL_MAX_QUEUE_PAIRS && ctrl->sqs[sqid]) {
        victim = sn_ctrl_req_find(ctrl->sqs[sqid], cid);
    }
    sn_trace(nvme_command_abort, "id=%s sqid=%u cid=%u found=%d", ctrl->id,
             sqid, cid, !!victim);
    if (!victim) {
        req->result = ABORT_NOT_DONE;
        return 0;
    }
    sn_ctrl_complete(victim, SN_CTRL_GENERIC(NVME_SC_ABORT_REQ));
    return 0;
}

/* Section 5.8: a page for the doorbells and one for the event indices. */
SnCtrlStatus sn_ctrl_admin_dbbuf(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint64_t shadow = GUINT64_FROM_LE(req->sqe.prp1);
    uint64_t event_index = GUINT64_FROM_LE(req->sqe.prp2);

    if (shadow & (ctrl->page_size - 1) ||
        !sn_ctrl_is_ram(ctrl, shadow, ctrl->page_size, true)) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, prp1), 0);
    }
    if (event_index & (ctrl->page_size - 1) ||
        !sn_ctrl_is_ram(ctrl, event_index, ctrl->page_size, true)) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, prp2), 0);
    }
    sn_trace(nvme_dbbuf_config, "id=%s shadow=0x%" G_GINT64_MODIFIER
             "x event_index=0x%" G_GINT64_MODIFIER "x", ctrl->id, shadow,
             event_index);
    sn_ctrl_dbbuf_set(ctrl, shadow, event_index);
    return 0;
}
