/*
 * An NVMe/TCP queue: the life of its connection and of its commands.
 *
 * Cancelled commands. A request that is cancelled takes its memory with it,
 * but the controller knows nothing of that: the command keeps its CID until
 * the response comes, and data for it is read and dropped. The data of a write
 * that the controller may still ask for (R2T) is copied first: the transport
 * has no way to refuse it. Giving the connection up instead would lose sight of
 * all other cancelled writes, and what is newer could be overtaken by one that
 * the target still carries out. That is left for when the copies are too many.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "queue-internal.h"

/* Bytes of cancelled writes that a queue keeps. */
#define OWN_MAX (32 * 1024 * 1024)

SN_TRACE_EVENT(nvmetcp_queue_connect);
SN_TRACE_EVENT(nvmetcp_queue_state);
SN_TRACE_EVENT(nvmetcp_queue_failed);
SN_TRACE_EVENT(nvmetcp_queue_term_req);
SN_TRACE_EVENT(nvmetcp_cmd_send);
SN_TRACE_EVENT(nvmetcp_cmd_done);
SN_TRACE_EVENT(nvmetcp_cmd_cancel);

static void set_state(SnNvmeQueue *q, SnNvmeQueueState state)
{
    static const char *const names[] = {
        [SN_NVME_QUEUE_CONNECTING] = "connecting",
        [SN_NVME_QUEUE_INITIALIZING] = "initializing",
        [SN_NVME_QUEUE_UP] = "up",
        [SN_NVME_QUEUE_FAILED] = "failed",
    };

    G_STATIC_ASSERT(G_N_ELEMENTS(names) == SN_NVME_QUEUE_FAILED + 1);
    sn_trace(nvmetcp_queue_state, "id=%s qid=%u state=%s", q->config.id,
             q->config.qid, names[state]);
    q->state = state;
}

void sn_nvmetcp_queue_fail(SnNvmeQueue *q, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    g_autofree char *line = NULL;
    va_list ap;

    if (q->state == SN_NVME_QUEUE_FAILED) {
        return;
    }
    set_state(q, SN_NVME_QUEUE_FAILED);
    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    line = g_strdup_printf("%s: %s", q->name, why);
    sn_trace(nvmetcp_queue_failed, "id=%s qid=%u why=%s", q->config.id,
             q->config.qid, why);
    q->config.events->failed(q->config.opaque, q, line);
}

void sn_nvmetcp_queue_fail_pdu(SnNvmeQueue *q, const SnPduError *error)
{
    const SnPduCh *ch = (const SnPduCh *)q->rx_head;

    if (q->state == SN_NVME_QUEUE_FAILED) {
        return;
    }
    sn_trace(nvmetcp_queue_term_req, "id=%s qid=%u fes=0x%x fei=0x%x field=%s",
             q->config.id, q->config.qid, error->fes, error->fei,
             error->field);
    sn_nvmetcp_tx_term_req(q, error, q->rx_have);
    sn_nvmetcp_queue_fail(q, "wrong %s in %s (type 0x%02x) from the target: "
                          "%s", error->field, sn_pdu_name(ch->type), ch->type,
                          sn_pdu_fes_text(error->fes));
}

void sn_nvmetcp_queue_set_up(SnNvmeQueue *q, const SnPduLink *link)
{
    q->link = *link;
    set_state(q, SN_NVME_QUEUE_UP);
    q->config.events->up(q->config.opaque, q);
}

static void stream_connected(void *opaque)
{
    SnNvmeQueue *q = opaque;

    set_state(q, SN_NVME_QUEUE_INITIALIZING);
    sn_nvmetcp_tx_icreq(q);
}

/* Reads all there is; completions run at the end, so that must be the last. */
static void receive(SnNvmeQueue *q)
{
    SnVolume *vol = q->config.vol;

    q->heard = sn_loop_now(q->config.loop);
    sn_backend_batch_begin(vol);
    sn_nvmetcp_rx(q);
    sn_nvmetcp_queue_push(q);
    sn_backend_batch_end(vol);
}

static void stream_readable(void *opaque)
{
    receive(opaque);
}

