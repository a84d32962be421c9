/*
 * Admin commands: see admin.h.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "admin.h"

#include "controller.h"
#include "namespace.h"

#define SET_FEATURES_SAVE (1u << 31)
/* Capabilities of a feature (SELECT 3): it can be changed, is a namespace's. */
#define SELECT_CAPABILITIES 3
#define FEATURE_CHANGEABLE (1u << 2)
#define FEATURE_PER_NS (1u << 1)
/* Bits of the Reservation Notification Mask (Base section 5.27.1). */
#define RESV_MASK_BITS 0x0eu
/* Get LBA Status: what is to be done, and why it is complete. */
enum {
    LBA_STATUS_SCAN = 0x10,
    LBA_STATUS_TRACKED = 0x11,
    LBA_STATUS_FULL = 1,        /* as much as the host asked for */
    LBA_STATUS_COMPLETE = 2,    /* all of the range */
};

Op admin_op(const Sqe *sqe)
{
    switch (sqe->opcode) {
    case nvme_admin_identify:
        return OP_IDENTIFY;
    case nvme_admin_get_log_page:
        return OP_GET_LOG;
    case nvme_admin_get_features:
        return OP_GET_FEATURES;
    case nvme_admin_set_features:
        return OP_SET_FEATURES;
    case nvme_admin_async_event:
        return OP_EVENT;
    case nvme_admin_abort_cmd:
        return OP_ABORT;
    case nvme_admin_keep_alive:
        return OP_KEEP_ALIVE;
    case nvme_admin_get_lba_status:
        return OP_GET_LBA_STATUS;
    default:
        return OP_OTHER;
    }
}

/* Both numbers of queues, submission and completion, less one. */
static uint32_t queues_result(const Ctrl *ctrl)
{
    return (ctrl->queues - 1) | (ctrl->queues - 1) << 16;
}

static bool is_of_reservations(const Request *r)
{
    unsigned fid = r->sqe.cdw10 & 0xff;

    return fid == NVME_FEAT_FID_RESV_MASK || fid == NVME_FEAT_FID_RESV_PERSIST;
}

static void get_resv_feature(Request *r)
{
    const Ns *ns = ns_find(r->sqe.nsid);

    if ((r->sqe.cdw10 >> 8 & 7) == SELECT_CAPABILITIES) {
        answer_result(r, FEATURE_CHANGEABLE | FEATURE_PER_NS);
    } else if (!ns) {
        answer(r, STATUS_IO(r->sqe.nsid == NSID_ALL ? NVME_SC_INVALID_FIELD
                                                    : NVME_SC_INVALID_NS) |
               STATUS_DNR);
    } else if ((r->sqe.cdw10 & 0xff) == NVME_FEAT_FID_RESV_MASK) {
        answer_result(r, r->conn->ctrl->resv_mask[ns->nsid - 1]);
    } else {
        answer_result(r, ns->reservations.ptpl);
    }
}

