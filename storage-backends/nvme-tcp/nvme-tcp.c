/*
 * The NVMe/TCP backend: block requests through an association.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>

#include "association.h"
#include "io.h"
#include "status.h"

#define MAX_RETRIES 5
#define RETRY_DELAY (100 * SN_NS_PER_MS)

struct SnBackend {
    SnVolume *vol;
    SnLoop *loop;
    SnNvmeTcpOptions options;
    SnNvmeAssoc *assoc;
    GQueue retries;             /* of SnIo: to be sent again */
    SnTimer *retry_timer;
};

static void io_done(void *opaque, const SnNvmeCqe *cqe);

static bool send_io(SnBackend *be, SnIo *io)
{
    SnNvmeIo *nio = sn_io_scratch(io);
    SnNvmeRequest req;

    sn_nvmetcp_io_request(&req, nio, io, be->options.nsid,
                          sn_nvmetcp_assoc_block_size(be->assoc));
    req.done = io_done;
    req.opaque = io;
    nio->cmd = sn_nvmetcp_assoc_send(be->assoc, &req, &nio->q);
    return nio->cmd;
}

static void retry_later(SnBackend *be, SnIo *io)
{
    SnNvmeIo *nio = sn_io_scratch(io);

    nio->cmd = NULL;
    nio->link = (GList){ .data = io };
    if (g_queue_is_empty(&be->retries)) {
        sn_timer_arm_in(be->loop, be->retry_timer, RETRY_DELAY);
    }
    g_queue_push_tail_link(&be->retries, &nio->link);
}

static void retry(void *opaque)
{
    SnBackend *be = opaque;
    GList *link;

    while ((link = g_queue_peek_head_link(&be->retries))) {
        if (!send_io(be, link->data)) {
            sn_timer_arm_in(be->loop, be->retry_timer, RETRY_DELAY);
            break;
        }
        /* Not before: the link is in the request's scratch space. */
        g_queue_unlink(&be->retries, link);
    }
    sn_nvmetcp_assoc_push(be->assoc);
}

static void io_done(void *opaque, const SnNvmeCqe *cqe)
{
    SnIo *io = opaque;
    SnNvmeIo *nio = sn_io_scratch(io);
    SnBackend *be = nio->be;
    unsigned status = sn_nvme_status(cqe);

    if (sn_nvme_status_is_transient(cqe) && nio->retries++ < MAX_RETRIES) {
        retry_later(be, io);
        return;
    }
    if (status == SN_NVME_STATUS(NVME_SCT_GENERIC, NVME_SC_INVALID_NS)) {
        /* It was taken away. The request waits until it is back. */
        sn_nvmetcp_assoc_fail(be->assoc, false, "namespace %u is gone",
                              be->options.nsid);
        retry_later(be, io);
        return;
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

    if (!sn_nvmetcp_options_parse(&be->options, config->url, config->id,
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

static bool nvmetcp_submit(SnBackend *be, SnIo *io)
{
    SnNvmeIo *nio = sn_io_scratch(io);
    uint32_t block_size = sn_nvmetcp_assoc_block_size(be->assoc);

    /*
     * A cancelled write may still be on its way to the disk. What the
     * submitter does to the same blocks now must not be overtaken by it.
     */
    if (io->op != SN_IO_FLUSH &&
        sn_nvmetcp_assoc_cancelled_overlaps(be->assoc,
                                            io->offset / block_size,
                                            io->len / block_size)) {
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