static void stream_closed(void *opaque, int err)
{
    SnNvmeQueue *q = opaque;
    SnVolume *vol = q->config.vol;

    sn_backend_batch_begin(vol);
    /* What came before, perhaps a C2HTermReq, tells more than the end. */
    if (q->state != SN_NVME_QUEUE_CONNECTING) {
        sn_nvmetcp_rx(q);
    }
    q->ended_by_peer |= !err || err == -ECONNRESET;
    if (err) {
        sn_nvmetcp_queue_fail(q, "%s", g_strerror(-err));
    } else {
        sn_nvmetcp_queue_fail(q, "the target closed the connection");
    }
    sn_backend_batch_end(vol);
}

static const SnStreamEvents stream_events = {
    .connected = stream_connected,
    .readable = stream_readable,
    .closed = stream_closed,
};

SnNvmeQueue *sn_nvmetcp_queue_new(const SnNvmeQueueConfig *config)
{
    SnNvmeQueue *q = g_new0(SnNvmeQueue, 1);

    q->config = *config;
    q->config.host = NULL;
    q->digest_limit = (SnLogLimit){ .burst = 3,
                                    .interval_ns = 60 * SN_NS_PER_S };
    if (config->qid) {
        g_snprintf(q->name, sizeof(q->name), "I/O queue %u", config->qid);
    } else {
        g_snprintf(q->name, sizeof(q->name), "admin queue");
    }
    q->cmds = g_new0(SnNvmeCmd, config->depth);
    for (unsigned i = config->depth; i-- > 0;) {
        SnNvmeCmd *cmd = &q->cmds[i];

        cmd->q = q;
        cmd->cid = i;
        cmd->slots_end = &cmd->slots;
        cmd->next = q->free_cmds;
        q->free_cmds = cmd;
    }
    q->rx_need = sizeof(SnPduCh);
    sn_nvmetcp_tx_init(q);
    sn_trace(nvmetcp_queue_connect, "id=%s qid=%u host=%s port=%u depth=%u",
             config->id, config->qid, config->host, config->port,
             config->depth);
    q->stream = sn_net_connect(config->net, config->host, config->port, 0,
                               &stream_events, q);
    return q;
}

void sn_nvmetcp_queue_free(SnNvmeQueue *q)
{
    sn_stream_close(q->stream);
    sn_nvmetcp_tx_cleanup(q);
    for (unsigned i = 0; i < q->config.depth; i++) {
        g_free(q->cmds[i].own);
    }
    g_free(q->cmds);
    g_free(q);
}

int64_t sn_nvmetcp_queue_heard(const SnNvmeQueue *q)
{
    return q->heard;
}

uint16_t sn_nvmetcp_queue_id(const SnNvmeQueue *q)
{
    return q->config.qid;
}

unsigned sn_nvmetcp_queue_used(const SnNvmeQueue *q)
{
    return q->used;
}

bool sn_nvmetcp_queue_is_up(const SnNvmeQueue *q)
{
    return q->state == SN_NVME_QUEUE_UP;
}

bool sn_nvmetcp_queue_ended_by_peer(const SnNvmeQueue *q)
{
    return q->ended_by_peer;
}

SnNvmeCmd *sn_nvmetcp_queue_send(SnNvmeQueue *q, const SnNvmeRequest *req)
{
    SnNvmeCmd *cmd = q->free_cmds;

    if (q->state != SN_NVME_QUEUE_UP || !cmd || !sn_nvmetcp_tx_has_room(q)) {
        return NULL;
    }
    q->free_cmds = cmd->next;
    q->used++;
    cmd->state = SN_NVME_CMD_SENT;
    cmd->req = *req;
    cmd->last = false;
    cmd->bad_data = false;
    cmd->r2t_left = 0;
    sn_nvmetcp_cmd_rewind(cmd);
    sn_trace(nvmetcp_cmd_send, "id=%s qid=%u cid=%u opcode=0x%02x len=%u",
             q->config.id, q->config.qid, cmd->cid, req->sqe.opcode, req->len);
    sn_nvmetcp_tx_command(cmd);
    return cmd;
}

void sn_nvmetcp_queue_push(SnNvmeQueue *q)
{
    if (q->dirty && q->state == SN_NVME_QUEUE_UP) {
        q->dirty = false;
        sn_stream_push(q->stream);
    }
}

static void free_cmd(SnNvmeCmd *cmd)
{
    SnNvmeQueue *q = cmd->q;

    if (cmd->state == SN_NVME_CMD_CANCELLED) {
        q->cancelled--;
    }
    if (cmd->own) {
        q->owned -= cmd->own_iov.iov_len;
        g_clear_pointer(&cmd->own, g_free);
    }
    q->used--;
    cmd->state = SN_NVME_CMD_FREE;
    cmd->next = q->free_cmds;
    q->free_cmds = cmd;
}

