/*
 * The NVMe controller: made, enabled, running or not, freed.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include "smartnic/log.h"
#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_state);
SN_TRACE_EVENT(nvme_running);

#define LOG_INTERVAL (60 * SN_NS_PER_S)
#define MAX_MPS 4               /* 64 KiB */
#define MAX_TIMEOUT 255         /* CAP.TO, in units of 500 ms */

G_DEFINE_QUARK(sn-ctrl-error-quark, sn_ctrl_error)

/* Section 3.1.1 */
static uint64_t capabilities(const SnCtrlConfig *config)
{
    /* Units of 500 ms, rounded up; a driver waits that long for RDY. */
    uint64_t timeout = MIN(config->ready_timeout / 500 + 2, MAX_TIMEOUT);

    return (uint64_t)(config->entries - 1) << NVME_CAP_MQES_SHIFT |
           1ULL << NVME_CAP_CQR_SHIFT |
           (uint64_t)NVME_CAP_AMS_WRR << NVME_CAP_AMS_SHIFT |
           timeout << NVME_CAP_TO_SHIFT |
           (uint64_t)NVME_CAP_CSS_NVM << NVME_CAP_CSS_SHIFT |
           (uint64_t)MAX_MPS << NVME_CAP_MPSMAX_SHIFT;
}

SnCtrl *sn_ctrl_new(const SnCtrlConfig *config)
{
    SnCtrl *ctrl = g_new0(SnCtrl, 1);
    SnLoop *loop = config->loop;

    ctrl->id = g_strdup(config->id);
    ctrl->serial = g_strdup(config->serial);
    ctrl->config = *config;
    ctrl->config.id = ctrl->id;
    ctrl->config.serial = ctrl->serial;
    ctrl->loop = loop;
    ctrl->dma = config->dma;
    ctrl->cap = capabilities(config);
    ctrl->fatal_limit = (SnLogLimit){ .burst = 5,
                                      .interval_ns = LOG_INTERVAL };
    ctrl->ready_timer = loop->timer_new(loop, sn_ctrl_ready_timeout, ctrl);
    ctrl->shutdown_timer = loop->timer_new(loop, sn_ctrl_shutdown_timeout,
                                           ctrl);
    ctrl->coalesce_timer = loop->timer_new(loop, sn_ctrl_coalesced, ctrl);
    ctrl->fetch_bh = loop->bh_new(loop, sn_ctrl_fetch, ctrl);
    ctrl->counters.power_cycles = 1;
    ctrl->counters.powered_at = sn_loop_now(loop);
    sn_ctrl_features_reset(ctrl);
    sn_ctrl_events_reset(ctrl);
    return ctrl;
}

void sn_ctrl_free(SnCtrl *ctrl)
{
    SnLoop *loop = ctrl->loop;

    sn_ctrl_disable(ctrl);
    sn_ctrl_ns_free_all(ctrl);
    loop->timer_free(ctrl->ready_timer);
    loop->timer_free(ctrl->shutdown_timer);
    loop->timer_free(ctrl->coalesce_timer);
    loop->bh_free(ctrl->fetch_bh);
    g_free(ctrl->bit_bucket);
    g_free(ctrl->serial);
    g_free(ctrl->id);
    g_free(ctrl);
}

uint32_t sn_ctrl_status(const SnCtrl *ctrl)
{
    return ctrl->csts;
}

const SnLatency *sn_ctrl_queue_latency(SnCtrl *ctrl, unsigned qid)
{
    return qid >= 1 && qid <= SN_CTRL_MAX_QUEUE_PAIRS && ctrl->sqs[qid]
           ? &ctrl->sqs[qid]->latency : NULL;
}

/* ---- states ---- */

void sn_ctrl_set_state(SnCtrl *ctrl, SnCtrlState state)
{
    sn_trace(nvme_state, "id=%s state=%d", ctrl->id, state);
    ctrl->state = state;
    ctrl->csts &= ~(NVME_CSTS_RDY_MASK | NVME_CSTS_CFS_MASK
                    << NVME_CSTS_CFS_SHIFT);
    if (state == SN_CTRL_READY) {
        ctrl->csts |= 1u << NVME_CSTS_RDY_SHIFT;
        sn_ctrl_ns_all_known(ctrl);
    } else if (state == SN_CTRL_SHUT_DOWN) {
        ctrl->csts |= 1u << NVME_CSTS_RDY_SHIFT;
    } else if (state == SN_CTRL_FATAL) {
        ctrl->csts |= 1u << NVME_CSTS_CFS_SHIFT;
    }
}

void sn_ctrl_fatal(SnCtrl *ctrl, const char *why)
{
    sn_log_limited(&ctrl->fatal_limit, sn_loop_now(ctrl->loop), SN_LOG_WARN,
                   "NVMe controller %s: fatal status: %s", ctrl->id, why);
    sn_ctrl_set_state(ctrl, SN_CTRL_FATAL);
}