static void set_resv_feature(Request *r)
{
    bool mask = (r->sqe.cdw10 & 0xff) == NVME_FEAT_FID_RESV_MASK;
    uint32_t value = r->sqe.cdw11, nsid = r->sqe.nsid;

    if (nsid != NSID_ALL && !ns_find(nsid)) {
        answer(r, STATUS_IO(NVME_SC_INVALID_NS) | STATUS_DNR);
        return;
    }
    if (value & ~(mask ? RESV_MASK_BITS : 1u)) {
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    for (unsigned i = 1; i <= NS_MAX; i++) {
        Ns *ns = ns_find(i);

        if (ns && (nsid == i || nsid == NSID_ALL)) {
            if (mask) {
                r->conn->ctrl->resv_mask[i - 1] = value;
            } else {
                ns->reservations.ptpl = value;
            }
        }
    }
    answer(r, 0);
}

static void get_features(Request *r)
{
    const Ctrl *ctrl = r->conn->ctrl;
    unsigned select = r->sqe.cdw10 >> 8 & 7;
    uint32_t value;

    if (is_of_reservations(r)) {
        get_resv_feature(r);
        return;
    }
    switch (r->sqe.cdw10 & 0xff) {
    case NVME_FEAT_FID_ARBITRATION:
    case NVME_FEAT_FID_POWER_MGMT:
    case NVME_FEAT_FID_TEMP_THRESH:
    case NVME_FEAT_FID_ERR_RECOVERY:
    case NVME_FEAT_FID_WRITE_ATOMIC:
        value = 0;
        break;
    case NVME_FEAT_FID_VOLATILE_WC:
        value = ctrl->write_cache;
        break;
    case NVME_FEAT_FID_NUM_QUEUES:
        value = queues_result(ctrl);
        break;
    case NVME_FEAT_FID_ASYNC_EVENT:
        value = ctrl->event_config;
        break;
    case NVME_FEAT_FID_KATO:
        value = ctrl->kato;
        break;
    default:
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    answer_result(r, select == SELECT_CAPABILITIES ? FEATURE_CHANGEABLE
                                                   : value);
}

static void set_queues(Request *r)
{
    Ctrl *ctrl = r->conn->ctrl;
    unsigned submission = (r->sqe.cdw11 & 0xffff) + 1;
    unsigned completion = (r->sqe.cdw11 >> 16) + 1;

    if (submission > 0xffff || completion > 0xffff) {
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    ctrl->queues = MIN(MIN(submission, completion), options.queues);
    answer_result(r, queues_result(ctrl));
}

static void set_features(Request *r)
{
    Ctrl *ctrl = r->conn->ctrl;
    uint32_t value = r->sqe.cdw11;

    if (r->sqe.cdw10 & SET_FEATURES_SAVE) {
        answer(r, STATUS_COMMAND(NVME_SC_FEATURE_NOT_SAVEABLE) | STATUS_DNR);
        return;
    }
    if (is_of_reservations(r)) {
        set_resv_feature(r);
        return;
    }
    switch (r->sqe.cdw10 & 0xff) {
    case NVME_FEAT_FID_ARBITRATION:
    case NVME_FEAT_FID_POWER_MGMT:
    case NVME_FEAT_FID_TEMP_THRESH:
    case NVME_FEAT_FID_ERR_RECOVERY:
    case NVME_FEAT_FID_WRITE_ATOMIC:
        break;
    case NVME_FEAT_FID_VOLATILE_WC:
        ctrl->write_cache = value & 1;
        break;
    case NVME_FEAT_FID_NUM_QUEUES:
        set_queues(r);
        return;
    case NVME_FEAT_FID_ASYNC_EVENT:
        ctrl->event_config = value;
        break;
    case NVME_FEAT_FID_KATO:
        ctrl_set_kato(ctrl, value);
        break;
    default:
        answer(r, STATUS_IO(NVME_SC_INVALID_FIELD) | STATUS_DNR);
        return;
    }
    answer(r, 0);
}

/* Aborting is best effort: the result's bit 0 tells that it was not done. */
static void abort_command(Request *r)
{
    Ctrl *ctrl = r->conn->ctrl;
    unsigned qid = r->sqe.cdw10 & 0xffff, cid = r->sqe.cdw10 >> 16;
    Conn *c = qid <= IO_QUEUES_MAX ? ctrl->queue[qid] : NULL;
    bool done = c && request_abort(c, cid);

    if (done && c != r->conn) {
        conn_flush(c);
    }
    if (!qid && ctrl_drop_event(ctrl, cid)) {
        answer_cid(r->conn, cid, 0, STATUS_IO(NVME_SC_ABORT_REQ));
        done = true;
    }
    answer_result(r, !done);
}

/* The bad blocks from @slba on (NVM Command Set section 4.2.1). */
static void get_lba_status(Request *r)
{
    _Alignas(8) uint8_t page[sizeof(struct nvme_lba_status) + BAD_RANGES_MAX *
                             sizeof(struct nvme_lba_status_desc)] = { 0 };
    struct nvme_lba_status *status = (void *)page;
    const Ns *ns = ns_find(r->sqe.nsid);
    uint64_t slba = r->sqe.cdw10 | (uint64_t)r->sqe.cdw11 << 32;
    uint64_t len = (r->sqe.cdw12 + 1ull) * 4;
    uint64_t range = r->sqe.cdw13 & 0xffff;     /* 0: up to the end */
    unsigned action = r->sqe.cdw13 >> 24, room;

    if (!ns || (action != LBA_STATUS_SCAN && action != LBA_STATUS_TRACKED) ||
        slba >= ns->size >> ns->shift || len < sizeof(*status)) {
        answer(r, STATUS_IO(!ns ? NVME_SC_INVALID_NS : NVME_SC_INVALID_FIELD) |
               STATUS_DNR);
        return;
    }
    room = MIN((len - sizeof(*status)) / sizeof(status->descs[0]),
               BAD_RANGES_MAX);
    status->cmpc = LBA_STATUS_COMPLETE;
    for (unsigned i = 0; i < ns->bad.count; i++) {
        uint64_t first = MAX(ns->bad.range[i].first, slba);
        uint64_t end = MIN(ns->bad.range[i].end,
                           range ? slba + range : UINT64_MAX);

        if (first >= end) {
            continue;
        }
        if (status->nlsd == room) {
            status->cmpc = LBA_STATUS_FULL;
            break;
        }
        status->descs[status->nlsd++] = (struct nvme_lba_status_desc){
            .dslba = first, .nlb = end - first };
    }
    answer_padded(r, page, sizeof(page), len);
}

void admin_command(Request *r)
{
    Ctrl *ctrl = r->conn->ctrl;

    switch (r->op) {
    case OP_IDENTIFY:
        identify(r);
        break;
    case OP_GET_LOG:
        get_log_page(r);
        break;
    case OP_GET_FEATURES:
        get_features(r);
        break;
    case OP_SET_FEATURES:
        set_features(r);
        break;
    case OP_EVENT:
        if (!ctrl_take_event(ctrl, r->sqe.cid)) {
            answer(r, STATUS_COMMAND(NVME_SC_ASYNC_LIMIT) | STATUS_DNR);
        }
        break;
    case OP_ABORT:
        abort_command(r);
        break;
    case OP_KEEP_ALIVE:
        answer(r, 0);           /* ctrl_heard() was told already */
        break;
    case OP_GET_LBA_STATUS:
        get_lba_status(r);
        break;
    default:
        answer(r, STATUS_IO(NVME_SC_INVALID_OPCODE) | STATUS_DNR);
    }
}
