/*
 * Controller reset, function level reset and shutdown notification (NVMe Base
 * 1.4 sections 7.3.2 and 7.6.2). None of them waits for a volume that does not
 * answer.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ctrl-internal.h"

#include "smartnic/trace.h"

SN_TRACE_EVENT(nvme_disable);
SN_TRACE_EVENT(nvme_reset);
SN_TRACE_EVENT(nvme_shutdown);

/* Less than the 5 s after which Linux gives up. */
#define SHUTDOWN_TIMEOUT (3 * SN_NS_PER_S)

static void set_shutdown_status(SnCtrl *ctrl, unsigned shst)
{
    ctrl->csts &= ~((uint32_t)NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT);
    ctrl->csts |= shst << NVME_CSTS_SHST_SHIFT;
}

static void cancel_flush(SnCtrlNs *ns)
{
    if (ns->flushing) {
        ns->flushing = false;
        ns->ctrl->flushing--;
        sn_io_cancel(&ns->flush_io);
    }
}

static void cancel_flushes(SnCtrl *ctrl)
{
    sn_timer_disarm(ctrl->loop, ctrl->shutdown_timer);
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i]) {
            cancel_flush(ctrl->ns[i]);
        }
    }
}

static void drop_list(SnCtrlReqList *list)
{
    while (list->head) {
        sn_ctrl_req_drop(list->head);
    }
}

/*
 * The host may give its memory to somebody else now. Admin commands end, too:
 * section 3.1.6 wants a reset before the next one.
 */
static void stop_commands(SnCtrl *ctrl)
{
    for (unsigned i = 0; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        if (ctrl->sqs[i]) {
            drop_list(&ctrl->sqs[i]->active);
        }
        if (ctrl->cqs[i]) {
            drop_list(&ctrl->cqs[i]->waiting);
        }
    }
    drop_list(&ctrl->parked);
    sn_ctrl_interrupt_reset(ctrl);
}

static void shutdown_complete(SnCtrl *ctrl)
{
    cancel_flushes(ctrl);
    set_shutdown_status(ctrl, NVME_CSTS_SHST_CMPLT);
    if (ctrl->state == SN_CTRL_READY || ctrl->state == SN_CTRL_ENABLING) {
        sn_ctrl_set_state(ctrl, SN_CTRL_SHUT_DOWN);
    }
    stop_commands(ctrl);
}

void sn_ctrl_flush_cancel(SnCtrlNs *ns)
{
    if (ns->flushing) {
        cancel_flush(ns);
        if (!ns->ctrl->flushing) {
            shutdown_complete(ns->ctrl);        /* it was the last one */
        }
    }
}

void sn_ctrl_shutdown_forget(SnCtrl *ctrl)
{
    cancel_flushes(ctrl);
    set_shutdown_status(ctrl, NVME_CSTS_SHST_NORMAL);
}

void sn_ctrl_disable(SnCtrl *ctrl)
{
    sn_trace(nvme_disable, "id=%s outstanding=%u", ctrl->id,
             ctrl->outstanding);
    sn_ctrl_shutdown_forget(ctrl);
    sn_timer_disarm(ctrl->loop, ctrl->ready_timer);
    sn_ctrl_set_state(ctrl, SN_CTRL_DISABLED);  /* no DMA from here on */
    for (unsigned i = 0; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        if (ctrl->sqs[i]) {
            sn_ctrl_sq_free(ctrl, ctrl->sqs[i], false);
        }
    }
    for (unsigned i = 0; i <= SN_CTRL_MAX_QUEUE_PAIRS; i++) {
        if (ctrl->cqs[i]) {
            sn_ctrl_cq_free(ctrl, ctrl->cqs[i]);
        }
    }
    ctrl->dbbuf[0] = ctrl->dbbuf[1] = 0;
    ctrl->intms = 0;
    ctrl->cache_untold = false;
    sn_ctrl_interrupt_reset(ctrl);
    sn_ctrl_features_reset(ctrl);
    sn_ctrl_events_reset(ctrl);
    sn_ctrl_notices_reset(ctrl);
    sn_ctrl_ns_removals_told(ctrl);
}

void sn_ctrl_reset(SnCtrl *ctrl)
{
    sn_trace(nvme_reset, "id=%s state=%d", ctrl->id, ctrl->state);
    if (ctrl->state == SN_CTRL_READY) {         /* not SHUT_DOWN */
        ctrl->counters.unsafe_shutdowns++;
    }
    sn_ctrl_disable(ctrl);
    ctrl->cc = 0;
    ctrl->aqa = 0;
    ctrl->wait_until = 0;       /* the machine starts anew */
    ctrl->asq = ctrl->acq = 0;
}

void sn_ctrl_shutdown_timeout(void *opaque)
{
    shutdown_complete(opaque);
}

static void flushed(SnIo *io, int ret)
{
    SnCtrlNs *ns = (SnCtrlNs *)((char *)io - offsetof(SnCtrlNs, flush_io));

    ns->flushing = false;
    if (!--ns->ctrl->flushing) {
        shutdown_complete(ns->ctrl);
    }
}

static void flush(SnCtrlNs *ns)
{
    ns->flushing = true;
    ns->ctrl->flushing++;
    ns->flush_io.op = SN_IO_FLUSH;
    ns->flush_io.flags = 0;
    ns->flush_io.offset = ns->flush_io.len = 0;
    ns->flush_io.iovcnt = 0;
    ns->flush_io.complete = flushed;
    sn_volume_submit(ns->vol, &ns->flush_io);
}

void sn_ctrl_shutdown(SnCtrl *ctrl, bool abrupt)
{
    sn_trace(nvme_shutdown, "id=%s abrupt=%d", ctrl->id, abrupt);
    if (ctrl->flushing) {
        return;                 /* of the first notification */
    }
    set_shutdown_status(ctrl, NVME_CSTS_SHST_OCCUR);
    for (unsigned i = 1; !abrupt && i <= SN_CTRL_MAX_NSID; i++) {
        SnCtrlNs *ns = ctrl->ns[i];

        if (ns && sn_volume_state(ns->vol) == SN_VOLUME_READY &&
            sn_ctrl_ns_info(ns)->write_cache) {
            flush(ns);
        }
    }
    if (!ctrl->flushing) {
        shutdown_complete(ctrl);
        return;
    }
    sn_timer_arm_in(ctrl->loop, ctrl->shutdown_timer, SHUTDOWN_TIMEOUT);
    for (unsigned i = 1; i <= SN_CTRL_MAX_NSID; i++) {
        if (ctrl->ns[i] && ctrl->ns[i]->flushing) {
            sn_volume_kick(ctrl->ns[i]->vol);
        }
    }
}
