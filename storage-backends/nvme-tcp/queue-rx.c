/*
 * The receiving half of an NVMe/TCP queue.
 *
 * Bytes come in pieces of any length. Headers are gathered in rx_head and
 * checked; data goes from the network's buffers straight to the request's
 * memory. The data digest is made of the network's buffers: the guest may
 * change its own at any time.
 *
 * Copyright (c) 2026 the smartnic-storage authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>
#include <string.h>

#include "crc32c.h"
#include "queue-internal.h"

#define PEEK 16

SN_TRACE_EVENT(nvmetcp_r2t);
SN_TRACE_EVENT(nvmetcp_data);
SN_TRACE_EVENT(nvmetcp_data_digest_wrong);

static void expect(SnNvmeQueue *q, SnNvmeRxState state, uint32_t bytes)
{
    q->rx_state = state;
    if (state == SN_NVME_RX_PAD || state == SN_NVME_RX_DATA) {
        q->rx_left = bytes;
    } else {
        q->rx_need = bytes;
    }
}

static void expect_pdu(SnNvmeQueue *q)
{
    q->rx_have = 0;
    expect(q, SN_NVME_RX_CH, sizeof(SnPduCh));
}

static void fail_field(SnNvmeQueue *q, SnPduFes fes, uint32_t offset,
                       const char *field)
{
    sn_nvmetcp_queue_fail_pdu(q, &(SnPduError){ .fes = fes, .fei = offset,
                                                .field = field });
}

/* The command @cid (little endian) in flight, or NULL. */
static SnNvmeCmd *find_cmd(SnNvmeQueue *q, uint16_t cid)
{
    cid = GUINT16_FROM_LE(cid);
    if (cid >= q->config.depth || q->cmds[cid].state == SN_NVME_CMD_FREE) {
        return NULL;
    }
    return &q->cmds[cid];
}

static void handle_icresp(SnNvmeQueue *q)
{
    SnPduError error;
    SnPduLink link;

    if (!sn_pdu_check_icresp((const SnPduIcResp *)q->rx_head,
                             q->config.hdgst, q->config.ddgst, &link,
                             &error)) {
        sn_nvmetcp_queue_fail_pdu(q, &error);
        return;
    }
    expect_pdu(q);
    sn_nvmetcp_queue_set_up(q, &link);
}

static void handle_term_req(SnNvmeQueue *q)
{
    const SnPduTermReq *pdu = (const SnPduTermReq *)q->rx_head;

    q->ended_by_peer = true;
    sn_nvmetcp_queue_fail(q, "the target ended the connection: %s "
                          "(FES 0x%x, FEI 0x%x)",
                          sn_pdu_fes_text(GUINT16_FROM_LE(pdu->fes)),
                          GUINT16_FROM_LE(pdu->fes),
                          GUINT32_FROM_LE(pdu->fei));
}

static void handle_response(SnNvmeQueue *q)
{
    /* Copied: done() may make the queue reuse anything. */
    SnNvmeCqe cqe = ((const SnPduResp *)q->rx_head)->cqe;
    SnNvmeCmd *cmd = find_cmd(q, cqe.cid);

    if (!cmd) {
        fail_field(q, SN_FES_HEADER_FIELD, offsetof(SnPduResp, cqe.cid),
                   "CID");
        return;
    }
    expect_pdu(q);
    sn_nvmetcp_cmd_finish(cmd, &cqe);
}

/* Data must be for a read, in order, and no more than was asked for. */
static bool check_data(SnNvmeQueue *q, const SnPduData *pdu,
                       const SnNvmeCmd *cmd)
{
    SnPduError error;

    if (!sn_pdu_check_c2h_data(pdu, &q->link, &error)) {
        sn_nvmetcp_queue_fail_pdu(q, &error);
    } else if (!cmd || cmd->req.dir != SN_NVME_IN) {
        fail_field(q, SN_FES_HEADER_FIELD, offsetof(SnPduData, cccid),
                   "CCCID");
    } else if (cmd->last) {
        fail_field(q, SN_FES_SEQUENCE, offsetof(SnPduData, cccid), "CCCID");
    } else if (GUINT32_FROM_LE(pdu->offset) != cmd->moved) {
        fail_field(q, SN_FES_OUT_OF_RANGE, offsetof(SnPduData, offset),
                   "DATAO");
    } else if (GUINT32_FROM_LE(pdu->len) > cmd->req.len - cmd->moved) {
        fail_field(q, SN_FES_OUT_OF_RANGE, offsetof(SnPduData, len),
                   "DATAL");
    } else {
        return true;
    }
    return false;
}

