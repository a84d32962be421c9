/*
 * The SMART / health log, page 02h (NVMe Base 1.4 section 5.14.1.2).
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#define UNIT        (1000 * 512)        /* bytes of a data unit */

/* Of the log's critical warnings, and of feature 0bh, which asks for them. */
#define WARN_TEMPERATURE (1u << 1)

void sn_ctrl_count_begin(SnCtrl *ctrl)
{
    if (!ctrl->counters.busy++) {
        ctrl->counters.busy_since = sn_ctrl_now(ctrl);
    }
}

void sn_ctrl_count_dropped(SnCtrl *ctrl)
{
    SnCtrlCounters *c = &ctrl->counters;

    if (!--c->busy) {
        c->busy_ns += sn_ctrl_now(ctrl) - c->busy_since;
    }
}

void sn_ctrl_count_end(SnCtrlReq *req, SnCtrlStatus status)
{
    SnCtrlCounters *c = &req->ctrl->counters;

    sn_ctrl_count_dropped(req->ctrl);
    if (status || !req->ns) {
        return;
    }
    switch (req->sqe.opcode) {
    case nvme_cmd_read:
    case nvme_cmd_compare:
    case nvme_cmd_verify:
        c->reads++;
        c->read_bytes += sn_ctrl_nlb(req) *
                         (uint64_t)sn_ctrl_ns_info(req->ns)->block_size;
        break;
    case nvme_cmd_write:
        c->writes++;
        c->written_bytes += sn_ctrl_nlb(req) *
                            (uint64_t)sn_ctrl_ns_info(req->ns)->block_size;
        break;
    }
}

/* 128 bits, little endian. */
static void put(uint8_t *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        to[i] = value >> 8 * i;
    }
}

static bool is_too(const SnCtrl *ctrl, bool hot)
{
    uint32_t limit = ctrl->features.temperature[hot ? 0 : 1];

    return hot ? SN_CTRL_TEMPERATURE >= limit : SN_CTRL_TEMPERATURE <= limit;
}

void sn_ctrl_smart_check(SnCtrl *ctrl)
{
    if ((is_too(ctrl, true) || is_too(ctrl, false)) &&
        ctrl->features.events & WARN_TEMPERATURE) {
        sn_ctrl_event(ctrl, NVME_AER_SMART,
                      NVME_AER_SMART_TEMPERATURE_THRESHOLD,
                      NVME_LOG_LID_SMART);
    }
}

void sn_ctrl_smart_log(SnCtrl *ctrl, struct nvme_smart_log *log)
{
    const SnCtrlCounters *c = &ctrl->counters;
    int64_t now = sn_loop_now(ctrl->loop);
    int64_t busy = c->busy_ns + (c->busy ? now - c->busy_since : 0);

    if (is_too(ctrl, true) || is_too(ctrl, false)) {
        log->critical_warning = WARN_TEMPERATURE;
    }
    log->temperature[0] = SN_CTRL_TEMPERATURE & 0xff;
    log->temperature[1] = SN_CTRL_TEMPERATURE >> 8;
    log->avail_spare = 100;
    log->spare_thresh = 10;
    put(log->data_units_read, (c->read_bytes + UNIT - 1) / UNIT);
    put(log->data_units_written, (c->written_bytes + UNIT - 1) / UNIT);
    put(log->host_reads, c->reads);
    put(log->host_writes, c->writes);
    put(log->ctrl_busy_time, busy / (60 * SN_NS_PER_S));
    put(log->power_cycles, c->power_cycles);
    put(log->power_on_hours, (now - c->powered_at) / (3600 * SN_NS_PER_S));
    put(log->unsafe_shutdowns, c->unsafe_shutdowns);
    put(log->media_errors, c->media_errors);
    put(log->num_err_log_entries, c->errors);
}
