/*
 * The NVMe/TCP backend: block requests through an association.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "association.h"
#include "io.h"
#include "smartnic/trace.h"
#include "status.h"

#define MAX_RETRIES 5
/* Until a queue that is full is tried again. */
#define FULL_DELAY (100 * SN_NS_PER_MS)

SN_TRACE_EVENT(nvmetcp_io_retry);

struct SnBackend {
    SnVolume *vol;
    SnLoop *loop;
    SnNvmeTcpOptions options;
    SnNvmeAssoc *assoc;
    GQueue retries;             /* of SnIo: to be sent again */
    SnTimer *retry_timer;
};

static void io_done(void *opaque, const SnNvmeCqe *cqe);

static bool is_admin(const SnIo *io)
{
    return io->op == SN_IO_NVME && io->nvme->admin;
}

static bool send_io(SnBackend *be, SnIo *io)
{
    SnNvmeIo *nio = sn_io_scratch(io);
    SnNvmeRequest req;

    sn_nvmetcp_io_request(&req, nio, io, be->options.nsid,
                          sn_nvmetcp_assoc_info(be->assoc));
    req.done = io_done;
    req.opaque = io;
    nio->cmd = is_admin(io)
               ? sn_nvmetcp_assoc_send_admin(be->assoc, &req, &nio->q)
               : sn_nvmetcp_assoc_send(be->assoc, &req, &nio->q);
    return nio->cmd;
}

/* Lets the timer fire when the first of those that wait is due. */
static void arm_retry(SnBackend *be)
{
    int64_t first = SN_TIMER_NEVER;

    for (GList *l = be->retries.head; l; l = l->next) {
        first = MIN(first, ((SnNvmeIo *)sn_io_scratch(l->data))->due);
    }
    be->loop->timer_set(be->retry_timer, first);
}

static void retry_later(SnBackend *be, SnIo *io, int64_t delay)
{
    SnNvmeIo *nio = sn_io_scratch(io);

    nio->cmd = NULL;
    nio->due = sn_loop_now(be->loop) + delay;
    nio->link = (GList){ .data = io };
    g_queue_push_tail_link(&be->retries, &nio->link);
    sn_backend_refused(io, nio->due);
    arm_retry(be);
}

static void retry(void *opaque)
{
    SnBackend *be = opaque;
    int64_t now = sn_loop_now(be->loop);
    GList *link, *next;

    for (link = be->retries.head; link; link = next) {
        SnNvmeIo *nio = sn_io_scratch(link->data);

        next = link->next;
        if (nio->due > now) {
            continue;
        }
        if (!send_io(be, link->data)) {
            nio->due = now + FULL_DELAY;
            continue;
        }
        /* Not before: the link is in the request's scratch space. */
        g_queue_unlink(&be->retries, link);
        sn_backend_sent_again(link->data);
    }
    arm_retry(be);
    sn_nvmetcp_assoc_push(be->assoc);
}

static SnNvmeRetry retry_of(const SnIo *io, const SnNvmeCqe *cqe)
{
    return io->op == SN_IO_NVME
           ? sn_nvme_status_retry_as_is(cqe, io->flags & SN_IO_ONCE)
           : sn_nvme_status_retry(cqe);
}

/*
 * Whether @io, refused with @cqe, is to be sent again. A guest waits for a way
 * to its disk however long that takes: after some time it is a lost one, which
 * the volume's own limits are about. Other refusals are an error in the end.
 */
static bool wants_retry(SnBackend *be, SnIo *io, const SnNvmeCqe *cqe)
{
    SnNvmeIo *nio = sn_io_scratch(io);
    unsigned status = sn_nvme_status(cqe);
    int64_t now = sn_loop_now(be->loop);

    if (status == SN_NVME_STATUS(NVME_SCT_GENERIC, NVME_SC_INVALID_NS)) {
        /* Was it taken away? */
        sn_nvmetcp_assoc_check_namespace(be->assoc);
        return io->op != SN_IO_NVME && nio->retries++ < MAX_RETRIES;
    }
    switch (retry_of(io, cqe)) {
    case SN_NVME_RETRY_NEVER:
        return false;
    case SN_NVME_RETRY_SOME:
        return nio->retries++ < MAX_RETRIES;
    case SN_NVME_RETRY_PATH:
        break;
    }
    if (!nio->path_since) {
        nio->path_since = now;
    }
    if (now - nio->path_since >= sn_nvmetcp_assoc_path_patience(be->assoc)) {
        sn_nvmetcp_assoc_fail(be->assoc, false, "namespace %u of the target: "
                              "%s (status 0x%03x)", be->options.nsid,
                              sn_nvme_status_text(status), status);
    }
    return true;
}