static void handle_data(SnNvmeQueue *q)
{
    const SnPduData *pdu = (const SnPduData *)q->rx_head;
    SnNvmeCmd *cmd = find_cmd(q, pdu->cccid);

    if (!check_data(q, pdu, cmd)) {
        return;
    }
    sn_trace(nvmetcp_data, "id=%s qid=%u cid=%u offset=%u len=%u flags=0x%x",
             q->config.id, q->config.qid, cmd->cid,
             GUINT32_FROM_LE(pdu->offset), GUINT32_FROM_LE(pdu->len),
             pdu->ch.flags);
    cmd->last = pdu->ch.flags & SN_PDU_LAST;
    q->rx_cmd = cmd;
    q->rx_crc = 0;
    expect(q, SN_NVME_RX_PAD, pdu->ch.pdo - q->rx_have);
}

/* One R2T at a time and in order, as we announced MAXR2T 0 (3.6.2.9). */
static void handle_r2t(SnNvmeQueue *q)
{
    const SnPduData *pdu = (const SnPduData *)q->rx_head;
    uint32_t offset = GUINT32_FROM_LE(pdu->offset);
    uint32_t len = GUINT32_FROM_LE(pdu->len);
    SnNvmeCmd *cmd = find_cmd(q, pdu->cccid);

    if (!cmd || cmd->req.dir != SN_NVME_OUT || cmd->in_capsule) {
        fail_field(q, SN_FES_HEADER_FIELD, offsetof(SnPduData, cccid),
                   "CCCID");
    } else if (cmd->r2t_left) {
        fail_field(q, SN_FES_LIMIT, offsetof(SnPduData, cccid), "CCCID");
    } else if (offset != cmd->moved) {
        fail_field(q, SN_FES_OUT_OF_RANGE, offsetof(SnPduData, offset),
                   "R2TO");
    } else if (!len || len > cmd->req.len - offset) {
        fail_field(q, SN_FES_OUT_OF_RANGE, offsetof(SnPduData, len), "R2TL");
    } else if (cmd->state == SN_NVME_CMD_CANCELLED && !cmd->own) {
        sn_nvmetcp_queue_fail(q, "the target asks for the data of a write "
                              "that was cancelled");
    } else {
        sn_trace(nvmetcp_r2t, "id=%s qid=%u cid=%u offset=%u len=%u",
                 q->config.id, q->config.qid, cmd->cid, offset, len);
        expect_pdu(q);
        cmd->r2t_left = len;
        cmd->ttag = pdu->ttag;
        sn_nvmetcp_tx_r2t(cmd);
    }
}

static void handle_ch(SnNvmeQueue *q)
{
    const SnPduLink *link = q->state == SN_NVME_QUEUE_UP ? &q->link : NULL;
    const SnPduCh *ch = (const SnPduCh *)q->rx_head;
    SnPduError error;

    if (!sn_pdu_check_ch(ch, link, &error)) {
        sn_nvmetcp_queue_fail_pdu(q, &error);
        return;
    }
    expect(q, SN_NVME_RX_HEAD, sn_pdu_rx_head_len(ch, link));
}

static void handle_head(SnNvmeQueue *q)
{
    const SnPduCh *ch = (const SnPduCh *)q->rx_head;
    SnPduError error;

    if (!sn_pdu_check_digest(q->rx_head, &q->link, &error)) {
        sn_nvmetcp_queue_fail_pdu(q, &error);
        return;
    }
    switch (ch->type) {
    case SN_PDU_ICRESP:
        handle_icresp(q);
        break;
    case SN_PDU_C2H_TERM_REQ:
        handle_term_req(q);
        break;
    case SN_PDU_CAPSULE_RESP:
        handle_response(q);
        break;
    case SN_PDU_C2H_DATA:
        handle_data(q);
        break;
    case SN_PDU_R2T:
        handle_r2t(q);
        break;
    default:
        /* sn_pdu_check_ch() lets no other type pass. */
        g_assert_not_reached();
    }
}

/* A C2HData is complete. With SUCCESS it was the response, too. */
static void data_end(SnNvmeQueue *q)
{
    const SnPduCh *ch = (const SnPduCh *)q->rx_head;
    bool success = ch->flags & SN_PDU_SUCCESS;
    SnNvmeCmd *cmd = q->rx_cmd;

    expect_pdu(q);
    if (success) {
        sn_nvmetcp_cmd_finish(cmd, &(SnNvmeCqe){ 0 });
    }
}