void sn_nvmetcp_cmd_finish(SnNvmeCmd *cmd, const SnNvmeCqe *cqe)
{
    bool cancelled = cmd->state == SN_NVME_CMD_CANCELLED;
    /* A write whose data was never asked for did not happen, either. */
    bool complete = cmd->req.dir == SN_NVME_NO_DATA ||
                    (cmd->moved == cmd->req.len && !cmd->r2t_left);
    SnNvmeCqe answer = *cqe;

    if (!sn_nvme_status(&answer) && cmd->bad_data) {
        /* What the other side answers to a digest that is wrong there. */
        answer.status = GUINT16_TO_LE(NVME_SC_TRAN_TPORT_ERROR << 1);
    } else if (!sn_nvme_status(&answer) && !complete) {
        answer.status = GUINT16_TO_LE(NVME_SC_DATA_XFER_ERROR << 1);
    }
    sn_trace(nvmetcp_cmd_done, "id=%s qid=%u cid=%u status=0x%03x%s",
             cmd->q->config.id, cmd->q->config.qid, cmd->cid,
             sn_nvme_status(&answer), cancelled ? " cancelled" : "");
    /* The response may be here before the last acknowledgement. */
    sn_nvmetcp_tx_drop(cmd);
    free_cmd(cmd);
    if (!cancelled) {
        cmd->req.done(cmd->req.opaque, &answer);
    }
}

/* Whether there is data of @cmd that the controller may still ask for. */
static bool has_unsent_data(const SnNvmeCmd *cmd)
{
    return cmd->req.dir == SN_NVME_OUT && cmd->moved < cmd->req.len;
}

/* Copies what is unsent, for when the request's memory is gone. */
static void keep_unsent_data(SnNvmeCmd *cmd)
{
    uint32_t from = cmd->moved, len = cmd->req.len - from;

    cmd->own = g_malloc(len);
    cmd->own_iov = (struct iovec){ cmd->own, len };
    cmd->q->owned += len;
    while (cmd->moved < cmd->req.len) {
        uint8_t *to = cmd->own + (cmd->moved - from);
        struct iovec piece = sn_nvmetcp_cmd_take(cmd, len);

        memcpy(to, piece.iov_base, piece.iov_len);
    }
    cmd->moved = from;
    cmd->iov = &cmd->own_iov;
    cmd->iov_off = 0;
}

uint16_t sn_nvmetcp_queue_cancel(SnNvmeQueue *q, SnNvmeCmd *cmd)
{
    sn_trace(nvmetcp_cmd_cancel, "id=%s qid=%u cid=%u", q->config.id,
             q->config.qid, cmd->cid);
    cmd->state = SN_NVME_CMD_CANCELLED;
    q->cancelled++;
    if (!has_unsent_data(cmd)) {
        sn_nvmetcp_tx_detach(cmd);
    } else if (q->owned + cmd->req.len - cmd->moved <= OWN_MAX) {
        keep_unsent_data(cmd);
        sn_nvmetcp_tx_detach(cmd);
    } else {
        bool half_sent = cmd->r2t_left;

        sn_nvmetcp_tx_drop(cmd);
        if (half_sent) {
            sn_nvmetcp_queue_fail(q, "a write was cancelled while its data "
                                  "was being sent");
        }
    }
    sn_nvmetcp_queue_push(q);
    return cmd->cid;
}

bool sn_nvmetcp_queue_writes_pending(const SnNvmeQueue *q)
{
    for (unsigned i = 0; i < q->config.depth; i++) {
        if (q->cmds[i].state != SN_NVME_CMD_FREE &&
            sn_nvme_scope(&q->cmds[i].req.sqe).changes) {
            return true;
        }
    }
    return false;
}

bool sn_nvmetcp_queue_cancelled_overlaps(const SnNvmeQueue *q,
                                         const SnNvmeScope *scope)
{
    unsigned left = q->cancelled;

    for (unsigned i = 0; left; i++) {
        if (q->cmds[i].state == SN_NVME_CMD_CANCELLED) {
            SnNvmeScope cancelled = sn_nvme_scope(&q->cmds[i].req.sqe);

            left--;
            if (cancelled.changes &&
                sn_nvme_scopes_overlap(&cancelled, scope)) {
                return true;
            }
        }
    }
    return false;
}
