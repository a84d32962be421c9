/*
 * Get Log Page (NVMe Base 1.4 section 5.14).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_log_read);

#define NSID_ALL 0xffffffffu
#define RETAIN_EVENT (1u << 15)         /* CDW10 */

#define CHANGED_NS 1024                 /* entries of log page 04h */
G_STATIC_ASSERT(SN_CTRL_MAX_NSID <= CHANGED_NS);
G_STATIC_ASSERT(sizeof(SN_CTRL_FIRMWARE) - 1 <= 8);

/* The largest log page that there is. */
typedef union LogPage {
    struct nvme_error_log_page errors[SN_CTRL_ERROR_LOG];
    struct nvme_smart_log smart;
    struct nvme_firmware_slot firmware;
    uint32_t changed_ns[CHANGED_NS];
    struct nvme_cmd_effects_log effects;
    struct nvme_resv_notification_log notice;
} LogPage;

static size_t firmware_log(LogPage *page)
{
    page->firmware.afi = 1;     /* slot 1 is active */
    memset(page->firmware.frs[0], ' ', sizeof(page->firmware.frs[0]));
    memcpy(page->firmware.frs[0], SN_CTRL_FIRMWARE,
           strlen(SN_CTRL_FIRMWARE));
    return sizeof(page->firmware);
}

/* Section 5.14.1.4: the lowest first. All that there can be have room. */
static size_t changed_log(SnCtrl *ctrl, LogPage *page)
{
    unsigned n = 0;

    for (unsigned nsid = 1; nsid <= SN_CTRL_MAX_NSID; nsid++) {
        if (ctrl->changed_ns[nsid / 64] >> nsid % 64 & 1) {
            page->changed_ns[n++] = GUINT32_TO_LE(nsid);
        }
    }
    return sizeof(page->changed_ns);
}

/* Fills @page; its length, or 0 when there is no such log. */
static size_t fill(SnCtrl *ctrl, uint8_t lid, LogPage *page)
{
    switch (lid) {
    case NVME_LOG_LID_ERROR:
        sn_ctrl_error_log_copy(ctrl, page->errors);
        return sizeof(page->errors);
    case NVME_LOG_LID_SMART:
        sn_ctrl_smart_log(ctrl, &page->smart);
        return sizeof(page->smart);
    case NVME_LOG_LID_FW_SLOT:
        return firmware_log(page);
    case NVME_LOG_LID_CHANGED_NS:
        return changed_log(ctrl, page);
    case NVME_LOG_LID_CMD_EFFECTS:
        sn_ctrl_effects_log(ctrl, &page->effects);
        return sizeof(page->effects);
    case NVME_LOG_LID_RESERVATION:
        sn_ctrl_notice_log(ctrl, &page->notice);
        return sn_ctrl_has_reservations(ctrl) ? sizeof(page->notice) : 0;
    default:
        return 0;
    }
}

/* The bytes that the entries of log page 04h take. */
static size_t changed_length(const LogPage *page)
{
    unsigned n = 0;

    while (n < CHANGED_NS && page->changed_ns[n]) {
        n++;
    }
    return n * sizeof(page->changed_ns[0]);
}

/*
 * What reading the log up to its byte @end does, unless the guest wants it
 * retained.
 */
static void was_read(SnCtrl *ctrl, uint8_t lid, const LogPage *page,
                     size_t end)
{
    switch (lid) {
    case NVME_LOG_LID_ERROR:
        sn_ctrl_event_unmask(ctrl, NVME_AER_ERROR);
        break;
    case NVME_LOG_LID_SMART:
        sn_ctrl_event_unmask(ctrl, NVME_AER_SMART);
        break;
    case NVME_LOG_LID_CHANGED_NS:
        sn_ctrl_event_unmask(ctrl, NVME_AER_NOTICE);
        /* Whoever has read less than all of them does not know the rest. */
        if (end >= changed_length(page)) {
            memset(ctrl->changed_ns, 0, sizeof(ctrl->changed_ns));
            sn_ctrl_ns_removals_told(ctrl);
        }
        break;
    case NVME_LOG_LID_RESERVATION:
        sn_ctrl_notice_unmask(ctrl);
        break;
    }
}

/* Section 5.14: figures 191 to 195. */
static uint64_t wanted_bytes(const SnNvmeSqe *sqe)
{
    uint32_t numd = GUINT32_FROM_LE(sqe->cdw11) << 16 |
                    GUINT32_FROM_LE(sqe->cdw10) >> 16;

    return ((uint64_t)numd + 1) * 4;
}

static uint64_t offset_of(const SnNvmeSqe *sqe)
{
    return (uint64_t)GUINT32_FROM_LE(sqe->cdw13) << 32 |
           GUINT32_FROM_LE(sqe->cdw12);
}

/* @len: bytes of the log; 0: there is no such one. */
static SnCtrlStatus check(SnCtrlReq *req, uint8_t lid, size_t len)
{
    uint64_t offset = offset_of(&req->sqe);
    uint32_t nsid = GUINT32_FROM_LE(req->sqe.nsid);

    if (!len) {
        return SN_CTRL_SPECIFIC_DNR(NVME_SC_INVALID_LOG_PAGE);
    }
    /* No log is per namespace here (LPA). */
    if (lid == NVME_LOG_LID_SMART && nsid && nsid != NSID_ALL) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, nsid), 0);
    }
    /* The effects are those of a command set (CSI), and there is but one. */
    if (lid == NVME_LOG_LID_CMD_EFFECTS &&
        GUINT32_FROM_LE(req->sqe.cdw14) >> 24 != NVME_CSI_NVM) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw14) + 3, 0);
    }
    if (offset % 4 || offset > len) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw12), 0);
    }
    if (wanted_bytes(&req->sqe) > SN_CTRL_MAX_TRANSFER) {
        return sn_ctrl_bad_field(req, offsetof(SnNvmeSqe, cdw10) + 2, 0);
    }
    return 0;
}

SnCtrlStatus sn_ctrl_admin_get_log(SnCtrlReq *req)
{
    SnCtrl *ctrl = req->ctrl;
    uint32_t cdw10 = GUINT32_FROM_LE(req->sqe.cdw10);
    uint8_t lid = cdw10 & 0xff;
    uint64_t offset = offset_of(&req->sqe);
    g_autofree LogPage *page = g_new0(LogPage, 1);
    size_t len = fill(ctrl, lid, page);
    SnCtrlStatus status = check(req, lid, len);
    size_t part;

    if (status) {
        return status;
    }
    sn_trace(nvme_log_read, "id=%s lid=0x%02x offset=%" G_GUINT64_FORMAT
             " retain=%d", ctrl->id, lid, offset,
             !!(cdw10 & RETAIN_EVENT));
    /* What is beyond the log's end is not defined; it is left alone. */
    part = MIN(wanted_bytes(&req->sqe), len - offset);
    status = sn_ctrl_data_put(req, (uint8_t *)page + offset, part);
    /* Its next page is another one, whether the event is retained or not. */
    if (!status && lid == NVME_LOG_LID_RESERVATION && !offset) {
        sn_ctrl_notice_read(ctrl);
    }
    if (status || cdw10 & RETAIN_EVENT) {
        return status;
    }
    /* It is over before the events that come of it. */
    sn_ctrl_complete(req, 0);
    was_read(ctrl, lid, page, offset + part);
    return SN_CTRL_PENDING;
}