static void handle_digest(SnNvmeQueue *q)
{
    const uint8_t *received = q->rx_head + sizeof(SnPduData);
    uint32_t digest;

    memcpy(&digest, received, sizeof(digest));
    if (GUINT32_FROM_LE(digest) != q->rx_crc) {
        q->rx_cmd->bad_data = true;
        sn_trace(nvmetcp_data_digest_wrong, "id=%s qid=%u cid=%u", q->config.id,
                 q->config.qid, q->rx_cmd->cid);
        sn_log_limited(&q->digest_limit, sn_loop_now(q->config.loop),
                       SN_LOG_WARN, "volume %s: %s: wrong data digest from "
                       "the target: the command is sent again",
                       q->config.id, q->name);
    }
    data_end(q);
}

/*
 * The digest is gathered behind the header, which data_end() needs. When the
 * header has a digest of its own, that was checked and is not needed any more.
 */
static void expect_digest(SnNvmeQueue *q)
{
    q->rx_have = sizeof(SnPduData);
    expect(q, SN_NVME_RX_DIGEST, sizeof(SnPduData) + SN_PDU_DIGEST_LEN);
}

static void end_of_left(SnNvmeQueue *q)
{
    if (q->rx_state == SN_NVME_RX_PAD) {
        const SnPduData *pdu = (const SnPduData *)q->rx_head;

        expect(q, SN_NVME_RX_DATA, GUINT32_FROM_LE(pdu->len));
    } else if (q->link.ddgst) {
        expect_digest(q);
    } else {
        data_end(q);
    }
}

/* Takes @len bytes of data for q->rx_cmd. */
static void take_data(SnNvmeQueue *q, const uint8_t *p, size_t len)
{
    SnNvmeCmd *cmd = q->rx_cmd;

    if (q->link.ddgst) {
        q->rx_crc = sn_crc32c(q->rx_crc, p, len);
    }
    /* It may have been cancelled in the middle of its data. */
    if (cmd->state == SN_NVME_CMD_CANCELLED) {
        cmd->moved += len;
        return;
    }
    while (len) {
        struct iovec piece = sn_nvmetcp_cmd_take(cmd, len);

        memcpy(piece.iov_base, p, piece.iov_len);
        p += piece.iov_len;
        len -= piece.iov_len;
    }
}

/* Takes up to @len bytes, at least one; returns how many. */
static size_t take(SnNvmeQueue *q, const uint8_t *p, size_t len)
{
    switch (q->rx_state) {
    case SN_NVME_RX_CH:
    case SN_NVME_RX_HEAD:
    case SN_NVME_RX_DIGEST:
        len = MIN(len, q->rx_need - q->rx_have);
        memcpy(q->rx_head + q->rx_have, p, len);
        q->rx_have += len;
        break;
    case SN_NVME_RX_PAD:
        len = MIN(len, q->rx_left);
        q->rx_left -= len;
        break;
    case SN_NVME_RX_DATA:
        len = MIN(len, q->rx_left);
        q->rx_left -= len;
        take_data(q, p, len);
        break;
    }
    return len;
}

/* Goes on to what follows when what was expected is complete. */
static void advance(SnNvmeQueue *q)
{
    switch (q->rx_state) {
    case SN_NVME_RX_CH:
        if (q->rx_have == q->rx_need) {
            handle_ch(q);
        }
        break;
    case SN_NVME_RX_HEAD:
        if (q->rx_have == q->rx_need) {
            handle_head(q);
        }
        break;
    case SN_NVME_RX_DIGEST:
        if (q->rx_have == q->rx_need) {
            handle_digest(q);
        }
        break;
    case SN_NVME_RX_PAD:
    case SN_NVME_RX_DATA:
        if (!q->rx_left) {
            end_of_left(q);
        }
        break;
    }
    /* There may be no padding. */
    if (q->rx_state == SN_NVME_RX_PAD && !q->rx_left) {
        end_of_left(q);
    }
}

void sn_nvmetcp_rx(SnNvmeQueue *q)
{
    struct iovec iov[PEEK];
    unsigned n;

    while (q->state != SN_NVME_QUEUE_FAILED &&
           (n = sn_stream_peek(q->stream, iov, PEEK))) {
        size_t total = 0;

        for (unsigned i = 0; i < n; i++) {
            const uint8_t *p = iov[i].iov_base;
            size_t len = iov[i].iov_len;

            while (len && q->state != SN_NVME_QUEUE_FAILED) {
                size_t taken = take(q, p, len);

                p += taken;
                len -= taken;
                total += taken;
                advance(q);
            }
        }
        sn_stream_consume(q->stream, total);
    }
}
