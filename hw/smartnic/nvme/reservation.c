/*
 * Reservation notifications (NVMe Base 1.4 section 8.8): what other hosts took
 * away, one log page 80h for each, and the event that there is one.
 *
 * The far side keeps the reservations, and tells of all. What the guest has
 * masked is left out here: a far side's mask may be one for all its hosts.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include <string.h>

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_reservation_notice);

bool sn_ctrl_ns_has_reservations(const SnCtrlNs *ns)
{
    const SnVolumeNvme *nvme = &sn_ctrl_ns_info(ns)->nvme;

    return nvme->passthrough && nvme->rescap;
}

bool sn_ctrl_has_reservations(SnCtrl *ctrl)
{
    return sn_ctrl_oncs(ctrl) & NVME_CTRL_ONCS_RESERVATIONS;
}

/*
 * A page that finds no room is lost. The last one takes its number, which a gap
 * before it shows.
 */
static void add(SnCtrl *ctrl, uint32_t nsid, uint8_t type)
{
    SnCtrlNotice notice = { ++ctrl->notice_serial, nsid, type };

    if (ctrl->notice_count == SN_CTRL_NOTICES) {
        ctrl->notices[SN_CTRL_NOTICES - 1].serial = notice.serial;
    } else {
        ctrl->notices[ctrl->notice_count++] = notice;
    }
}

/* Feature 0bh has no bit for it: only the mask keeps it away. */
static void tell(SnCtrl *ctrl)
{
    if (ctrl->notice_count) {
        sn_ctrl_event(ctrl, NVME_AER_CSS, NVME_AER_CSS_NVM_RESERVATION,
                      NVME_LOG_LID_RESERVATION);
    }
}

void sn_ctrl_notice(SnCtrlNs *ns, uint8_t type)
{
    SnCtrl *ctrl = ns->ctrl;
    bool masked = ns->notice_mask >> type & 1;

    sn_trace(nvme_reservation_notice, "id=%s nsid=%u type=%u masked=%d",
             ns->id, ns->nsid, type, masked);
    if (ctrl->state == SN_CTRL_READY && ns->known && !masked &&
        sn_ctrl_ns_has_reservations(ns)) {
        add(ctrl, ns->nsid, type);
        tell(ctrl);
    }
}

void sn_ctrl_notice_log(const SnCtrl *ctrl,
                        struct nvme_resv_notification_log *log)
{
    const SnCtrlNotice *oldest = &ctrl->notices[0];

    if (ctrl->notice_count) {
        log->lpc = GUINT64_TO_LE(oldest->serial);
        log->rnlpt = oldest->type;
        log->nalp = MIN(ctrl->notice_count - 1, UINT8_MAX);
        log->nsid = GUINT32_TO_LE(oldest->nsid);
    }
}

void sn_ctrl_notice_read(SnCtrl *ctrl)
{
    if (ctrl->notice_count) {
        ctrl->notice_count--;
        memmove(&ctrl->notices[0], &ctrl->notices[1],
                ctrl->notice_count * sizeof(ctrl->notices[0]));
    }
}

void sn_ctrl_notice_unmask(SnCtrl *ctrl)
{
    sn_ctrl_event_unmask(ctrl, NVME_AER_CSS);
    tell(ctrl);
}

void sn_ctrl_notice_forget(SnCtrlNs *ns)
{
    SnCtrl *ctrl = ns->ctrl;
    unsigned kept = 0;

    for (unsigned i = 0; i < ctrl->notice_count; i++) {
        if (ctrl->notices[i].nsid != ns->nsid) {
            ctrl->notices[kept++] = ctrl->notices[i];
        }
    }
    ctrl->notice_count = kept;
    if (!kept) {
        /* There may be no such log any more whose reading would do it. */
        sn_ctrl_event_unmask(ctrl, NVME_AER_CSS);
    }
}

void sn_ctrl_notices_reset(SnCtrl *ctrl)
{
    ctrl->notice_count = 0;
    ctrl->notice_serial = 0;
}