/* Why the registers do not make a controller, or NULL. */
static const char *bad_registers(SnCtrl *ctrl)
{
    uint64_t page = 4096ULL << NVME_CC_MPS(ctrl->cc);
    unsigned sq_entries = (ctrl->aqa & 0xfff) + 1;
    unsigned cq_entries = (ctrl->aqa >> 16 & 0xfff) + 1;

    if (NVME_CC_CSS(ctrl->cc) != NVME_CC_CSS_NVM) {
        return "CC.CSS is not the NVM command set";
    }
    if (NVME_CC_MPS(ctrl->cc) > MAX_MPS) {
        return "CC.MPS is more than 64 KiB";
    }
    if (NVME_CC_AMS(ctrl->cc) > NVME_CC_AMS_WRRU) {
        return "CC.AMS is not an arbitration that is offered";
    }
    if (sq_entries < 2 || cq_entries < 2) {
        return "AQA has a queue of less than two entries";
    }
    if ((ctrl->asq | ctrl->acq) & (page - 1)) {
        return "ASQ or ACQ is not at the beginning of a page";
    }
    if (!ctrl->running) {
        return NULL;            /* it is seen when they are used */
    }
    if (!sn_ctrl_is_ram(ctrl, ctrl->asq, sq_entries * sizeof(SnNvmeSqe),
                        false) ||
        !sn_ctrl_is_ram(ctrl, ctrl->acq, cq_entries * sizeof(SnNvmeCqe),
                        true)) {
        return "the admin queues are not in memory";
    }
    return NULL;
}

void sn_ctrl_enable(SnCtrl *ctrl)
{
    const char *why = bad_registers(ctrl);
    SnCtrlCq *cq;

    sn_ctrl_shutdown_forget(ctrl);      /* notified while it was disabled */
    if (why) {
        sn_ctrl_fatal(ctrl, why);
        return;
    }
    ctrl->page_size = 4096u << NVME_CC_MPS(ctrl->cc);
    cq = sn_ctrl_cq_new(ctrl, 0, ctrl->acq, (ctrl->aqa >> 16 & 0xfff) + 1, 0,
                        true);
    sn_ctrl_sq_new(ctrl, 0, ctrl->asq, (ctrl->aqa & 0xfff) + 1, cq,
                   SN_PRIO_URGENT);
    sn_ctrl_set_state(ctrl, SN_CTRL_ENABLING);
    sn_ctrl_volume_settled(ctrl);
}

/*
 * A volume may take a moment to connect when the machine boots, and firmware
 * looks for disks once. That is waited for once after a reset of the function:
 * who resets the controller later, as a driver does that follows the firmware,
 * does not wait again for what has not been there.
 */
void sn_ctrl_volume_settled(SnCtrl *ctrl)
{
    int64_t now = sn_loop_now(ctrl->loop);

    if (ctrl->state != SN_CTRL_ENABLING) {
        return;
    }
    if (!ctrl->wait_until) {
        ctrl->wait_until = now + MIN(ctrl->config.ready_timeout,
                                     MAX_TIMEOUT * 500) * SN_NS_PER_MS;
    }
    if (sn_ctrl_ns_connecting(ctrl) && now < ctrl->wait_until) {
        ctrl->loop->timer_set(ctrl->ready_timer, ctrl->wait_until);
        return;
    }
    sn_timer_disarm(ctrl->loop, ctrl->ready_timer);
    sn_ctrl_set_state(ctrl, SN_CTRL_READY);
}

void sn_ctrl_ready_timeout(void *opaque)
{
    sn_ctrl_volume_settled(opaque);
}

/* ---- running ---- */

static void park_all(SnCtrl *ctrl)
{
    for (unsigned i = 0; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        SnCtrlReq *req = ctrl->sqs[i] ? ctrl->sqs[i]->active.head : NULL;

        /* One may take another along (a fused pair), so from the head. */
        while (req) {
            if (req->state == SN_REQ_ACTIVE) {
                sn_ctrl_req_park(req);
                req = ctrl->sqs[i]->active.head;
            } else {
                req = req->next;
            }
        }
    }
}

static void resume(SnCtrl *ctrl)
{
    for (unsigned i = 0; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        if (ctrl->cqs[i]) {
            sn_ctrl_cq_flush(ctrl, ctrl->cqs[i]);
        }
        if (ctrl->sqs[i] && ctrl->sqs[i]->shadow.doorbell) {
            sn_ctrl_sq_unasked(ctrl, ctrl->sqs[i]);     /* it may have rung */
        }
    }
    sn_ctrl_notify(ctrl);
    sn_ctrl_update_pin(ctrl);
    sn_ctrl_wake(ctrl);
}

void sn_ctrl_set_running(SnCtrl *ctrl, bool running)
{
    if (ctrl->running == running) {
        return;
    }
    sn_trace(nvme_running, "id=%s running=%d", ctrl->id, running);
    ctrl->running = running;
    if (running) {
        resume(ctrl);
    } else {
        park_all(ctrl);
    }
}