static void io_done(void *opaque, const SnNvmeCqe *cqe)
{
    SnIo *io = opaque;
    SnNvmeIo *nio = sn_io_scratch(io);
    SnBackend *be = nio->be;
    unsigned status = sn_nvme_status(cqe);

    if (status && wants_retry(be, io, cqe)) {
        int64_t delay = sn_nvmetcp_assoc_retry_delay(be->assoc, cqe);

        sn_trace(nvmetcp_io_retry, "op=%d offset=%" G_GUINT64_FORMAT
                 " status=0x%03x ms=%d", io->op, io->offset, status,
                 (int)(delay / SN_NS_PER_MS));
        retry_later(be, io, delay);
        return;
    }
    if (status) {
        io->nvme_status = status |
                          (sn_nvme_dnr(cqe) ? SN_NVME_STATUS_DNR : 0);
    } else if (io->op == SN_IO_NVME) {
        io->nvme->cqe = *cqe;
    }
    sn_backend_done(io, sn_nvme_status_to_errno(status));
}

/* Every request is the volume's again. */
static void forget(void *opaque)
{
    SnBackend *be = opaque;

    g_queue_init(&be->retries);
    sn_timer_disarm(be->loop, be->retry_timer);
}

static SnBackend *nvmetcp_create(const SnBackendConfig *config, GError **err)
{
    SnBackend *be = g_new0(SnBackend, 1);

    if (!sn_nvmetcp_options_parse(&be->options, config->url, config->host,
                                  err)) {
        sn_nvmetcp_options_clear(&be->options);
        g_free(be);
        return NULL;
    }
    be->vol = config->vol;
    be->loop = config->loop;
    be->assoc = sn_nvmetcp_assoc_new(config, &be->options, forget, be);
    be->retry_timer = be->loop->timer_new(be->loop, retry, be);
    return be;
}

static void nvmetcp_start(SnBackend *be)
{
    sn_nvmetcp_assoc_start(be->assoc);
}

/*
 * A cancelled write may still be on its way to the disk. What the submitter
 * does to the same blocks now must not be overtaken by it.
 */
static bool must_wait(SnBackend *be, const SnIo *io)
{
    SnNvmeScope scope = sn_nvmetcp_io_scope(
        io, sn_nvmetcp_assoc_info(be->assoc)->block_size);

    return sn_nvmetcp_assoc_cancelled_overlaps(be->assoc, &scope);
}

static bool nvmetcp_submit(SnBackend *be, SnIo *io)
{
    SnNvmeIo *nio = sn_io_scratch(io);

    if (!is_admin(io) && must_wait(be, io)) {
        return false;
    }
    *nio = (SnNvmeIo){ .be = be };
    return send_io(be, io);
}

static void nvmetcp_kick(SnBackend *be)
{
    sn_nvmetcp_assoc_push(be->assoc);
}

static void nvmetcp_cancel(SnBackend *be, SnIo *io)
{
    SnNvmeIo *nio = sn_io_scratch(io);
    uint16_t cid;

    if (!nio->cmd) {
        g_queue_unlink(&be->retries, &nio->link);
        return;
    }
    cid = sn_nvmetcp_queue_cancel(nio->q, nio->cmd);
    sn_nvmetcp_assoc_abort(be->assoc, nio->q, cid);
}

static void nvmetcp_stop(SnBackend *be)
{
    sn_nvmetcp_assoc_stop(be->assoc);
    forget(be);
}

static void nvmetcp_destroy(SnBackend *be)
{
    sn_nvmetcp_assoc_free(be->assoc);
    be->loop->timer_free(be->retry_timer);
    sn_nvmetcp_options_clear(&be->options);
    g_free(be);
}

const SnBackendOps sn_nvmetcp_backend = {
    .scheme = "nvme+tcp",
    .create = nvmetcp_create,
    .start = nvmetcp_start,
    .submit = nvmetcp_submit,
    .kick = nvmetcp_kick,
    .cancel = nvmetcp_cancel,
    .stop = nvmetcp_stop,
    .destroy = nvmetcp_destroy,
};
